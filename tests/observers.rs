//! What whoever watches training may count on: runs without end, runs that go on, trainings side by side.

mod common;

use std::sync::Arc;

use common::classes;
use parking_lot::Mutex;
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, EarlyStopping, EpochLog, EpochReport, Flow,
    Observer, OnlineTrainer, Progress, Result, Sequential, StepReport, StopReason, TrainConfig,
    train_parallel,
};

fn model() -> Sequential {
    Sequential::builder(6).dense(3, Activation::Softmax).build(1).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(10)
}

/// Notes of how many epochs it was told, and how often of an end.
#[derive(Default)]
struct Notes {
    epochs: Vec<(usize, usize)>,
    of_steps: Vec<usize>,
    ends: usize,
}

impl Observer for Notes {
    fn epoch(&mut self, report: &EpochReport, epochs: usize) -> Result<Flow> {
        self.epochs.push((report.epoch, epochs));
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.of_steps.push(report.epochs);
        Ok(Flow::Continue)
    }

    fn end(&mut self) {
        self.ends += 1;
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

#[test]
fn data_that_arrive_are_a_run_without_end() {
    let notes = Arc::new(Mutex::new(Notes::default()));
    let config = config().epochs(3).shared_observer(notes.clone());
    let mut model = model();
    let mut online = OnlineTrainer::new(&mut model, &config).unwrap();
    for _ in 0..5 {
        online.partial_fit(&classes(30, 6, 3, 1)).unwrap();
    }
    let heard = std::mem::take(&mut *notes.lock());
    assert!(heard.epochs.into_iter().eq((1..=5).map(|set| (set, usize::MAX))));
    assert_eq!(heard.of_steps, [usize::MAX; 15]);
    assert_eq!(heard.ends, 0);
}

#[test]
fn epochs_without_end_are_run_until_something_stops_them() {
    let folder = tempfile::tempdir().unwrap();
    let config = config()
        .epochs(usize::MAX)
        .validation(classes(50, 6, 3, 2))
        .early_stopping(EarlyStopping::new(2).min_delta(0.01))
        .checkpoint(Checkpoint::new(folder.path().join("run")).resume(true))
        .observer(EpochLog::csv(folder.path().join("log.csv")).unwrap())
        .observer(Progress::new());
    let train = || {
        let mut model = model();
        let history = train_parallel(&mut model, &classes(100, 6, 3, 1), &config).unwrap();
        assert!(matches!(history.stopped, StopReason::EarlyStopping { .. }), "{history}");
        model
    };
    let trained = train();
    assert_eq!(train().fingerprint(), trained.fingerprint(), "there is nothing to go on with");
    let loaded = Sequential::from_bytes(&trained.to_bytes().unwrap()).unwrap();
    assert_eq!(loaded.fingerprint(), trained.fingerprint());
}
