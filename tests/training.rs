//! What a training run does besides lowering the loss: when it stops, what it reports, which rows
//! it takes, and what the model is at the end.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use common::{classes, make_steps, matrix, values, yes_or_no};
use ndarray::{Array2, s};
use unisono::{
    Activation, Adam, BinaryCrossEntropy, CrossEntropy, Dataset, EarlyStopping, EpochReport, Error,
    Flow, Init, MeanSquaredError, Observer, Result, Schedule, Sequential, Sgd, StepReport,
    StopReason, TrainConfig, Trainer, train_parallel,
};

/// One feature times one weight, from 0.
fn line() -> Sequential {
    let builder = Sequential::builder(1);
    builder.dense_init(1, Activation::Identity, Init::Zeros).build(0).unwrap()
}

/// y = slope x, on both sides of zero, so that the bias stays where it is.
fn on_line(slope: f32) -> Dataset {
    let x = Array2::from_shape_vec((8, 1), (0..8).map(|i| i as f32 / 3.5 - 1.0).collect()).unwrap();
    Dataset::regression(x.clone(), x * slope).unwrap()
}

fn slope_of(model: &Sequential) -> f32 {
    model.weight("0.weight").unwrap()[[0, 0]]
}

fn descent(lr: f64) -> TrainConfig {
    TrainConfig::new(MeanSquaredError, Sgd::new(lr)).batch_size(8)
}

#[test]
fn the_loss_threshold_stops_after_the_first_epoch_that_reaches_it() {
    let config = descent(0.1).epochs(500).loss_threshold(0.01);
    let history = train_parallel(&mut line(), &on_line(1.0), &config).unwrap();
    assert_eq!(history.stopped, StopReason::LossThreshold);
    let (last, before) = history.epochs.split_last().unwrap();
    assert!(last.loss <= 0.01 && before.len() > 3);
    assert!(before.iter().all(|report| report.loss > 0.01));
}

#[test]
fn the_history_tells_how_many_shards_a_full_batch_had() {
    let data = classes(300, 3, 2, 1);
    let shards = |batch: usize, configured: Option<usize>, threads: usize| {
        let builder = Sequential::builder(3).dense(2, Activation::Softmax);
        let config = TrainConfig::new(CrossEntropy::default(), Sgd::new(0.1)).batch_size(batch);
        let config = match configured {
            Some(shards) => config.shards(shards),
            None => config,
        };
        let config = config.epochs(1).exact_threads(threads);
        train_parallel(&mut builder.build(1).unwrap(), &data, &config).unwrap().shards
    };
    for threads in [1, 4] {
        let found = [(32, None), (130, None), (1000, None), (33, Some(16)), (130, Some(5))]
            .map(|(batch, configured)| shards(batch, configured, threads));
        assert_eq!(found, [1, 2, 4, 2, 5]);
    }
    // A layer of the user's that sums up gradients sees whole shards.
    for (whole, expected) in [(false, 2), (true, 4)] {
        let mut builder = Sequential::builder(3).dense(3000, Activation::Relu);
        if whole {
            builder = builder.layer(common::Scale);
        }
        let mut model = builder.dense(10, Activation::Softmax).build(1).unwrap();
        let config = TrainConfig::new(CrossEntropy::default(), Sgd::new(0.1)).batch_size(256);
        let history = train_parallel(&mut model, &classes(300, 3, 10, 1), &config.epochs(1));
        assert_eq!(history.unwrap().shards, expected);
    }
}

/// The training set draws the slope to 1; on its way it passes 0.3, the best for the validation set.
fn past_the_best(stopping: EarlyStopping, epochs: usize) -> (Sequential, unisono::History) {
    let mut model = line();
    let config = descent(0.05).epochs(epochs).validation(on_line(0.3)).early_stopping(stopping);
    let history = train_parallel(&mut model, &on_line(1.0), &config).unwrap();
    (model, history)
}

#[test]
fn early_stopping_restores_the_best_weights() {
    let (model, history) = past_the_best(EarlyStopping::new(4), 200);
    let best = history.best().unwrap();
    assert_eq!(history.stopped, StopReason::EarlyStopping { best_epoch: best.epoch });
    assert_eq!(history.epochs.len(), best.epoch + 4);
    assert!((slope_of(&model) - 0.3).abs() < 0.05, "{}", slope_of(&model));
    let score = model.evaluate(&on_line(0.3)).unwrap();
    assert_eq!(score.loss, best.val_loss.unwrap());
}

