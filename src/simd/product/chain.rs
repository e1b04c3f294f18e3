//! The chains of a tile of a product: fused multiply-adds over the summed dimension.

use fearless_simd::{SimdBase, f32x16};

use super::column::{PANELS, ROWS};
use crate::rows::LANES;
use crate::simd::ahead::Copying;
use crate::simd::embedded::aliases;
use crate::simd::prefetch::{Pace, Pair, prefetch_pair};
use crate::simd::{Fma, Registers, written_out};

/// Calls `f` with each row of a tile. In two halves, for the compiler leaves longer loops as they are, and a tile's
/// sums in memory. A loop over panels around that over rows did so where the crate is one unit of code: with
/// `codegen-units = 1` and link-time optimization, 8-64-64-4 trained at 0.93 to 0.95 of the speed (Granite Rapids).
#[inline(always)]
pub(super) fn each_row<const MR: usize>(mut f: impl FnMut(usize)) {
    for m in 0..MR / 2 {
        f(m);
    }
    for m in MR / 2..MR {
        f(m);
    }
}

/// The pairs of lines to ask for in the next turn of a loop: of panels or a row, and of a row besides.
#[inline(always)]
fn taken<'a, S: Registers, const ASK: u8>(paces: &mut [Pace<'a>; 2]) -> [&'a [Pair]; 2] {
    let [first, second] = paces;
    let first = if ASK >= PANELS { first.take() } else { &[] };
    [first, if ASK == ROWS && S::WIDE { second.take() } else { &[] }]
}

/// `acc` and the products of a piece of panels with MR rows, whose panels begin with `left` and are as far
/// apart as it says. Meanwhile pairs of lines are asked for and a row is copied. `embedded` is whether multiply-adds may
/// take operands from memory. There are tiles by three panels only where they may, so those do not ask.
#[inline(always)]
pub(super) fn chain<S: Registers, const MR: usize, const NV: usize, const ASK: u8>(
    simd: S,
    (left, apart): (&[f32], usize),
    (len, panels): (usize, &[&[[f32; LANES]]; NV]),
    mut acc: [[f32x16<S>; NV]; MR],
    (mut paces, mut copying): ([Pace; 2], Copying),
    embedded: bool,
) -> [[f32x16<S>; NV]; MR] {
    let (whole, rest) = (len / LANES, len % LANES);
    let (mut sixteens, mut ends) = ([&[][..]; NV], [&[][..]; NV]);
    for v in 0..NV {
        let (chunks, end) = panels[v].as_chunks::<LANES>();
        (sixteens[v], ends[v]) = (&chunks[..whole], &end[..rest]);
    }
    let (right, beside) = ((whole, &sixteens), (&mut paces, &mut copying));
    acc = if S::WIDE && const { has_embedded(MR, NV) } && (const { NV > 2 } || embedded) {
        rounds::<S, MR, NV, ASK, true>(simd, (left, apart), right, acc, beside)
    } else {
        rounds::<S, MR, NV, ASK, false>(simd, (left, apart), right, acc, beside)
    };
    if ASK == ROWS && S::WIDE {
        copying.rest();
    }
    if rest > 0 {
        let rows = &left[whole * apart..].as_chunks::<LANES>().0[..MR];
        let pairs = taken::<S, ASK>(&mut paces);
        acc = fewer(simd, rows, &ends, acc, pairs);
    }
    acc
}

/// The rounds of a chain, of 16 indices each.
#[inline(always)]
fn rounds<S: Registers, const MR: usize, const NV: usize, const ASK: u8, const EMBEDDED: bool>(
    simd: S,
    (left, apart): (&[f32], usize),
    (count, sixteens): (usize, &[&[[[f32; LANES]; LANES]]; NV]),
    mut acc: [[f32x16<S>; NV]; MR],
    (paces, copying): (&mut [Pace; 2], &mut Copying),
) -> [[f32x16<S>; NV]; MR] {
    for q in 0..count {
        if ASK == ROWS && S::WIDE {
            copying.round();
        }
        let rows = &left[q * apart..].as_chunks::<LANES>().0[..MR];
        let mut right = [&[][..]; NV];
        for v in 0..NV {
            right[v] = &sixteens[v][q][..];
        }
        let pairs = taken::<S, ASK>(paces);
        acc = if EMBEDDED {
            sixteen_embedded(simd, rows, &right, acc, pairs)
        } else {
            sixteen::<S, MR, NV, ASK>(simd, rows, &right, acc, pairs)
        };
    }
    acc
}

/// Whether multiply-adds of a tile of so many rows and panels may take operands from memory.
const fn has_embedded(height: usize, panels: usize) -> bool {
    height >= 8 && panels > 1
}

/// Whether those of row m of a tile by so many panels do: of 8 x 3 four rows, of 8 x 2 five, of 12 and 13 x 2 eight. That
/// read best, or within 0.01 of it (`embedded.rs`); all loads, of lines, operands and for registers, are 19 beside
/// 24 multiply-adds and 22 beside 24.
fn row_is_embedded(m: usize, panels: usize) -> bool {
    !m.is_multiple_of(if panels > 2 { 2 } else { 3 })
}

/// Asks for pairs of lines.
#[inline(always)]
fn ask(pairs: [&[Pair]; 2]) {
    pairs.iter().for_each(|pairs| pairs.iter().for_each(prefetch_pair));
}

