//! The kernels, and the one place that knows which instructions this CPU has.

mod add;
mod ahead;
mod claims;
mod cuts;
mod embedded;
mod fma;
mod gather;
mod lanes;
mod largest;
pub(crate) mod level;
mod ln;
mod math;
mod normal;
pub(crate) mod panels;
mod peak;
mod prefetch;
pub(crate) mod product;
#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod transpose;
pub(crate) mod weight_grad;
mod written_out;

pub(crate) use add::add_and_take;
pub(crate) use ahead::Ahead;
pub(crate) use claims::{Claim, Claims};
pub(crate) use fma::Fma;
pub(crate) use gather::{copy_rest, copy_rows};
pub(crate) use lanes::{LaneRow, WideSum, load, max16, sum16};
pub(crate) use largest::{all_finite, largest};
pub use level::SimdLevel;
pub(crate) use level::{Registers, apart, dispatch, dispatch_at};
pub(crate) use ln::{ln, ln_1p_unit, softplus};
pub(crate) use math::{
    exp_from, exp_nonpositive, expm1_nonpositive, quotient, relu, relu_gradient,
};
pub(crate) use math::{sigmoid, tanh, tanh_gradient};
pub(crate) use normal::normal;
pub use peak::{fma_peak, is_double_pumped};
pub(crate) use written_out::written_out;
