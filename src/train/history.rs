//! What training reports: every epoch's figures, and why it ended.

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
        /// The epoch of the lowest validation loss, from 1.
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
    /// The loss by which epochs are compared: validation's where there is one.
    fn judged(&self) -> f64 {
        self.val_loss.unwrap_or(self.loss)
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

    /// The epoch in a line, what it is judged by first.
    fn summary(&self) -> String {
        let mut text = format!("best epoch {}:", self.epoch);
        for (name, figure, digits) in [
            ("val_loss", self.val_loss, 6),
            ("val_accuracy", self.val_accuracy, 4),
            ("loss", Some(self.loss), 6),
            ("accuracy", self.accuracy, 4),
        ] {
            if figure.is_some() {
                let comma = if text.ends_with(':') { "" } else { "," };
                text.push_str(&format!("{comma} {name} {}", fixed(figure, digits)));
            }
        }
        text
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
    /// equal ones the first. `None` without epochs.
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

    /// The epochs worth a line: all of up to 30; of more the first three, every n-th, the best and
    /// the last, where n is the smallest of 2, 5, 10, 20, 50 … that leaves at most 20 lines.
    fn lines(&self) -> Vec<&EpochReport> {
        let count = self.epochs.len();
        if count <= 30 {
            return self.epochs.iter().collect();
        }
        let decades = (0..).map(|power| 10_usize.saturating_pow(power));
        let nth = decades
            .flat_map(|ten| [2, 5, 10].map(|factor| ten.saturating_mul(factor)))
            .find(|nth| count / nth <= 20)
            .unwrap_or(count);
        let best = self.best().map_or(0, |best| best.epoch);
        let keep = |(i, report): (usize, &EpochReport)| {
            i < 3 || (i + 1) % nth == 0 || i + 1 == count || report.epoch == best
        };
        self.epochs.iter().enumerate().filter(|&it| keep(it)).map(|(_, report)| report).collect()
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

/// A column of the table: its heading and its text for an epoch.
type Column = (&'static str, fn(&EpochReport) -> String);

const COLUMNS: [Column; 8] = [
    ("epoch", |report| report.epoch.to_string()),
    ("loss", |report| fixed(Some(report.loss), 6)),
    ("accuracy", |report| fixed(report.accuracy, 4)),
    ("val_loss", |report| fixed(report.val_loss, 6)),
    ("val_accuracy", |report| fixed(report.val_accuracy, 4)),
    ("lr", |report| rate(report.lr)),
    ("seconds", |report| fixed(Some(report.seconds), 3)),
    ("rows/s", |report| fixed(Some(report.rows_per_s), 0)),
];

fn fixed(value: Option<f64>, digits: usize) -> String {
    value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
}

/// Three significant digits, as an exponent where zeros would take more room.
fn rate(lr: f64) -> String {
    let short: f64 = format!("{lr:.2e}").parse().unwrap_or(lr);
    if short == 0.0 || (1e-4..1e4).contains(&short) {
        short.to_string()
    } else {
        format!("{short:e}")
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let best = self.best().map(|best| best.epoch);
        let columns: Vec<(usize, Vec<String>)> = COLUMNS
            .iter()
            .map(|(heading, text)| {
                let cells = lines.iter().map(|report| text(report));
                let cells: Vec<String> =
                    std::iter::once(heading.to_string()).chain(cells).collect();
                (cells.iter().map(String::len).max().unwrap_or(0), cells)
            })
            .filter(|(_, cells)| lines.is_empty() || cells[1..].iter().any(|cell| !cell.is_empty()))
            .collect();
        for line in 0..=lines.len() {
            for (i, (width, cells)) in columns.iter().enumerate() {
                let gap = if i == 0 { "" } else { "  " };
                write!(f, "{gap}{:>width$}", cells[line])?;
            }
            let marked = line > 0 && Some(lines[line - 1].epoch) == best;
            writeln!(f, "{}", if marked { " *" } else { "" })?;
        }
        let (epochs, threads, shards) = (self.epochs.len(), self.threads, self.shards);
        write!(
            f,
            "{epochs} epoch{}, {}; {threads} thread{}, {shards} shard{}",
            plural(epochs),
            self.stopped,
            plural(threads),
            plural(shards)
        )?;
        self.best().map_or(Ok(()), |best| write!(f, "\n{}", best.summary()))
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
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
    fn the_table_is_aligned_and_marks_the_best() {
        let expected = "\
epoch      loss  accuracy  val_loss  val_accuracy     lr  seconds  rows/s
    1  0.500000    0.8000  0.611111        0.7750  0.001    0.053   19048
    2  0.285714    0.8643  0.500000        0.8286  0.001    0.053   19048 *
    3  0.200000    0.8900  0.611111        0.8500  0.001    0.053   19048
3 epochs, all epochs done; 2 threads, 16 shards
best epoch 2: val_loss 0.500000, val_accuracy 0.8286, loss 0.285714, accuracy 0.8643";
        assert_eq!(example(3).to_string(), expected);
    }

    #[test]
    fn columns_without_figures_are_left_out() {
        let mut history = example(1);
        let report = &mut history.epochs[0];
        (report.accuracy, report.val_loss, report.val_accuracy) = (None, None, None);
        let text = history.to_string();
        assert!(text.starts_with("epoch      loss     lr"), "{text}");
        let last = "1 epoch, all epochs done; 2 threads, 16 shards\nbest epoch 1: loss 0.200000";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn many_epochs_are_thinned_out() {
        for count in [31, 100, 101, 1000, 12_345] {
            let history = example(count);
            let shown: Vec<usize> = history.lines().iter().map(|report| report.epoch).collect();
            assert!(shown.len() <= 26, "{count}: {shown:?}");
            assert_eq!(shown[..3], [1, 2, 3]);
            assert_eq!(shown.last(), Some(&count));
            assert!(shown.contains(&history.best().unwrap().epoch));
        }
        let shown: Vec<usize> = example(100).lines().iter().map(|report| report.epoch).collect();
        assert_eq!(shown[3..6], [5, 10, 15]);
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

    #[test]
    fn rates_are_short() {
        let shown = [0.001, 0.0009999, 1.0 / 3.0, 2.5e-7, 0.0].map(rate);
        assert_eq!(shown, ["0.001", "0.001", "0.333", "2.5e-7", "0"]);
    }
}
