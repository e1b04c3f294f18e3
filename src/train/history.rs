//! What training reports: every epoch's figures, and why it ended.

mod table;

use std::fmt;
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// The figures of one epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch's rows, each measured before its step.
    pub loss: f64,
    /// Share of training rows classified right, for classes.
    pub accuracy: Option<f64>,
    /// Mean loss on the validation set after the epoch.
    pub val_loss: Option<f64>,
    /// Share of validation rows classified right.
    pub val_accuracy: Option<f64>,
    /// Learning rate of the epoch's last step.
    pub lr: f64,
    /// Seconds that the epoch took, validation left out.
    pub seconds: f64,
    /// Training rows per second.
    pub rows_per_s: f64,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs were done.
    Epochs,
    /// The training loss came down to the threshold.
    LossThreshold,
    /// The validation loss no longer improved.
    EarlyStopping {
        /// The last epoch whose validation loss counted as an improvement, from 1; 0 if none did. With a `min_delta`
        /// it need not be the one of the lowest loss, which [`History::best`] finds.
        best_epoch: usize,
    },
    /// An observer asked for it.
    Observer,
    /// The flag of [`TrainConfig::interrupt`](crate::TrainConfig::interrupt) was set.
    Interrupted,
}

/// Everything that training reports. It prints as a table, in which `*` marks the best epoch, with a
/// summary of that epoch below.
///
/// # Examples
/// ```no_run
/// # fn show(history: &unisono::History) -> unisono::Result<()> {
/// println!("{history}");
/// history.write_csv("history.csv")?;
/// if let Some(best) = history.best() {
///     println!("epoch {} was the best", best.epoch);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// One report an epoch, in order.
    pub epochs: Vec<EpochReport>,
    /// Why training ended.
    pub stopped: StopReason,
    /// Threads that it ran on at most, which change no figure but the times.
    pub threads: usize,
    /// Shards that a full batch was cut into.
    pub shards: usize,
}

impl EpochReport {
    /// The loss by which epochs are compared, validation's where there is one: NaN of one sign, for `total_cmp` puts
    /// the other, which x86 makes, below all numbers.
    fn judged(&self) -> f64 {
        let loss = self.val_loss.unwrap_or(self.loss);
        if loss.is_nan() { f64::NAN } else { loss }
    }

    /// The names of an epoch's figures, as columns and fields.
    pub(super) const FIGURES: [&str; 8] =
        ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds", "rows_per_s"];

    /// The figures behind the epoch.
    pub(super) fn figures(&self) -> [Option<f64>; 7] {
        [
            Some(self.loss),
            self.accuracy,
            self.val_loss,
            self.val_accuracy,
            Some(self.lr),
            Some(self.seconds),
            Some(self.rows_per_s),
        ]
    }

    /// All figures as text, absent ones empty, numbers with as many digits as it takes to read the
    /// same bits back.
    pub(super) fn record(&self) -> Vec<String> {
        let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        std::iter::once(self.epoch.to_string()).chain(self.figures().map(number)).collect()
    }

    /// Every figure but the times, as bits.
    fn bits(&self) -> [Option<u64>; 6] {
        let figures =
            [Some(self.loss), self.accuracy, self.val_loss, self.val_accuracy, Some(self.lr)];
        let [loss, accuracy, val_loss, val_accuracy, lr] = figures.map(|it| it.map(f64::to_bits));
        [Some(self.epoch as u64), loss, accuracy, val_loss, val_accuracy, lr]
    }
}

impl History {
    /// The epoch with the lowest validation loss, or training loss where nothing was validated; of
    /// equal ones the first, and a loss that is no number last. `None` without epochs. Where early stopping
    /// has a `min_delta`, the parameters that it restores may be those of an earlier epoch.
    pub fn best(&self) -> Option<&EpochReport> {
        self.epochs.iter().min_by(|a, b| a.judged().total_cmp(&b.judged()))
    }

    /// The last epoch.
    pub fn last(&self) -> Option<&EpochReport> {
        self.epochs.last()
    }

    /// Whether both trainings went the same way to the last bit. Times and the number of threads
    /// are left out of the comparison.
    pub fn same_bits(&self, other: &Self) -> bool {
        self.stopped == other.stopped
            && self.shards == other.shards
            && self
                .epochs
                .iter()
                .map(EpochReport::bits)
                .eq(other.epochs.iter().map(EpochReport::bits))
    }

