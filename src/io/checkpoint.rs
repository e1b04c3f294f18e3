//! Checkpoints: everything that a run needs to go on as if it had never stopped.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::checkpoint_file::{Restored, to_bytes};
use super::files;
use super::model_file::in_file;
use super::run_state::RunState;
use crate::model::Sequential;
use crate::{Error, Result};

const ENDING: &str = ".safetensors";

/// Where training writes checkpoints, how often, and whether it goes on from one.
///
/// A checkpoint holds parameters, optimizer state, position in the epoch, history, and the states of
/// schedule and early stopping; random numbers are a function of seed, epoch and row. A run that was
/// killed at any moment and resumed ends with the same bits as one that ran through, and so does one to
/// which epochs are added: where early stopping restores the best parameters, they are held beside the
/// last ones. Each file is written beside its place, confirmed by the disk and then renamed.
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, Checkpoint, CrossEntropy, Sequential, TrainConfig, datasets};
/// use unisono::train_parallel;
///
/// let folder = tempfile::tempdir().unwrap();
/// let trained = |epochs| {
///     let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
///     let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
///         .epochs(epochs)
///         .checkpoint(Checkpoint::new(folder.path()).every_steps(10).resume(true));
///     train_parallel(&mut model, &datasets::iris(), &config)
/// };
/// trained(2)?;
/// assert_eq!(trained(5)?.epochs.len(), 5); // three more
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a checkpoint setting does nothing until it is trained with"]
pub struct Checkpoint {
    folder: PathBuf,
    every_steps: Option<u64>,
    every: Option<Duration>,
    keep: usize,
    resume: bool,
}

impl Checkpoint {
    /// Writes into this folder, which is made if need be, after every epoch; the last 3 are kept. One run at a time may
    /// use it.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), every_steps: None, every: None, keep: 3, resume: false }
    }

    /// Writes after every so many optimizer steps too, at least 1.
    pub fn every_steps(mut self, steps: u64) -> Self {
        self.every_steps = Some(steps);
        self
    }

    /// Writes whenever this time has passed since the last one, too.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = Some(time);
        self
    }

    /// Keeps so many of the newest, at least 1. A damaged one that a run passed over as it began is not counted.
    pub fn keep(mut self, keep: usize) -> Self {
        self.keep = keep;
        self
    }

    /// Whether to go on from the newest checkpoint in the folder, if there is one. Model, data and
    /// configuration have to be those of the run; threads and epochs may differ. That is checked of the configuration,
    /// of the model's layers, of the data's rows, columns and names, and of a validation set's rows and columns where
    /// early stopping or the schedule goes by it, not of values: whatever the model's parameters are, the checkpoint's take
    /// their place.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let positive = |field, value: u64| match value {
            0 => Err(Error::config(field, "expected at least 1, found 0")),
            _ => Ok(()),
        };
        positive("keep", self.keep as u64)?;
        positive("every_steps", self.every_steps.unwrap_or(1))
    }

    /// Finished checkpoints, newest first, with their numbers of steps.
    fn files(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = vec![];
        let entries = fs::read_dir(&self.folder).map_err(files::failed(&self.folder))?;
        for entry in entries {
            let path = entry.map_err(files::failed(&self.folder))?.path();
            let steps = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
                name.strip_prefix("step-")?.strip_suffix(ENDING)?.parse::<u64>().ok()
            });
            found.extend(steps.map(|steps| (steps, path)));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Makes the folder ready and finds the state to go on from: the newest checkpoint that is whole.
    pub(crate) fn open(&self, model: &Sequential) -> Result<Option<(PathBuf, Restored)>> {
        fs::create_dir_all(&self.folder).map_err(files::failed(&self.folder))?;
        self.remove_unfinished();
        let files = self.files()?;
        if files.is_empty() {
            return Ok(None);
        }
        if !self.resume {
            let problem = format!(
                "{} holds checkpoints of another run: go on with it by `.resume(true)`, or choose \
                 another folder",
                self.folder.display()
            );
            return Err(Error::config("checkpoint", problem));
        }
        let mut damage = None;
        for (_, path) in files {
            match Restored::read(&path, model).map_err(in_file(&path)) {
                Ok(state) => return Ok(Some((path, state))),
                Err(error) => {
                    tracing::warn!(%error, "a checkpoint cannot be read: trying the one before");
                    damage.get_or_insert(error);
                }
            }
        }
        Err(damage.expect("there was a file"))
    }

    /// Removes what a killed process left half written.
    fn remove_unfinished(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(".step-") && name.ends_with(files::UNFINISHED) {
                // It is of no use and of no harm: whether it goes is not worth an error.
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn write(&self, steps: u64, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(format!("step-{steps:012}{ENDING}"));
        files::write_whole(&path, bytes)?;
        tracing::debug!(path = %path.display(), bytes = bytes.len(), "checkpoint written");
        // A newer one was passed over when this run began, for it is damaged: it counts for nothing.
        let files = self.files()?.into_iter().filter(|(at, old)| *at <= steps && *old != path);
        for (_, old) in files.skip(self.keep - 1) {
            match fs::remove_file(&old) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(files::failed(&old)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// When in the course of training something may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After a step in the middle of an epoch.
    Step,
    /// After an epoch, or when training stops.
    Epoch,
}

/// Where checkpoints are further apart, a few steps more or less do not matter.
const SOON: Duration = Duration::from_secs(1);

/// Knows when the next checkpoint is due.
#[derive(Debug)]
pub(crate) struct Due {
    checkpoint: Checkpoint,
    last: Instant,
}

impl Due {
    pub fn new(checkpoint: Checkpoint) -> Self {
        Self { checkpoint, last: Instant::now() }
    }

    pub fn now(&self, moment: Moment, steps: u64) -> bool {
        moment == Moment::Epoch
            || self.checkpoint.every_steps.is_some_and(|every| steps.is_multiple_of(every))
            || self.checkpoint.every.is_some_and(|every| self.last.elapsed() >= every)
    }

    /// Steps from step `steps` to the next one after which to look whether a checkpoint is due.
    pub fn steps_left(&self, steps: u64) -> usize {
        let Checkpoint { every_steps, every, .. } = &self.checkpoint;
        if every.is_some_and(|every| every < SOON) {
            return 1;
        }
        let left = |every: u64| usize::try_from(every - steps % every).unwrap_or(usize::MAX);
        every_steps.map_or(usize::MAX, left)
    }

    /// Writes a checkpoint; `slots` and `best` lie as the parameters do, or are empty.
    pub fn write(
        &mut self,
        model: &Sequential,
        state: &RunState,
        slots: [&[f32]; 3],
        best: &[f32],
    ) -> Result<()> {
        self.checkpoint.write(state.steps, &to_bytes(model, state, slots, best)?)?;
        self.last = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_newer_checkpoint_is_not_kept_instead_of_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path());
        for steps in [80, 90, 100] {
            checkpoint.write(steps, b"").unwrap();
        }
        let left = |checkpoint: &Checkpoint| -> Vec<u64> {
            checkpoint.files().unwrap().into_iter().map(|(steps, _)| steps).collect()
        };
        // 100 is damaged, so that a run goes on from 90.
        let checkpoint = checkpoint.keep(1);
        checkpoint.write(92, b"").unwrap();
        assert_eq!(left(&checkpoint), [100, 92]);
        checkpoint.write(100, b"").unwrap();
        assert_eq!(left(&checkpoint), [100]);
    }
}
