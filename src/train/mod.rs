//! Training: a batch is cut into shards, workers run them, a tree sums the gradients, one step
//! follows.

mod block;
mod call;
mod calling;
mod config;
mod cut;
mod epoch;
mod feed;
mod fork;
mod helpers;
mod history;
mod live;
mod log;
mod observer;
mod online;
#[cfg(feature = "png")]
pub(crate) mod picture;
mod plan;
#[cfg(feature = "plot")]
mod plot;
pub(crate) mod pool;
mod progress;
mod resume;
mod shards;
mod step;
mod team;
#[cfg(feature = "tensorboard")]
mod tensorboard;
mod trainer;
mod update;

pub(crate) use block::{Block, Pass};
pub(crate) use calling::must_not_wait;
pub use config::TrainConfig;
pub use cut::block_rows;
pub(crate) use helpers::Helpers;
pub use history::{EpochReport, History, StopReason};
pub use live::LiveModel;
pub use log::EpochLog;
pub use observer::{Flow, Observer, StepReport};
pub use online::OnlineTrainer;
pub(crate) use plan::Plan;
pub(crate) use pool::{catch, cores};
pub use progress::Progress;
pub use shards::shards;
pub use step::{Phase, PhaseClock};
#[cfg(feature = "tensorboard")]
pub use tensorboard::TensorBoard;
pub use trainer::{Trainer, train_parallel};
