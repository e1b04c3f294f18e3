//! Every activation against its formula in f64 and against finite differences of it.

use super::*;
use crate::rows::stride;
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

/// Values between -12 and 12, dense around zero; none is so near to zero that a finite difference
/// would step over it.
fn input(rows: usize, cols: usize) -> Vec<f32> {
    let mut data = vec![f32::NAN; rows * stride(cols)];
    for (i, v) in data.iter_mut().enumerate() {
        let u = ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        *v = 12.0 * u * u * u + 0.001f32.copysign(u);
    }
    data
}

fn run_all(activation: Activation, rows: usize, cols: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let x = input(rows, cols);
    let mut y = vec![7.0; x.len()];
    activation.forward(Rows::of(&x, rows, cols), RowsMut::of(&mut y, rows, cols));
    let mut dy: Vec<f32> = (0..x.len()).map(|i| (i % 13) as f32 * 0.25 - 1.0).collect();
    for row in dy.chunks_mut(stride(cols)) {
        row[cols..].fill(0.0);
    }
    let (from, to) = (Rows::of(&x, rows, cols), Rows::of(&y, rows, cols));
    activation.backward(from, to, RowsMut::of(&mut dy, rows, cols));
    (x, y, dy)
}

fn close(found: f32, want: f64) -> bool {
    (f64::from(found) - want).abs() <= 2e-6 * want.abs() + 1e-7
}

#[test]
fn outputs_are_those_of_the_formula() {
    for activation in all() {
        for (rows, cols) in SHAPES {
            let (x, y, _) = run_all(activation, rows, cols);
            for (x, y) in x.chunks(stride(cols)).zip(y.chunks(stride(cols))) {
                let x: Vec<f64> = x[..cols].iter().map(|&x| f64::from(x)).collect();
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
            let (x, _, dx) = run_all(activation, rows, cols);
            for r in 0..rows {
                let at = r * stride(cols);
                let x: Vec<f64> = x[at..][..cols].iter().map(|&x| f64::from(x)).collect();
                let loss = |x: &[f64]| -> f64 {
                    let weights = (at..).map(|i| f64::from((i % 13) as f32 * 0.25 - 1.0));
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
            let (mut x, y, dx) = run_all(activation, rows, cols);
            activation.forward_in_place(RowsMut::of(&mut x, rows, cols));
            for (x, y) in x.chunks(stride(cols)).zip(y.chunks(stride(cols))) {
                assert_same_bits(&x[..cols], &y[..cols], &activation.to_string());
            }
            let softmax = activation == Activation::Softmax;
            for (y, dx) in y.chunks(stride(cols)).zip(dx.chunks(stride(cols))) {
                assert!(dx[cols..].iter().all(|&v| v == 0.0), "{activation}");
                assert!(!softmax || y[cols..].iter().all(|&v| v == 0.0));
            }
        }
    }
}

#[test]
fn every_level_gives_the_same_bits() {
    let (rows, cols) = (5, 33);
    for activation in all() {
        let (x, y, _) = run_all(activation, rows, cols);
        let v = if activation.derivative_from_output() { &y } else { &x };
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
        let mut y = vec![0.0; 32];
        y[..3].copy_from_slice(&[1e4, -1e4, 3e4]);
        y[16] = f32::NAN;
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
