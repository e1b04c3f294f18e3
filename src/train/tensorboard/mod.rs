//! Event files for TensorBoard.

mod proto;

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use prost::Message;

use self::proto::{Event, Histogram, Summary, Value};
use super::EpochReport;
use super::observer::{Flow, Observer, StepReport};
use crate::model::Sequential;
use crate::{Error, Result};

/// Buckets of a histogram of weights.
const BUCKETS: usize = 30;

/// Writes a run into a folder that TensorBoard shows (`tensorboard --logdir FOLDER`): by epoch the
/// losses, accuracies, learning rate, rows/s and a histogram of every tensor of the model; by step the
/// batch's loss, learning rate and the gradient's norm. Steps of a small net are written some at a time, a hundredth of
/// a second of training or so, with the time at which they were.
///
/// Several runs under one folder, each in a folder of its own, are drawn beside each other. A resumed
/// run writes a further file into its folder.
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, CrossEntropy, Sequential, TensorBoard, TrainConfig, datasets};
/// use unisono::train_parallel;
///
/// let runs = tempfile::tempdir().unwrap();
/// let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
///     .epochs(2)
///     .observer(TensorBoard::new(runs.path().join("first"))?.every_steps(5));
/// train_parallel(&mut model, &datasets::iris(), &config)?;
/// # Ok::<(), unisono::Error>(())
/// ```
///
/// # Source
/// The record format is that of TFRecord files, the messages those of TensorFlow's `event.proto`.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: BufWriter<std::fs::File>,
    every: u64,
    histograms: bool,
    /// Epoch, step and number of the last step that it heard of.
    last: (usize, usize, u64),
}

