//! Evaluation: the loss and the accuracy on a data set.

use std::fmt;

use rayon::prelude::*;

use super::Sequential;
use super::predict::{CHUNK, Forward, on_pool, worth};
use crate::Result;
use crate::data::{Dataset, Targets};
use crate::loss::{CrossEntropy, Loss, MeanSquaredError, TargetKind};
use crate::train::Block;

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
        write!(f, "loss {:.4}", self.loss)?;
        self.accuracy.map_or(Ok(()), |accuracy| write!(f, "  accuracy {accuracy:.3}"))
    }
}

impl Sequential {
    /// Computes loss and accuracy on a data set, on all cores. The loss is the one that the model was
    /// last trained with, or else cross-entropy for classes and the mean squared error for values.
    ///
    /// # Errors
    /// If the data do not fit the model.
    pub fn evaluate(&self, data: &Dataset) -> Result<Score> {
        let default = || match data.targets() {
            Targets::Classes { .. } => CrossEntropy::default().into(),
            Targets::Values(_) => MeanSquaredError.into(),
        };
        self.evaluate_with(
            data,
            &self.trained_with().map_or_else(default, |config| config.loss.clone()),
        )
    }

    /// Computes loss and accuracy on a data set with a loss of your choice.
    ///
    /// # Errors
    /// If the data or the loss do not fit the model.
    pub fn evaluate_with(&self, data: &Dataset, loss: &Loss) -> Result<Score> {
        self.check_data(data)?;
        self.check_loss(loss, data)?;
        self.evaluate_on(data, loss, usize::MAX)
    }

    /// The same without checks, on the pool that the caller is on or else on `most` threads at most.
    pub(crate) fn evaluate_on(&self, data: &Dataset, loss: &Loss, most: usize) -> Result<Score> {
        let workers = worth(self.flops_per_row() / 3 * data.rows()).min(most);
        on_pool(workers, || self.evaluate_here(data, loss))
    }

    fn evaluate_here(&self, data: &Dataset, loss: &Loss) -> Score {
        let fused_end = usize::from(loss.fuses(self.last_activation()));
        let forward = Forward::new(self, self.layers.len() - fused_end);
        let chunks = data.rows().div_ceil(CHUNK);
        let inputs = self.inputs();
        let run = |block: &mut Block, index: usize| {
            let range = index * CHUNK..((index + 1) * CHUNK).min(data.rows());
            let features = &data.features_slice()[range.start * inputs..range.end * inputs];
            block.reserve(&forward.plan, CHUNK, Some(data.targets()), false);
            block.load_targets(data.targets(), range.clone());
            forward.run(block, features, range.len());
            block.loss(&forward.pass(), loss, None);
            let sum: f64 = block.losses[..range.len()].iter().sum();
            (sum, loss.normalizer(data.targets(), range), block.correct)
        };
        let parts: Vec<_> = if rayon::current_num_threads() == 1 || chunks == 1 {
            let mut block = Block::default();
            (0..chunks).map(|index| run(&mut block, index)).collect()
        } else {
            (0..chunks).into_par_iter().map_init(Block::default, run).collect()
        };
        let sum = parts.iter().map(|part| part.0).sum::<f64>();
        let normalizer = parts.iter().map(|part| part.1).sum::<f64>();
        let correct = parts.iter().map(|part| part.2).sum::<usize>();
        let accuracy = correct as f64 / data.rows() as f64;
        let accuracy = loss.classifies().then_some(accuracy);
        Score { loss: sum / normalizer, accuracy }
    }

    pub(crate) fn check_data(&self, data: &Dataset) -> Result<()> {
        self.check_inputs(data.features())
    }

    pub(crate) fn check_loss(&self, loss: &Loss, data: &Dataset) -> Result<()> {
        match data.targets() {
            Targets::Classes { count, .. } => {
                loss.check(TargetKind::Classes(*count), self.outputs())
            }
            Targets::Values(values) => {
                loss.check(TargetKind::Values(values.ncols()), self.outputs())?;
                loss.check_values(values.view())
            }
        }
    }
}
