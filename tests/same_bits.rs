//! The promise: a trained model is a function of data, configuration and seed alone. The same bits
//! on any number of threads, on any instruction set, driven by step or in one go.

mod common;

use std::process::{Child, Command, Stdio};

use common::{Random, Scale, bits, classes, matrix, values, yes_or_no};
use unisono::{
    Activation, Adagrad, Adam, AdamW, BinaryCrossEntropy, Clip, CrossEntropy, Dataset,
    EarlyStopping, History, Huber, MeanSquaredError, RmsProp, Schedule, Sequential, Sgd, SimdLevel,
    TrainConfig, Trainer, train_parallel,
};

/// A model, what it learns from and how.
struct Case {
    name: &'static str,
    model: Sequential,
    data: Dataset,
    config: TrainConfig,
}

/// Everything that has to be the same.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    fingerprint: u64,
    history: Vec<[Option<u64>; 5]>,
    predictions: Vec<u32>,
    score: (u64, Option<u64>),
}

impl Outcome {
    /// One line, for another process to read.
    fn line(&self) -> String {
        let Self { fingerprint, history, predictions, score } = self;
        format!("{fingerprint:016x} {history:x?} {:x?} {score:x?}", fold(predictions))
    }
}

fn fold(values: &[u32]) -> u64 {
    values.iter().fold(0, |sum, &value| Random::new(sum ^ u64::from(value)).bits())
}

fn case(name: &'static str, model: Sequential, data: Dataset, config: TrainConfig) -> Case {
    Case { name, model, data, config: config.epochs(2).seed(11) }
}

/// Dense nets of odd widths; the batches are not divisible by the shards, and the last is short.
fn plain() -> Vec<Case> {
    let deep = Sequential::builder(7)
        .dense(33, Activation::Relu)
        .dense(17, Activation::Tanh)
        .dense(3, Activation::Softmax);
    let single = Sequential::builder(5).dense(1, Activation::Sigmoid);
    let wide = Sequential::builder(40).dense(250, Activation::Gelu).dense(12, Activation::Identity);
    let smooth = Sequential::builder(6)
        .dense(19, Activation::Silu)
        .dense(18, Activation::Elu { alpha: 1.0 })
        .dense(16, Activation::Softplus)
        .dense(2, Activation::Identity);
    vec![
        case(
            "7-33-17-3, batches of 50 of 130 rows",
            deep.build(1).unwrap(),
            classes(130, 7, 3, 1),
            TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(50),
        ),
        case(
            "5-1, batches smaller than a shard",
            single.build(2).unwrap(),
            yes_or_no(23, 5, 1, 2),
            TrainConfig::new(
                BinaryCrossEntropy::default(),
                Sgd::new(0.1).momentum(0.9).nesterov(true),
            )
            .batch_size(7),
        ),
        case(
            "40-250-12, five shards, clipped by norm, weighted classes",
            wide.build(3).unwrap(),
            classes(230, 40, 12, 3),
            TrainConfig::new(
                CrossEntropy::default()
                    .class_weights((1..13).map(|w| w as f32).collect::<Vec<_>>()),
                RmsProp::new(0.001).centered(true).momentum(0.5),
            )
            .batch_size(117)
            .shards(5)
            .clip(Clip::Norm(0.1)),
        ),
        case(
            "6-19-18-16-2, clipped by value",
            smooth.build(4).unwrap(),
            values(150, 6, 2, 4),
            TrainConfig::new(Huber { delta: 0.5 }, Adagrad::new(0.05))
                .batch_size(64)
                .shards(3)
                .clip(Clip::Value(0.01))
                .schedule(Schedule::Exponential { gamma: 0.7 }),
        ),
    ]
}

