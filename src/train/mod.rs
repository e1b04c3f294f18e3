//! Training: what it reports.

mod history;
#[cfg(feature = "plot")]
mod plot;

pub use history::{EpochReport, History, StopReason};
