//! A run's state out to a checkpoint and back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::calling::Calling;
use super::epoch::EpochState;
use super::pool::catch;
use super::trainer::Trainer;
use super::{EpochReport, StopReason};
use crate::data::Dataset;
use crate::io::{Exact, Moment, Restored, RunState, SavedReport, SavedStop, Spec};
use crate::optim::{ScheduleState, StoppingState};
use crate::simd::all_finite;
use crate::{Error, Result};

impl Trainer<'_> {
    /// Goes on from the newest checkpoint, if the configuration says so and there is one.
    pub(super) fn resume(&mut self) -> Result<()> {
        let Some(checkpoint) = &self.config.checkpoint else { return Ok(()) };
        if let Some((path, restored)) = checkpoint.open(self.model)? {
            self.restore(&path, restored)?;
        }
        Ok(())
    }

    fn restore(&mut self, path: &Path, restored: Restored) -> Result<()> {
        let Restored { state, params, slots, best } = restored;
        state.check(&self.recipe()?, self.feed.source(), self.validation_shape())?;
        let steps = self.steps_per_epoch();
        if state.epoch.1 >= steps {
            return Err(Error::shape(
                "steps of the epoch",
                format!("below {steps}"),
                state.epoch.1,
            ));
        }
        for (slot, saved) in self.stepper.slots.iter_mut().zip(slots) {
            if slot.len() != saved.len() {
                let problem = format!("{}: the optimizer's state is missing", path.display());
                return Err(Error::Data(problem));
            }
            if !all_finite(&saved) {
                let problem =
                    "the optimizer's state in it has overflowed: go on from an earlier one";
                return Err(Error::parse(path.display().to_string(), None, problem));
            }
            *slot = saved;
        }
        let [loss, normalizer, seconds, lr] = state.sums.map(|sum| sum.0);
        let [rows, correct] = state.counts;
        let (done, step) = state.epoch;
        let sums = EpochState { loss, normalizer, correct, rows, ..EpochState::default() };
        self.epoch = EpochState { done, step, seconds, lr, ..sums };
        let (Exact(rate), Exact(lowest), waited) = state.schedule;
        self.schedule = ScheduleState { rate, best: lowest, waited };
        let (Exact(lowest), best_epoch, waited) = state.stopping;
        self.stopping = StoppingState { best: lowest, best_epoch, waited };
        self.reports = state.reports.iter().map(report).collect();
        self.stopped = state.stopped.map(reason);
        if self.stopped == Some(StopReason::Epochs) && done < self.config.epochs {
            self.stopped = None;
        }
        if self.stopped.is_none() && done >= self.config.epochs {
            self.stopped = Some(StopReason::Epochs);
        }
        if self.stopped.is_none() {
            let _calling = Calling::observers(true);
            let next = done.saturating_add(1);
            catch(|| self.config.observers.iter().for_each(|it| it.lock().resume(next)))?;
        }
        self.stepper.steps = state.steps;
        self.best = best;
        self.model.params = params;
        self.stepper.refresh(self.model);
        if self.stopped.is_some() {
            self.restore_best();
        }
        tracing::info!(path = %path.display(), epoch = done, step, "training goes on");
        Ok(())
    }

    /// Writes a checkpoint if one is due.
    pub(super) fn save_if_due(&mut self, moment: Moment) -> Result<()> {
        let steps = self.stepper.steps;
        let Some(mut due) = self.due.take_if(|due| due.now(moment, steps)) else { return Ok(()) };
        self.epoch.stop_clock();
        let [a, b, c] = &self.stepper.slots;
        // At the end of an epoch they have been checked.
        let checked = if moment == Moment::Step { self.check_update() } else { Ok(()) };
        let state = checked.and_then(|()| self.state());
        let written = state.and_then(|state| due.write(self.model, &state, [a, b, c], &self.best));
        self.due = Some(due);
        written
    }

    /// Whether the flag of the configuration asks for an end.
    pub(super) fn interrupted(&self) -> bool {
        self.config.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Rows and features of the validation set, none of each without one.
    fn validation_shape(&self) -> [usize; 2] {
        let shape = |data: &Arc<Dataset>| [data.rows(), data.features()];
        self.config.validation.as_ref().map_or([0, 0], shape)
    }

    fn recipe(&self) -> Result<serde_json::Value> {
        let value = serde_json::to_value(self.config.recipe());
        value.map_err(|error| Error::Data(format!("configuration: {error}")))
    }

    fn state(&self) -> Result<RunState> {
        let EpochState { done, step, loss, normalizer, correct, rows, seconds, lr, .. } =
            self.epoch;
        let saved = |report: &EpochReport| {
            SavedReport(report.epoch, report.figures().map(|figure| figure.map(Exact)))
        };
        Ok(RunState {
            model: Spec::new(self.model).architecture()?,
            config: self.recipe()?,
            rows: self.feed.source().rows(),
            features: self.feed.source().features(),
            validation: Some(self.validation_shape()),
            order: self.feed.source().order_key(),
            names: self.feed.source().names().map(|names| names.map(<[_]>::to_vec)),
            steps: self.stepper.steps,
            epoch: (done, step),
            sums: [loss, normalizer, seconds, lr].map(Exact),
            counts: [rows, correct],
            schedule: (Exact(self.schedule.rate), Exact(self.schedule.best), self.schedule.waited),
            stopping: (Exact(self.stopping.best), self.stopping.best_epoch, self.stopping.waited),
            reports: self.reports.iter().map(saved).collect(),
            stopped: self.stopped.and_then(saved_reason),
        })
    }
}

fn report(&SavedReport(epoch, figures): &SavedReport) -> EpochReport {
    let [loss, accuracy, val_loss, val_accuracy, lr, seconds, rows_per_s] =
        figures.map(|figure| figure.map(|Exact(value)| value));
    EpochReport {
        epoch,
        loss: loss.unwrap_or(f64::NAN),
        accuracy,
        val_loss,
        val_accuracy,
        lr: lr.unwrap_or(f64::NAN),
        seconds: seconds.unwrap_or(f64::NAN),
        rows_per_s: rows_per_s.unwrap_or(f64::NAN),
    }
}

/// An interrupted run is one that is to go on.
fn saved_reason(reason: StopReason) -> Option<SavedStop> {
    Some(match reason {
        StopReason::Epochs => SavedStop::Epochs,
        StopReason::LossThreshold => SavedStop::LossThreshold,
        StopReason::EarlyStopping { best_epoch } => SavedStop::EarlyStopping(best_epoch),
        StopReason::Observer => SavedStop::Observer,
        StopReason::Interrupted => return None,
    })
}

fn reason(saved: SavedStop) -> StopReason {
    match saved {
        SavedStop::Epochs => StopReason::Epochs,
        SavedStop::LossThreshold => StopReason::LossThreshold,
        SavedStop::EarlyStopping(best_epoch) => StopReason::EarlyStopping { best_epoch },
        SavedStop::Observer => StopReason::Observer,
    }
}
