//! A tile of the weight gradient: some inputs by some panels of outputs, over a group of shards.

use fearless_simd::{SimdBase, f32x16};

use super::TALL;
use super::shards::Piece;
use crate::rows::LANES;
use crate::simd::{Claims, Fma, Registers};

/// Most registers of a sum of a tile over many shards; only the tallest tile has more, for one shard or two.
pub(super) const SHORT: usize = 16;

/// Most nodes that a tile adds up.
pub(super) const NODES: usize = 8;

/// The same of a tile of so many inputs and panels that takes so many shards abreast.
const fn most_nodes(height: usize, panels: usize, abreast: usize) -> usize {
    if height * panels > SHORT { 2 } else { NODES / abreast }
}

/// Whether a tile asks for memory in the course of its chains. All at its beginning, that held up its own loads,
/// and 784-128-10, 54-256-256-256-7 and 784-512-512-10 trained at 0.96 to 0.98 of the speed (Granite Rapids).
/// Short shards' chains, one after the other, end too soon.
const fn asks_in_turns(height: usize, panels: usize, abreast: usize) -> bool {
    height * panels > SHORT || abreast > 1
}

/// Where to write, and what to make ready.
pub(super) struct Room<'r, 'a> {
    /// Scratch for tiles and for strips.
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
    /// The shards' pieces, and how many each has.
    pub pieces: &'l [Option<Piece<'a>>],
    pub per_shard: usize,
    /// From one panel to the next, of x and of dy.
    pub apart: (usize, usize),
    /// Whether x is all ones, and not read.
    pub ones: bool,
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
    let Room { tiles, strips, grads, claims } = room;
    let in_turns = const { asks_in_turns(MR, NV, ABREAST) };
    claims.begin(group.pairs, if in_turns { group.turns / ABREAST } else { 1 });
    let unit = const { unit(MR) };
    let mut starts = [0; UNITS];
    for (u, start) in starts.iter_mut().take(MR / unit).enumerate() {
        let input = group.input + i + u * unit;
        *start = input / LANES * group.apart.0 + input % LANES;
    }
    if !in_turns {
        claims.turn();
    }
    let mut acc = group_sum::<S, MR, NV, ABREAST>(simd, (&starts, panel), group, tiles, claims);
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

