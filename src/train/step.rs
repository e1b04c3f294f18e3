//! One optimizer step: blocks of rows forward and backward, then units of parameters.

mod balance;
mod input;
mod phases;
mod runs;
mod second_half;
mod timer;
mod trial;

pub(crate) use balance::Made;
pub(super) use input::{StepInput, Taken, through};
pub use phases::PhaseClock;
pub use timer::Phase;
pub(crate) use timer::{Timer, Untimed};
pub(super) use trial::IN_DOUBT;
use trial::Trial;

use std::sync::Arc;
use std::time::Instant;

use crossbeam::utils::CachePadded;
use rayon::ThreadPool;

use self::balance::Balance;
use super::block::{Block, Pass};
use super::cut::{Cut, Cutting, LEAST, MOST};
use super::fork::Fork;
use super::plan::Plan;
use super::shards::SMALL;
use super::team::{self, Team};
use super::update::{Batch, Size, Unit, runs, units};
use crate::aligned::Aligned;
use crate::data::TargetShape;
use crate::layer::{Kind, Placed};
use crate::loss::Loss;
use crate::model::Sequential;
use crate::optim::{Clip, Optimizer};
use crate::simd::product::Begin;

/// Floats that a step goes through, rows and parameters with their state, up to which the next step's rows are
/// asked for ahead and copied: beyond it they have left the caches before they are gathered. As it was measured on one and two
/// cores of a Zen 4: without being asked for, 784-512-512-10, whose step has four times as many, trained 1.00 to
/// 1.035 times as fast, 784-128-10, with 0.8 of as many, 0.97 to 0.98 times.
const NEAR: usize = 1 << 19;

/// Runs of units per worker: towards a step's end small ones, so that workers end together.
const RUNS_PER_WORKER: usize = 64;

/// Everything that steps of a training run need again and again, allocated once.
#[derive(Debug)]
pub(super) struct Stepper {
    plan: Plan,
    units: Vec<Unit>,
    /// Rows of a whole batch, and the shape of the targets.
    shapes: (usize, TargetShape),
    blocks: Vec<CachePadded<Block>>,
    cut: Cut,
    balance: Balance,
    /// Rows that every block has room for, so that the panels of all of them are as far apart.
    most_rows: usize,
    transpose: Aligned,
    /// Room for the pieces of the transpose, in a step's second half.
    pieces: Vec<&'static mut [f32]>,
    pub slots: [Aligned; 3],
    grads: Aligned,
    sizes: Vec<f64>,
    fork: Fork,
    cutting: Cutting,
    /// Steps to be made together where nobody looks in between.
    pub run_length: usize,
    /// Makes the steps on whole batches, where there is one.
    pub team: Option<Team>,
    /// Whether neither the team nor the pool is to be called.
    pub alone: bool,
    /// The pool whose workers the calling thread, which is none of them, calls to help.
    pub outside: Option<Arc<ThreadPool>>,
    /// When the last call of a trainer that has a pool ended.
    pub ended: Option<Instant>,
    /// Finds out whether to share steps out, where that is in doubt.
    trial: Option<Trial>,
    exact: bool,
    /// Whether to take the norm of every gradient.
    pub norm: bool,
    /// Optimizer steps done.
    pub steps: u64,
}

/// What a step found before it changed the parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StepOutcome {
    /// Sum over the rows of their losses.
    pub loss: f64,
    /// What the sum is divided by.
    pub normalizer: f64,
    /// Rows of the batch, and those that were classified right.
    pub rows: usize,
    pub correct: usize,
    /// The learning rate.
    pub lr: f64,
    /// The gradient's sum of squares before clipping, where it was taken.
    pub squares: Option<f64>,
}

/// What was not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotFinite(pub &'static str);

