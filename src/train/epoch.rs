//! How an epoch ends: validation, its report, whether to go on.

use std::time::Instant;

use super::observer::Flow;
use super::pool::{catch, most};
use super::step::StepOutcome;
use super::trainer::Trainer;
use super::{EpochReport, StopReason};
use crate::io::Moment;
use crate::model::Score;
use crate::optim::Verdict;
use crate::simd::all_finite;
use crate::{Error, Result};

/// How far the current epoch has come.
#[derive(Debug, Default)]
pub(super) struct EpochState {
    /// Finished epochs.
    pub(super) done: usize,
    /// Finished steps of the current epoch.
    pub(super) step: usize,
    pub(super) loss: f64,
    pub(super) normalizer: f64,
    pub(super) correct: usize,
    pub(super) rows: usize,
    /// Seconds up to where the clock stopped.
    pub(super) seconds: f64,
    /// When the clock started, if it runs: steps that nothing comes between are timed as one, for
    /// reading the clock twice took a twentieth of a step of a small net.
    pub(super) clock: Option<Instant>,
    /// Learning rate of the last step.
    pub(super) lr: f64,
    /// Whether an observer has asked for the end.
    pub(super) asked: bool,
}

impl EpochState {
    /// Counts the time from now on, if it is not counted already.
    pub(super) fn start_clock(&mut self) {
        self.clock.get_or_insert_with(Instant::now);
    }

    /// Counts a step.
    pub(super) fn count(&mut self, outcome: &StepOutcome) {
        self.step += 1;
        self.lr = outcome.lr;
        self.loss += outcome.loss;
        self.normalizer += outcome.normalizer;
        self.correct += outcome.correct;
        self.rows += outcome.rows;
    }

    /// Counts no more.
    pub(super) fn stop_clock(&mut self) {
        if let Some(start) = self.clock.take() {
            self.seconds += start.elapsed().as_secs_f64();
        }
    }
}

