//! What several tests share: data from a seed, a layer of the user's own, gradients by one step.
#![allow(dead_code)] // each test takes its part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use ndarray::{Array2, ArrayD, ArrayView2, ArrayViewMut2};
use unisono::rng::Stream;
use unisono::{Dataset, Layer, Loss, Result, Sequential, Sgd, TrainConfig, Trainer};

/// Numbers in -1..1 that depend on the seed alone (SplitMix64), independent of the crate's own.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

pub fn matrix(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut random = Random::new(seed);
    Array2::from_shape_simple_fn((rows, columns), || random.value())
}

/// Rows whose class is that of the largest of a few sums of features.
pub fn classes(rows: usize, features: usize, classes: usize, seed: u64) -> Dataset {
    let x = matrix(rows, features, seed);
    let sums = x.dot(&matrix(features, classes, seed + 1000));
    let class = |sums: ndarray::ArrayView1<f32>| {
        (0..classes).fold(0, |best, c| if sums[c] > sums[best] { c } else { best })
    };
    let labels: Vec<usize> = sums.rows().into_iter().map(class).collect();
    Dataset::classification_with(x, labels, classes).unwrap()
}

/// Rows whose values are sums of features.
pub fn values(rows: usize, features: usize, outputs: usize, seed: u64) -> Dataset {
    let x = matrix(rows, features, seed);
    let y = x.dot(&matrix(features, outputs, seed + 1000));
    Dataset::regression(x, y).unwrap()
}

/// Rows whose values are 0 or 1.
pub fn yes_or_no(rows: usize, features: usize, outputs: usize, seed: u64) -> Dataset {
    let x = matrix(rows, features, seed);
    let y = x.dot(&matrix(features, outputs, seed + 1000));
    Dataset::regression(x, y.mapv(|sum| f32::from(u8::from(sum > 0.0)))).unwrap()
}

pub fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

/// A layer of the user's own: each feature times a learned factor.
#[derive(Debug)]
pub struct Scale;

impl Layer for Scale {
    fn name(&self) -> String {
        "scale".into()
    }

    fn outputs(&self, inputs: usize) -> Result<usize> {
        Ok(inputs)
    }

    fn tensors(&self, inputs: usize) -> Vec<(String, Vec<usize>)> {
        vec![("weight".into(), vec![inputs])]
    }

    fn init(&self, _: usize, params: &mut [f32], random: &mut Stream) {
        params.fill_with(|| random.uniform_in(0.5, 1.5));
    }

    fn forward(&self, params: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        y.indexed_iter_mut().for_each(|((r, i), y)| *y = params[i] * x[(r, i)]);
    }

    fn backward(
        &self,
        params: &[f32],
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        mut dx: ArrayViewMut2<f32>,
    ) {
        dx.indexed_iter_mut().for_each(|((r, i), dx)| *dx = params[i] * dy[(r, i)]);
    }

    fn param_grads(
        &self,
        _: &[f32],
        x: ArrayView2<f32>,
        _: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        dparams: &mut [f32],
    ) {
        // In an order of its own, so that it shows which rows it was given at once.
        for (i, sum) in dparams.iter_mut().enumerate() {
            *sum += (0..dy.nrows()).rev().map(|r| x[(r, i)] * dy[(r, i)]).sum::<f32>();
        }
    }
}

/// Makes steps that have to succeed.
pub fn make_steps(trainer: &mut Trainer, count: usize) {
    for _ in 0..count {
        trainer.step().unwrap();
    }
}

/// A model's parameters by name.
pub type Weights = BTreeMap<String, ArrayD<f32>>;

pub fn weights(model: &Sequential) -> Weights {
    let names = model.weight_names().into_iter();
    names.map(|name| (name.clone(), model.weight(&name).unwrap())).collect()
}

/// The loss and the gradient over the whole data set: one step of plain gradient descent with
/// rate 1 subtracts it. Small weights are given, so that the difference is exact enough.
pub fn gradient(
    model: &Sequential,
    data: &Dataset,
    loss: &Loss,
    configure: impl Fn(TrainConfig) -> TrainConfig,
) -> (f64, Weights) {
    let config = TrainConfig::new(loss.clone(), Sgd::new(1.0));
    let config = configure(config.batch_size(data.rows()).shuffle(false));
    let mut after = model.clone();
    let report = Trainer::new(&mut after, data, &config).unwrap().step().unwrap();
    let mut gradient = weights(model);
    for (name, before) in &mut gradient {
        *before -= &after.weight(name).unwrap();
    }
    (report.loss, gradient)
}

/// The built example, which `cargo test` puts beside this test; with `--test` alone it builds none.
pub fn example(name: &str) -> PathBuf {
    let path = example_path(name);
    let built = modified(&path);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src", "examples", "Cargo.toml"].map(|source| newest(&root.join(source)));
    if built.is_some() && sources.iter().all(|source| *source < built) {
        path
    } else {
        built_example(name)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// When what is newest below a path was modified.
fn newest(path: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| newest(&entry.path())).max().flatten().max(modified(path))
}

/// The example, built as this test is, for one of which `cargo test` builds the unit tests alone.
pub fn built_example(name: &str) -> PathBuf {
    let path = example_path(name);
    let mut build = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--quiet", "--example", name, "--features", &features()]);
    if path.parent().and_then(Path::parent).is_some_and(|profile| profile.ends_with("release")) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{name} does not build");
    path
}

fn example_path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The crate's features that this test has, as cargo takes them.
fn features() -> String {
    let all = [
        ("plot", cfg!(feature = "plot")),
        ("png", cfg!(feature = "png")),
        ("onnx", cfg!(feature = "onnx")),
        ("tensorboard", cfg!(feature = "tensorboard")),
        ("npy", cfg!(feature = "npy")),
        ("parquet", cfg!(feature = "parquet")),
        ("parquet-zstd", cfg!(feature = "parquet-zstd")),
    ];
    let on: Vec<&str> = all.iter().filter(|feature| feature.1).map(|feature| feature.0).collect();
    on.join(",")
}

/// A layer of the user's own whose derivative is taken from its outputs.
#[derive(Debug)]
pub struct Exp;

impl Layer for Exp {
    fn name(&self) -> String {
        "exp".into()
    }

    fn outputs(&self, inputs: usize) -> Result<usize> {
        Ok(inputs)
    }

    fn forward(&self, _: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        y.zip_mut_with(&x, |y, x| *y = x.exp());
    }

    fn backward(
        &self,
        _: &[f32],
        _: ArrayView2<f32>,
        y: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        mut dx: ArrayViewMut2<f32>,
    ) {
        dx.assign(&(&y * &dy));
    }
}
