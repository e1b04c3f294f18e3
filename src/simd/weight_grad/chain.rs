//! The chains of a tile of the weight gradient: fused multiply-adds over the rows of a shard.

use fearless_simd::{SimdBase, f32x16};

use super::TALL;
use super::operands::{Sides, Starts, UNITS, unit};
use super::shards::{Piece, Start};
use super::tile::{Group, add, most_shards, store};
use crate::rows::LANES;
use crate::simd::embedded::aliases;
use crate::simd::{Claims, Fma, Registers, written_out};

/// The sums of MR inputs by NV panels of outputs.
pub(super) type Sums<S, const MR: usize, const NV: usize> = [[f32x16<S>; NV]; MR];

/// Rows that a turn takes of shards abreast, and of one after its first row: the fewer turns, the fewer operations beside
/// the multiply-adds, whose ports they take.
const EVEN: usize = 4;
const AFTER_FIRST: usize = 3;

/// The same where multiply-adds take operands from memory, for which each turn makes addresses.
const ROWS_EMBEDDED: usize = 8;

/// Turns of a piece, of so many shards abreast.
pub(super) fn turns(piece: &Piece, abreast: usize, embedded: bool) -> usize {
    if abreast > 1 {
        return piece.rows / EVEN;
    }
    let rows = piece.rows - usize::from(begins_apart(piece.start, embedded));
    rows / if embedded { ROWS_EMBEDDED } else { AFTER_FIRST }
}

/// Whether a piece's first row is taken by itself. That of a group is one as any other where multiply-adds take x from
/// memory, for so whole turns are left.
fn begins_apart(start: Start, embedded: bool) -> bool {
    match start {
        Start::Nothing => false,
        Start::Group => !embedded,
        Start::Shard(_) => true,
    }
}

/// For each of some shards, row by row beside each other, one chain of fused multiply-adds over its rows for each
/// element of a tile. Asks for memory meanwhile, if told to.
#[inline(always)]
pub(super) fn chains<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize>(
    simd: S,
    starts: &Starts<NV>,
    group: &Group,
    shards: [&[Option<Piece>]; ABREAST],
    ask: &mut (&mut Claims, bool),
) -> [Sums<S, MR, NV>; ABREAST] {
    let mut acc = [[[f32x16::splat(simd, 0.0); NV]; MR]; ABREAST];
    for p in 0..group.per_shard {
        let mut sides = [Sides::NONE; ABREAST];
        for (sides, pieces) in sides.iter_mut().zip(shards) {
            let Some(piece) = &pieces[p] else { return acc };
            *sides = Sides::of::<MR>(piece, starts, group.ones);
        }
        acc = rows::<S, MR, NV, ABREAST, EVEN>(simd, &sides, acc, ask);
    }
    acc
}

/// The chains over a piece. Where a shard begins, `acc` is what those of the shard before have come to; it is added to the
/// sums that wait for it in `tiles`, and waits there itself.
#[inline(always)]
pub(super) fn piece_chains<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    starts: &Starts<NV>,
    group: &Group,
    piece: &Piece,
    (mut acc, tiles): (Sums<S, MR, NV>, &mut [f32]),
    ask: &mut (&mut Claims, bool),
) -> Sums<S, MR, NV> {
    let mut sides = Sides::of::<MR>(piece, starts, group.ones);
    if MR == 1 && group.ones {
        if let Start::Shard(levels) = piece.start {
            leave(simd, acc, levels as usize, tiles);
            acc = [[f32x16::splat(simd, 0.0); NV]; MR];
        }
        return column_sums(simd, &sides, acc);
    }
    let embedded = S::WIDE && const { has_embedded(MR, NV) } && group.embedded;
    if begins_apart(piece.start, embedded) {
        acc = first_row(simd, &sides, piece.start, acc, tiles);
        sides = sides.after(1);
    }
    // Constants once more, so that it is compiled for the tallest tile alone.
    if S::WIDE && const { has_embedded(MR, NV) } && embedded {
        return rows_embedded(simd, sides, acc, ask);
    }
    [acc] = rows::<S, MR, NV, 1, AFTER_FIRST>(simd, &[sides], [acc], ask);
    acc
}

/// Whether multiply-adds of a tile of so many inputs and panels may take x from memory: of the tallest one.
pub(super) const fn has_embedded(height: usize, panels: usize) -> bool {
    height == TALL && panels == 2
}

/// `acc` and the products of the rows of a shard in the tallest tile. The multiply-adds of its second and third unit take x
/// from memory. The last rows, fewer than eight, are taken one by one without that: three a turn, as [`rows`] would, made
/// 256x784x512 run at 0.92 of the peak instead of 0.93.
#[inline(always)]
fn rows_embedded<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    sides: Sides<NV>,
    mut acc: Sums<S, MR, NV>,
    ask: &mut (&mut Claims, bool),
) -> Sums<S, MR, NV> {
    let turns = sides.rows / ROWS_EMBEDDED;
    let unit = const { unit(TALL) };
    let lefts = sides.left.map(|left| left.as_chunks::<ROWS_EMBEDDED>().0);
    let rights = sides.right.map(|right| right.as_chunks::<ROWS_EMBEDDED>().0);
    for t in 0..turns {
        if ask.1 {
            ask.0.turn();
        }
        let first = &lefts[0][t];
        let [second, third] = [&lefts[1][t], &lefts[2][t]].map(aliases::<_, NV>);
        written_out::<ROWS_EMBEDDED>(
            #[inline(always)]
            |k| {
                let mut lanes = [f32x16::splat(simd, 0.0); NV];
                for v in 0..NV {
                    lanes[v] = f32x16::load_array_ref(simd, &rights[v][t][k]);
                }
                for m in 0..unit {
                    for v in 0..NV {
                        let lefts = [first, second[v], third[v]];
                        for (u, left) in lefts.into_iter().enumerate() {
                            let left = f32x16::splat(simd, left[k][m]);
                            acc[u * unit + m][v] = left.fma(lanes[v], acc[u * unit + m][v]);
                        }
                    }
                }
            },
        );
    }
    let rest = sides.after(turns * ROWS_EMBEDDED);
    let [acc] = links::<S, MR, NV, 1, 1>(simd, &[rest], rest.rows, [acc], ask);
    acc
}