impl Stepper {
    /// Sizes every buffer for batches of the given numbers of rows.
    pub fn new(
        model: &Sequential,
        loss: &Loss,
        optimizer: &Optimizer,
        targets: TargetShape,
        batches: &[usize],
        (shards, workers): (Option<usize>, usize),
    ) -> Self {
        let whole = batches.iter().copied().max().unwrap_or(0);
        let team = team::fits(model, whole, shards, workers).then_some(workers);
        let workers = if team.is_some() { 1 } else { workers };
        let fused_end = loss.fuses(model.last_activation());
        let plan = Plan::new(&model.layers, model.layers.len() - usize::from(fused_end), true);
        let units = units(&model.layers, &plan);
        let dense_only = units.iter().all(|unit| unit.is_dense());
        let params = model.params.len();
        let exact = !dense_only || params <= SMALL;
        let mut stepper = Self {
            transpose: Aligned::lasting(model.layers.last().map_or(0, |layer| layer.transpose.end)),
            pieces: Vec::with_capacity(units.last().map_or(0, |unit| unit.pieces.end)),
            sizes: vec![0.0; units.len()],
            grads: Aligned::lasting(if exact { params } else { 0 }),
            shapes: (whole, targets),
            blocks: vec![],
            cut: Cut::default(),
            balance: Balance::default(),
            most_rows: 0,
            plan,
            units,
            slots: slots(model, optimizer),
            fork: Fork::new(workers),
            cutting: Cutting {
                shards,
                params,
                workers,
                even: false,
                callers: None,
                divide: !sums_shards(&model.layers),
            },
            run_length: runs::run_length(model, whole),
            team: None,
            alone: false,
            outside: None,
            ended: None,
            trial: None,
            exact,
            norm: false,
            steps: 0,
        };
        for &rows in batches {
            stepper.reserve(rows, targets);
        }
        stepper.refresh(model);
        if let Some(members) = team {
            stepper.team = Some(stepper.new_team(model, targets, (whole, members)));
        }
        stepper
    }

    /// As [`new`](Self::new), with what an earlier run of the same model, loss and optimizer has left: its state, and
    /// where batches and targets have the same shape its buffers too.
    pub fn with_earlier(
        earlier: Option<Self>,
        model: &Sequential,
        (loss, optimizer): (&Loss, &Optimizer),
        targets: TargetShape,
        batches: &[usize],
        sizes: (Option<usize>, usize),
    ) -> Self {
        let shapes = (batches.iter().copied().max().unwrap_or(0), targets);
        let state = match earlier {
            Some(mut stepper) if stepper.shapes == shapes => {
                stepper.forget();
                return stepper;
            }
            // Its buffers go before there are others.
            earlier => earlier.map(|stepper| (stepper.slots, stepper.steps)),
        };
        let mut stepper = Self::new(model, loss, optimizer, targets, batches, sizes);
        if let Some(state) = state {
            (stepper.slots, stepper.steps) = state;
        }
        stepper
    }

    /// Forgets the rows that were copied ahead.
    fn forget(&mut self) {
        self.blocks.iter_mut().for_each(|block| block.forget());
        if let Some(team) = &mut self.team {
            team.forget();
        }
    }

    /// Makes room for batches of `rows` rows, also where they come to be cut in other ways. Every block has room for
    /// the largest one of all ways, for the panels of all are as far apart.
    fn reserve(&mut self, rows: usize, targets: TargetShape) {
        let now = self.cutting;
        let shared = |callers| Cutting { even: true, callers: Some(callers), ..now };
        let apart = [false, true].map(|even| Cutting { even, callers: None, ..now });
        let shares = [LEAST, MOST].map(shared);
        let shares = shares.into_iter().filter(|how| how.workers == 2);
        for how in apart.into_iter().chain(shares).chain([now]) {
            self.cut.recut(rows, how);
            if self.blocks.len() < self.cut.blocks.len() {
                self.blocks.resize_with(self.cut.blocks.len(), Default::default);
            }
            self.most_rows = self.most_rows.max(self.cut.most_rows());
        }
        for block in &mut self.blocks {
            block.reserve(&self.plan, self.most_rows, Some(targets), true);
        }
    }

