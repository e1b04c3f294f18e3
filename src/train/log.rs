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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

impl EpochLog {
    /// Writes CSV to a file; a file that is there is written on at its end, so that a resumed run
    /// goes on in it.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn csv(path: impl AsRef<Path>) -> Result<Self> {
        let mut log = Self::open(path.as_ref(), Format::Csv)?;
        if log.file.metadata().map_err(|error| log.failed(error))?.len() == 0 {
            log.line(&EpochReport::FIGURES.join(","))?;
        }
        Ok(log)
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
        Ok(Self { path: path.to_owned(), file, format })
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
        let text = match self.format {
            Format::Csv => report.record().join(","),
            Format::JsonLines => json(report),
        };
        self.line(&text)?;
        Ok(Flow::Continue)
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
