//! Cross-entropy of one class out of several, softmax included.

use fearless_simd::{Level, f32x16, prelude::*};

use super::{LossRows, NEGLIGIBLE, TargetRows, narrow};
use crate::rows::{LANES, Rows};
use crate::simd::{Fma, LaneRow, Registers, apart, dispatch_at, exp_from, ln, load, max16, sum16};

/// Measures -Σ_c w_c t_c ln p_c with p = softmax(z), as a mean over rows. Computed from logits,
/// without overflow, whether the model ends in a softmax or not.
///
/// With classes as targets t is one-hot, and the mean over a batch is weighted: the sum is divided
/// by the sum of the rows' class weights. With values as targets (class probabilities) it is
/// divided by the number of rows. Label smoothing mixes `label_smoothing` of the uniform
/// distribution into t. In the gradient a class less than 2^-80 times as probable as the row's most
/// probable one has p = 0: of a net that has converged, such classes would make every step slow.
///
/// # Source
///
/// `torch.nn.functional.cross_entropy`; Szegedy et al., "Rethinking the Inception Architecture",
/// section 7, for label smoothing.
///
/// # Examples
///
/// ```
/// use unisono::CrossEntropy;
///
/// let loss = CrossEntropy::default().label_smoothing(0.1).class_weights(vec![1.0, 5.0]);
/// assert_eq!(loss.class_weights, Some(vec![1.0, 5.0]));
/// ```
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct CrossEntropy {
    /// Share of the uniform distribution in the targets, 0 to 1.
    pub label_smoothing: f32,
    /// A weight above 0 for each output.
    pub class_weights: Option<Vec<f32>>,
}

impl CrossEntropy {
    /// Sets the share of the uniform distribution in the targets, 0 to 1.
    pub fn label_smoothing(mut self, share: f32) -> Self {
        self.label_smoothing = share;
        self
    }

    /// Sets a weight above 0 for each output.
    pub fn class_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        self.class_weights = Some(weights.into());
        self
    }

    pub(super) fn rows(&self, level: Level, block: LossRows<'_>) -> usize {
        let weights = self.class_weights.as_deref();
        let uniform = self.label_smoothing / block.logits.cols as f32;
        let keep = 1.0 - self.label_smoothing;
        match block.targets {
            TargetRows::Classes(classes)
                if self.label_smoothing == 0.0 && block.logits.cols <= narrow::MOST_CLASSES =>
            {
                dispatch_at!(level, simd => narrow::one_hot(simd, block, classes, weights))
            }
            TargetRows::Classes(classes) if self.label_smoothing == 0.0 => {
                dispatch_at!(level, simd => one_hot(simd, block, classes, weights))
            }
            TargetRows::Classes(classes) => dispatch_at!(level, simd => soft(
                simd,
                block,
                #[inline(always)]
                |row, r, p| {
                    let class = classes[r] as usize;
                    let own = keep * weights.map_or(1.0, |w| w[class]);
                    weight(simd, weights, p) * uniform + row.only(simd, p, class, own)
                },
                #[inline(always)]
                |_, r| classes[r] as usize,
            )),
            TargetRows::Values(values) => dispatch_at!(level, simd => soft(
                simd,
                block,
                #[inline(always)]
                |_, r, p| {
                    let t = f32x16::load_array_ref(simd, values.lanes(r, p));
                    weight(simd, weights, p) * (t * keep + uniform)
                },
                #[inline(always)]
                |row, r| argmax(simd, row, values, r),
            )),
        }
    }
}

/// The class weights of panel `p`.
#[inline(always)]
fn weight<S: Registers>(simd: S, weights: Option<&[f32]>, p: usize) -> f32x16<S> {
    match weights {
        Some(weights) => load(simd, weights, p * LANES, 0.0),
        None => f32x16::splat(simd, 1.0),
    }
}

/// Row `r`'s largest value.
#[inline(always)]
fn largest<S: Registers>(simd: S, row: &LaneRow<S>, rows: Rows<'_>, r: usize) -> f32 {
    apart!(simd => {
        let mut max = f32x16::splat(simd, f32::NEG_INFINITY);
        for p in 0..row.panels {
            let z = f32x16::load_array_ref(simd, rows.lanes(r, p));
            let z = row.keep(p, z, f32::NEG_INFINITY);
            max = z.simd_gt(max).select(z, max);
        }
        max16(simd, max)
    })
}

/// The first column of panel `p` whose lane is 0, if none was found before.
#[inline(always)]
fn first_zero<S: Registers>(found: usize, p: usize, d: f32x16<S>) -> usize {
    let simd = d.token();
    let zeros = apart!(simd => d.simd_eq(0.0).to_bitmask());
    let here = p * LANES + zeros.trailing_zeros() as usize;
    if found == usize::MAX && zeros != 0 { here } else { found }
}

