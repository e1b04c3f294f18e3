//! Cross-entropy of few classes: sixteen rows side by side, a vector for each class.
//!
//! Small nets spend a good part of a step here. A row of three classes would use three lanes of
//! sixteen; turned over, all are used, and no maximum or sum runs across lanes. The arithmetic is
//! that of [`super::cross_entropy`], sums in the same tree, so the bits are the same.

use fearless_simd::{f32x8, f32x16, prelude::*};

use super::{LossRows, NEGLIGIBLE};
use crate::rows::LANES;
use crate::simd::{Fma, Registers, apart, exp_from, ln};

/// The most classes for which this is faster, measured on AVX-512; on AVX2 it is up to sixteen.
pub(super) const MOST_CLASSES: usize = 8;

/// Classes without smoothing, as `one_hot` of the wide kernel.
#[inline(always)]
pub(super) fn one_hot<S: Registers>(
    simd: S,
    mut block: LossRows<'_>,
    classes: &[u32],
    weights: Option<&[f32]>,
) -> usize {
    let cols = block.logits.cols;
    let mut correct = 0;
    let logits = block.logits.panel(0).chunks(LANES);
    let mut grads = block.grad.as_mut().map(|g| g.panel(0).chunks_mut(LANES));
    let blocks = block.values.chunks_mut(LANES).zip(classes.chunks(LANES)).zip(logits);
    for ((values, classes), logits) in blocks {
        let mut turned = [[0.0; LANES]; MOST_CLASSES];
        let z = &mut turned[..cols];
        for (z, column) in z.iter_mut().zip(columns(simd, &logits[..classes.len()])) {
            column.store_array(z);
        }
        let (mut class, mut factors) = ([0.0; LANES], [1.0; LANES]);
        for (i, &label) in classes.iter().enumerate().take(LANES) {
            class[i] = label as f32;
        }
        if let Some(weights) = weights {
            for (factor, &label) in factors.iter_mut().zip(classes) {
                *factor = weights[label as usize];
            }
        }
        let class = f32x16::load_array(simd, class);
        let (sum, own, right) = exponentials(simd, z, class);
        correct += (right & ((1 << classes.len()) - 1)).count_ones() as usize;
        if let Some(grad) = grads.as_mut().and_then(Iterator::next) {
            let scale = f32x16::load_array(simd, factors) * block.scale;
            let z = gradients(simd, z, class, scale, scale / sum);
            store_rows(simd, z, grad);
        }
        let (logs, own) = (ln(simd, sum).to_array(), own.to_array());
        let losses: [f64; LANES] = std::array::from_fn(|i| {
            f64::from(factors[i]) * (f64::from(logs[i]) - f64::from(own[i]))
        });
        let count = values.len();
        values.copy_from_slice(&losses[..count]);
    }
    correct
}

/// The first eight columns of sixteen rows; zeros for rows that are not there. In registers, for a
/// vector that is read back from sixteen single stores waits for all of them.
#[inline(always)]
fn columns<S: Registers>(simd: S, rows: &[[f32; LANES]]) -> [f32x16<S>; MOST_CLASSES] {
    let row = |i: usize| match rows.get(i) {
        Some(row) => f32x16::load_array_ref(simd, row),
        None => f32x16::splat(simd, 0.0),
    };
    let mut pairs = [f32x16::splat(simd, 0.0); MOST_CLASSES];
    for (i, pair) in pairs.iter_mut().enumerate() {
        *pair = row(i).zip_low(row(i + 8));
    }
    (0..3).fold(pairs, |pairs, _| interleaved(pairs))
}

/// Interleaves vector i and vector i + 4 into vectors 2i and 2i + 1.
#[inline(always)]
fn interleaved<S: Registers>(v: [f32x16<S>; MOST_CLASSES]) -> [f32x16<S>; MOST_CLASSES] {
    let simd = v[0].token();
    apart!(simd => {
        let mut out = v;
        for i in 0..MOST_CLASSES / 2 {
            out[2 * i] = v[i].zip_low(v[i + 4]);
            out[2 * i + 1] = v[i].zip_high(v[i + 4]);
        }
        out
    })
}

/// Turns logits into exp(z - m); returns their sums, z - m of the rows' own classes, and a bit for
/// each row whose first maximum is its own class.
#[inline(always)]
fn exponentials<S: Registers>(
    simd: S,
    z: &mut [[f32; LANES]],
    class: f32x16<S>,
) -> (f32x16<S>, f32x16<S>, u64) {
    let zero = f32x16::splat(simd, 0.0);
    let mut max = f32x16::splat(simd, f32::NEG_INFINITY);
    for z in &*z {
        let z = f32x16::load_array_ref(simd, z);
        max = z.simd_gt(max).select(z, max);
    }
    let mut tree = [zero; MOST_CLASSES];
    let (mut own, mut found) = (zero, f32x16::splat(simd, -1.0));
    for (c, (z, e)) in z.iter_mut().zip(&mut tree).enumerate() {
        let d = f32x16::load_array_ref(simd, z) - max;
        let here = f32x16::splat(simd, c as f32);
        own = class.simd_eq(here).select(d, own);
        found = (d.simd_eq(0.0) & found.simd_lt(0.0)).select(here, found);
        [*e] = exp_from(simd, NEGLIGIBLE, [d]);
        e.store_array(z);
    }
    for half in [4, 2, 1] {
        for c in half..z.len().min(2 * half) {
            tree[c - half] += tree[c];
        }
    }
    (tree[0], own, found.simd_eq(class).to_bitmask())
}

/// Turns exponentials into gradients, share e - scale one-hot; zeros beyond the last class.
#[inline(always)]
fn gradients<S: Registers>(
    simd: S,
    z: &[[f32; LANES]],
    class: f32x16<S>,
    scale: f32x16<S>,
    share: f32x16<S>,
) -> [f32x16<S>; MOST_CLASSES] {
    let zero = f32x16::splat(simd, 0.0);
    let mut grads = [zero; MOST_CLASSES];
    for (c, (z, grad)) in z.iter().zip(&mut grads).enumerate() {
        let minus = class.simd_eq(c as f32).select(-scale, zero);
        *grad = f32x16::load_array_ref(simd, z).fma(share, minus);
    }
    grads
}

/// Writes eight columns of sixteen rows as rows, as many as there are.
#[inline(always)]
fn store_rows<S: Registers>(
    simd: S,
    columns: [f32x16<S>; MOST_CLASSES],
    rows: &mut [[f32; LANES]],
) {
    let pairs = (0..3).fold(columns, |v, _| interleaved(v));
    let zero = f32x8::splat(simd, 0.0);
    for (pair, rows) in pairs.into_iter().zip(rows.chunks_mut(2)) {
        let (even, odd) = simd.split_f32x16(pair);
        for (half, row) in [even, odd].into_iter().zip(rows) {
            half.store_slice(&mut row[..LANES / 2]);
            zero.store_slice(&mut row[LANES / 2..]);
        }
    }
}
