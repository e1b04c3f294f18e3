//! What goes wrong in the middle of training: errors and panics in a user's code. Training ends with an error, and the
//! model keeps its last good parameters.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Scale, classes, make_steps, values};
use ndarray::{ArrayView2, ArrayViewMut2};
use unisono::{
    Activation, Adam, CrossEntropy, EpochReport, Error, Flow, Layer, MeanSquaredError, Observer,
    Result, Sequential, StepReport, StopReason, TrainConfig, Trainer, train_parallel,
};

/// Which of a layer's functions panics.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Forward,
    Backward,
    ParamGrads,
}

/// A [`Scale`] that panics in one of its functions, once `fuse` is burnt down to 0. From 2 on each call burns it.
#[derive(Debug)]
struct Bomb {
    place: Place,
    fuse: Arc<AtomicUsize>,
}

impl Bomb {
    fn tick(&self, place: Place) {
        let left = self.fuse.load(Ordering::SeqCst);
        assert!(place != self.place || left > 0, "the bomb in {place:?}");
        if place == self.place && left > 1 {
            self.fuse.store(if left == 2 { 0 } else { left - 1 }, Ordering::SeqCst);
        }
    }
}

impl Layer for Bomb {
    fn name(&self) -> String {
        "bomb".into()
    }

    fn outputs(&self, inputs: usize) -> Result<usize> {
        Scale.outputs(inputs)
    }

    fn tensors(&self, inputs: usize) -> Vec<(String, Vec<usize>)> {
        Scale.tensors(inputs)
    }

    fn init(&self, inputs: usize, params: &mut [f32], random: &mut unisono::rng::Stream) {
        Scale.init(inputs, params, random);
    }

    fn forward(&self, params: &[f32], x: ArrayView2<f32>, y: ArrayViewMut2<f32>) {
        self.tick(Place::Forward);
        Scale.forward(params, x, y);
    }

    fn backward(
        &self,
        params: &[f32],
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        dx: ArrayViewMut2<f32>,
    ) {
        self.tick(Place::Backward);
        Scale.backward(params, x, y, dy, dx);
    }

    fn param_grads(
        &self,
        params: &[f32],
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        dparams: &mut [f32],
    ) {
        self.tick(Place::ParamGrads);
        Scale.param_grads(params, x, y, dy, dparams);
    }
}

#[test]
fn a_panic_in_a_users_layer_leaves_the_last_parameters() {
    let data = values(130, 5, 2, 1);
    let places = [Place::Forward, Place::Backward, Place::ParamGrads];
    let ways = [(1, Duration::ZERO), (3, Duration::ZERO), (3, Duration::from_millis(1))];
    for (place, (threads, pause)) in
        places.into_iter().flat_map(|place| ways.map(|way| (place, way)))
    {
        let fuse = Arc::new(AtomicUsize::new(1));
        let bomb = Bomb { place, fuse: fuse.clone() };
        let builder = Sequential::builder(5).dense(9, Activation::Tanh).layer(bomb);
        let mut model = builder.dense(2, Activation::Identity).build(1).unwrap();
        let config = TrainConfig::new(MeanSquaredError, Adam::new(0.01));
        let config = config.batch_size(65).exact_threads(threads);
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        let untrained = trainer.model().fingerprint();
        trainer.step().unwrap();
        let before = trainer.model().fingerprint();
        assert_ne!(before, untrained);
        fuse.store(0, Ordering::SeqCst);
        // After a pause this thread makes part of a step.
        std::thread::sleep(pause);
        for error in [trainer.step().unwrap_err(), trainer.run().unwrap_err()] {
            let Error::Panic { message, .. } = error else { panic!("{error}") };
            assert_eq!(message, format!("the bomb in {place:?}"));
            assert_eq!(trainer.model().fingerprint(), before, "{place:?}, {threads} threads");
        }
        if place == Place::Forward {
            let error = trainer.model().predict(data.x()).unwrap_err();
            assert!(matches!(error, Error::Panic { .. }), "{error}");
            assert!(matches!(trainer.model().evaluate(&data), Err(Error::Panic { .. })));
        }
        // Mended, it goes on.
        fuse.store(1, Ordering::SeqCst);
        std::thread::sleep(pause);
        trainer.step().unwrap();
    }
}

