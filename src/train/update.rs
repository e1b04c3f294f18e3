//! The second half of a step: for each unit of parameters the tree-sum of its gradient over the
//! shards, the optimizer's update and the transpose, while it is in the cache.

mod parts;

pub(crate) use parts::{Part, Share, each, runs};

use std::cell::RefCell;
use std::mem::take;
use std::ops::Range;

use crossbeam::utils::CachePadded;

use super::block::Block;
use super::cut::{Cut, Piece};
use super::plan::Plan;
use super::step::{Phase, Timer};
use crate::aligned::Aligned;
use crate::layer::{Kind, Placed, layer_norm};
use crate::optim::{Step, sum_of_squares};
use crate::simd::panels::WeightBlock;
use crate::simd::transpose::{MOST_PIECES, transpose_block};
use crate::simd::weight_grad::{InPieces, scratch_len, weight_grad};
use crate::simd::{Claim, Claims, dispatch, largest};

/// A contiguous range of parameters whose gradient one worker computes and applies.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// Position of its op in the plan.
    op: usize,
    /// The block of a dense layer's weights; all of another layer's parameters without.
    block: Option<WeightBlock>,
    pub params: Range<usize>,
    /// Its pieces of the transposed weights, among those of all units; none where nothing needs them.
    pub pieces: Range<usize>,
    /// Multiply-adds per row.
    pub cost: usize,
}

impl Unit {
    /// Whether it is a dense layer's.
    pub fn is_dense(&self) -> bool {
        self.block.is_some()
    }

    /// Brings its pieces of the transpose up to date with its parameters.
    fn transpose<'a>(&self, params: &[f32], pieces: impl Iterator<Item = &'a mut [f32]>) {
        if let (Some(block), false) = (&self.block, self.pieces.is_empty()) {
            transpose_block(block, &params[..block.weights.len()], pieces);
        }
    }
}

/// The units of a plan, in the order in which their parameters lie. The last block of a dense layer
/// brings the bias along.
pub(crate) fn units(layers: &[Placed], plan: &Plan) -> Vec<Unit> {
    let mut units = vec![];
    let mut pieces = 0..0;
    for (op, layer) in plan.ops.iter().enumerate().map(|(i, op)| (i, &layers[op.layer])) {
        if let Kind::Dense(_) = layer.kind {
            let layout = layer.layout();
            for block in (0..layout.blocks()).map(|index| layout.block(index)) {
                let start = layer.params.start;
                let mut params = start + block.weights.start..start + block.weights.end;
                if block.weights.end == layout.weights_len() {
                    params.end = layer.params.end;
                }
                let own = if plan.ops[op].dx.is_some() { block.pieces() } else { 0 };
                pieces = pieces.end..pieces.end + own;
                let cost = block.inputs.len() * block.outputs.len();
                units.push(Unit { op, block: Some(block), params, pieces: pieces.clone(), cost });
            }
        } else if !layer.params.is_empty() {
            let (params, pieces) = (layer.params.clone(), pieces.end..pieces.end);
            units.push(Unit { op, block: None, params, pieces, cost: layer.params.len() * 4 });
        }
    }
    units
}

/// Shares out the transposed weights: puts the pieces that units own, in their order, into `pieces`.
pub(crate) fn share_out<'a>(
    batch: &Batch,
    units: &[Unit],
    transpose: &'a mut [f32],
    pieces: &mut Vec<&'a mut [f32]>,
) {
    pieces.resize_with(units.last().map_or(0, |unit| unit.pieces.end), Default::default);
    let (mut pieces, mut rest, mut start) = (&mut pieces[..], transpose, 0);
    for op in batch.plan.ops.iter().filter(|op| op.dx.is_some()) {
        let layer = &batch.layers[op.layer];
        if let Kind::Dense(_) = layer.kind {
            let layout = layer.layout();
            let (own, others);
            (own, pieces) = take(&mut pieces).split_at_mut(layout.transpose_pieces());
            (others, rest) = take(&mut rest).split_at_mut(layer.transpose.end - start);
            layout.share_out(&mut others[layer.transpose.start - start..], own);
            start = layer.transpose.end;
        }
    }
}

