//! A small net on two or four threads is trained by a team, in runs of steps: whatever comes between the steps, the
//! bits are those of one thread, and nothing of the run is lost.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{classes, make_steps};
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, DataStream, Dataset, EarlyStopping, EpochReport,
    Flow, History, Observer, OnlineTrainer, Result, Sequential, StepReport, StopReason,
    TrainConfig, Trainer, train_parallel,
};

/// Steps on 256 rows, whose four shards two or four members share, and a short one.
const BATCH: usize = 256;
const ROWS: usize = 9 * BATCH + 100;

fn model() -> Sequential {
    let builder = Sequential::builder(7).dense(30, Activation::Tanh).dropout(0.1);
    builder.dense(3, Activation::Softmax).build(2).unwrap()
}

fn data() -> Dataset {
    classes(ROWS, 7, 3, 1)
}

fn config(threads: usize) -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::new(0.01))
        .batch_size(BATCH)
        .epochs(4)
        .seed(3)
        .exact_threads(threads)
}

fn train(config: &TrainConfig) -> (u64, History) {
    let mut model = model();
    let history = train_parallel(&mut model, &data(), config).unwrap();
    (model.fingerprint(), history)
}

/// What `run` leads to on one thread and by teams.
fn assert_same<T: PartialEq + std::fmt::Debug>(run: impl Fn(TrainConfig) -> T) {
    let alone = run(config(1));
    for threads in [2, 4] {
        assert_eq!(run(config(threads)), alone, "{threads} threads");
    }
}

#[test]
fn steps_by_hand_between_whole_epochs() {
    assert_same(|config| {
        let (data, mut model) = (data(), model());
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        let mut losses = vec![];
        for steps in [0, 3, 9, 0] {
            make_steps(&mut trainer, steps);
            losses.push(trainer.epoch().unwrap().loss.to_bits());
        }
        (losses, trainer.model().fingerprint())
    });
}

#[test]
fn the_best_epochs_weights_are_trained_on_from() {
    let validation = classes(200, 7, 3, 9);
    assert_same(|config| {
        let config = config.epochs(40).validation(validation.clone());
        let config = config.early_stopping(EarlyStopping::new(1).min_delta(0.02));
        let (data, mut model) = (data(), model());
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        let stopped = trainer.run().unwrap().stopped;
        assert!(matches!(stopped, StopReason::EarlyStopping { .. }), "{stopped}");
        let best = trainer.model().fingerprint();
        trainer.epoch().unwrap();
        (stopped, best, trainer.model().fingerprint())
    });
}

#[test]
fn a_stream_is_read_batch_by_batch() {
    let folder = tempfile::tempdir().unwrap();
    let data = data();
    let mut text = "a,b,c,d,e,f,g,y\n".to_owned();
    for (row, label) in data.x().rows().into_iter().zip(data.labels().unwrap()) {
        row.iter().for_each(|value| text += &format!("{value},"));
        text += &format!("{label}\n");
    }
    std::fs::write(folder.path().join("rows.csv"), text).unwrap();
    let options = unisono::CsvOptions::new("y").class_names(["0", "1", "2"]);
    let stream = DataStream::csv(folder.path(), &options).unwrap();
    assert_same(|config| {
        let mut model = model();
        let history = train_parallel(&mut model, &stream, &config).unwrap();
        (model.fingerprint(), history.epochs[3].loss.to_bits())
    });
}

/// Sets of one size use the buffers of the set before, another size brings its own.
#[test]
fn sets_of_any_size_are_learned_from_as_they_arrive() {
    let data = data();
    let sets = [700, 512, 600, 100, 256, 513].map(|rows| {
        let rows: Vec<usize> = (0..rows).map(|row| row * 3 % ROWS).collect();
        data.select(&rows).unwrap()
    });
    assert_same(|config| {
        let mut model = model();
        let mut online = OnlineTrainer::new(&mut model, &config).unwrap();
        let losses = sets.each_ref().map(|set| online.partial_fit(set).unwrap().loss.to_bits());
        (losses, online.model().fingerprint())
    });
}

