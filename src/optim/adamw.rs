//! Adam with decoupled weight decay.

use super::adam::{Adam, AdamStep};
use super::fields::{Field, Hyperparameters, Range};

/// Steps like [`Adam`], and shrinks the parameters apart from the gradient.
///
/// `p -= lr * weight_decay * p`, then Adam's step with a gradient free of weight decay.
///
/// # Source
/// I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", 2019, algorithm 2, in the
/// form of `torch.optim.AdamW`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamW {
    /// Learning rate, per step.
    pub lr: f64,
    /// Share of the running mean that a step keeps; from 0 to below 1.
    pub beta1: f64,
    /// Share of the running mean square that a step keeps; from 0 to below 1.
    pub beta2: f64,
    /// Added to the root; at least 1e-30.
    pub eps: f64,
    /// Share of the parameters that a step of rate 1 takes away.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// Rate 0.001, betas 0.9 and 0.999, eps 1e-8, weight decay 0.01.
    fn default() -> Self {
        let Adam { lr, beta1, beta2, eps, .. } = Adam::default();
        Self { lr, beta1, beta2, eps, weight_decay: 1e-2 }
    }
}

impl AdamW {
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
        let Self { beta1, beta2, eps, weight_decay, .. } = *self;
        let adam = Adam { lr, beta1, beta2, eps, weight_decay: 0.0 };
        AdamStep::new(&adam, step, lr, lr * weight_decay)
    }
}

impl Hyperparameters for AdamW {
    const NAME: &'static str = "adamw";

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