    /// Cuts batches of `rows` rows from now on.
    fn recut(&mut self, rows: usize, targets: TargetShape) {
        self.cut.recut(rows, self.cutting);
        if self.blocks.len() < self.cut.blocks.len() || self.most_rows < self.cut.most_rows() {
            self.reserve(rows, targets);
        }
    }

    /// Shards of a batch of `rows` rows.
    pub fn shards(&self, rows: usize) -> usize {
        self.cutting.shards_of(rows)
    }

    /// Writes the transposed weights anew, after parameters were changed from outside.
    pub fn refresh(&mut self, model: &Sequential) {
        let batch = Batch {
            layers: &model.layers,
            plan: &self.plan,
            blocks: &[],
            cut: &self.cut,
            shared: false,
        };
        for unit in &self.units {
            batch.transpose(unit, &model.params[unit.params.clone()], &mut self.transpose);
        }
        self.outdate();
    }

    /// The members of a team have parameters that are no longer the model's.
    fn outdate(&mut self) {
        if let Some(team) = &mut self.team {
            team.outdate();
        }
    }

    /// Makes one step.
    fn step(
        &mut self,
        model: &mut Sequential,
        input: &StepInput,
        timer: &impl Timer,
    ) -> Result<StepOutcome, NotFinite> {
        self.outdate();
        let how = self.cutting_now();
        if self.cut.rows != input.rows.len() || self.cutting != how {
            self.cutting = how;
            self.recut(input.rows.len(), input.data.targets().shape());
        }
        let mut outcome = self.forward_backward(model, input, timer);
        input.check(outcome.loss)?;
        let in_memory = self.in_memory(input.clip) || !self.bounded(input.rows.len());
        outcome.squares = self.update(model, input, in_memory, timer)?;
        self.steps += 1;
        Ok(outcome)
    }

    /// How to cut the next batch, after what is known of the workers.
    fn cutting_now(&self) -> Cutting {
        let even = self.balance.is_even();
        let shared = even && self.cutting.workers == 2 && !self.alone && self.outside.is_none();
        let callers = rayon::current_thread_index().filter(|_| shared);
        let callers = callers.map(|caller| self.balance.share_of(caller));
        Cutting { even, callers, ..self.cutting }
    }

    /// What is to be known of the gradient's size.
    fn size(&self, clip: Clip) -> Size {
        if self.norm || matches!(clip, Clip::Norm(_)) { Size::Squares } else { Size::Largest }
    }

    /// Whether gradients go through memory in every step.
    fn in_memory(&self, clip: Clip) -> bool {
        self.exact || self.size(clip) == Size::Squares
    }

    /// The cost of a run of units below which it is not shared out.
    fn grain(&self, workers: usize) -> usize {
        match workers {
            1 => usize::MAX,
            workers => {
                self.units.iter().map(|unit| unit.cost).sum::<usize>() / (workers * RUNS_PER_WORKER)
            }
        }
    }

    /// The shares of the cost in the runs of units that `workers` workers claim.
    fn pieces(&self, workers: usize) -> Vec<f64> {
        let mut costs = vec![];
        runs(&self.units, self.grain(workers), &mut |run| {
            costs.push(run.iter().map(|unit| unit.cost).sum::<usize>());
        });
        let all: usize = costs.iter().sum();
        costs.into_iter().map(|cost| cost as f64 / all as f64).collect()
    }

    /// Floats that a step goes through: the features of its rows, the parameters and their state.
    fn floats(&self, model: &Sequential, input: &StepInput) -> usize {
        let state: usize = self.slots.iter().map(|slot| slot.len()).sum();
        input.rows.len() * input.data.features() + model.params.len() + state
    }

