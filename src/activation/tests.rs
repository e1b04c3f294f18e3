//! Every activation against its formula in f64 and against finite differences of it.

use super::*;
use crate::simd::reference::{in_panels, padding};
use crate::simd::testing::{assert_same_bits, levels, normal_cdf};

const SHAPES: [(usize, usize); 5] = [(1, 1), (3, 3), (2, 10), (3, 17), (2, 33)];

fn all() -> Vec<Activation> {
    let more = [Activation::LeakyRelu { slope: 0.3 }, Activation::Elu { alpha: 1.7 }];
    ALL.into_iter().chain(more).collect()
}

/// The activation's outputs of one row.
fn reference(activation: Activation, x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    let one = |x: f64| match activation {
        Activation::Identity => x,
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu { slope } => x.max(0.0) + f64::from(slope) * x.min(0.0),
        Activation::Elu { alpha } => x.max(0.0) + f64::from(alpha) * x.min(0.0).exp_m1(),
        Activation::Gelu => x * normal_cdf(x),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Softplus => x.exp().ln_1p(),
        Activation::Softmax => x.exp() / sum,
    };
    x.iter().map(|&x| one(x)).collect()
}

/// Values between -12 and 12, dense around zero, row after row; none is so near to zero that a finite
/// difference would step over it.
fn input(rows: usize, cols: usize) -> Vec<f32> {
    let value = |i: usize| {
        let u = ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        12.0 * u * u * u + 0.001f32.copysign(u)
    };
    (0..rows * cols).map(value).collect()
}

/// The gradient by output `i`, row after row.
fn gradient(i: usize) -> f32 {
    (i % 13) as f32 * 0.25 - 1.0
}

/// Inputs, outputs and input gradients in panels.
fn run_all(activation: Activation, rows: usize, cols: usize) -> [Vec<f32>; 3] {
    let x = in_panels(&input(rows, cols), cols, 3.0);
    let mut y = vec![7.0; x.len()];
    activation.forward(Rows::of(&x, rows, cols), RowsMut::of(&mut y, rows, cols));
    let dy: Vec<f32> = (0..rows * cols).map(gradient).collect();
    let mut dx = in_panels(&dy, cols, 0.0);
    let (from, to) = (Rows::of(&x, rows, cols), Rows::of(&y, rows, cols));
    activation.backward(from, to, RowsMut::of(&mut dx, rows, cols));
    [x, y, dx]
}

fn close(found: f32, want: f64) -> bool {
    (f64::from(found) - want).abs() <= 2e-6 * want.abs() + 1e-7
}

