//! What the benches share: the workloads, and fair timing on a noisy machine.

mod timing;
mod workload;

pub use timing::{Gauge, median, share_of_peak, testing};
pub use workload::{SEED, Task, WORKLOADS, Workload};
