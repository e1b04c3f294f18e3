//! Whole models against finite differences in f64: every layer, activation, loss, odd widths, shards.
//!
//! The reference is a forward pass by the definitions, one number at a time. It knows nothing of
//! panels, blocks or derivatives: its gradient is the slope of its loss.

mod common;

use std::ops::Range;

use common::{Exp, Scale, Weights, classes, gradient, values, weights, yes_or_no};
use ndarray::Dimension;
use unisono::{
    Activation, BinaryCrossEntropy, CrossEntropy, Dataset, Huber, Loss, MeanAbsoluteError,
    MeanSquaredError, Sequential, SequentialBuilder, Sgd, TrainConfig, Trainer,
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Dense(usize),
    Act(Activation),
    Norm,
    Scale,
    Exp,
}
use Part::{Act, Dense, Norm};

/// A model's parts, and where each part's parameters lie among all of them.
struct Reference {
    parts: Vec<(Part, Range<usize>)>,
    inputs: usize,
    params: Vec<f64>,
}

fn build(inputs: usize, parts: &[Part]) -> Sequential {
    let add = |builder: SequentialBuilder, part: &Part| match *part {
        Part::Dense(outputs) => builder.dense(outputs, Activation::Identity),
        Part::Act(activation) => builder.activation(activation),
        Part::Norm => builder.layer_norm(),
        Part::Scale => builder.layer(Scale),
        Part::Exp => builder.layer(Exp),
    };
    let mut model = parts.iter().fold(Sequential::builder(inputs), add).build(5).unwrap();
    // Biases and norms that start at 0 and 1 would hide what is wrong with them.
    for (name, mut values) in weights(&model) {
        let mut random = common::Random::new(name.len() as u64 + values.len() as u64);
        values.iter_mut().for_each(|value| *value += 0.2 * random.value());
        model.set_weight(&name, values.view()).unwrap();
    }
    model
}

impl Reference {
    fn new(model: &Sequential, parts: &[Part]) -> Self {
        let mut reference = Self { parts: vec![], inputs: model.inputs(), params: vec![] };
        for (index, &part) in parts.iter().enumerate() {
            let start = reference.params.len();
            for tensor in ["weight", "bias"] {
                if let Ok(values) = model.weight(&format!("{index}.{tensor}")) {
                    reference.params.extend(values.iter().map(|&value| f64::from(value)));
                }
            }
            reference.parts.push((part, start..reference.params.len()));
        }
        reference
    }

    fn forward(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.inputs);
        self.parts
            .iter()
            .fold(x.to_vec(), |x, (part, params)| apply(*part, &self.params[params.clone()], &x))
    }

    fn loss(&self, data: &Dataset, loss: &Loss) -> f64 {
        let fused = match (self.parts[self.parts.len() - 1].0, loss) {
            (Act(last @ Activation::Softmax), Loss::CrossEntropy(_)) => Some(last),
            (Act(last @ Activation::Sigmoid), Loss::BinaryCrossEntropy(_)) => Some(last),
            _ => None,
        };
        let (mut sum, mut weight) = (0.0, 0.0);
        for (row, x) in data.x().rows().into_iter().enumerate() {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let y = self.forward(&x);
            let targets = match (data.labels(), data.values()) {
                (Some(labels), _) => (0..y.len().max(2))
                    .map(|class| f64::from(u8::from(class == labels[row] as usize)))
                    .collect(),
                (_, Some(values)) => values.row(row).iter().map(|&t| f64::from(t)).collect(),
                _ => vec![],
            };
            let (value, of) =
                row_loss(loss, &y, &targets, fused.is_some(), data.labels().is_some());
            sum += value;
            weight += of;
        }
        sum / weight
    }
}

