//! Training on data as they arrive.

use super::live::Publisher;
use super::step::Stepper;
use super::{EpochReport, LiveModel, TrainConfig, Trainer};
use crate::Result;
use crate::data::DataSource;
use crate::model::Sequential;
use crate::optim::ScheduleState;

/// Trains a model on one data set after another, as they arrive, and keeps the optimizer's state
/// between them: the way of scikit-learn's `partial_fit`.
///
/// Each set is gone through once, in batches, shuffled where the configuration says so. Schedules
/// count sets as epochs. What a run as a whole needs (validation, early stopping, checkpoints, number
/// of epochs) has no part in it. Observers hear of each set as of an epoch of `usize::MAX`, and of an
/// end where a set is not gone through to its last row, or one of them or the interrupt flag asks for it.
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, CrossEntropy, OnlineTrainer, Sequential, TrainConfig, datasets};
///
/// let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.05)).batch_size(10);
/// let mut online = OnlineTrainer::new(&mut model, &config)?;
/// let first = online.partial_fit(&datasets::iris())?;
/// let second = online.partial_fit(&datasets::iris())?;
/// assert!(second.loss < first.loss);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug)]
pub struct OnlineTrainer<'a> {
    model: &'a mut Sequential,
    config: TrainConfig,
    stepper: Option<Stepper>,
    schedule: Option<ScheduleState>,
    sets: usize,
    publisher: Option<Publisher>,
}

impl<'a> OnlineTrainer<'a> {
    /// Checks the configuration.
    ///
    /// # Errors
    /// If a field holds a value that makes no sense.
    pub fn new(model: &'a mut Sequential, config: &TrainConfig) -> Result<Self> {
        let config = TrainConfig {
            validation: None,
            early_stopping: None,
            loss_threshold: None,
            checkpoint: None,
            ..config.clone()
        };
        config.check()?;
        Ok(Self { model, config, stepper: None, schedule: None, sets: 0, publisher: None })
    }

    /// Goes through a data set or a stream once.
    ///
    /// # Errors
    /// As [`train_parallel`](crate::train_parallel), and if the data name a column or class otherwise
    /// than the sets before; the model then keeps its last good parameters.
    pub fn partial_fit<'d>(&mut self, data: impl Into<DataSource<'d>>) -> Result<EpochReport> {
        let mut trainer =
            Trainer::with_earlier(&mut self.stepper, self.model, data.into(), &self.config)?;
        // Not before: the model remembers the configuration as it was given.
        trainer.config.epochs = usize::MAX;
        trainer.publisher = self.publisher.take();
        trainer.epoch.done = self.sets;
        if let Some(schedule) = self.schedule.take() {
            trainer.schedule = schedule;
        }
        let report = trainer.epoch();
        let Trainer { stepper, schedule, publisher, .. } = trainer;
        self.publisher = publisher;
        (self.stepper, self.schedule) = (Some(stepper), Some(schedule));
        self.sets += 1;
        report
    }

    /// A handle by which other threads predict with the newest parameters while data are learned from
    /// and between them, as [`Trainer::live`] gives one.
    pub fn live(&mut self, every_steps: u64) -> LiveModel {
        let publisher = self.publisher.get_or_insert_with(|| Publisher::new(self.model));
        publisher.handle(self.model, every_steps)
    }

    /// The model as it stands.
    pub fn model(&self) -> &Sequential {
        self.model
    }
}
