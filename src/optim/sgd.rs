//! Gradient descent.

use fearless_simd::f32x16;
use fearless_simd::prelude::*;

use super::fields::{Field, Hyperparameters, Range};
use super::sweep::Rule;
use crate::simd::{Fma, Registers};
use crate::{Error, Result};

/// Descends along the gradient, with momentum where it is set.
///
/// `g += weight_decay * p`; `b = momentum * b + (1 - dampening) * g`, where the first step takes
/// `b = g`; then `p -= lr * b`, or with Nesterov's momentum `p -= lr * (g + momentum * b)`.
///
/// # Source
/// I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013,
/// in the form of `torch.optim.SGD`.
///
/// # Examples
/// ```
/// use unisono::Sgd;
///
/// let sgd = Sgd::new(0.1).momentum(0.9).nesterov(true);
/// assert_eq!(sgd.weight_decay, 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sgd {
    /// Learning rate, per step.
    pub lr: f64,
    /// Share of the last step that is taken again; from 0 to below 1.
    pub momentum: f64,
    /// Share of the gradient that does not enter the momentum; from 0 to 1.
    pub dampening: f64,
    /// Whether to look ahead along the momentum.
    pub nesterov: bool,
    /// Factor of the parameters in the gradient (L2 penalty).
    pub weight_decay: f64,
}

impl Default for Sgd {
    /// Rate 0.001, no momentum, no weight decay.
    fn default() -> Self {
        Self { lr: 1e-3, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Sgd {
    /// Makes one with this learning rate and the other defaults.
    pub fn new(lr: f64) -> Self {
        Self { lr, ..Self::default() }
    }

    /// Sets the momentum.
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Sets the dampening.
    pub fn dampening(self, dampening: f64) -> Self {
        Self { dampening, ..self }
    }

    /// Switches Nesterov's momentum on or off.
    pub fn nesterov(self, nesterov: bool) -> Self {
        Self { nesterov, ..self }
    }

    /// Sets the weight decay.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    pub(super) fn prepare(&self, step: u64, lr: f64) -> SgdStep {
        let keep = if step <= 1 { 1.0 } else { 1.0 - self.dampening };
        let (ahead, own) = if self.nesterov { (self.momentum, 1.0) } else { (1.0, 0.0) };
        SgdStep {
            lr: lr as f32,
            decay: self.weight_decay as f32,
            momentum: self.momentum as f32,
            keep: keep as f32,
            ahead: ahead as f32,
            own,
        }
    }
}

impl Hyperparameters for Sgd {
    const NAME: &'static str = "sgd";

    fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::Number("lr", &mut self.lr, Range::NotNegative),
            Field::Number("momentum", &mut self.momentum, Range::BelowOne),
            Field::Number("dampening", &mut self.dampening, Range::UpToOne),
            Field::Flag("nesterov", &mut self.nesterov),
            Field::Number("weight_decay", &mut self.weight_decay, Range::NotNegative),
        ]
    }

    fn check_together(&self) -> Result<()> {
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let (momentum, dampening) = (self.momentum, self.dampening);
            let problem = format!(
                "of sgd: expected a momentum above 0 and no dampening beside it, found momentum \
                 {momentum} and dampening {dampening}"
            );
            return Err(Error::config("nesterov", problem));
        }
        Ok(())
    }
}

/// The scalars of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct SgdStep {
    lr: f32,
    decay: f32,
    pub(super) momentum: f32,
    keep: f32,
    ahead: f32,
    own: f32,
}

/// Without momentum.
impl Rule<0> for SgdStep {
    #[inline(always)]
    fn lanes<S: Registers>(
        &self,
        simd: S,
        p: f32x16<S>,
        g: f32x16<S>,
        slots: [f32x16<S>; 0],
    ) -> (f32x16<S>, [f32x16<S>; 0]) {
        let g = f32x16::splat(simd, self.decay).fma(p, g);
        (f32x16::splat(simd, -self.lr).fma(g, p), slots)
    }
}

/// With momentum. The step taken is `ahead * b + own * g`, which is `b` or Nesterov's look ahead:
/// an exact zero more costs less than another loop would.
impl Rule<1> for SgdStep {
    #[inline(always)]
    fn lanes<S: Registers>(
        &self,
        simd: S,
        p: f32x16<S>,
        g: f32x16<S>,
        [b]: [f32x16<S>; 1],
    ) -> (f32x16<S>, [f32x16<S>; 1]) {
        let g = f32x16::splat(simd, self.decay).fma(p, g);
        let b = f32x16::splat(simd, self.momentum).fma(b, g * self.keep);
        let step = f32x16::splat(simd, self.ahead).fma(b, g * self.own);
        (f32x16::splat(simd, -self.lr).fma(step, p), [b])
    }
}
