//! The kernels, and the one place that knows which instructions this CPU has.

mod lanes;
pub(crate) mod level;
mod ln;
mod math;
mod normal;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use lanes::{LaneRow, load, max16, sum16};
pub use level::SimdLevel;
pub(crate) use level::{dispatch, dispatch_at};
pub(crate) use ln::{ln, ln_1p_unit, softplus};
pub(crate) use math::{exp_nonpositive, expm1_nonpositive, sigmoid, tanh};
pub(crate) use normal::normal;
