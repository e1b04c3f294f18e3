//! The kernels, and the one place that knows which instructions this CPU has.

pub(crate) mod level;
pub(crate) mod panels;
pub(crate) mod product;
#[cfg(test)]
pub(crate) mod reference;
pub(crate) mod weight_grad;

pub use level::SimdLevel;
pub(crate) use level::{dispatch, dispatch_at};
#[cfg(test)]
pub(crate) use reference::test_levels;