impl Trainer<'_> {
    /// Ends the epoch after its last step, or at an observer's or the program's word, and writes
    /// checkpoints. What an interruption ends is saved as it stands, to be gone on with. The best
    /// parameters are restored behind the checkpoint: more epochs go on from the last ones.
    pub(super) fn after_step(&mut self, flow: Flow) -> Result<Option<EpochReport>> {
        let whole = self.epoch.step == self.steps_per_epoch();
        self.epoch.asked |= flow == Flow::Stop;
        let asked = self.epoch.asked;
        let interrupted = self.interrupted();
        let ends = whole || asked || interrupted;
        if ends {
            self.check_update()?;
        }
        self.publish_if_due(ends);
        if !ends {
            self.save_if_due(Moment::Step)?;
            return Ok(None);
        }
        let to_go_on = !whole && !asked;
        let reason = match asked {
            true => Some(StopReason::Observer),
            false => to_go_on.then_some(StopReason::Interrupted),
        };
        if to_go_on {
            self.save_if_due(Moment::Epoch)?;
        }
        let report = self.end_epoch(reason)?;
        // The epoch counts: what is left to do at its end is done, whatever fails of it.
        let told = self.tell(&report);
        let saved = if to_go_on { Ok(()) } else { self.save_if_due(Moment::Epoch) };
        if interrupted {
            self.stopped.get_or_insert(StopReason::Interrupted);
        }
        if self.stopped.is_some() {
            self.restore_best();
        }
        if let Some(publisher) = &mut self.publisher {
            publisher.publish(self.model);
        }
        told.and(saved).map(|()| Some(report))
    }

    /// Publishes where a reader waits for this step and no update has overflowed; at an epoch's end that is known.
    fn publish_if_due(&mut self, known_good: bool) {
        let steps = self.stepper.steps;
        if self.publisher.as_ref().is_none_or(|publisher| !publisher.is_due(steps)) {
            return;
        }
        self.epoch.stop_clock();
        let good = known_good || self.model.is_finite();
        if let (true, Some(publisher)) = (good, &mut self.publisher) {
            publisher.publish(self.model);
        }
    }

    /// Ends an epoch whose last step was made, or of which an observer has asked for the end, where something failed
    /// before it did.
    pub(super) fn end_epoch_left_open(&mut self) -> Result<Option<EpochReport>> {
        match self.epoch.asked || self.epoch.step == self.steps_per_epoch() {
            true => self.after_step(Flow::Continue),
            false => Ok(None),
        }
    }

    /// Validates, reports, decides whether to go on. Where validation fails, the epoch is as it was, and ends later.
    fn end_epoch(&mut self, reason: Option<StopReason>) -> Result<EpochReport> {
        self.epoch.stop_clock();
        let validation = self.validate()?;
        let next = EpochState { done: self.epoch.done + 1, ..EpochState::default() };
        let epoch = std::mem::replace(&mut self.epoch, next);
        let loss = epoch.loss / epoch.normalizer;
        let classes = self.config.loss.classifies();
        let report = EpochReport {
            epoch: self.epoch.done,
            loss,
            accuracy: classes.then(|| epoch.correct as f64 / epoch.rows as f64),
            val_loss: validation.as_ref().map(|score| score.loss),
            val_accuracy: validation.as_ref().and_then(|score| score.accuracy),
            lr: epoch.lr,
            seconds: epoch.seconds,
            rows_per_s: epoch.rows as f64 / epoch.seconds.max(1e-9),
        };
        self.config.schedule.observe(report.val_loss.unwrap_or(loss), &mut self.schedule);
        self.reports.push(report);
        tracing::debug!(
            epoch = report.epoch,
            loss,
            val_loss = report.val_loss,
            rows_per_s = report.rows_per_s,
            "epoch done"
        );
        let verdict = self.verdict(&report);
        self.stopped = reason.or(self.stopped).or(verdict);
        Ok(report)
    }

    /// An update may overflow where neither loss nor gradient did, which is too much to look for at every step. A
    /// square that has overflowed keeps its parameter from ever changing again.
    pub(super) fn check_update(&self) -> Result<()> {
        let what = if !self.model.is_finite() {
            "a parameter"
        } else if !self.stepper.slots.iter().all(|slot| all_finite(slot)) {
            "the optimizer's state"
        } else {
            return Ok(());
        };
        Err(Error::NonFinite { what, epoch: self.epoch.done + 1, step: self.epoch.step })
    }

    fn validate(&self) -> Result<Option<Score>> {
        let Some(data) = &self.config.validation else { return Ok(None) };
        let most = most(self.config.threads);
        let evaluate = || self.model.evaluate_on(data, &self.config.loss, most).map(Some);
        match &self.pool {
            Some(pool) => pool.install(evaluate),
            None => evaluate(),
        }
    }

    fn verdict(&mut self, report: &EpochReport) -> Option<StopReason> {
        if let (Some(stopping), Some(loss)) = (&self.config.early_stopping, report.val_loss) {
            match stopping.observe(report.epoch as u64, loss, &mut self.stopping) {
                Verdict::Improved if stopping.restore_best => {
                    self.best.clone_from(&self.model.params);
                }
                Verdict::Improved | Verdict::Waiting => {}
                Verdict::Stop => {
                    let best_epoch = self.stopping.best_epoch as usize;
                    return Some(StopReason::EarlyStopping { best_epoch });
                }
            }
        }
        if self.config.loss_threshold.is_some_and(|threshold| report.loss <= threshold) {
            return Some(StopReason::LossThreshold);
        }
        (self.epoch.done >= self.config.epochs).then_some(StopReason::Epochs)
    }

    /// Tells all observers, also after one of them has failed; returns the first error.
    fn tell(&mut self, report: &EpochReport) -> Result<()> {
        let _calling = self.calling();
        let mut told = Ok(());
        for observer in &self.config.observers {
            let hear = || {
                let mut observer = observer.lock();
                observer.model(report.epoch, self.model)?;
                observer.epoch(report, self.config.epochs)
            };
            match catch(hear).flatten() {
                Ok(Flow::Continue) => {}
                Ok(Flow::Stop) => _ = self.stopped.get_or_insert(StopReason::Observer),
                Err(error) => told = told.and(Err(error)),
            }
        }
        told
    }

    /// Gives the model the parameters of its best epoch, if they were kept.
    pub(super) fn restore_best(&mut self) {
        if !self.best.is_empty() {
            self.model.params.clone_from(&self.best);
            self.stepper.refresh(self.model);
        }
    }
}
