//! The gradient of a dense layer's weights, with the tree over shards inside the tile.

mod tile;

use fearless_simd::Simd;

use self::tile::{Group, Leaf, Room, TALL, tile};
use super::panels::{BLOCK, STRIP, WeightBlock};
use super::product::wide;
use crate::rows::{LANES, Rows};
use crate::simd::Ahead;

/// Rows of a group of shards: its part of x and dy stays in the first cache, and its pages in the
/// first translation buffer, while the tiles of a strip pass over it. On 256x784x512 over 16 shards
/// 64 rows did 0.02 to 0.03 of the peak better than 128, on others as well (Zen 5, AVX-512).
const GROUP_ROWS: usize = 64;

/// Most shards of a group.
const GROUP_SHARDS: usize = 4;

/// Rows of a shard from which the tallest tile pays: a shorter chain ends before the partial sums of
/// the one before it, 24 registers, are stored and added, and nothing hides them.
const LONG_SHARD: usize = 48;

/// Floats of a partial sum of the tallest tile, and of a strip.
const TILE: usize = TALL * STRIP;
const STRIP_LEN: usize = BLOCK * STRIP;

/// Floats of scratch that [`weight_grad`] needs for `shards` shards.
pub(crate) fn scratch_len(shards: usize) -> usize {
    levels(shards) * (TILE + STRIP_LEN)
}

fn levels(nodes: usize) -> usize {
    nodes.max(1).ilog2() as usize + 1
}

/// Writes the gradient of a block of weights, summed over the batch: one chain of fused
/// multiply-adds over the rows of a shard, then the tree over the shards.
///
/// # Shapes
/// `shard(s)` gives the rows (x, dy) of shard s: B_s x I and B_s x O. `grads` has the block's layout.
/// Meanwhile `ahead` is asked for.
#[inline(always)]
pub(crate) fn weight_grad<'a, S: Simd>(
    simd: S,
    block: &WeightBlock,
    shards: usize,
    shard: impl Fn(usize) -> (Rows<'a>, Rows<'a>),
    scratch: &mut [f32],
    grads: &mut [f32],
    ahead: &mut Ahead,
) {
    let panels = block.panels();
    let first = shard(0);
    let rows = first.0.rows.max(1);
    let group = (1 << (GROUP_ROWS / rows).max(1).ilog2()).min(GROUP_SHARDS);
    let (tiles, strips) = scratch.split_at_mut(levels(shards) * TILE);
    let mut panel = 0;
    while panel < panels {
        let grads = &mut grads[panel * block.inputs.len() * LANES..];
        let sum = Sum { block, panel, shards, group, first, shard: &shard };
        let room = Room { tiles, strips, grads, ahead };
        panel += match panels - panel {
            2.. if wide::<S>() && rows >= LONG_SHARD => sum.strip::<S, TALL, 2>(simd, room),
            2.. if wide::<S>() => sum.strip::<S, 6, 2>(simd, room),
            _ if wide::<S>() => sum.strip::<S, TALL, 1>(simd, room),
            _ => sum.strip::<S, 6, 1>(simd, room),
        };
    }
}

/// Writes the gradient of a bias, padded to panels: the column sums of dy, in the same order. The
/// bias is the weight of an input that is always one.
#[inline(always)]
pub(crate) fn bias_grad<'a, S: Simd>(
    simd: S,
    outputs: usize,
    shards: usize,
    dy: impl Fn(usize) -> Rows<'a>,
    scratch: &mut [f32],
    grads: &mut [f32],
) {
    let shard = |s: usize| {
        let dy = dy(s);
        (Rows { data: &[1.0], rows: dy.rows, cols: 1, stride: 0 }, dy)
    };
    let (first, none) = (shard(0), 0..0);
    let block =
        WeightBlock { inputs: 0..1, outputs: 0..outputs, weights: none.clone(), transpose: none };
    let panels = block.panels();
    let (tiles, strips) = scratch.split_at_mut(levels(shards) * TILE);
    let mut panel = 0;
    while panel < panels {
        let sum = Sum { block: &block, panel, shards, group: GROUP_SHARDS, first, shard: &shard };
        let (grads, ahead) = (&mut grads[panel * LANES..], &mut Ahead::none());
        let room = Room { tiles, strips, grads, ahead };
        panel += match panels - panel {
            4.. => sum.strip::<S, 1, 4>(simd, room),
            2.. => sum.strip::<S, 1, 2>(simd, room),
            _ => sum.strip::<S, 1, 1>(simd, room),
        };
    }
}

struct Sum<'a, 's, F> {
    block: &'s WeightBlock,
    panel: usize,
    shards: usize,
    /// Shards of a group, a power of two.
    group: usize,
    /// The first shard: it tells how x and dy lie.
    first: (Rows<'a>, Rows<'a>),
    shard: &'s F,
}

