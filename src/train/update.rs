//! The second half of a step: for each unit of parameters the tree-sum of its gradient over the
//! shards, the optimizer's update and the transpose, while it is in the cache.

use std::cell::RefCell;
use std::ops::Range;

use crossbeam::utils::CachePadded;

use super::block::Block;
use super::fork::Fork;
use super::plan::Plan;
use super::shards::{Cut, Piece};
use super::step::{Phase, Timer};
use crate::aligned::Aligned;
use crate::layer::{Kind, Placed, layer_norm};
use crate::optim::{Step, sum_of_squares};
use crate::simd::panels::{WeightBlock, transpose_block};
use crate::simd::weight_grad::{InPieces, scratch_len, weight_grad};
use crate::simd::{Claims, dispatch, largest};

/// A contiguous range of parameters whose gradient one worker computes and applies.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// Position of its op in the plan.
    op: usize,
    /// The block of a dense layer's weights; all of another layer's parameters without.
    block: Option<WeightBlock>,
    pub params: Range<usize>,
    pub transpose: Range<usize>,
    /// Multiply-adds per row.
    pub cost: usize,
}

impl Unit {
    /// Whether it is a dense layer's.
    pub fn is_dense(&self) -> bool {
        self.block.is_some()
    }
}

/// The units of a plan, in the order in which their parameters lie. The last block of a dense layer
/// brings the bias along.
pub(crate) fn units(layers: &[Placed], plan: &Plan) -> Vec<Unit> {
    let mut units = vec![];
    for (op, layer) in plan.ops.iter().enumerate().map(|(i, op)| (i, &layers[op.layer])) {
        if let Kind::Dense(_) = layer.kind {
            let layout = layer.layout();
            for block in (0..layout.blocks()).map(|index| layout.block(index)) {
                let start = layer.params.start;
                let mut params = start + block.weights.start..start + block.weights.end;
                if block.weights.end == layout.weights_len() {
                    params.end = layer.params.end;
                }
                let start = layer.transpose.start;
                let transpose = start + block.transpose.start..start + block.transpose.end;
                let cost = block.inputs.len() * block.outputs.len();
                units.push(Unit { op, block: Some(block), params, transpose, cost });
            }
        } else if !layer.params.is_empty() {
            let transpose = layer.transpose.clone();
            let cost = layer.params.len() * 4;
            units.push(Unit { op, block: None, params: layer.params.clone(), transpose, cost });
        }
    }
    units
}

/// The forward and backward passes' results, which the gradients are computed from.
pub(crate) struct Batch<'a> {
    pub layers: &'a [Placed],
    pub plan: &'a Plan,
    pub blocks: &'a [CachePadded<Block>],
    pub cut: &'a Cut,
    /// The ops whose input needs a gradient, and so the transposed weights.
    pub transposed: &'a [bool],
    /// Whether several cores work on it, and so hold lines of the parameters.
    pub shared: bool,
}

impl<'a> Batch<'a> {
    /// Writes the unit's gradient, summed over the batch, to `grads`. Meanwhile makes `claims` ready.
    pub fn gradient(
        &self,
        unit: &Unit,
        params: &[f32],
        claims: &mut Claims,
        (scratch, grads): (&mut Aligned, &mut [f32]),
    ) {
        let op = &self.plan.ops[unit.op];
        let layer = &self.layers[op.layer];
        let (shards, per_shard) = (self.cut.shards, self.cut.per_shard());
        let rows = |piece: usize| {
            let Piece { block, rows } = &self.cut.pieces[piece];
            self.blocks[*block].rows_of(layer, op, rows.clone())
        };
        if let Some(block) = &unit.block {
            scratch.grow(scratch_len(shards));
            let grads = grads.split_at_mut(block.weights.len());
            weight_grad(
                block,
                InPieces { shards, per_shard, piece: &rows },
                scratch,
                grads,
                claims,
            );
            return;
        }
        let add = |piece: usize, grads: &mut [f32]| {
            let Piece { block, rows: place } = &self.cut.pieces[piece];
            let block = &self.blocks[*block];
            match &layer.kind {
                Kind::LayerNorm(_) => {
                    let (x, dy) = rows(piece);
                    let kept = block.kept_of(unit.op, layer.kept_per_row(), place.clone());
                    layer_norm::param_grads(x, kept, dy, grads);
                }
                Kind::Custom(custom) => {
                    let len = layer.param_count();
                    let (params, grads) = (&params[..len], &mut grads[..len]);
                    block.own_of(unit.op).param_grads(&**custom, params, place.clone(), grads);
                }
                _ => {}
            }
        };
        let leaf = |s: usize, grads: &mut [f32]| {
            (s * per_shard..(s + 1) * per_shard).for_each(|piece| add(piece, grads));
        };
        tree_sum(shards, leaf, scratch, grads);
    }

