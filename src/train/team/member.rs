//! One member of a team: its rows through the model and back, its gradient to the others, all of the update.

use std::ops::Range;

use crossbeam::utils::CachePadded;

use super::meeting::{Left, Meeting, Message};
use super::{Learned, Lengths, Net, Run};
use crate::aligned::Aligned;
use crate::data::TargetShape;
use crate::optim::sum_of_squares;
use crate::simd::product::Begin;
use crate::simd::{add_and_take, dispatch};
use crate::train::block::{Block, Pass};
use crate::train::cut::{Cut, first_row};
use crate::train::plan::Plan;
use crate::train::step::{NotFinite, Phase, StepInput, StepOutcome, Taken, Timer, through};
use crate::train::update::{Batch, Part, Size, gradients, update_all};

/// What a member has to itself.
#[derive(Debug)]
pub(super) struct Member {
    index: usize,
    /// Its rows of every batch, and how they are cut.
    rows: Range<usize>,
    cut: Cut,
    block: CachePadded<Block>,
    params: Aligned,
    transpose: Aligned,
    slots: [Aligned; 3],
    /// The gradient over the rows that it has heard of, and their losses among those of the batch.
    grads: Aligned,
    losses: Vec<f64>,
    message: Message,
    /// What the steps of the run found.
    pub outcomes: Vec<StepOutcome>,
    /// How the run ended; nothing where it did not begin, or another member left it in a panic.
    pub end: Option<Result<(), NotFinite>>,
}

/// Why a run ends before its last step.
enum Stop {
    NotFinite(NotFinite),
    Left,
}

impl From<NotFinite> for Stop {
    fn from(what: NotFinite) -> Self {
        Self::NotFinite(what)
    }
}

impl From<Left> for Stop {
    fn from(Left: Left) -> Self {
        Self::Left
    }
}

impl Member {
    pub fn new(
        plan: &Plan,
        lengths: Lengths,
        targets: TargetShape,
        (rows, shards): (usize, usize),
        (index, members): (usize, usize),
    ) -> Self {
        let (taken, cut) = Cut::of_member(rows, shards, (index, members));
        let mut block = CachePadded::new(Block::default());
        block.reserve(plan, taken.len(), Some(targets), true);
        Self {
            index,
            rows: taken,
            cut,
            block,
            params: Aligned::zeros(lengths.params),
            transpose: Aligned::zeros(lengths.transpose),
            slots: lengths.slots.map(Aligned::zeros),
            grads: Aligned::zeros(lengths.params),
            losses: vec![0.0; rows],
            message: Message::default(),
            outcomes: vec![],
            end: None,
        }
    }

    /// Copies the parameters and what goes with them. A message that was lost in a panic is replaced.
    pub fn take_over(&mut self, learned: &Learned) {
        self.params.copy_from_slice(learned.params);
        self.transpose.copy_from_slice(learned.transpose);
        for (own, slot) in self.slots.iter_mut().zip(&learned.slots) {
            own.copy_from_slice(slot);
        }
        self.message.grads.grow(self.params.len());
        self.message.losses.resize(self.losses.len(), 0.0);
    }

    /// Forgets the rows that were copied ahead.
    pub fn forget(&mut self) {
        self.block.forget();
    }

    /// Copies them back.
    pub fn hand_over(&self, learned: &mut Learned) {
        learned.params.copy_from_slice(&self.params);
        learned.transpose.copy_from_slice(&self.transpose);
        for (own, slot) in self.slots.iter().zip(&mut learned.slots) {
            slot.copy_from_slice(own);
        }
    }

    /// Makes all steps of a run, up to the first that fails.
    pub fn run(&mut self, net: Net, meeting: &Meeting, run: Run, timer: &impl Timer) {
        self.outcomes.clear();
        let step = |index| self.step(net, meeting, (run, index), timer);
        self.end = match (0..run.count).try_for_each(step) {
            Ok(()) => Some(Ok(())),
            Err(Stop::NotFinite(what)) => Some(Err(what)),
            Err(Stop::Left) => None,
        };
    }

