//! Runs of steps: by a team where there is one, else one after the other.

use std::time::Instant;

use super::{IN_DOUBT, NEAR, NotFinite, StepInput, StepOutcome, Stepper, Timer, Trial};
use crate::data::TargetShape;
use crate::layer::{Kind, Placed};
use crate::model::Sequential;
use crate::train::fork::Fork;
use crate::train::helpers::Helpers;
use crate::train::pool;
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
        let shards = self.cutting.shards_of(rows);
        let slots = self.slots.each_ref().map(|slot| slot.len());
        let lengths = Lengths { params, transpose: self.transpose.len(), slots };
        Team::new(&self.plan, lengths, targets, (rows, shards, members))
    }

    /// Lets steps of `flops` floating-point operations be made by all workers or by one, whichever is faster, where
    /// that is in doubt.
    pub fn may_choose(&mut self, flops: usize) {
        if self.trial.is_some() || flops >= IN_DOUBT.end {
            return;
        }
        if self.team.is_some() {
            self.trial = Some(Trial::new(true, Trial::OF_TEAM));
        } else if self.fork.workers > 1 && flops >= IN_DOUBT.start {
            let together = pool::of_at_most(self.fork.workers, flops) > 1;
            self.trial = Some(Trial::new(together, Trial::OF_POOL));
        }
    }

    /// Whether the next step is to be made by all workers.
    fn together(&self) -> bool {
        !self.alone && self.trial.as_ref().is_none_or(|trial| trial.together)
    }

    /// How the workers who make the next step come together.
    pub(super) fn fork(&self) -> Fork {
        if self.together() { self.fork } else { Fork::new(1) }
    }

    /// Who helps with the next step, where the calling thread is outside of the pool and it is worth it.
    pub(super) fn helpers(&self) -> Option<Helpers> {
        let (pool, workers) = (self.outside.as_ref()?, self.fork().workers);
        (workers > 1).then(|| Helpers { pool: pool.clone(), workers })
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
        if self.alone || self.trial.is_none() {
            return self.untried(model, count, input, outcomes, timer).map(drop);
        }
        let mut made = 0;
        while made < count {
            let input = |index: usize| input(made + index);
            made += self.tried(model, count - made, &input, outcomes, timer)?;
        }
        Ok(())
    }

    /// Makes as many steps, of `most`, as the trial is to hear of as one, and returns how many.
    fn tried<'i>(
        &mut self,
        model: &mut Sequential,
        most: usize,
        input: &(impl Fn(usize) -> StepInput<'i> + Sync),
        outcomes: &mut Vec<StepOutcome>,
        timer: &impl Timer,
    ) -> Result<usize, NotFinite> {
        let (begun, before, together) = (Instant::now(), outcomes.len(), self.together());
        let count = self.trial.as_ref().map_or(most, |trial| trial.at_once(most));
        let by_team = self.untried(model, count, input, outcomes, timer)?;
        let rows = outcomes[before..].iter().map(|outcome| outcome.rows).sum();
        let whole = rows == count * self.shapes.0;
        let missed = self.team.is_some() && together && whole && by_team == 0;
        if let Some(trial) = &mut self.trial {
            trial.made(count, rows, begun.elapsed().as_secs_f64());
            if missed {
                trial.missed();
            }
        }
        Ok(count)
    }

    /// Makes steps as it stands and returns how many a team made.
    fn untried<'i>(
        &mut self,
        model: &mut Sequential,
        count: usize,
        input: &(impl Fn(usize) -> StepInput<'i> + Sync),
        outcomes: &mut Vec<StepOutcome>,
        timer: &impl Timer,
    ) -> Result<usize, NotFinite> {
        let by_team = self.steps_by_team(model, count, input, outcomes, timer)?;
        for index in by_team..count {
            let outcome = self.step(model, &input(index), timer)?;
            outcomes.push(outcome);
        }
        Ok(by_team)
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
        let net = Net { layers: &model.layers, plan: &self.plan, units: &self.units };
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
    use crate::data::Dataset;
    use crate::loss::Loss;
    use crate::optim::{Clip, Optimizer};
    use crate::train::cut::{HALF, LEAST, MOST, PARTS};
    use crate::train::pool::pool;
    use crate::train::step::Untimed;
    use crate::train::step::balance::Balance;
    use crate::{Activation, Adam, CrossEntropy, datasets};

    const ROWS: usize = 64;

    /// 41,000 parameters with 200 hidden units, too many for a team, and 9,000 with 64.
    fn net(hidden: usize) -> Sequential {
        let builder = Sequential::builder(100).dense(hidden, Activation::Relu);
        let builder = builder.dense(hidden / 2, Activation::Tanh);
        builder.dense(3, Activation::Softmax).build(1).unwrap()
    }

    /// What steps are made of: two whole batches and a short one.
    struct Given {
        rows: usize,
        shards: Option<usize>,
        data: Dataset,
        loss: Loss,
        optimizer: Optimizer,
        order: Vec<u32>,
    }

    impl Given {
        fn new() -> Self {
            Self::of(ROWS, Some(2))
        }

        fn of(rows: usize, shards: Option<usize>) -> Self {
            Self {
                rows,
                shards,
                // So many that those of the next step are copied ahead.
                data: datasets::synthetic_classification(1400, 100, 3, 1).unwrap(),
                loss: CrossEntropy::default().into(),
                optimizer: Adam::default().into(),
                order: (0..2 * rows as u32 + 12).map(|r| r * 7 % 1400).collect(),
            }
        }

        fn stepper(&self, model: &Sequential, workers: usize) -> Stepper {
            let (targets, sizes) = (self.data.targets().shape(), (self.shards, workers));
            Stepper::new(model, &self.loss, &self.optimizer, targets, &[12, self.rows], sizes)
        }

        fn input(&self, step: usize) -> StepInput<'_> {
            let rows = |step: usize| self.order.chunks(self.rows).nth(step % 3).unwrap();
            StepInput {
                data: &self.data,
                loss: &self.loss,
                optimizer: &self.optimizer,
                clip: Clip::None,
                seed: 1,
                epoch: 1,
                lr: 0.01,
                rows: rows(step),
                next: rows(step + 1),
                first_row: 0,
            }
        }
    }

    /// The bits after ten steps on two workers, of which step n was made by both where bit n says so.
    fn bits(hidden: usize, together: Option<u32>) -> Vec<u32> {
        let (given, mut model) = (Given::new(), net(hidden));
        let mut stepper = given.stepper(&model, 2);
        assert_eq!(stepper.team.is_some(), hidden == 64);
        for step in 0..10 {
            let input = |_| given.input(step);
            let way = together.map(|together| together >> step & 1 == 1);
            stepper.trial = way.map(|together| Trial::new(together, Trial::OF_POOL));
            let mut steps = || stepper.untried(&mut model, 1, &input, &mut vec![], &Untimed);
            let by_team = pool(2).unwrap().install(&mut steps).unwrap();
            assert!(by_team == 0 || way != Some(false), "step {step} was to be made alone");
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
    fn blocks_that_become_larger_and_smaller_again_change_no_bit() {
        const ROWS: usize = 256;
        let bits = |share: fn(usize) -> Option<usize>| {
            let (given, mut model) = (Given::of(ROWS, None), net(200));
            let mut stepper = given.stepper(&model, 2);
            for step in 0..12 {
                let share = share(step);
                stepper.balance = share.map_or_else(Balance::default, Balance::trusting);
                let input = |_| given.input(step);
                let mut steps = || {
                    stepper.untried(&mut model, 1, &input, &mut vec![], &Untimed).unwrap();
                    rayon::current_thread_index().unwrap()
                };
                let caller = pool(2).unwrap().install(&mut steps);
                if step % 3 < 2 {
                    let blocks: Vec<_> = stepper.cut.blocks.iter().map(|rows| rows.len()).collect();
                    let Some(share) = share else {
                        assert_eq!(blocks, [ROWS / 4; 4]);
                        continue;
                    };
                    let first = [share, PARTS - share][caller] / 2 * (ROWS / HALF);
                    assert_eq!(blocks, [first, ROWS - first], "step {step}");
                }
            }
            model.params.to_vec()
        };
        let apart = bits(|_| None);
        assert!(bits(|_| Some(HALF)) == apart);
        assert!(bits(|step| (0b1101_0010_1100 >> step & 1 == 1).then_some(HALF)) == apart);
        assert!(bits(|step| [LEAST, 14, 18, MOST].get(step / 3).copied()) == apart);
    }

    #[test]
    fn a_team_is_compared_with_one_worker() {
        let (given, mut model) = (Given::new(), net(64));
        let mut stepper = given.stepper(&model, 2);
        stepper.may_choose(0);
        let input = |_| StepInput { lr: 0.0, ..given.input(0) };
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
    fn a_loss_that_is_not_finite_ends_a_run_that_is_tried_behind_the_good_steps() {
        let mut given = Given::new();
        let (mut x, labels) = (given.data.x().to_owned(), given.data.labels().unwrap().to_vec());
        x.row_mut(given.order[ROWS] as usize).fill(f32::MAX);
        given.data = Dataset::classification(x, labels).unwrap();
        for (hidden, together) in [(200, false), (200, true), (64, true)] {
            let run = |count| {
                let (mut model, mut outcomes) = (net(hidden), vec![]);
                let mut stepper = given.stepper(&model, 2);
                stepper.trial = Some(Trial::new(together, Trial::OF_POOL));
                let input = |step| given.input(step);
                let mut steps =
                    || stepper.steps(&mut model, count, &input, &mut outcomes, &Untimed);
                let end = pool(2).unwrap().install(&mut steps);
                let bits: Vec<u32> = model.params.iter().map(|value| value.to_bits()).collect();
                (end, outcomes.len(), stepper.steps, bits)
            };
            let (end, made, steps, bits) = run(3);
            assert_eq!(
                (end, made, steps),
                (Err(NotFinite("the loss")), 1, 1),
                "{hidden} {together}"
            );
            assert!(bits == run(1).3, "the parameters are those after the good step");
        }
    }

    #[test]
    fn only_what_is_in_doubt_is_tried() {
        for (hidden, workers, flops, expected) in [
            (200, 2, 999_999, None),
            (200, 2, 1_000_000, Some(false)),
            (200, 2, 3_000_000, Some(true)),
            (200, 2, 50_000_000, None),
            (200, 1, 3_000_000, None),
            (64, 2, 500_000, Some(true)),
            (64, 2, 50_000_000, None),
        ] {
            let mut stepper = Given::new().stepper(&net(hidden), workers);
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
