//! Row-major matrices whose rows are padded, as the kernels want them.

use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

/// Lanes of a panel: every row's stride and every parameter block is a multiple of it.
pub(crate) const LANES: usize = 16;

/// Rounds up to whole panels.
pub(crate) const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// The stride in which rows of `cols` values are stored: whole panels, and an odd number of them
/// (beyond one), for rows a power of two apart share cache sets and evict each other.
pub(crate) const fn stride(cols: usize) -> usize {
    let panels = cols.div_ceil(LANES);
    if panels > 1 && panels.is_multiple_of(2) { (panels + 1) * LANES } else { panels * LANES }
}

/// `rows` rows of `cols` values, `stride` apart; values between `cols` and `stride` are padding.
/// Of outputs the padding is finite and means nothing; of gradients it is zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
}

/// The same to write to.
#[derive(Debug)]
pub(crate) struct RowsMut<'a> {
    pub data: &'a mut [f32],
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// The first `rows` rows of a buffer laid out by [`stride`].
    pub fn of(data: &'a [f32], rows: usize, cols: usize) -> Self {
        let stride = stride(cols);
        Self { data: &data[..rows * stride], rows, cols, stride }
    }

    /// Row `r`, with its padding.
    pub fn padded_row(&self, r: usize) -> &'a [f32] {
        &self.data[r * self.stride..(r + 1) * self.stride]
    }

    /// Row `r`.
    pub fn row(&self, r: usize) -> &'a [f32] {
        &self.data[r * self.stride..][..self.cols]
    }

    /// Rows `range` of these.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let data = &self.data[range.start * self.stride..range.end * self.stride];
        Self { data, rows: range.len(), ..*self }
    }

    /// The rows without their padding.
    pub fn view(&self) -> ArrayView2<'a, f32> {
        ArrayView2::from_shape((self.rows, self.cols).strides((self.stride, 1)), self.data)
            .expect("a buffer holds its rows")
    }
}

impl<'a> RowsMut<'a> {
    /// The first `rows` rows of a buffer laid out by [`stride`].
    pub fn of(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        let stride = stride(cols);
        Self { data: &mut data[..rows * stride], rows, cols, stride }
    }

    /// Row `r`, with its padding.
    pub fn padded_row(&mut self, r: usize) -> &mut [f32] {
        &mut self.data[r * self.stride..(r + 1) * self.stride]
    }

    /// Row `r`.
    pub fn row(&mut self, r: usize) -> &mut [f32] {
        &mut self.data[r * self.stride..][..self.cols]
    }

    /// Rows `range` of these, for a shorter time.
    pub fn slice(&mut self, range: std::ops::Range<usize>) -> RowsMut<'_> {
        let data = &mut self.data[range.start * self.stride..range.end * self.stride];
        RowsMut { data, rows: range.len(), cols: self.cols, stride: self.stride }
    }

    /// The rows without their padding.
    pub fn view(self) -> ArrayViewMut2<'a, f32> {
        ArrayViewMut2::from_shape((self.rows, self.cols).strides((self.stride, 1)), self.data)
            .expect("a buffer holds its rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_whole_panels_and_odd_many() {
        assert_eq!([1, 16, 17, 48, 512, 784].map(stride), [16, 16, 48, 48, 528, 784]);
    }

    #[test]
    fn views_leave_the_padding_out() {
        let data: Vec<f32> = (0..96).map(|i| i as f32).collect();
        let rows = Rows::of(&data, 2, 17);
        assert_eq!(rows.view().dim(), (2, 17));
        assert_eq!(rows.view()[(1, 16)], 64.0);
        assert_eq!(rows.slice(1..2).row(0)[0], 48.0);
    }
}