fn apply(part: Part, params: &[f64], x: &[f64]) -> Vec<f64> {
    let n = x.len();
    match part {
        Part::Dense(outputs) => {
            let (w, b) = params.split_at(outputs * n);
            (0..outputs).map(|o| b[o] + (0..n).map(|i| w[o * n + i] * x[i]).sum::<f64>()).collect()
        }
        Part::Norm => {
            let mean = x.iter().sum::<f64>() / n as f64;
            let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            let (w, b) = params.split_at(n);
            (0..n).map(|i| w[i] * (x[i] - mean) / (var + 1e-5).sqrt() + b[i]).collect()
        }
        Part::Scale => x.iter().zip(params).map(|(x, w)| x * w).collect(),
        Part::Exp => x.iter().map(|x| x.exp()).collect(),
        Part::Act(Activation::Softmax) => {
            let sum: f64 = x.iter().map(|x| x.exp()).sum();
            x.iter().map(|x| x.exp() / sum).collect()
        }
        Part::Act(activation) => x.iter().map(|&x| activate(activation, x)).collect(),
    }
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu { slope } => {
            if x > 0.0 {
                x
            } else {
                f64::from(slope) * x
            }
        }
        Activation::Elu { alpha } => {
            if x > 0.0 {
                x
            } else {
                f64::from(alpha) * x.exp_m1()
            }
        }
        Activation::Gelu => x * normal(x),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Softplus => x.exp().ln_1p(),
        other => panic!("no reference for {other}"),
    }
}

/// The normal distribution function, by the series of its integral; exact enough for |x| < 6.
fn normal(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / (2 * n) as f64;
        sum += term / (2 * n + 1) as f64;
    }
    0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
}

/// A row's loss and its weight in the mean. `ready` says that y holds probabilities already, which
/// the cross-entropies otherwise make of it.
fn row_loss(loss: &Loss, y: &[f64], t: &[f64], ready: bool, classes: bool) -> (f64, f64) {
    let n = y.len() as f64;
    let each = |f: &dyn Fn(f64, f64) -> f64| -> (f64, f64) {
        (y.iter().zip(t).map(|(y, t)| f(*y, *t)).sum::<f64>() / n, 1.0)
    };
    match loss {
        Loss::MeanSquaredError(_) => each(&|y, t| (y - t).powi(2)),
        Loss::MeanAbsoluteError(_) => each(&|y, t| (y - t).abs()),
        Loss::Huber(huber) => {
            let delta = f64::from(huber.delta);
            each(&|y, t| match (y - t).abs() {
                d if d <= delta => d * d / 2.0,
                d => delta * (d - delta / 2.0),
            })
        }
        Loss::BinaryCrossEntropy(binary) => {
            let weight = |i: usize| match binary.pos_weight.as_deref() {
                None => 1.0,
                Some([one]) => f64::from(*one),
                Some(many) => f64::from(many[i]),
            };
            let t = if classes { &t[1..] } else { t };
            let row = (0..y.len()).map(|i| {
                let p = if ready { y[i] } else { activate(Activation::Sigmoid, y[i]) };
                -weight(i) * t[i] * p.ln() - (1.0 - t[i]) * (1.0 - p).ln()
            });
            (row.sum::<f64>() / n, 1.0)
        }
        Loss::CrossEntropy(cross) => {
            let softmax;
            let p = if ready {
                y
            } else {
                softmax = apply(Act(Activation::Softmax), &[], y);
                &softmax
            };
            let weight = |i: usize| cross.class_weights.as_ref().map_or(1.0, |w| f64::from(w[i]));
            let smoothing = f64::from(cross.label_smoothing);
            let row = (0..p.len())
                .map(|i| -weight(i) * (t[i] * (1.0 - smoothing) + smoothing / n) * p[i].ln());
            let of = if classes { (0..p.len()).map(|i| weight(i) * t[i]).sum() } else { 1.0 };
            (row.sum(), of)
        }
        other => panic!("no reference for {other}"),
    }
}

/// Compares loss and gradient of one step with the reference's loss and its slopes.
fn assert_gradient(parts: &[Part], data: &Dataset, loss: impl Into<Loss>) {
    let loss = loss.into();
    let model = build(data.features(), parts);
    let mut reference = Reference::new(&model, parts);
    for (shards, threads) in [(1, 1), (3, 2)] {
        let configure = |config: TrainConfig| config.shards(shards).exact_threads(threads);
        let (found_loss, found) = gradient(&model, data, &loss, configure);
        let name = format!("{parts:?}, {loss}, {shards} shards");
        let exact = reference.loss(data, &loss);
        assert!(
            (found_loss - exact).abs() <= 1e-5 * exact.abs().max(0.1),
            "{name}: {found_loss} {exact}"
        );
        assert_slopes(&mut reference, data, &loss, &found, &name);
    }
}

