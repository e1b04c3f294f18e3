//! Losses of a difference: squared, absolute, and Huber's, which is both.

use fearless_simd::{Level, f32x16, prelude::*};

use super::{LossRows, TargetRows};
use crate::rows::Rows;
use crate::simd::{LaneRow, Registers, WideSum, dispatch_at};

/// Measures the mean of (y - t)² over rows and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct MeanSquaredError;

/// Measures the mean of |y - t| over rows and outputs; its gradient at 0 is 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct MeanAbsoluteError;

/// Measures the mean over rows and outputs of d²/2 where |d| <= `delta`, and of
/// `delta` (|d| - `delta`/2) elsewhere, with d = y - t.
///
/// # Source
///
/// Huber, "Robust Estimation of a Location Parameter", 1964; scaled as `torch.nn.HuberLoss`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Huber {
    /// Where the square ends, above 0.
    pub delta: f32,
}

impl Default for Huber {
    /// `delta` 1.
    fn default() -> Self {
        Self { delta: 1.0 }
    }
}

impl MeanSquaredError {
    pub(super) fn rows(&self, level: Level, block: LossRows<'_>) {
        dispatch_at!(level, simd => each(
            simd,
            block,
            #[inline(always)]
            |d| (d * d, d * 2.0),
        ));
    }
}

impl MeanAbsoluteError {
    pub(super) fn rows(&self, level: Level, block: LossRows<'_>) {
        dispatch_at!(level, simd => each(
            simd,
            block,
            #[inline(always)]
            |d| {
                let one = f32x16::splat(simd, 1.0);
                let sign = d.simd_gt(0.0).select(one, d);
                (d.abs(), d.simd_lt(0.0).select(-one, sign))
            },
        ));
    }
}

impl Huber {
    pub(super) fn rows(&self, level: Level, block: LossRows<'_>) {
        let delta = self.delta;
        dispatch_at!(level, simd => each(
            simd,
            block,
            #[inline(always)]
            |d| {
                let near = clamp(simd, d, delta);
                (near * (d - near * 0.5), near)
            },
        ));
    }
}

/// `d` where it is within `limit` of zero, else the limit on its side.
#[inline(always)]
fn clamp<S: Registers>(simd: S, d: f32x16<S>, limit: f32) -> f32x16<S> {
    let d = d.simd_gt(limit).select(f32x16::splat(simd, limit), d);
    d.simd_lt(-limit).select(f32x16::splat(simd, -limit), d)
}

/// Runs over the block's rows; `f` gives the loss and its derivative of a difference.
#[inline(always)]
fn each<S: Registers>(
    simd: S,
    mut block: LossRows<'_>,
    f: impl Fn(f32x16<S>) -> (f32x16<S>, f32x16<S>),
) {
    let (y, t) = (block.logits, values(&block));
    let row = LaneRow::new(simd, y.cols);
    let scale = block.scale / y.cols as f32;
    for (r, value) in block.values.iter_mut().enumerate() {
        let mut sum = WideSum::zero(simd);
        for p in 0..row.panels {
            let (y, t) = (y.lanes(r, p), t.lanes(r, p));
            let d = f32x16::load_array_ref(simd, y) - f32x16::load_array_ref(simd, t);
            let (loss, slope) = f(row.keep(p, d, 0.0));
            sum.add(loss);
            if let Some(grad) = &mut block.grad {
                (slope * scale).store_array(grad.lanes(r, p));
            }
        }
        *value = sum.total();
    }
    for value in block.values {
        *value /= y.cols as f64;
    }
}

/// The block's targets; that they are values has been checked when the training began.
fn values<'a>(block: &LossRows<'a>) -> Rows<'a> {
    match block.targets {
        TargetRows::Values(values) => values,
        TargetRows::Classes(_) => unreachable!("Loss::check wants values for a regression"),
    }
}
