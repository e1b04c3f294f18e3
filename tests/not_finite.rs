//! Losses, gradients, rates and parameters that are no numbers. Training ends with an error, and the model keeps its
//! last good parameters, if it was not they that overflowed.

mod common;

use common::{make_steps, values, weights};
use ndarray::{Array2, array};
use unisono::{
    Activation, Adagrad, Adam, Checkpoint, Clip, Dataset, Error, Init, MeanAbsoluteError,
    MeanSquaredError, Optimizer, RmsProp, Schedule, Sequential, Sgd, TrainConfig, Trainer,
    train_parallel,
};

fn assert_finite(model: &Sequential) {
    for (name, values) in weights(model) {
        assert!(values.iter().all(|value| value.is_finite()), "{name} is not finite");
    }
}

/// Small nets see every gradient before the update, large ones (more than 32,768 parameters) a bound.
fn nets() -> [Sequential; 2] {
    [12, 600].map(|hidden| {
        let builder = Sequential::builder(60).dense(hidden, Activation::Relu);
        builder.dense(2, Activation::Identity).build(1).unwrap()
    })
}

#[test]
fn a_learning_rate_that_blows_up_is_found_at_its_step() {
    let data = values(64, 60, 2, 1);
    for (net, threads) in nets().into_iter().zip([1, 2]) {
        let config = TrainConfig::new(MeanSquaredError, Sgd::new(1e4)).epochs(20);
        let config = config.batch_size(16).exact_threads(threads);
        let mut model = net.clone();
        let error = train_parallel(&mut model, &data, &config).unwrap_err();
        let Error::NonFinite { epoch, step, .. } = error else { panic!("{error}") };
        assert!((1..=20).contains(&epoch) && (1..=4).contains(&step), "{error}");
        assert_finite(&model);
        let good = (epoch - 1) * 4 + step - 1;
        assert!(good > 0, "the first loss is fine");
        let mut expected = net;
        let mut trainer = Trainer::new(&mut expected, &data, &config).unwrap();
        make_steps(&mut trainer, good);
        assert!(matches!(trainer.step(), Err(Error::NonFinite { .. })));
        assert_eq!(model.fingerprint(), expected.fingerprint());
    }
}

/// The square of 1e20 is beyond an f32, its slope is not.
#[test]
fn an_infinite_loss_with_finite_gradients_does_not_reach_the_weights() {
    for (net, threads) in nets().into_iter().zip([1, 2]) {
        let data = values(32, 60, 2, 1);
        let far = data.values().unwrap().mapv(|_| 1e20);
        let data = Dataset::regression(data.x().to_owned(), far).unwrap();
        let config = TrainConfig::new(MeanSquaredError, Sgd::new(1e-9)).exact_threads(threads);
        let mut model = net.clone();
        let error = train_parallel(&mut model, &data, &config).unwrap_err();
        let expected = Error::NonFinite { what: "the loss", epoch: 1, step: 1 };
        assert_eq!(error.to_string(), expected.to_string());
        assert_eq!(model.fingerprint(), net.fingerprint());
    }
}

/// With the mean absolute error a gradient by a weight is the input it sees: two inputs near the
/// largest number add up to infinity, while they cancel out in the output and so in the loss.
#[test]
fn an_infinite_gradient_with_a_finite_loss_does_not_reach_the_weights() {
    for hidden in [3, 20_000] {
        let x = array![[2e38, 1.0], [2e38, -1.0], [2e38, 1.0], [2e38, 2.0]];
        let data = Dataset::regression(x, Array2::from_elem((4, 1), -1.0)).unwrap();
        let builder = Sequential::builder(2).dense_init(hidden, Activation::Identity, Init::Zeros);
        let mut model = builder.dense(1, Activation::Identity).build(1).unwrap();
        let steep = ndarray::ArrayD::from_elem(vec![1, hidden], 30.0);
        model.set_weight("1.weight", steep.view()).unwrap();
        assert_eq!(model.param_count() > 1 << 15, hidden > 3);
        let before = model.fingerprint();
        for (clip, threads) in
            [(Clip::None, 1), (Clip::None, 2), (Clip::Norm(1.0), 1), (Clip::Value(1.0), 2)]
        {
            let config = TrainConfig::new(MeanAbsoluteError, Sgd::new(1e-3)).batch_size(4);
            let config = config.clip(clip).exact_threads(threads);
            let loss = model.evaluate_with(&data, &MeanAbsoluteError.into()).unwrap().loss;
            assert!(loss.is_finite());
            let error = train_parallel(&mut model, &data, &config).unwrap_err();
            let expected = Error::NonFinite { what: "a gradient", epoch: 1, step: 1 };
            assert_eq!(error.to_string(), expected.to_string());
            assert_eq!(model.fingerprint(), before, "{hidden}, {clip:?}");
        }
    }
}

