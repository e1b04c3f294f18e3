//! What whoever watches training may count on: runs without end, runs that go on, trainings side by side.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::classes;
use parking_lot::Mutex;
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, Dataset, EarlyStopping, EpochLog, EpochReport,
    Flow, Observer, OnlineTrainer, Progress, Result, Sequential, StepReport, StopReason,
    TrainConfig, Trainer, train_parallel,
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

/// Raises a flag after so many steps, once.
struct Interrupts(usize, Arc<AtomicBool>);

impl Observer for Interrupts {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn step(&mut self, _: &StepReport) -> Result<Flow> {
        self.0 = self.0.wrapping_sub(1);
        self.1.store(self.0 == 0, Ordering::Relaxed);
        Ok(Flow::Continue)
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

/// The epochs whose lines a log holds.
fn logged(path: &Path) -> Vec<usize> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
}

/// A run of three epochs of ten steps that logs, is interrupted and goes on: as a program does that is started again,
/// or within one, with the observers that it has.
#[test]
fn a_run_that_goes_on_logs_each_epoch_once() {
    for (steps, same) in [(4, false), (4, true), (14, false), (14, true), (20, true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        // A run before leaves lines that are not this one's.
        let before = config().epochs(2).observer(EpochLog::csv(&path).unwrap());
        train_parallel(&mut model(), &classes(100, 6, 3, 1), &before).unwrap();
        let flag = Arc::new(AtomicBool::new(false));
        let config = |steps| {
            config()
                .epochs(3)
                .checkpoint(Checkpoint::new(folder.path().join("run")).resume(true))
                .interrupt(flag.clone())
                .observer(Interrupts(steps, flag.clone()))
                .observer(EpochLog::csv(&path).unwrap())
        };
        let train = |config: &TrainConfig| {
            flag.store(false, Ordering::Relaxed);
            train_parallel(&mut model(), &classes(100, 6, 3, 1), config).unwrap().stopped
        };
        let first = config(steps);
        assert_eq!(train(&first), StopReason::Interrupted);
        assert!(logged(&path).len() > 2, "what was interrupted has a line");
        let second = if same { first } else { config(usize::MAX) };
        assert_eq!(train(&second), StopReason::Epochs);
        assert_eq!(logged(&path), [1, 2, 1, 2, 3], "{steps} steps, the same observers: {same}");
    }
}

#[test]
fn new_runs_that_share_a_log_stand_behind_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let config = config().epochs(1).observer(EpochLog::csv(&path).unwrap());
    for _ in 0..3 {
        train_parallel(&mut model(), &classes(100, 6, 3, 1), &config).unwrap();
    }
    assert_eq!(logged(&path), [1, 1, 1]);
}

/// Evaluates every model that it sees, and keeps the best loss.
struct Best {
    test: Dataset,
    loss: f64,
}

impl Observer for Best {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn model(&mut self, _: usize, model: &Sequential) -> Result<()> {
        self.loss = self.loss.min(model.evaluate(&self.test)?.loss);
        Ok(())
    }
}

/// A worker that waited for others to evaluate with it would take up another training, and wait for the observer that
/// it holds itself.
#[test]
fn trainings_in_a_pool_share_an_observer_that_evaluates() {
    let best = Best { test: classes(2000, 64, 3, 2), loss: f64::INFINITY };
    let best = Arc::new(Mutex::new(best));
    let data = Arc::new(classes(40, 64, 3, 1));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let (sender, ended) = mpsc::channel();
    for seed in 0..10 {
        let (best, data, sender) = (best.clone(), data.clone(), sender.clone());
        pool.spawn(move || {
            let builder = Sequential::builder(64).dense(64, Activation::Relu);
            let mut model = builder.dense(3, Activation::Softmax).build(seed).unwrap();
            let config = config().epochs(2).threads(1).shared_observer(best);
            train_parallel(&mut model, &*data, &config).unwrap();
            sender.send(()).unwrap();
        });
        // Other work, after which a worker looks out for more while one evaluates.
        pool.spawn(|| std::thread::sleep(Duration::from_millis(5)));
    }
    for _ in 0..10 {
        ended.recv_timeout(Duration::from_secs(60)).expect("every training ends");
    }
    assert!(best.lock().loss.is_finite());
}

const CHILD: &str = "UNISONO_TEST_PROGRESS";

/// What the next test starts as a process of its own, whose standard error is no terminal.
#[test]
fn show_the_progress_of_sets() {
    if std::env::var_os(CHILD).is_some() {
        let mut model = model();
        let config = config().observer(Progress::new());
        let mut online = OnlineTrainer::new(&mut model, &config).unwrap();
        for seed in 1..=3 {
            online.partial_fit(&classes(20, 6, 3, seed)).unwrap();
        }
    }
}

#[test]
fn progress_ends_with_the_last_set() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["show_the_progress_of_sets", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("epoch 3  loss "), "{said}");
}

/// Panics at the news that a run goes on, or counts it.
struct Hears(Arc<AtomicUsize>, bool);

impl Observer for Hears {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn resume(&mut self, _: usize) {
        assert!(!self.1, "of the observer's own");
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_runs_that_go_on_are_told_so_and_a_panic_then_leaves_the_model_as_it_was() {
    let (folder, data) = (tempfile::tempdir().unwrap(), classes(40, 6, 3, 1));
    let goes_on = |epochs: usize, panics: bool| {
        let heard = Arc::new(AtomicUsize::new(0));
        let checkpoint = Checkpoint::new(folder.path()).resume(true);
        let config = config().epochs(epochs).checkpoint(checkpoint);
        (config.observer(Hears(heard.clone(), panics)), heard)
    };
    let mut model = model();
    let before = model.fingerprint();
    train_parallel(&mut model, &data, &goes_on(2, false).0).unwrap();
    for (epochs, expected) in [(2, 0), (3, 1)] {
        let (config, heard) = goes_on(epochs, false);
        Trainer::new(&mut self::model(), &data, &config).unwrap();
        assert_eq!(heard.load(Ordering::SeqCst), expected, "{epochs} epochs");
    }
    let mut untrained = self::model();
    assert!(Trainer::new(&mut untrained, &data, &goes_on(3, true).0).is_err());
    assert_eq!(untrained.fingerprint(), before);
}
