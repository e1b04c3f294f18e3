//! Learning rates that change while a model trains.

use super::step::power;
use crate::{Error, Result};

/// Changes the learning rate in the course of training.
///
/// Epochs and steps count from 0 here. The base is the optimizer's rate.
///
/// # Examples
/// ```
/// use unisono::Schedule;
///
/// let schedule = Schedule::CosineWarmup { warmup_steps: 100, total_steps: 1000, min_lr: 0.0 };
/// assert!(schedule.check().is_ok());
/// assert!(Schedule::Exponential { gamma: -1.0 }.check().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// Keeps the base.
    #[default]
    Constant,
    /// Multiplies by `gamma` after every `every` epochs: `base * gamma^(epoch / every)`, as
    /// `torch.optim.lr_scheduler.StepLR`.
    Step {
        /// Epochs between two changes, at least 1.
        every: usize,
        /// The factor, above 0.
        gamma: f64,
    },
    /// Multiplies by `gamma` after every epoch, as `ExponentialLR`.
    Exponential {
        /// The factor, above 0.
        gamma: f64,
    },
    /// Rises in a straight line, `base * (step + 1) / warmup_steps`, then falls along half a
    /// cosine from the base to `min_lr` (as `CosineAnnealingLR`) and stays there.
    CosineWarmup {
        /// Steps of the rise; 0 for none.
        warmup_steps: u64,
        /// Step at which `min_lr` is reached, more than `warmup_steps`.
        total_steps: u64,
        /// The rate at the end, from 0 up.
        min_lr: f64,
    },
    /// Multiplies by `factor`, down to `min_lr`, when the loss of more than `patience` epochs on
    /// end is not below `best * (1 - threshold)`, as `ReduceLROnPlateau`. The loss is that of the
    /// validation set where there is one. A change of less than 1e-8 is not made.
    ReduceOnPlateau {
        /// The factor, above 0 and below 1.
        factor: f64,
        /// Epochs without improvement that are let pass.
        patience: usize,
        /// The lowest rate, from 0 up.
        min_lr: f64,
        /// Relative improvement that counts, from 0 to below 1; PyTorch has 1e-4.
        threshold: f64,
    },
}

/// What a schedule remembers between epochs: plain numbers, to be kept in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScheduleState {
    /// The rate that the plateau schedule has come down to.
    pub rate: f64,
    /// The lowest loss so far.
    pub best: f64,
    /// Epochs since then, or since the last change.
    pub waited: u64,
}

impl ScheduleState {
    /// The state before the first epoch.
    pub fn new(base: f64) -> Self {
        Self { rate: base, best: f64::INFINITY, waited: 0 }
    }
}

impl Schedule {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field whose value makes no sense.
    pub fn check(&self) -> Result<()> {
        let (field, problem) = match *self {
            Self::Step { every: 0, .. } => ("every", "expected at least 1 epoch, found 0".into()),
            Self::Step { gamma, .. } | Self::Exponential { gamma }
                if !(gamma > 0.0 && gamma.is_finite()) =>
            {
                ("gamma", format!("expected a finite number above 0, found {gamma}"))
            }
            Self::CosineWarmup { warmup_steps, total_steps, .. } if total_steps <= warmup_steps => {
                (
                    "total_steps",
                    format!(
                        "expected more than the {warmup_steps} warm-up steps, found {total_steps}"
                    ),
                )
            }
            Self::CosineWarmup { min_lr, .. } | Self::ReduceOnPlateau { min_lr, .. }
                if !(min_lr >= 0.0 && min_lr.is_finite()) =>
            {
                ("min_lr", format!("expected a finite number from 0 up, found {min_lr}"))
            }
            Self::ReduceOnPlateau { factor, .. } if !(factor > 0.0 && factor < 1.0) => {
                ("factor", format!("expected a number above 0 and below 1, found {factor}"))
            }
            Self::ReduceOnPlateau { threshold, .. } if !(0.0..1.0).contains(&threshold) => {
                ("threshold", format!("expected a number from 0 to below 1, found {threshold}"))
            }
            _ => return Ok(()),
        };
        Err(Error::config(field, problem))
    }

    /// The rate of a step: `epoch` and `step` (over all epochs) count from 0.
    pub(crate) fn rate(&self, base: f64, epoch: u64, step: u64, state: &ScheduleState) -> f64 {
        match *self {
            Self::Constant => base,
            Self::Step { every, gamma } => base * power(gamma, epoch / every.max(1) as u64),
            Self::Exponential { gamma } => base * power(gamma, epoch),
            Self::CosineWarmup { warmup_steps, .. } if step < warmup_steps => {
                base * ((step + 1) as f64 / warmup_steps as f64)
            }
            Self::CosineWarmup { warmup_steps, total_steps, min_lr } => {
                let done = (step - warmup_steps) as f64;
                let share = (done / total_steps.saturating_sub(warmup_steps) as f64).min(1.0);
                min_lr + (base - min_lr) * 0.5 * (1.0 + cos_pi(share))
            }
            Self::ReduceOnPlateau { .. } => state.rate,
        }
    }

