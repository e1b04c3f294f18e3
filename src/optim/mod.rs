//! Optimizers over flat slices, learning-rate schedules, clipping and early stopping.
//!
//! An optimizer holds hyperparameters and no state. Its state lies in *slots*, buffers as long as
//! the parameters, so that the trainer can cut parameters, gradients and slots into chunks, update
//! them on many threads, and write them to a checkpoint like any other buffer.

mod adagrad;
mod adam;
mod adamw;
mod clip;
mod fields;
#[cfg(test)]
mod reference;
mod rmsprop;
mod schedule;
mod sgd;
mod step;
mod stopping;
mod sweep;

use std::fmt;
use std::str::FromStr;

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamw::AdamW;
pub use clip::Clip;
pub(crate) use clip::{GradScale, sum_of_squares};
pub use rmsprop::RmsProp;
pub use schedule::Schedule;
pub(crate) use schedule::ScheduleState;
pub use sgd::Sgd;
pub(crate) use step::Step;
pub use stopping::EarlyStopping;
pub(crate) use stopping::{StoppingState, Verdict};

use crate::{Error, Result};
use fields::Hyperparameters;
use step::{CLEARING, Kind};

/// Chooses the rule by which gradients change parameters.
///
/// Definitions and defaults are PyTorch's, but for running means below 2^-126, which become zero with every
/// 16th step: as subnormal numbers they would make every later step slow. It prints with all its
/// hyperparameters, and what it prints it also reads; the bare name (`sgd`, `rmsprop`, `adagrad`, `adam`,
/// `adamw`) reads as the defaults.
///
/// # Examples
/// ```
/// use unisono::{Adam, Optimizer};
///
/// let optimizer = Optimizer::from(Adam::new(0.01).beta1(0.8));
/// assert_eq!(
///     optimizer.to_string(),
///     "adam(lr=0.01, beta1=0.8, beta2=0.999, eps=1e-8, weight_decay=0.0)"
/// );
/// assert_eq!("adam(lr=0.01, beta1=0.8)".parse::<Optimizer>()?, optimizer);
/// assert_eq!("adam".parse::<Optimizer>()?, Adam::default().into());
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent, with momentum or without.
    Sgd(Sgd),
    /// Steps divided by a running root mean square of the gradient.
    RmsProp(RmsProp),
    /// Steps divided by the root of all squared gradients so far.
    Adagrad(Adagrad),
    /// Running means of the gradient and of its square.
    Adam(Adam),
    /// Adam with weight decay apart from the gradient.
    AdamW(AdamW),
}

/// Calls the same method on whichever optimizer it is.
macro_rules! each {
    ($optimizer:expr, $inner:ident => $op:expr) => {
        match $optimizer {
            Optimizer::Sgd($inner) => $op,
            Optimizer::RmsProp($inner) => $op,
            Optimizer::Adagrad($inner) => $op,
            Optimizer::Adam($inner) => $op,
            Optimizer::AdamW($inner) => $op,
        }
    };
}

impl Optimizer {
    /// Replaces the learning rate.
    pub fn with_lr(mut self, rate: f64) -> Self {
        each!(&mut self, inner => inner.lr = rate);
        self
    }

    /// The learning rate, which a [`Schedule`] takes as its base.
    pub fn lr(&self) -> f64 {
        each!(self, inner => inner.lr)
    }

    /// Checks every hyperparameter.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field whose value makes no sense.
    pub fn check(&self) -> Result<()> {
        each!(self, inner => fields::check(inner))
    }

    /// How many state buffers of the parameters' length it needs.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Sgd(sgd) => usize::from(sgd.momentum != 0.0),
            Self::RmsProp(it) => 1 + usize::from(it.momentum != 0.0) + usize::from(it.centered),
            Self::Adagrad(_) => 1,
            Self::Adam(_) | Self::AdamW(_) => 2,
        }
    }

    /// The value that fills a slot before the first step.
    pub(crate) fn initial(&self, slot: usize) -> f32 {
        match (self, slot) {
            (Self::Adagrad(adagrad), 0) => adagrad.initial_accumulator_value as f32,
            _ => 0.0,
        }
    }

    /// Computes the scalars of a step, counted from 1, at the rate that the schedule gives.
    pub(crate) fn prepare(&self, step: u64, lr: f64, grad: GradScale) -> Step {
        let kind = match self {
            Self::Sgd(sgd) => Kind::Sgd(sgd.prepare(step, lr)),
            Self::RmsProp(rmsprop) => Kind::RmsProp(rmsprop.prepare(lr)),
            Self::Adagrad(adagrad) => Kind::Adagrad(adagrad.prepare(step, lr)),
            Self::Adam(adam) => Kind::Adam(adam.prepare(step, lr)),
            Self::AdamW(adamw) => Kind::Adam(adamw.prepare(step, lr)),
        };
        Step { kind, grad, clears: step.is_multiple_of(CLEARING) }
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&each!(self, inner => fields::print(inner)))
    }
}

