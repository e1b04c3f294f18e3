//! What watches a training run: steps, epochs, and a say in whether it goes on.

use super::EpochReport;
use crate::Result;
use crate::model::Sequential;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Goes on.
    Continue,
    /// Stops after this epoch or step, or after the steps that were made with it where the observer
    /// [only watches](Observer::only_watches); the model keeps what it has learned.
    Stop,
}

/// One optimizer step, as observers see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Step within the epoch, from 1.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Epochs of the run, if nothing ends it before; `usize::MAX` where only something else will.
    pub epochs: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// Mean loss of the batch, before the step.
    pub loss: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Euclidean norm of the batch's gradient before clipping, where an observer
    /// [wants](Observer::wants_gradient_norm) it or it is clipped by its norm.
    pub gradient_norm: Option<f64>,
}

/// Watches a training run. An error or a panic of an observer ends the run with an error; after an error of one
/// the others still hear of the steps that were made, and of the epoch also after a panic.
///
/// Where a training runs on a worker of a rayon pool of your own, what an observer predicts or evaluates is done by that
/// worker alone. It must not wait for that pool in other ways (by a parallel iterator, for instance): rayon gives a
/// worker that waits other work, and if that is a training with the same [shared](crate::TrainConfig::shared_observer)
/// observer, it waits for itself.
pub trait Observer: Send {
    /// Hears of each finished epoch, out of `epochs`, which is `usize::MAX` where only something else ends the run.
    ///
    /// # Errors
    /// What it returns ends the training; wrap your own in [`Error::Observer`](crate::Error).
    fn epoch(&mut self, report: &EpochReport, epochs: usize) -> Result<Flow>;

    /// Hears of each finished step, if [`wants_steps`](Self::wants_steps): before the next one is made, unless it
    /// [only watches](Self::only_watches).
    ///
    /// # Errors
    /// What it returns ends the training.
    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        let _ = report;
        Ok(Flow::Continue)
    }

    /// Hears that a run goes on from a checkpoint, and with which epoch: the next one of which it hears the end. Some
    /// of its steps may be done, and it and later ones may have been told of before the run was cut off.
    fn resume(&mut self, epoch: usize) {
        let _ = epoch;
    }

    /// Hears that the run has ended: its epochs are done, something stopped it, or it failed. Where
    /// training goes on from there all the same, every further epoch ends it again, and so does
    /// [`run`](crate::Trainer::run), which then makes no step; a
    /// [`Trainer`](crate::Trainer) that is dropped before tells nobody, nor does an
    /// [`OnlineTrainer`](crate::OnlineTrainer) behind its last set.
    fn end(&mut self) {}

    /// Sees the model after each finished epoch.
    ///
    /// # Errors
    /// What it returns ends the training.
    fn model(&mut self, epoch: usize, model: &Sequential) -> Result<()> {
        let _ = (epoch, model);
        Ok(())
    }

    /// Whether it wants to hear of steps; small nets make a million of them a second.
    fn wants_steps(&self) -> bool {
        false
    }

    /// Whether it may hear of a step when the next ones have been made: of up to 256 together, a hundredth of a
    /// second or so of training. Where all observers that want steps only watch, small nets train faster. If it stops
    /// the training all the same, or fails, that happens after those steps.
    fn only_watches(&self) -> bool {
        false
    }

    /// Whether it wants the gradient's norm in the reports of steps; a large model then writes its
    /// gradients to memory for it.
    fn wants_gradient_norm(&self) -> bool {
        false
    }
}

/// A closure that hears of each epoch.
impl<F: FnMut(&EpochReport) -> Flow + Send> Observer for F {
    fn epoch(&mut self, report: &EpochReport, _: usize) -> Result<Flow> {
        Ok(self(report))
    }
}