/// `acc` and the products of 16 indices, after asking for some pairs of lines. Between the indices, as in [`sixteen`], the
/// requests' branches made the compiler keep a part of `acc` in memory: 128x784x512 ran at 0.96 of the speed, 64x784x128 at
/// 0.945.
#[inline(always)]
fn sixteen_embedded<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    rows: &[[f32; LANES]],
    right: &[&[[f32; LANES]]; NV],
    mut acc: [[f32x16<S>; NV]; MR],
    pairs: [&[Pair]; 2],
) -> [[f32x16<S>; NV]; MR] {
    ask(pairs);
    let rows: &[[f32; LANES]; MR] = rows.first_chunk().expect("a tile's rows");
    assert!(right.iter().all(|right| right.len() == LANES));
    let aliases = aliases::<_, NV>(rows);
    written_out::<LANES>(
        #[inline(always)]
        |k| {
            let mut lanes = [f32x16::splat(simd, 0.0); NV];
            for v in 0..NV {
                lanes[v] = f32x16::load_array_ref(simd, &right[v][k]);
            }
            each_row::<MR>(
                #[inline(always)]
                |m| {
                    for v in 0..NV {
                        let row = if row_is_embedded(m, NV) { aliases[v] } else { aliases[0] };
                        acc[m][v] = f32x16::splat(simd, row[m][k]).fma(lanes[v], acc[m][v]);
                    }
                },
            );
        },
    );
    acc
}

/// `acc` and the products of 16 indices, two at a time, meanwhile asking for some pairs of lines.
#[inline(always)]
fn sixteen<S: Registers, const MR: usize, const NV: usize, const ASK: u8>(
    simd: S,
    rows: &[[f32; LANES]],
    right: &[&[[f32; LANES]]; NV],
    mut acc: [[f32x16<S>; NV]; MR],
    pairs: [&[Pair]; 2],
) -> [[f32x16<S>; NV]; MR] {
    // Here, that the loop need not ask it of every row.
    assert!(rows.len() == MR && right.iter().all(|right| right.len() == LANES));
    each_turn::<S, MR>(
        #[inline(always)]
        |t| {
            if ASK >= PANELS
                && let Some(pair) = pairs[0].get(t)
            {
                prefetch_pair(pair);
            }
            if ASK == ROWS
                && S::WIDE
                && let Some(pair) = pairs[1].get(t)
            {
                prefetch_pair(pair);
            }
            let mut lanes = [[f32x16::splat(simd, 0.0); 2]; NV];
            for v in 0..NV {
                lanes[v][0] = f32x16::load_array_ref(simd, &right[v][2 * t]);
                lanes[v][1] = f32x16::load_array_ref(simd, &right[v][2 * t + 1]);
            }
            each_row::<MR>(
                #[inline(always)]
                |m| acc[m] = steps(simd, &[rows[m][2 * t], rows[m][2 * t + 1]], &lanes, acc[m]),
            );
        },
    );
    acc
}

/// Calls `f` with each turn of two indices. Written out for AVX2: on Zen 1 forward products ran at 0.925 of the peak
/// instead of 0.89 (64x784x128), 0.93 instead of 0.92 (64x512x512) and 0.91 instead of 0.88 (64x2048x2048). With
/// AVX-512, without operands from memory, whole epochs of 8-64-64-4 trained at 0.97 of the speed (Zen 4).
#[inline(always)]
fn each_turn<S: Registers, const MR: usize>(mut f: impl FnMut(usize)) {
    if const { MR == 6 && !S::WIDE && !S::EMULATED } {
        written_out::<8>(f);
    } else {
        for t in 0..LANES / 2 {
            f(t);
        }
    }
}

/// The same of fewer than 16 indices, one at a time.
#[inline(always)]
fn fewer<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    rows: &[[f32; LANES]],
    right: &[&[[f32; LANES]]; NV],
    mut acc: [[f32x16<S>; NV]; MR],
    pairs: [&[Pair]; 2],
) -> [[f32x16<S>; NV]; MR] {
    ask(pairs);
    let len = right[0].len();
    assert!(rows.len() == MR && len < LANES && right.iter().all(|right| right.len() == len));
    for k in 0..len {
        let mut lanes = [[f32x16::splat(simd, 0.0)]; NV];
        for v in 0..NV {
            lanes[v] = [f32x16::load_array_ref(simd, &right[v][k])];
        }
        for m in 0..MR {
            acc[m] = steps(simd, &[rows[m][k]], &lanes, acc[m]);
        }
    }
    acc
}

/// A row's sums after N more indices. Two are taken row after row instead of index after index, so that a
/// row's address is computed half as often. Integer operations take the multiply-adds' ports: one index at a
/// time, with 17 of them beside 26 multiply-adds, 64x784x128 ran at 0.84 of the peak, and so at 0.91 (Granite
/// Rapids). Where indices are written out, in [`sixteen_embedded`], there are no addresses to compute.
#[inline(always)]
fn steps<S: Registers, const NV: usize, const N: usize>(
    simd: S,
    left: &[f32; N],
    lanes: &[[f32x16<S>; N]; NV],
    mut acc: [f32x16<S>; NV],
) -> [f32x16<S>; NV] {
    for k in 0..N {
        let left = f32x16::splat(simd, left[k]);
        for v in 0..NV {
            acc[v] = left.fma(lanes[v][k], acc[v]);
        }
    }
    acc
}
