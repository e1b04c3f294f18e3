//! How a run ends: with its best parameters, a last checkpoint from which it goes on, and all observers told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, Dataset, EarlyStopping, EpochReport, Error, Flow,
    Observer, Result, Sequential, StepReport, StopReason, TrainConfig, Trainer, datasets,
    train_parallel,
};

fn data() -> Dataset {
    datasets::synthetic_classification(205, 7, 3, 5).unwrap()
}

fn model() -> Sequential {
    let builder = Sequential::builder(7).dense(19, Activation::Relu).dropout(0.3);
    builder.dense(3, Activation::Softmax).build(2).unwrap()
}

/// Epochs 20 and 40 of this run are not the best of it.
fn overfitting() -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::new(0.05))
        .seed(4)
        .validation(datasets::synthetic_classification(60, 7, 3, 6).unwrap())
        .early_stopping(EarlyStopping::new(100))
}

#[test]
fn a_run_whose_best_epoch_was_restored_goes_on_from_its_last_one() {
    let mut whole = model();
    let whole_history = train_parallel(&mut whole, &data(), &overfitting().epochs(40)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).resume(true);
    let run = |epochs| {
        let mut model = model();
        let config = overfitting().epochs(epochs).checkpoint(checkpoint.clone());
        let history = train_parallel(&mut model, &data(), &config).unwrap();
        (model.fingerprint(), history)
    };
    let (twenty, history) = run(20);
    assert!(history.best().unwrap().epoch < 20, "the test needs an epoch 20 that is not the best");
    assert_eq!(run(20).0, twenty, "a finished run keeps the best parameters");
    let (forty, history) = run(40);
    assert!(history.same_bits(&whole_history));
    assert_eq!(forty, whole.fingerprint());
}

#[test]
fn a_run_that_is_past_its_epochs_ends_with_the_best_ones() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).every_steps(1).resume(true);
    let (mut cut, data) = (model(), data());
    let config = overfitting().epochs(40).checkpoint(checkpoint);
    let mut trainer = Trainer::new(&mut cut, &data, &config).unwrap();
    let mut best = (f64::INFINITY, 0);
    for _ in 0..20 {
        let val_loss = trainer.epoch().unwrap().val_loss.unwrap();
        if val_loss < best.0 {
            best = (val_loss, trainer.model().fingerprint());
        }
    }
    trainer.step().unwrap();
    assert_ne!(best.1, trainer.model().fingerprint());
    drop(trainer);
    let mut resumed = model();
    train_parallel(&mut resumed, &data, &config.epochs(10)).unwrap();
    assert_eq!(resumed.fingerprint(), best.1);
}

#[test]
fn a_run_that_stopped_early_is_not_run_again_and_keeps_its_best_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).resume(true);
    let config = overfitting().early_stopping(EarlyStopping::new(3)).epochs(100);
    let run = || {
        let mut model = model();
        let config = config.clone().checkpoint(checkpoint.clone());
        let history = train_parallel(&mut model, &data(), &config).unwrap();
        (model.fingerprint(), history)
    };
    let (first, history) = run();
    assert!(matches!(history.stopped, StopReason::EarlyStopping { .. }));
    let (again, again_history) = run();
    assert_eq!(again, first);
    assert!(again_history.same_bits(&history));
}

#[test]
fn an_observers_word_at_the_step_of_an_interruption_ends_the_run() {
    struct Both(Arc<AtomicBool>);
    impl Observer for Both {
        fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
            Ok(Flow::Continue)
        }
        fn step(&mut self, report: &StepReport) -> Result<Flow> {
            let now = (report.epoch, report.step) == (20, 3);
            self.0.store(now, Ordering::Relaxed);
            Ok(if now { Flow::Stop } else { Flow::Continue })
        }
        fn wants_steps(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).resume(true);
    let config = overfitting().epochs(40).checkpoint(checkpoint);
    let flag = Arc::new(AtomicBool::new(false));
    let mut first = model();
    let stopped = config.clone().interrupt(flag.clone()).observer(Both(flag));
    let history = train_parallel(&mut first, &data(), &stopped).unwrap();
    assert_eq!((history.stopped, history.epochs.len()), (StopReason::Observer, 20));
    let mut resumed = model();
    let resumed_history = train_parallel(&mut resumed, &data(), &config).unwrap();
    assert!(resumed_history.same_bits(&history));
    assert_eq!(resumed.fingerprint(), first.fingerprint());
}

/// Returns an error at an epoch, or panics.
struct FailsAt(usize, bool);

impl Observer for FailsAt {
    fn epoch(&mut self, report: &EpochReport, _: usize) -> Result<Flow> {
        if report.epoch != self.0 {
            return Ok(Flow::Continue);
        }
        assert!(!self.1, "an observer's panic");
        Err(Error::Observer("an observer's error".into()))
    }
}

#[test]
fn a_run_ends_as_it_should_where_an_observer_fails_at_its_last_epoch() {
    let (data, untrained) = (data(), model());
    let config = overfitting().early_stopping(EarlyStopping::new(2)).epochs(100);
    let mut expected = untrained.clone();
    let history = train_parallel(&mut expected, &data, &config).unwrap();
    let StopReason::EarlyStopping { best_epoch } = history.stopped else { panic!("{history}") };
    for panics in [false, true] {
        let heard = Arc::new(AtomicUsize::new(0));
        let hear = {
            let heard = heard.clone();
            move |report: &EpochReport| {
                heard.store(report.epoch, Ordering::SeqCst);
                Flow::Continue
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let failing = config
            .clone()
            .checkpoint(Checkpoint::new(folder.path()).resume(true))
            .observer(FailsAt(best_epoch + 2, panics))
            .observer(hear);
        let mut model = untrained.clone();
        let mut trainer = Trainer::new(&mut model, &data, &failing).unwrap();
        let live = trainer.live(u64::MAX);
        trainer.run().unwrap_err();
        assert_eq!(heard.load(Ordering::SeqCst), best_epoch + 2, "the other observer");
        assert_eq!(trainer.model().fingerprint(), expected.fingerprint());
        assert_eq!(live.snapshot().fingerprint(), expected.fingerprint());
        let mut resumed = untrained.clone();
        assert!(train_parallel(&mut resumed, &data, &failing).unwrap().same_bits(&history));
        assert_eq!(resumed.fingerprint(), expected.fingerprint());
    }
}
