//! Every loss against its definition in f64 and against finite differences of it.

use ndarray::Array2;

use super::*;
use crate::data::TargetShape;
use crate::rows::rows_len;
use crate::simd::dispatch;
use crate::simd::reference::{in_panels, padding};
use crate::simd::testing::{assert_same_bits, levels};

const COLS: [usize; 5] = [1, 3, 10, 17, 33];
const ROWS: usize = 19;

/// Targets that own their rows.
#[derive(Clone)]
enum Targets {
    Classes(Vec<u32>),
    Values(Vec<f32>),
}

impl Targets {
    fn rows(&self, cols: usize) -> TargetRows<'_> {
        match self {
            Self::Classes(classes) => TargetRows::Classes(classes),
            Self::Values(values) => TargetRows::Values(Rows::of(values, ROWS, cols)),
        }
    }

    /// Row `r`'s values.
    fn row(&self, r: usize, cols: usize) -> Vec<f32> {
        match self {
            Self::Classes(_) => vec![],
            Self::Values(values) => Rows::of(values, ROWS, cols).slice(r..r + 1).to_vec(),
        }
    }
}

/// Numbers in -1..1 in panels, padding included.
fn noise(seed: usize, cols: usize) -> Vec<f32> {
    let one = |i: usize| ((i * 7919 + seed * 104_729 + 13) % 1009) as f32 / 504.5 - 1.0;
    (0..rows_len(ROWS, cols)).map(one).collect()
}

fn weights(cols: usize) -> Vec<f32> {
    (0..cols).map(|c| 0.5 + (c % 4) as f32).collect()
}

/// Every loss with every kind of target that it takes.
fn cases(cols: usize) -> Vec<(Loss, Targets)> {
    let values = Targets::Values(noise(2, cols).iter().map(|v| 3.0 * v).collect());
    let shares = Targets::Values(noise(3, cols).iter().map(|v| v.abs()).collect());
    let classes = |n: usize| Targets::Classes((0..ROWS).map(|r| (r * 5 % n) as u32).collect());
    let mut cases: Vec<(Loss, Targets)> = vec![
        (MeanSquaredError.into(), values.clone()),
        (MeanAbsoluteError.into(), values.clone()),
        (Huber { delta: 0.7 }.into(), values),
        (BinaryCrossEntropy::default().into(), shares.clone()),
        (BinaryCrossEntropy::default().pos_weight([2.5]).into(), shares.clone()),
        (BinaryCrossEntropy::default().pos_weight(weights(cols)).into(), shares.clone()),
    ];
    if cols == 1 {
        cases.push((BinaryCrossEntropy::default().into(), classes(2)));
    }
    for smoothing in [0.0, 0.1, 1.0] {
        let plain = CrossEntropy::default().label_smoothing(smoothing);
        for loss in [plain.clone(), plain.class_weights(weights(cols))] {
            cases.push((loss.clone().into(), classes(cols)));
            cases.push((loss.into(), shares.clone()));
        }
    }
    cases
}

/// The loss of row `r` by its definition, before the batch's normalizer.
fn reference(loss: &Loss, z: &[f64], targets: &Targets, r: usize) -> f64 {
    let n = z.len();
    let t: Vec<f64> = match targets {
        Targets::Values(_) => targets.row(r, n).iter().map(|&v| v.into()).collect(),
        Targets::Classes(c) if n == 1 && !matches!(loss, Loss::CrossEntropy(_)) => {
            vec![f64::from(c[r])]
        }
        Targets::Classes(c) => (0..n).map(|k| f64::from(u8::from(k == c[r] as usize))).collect(),
    };
    let mean = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
    match loss {
        Loss::MeanSquaredError(_) => mean(&|c| (z[c] - t[c]).powi(2)),
        Loss::MeanAbsoluteError(_) => mean(&|c| (z[c] - t[c]).abs()),
        Loss::Huber(Huber { delta }) => mean(&|c| {
            let (d, delta) = ((z[c] - t[c]).abs(), f64::from(*delta));
            if d <= delta { 0.5 * d * d } else { delta * (d - 0.5 * delta) }
        }),
        Loss::BinaryCrossEntropy(loss) => mean(&|c| {
            let w = loss.pos_weight.as_ref().map_or(1.0, |w| f64::from(w[c % w.len()]));
            let minus_ln_sigmoid = |x: f64| (-x).max(0.0) + (-x.abs()).exp().ln_1p();
            w * t[c] * minus_ln_sigmoid(z[c]) + (1.0 - t[c]) * minus_ln_sigmoid(-z[c])
        }),
        Loss::CrossEntropy(loss) => {
            let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
            let w = |c: usize| loss.class_weights.as_ref().map_or(1.0, |w| f64::from(w[c]));
            let smoothing = f64::from(loss.label_smoothing);
            let uniform: f64 = (0..n).map(|c| w(c) * (log_sum - z[c])).sum::<f64>() / n as f64;
            let own: f64 = (0..n).map(|c| w(c) * t[c] * (log_sum - z[c])).sum();
            (1.0 - smoothing) * own + smoothing * uniform
        }
    }
}