impl TensorBoard {
    /// Begins an event file in a folder, which is made if need be; figures of steps are written of
    /// every tenth.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn new(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let failed = |source| Error::Io { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let (seconds, process) = (now() as u64, std::process::id());
        // Runs of one process within a second are told apart by a number.
        let (path, file) = (0..)
            .find_map(|number| {
                let name = format!("events.out.tfevents.{seconds:010}.unisono.{process}.{number}");
                let path = folder.join(name);
                let file = OpenOptions::new().write(true).create_new(true).open(&path);
                let taken = file
                    .as_ref()
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists);
                (!taken).then_some((path, file))
            })
            .expect("a number is free");
        let file = BufWriter::new(file.map_err(failed)?);
        let mut board = Self { path, file, every: 10, histograms: true, last: (0, 0, 0) };
        let version = Some("brain.Event:2".to_owned());
        board.write(&Event { wall_time: now(), file_version: version, ..Event::default() })?;
        board.flush()?;
        Ok(board)
    }

    /// Writes the figures of every `steps`th step; of none if that is 0.
    pub fn every_steps(mut self, steps: u64) -> Self {
        self.every = steps;
        self
    }

    /// Says whether to write histograms of the weights after every epoch.
    pub fn histograms(mut self, histograms: bool) -> Self {
        self.histograms = histograms;
        self
    }

    /// Counts a step over all epochs. They differ in length where data arrive in sets, so how long this one is says
    /// where a run stands only at its beginning.
    fn number(&mut self, report: &StepReport) -> u64 {
        let StepReport { epoch, step, steps, .. } = *report;
        let (last_epoch, last_step, last) = self.last;
        let follows = match step {
            // Of an epoch that fails in its first step nothing is heard.
            1 => (1..epoch).contains(&last_epoch),
            step => epoch == last_epoch && step == last_step.saturating_add(1),
        };
        let before = (epoch as u64).saturating_sub(1).saturating_mul(steps as u64);
        let number =
            if follows { last.saturating_add(1) } else { before.saturating_add(step as u64) };
        self.last = (epoch, step, number);
        number
    }

    fn scalars<const N: usize>(
        &mut self,
        step: u64,
        figures: [(&str, Option<f64>); N],
    ) -> Result<()> {
        let value = |(tag, figure): (&str, Option<f64>)| {
            let simple_value = Some(figure? as f32);
            Some(Value { tag: tag.into(), simple_value, ..Value::default() })
        };
        self.summary(step, figures.into_iter().filter_map(value).collect())
    }

    fn summary(&mut self, step: u64, value: Vec<Value>) -> Result<()> {
        let summary = Some(Summary { value });
        let event = Event { wall_time: now(), step: step as i64, summary, ..Event::default() };
        self.write(&event)
    }

    /// A record: length, its checksum, data, their checksum.
    fn write(&mut self, event: &Event) -> Result<()> {
        let data = event.encode_to_vec();
        let length = (data.len() as u64).to_le_bytes();
        let record =
            [&length[..], &masked(&length).to_le_bytes(), &data, &masked(&data).to_le_bytes()];
        self.file.write_all(&record.concat()).map_err(|source| self.failed(source))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

impl Observer for TensorBoard {
    fn epoch(&mut self, report: &EpochReport, _: usize) -> Result<Flow> {
        let figures = [
            ("loss/training", Some(report.loss)),
            ("loss/validation", report.val_loss),
            ("accuracy/training", report.accuracy),
            ("accuracy/validation", report.val_accuracy),
            ("learning_rate", Some(report.lr)),
            ("rows_per_second", Some(report.rows_per_s)),
        ];
        self.scalars(report.epoch as u64, figures)?;
        self.flush()?;
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        let step = self.number(report);
        if step.is_multiple_of(self.every.max(1)) {
            let figures = [
                ("step/loss", Some(report.loss)),
                ("step/learning_rate", Some(report.lr)),
                ("step/gradient_norm", report.gradient_norm),
            ];
            self.scalars(step, figures)?;
        }
        Ok(Flow::Continue)
    }

    fn model(&mut self, epoch: usize, model: &Sequential) -> Result<()> {
        if !self.histograms {
            return Ok(());
        }
        let tensor = |name: String| {
            let values: Vec<f32> = model.weight(&name)?.into_iter().collect();
            let histo = Some(histogram(&values));
            Ok(Value { tag: format!("weights/{name}"), histo, ..Value::default() })
        };
        let values = model.weight_names().into_iter().map(tensor).collect::<Result<_>>()?;
        self.summary(epoch as u64, values)
    }

    fn end(&mut self) {
        // A run that failed has told of steps since its last epoch.
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the last events cannot be written");
        }
    }

    fn wants_steps(&self) -> bool {
        self.every > 0
    }

    fn only_watches(&self) -> bool {
        true
    }

    fn wants_gradient_norm(&self) -> bool {
        self.every > 0
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

/// The checksum of a record's parts: CRC-32C, turned so that a checksum within the data does no harm.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Counts the values in evenly wide buckets from the least to the greatest.
fn histogram(values: &[f32]) -> Histogram {
    let wide = || values.iter().map(|&v| f64::from(v));
    let (min, max) = (wide().fold(f64::INFINITY, f64::min), wide().fold(-f64::INFINITY, f64::max));
    let width = (max - min) / BUCKETS as f64;
    let (limits, counts) = if width > 0.0 {
        let mut counts = vec![0.0; BUCKETS];
        wide().for_each(|v| counts[(((v - min) / width) as usize).min(BUCKETS - 1)] += 1.0);
        let mut limits: Vec<_> = (1..=BUCKETS).map(|i| min + i as f64 * width).collect();
        limits[BUCKETS - 1] = max;
        (limits, counts)
    } else {
        (vec![max], vec![values.len() as f64])
    };
    Histogram {
        min,
        max,
        num: values.len() as f64,
        sum: wide().sum(),
        sum_squares: wide().map(|v| v * v).sum(),
        bucket_limit: limits,
        bucket: counts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // CRC-32C of "123456789", from RFC 3720's polynomial: 0xe3069283.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b"123456789"), 0x2507_c60d_u32.wrapping_add(0xa282_ead8));
    }

    #[test]
    fn histograms_hold_every_value_once() {
        let values: Vec<f32> = (0..=60).map(|i| i as f32).collect();
        let histogram = histogram(&values);
        assert_eq!((histogram.min, histogram.max, histogram.num), (0.0, 60.0, 61.0));
        assert_eq!(histogram.bucket_limit.len(), BUCKETS);
        assert_eq!(histogram.bucket[..3], [2.0, 2.0, 2.0]);
        assert_eq!(histogram.bucket[BUCKETS - 1], 3.0);
        assert_eq!(histogram.bucket.iter().sum::<f64>(), 61.0);
        let same = super::histogram(&[2.0; 5]);
        assert_eq!((same.bucket, same.bucket_limit, same.sum), (vec![5.0], vec![2.0], 10.0));
    }

    #[test]
    fn steps_are_counted_on_whatever_the_epochs_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::new(folder.path()).unwrap();
        let mut numbers = |epoch, first, steps| {
            let (epochs, rows, loss, lr, gradient_norm) = (9, 32, 0.5, 0.1, None);
            let mut number = |step| {
                board.number(&StepReport {
                    epoch,
                    step,
                    steps,
                    epochs,
                    rows,
                    loss,
                    lr,
                    gradient_norm,
                })
            };
            (number(first), (first + 1..=steps).map(number).last())
        };
        assert_eq!(numbers(1, 1, 100), (1, Some(100)));
        assert_eq!(numbers(2, 1, 10), (101, Some(110)), "a smaller set");
        assert_eq!(numbers(4, 1, 1), (111, None), "after one of which it heard nothing");
        assert_eq!(numbers(1, 1, 20), (1, Some(20)), "another run");
        assert_eq!(numbers(3, 5, 20), (45, Some(60)), "a run that goes on in its third epoch");
        assert_eq!(numbers(0, 0, 20).0, 0, "no such step");
    }

    #[test]
    fn two_boards_in_one_folder_write_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let boards = [(); 2].map(|()| TensorBoard::new(folder.path()).unwrap());
        assert_ne!(boards[0].path, boards[1].path);
        assert!(TensorBoard::new("/proc/no").unwrap_err().to_string().starts_with("/proc/no"));
    }
}