#[test]
fn an_epoch_goes_on_behind_the_step_in_which_a_layer_panicked() {
    let data = values(130, 5, 2, 1);
    let epoch = |fuse: usize| {
        let fuse = Arc::new(AtomicUsize::new(fuse));
        let bomb = Bomb { place: Place::Forward, fuse: fuse.clone() };
        let builder = Sequential::builder(5).dense(9, Activation::Tanh).layer(bomb);
        let mut model = builder.dense(2, Activation::Identity).build(1).unwrap();
        let config = TrainConfig::new(MeanSquaredError, Adam::new(0.01)).batch_size(26);
        let mut trainer = Trainer::new(&mut model, &data, &config.exact_threads(1)).unwrap();
        let report = trainer.epoch().or_else(|error| {
            assert!(matches!(error, Error::Panic { .. }), "{error}");
            fuse.store(1, Ordering::SeqCst);
            trainer.epoch()
        });
        (report.unwrap().loss.to_bits(), trainer.model().fingerprint())
    };
    // After two of the five steps.
    assert_eq!(epoch(3), epoch(1));
}

/// Panics, or returns an error, at a step or an epoch.
#[derive(Debug, Clone, Copy)]
struct Troublemaker {
    step: Option<usize>,
    panics: bool,
}

impl Troublemaker {
    fn act(self) -> Result<Flow> {
        assert!(!self.panics, "an observer's panic");
        Err(Error::Observer("an observer's error".into()))
    }
}

impl Observer for Troublemaker {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        self.act()
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        if Some(report.step) == self.step { self.act() } else { Ok(Flow::Continue) }
    }

    fn wants_steps(&self) -> bool {
        self.step.is_some()
    }
}

#[test]
fn an_observers_panic_or_error_ends_training_after_its_step() {
    let data = classes(120, 4, 3, 1);
    let builder = Sequential::builder(4).dense(3, Activation::Softmax);
    let untrained = builder.build(1).unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(40);
    for (step, panics, threads) in [
        (Some(2), true, 1),
        (Some(2), false, 1),
        (None, true, 1),
        (None, false, 1),
        (Some(2), true, 2),
        (None, false, 2),
    ] {
        let mut expected = untrained.clone();
        let mut trainer = Trainer::new(&mut expected, &data, &config).unwrap();
        make_steps(&mut trainer, step.unwrap_or(3));
        let mut model = untrained.clone();
        let config = config.clone().exact_threads(threads).observer(Troublemaker { step, panics });
        let error = train_parallel(&mut model, &data, &config).unwrap_err();
        match error {
            Error::Panic { message, .. } if panics => assert_eq!(message, "an observer's panic"),
            Error::Observer(error) if !panics => {
                assert_eq!(error.to_string(), "an observer's error");
            }
            other => panic!("{other}"),
        }
        assert_eq!(model.fingerprint(), expected.fingerprint(), "{step:?}, panics: {panics}");
    }
}

#[test]
fn an_observers_panic_as_a_run_begins_is_an_error() {
    struct Asked;
    impl Observer for Asked {
        fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
            Ok(Flow::Continue)
        }

        fn wants_steps(&self) -> bool {
            panic!("asked for steps")
        }
    }
    let config = TrainConfig::new(CrossEntropy::default(), Adam::default()).observer(Asked);
    let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1).unwrap();
    let error = train_parallel(&mut model, &classes(30, 4, 3, 1), &config).unwrap_err();
    assert!(error.to_string().contains("panicked: asked for steps"), "{error}");
}