#[test]
fn a_set_that_is_refused_costs_the_optimizer_nothing() {
    let (data, wrong) = (data(), classes(300, 6, 3, 1));
    let fingerprint = |refused: bool| {
        let mut model = model();
        let mut online = OnlineTrainer::new(&mut model, &config(2)).unwrap();
        online.partial_fit(&data).unwrap();
        if refused {
            online.partial_fit(&wrong).unwrap_err();
        }
        online.partial_fit(&data).unwrap();
        online.model().fingerprint()
    };
    assert_eq!(fingerprint(true), fingerprint(false));
}

#[test]
fn live_models_are_published_at_their_steps() {
    assert_same(|config| {
        let (data, mut model) = (data(), model());
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        let live = trainer.live(4);
        make_steps(&mut trainer, 7);
        let seen = live.snapshot().fingerprint();
        drop(live);
        trainer.epoch().unwrap();
        let live = trainer.live(1);
        trainer.epoch().unwrap();
        assert_eq!(live.snapshot().fingerprint(), trainer.model().fingerprint());
        (seen, trainer.model().fingerprint())
    });
}

#[test]
fn a_run_interrupted_with_nobody_watching_goes_on_from_its_checkpoint() {
    let (whole, history) = train(&config(1));
    for threads in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path());
        let interrupt = Arc::new(AtomicBool::new(true));
        let first = config(threads).checkpoint(checkpoint.clone()).interrupt(interrupt);
        let (_, cut) = train(&first);
        assert_eq!(cut.stopped, StopReason::Interrupted);
        assert_eq!(cut.epochs.len(), 1);
        let second = config(threads).checkpoint(checkpoint.resume(true));
        let (resumed, resumed_history) = train(&second);
        assert_eq!(resumed, whole);
        assert!(resumed_history.same_bits(&history));
    }
}

#[test]
fn checkpoints_every_few_steps_lie_where_they_do_alone() {
    assert_same(|config| {
        let folder = tempfile::tempdir().unwrap();
        train(&config.checkpoint(Checkpoint::new(folder.path()).every_steps(3).keep(100)));
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        files.sort();
        assert!(files.len() > 12, "{files:?}");
        files
    });
}

/// Notes what it hears of.
#[derive(Default)]
struct Watcher {
    only_watches: bool,
    steps: Arc<parking_lot::Mutex<Vec<StepReport>>>,
}

impl Observer for Watcher {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.steps.lock().push(*report);
        Ok(Flow::Continue)
    }

    fn wants_steps(&self) -> bool {
        true
    }

    fn only_watches(&self) -> bool {
        self.only_watches
    }
}

#[test]
fn who_only_watches_hears_of_the_same_steps() {
    let heard = |threads, only_watches| {
        let watcher = Watcher { only_watches, ..Watcher::default() };
        let steps = watcher.steps.clone();
        train(&config(threads).observer(watcher));
        steps.lock().clone()
    };
    let each = heard(1, false);
    assert_eq!(each.len(), 4 * 10);
    for threads in [1, 2] {
        assert_eq!(heard(threads, true), each, "{threads} threads");
    }
}

/// An observer that sets the flag by which a run is interrupted and only watches is heard at the run's end; one that
/// does not, at its step.
#[test]
fn steps_are_made_together_only_where_all_observers_only_watch() {
    struct Interrupts(Arc<AtomicBool>, bool);
    impl Observer for Interrupts {
        fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
            Ok(Flow::Continue)
        }
        fn step(&mut self, report: &StepReport) -> Result<Flow> {
            self.0.store(report.step >= 2, Ordering::Relaxed);
            Ok(Flow::Continue)
        }
        fn wants_steps(&self) -> bool {
            true
        }
        fn only_watches(&self) -> bool {
            self.1
        }
    }
    let steps_made = |only_watches| {
        let flag = Arc::new(AtomicBool::new(false));
        let watcher = Watcher { only_watches: true, ..Watcher::default() };
        let steps = watcher.steps.clone();
        let config = config(2).interrupt(flag.clone()).observer(watcher);
        train(&config.observer(Interrupts(flag, only_watches)));
        steps.lock().len()
    };
    assert_eq!(steps_made(false), 2);
    assert_eq!(steps_made(true), 10, "all steps of the epoch are one run");
}
