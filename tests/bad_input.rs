//! Wrong input to models, training, prediction and evaluation: each is an error that names it.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, array};
use unisono::{
    Activation, Adam, BinaryCrossEntropy, Clip, CrossEntropy, Dataset, EarlyStopping, EpochReport,
    Error, Flow, Huber, Layer, Loss, MeanSquaredError, Observer, Result, Schedule, Sequential, Sgd,
    TrainConfig, Trainer, datasets, train_parallel,
};

fn model() -> Sequential {
    Sequential::builder(4)
        .dense(5, Activation::Relu)
        .dense(3, Activation::Softmax)
        .build(1)
        .unwrap()
}

fn data() -> Dataset {
    datasets::iris()
}

fn config() -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::default())
}

#[track_caller]
fn assert_error<T>(result: Result<T>, expected: &str) {
    match result {
        Ok(_) => panic!("expected an error with {expected:?}"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(expected), "expected {expected:?} in {text:?}");
        }
    }
}

#[test]
fn senseless_configurations_are_named() {
    let cases: Vec<(TrainConfig, &str)> = vec![
        (config().epochs(0), "`epochs` expected at least 1, found 0"),
        (config().batch_size(0), "`batch_size` expected at least 1, found 0"),
        (config().threads(0), "`threads` expected at least 1, found 0"),
        (config().exact_threads(0), "`threads`"),
        (config().threads(1 << 20), "`threads` expected at most 4096"),
        (config().shards(0), "`shards` expected at least 1, found 0"),
        (config().loss_threshold(f64::NAN), "`loss_threshold`"),
        (config().early_stopping(EarlyStopping::new(3)), "needs a validation set"),
        (config().clip(Clip::Norm(0.0)), "`clip` expected a finite limit above 0"),
        (config().clip(Clip::Value(f32::NAN)), "`clip`"),
        (config().schedule(Schedule::Step { every: 0, gamma: 0.1 }), "`every`"),
        (config().schedule(Schedule::Exponential { gamma: -1.0 }), "`gamma`"),
        (config().batch_size(200).drop_last(true), "the 150 rows of the data"),
        (TrainConfig::new(CrossEntropy::default(), Adam::new(-1.0)), "`lr`"),
        (TrainConfig::new(CrossEntropy::default(), Adam::new(f64::NAN)), "`lr`"),
        (TrainConfig::new(CrossEntropy::default(), Adam::default().beta1(1.0)), "`beta1`"),
        (TrainConfig::new(CrossEntropy::default(), Adam::default().eps(0.0)), "`eps`"),
        (TrainConfig::new(CrossEntropy::default(), Sgd::new(0.1).nesterov(true)), "nesterov"),
        (
            TrainConfig::new(CrossEntropy::default().label_smoothing(2.0), Adam::default()),
            "label_sm",
        ),
        (
            TrainConfig::new(CrossEntropy::default().class_weights([1.0]), Adam::default()),
            "expected 3, found 1",
        ),
        (TrainConfig::new(MeanSquaredError, Adam::default()), "needs values as targets"),
        (TrainConfig::new(Huber { delta: -1.0 }, Adam::default()), "`delta`"),
        (TrainConfig::new(BinaryCrossEntropy::default(), Adam::default()), "binary-cross-entropy"),
    ];
    for (config, expected) in cases {
        let mut model = model();
        let before = model.fingerprint();
        assert_error(train_parallel(&mut model, &data(), &config), expected);
        assert_eq!(model.fingerprint(), before, "{expected}: the model changed");
    }
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let dense = |n| Sequential::builder(4).dense(n, Activation::Relu);
    assert_error(dense(0).build(1), "layer 0 (dense 0): output features");
    assert_error(Sequential::builder(0).dense(3, Activation::Relu).build(1), "`inputs`");
    assert_error(Sequential::builder(4).build(1), "`layers` expected at least one");
    assert_error(dense(3).dropout(1.0).build(1), "layer 2 (dropout 1)");
    assert_error(dense(3).dropout(f32::NAN).build(1), "layer 2 (dropout NaN)");
    let leaky = Activation::LeakyRelu { slope: f32::INFINITY };
    assert_error(Sequential::builder(4).dense(3, leaky).build(1), "layer 1");
    let huge = usize::MAX / 8;
    assert_error(Sequential::builder(huge).dense(huge, Activation::Relu).build(1), "layer 0");
}

