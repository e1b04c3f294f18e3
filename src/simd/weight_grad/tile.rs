//! A tile of the weight gradient: some inputs by some panels of outputs, over a group of shards.

use fearless_simd::{SimdBase, f32x16};

use super::TALL;
use super::shards::Piece;
use crate::rows::LANES;
use crate::simd::{Claims, Fma, Registers};

/// Most registers of sums of a tile over many shards; only the tallest tile has more, for one shard or two.
pub(super) const SHORT: usize = 16;

/// Whether a tile of so many inputs and panels has more registers than that.
pub(super) const fn is_tall(height: usize, panels: usize) -> bool {
    height * panels > SHORT
}

/// Most nodes that a tile adds up.
pub(super) const NODES: usize = 8;

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
    /// The block's first input and the strip's first panel of outputs.
    pub input: usize,
    pub panel: usize,
    /// Pairs of lines that each tile asks for, and in how many turns a tall one does.
    pub pairs: usize,
    pub turns: usize,
}

/// Inputs `i..i + MR` of the block by NV panels of outputs. The sum of 2^l groups waits in level l of
/// the scratch until its sibling is done.
#[inline(always)]
pub(super) fn tile<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    (i, inputs): (usize, usize),
    group: &Group,
    room: &mut Room,
) {
    let Room { tiles, strips, grads, claims } = room;
    claims.begin(group.pairs, if const { is_tall(MR, NV) } { group.turns } else { 1 });
    let unit = const { unit(MR) };
    let mut starts = [0; UNITS];
    for (u, start) in starts.iter_mut().take(MR / unit).enumerate() {
        let input = group.input + i + u * unit;
        *start = input / LANES * group.apart.0 + input % LANES;
    }
    if const { !is_tall(MR, NV) } {
        claims.turn();
    }
    let mut acc = group_sum::<S, MR, NV>(simd, &starts, group, tiles, claims);
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

/// The tree over the shards of a group.
#[inline(always)]
fn group_sum<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    starts: &[usize; UNITS],
    group: &Group,
    tiles: &mut [f32],
    claims: &mut Claims,
) -> [[f32x16<S>; NV]; MR] {
    let (mut node, mut rest) = (0, group.pieces);
    let acc = loop {
        let (pieces, others) = rest.split_at(group.per_shard);
        let acc = chain::<S, MR, NV>(simd, starts, group, pieces, claims);
        if others.is_empty() {
            break acc;
        }
        rest = others;
        store(&acc, &mut tiles[node * MR * NV * LANES..], MR);
        node += 1;
    };
    match node {
        0 => acc,
        1 => tree::<S, MR, NV, 2>(simd, tiles, acc),
        _ if const { is_tall(MR, NV) } => unreachable!("a tall tile over {} shards", node + 1),
        2 => tree::<S, MR, NV, 3>(simd, tiles, acc),
        3 => tree::<S, MR, NV, 4>(simd, tiles, acc),
        4 => tree::<S, MR, NV, 5>(simd, tiles, acc),
        5 => tree::<S, MR, NV, 6>(simd, tiles, acc),
        6 => tree::<S, MR, NV, 7>(simd, tiles, acc),
        _ => tree::<S, MR, NV, NODES>(simd, tiles, acc),
    }
}

/// One chain of fused multiply-adds over the rows of a shard, for each element of a tile. A tall tile asks for
/// memory meanwhile: all at its beginning, that held up its own loads, and 784-128-10, 54-256-256-256-7 and
/// 784-512-512-10 trained at 0.96 to 0.98 of the speed (Granite Rapids). A short tile's chains end too soon.
#[inline(always)]
fn chain<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    starts: &[usize; UNITS],
    group: &Group,
    pieces: &[Option<Piece>],
    claims: &mut Claims,
) -> [[f32x16<S>; NV]; MR] {
    let mut acc = [[f32x16::splat(simd, 0.0); NV]; MR];
    for piece in pieces {
        let Some(Piece { x, dy, rows }) = *piece else { return acc };
        let mut right = [&[][..]; NV];
        for (v, right) in right.iter_mut().enumerate() {
            *right = &dy[(group.panel + v) * group.apart.1..].as_chunks::<LANES>().0[..rows];
        }
        if MR == 1 && group.ones {
            for (v, right) in right.iter().enumerate() {
                for row in *right {
                    acc[0][v] += f32x16::load_array_ref(simd, row);
                }
            }
            continue;
        }
        let units = const { MR / unit(MR) };
        let mut left = [&[][..]; UNITS];
        for (left, &start) in left.iter_mut().zip(starts).take(units) {
            *left = &x[start..].as_chunks::<LANES>().0[..rows];
        }
        acc = links::<S, MR, NV, AT_ONCE>(simd, &left, &right, acc, claims);
        for left in left.iter_mut().take(units) {
            *left = &left[rows / AT_ONCE * AT_ONCE..];
        }
        for right in &mut right {
            *right = &right[rows / AT_ONCE * AT_ONCE..];
        }
        acc = links::<S, MR, NV, 1>(simd, &left, &right, acc, claims);
    }
    acc
}

/// Rows that a turn of a chain takes: the fewer turns, the fewer operations beside the multiply-adds, whose
/// ports they take.
pub(super) const AT_ONCE: usize = 4;

/// `acc` and the products of rows, N at a time as far as they go.
#[inline(always)]
fn links<S: Registers, const MR: usize, const NV: usize, const N: usize>(
    simd: S,
    left: &[&[[f32; LANES]]; UNITS],
    right: &[&[[f32; LANES]]; NV],
    mut acc: [[f32x16<S>; NV]; MR],
    claims: &mut Claims,
) -> [[f32x16<S>; NV]; MR] {
    let unit = const { unit(MR) };
    let turns = right[0].len() / N;
    let (mut lefts, mut rights) = ([&[][..]; UNITS], [&[][..]; NV]);
    for (lefts, left) in lefts.iter_mut().zip(left).take(MR / unit) {
        *lefts = &left.as_chunks::<N>().0[..turns];
    }
    for (rights, right) in rights.iter_mut().zip(right) {
        *rights = &right.as_chunks::<N>().0[..turns];
    }
    for t in 0..turns {
        if const { is_tall(MR, NV) && N == AT_ONCE } {
            claims.turn();
        }
        for k in 0..N {
            let mut lanes = [f32x16::splat(simd, 0.0); NV];
            for v in 0..NV {
                lanes[v] = f32x16::load_array_ref(simd, &rights[v][t][k]);
            }
            for m in 0..MR {
                let left = f32x16::splat(simd, lefts[m / unit][t][k][m % unit]);
                for v in 0..NV {
                    acc[m][v] = left.fma(lanes[v], acc[m][v]);
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
