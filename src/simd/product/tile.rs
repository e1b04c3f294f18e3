//! A tile of a product: some rows by some panels, from its start to what is stored.

use std::ops::Range;

use fearless_simd::{SimdBase, f32x16, prelude::*, u32x16};

use crate::rows::{LANES, Rows, RowsMut};
use crate::simd::Fma;
use crate::simd::Registers;
use crate::simd::panels::Panel;
use crate::simd::prefetch::{Ahead, Pace, Pair};
use crate::simd::{relu, relu_gradient, tanh_gradient};

/// The binary logarithm of the turns, of two indices of the summed dimension each, from one pair of lines
/// that is asked for to the next, where it is not the next panels'.
const AHEAD_SHIFT: u32 = 1;

/// Rows of which a tile asks for lines.
const AHEAD_ROWS: usize = 4;

/// What a chain of multiply-adds starts from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// One value a column, padded to panels.
    Bias(&'a [f32]),
    /// The values that stand in the result.
    Kept,
}

/// What becomes of a sum before it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Finish<'a> {
    /// It stays as it is.
    Sum,
    /// ReLU: what is not positive becomes zero.
    Relu,
    /// From the gradient by the outputs of a function, which are these, to that by its inputs.
    Gradient(Slope, Rows<'a>),
}

/// A function whose derivative is part of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slope {
    Relu,
    Tanh,
}

impl<'a> Finish<'a> {
    /// The same for some of the rows.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        match self {
            Self::Gradient(slope, outputs) => Self::Gradient(*slope, outputs.slice(rows)),
            other => *other,
        }
    }
}

/// What tiles look after besides their sums.
pub(super) struct Beside<'r, 'a> {
    /// What is asked for meanwhile.
    pub ahead: &'r mut Ahead<'a>,
    /// The bits of the largest sizes that were stored.
    pub largest: [u32; LANES],
}

impl Beside<'_, '_> {
    /// What no stored value's size exceeds.
    pub fn bound(&self) -> f32 {
        let most = self.largest.iter().fold(0, |most, &bits| bits.max(most));
        f32::from_bits(most.min(f32::INFINITY.to_bits()))
    }
}

/// NV panels, and the pieces of them that a column of tiles goes through.
pub(super) struct Column<'a, const NV: usize> {
    pub pieces: Range<usize>,
    /// Where in the summed dimension the pieces lie.
    pub depth: Range<usize>,
    pub panels: [Panel<'a>; NV],
    /// The first of the panels that come after, if any.
    pub next: Option<Panel<'a>>,
    pub column: usize,
    /// The binary logarithm of the parts in which the next panels are asked for: 1 at least, for a turn of
    /// two indices asks for one pair of lines.
    pub parts: u32,
    pub start: &'a Start<'a>,
    pub finish: &'a Finish<'a>,
}

/// A tile of MR rows by NV panels. Most tiles of a column ask for a part of the next column's panels each,
/// the others for what else is wanted.
#[inline(always)]
pub(super) fn tile<S: Registers, const MR: usize, const NV: usize, const FAR: bool>(
    simd: S,
    a: &Rows,
    place: &Column<NV>,
    c: RowsMut,
    first: usize,
    beside: &mut Beside,
) {
    let columns = place.column..place.column + NV * LANES;
    // Before any register is taken, for a call among them would have to save them all.
    let mut wanted = [&[][..]; AHEAD_ROWS];
    let (parts, part) = (place.parts, first / MR);
    let next = place.next.filter(|_| FAR && part >> parts == 0);
    if FAR && next.is_none() && !beside.ahead.is_done() {
        for (pairs, j) in wanted.iter_mut().zip(place.pieces.clone()) {
            *pairs = beside.ahead.take((place.panels[0].piece_len(j) / 2) >> AHEAD_SHIFT);
        }
    }
    let mut acc = started(simd, place.start, &columns, &c);
    let mut rows = [&[][..]; MR];
    let mut rest = a.data;
    for slice in &mut rows {
        let (row, below) = rest.split_at(a.stride);
        rest = below;
        *slice = &row[place.depth.clone()];
    }
    let mut done = 0;
    for j in place.pieces.clone() {
        let mut panels = [&[][..]; NV];
        for (slice, panel) in panels.iter_mut().zip(&place.panels) {
            *slice = panel.piece(j);
        }
        let pace = match next {
            Some(next) => {
                let pairs: &[Pair] = next.pieces(j, NV).as_flattened().as_chunks().0;
                let from = |part: usize| (pairs.len() * part) >> parts;
                Pace { pairs: &pairs[from(part)..from(part + 1)], shift: parts - 1 }
            }
            None => {
                let pairs = wanted.get(j - place.pieces.start).copied().unwrap_or_default();
                Pace { pairs, shift: AHEAD_SHIFT }
            }
        };
        acc = chain::<S, MR, NV, FAR>(simd, &rows, done, &panels, acc, pace);
        done += panels[0].len();
    }
    let acc = finished(simd, place.finish, &columns, first, acc);
    let mut largest = u32x16::load_array_ref(simd, &beside.largest);
    let mut rest = c.data;
    for acc in &acc {
        let (row, below) = rest.split_at_mut(c.stride);
        rest = below;
        let lanes = row[columns.clone()].as_chunks_mut::<LANES>().0;
        for v in 0..NV {
            largest = largest.max(acc[v].abs().bitcast::<u32x16<S>>());
            acc[v].store_array(&mut lanes[v]);
        }
    }
    largest.store_array(&mut beside.largest);
}

