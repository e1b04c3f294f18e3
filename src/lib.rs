#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Trains neural networks on all cores of one machine.

mod activation;
mod error;
mod loss;
pub mod rng;
mod rows;
mod simd;

pub use activation::Activation;
pub use error::{Error, Result};
pub use loss::{
    BinaryCrossEntropy, CrossEntropy, Huber, Loss, MeanAbsoluteError, MeanSquaredError,
};
pub use simd::SimdLevel;
