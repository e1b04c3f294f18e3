//! A small net on two or four threads is trained by a team, in runs of steps: whatever comes between the steps, the
//! bits are those of one thread, and nothing of the run is lost.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{classes, make_steps, values};
use parking_lot::Mutex;
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, DataStream, Dataset, EarlyStopping, EpochReport,
    Error, Flow, History, LiveModel, MeanSquaredError, Observer, OnlineTrainer, Result, Sequential,
    Sgd, StepReport, StopReason, TrainConfig, Trainer, train_parallel,
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

/// Sets of as many rows as a batch or more use the buffers of the set before, the smaller one brings its own.
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

/// The rows of a last batch that is hardly shorter lie in one block instead of two.
#[test]
fn a_short_batch_in_larger_blocks_finds_room() {
    let data = data();
    let sets = [520, 1020].map(|rows| {
        let rows: Vec<usize> = (0..rows).map(|row| row * 3 % ROWS).collect();
        data.select(&rows).unwrap()
    });
    assert_same(|config| {
        let mut model = model();
        let mut online = OnlineTrainer::new(&mut model, &config.batch_size(520)).unwrap();
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

/// The first run of 300 steps ends within the epoch.
#[test]
fn a_run_interrupted_with_nobody_watching_goes_on_from_its_checkpoint() {
    let data = classes(300 * 64, 7, 3, 1);
    let train = |config: TrainConfig| {
        let mut model = model();
        let history = train_parallel(&mut model, &data, &config).unwrap();
        (model.fingerprint(), history)
    };
    let config = |threads| config(threads).batch_size(64).epochs(2);
    let (whole, history) = train(config(1));
    for threads in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path());
        let interrupt = Arc::new(AtomicBool::new(true));
        let first = config(threads).checkpoint(checkpoint.clone()).interrupt(interrupt);
        let (_, cut) = train(first);
        assert_eq!(cut.stopped, StopReason::Interrupted);
        let name = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().file_name();
        assert!(name.to_string_lossy().starts_with("step-000000000256"), "{name:?}");
        let (resumed, resumed_history) = train(config(threads).checkpoint(checkpoint.resume(true)));
        assert_eq!(resumed, whole);
        assert!(resumed_history.same_bits(&history));
    }
}

/// Steps of a team and of a net too large for one, whose steps are made alone or shared out, by the clock; some are too
/// small for the pool one by one, and as an epoch are not.
#[test]
fn a_trainer_that_chooses_its_threads_finds_the_same_bits() {
    let set = values(64, 8, 4, 2);
    for (hidden, batch, rows) in [(64, 64, 900), (180, 25, 160)] {
        let data = values(rows, 8, 4, 1);
        let builder = Sequential::builder(8).dense(hidden, Activation::Tanh);
        let builder = builder.dense(hidden, Activation::Tanh);
        let untrained = builder.dense(4, Activation::Identity).build(1).unwrap();
        let run = |config: TrainConfig| {
            let mut model = untrained.clone();
            let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
            make_steps(&mut trainer, 3);
            (0..5).for_each(|_| _ = trainer.epoch().unwrap());
            make_steps(&mut trainer, 2);
            trainer.epoch().unwrap();
            let mut online = OnlineTrainer::new(&mut model, &config).unwrap();
            online.partial_fit(&set).unwrap();
            online.partial_fit(&data).unwrap();
            online.partial_fit(&set).unwrap();
            model.fingerprint()
        };
        let config = TrainConfig::new(MeanSquaredError, Adam::new(0.01)).batch_size(batch);
        let config = config.validation(values(70, 8, 4, 3));
        let (chosen, one) = (run(config.clone().threads(2)), run(config.threads(1)));
        assert_eq!(chosen, one, "{hidden} wide, {batch} rows");
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

/// Notes what it hears of, and acts on it.
struct Watcher<F> {
    only_watches: bool,
    steps: Arc<Mutex<Vec<StepReport>>>,
    act: F,
}

impl<F: FnMut(&StepReport) -> Result<Flow> + Send> Watcher<F> {
    /// One that only watches.
    fn new(act: F) -> Self {
        Self { only_watches: true, steps: Arc::default(), act }
    }
}

/// Goes on whatever it hears.
fn on(_: &StepReport) -> Result<Flow> {
    Ok(Flow::Continue)
}

impl<F: FnMut(&StepReport) -> Result<Flow> + Send> Observer for Watcher<F> {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.steps.lock().push(*report);
        (self.act)(report)
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
        let watcher = Watcher { only_watches, ..Watcher::new(on) };
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

/// A flag that is set at the second step is looked at after it, or after the run.
#[test]
fn steps_are_made_together_only_where_all_observers_only_watch() {
    let steps_made = |only_watches| {
        let flag = Arc::new(AtomicBool::new(false));
        let interrupts = {
            let flag = flag.clone();
            move |report: &StepReport| {
                flag.store(report.step >= 2, Ordering::Relaxed);
                Ok(Flow::Continue)
            }
        };
        let watcher = Watcher::new(on);
        let steps = watcher.steps.clone();
        let config = config(2).interrupt(flag).observer(watcher);
        train(&config.observer(Watcher { only_watches, ..Watcher::new(interrupts) }));
        steps.lock().len()
    };
    assert_eq!(steps_made(false), 2);
    assert_eq!(steps_made(true), 10, "all steps of the epoch are one run");
}

/// All ten steps of the epoch are one run.
#[test]
fn a_watchers_stop_ends_training_after_the_steps_made_with_it() {
    let act = |report: &StepReport| match report.step {
        4 => Ok(Flow::Stop),
        _ => Ok(Flow::Continue),
    };
    for threads in [1, 2] {
        let watcher = Watcher::new(act);
        let steps = watcher.steps.clone();
        let (_, history) = train(&config(threads).observer(watcher));
        assert_eq!(history.stopped, StopReason::Observer);
        assert_eq!((history.epochs.len(), steps.lock().len()), (1, 10));
    }
}

#[test]
fn when_a_watcher_fails_the_others_hear_of_all_steps_and_training_can_go_on() {
    let act = |report: &StepReport| match (report.epoch, report.step) {
        (1, 2) => Ok(Flow::Stop),
        (1, 4) => Err(Error::Observer("at step 4".into())),
        _ => Ok(Flow::Continue),
    };
    let (whole, history) = train(&config(1));
    for threads in [1, 2] {
        let (failing, hearing) = (Watcher::new(act), Watcher::new(on));
        let steps = hearing.steps.clone();
        let config = config(threads).observer(failing).observer(hearing);
        let (data, mut model) = (data(), model());
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        assert!(matches!(trainer.run(), Err(Error::Observer(_))));
        assert_eq!((steps.lock().len(), trainer.stopped()), (10, None));
        assert!(trainer.run().unwrap().same_bits(&history));
        assert_eq!(model.fingerprint(), whole);
    }
}

#[test]
fn a_loss_that_is_not_finite_within_a_run_is_told_after_the_good_steps() {
    let data = values(ROWS, 7, 3, 1);
    let builder = Sequential::builder(7).dense(30, Activation::Relu);
    let untrained = builder.dense(3, Activation::Identity).build(1).unwrap();
    let outcome = |threads, only_watches| {
        let watcher = Watcher { only_watches, ..Watcher::new(on) };
        let steps = watcher.steps.clone();
        let config = TrainConfig::new(MeanSquaredError, Sgd::new(1e4)).batch_size(BATCH);
        let config = config.exact_threads(threads).observer(watcher);
        let mut model = untrained.clone();
        let error = train_parallel(&mut model, &data, &config).unwrap_err();
        let Error::NonFinite { epoch: 1, step, .. } = error else { panic!("{error}") };
        assert_eq!(steps.lock().len(), step - 1);
        (step, model.fingerprint(), steps.lock().clone())
    };
    let each = outcome(1, false);
    assert!(each.0 > 1);
    for threads in [1, 2] {
        assert_eq!(outcome(threads, true), each);
    }
}

#[test]
fn runs_end_where_a_live_model_is_published() {
    for threads in [1, 2] {
        let seen: Arc<Mutex<(Option<LiveModel>, Vec<u64>)>> = Arc::default();
        let looks = {
            let seen = seen.clone();
            move |_: &StepReport| {
                let (live, seen) = &mut *seen.lock();
                seen.extend(live.iter().map(|live| live.snapshot().fingerprint()));
                Ok(Flow::Continue)
            }
        };
        let config = config(threads).observer(Watcher::new(looks));
        let (data, mut model) = (data(), model());
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        seen.lock().0 = Some(trainer.live(4));
        trainer.epoch().unwrap();
        // A run's steps are told of before what they led to is published.
        let seen = &seen.lock().1;
        let changes: Vec<_> = (1..10).filter(|&step| seen[step] != seen[step - 1]).collect();
        assert_eq!(changes, [4, 8], "{threads} threads");
    }
}
