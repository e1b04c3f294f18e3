//! What a step is told, and how a block of its rows goes through the model and back.

use std::ops::Range;

use super::{NotFinite, Phase, Timer};
use crate::data::Dataset;
use crate::loss::Loss;
use crate::optim::{Clip, Optimizer};
use crate::train::block::{Block, Next, Pass};

/// What stays the same for a run, and what a step is told.
pub(in crate::train) struct StepInput<'a> {
    pub data: &'a Dataset,
    pub loss: &'a Loss,
    pub optimizer: &'a Optimizer,
    pub clip: Clip,
    pub seed: u64,
    pub epoch: u64,
    pub lr: f64,
    /// The data set's rows of this batch.
    pub rows: &'a [u32],
    /// Those of the batch that comes after, as far as they are known.
    pub next: &'a [u32],
    /// The epoch's row that stands first in this batch.
    pub first_row: u64,
}

impl StepInput<'_> {
    /// What the sum of the rows' losses is divided by.
    pub fn normalizer(&self) -> f64 {
        let rows = self.rows.iter().map(|&row| row as usize);
        self.loss.normalizer(self.data.targets(), rows)
    }

    /// Refuses a step of this loss, before its gradient is looked at, or of this rate.
    pub fn check(&self, loss: f64) -> Result<(), NotFinite> {
        match loss.is_finite() {
            false => Err(NotFinite("the loss")),
            true if (self.lr as f32).is_finite() => Ok(()),
            true => Err(NotFinite("the learning rate as an f32")),
        }
    }
}

/// Which rows of a batch a block takes.
pub(in crate::train) struct Taken {
    pub rows: Range<usize>,
    pub normalizer: f64,
    /// Whether to ask for the rows of the next batch.
    pub ahead: bool,
}

/// Takes a block's rows forward through the model, through the loss and back.
pub(in crate::train) fn through(
    block: &mut Block,
    pass: &Pass,
    input: &StepInput,
    Taken { rows, normalizer, ahead }: Taken,
    timer: &impl Timer,
) {
    let first = input.first_row + rows.start as u64;
    let next = input.next.get(rows.clone()).filter(|_| ahead);
    let next = next.map(|order| Next { data: input.data, order });
    let scale = (1.0 / normalizer) as f32;
    timer.time(Phase::Gather, || block.gather(input.data, &input.rows[rows]));
    timer.time(Phase::Forward, || block.forward(pass, first, next));
    timer.time(Phase::Loss, || block.loss(pass, input.loss, Some(scale)));
    timer.time(Phase::Backward, || block.backward(pass));
    if pass.bound {
        timer.time(Phase::Measure, || block.measure(pass));
    }
}
