//! A scaler of either kind.

use crate::data::{MinMaxScaler, StandardScaler};

/// What a stream scales its features with.
#[derive(Debug, Clone, PartialEq)]
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
    pub(super) fn columns(&self) -> usize {
        match self {
            Self::Standard(scaler) => scaler.mean().len(),
            Self::MinMax(scaler) => scaler.min().len(),
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
}