/// What the sums of a tile start from.
#[inline(always)]
fn started<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    start: &Start,
    columns: &Range<usize>,
    c: &RowsMut,
) -> [[f32x16<S>; NV]; MR] {
    let mut acc = [[f32x16::splat(simd, 0.0); NV]; MR];
    match start {
        Start::Zero => {}
        Start::Bias(bias) => {
            let bias = bias[columns.clone()].as_chunks::<LANES>().0;
            for acc in &mut acc {
                for (acc, bias) in acc.iter_mut().zip(bias) {
                    *acc = f32x16::load_array_ref(simd, bias);
                }
            }
        }
        Start::Kept => {
            with_rows(
                simd,
                (c.data, c.stride),
                columns,
                &mut acc,
                #[inline(always)]
                |kept, _| kept,
            );
        }
    }
    acc
}

/// What becomes of the sums of a tile whose first row is `first`.
#[inline(always)]
fn finished<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    finish: &Finish,
    columns: &Range<usize>,
    first: usize,
    mut acc: [[f32x16<S>; NV]; MR],
) -> [[f32x16<S>; NV]; MR] {
    match finish {
        Finish::Sum => {}
        Finish::Relu => {
            for acc in acc.as_flattened_mut() {
                *acc = relu(simd, *acc);
            }
        }
        Finish::Gradient(slope, outputs) => {
            let (stride, outputs) = (outputs.stride, &outputs.data[first * outputs.stride..]);
            match slope {
                Slope::Relu => with_rows(
                    simd,
                    (outputs, stride),
                    columns,
                    &mut acc,
                    #[inline(always)]
                    |y, sum| relu_gradient(simd, y, sum),
                ),
                Slope::Tanh => with_rows(
                    simd,
                    (outputs, stride),
                    columns,
                    &mut acc,
                    #[inline(always)]
                    |y, sum| tanh_gradient(simd, y, sum),
                ),
            }
        }
    }
    acc
}

/// Puts `f(y, sum)` in place of each sum, where y is what stands in its place in `rows`.
#[inline(always)]
fn with_rows<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    (rows, stride): (&[f32], usize),
    columns: &Range<usize>,
    acc: &mut [[f32x16<S>; NV]; MR],
    f: impl Fn(f32x16<S>, f32x16<S>) -> f32x16<S>,
) {
    let mut rest = rows;
    for acc in acc {
        let (row, below) = rest.split_at(stride);
        rest = below;
        let lanes = row[columns.clone()].as_chunks::<LANES>().0;
        for v in 0..NV {
            acc[v] = f(f32x16::load_array_ref(simd, &lanes[v]), acc[v]);
        }
    }
}

/// `acc` and the products of the rows from index `start` on with the panels, two indices at a time.
#[inline(always)]
fn chain<S: Registers, const MR: usize, const NV: usize, const FAR: bool>(
    simd: S,
    rows: &[&[f32]; MR],
    start: usize,
    panels: &[&[[f32; LANES]]; NV],
    mut acc: [[f32x16<S>; NV]; MR],
    pace: Pace,
) -> [[f32x16<S>; NV]; MR] {
    let len = panels[0].len();
    let turns = len / 2;
    let (mut left, mut right) = ([&[][..]; MR], [&[][..]; NV]);
    for (left, row) in left.iter_mut().zip(rows) {
        *left = &row[start..][..len];
    }
    for (right, panel) in right.iter_mut().zip(panels) {
        *right = &panel[..len];
    }
    // Here, that the loop need not ask it of every row.
    assert!(
        left.iter().all(|left| left.len() == len) && right.iter().all(|right| right.len() == len)
    );
    let (mut left_pairs, mut right_pairs) = ([&[][..]; MR], [&[][..]; NV]);
    for (pairs, left) in left_pairs.iter_mut().zip(&left) {
        *pairs = &left.as_chunks::<2>().0[..turns];
    }
    for (pairs, right) in right_pairs.iter_mut().zip(&right) {
        *pairs = &right.as_chunks::<2>().0[..turns];
    }
    for t in 0..turns {
        if FAR {
            pace.turn(t);
        }
        let mut lanes = [[f32x16::splat(simd, 0.0); 2]; NV];
        for v in 0..NV {
            let [first, second] = &right_pairs[v][t];
            lanes[v] = [f32x16::load_array_ref(simd, first), f32x16::load_array_ref(simd, second)];
        }
        // In two halves, for the compiler leaves longer loops as they are, and the sums in memory.
        for m in 0..MR / 2 {
            acc[m] = steps(simd, &left_pairs[m][t], &lanes, acc[m]);
        }
        for m in MR / 2..MR {
            acc[m] = steps(simd, &left_pairs[m][t], &lanes, acc[m]);
        }
    }
    if !len.is_multiple_of(2) {
        let mut lanes = [[f32x16::splat(simd, 0.0)]; NV];
        for v in 0..NV {
            lanes[v] = [f32x16::load_array_ref(simd, &right[v][len - 1])];
        }
        for m in 0..MR {
            acc[m] = steps(simd, &[left[m][len - 1]], &lanes, acc[m]);
        }
    }
    acc
}

/// A row's sums after N more indices. Two are taken row after row instead of index after index, so that a
/// row's address is computed half as often. Integer operations take the multiply-adds' ports: one index at a
/// time, with 17 of them beside 26 multiply-adds, 64x784x128 ran at 0.84 of the peak, and so at 0.91 (Granite
/// Rapids).
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
