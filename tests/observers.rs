//! What whoever watches training may count on: runs without end, runs that go on, trainings side by side.

mod common;

use common::classes;
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, EarlyStopping, EpochLog, Progress, Sequential,
    StopReason, TrainConfig, train_parallel,
};

fn model() -> Sequential {
    Sequential::builder(6).dense(3, Activation::Softmax).build(1).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(10)
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