fn assert_slopes(
    reference: &mut Reference,
    data: &Dataset,
    loss: &Loss,
    found: &Weights,
    name: &str,
) {
    let mut index = 0;
    for part in 0..reference.parts.len() {
        for tensor in ["weight", "bias"] {
            let Some(found) = found.get(&format!("{part}.{tensor}")) else { continue };
            for (place, &value) in found.indexed_iter() {
                let slope = slope(reference, index, data, loss);
                let error = (f64::from(value) - slope).abs();
                let at = place.slice();
                assert!(
                    error <= 3e-6 * slope.abs().max(1.0),
                    "{name}: {part}.{tensor}{at:?} {value} {slope}"
                );
                index += 1;
            }
        }
    }
    assert_eq!(index, reference.params.len());
}

fn slope(reference: &mut Reference, index: usize, data: &Dataset, loss: &Loss) -> f64 {
    const H: f64 = 1e-6;
    let value = reference.params[index];
    let mut at = |value| {
        reference.params[index] = value;
        reference.loss(data, loss)
    };
    let slope = (at(value + H) - at(value - H)) / (2.0 * H);
    reference.params[index] = value;
    slope
}

#[test]
fn every_activation_inside_a_model() {
    let data = values(33, 3, 2, 1);
    for activation in [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Elu { alpha: 0.7 },
        Activation::Gelu,
        Activation::Silu,
        Activation::Softplus,
        Activation::Softmax,
    ] {
        let parts = [Dense(5), Act(activation), Dense(2)];
        assert_gradient(&parts, &data, MeanSquaredError);
    }
}

#[test]
fn every_loss_of_values() {
    let data = values(49, 4, 3, 2);
    let parts = [Dense(6), Act(Activation::Tanh), Dense(3)];
    assert_gradient(&parts, &data, MeanSquaredError);
    assert_gradient(&parts, &data, MeanAbsoluteError);
    assert_gradient(&parts, &data, Huber::default());
    assert_gradient(&parts, &data, Huber { delta: 0.2 });
}

#[test]
fn cross_entropy_from_logits_and_from_softmax() {
    let data = classes(50, 4, 3, 3);
    let logits = [Dense(5), Act(Activation::Relu), Dense(3)];
    let softmax = [Dense(5), Act(Activation::Relu), Dense(3), Act(Activation::Softmax)];
    for loss in [
        CrossEntropy::default(),
        CrossEntropy::default().label_smoothing(0.2),
        CrossEntropy::default().class_weights(vec![0.5, 1.0, 3.0]),
        CrossEntropy::default().label_smoothing(0.1).class_weights(vec![0.5, 1.0, 3.0]),
    ] {
        for parts in [&logits[..], &softmax[..]] {
            assert_gradient(parts, &data, loss.clone());
            assert_gradient(parts, &data.one_hot().unwrap(), loss.clone());
        }
    }
}

#[test]
fn cross_entropy_of_many_classes() {
    let data = classes(36, 3, 19, 4);
    assert_gradient(&[Dense(19)], &data, CrossEntropy::default());
    assert_gradient(&[Dense(19), Act(Activation::Softmax)], &data, CrossEntropy::default());
}

#[test]
fn binary_cross_entropy_from_logits_and_from_sigmoid() {
    let one = classes(40, 5, 2, 5);
    let three = yes_or_no(40, 5, 3, 6);
    for (data, outputs, weights) in [(&one, 1, vec![2.5]), (&three, 3, vec![0.5, 1.0, 4.0])] {
        let logits = [Dense(4), Act(Activation::Gelu), Dense(outputs)];
        let sigmoid = [&logits[..], &[Act(Activation::Sigmoid)]].concat();
        for loss in
            [BinaryCrossEntropy::default(), BinaryCrossEntropy::default().pos_weight(weights)]
        {
            assert_gradient(&logits, data, loss.clone());
            assert_gradient(&sigmoid, data, loss);
        }
    }
}

