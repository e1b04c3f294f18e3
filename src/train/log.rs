//! Every epoch's figures into a file, as training goes on.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::EpochReport;
use super::observer::{Flow, Observer};
use crate::{Error, Result};

/// Writes a line for each epoch to a file, as soon as the epoch is over: CSV with the columns of
/// [`History::write_csv`](crate::History::write_csv), or an object of JSON.
///
/// A file that is there is written on at its end, below a last line that lacks its newline. A run that
/// goes on from a checkpoint finds there what it wrote before: of the epochs that it runs again the
/// lines are replaced, so that each epoch has one, and so is a line that was cut off. A run that was
/// killed before its first checkpoint begins anew, behind the lines that it wrote; one that goes on with its
/// first epoch replaces a single line, for others may be those of another run; that one is so, and lost, where the run
/// before had a single epoch and this one had logged none.
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, CrossEntropy, EpochLog, Sequential, TrainConfig, datasets};
/// use unisono::train_parallel;
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("log.jsonl");
/// let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
///     .epochs(2)
///     .observer(EpochLog::json_lines(&path)?);
/// train_parallel(&mut model, &datasets::iris(), &config)?;
/// let text = std::fs::read_to_string(&path).unwrap();
/// assert_eq!(text.lines().count(), 2);
/// assert!(text.starts_with("{\"epoch\":1,\"loss\":"));
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug)]
pub struct EpochLog {
    path: PathBuf,
    file: File,
    format: Format,
    /// Whether a line was written, and the last one whole.
    begun: bool,
    /// The epoch with which a run was said to go on.
    resumed: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

impl Format {
    /// How many bytes of a log stay when its last run goes on with `epoch`: not a line that was cut off,
    /// nor those of epochs that are run again. The first epoch may not have been logged yet: then one line
    /// at most is its own, and others are another run's.
    fn kept(self, text: &[u8], epoch: usize) -> usize {
        let line_start =
            |text: &[u8]| text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut later = if epoch == 1 { 2 } else { usize::MAX };
        let mut end = line_start(text);
        while end > 0 {
            let start = line_start(&text[..end - 1]);
            // Epochs that do not go up are those of two runs.
            match self.epoch(&text[start..end]) {
                Some(logged) if logged >= epoch && logged < later => (end, later) = (start, logged),
                _ => break,
            }
        }
        end
    }

    /// The epoch of a line that was written before.
    fn epoch(self, line: &[u8]) -> Option<usize> {
        let line = std::str::from_utf8(line).ok()?;
        match self {
            Self::Csv => line.split(',').next()?.parse().ok(),
            Self::JsonLines => {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                line["epoch"].as_u64()?.try_into().ok()
            }
        }
    }
}

impl EpochLog {
    /// Writes CSV to a file, at the end of one that is there.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn csv(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(path.as_ref(), Format::Csv)
    }

