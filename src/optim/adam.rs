//! Adam, and the update that it shares with AdamW.

use fearless_simd::f32x16;
use fearless_simd::prelude::*;

use super::fields::{Field, Hyperparameters, Range};
use super::step::powers;
use super::sweep::Rule;
use crate::simd::{Fma, Registers, quotient};

/// Divides a running mean of the gradient by a running root mean square of it.
///
/// `g += weight_decay * p`; `m += (1 - beta1) * (g - m)`; `v = beta2 * v + (1 - beta2) * g²`;
/// `p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)`, where `c1 = 1 - beta1^step` and
/// `c2 = 1 - beta2^step` correct for the start from zero.
///
/// # Source
/// D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1, in the
/// form of `torch.optim.Adam`.
///
/// # Examples
/// ```
/// use unisono::Adam;
///
/// assert_eq!(Adam::default().lr, 0.001);
/// assert_eq!(Adam::new(0.01).weight_decay(1e-4).beta2, 0.999);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Adam {
    /// Learning rate, per step.
    pub lr: f64,
    /// Share of the running mean that a step keeps; from 0 to below 1.
    pub beta1: f64,
    /// Share of the running mean square that a step keeps; from 0 to below 1.
    pub beta2: f64,
    /// Added to the root; at least 1e-30.
    pub eps: f64,
    /// Factor of the parameters in the gradient (L2 penalty).
    pub weight_decay: f64,
}

impl Default for Adam {
    /// Rate 0.001, betas 0.9 and 0.999, eps 1e-8, no weight decay.
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl Adam {
    /// Makes one with this learning rate and the other defaults.
    pub fn new(lr: f64) -> Self {
        Self { lr, ..Self::default() }
    }

    /// Sets the share of the running mean that a step keeps.
    pub fn beta1(self, beta1: f64) -> Self {
        Self { beta1, ..self }
    }

    /// Sets the share of the running mean square that a step keeps.
    pub fn beta2(self, beta2: f64) -> Self {
        Self { beta2, ..self }
    }

    /// Sets what is added to the root.
    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// Sets the weight decay.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    pub(super) fn prepare(&self, step: u64, lr: f64) -> AdamStep {
        AdamStep::new(self, step, lr, 0.0)
    }
}

impl Hyperparameters for Adam {
    const NAME: &'static str = "adam";

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::Number("lr", &mut self.lr, Range::NotNegative),
            Field::Number("beta1", &mut self.beta1, Range::BelowOne),
            Field::Number("beta2", &mut self.beta2, Range::BelowOne),
            Field::Number("eps", &mut self.eps, Range::Divisor),
            Field::Number("weight_decay", &mut self.weight_decay, Range::NotNegative),
        ]
    }
}

/// The scalars of one step. `lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)` is computed as
/// `rate * (m / (sqrt(v) + eps))` with `rate = lr * sqrt(c2) / c1` and `eps = eps * sqrt(c2)`: the
/// corrections, which are the same for all parameters, leave the loop and take a division along.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdamStep {
    rate: f32,
    eps: f32,
    fresh1: f32,
    beta2: f32,
    fresh2: f32,
    /// Weight decay through the gradient.
    decay: f32,
    /// Weight decay of the parameters themselves: rate times factor.
    shrink: f32,
}

impl AdamStep {
    pub(super) fn new(adam: &Adam, step: u64, lr: f64, shrink: f64) -> Self {
        let [c1, c2] = powers([adam.beta1, adam.beta2], step).map(|power| 1.0 - power);
        let root = c2.sqrt();
        Self {
            rate: (lr * root / c1) as f32,
            eps: (adam.eps * root) as f32,
            fresh1: (1.0 - adam.beta1) as f32,
            beta2: adam.beta2 as f32,
            fresh2: (1.0 - adam.beta2) as f32,
            decay: adam.weight_decay as f32,
            shrink: shrink as f32,
        }
    }

    pub(super) fn decays(&self) -> bool {
        self.decay != 0.0 || self.shrink != 0.0
    }
}

/// With or without weight decay: either kind takes a multiply-add.
#[derive(Clone, Copy)]
pub(super) struct Decaying<const DECAYS: bool>(pub AdamStep);

impl<const DECAYS: bool> Rule<2> for Decaying<DECAYS> {
    #[inline(always)]
    fn lanes<S: Registers>(
        &self,
        simd: S,
        mut p: f32x16<S>,
        mut g: f32x16<S>,
        [m, v]: [f32x16<S>; 2],
    ) -> (f32x16<S>, [f32x16<S>; 2]) {
        let Self(step) = self;
        if DECAYS {
            g = f32x16::splat(simd, step.decay).fma(p, g);
            p = f32x16::splat(simd, -step.shrink).fma(p, p);
        }
        let m = f32x16::splat(simd, step.fresh1).fma(g - m, m);
        let v = (g * step.fresh2).fma(g, v * step.beta2);
        let change = quotient(simd, m, v.sqrt() + step.eps);
        (f32x16::splat(simd, -step.rate).fma(change, p), [m, v])
    }
}
