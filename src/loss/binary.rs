//! Cross-entropy of independent yes-or-no outputs.

use fearless_simd::{Level, f32x16, prelude::*};

use super::{LossRows, NEGLIGIBLE, TargetRows};
use crate::rows::LANES;
use crate::simd::{
    Fma, LaneRow, Registers, WideSum, dispatch_at, exp_nonpositive, ln_1p_unit, load,
};

/// Measures the mean over rows and outputs of -w t ln σ(z) - (1 - t) ln(1 - σ(z)), with the weight
/// w of the positive targets (1 unless given). Computed from logits, without overflow, whether the
/// model ends in a sigmoid or not. In the gradient a probability of less than 2^-80 is 0, as in
/// [`CrossEntropy`](crate::CrossEntropy).
///
/// # Shapes
///
/// Targets are values in 0..=1, one for each output, or, for a single output, two classes of which
/// class 1 is the positive one.
///
/// # Source
///
/// `torch.nn.functional.binary_cross_entropy_with_logits`.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct BinaryCrossEntropy {
    /// Weights of the positive targets: one for all outputs, or one for each.
    pub pos_weight: Option<Vec<f32>>,
}

impl BinaryCrossEntropy {
    /// Sets the weights of the positive targets: one for all outputs, or one for each.
    pub fn pos_weight(mut self, weights: impl Into<Vec<f32>>) -> Self {
        self.pos_weight = Some(weights.into());
        self
    }

    pub(super) fn rows(&self, level: Level, block: LossRows<'_>) -> usize {
        let (one, many) = match self.pos_weight.as_deref() {
            Some([one]) => (*one, None),
            many => (1.0, many),
        };
        dispatch_at!(level, simd => each(
            simd,
            block,
            #[inline(always)]
            |p| match many {
                Some(weights) => load(simd, weights, p * LANES, 1.0),
                None => f32x16::splat(simd, one),
            },
        ))
    }
}

/// A panel's losses and derivatives. With e = exp(-|z|) and L = ln(1 + e):
/// -ln σ(z) = max(-z, 0) + L and -ln σ(-z) = max(z, 0) + L, neither of which cancels.
#[inline(always)]
fn panel<S: Registers>(
    simd: S,
    z: f32x16<S>,
    t: f32x16<S>,
    weight: f32x16<S>,
) -> (f32x16<S>, f32x16<S>) {
    let zero = f32x16::splat(simd, 0.0);
    let [e] = exp_nonpositive(simd, [-z.abs()]);
    let log = ln_1p_unit(simd, e);
    let large = f32x16::splat(simd, 1.0) / (e + 1.0);
    let small = z.abs().simd_gt(-NEGLIGIBLE).select(zero, e * large);
    let up = z.simd_gt(0.0);
    let (sigmoid, opposite) = (up.select(large, small), up.select(small, large));
    let (above, below) = (up.select(z, zero) + log, up.select(zero, -z) + log);
    let (yes, no) = (t * weight, -t + 1.0);
    let loss = no.fma(above, yes * below);
    (loss, no.fma(sigmoid, -(yes * opposite)))
}

/// Runs over the block's rows; a row is right if every output is on its target's side.
#[inline(always)]
fn each<S: Registers>(
    simd: S,
    mut block: LossRows<'_>,
    weight: impl Fn(usize) -> f32x16<S>,
) -> usize {
    let cols = block.logits.cols;
    let row = LaneRow::new(simd, cols);
    let scale = block.scale / cols as f32;
    let mut correct = 0;
    for (r, value) in block.values.iter_mut().enumerate() {
        let mut sum = WideSum::zero(simd);
        let mut wrong = 0;
        for p in 0..row.panels {
            let z = f32x16::load_array_ref(simd, block.logits.lanes(r, p));
            let t = match block.targets {
                TargetRows::Classes(classes) => f32x16::splat(simd, classes[r] as f32),
                TargetRows::Values(values) => f32x16::load_array_ref(simd, values.lanes(r, p)),
            };
            let (loss, slope) = panel(simd, z, t, weight(p));
            sum.add(row.keep(p, loss, 0.0));
            let sides = z.simd_gt(0.0) ^ t.simd_gt(0.5);
            wrong |= sides.to_bitmask() & row.bits(p);
            if let Some(grad) = &mut block.grad {
                row.keep(p, slope * scale, 0.0).store_array(grad.lanes(r, p));
            }
        }
        correct += usize::from(wrong == 0);
        *value = sum.total() / cols as f64;
    }
    correct
}
