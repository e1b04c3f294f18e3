//! Wrong models, configurations, weights and predictions: each comes back as an error that says
//! what is wrong, and the model stays as it was. (Wrong data: `bad_data.rs`.)

mod common;

use std::fmt::Debug;

use common::{classes, matrix, values, yes_or_no};
use ndarray::{Array, Array2, array};
use unisono::{
    Activation, Adagrad, Adam, AdamW, BinaryCrossEntropy, Clip, CrossEntropy, Dataset,
    EarlyStopping, Error, Huber, Loss, MeanSquaredError, Optimizer, Result, RmsProp, Schedule,
    Sequential, SequentialBuilder, Sgd, TrainConfig, Trainer, train_parallel,
};

fn assert_error<T: Debug>(result: Result<T>, fragments: &[&str]) {
    let message = result.expect_err(fragments[0]).to_string();
    for fragment in fragments {
        assert!(message.contains(fragment), "{fragment:?} is not in: {message}");
    }
}

fn model() -> Sequential {
    let builder = Sequential::builder(4).dense(6, Activation::Relu);
    builder.dense(3, Activation::Softmax).build(1).unwrap()
}

#[test]
fn models_that_cannot_be_built() {
    let start = || Sequential::builder(4);
    let identity = Activation::Identity;
    let table: [(SequentialBuilder, &[&str]); 16] = [
        (start(), &["`layers`", "at least one", "`dense`"]),
        (Sequential::builder(0).dense(1, identity), &["`inputs`", "at least 1"]),
        (start().dense(0, identity), &["layer 0 (dense 0)", "at least 1"]),
        (start().dense(5, Activation::Tanh).dense(0, identity), &["layer 2 (dense 0)"]),
        (start().dropout(1.0), &["layer 0 (dropout 1)", "below 1, found 1"]),
        (start().dropout(-0.1), &["at least 0", "-0.1"]),
        (start().dropout(f32::NAN), &["dropout", "NaN"]),
        (start().layer_norm_with(0.0), &["layer 0 (layer norm", "eps", "above 0", "found 0"]),
        (start().dropout(0.1).layer_norm_with(-1e-5), &["layer 1 (layer norm", "-0.00001"]),
        (start().layer_norm_with(f32::INFINITY), &["layer norm", "finite, found inf"]),
        (start().activation(Activation::LeakyRelu { slope: -1.0 }), &["leaky_relu", "slope", "-1"]),
        (start().activation(Activation::Elu { alpha: f32::NAN }), &["elu", "alpha", "NaN"]),
        (start().dense(usize::MAX, identity), &["layer 0", "memory"]),
        (start().dense(usize::MAX / 1000, identity), &["`layers`", "parameters", "memory"]),
        (start().dense(1 << 42, identity), &["`layers`", "parameters", "memory"]),
        (Sequential::builder(usize::MAX).layer_norm(), &["layer 0 (layer norm)", "memory"]),
    ];
    for (builder, fragments) in table {
        assert_error(builder.build(1), fragments);
    }
}

#[test]
fn losses_that_take_logits_are_not_given_what_a_sigmoid_made_of_them() {
    let (cross, binary): (Loss, Loss) =
        (CrossEntropy::default().into(), BinaryCrossEntropy::default().into());
    let (three, two) = (classes(30, 4, 3, 1), yes_or_no(30, 4, 3, 1));
    let end = |last, dropped: bool| {
        let builder = Sequential::builder(4).dense(3, last);
        if dropped { builder.dropout(0.2) } else { builder }.build(1).unwrap()
    };
    use Activation::{Identity, Sigmoid, Softmax, Tanh};
    for (loss, last, dropped, fine) in [
        (&cross, Softmax, false, true),
        (&cross, Identity, true, true),
        (&cross, Tanh, false, true),
        (&cross, Softmax, true, false),
        (&cross, Sigmoid, false, false),
        (&binary, Sigmoid, false, true),
        (&binary, Sigmoid, true, false),
        (&binary, Softmax, false, false),
    ] {
        let model = end(last, dropped);
        let data = if *loss == cross { &three } else { &two };
        let scored = model.evaluate_with(data, loss);
        if fine {
            scored.unwrap();
            continue;
        }
        let layer = format!("layer 1 ({last}): {loss} expects logits, or ");
        assert_error(scored, &[&layer, "as the last layer"]);
        let config = TrainConfig::new(loss.clone(), Adam::default());
        assert_error(train_parallel(&mut model.clone(), data, &config), &[&layer]);
    }
}

