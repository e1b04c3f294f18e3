//! Matrices in panels of 16 columns, as the kernels want them: `[panel][row][16]`.
//!
//! A tile of a product finds its rows beside each other, one line apart, whether it goes along the columns
//! (the forward pass, the input gradient) or along the rows (the weight gradient).

use std::ops::Range;

/// Lanes of a panel: every parameter block is a multiple of it.
pub(crate) const LANES: usize = 16;

/// Rounds up to whole panels.
pub(crate) const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// Values from one panel of `rows` rows to the next: an odd number of lines, for panels a power of two apart
/// share cache sets and evict each other, and at least one line to spare, for what reads a row from its
/// middle on.
pub(crate) const fn panel_len(rows: usize) -> usize {
    ((rows + 1) | 1) * LANES
}

/// Length of a buffer for `rows` rows of `cols` values.
pub(crate) const fn rows_len(rows: usize, cols: usize) -> usize {
    cols.div_ceil(LANES) * panel_len(rows)
}

/// How many rows some buffers hold, and how far apart their panels are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extent {
    pub rows: usize,
    pub panel: usize,
}

impl Extent {
    /// The rows of `cols` values that `data` holds.
    pub fn of(self, data: &[f32], cols: usize) -> Rows<'_> {
        Rows { data, rows: self.rows, cols, panel: self.panel }
    }

    /// The same to write to.
    pub fn of_mut(self, data: &mut [f32], cols: usize) -> RowsMut<'_> {
        RowsMut { data, rows: self.rows, cols, panel: self.panel }
    }
}

/// `rows` rows of `cols` values; the last panel's columns beyond them are padding. Of outputs the padding is
/// finite and means nothing; of gradients it is zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// From the first row of the first panel on.
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    /// From one panel to the next.
    pub panel: usize,
}

/// The same to write to.
#[derive(Debug)]
pub(crate) struct RowsMut<'a> {
    pub data: &'a mut [f32],
    pub rows: usize,
    pub cols: usize,
    pub panel: usize,
}

impl<'a> Rows<'a> {
    /// The first `rows` rows of a whole buffer of [`rows_len`] for at least as many.
    pub fn of(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Extent { rows, panel: data.len() / cols.div_ceil(LANES) }.of(data, cols)
    }

    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.cols.div_ceil(LANES)
    }

    /// The rows of panel `p`.
    #[inline(always)]
    pub fn panel(&self, p: usize) -> &'a [[f32; LANES]] {
        &self.data[p * self.panel..].as_chunks().0[..self.rows]
    }

    /// Row `r` of panel `p`.
    #[inline(always)]
    pub fn lanes(&self, r: usize, p: usize) -> &'a [f32; LANES] {
        &self.data[p * self.panel..].as_chunks().0[r]
    }

    /// Rows `range` of these.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self { data: &self.data[range.start * LANES..], rows: range.len(), ..*self }
    }

    /// Copies all rows without their padding, one after the other.
    pub fn copy_to(&self, to: &mut [f32]) {
        for (r, to) in to.chunks_exact_mut(self.cols).take(self.rows).enumerate() {
            for (p, to) in to.chunks_mut(LANES).enumerate() {
                to.copy_from_slice(&self.lanes(r, p)[..to.len()]);
            }
        }
    }
}

impl<'a> RowsMut<'a> {
    /// The first `rows` rows of a whole buffer of [`rows_len`] for at least as many.
    pub fn of(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Extent { rows, panel: data.len() / cols.div_ceil(LANES) }.of_mut(data, cols)
    }

    /// Number of panels.
    pub fn panels(&self) -> usize {
        self.cols.div_ceil(LANES)
    }

    /// The rows of panel `p`.
    #[inline(always)]
    pub fn panel(&mut self, p: usize) -> &mut [[f32; LANES]] {
        &mut self.data[p * self.panel..].as_chunks_mut().0[..self.rows]
    }

    /// Row `r` of panel `p`.
    #[inline(always)]
    pub fn lanes(&mut self, r: usize, p: usize) -> &mut [f32; LANES] {
        &mut self.data[p * self.panel..].as_chunks_mut().0[r]
    }

    /// Rows `range` of these, for a shorter time.
    pub fn slice(&mut self, range: Range<usize>) -> RowsMut<'_> {
        let data = &mut self.data[range.start * LANES..];
        RowsMut { data, rows: range.len(), cols: self.cols, panel: self.panel }
    }

    /// The same to read.
    pub fn shared(&self) -> Rows<'_> {
        Rows { data: self.data, rows: self.rows, cols: self.cols, panel: self.panel }
    }
}

#[cfg(test)]
impl Rows<'_> {
    /// All rows, one after the other.
    pub fn to_vec(self) -> Vec<f32> {
        let mut rows = vec![f32::NAN; self.rows * self.cols];
        self.copy_to(&mut rows);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::reference::in_panels;

    #[test]
    fn panels_are_odd_many_lines_apart_with_one_to_spare() {
        assert_eq!(
            [1, 2, 3, 16, 63, 64].map(|rows| panel_len(rows) / LANES),
            [3, 3, 5, 17, 65, 65]
        );
    }

    #[test]
    fn rows_are_found_in_buffers_for_more() {
        for (rows, cols) in [(1, 1), (3, 16), (2, 17), (5, 33)] {
            let values: Vec<f32> = (0..(rows + 2) * cols).map(|i| i as f32).collect();
            let data = in_panels(&values, cols, f32::NAN);
            let of = Rows::of(&data, rows, cols);
            assert_eq!(of.to_vec(), values[..rows * cols]);
            assert_eq!(of.slice(rows - 1..rows).to_vec(), values[(rows - 1) * cols..rows * cols]);
            assert_eq!(of.lanes(rows - 1, 0)[0], values[(rows - 1) * cols]);
        }
    }
}
