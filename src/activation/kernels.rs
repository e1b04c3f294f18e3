//! Each function with its derivative beside it, on sixteen lanes.

use fearless_simd::{Level, f32x16, prelude::*};

use super::walk::{Function, One, Pass, each};
use super::{Activation, softmax};
use crate::rows::RowsMut;
use crate::simd::{self, Fma, Registers, dispatch_at};

/// Does a pass over `out`: outputs in the forward passes, gradients in the backward one.
pub(super) fn run(level: Level, activation: Activation, pass: Pass<'_>, out: RowsMut<'_>) {
    dispatch_at!(level, simd => choose(simd, activation, pass, out));
}

#[inline(always)]
fn choose<S: Registers>(simd: S, activation: Activation, pass: Pass<'_>, out: RowsMut<'_>) {
    match activation {
        Activation::Identity => identity(simd, pass, out),
        Activation::Sigmoid => sigmoid(simd, pass, out),
        Activation::Tanh => tanh(simd, pass, out),
        Activation::Relu => relu(simd, pass, out),
        Activation::LeakyRelu { slope } => leaky_relu(simd, pass, out, slope),
        Activation::Elu { alpha } => elu(simd, pass, out, alpha),
        Activation::Gelu => gelu(simd, pass, out),
        Activation::Silu => silu(simd, pass, out),
        Activation::Softplus => softplus(simd, pass, out),
        Activation::Softmax => softmax::run(simd, pass, out),
    }
}

#[inline(always)]
fn identity<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        One(
            #[inline(always)]
            |x| x,
        ),
        #[inline(always)]
        |_, dy| dy,
    );
}

#[inline(always)]
fn sigmoid<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        Sigmoid,
        #[inline(always)]
        |y, dy| dy * (y * (-y + 1.0)),
    );
}

#[inline(always)]
fn tanh<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        Tanh,
        #[inline(always)]
        |y, dy| simd::tanh_gradient(simd, y, dy),
    );
}

#[inline(always)]
fn relu<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        One(
            #[inline(always)]
            |x| simd::relu(simd, x),
        ),
        #[inline(always)]
        |y, dy| simd::relu_gradient(simd, y, dy),
    );
}

#[inline(always)]
fn leaky_relu<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>, slope: f32) {
    each(
        simd,
        pass,
        out,
        One(
            #[inline(always)]
            |x: f32x16<S>| x.simd_gt(0.0).select(x, x * slope),
        ),
        #[inline(always)]
        |y, dy| y.simd_gt(0.0).select(dy, dy * slope),
    );
}

#[inline(always)]
fn elu<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>, alpha: f32) {
    let zero = f32x16::splat(simd, 0.0);
    each(
        simd,
        pass,
        out,
        One(
            #[inline(always)]
            |x: f32x16<S>| {
                let below = x.simd_gt(0.0).select(zero, x);
                let [y] = simd::expm1_nonpositive(simd, [below]);
                x.simd_gt(0.0).select(x, y * alpha)
            },
        ),
        #[inline(always)]
        |y, dy| y.simd_gt(0.0).select(dy, dy * (y + alpha)),
    );
}

#[inline(always)]
fn gelu<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        One(
            #[inline(always)]
            |x| x * simd::normal(simd, x).0,
        ),
        #[inline(always)]
        |x, dy| {
            let (cdf, density) = simd::normal(simd, x);
            dy * x.fma(density, cdf)
        },
    );
}

#[inline(always)]
fn silu<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        Silu,
        #[inline(always)]
        |x, dy| {
            let [s] = simd::sigmoid(simd, [x]);
            dy * (s * x.fma(-s + 1.0, 1.0))
        },
    );
}

// 1 - exp(-y) would lose its digits where y is small.
#[inline(always)]
fn softplus<S: Registers>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        One(
            #[inline(always)]
            |x| simd::softplus(simd, x),
        ),
        #[inline(always)]
        |y, dy| dy * -simd::expm1_nonpositive(simd, [-y])[0],
    );
}

struct Sigmoid;

impl<S: Registers> Function<S> for Sigmoid {
    #[inline(always)]
    fn of<const N: usize>(&self, simd: S, x: [f32x16<S>; N]) -> [f32x16<S>; N] {
        simd::sigmoid(simd, x)
    }
}

struct Tanh;

impl<S: Registers> Function<S> for Tanh {
    #[inline(always)]
    fn of<const N: usize>(&self, simd: S, x: [f32x16<S>; N]) -> [f32x16<S>; N] {
        simd::tanh(simd, x)
    }
}

struct Silu;

impl<S: Registers> Function<S> for Silu {
    #[inline(always)]
    fn of<const N: usize>(&self, simd: S, x: [f32x16<S>; N]) -> [f32x16<S>; N] {
        let mut y = simd::sigmoid(simd, x);
        for i in 0..N {
            y[i] *= x[i];
        }
        y
    }
}
