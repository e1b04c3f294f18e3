//! Training: a batch is cut into shards, workers run them, a tree sums the gradients, one step
//! follows.

mod block;
mod config;
mod history;
mod live;
mod log;
mod observer;
mod online;
mod plan;
#[cfg(feature = "plot")]
mod plot;
pub(crate) mod pool;
mod resume;
mod shards;
mod step;
mod trainer;
mod update;

pub(crate) use block::{Block, Pass};
pub use config::TrainConfig;
pub use history::{EpochReport, History, StopReason};
pub use live::LiveModel;
pub use log::EpochLog;
pub use observer::{Flow, Observer, Progress, StepReport};
pub use online::OnlineTrainer;
pub(crate) use plan::Plan;
pub(crate) use pool::catch;
pub use step::{Phase, PhaseClock};
pub use trainer::{Trainer, train_parallel};