/// `acc` and the products of the rows of some shards, N in a turn.
#[inline(always)]
fn rows<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize, const N: usize>(
    simd: S,
    sides: &[Sides<NV>; ABREAST],
    acc: [Sums<S, MR, NV>; ABREAST],
    ask: &mut (&mut Claims, bool),
) -> [Sums<S, MR, NV>; ABREAST] {
    let rows = sides.iter().map(|sides| sides.rows).min().unwrap_or(0);
    let turns = rows / N;
    let mut acc = links::<S, MR, NV, ABREAST, N>(simd, sides, turns, acc, ask);
    for (acc, sides) in acc.iter_mut().zip(sides) {
        let rest = sides.after(turns * N);
        [*acc] = links::<S, MR, NV, 1, 1>(simd, &[rest], rest.rows, [*acc], ask);
    }
    acc
}

/// `acc` and the sums of the columns of dy.
#[inline(always)]
fn column_sums<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    sides: &Sides<NV>,
    mut acc: Sums<S, MR, NV>,
) -> Sums<S, MR, NV> {
    for (v, right) in sides.right.iter().enumerate() {
        for row in *right {
            acc[0][v] += f32x16::load_array_ref(simd, row);
        }
    }
    acc
}

/// `acc` and the products of the first rows of some shards, in so many turns of N rows.
#[inline(always)]
fn links<S: Registers, const MR: usize, const NV: usize, const ABREAST: usize, const N: usize>(
    simd: S,
    sides: &[Sides<NV>; ABREAST],
    turns: usize,
    mut acc: [Sums<S, MR, NV>; ABREAST],
    (claims, in_turns): &mut (&mut Claims, bool),
) -> [Sums<S, MR, NV>; ABREAST] {
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
        if *in_turns && N > 1 {
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

/// The products of the first row of a shard. What a register holds of the shard before is stored just before
/// its first product: additions and stores by themselves, between two chains, held up the multiply-adds
/// (256x240x64 over 16 shards with AVX2 0.83 of the peak, and so 0.885, on Zen 4).
#[inline(always)]
fn first_row<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    sides: &Sides<NV>,
    start: Start,
    acc: Sums<S, MR, NV>,
    tiles: &mut [f32],
) -> Sums<S, MR, NV> {
    let levels = const { most_shards(MR, NV).ilog2() };
    match start {
        Start::Group | Start::Nothing => {
            first_products::<S, MR, NV, false, 0>(simd, sides, acc, tiles)
        }
        Start::Shard(1) if levels > 1 => {
            first_products::<S, MR, NV, true, 1>(simd, sides, acc, tiles)
        }
        Start::Shard(2) if levels > 2 => {
            first_products::<S, MR, NV, true, 2>(simd, sides, acc, tiles)
        }
        Start::Shard(3) if levels > 3 => {
            first_products::<S, MR, NV, true, 3>(simd, sides, acc, tiles)
        }
        Start::Shard(_) => first_products::<S, MR, NV, true, 0>(simd, sides, acc, tiles),
    }
}

/// The products of the first row. LEAVE: adds what waits in so many LEVELS to `acc`, and stores it in the next one.
#[inline(always)]
fn first_products<
    S: Registers,
    const MR: usize,
    const NV: usize,
    const LEAVE: bool,
    const LEVELS: usize,
>(
    simd: S,
    sides: &Sides<NV>,
    mut acc: Sums<S, MR, NV>,
    tiles: &mut [f32],
) -> Sums<S, MR, NV> {
    let unit = const { unit(MR) };
    let tiles = &mut tiles.as_chunks_mut::<LANES>().0[..(LEVELS + 1) * MR * NV];
    let mut lanes = [f32x16::splat(simd, 0.0); NV];
    for (lanes, right) in lanes.iter_mut().zip(&sides.right) {
        *lanes = f32x16::load_array_ref(simd, &right[0]);
    }
    for m in 0..MR {
        let left = f32x16::splat(simd, sides.left[m / unit][0][m % unit]);
        for v in 0..NV {
            if LEAVE {
                let mut sum = acc[m][v];
                for l in 0..LEVELS {
                    sum = f32x16::load_array_ref(simd, &tiles[(l * NV + v) * MR + m]) + sum;
                }
                sum.store_array(&mut tiles[(LEVELS * NV + v) * MR + m]);
            }
            acc[m][v] = left.fma(lanes[v], f32x16::splat(simd, 0.0));
        }
    }
    acc
}

/// Adds to a shard's sums so many that wait for it, and stores them.
#[inline(always)]
fn leave<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    mut acc: Sums<S, MR, NV>,
    levels: usize,
    tiles: &mut [f32],
) {
    let place = |l: usize| l * MR * NV * LANES;
    for l in 0..levels {
        add(simd, &mut acc, &tiles[place(l)..], MR);
    }
    store(&acc, &mut tiles[place(levels)..], MR);
}
