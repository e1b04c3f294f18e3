//! Asking for memory ahead of its use, where the processor has an instruction for it.

use crate::rows::LANES;

/// The second cache, for processors that let a program choose.
const SECOND: i32 = 1;

/// Asks for the cache line of a value to be brought into the second cache; changes nothing else.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    // The same instruction, whose address the compiler makes part of it: `branches` computes it before.
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t1(value);
    #[cfg(not(target_arch = "x86_64"))]
    branches::prefetch_read_data::<_, SECOND>(value);
}

/// The same for a value that other cores hold and this one will write: on processors that heed it they give up
/// their copies meanwhile, and the first write need not wait for it (for others see `Claims`). On two threads
/// 784-512-512-10 trained 1.13 times as fast by it and 54-256-256-256-7 1.065 times (Granite Rapids).
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(value: &T) {
    branches::prefetch_write_data::<_, SECOND>(value);
}

/// Two cache lines of values, which are asked for together.
pub(crate) type Pair = [f32; 2 * LANES];

/// Asks for both lines.
#[inline(always)]
pub(crate) fn prefetch_pair(pair: &Pair) {
    prefetch(&pair[0]);
    prefetch(&pair[LANES]);
}

/// Pairs of lines that are asked for in the course of a loop, so many a turn: a core waits for some 16 lines
/// at once, and a burst of more holds up what it loads itself. The library's `Chunks` would do the same, in 4 to 5%
/// more instructions a step (784-128-10 and 54-256-256-256-7 on AVX2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace<'a> {
    pairs: &'a [Pair],
    at_once: usize,
}

impl<'a> Pace<'a> {
    #[inline(always)]
    pub fn new(pairs: &'a [Pair], at_once: usize) -> Self {
        Self { pairs, at_once }
    }

    /// The pairs of the next turn.
    #[inline(always)]
    pub fn take(&mut self) -> &'a [Pair] {
        let (now, later) = self.pairs.split_at(self.at_once.min(self.pairs.len()));
        self.pairs = later;
        now
    }
}

/// Rows whose pages are looked up together: a request waits for its page, and holds up what follows.
const AT_ONCE: usize = 16;

/// Floats from which data are not in the second cache when they are wanted again.
const FAR: usize = 128 << 10;

/// Rows that will be wanted soon, asked for a few pairs of lines at a time while something else is computed:
/// memory answers only so many requests at once, and a burst of them holds up the rest.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    data: &'a [f32],
    cols: usize,
    order: std::slice::Iter<'a, u32>,
    /// What is left of the row at hand.
    rest: &'a [Pair],
    done: bool,
}

impl<'a> Ahead<'a> {
    /// The rows of `data`, `cols` values each, that `order` names, unless the data stay in the cache.
    pub fn rows(data: &'a [f32], cols: usize, order: &'a [u32]) -> Self {
        Self { data, cols, order: order.iter(), rest: &[], done: data.len() < FAR }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self::rows(&[], 0, &[])
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Takes up to `most` pairs of lines of what comes next.
    #[inline(always)]
    pub fn take(&mut self, most: usize) -> &'a [Pair] {
        if self.rest.is_empty() && !self.done {
            self.rest = self.next_row();
            self.done = self.rest.is_empty();
        }
        let (pairs, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        pairs
    }

    #[inline(never)]
    fn next_row(&mut self) -> &'a [Pair] {
        if self.order.len().is_multiple_of(AT_ONCE) {
            for &next in self.order.as_slice().iter().take(AT_ONCE) {
                let pairs = self.row(next);
                pairs.first().map(prefetch);
                pairs.last().map(prefetch);
            }
        }
        while let Some(&next) = self.order.next() {
            let pairs = self.row(next);
            if !pairs.is_empty() {
                return pairs;
            }
        }
        &[]
    }

    /// The pairs of a row; none of a short one at the data's end.
    fn row(&self, row: u32) -> &'a [Pair] {
        let pairs: &[Pair] = self.data.get(row as usize * self.cols..).unwrap_or(&[]).as_chunks().0;
        &pairs[..self.cols.div_ceil(2 * LANES).min(pairs.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_lines_of_the_rows_has_its_turn_once_and_in_order() {
        for cols in [5, 70] {
            let last = FAR.div_ceil(cols) as u32;
            let data = vec![0.0; (last as usize + 1) * cols];
            let order = [1, 1000, last, 0, 7, 7];
            let pairs = |row: u32| {
                let row: &[Pair] = data[row as usize * cols..].as_chunks().0;
                row.iter().take(cols.div_ceil(2 * LANES)).map(std::ptr::from_ref)
            };
            let wanted: Vec<_> = order.into_iter().flat_map(pairs).collect();
            for most in [1, 2, 3, 100] {
                let mut ahead = Ahead::rows(&data, cols, &order);
                let mut taken = vec![];
                while !ahead.is_done() {
                    taken.extend(ahead.take(most).iter().map(std::ptr::from_ref));
                }
                assert_eq!(taken, wanted, "{cols} columns, {most} at once");
            }
            assert!(Ahead::rows(&data[..FAR - 1], cols, &order).is_done());
        }
    }
}