#[test]
fn an_epoch_goes_on_behind_the_last_step_at_which_an_observer_failed() {
    struct Once(usize);
    impl Observer for Once {
        fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
            Ok(Flow::Continue)
        }
        fn step(&mut self, report: &StepReport) -> Result<Flow> {
            let fails = report.step == 3 && self.0 == 0;
            self.0 += usize::from(report.step == 3);
            if fails { Err(Error::Observer("at the last step".into())) } else { Ok(Flow::Continue) }
        }
        fn wants_steps(&self) -> bool {
            true
        }
    }
    let data = classes(120, 4, 3, 1);
    let untrained = Sequential::builder(4).dense(3, Activation::Softmax).build(1).unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(40);
    let config = config.epochs(3);
    let mut expected = untrained.clone();
    let history = train_parallel(&mut expected, &data, &config).unwrap();
    for by_step in [false, true] {
        let mut model = untrained.clone();
        let failing = config.clone().observer(Once(0));
        let mut trainer = Trainer::new(&mut model, &data, &failing).unwrap();
        assert!(matches!(trainer.epoch(), Err(Error::Observer(_))));
        if by_step {
            assert_eq!(trainer.step().unwrap().epoch, 2);
        }
        assert!(trainer.run().unwrap().same_bits(&history));
        assert_eq!(model.fingerprint(), expected.fingerprint());
    }
}

/// A [`Bomb`] that goes off when the model is next used after a step.
struct Trigger {
    fuse: Arc<AtomicUsize>,
    step: usize,
    then: Flow,
}

impl Observer for Trigger {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        let now = (report.epoch, report.step) == (2, self.step);
        self.fuse.store(usize::from(!now), Ordering::SeqCst);
        Ok(if now { self.then } else { Flow::Continue })
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

/// A net that panics where it is used after this step of the second epoch, and how to train it.
fn bombed(step: usize, then: Flow) -> (Sequential, TrainConfig, Arc<AtomicUsize>) {
    let fuse = Arc::new(AtomicUsize::new(1));
    let bomb = Bomb { place: Place::Forward, fuse: fuse.clone() };
    let builder = Sequential::builder(5).dense(9, Activation::Tanh).layer(bomb);
    let model = builder.dense(2, Activation::Identity).build(1).unwrap();
    let config = TrainConfig::new(MeanSquaredError, Adam::new(0.01)).batch_size(26).epochs(4);
    let config = config.validation(values(40, 5, 2, 2)).exact_threads(1);
    (model, config.observer(Trigger { fuse: fuse.clone(), step, then }), fuse)
}

#[test]
fn an_epoch_whose_validation_failed_ends_later() {
    let data = values(130, 5, 2, 1);
    let train = |explodes: bool| {
        let step = if explodes { 5 } else { 6 };
        let (mut model, config, fuse) = bombed(step, Flow::Continue);
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        let history = trainer.run().or_else(|error| {
            assert!(explodes && matches!(error, Error::Panic { .. }), "{error}");
            assert_eq!(trainer.history().epochs.len(), 1);
            fuse.store(1, Ordering::SeqCst);
            trainer.run()
        });
        (history.unwrap(), model.fingerprint())
    };
    let ((disturbed, bits), (whole, whole_bits)) = (train(true), train(false));
    assert!(disturbed.same_bits(&whole));
    assert_eq!(bits, whole_bits);
}

#[test]
fn an_observers_word_counts_also_where_validation_fails() {
    let data = values(130, 5, 2, 1);
    for step in [3, 5] {
        let (mut model, config, fuse) = bombed(step, Flow::Stop);
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        assert!(matches!(trainer.run(), Err(Error::Panic { .. })));
        let stopped = trainer.model().fingerprint();
        fuse.store(1, Ordering::SeqCst);
        let history = trainer.run().unwrap();
        assert_eq!((history.stopped, history.epochs.len()), (StopReason::Observer, 2), "{step}");
        assert_eq!(model.fingerprint(), stopped, "no step was made after the word at step {step}");
    }
}
