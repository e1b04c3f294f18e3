//! Asking for memory ahead of its use, where the processor has an instruction for it.

use crate::rows::LANES;

/// Asks for the cache line of a value to be brought into the second cache; changes nothing else.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t1(value);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Rows whose pages are looked up together: a request waits for its page, and holds up what follows.
const AT_ONCE: usize = 16;

/// Rows that will be wanted soon, asked for a few lines at a time while something else is computed:
/// memory answers only so many requests at once, and a burst of them holds up the rest.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    data: &'a [f32],
    cols: usize,
    order: std::slice::Iter<'a, u32>,
    rest: &'a [[f32; LANES]],
}

impl<'a> Ahead<'a> {
    /// The rows of `data`, `cols` values each, that `order` names.
    pub fn rows(data: &'a [f32], cols: usize, order: &'a [u32]) -> Self {
        Self { data, cols, order: order.iter(), rest: &[] }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self::rows(&[], 0, &[])
    }

    fn row(&self, row: u32) -> &'a [[f32; LANES]] {
        let lines = self.data.get(row as usize * self.cols..).unwrap_or(&[]).as_chunks().0;
        &lines[..self.cols.div_ceil(LANES).min(lines.len())]
    }

    /// Takes up to `most` lines of the row that comes next.
    #[inline(always)]
    pub fn take(&mut self, most: usize) -> &'a [[f32; LANES]] {
        if self.rest.is_empty() {
            if self.order.len().is_multiple_of(AT_ONCE) {
                for &row in self.order.as_slice().iter().take(AT_ONCE) {
                    let lines = self.row(row);
                    lines.first().map(prefetch);
                    lines.last().map(prefetch);
                }
            }
            let Some(&row) = self.order.next() else { return &[] };
            self.rest = self.row(row);
        }
        let (lines, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        lines
    }
}