/// The forward and backward passes' results, which the gradients are computed from.
pub(crate) struct Batch<'a> {
    pub layers: &'a [Placed],
    pub plan: &'a Plan,
    pub blocks: &'a [CachePadded<Block>],
    pub cut: &'a Cut,
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

    /// Brings a unit's part of the transpose up to date with its parameters.
    pub fn transpose(&self, unit: &Unit, params: &[f32], transpose: &mut [f32]) {
        if let (Some(block), false) = (&unit.block, unit.pieces.is_empty()) {
            let layer = &self.layers[self.plan.ops[unit.op].layer];
            let transpose = &mut transpose[layer.transpose.clone()];
            unit.transpose(params, layer.layout().pieces_of(block, transpose));
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

/// What the size of a gradient in memory is: either is finite only if every value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// The sum of its squares.
    Squares,
    /// Its largest absolute value, which is faster to find.
    Largest,
}

thread_local! {
    /// A worker's room for the waiting partial sums and for one unit's gradient.
    static ROOM: RefCell<(Aligned, Aligned)> = RefCell::default();
}

/// Calls `f` with the worker's room for partial sums and for a gradient. Nobody holds the room while a layer runs that
/// is not dense: it may be a user's, which lets this thread do other work.
fn with_room(dense: bool, f: impl FnOnce(&mut Aligned, &mut Aligned)) {
    if dense {
        return ROOM.with_borrow_mut(|(scratch, grads)| f(scratch, grads));
    }
    let (mut scratch, mut grads) = ROOM.take();
    f(&mut scratch, &mut grads);
    ROOM.set((scratch, grads));
}

/// Gradient, update and transpose of one unit; the gradient never leaves the cache.
pub(crate) fn fused(batch: &Batch, step: &Step, unit: &Unit, mut part: Part, timer: &impl Timer) {
    with_room(true, |scratch, grads| {
        grads.grow(part.params.len());
        let grads = &mut grads[..part.params.len()];
        timer.time(Phase::Reduce, || {
            // Every core has just read all parameters, the state is this one's own. All units are dense
            // here, and no gradient of theirs reads parameters.
            debug_assert!(unit.is_dense());
            let mut slices: [Claim; 4 + MOST_PIECES] = Default::default();
            let [params, a, b, c, pieces @ ..] = &mut slices;
            *params = Claim::new(part.params, batch.shared);
            for (slice, state) in [a, b, c].into_iter().zip(&mut part.slots) {
                *slice = Claim::new(state, false);
            }
            for (slice, piece) in pieces.iter_mut().zip(&mut *part.pieces) {
                *slice = Claim::new(piece, batch.shared);
            }
            let mut claims = Claims::new(&mut slices);
            batch.gradient(unit, &[], &mut claims, (scratch, grads));
        });
        timer.time(Phase::Update, || {
            step.update(part.params, grads, part.slots);
            unit.transpose(part.params, part.pieces.iter_mut().map(|piece| &mut **piece));
        });
    });
}

/// The gradients of all units.
pub(crate) fn gradients(batch: &Batch, units: &[Unit], params: &[f32], grads: &mut [f32]) {
    with_room(units.iter().all(Unit::is_dense), |scratch, _| {
        for unit in units {
            let range = unit.params.clone();
            let grads = &mut grads[range.clone()];
            batch.gradient(unit, &params[range], &mut Claims::none(), (scratch, grads));
        }
    });
}

/// Only the gradient, left in memory, and its size.
pub(crate) fn gradient_only(batch: &Batch, unit: &Unit, part: Part, size: Size) {
    with_room(unit.is_dense(), |scratch, _| {
        batch.gradient(unit, part.params, &mut Claims::none(), (scratch, part.grads));
        part.sizes[0] = match size {
            Size::Squares => sum_of_squares(part.grads),
            Size::Largest => f64::from(dispatch!(_simd => largest(part.grads))),
        };
    });
}

/// Update and transpose, from the gradient in memory.
pub(crate) fn update_only(step: &Step, unit: &Unit, part: Part) {
    step.update(part.params, part.grads, part.slots);
    unit.transpose(part.params, part.pieces.iter_mut().map(|piece| &mut **piece));
}

/// The same for all units at once: one pass over the parameters, and then their transposes.
pub(crate) fn update_all(
    batch: &Batch,
    step: &Step,
    units: &[Unit],
    (part, transpose): (Part, &mut [f32]),
) {
    step.update(part.params, part.grads, part.slots);
    for unit in units {
        batch.transpose(unit, &part.params[unit.params.clone()], transpose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_lent_out_finds_room_again() {
        with_room(false, |scratch, _| {
            scratch.grow(100);
            with_room(true, |scratch, grads| {
                scratch.grow(10);
                grads.grow(10);
            });
            assert!(scratch.len() >= 100);
        });
    }
}
