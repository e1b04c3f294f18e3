//! The gradient of a dense layer's weights, with the tree over shards inside the tile.

use fearless_simd::{Simd, SimdBase, f32x16};

use super::panels::{BLOCK, STRIP, WeightBlock};
use super::product::wide;
use crate::rows::{LANES, Rows};
use crate::simd::Fma;

/// Rows of a group of shards: its part of x and dy stays in the first cache while the tiles of a strip
/// pass over it. Beside no groups, the weight gradient of 256x784x512 over 16 shards went from 0.75
/// of the peak to 0.83, and 64 rows did better than 128 (Zen 5, AVX-512, best of 15 on a busy machine).
const GROUP_ROWS: usize = 64;

/// Floats of a partial sum of the tallest tile, and of a strip.
const TILE: usize = 12 * STRIP;
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
#[inline(always)]
pub(crate) fn weight_grad<'a, S: Simd>(
    simd: S,
    block: &WeightBlock,
    shards: usize,
    shard: impl Fn(usize) -> (Rows<'a>, Rows<'a>),
    scratch: &mut [f32],
    grads: &mut [f32],
) {
    let panels = block.panels();
    let rows = shard(0).0.rows.max(1);
    let group = if rows >= GROUP_ROWS { 1 } else { 1 << (GROUP_ROWS / rows).ilog2() };
    let (tiles, strips) = scratch.split_at_mut(levels(shards) * TILE);
    let mut panel = 0;
    while panel < panels {
        let grads = &mut grads[panel * block.inputs.len() * LANES..];
        let sum = Sum { block, panel, shards, group, shard: &shard };
        let room = (&mut *tiles, &mut *strips, grads);
        panel += match panels - panel {
            2.. if wide::<S>() => sum.strip::<S, 12, 2>(simd, room),
            _ if wide::<S>() => sum.strip::<S, 12, 1>(simd, room),
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
    let none = 0..0;
    let block =
        WeightBlock { inputs: 0..1, outputs: 0..outputs, weights: none.clone(), transpose: none };
    let panels = block.panels();
    let mut panel = 0;
    while panel < panels {
        let sum = Sum { block: &block, panel, shards, group: usize::MAX, shard: &shard };
        let room = (&mut *scratch, &mut [][..], &mut grads[panel * LANES..]);
        panel += match panels - panel {
            4.. => sum.strip::<S, 1, 4>(simd, room),
            2.. => sum.strip::<S, 1, 2>(simd, room),
            _ => sum.strip::<S, 1, 1>(simd, room),
        };
    }
}

struct Sum<'s, F> {
    block: &'s WeightBlock,
    panel: usize,
    shards: usize,
    /// Shards of a group, a power of two.
    group: usize,
    shard: &'s F,
}

/// Scratch for tiles, scratch for strips, and the gradient.
type Room<'r> = (&'r mut [f32], &'r mut [f32], &'r mut [f32]);

/// Where a group of shards stands.
#[derive(Clone, Copy)]
struct Group {
    index: usize,
    shards: (usize, usize),
    last: bool,
}

