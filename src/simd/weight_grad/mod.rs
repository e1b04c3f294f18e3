//! The gradient of a dense layer's parameters, with the tree over shards inside the tile.

mod chain;
mod operands;
mod shards;
mod tile;

use std::ops::Range;

use self::chain::{has_embedded, turns};
pub(crate) use self::shards::PIECES;
use self::shards::Shards;
use self::tile::{At, Group, NODES, Room, WAITING, most_shards, tile};
use super::panels::{BLOCK, STRIP, WeightBlock};
use super::transpose::transpose_at;
use crate::rows::{LANES, Rows};
use crate::simd::{Claims, Registers, dispatch, is_double_pumped};

/// Most outputs of a layer for which the lanes are better filled with inputs: its outputs, of which
/// there are not enough for a panel, are a tile's height then.
const FEW: usize = 12;

/// Inputs of the tallest tile: 24 registers of sums, where they are wide.
const TALL: usize = 12;

/// Rows of a shard from which the tallest tile pays. It was measured when a shard's sums, 24 registers, were stored and
/// added between two chains, and nothing hid them where chains were shorter.
const LONG_SHARD: usize = 48;

/// Values of a block's x up to which long shards too, of 64 rows at most, are taken two abreast, where that pays. Their
/// sum is made in registers: 256x784x512 over 4 shards went from 0.90 to 0.93 of the peak, over 16 from 0.82 to 0.88.
/// Where x comes from the third cache in every strip, 1024x784x512 over 16 shards read 0.96 of the speed (Zen 4).
const NEAR: usize = 1 << 17;

/// Floats of a strip's sum over a group of shards.
const STRIP_LEN: usize = BLOCK * STRIP;

/// Floats of the gradient of a block of few outputs.
const FEW_LEN: usize = FEW * BLOCK;

/// Floats of scratch that [`weight_grad`] needs for `shards` shards.
pub(crate) fn scratch_len(shards: usize) -> usize {
    FEW_LEN + WAITING + (shards.max(1).ilog2() as usize + 1) * STRIP_LEN
}

/// Whether a block's gradient is computed across inputs.
#[inline(always)]
fn is_few(block: &WeightBlock) -> bool {
    block.outputs.len() <= FEW && block.inputs.len() >= STRIP
}

/// The shards of a batch, each in as many pieces, [`PIECES`] at most, that may lie anywhere.
#[derive(Clone, Copy)]
pub(crate) struct InPieces<'f, 'a> {
    pub shards: usize,
    pub per_shard: usize,
    /// The rows (x, dy) of a piece, counted through all shards.
    pub piece: &'f dyn Fn(usize) -> (Rows<'a>, Rows<'a>),
}

/// Writes the gradient of a block of weights, summed over the batch: one chain of fused
/// multiply-adds over the rows of a shard, then the tree over the shards. Writes that of the bias too
/// where there is room for it: the column sums of dy, in the same order.
///
/// # Shapes
/// Piece p: B_p x I and B_p x O. The first gradient has the block's layout, the second one is that of all
/// outputs, padded to panels, or empty. Meanwhile `claims` are made ready.
#[inline(never)]
pub(crate) fn weight_grad<'a>(
    block: &WeightBlock,
    shards: InPieces<'_, 'a>,
    scratch: &mut [f32],
    grads: (&mut [f32], &mut [f32]),
    claims: &mut Claims,
) {
    let pumped: fn() -> bool = is_double_pumped;
    dispatch!(simd => weight_grad_at(simd, block, shards, scratch, grads, (claims, pumped)));
}

#[inline(always)]
fn weight_grad_at<'a, S: Registers>(
    simd: S,
    block: &WeightBlock,
    shards: InPieces<'_, 'a>,
    scratch: &mut [f32],
    (weights, bias): (&mut [f32], &mut [f32]),
    (claims, pumped): (&mut Claims, fn() -> bool),
) {
    let (inputs, outputs) = (block.inputs.clone(), block.outputs.clone());
    let (few, scratch) = scratch.split_at_mut(FEW_LEN);
    let (tiles, strips) = scratch.split_at_mut(WAITING);
    let room = Room { tiles, strips, grads: weights, claims };
    let mut pieces = [None; NODES];
    let mut sum = Sum {
        shards: Shards::new((shards.shards, shards.per_shard), shards.piece, &mut pieces),
        input: inputs.start,
        inputs: inputs.len(),
        output: outputs.start,
        ones: false,
        pumped,
        asks_for_rows: false,
        embedded: false,
    };
    if is_few(block) {
        sum.swap(outputs.len());
        let block = WeightBlock { inputs: outputs, outputs: inputs, ..block.clone() };
        let few = &mut few[..block.panels() * LANES * block.inputs.len()];
        sum.strips(simd, block.panels(), Room { grads: few, ..room });
        transpose_at(simd, &block, few, std::iter::once(weights));
        sum.shards.swap();
    } else {
        sum.strips(simd, block.panels(), room);
    }
    if !bias.is_empty() {
        (sum.input, sum.inputs, sum.output, sum.ones) = (0, 1, 0, true);
        let panels = bias.len() / LANES;
        sum.bias_strips(
            simd,
            panels,
            Room { tiles, strips, grads: bias, claims: &mut Claims::none() },
        );
    }
}

