#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Trains neural networks on all cores of one machine.

mod activation;
#[doc(hidden)]
pub mod bench_support;
mod data;
mod error;
mod layer;
mod loss;
pub mod metrics;
mod model;
mod optim;
pub mod rng;
mod rows;
mod simd;
mod train;

pub use activation::Activation;
pub use data::{
    CsvColumn, CsvOptions, Dataset, MinMaxScaler, StandardScaler, TargetKind, Targets, datasets,
};
pub use error::{Error, Result};
pub use layer::{Dense, Dropout, Init, Layer, LayerNorm};
pub use loss::{
    BinaryCrossEntropy, CrossEntropy, Huber, Loss, MeanAbsoluteError, MeanSquaredError,
};
pub use model::{Score, Sequential, SequentialBuilder};
pub use optim::{Adagrad, Adam, AdamW, Clip, EarlyStopping, Optimizer, RmsProp, Schedule, Sgd};
pub use simd::SimdLevel;
pub use train::{
    EpochReport, Flow, History, Observer, Progress, StepReport, StopReason, TrainConfig, Trainer,
    train_parallel,
};

/// The README's program compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
