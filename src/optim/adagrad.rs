//! Adagrad.

use fearless_simd::f32x16;
use fearless_simd::prelude::*;

use super::fields::{Field, Hyperparameters, Range};
use super::sweep::Rule;
use crate::simd::{Fma, Registers, quotient};

/// Divides the gradient by the root of the sum of all its squares so far.
///
/// `g += weight_decay * p`; `v += g²`;
/// `p -= lr / (1 + (step - 1) * lr_decay) * g / (sqrt(v) + eps)`.
///
/// # Source
/// J. Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization",
/// 2011, in the form of `torch.optim.Adagrad`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Adagrad {
    /// Learning rate, per step.
    pub lr: f64,
    /// How fast the rate falls with the steps.
    pub lr_decay: f64,
    /// Factor of the parameters in the gradient (L2 penalty).
    pub weight_decay: f64,
    /// What the sum of squares starts from.
    pub initial_accumulator_value: f64,
    /// Added to the root; at least 1e-30.
    pub eps: f64,
}

impl Default for Adagrad {
    /// Rate 0.01, eps 1e-10, everything else 0.
    fn default() -> Self {
        Self {
            lr: 1e-2,
            lr_decay: 0.0,
            weight_decay: 0.0,
            initial_accumulator_value: 0.0,
            eps: 1e-10,
        }
    }
}

impl Adagrad {
    /// Makes one with this learning rate and the other defaults.
    pub fn new(lr: f64) -> Self {
        Self { lr, ..Self::default() }
    }

    /// Sets how fast the rate falls with the steps.
    pub fn lr_decay(self, lr_decay: f64) -> Self {
        Self { lr_decay, ..self }
    }

    /// Sets the weight decay.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Sets what the sum of squares starts from.
    pub fn initial_accumulator_value(self, initial_accumulator_value: f64) -> Self {
        Self { initial_accumulator_value, ..self }
    }

    /// Sets what is added to the root.
    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    pub(super) fn prepare(&self, step: u64, lr: f64) -> AdagradStep {
        let before = step.saturating_sub(1) as f64;
        AdagradStep {
            lr: (lr / (1.0 + before * self.lr_decay)) as f32,
            decay: self.weight_decay as f32,
            eps: self.eps as f32,
        }
    }
}

impl Hyperparameters for Adagrad {
    const NAME: &'static str = "adagrad";

    fn fields(&mut self) -> Vec<Field<'_>> {
        let initial = &mut self.initial_accumulator_value;
        vec![
            Field::Number("lr", &mut self.lr, Range::NotNegative),
            Field::Number("lr_decay", &mut self.lr_decay, Range::NotNegative),
            Field::Number("weight_decay", &mut self.weight_decay, Range::NotNegative),
            Field::Number("initial_accumulator_value", initial, Range::NotNegative),
            Field::Number("eps", &mut self.eps, Range::Divisor),
        ]
    }
}

/// The scalars of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdagradStep {
    lr: f32,
    decay: f32,
    eps: f32,
}

impl Rule<1> for AdagradStep {
    #[inline(always)]
    fn lanes<S: Registers>(
        &self,
        simd: S,
        p: f32x16<S>,
        g: f32x16<S>,
        [v]: [f32x16<S>; 1],
    ) -> (f32x16<S>, [f32x16<S>; 1]) {
        let g = f32x16::splat(simd, self.decay).fma(p, g);
        let v = g.fma(g, v);
        let step = quotient(simd, g, v.sqrt() + self.eps);
        (f32x16::splat(simd, -self.lr).fma(step, p), [v])
    }
}
