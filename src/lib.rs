#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Trains neural networks on all cores of one machine.

mod activation;
mod error;
pub mod metrics;
mod optim;
pub mod rng;
mod rows;
mod simd;
mod train;

pub use activation::Activation;
pub use error::{Error, Result};
pub use optim::{Adagrad, Adam, AdamW, Clip, EarlyStopping, Optimizer, RmsProp, Schedule, Sgd};
pub use simd::SimdLevel;
pub use train::{EpochReport, History, StopReason};

/// Not part of the interface: what the benches of this crate measure by itself.
#[doc(hidden)]
pub mod bench_support;