/// Dropout, a norm, a layer of the user's own, and more than 32,768 parameters.
fn special() -> Vec<Case> {
    let regularised = Sequential::builder(9)
        .dropout(0.1)
        .dense(45, Activation::LeakyRelu { slope: 0.01 })
        .layer_norm()
        .dropout(0.4)
        .dense(4, Activation::Softmax);
    let custom = Sequential::builder(11)
        .dense(21, Activation::Relu)
        .layer(Scale)
        .dense(3, Activation::Identity);
    let large = Sequential::builder(70)
        .dense(300, Activation::Relu)
        .dropout(0.2)
        .dense(53, Activation::Tanh)
        .dense(10, Activation::Softmax);
    let large_custom = Sequential::builder(70)
        .dense(500, Activation::Relu)
        .layer(Scale)
        .dense(10, Activation::Softmax);
    for large in [&large, &large_custom] {
        assert!(large.clone().build(0).unwrap().param_count() > 1 << 15);
    }
    let (large_data, larger_data) = (classes(93, 70, 10, 7), classes(330, 70, 10, 9));
    vec![
        case(
            "9-45-4 with dropout and a norm",
            regularised.clone().build(5).unwrap(),
            classes(119, 9, 4, 5),
            TrainConfig::new(CrossEntropy::default().label_smoothing(0.1), AdamW::new(0.01))
                .batch_size(100)
                .shards(4),
        ),
        case(
            "9-45-4 with dropout and a norm, whose batches two or four workers share as a team",
            regularised.build(5).unwrap(),
            classes(700, 9, 4, 5),
            TrainConfig::new(CrossEntropy::default(), Adam::new(0.01))
                .batch_size(290)
                .clip(Clip::Norm(0.2)),
        ),
        case(
            "11-21-3 with a layer of the user's own",
            custom.build(6).unwrap(),
            values(230, 11, 3, 6),
            TrainConfig::new(MeanSquaredError, Sgd::new(0.5)).batch_size(150),
        ),
        case(
            "70-300-53-10, fused update",
            large.clone().build(7).unwrap(),
            large_data.clone(),
            TrainConfig::new(CrossEntropy::default(), Adam::new(0.001))
                .batch_size(64)
                .shards(3)
                .validation(classes(41, 70, 10, 8))
                .early_stopping(EarlyStopping::new(1)),
        ),
        case(
            "70-300-53-10, clipped by norm",
            large.clone().build(8).unwrap(),
            large_data,
            TrainConfig::new(CrossEntropy::default(), Sgd::new(0.1).momentum(0.9))
                .batch_size(64)
                .clip(Clip::Norm(0.5)),
        ),
        case(
            "70-300-53-10, as many shards as its rows give",
            large.build(9).unwrap(),
            larger_data.clone(),
            TrainConfig::new(CrossEntropy::default(), Adam::new(0.001)).batch_size(250),
        ),
        case(
            "70-500-10 with a layer of the user's own, whose shards are whole",
            large_custom.build(10).unwrap(),
            larger_data,
            TrainConfig::new(CrossEntropy::default(), Adam::new(0.001)).batch_size(290),
        ),
    ]
}

/// Blocks of rows are cut at 512: more rows than that in a block, and a net that is all rows; then long
/// shards, but those of the last batch; then shards that lie in several blocks where there are more workers.
fn many_rows() -> Vec<Case> {
    let model = Sequential::builder(3).dense(5, Activation::Tanh).dense(2, Activation::Identity);
    let norm = Sequential::builder(21).dense(44, Activation::Relu).layer_norm();
    let tiled = Sequential::builder(70).dense(326, Activation::Tanh).dense(70, Activation::Relu);
    vec![
        case(
            "3-5-2, batches of 1,000 rows",
            model.build(9).unwrap(),
            values(1111, 3, 2, 9),
            TrainConfig::new(MeanSquaredError, Adam::new(0.01)).batch_size(1000).shards(3),
        ),
        case(
            "70-326-70-9, long shards",
            tiled.dense(9, Activation::Softmax).build(10).unwrap(),
            classes(330, 70, 9, 10),
            TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(250).shards(5),
        ),
        case(
            "21-44-5 with a norm, as many shards as it takes by itself",
            norm.dense(5, Activation::Softmax).build(11).unwrap(),
            classes(340, 21, 5, 11),
            TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(203),
        ),
    ]
}

fn all() -> Vec<Case> {
    plain().into_iter().chain(special()).chain(many_rows()).collect()
}

fn outcome(model: &Sequential, history: &History, data: &Dataset) -> Outcome {
    let row = |report: &unisono::EpochReport| {
        [Some(report.loss), report.accuracy, report.val_loss, report.val_accuracy, Some(report.lr)]
            .map(|figure| figure.map(f64::to_bits))
    };
    let score = model.evaluate(data).unwrap();
    let x = matrix(401, data.features(), 99);
    Outcome {
        fingerprint: model.fingerprint(),
        history: history.epochs.iter().map(row).collect(),
        predictions: bits(&model.predict(x.view()).unwrap()),
        score: (score.loss.to_bits(), score.accuracy.map(f64::to_bits)),
    }
}

