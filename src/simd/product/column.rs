//! A column of tiles: all rows of one to three panels.

use std::ops::Range;

use super::Place;
use super::begin::Way;
use super::tile::{Finish, Start, tile};
use crate::rows::{LANES, Rows, RowsMut};
use crate::simd::panels::Operand;
use crate::simd::prefetch::Pair;
use crate::simd::{Ahead, Registers};

/// What tiles ask for: nothing, the next panels, or rows ahead as well.
pub(super) const NOTHING: u8 = 0;
pub(super) const PANELS: u8 = 1;
pub(super) const ROWS: u8 = 2;

/// Pieces of a panel that a column of tiles goes through, at most.
pub(super) const PIECES: usize = 8;

/// A piece of NV panels, and the same one of the panels that come after, as pairs of lines; none where there are none.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a, const NV: usize> {
    pub panels: [&'a [[f32; LANES]]; NV],
    pub next: [&'a [Pair]; NV],
}

/// NV panels, and the pieces of them that a column of tiles goes through.
pub(super) struct Column<'c, 'a, const NV: usize> {
    pub pieces: &'c [Piece<'a, NV>],
    /// The first index of the summed dimension.
    pub from: usize,
    /// Panels that come after and are asked for.
    pub next: usize,
    /// The first panel's number.
    pub panel: usize,
    /// The binary logarithm of the tiles that ask for one of the next panels, a part of it each. 1 at least where the
    /// column is one panel: of each 16 indices eight pairs of lines are asked for at most, one of each two or all before.
    pub per_panel: u32,
    pub start: &'a Start<'a>,
    pub finish: &'a Finish<'a>,
    /// Whether multiply-adds may take operands from memory.
    pub embedded: bool,
}

/// What tiles look after besides their sums.
pub(super) struct Beside<'r, 'a> {
    /// What is asked for meanwhile.
    pub ahead: &'r mut Ahead<'a>,
    /// The bits of the largest sizes that were stored, where they are asked for.
    pub largest: Option<[u32; LANES]>,
}

impl Beside<'_, '_> {
    /// What no stored value's size exceeds, where it is asked for.
    pub fn bound(&self) -> Option<f32> {
        let most = self.largest?.into_iter().fold(0, u32::max);
        Some(f32::from_bits(most.min(f32::INFINITY.to_bits())))
    }
}

/// All rows of the next NV panels: tiles of MR rows, then smaller ones for the rest; returns NV.
#[inline(always)]
pub(super) fn column<S: Registers, const MR: usize, const NV: usize, const ASK: u8>(
    simd: S,
    a: &Rows,
    place: &Place,
    way: &Way,
    c: &mut RowsMut,
    beside: &mut Beside,
) -> usize {
    let (b, panel, next) = (place.b, way.panels.start, way.after(NV));
    // One by itself, for a small product notices when eight are made ready.
    let (one, mut more);
    let pieces = match place.pieces.len() {
        1 => {
            one = [piece::<NV, ASK>(b, panel, &next, place.pieces.start)];
            &one[..]
        }
        len => {
            more = [Piece { panels: [&[][..]; NV], next: [&[][..]; NV] }; PIECES];
            let pieces = &mut more[..len];
            for (to, index) in pieces.iter_mut().zip(place.pieces.clone()) {
                *to = piece::<NV, ASK>(b, panel, &next, index);
            }
            &more[..len]
        }
    };
    let place = Column {
        pieces,
        from: b.piece(place.pieces.start).start,
        next: next.len(),
        panel,
        per_panel: ((a.rows / MR).saturating_sub(1).max(NV.max(2)) / NV).ilog2(),
        start: place.start,
        finish: place.finish,
        embedded: place.embedded,
    };
    heights::<S, MR, NV, ASK>(simd, a, &place, c, beside);
    NV
}

/// Tiles of MR rows, or some that are a little lower or higher, and smaller ones for the rest.
#[inline(always)]
fn heights<S: Registers, const MR: usize, const NV: usize, const ASK: u8>(
    simd: S,
    a: &Rows,
    place: &Column<NV>,
    c: &mut RowsMut,
    beside: &mut Beside,
) {
    let (whole, rest) = (a.rows / MR, a.rows % MR);
    let mut row = 0;
    let mut tall = a.rows;
    if const { MR == 12 && NV == 2 } && rest <= whole {
        // No small tiles: 64 rows are five of 13 or 12, and 128 are ten.
        row = tiles::<S, 13, NV, ASK>(simd, a, 0..rest * 13, place, c, beside);
    } else if const { MR == 6 } && rest > 0 && (MR - rest) * 5 <= a.rows {
        // 64 rows are nine of 6 and two of 5, whose ten chains keep the multiply-adds busy, where the eight of a tile
        // of 4 do not.
        row = tiles::<S, 5, NV, ASK>(simd, a, 0..(MR - rest) * 5, place, c, beside);
    } else if MR == 12 && whole > 0 && rest == 4 {
        // Of 16 rows two tiles of 8 keep the multiply-adds busy, where one of 4 beside 12 would not.
        tall -= 16;
    }
    row = tiles::<S, MR, NV, ASK>(simd, a, row..tall, place, c, beside);
    if const { MR > 8 } {
        row = tiles::<S, 8, NV, ASK>(simd, a, row..a.rows, place, c, beside);
    }
    if const { MR > 4 } {
        row = tiles::<S, 4, NV, ASK>(simd, a, row..a.rows, place, c, beside);
        row = tiles::<S, 2, NV, ASK>(simd, a, row..a.rows, place, c, beside);
        tiles::<S, 1, NV, ASK>(simd, a, row..a.rows, place, c, beside);
    }
}

/// Piece `index` of the panels from `panel` on, and of those that come after them where these are asked for.
#[inline(always)]
fn piece<'a, const NV: usize, const ASK: u8>(
    b: &Operand<'a>,
    panel: usize,
    after: &Range<usize>,
    index: usize,
) -> Piece<'a, NV> {
    let indices = b.piece(index);
    let (mut panels, mut next) = ([&[][..]; NV], [&[][..]; NV]);
    for v in 0..NV {
        panels[v] = b.panel(panel + v).piece(&indices);
        if ASK >= PANELS && v < after.len() {
            next[v] = b.panel(after.start + v).piece(&indices).as_flattened().as_chunks().0;
        }
    }
    Piece { panels, next }
}

/// As many tiles of MR rows as fit; returns where they end. A function of its own for each height:
/// one frame, which stays small without optimization too.
#[inline(always)]
fn tiles<S: Registers, const MR: usize, const NV: usize, const ASK: u8>(
    simd: S,
    a: &Rows,
    rows: Range<usize>,
    place: &Column<NV>,
    c: &mut RowsMut,
    beside: &mut Beside,
) -> usize {
    if rows.len() < MR {
        return rows.start;
    }
    simd.vectorize(
        #[inline(always)]
        || {
            let mut row = rows.start;
            while row + MR <= rows.end {
                tile::<S, MR, NV, ASK>(simd, a, place, c, row, beside);
                row += MR;
            }
            row
        },
    )
}
