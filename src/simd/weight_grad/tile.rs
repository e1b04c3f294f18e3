//! A tile of the weight gradient: some inputs by some panels of outputs, over a group of shards.

use fearless_simd::{SimdBase, f32x16};

use super::chain::{Sums, chains, piece_chains};
use super::operands::Starts;
use super::shards::Piece;
use crate::rows::LANES;
use crate::simd::prefetch::prefetch;
use crate::simd::{Claims, Registers};

/// Most registers of a sum of a tile over many shards; only the tallest tile has more, for one shard or two.
const SHORT: usize = 16;

/// Most shards of a group, and so most nodes of a tile's tree.
pub(super) const NODES: usize = 16;

/// The same of a tile of so many inputs and panels.
pub(super) const fn most_shards(height: usize, panels: usize) -> usize {
    if height * panels > SHORT { 2 } else { NODES }
}

/// Floats of scratch for a tile's sums over 1, 2, 4 and 8 nodes, that wait for their siblings; of the tallest tile's
/// there is one at most.
pub(super) const WAITING: usize = NODES.ilog2() as usize * SHORT * LANES;

/// Whether a tile asks for memory in the course of its chains. All at its beginning, that held up its own loads,
/// and 784-128-10, 54-256-256-256-7 and 784-512-512-10 trained at 0.96 to 0.98 of the speed (Granite Rapids).
/// Short shards' chains, one after the other, end too soon.
#[inline(always)]
fn asks_in_turns<const MR: usize, const NV: usize, const ABREAST: usize>(group: &Group) -> bool {
    let always = const { MR * NV > SHORT || ABREAST > 1 };
    always || NV == 2 && group.joined
}

/// Where to write, and what to make ready.
pub(super) struct Room<'r, 'a> {
    /// Scratch for a tile's sums and for strips'.
    pub tiles: &'r mut [f32],
    pub strips: &'r mut [f32],
    pub grads: &'r mut [f32],
    pub claims: &'r mut Claims<'a>,
}

impl<'a> Room<'_, 'a> {
    /// The same for gradients from `start` on.
    #[inline(always)]
    pub fn starting(&mut self, start: usize) -> Room<'_, 'a> {
        let grads = &mut self.grads[start..];
        Room { tiles: self.tiles, strips: self.strips, grads, claims: self.claims }
    }
}

/// Where a group of shards stands.
#[derive(Clone, Copy)]
pub(super) struct Group<'a, 'l> {
    pub index: usize,
    pub last: bool,
    pub shards: usize,
    /// The shards' pieces, and how many each has.
    pub pieces: &'l [Option<Piece<'a>>],
    pub per_shard: usize,
    /// From one panel to the next, of x and of dy.
    pub apart: (usize, usize),
    /// Whether x is all ones, and not read.
    pub ones: bool,
    /// Whether it is several groups in one, whose rows are far.
    pub joined: bool,
    /// Whether the tallest tiles ask for the next strip's rows of dy.
    pub asks_for_rows: bool,
    /// Whether some of their multiply-adds take x from memory.
    pub embedded: bool,
    /// The block's first input, the strip's first panel of outputs, and how many there are.
    pub input: usize,
    pub panel: usize,
    pub panels: usize,
    /// Pairs of lines that each tile asks for, and in how many turns.
    pub pairs: usize,
    pub turns: usize,
}

/// Where a tile begins: its first input in the block, of which there are so many, and its first panel in the strip.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub input: usize,
    pub inputs: usize,
    pub panel: usize,
}

/// MR inputs of the block by NV panels of outputs, ABREAST shards at a time. The sum of 2^l groups waits in level l
/// of the scratch until its sibling is done.
#[inline(always)]
pub(super) fn tile<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
    simd: S,
    At { input: i, inputs, panel }: At,
    group: &Group,
    room: &mut Room,
) {
    if const { MR * NV > SHORT } && group.asks_for_rows {
        ask_for_rows(group, (i / MR, inputs / MR), NV);
    }
    let Room { tiles, strips, grads, claims } = room;
    let in_turns = asks_in_turns::<MR, NV, ABREAST>(group);
    claims.begin(group.pairs, if in_turns { group.turns / ABREAST } else { 1 });
    let starts = Starts::of::<MR>(group.input + i, group.panel + panel, group.apart);
    if !in_turns {
        claims.turn();
    }
    let mut acc = group_sum::<S, MR, NV, ABREAST>(simd, &starts, group, tiles, claims);
    let place = |l: usize| ((l * group.panels + panel) * inputs + i) * LANES;
    if group.last {
        for l in set_bits(group.index) {
            add(simd, &mut acc, &strips[place(l)..], inputs);
        }
        store(&acc, &mut grads[place(0)..], inputs);
    } else {
        let done = group.index.trailing_ones() as usize;
        for l in 0..done {
            add(simd, &mut acc, &strips[place(l)..], inputs);
        }
        store(&acc, &mut strips[place(done)..], inputs);
    }
}