fn train(case: &Case, threads: usize) -> (Outcome, History) {
    let mut model = case.model.clone();
    let config = case.config.clone().exact_threads(threads);
    let history = train_parallel(&mut model, &case.data, &config).unwrap();
    assert_ne!(model.fingerprint(), case.model.fingerprint(), "{}: nothing learned", case.name);
    (outcome(&model, &history, &case.data), history)
}

fn assert_any_number_of_threads(cases: Vec<Case>) {
    for case in cases {
        let (expected, first) = train(&case, 1);
        for threads in [2, 3, 4, 7, 16] {
            let (found, history) = train(&case, threads);
            assert_eq!(history.threads, threads);
            assert!(history.same_bits(&first), "{}, {threads} threads: the history", case.name);
            assert!(found == expected, "{}, {threads} threads: {found:?}", case.name);
        }
    }
}

#[test]
fn any_number_of_threads_plain() {
    assert_any_number_of_threads(plain());
}

#[test]
fn any_number_of_threads_special() {
    assert_any_number_of_threads(special());
}

#[test]
fn any_number_of_threads_many_rows() {
    assert_any_number_of_threads(many_rows());
}

/// What the comparisons above would miss if a fingerprint were blind.
#[test]
fn seeds_and_shards_change_the_bits() {
    let case = &special()[0];
    let (expected, first) = train(case, 2);
    for config in [case.config.clone().seed(12), case.config.clone().shards(1)] {
        let other =
            Case { name: case.name, model: case.model.clone(), data: case.data.clone(), config };
        let (found, history) = train(&other, 2);
        assert_ne!(found.fingerprint, expected.fingerprint);
        assert_ne!(found.predictions, expected.predictions);
        assert!(!history.same_bits(&first));
    }
}

#[test]
fn steps_epochs_and_runs_are_the_same() {
    for case in all() {
        let (expected, whole) = train(&case, 3);
        for by_step in [true, false] {
            let mut model = case.model.clone();
            let config = case.config.clone().exact_threads(2);
            let mut trainer = Trainer::new(&mut model, &case.data, &config).unwrap();
            while trainer.stopped().is_none() {
                if by_step {
                    trainer.step().unwrap();
                } else {
                    trainer.epoch().unwrap();
                }
            }
            let history = trainer.history();
            assert!(history.same_bits(&whole), "{}", case.name);
            assert_eq!(outcome(&model, &history, &case.data), expected, "{}", case.name);
        }
    }
}

/// Set in the processes that [`any_instruction_set`] starts.
const CHILD: &str = "UNISONO_TEST_CHILD";

/// Prints the level and every case's bits, where it runs as a child process.
#[test]
fn print_bits() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    println!("\nlevel={}", SimdLevel::current());
    for case in all() {
        println!("\nbits={}: {}", case.name, train(&case, 2).0.line());
    }
}

fn start_child(level: SimdLevel) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["print_bits", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("UNISONO_SIMD", level.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The level that a child process ran on, and the bits that it got.
fn result(child: Child) -> (String, Vec<String>) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines = |key: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect()
    };
    (lines("level=").remove(0), lines("bits="))
}

/// The variable is read once a process, so each level gets a process of its own.
#[test]
fn any_instruction_set() {
    let (lacking, levels): (Vec<_>, Vec<_>) =
        SimdLevel::ALL.into_iter().partition(|level| !level.is_available());
    for level in lacking {
        eprintln!("skipped: this machine has no {level}");
    }
    let children: Vec<_> = levels.iter().map(|&level| start_child(level)).collect();
    let own: Vec<String> =
        all().iter().map(|case| format!("{}: {}", case.name, train(case, 1).0.line())).collect();
    for (level, child) in levels.iter().zip(children) {
        let (ran_on, found) = result(child);
        assert_eq!(ran_on, level.to_string());
        assert_eq!(found.len(), own.len(), "{level}");
        for (found, own) in found.iter().zip(&own) {
            assert_eq!(found, own, "{level} beside {}", SimdLevel::current());
        }
    }
}
