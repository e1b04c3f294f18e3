//! What to train with, checked before anything runs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::observer::Observer;
use crate::data::Dataset;
use crate::io::Checkpoint;
use crate::loss::Loss;
use crate::optim::{Clip, EarlyStopping, Optimizer, Schedule};
use crate::{Error, Result};

/// How to train: loss, optimizer, and everything else with a default.
///
/// `threads` changes the speed and nothing else. Validation, checkpoints, the interrupt flag and observers change no
/// step: they matter where early stopping or a schedule goes by the validation loss, where a checkpoint is gone on from,
/// and where the flag or an observer ends training. Every other field changes the result.
///
/// # Examples
/// ```
/// use unisono::{Adam, Clip, CrossEntropy, Schedule, TrainConfig};
///
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01))
///     .epochs(50)
///     .batch_size(64)
///     .schedule(Schedule::Exponential { gamma: 0.95 })
///     .clip(Clip::Norm(1.0));
/// ```
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[must_use = "a configuration does nothing until it is trained with"]
pub struct TrainConfig {
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    pub(crate) epochs: usize,
    pub(crate) batch_size: usize,
    pub(crate) drop_last: bool,
    pub(crate) shuffle: bool,
    pub(crate) seed: u64,
    #[serde(skip)]
    pub(crate) threads: Threads,
    pub(crate) shards: Option<usize>,
    pub(crate) clip: Clip,
    pub(crate) schedule: Schedule,
    pub(crate) loss_threshold: Option<f64>,
    pub(crate) early_stopping: Option<EarlyStopping>,
    #[serde(skip)]
    pub(crate) validation: Option<Arc<Dataset>>,
    #[serde(skip)]
    pub(crate) checkpoint: Option<Checkpoint>,
    #[serde(skip)]
    pub(crate) interrupt: Option<Arc<AtomicBool>>,
    #[serde(skip)]
    pub(crate) observers: Vec<Arc<Mutex<dyn Observer>>>,
}

/// How many workers to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Threads {
    /// All cores, as far as the work is worth sharing.
    #[default]
    Auto,
    /// At most so many, at most all cores, as far as the work is worth sharing.
    AtMost(usize),
    /// So many, come what may.
    Exactly(usize),
}

impl TrainConfig {
    /// Trains for 10 epochs of batches of 32 rows, shuffled, on all cores, from seed 0, unless told
    /// otherwise.
    pub fn new(loss: impl Into<Loss>, optimizer: impl Into<Optimizer>) -> Self {
        Self {
            loss: loss.into(),
            optimizer: optimizer.into(),
            epochs: 10,
            batch_size: 32,
            drop_last: false,
            shuffle: true,
            seed: 0,
            threads: Threads::Auto,
            shards: None,
            clip: Clip::None,
            schedule: Schedule::Constant,
            loss_threshold: None,
            early_stopping: None,
            validation: None,
            checkpoint: None,
            interrupt: None,
            observers: vec![],
        }
    }

