//! The kernels, and the one place that knows which instructions this CPU has.

mod level;

pub use level::SimdLevel;
pub(crate) use level::{dispatch, dispatch_at};