#[test]
fn a_batch_that_does_not_fit_into_memory_is_refused() {
    const ROWS: usize = 16_000_000;
    let x = Array2::zeros((ROWS, 1));
    let data = Dataset::classification(x, (0..ROWS).map(|row| (row % 2) as u32)).unwrap();
    // 256 TB of values, and as many of gradients: more than processors address, wherever more is promised than there is.
    let builder = Sequential::builder(1).dense(4_000_000, Activation::Relu);
    let mut model = builder.dense(2, Activation::Softmax).build(1).unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::default()).batch_size(ROWS);
    let trained = train_parallel(&mut model, &data, &config);
    assert_error(trained, &["`batch_size`", "fit into memory, found 16000000", "take fewer"]);
}

#[test]
fn one_output_is_a_class_by_what_it_has_been_through() {
    let one = |last, dropped: bool| {
        let builder = Sequential::builder(1).dense(1, last);
        let builder = if dropped { builder.dropout(0.2) } else { builder };
        let mut model = builder.build(1).unwrap();
        model.set_weight("0.weight", array![[1.0]].into_dyn().view()).unwrap();
        model.predict_classes(&array![[-1.0], [1.0]]).unwrap()
    };
    for dropped in [false, true] {
        assert_eq!(one(Activation::Sigmoid, dropped), [0, 1]);
        assert_eq!(one(Activation::Identity, dropped), [0, 1]);
        assert_eq!(one(Activation::Softmax, dropped), [0, 0], "the only class");
    }
}

#[test]
fn outputs_that_overflow_are_no_class() {
    for last in [Activation::Softmax, Activation::Identity] {
        let mut model = Sequential::builder(1).dense(2, last).build(1).unwrap();
        model.set_weight("0.weight", array![[10.0], [10.0]].into_dyn().view()).unwrap();
        let classes = model.predict_classes(&array![[1.0], [3e38]]);
        assert_error(classes, &["row 1: its outputs overflow an f32"]);
    }
}

#[test]
fn cross_entropy_wants_two_outputs() {
    let model = Sequential::builder(4).dense(1, Activation::Identity).build(1).unwrap();
    let loss = CrossEntropy::default().into();
    for data in [classes(9, 4, 1, 1), yes_or_no(9, 4, 1, 1)] {
        let scored = model.evaluate_with(&data, &loss);
        assert_error(scored, &["outputs of the model for cross-entropy", "2 or more", "found 1"]);
    }
}

#[test]
fn a_model_of_dropout_alone_is_no_panic() {
    let model = Sequential::builder(3).dropout(0.5).build(1).unwrap();
    model.evaluate(&classes(9, 3, 3, 1)).unwrap();
}

#[test]
fn a_wrong_validation_set_is_said_to_be_it() {
    let data = classes(30, 4, 3, 1);
    for (validation, expected) in
        [(classes(9, 5, 3, 1), "expected 4, found 5"), (classes(9, 4, 4, 1), "expected 4 or more")]
    {
        let config =
            TrainConfig::new(CrossEntropy::default(), Adam::default()).validation(validation);
        let error = train_parallel(&mut model(), &data, &config);
        assert_error(error, &["the validation set: ", expected]);
    }
}

