//! The batches of a run, in the order of seed and epoch: gathered from memory or read ahead.

use super::TrainConfig;
use crate::data::{BatchReader, DataSource, DataStream, Dataset, ReadPlan};
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};

/// Hands out one batch after another.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    source: DataSource<'a>,
    /// Memory: the epoch's permutation. Stream: 0, 1, 2, … of a batch.
    order: Vec<u32>,
    /// The epoch that `order` belongs to.
    drawn: Option<usize>,
    reading: Option<Reading>,
}

/// A stream's reader, and where it stands.
#[derive(Debug)]
struct Reading {
    reader: BatchReader,
    /// Epoch and step of the batch that comes next.
    next: (usize, usize),
    batch: Option<Dataset>,
}

/// A data set, and its rows in the order of their batches, from the next one on as far as they are known.
pub(super) struct Batches<'f> {
    pub data: &'f Dataset,
    rows: &'f [u32],
    size: usize,
}

impl Batches<'_> {
    /// How many are known.
    pub fn known(&self) -> usize {
        self.rows.len().div_ceil(self.size)
    }

    /// Those of the batch that comes after `index` others; none where it is not known.
    pub fn batch(&self, index: usize) -> &[u32] {
        let rows = &self.rows[(index * self.size).min(self.rows.len())..];
        &rows[..self.size.min(rows.len())]
    }
}

impl<'a> Feed<'a> {
    /// Of batches of at most `batch` rows.
    pub fn new(source: DataSource<'a>, batch: usize) -> Self {
        let rows = match source {
            DataSource::Memory(data) => data.rows(),
            DataSource::Stream(_) => batch,
        };
        Self { source, order: (0..rows as u32).collect(), drawn: None, reading: None }
    }

    pub fn source(&self) -> DataSource<'a> {
        self.source
    }

    /// The batches from a step on.
    pub fn batches(
        &mut self,
        config: &TrainConfig,
        (epoch, step): (usize, usize),
    ) -> Result<Batches<'_>> {
        match self.source {
            DataSource::Memory(data) => {
                if config.shuffle && self.drawn != Some(epoch) {
                    shuffle(&mut self.order, config.seed, epoch as u64);
                    self.drawn = Some(epoch);
                }
                let size = config.batch_size;
                let rows = self.order.get(step.saturating_mul(size)..).unwrap_or(&[]);
                Ok(Batches { data, rows, size })
            }
            DataSource::Stream(stream) => {
                // A reader that fails is not put back: another one reads the batch again.
                let mut reading = match self.reading.take() {
                    Some(reading) if reading.next == (epoch, step) => reading,
                    _ => Reading::start(stream, config, (epoch, step))?,
                };
                let batch = reading.advance(stream, config)?;
                let data = self.reading.insert(reading).batch.insert(batch);
                let size = data.rows();
                Ok(Batches { data, rows: &self.order[..size], size })
            }
        }
    }
}

impl Reading {
    fn start(stream: &DataStream, config: &TrainConfig, next: (usize, usize)) -> Result<Self> {
        let plan = ReadPlan {
            batch: config.batch_size,
            drop_last: config.drop_last,
            shuffle: config.shuffle.then_some(config.seed),
            epoch: next.0 as u64,
            skip: next.1,
            repeat: true,
        };
        Ok(Self { reader: BatchReader::start(stream, plan)?, next, batch: None })
    }

    fn advance(&mut self, stream: &DataStream, config: &TrainConfig) -> Result<Dataset> {
        if let Some(batch) = self.batch.take() {
            self.reader.recycle(batch);
        }
        let ended = || Err(Error::Data(format!("{stream}: the reader has ended")));
        let batch = self.reader.next().unwrap_or_else(ended)?;
        if let Some(values) = batch.values() {
            config.loss.check_values(values)?;
        }
        let (epoch, step) = self.next;
        let steps = steps_per_epoch(stream.rows(), config);
        self.next = if step + 1 < steps { (epoch, step + 1) } else { (epoch + 1, 0) };
        Ok(batch)
    }
}

/// Steps in which `rows` rows are gone through.
pub(super) fn steps_per_epoch(rows: usize, config: &TrainConfig) -> usize {
    let batch = config.batch_size;
    if config.drop_last { rows / batch } else { rows.div_ceil(batch) }
}

/// The epoch's permutation is a function of seed and epoch, whatever came before.
pub(super) fn shuffle(order: &mut [u32], seed: u64, epoch: u64) {
    for (row, slot) in order.iter_mut().enumerate() {
        *slot = row as u32;
    }
    Stream::new(seed, Purpose::Shuffle, epoch, 0).shuffle(order);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Activation, BinaryCrossEntropy, CsvOptions, Sequential, Trainer};

    /// Two rows a step, of which the fourth's target may be anything.
    fn write(path: &Path, fourth: &str) {
        let rows = ["0.1,0", "0.2,1", "0.3,1", fourth, "0.5,1", "0.6,0", "0.7,1", "0.8,0"];
        std::fs::write(path, format!("x,y\n{}\n", rows.join("\n"))).unwrap();
    }

    /// Makes an epoch of steps, of which one may fail until the file is mended; returns the parameters, and which step
    /// failed how often.
    fn trained(fourth: &str) -> (u64, Vec<(usize, String)>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        write(&path, "0.4,0.25");
        let stream = DataStream::csv(&path, &CsvOptions::new("y").values()).unwrap();
        write(&path, fourth);
        let mut model = Sequential::builder(1).dense(1, Activation::Sigmoid).build(1).unwrap();
        let config = TrainConfig::new(BinaryCrossEntropy::default(), crate::Adam::new(0.1));
        let config = config.batch_size(2).shuffle(false);
        let mut trainer = Trainer::new(&mut model, &stream, &config).unwrap();
        let mut errors = vec![];
        for step in 1..=4 {
            while let Err(error) = trainer.step() {
                assert!(errors.len() < 2, "{error} in a file that was mended");
                errors.push((step, error.to_string()));
                if errors.len() == 2 {
                    write(&path, "0.4,0.25");
                }
            }
        }
        (model.fingerprint(), errors)
    }

    #[test]
    fn a_batch_that_could_not_be_read_comes_again() {
        let (whole, errors) = trained("0.4,0.25");
        assert!(errors.is_empty());
        // Eight rows are read at once, and fail at once where they cannot be.
        for (fourth, step, problem) in [("0.4,7", 2, "a probability"), ("0.4,what", 1, "\"what\"")]
        {
            let (mended, errors) = trained(fourth);
            let [(first, said), again] = &errors[..] else { panic!("{errors:?}") };
            assert!(*first == step && said.contains(problem), "{errors:?}");
            assert_eq!((*first, said), (again.0, &again.1));
            assert_eq!(mended, whole, "{fourth}");
        }
    }
}