#[test]
fn a_rate_beyond_an_f32_does_not_reach_the_weights() {
    let data = values(64, 60, 2, 1);
    let ways = nets().into_iter().flat_map(|net| [(net.clone(), 1), (net, 2)]);
    for (net, threads) in ways {
        let config = TrainConfig::new(MeanSquaredError, Sgd::new(1e-3)).batch_size(64).epochs(3);
        let config = config.exact_threads(threads);
        let mut expected = net.clone();
        train_parallel(&mut expected, &data, &config.clone().epochs(1)).unwrap();
        let mut model = net;
        let config = config.schedule(Schedule::Exponential { gamma: 1e42 });
        let error = train_parallel(&mut model, &data, &config).unwrap_err();
        assert!(
            error.to_string().contains("learning rate as an f32 is not finite in epoch 2, step 1"),
            "{error}"
        );
        assert_eq!(model.fingerprint(), expected.fingerprint());
    }
}

/// The weight's step is a finite rate of 1e38 times a finite gradient of 4.
#[test]
fn a_weight_that_overflows_is_found_as_the_epoch_ends() {
    let data = Dataset::regression(array![[4.0]], array![[9.0]]).unwrap();
    let mut model = Sequential::builder(1).dense(1, Activation::Identity).build(1).unwrap();
    let config = TrainConfig::new(MeanAbsoluteError, Sgd::new(1e38)).epochs(1);
    let before = model.fingerprint();
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    let live = trainer.live(1);
    let expected = Error::NonFinite { what: "a parameter", epoch: 1, step: 1 };
    for _ in 0..2 {
        assert_eq!(trainer.run().unwrap_err().to_string(), expected.to_string());
        assert!(trainer.history().epochs.is_empty());
        assert_eq!(live.snapshot().fingerprint(), before, "readers keep what they had");
    }
}

fn two_rows() -> Dataset {
    Dataset::regression(array![[4.0], [4.0]], array![[9.0], [9.0]]).unwrap()
}

/// It overflows in the first of an epoch's two steps.
#[test]
fn a_weight_that_overflowed_is_not_published() {
    let data = two_rows();
    let mut model = Sequential::builder(1).dense(1, Activation::Identity).build(1).unwrap();
    let config = TrainConfig::new(MeanAbsoluteError, Sgd::new(1e38)).batch_size(1).epochs(1);
    let before = model.fingerprint();
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    let live = trainer.live(1);
    trainer.step().unwrap();
    assert!(trainer.model().fingerprint() != before);
    assert_eq!(live.snapshot().fingerprint(), before, "readers keep what they had");
    let later = trainer.live(1);
    assert_eq!(later.snapshot().fingerprint(), before, "also where another comes");
}

/// The loss is 1e38 and the gradient 2e21; their squares are beyond an f32.
#[test]
fn a_square_that_overflows_ends_training_and_is_not_in_a_checkpoint() {
    let data = Dataset::regression(array![[100.0]], array![[1e19]]).unwrap();
    let optimizers: [Optimizer; 3] =
        [Adam::default().into(), RmsProp::new(0.01).into(), Adagrad::new(0.01).into()];
    for optimizer in optimizers {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Sequential::builder(1).dense(1, Activation::Identity).build(1).unwrap();
        let config = TrainConfig::new(MeanSquaredError, optimizer)
            .checkpoint(Checkpoint::new(folder.path()).every_steps(1));
        let error = train_parallel(&mut model, &data, &config).unwrap_err();
        let expected = Error::NonFinite { what: "the optimizer's state", epoch: 1, step: 1 };
        assert_eq!(error.to_string(), expected.to_string());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_weight_that_overflowed_is_not_in_a_checkpoint() {
    let data = two_rows();
    let builder = Sequential::builder(1).dense(1, Activation::Identity);
    for (steps, step) in [(1, 1), (9, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let mut model = builder.clone().build(1).unwrap();
        let config = TrainConfig::new(MeanAbsoluteError, Sgd::new(1e38)).batch_size(1);
        let config = config.checkpoint(Checkpoint::new(folder.path()).every_steps(steps));
        let error = train_parallel(&mut model, &data, &config).unwrap_err();
        assert!(matches!(error, Error::NonFinite { epoch: 1, step: at, .. } if at == step));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