    /// Takes note of an epoch's loss.
    pub(crate) fn observe(&self, loss: f64, state: &mut ScheduleState) {
        let Self::ReduceOnPlateau { factor, patience, min_lr, threshold } = *self else {
            return;
        };
        if loss < state.best * (1.0 - threshold) {
            (state.best, state.waited) = (loss, 0);
            return;
        }
        state.waited += 1;
        if state.waited > patience as u64 {
            let lower = (state.rate * factor).max(min_lr);
            if state.rate - lower > 1e-8 {
                state.rate = lower;
            }
            state.waited = 0;
        }
    }
}

/// Computes cos(π t) for t from 0 to 1, within 5e-16, from additions and multiplications alone: by
/// symmetry the argument is at most π/4, where nine terms of the Taylor series suffice.
fn cos_pi(t: f64) -> f64 {
    if t > 0.5 {
        return -cos_pi(1.0 - t);
    }
    let even = t <= 0.25;
    let x = std::f64::consts::PI * if even { t } else { 0.5 - t };
    let (mut term, mut sum) = if even { (1.0, 1.0) } else { (x, x) };
    let mut n = if even { 0.0 } else { 1.0 };
    for _ in 0..8 {
        term *= -(x * x) / ((n + 1.0) * (n + 2.0));
        sum += term;
        n += 2.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLATEAU: Schedule =
        Schedule::ReduceOnPlateau { factor: 0.5, patience: 2, min_lr: 0.15, threshold: 1e-4 };

    fn rates(schedule: Schedule, at: impl Fn(u64) -> (u64, u64), count: u64) -> Vec<f64> {
        let state = ScheduleState::new(1.0);
        (0..count).map(|i| schedule.rate(1.0, at(i).0, at(i).1, &state)).collect()
    }

    #[test]
    fn step_changes_after_whole_intervals() {
        let schedule = Schedule::Step { every: 3, gamma: 0.5 };
        assert_eq!(rates(schedule, |i| (i, 0), 7), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn exponential_changes_every_epoch() {
        assert_eq!(rates(Schedule::Exponential { gamma: 0.5 }, |i| (i, 9), 3), [1.0, 0.5, 0.25]);
    }

    #[test]
    fn cosine_rises_falls_and_stays() {
        let schedule = Schedule::CosineWarmup { warmup_steps: 4, total_steps: 12, min_lr: 0.2 };
        let rates = rates(schedule, |i| (0, i), 20);
        assert_eq!(rates[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        for (step, rate) in rates.iter().enumerate().take(13).skip(4) {
            let angle = std::f64::consts::PI * (step - 4) as f64 / 8.0;
            assert!((rate - (0.2 + 0.4 * (1.0 + angle.cos()))).abs() < 1e-15, "step {step}");
        }
        assert!(rates[12..].iter().all(|&rate| rate == 0.2));
    }

    #[test]
    fn plateau_waits_its_patience_and_ends_at_the_minimum() {
        let mut state = ScheduleState::new(1.0);
        let rates: Vec<f64> = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
            .map(|loss| {
                PLATEAU.observe(loss, &mut state);
                PLATEAU.rate(1.0, 0, 0, &state)
            })
            .to_vec();
        assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.15]);
    }

    #[test]
    fn plateau_counts_what_is_too_small_or_not_a_number_as_none() {
        let mut state = ScheduleState::new(1.0);
        for loss in [2.0, 1.9999, f64::NAN, 1.9998] {
            PLATEAU.observe(loss, &mut state);
        }
        assert_eq!((state.rate, state.best), (0.5, 2.0));
    }

    #[test]
    fn cosine_is_accurate() {
        for i in 0..=10_000 {
            let t = f64::from(i) / 10_000.0;
            let exact = (std::f64::consts::PI * t).cos();
            assert!((cos_pi(t) - exact).abs() < 5e-16, "{t}: {} {exact}", cos_pi(t));
        }
        assert_eq!([cos_pi(0.0), cos_pi(0.5), cos_pi(1.0)], [1.0, 0.0, -1.0]);
    }

    #[test]
    fn senseless_fields_are_named() {
        let plateau = |factor, min_lr, threshold| Schedule::ReduceOnPlateau {
            factor,
            patience: 0,
            min_lr,
            threshold,
        };
        let cosine = |warmup_steps, total_steps, min_lr| Schedule::CosineWarmup {
            warmup_steps,
            total_steps,
            min_lr,
        };
        for (schedule, field) in [
            (Schedule::Step { every: 0, gamma: 0.1 }, "`every`"),
            (Schedule::Step { every: 1, gamma: 0.0 }, "`gamma`"),
            (Schedule::Exponential { gamma: f64::NAN }, "`gamma`"),
            (cosine(5, 5, 0.0), "`total_steps`"),
            (cosine(5, 6, -1.0), "`min_lr`"),
            (plateau(1.0, 0.0, 0.0), "`factor`"),
            (plateau(0.5, f64::INFINITY, 0.0), "`min_lr`"),
            (plateau(0.5, 0.0, 1.0), "`threshold`"),
        ] {
            let message = schedule.check().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
        for schedule in [Schedule::Constant, PLATEAU, cosine(0, 1, 0.0)] {
            schedule.check().unwrap();
        }
    }
}
