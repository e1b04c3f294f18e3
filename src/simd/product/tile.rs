//! A tile of a product: some rows by some panels, from its start to what is stored.

use std::ops::Range;

use fearless_simd::{SimdBase, f32x16, prelude::*, u32x16};

use super::chain::{chain, each_row};
use super::column::{Beside, Column, PANELS, ROWS};
use crate::rows::{LANES, Rows, RowsMut};
use crate::simd::Registers;
use crate::simd::ahead::{Copying, Turn};
use crate::simd::prefetch::Pace;
use crate::simd::{relu, relu_gradient, tanh_gradient};

/// Turns of what is done ahead that a tile makes at most.
const TURNS: usize = 4;

/// Pairs of lines of a row that are asked for every 16 indices: in every tile, or in those that ask for no panels.
const WIDE_AT_ONCE: usize = 2;
const AT_ONCE: usize = 4;

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

/// A tile of MR rows, of which the first is `first`, by NV panels. Most tiles of a column ask for a part of the
/// next column's panels each. Where multiply-adds leave room for it, all of them copy rows ahead and ask for some,
/// else those that ask for no panels ask for rows: on AVX2, with half as many multiply-adds to a load, copying in the
/// loop took 0.025 of the speed (784-128-10 and 54-256-256-256-7, Zen 4).
#[inline(always)]
pub(super) fn tile<S: Registers, const MR: usize, const NV: usize, const ASK: u8>(
    simd: S,
    a: &Rows,
    place: &Column<NV>,
    c: &mut RowsMut,
    first: usize,
    beside: &mut Beside,
) {
    let (per_panel, part) = (place.per_panel, first / MR);
    let next = part >> per_panel;
    let asks = ASK >= PANELS && next < place.next;
    // Before any register is taken, for a call among them would have to save them all.
    let mut turns = [Turn::default(); TURNS];
    if ASK == ROWS && (S::WIDE || !asks) && !beside.ahead.is_done() {
        turns.iter_mut().take(place.pieces.len()).for_each(|turn| *turn = beside.ahead.turn());
    }
    let mut acc = started(simd, place, &c.shared(), first);
    let mut left = &a.data[place.from / LANES * a.panel + first * LANES..];
    let mut turns = turns.iter();
    for piece in place.pieces {
        let len = piece.panels[0].len();
        let mut paces = [Pace::new(&[], 1); 2];
        if asks {
            let pairs = piece.next[next];
            let part = part & ((1 << per_panel) - 1);
            let from = |part: usize| (pairs.len() * part) >> per_panel;
            let at_once = const { if NV == 1 { LANES } else { LANES / 2 } } >> per_panel;
            paces[0] = Pace::new(&pairs[from(part)..from(part + 1)], at_once.max(1));
        }
        let mut copying = Copying::none();
        if ASK == ROWS
            && let Some(turn) = turns.next()
        {
            if S::WIDE {
                copying = beside.ahead.copying(turn, len / LANES);
                paces[1] = Pace::new(turn.asked, WIDE_AT_ONCE);
            } else if !asks {
                paces[0] = Pace::new(turn.asked, AT_ONCE);
            }
        }
        let right = (len, &piece.panels);
        let beside = (paces, copying);
        acc = chain::<S, MR, NV, ASK>(simd, (left, a.panel), right, acc, beside, place.embedded);
        left = left.get(len / LANES * a.panel..).unwrap_or_default();
    }
    let acc = finished(simd, place, first, acc);
    stored(simd, place.panel, first, acc, c, &mut beside.largest);
}

/// Writes a tile whose first row is `first`; its sizes go into `largest`, where they are asked for.
#[inline(always)]
fn stored<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    panel: usize,
    first: usize,
    acc: [[f32x16<S>; NV]; MR],
    c: &mut RowsMut,
    largest: &mut Option<[u32; LANES]>,
) {
    for v in 0..NV {
        let to = &mut c.data[(panel + v) * c.panel + first * LANES..];
        for (acc, to) in acc.iter().zip(&mut to.as_chunks_mut::<LANES>().0[..MR]) {
            acc[v].store_array(to);
        }
    }
    if let Some(sizes) = largest {
        let mut largest = u32x16::load_array_ref(simd, sizes);
        for acc in acc.as_flattened() {
            largest = largest.max(acc.abs().bitcast::<u32x16<S>>());
        }
        largest.store_array(sizes);
    }
}

/// What the sums of a tile start from.
#[inline(always)]
fn started<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    place: &Column<NV>,
    c: &Rows,
    first: usize,
) -> [[f32x16<S>; NV]; MR] {
    let mut acc = [[f32x16::splat(simd, 0.0); NV]; MR];
    match place.start {
        Start::Zero => {}
        Start::Bias(bias) => {
            let bias = &bias.as_chunks::<LANES>().0[place.panel..][..NV];
            for acc in &mut acc {
                for (acc, bias) in acc.iter_mut().zip(bias) {
                    *acc = f32x16::load_array_ref(simd, bias);
                }
            }
        }
        Start::Kept => {
            with_rows(
                simd,
                c,
                (first, place.panel),
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
    place: &Column<NV>,
    first: usize,
    mut acc: [[f32x16<S>; NV]; MR],
) -> [[f32x16<S>; NV]; MR] {
    match place.finish {
        Finish::Sum => {}
        Finish::Relu => {
            for acc in acc.as_flattened_mut() {
                *acc = relu(simd, *acc);
            }
        }
        Finish::Gradient(slope, outputs) => with_rows(
            simd,
            outputs,
            (first, place.panel),
            &mut acc,
            #[inline(always)]
            |y, sum| match slope {
                Slope::Relu => relu_gradient(simd, y, sum),
                Slope::Tanh => tanh_gradient(simd, y, sum),
            },
        ),
    }
    acc
}

/// Puts `f(y, sum)` in place of each sum, where y is what stands in its place in `rows`.
#[inline(always)]
fn with_rows<S: Registers, const MR: usize, const NV: usize>(
    simd: S,
    rows: &Rows,
    (first, panel): (usize, usize),
    acc: &mut [[f32x16<S>; NV]; MR],
    f: impl Fn(f32x16<S>, f32x16<S>) -> f32x16<S>,
) {
    let mut panels = [&[][..]; NV];
    for (v, rows_of_panel) in panels.iter_mut().enumerate() {
        let data = &rows.data[(panel + v) * rows.panel + first * LANES..];
        *rows_of_panel = &data.as_chunks::<LANES>().0[..MR];
    }
    each_row::<MR>(
        #[inline(always)]
        |m| {
            for (acc, panel) in acc[m].iter_mut().zip(&panels) {
                *acc = f(f32x16::load_array_ref(simd, &panel[m]), *acc);
            }
        },
    );
}