/// The sum over the shards, strip after strip.
struct Sum<'a, 'l, F> {
    shards: Shards<'a, 'l, F>,
    /// The first input, how many there are, and the first output.
    input: usize,
    inputs: usize,
    output: usize,
    /// Whether x is all ones, and not read: the bias is the weight of an input that is always one.
    ones: bool,
    /// Whether 512-bit multiply-adds are double-pumped. Each then leaves time for an operand to load, which tiles of one
    /// panel that take two shards abreast need. Joined groups were measured only where they are, operands from memory only
    /// where they are not. Asked only where it matters, for the first answer takes a while.
    pumped: fn() -> bool,
    /// Whether the tallest tiles ask for the next strip's rows of dy.
    asks_for_rows: bool,
    /// Whether some of their multiply-adds take x from memory.
    embedded: bool,
}

impl<'a, F: Fn(usize) -> (Rows<'a>, Rows<'a>)> Sum<'a, '_, F> {
    /// The strips of `panels` panels of outputs.
    #[inline(always)]
    fn strips<S: Registers>(&mut self, simd: S, panels: usize, mut room: Room) {
        let long = self.shards.long(LONG_SHARD);
        let far = long && self.shards.rows() * self.inputs > NEAR;
        let worth = if far { self.shards.are_several() } else { self.shards.are_grouped() };
        let pumped = S::WIDE && worth && (self.pumped)();
        let joined = pumped && far && self.shards.join_groups();
        let abreast = pumped && !far;
        let tall = long && !joined && self.inputs >= TALL;
        self.asks_for_rows = S::WIDE && tall && far;
        self.embedded = S::WIDE && tall && panels > 1 && !(self.pumped)();
        let mut panel = 0;
        while panel < panels {
            let room = room.starting(panel * self.inputs * LANES);
            panel += if S::EMULATED {
                self.strip::<S, 1, 1, 1>(simd, (panel, 1), room)
            } else if S::WIDE {
                match panels - panel {
                    left if abreast => self.strip::<S, 8, 1, 2>(simd, (panel, left.min(2)), room),
                    2.. if tall => self.strip::<S, TALL, 2, 1>(simd, (panel, 2), room),
                    2.. => self.strip::<S, 8, 2, 1>(simd, (panel, 2), room),
                    _ => self.strip::<S, TALL, 1, 1>(simd, (panel, 1), room),
                }
            } else {
                self.strip::<S, 6, 1, 1>(simd, (panel, 1), room)
            };
        }
    }

    /// The strips of a bias.
    #[inline(always)]
    fn bias_strips<S: Registers>(&mut self, simd: S, panels: usize, mut room: Room) {
        let mut panel = 0;
        while panel < panels {
            let room = room.starting(panel * LANES);
            panel += match panels - panel {
                _ if S::EMULATED => self.strip::<S, 1, 1, 1>(simd, (panel, 1), room),
                4.. => self.strip::<S, 1, 4, 1>(simd, (panel, 4), room),
                2.. => self.strip::<S, 1, 2, 1>(simd, (panel, 2), room),
                _ => self.strip::<S, 1, 1, 1>(simd, (panel, 1), room),
            };
        }
    }

    /// Exchanges the roles of x and dy, of inputs and outputs, of which there are `outputs`.
    fn swap(&mut self, outputs: usize) {
        self.shards.swap();
        (self.input, self.output, self.inputs) = (self.output, self.input, outputs);
    }

    /// Some panels from one on, group after group, in tiles of MR inputs by NV panels that take ABREAST shards at a
    /// time; a group's sum waits strip by strip until its sibling is done. Returns the number of panels.
    #[inline(always)]
    fn strip<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
        &mut self,
        simd: S,
        (first, panels): (usize, usize),
        mut room: Room,
    ) -> usize {
        let Shards { pieces: per_shard, apart, joined, .. } = self.shards;
        let groups = self.shards.groups();
        let embedded = self.embedded && const { has_embedded(MR, NV) };
        let tiles = self.inputs.div_ceil(MR) * (panels / NV) * groups;
        let pairs = room.claims.per_tile(tiles);
        for index in 0..groups {
            let pieces = self.shards.group(index);
            assert!(pieces.len() <= per_shard * const { most_shards(MR, NV) });
            let turns = pieces.iter().flatten().map(|piece| turns(piece, ABREAST, embedded)).sum();
            let group = Group {
                index,
                turns,
                last: index + 1 == groups,
                apart,
                shards: pieces.len() / per_shard,
                per_shard,
                pieces,
                ones: self.ones,
                joined,
                asks_for_rows: self.asks_for_rows,
                embedded,
                input: self.input,
                panel: self.output / LANES + first,
                panels,
                pairs,
            };
            column::<S, MR, NV, ABREAST>(simd, self.inputs, &group, &mut room);
        }
        panels
    }
}

