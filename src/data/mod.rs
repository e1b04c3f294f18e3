//! Data sets: features and targets, checked once, split, scaled, read from files.

mod dataset;
mod scaler;
mod split;
mod synthetic;

pub use dataset::{Dataset, Targets};
pub use scaler::{MinMaxScaler, StandardScaler};

/// Data sets to start with: built in, from well-known files, or made up.
pub mod datasets {
    pub use super::synthetic::{synthetic_classification, synthetic_regression};
}