#[test]
fn outputs_are_those_of_the_formula() {
    for activation in all() {
        for (rows, cols) in SHAPES {
            let [x, y, _] =
                run_all(activation, rows, cols).map(|v| Rows::of(&v, rows, cols).to_vec());
            for (x, y) in x.chunks(cols).zip(y.chunks(cols)) {
                let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                for (c, want) in reference(activation, &x).into_iter().enumerate() {
                    assert!(close(y[c], want), "{activation} of {}: {} for {want}", x[c], y[c]);
                }
            }
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    const STEP: f64 = 1e-5;
    for activation in all() {
        for (rows, cols) in SHAPES {
            let [x, _, dx] =
                run_all(activation, rows, cols).map(|v| Rows::of(&v, rows, cols).to_vec());
            for at in (0..rows).map(|r| r * cols) {
                let x: Vec<f64> = x[at..][..cols].iter().map(|&x| f64::from(x)).collect();
                let loss = |x: &[f64]| -> f64 {
                    let weights = (at..).map(|i| f64::from(gradient(i)));
                    reference(activation, x).iter().zip(weights).map(|(y, w)| y * w).sum()
                };
                for c in 0..cols {
                    let (mut up, mut down) = (x.clone(), x.clone());
                    up[c] += STEP;
                    down[c] -= STEP;
                    let want = (loss(&up) - loss(&down)) / (2.0 * STEP);
                    let error = (f64::from(dx[at + c]) - want).abs();
                    assert!(error < 1e-6, "{activation} at {}: {} for {want}", x[c], dx[at + c]);
                }
            }
        }
    }
}

#[test]
fn in_place_is_the_same_and_padding_of_gradients_stays_zero() {
    for activation in all() {
        for (rows, cols) in SHAPES {
            let [mut x, y, dx] = run_all(activation, rows, cols);
            activation.forward_in_place(RowsMut::of(&mut x, rows, cols));
            let [x, y, dx] = [&x, &y, &dx].map(|v| Rows::of(v, rows, cols));
            assert_same_bits(&x.to_vec(), &y.to_vec(), &activation.to_string());
            assert!(padding(dx).iter().all(|&v| v == 0.0), "{activation}");
            let softmax = activation == Activation::Softmax;
            assert!(!softmax || padding(y).iter().all(|&v| v == 0.0));
        }
    }
}

#[test]
fn rows_beyond_those_at_hand_are_left_alone() {
    for activation in all() {
        let mut y = in_panels(&input(9, 33), 33, 3.0);
        let all = Rows::of(&y, 9, 33).to_vec();
        activation.forward_in_place(RowsMut::of(&mut y, 4, 33));
        assert_eq!(Rows::of(&y, 9, 33).to_vec()[4 * 33..], all[4 * 33..], "{activation}");
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let (rows, cols) = (5, 33);
    for activation in all() {
        let [x, y, _] = run_all(activation, rows, cols);
        let v = Rows::of(if activation.derivative_from_output() { &y } else { &x }, rows, cols);
        let mut first: Option<Vec<f32>> = None;
        for level in levels() {
            let mut out = x.clone();
            let mut dy = vec![0.7; x.len()];
            run(level, activation, Pass::InPlace, RowsMut::of(&mut out, rows, cols));
            run(level, activation, Pass::Backward { v }, RowsMut::of(&mut dy, rows, cols));
            out.extend(dy);
            match &first {
                None => first = Some(out),
                Some(first) => assert_same_bits(first, &out, &format!("{activation} {level:?}")),
            }
        }
    }
}

#[test]
fn extreme_inputs_stay_finite_and_nan_comes_through() {
    for activation in all() {
        let mut y = in_panels(&[1e4, -1e4, 3e4, f32::NAN, 0.0, 0.0], 3, 0.0);
        activation.forward_in_place(RowsMut::of(&mut y, 2, 3));
        assert!(y[..3].iter().all(|y| y.is_finite()), "{activation} {:?}", &y[..3]);
        assert!(y[16].is_nan(), "{activation}");
    }
}

#[test]
fn relu_is_flat_at_zero() {
    let y = vec![0.0; 16];
    let mut dy = vec![1.0; 16];
    let y = Rows::of(&y, 1, 16);
    Activation::Relu.backward(y, y, RowsMut::of(&mut dy, 1, 16));
    assert_eq!(dy, [0.0; 16]);
}

#[test]
fn names_are_read_back_and_unknown_ones_listed() {
    for activation in ALL {
        assert_eq!(activation.to_string().parse::<Activation>().unwrap(), activation);
    }
    assert_eq!("linear".parse::<Activation>().unwrap(), Activation::Identity);
    let message = "swish!".parse::<Activation>().unwrap_err().to_string();
    assert!(message.contains("leaky_relu") && message.contains("swish!"), "{message}");
}

#[test]
fn parameters_are_checked() {
    assert!(all().iter().all(|a| a.check().is_ok()));
    for wrong in [f32::NAN, f32::INFINITY, -0.1] {
        assert!(Activation::LeakyRelu { slope: wrong }.check().is_err());
        let message = Activation::Elu { alpha: wrong }.check().unwrap_err().to_string();
        assert!(message.contains("alpha") && message.contains(&wrong.to_string()), "{message}");
    }
}