    /// Writes lines of JSON to a file, at the end of one that is there.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn json_lines(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(path.as_ref(), Format::JsonLines)
    }

    fn open(path: &Path, format: Format) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, format, begun: false, resumed: None })
    }

    /// Makes the file end where the line of an epoch belongs, behind all lines or among those of the run
    /// that goes on with it, and begins CSV with its header.
    fn begin(&mut self, epoch: usize, goes_on: bool) -> Result<()> {
        let regular = self.file.metadata().map_err(|error| self.failed(error))?.is_file();
        // A pipe or a terminal cannot be read back.
        let text = if regular { std::fs::read(&self.path) } else { Ok(vec![]) };
        let text = text.map_err(|error| self.failed(error))?;
        let mut end = text.len();
        if goes_on {
            end = self.format.kept(&text, epoch);
        } else if text.last().is_some_and(|&byte| byte != b'\n') {
            self.line("")?;
        }
        if end < text.len() {
            // On Windows a handle that appends may not cut.
            let file = OpenOptions::new().write(true).open(&self.path);
            let cut = file.and_then(|file| file.set_len(end as u64));
            cut.map_err(|error| self.failed(error))?;
        }
        if end == 0 && self.format == Format::Csv {
            self.line(&EpochReport::FIGURES.join(","))?;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<()> {
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

impl Observer for EpochLog {
    fn epoch(&mut self, report: &EpochReport, _: usize) -> Result<Flow> {
        let resumed = self.resumed.take() == Some(report.epoch);
        let begun = std::mem::take(&mut self.begun);
        if resumed || !begun {
            // A run that is heard of from a later epoch on is one that goes on.
            self.begin(report.epoch, resumed || report.epoch > 1)?;
        }
        let text = match self.format {
            Format::Csv => report.record().join(","),
            Format::JsonLines => json(report),
        };
        self.line(&text)?;
        self.begun = true;
        Ok(Flow::Continue)
    }

    fn resume(&mut self, epoch: usize) {
        self.resumed = Some(epoch);
    }
}

/// An object in the order of the columns; absent figures are left out, those that are no numbers
/// are null.
fn json(report: &EpochReport) -> String {
    let mut text = format!("{{\"epoch\":{}", report.epoch);
    for (name, figure) in EpochReport::FIGURES[1..].iter().zip(report.figures()) {
        if let Some(value) = figure {
            text.push_str(&format!(",\"{name}\":{}", serde_json::Value::from(value)));
        }
    }
    text + "}"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{History, StopReason};

    const FORMATS: [fn(&Path) -> Result<EpochLog>; 2] =
        [|path| EpochLog::csv(path), |path| EpochLog::json_lines(path)];

    fn report(epoch: usize) -> EpochReport {
        EpochReport {
            epoch,
            loss: 0.1 + 0.2,
            accuracy: None,
            val_loss: Some(f64::INFINITY),
            val_accuracy: Some(0.5),
            lr: 1e-3,
            seconds: 0.25,
            rows_per_s: 1e6,
        }
    }

    #[test]
    fn csv_is_what_the_history_writes_also_in_two_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        for epoch in 1..=2 {
            EpochLog::csv(&path).unwrap().epoch(&report(epoch), 2).unwrap();
        }
        let stopped = StopReason::Epochs;
        let epochs = vec![report(1), report(2)];
        let history = History { epochs, stopped, threads: 1, shards: 1 };
        let mut expected = vec![];
        history.to_csv(&mut expected).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn a_run_that_goes_on_has_a_line_for_each_epoch() {
        let folder = tempfile::tempdir().unwrap();
        for (open, name) in FORMATS.into_iter().zip(["log.csv", "log"]) {
            let path = folder.path().join(name);
            let write = |epochs: std::ops::RangeInclusive<usize>| {
                let mut log = open(&path).unwrap();
                for epoch in epochs {
                    log.epoch(&report(epoch), 9).unwrap();
                }
                std::fs::read_to_string(&path).unwrap()
            };
            let whole = write(1..=5);
            // Killed after its fifth epoch, in the middle of a line, it goes on with the fourth.
            std::fs::write(&path, format!("{whole}{}", &whole[whole.len() - 20..whole.len() - 9]))
                .unwrap();
            assert_eq!(write(4..=5), whole);
            let lines = whole.lines().count();
            // Another run stands behind the first.
            assert_eq!(write(1..=2).lines().count(), lines + 2);
        }
    }

    #[test]
    fn lines_of_a_run_before_stay_when_the_first_epoch_is_run_again() {
        let folder = tempfile::tempdir().unwrap();
        for (open, name) in FORMATS.into_iter().zip(["log.csv", "log"]) {
            let path = folder.path().join(name);
            let write = |resumed: Option<usize>, epochs: std::ops::RangeInclusive<usize>| {
                let mut log = open(&path).unwrap();
                if let Some(epoch) = resumed {
                    log.resume(epoch);
                }
                for epoch in epochs {
                    log.epoch(&report(epoch), 9).unwrap();
                }
                std::fs::read_to_string(&path).unwrap()
            };
            let before = write(None, 1..=5);
            let first = write(None, 1..=1);
            assert_eq!(write(Some(1), 1..=1), first);
            let both = write(Some(1), 1..=2);
            assert_eq!(write(Some(2), 2..=2), both);
            assert!(both.starts_with(&before) && both.len() > before.len());
            std::fs::write(&path, &before).unwrap();
            let killed = write(Some(1), 1..=2);
            assert_eq!(killed, both, "it had not logged its first epoch");
        }
    }

    #[test]
    fn runs_side_by_side_that_share_a_log_cost_each_other_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = EpochLog::json_lines(&path).unwrap();
        let epochs = [1, 2, 1, 3, 2, 3];
        for epoch in epochs {
            log.epoch(&report(epoch), 3).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let logged = text.lines().map(|line| Format::JsonLines.epoch(line.as_bytes()).unwrap());
        assert!(logged.eq(epochs));
    }

    #[test]
    fn a_line_that_could_not_be_written_whole_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut log = EpochLog::csv(&path).unwrap();
        log.epoch(&report(1), 9).unwrap();
        // A file that is open for reading takes nothing, as a full disk.
        let writes = std::mem::replace(&mut log.file, File::open(&path).unwrap());
        log.epoch(&report(2), 9).unwrap_err();
        log.file = writes;
        log.file.write_all(b"2,0.3").unwrap();
        log.resume(2);
        log.epoch(&report(2), 9).unwrap();
        let other = folder.path().join("other.csv");
        let mut whole = EpochLog::csv(&other).unwrap();
        for epoch in 1..=2 {
            whole.epoch(&report(epoch), 9).unwrap();
        }
        let text = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(text(&path), text(&other));
    }

    #[test]
    fn a_new_run_keeps_a_last_line_that_lacks_its_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "1,0.5\nanother's").unwrap();
        EpochLog::csv(&path).unwrap().epoch(&report(1), 9).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("1,0.5\nanother's\n1,0.3"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_gets_every_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        for (open, first) in FORMATS.into_iter().zip(["epoch,loss,", "{\"epoch\":1,"]) {
            let from = path.clone();
            let reader = std::thread::spawn(move || std::fs::read_to_string(from).unwrap());
            let mut log = open(&path).unwrap();
            log.epoch(&report(1), 2).unwrap();
            log.epoch(&report(2), 2).unwrap();
            drop(log);
            let text = reader.join().unwrap();
            assert!(text.starts_with(first), "{text}");
            let header = usize::from(first.starts_with("epoch,"));
            assert_eq!(text.lines().count(), 2 + header, "{text}");
        }
    }

    #[test]
    fn json_has_every_bit_and_null_for_what_is_no_number() {
        let value: serde_json::Value = serde_json::from_str(&json(&report(7))).unwrap();
        assert_eq!(value["epoch"], 7);
        assert_eq!(value["loss"].as_f64().unwrap().to_bits(), (0.1_f64 + 0.2).to_bits());
        assert!(value["val_loss"].is_null() && value.get("accuracy").is_none());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let error = EpochLog::csv("/no/such/folder/log.csv").unwrap_err().to_string();
        assert!(error.starts_with("/no/such/folder/log.csv: "), "{error}");
    }
}
