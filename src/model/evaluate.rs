//! Evaluation: the loss and the accuracy on a data set.

use std::fmt;

use super::Sequential;
use super::chunks::{CHUNK, Workers, each_chunk, worth};
use super::predict::Forward;
use crate::data::{DataSource, Dataset, TargetShape};
use crate::decimals::decimals;
use crate::loss::{CrossEntropy, Loss, MeanSquaredError};
use crate::train::cores;
use crate::{Activation, Error, Result};

/// How well a model does on a data set.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// Mean loss over the rows.
    pub loss: f64,
    /// Share of rows whose class is right, where the targets are classes.
    pub accuracy: Option<f64>,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {}", decimals(self.loss, 4))?;
        self.accuracy.map_or(Ok(()), |accuracy| write!(f, "  accuracy {accuracy:.3}"))
    }
}

/// Bytes of a stream's rows that are evaluated at once.
const BYTES_AT_ONCE: usize = 64 << 20;

/// Rows of a stream that are evaluated at once: whole chunks, some for each core where that does not take much memory.
fn rows_at_once(data: DataSource, cores: usize) -> usize {
    let targets = match data.target_shape() {
        TargetShape::Classes(_) => 1,
        TargetShape::Values(columns) => columns,
    };
    let chunk = CHUNK * (data.features() + targets) * size_of::<f32>();
    CHUNK * (BYTES_AT_ONCE / chunk).clamp(1, 4 * cores)
}

/// What is added up over the rows.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    loss: f64,
    normalizer: f64,
    correct: usize,
    rows: usize,
}

impl Sums {
    fn score(&self, loss: &Loss) -> Score {
        let accuracy = self.correct as f64 / self.rows as f64;
        let accuracy = loss.classifies().then_some(accuracy);
        let mean = self.loss / self.normalizer;
        // CPUs differ in the sign of the NaN that they make.
        let loss = if mean.is_nan() { f64::NAN } else { mean };
        Score { loss, accuracy }
    }
}