/// Asks for a tile's share, one of so many, of the next strip's rows of dy. 1024x240x2048,
/// whose dy comes from the third cache, ran at 0.865 of the peak and 1024x240x64 at 0.915; of the first the best of 14
/// readings in a busy time went from 0.834 to 0.866 by it (Emerald Rapids). A function of its own, before the chains: in
/// their course it took gradients of near rows from 0.92 to 0.91.
#[inline(never)]
fn ask_for_rows(group: &Group, (tile, tiles): (usize, usize), panels: usize) {
    for piece in group.pieces.iter().flatten() {
        let [from, to] = [tile, tile + 1].map(|tile| piece.rows * tile / tiles * LANES);
        for panel in group.panel + panels..group.panel + 2 * panels {
            let start = panel * group.apart.1;
            let rows = piece.dy.get(start + from..start + to).unwrap_or_default();
            rows.iter().step_by(LANES).for_each(prefetch);
        }
    }
}

/// The tree over the shards of a group.
#[inline(always)]
fn group_sum<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
    simd: S,
    starts: &Starts<NV>,
    group: &Group,
    tiles: &mut [f32],
    claims: &mut Claims,
) -> Sums<S, MR, NV> {
    let mut ask = (claims, asks_in_turns::<MR, NV, ABREAST>(group));
    if ABREAST == 2 {
        return pairs_sum(simd, starts, group, tiles, &mut ask);
    }
    let mut acc = [[f32x16::splat(simd, 0.0); NV]; MR];
    for piece in group.pieces.iter().flatten() {
        acc = piece_chains(simd, starts, group, piece, (acc, &mut *tiles), &mut ask);
    }
    for l in set_bits(group.shards - 1) {
        add(simd, &mut acc, &tiles[l * MR * NV * LANES..], MR);
    }
    acc
}

/// The same where two shards at a time are taken abreast, whose sum is one node.
#[inline(always)]
fn pairs_sum<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    starts: &Starts<NV>,
    group: &Group,
    tiles: &mut [f32],
    ask: &mut (&mut Claims, bool),
) -> Sums<S, MR, NV> {
    let (mut node, mut rest) = (0, group.pieces);
    let acc = loop {
        let (shard, others) = rest.split_at(group.per_shard);
        let acc = if others.is_empty() {
            rest = others;
            let [acc] = chains::<S, MR, NV, 1>(simd, starts, group, [shard], ask);
            acc
        } else {
            let (second, others) = others.split_at(group.per_shard);
            rest = others;
            let [first, second] = chains::<S, MR, NV, 2>(simd, starts, group, [shard, second], ask);
            sum(first, second)
        };
        if rest.is_empty() {
            break acc;
        }
        store(&acc, &mut tiles[node * MR * NV * LANES..], MR);
        node += 1;
    };
    match node {
        0 => acc,
        1 => tree::<S, MR, NV, 2>(simd, tiles, acc),
        2 => tree::<S, MR, NV, 3>(simd, tiles, acc),
        _ => tree::<S, MR, NV, 4>(simd, tiles, acc),
    }
}

/// The sum of two shards.
#[inline(always)]
fn sum<S: Registers, const MR: usize, const NV: usize>(
    mut acc: Sums<S, MR, NV>,
    second: Sums<S, MR, NV>,
) -> Sums<S, MR, NV> {
    for m in 0..MR {
        for v in 0..NV {
            acc[m][v] += second[m][v];
        }
    }
    acc
}

/// The tree over N nodes, four at most, of which `acc` is the last. Only now are those before it loaded again: what
/// was stored a few rows ago makes a load wait, and with it all that come after.
#[inline(always)]
fn tree<S: Registers, const MR: usize, const NV: usize, const N: usize>(
    simd: S,
    waiting: &[f32],
    mut acc: Sums<S, MR, NV>,
) -> Sums<S, MR, NV> {
    let waiting = &waiting.as_chunks::<LANES>().0[..(N - 1) * MR * NV];
    for m in 0..MR {
        for v in 0..NV {
            let mut nodes = [acc[m][v]; N];
            for n in 0..N - 1 {
                nodes[n] = f32x16::load_array_ref(simd, &waiting[(n * NV + v) * MR + m]);
            }
            acc[m][v] = match N {
                2 => nodes[0] + nodes[1],
                3 => (nodes[0] + nodes[1]) + nodes[2],
                _ => (nodes[0] + nodes[1]) + (nodes[2] + nodes[N - 1]),
            };
        }
    }
    acc
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
pub(super) fn add<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    acc: &mut Sums<S, MR, NV>,
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
pub(super) fn store<S: Registers, const MR: usize, const NV: usize>(
    acc: &Sums<S, MR, NV>,
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
