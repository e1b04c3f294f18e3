//! What a tile of the weight gradient multiplies: some inputs of x by some panels of dy.

use super::TALL;
use super::shards::Piece;
use crate::rows::LANES;

/// Most units of a tile's inputs.
pub(super) const UNITS: usize = 3;

/// Inputs of a tile that lie in one panel for certain: the first tiles of a block are of one height and begin
/// at its multiples, what comes after begins at even places.
pub(super) const fn unit(height: usize) -> usize {
    match height {
        TALL => 4,
        8 => 8,
        1 => 1,
        _ => 2,
    }
}

/// Where in a piece's x the units of a tile's inputs begin, and where in its dy its panels.
pub(super) struct Starts<const NV: usize> {
    left: [usize; UNITS],
    right: [usize; NV],
}

impl<const NV: usize> Starts<NV> {
    /// Of a tile of MR inputs from `input` on and the panels from `panel` on.
    #[inline(always)]
    pub fn of<const MR: usize>(input: usize, panel: usize, apart: (usize, usize)) -> Self {
        let mut starts = Self { left: [0; UNITS], right: [0; NV] };
        for (u, start) in starts.left.iter_mut().take(const { MR / unit(MR) }).enumerate() {
            let input = input + u * unit(MR);
            *start = input / LANES * apart.0 + input % LANES;
        }
        for (v, start) in starts.right.iter_mut().enumerate() {
            *start = (panel + v) * apart.1;
        }
        starts
    }
}

/// What of a piece's x and dy a tile multiplies.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a, const NV: usize> {
    pub left: [&'a [[f32; LANES]]; UNITS],
    pub right: [&'a [[f32; LANES]]; NV],
    pub rows: usize,
}

impl<'a, const NV: usize> Sides<'a, NV> {
    pub const NONE: Self = Self { left: [&[]; UNITS], right: [&[]; NV], rows: 0 };

    /// Of a tile of MR inputs, x not where it is all ones.
    #[inline(always)]
    pub fn of<const MR: usize>(
        &Piece { x, dy, rows, .. }: &Piece<'a>,
        starts: &Starts<NV>,
        ones: bool,
    ) -> Self {
        let mut sides = Self { rows, ..Self::NONE };
        for (right, &start) in sides.right.iter_mut().zip(&starts.right) {
            *right = &dy[start..].as_chunks::<LANES>().0[..rows];
        }
        if !(MR == 1 && ones) {
            let left = sides.left.iter_mut().zip(&starts.left);
            for (left, &start) in left.take(const { MR / unit(MR) }) {
                *left = &x[start..].as_chunks::<LANES>().0[..rows];
            }
        }
        sides
    }

    /// What comes after the first `rows` rows.
    #[inline(always)]
    pub fn after(&self, rows: usize) -> Self {
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
