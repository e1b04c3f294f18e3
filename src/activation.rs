//! Activation functions: their names, their parameters, and what a layer calls.

use std::fmt;
use std::str::FromStr;

use crate::rows::{Rows, RowsMut};
use crate::simd::level::active;
use crate::{Error, Result};

mod kernels;
mod softmax;
mod walk;

use kernels::run;
use walk::Pass;

/// Shapes a layer's outputs, element by element, or row by row for [`Activation::Softmax`].
///
/// The names that [`FromStr`] reads are those that `Display` prints; `linear` is another name of
/// `identity`. Definitions and defaults are PyTorch's.
///
/// # Examples
///
/// ```
/// use unisono::Activation;
///
/// let activation: Activation = "leaky_relu".parse()?;
/// assert_eq!(activation, Activation::LeakyRelu { slope: 0.01 });
/// assert_eq!(Activation::Gelu.to_string(), "gelu");
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// y = x.
    Identity,
    /// y = 1 / (1 + exp(-x)).
    Sigmoid,
    /// y = tanh(x).
    Tanh,
    /// y = max(x, 0); the derivative at 0 is 0.
    Relu,
    /// y = x where x > 0, and `slope` x elsewhere.
    LeakyRelu {
        /// Slope below zero, 0 or more.
        slope: f32,
    },
    /// y = x where x > 0, and `alpha` (exp(x) - 1) elsewhere.
    ///
    /// # Source
    ///
    /// Clevert et al., "Fast and Accurate Deep Network Learning by Exponential Linear Units",
    /// equation 15.
    Elu {
        /// Minus the value at minus infinity, 0 or more.
        alpha: f32,
    },
    /// y = x Φ(x), with the normal distribution function itself, not its approximation by tanh.
    ///
    /// # Source
    ///
    /// Hendrycks and Gimpel, "Gaussian Error Linear Units", section 2.
    Gelu,
    /// y = x / (1 + exp(-x)), also called swish.
    Silu,
    /// y = ln(1 + exp(x)).
    Softplus,
    /// y_c = exp(x_c) / Σ_k exp(x_k) over a row.
    Softmax,
}

/// Every activation, with the parameters that its name alone stands for.
const ALL: [Activation; 10] = [
    Activation::Identity,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Elu { alpha: 1.0 },
    Activation::Gelu,
    Activation::Silu,
    Activation::Softplus,
    Activation::Softmax,
];

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Identity => "identity",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Elu { .. } => "elu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Softplus => "softplus",
            Self::Softmax => "softmax",
        })
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = if name == "linear" { "identity" } else { name };
        ALL.into_iter().find(|a| a.to_string() == wanted).ok_or_else(|| {
            let names = ALL.map(|a| a.to_string()).join(", ");
            Error::config("activation", format!("expected one of {names}, found {name:?}"))
        })
    }
}

impl Activation {
    /// Its name, and a parameter that the name alone does not stand for.
    pub(crate) fn described(&self) -> String {
        match *self {
            Self::LeakyRelu { slope } if !ALL.contains(self) => format!("{self}, slope {slope}"),
            Self::Elu { alpha } if !ALL.contains(self) => format!("{self}, alpha {alpha}"),
            _ => self.to_string(),
        }
    }

    /// Checks the parameters. Negative ones are refused: the output would no longer tell on which
    /// side of zero the input was.
    pub(crate) fn check(&self) -> Result<()> {
        let (field, value) = match *self {
            Self::LeakyRelu { slope } => ("slope", slope),
            Self::Elu { alpha } => ("alpha", alpha),
            _ => return Ok(()),
        };
        if value.is_finite() && value >= 0.0 {
            return Ok(());
        }
        let problem = format!("of {self}: expected a finite number, 0 or more, found {value}");
        Err(Error::config(field, problem))
    }

    /// Whether [`Activation::backward`] needs the outputs alone and not the inputs.
    pub(crate) fn derivative_from_output(&self) -> bool {
        !matches!(self, Self::Gelu | Self::Silu)
    }

    /// Replaces inputs by outputs.
    pub(crate) fn forward_in_place(&self, y: RowsMut<'_>) {
        let pass = Pass::InPlace;
        if *self != Self::Identity {
            run(active().1, *self, pass, y);
        }
    }

    /// Writes the outputs of inputs `x` to `y`.
    pub(crate) fn forward(&self, x: Rows<'_>, y: RowsMut<'_>) {
        debug_assert_eq!((x.rows, x.cols), (y.rows, y.cols));
        let pass = Pass::Forward { x };
        run(active().1, *self, pass, y);
    }

    /// Turns the loss's gradient by the outputs into that by the inputs, in place. Where
    /// [`Activation::derivative_from_output`], `x` is not looked at. Padding of `dy` that was zero
    /// stays zero.
    pub(crate) fn backward(&self, x: Rows<'_>, y: Rows<'_>, dy: RowsMut<'_>) {
        debug_assert_eq!((y.rows, y.cols), (dy.rows, dy.cols));
        let v = if self.derivative_from_output() { y } else { x };
        let pass = Pass::Backward { v };
        if *self != Self::Identity {
            run(active().1, *self, pass, dy);
        }
    }
}

#[cfg(test)]
mod tests;
