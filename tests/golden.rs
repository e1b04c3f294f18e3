//! Whole training runs against PyTorch's: losses of every step, first gradients, final weights.
//!
//! Each file in `tests/golden` holds a run of PyTorch (its version and configuration in the
//! metadata): data, initial weights, the losses of all steps, the first gradients, the final
//! weights. Batches are consecutive rows, from the start again after the last. `golden_runs.py` makes
//! such files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use unisono::{
    Activation, Adagrad, Adam, AdamW, BinaryCrossEntropy, CrossEntropy, Dataset, Huber, Loss,
    MeanAbsoluteError, MeanSquaredError, Optimizer, RmsProp, Schedule, Sequential, Sgd,
    TrainConfig, Trainer,
};

struct Run {
    config: Value,
    tensors: HashMap<String, ArrayD<f32>>,
}

impl Run {
    fn load(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let config = &metadata.metadata().as_ref().unwrap()["config"];
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |name: &str| {
            let view = file.tensor(name).unwrap();
            let values: Vec<f32> = match view.dtype() {
                Dtype::F32 => {
                    view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
                }
                Dtype::I64 => view
                    .data()
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| i64::from_le_bytes(*b) as f32)
                    .collect(),
                other => panic!("{name} has type {other:?}"),
            };
            ArrayD::from_shape_vec(IxDyn(view.shape()), values).unwrap()
        };
        let tensors = file.names().into_iter().map(|name| (name.to_string(), tensor(name)));
        Self { config: serde_json::from_str(config).unwrap(), tensors: tensors.collect() }
    }

    fn number(&self, field: &str) -> usize {
        self.config[field].as_u64().unwrap_or_else(|| panic!("no number {field}")) as usize
    }

    fn text(&self, field: &str) -> &str {
        self.config[field].as_str().unwrap_or_else(|| panic!("no text {field}"))
    }

    fn option(&self, field: &str, default: f64) -> f64 {
        self.config["options"].get(field).map_or(default, |value| value.as_f64().unwrap())
    }

    fn layers(&self) -> Vec<usize> {
        let layers = self.config["layers"].as_array().unwrap();
        layers.iter().map(|size| size.as_u64().unwrap() as usize).collect()
    }

    fn loss(&self) -> Loss {
        match self.text("loss") {
            "mse" => MeanSquaredError.into(),
            "mae" | "l1" => MeanAbsoluteError.into(),
            "huber" => Huber { delta: self.option("delta", 1.0) as f32 }.into(),
            "binary_cross_entropy" | "bce" => BinaryCrossEntropy::default().into(),
            "cross_entropy" => {
                let smoothing = self.option("label_smoothing", 0.0) as f32;
                CrossEntropy::default().label_smoothing(smoothing).into()
            }
            other => panic!("unknown loss {other}"),
        }
    }

    fn optimizer(&self) -> Optimizer {
        for name in self.config["options"].as_object().unwrap().keys() {
            let known = [
                "lr",
                "momentum",
                "dampening",
                "nesterov",
                "weight_decay",
                "alpha",
                "eps",
                "centered",
                "lr_decay",
                "initial_accumulator_value",
                "betas",
                "delta",
                "label_smoothing",
            ];
            assert!(known.contains(&name.as_str()), "unknown option {name}");
        }
        let options = &self.config["options"];
        let flag = |name: &str| options.get(name).is_some_and(|value| value.as_bool().unwrap());
        let lr = |default: f64| self.option("lr", default);
        let beta = |i: usize, default: f64| {
            options.get("betas").map_or(default, |betas| betas[i].as_f64().unwrap())
        };
        let decay = |default: f64| self.option("weight_decay", default);
        match self.text("optimizer") {
            "sgd" => Sgd::new(lr(1e-3))
                .momentum(self.option("momentum", 0.0))
                .dampening(self.option("dampening", 0.0))
                .nesterov(flag("nesterov"))
                .weight_decay(decay(0.0))
                .into(),
            "rmsprop" => RmsProp::new(lr(1e-2))
                .alpha(self.option("alpha", 0.99))
                .eps(self.option("eps", 1e-8))
                .momentum(self.option("momentum", 0.0))
                .centered(flag("centered"))
                .weight_decay(decay(0.0))
                .into(),
            "adagrad" => Adagrad::new(lr(1e-2))
                .lr_decay(self.option("lr_decay", 0.0))
                .initial_accumulator_value(self.option("initial_accumulator_value", 0.0))
                .eps(self.option("eps", 1e-10))
                .weight_decay(decay(0.0))
                .into(),
            "adam" => Adam::new(lr(1e-3))
                .beta1(beta(0, 0.9))
                .beta2(beta(1, 0.999))
                .eps(self.option("eps", 1e-8))
                .weight_decay(decay(0.0))
                .into(),
            "adamw" => AdamW::new(lr(1e-3))
                .beta1(beta(0, 0.9))
                .beta2(beta(1, 0.999))
                .eps(self.option("eps", 1e-8))
                .weight_decay(decay(1e-2))
                .into(),
            other => panic!("unknown optimizer {other}"),
        }
    }

    fn schedule(&self) -> Schedule {
        let schedule = self.config.get("schedule").cloned();
        schedule.map_or(Schedule::Constant, |schedule| serde_json::from_value(schedule).unwrap())
    }

    /// The learning rate of each step, where a schedule changes it.
    fn rates(&self) -> Option<Vec<f64>> {
        let rates = self.config.get("rates")?.as_array().unwrap();
        Some(rates.iter().map(|rate| rate.as_f64().unwrap()).collect())
    }

    fn model(&self) -> Sequential {
        let layers = self.layers();
        let activation: Activation = self.text("activation").parse().unwrap();
        let mut builder = Sequential::builder(layers[0]);
        for &size in &layers[1..layers.len() - 1] {
            builder = builder.dense(size, activation);
        }
        let mut model =
            builder.dense(layers[layers.len() - 1], Activation::Identity).build(0).unwrap();
        for layer in 0..layers.len() - 1 {
            for (theirs, ours) in [("w", "weight"), ("b", "bias")] {
                let values = &self.tensors[&format!("{theirs}{layer}")];
                model.set_weight(&format!("{}.{ours}", 2 * layer), values.view()).unwrap();
            }
        }
        model
    }

    fn data(&self) -> Dataset {
        let to_matrix = |name: &str| -> Array2<f32> {
            self.tensors[name].clone().into_dimensionality().unwrap()
        };
        match self.tensors["y"].ndim() {
            1 => {
                let labels = self.tensors["y"].iter().map(|&label| label as usize);
                let outputs = *self.layers().last().unwrap();
                Dataset::classification_with(to_matrix("x"), labels.collect::<Vec<_>>(), outputs)
            }
            _ => Dataset::regression(to_matrix("x"), to_matrix("y")),
        }
        .unwrap()
    }

    /// Data whose batches, one after the other, are those of the run: consecutive rows, from the start
    /// again after the last. Where no batch has both, these are the run's data and its epochs ours.
    fn batches(&self) -> Dataset {
        let data = self.data();
        let (rows, batch, steps) =
            (self.number("rows"), self.number("batch"), self.number("steps"));
        assert_eq!(data.rows(), rows);
        assert_eq!(self.tensors["losses"].len(), steps);
        if rows % batch == 0 {
            return data;
        }
        assert!(self.config.get("schedule").is_none(), "the run's epochs are not ours");
        let order: Vec<usize> = (0..steps * batch).map(|row| row % rows).collect();
        data.select(&order).unwrap()
    }

    /// Weights (or their gradients) of every layer, theirs beside ours; the tolerance is that of
    /// tensors within ±1 and grows with larger ones.
    fn assert_weights(&self, prefix: &str, found: impl Fn(&str) -> ArrayD<f32>, tolerance: f64) {
        for layer in 0..self.layers().len() - 1 {
            for (theirs, ours) in [("w", "weight"), ("b", "bias")] {
                let expected = &self.tensors[&format!("{prefix}{theirs}{layer}")];
                let found = found(&format!("{}.{ours}", 2 * layer));
                assert_eq!(found.shape(), expected.shape());
                let scale = expected.iter().fold(1.0, |most: f64, v| most.max(f64::from(v.abs())));
                for (index, (a, b)) in found.iter().zip(expected).enumerate() {
                    let (a, b) = (f64::from(*a), f64::from(*b));
                    let name = self.text("name");
                    assert!(
                        (a - b).abs() <= tolerance * scale,
                        "{name}: {prefix}{theirs}{layer}[{index}] {a} {b}"
                    );
                }
            }
        }
    }
}