/// All inputs by the strip's panels of outputs, over a group of shards.
#[inline(always)]
fn column<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
    simd: S,
    inputs: usize,
    group: &Group,
    room: &mut Room,
) {
    // Of the last 8 inputs two tiles of 4 keep the multiply-adds busier than 6 and 2.
    let tall = if MR == 6 && inputs % TALL == 8 { inputs.saturating_sub(8) } else { inputs };
    let mut i = tiles::<S, MR, NV, ABREAST>(simd, (0..tall, inputs), group, room);
    if const { MR > 4 } {
        i = tiles::<S, 4, NV, ABREAST>(simd, (i..inputs, inputs), group, room);
    }
    if const { MR > 2 } {
        i = tiles::<S, 2, NV, ABREAST>(simd, (i..inputs, inputs), group, room);
    }
    if const { MR > 1 } {
        tiles::<S, 1, NV, ABREAST>(simd, (i..inputs, inputs), group, room);
    }
}

/// As many tiles of MR inputs as fit into `range`; returns where they end. A function of its own for
/// each height: one frame, which stays small without optimization too.
#[inline(always)]
fn tiles<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
    simd: S,
    (range, inputs): (Range<usize>, usize),
    group: &Group,
    room: &mut Room,
) -> usize {
    if range.len() < MR {
        return range.start;
    }
    simd.vectorize(
        #[inline(always)]
        || {
            let mut i = range.start;
            while i + MR <= range.end {
                let mut panel = 0;
                while panel < group.panels {
                    let at = At { input: i, inputs, panel };
                    tile::<S, MR, NV, ABREAST>(simd, at, group, room);
                    panel += NV;
                }
                i += MR;
            }
            i
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::panels::WeightLayout;
    use crate::simd::testing::ways;
    use crate::simd::{Claim, dispatch_at, reference};

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
        let x = reference::panels(rows, inputs, 1);
        let dy = reference::in_panels(&reference::matrix(rows, outputs, 2), outputs, 0.0);
        let (xs, dys) = (Rows::of(&x, rows, inputs), Rows::of(&dy, rows, outputs));
        let (x_at, dy_at) = (xs.to_vec(), dys.to_vec());
        let (x_at, dy_at) = (
            |r: usize, i: usize| x_at[r * inputs + i],
            |r: usize, o: usize| dy_at[r * outputs + o],
        );
        let starts: Vec<usize> =
            (0..=shard_rows.len()).map(|s| shard_rows[..s].iter().sum()).collect();
        let least = *shard_rows.iter().min().unwrap();
        let pieces = [1, 2, 3, 8, PIECES].into_iter().filter(|&pieces| pieces <= least);
        let ways = ways();
        for (pieces, (pumped, level)) in
            pieces.flat_map(|pieces| ways.iter().map(move |&way| (pieces, way)))
        {
            let mut scratch = vec![f32::NAN; scratch_len(shard_rows.len())];
            let (mut params, mut state, mut short) = ([0.5; 3000], [-0.5; 700], [1.0]);
            let mut grads = vec![f32::NAN; layout.weights_len()];
            let mut bias = vec![f32::NAN; crate::rows::padded(outputs)];
            for b in (0..layout.blocks()).map(|b| layout.block(b)) {
                let last = b.weights.end == grads.len();
                let bias = if last { &mut bias[..] } else { &mut [] };
                let grads = &mut grads[b.weights.clone()];
                let piece = |index: usize| {
                    let (s, piece) = (index / pieces, index % pieces);
                    let at = |piece: usize| starts[s] + shard_rows[s] * piece / pieces;
                    let rows = at(piece)..at(piece + 1);
                    (xs.slice(rows.clone()), dys.slice(rows))
                };
                let shards =
                    InPieces { shards: shard_rows.len(), per_shard: pieces, piece: &piece };
                let mut slices = [
                    Claim::new(&mut params, true),
                    Claim::new(&mut short, false),
                    Claim::new(&mut [], true),
                    Claim::new(&mut state, false),
                ];
                let mut claims = Claims::new(&mut slices);
                dispatch_at!(level, simd =>
                    weight_grad_at(simd, &b, shards, &mut scratch, (grads, bias),
                        (&mut claims, pumped)));
            }
            let as_they_were = (params, state, short) == ([0.5; 3000], [-0.5; 700], [1.0]);
            assert!(as_they_were, "claims change nothing");
            for o in 0..outputs {
                let sum = |s: usize| (starts[s]..starts[s + 1]).map(|r| dy_at(r, o)).sum();
                let leaves: Vec<f32> = (0..shard_rows.len()).map(sum).collect();
                assert_eq!(bias[o].to_bits(), tree(&leaves).to_bits(), "bias {o}");
                for i in 0..inputs {
                    let chain = |range: Range<usize>| {
                        range.fold(0.0f32, |sum, r| x_at(r, i).mul_add(dy_at(r, o), sum))
                    };
                    let leaves: Vec<f32> =
                        (0..shard_rows.len()).map(|s| chain(starts[s]..starts[s + 1])).collect();
                    let found = grads[layout.index(o, i)];
                    assert_eq!(found.to_bits(), tree(&leaves).to_bits(), "({o}, {i})");
                    let exact = reference::dot(rows, |r| x_at(r, i), |r| dy_at(r, o), 0.0);
                    reference::assert_close(found, exact, "dw");
                }
            }
        }
    }

    #[test]
    fn every_line_that_an_update_wants_is_asked_for() {
        let block = WeightLayout { inputs: 24, outputs: 32 }.block(0);
        let values = reference::panels(128, 32, 1);
        let (x, dy) = (Rows::of(&values, 128, 24), Rows::of(&values, 128, 32));
        for (shards, per_shard) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let rows = 128 / (shards * per_shard);
            let piece = |p: usize| {
                let rows = p * rows..(p + 1) * rows;
                (x.slice(rows.clone()), dy.slice(rows))
            };
            let shards = InPieces { shards, per_shard, piece: &piece };
            for (pairs, (pumped, level)) in
                (1..100).flat_map(|pairs| ways().into_iter().map(move |way| (pairs, way)))
            {
                let mut params = vec![0.0; pairs * 2 * LANES];
                let mut scratch = vec![0.0; scratch_len(shards.shards)];
                let mut grads = vec![0.0; block.weights.len()];
                let mut slices = [Claim::new(&mut params, true)];
                let mut claims = Claims::new(&mut slices);
                dispatch_at!(level, simd =>
                    weight_grad_at(simd, &block, shards, &mut scratch, (&mut grads, &mut []),
                        (&mut claims, pumped)));
                assert_eq!(claims.pairs(), 0, "{level:?}, {pairs} pairs, pieces of {rows} rows");
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
            check(&[64, 64, 57], inputs, outputs);
            check(&[33, 32, 33, 33, 32, 33, 32], inputs, outputs);
        }
        // Every number of nodes, one group of them and more; and layers of few outputs.
        for shards in [10, 13, 15, 16, 17, 31, 40] {
            check(&vec![3; shards], 20, 35);
        }
        for (inputs, outputs) in [(32, 1), (45, 12), (100, 10), (300, 4)] {
            check(&[5, 5, 4], inputs, outputs);
            check(&[4; 16], inputs, outputs);
            check(&[50; 5], inputs, outputs);
        }
        // Long shards of more rows than are near: one group, one with a panel left over, two.
        check(&[61; 9], 240, 17);
        check(&[65; 16], 127, 33);
        check(&[58; 18], 126, 17);
        // Groups of one shard, near, and far where they are not joined.
        check(&[128, 128], 31, 48);
        check(&[255], 23, 33);
        check(&[128; 9], 240, 17);
    }
}
