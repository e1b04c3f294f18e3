//! RMSprop.

use fearless_simd::f32x16;
use fearless_simd::prelude::*;

use super::fields::{Field, Hyperparameters, Range};
use super::sweep::Rule;
use crate::simd::{Fma, Registers, quotient};

/// Divides the gradient by a running root mean square of itself.
///
/// `g += weight_decay * p`; `v = alpha * v + (1 - alpha) * g²`; when centered
/// `a += (1 - alpha) * (g - a)` and the mean square is `v - a²`, else `v`;
/// `d = g / (sqrt(mean square) + eps)`; with momentum `b = momentum * b + d` and `p -= lr * b`, else
/// `p -= lr * d`. Where rounding makes `v - a²` negative it counts as zero (PyTorch gets NaN).
///
/// # Source
/// T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", 2012; centered: A. Graves, "Generating
/// sequences with recurrent neural networks", 2013, eq. 38 to 45; in the form of
/// `torch.optim.RMSprop`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RmsProp {
    /// Learning rate, per step.
    pub lr: f64,
    /// Share of the running mean that a step keeps; from 0 to below 1.
    pub alpha: f64,
    /// Added to the root; at least 1e-30.
    pub eps: f64,
    /// Factor of the parameters in the gradient (L2 penalty).
    pub weight_decay: f64,
    /// Share of the last step that is taken again; from 0 to below 1.
    pub momentum: f64,
    /// Whether to divide by the standard deviation instead of the root mean square.
    pub centered: bool,
}

impl Default for RmsProp {
    /// Rate 0.01, alpha 0.99, eps 1e-8, no momentum, no weight decay, not centered.
    fn default() -> Self {
        Self { lr: 1e-2, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, momentum: 0.0, centered: false }
    }
}

impl RmsProp {
    /// Makes one with this learning rate and the other defaults.
    pub fn new(lr: f64) -> Self {
        Self { lr, ..Self::default() }
    }

    /// Sets the share of the running mean that a step keeps.
    pub fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// Sets what is added to the root.
    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// Sets the weight decay.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Sets the momentum.
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Switches centering on or off.
    pub fn centered(self, centered: bool) -> Self {
        Self { centered, ..self }
    }

    pub(super) fn prepare(&self, lr: f64) -> RmsPropStep {
        RmsPropStep {
            lr: lr as f32,
            alpha: self.alpha as f32,
            fresh: (1.0 - self.alpha) as f32,
            eps: self.eps as f32,
            decay: self.weight_decay as f32,
            momentum: self.momentum as f32,
            centered: self.centered,
        }
    }
}

impl Hyperparameters for RmsProp {
    const NAME: &'static str = "rmsprop";

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::Number("lr", &mut self.lr, Range::NotNegative),
            Field::Number("alpha", &mut self.alpha, Range::BelowOne),
            Field::Number("eps", &mut self.eps, Range::Divisor),
            Field::Number("weight_decay", &mut self.weight_decay, Range::NotNegative),
            Field::Number("momentum", &mut self.momentum, Range::BelowOne),
            Field::Flag("centered", &mut self.centered),
        ]
    }
}

/// The scalars of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct RmsPropStep {
    lr: f32,
    alpha: f32,
    fresh: f32,
    eps: f32,
    decay: f32,
    pub(super) momentum: f32,
    pub(super) centered: bool,
}

/// The step with its options known to the compiler. Slots: `v`, then `b` with momentum, then `a`
/// when centered.
#[derive(Clone, Copy)]
pub(super) struct Variant<const MOMENTUM: bool, const CENTERED: bool>(pub RmsPropStep);

impl<const N: usize, const MOMENTUM: bool, const CENTERED: bool> Rule<N>
    for Variant<MOMENTUM, CENTERED>
{
    #[inline(always)]
    fn lanes<S: Registers>(
        &self,
        simd: S,
        p: f32x16<S>,
        g: f32x16<S>,
        mut slots: [f32x16<S>; N],
    ) -> (f32x16<S>, [f32x16<S>; N]) {
        let step = &self.0;
        let g = f32x16::splat(simd, step.decay).fma(p, g);
        slots[0] = (g * step.fresh).fma(g, slots[0] * step.alpha);
        let mut mean_square = slots[0];
        if CENTERED {
            let a = slots[N - 1];
            let a = f32x16::splat(simd, step.fresh).fma(g - a, a);
            slots[N - 1] = a;
            mean_square = (-a).fma(a, mean_square).max(f32x16::splat(simd, 0.0));
        }
        let mut d = quotient(simd, g, mean_square.sqrt() + step.eps);
        if MOMENTUM {
            d = f32x16::splat(simd, step.momentum).fma(slots[1], d);
            slots[1] = d;
        }
        (f32x16::splat(simd, -step.lr).fma(d, p), slots)
    }
}