fn normalizer(loss: &Loss, targets: &TargetRows) -> f64 {
    let (targets, rows) = match targets {
        TargetRows::Classes(labels) => {
            (crate::Targets::Classes { labels: labels.to_vec(), count: 1 }, labels.len())
        }
        TargetRows::Values(values) => {
            let shape = (values.rows, values.cols);
            let values = Array2::from_shape_vec(shape, values.to_vec()).unwrap();
            (crate::Targets::Values(values), shape.0)
        }
    };
    loss.normalizer(&targets, 0..rows)
}

/// Row losses and gradients, written over dirty buffers.
fn run(
    level: Option<Level>,
    loss: &Loss,
    logits: &[f32],
    targets: &Targets,
    cols: usize,
) -> (Vec<f64>, Vec<f32>, Option<usize>) {
    let targets = targets.rows(cols);
    let mut values = vec![f64::NAN; ROWS];
    let mut grad = vec![f32::NAN; logits.len()];
    let block = LossRows {
        logits: Rows::of(logits, ROWS, cols),
        targets,
        scale: (1.0 / normalizer(loss, &targets)) as f32,
        grad: Some(RowsMut::of(&mut grad, ROWS, cols)),
        values: &mut values,
    };
    let correct = match level {
        Some(level) => loss.rows_at(level, block),
        None => loss.rows(block),
    };
    (values, grad, correct)
}

fn logits(cols: usize) -> Vec<f32> {
    noise(1, cols).iter().map(|v| 4.0 * v).collect()
}

#[test]
fn values_and_gradients_are_those_of_the_definition() {
    const STEP: f64 = 1e-5;
    for cols in COLS {
        let z = logits(cols);
        for (loss, targets) in cases(cols) {
            let normalizer = normalizer(&loss, &targets.rows(cols));
            let (values, grad, _) = run(None, &loss, &z, &targets, cols);
            let grad = Rows::of(&grad, ROWS, cols).to_vec();
            for r in 0..ROWS {
                let row = Rows::of(&z, ROWS, cols).slice(r..r + 1).to_vec();
                let row: Vec<f64> = row.into_iter().map(f64::from).collect();
                let want = reference(&loss, &row, &targets, r);
                let error = (values[r] - want).abs();
                assert!(error <= 3e-6 * (1.0 + want), "{loss:?} row {r}: {} for {want}", values[r]);
                for c in 0..cols {
                    let (mut up, mut down) = (row.clone(), row.clone());
                    up[c] += STEP;
                    down[c] -= STEP;
                    let rise =
                        reference(&loss, &up, &targets, r) - reference(&loss, &down, &targets, r);
                    let (want, found) = (rise / (2.0 * STEP) / normalizer, grad[r * cols + c]);
                    let error = (f64::from(found) - want).abs();
                    assert!(error < 1e-6, "{loss:?} row {r}, column {c}: {found} for {want}");
                }
            }
        }
    }
}

