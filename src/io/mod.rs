//! Models and checkpoints on disk, as safetensors.

mod checkpoint;
mod exact;
mod files;
mod model_file;
#[cfg(feature = "onnx")]
mod onnx;
mod spec;
mod tensors;

pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::{Due, Moment, Restored, RunState, SavedReport, SavedStop};
pub(crate) use exact::Exact;
#[cfg(feature = "onnx")]
pub use onnx::OnnxOptions;
pub(crate) use spec::{Spec, Trained};