#[test]
fn data_that_do_not_fit_the_model_are_named() {
    let mut model = model();
    let wide = datasets::synthetic_classification(20, 7, 3, 1).unwrap();
    let features = "features of the data (the model's inputs): expected 4, found 7";
    assert_error(train_parallel(&mut model, &wide, &config()), features);
    assert_error(model.evaluate(&wide), features);
    assert_error(model.predict(wide.x()), features);
    let with_wide = config().validation(wide);
    assert_error(train_parallel(&mut model, &data(), &with_wide), features);
    let classes = datasets::synthetic_classification(20, 4, 9, 1).unwrap();
    assert_error(train_parallel(&mut model, &classes, &config()), "9 or more");
    let values = datasets::synthetic_regression(20, 4, 2, 1).unwrap();
    let mse = TrainConfig::new(MeanSquaredError, Adam::default());
    assert_error(train_parallel(&mut model, &values, &mse), "expected 3, the model's outputs");
    assert_error(train_parallel(&mut model, &values, &config()), "columns of the targets");
    let beyond =
        Dataset::regression(Array2::zeros((2, 4)), array![[0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]);
    assert_error(train_parallel(&mut model, &beyond.unwrap(), &config()), "a probability in 0..=1");
    let nan = array![[0.0, 0.0, f32::NAN, 0.0]];
    assert_error(model.predict(nan.view()), "row 0, column 2: expected a finite value, found NaN");
    assert_error("hinge".parse::<Loss>(), "mse, mae, huber");
    assert_error("swish".parse::<Activation>(), "relu");
}

/// Panics where it is told to.
#[derive(Debug)]
struct Bomb(&'static str);

impl Bomb {
    fn at(&self, place: &str) {
        assert!(self.0 != place, "boom in {place}");
    }
}

impl Layer for Bomb {
    fn name(&self) -> String {
        "bomb".into()
    }
    fn outputs(&self, inputs: usize) -> Result<usize> {
        Ok(inputs)
    }
    fn tensors(&self, _: usize) -> Vec<(String, Vec<usize>)> {
        vec![("weight".into(), vec![1])]
    }
    fn forward(&self, _: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        self.at("forward");
        y.assign(&x);
    }
    fn backward(
        &self,
        _: &[f32],
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        mut dx: ArrayViewMut2<f32>,
    ) {
        self.at("backward");
        dx.assign(&dy);
    }
    fn param_grads(
        &self,
        _: &[f32],
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        _: &mut [f32],
    ) {
        self.at("param_grads");
    }
}

#[test]
fn a_panic_in_a_layer_is_an_error_and_the_parameters_stay() {
    for place in ["forward", "backward", "param_grads"] {
        for threads in [1, 2] {
            let builder = Sequential::builder(4).dense(6, Activation::Tanh).layer(Bomb(place));
            let mut model = builder.dense(3, Activation::Softmax).build(1).unwrap();
            let before = model.fingerprint();
            let config = config().batch_size(64).exact_threads(threads);
            let result = train_parallel(&mut model, &data(), &config);
            assert!(matches!(&result, Err(Error::Panic { .. })), "{result:?}");
            assert_error(result, &format!("boom in {place}"));
            assert_eq!(model.fingerprint(), before, "{place} on {threads} threads");
        }
    }
    let bomb = Sequential::builder(4).layer(Bomb("forward")).build(1).unwrap();
    assert_error(bomb.predict(data().x()), "boom in forward");
}

struct Faulty(bool);

impl Observer for Faulty {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        assert!(!self.0, "an observer's panic");
        Err(Error::Observer("disk full".into()))
    }
}

#[test]
fn an_observer_s_error_or_panic_ends_the_training() {
    for (panics, expected) in [(true, "an observer's panic"), (false, "observer: disk full")] {
        let mut model = model();
        let before = model.fingerprint();
        let config = config().observer(Faulty(panics));
        assert_error(train_parallel(&mut model, &data(), &config), expected);
        assert_ne!(model.fingerprint(), before, "the finished epoch stays");
    }
}

#[test]
fn a_loss_that_blows_up_stops_before_it_reaches_the_weights() {
    for hidden in [5, 400] {
        let builder = Sequential::builder(4).dense(hidden, Activation::Relu);
        let builder = builder.dense(hidden, Activation::Relu).dense(2, Activation::Identity);
        let mut model = builder.build(1).unwrap();
        let data = datasets::synthetic_regression(64, 4, 2, 1).unwrap();
        let config = TrainConfig::new(MeanSquaredError, Sgd::new(1e8)).epochs(50);
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        let (mut last, error) = (
            0,
            loop {
                match trainer.step() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            },
        );
        last += trainer.model().fingerprint();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
        assert!(error.to_string().contains("lower the learning rate"), "{error}");
        drop(trainer);
        assert_eq!(model.fingerprint(), last);
        for name in model.weight_names() {
            assert!(model.weight(&name).unwrap().iter().all(|v| v.is_finite()), "{name}");
        }
    }
}

/// The loss is finite and its gradient is not: inputs of 1e30 meet output gradients of 1e15.
#[test]
fn an_infinite_gradient_never_reaches_the_weights() {
    for outputs in [1, 12_000] {
        let mut model =
            Sequential::builder(3).dense(outputs, Activation::Identity).build(1).unwrap();
        model.set_weight("0.weight", Array2::zeros((outputs, 3)).into_dyn().view()).unwrap();
        let x = Array2::from_elem((2, 3), 1e30);
        let y = Array2::from_elem((2, outputs), 1e15);
        let data = Dataset::regression(x, y).unwrap();
        let before = model.fingerprint();
        let config = TrainConfig::new(MeanSquaredError, Sgd::new(1.0));
        assert_error(train_parallel(&mut model, &data, &config), "a gradient is not finite");
        assert_eq!(model.fingerprint(), before);
    }
}
