//! Runs of steps: by a team where there is one, else one after the other.

use std::time::Instant;

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
        let mut made = 0;
        while made < count {
            let trial = self.trial.as_ref().filter(|_| !self.alone);
            let begun = trial.map(|trial| (trial.at_once(count - made), Instant::now()));
            let at_once = begun.map_or(count - made, |(at_once, _)| at_once);
            let (before, together) = (outcomes.len(), self.together());
            let input = |index: usize| input(made + index);
            let by_team = self.steps_by_team(model, at_once, &input, outcomes, timer)?;
            for index in by_team..at_once {
                let outcome = self.step(model, &input(index), timer)?;
                outcomes.push(outcome);
            }
            if let (Some(trial), Some((_, begun))) = (&mut self.trial, begun) {
                let rows = outcomes[before..].iter().map(|outcome| outcome.rows).sum();
                trial.made(at_once, rows, begun.elapsed().as_secs_f64());
                let whole = rows >= at_once * self.shapes.0;
                if self.team.is_some() && together && whole && by_team == 0 {
                    trial.missed();
                }
            }
            made += at_once;
        }
        Ok(())
    }

    /// Makes steps by the team and returns how many: all of them but one on a short last batch, or none where there
    /// is no team, its members did not come or one worker is faster.
    pub(in crate::train) fn steps_by_team<'i>(
        &mut self,
        model: &mut Sequential,
        count: usize,
        input: &(impl Fn(usize) -> StepInput<'i> + Sync),
        outcomes: &mut Vec<StepOutcome>,
        timer: &impl Timer,
    ) -> Result<usize, NotFinite> {
        if self.team.is_none() || !self.together() || count == 0 {
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
    use crate::train::pool::pool;
    use crate::train::step::{Trial, Untimed};
    use crate::{Activation, Adam, CrossEntropy, datasets};

    const ROWS: usize = 64;

    /// 41,000 parameters with 200 hidden units, too many for a team, and 9,000 with 64.
    fn net(hidden: usize) -> Sequential {
        let builder = Sequential::builder(100).dense(hidden, Activation::Relu);
        let builder = builder.dense(hidden / 2, Activation::Tanh);
        builder.dense(3, Activation::Softmax).build(1).unwrap()
    }

    /// The bits after ten steps on two workers, of which step n was made by both where bit n says so.
    fn bits(hidden: usize, together: Option<u32>) -> Vec<u32> {
        let data = datasets::synthetic_classification(140, 100, 3, 1).unwrap();
        let (loss, optimizer) = (CrossEntropy::default().into(), Adam::default().into());
        let mut model = net(hidden);
        let (targets, batches) = (data.targets().shape(), [140 % ROWS, ROWS]);
        let mut stepper = Stepper::new(&model, &loss, &optimizer, targets, &batches, (Some(2), 2));
        assert_eq!(stepper.team.is_some(), hidden == 64);
        let order: Vec<u32> = (0..140).collect();
        for step in 0..10 {
            let rows = |step: usize| order.chunks(ROWS).nth(step % 3).unwrap();
            let input = |_| StepInput {
                data: &data,
                loss: &loss,
                optimizer: &optimizer,
                clip: crate::Clip::None,
                seed: 1,
                epoch: 1,
                lr: 0.01,
                rows: rows(step),
                next: rows(step + 1),
                first_row: 0,
            };
            let way = together.map(|together| together >> step & 1 == 1);
            stepper.trial = way.map(|together| Trial::new(together, Trial::OF_POOL));
            let made = pool(2).unwrap().install(|| {
                let made =
                    stepper.steps_by_team(&mut model, 1, &input, &mut vec![], &Untimed).unwrap();
                stepper.steps(&mut model, 1 - made, &input, &mut vec![], &Untimed).unwrap();
                made
            });
            assert!(made == 0 || way != Some(false), "step {step} was to be made alone");
        }
        model.params.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn steps_made_alone_among_shared_ones_change_no_bit() {
        for hidden in [200, 64] {
            let shared = bits(hidden, None);
            for together in [0b0, 0b11_1111_1111, 0b01_0110_0101] {
                assert!(bits(hidden, Some(together)) == shared, "{hidden} {together:b}");
            }
        }
    }

    #[test]
    fn a_team_is_compared_with_one_worker() {
        let data = datasets::synthetic_classification(ROWS, 100, 3, 1).unwrap();
        let (loss, optimizer) = (CrossEntropy::default().into(), Adam::default().into());
        let (mut model, rows) = (net(64), (0..ROWS as u32).collect::<Vec<_>>());
        let targets = data.targets().shape();
        let mut stepper = Stepper::new(&model, &loss, &optimizer, targets, &[ROWS], (Some(2), 2));
        stepper.may_choose(0);
        let input = |_| StepInput {
            data: &data,
            loss: &loss,
            optimizer: &optimizer,
            clip: crate::Clip::None,
            seed: 1,
            epoch: 1,
            lr: 0.0,
            rows: &rows,
            next: &[],
            first_row: 0,
        };
        let (start, mut outcomes) = (Instant::now(), vec![]);
        // Members that do not come end a comparison; later there is another one.
        while !stepper.trial.as_ref().unwrap().has_compared() {
            assert!(start.elapsed().as_secs() < 60, "no comparison within a minute");
            outcomes.clear();
            let mut steps = || stepper.steps(&mut model, 50, &input, &mut outcomes, &Untimed);
            pool(2).unwrap().install(&mut steps).unwrap();
            assert_eq!(outcomes.len(), 50);
        }
    }

    #[test]
    fn only_what_is_in_doubt_is_tried() {
        let stepper = |hidden, workers| {
            let (loss, optimizer) = (CrossEntropy::default().into(), Adam::default().into());
            let data = datasets::synthetic_classification(ROWS, 100, 3, 1).unwrap();
            let targets = data.targets().shape();
            Stepper::new(&net(hidden), &loss, &optimizer, targets, &[ROWS], (None, workers))
        };
        for (hidden, workers, flops, expected) in [
            (200, 2, 999_999, None),
            (200, 2, 1_000_000, Some(false)),
            (200, 2, 3_000_000, Some(true)),
            (200, 2, 50_000_000, None),
            (200, 1, 3_000_000, None),
            (64, 2, 500_000, Some(true)),
            (64, 2, 50_000_000, None),
        ] {
            let mut stepper = stepper(hidden, workers);
            stepper.may_choose(flops);
            let found = stepper.trial.map(|trial| trial.together);
            assert_eq!(found, expected, "{hidden} {workers} {flops}");
        }
    }

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