#[test]
fn early_stopping_can_leave_the_last_weights() {
    let (model, history) = past_the_best(EarlyStopping::new(4).restore_best(false), 200);
    let score = model.evaluate(&on_line(0.3)).unwrap();
    assert_eq!(score.loss, history.last().unwrap().val_loss.unwrap());
    assert!(score.loss > history.best().unwrap().val_loss.unwrap());
}

#[test]
fn the_best_weights_come_back_however_training_ends() {
    let (model, history) = past_the_best(EarlyStopping::new(100), 60);
    assert_eq!(history.stopped, StopReason::Epochs);
    assert_eq!(history.epochs.len(), 60);
    let score = model.evaluate(&on_line(0.3)).unwrap();
    assert_eq!(score.loss, history.best().unwrap().val_loss.unwrap());
    assert!(score.loss < history.last().unwrap().val_loss.unwrap() / 10.0);
}

/// The last step of an epoch after the best, which is the only one of each epoch here.
#[test]
fn the_best_weights_come_back_when_an_epochs_last_step_is_interrupted() {
    let flag = Arc::new(AtomicBool::new(false));
    let raise = flag.clone();
    let after_sixty = move |report: &EpochReport| {
        raise.store(report.epoch == 59, Ordering::Relaxed);
        Flow::Continue
    };
    let mut model = line();
    let config = descent(0.05).epochs(200).validation(on_line(0.3)).interrupt(flag);
    let config = config.early_stopping(EarlyStopping::new(100)).observer(after_sixty);
    let history = train_parallel(&mut model, &on_line(1.0), &config).unwrap();
    assert_eq!((history.stopped, history.epochs.len()), (StopReason::Interrupted, 60));
    let score = model.evaluate(&on_line(0.3)).unwrap();
    assert_eq!(score.loss, history.best().unwrap().val_loss.unwrap());
}

#[test]
fn an_improvement_below_min_delta_does_not_count() {
    let (_, history) = past_the_best(EarlyStopping::new(2).min_delta(10.0), 200);
    assert_eq!(history.epochs.len(), 3, "only the first epoch counts");
}

#[test]
fn a_closure_stops_after_an_epoch() {
    let until_third = |report: &EpochReport| match report.epoch {
        3 => Flow::Stop,
        _ => Flow::Continue,
    };
    let config = descent(0.1).epochs(50).observer(until_third);
    let history = train_parallel(&mut line(), &on_line(1.0), &config).unwrap();
    assert_eq!((history.stopped, history.epochs.len()), (StopReason::Observer, 3));
}

/// Notes every report, and stops at a step if told to.
#[derive(Default)]
struct Notes {
    steps: Vec<StepReport>,
    epochs: Vec<EpochReport>,
    stop_at: Option<(usize, usize)>,
}