impl Sequential {
    /// Computes loss and accuracy on a data set or a stream, on all cores. The loss is the one that the
    /// model was last trained with, or else cross-entropy for classes and the mean squared error for
    /// values.
    ///
    /// # Errors
    /// If the data do not fit the model, the loss takes logits and the model ends in another sigmoid or softmax than its
    /// own, or the data name a column or class otherwise than the data that it was
    /// trained on (data may have no names, or fewer classes), or a stream cannot be read.
    pub fn evaluate<'a>(&self, data: impl Into<DataSource<'a>>) -> Result<Score> {
        let data = data.into();
        let default = || match data.target_shape() {
            TargetShape::Classes(_) => CrossEntropy::default().into(),
            TargetShape::Values(_) => MeanSquaredError.into(),
        };
        self.evaluate_with(
            data,
            &self.trained_with().map_or_else(default, |config| config.loss.clone()),
        )
    }

    /// Computes loss and accuracy on a data set or a stream with a loss of your choice.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate), and if the loss does not fit.
    pub fn evaluate_with<'a>(&self, data: impl Into<DataSource<'a>>, loss: &Loss) -> Result<Score> {
        let data = data.into();
        self.check_source(data, loss)?;
        self.check_names(data)?;
        let mut sums = Sums::default();
        match data {
            DataSource::Memory(data) => self.add_up(data, loss, &mut sums)?,
            DataSource::Stream(stream) => {
                for batch in stream.batches(rows_at_once(data, cores()))? {
                    let batch = batch?;
                    if let Some(values) = batch.values() {
                        loss.check_values(values)?;
                    }
                    self.add_up(&batch, loss, &mut sums)?;
                }
            }
        }
        Ok(sums.score(loss))
    }

    /// The same in memory without checks, on as many threads as help, `most` at most: a training's pool may have fewer.
    pub(crate) fn evaluate_on(&self, data: &Dataset, loss: &Loss, most: usize) -> Result<Score> {
        let mut sums = Sums::default();
        let workers = Workers { count: self.worth_of(data).min(most), leaves: true };
        self.add_up_on(data, loss, &mut sums, workers)?;
        Ok(sums.score(loss))
    }

    /// How many workers the data are worth.
    fn worth_of(&self, data: &Dataset) -> usize {
        worth(self.flops_per_row() / 3 * data.rows())
    }

    /// Adds up over rows that begin on a multiple of a chunk, so that a stream's sums have the order of
    /// those in memory.
    fn add_up(&self, data: &Dataset, loss: &Loss, sums: &mut Sums) -> Result<()> {
        let workers = Workers { count: self.worth_of(data), leaves: false };
        self.add_up_on(data, loss, sums, workers)
    }

    fn add_up_on(
        &self,
        data: &Dataset,
        loss: &Loss,
        sums: &mut Sums,
        workers: Workers,
    ) -> Result<()> {
        let fused_end = usize::from(loss.fuses(self.last_activation()));
        let forward = Forward::new(self, self.layers.len() - fused_end, data.rows().min(CHUNK));
        let inputs = self.inputs();
        let mut parts = vec![(0.0, 0.0, 0); data.rows().div_ceil(CHUNK)];
        each_chunk(parts.iter_mut().enumerate(), workers, |block, (index, part)| {
            let range = index * CHUNK..((index + 1) * CHUNK).min(data.rows());
            let features = &data.features_slice()[range.start * inputs..range.end * inputs];
            block.reserve(&forward.plan, forward.most, Some(data.targets().shape()), false);
            block.load_targets(data.targets(), range.clone());
            forward.run(block, features, range.len());
            block.loss(&forward.pass(), loss, None);
            let sum: f64 = block.losses[..range.len()].iter().sum();
            *part = (sum, loss.normalizer(data.targets(), range), block.correct);
        })?;
        sums.rows += data.rows();
        for (loss, normalizer, correct) in parts {
            sums.loss += loss;
            sums.normalizer += normalizer;
            sums.correct += correct;
        }
        Ok(())
    }

    /// Checks that data and loss fit the model; a stream's target values are seen as they are read.
    pub(crate) fn check_source(&self, data: DataSource, loss: &Loss) -> Result<()> {
        self.check_inputs(data.features())?;
        loss.check(data.target_shape(), self.outputs())?;
        match data {
            DataSource::Memory(data) => {
                data.values().map_or(Ok(()), |values| loss.check_values(values))?;
            }
            DataSource::Stream(_) => {}
        }
        self.check_ending(loss)
    }

    /// Checks that a loss that takes logits is not given what another sigmoid or softmax made of them, which would train,
    /// and badly.
    fn check_ending(&self, loss: &Loss) -> Result<()> {
        let (index, ending) = self.ending();
        let squashed = matches!(ending, Activation::Sigmoid | Activation::Softmax);
        if !squashed || !loss.classifies() || loss.fuses(self.last_activation()) {
            return Ok(());
        }
        let own = match loss {
            Loss::CrossEntropy(_) => Activation::Softmax,
            _ => Activation::Sigmoid,
        };
        let problem = format!("{loss} expects logits, or {own} as the last layer");
        Err(Error::Layer { index, layer: ending.to_string(), problem })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn wide_rows_are_evaluated_in_smaller_batches() {
        let rows = |columns: usize, cores| {
            let x = Array2::zeros((2, columns));
            let data = Dataset::regression(x, Array2::zeros((2, 1))).unwrap();
            rows_at_once((&data).into(), cores)
        };
        assert_eq!([rows(10, 2), rows(10, 64)], [8 * CHUNK, 256 * CHUNK]);
        assert_eq!([rows(10_000, 2), rows(10_000, 64)], [8 * CHUNK, 8 * CHUNK]);
        assert_eq!([rows(40_000, 64), rows(200_000, 64)], [2 * CHUNK, CHUNK]);
    }

    #[test]
    fn a_loss_that_is_no_number_has_the_same_bits_everywhere() {
        for nan in [f64::NAN, -f64::NAN] {
            let sums = Sums { loss: nan, normalizer: 1.0, correct: 0, rows: 1 };
            let loss = sums.score(&MeanSquaredError.into()).loss;
            assert_eq!(loss.to_bits(), f64::NAN.to_bits());
        }
    }
}