#[test]
fn norms_and_layers_of_the_users_own() {
    let data = values(35, 5, 2, 7);
    let act = Act(Activation::Tanh);
    assert_gradient(&[Dense(7), Norm, act, Dense(2)], &data, MeanSquaredError);
    assert_gradient(&[Norm, Dense(17), act, Norm, Dense(2)], &data, Huber::default());
    assert_gradient(&[Part::Scale, Dense(6), act, Part::Scale, Dense(2)], &data, MeanSquaredError);
    assert_gradient(
        &[Dense(6), Act(Activation::Relu), Dense(2), Part::Scale],
        &data,
        MeanSquaredError,
    );
}

/// What a layer's derivative is taken from is not overwritten by the layer after it.
#[test]
fn one_bend_after_the_other() {
    let data = values(33, 3, 2, 10);
    let acts = [Act(Activation::Sigmoid), Act(Activation::Tanh), Act(Activation::Relu)];
    let more =
        [Act(Activation::Gelu), Act(Activation::Softplus), Act(Activation::Elu { alpha: 0.5 })];
    let parts = [&[Dense(5)], &acts[..], &[Dense(18)], &more[..], &[Dense(2)]].concat();
    assert_gradient(&parts, &data, MeanSquaredError);
    for act in acts {
        assert_gradient(&[Dense(5), Part::Exp, act, Dense(2)], &data, MeanSquaredError);
        assert_gradient(&[Dense(17), act, Part::Exp, Dense(2), act], &data, MeanSquaredError);
    }
}

#[test]
fn odd_widths() {
    for (inputs, hidden, outputs) in [(1, 1, 1), (2, 17, 1), (17, 3, 16), (5, 16, 17), (16, 33, 2)]
    {
        let data = values(33, inputs, outputs, 8);
        let parts = [Dense(hidden), Act(Activation::Silu), Dense(outputs)];
        assert_gradient(&parts, &data, MeanSquaredError);
    }
}

/// Dropout's masks are the trainer's own, so the slope is that of the trainer's loss, at the same
/// seed; a squared loss of a model without other bends is a parabola, whose slope a wide step finds.
#[test]
fn dropout_goes_back_the_way_it_came() {
    let data = values(40, 6, 1, 9);
    let builder = Sequential::builder(6).dense(8, Activation::Identity);
    let model = builder.dropout(0.4).dense(1, Activation::Identity).build(3).unwrap();
    let loss = MeanSquaredError.into();
    let seeded = |config: TrainConfig| config.seed(21).shards(2);
    let (_, found) = gradient(&model, &data, &loss, seeded);
    for (name, found) in &found {
        for index in 0..found.len() {
            let at = |step: f32| {
                let mut model = model.clone();
                let mut weight = model.weight(name).unwrap();
                weight.as_slice_mut().unwrap()[index] += step;
                model.set_weight(name, weight.view()).unwrap();
                gradient(&model, &data, &loss, seeded).0
            };
            let slope = (at(0.25) - at(-0.25)) / 0.5;
            let value = f64::from(found.as_slice().unwrap()[index]);
            assert!((value - slope).abs() < 2e-5, "{name}[{index}] {value} {slope}");
        }
    }
}

/// One row and one weight a feature: the gradient of the weight is that of the loss times the
/// feature times its mask.
#[test]
fn dropout_zeroes_its_share_and_scales_the_rest() {
    const FEATURES: usize = 2000;
    let x = ndarray::Array2::ones((1, FEATURES));
    let data = Dataset::regression(x, ndarray::array![[0.5]]).unwrap();
    let builder = Sequential::builder(FEATURES).dropout(0.75);
    let init = unisono::Init::Zeros;
    let mut model = builder.dense_init(1, Activation::Identity, init).build(0).unwrap();
    let config = TrainConfig::new(MeanSquaredError, Sgd::new(1.0)).batch_size(1);
    Trainer::new(&mut model, &data, &config).unwrap().step().unwrap();
    let masks = model.weight("1.weight").unwrap();
    assert!(masks.iter().all(|&mask| mask == 0.0 || mask == 4.0));
    let kept = masks.iter().filter(|&&mask| mask == 4.0).count();
    assert!((400..600).contains(&kept), "{kept} of {FEATURES}");
    assert_eq!(model.predict(data.x()).unwrap()[(0, 0)], 4.0 * kept as f32 + 1.0);
}