    /// Stops after this many epochs; with `usize::MAX` only when something else ends the run.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Takes this many rows a step.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = rows;
        self
    }

    /// Leaves out an epoch's last batch where it is short.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.drop_last = drop;
        self
    }

    /// Shuffles the rows every epoch, or takes them as they lie.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Chooses the seed of shuffling and dropout.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Uses at most this many threads: never more than there were cores for the process when it first asked, nor
    /// than the work is worth. Where that is in doubt, at steps of up to 50 million floating-point operations, some
    /// are made by all threads and some by one, often in the first second and twice a second or less then, and all
    /// others the faster way.
    /// It changes the speed and nothing else.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Threads::AtMost(threads);
        self
    }

    /// Uses exactly this many threads, even where fewer would be faster: for studies and tests.
    pub fn exact_threads(mut self, threads: usize) -> Self {
        self.threads = Threads::Exactly(threads);
        self
    }

    /// Cuts a batch into at most this many shards, of 16 rows at least, whose gradients are summed by a tree; without
    /// this, into one for each 128 rows, 16 at most. A net of up to 32,768 parameters, its layers' outputs padded to
    /// multiples of 16, has one for each 64, two from 64 rows on, and a power of two of them, which few threads can
    /// share out; a net with a layer of your own that has parameters one for each 64. Unlike `threads` it changes the
    /// rounding of the result.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Clips gradients by value or by their global norm.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.clip = clip;
        self
    }

    /// Changes the learning rate as training goes on.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Stops after the first epoch whose training loss is at or below this.
    pub fn loss_threshold(mut self, loss: f64) -> Self {
        self.loss_threshold = Some(loss);
        self
    }

    /// Stops when the validation loss no longer improves.
    pub fn early_stopping(mut self, stopping: EarlyStopping) -> Self {
        self.early_stopping = Some(stopping);
        self
    }

    /// Evaluates on this set after every epoch.
    pub fn validation(mut self, data: impl Into<Arc<Dataset>>) -> Self {
        self.validation = Some(data.into());
        self
    }

    /// Writes checkpoints, and goes on from the newest if asked to.
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// Stops soon after this becomes true, a checkpoint written first where there are any: after the step at hand, or
    /// after some of 256 at most, a hundredth of a second's arithmetic, where nobody looks at each. A program that
    /// wants Ctrl-C to do that sets it in its signal handler.
    pub fn interrupt(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = Some(flag);
        self
    }

    /// Tells an observer of every epoch (and step, if it asks). To look at it afterwards, hand in a
    /// clone of your own `Arc<Mutex<_>>` with [`shared_observer`](Self::shared_observer).
    pub fn observer(self, observer: impl Observer + 'static) -> Self {
        self.shared_observer(Arc::new(Mutex::new(observer)))
    }

    /// Tells an observer that others share. The mutex is parking_lot's, which [`crate::parking_lot`] has:
    ///
    /// ```
    /// use std::sync::Arc;
    /// use unisono::parking_lot::Mutex;
    /// use unisono::{Adam, EpochReport, Flow, MeanSquaredError, Observer, Result, TrainConfig};
    ///
    /// #[derive(Default)]
    /// struct Losses(Vec<f64>);
    ///
    /// impl Observer for Losses {
    ///     fn epoch(&mut self, report: &EpochReport, _epochs: usize) -> Result<Flow> {
    ///         self.0.push(report.loss);
    ///         Ok(Flow::Continue)
    ///     }
    /// }
    ///
    /// let losses = Arc::new(Mutex::new(Losses::default()));
    /// let config = TrainConfig::new(MeanSquaredError, Adam::default()).shared_observer(losses.clone());
    /// // After training with it:
    /// println!("{:?}", losses.lock().0);
    /// ```
    pub fn shared_observer(mut self, observer: Arc<Mutex<dyn Observer>>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The same without what belongs to one run: data, observers, checkpoints.
    pub(crate) fn recipe(&self) -> Self {
        Self {
            validation: None,
            checkpoint: None,
            interrupt: None,
            observers: vec![],
            ..self.clone()
        }
    }

    /// Checks every field by itself.
    pub(crate) fn check(&self) -> Result<()> {
        let positive = |field, value: usize| match value {
            0 => Err(Error::config(field, "expected at least 1, found 0")),
            _ => Ok(()),
        };
        positive("epochs", self.epochs)?;
        positive("batch_size", self.batch_size)?;
        if let Some(shards) = self.shards {
            positive("shards", shards)?;
        }
        if let Threads::AtMost(n) | Threads::Exactly(n) = self.threads {
            positive("threads", n)?;
            if n > MOST_THREADS {
                let problem = format!("expected at most {MOST_THREADS}, found {n}");
                return Err(Error::config("threads", problem));
            }
        }
        if let Some(loss) = self.loss_threshold.filter(|loss| !loss.is_finite()) {
            let problem = format!("expected a finite number, found {loss}");
            return Err(Error::config("loss_threshold", problem));
        }
        if self.early_stopping.is_some() && self.validation.is_none() {
            let problem = "needs a validation set: add `.validation(data)`";
            return Err(Error::config("early_stopping", problem));
        }
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.check()?;
        }
        if let Some(stopping) = &self.early_stopping {
            stopping.check()?;
        }
        self.optimizer.check()?;
        self.clip.check()?;
        self.schedule.check()
    }
}

/// More threads than any machine has cores for would only eat memory.
const MOST_THREADS: usize = 4096;

impl fmt::Debug for TrainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainConfig")
            .field("loss", &self.loss)
            .field("optimizer", &self.optimizer)
            .field("epochs", &self.epochs)
            .field("batch_size", &self.batch_size)
            .field("drop_last", &self.drop_last)
            .field("shuffle", &self.shuffle)
            .field("seed", &self.seed)
            .field("threads", &self.threads)
            .field("shards", &self.shards)
            .field("clip", &self.clip)
            .field("schedule", &self.schedule)
            .field("loss_threshold", &self.loss_threshold)
            .field("early_stopping", &self.early_stopping)
            .field("validation", &self.validation.as_ref().map(|data| data.rows()))
            .field("checkpoint", &self.checkpoint)
            .field("observers", &self.observers.len())
            .finish()
    }
}