impl<'a, F: Fn(usize) -> (Rows<'a>, Rows<'a>)> Sum<'_, F> {
    /// NV panels, group after group; a group's sum waits strip by strip until its sibling is done.
    #[inline(always)]
    fn strip<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        (tiles, strips, grads): Room,
    ) -> usize {
        let groups = self.shards.div_ceil(self.group);
        for index in 0..groups {
            let first = index * self.group;
            let shards = (first, self.group.min(self.shards - first));
            let group = Group { index, shards, last: index + 1 == groups };
            let room = (&mut *tiles, &mut *strips, &mut *grads);
            self.column::<S, MR, NV>(simd, group, room);
        }
        NV
    }

    #[inline(always)]
    fn column<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        group: Group,
        (tiles, strips, grads): Room,
    ) {
        let inputs = self.block.inputs.len();
        let mut i = 0;
        while i + MR <= inputs {
            let room = (&mut *tiles, &mut *strips, &mut *grads);
            self.call_tile::<S, MR, NV>(simd, i, group, room);
            i += MR;
        }
        if MR > 8 && i + 8 <= inputs {
            let room = (&mut *tiles, &mut *strips, &mut *grads);
            self.call_tile::<S, 8, NV>(simd, i, group, room);
            i += 8;
        }
        if MR > 4 && i + 4 <= inputs {
            let room = (&mut *tiles, &mut *strips, &mut *grads);
            self.call_tile::<S, 4, NV>(simd, i, group, room);
            i += 4;
        }
        if MR > 2 && i + 2 <= inputs {
            let room = (&mut *tiles, &mut *strips, &mut *grads);
            self.call_tile::<S, 2, NV>(simd, i, group, room);
            i += 2;
        }
        if i < inputs {
            self.call_tile::<S, 1, NV>(simd, i, group, (tiles, strips, grads));
        }
    }

    /// A function of its own for each tile: one frame, which stays small without optimization too.
    #[inline(always)]
    fn call_tile<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        i: usize,
        group: Group,
        room: Room,
    ) {
        simd.vectorize(
            #[inline(always)]
            || self.tile::<S, MR, NV>(simd, i, group, room),
        );
    }

    /// Inputs `i..i + MR` of the block by NV panels of outputs. The sum of 2^l shards waits in level l
    /// of the scratch until its sibling is done.
    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        i: usize,
        group: Group,
        (tiles, strips, grads): Room,
    ) {
        let level = |l: usize| l * MR * NV * LANES..(l + 1) * MR * NV * LANES;
        let (first, shards) = group.shards;
        for s in 0..shards - 1 {
            let mut acc = self.chain::<S, MR, NV>(simd, i, first + s);
            let done = s.trailing_ones() as usize;
            for l in 0..done {
                add(simd, &mut acc, &tiles[level(l)], MR);
            }
            store(&acc, &mut tiles[level(done)], MR);
        }
        let mut acc = self.chain::<S, MR, NV>(simd, i, first + shards - 1);
        for l in set_bits(shards - 1) {
            add(simd, &mut acc, &tiles[level(l)], MR);
        }
        let inputs = self.block.inputs.len();
        let place = |l: usize| (l * NV * inputs + i) * LANES;
        if group.last {
            for l in set_bits(group.index) {
                add(simd, &mut acc, &strips[place(l)..], inputs);
            }
            store(&acc, &mut grads[i * LANES..], inputs);
        } else {
            let done = group.index.trailing_ones() as usize;
            for l in 0..done {
                add(simd, &mut acc, &strips[place(l)..], inputs);
            }
            store(&acc, &mut strips[place(done)..], inputs);
        }
    }

    #[inline(always)]
    fn chain<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        i: usize,
        s: usize,
    ) -> [[f32x16<S>; NV]; MR] {
        let (x, dy) = (self.shard)(s);
        let left = &x.data[self.block.inputs.start + i..];
        let right = &dy.data[self.block.outputs.start + self.panel * LANES..];
        let mut acc = [[f32x16::splat(simd, 0.0); NV]; MR];
        for r in 0..x.rows {
            let left: &[f32] = &left[r * x.stride..][..MR];
            let lanes: &[f32] = &right[r * dy.stride..][..NV * LANES];
            let mut right = [f32x16::splat(simd, 0.0); NV];
            for v in 0..NV {
                right[v] = f32x16::from_slice(simd, &lanes[v * LANES..(v + 1) * LANES]);
            }
            for m in 0..MR {
                let left = f32x16::splat(simd, left[m]);
                for v in 0..NV {
                    acc[m][v] = left.fma(right[v], acc[m][v]);
                }
            }
        }
        acc
    }
}

/// The positions of a number's set bits, lowest first.
#[inline(always)]
fn set_bits(mut n: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (n != 0).then(|| n.trailing_zeros() as usize);
        n &= n.wrapping_sub(1);
        lowest
    })
}

/// `acc = waiting + acc`, element by element; the panels of `waiting` are `height` rows of 16 each.
#[inline(always)]
fn add<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    acc: &mut [[f32x16<S>; NV]; MR],
    waiting: &[f32],
    height: usize,
) {
    for v in 0..NV {
        let waiting = &waiting[v * height * LANES..].as_chunks::<LANES>().0[..MR];
        for m in 0..MR {
            acc[m][v] = f32x16::load_array_ref(simd, &waiting[m]) + acc[m][v];
        }
    }
}

#[inline(always)]
fn store<S: Simd, const MR: usize, const NV: usize>(
    acc: &[[f32x16<S>; NV]; MR],
    to: &mut [f32],
    height: usize,
) {
    for v in 0..NV {
        let to = &mut to[v * height * LANES..].as_chunks_mut::<LANES>().0[..MR];
        for m in 0..MR {
            acc[m][v].store_array(&mut to[m]);
        }
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
                    weight_grad(simd, &b, shard_rows.len(), shard, &mut scratch, grads));
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
