//! The same bits on any number of threads, any SIMD level, and driven in any way.

use std::process::Command;

use unisono::{
    Activation, Adam, Clip, CrossEntropy, Dataset, History, MeanSquaredError, RmsProp, Sequential,
    Sgd, SimdLevel, TrainConfig, Trainer, datasets, train_parallel,
};

/// A model, its data and how to train it.
struct Case {
    name: &'static str,
    model: Sequential,
    data: Dataset,
    config: TrainConfig,
}

fn classes(rows: usize, layers: &[usize]) -> Dataset {
    datasets::synthetic_classification(rows, layers[0], layers[layers.len() - 1], 3).unwrap()
}

fn dense(layers: &[usize], activation: Activation) -> Sequential {
    let mut builder = Sequential::builder(layers[0]);
    for &size in &layers[1..layers.len() - 1] {
        builder = builder.dense(size, activation);
    }
    builder.dense(layers[layers.len() - 1], Activation::Softmax).build(5).unwrap()
}

/// Odd widths, batches that shards do not divide, batches smaller than shards, a short last batch,
/// dropout, normalisation, weights, clipping, and a model large enough for gradients that never
/// reach memory.
fn cases() -> Vec<Case> {
    let adam = || TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).epochs(2);
    let layers = [7, 33, 17, 3];
    let large = [100, 250, 70, 12];
    vec![
        Case {
            name: "odd widths, short last batch",
            model: dense(&layers, Activation::Tanh),
            data: classes(210, &layers),
            config: adam().batch_size(101).shards(5),
        },
        Case {
            name: "batch smaller than the shards",
            model: dense(&[5, 4], Activation::Relu),
            data: classes(50, &[5, 4]),
            config: adam().batch_size(9),
        },
        Case {
            name: "many shards",
            model: dense(&layers, Activation::Gelu),
            data: classes(700, &layers),
            config: adam().batch_size(333).shards(64).clip(Clip::Norm(0.1)),
        },
        Case {
            name: "dropout and layer norm, weighted classes",
            model: Sequential::builder(7)
                .dense(21, Activation::Relu)
                .dropout(0.3)
                .layer_norm()
                .dense(3, Activation::Softmax)
                .build(1)
                .unwrap(),
            data: classes(150, &layers),
            config: TrainConfig::new(
                CrossEntropy::default().class_weights([1.0, 0.3, 2.5]).label_smoothing(0.1),
                RmsProp::new(0.01),
            )
            .epochs(2)
            .batch_size(100),
        },
        Case {
            name: "large",
            model: dense(&large, Activation::Silu),
            data: classes(150, &large),
            config: adam().batch_size(70).shards(3),
        },
        Case {
            name: "regression",
            model: Sequential::builder(9)
                .dense(40, Activation::Sigmoid)
                .dense(2, Activation::Identity)
                .build(2)
                .unwrap(),
            data: datasets::synthetic_regression(130, 9, 2, 4).unwrap(),
            config: TrainConfig::new(MeanSquaredError, Sgd::new(0.1).momentum(0.9).nesterov(true))
                .epochs(2)
                .batch_size(64),
        },
    ]
}

/// Fingerprint, history and predictions after training on so many threads.
fn train(case: &Case, threads: usize) -> (u64, History, Vec<u32>) {
    let mut model = case.model.clone();
    let config = case.config.clone().exact_threads(threads).validation(case.data.clone());
    let history = train_parallel(&mut model, &case.data, &config).unwrap();
    assert_eq!(history.threads, threads);
    let predictions = model.predict(case.data.x()).unwrap();
    (model.fingerprint(), history, predictions.iter().map(|v| v.to_bits()).collect())
}

#[test]
fn threads_change_no_bit() {
    for case in cases() {
        let (fingerprint, history, predictions) = train(&case, 1);
        assert_ne!(fingerprint, case.model.fingerprint(), "{}: nothing was learned", case.name);
        for threads in [2, 3, 4, 7, 16] {
            let (other, other_history, other_predictions) = train(&case, threads);
            assert_eq!(fingerprint, other, "{} on {threads} threads", case.name);
            assert!(history.same_bits(&other_history), "{} on {threads} threads", case.name);
            assert_eq!(predictions, other_predictions, "{} on {threads} threads", case.name);
        }
    }
}

/// Prints what the other levels are compared with; the parent test runs it in processes of its own,
/// since a process has one level.
#[test]
fn child_prints_fingerprints() {
    for case in cases() {
        let (fingerprint, history, predictions) = train(&case, 2);
        let losses: Vec<u64> = history.epochs.iter().map(|epoch| epoch.loss.to_bits()).collect();
        let level = SimdLevel::current();
        println!(
            "bits {fingerprint:016x} {losses:x?} {:x?}",
            &predictions[..predictions.len().min(9)]
        );
        println!("level {level}");
    }
}

fn run_at(level: SimdLevel) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_prints_fingerprints", "--nocapture"])
        .env("UNISONO_SIMD", level.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("level {level}\n")), "the child ran on another level: {text}");
    text.lines().filter_map(|line| line.split_once("bits ")).map(|line| line.1.into()).collect()
}

#[test]
fn simd_levels_change_no_bit() {
    let levels = SimdLevel::ALL.into_iter().filter(|level| level.is_available());
    let runs: Vec<_> = levels.map(|level| (level, run_at(level))).collect();
    let (first, bits) = &runs[0];
    assert_eq!(bits.len(), cases().len());
    println!("levels compared: {}", runs.len());
    for (level, other) in &runs[1..] {
        assert_eq!(bits, other, "{first} and {level}");
    }
}

#[test]
fn steps_epochs_and_runs_end_with_the_same_bits() {
    for case in cases() {
        let (fingerprint, history, _) = train(&case, 1);
        let config = case.config.clone().validation(case.data.clone());
        let mut by_step = case.model.clone();
        let mut trainer = Trainer::new(&mut by_step, &case.data, &config).unwrap();
        while trainer.stopped().is_none() {
            trainer.step().unwrap();
        }
        assert!(trainer.history().same_bits(&history), "{}", case.name);
        assert_eq!(by_step.fingerprint(), fingerprint, "{}", case.name);
        let mut by_epoch = case.model.clone();
        let mut trainer = Trainer::new(&mut by_epoch, &case.data, &config).unwrap();
        trainer.epoch().unwrap();
        trainer.epoch().unwrap();
        assert_eq!(by_epoch.fingerprint(), fingerprint, "{}", case.name);
    }
}

#[test]
fn seeds_and_shards_do_change_bits() {
    let case = &cases()[2];
    let fingerprint = train(case, 1).0;
    let trained = |config: TrainConfig| {
        let mut model = case.model.clone();
        train_parallel(&mut model, &case.data, &config).unwrap();
        model.fingerprint()
    };
    assert_ne!(trained(case.config.clone().seed(1)), fingerprint);
    assert_ne!(trained(case.config.clone().shards(7)), fingerprint);
}
