//! Models and checkpoints on disk, as safetensors.

mod checkpoint;
mod checkpoint_file;
mod exact;
mod files;
mod model_file;
#[cfg(feature = "onnx")]
mod onnx;
mod run_state;
mod spec;
mod tensors;

pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::{Due, Moment};
pub(crate) use checkpoint_file::Restored;
pub(crate) use exact::Exact;
#[cfg(feature = "onnx")]
pub use onnx::OnnxOptions;
pub(crate) use run_state::{RunState, SavedReport, SavedStop};
pub(crate) use spec::{Spec, Trained};