fn runs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let runs: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    assert!(runs.len() >= 14, "the golden runs are missing");
    runs
}

#[test]
fn losses_and_final_weights_are_pytorchs() {
    for run in runs().iter().map(|path| Run::load(path)) {
        let (mut model, data) = (run.model(), run.batches());
        let config = TrainConfig::new(run.loss(), run.optimizer())
            .schedule(run.schedule())
            .batch_size(run.number("batch"))
            .shuffle(false);
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        let rates = run.rates();
        for (step, &expected) in run.tensors["losses"].iter().enumerate() {
            let report = trainer.step().unwrap();
            if let Some(rate) = rates.as_ref().map(|rates| rates[step]) {
                let error = (report.lr - rate).abs() / rate;
                assert!(error <= 1e-12, "{} step {step}: rate {}", run.text("name"), report.lr);
            }
            let (found, expected) = (report.loss, f64::from(expected));
            let error = (found - expected).abs() / expected.abs();
            assert!(error <= 1e-5, "{} step {step}: loss {found} for {expected}", run.text("name"));
        }
        run.assert_weights("final_", |name| model.weight(name).unwrap(), 1e-4);
    }
}

/// One step of plain gradient descent with rate 1 subtracts the gradient.
#[test]
fn first_gradients_are_pytorchs() {
    for run in runs().iter().map(|path| Run::load(path)) {
        let (mut model, data) = (run.model(), run.batches());
        let before = model.clone();
        let config = TrainConfig::new(run.loss(), Sgd::new(1.0))
            .batch_size(run.number("batch"))
            .shuffle(false);
        Trainer::new(&mut model, &data, &config).unwrap().step().unwrap();
        let gradient = |name: &str| before.weight(name).unwrap() - model.weight(name).unwrap();
        run.assert_weights("grad_", gradient, 1e-6);
    }
}