    fn forward_backward(
        &mut self,
        model: &Sequential,
        input: &StepInput,
        timer: &impl Timer,
    ) -> StepOutcome {
        let pass = Pass {
            layers: &model.layers,
            plan: &self.plan,
            params: &model.params,
            transpose: &self.transpose,
            seed: input.seed,
            epoch: input.epoch,
            bound: !self.in_memory(input.clip),
            begin: Begin::FIRST,
        };
        let (ahead, fork) = (self.floats(model, input) <= NEAR, self.fork());
        let helpers = self.helpers();
        let blocks = &mut self.blocks[..self.cut.blocks.len()];
        let cut = &self.cut;
        let normalizer = input.normalizer();
        let through = |index: usize, block: &mut Block| {
            let begin = if fork.workers > 1 { cut.begin_of(index) } else { Begin::FIRST };
            let pass = Pass { begin, ..pass };
            let taken = Taken { rows: cut.blocks[index].clone(), normalizer, ahead };
            // Two looks at the clock took a fiftieth of the smallest nets' steps.
            let begun = (fork.workers > 1).then(Instant::now);
            through(block, &pass, input, taken, timer);
            block.made = begun.map(|begun| Made {
                worker: rayon::current_thread_index().filter(|_| helpers.is_none()),
                time: begun.elapsed(),
                rows: block.rows(),
            });
        };
        match &helpers {
            Some(helpers) => {
                let blocks = blocks.iter_mut().enumerate();
                helpers.each(blocks, || (), |_, (index, block)| through(index, block));
            }
            None => each_block(blocks, 0, fork, &through),
        }
        if fork.workers > 1 {
            self.balance.see(blocks.iter().filter_map(|block| block.made));
        }
        let loss = blocks.iter().flat_map(|block| &block.losses[..block.rows()]).sum();
        let correct = blocks.iter().map(|block| block.correct).sum();
        let (rows, lr) = (input.rows.len(), input.lr);
        StepOutcome { loss, normalizer, rows, correct, lr, squares: None }
    }

    /// Whether the sizes of what goes into the gradients show that none can overflow.
    fn bounded(&self, rows: usize) -> bool {
        let blocks = &self.blocks[..self.cut.blocks.len()];
        (0..self.plan.ops.len()).all(|op| {
            let most = |f: fn(&(f32, f32)) -> f32| {
                blocks.iter().map(|block| f64::from(f(&block.sizes[op]))).fold(0.0, f64::max)
            };
            let size = (most(|size| size.0)).max(1.0) * most(|size| size.1) * rows as f64;
            size < f64::from(f32::MAX) / 2.0
        })
    }
}

/// The optimizer's state before the first step.
fn slots(model: &Sequential, optimizer: &Optimizer) -> [Aligned; 3] {
    std::array::from_fn(|slot| {
        let len = if slot < optimizer.slots() { model.params.len() } else { 0 };
        let mut state = Aligned::lasting(len);
        let start = optimizer.initial(slot);
        if start != 0.0 {
            fill_unpadded(model, &mut state, start);
        }
        state
    })
}

/// Sets the values of a state buffer but not its padding, which stays zero.
fn fill_unpadded(model: &Sequential, state: &mut [f32], value: f32) {
    for layer in &model.layers {
        let state = &mut state[layer.params.clone()];
        for tensor in 0..layer.tensors().len() {
            layer.positions(tensor).for_each(|at| state[at] = value);
        }
    }
}

/// Whether a user's layer sums up gradients: a shard's in whatever order, so it must see all of its rows.
fn sums_shards(layers: &[Placed]) -> bool {
    layers.iter().any(|layer| matches!(layer.kind, Kind::Custom(_)) && !layer.params.is_empty())
}

/// Calls `f` with each block; idle workers claim blocks from the far end.
fn each_block(
    blocks: &mut [CachePadded<Block>],
    first: usize,
    fork: Fork,
    f: &(impl Fn(usize, &mut Block) + Sync),
) {
    if fork.workers == 1 || blocks.len() < 2 {
        for (index, block) in blocks.iter_mut().enumerate() {
            f(first + index, block);
        }
        return;
    }
    let middle = blocks.len().div_ceil(2);
    let (left, right) = blocks.split_at_mut(middle);
    fork.join(|| each_block(left, first, fork, f), || each_block(right, first + middle, fork, f));
}
