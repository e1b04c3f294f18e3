//! Early stopping.

use crate::{Error, Result};

/// Stops training when the validation loss has not improved for a while.
///
/// A loss is an improvement if it is below the best so far minus `min_delta`. Training stops after
/// `patience` epochs on end without one.
///
/// # Examples
/// ```
/// use unisono::EarlyStopping;
///
/// let stopping = EarlyStopping::new(5).min_delta(1e-3);
/// assert!(stopping.restore_best);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EarlyStopping {
    /// Epochs without improvement after which to stop, at least 1.
    pub patience: usize,
    /// By how much a loss has to be lower to count, from 0 up.
    pub min_delta: f64,
    /// Whether the model gets back the parameters of its best epoch, the last one that was an improvement, however
    /// training ends but by an error within an epoch.
    pub restore_best: bool,
}

impl EarlyStopping {
    /// Makes one that counts every improvement and restores the best parameters.
    pub fn new(patience: usize) -> Self {
        Self { patience, min_delta: 0.0, restore_best: true }
    }

    /// Sets by how much a loss has to be lower to count.
    pub fn min_delta(self, min_delta: f64) -> Self {
        Self { min_delta, ..self }
    }

    /// Sets whether the model gets back the parameters of its best epoch.
    pub fn restore_best(self, restore_best: bool) -> Self {
        Self { restore_best, ..self }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Config`] if the patience is 0 or `min_delta` is negative or not finite.
    pub fn check(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::config("patience", "expected at least 1 epoch, found 0"));
        }
        if !(self.min_delta >= 0.0 && self.min_delta.is_finite()) {
            let problem = format!("expected a finite number from 0 up, found {}", self.min_delta);
            return Err(Error::config("min_delta", problem));
        }
        Ok(())
    }

    /// Judges the validation loss of an epoch, counted from 1.
    pub(crate) fn observe(&self, epoch: u64, loss: f64, state: &mut StoppingState) -> Verdict {
        if loss < state.best - self.min_delta {
            *state = StoppingState { best: loss, best_epoch: epoch, waited: 0 };
            return Verdict::Improved;
        }
        state.waited += 1;
        if state.waited >= self.patience as u64 { Verdict::Stop } else { Verdict::Waiting }
    }
}

/// What early stopping remembers between epochs: plain numbers, to be kept in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StoppingState {
    /// The last loss that was an improvement.
    pub best: f64,
    /// Its epoch, from 1; 0 before the first.
    pub best_epoch: u64,
    /// Epochs since then.
    pub waited: u64,
}

impl Default for StoppingState {
    fn default() -> Self {
        Self { best: f64::INFINITY, best_epoch: 0, waited: 0 }
    }
}

/// What an epoch's loss means for the rest of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The best so far: its parameters are worth keeping.
    Improved,
    /// No improvement, but patience is left.
    Waiting,
    /// No patience is left.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Improved, Stop, Waiting};
    use super::*;

    fn verdicts(stopping: EarlyStopping, losses: &[f64]) -> (Vec<Verdict>, StoppingState) {
        let mut state = StoppingState::default();
        let observe = |(i, &loss)| stopping.observe(i as u64 + 1, loss, &mut state);
        let verdicts = losses.iter().enumerate().map(observe).collect();
        (verdicts, state)
    }

    #[test]
    fn an_improvement_resets_the_patience() {
        let (found, state) = verdicts(EarlyStopping::new(2), &[1.0, 1.1, 0.9, 0.9, 0.95]);
        assert_eq!(found, [Improved, Waiting, Improved, Waiting, Stop]);
        assert_eq!((state.best, state.best_epoch), (0.9, 3));
    }

    #[test]
    fn small_improvements_do_not_count() {
        let stopping = EarlyStopping::new(2).min_delta(0.1);
        assert_eq!(verdicts(stopping, &[1.0, 0.95, 0.89]).0, [Improved, Waiting, Improved]);
        assert_eq!(verdicts(stopping, &[1.0, 0.95, 0.93]).0, [Improved, Waiting, Stop]);
    }

    #[test]
    fn a_loss_that_is_no_number_is_no_improvement() {
        assert_eq!(verdicts(EarlyStopping::new(1), &[f64::NAN]).0, [Stop]);
    }

    #[test]
    fn senseless_fields_are_named() {
        let message = |stopping: EarlyStopping| stopping.check().unwrap_err().to_string();
        assert!(message(EarlyStopping::new(0)).contains("`patience`"));
        assert!(message(EarlyStopping::new(1).min_delta(-1.0)).contains("`min_delta`"));
        assert!(message(EarlyStopping::new(1).min_delta(f64::NAN)).contains("`min_delta`"));
    }
}
