#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Trains neural networks on all cores of one machine.

mod data;
mod error;
pub mod rng;
mod rows;
mod simd;

pub use data::{
    CsvColumn, CsvOptions, Dataset, MinMaxScaler, StandardScaler, TargetKind, Targets, datasets,
};
pub use error::{Error, Result};
pub use simd::SimdLevel;
