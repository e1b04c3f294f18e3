//! The room of the data: checked data sets, splits, scalers, readers and built-in sets.

mod balance;
mod builtin;
mod cells;
mod classes;
mod csv;
mod csv_options;
mod csv_records;
mod csv_target;
mod dataset;
mod fashion_mnist;
mod features;
mod idx;
mod min_max;
mod permutation;
mod preprocessing;
mod preprocessor;
mod scaler;
mod scaling;
mod source;
mod split;
mod stream;
mod synthetic;
mod table;
mod targets;

pub use balance::ClassBalance;
pub(crate) use classes::key;
pub(crate) use csv::listed;
pub use csv_options::{CsvColumn, CsvOptions};
#[cfg(feature = "parquet")]
pub(crate) use csv_target::TargetKind;
pub use dataset::Dataset;
pub use min_max::MinMaxScaler;
pub use preprocessing::Preprocessing;
#[cfg(feature = "onnx")]
pub(crate) use preprocessing::{Column, Encoding, TargetEncoding};
pub use preprocessor::{Missing, Preprocessor, Task, Unseen};
pub use scaler::StandardScaler;
#[cfg(feature = "onnx")]
pub(crate) use scaling::Affine;
pub use scaling::Scaler;
pub use source::DataSource;
#[cfg(feature = "parquet")]
pub use stream::ParquetOptions;
pub(crate) use stream::{BatchReader, ReadPlan};
pub use stream::{Batches, DataStream, Files};
pub use table::Table;
pub(crate) use targets::TargetShape;
pub use targets::Targets;

/// Data sets that are built in, made up, or read from files everybody has.
///
/// # Examples
/// ```
/// use unisono::datasets;
///
/// let digits = datasets::digits();
/// assert_eq!((digits.rows(), digits.features(), digits.classes()), (1797, 64, Some(10)));
/// ```
pub mod datasets {
    pub use super::builtin::{digits, iris};
    pub use super::fashion_mnist::fashion_mnist;
    pub use super::synthetic::{synthetic_classification, synthetic_regression};
}
