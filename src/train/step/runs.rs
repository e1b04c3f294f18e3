//! Runs of steps: by a team where there is one, else one after the other.

use super::{NEAR, NotFinite, StepInput, StepOutcome, Stepper, Timer};
use crate::data::TargetShape;
use crate::layer::{Kind, Placed};
use crate::model::Sequential;
use crate::train::shards::shards;
use crate::train::team::{Learned, Lengths, Net, Run, Team};

/// Most steps of a run, and most floating-point operations of its products: a hundredth of a second or so, after which
/// an interruption is noticed.
const STEPS: usize = 256;
const FLOPS: usize = 1_000_000_000;

/// Steps on batches of `rows` rows that are made together where nobody looks in between. One at a time where a layer is
/// the user's: it may panic, and then the steps before it must have been counted, and nobody knows how long it takes.
pub(super) fn run_length(model: &Sequential, rows: usize) -> usize {
    let custom = |layer: &Placed| matches!(layer.kind, Kind::Custom(_));
    match model.flops_per_row() * rows {
        0 => 1,
        _ if model.layers.iter().any(custom) => 1,
        flops => (FLOPS / flops).clamp(1, STEPS),
    }
}

impl Stepper {
    /// A team for batches of `rows` rows.
    pub(super) fn new_team(
        &self,
        model: &Sequential,
        targets: TargetShape,
        (rows, members): (usize, usize),
    ) -> Team {
        let params = model.params.len();
        let shards = shards(rows, params, self.cutting.shards);
        let slots = self.slots.each_ref().map(|slot| slot.len());
        let lengths = Lengths { params, transpose: self.transpose.len(), slots };
        Team::new(&self.plan, lengths, targets, (rows, shards, members))
    }

    /// Makes `count` steps, of which each is told what `input` says of its index, and adds what they found to
    /// `outcomes`. On an error the parameters are those after the last good step.
    pub fn steps<'i>(
        &mut self,
        model: &mut Sequential,
        count: usize,
        input: &(impl Fn(usize) -> StepInput<'i> + Sync),
        outcomes: &mut Vec<StepOutcome>,
        timer: &impl Timer,
    ) -> Result<(), NotFinite> {
        debug_assert!(
            !self.alone || self.fork.workers == 1,
            "a step is shared out on its own pool alone"
        );
        let by_team = self.steps_by_team(model, count, input, outcomes, timer)?;
        for index in by_team..count {
            let outcome = self.step(model, &input(index), timer)?;
            outcomes.push(outcome);
        }
        Ok(())
    }

    /// Makes steps by the team and returns how many: all of them but one on a short last batch, or none where there
    /// is no team or its members did not come.
    pub(in crate::train) fn steps_by_team<'i>(
        &mut self,
        model: &mut Sequential,
        count: usize,
        input: &(impl Fn(usize) -> StepInput<'i> + Sync),
        outcomes: &mut Vec<StepOutcome>,
        timer: &impl Timer,
    ) -> Result<usize, NotFinite> {
        if self.team.is_none() || self.alone || count == 0 {
            return Ok(0);
        }
        let last = input(count - 1);
        let (size, ahead) = (self.size(last.clip), self.floats(model, &last) <= NEAR);
        let Some(team) = &mut self.team else { return Ok(0) };
        let count = count - usize::from(last.rows.len() != team.rows());
        if count == 0 {
            return Ok(0);
        }
        let run = Run { before: self.steps, count, input, size, ahead };
        let net = Net {
            layers: &model.layers,
            plan: &self.plan,
            units: &self.units,
            transposed: &self.transposed,
        };
        let [a, b, c] = &mut self.slots;
        let params = &mut model.params;
        let mut learned = Learned { params, transpose: &mut self.transpose, slots: [a, b, c] };
        let before = outcomes.len();
        let made = team.run(net, &mut learned, run, outcomes, timer);
        let count = outcomes.len() - before;
        self.steps += count as u64;
        made.map(|()| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;

    #[test]
    fn runs_are_as_long_as_a_hundredth_of_a_second() {
        let builder = Sequential::builder(4).dense(4, Activation::Relu);
        let tiny = builder.dense(3, Activation::Softmax).build(1).unwrap();
        let wide = Sequential::builder(100).dense(100, Activation::Identity).build(1).unwrap();
        let flops = wide.flops_per_row();
        assert_eq!(run_length(&tiny, 24), STEPS);
        assert_eq!(run_length(&wide, FLOPS / flops), 1);
        assert_eq!(run_length(&wide, FLOPS / flops / 20), 20);
        assert_eq!(run_length(&wide, 10 * FLOPS / flops), 1);
        let still = Sequential::builder(4).activation(Activation::Relu).build(1).unwrap();
        assert_eq!(run_length(&still, 24), 1, "nothing to count");
    }
}