impl Observer for Notes {
    fn epoch(&mut self, report: &EpochReport, _: usize) -> Result<Flow> {
        self.epochs.push(*report);
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.steps.push(*report);
        let stop = self.stop_at == Some((report.epoch, report.step));
        Ok(if stop { Flow::Stop } else { Flow::Continue })
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

#[test]
fn an_observer_stops_after_a_step() {
    let data = values(100, 3, 2, 1);
    let builder = Sequential::builder(3).dense(2, Activation::Identity);
    let mut model = builder.build(1).unwrap();
    let mut expected = model.clone();
    let config = TrainConfig::new(MeanSquaredError, Adam::new(0.01)).batch_size(10);
    let mut trainer = Trainer::new(&mut expected, &data, &config).unwrap();
    make_steps(&mut trainer, 14);
    let notes = Notes { stop_at: Some((2, 4)), ..Notes::default() };
    let history = train_parallel(&mut model, &data, &config.observer(notes)).unwrap();
    assert_eq!(history.stopped, StopReason::Observer);
    assert_eq!(history.epochs.len(), 2, "the cut epoch has its report");
    assert_eq!(model.fingerprint(), expected.fingerprint(), "14 steps and no more");
}

#[test]
fn observers_hear_of_every_step_and_epoch() {
    let notes = Arc::new(Mutex::new(Notes::default()));
    let config = TrainConfig::new(MeanSquaredError, Sgd::new(0.1)).epochs(3).batch_size(30);
    let config = config.observer(Shared(notes.clone()));
    let builder = Sequential::builder(3).dense(2, Activation::Identity);
    let history =
        train_parallel(&mut builder.build(1).unwrap(), &values(100, 3, 2, 1), &config).unwrap();
    let notes = notes.lock().unwrap();
    assert_eq!(notes.epochs, history.epochs);
    let steps: Vec<_> = notes.steps.iter().map(|s| (s.epoch, s.step, s.steps, s.rows)).collect();
    let expected: Vec<_> = (1..=3)
        .flat_map(|epoch| {
            (1..=4).map(move |step| (epoch, step, 4, if step == 4 { 10 } else { 30 }))
        })
        .collect();
    assert_eq!(steps, expected);
    for (report, steps) in history.epochs.iter().zip(notes.steps.chunks(4)) {
        let mean = steps.iter().map(|s| s.loss * s.rows as f64).sum::<f64>() / 100.0;
        assert!((report.loss - mean).abs() < 1e-12 * mean);
    }
}

/// Counts how often it hears that a run has ended.
struct Ends(Arc<AtomicUsize>);

impl Observer for Ends {
    fn epoch(&mut self, report: &EpochReport, _: usize) -> Result<Flow> {
        match report.epoch {
            3 => Err(Error::Observer("in the third epoch".into())),
            _ => Ok(Flow::Continue),
        }
    }

    fn end(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn observers_hear_when_a_run_ends_however_it_does() {
    let ends = Arc::new(AtomicUsize::new(0));
    let heard = || ends.swap(0, Ordering::Relaxed);
    let config = descent(0.1).observer(Ends(ends.clone()));
    train_parallel(&mut line(), &on_line(1.0), &config.clone().epochs(2)).unwrap();
    assert_eq!(heard(), 1, "its epochs are done");
    train_parallel(&mut line(), &on_line(1.0), &config.clone().loss_threshold(1e9)).unwrap();
    assert_eq!(heard(), 1, "the loss is below the threshold");
    train_parallel(&mut line(), &on_line(1.0), &config.clone().epochs(9)).unwrap_err();
    assert_eq!(heard(), 1, "it failed");
    let (mut model, data) = (line(), on_line(1.0));
    let config = config.epochs(1).batch_size(4);
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    for (told, place) in
        [(0, "in its only epoch"), (1, "after it"), (0, "in one beyond"), (1, "after that")]
    {
        trainer.step().unwrap();
        assert_eq!(heard(), told, "{place}");
    }
}

/// An observer that the test looks at afterwards.
struct Shared(Arc<Mutex<Notes>>);

impl Observer for Shared {
    fn epoch(&mut self, report: &EpochReport, epochs: usize) -> Result<Flow> {
        self.0.lock().unwrap().epoch(report, epochs)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.0.lock().unwrap().step(report)
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

/// Takes long over every step.
struct Slow(Duration);

impl Observer for Slow {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn step(&mut self, _: &StepReport) -> Result<Flow> {
        sleep(self.0);
        Ok(Flow::Continue)
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

#[test]
fn what_others_do_between_steps_does_not_count_as_training() {
    let pause = Duration::from_millis(100);
    let config = descent(0.1).batch_size(1).epochs(1);
    let slow = config.clone().observer(Slow(pause));
    let watched = train_parallel(&mut line(), &on_line(1.0), &slow).unwrap();
    assert!(watched.epochs[0].seconds < 4.0 * pause.as_secs_f64(), "8 pauses: {watched}");

    let (mut model, data) = (line(), on_line(1.0));
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    for _ in 0..8 {
        trainer.step().unwrap();
        sleep(pause);
    }
    let driven = trainer.history();
    assert!(driven.epochs[0].seconds < 4.0 * pause.as_secs_f64(), "7 pauses: {driven}");
    assert!(driven.epochs[0].seconds > 0.0);
}

#[test]
fn drop_last_leaves_the_short_batch_out() {
    let data = classes(100, 4, 3, 1);
    let mut other = data.x().to_owned();
    other.slice_mut(s![96.., ..]).fill(9.0);
    let labels = data.labels().unwrap().to_vec();
    let other = Dataset::classification_with(other, labels, 3).unwrap();
    let builder = Sequential::builder(4).dense(3, Activation::Softmax);
    let train = |data: &Dataset, drop: bool| {
        let mut model = builder.clone().build(1).unwrap();
        let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).epochs(2);
        let config = config.batch_size(32).shuffle(false).drop_last(drop);
        let mut trainer = Trainer::new(&mut model, data, &config).unwrap();
        let steps = trainer.steps_per_epoch();
        trainer.run().unwrap();
        (steps, model.fingerprint())
    };
    assert_eq!(train(&data, true).0, 3);
    assert_eq!(train(&data, false).0, 4);
    assert_eq!(train(&data, true), train(&other, true));
    assert_ne!(train(&data, false), train(&other, false));
}

fn rates(schedule: Schedule, epochs: usize) -> Vec<f64> {
    let config = descent(0.5).epochs(epochs).schedule(schedule);
    let history = train_parallel(&mut line(), &on_line(0.0), &config).unwrap();
    history.epochs.iter().map(|report| report.lr).collect()
}

#[test]
fn schedules_change_the_rate_in_the_history() {
    assert_eq!(rates(Schedule::Constant, 3), [0.5; 3]);
    assert_eq!(rates(Schedule::Exponential { gamma: 0.5 }, 4), [0.5, 0.25, 0.125, 0.0625]);
    let step = Schedule::Step { every: 2, gamma: 0.5 };
    assert_eq!(rates(step, 5), [0.5, 0.5, 0.25, 0.25, 0.125]);
    let cosine = Schedule::CosineWarmup { warmup_steps: 2, total_steps: 6, min_lr: 0.1 };
    let found = rates(cosine, 8);
    let expected = [0.25, 0.5, 0.5, 0.441, 0.3, 0.159, 0.1, 0.1];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
}

/// A loss that stays at zero never improves.
#[test]
fn a_plateau_lowers_the_rate() {
    let plateau =
        Schedule::ReduceOnPlateau { factor: 0.5, patience: 1, min_lr: 0.2, threshold: 1e-4 };
    assert_eq!(rates(plateau, 7), [0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2]);
}

#[test]
fn the_scheduled_rate_is_the_one_that_is_taken() {
    let mut model = line();
    let config = descent(0.5).epochs(1).schedule(Schedule::CosineWarmup {
        warmup_steps: 4,
        total_steps: 5,
        min_lr: 0.0,
    });
    let mut constant = line();
    train_parallel(&mut model, &on_line(1.0), &config).unwrap();
    train_parallel(&mut constant, &on_line(1.0), &descent(0.125).epochs(1)).unwrap();
    assert_eq!(slope_of(&model), slope_of(&constant));
}

/// Two overlapping classes, one of them rare.
#[test]
fn class_weights_shift_the_recall() {
    let x = matrix(300, 1, 4);
    let noise = matrix(300, 1, 5);
    let labels: Vec<usize> =
        (0..300).map(|row| usize::from(x[(row, 0)] + noise[(row, 0)] > 0.8)).collect();
    let data = Dataset::classification(x, labels.clone()).unwrap();
    let recall = |loss: CrossEntropy| {
        let builder = Sequential::builder(1).dense(2, Activation::Softmax);
        let mut model = builder.build(1).unwrap();
        let config = TrainConfig::new(loss, Adam::new(0.05)).epochs(40);
        train_parallel(&mut model, &data, &config).unwrap();
        let found = model.predict_classes(data.x()).unwrap();
        let hits = found.iter().zip(&labels).filter(|it| it == &(&1, &1)).count();
        hits as f64 / labels.iter().filter(|&&label| label == 1).count() as f64
    };
    let plain = recall(CrossEntropy::default());
    let weighted = recall(CrossEntropy::default().class_weights(vec![1.0, 8.0]));
    assert!(weighted > 0.85 && plain < 0.5, "{plain} {weighted}");
}

/// With rate 0 a step's loss is that of its rows.
fn losses_of_two_epochs(shuffle: bool) -> (Sequential, Dataset, Vec<f64>) {
    let data = values(70, 3, 2, 6);
    let mut model = Sequential::builder(3).dense(2, Activation::Tanh).build(1).unwrap();
    let config = TrainConfig::new(MeanSquaredError, Sgd::new(0.0)).batch_size(20);
    let config = config.shuffle(shuffle);
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    let losses = (0..8).map(|_| trainer.step().unwrap().loss).collect();
    (model, data, losses)
}

#[test]
fn without_shuffling_rows_come_in_their_order() {
    let (model, data, losses) = losses_of_two_epochs(false);
    for (step, loss) in losses.iter().enumerate() {
        let first = step % 4 * 20;
        let rows: Vec<usize> = (first..(first + 20).min(70)).collect();
        let expected = model.evaluate(&data.select(&rows).unwrap()).unwrap().loss;
        assert!((loss - expected).abs() < 1e-12, "step {step}: {loss} {expected}");
    }
}

#[test]
fn shuffling_takes_every_row_once_an_epoch_and_epochs_differ() {
    let (model, data, losses) = losses_of_two_epochs(true);
    let (first, second) = losses.split_at(4);
    assert_ne!(first, second);
    for epoch in [first, second] {
        let mean =
            epoch.iter().zip([20.0, 20.0, 20.0, 10.0]).map(|(l, n)| l * n).sum::<f64>() / 70.0;
        let expected = model.evaluate(&data).unwrap().loss;
        assert!((mean - expected).abs() < 1e-12, "{mean} {expected}");
    }
}

#[test]
fn there_is_one_report_an_epoch_and_accuracy_for_classes_only() {
    let config = |config: TrainConfig| config.epochs(4).batch_size(16);
    let dense = |outputs| {
        let builder = Sequential::builder(5).dense(outputs, Activation::Identity);
        builder.build(1).unwrap()
    };
    let adam = || Adam::new(0.01);
    let data = classes(50, 5, 3, 1);
    let classes = config(TrainConfig::new(CrossEntropy::default(), adam()));
    let validated = classes.clone().validation(data.clone());
    let history = train_parallel(&mut dense(3), &data, &validated).unwrap();
    let epochs: Vec<usize> = history.epochs.iter().map(|report| report.epoch).collect();
    assert_eq!(epochs, [1, 2, 3, 4]);
    assert!(history.epochs.iter().all(|r| r.accuracy.is_some() && r.val_accuracy.is_some()));
    assert!(history.epochs.iter().all(|r| r.val_loss.is_some() && r.rows_per_s > 0.0));
    let history = train_parallel(&mut dense(3), &data, &classes).unwrap();
    assert!(history.epochs.iter().all(|r| r.val_loss.is_none() && r.val_accuracy.is_none()));
    let binary = config(TrainConfig::new(BinaryCrossEntropy::default(), adam()));
    let history = train_parallel(&mut dense(2), &yes_or_no(50, 5, 2, 1), &binary).unwrap();
    assert!(history.epochs.iter().all(|report| report.accuracy.is_some()));
    let regression = config(TrainConfig::new(MeanSquaredError, adam()));
    let history = train_parallel(&mut dense(2), &values(50, 5, 2, 1), &regression).unwrap();
    assert!(history.epochs.iter().all(|report| report.accuracy.is_none()));
}

#[test]
fn the_reported_accuracy_is_that_of_the_predictions() {
    let data = classes(120, 5, 3, 2);
    let builder = Sequential::builder(5).dense(9, Activation::Tanh);
    let mut model = builder.dense(3, Activation::Softmax).build(1).unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.02)).epochs(60);
    let history = train_parallel(&mut model, &data, &config.validation(data.clone())).unwrap();
    let found = model.predict_classes(data.x()).unwrap();
    let labels = data.labels().unwrap();
    let hits = found.iter().zip(labels).filter(|(found, label)| **found == **label as usize);
    let accuracy = hits.count() as f64 / 120.0;
    assert_eq!(history.last().unwrap().val_accuracy, Some(accuracy));
    assert_eq!(model.evaluate(&data).unwrap().accuracy, Some(accuracy));
    assert!(accuracy > 0.9, "{accuracy}");
}

/// The cross-entropies take a model's last softmax or sigmoid in: the training is the same without.
#[test]
fn a_last_softmax_or_sigmoid_changes_no_bit_of_the_training() {
    let train = |data: &Dataset, loss: unisono::Loss, outputs, last| {
        let builder = Sequential::builder(4).dense(7, Activation::Relu).dense(outputs, last);
        let mut model = builder.build(3).unwrap();
        let config = TrainConfig::new(loss, Adam::new(0.01)).epochs(3);
        let history = train_parallel(&mut model, data, &config).unwrap();
        (model.weight("2.weight").unwrap(), history.last().unwrap().loss)
    };
    let three = classes(60, 4, 3, 1);
    let two = classes(60, 4, 2, 1);
    for (data, loss, outputs, last) in [
        (&three, CrossEntropy::default().into(), 3, Activation::Softmax),
        (&two, unisono::Loss::from(BinaryCrossEntropy::default()), 1, Activation::Sigmoid),
    ] {
        let fused = train(data, loss.clone(), outputs, last);
        assert_eq!(fused, train(data, loss, outputs, Activation::Identity), "{last}");
    }
}
