//! Softmax and its derivative, row by row.

use fearless_simd::{Simd, f32x16, prelude::*};

use super::walk::Pass;
use crate::rows::{LANES, RowsMut};
use crate::simd::Fma;
use crate::simd::{LaneRow, exp_nonpositive, max16, sum16};

/// Does a pass over `out`, as the functions of single elements do.
#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, pass: Pass<'_>, out: RowsMut<'_>) {
    match pass {
        Pass::InPlace => softmax(simd, out),
        Pass::Forward { x } => {
            out.data.copy_from_slice(x);
            softmax(simd, out);
        }
        Pass::Backward { v } => softmax_backward(simd, v, out),
    }
}

/// Row by row, with the row's maximum taken off first; padding becomes 0.
#[inline(always)]
fn softmax<S: Simd>(simd: S, y: RowsMut<'_>) {
    let row = LaneRow::new(simd, y.cols);
    for y in y.data.chunks_exact_mut(y.stride) {
        let y = row.panels_of(y);
        let mut max = f32x16::splat(simd, f32::NEG_INFINITY);
        for (p, y) in y.iter().enumerate() {
            let x = row.keep(p, f32x16::load_array_ref(simd, y), f32::NEG_INFINITY);
            max = x.simd_gt(max).select(x, max);
        }
        let max = max16(simd, max);
        let mut sum = f32x16::splat(simd, 0.0);
        for (p, y) in y.iter_mut().enumerate() {
            let [e] = exp_nonpositive(simd, [f32x16::load_array_ref(simd, y) - max]);
            let e = row.keep(p, e, 0.0);
            sum += e;
            e.store_array(y);
        }
        let inverse = 1.0 / sum16(simd, sum);
        for y in y {
            (f32x16::load_array_ref(simd, y) * inverse).store_array(y);
        }
    }
}

/// dx_c = y_c (dy_c - Σ_k y_k dy_k); padding of `y` is 0, as [`softmax`] leaves it.
#[inline(always)]
fn softmax_backward<S: Simd>(simd: S, y: &[f32], dy: RowsMut<'_>) {
    let panels = dy.cols.div_ceil(LANES);
    for (y, dy) in y.chunks_exact(dy.stride).zip(dy.data.chunks_exact_mut(dy.stride)) {
        let y = &y.as_chunks::<LANES>().0[..panels];
        let dy = &mut dy.as_chunks_mut::<LANES>().0[..panels];
        let mut sum = f32x16::splat(simd, 0.0);
        for (y, dy) in y.iter().zip(&*dy) {
            let dy = f32x16::load_array_ref(simd, dy);
            sum = f32x16::load_array_ref(simd, y).fma(dy, sum);
        }
        let sum = sum16(simd, sum);
        for (y, dy) in y.iter().zip(dy) {
            let y = f32x16::load_array_ref(simd, y);
            (y * (f32x16::load_array_ref(simd, dy) - sum)).store_array(dy);
        }
    }
}
