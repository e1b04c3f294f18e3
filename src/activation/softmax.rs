//! Softmax and its derivative, row by row.

use fearless_simd::{f32x16, prelude::*};

use super::walk::Pass;
use crate::rows::{Rows, RowsMut};
use crate::simd::{Fma, LaneRow, Registers, exp_nonpositive, max16, sum16};

/// Does a pass over `out`, as the functions of single elements do.
#[inline(always)]
pub(super) fn run<S: Registers>(simd: S, pass: Pass<'_>, mut out: RowsMut<'_>) {
    match pass {
        Pass::InPlace => softmax(simd, out),
        Pass::Forward { x } => {
            for p in 0..x.panels() {
                out.panel(p).copy_from_slice(x.panel(p));
            }
            softmax(simd, out);
        }
        Pass::Backward { v } => softmax_backward(simd, v, out),
    }
}

/// Row by row, with the row's maximum taken off first; padding becomes 0.
#[inline(always)]
fn softmax<S: Registers>(simd: S, mut y: RowsMut<'_>) {
    let (row, panels) = (LaneRow::new(simd, y.cols), y.panels());
    for r in 0..y.rows {
        let mut max = f32x16::splat(simd, f32::NEG_INFINITY);
        for p in 0..panels {
            let x = f32x16::load_array_ref(simd, y.lanes(r, p));
            let x = row.keep(p, x, f32::NEG_INFINITY);
            max = x.simd_gt(max).select(x, max);
        }
        let max = max16(simd, max);
        let mut sum = f32x16::splat(simd, 0.0);
        for p in 0..panels {
            let y = y.lanes(r, p);
            let [e] = exp_nonpositive(simd, [f32x16::load_array_ref(simd, y) - max]);
            let e = row.keep(p, e, 0.0);
            sum += e;
            e.store_array(y);
        }
        let inverse = 1.0 / sum16(simd, sum);
        for p in 0..panels {
            let y = y.lanes(r, p);
            (f32x16::load_array_ref(simd, y) * inverse).store_array(y);
        }
    }
}

/// dx_c = y_c (dy_c - Σ_k y_k dy_k); padding of `y` is 0, as [`softmax`] leaves it.
#[inline(always)]
fn softmax_backward<S: Registers>(simd: S, y: Rows<'_>, mut dy: RowsMut<'_>) {
    for r in 0..y.rows {
        let mut sum = f32x16::splat(simd, 0.0);
        for p in 0..y.panels() {
            let dy = f32x16::load_array_ref(simd, dy.lanes(r, p));
            sum = f32x16::load_array_ref(simd, y.lanes(r, p)).fma(dy, sum);
        }
        let sum = sum16(simd, sum);
        for p in 0..y.panels() {
            let (y, dy) = (f32x16::load_array_ref(simd, y.lanes(r, p)), dy.lanes(r, p));
            (y * (f32x16::load_array_ref(simd, dy) - sum)).store_array(dy);
        }
    }
}
