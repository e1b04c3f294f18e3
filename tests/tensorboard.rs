//! Event files by TensorBoard's own reader, where a Python has it: `UNISONO_PYTHON` names one, else
//! `python3`.
#![cfg(feature = "tensorboard")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use parking_lot::Mutex;
use std::sync::Arc;
use unisono::{
    Activation, Adam, Clip, CrossEntropy, EpochReport, Error, Flow, MeanSquaredError, Observer,
    Result, Sequential, Sgd, StepReport, TensorBoard, TrainConfig, Trainer, datasets,
    train_parallel,
};

type Series = BTreeMap<String, Vec<(u64, f64)>>;

#[derive(serde::Deserialize)]
struct Read {
    scalars: Series,
    histograms: Series,
    /// Of each tensor's last histogram the smallest and largest value, the sum, and how many its
    /// buckets hold.
    last: BTreeMap<String, [f64; 4]>,
}

fn read(folder: &Path) -> Option<Read> {
    let python = std::env::var("UNISONO_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import tensorboard"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    assert!(there || std::env::var("UNISONO_PYTHON").is_err(), "{python} has no tensorboard");
    if !there {
        eprintln!("skipped: {python} has no tensorboard");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tensorboard_reader.py");
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[derive(Default)]
struct Steps(Vec<StepReport>);

impl Observer for Steps {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.0.push(*report);
        Ok(Flow::Continue)
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

fn net() -> Sequential {
    let builder = Sequential::builder(4).dense(8, Activation::Relu).layer_norm();
    builder.dense(3, Activation::Softmax).build(1).unwrap()
}

#[test]
fn the_reader_finds_every_figure() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = datasets::iris().split(0.2, 1).unwrap();
    let steps = Arc::new(Mutex::new(Steps::default()));
    let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
        .epochs(3)
        .validation(test)
        .shared_observer(steps.clone())
        .observer(TensorBoard::new(folder.path()).unwrap().every_steps(2));
    let mut model = net();
    let history = train_parallel(&mut model, &train, &config).unwrap();
    let Some(read) = read(folder.path()) else { return };

    let by_epoch = |figure: &dyn Fn(&EpochReport) -> f64| -> Vec<(u64, f64)> {
        let point = |epoch: &EpochReport| (epoch.epoch as u64, f64::from(figure(epoch) as f32));
        history.epochs.iter().map(point).collect()
    };
    assert_eq!(read.scalars["loss/training"], by_epoch(&|epoch| epoch.loss));
    assert_eq!(read.scalars["loss/validation"], by_epoch(&|epoch| epoch.val_loss.unwrap()));
    assert_eq!(read.scalars["accuracy/training"], by_epoch(&|epoch| epoch.accuracy.unwrap()));
    assert_eq!(read.scalars["accuracy/validation"], by_epoch(&|epoch| epoch.val_accuracy.unwrap()));
    assert_eq!(read.scalars["learning_rate"], by_epoch(&|epoch| epoch.lr));
    let steps = &steps.lock().0;
    let by_step = |figure: &dyn Fn(&StepReport) -> f64| -> Vec<(u64, f64)> {
        let numbered = (1..).zip(steps).filter(|(step, _)| step % 2 == 0);
        numbered.map(|(step, report)| (step, f64::from(figure(report) as f32))).collect()
    };
    assert_eq!(read.scalars["step/loss"], by_step(&|step| step.loss));
    assert_eq!(read.scalars["step/learning_rate"], by_step(&|step| step.lr));
    let norms = by_step(&|step| step.gradient_norm.unwrap());
    assert!(norms.iter().all(|(_, norm)| *norm > 0.0));
    assert_eq!(read.scalars["step/gradient_norm"], norms);
    for name in net().weight_names() {
        let size = net().weight(&name).unwrap().len() as f64;
        let expected: Vec<_> = (1..=3).map(|epoch| (epoch, size)).collect();
        assert_eq!(read.histograms[&format!("weights/{name}")], expected);
        let values = model.weight(&name).unwrap().mapv(f64::from);
        let [least, most, sum, held] = read.last[&format!("weights/{name}")];
        assert_eq!(values.iter().copied().fold(f64::INFINITY, f64::min), least, "{name}");
        assert_eq!(values.iter().copied().fold(f64::NEG_INFINITY, f64::max), most, "{name}");
        assert!((values.sum() - sum).abs() < 1e-9 && held == size, "{name}: {sum}, {held}");
    }
}

/// The norm of the gradient, from a step of plain gradient descent at rate 1.
#[test]
fn the_norm_is_that_of_the_gradient_and_changes_no_bit() {
    let data = datasets::digits();
    let wide = || {
        let builder = Sequential::builder(64).dense(600, Activation::Tanh);
        builder.dense(10, Activation::Softmax).build(1).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Sgd::new(1.0));
    let watched = config.clone().observer(TensorBoard::new(folder.path()).unwrap());
    let clipped = config.clone().clip(Clip::Norm(1e9));
    let step = |config: &TrainConfig| {
        let mut model = wide();
        let report = Trainer::new(&mut model, &data, config).unwrap().step().unwrap();
        (report.gradient_norm, model)
    };
    let ((none, plain), (norm, model)) = (step(&config), step(&watched));
    assert_eq!((none, model.fingerprint()), (None, plain.fingerprint()));
    let before = wide();
    let mut squares = 0.0;
    for name in before.weight_names() {
        let change = before.weight(&name).unwrap() - model.weight(&name).unwrap();
        squares += change.iter().map(|&change| f64::from(change).powi(2)).sum::<f64>();
    }
    let norm = norm.unwrap();
    assert!((norm / squares.sqrt() - 1.0).abs() < 1e-4, "{norm} for {}", squares.sqrt());
    assert_eq!(step(&clipped).0, Some(norm));
}

/// The last steps before a loss ceased to be finite say why it did.
#[test]
fn a_run_that_fails_leaves_its_steps_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let board = TensorBoard::new(folder.path()).unwrap().every_steps(1);
    let config = TrainConfig::new(MeanSquaredError, Sgd::new(1e9)).observer(board);
    let data = datasets::synthetic_regression(1000, 3, 1, 1).unwrap();
    let mut model = Sequential::builder(3).dense(1, Activation::Identity).build(1).unwrap();
    let error = train_parallel(&mut model, &data, &config).unwrap_err();
    assert!(matches!(error, Error::NonFinite { epoch: 1, step: 2.., .. }), "{error}");
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let events = std::fs::read(file.path()).unwrap();
    assert!(events.windows(9).any(|tag| tag == b"step/loss"), "{} bytes", events.len());
}
