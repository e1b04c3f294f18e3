//! The way over panels of a function of single elements.

use fearless_simd::{f32x16, prelude::*};

use crate::rows::{LANES, Rows, RowsMut};
use crate::simd::{Registers, apart};

/// What to do with the rows at hand.
pub(super) enum Pass<'a> {
    /// Inputs become outputs.
    InPlace,
    /// The outputs of `x` are written.
    Forward { x: Rows<'a> },
    /// Gradients by the outputs become gradients by the inputs. `v` is what the derivative is taken
    /// from: outputs, or inputs where `derivative_from_output` says no.
    Backward { v: Rows<'a> },
}

/// A function of single elements, of some vectors at once.
pub(super) trait Function<S: Registers> {
    fn of<const N: usize>(&self, simd: S, x: [f32x16<S>; N]) -> [f32x16<S>; N];
}

/// One vector after the other.
pub(super) struct One<F>(pub F);

impl<S: Registers, F: Fn(f32x16<S>) -> f32x16<S>> Function<S> for One<F> {
    #[inline(always)]
    fn of<const N: usize>(&self, _simd: S, mut x: [f32x16<S>; N]) -> [f32x16<S>; N] {
        for x in &mut x {
            *x = self.0(*x);
        }
        x
    }
}

/// Runs over the rows of every panel: `f` from input to output, `df` from `v` and the
/// output's gradient to the input's. Each loop is a function of its own, which keeps its
/// caller small.
#[inline(always)]
pub(super) fn each<S: Registers>(
    simd: S,
    pass: Pass<'_>,
    mut out: RowsMut<'_>,
    f: impl Function<S>,
    df: impl Fn(f32x16<S>, f32x16<S>) -> f32x16<S>,
) {
    match pass {
        Pass::InPlace => forward(simd, f, None, out),
        Pass::Forward { x } => forward(simd, f, Some(x), out),
        Pass::Backward { v } => simd.vectorize(
            #[inline(always)]
            || {
                for p in 0..out.panels() {
                    for (v, dy) in v.panel(p).iter().zip(out.panel(p)) {
                        let v = f32x16::load_array_ref(simd, v);
                        df(v, f32x16::load_array_ref(simd, dy)).store_array(dy);
                    }
                }
            },
        ),
    }
}

/// Writes the function of `x`, or of what stands in `y`: as many vectors at once as registers hold, and
/// then what is left of each panel.
#[inline(always)]
fn forward<S: Registers>(simd: S, f: impl Function<S>, x: Option<Rows<'_>>, mut y: RowsMut<'_>) {
    let mut done = 0;
    if S::WIDE {
        done = vectors::<S, _, 4>(simd, &f, &x, &mut y, done);
    }
    if !S::EMULATED {
        done = vectors::<S, _, 2>(simd, &f, &x, &mut y, done);
    }
    vectors::<S, _, 1>(simd, &f, &x, &mut y, done);
}

/// The rows of every panel from `first` on, N at a time as far as they go; returns where they end. A
/// function of its own for each N: one frame, which stays small without optimization too.
#[inline(always)]
fn vectors<S: Registers, F: Function<S>, const N: usize>(
    simd: S,
    f: &F,
    x: &Option<Rows<'_>>,
    y: &mut RowsMut<'_>,
    first: usize,
) -> usize {
    let rows = first..y.rows - (y.rows - first) % N;
    if rows.is_empty() {
        return first;
    }
    match x {
        None => simd.vectorize(
            #[inline(always)]
            || {
                for p in 0..y.panels() {
                    for y in y.panel(p)[rows.clone()].as_chunks_mut::<N>().0 {
                        *y = apply(simd, f, y);
                    }
                }
            },
        ),
        Some(x) => simd.vectorize(
            #[inline(always)]
            || {
                for p in 0..y.panels() {
                    let from = x.panel(p)[rows.clone()].as_chunks::<N>().0;
                    for (x, y) in from.iter().zip(y.panel(p)[rows.clone()].as_chunks_mut::<N>().0) {
                        *y = apply(simd, f, x);
                    }
                }
            },
        ),
    }
    rows.end
}

/// The function of N vectors.
#[inline(always)]
fn apply<S: Registers, const N: usize>(
    simd: S,
    f: &impl Function<S>,
    x: &[[f32; LANES]; N],
) -> [[f32; LANES]; N] {
    apart!(simd => {
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
    })
}
