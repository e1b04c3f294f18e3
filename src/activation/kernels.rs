//! Each function with its derivative beside it, on sixteen lanes.

use fearless_simd::{Level, Simd, f32x16, prelude::*};

use super::{Activation, softmax};
use crate::rows::{LANES, RowsMut};
use crate::simd::Fma;
use crate::simd::{self, dispatch_at};

/// What to do with the rows at hand.
pub(super) enum Pass<'a> {
    /// Inputs become outputs.
    InPlace,
    /// The outputs of `x` are written.
    Forward { x: &'a [f32] },
    /// Gradients by the outputs become gradients by the inputs. `v` is what the derivative is taken
    /// from: outputs, or inputs where [`Activation::derivative_from_output`] says no.
    Backward { v: &'a [f32] },
}

/// Does a pass over `out`: outputs in the forward passes, gradients in the backward one.
pub(super) fn run(level: Level, activation: Activation, pass: Pass<'_>, out: RowsMut<'_>) {
    dispatch_at!(level, simd => choose(simd, activation, pass, out));
}

#[inline(always)]
fn choose<S: Simd>(simd: S, activation: Activation, pass: Pass<'_>, out: RowsMut<'_>) {
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
fn identity<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| x,
        #[inline(always)]
        |_, dy| dy,
    );
}

#[inline(always)]
fn sigmoid<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| simd::sigmoid(simd, x),
        #[inline(always)]
        |y, dy| dy * (y * (-y + 1.0)),
    );
}

#[inline(always)]
fn tanh<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| simd::tanh(simd, x),
        #[inline(always)]
        |y, dy| dy * (-y).fma(y, 1.0),
    );
}

#[inline(always)]
fn relu<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| simd::relu(simd, x),
        #[inline(always)]
        |y, dy| simd::relu_gradient(simd, y, dy),
    );
}

#[inline(always)]
fn leaky_relu<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>, slope: f32) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| x.simd_gt(0.0).select(x, x * slope),
        #[inline(always)]
        |y, dy| y.simd_gt(0.0).select(dy, dy * slope),
    );
}

#[inline(always)]
fn elu<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>, alpha: f32) {
    let zero = f32x16::splat(simd, 0.0);
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| {
            let below = x.simd_gt(0.0).select(zero, x);
            x.simd_gt(0.0).select(x, simd::expm1_nonpositive(simd, below) * alpha)
        },
        #[inline(always)]
        |y, dy| y.simd_gt(0.0).select(dy, dy * (y + alpha)),
    );
}

#[inline(always)]
fn gelu<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| x * simd::normal(simd, x).0,
        #[inline(always)]
        |x, dy| {
            let (cdf, density) = simd::normal(simd, x);
            dy * x.fma(density, cdf)
        },
    );
}

#[inline(always)]
fn silu<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| x * simd::sigmoid(simd, x),
        #[inline(always)]
        |x, dy| {
            let s = simd::sigmoid(simd, x);
            dy * (s * x.fma(-s + 1.0, 1.0))
        },
    );
}

// 1 - exp(-y) would lose its digits where y is small.
#[inline(always)]
fn softplus<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    each(
        simd,
        pass,
        out,
        #[inline(always)]
        |x| simd::softplus(simd, x),
        #[inline(always)]
        |y, dy| dy * -simd::expm1_nonpositive(simd, -y),
    );
}

/// Runs over the panels of every row: `f` from input to output, `df` from `v` and the
/// output's gradient to the input's. Each loop is a function of its own, which keeps [`choose`]
/// small.
#[inline(always)]
fn each<S: Simd>(
    simd: S,
    pass: Pass<'_>,
    out: RowsMut<'_>,
    f: impl Fn(f32x16<S>) -> f32x16<S>,
    df: impl Fn(f32x16<S>, f32x16<S>) -> f32x16<S>,
) {
    let (stride, panels) = (out.stride / LANES, out.cols.div_ceil(LANES));
    let out = out.data.as_chunks_mut::<LANES>().0.chunks_exact_mut(stride);
    match pass {
        Pass::InPlace => simd.vectorize(
            #[inline(always)]
            || {
                for row in out {
                    for y in &mut row[..panels] {
                        f(f32x16::load_array_ref(simd, y)).store_array(y);
                    }
                }
            },
        ),
        Pass::Forward { x } => simd.vectorize(
            #[inline(always)]
            || {
                for (from, to) in x.as_chunks::<LANES>().0.chunks_exact(stride).zip(out) {
                    for (x, y) in from[..panels].iter().zip(to) {
                        f(f32x16::load_array_ref(simd, x)).store_array(y);
                    }
                }
            },
        ),
        Pass::Backward { v } => simd.vectorize(
            #[inline(always)]
            || {
                for (from, to) in v.as_chunks::<LANES>().0.chunks_exact(stride).zip(out) {
                    for (v, dy) in from[..panels].iter().zip(to) {
                        let v = f32x16::load_array_ref(simd, v);
                        df(v, f32x16::load_array_ref(simd, dy)).store_array(dy);
                    }
                }
            },
        ),
    }
}
