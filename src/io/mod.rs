//! Models and checkpoints on disk, as safetensors.

mod checkpoint;
mod exact;
mod files;
mod model_file;
mod spec;
mod tensors;

pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::{Due, Moment, Restored, RunState, SavedReport, SavedStop};
pub(crate) use exact::Exact;
pub(crate) use spec::{Spec, Trained};
