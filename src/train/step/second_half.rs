//! The second half of a step: gradients, the optimizer's update and the transposes, unit by unit.

use std::mem::take;

use super::{NotFinite, Phase, StepInput, Stepper, Timer};
use crate::model::Sequential;
use crate::optim::Step;
use crate::train::update::{
    Batch, Part, Share, Size, Unit, each, fused, gradient_only, share_out, update_all, update_only,
};

/// What the second half of a step works on, and how that is shared out.
struct SecondHalf<'a> {
    units: &'a [Unit],
    batch: Batch<'a>,
    part: Part<'a, 'a>,
    transpose: &'a mut [f32],
    /// Room for the pieces of the transpose.
    room: &'a mut Vec<&'static mut [f32]>,
    in_memory: bool,
    share: Share,
}

impl Stepper {
    /// Sums the gradients and makes the optimizer's step; returns their sum of squares if that was
    /// asked for.
    pub(super) fn update(
        &mut self,
        model: &mut Sequential,
        input: &StepInput,
        in_memory: bool,
        timer: &impl Timer,
    ) -> Result<Option<f64>, NotFinite> {
        let size = self.size(input.clip);
        let number = self.steps + 1;
        let mut half = self.second_half(model, in_memory);
        let sum = if in_memory { Some(half.gradients(size, timer)?) } else { None };
        let squares = sum.filter(|_| size == Size::Squares);
        let grad = input.clip.scale(squares.unwrap_or(0.0));
        half.apply(&input.optimizer.prepare(number, input.lr, grad), timer);
        Ok(squares)
    }

    /// Room for gradients is there where they go through memory.
    fn second_half<'a>(&'a mut self, model: &'a mut Sequential, in_memory: bool) -> SecondHalf<'a> {
        let fork = self.fork();
        let share = Share { grain: self.grain(fork.workers), fork, helpers: self.helpers() };
        if in_memory {
            self.grads.grow(model.params.len());
        }
        let [a, b, c] = &mut self.slots;
        SecondHalf {
            units: &self.units,
            batch: Batch {
                layers: &model.layers,
                plan: &self.plan,
                blocks: &self.blocks,
                cut: &self.cut,
                shared: fork.workers > 1,
            },
            part: Part {
                params: &mut model.params,
                pieces: &mut [],
                slots: [a, b, c],
                grads: if in_memory { &mut self.grads[..] } else { &mut [] },
                sizes: &mut self.sizes,
            },
            transpose: &mut self.transpose,
            room: &mut self.pieces,
            in_memory,
            share,
        }
    }
}

impl SecondHalf<'_> {
    /// Leaves the gradients in memory; returns the sum of their units' sizes.
    fn gradients(&mut self, size: Size, timer: &impl Timer) -> Result<f64, NotFinite> {
        let batch = &self.batch;
        let f = |unit: &Unit, part: Part| {
            timer.time(Phase::Reduce, || gradient_only(batch, unit, part, size));
        };
        each(self.units, self.part.reborrow(), &self.share, &f);
        let sum = self.part.sizes.iter().sum::<f64>();
        if sum.is_finite() { Ok(sum) } else { Err(NotFinite("a gradient")) }
    }

    /// Makes the optimizer's step and writes the transposes, from gradients in memory or from those it computes.
    fn apply(self, step: &Step, timer: &impl Timer) {
        let Self { units, batch, part, transpose, room, in_memory, share } = self;
        if in_memory && share.fork.workers == 1 {
            return timer
                .time(Phase::Update, || update_all(&batch, step, units, (part, transpose)));
        }
        let mut pieces = take(room);
        share_out(&batch, units, transpose, &mut pieces);
        let part = Part { pieces: &mut pieces, ..part };
        if in_memory {
            let f = |unit: &Unit, part: Part| {
                timer.time(Phase::Update, || update_only(step, unit, part));
            };
            each(units, part, &share, &f);
        } else {
            each(units, part, &share, &|unit, part| fused(&batch, step, unit, part, timer));
        }
        *room = emptied(pieces);
    }
}

/// The same vector without its pieces, so that there is room for those of the next step. `collect` reuses a vector's
/// memory where it can, which the test of allocations sees.
fn emptied(mut pieces: Vec<&mut [f32]>) -> Vec<&'static mut [f32]> {
    pieces.clear();
    pieces.into_iter().map(|_| Default::default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Clip, Optimizer};
    use crate::train::pool::pool;
    use crate::train::step::Untimed;
    use crate::{Activation, Adam, CrossEntropy, Loss, datasets};

    #[test]
    fn steps_leave_the_transposes_that_the_parameters_have() {
        let data = datasets::synthetic_classification(64, 300, 3, 1).unwrap();
        let rows: Vec<u32> = (0..64).collect();
        let (loss, optimizer): (Loss, Optimizer) =
            (CrossEntropy::default().into(), Adam::default().into());
        for (norm, clip, workers) in [
            (false, Clip::None, 1),
            (false, Clip::None, 2),
            (false, Clip::Norm(1.0), 1),
            (false, Clip::Norm(1.0), 2),
            (true, Clip::None, 2),
        ] {
            let mut builder = Sequential::builder(300).dense(260, Activation::Relu).dropout(0.1);
            builder = builder.dense(130, Activation::Tanh);
            if norm {
                builder = builder.layer_norm();
            }
            let builder = builder.dense(70, Activation::Relu).dense(3, Activation::Softmax);
            let mut model = builder.build(1).unwrap();
            let sizes = (Some(2), workers);
            let shape = data.targets().shape();
            let mut stepper = Stepper::new(&model, &loss, &optimizer, shape, &[64], sizes);
            let before = stepper.transpose.to_vec();
            let input = StepInput {
                data: &data,
                loss: &loss,
                optimizer: &optimizer,
                clip,
                seed: 1,
                epoch: 1,
                lr: 0.01,
                rows: &rows,
                next: &rows,
                first_row: 0,
            };
            let mut step = || stepper.step(&mut model, &input, &Untimed).unwrap();
            pool(workers).unwrap().install(|| (step(), step()));
            let stepped = stepper.transpose.to_vec();
            assert!(stepped != before);
            stepper.transpose.fill(0.0);
            stepper.refresh(&model);
            assert!(stepped == *stepper.transpose, "{norm} {clip:?} {workers}");
        }
    }
}