/// The tree over the shards of a group. Of those that are taken abreast the sum is one node.
#[inline(always)]
fn group_sum<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
    simd: S,
    at: (&[usize; UNITS], usize),
    group: &Group,
    tiles: &mut [f32],
    claims: &mut Claims,
) -> [[f32x16<S>; NV]; MR] {
    let mut ask = (claims, const { asks_in_turns(MR, NV, ABREAST) });
    let (mut node, mut rest) = (0, group.pieces);
    let acc = loop {
        let (shard, others) = rest.split_at(group.per_shard);
        let acc = if ABREAST == 2 && !others.is_empty() {
            let (second, others) = others.split_at(group.per_shard);
            rest = others;
            let pair = chains::<S, MR, NV, 2>(simd, at, group, [shard, second], &mut ask);
            sum(pair)
        } else {
            rest = others;
            let [acc] = chains::<S, MR, NV, 1>(simd, at, group, [shard], &mut ask);
            acc
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
        _ if const { most_nodes(MR, NV, ABREAST) } == 2 => unreachable!("{} nodes", node + 1),
        2 => tree::<S, MR, NV, 3>(simd, tiles, acc),
        3 => tree::<S, MR, NV, 4>(simd, tiles, acc),
        _ if const { most_nodes(MR, NV, ABREAST) } == 4 => unreachable!("{} nodes", node + 1),
        4 => tree::<S, MR, NV, 5>(simd, tiles, acc),
        5 => tree::<S, MR, NV, 6>(simd, tiles, acc),
        6 => tree::<S, MR, NV, 7>(simd, tiles, acc),
        _ => tree::<S, MR, NV, NODES>(simd, tiles, acc),
    }
}

/// The sum of two shards.
#[inline(always)]
fn sum<S: Registers, const MR: usize, const NV: usize>(
    [mut acc, second]: [[[f32x16<S>; NV]; MR]; 2],
) -> [[f32x16<S>; NV]; MR] {
    for m in 0..MR {
        for v in 0..NV {
            acc[m][v] += second[m][v];
        }
    }
    acc
}

/// For each of some shards, row by row beside each other, one chain of fused multiply-adds over its rows for each
/// element of a tile. Asks for memory meanwhile, if told to.
#[inline(always)]
fn chains<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
    simd: S,
    at: (&[usize; UNITS], usize),
    group: &Group,
    shards: [&[Option<Piece>]; ABREAST],
    ask: &mut (&mut Claims, bool),
) -> [[[f32x16<S>; NV]; MR]; ABREAST] {
    let mut acc = [[[f32x16::splat(simd, 0.0); NV]; MR]; ABREAST];
    for p in 0..group.per_shard {
        let mut sides = [Sides::NONE; ABREAST];
        for (sides, pieces) in sides.iter_mut().zip(shards) {
            let Some(piece) = &pieces[p] else { return acc };
            *sides = Sides::of::<MR>(piece, at, group);
        }
        if MR == 1 && group.ones {
            for (acc, sides) in acc.iter_mut().zip(&sides) {
                for (v, right) in sides.right.iter().enumerate() {
                    for row in *right {
                        acc[0][v] += f32x16::load_array_ref(simd, row);
                    }
                }
            }
            continue;
        }
        let rows = sides.iter().map(|sides| sides.rows).min().unwrap_or(0);
        let turns = rows / AT_ONCE;
        acc = links::<S, MR, NV, ABREAST, AT_ONCE>(simd, &sides, turns, acc, ask);
        for (acc, sides) in acc.iter_mut().zip(&sides) {
            let rest = sides.after(turns * AT_ONCE);
            [*acc] = links::<S, MR, NV, 1, 1>(simd, &[rest], rest.rows, [*acc], ask);
        }
    }
    acc
}

/// Rows that a turn of a chain takes: the fewer turns, the fewer operations beside the multiply-adds, whose
/// ports they take.
pub(super) const AT_ONCE: usize = 4;