impl FromStr for Optimizer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, arguments) = fields::split(text)?;
        let mut optimizer = match name {
            Sgd::NAME => Sgd::default().into(),
            RmsProp::NAME => RmsProp::default().into(),
            Adagrad::NAME => Adagrad::default().into(),
            Adam::NAME => Adam::default().into(),
            AdamW::NAME => AdamW::default().into(),
            _ => {
                let problem =
                    format!("expected sgd, rmsprop, adagrad, adam or adamw, found {text:?}");
                return Err(Error::config("optimizer", problem));
            }
        };
        each!(&mut optimizer, inner => fields::read(inner, arguments))?;
        optimizer.check()?;
        Ok(optimizer)
    }
}

/// Makes each optimizer convertible into the enum.
macro_rules! from_each {
    ($($name:ident)*) => {$(
        impl From<$name> for Optimizer {
            fn from(optimizer: $name) -> Self {
                Self::$name(optimizer)
            }
        }
    )*};
}
from_each!(Sgd RmsProp Adagrad Adam AdamW);

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["sgd", "rmsprop", "adagrad", "adam", "adamw"];

    #[test]
    fn names_read_as_pytorchs_defaults() {
        let rates = NAMES.map(|name| name.parse::<Optimizer>().unwrap().lr());
        assert_eq!(rates, [1e-3, 1e-2, 1e-2, 1e-3, 1e-3]);
        assert_eq!(AdamW::default().weight_decay, 1e-2);
    }

    #[test]
    fn what_prints_reads_back() {
        for name in NAMES {
            let optimizer = name.parse::<Optimizer>().unwrap().with_lr(1.0 / 3.0);
            assert_eq!(optimizer.to_string().parse::<Optimizer>().unwrap(), optimizer);
        }
    }

    #[test]
    fn broken_text_names_the_trouble() {
        for (text, part) in [
            ("adamm", "found \"adamm\""),
            ("adam(lr=0.1", "closing"),
            ("adam(rate=0.1)", "`rate`"),
            ("adam(lr)", "name=value"),
            ("adam(lr=fast)", "\"fast\""),
            ("sgd(nesterov=maybe)", "true or false"),
            ("adam(beta1=1.0)", "`beta1`"),
        ] {
            let message = text.parse::<Optimizer>().unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn every_field_is_checked() {
        let wrong: [(Optimizer, &str); 13] = [
            (Sgd::new(-1.0).into(), "`lr`"),
            (Sgd::new(f64::NAN).into(), "`lr`"),
            (Sgd::new(1e300).into(), "`lr`"),
            (Sgd::default().momentum(1.0).into(), "`momentum`"),
            (Sgd::default().momentum(0.5).dampening(2.0).into(), "`dampening`"),
            (Sgd::default().nesterov(true).into(), "`nesterov`"),
            (Sgd::default().momentum(0.5).dampening(0.1).nesterov(true).into(), "`nesterov`"),
            (RmsProp::default().alpha(-0.1).into(), "`alpha`"),
            (RmsProp::default().eps(0.0).into(), "`eps`"),
            (Adagrad::default().lr_decay(f64::INFINITY).into(), "`lr_decay`"),
            (
                Adagrad::default().initial_accumulator_value(-1.0).into(),
                "`initial_accumulator_value`",
            ),
            (Adam::default().beta2(1.0).into(), "`beta2`"),
            (AdamW::default().weight_decay(-0.1).into(), "`weight_decay`"),
        ];
        for (optimizer, field) in wrong {
            let message = optimizer.check().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
        for name in NAMES {
            name.parse::<Optimizer>().unwrap().check().unwrap();
        }
    }

    #[test]
    fn slots_follow_the_options() {
        let slots = |optimizer: Optimizer| optimizer.slots();
        assert_eq!(slots(Sgd::default().into()), 0);
        assert_eq!(slots(Sgd::default().momentum(0.9).into()), 1);
        assert_eq!(slots(RmsProp::default().centered(true).momentum(0.9).into()), 3);
        let adagrad = Optimizer::from(Adagrad::default().initial_accumulator_value(0.5));
        assert_eq!((adagrad.slots(), adagrad.initial(0)), (1, 0.5));
    }
}
