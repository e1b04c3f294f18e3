//! A scaler of either kind.

use ndarray::{Array2, ArrayView2};

use super::{MinMaxScaler, StandardScaler};
use crate::Result;

/// What a stream scales its features with, or a model its raw rows.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scaler {
    /// To mean 0 and standard deviation 1.
    Standard(StandardScaler),
    /// To a range.
    MinMax(MinMaxScaler),
}

impl From<StandardScaler> for Scaler {
    fn from(scaler: StandardScaler) -> Self {
        Self::Standard(scaler)
    }
}

impl From<MinMaxScaler> for Scaler {
    fn from(scaler: MinMaxScaler) -> Self {
        Self::MinMax(scaler)
    }
}

impl Scaler {
    /// Counts the columns that it was fitted on.
    pub fn columns(&self) -> usize {
        match self {
            Self::Standard(scaler) => scaler.mean().len(),
            Self::MinMax(scaler) => scaler.min().len(),
        }
    }

    /// Scales the columns of an array.
    ///
    /// # Errors
    /// If it has another number of columns, or a result is too large for f32.
    pub fn transform_array(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        match self {
            Self::Standard(scaler) => scaler.transform_array(x),
            Self::MinMax(scaler) => scaler.transform_array(x),
        }
    }

    /// Undoes [`Scaler::transform_array`], as for a model's predictions.
    ///
    /// # Errors
    /// As [`Scaler::transform_array`].
    pub fn inverse_transform_array(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        match self {
            Self::Standard(scaler) => scaler.inverse_transform_array(x),
            Self::MinMax(scaler) => scaler.inverse_transform_array(x),
        }
    }

    /// Scales rows in place, to the bits of the scaler's own `transform`.
    pub(super) fn apply(&self, features: &mut [f32]) {
        for row in features.chunks_exact_mut(self.columns()) {
            match self {
                Self::Standard(scaler) => scaler.scale_row(row),
                Self::MinMax(scaler) => scaler.scale_row(row),
            }
        }
    }

    /// What each column is shifted by and divided by, and then multiplied by and shifted by again.
    #[cfg(feature = "onnx")]
    pub(crate) fn affine(&self) -> Affine {
        match self {
            Self::Standard(scaler) => Affine {
                shift: scaler.mean().to_vec(),
                divide: scaler.scale().to_vec(),
                range: None,
            },
            Self::MinMax(scaler) => {
                let (low, high) = scaler.range();
                Affine {
                    shift: scaler.min().to_vec(),
                    divide: scaler.widths(),
                    range: Some((f64::from(low), f64::from(high))),
                }
            }
        }
    }
}

/// A scaler's arithmetic: `(x - shift) / divide`, then `x (high - low) + low` where there is a range.
#[cfg(feature = "onnx")]
pub(crate) struct Affine {
    pub shift: Vec<f64>,
    pub divide: Vec<f64>,
    pub range: Option<(f64, f64)>,
}