/// What of a piece's x and dy a tile multiplies.
#[derive(Clone, Copy)]
struct Sides<'a, const NV: usize> {
    left: [&'a [[f32; LANES]]; UNITS],
    right: [&'a [[f32; LANES]]; NV],
    rows: usize,
}

impl<'a, const NV: usize> Sides<'a, NV> {
    const NONE: Self = Self { left: [&[]; UNITS], right: [&[]; NV], rows: 0 };

    /// Of a tile of MR inputs whose units begin at `starts` in x and whose first panel is `panel` of its strip.
    #[inline(always)]
    fn of<const MR: usize>(
        &Piece { x, dy, rows }: &Piece<'a>,
        (starts, panel): (&[usize; UNITS], usize),
        group: &Group,
    ) -> Self {
        let mut sides = Self { rows, ..Self::NONE };
        for (v, right) in sides.right.iter_mut().enumerate() {
            let panel = group.panel + panel + v;
            *right = &dy[panel * group.apart.1..].as_chunks::<LANES>().0[..rows];
        }
        if !(MR == 1 && group.ones) {
            for (left, &start) in sides.left.iter_mut().zip(starts).take(const { MR / unit(MR) }) {
                *left = &x[start..].as_chunks::<LANES>().0[..rows];
            }
        }
        sides
    }

    /// What comes after the first `rows` rows.
    #[inline(always)]
    fn after(&self, rows: usize) -> Self {
        let mut sides = *self;
        sides.rows -= rows;
        for left in &mut sides.left {
            *left = left.get(rows..).unwrap_or_default();
        }
        for right in &mut sides.right {
            *right = &right[rows..];
        }
        sides
    }
}

/// `acc` and the products of the first rows of some shards, in so many turns of N rows.
#[inline(always)]
fn links<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize, const N: usize>(
    simd: S,
    sides: &[Sides<NV>; ABREAST],
    turns: usize,
    mut acc: [[[f32x16<S>; NV]; MR]; ABREAST],
    (claims, in_turns): &mut (&mut Claims, bool),
) -> [[[f32x16<S>; NV]; MR]; ABREAST] {
    let unit = const { unit(MR) };
    let (mut lefts, mut rights) = ([[&[][..]; UNITS]; ABREAST], [[&[][..]; NV]; ABREAST]);
    for s in 0..ABREAST {
        for (lefts, left) in lefts[s].iter_mut().zip(&sides[s].left).take(MR / unit) {
            *lefts = &left.as_chunks::<N>().0[..turns];
        }
        for (rights, right) in rights[s].iter_mut().zip(&sides[s].right) {
            *rights = &right.as_chunks::<N>().0[..turns];
        }
    }
    for t in 0..turns {
        if *in_turns && N == AT_ONCE {
            claims.turn();
        }
        for k in 0..N {
            let mut lanes = [[f32x16::splat(simd, 0.0); NV]; ABREAST];
            for s in 0..ABREAST {
                for v in 0..NV {
                    lanes[s][v] = f32x16::load_array_ref(simd, &rights[s][v][t][k]);
                }
            }
            for m in 0..MR {
                for s in 0..ABREAST {
                    let left = f32x16::splat(simd, lefts[s][m / unit][t][k][m % unit]);
                    for v in 0..NV {
                        acc[s][m][v] = left.fma(lanes[s][v], acc[s][m][v]);
                    }
                }
            }
        }
    }
    acc
}

/// Most units of a tile's inputs.
const UNITS: usize = 3;

/// Inputs of a tile that lie in one panel for certain: the first tiles of a block are of one height and begin
/// at its multiples, what comes after begins at even places.
const fn unit(height: usize) -> usize {
    match height {
        TALL => 4,
        8 => 8,
        1 => 1,
        _ => 2,
    }
}

/// The tree over N nodes, of which `acc` is the last. Only now are those before it loaded again: what
/// was stored a few rows ago makes a load wait, and with it all that come after.
#[inline(always)]
fn tree<S: Registers, const MR: usize, const NV: usize, const N: usize>(
    simd: S,
    waiting: &[f32],
    mut acc: [[f32x16<S>; NV]; MR],
) -> [[f32x16<S>; NV]; MR] {
    let waiting = &waiting.as_chunks::<LANES>().0[..(N - 1) * MR * NV];
    for m in 0..MR {
        for v in 0..NV {
            let mut nodes = [acc[m][v]; N];
            for n in 0..N - 1 {
                nodes[n] = f32x16::load_array_ref(simd, &waiting[(n * NV + v) * MR + m]);
            }
            acc[m][v] = if N > 4 { four(&nodes, 0) + four(&nodes, 4) } else { four(&nodes, 0) };
        }
    }
    acc
}

/// The tree over up to four nodes from `n` on.
#[inline(always)]
fn four<S: Registers, const N: usize>(nodes: &[f32x16<S>; N], n: usize) -> f32x16<S> {
    if n + 2 < N { two(nodes, n) + two(nodes, n + 2) } else { two(nodes, n) }
}

/// The tree over up to two nodes from `n` on.
#[inline(always)]
fn two<S: Registers, const N: usize>(nodes: &[f32x16<S>; N], n: usize) -> f32x16<S> {
    if n + 1 < N { nodes[n] + nodes[n + 1] } else { nodes[n] }
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
fn add<S: Registers, const MR: usize, const NV: usize>(
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
fn store<S: Registers, const MR: usize, const NV: usize>(
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