impl<'a, F: Fn(usize) -> (Rows<'a>, Rows<'a>)> Sum<'a, '_, F> {
    /// NV panels, group after group; a group's sum waits strip by strip until its sibling is done.
    #[inline(always)]
    fn strip<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, mut room: Room) -> usize {
        let groups = self.shards.div_ceil(self.group);
        for index in 0..groups {
            let first = index * self.group;
            let count = self.group.min(self.shards - first);
            let mut leaves = [Leaf { x: &[], dy: &[], rows: 0 }; GROUP_SHARDS];
            for (s, leaf) in (first..first + count).zip(&mut leaves) {
                *leaf = self.leaf(s);
            }
            let group = Group {
                index,
                last: index + 1 == groups,
                leaves: &leaves[..count],
                strides: (self.first.0.stride, self.first.1.stride),
                input: self.block.inputs.start,
                output: self.block.outputs.start + self.panel * LANES,
                next: if MR == TALL { self.leaf((first + count) % self.shards).x } else { &[] },
            };
            self.column::<S, MR, NV>(simd, group, &mut room);
        }
        NV
    }

    #[inline(always)]
    fn leaf(&self, s: usize) -> Leaf<'a> {
        let (x, dy) = if s == 0 { self.first } else { (self.shard)(s) };
        Leaf { x: x.data, dy: dy.data, rows: dy.rows }
    }

    #[inline(always)]
    fn column<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        group: Group,
        room: &mut Room,
    ) {
        let mut i = self.tiles::<S, MR, NV>(simd, 0, group, room);
        if MR > 4 {
            i = self.tiles::<S, 4, NV>(simd, i, group, room);
        }
        if MR > 2 {
            i = self.tiles::<S, 2, NV>(simd, i, group, room);
        }
        if MR > 1 {
            self.tiles::<S, 1, NV>(simd, i, group, room);
        }
    }

    /// Tiles of MR inputs from input `i` of the block on; returns where they end. A function of its
    /// own for each height: one frame, which stays small without optimization too.
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        mut i: usize,
        group: Group,
        room: &mut Room,
    ) -> usize {
        let inputs = self.block.inputs.len();
        if i + MR > inputs {
            return i;
        }
        simd.vectorize(
            #[inline(always)]
            || {
                while i + MR <= inputs {
                    tile::<S, MR, NV>(simd, (i, inputs), &group, room);
                    i += MR;
                }
                i
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::panels::WeightLayout;
    use crate::simd::testing::levels;
    use crate::simd::{dispatch_at, reference};

    /// The tree as it is defined: the left part is the largest power of two below the whole.
    fn tree(leaves: &[f32]) -> f32 {
        match leaves.len() {
            1 => leaves[0],
            n => {
                let (left, right) = leaves.split_at(n.next_power_of_two() / 2);
                tree(left) + tree(right)
            }
        }
    }

    fn check(shard_rows: &[usize], inputs: usize, outputs: usize) {
        let layout = WeightLayout { inputs, outputs };
        let rows: usize = shard_rows.iter().sum();
        let x = reference::padded_matrix(rows, inputs, 1);
        let mut dy = reference::padded_matrix(rows, outputs, 2);
        dy.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = 0.0);
        let (xs, dys) = (Rows::of(&x, rows, inputs), Rows::of(&dy, rows, outputs));
        let starts: Vec<usize> =
            (0..=shard_rows.len()).map(|s| shard_rows[..s].iter().sum()).collect();
        let shard =
            |s: usize| (xs.slice(starts[s]..starts[s + 1]), dys.slice(starts[s]..starts[s + 1]));
        for level in levels() {
            let mut scratch = vec![f32::NAN; scratch_len(shard_rows.len())];
            let mut grads = vec![f32::NAN; layout.weights_len()];
            for b in (0..layout.blocks()).map(|b| layout.block(b)) {
                let grads = &mut grads[b.weights.clone()];
                dispatch_at!(level, simd =>
                    weight_grad(simd, &b, shard_rows.len(), shard, &mut scratch, grads,
                        &mut Ahead::slices([&x, &[1.0], &[], &dy, &x])));
            }
            let mut bias = vec![f32::NAN; crate::rows::padded(outputs)];
            dispatch_at!(level, simd => bias_grad(simd, outputs, shard_rows.len(),
                |s| shard(s).1, &mut scratch, &mut bias));
            for o in 0..outputs {
                let sum = |s: usize| (starts[s]..starts[s + 1]).map(|r| dys.row(r)[o]).sum();
                let leaves: Vec<f32> = (0..shard_rows.len()).map(sum).collect();
                assert_eq!(bias[o].to_bits(), tree(&leaves).to_bits(), "bias {o}");
                for i in 0..inputs {
                    let chain = |range: std::ops::Range<usize>| {
                        range.fold(0.0f32, |sum, r| xs.row(r)[i].mul_add(dys.row(r)[o], sum))
                    };
                    let leaves: Vec<f32> =
                        (0..shard_rows.len()).map(|s| chain(starts[s]..starts[s + 1])).collect();
                    let found = grads[layout.index(o, i)];
                    assert_eq!(found.to_bits(), tree(&leaves).to_bits(), "({o}, {i})");
                    let exact = reference::dot(rows, |r| xs.row(r)[i], |r| dys.row(r)[o], 0.0);
                    reference::assert_close(found, exact, "dw");
                }
            }
        }
    }

    #[test]
    fn is_the_tree_of_chains_at_every_level_with_dirty_scratch() {
        for shards in 1..=9 {
            check(&(0..shards).map(|s| 1 + s % 3).collect::<Vec<_>>(), 13, 3);
        }
        for (inputs, outputs) in [(1, 1), (4, 3), (23, 33), (31, 48), (2, 150), (250, 40)] {
            check(&[5, 5, 4], inputs, outputs);
            check(&[70; 7], inputs, outputs);
            check(&[33, 32, 33, 33, 32, 33, 32], inputs, outputs);
        }
    }
}