    /// Brings the transpose of a unit up to date with its parameters.
    pub fn transpose(&self, unit: &Unit, params: &[f32], transpose: &mut [f32]) {
        if let (Some(block), true) = (&unit.block, self.transposed[unit.op]) {
            transpose_block(block, &params[..block.weights.len()], transpose);
        }
    }
}

/// Sums what `leaf` adds to zeros for each shard, in the tree's order, into `sum`.
fn tree_sum(
    shards: usize,
    leaf: impl Fn(usize, &mut [f32]),
    scratch: &mut Aligned,
    sum: &mut [f32],
) {
    let n = sum.len();
    let levels = shards.ilog2() as usize + 1;
    scratch.grow(levels * n);
    let add = |sum: &mut [f32], waiting: &[f32]| {
        for (sum, waiting) in sum.iter_mut().zip(waiting) {
            *sum += waiting;
        }
    };
    for s in 0..shards {
        sum.fill(0.0);
        leaf(s, sum);
        let last = s + 1 == shards;
        let done = s.trailing_ones() as usize;
        let merged = if last { usize::BITS as usize } else { done };
        for level in (0..levels.min(merged)).filter(|level| s >> level & 1 == 1) {
            add(sum, &scratch[level * n..(level + 1) * n]);
        }
        if !last {
            scratch[done * n..(done + 1) * n].copy_from_slice(sum);
        }
    }
}

/// The parts of the trainer's buffers that a run of units owns.
pub(crate) struct Part<'a> {
    pub params: &'a mut [f32],
    pub transpose: &'a mut [f32],
    pub slots: [&'a mut [f32]; 3],
    /// Gradients in memory; empty where they go straight into the update.
    pub grads: &'a mut [f32],
    /// The size of each unit's gradient.
    pub sizes: &'a mut [f64],
}

/// What the size of a gradient in memory is: either is finite only if every value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// The sum of its squares.
    Squares,
    /// Its largest absolute value, which is faster to find.
    Largest,
}

impl<'a> Part<'a> {
    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> Part<'_> {
        let [a, b, c] = &mut self.slots;
        Part {
            params: self.params,
            transpose: self.transpose,
            slots: [a, b, c],
            grads: self.grads,
            sizes: self.sizes,
        }
    }

    /// Splits off the first `units` units.
    fn split(self, units: usize, params: usize, transpose: usize) -> (Self, Self) {
        fn cut(slice: &mut [f32], at: usize) -> (&mut [f32], &mut [f32]) {
            let at = at.min(slice.len());
            slice.split_at_mut(at)
        }
        let (p0, p1) = self.params.split_at_mut(params);
        let (t0, t1) = self.transpose.split_at_mut(transpose);
        let (g0, g1) = cut(self.grads, params);
        let (s0, s1) = self.sizes.split_at_mut(units);
        let [a, b, c] = self.slots.map(|slot| cut(slot, params));
        (
            Self { params: p0, transpose: t0, slots: [a.0, b.0, c.0], grads: g0, sizes: s0 },
            Self { params: p1, transpose: t1, slots: [a.1, b.1, c.1], grads: g1, sizes: s1 },
        )
    }
}

/// Calls `f` with each unit and its part, in parallel down to runs of units that cost `grain`.
pub(crate) fn each<'a>(
    units: &[Unit],
    part: Part<'a>,
    (grain, fork): (usize, Fork),
    f: &(impl Fn(&Unit, Part) + Sync),
) {
    let cost: usize = units.iter().map(|unit| unit.cost).sum();
    let parallel = units.len() > 1 && cost > grain;
    let middle = if parallel { middle(units, cost) } else { 1.min(units.len()) };
    match units.split_at(middle) {
        ([], _) => {}
        ([unit], []) => f(unit, part),
        (left, right) => {
            let params = right[0].params.start - left[0].params.start;
            let transpose = right[0].transpose.start - left[0].transpose.start;
            let (a, b) = part.split(middle, params, transpose);
            if parallel {
                fork.join(|| each(left, a, (grain, fork), f), || each(right, b, (grain, fork), f));
            } else {
                f(&left[0], a);
                each_in_turn(right, b, f);
            }
        }
    }
}

