//! Losses: what training lowers, and its gradient by the model's outputs.

use std::fmt;
use std::str::FromStr;

use fearless_simd::Level;

use crate::activation::Activation;
use crate::data::Targets;
use crate::rows::{Rows, RowsMut};
use crate::simd::level::active;
use crate::{Error, Result};

mod binary;
mod check;
mod cross_entropy;
mod narrow;
mod regression;

pub use binary::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use regression::{Huber, MeanAbsoluteError, MeanSquaredError};

/// Chooses the loss. Every one is a mean over the rows of a batch, defined as PyTorch does.
///
/// What an output adds to the loss is computed in f32, and added up over outputs and rows in f64; the
/// sums over a row's classes in [`CrossEntropy`] are f32, as those of a softmax are.
///
/// # Examples
///
/// ```
/// use unisono::{CrossEntropy, Loss};
///
/// let loss: Loss = CrossEntropy::default().label_smoothing(0.1).into();
/// assert_eq!(loss.to_string(), "cross-entropy");
/// assert!("mse".parse::<Loss>().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// The mean of squared differences.
    MeanSquaredError(MeanSquaredError),
    /// The mean of absolute differences.
    MeanAbsoluteError(MeanAbsoluteError),
    /// Squared near zero, absolute far from it.
    Huber(Huber),
    /// For one or more independent yes-or-no outputs.
    BinaryCrossEntropy(BinaryCrossEntropy),
    /// For one class out of several.
    CrossEntropy(CrossEntropy),
}

macro_rules! from {
    ($($name:ident),*) => {$(
        impl From<$name> for Loss {
            fn from(loss: $name) -> Self {
                Self::$name(loss)
            }
        }
    )*};
}
from!(MeanSquaredError, MeanAbsoluteError, Huber, BinaryCrossEntropy, CrossEntropy);

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MeanSquaredError(_) => "mse",
            Self::MeanAbsoluteError(_) => "mae",
            Self::Huber(_) => "huber",
            Self::BinaryCrossEntropy(_) => "binary-cross-entropy",
            Self::CrossEntropy(_) => "cross-entropy",
        })
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "mse" => MeanSquaredError.into(),
            "mae" => MeanAbsoluteError.into(),
            "huber" => Huber::default().into(),
            "bce" | "binary-cross-entropy" => BinaryCrossEntropy::default().into(),
            "cross-entropy" => CrossEntropy::default().into(),
            _ => {
                let names = "mse, mae, huber, bce (or binary-cross-entropy), cross-entropy";
                let problem = format!("expected one of {names}, found {name:?}");
                return Err(Error::config("loss", problem));
            }
        })
    }
}

/// ln 2^-80: what is less probable has no part in a cross-entropy's gradient. Of a net that has converged such
/// parts, times the weights of a few layers, are subnormal numbers, and processors take many times as long for these:
/// on 5,120 rows 784-128-10 took 1.37 times as long around its 900th epoch and 1.69 times around its 1,500th,
/// 54-256-256-256-7 1.58 times around its 1,100th (Emerald Rapids). 2^-100 was as fast there and leaves less for deeper
/// nets; 2^-64 changed losses. Beside Adam's epsilon, 1e-8, what is left out is nothing.
const NEGLIGIBLE: f32 = -55.451_774;

/// The targets of a block of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TargetRows<'a> {
    /// A class for each row.
    Classes(&'a [u32]),
    /// As many values for each row as the model has outputs.
    Values(Rows<'a>),
}

/// A block of rows at work: what each loss's kernel reads and writes.
pub(crate) struct LossRows<'a> {
    /// The model's outputs; for the cross-entropies what goes into the sigmoid or softmax.
    pub logits: Rows<'a>,
    pub targets: TargetRows<'a>,
    /// 1 / the batch's [`Loss::normalizer`], which the gradients carry.
    pub scale: f32,
    pub grad: Option<RowsMut<'a>>,
    /// Each row's loss; their sum by the normalizer is the batch's loss.
    pub values: &'a mut [f64],
}

impl Loss {
    /// Whether the loss takes in the model's last activation: it is then fed that activation's
    /// inputs and its gradient is by those. Both cross-entropies are always computed from logits.
    pub(crate) fn fuses(&self, last: Activation) -> bool {
        match self {
            Self::BinaryCrossEntropy(_) => last == Activation::Sigmoid,
            Self::CrossEntropy(_) => last == Activation::Softmax,
            _ => false,
        }
    }

    /// What the sum over a batch is divided by: its number of rows, or the sum of their classes'
    /// weights, in the order of the rows.
    pub(crate) fn normalizer(
        &self,
        targets: &Targets,
        rows: impl ExactSizeIterator<Item = usize>,
    ) -> f64 {
        match (self, targets) {
            (
                Self::CrossEntropy(CrossEntropy { class_weights: Some(weights), .. }),
                Targets::Classes { labels, .. },
            ) => rows.map(|row| f64::from(weights[labels[row] as usize])).sum(),
            _ => rows.len() as f64,
        }
    }

    /// Whether it can tell rows that are classified right.
    pub(crate) fn classifies(&self) -> bool {
        matches!(self, Self::BinaryCrossEntropy(_) | Self::CrossEntropy(_))
    }

    /// Writes each row's loss and, if asked, its gradient with zeroed padding. Returns how many
    /// rows were classified rightly (by the largest logit, the first on a tie; by the sign of every
    /// logit for the binary one), or `None` for a regression. A row's result depends on that row
    /// alone.
    pub(crate) fn rows(&self, block: LossRows<'_>) -> Option<usize> {
        self.rows_at(active().1, block)
    }

    fn rows_at(&self, level: Level, block: LossRows<'_>) -> Option<usize> {
        debug_assert_eq!(block.logits.rows, block.values.len());
        match self {
            Self::MeanSquaredError(loss) => loss.rows(level, block),
            Self::MeanAbsoluteError(loss) => loss.rows(level, block),
            Self::Huber(loss) => loss.rows(level, block),
            Self::BinaryCrossEntropy(loss) => return Some(loss.rows(level, block)),
            Self::CrossEntropy(loss) => return Some(loss.rows(level, block)),
        }
        None
    }
}

#[cfg(test)]
mod tests;