/// The first column that holds row `r`'s largest value.
#[inline(always)]
fn argmax<S: Registers>(simd: S, row: &LaneRow<S>, rows: Rows<'_>, r: usize) -> usize {
    let max = largest(simd, row, rows, r);
    let mut found = usize::MAX;
    for p in 0..row.panels {
        let d = row.keep(p, f32x16::load_array_ref(simd, rows.lanes(r, p)) - max, -1.0);
        found = first_zero(found, p, d);
    }
    found
}

/// What padding is set to, relative to the row's maximum: its exponential is 0.
const FAR_BELOW: f32 = -1000.0;

/// Classes without smoothing: loss w (ln Σ exp(z - m) - (z_t - m)), gradient w (p - one-hot). The
/// exponentials wait in the gradient's row; the logarithms are taken for sixteen rows at a time.
#[inline(always)]
pub(super) fn one_hot<S: Registers>(
    simd: S,
    mut block: LossRows<'_>,
    classes: &[u32],
    weights: Option<&[f32]>,
) -> usize {
    let row = LaneRow::new(simd, block.logits.cols);
    let mut correct = 0;
    for (b, values) in block.values.chunks_mut(LANES).enumerate() {
        let (mut sums, mut own, mut factors) = ([1.0; LANES], [0.0; LANES], [1.0; LANES]);
        for i in 0..values.len() {
            let r = b * LANES + i;
            let class = classes[r] as usize;
            let z = block.logits;
            let max = largest(simd, &row, z, r);
            let mut sum = f32x16::splat(simd, 0.0);
            let mut found = usize::MAX;
            for p in 0..row.panels {
                let d = f32x16::load_array_ref(simd, z.lanes(r, p)) - max;
                let d = row.keep(p, d, FAR_BELOW);
                found = first_zero(found, p, d);
                let [e] = exp_from(simd, NEGLIGIBLE, [d]);
                sum += e;
                if let Some(grad) = &mut block.grad {
                    e.store_array(grad.lanes(r, p));
                }
            }
            correct += usize::from(found == class);
            sums[i] = sum16(simd, sum);
            own[i] = z.lanes(r, class / LANES)[class % LANES] - max;
            factors[i] = weights.map_or(1.0, |w| w[class]);
            let scale = factors[i] * block.scale;
            let share = scale / sums[i];
            if let Some(grad) = &mut block.grad {
                for p in 0..row.panels {
                    let (g, minus) = (grad.lanes(r, p), row.only(simd, p, class, -scale));
                    f32x16::load_array_ref(simd, g).fma(share, minus).store_array(g);
                }
            }
        }
        let logs = ln(simd, f32x16::load_array(simd, sums)).to_array();
        for (i, value) in values.iter_mut().enumerate() {
            *value = f64::from(factors[i]) * (f64::from(logs[i]) - f64::from(own[i]));
        }
    }
    correct
}

/// Any targets: with v = `target(row, r, p)` and V their sum, loss V ln Σ exp(z - m) - Σ v (z - m),
/// gradient V p - v. `label` is the class that row `r` counts for.
#[inline(always)]
fn soft<S: Registers>(
    simd: S,
    mut block: LossRows<'_>,
    target: impl Fn(&LaneRow<S>, usize, usize) -> f32x16<S>,
    label: impl Fn(&LaneRow<S>, usize) -> usize,
) -> usize {
    let row = LaneRow::new(simd, block.logits.cols);
    let zero = f32x16::splat(simd, 0.0);
    let mut correct = 0;
    for (b, values) in block.values.chunks_mut(LANES).enumerate() {
        let (mut sums, mut dots, mut totals) = ([1.0; LANES], [0.0; LANES], [1.0; LANES]);
        for i in 0..values.len() {
            let r = b * LANES + i;
            let z = block.logits;
            let max = largest(simd, &row, z, r);
            let (mut sum, mut dot, mut total) = (zero, zero, zero);
            let mut found = usize::MAX;
            for p in 0..row.panels {
                let d = f32x16::load_array_ref(simd, z.lanes(r, p)) - max;
                let d = row.keep(p, d, FAR_BELOW);
                found = first_zero(found, p, d);
                let [e] = exp_from(simd, NEGLIGIBLE, [d]);
                let v = row.keep(p, target(&row, r, p), 0.0);
                sum += e;
                dot = v.fma(d, dot);
                total += v;
                if let Some(grad) = &mut block.grad {
                    e.store_array(grad.lanes(r, p));
                }
            }
            correct += usize::from(found == label(&row, r));
            (sums[i], dots[i]) = (sum16(simd, sum), sum16(simd, dot));
            totals[i] = sum16(simd, total);
            let share = totals[i] * block.scale / sums[i];
            if let Some(grad) = &mut block.grad {
                for p in 0..row.panels {
                    let minus = row.keep(p, target(&row, r, p) * -block.scale, 0.0);
                    let g = grad.lanes(r, p);
                    f32x16::load_array_ref(simd, g).fma(share, minus).store_array(g);
                }
            }
        }
        let logs = ln(simd, f32x16::load_array(simd, sums)).to_array();
        for (i, value) in values.iter_mut().enumerate() {
            *value = f64::from(totals[i]) * f64::from(logs[i]) - f64::from(dots[i]);
        }
    }
    correct
}