#[test]
fn configurations_that_make_no_sense() {
    let config = || TrainConfig::new(CrossEntropy::default(), Adam::default());
    let stopping = |stopping| config().validation(classes(9, 4, 3, 1)).early_stopping(stopping);
    let plateau =
        Schedule::ReduceOnPlateau { factor: 2.0, patience: 1, min_lr: 0.0, threshold: 0.0 };
    let cosine = Schedule::CosineWarmup { warmup_steps: 9, total_steps: 9, min_lr: 0.0 };
    let table: [(TrainConfig, &[&str]); 22] = [
        (config().epochs(0), &["`epochs`", "at least 1, found 0"]),
        (config().batch_size(0), &["`batch_size`", "at least 1, found 0"]),
        (config().shards(0), &["`shards`", "at least 1, found 0"]),
        (config().threads(0), &["`threads`", "at least 1, found 0"]),
        (config().exact_threads(0), &["`threads`", "at least 1, found 0"]),
        (config().exact_threads(usize::MAX), &["`threads`", "at most"]),
        (config().loss_threshold(f64::NAN), &["`loss_threshold`", "NaN"]),
        (config().loss_threshold(f64::INFINITY), &["`loss_threshold`", "found inf"]),
        (config().early_stopping(EarlyStopping::new(1)), &["`early_stopping`", "validation"]),
        (stopping(EarlyStopping::new(0)), &["`patience`", "found 0"]),
        (stopping(EarlyStopping::new(1).min_delta(-1.0)), &["`min_delta`", "-1"]),
        (config().drop_last(true).batch_size(31), &["`batch_size`", "30 rows", "found 31"]),
        (config().clip(Clip::Norm(0.0)), &["`clip`", "above 0, found 0"]),
        (config().clip(Clip::Value(f32::NAN)), &["`clip`", "NaN"]),
        (config().schedule(Schedule::Step { every: 0, gamma: 0.1 }), &["`every`", "found 0"]),
        (config().schedule(Schedule::Exponential { gamma: 0.0 }), &["`gamma`", "found 0"]),
        (config().schedule(cosine), &["`total_steps`", "more than the 9"]),
        (config().schedule(plateau), &["`factor`", "below 1, found 2"]),
        (config().validation(classes(9, 5, 3, 1)), &["expected 4, found 5"]),
        (config().validation(classes(9, 4, 5, 1)), &["outputs", "5 or more", "found 3"]),
        (config().validation(values(9, 4, 2, 1)), &["columns of the targets", "found 2"]),
        (config().validation(yes_or_no(9, 4, 2, 1)), &["columns of the targets", "found 2"]),
    ];
    let data = classes(30, 4, 3, 1);
    let mut model = model();
    let before = model.fingerprint();
    for (config, fragments) in table {
        assert_error(train_parallel(&mut model, &data, &config), fragments);
        assert_error(Trainer::new(&mut model, &data, &config).map(|_| ()), fragments);
    }
    assert_eq!(model.fingerprint(), before);
}

#[test]
fn optimizers_that_make_no_sense() {
    let table: [(Optimizer, &[&str]); 14] = [
        (Sgd::new(-0.1).into(), &["`lr` of sgd", "-0.1"]),
        (Sgd::new(f64::NAN).into(), &["`lr` of sgd", "NaN"]),
        (Sgd::new(1e39).into(), &["`lr` of sgd", "finite"]),
        (Sgd::new(0.1).momentum(1.0).into(), &["`momentum` of sgd", "below 1, found 1"]),
        (Sgd::new(0.1).dampening(1.5).into(), &["`dampening` of sgd", "1.5"]),
        (Sgd::new(0.1).nesterov(true).into(), &["`nesterov` of sgd", "momentum above 0"]),
        (Sgd::new(0.1).weight_decay(-1.0).into(), &["`weight_decay` of sgd", "-1"]),
        (RmsProp::new(0.1).alpha(1.0).into(), &["`alpha` of rmsprop", "found 1"]),
        (RmsProp::new(0.1).eps(0.0).into(), &["`eps` of rmsprop", "found 0"]),
        (Adagrad::new(0.1).lr_decay(-0.5).into(), &["`lr_decay` of adagrad", "-0.5"]),
        (Adam::new(0.1).beta1(1.0).into(), &["`beta1` of adam", "found 1"]),
        (Adam::new(0.1).beta2(-0.9).into(), &["`beta2` of adam", "-0.9"]),
        (Adam::new(0.1).eps(f64::INFINITY).into(), &["`eps` of adam", "inf"]),
        (AdamW::new(0.1).weight_decay(f64::NAN).into(), &["`weight_decay` of adamw", "NaN"]),
    ];
    let data = classes(30, 4, 3, 1);
    for (optimizer, fragments) in table {
        let config = TrainConfig::new(CrossEntropy::default(), optimizer);
        assert_error(train_parallel(&mut model(), &data, &config), fragments);
    }
}

