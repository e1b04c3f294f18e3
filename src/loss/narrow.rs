//! Cross-entropy of few classes: sixteen rows side by side, a vector for each class.
//!
//! Small nets spend a good part of a step here. A row of three classes would use three lanes of
//! sixteen; turned over, all are used, and no maximum or sum runs across lanes. The arithmetic is
//! that of [`super::cross_entropy`], sums in the same tree, so the bits are the same.

use fearless_simd::{Simd, f32x16, prelude::*};

use super::LossRows;
use crate::rows::LANES;
use crate::simd::Fma;
use crate::simd::{exp_nonpositive, ln};

/// The most classes for which this is faster, measured on AVX-512; on AVX2 it is up to sixteen.
pub(super) const MOST_CLASSES: usize = 8;

/// Classes without smoothing, as `one_hot` of the wide kernel.
#[inline(always)]
pub(super) fn one_hot<S: Simd>(
    simd: S,
    mut block: LossRows<'_>,
    classes: &[u32],
    weights: Option<&[f32]>,
) -> usize {
    let cols = block.logits.cols;
    debug_assert_eq!(block.logits.stride, LANES);
    let mut correct = 0;
    let logits = block.logits.data.as_chunks::<LANES>().0.chunks(LANES);
    let mut grads =
        block.grad.as_mut().map(|g| g.data.as_chunks_mut::<LANES>().0.chunks_mut(LANES));
    let blocks = block.values.chunks_mut(LANES).zip(classes.chunks(LANES)).zip(logits);
    for ((values, classes), logits) in blocks {
        let mut turned = [[0.0; LANES]; MOST_CLASSES];
        let z = &mut turned[..cols];
        let (mut class, mut factors) = ([0.0; LANES], [1.0; LANES]);
        for (i, (&label, row)) in classes.iter().zip(logits).enumerate().take(LANES) {
            for (z, &v) in z.iter_mut().zip(row) {
                z[i] = v;
            }
            class[i] = label as f32;
            factors[i] = weights.map_or(1.0, |w| w[label as usize]);
        }
        let class = f32x16::load_array(simd, class);
        let (sum, own, right) = exponentials(simd, z, class);
        correct += (right & ((1 << classes.len()) - 1)).count_ones() as usize;
        if let Some(grad) = grads.as_mut().and_then(Iterator::next) {
            let scale = f32x16::load_array(simd, factors) * block.scale;
            gradients(simd, z, class, scale, scale / sum);
            for (i, row) in grad.iter_mut().enumerate().take(LANES) {
                *row = [0.0; LANES];
                for (g, z) in row.iter_mut().zip(&*z) {
                    *g = z[i];
                }
            }
        }
        let (logs, own) = (ln(simd, sum).to_array(), own.to_array());
        for (i, value) in values.iter_mut().enumerate().take(LANES) {
            *value = f64::from(factors[i]) * (f64::from(logs[i]) - f64::from(own[i]));
        }
    }
    correct
}

/// Turns logits into exp(z - m); returns their sums, z - m of the rows' own classes, and a bit for
/// each row whose first maximum is its own class.
#[inline(always)]
fn exponentials<S: Simd>(
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
        *e = exp_nonpositive(simd, d);
        e.store_array(z);
    }
    for half in [4, 2, 1] {
        for c in half..z.len().min(2 * half) {
            tree[c - half] += tree[c];
        }
    }
    (tree[0], own, found.simd_eq(class).to_bitmask())
}

/// Turns exponentials into gradients, share e - scale one-hot.
#[inline(always)]
fn gradients<S: Simd>(
    simd: S,
    z: &mut [[f32; LANES]],
    class: f32x16<S>,
    scale: f32x16<S>,
    share: f32x16<S>,
) {
    for (c, z) in z.iter_mut().enumerate() {
        let minus = class.simd_eq(c as f32).select(-scale, f32x16::splat(simd, 0.0));
        f32x16::load_array_ref(simd, z).fma(share, minus).store_array(z);
    }
}