    /// Writes a CSV file: a header and one line an epoch, absent figures empty, numbers with as
    /// many digits as it takes to read the same bits back.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |source| Error::Io { path: path.to_path_buf(), source };
        let file = std::fs::File::create(path).map_err(failed)?;
        self.csv(file).map_err(failed)
    }

    /// Writes the same as [`History::write_csv`] to a writer.
    ///
    /// # Errors
    /// [`Error::Io`] if the writer fails.
    pub fn to_csv(&self, writer: impl Write) -> Result<()> {
        self.csv(writer).map_err(|source| Error::Io { path: "CSV output".into(), source })
    }

    fn csv(&self, writer: impl Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(writer);
        csv.write_record(EpochReport::FIGURES)?;
        for report in &self.epochs {
            csv.write_record(report.record())?;
        }
        csv.flush()
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs => f.pad("all epochs done"),
            Self::LossThreshold => f.pad("loss threshold reached"),
            Self::EarlyStopping { best_epoch } => {
                write!(f, "no improvement since epoch {best_epoch}")
            }
            Self::Observer => f.pad("an observer asked to stop"),
            Self::Interrupted => f.pad("interrupted"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A made-up training whose validation loss is lowest at two thirds.
    pub(in crate::train) fn example(epochs: usize) -> History {
        let report = |i: usize| {
            let t = (i + 1) as f64 / epochs as f64;
            EpochReport {
                epoch: i + 1,
                loss: 2.0 / (1.0 + 9.0 * t),
                accuracy: Some(0.95 - 0.6 / (1.0 + 9.0 * t)),
                val_loss: Some(0.5 + (t - 2.0 / 3.0).powi(2)),
                val_accuracy: Some(0.9 - 0.5 / (1.0 + 9.0 * t)),
                lr: 0.001,
                seconds: 0.0526,
                rows_per_s: 19047.6,
            }
        };
        let epochs = (0..epochs).map(report).collect();
        History { epochs, stopped: StopReason::Epochs, threads: 2, shards: 16 }
    }

    #[test]
    fn the_best_is_judged_by_validation_then_by_loss() {
        let mut history = example(9);
        assert_eq!(history.best().unwrap().epoch, 6);
        history.epochs.iter_mut().for_each(|report| report.val_loss = None);
        assert_eq!(history.best().unwrap().epoch, 9);
        assert_eq!(history.last().unwrap().epoch, 9);
        assert!(History { epochs: vec![], ..history }.best().is_none());
    }

    #[test]
    fn a_loss_that_is_no_number_is_never_the_best() {
        for nan in [f64::NAN, -f64::NAN] {
            let mut history = example(9);
            history.epochs[2].val_loss = Some(nan);
            assert_eq!(history.best().unwrap().epoch, 6);
            history.epochs.iter_mut().for_each(|report| report.val_loss = Some(nan));
            assert_eq!(history.best().unwrap().epoch, 1);
        }
    }

    #[test]
    fn times_and_threads_are_not_compared() {
        let history = example(4);
        let mut other = History { threads: 7, ..history.clone() };
        (other.epochs[2].seconds, other.epochs[2].rows_per_s) = (9.0, 1.0);
        assert!(history.same_bits(&other));
    }

    #[test]
    fn one_bit_is_a_difference() {
        let history = example(4);
        let changes: [fn(&mut History); 6] = [
            |it| it.epochs[1].loss = it.epochs[1].loss.next_up(),
            |it| it.epochs[1].val_accuracy = None,
            |it| it.epochs[3].lr = it.epochs[3].lr.next_down(),
            |it| it.epochs.truncate(3),
            |it| it.stopped = StopReason::Observer,
            |it| it.shards = 8,
        ];
        for change in changes {
            let mut other = history.clone();
            change(&mut other);
            assert!(!history.same_bits(&other));
        }
    }

    #[test]
    fn csv_reads_back_to_the_bit() {
        let mut history = example(3);
        history.epochs[0].val_loss = None;
        let mut text = Vec::new();
        history.to_csv(&mut text).unwrap();
        let mut reader = csv::Reader::from_reader(&text[..]);
        let records: Vec<_> = reader.records().map(|record| record.unwrap()).collect();
        assert_eq!(records.len(), 3);
        assert_eq!(&records[0][3], "");
        assert_eq!(records[2][1].parse::<f64>().unwrap(), history.epochs[2].loss);
        assert_eq!(records[2][7].parse::<f64>().unwrap(), history.epochs[2].rows_per_s);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = example(1).write_csv("no/such/folder/history.csv").unwrap_err();
        assert!(error.to_string().contains("no/such/folder/history.csv"), "{error}");
    }
}