/// Calls `f` with the runs of units that [`each`] shares out.
pub(crate) fn runs<'u>(units: &'u [Unit], grain: usize, f: &mut impl FnMut(&'u [Unit])) {
    let cost: usize = units.iter().map(|unit| unit.cost).sum();
    if units.len() < 2 || cost <= grain {
        return f(units);
    }
    let (left, right) = units.split_at(middle(units, cost));
    runs(left, grain, f);
    runs(right, grain, f);
}

fn each_in_turn<'a>(units: &[Unit], mut part: Part<'a>, f: &impl Fn(&Unit, Part)) {
    for (index, unit) in units.iter().enumerate() {
        let Some(next) = units.get(index + 1) else {
            return f(unit, part);
        };
        let (params, transpose) =
            (next.params.start - unit.params.start, next.transpose.start - unit.transpose.start);
        let (first, rest) = part.split(1, params, transpose);
        f(unit, first);
        part = rest;
    }
}

/// Where to cut units so that both sides cost about the same.
fn middle(units: &[Unit], cost: usize) -> usize {
    let mut sum = 0;
    let left = units.iter().take_while(|unit| {
        sum += unit.cost;
        sum * 2 <= cost
    });
    left.count().clamp(1, units.len() - 1)
}

thread_local! {
    /// A worker's room for the waiting partial sums and for one unit's gradient.
    static ROOM: RefCell<(Aligned, Aligned)> = RefCell::default();
}

/// Gradient, update and transpose of one unit; the gradient never leaves the cache.
pub(crate) fn fused(batch: &Batch, step: &Step, unit: &Unit, mut part: Part, timer: &impl Timer) {
    ROOM.with_borrow_mut(|(scratch, grads)| {
        grads.grow(part.params.len());
        let grads = &mut grads[..part.params.len()];
        timer.time(Phase::Reduce, || {
            // Every core has just read all parameters, the state is this one's own. All units are dense
            // here, and no gradient of theirs reads parameters.
            debug_assert!(unit.is_dense());
            let transposed = if batch.transposed[unit.op] { &mut *part.transpose } else { &mut [] };
            let [params, transpose] =
                [&mut *part.params, transposed].map(|values| (values, batch.shared));
            let [a, b, c] = part.slots.each_mut().map(|state| (&mut **state, false));
            let mut slices = [params, transpose, a, b, c];
            let mut claims = Claims::new(&mut slices);
            batch.gradient(unit, &[], &mut claims, (scratch, grads));
        });
        timer.time(Phase::Update, || {
            step.update(part.params, grads, part.slots);
            batch.transpose(unit, part.params, part.transpose);
        });
    });
}

/// The gradients of all units.
pub(crate) fn gradients(batch: &Batch, units: &[Unit], params: &[f32], grads: &mut [f32]) {
    ROOM.with_borrow_mut(|(scratch, _)| {
        for unit in units {
            let range = unit.params.clone();
            let grads = &mut grads[range.clone()];
            batch.gradient(unit, &params[range], &mut Claims::none(), (scratch, grads));
        }
    });
}

/// Only the gradient, left in memory, and its size.
pub(crate) fn gradient_only(batch: &Batch, unit: &Unit, part: Part, size: Size) {
    ROOM.with_borrow_mut(|(scratch, _)| {
        batch.gradient(unit, part.params, &mut Claims::none(), (scratch, part.grads));
        part.sizes[0] = match size {
            Size::Squares => sum_of_squares(part.grads),
            Size::Largest => f64::from(dispatch!(_simd => largest(part.grads))),
        };
    });
}

/// Update and transpose, from the gradient in memory.
pub(crate) fn update_only(batch: &Batch, step: &Step, unit: &Unit, part: Part) {
    step.update(part.params, part.grads, part.slots);
    batch.transpose(unit, part.params, part.transpose);
}

/// The same for all units at once: one pass over the parameters, and then their transposes.
pub(crate) fn update_all(batch: &Batch, step: &Step, units: &[Unit], part: Part) {
    step.update(part.params, part.grads, part.slots);
    for unit in units {
        let transpose = &mut part.transpose[unit.transpose.clone()];
        batch.transpose(unit, &part.params[unit.params.clone()], transpose);
    }
}