    fn step(
        &mut self,
        net: Net,
        meeting: &Meeting,
        (run, index): (Run, usize),
        timer: &impl Timer,
    ) -> Result<(), Stop> {
        let input = &(run.input)(index);
        let normalizer = input.normalizer();
        self.gradient(net, input, (normalizer, run.ahead), timer);
        let (correct, size) = self.exchange(meeting, index as u64 + 1, timer)?;
        let loss: f64 = self.losses.iter().sum();
        input.check(loss)?;
        let squares = (run.size == Size::Squares).then(|| {
            let of = |range: &Range<usize>| sum_of_squares(&self.grads[range.clone()]);
            net.units.iter().map(|unit| of(&unit.params)).sum()
        });
        if !squares.unwrap_or(f64::from(size)).is_finite() {
            return Err(NotFinite("a gradient").into());
        }
        let number = run.before + index as u64 + 1;
        let grad = input.clip.scale(squares.unwrap_or(0.0));
        let step = input.optimizer.prepare(number, input.lr, grad);
        let [a, b, c] = &mut self.slots;
        let part = Part {
            params: &mut self.params,
            pieces: &mut [],
            slots: [a, b, c],
            grads: &mut self.grads,
            sizes: &mut [],
        };
        let part = (part, &mut self.transpose[..]);
        let batch = batch(net, &self.block, &self.cut);
        timer.time(Phase::Update, || update_all(&batch, &step, net.units, part));
        let (rows, lr) = (input.rows.len(), input.lr);
        self.outcomes.push(StepOutcome { loss, normalizer, rows, correct, lr, squares });
        Ok(())
    }

    /// The gradient over its own rows.
    fn gradient(
        &mut self,
        net: Net,
        input: &StepInput,
        (normalizer, ahead): (f64, bool),
        timer: &impl Timer,
    ) {
        let pass = Pass {
            layers: net.layers,
            plan: net.plan,
            params: &self.params,
            transpose: &self.transpose,
            seed: input.seed,
            epoch: input.epoch,
            bound: false,
            begin: Begin::FIRST,
        };
        let taken = Taken { rows: self.rows.clone(), normalizer, ahead };
        through(&mut self.block, &pass, input, taken, timer);
        let batch = batch(net, &self.block, &self.cut);
        timer.time(Phase::Reduce, || {
            gradients(&batch, net.units, &self.params, &mut self.grads);
            self.losses[self.rows.clone()].copy_from_slice(&self.block.losses);
        });
    }

    /// Adds up the gradients of all members, pairs first, then pairs of pairs, as the tree over the shards does.
    /// Returns how many rows were classified right, and the gradient's largest size.
    fn exchange(
        &mut self,
        meeting: &Meeting,
        step: u64,
        timer: &impl Timer,
    ) -> Result<(usize, f32), Left> {
        let (mut correct, mut size) = (self.block.correct, 0.0);
        let (rows, members) = (self.losses.len(), meeting.members());
        let start = |member: usize| first_row(rows, (member, members));
        for round in 0..meeting.rounds() {
            let first = |member: usize| member >> round << round;
            let heard = |first: usize| start(first)..start(first + (1 << round));
            let (own, others) = (heard(first(self.index)), heard(first(self.index ^ 1 << round)));
            timer.time(Phase::Reduce, || {
                self.message.grads.copy_from_slice(&self.grads);
                self.message.losses[own.clone()].copy_from_slice(&self.losses[own]);
                self.message.correct = correct;
            });
            meeting.exchange((self.index, round), step, &mut self.message)?;
            timer.time(Phase::Reduce, || {
                let message = &self.message;
                self.losses[others.clone()].copy_from_slice(&message.losses[others]);
                correct += message.correct;
                size = dispatch!(simd => add_and_take(simd, &mut self.grads, &message.grads));
            });
        }
        Ok((correct, size))
    }
}

/// A member's rows, as the second half of a step sees them.
fn batch<'a>(net: Net<'a>, block: &'a CachePadded<Block>, cut: &'a Cut) -> Batch<'a> {
    Batch {
        layers: net.layers,
        plan: net.plan,
        blocks: std::slice::from_ref(block),
        cut,
        shared: false,
    }
}