#[test]
fn gradients_have_zero_padding_and_are_not_needed() {
    for cols in COLS {
        let z = logits(cols);
        for (loss, targets) in cases(cols) {
            let (values, grad, correct) = run(None, &loss, &z, &targets, cols);
            let grad = Rows::of(&grad, ROWS, cols);
            assert!(padding(grad).iter().all(|&v| v == 0.0), "{loss:?}");
            let mut alone = vec![f64::NAN; ROWS];
            let block = LossRows {
                logits: Rows::of(&z, ROWS, cols),
                targets: targets.rows(cols),
                scale: 1.0,
                grad: None,
                values: &mut alone,
            };
            assert_eq!((loss.rows(block), alone), (correct, values), "{loss:?}");
        }
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    for cols in COLS {
        let z = logits(cols);
        for (loss, targets) in cases(cols) {
            let first = run(None, &loss, &z, &targets, cols);
            for level in levels() {
                let other = run(Some(level), &loss, &z, &targets, cols);
                assert_eq!((&first.0, first.2), (&other.0, other.2), "{loss:?} {level:?}");
                let [first, other] = [&first.1, &other.1].map(|g| Rows::of(g, ROWS, cols).to_vec());
                assert_same_bits(&first, &other, &format!("{loss:?} {level:?}"));
            }
        }
    }
}

#[test]
fn extreme_logits_stay_finite() {
    for cols in COLS {
        let z: Vec<f32> = noise(1, cols).iter().map(|v| 1e4f32.copysign(*v)).collect();
        for (loss, targets) in cases(cols) {
            let (values, grad, _) = run(None, &loss, &z, &targets, cols);
            let grad = Rows::of(&grad, ROWS, cols).to_vec();
            assert!(values.iter().all(|v| v.is_finite()) && grad.iter().all(|g| g.is_finite()));
        }
    }
}

#[test]
fn a_rows_loss_may_be_larger_than_f32_holds_as_long_as_its_mean_is_not() {
    for cols in COLS {
        let zeros = Targets::Values(vec![0.0; rows_len(ROWS, cols)]);
        for (loss, z, mean) in [
            (Loss::from(MeanSquaredError), 1e19, 1e38),
            (MeanAbsoluteError.into(), -3e38, 3e38),
            (Huber { delta: 1.0 }.into(), 3e38, 3e38),
            (BinaryCrossEntropy::default().into(), 3e38, 3e38),
        ] {
            for level in levels() {
                let logits = vec![z; rows_len(ROWS, cols)];
                let (values, grad, _) = run(Some(level), &loss, &logits, &zeros, cols);
                let near = |v: &f64| (v / mean - 1.0).abs() < 1e-6;
                assert!(values.iter().all(near), "{loss:?} {cols} {level:?}: {values:?}");
                assert!(grad.iter().all(|g| !g.is_infinite()));
            }
        }
    }
}

#[test]
fn right_rows_are_counted_and_the_first_of_equals_wins() {
    let mut z = vec![0.0; ROWS * 17];
    z[5] = 1.0;
    z[17 + 16] = 1.0;
    let z = in_panels(&z, 17, 0.0);
    let mut classes = vec![1; ROWS];
    (classes[0], classes[1], classes[2]) = (5, 16, 0);
    for smoothing in [0.0, 0.1] {
        let loss = CrossEntropy::default().label_smoothing(smoothing).into();
        let (_, _, correct) = run(None, &loss, &z, &Targets::Classes(classes.clone()), 17);
        assert_eq!(correct, Some(3));
    }
    let loss = BinaryCrossEntropy::default().into();
    let (_, _, correct) = run(None, &loss, &z, &Targets::Values(z.clone()), 17);
    assert_eq!(correct, Some(ROWS));
}

#[test]
fn class_weights_make_the_mean_a_weighted_one() {
    let loss: Loss = CrossEntropy::default().class_weights([0.5, 2.0]).into();
    assert_eq!(normalizer(&loss, &TargetRows::Classes(&[0, 1, 1])), 4.5);
    assert_eq!(normalizer(&MeanSquaredError.into(), &TargetRows::Classes(&[0, 1])), 2.0);
}

#[test]
fn losses_fuse_with_their_own_activation_alone() {
    let loss = Loss::from(CrossEntropy::default());
    assert!(loss.fuses(Activation::Softmax) && !loss.fuses(Activation::Sigmoid));
    let loss = Loss::from(BinaryCrossEntropy::default());
    assert!(loss.fuses(Activation::Sigmoid) && !loss.fuses(Activation::Softmax));
    assert!(!Loss::from(MeanSquaredError).fuses(Activation::Sigmoid));
}

#[test]
fn names_are_read_back_and_unknown_ones_listed() {
    for name in ["mse", "mae", "huber", "binary-cross-entropy", "cross-entropy"] {
        assert_eq!(name.parse::<Loss>().unwrap().to_string(), name);
    }
    assert_eq!("bce".parse::<Loss>().unwrap().to_string(), "binary-cross-entropy");
    let message = "hinge".parse::<Loss>().unwrap_err().to_string();
    assert!(message.contains("hinge") && message.contains("huber"), "{message}");
}

#[test]
fn what_does_not_fit_is_refused_with_both_sizes() {
    use TargetShape::{Classes, Values};
    let ce = CrossEntropy::default;
    let bce = BinaryCrossEntropy::default;
    let wrong: [(Loss, TargetShape, usize, &[&str]); 12] = [
        (MeanSquaredError.into(), Classes(3), 3, &["cross-entropy", "one_hot()"]),
        (MeanAbsoluteError.into(), Values(2), 3, &["2", "3"]),
        (Huber { delta: 0.0 }.into(), Values(1), 1, &["delta", "0"]),
        (Huber { delta: f32::NAN }.into(), Values(1), 1, &["delta", "NaN"]),
        (ce().into(), Classes(10), 3, &["10", "3"]),
        (ce().into(), Values(4), 3, &["4", "3"]),
        (ce().label_smoothing(1.5).into(), Classes(3), 3, &["label_smoothing", "1.5"]),
        (ce().class_weights([1.0]).into(), Classes(3), 3, &["class_weights", "3", "1"]),
        (ce().class_weights([1.0, -1.0]).into(), Classes(2), 2, &["class_weights", "-1"]),
        (bce().into(), Classes(3), 1, &["2", "3"]),
        (bce().into(), Classes(2), 2, &["1", "2"]),
        (bce().pos_weight([1.0, 1.0]).into(), Values(3), 3, &["pos_weight", "2", "3"]),
    ];
    for (loss, targets, outputs, words) in wrong {
        let message = loss.check(targets, outputs).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    for (loss, targets) in [(Loss::from(ce()), Classes(3)), (bce().into(), Values(4))] {
        assert!(loss.check(targets, 4).is_ok());
    }
    assert!(Loss::from(bce()).check(Classes(2), 1).is_ok());
}

#[test]
fn probabilities_are_checked_where_they_are_needed() {
    let values = ndarray::array![[0.0, 1.0], [0.5, 1.5]];
    let loss = Loss::from(BinaryCrossEntropy::default());
    let message = loss.check_values(values.view()).unwrap_err().to_string();
    assert!(message.contains("row 1, column 1") && message.contains("1.5"), "{message}");
    assert!(Loss::from(MeanSquaredError).check_values(values.view()).is_ok());
}

#[test]
fn few_classes_give_the_bits_of_the_wide_kernel() {
    for cols in 1..=narrow::MOST_CLASSES {
        let mut z = logits(cols);
        z[1] = z[0];
        let classes: Vec<u32> = (0..ROWS).map(|r| (r * 5 % cols) as u32).collect();
        let weights = weights(cols);
        let kernel = |wide: bool| {
            let (mut values, mut grad) = (vec![f64::NAN; ROWS], vec![f32::NAN; z.len()]);
            let block = LossRows {
                logits: Rows::of(&z, ROWS, cols),
                targets: TargetRows::Classes(&classes),
                scale: 0.1,
                grad: Some(RowsMut::of(&mut grad, ROWS, cols)),
                values: &mut values,
            };
            let weights = Some(weights.as_slice());
            let correct = dispatch!(simd => if wide {
                cross_entropy::one_hot(simd, block, &classes, weights)
            } else {
                narrow::one_hot(simd, block, &classes, weights)
            });
            (values, Rows::of(&grad, ROWS, cols).to_vec(), correct)
        };
        assert_eq!(kernel(true), kernel(false), "{cols} classes");
    }
}

#[test]
fn what_is_as_good_as_certain_has_no_part_in_a_gradient() {
    for cols in COLS {
        for size in [40.0, 60.0, 90.0] {
            let z: Vec<f32> = noise(1, cols).iter().map(|v| size * v).collect();
            let cross_entropies = |(loss, _): &(Loss, Targets)| {
                matches!(loss, Loss::CrossEntropy(_) | Loss::BinaryCrossEntropy(_))
            };
            for (loss, targets) in cases(cols).into_iter().filter(cross_entropies) {
                let (_, grad, _) = run(None, &loss, &z, &targets, cols);
                let grad = Rows::of(&grad, ROWS, cols).to_vec();
                let tiny = grad.iter().find(|&&g| g != 0.0 && g.abs() < 1e-28);
                assert_eq!(tiny, None, "{loss:?} {cols} columns");
            }
        }
    }
    let z = in_panels(&[0.0, -55.0, -56.0].repeat(ROWS), 3, 0.0);
    let own = Targets::Classes(vec![0; ROWS]);
    let (values, grad, _) = run(None, &CrossEntropy::default().into(), &z, &own, 3);
    assert_eq!(values, [0.0; ROWS]);
    assert!(grad[1] > 0.0 && grad[2] == 0.0, "{:?}", &grad[..3]);
    let none = Targets::Values(vec![0.0; z.len()]);
    let (values, grad, _) = run(None, &BinaryCrossEntropy::default().into(), &z, &none, 3);
    assert!(values[0] > 0.2 && grad[1] > 0.0 && grad[2] == 0.0, "{:?}", &grad[..3]);
}
