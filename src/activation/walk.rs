//! The way over rows of a function of single elements.

use std::ops::Range;

use fearless_simd::{Simd, f32x16, prelude::*};

use crate::rows::{LANES, RowsMut};
use crate::simd::Registers;

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

/// A function of single elements, of some vectors at once.
pub(super) trait Function<S: Simd> {
    fn of<const N: usize>(&self, simd: S, x: [f32x16<S>; N]) -> [f32x16<S>; N];
}

/// One vector after the other.
pub(super) struct One<F>(pub F);

impl<S: Simd, F: Fn(f32x16<S>) -> f32x16<S>> Function<S> for One<F> {
    #[inline(always)]
    fn of<const N: usize>(&self, _simd: S, mut x: [f32x16<S>; N]) -> [f32x16<S>; N] {
        for x in &mut x {
            *x = self.0(*x);
        }
        x
    }
}

/// Runs over the panels of every row: `f` from input to output, `df` from `v` and the
/// output's gradient to the input's. Each loop is a function of its own, which keeps its
/// caller small.
#[inline(always)]
pub(super) fn each<S: Registers>(
    simd: S,
    pass: Pass<'_>,
    out: RowsMut<'_>,
    f: impl Function<S>,
    df: impl Fn(f32x16<S>, f32x16<S>) -> f32x16<S>,
) {
    let (stride, panels) = (out.stride / LANES, out.cols.div_ceil(LANES));
    let out = out.data.as_chunks_mut::<LANES>().0;
    // Rows without panels of padding between them are one.
    let (row, panels) = match panels == stride {
        true => (out.len().max(1), out.len()),
        false => (stride, panels),
    };
    match pass {
        Pass::InPlace => forward(simd, f, None, out, (row, panels)),
        Pass::Forward { x } => {
            forward(simd, f, Some(x.as_chunks::<LANES>().0), out, (row, panels));
        }
        Pass::Backward { v } => simd.vectorize(
            #[inline(always)]
            || {
                let out = out.chunks_exact_mut(row);
                for (from, to) in v.as_chunks::<LANES>().0.chunks_exact(row).zip(out) {
                    for (v, dy) in from[..panels].iter().zip(to) {
                        let v = f32x16::load_array_ref(simd, v);
                        df(v, f32x16::load_array_ref(simd, dy)).store_array(dy);
                    }
                }
            },
        ),
    }
}

/// Writes the function of `x`, or of what stands in `y`: as many vectors at once as registers hold, and
/// then what is left of each row.
#[inline(always)]
fn forward<S: Registers>(
    simd: S,
    f: impl Function<S>,
    x: Option<&[[f32; LANES]]>,
    y: &mut [[f32; LANES]],
    (row, panels): (usize, usize),
) {
    let mut done = 0;
    if S::WIDE {
        done = panels / 4 * 4;
        vectors::<S, _, 4>(simd, &f, x, y, (row, 0..done));
    }
    if !S::EMULATED {
        let pairs = panels / 2 * 2;
        vectors::<S, _, 2>(simd, &f, x, y, (row, done..pairs));
        done = pairs;
    }
    vectors::<S, _, 1>(simd, &f, x, y, (row, done..panels));
}

/// Some panels of every row, N at a time. A function of its own for each N: one frame, which stays small
/// without optimization too.
#[inline(always)]
fn vectors<S: Simd, F: Function<S>, const N: usize>(
    simd: S,
    f: &F,
    x: Option<&[[f32; LANES]]>,
    y: &mut [[f32; LANES]],
    (row, panels): (usize, Range<usize>),
) {
    if panels.is_empty() {
        return;
    }
    let y = y.chunks_exact_mut(row);
    match x {
        None => simd.vectorize(
            #[inline(always)]
            || {
                for y in y {
                    for y in y[panels.clone()].as_chunks_mut::<N>().0 {
                        *y = apply(simd, f, y);
                    }
                }
            },
        ),
        Some(x) => simd.vectorize(
            #[inline(always)]
            || {
                for (x, y) in x.chunks_exact(row).zip(y) {
                    let to = y[panels.clone()].as_chunks_mut::<N>().0;
                    for (x, y) in x[panels.clone()].as_chunks::<N>().0.iter().zip(to) {
                        *y = apply(simd, f, x);
                    }
                }
            },
        ),
    }
}

/// The function of N vectors.
#[inline(always)]
fn apply<S: Simd, const N: usize>(
    simd: S,
    f: &impl Function<S>,
    x: &[[f32; LANES]; N],
) -> [[f32; LANES]; N] {
    let mut v = [f32x16::splat(simd, 0.0); N];
    for i in 0..N {
        v[i] = f32x16::load_array_ref(simd, &x[i]);
    }
    let v = f.of(simd, v);
    let mut y = [[0.0; LANES]; N];
    for i in 0..N {
        v[i].store_array(&mut y[i]);
    }
    y
}