#[test]
fn data_and_losses_that_do_not_fit_the_model() {
    let cross = CrossEntropy::default;
    let binary = BinaryCrossEntropy::default;
    let three_values = values(9, 4, 3, 1);
    let three_classes = classes(9, 4, 3, 1);
    let table: [(Loss, &Dataset, &[&str]); 13] = [
        (cross().into(), &classes(9, 5, 3, 1), &["features", "expected 4, found 5"]),
        (cross().into(), &classes(9, 4, 7, 1), &["cross-entropy", "7 or more", "found 3"]),
        (cross().into(), &three_values, &["target in row", "cross-entropy", "0..=1"]),
        (cross().into(), &yes_or_no(9, 4, 2, 1), &["columns of the targets", "3", "found 2"]),
        (cross().label_smoothing(1.5).into(), &three_classes, &["`label_smoothing`", "1.5"]),
        (
            cross().class_weights(vec![1.0; 2]).into(),
            &three_classes,
            &["`class_weights`", "found 2"],
        ),
        (
            cross().class_weights(vec![1.0, 0.0, 1.0]).into(),
            &three_classes,
            &["`class_weights` at 1", "found 0"],
        ),
        (MeanSquaredError.into(), &three_classes, &["mse", "one_hot()"]),
        (MeanSquaredError.into(), &values(9, 4, 2, 1), &["columns of the targets", "found 2"]),
        (Huber { delta: 0.0 }.into(), &three_values, &["`delta` of huber", "found 0"]),
        (binary().into(), &three_classes, &["binary-cross-entropy", "found 3"]),
        (binary().into(), &three_values, &["target in row", "binary-cross-entropy", "0..=1"]),
        (
            binary().pos_weight(vec![f32::NAN]).into(),
            &yes_or_no(9, 4, 3, 1),
            &["`pos_weight` at 0", "NaN"],
        ),
    ];
    for (loss, data, fragments) in table {
        let config = TrainConfig::new(loss.clone(), Sgd::new(0.1));
        assert_error(train_parallel(&mut model(), data, &config), fragments);
        assert_error(model().evaluate_with(data, &loss), fragments);
    }
}

#[test]
fn predictions_and_weights_that_do_not_fit() {
    let mut model = model();
    let before = model.fingerprint();
    let mut poisoned = matrix(5, 4, 1);
    poisoned[(3, 2)] = f32::NAN;
    assert_error(model.predict(poisoned.view()), &["row 3, column 2", "finite", "NaN"]);
    poisoned[(3, 2)] = f32::NEG_INFINITY;
    assert_error(model.predict_classes(poisoned.view()), &["row 3, column 2", "-inf"]);
    assert_error(model.predict(matrix(5, 3, 1).view()), &["features", "expected 4, found 3"]);
    assert_error(model.evaluate(&classes(5, 9, 3, 1)), &["features", "expected 4, found 9"]);
    assert_error(model.evaluate(&values(5, 4, 2, 1)), &["columns", "found 2"]);
    assert_error(
        model.weight("0.gamma"),
        &["\"0.gamma\"", "\"0.weight\", \"0.bias\", \"2.weight\", \"2.bias\""],
    );
    let zeros = |shape: &[usize]| Array::<f32, _>::zeros(shape);
    assert_error(model.set_weight("1.weight", zeros(&[6]).view()), &["\"1.weight\""]);
    assert_error(model.set_weight("0.weight", zeros(&[4, 6]).view()), &["[6, 4]", "[4, 6]"]);
    assert_error(model.set_weight("0.bias", zeros(&[6, 1]).view()), &["[6]", "[6, 1]"]);
    let infinite = array![0.0, f32::INFINITY, 0.0].into_dyn();
    assert_error(model.set_weight("2.bias", infinite.view()), &["2.bias", "finite", "inf"]);
    assert_eq!(model.fingerprint(), before);
    assert_eq!(model.predict(Array2::zeros((0, 4)).view()).unwrap().dim(), (0, 3));
}

#[test]
fn names_that_nobody_knows() {
    assert_error("relu6".parse::<Activation>(), &["`activation`", "leaky_relu", "\"relu6\""]);
    assert_error("hinge".parse::<Loss>(), &["`loss`", "cross-entropy", "\"hinge\""]);
    assert_error("lion".parse::<Optimizer>(), &["`optimizer`", "lion"]);
    assert_error("adam(lr=fast)".parse::<Optimizer>(), &["lr", "fast"]);
    assert_error("ones".parse::<unisono::Init>(), &["`init`", "glorot_uniform", "\"ones\""]);
}

/// Each error is of the kind that a program can match.
#[test]
fn errors_have_their_kind() {
    let data = classes(9, 4, 3, 1);
    let config = TrainConfig::new(CrossEntropy::default(), Adam::default());
    let error = |config: TrainConfig| train_parallel(&mut model(), &data, &config).unwrap_err();
    assert!(matches!(error(config.clone().epochs(0)), Error::Config { field: "epochs", .. }));
    let validation = config.validation(classes(9, 5, 3, 1));
    assert!(matches!(error(validation), Error::Shape { .. }));
    let built = Sequential::builder(4).dropout(2.0).build(0);
    assert!(matches!(built.unwrap_err(), Error::Layer { index: 0, .. }));
}
