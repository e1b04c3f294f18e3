//! Rows that will be wanted soon: asked for, and where it costs nothing copied, while something else is computed.

use super::prefetch::{Pair, prefetch};
use crate::rows::{LANES, RowsMut};

/// Rows whose pages are looked up together: a request waits for its page, and holds up what follows.
const AT_ONCE: usize = 16;

/// Floats from which data are not in the second cache when they are wanted again.
const FAR: usize = 128 << 10;

/// Rows that are asked for before the first of them is copied: some microseconds, in which memory answers.
const LAG: usize = 4;

/// Rows that will be wanted soon: each is asked for, a few pairs of lines at a time, while something else is computed,
/// and where that costs nothing, later copied to where it will be wanted.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    data: &'a [f32],
    order: &'a [u32],
    into: RowsMut<'a>,
    /// Turns that were taken: each asks for one row.
    turns: usize,
    copies: bool,
}

/// What a turn does: the pairs of lines of one row to ask for, and the whole panels of another to copy.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn<'a> {
    pub asked: &'a [Pair],
    copied: &'a [[f32; LANES]],
    row: usize,
}

impl<'a> Ahead<'a> {
    /// The rows of `data` that `order` names, to be copied into `into`, unless the data stay in the cache.
    pub fn rows(data: &'a [f32], order: &'a [u32], into: RowsMut<'a>) -> Self {
        let order = if data.len() < FAR { &[] } else { order };
        Self { data, order, into, turns: 0, copies: false }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self::rows(&[], &[], RowsMut { data: &mut [], rows: 0, cols: 0, panel: LANES })
    }

    /// Says that rows are to be copied, not only asked for.
    pub fn copy(&mut self) {
        self.copies = true;
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        let lag = if self.copies { LAG } else { 0 };
        self.order.is_empty() || self.turns >= self.order.len() + lag
    }

    /// How many of the rows were copied, the first ones: their whole panels, not what is left of 16 columns.
    pub fn copied(&self) -> usize {
        let turns = if self.copies { self.turns } else { 0 };
        turns.saturating_sub(LAG).min(self.order.len())
    }

    /// What to do next; all that it says is to be done.
    #[inline(never)]
    pub fn turn(&mut self) -> Turn<'a> {
        let mut turn = Turn::default();
        if self.turns.is_multiple_of(AT_ONCE) {
            for &next in self.order.iter().skip(self.turns).take(AT_ONCE) {
                let pairs = self.row(next);
                pairs.first().map(prefetch);
                pairs.last().map(prefetch);
            }
        }
        if let Some(&row) = self.order.get(self.turns) {
            turn.asked = self.row(row);
        }
        let before = self.copied();
        self.turns += 1;
        if self.copied() > before {
            let cols = self.into.cols;
            let row = self.order[before] as usize;
            turn.copied = &self.data[row * cols..].as_chunks().0[..cols / LANES];
            turn.row = before;
        }
        turn
    }

    /// What a turn copies, in the course of a loop of `loops` rounds.
    #[inline(always)]
    pub fn copying(&mut self, turn: &Turn<'a>, loops: usize) -> Copying<'_> {
        let to = self.into.data.get_mut(turn.row * LANES..).unwrap_or_default();
        let at_once = turn.copied.len().div_ceil(loops.max(1));
        Copying { from: turn.copied, to, apart: self.into.panel, at_once }
    }

    /// The pairs of a row; none of a short one at the data's end.
    fn row(&self, row: u32) -> &'a [Pair] {
        let pairs: &[Pair] =
            self.data.get(row as usize * self.into.cols..).unwrap_or(&[]).as_chunks().0;
        &pairs[..self.into.cols.div_ceil(2 * LANES).min(pairs.len())]
    }
}

/// A row on its way into panels, some lines a round. A burst of them would fill the queue of stores: one for each
/// 208 indices of 784-128-10 held the products up for as long as gathering had taken (0.88 of the peak for 0.96), so
/// many for each 16 for half as long (0.93).
#[derive(Debug)]
pub(crate) struct Copying<'a> {
    from: &'a [[f32; LANES]],
    to: &'a mut [f32],
    apart: usize,
    at_once: usize,
}

impl Copying<'_> {
    /// Nothing.
    #[inline(always)]
    pub fn none() -> Self {
        Self { from: &[], to: &mut [], apart: LANES, at_once: 0 }
    }

    /// Copies the lines of a round.
    #[inline(always)]
    pub fn round(&mut self) {
        self.lines(self.at_once);
    }

    /// Copies what is left.
    #[inline(always)]
    pub fn rest(&mut self) {
        self.lines(usize::MAX);
    }

    #[inline(always)]
    fn lines(&mut self, most: usize) {
        let (now, later) = self.from.split_at(most.min(self.from.len()));
        self.from = later;
        for from in now {
            let to = std::mem::take(&mut self.to);
            if let Some(line) = to.first_chunk_mut() {
                *line = *from;
            }
            self.to = to.get_mut(self.apart..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Rows, rows_len};

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
            let mut buffer = vec![0.0; rows_len(order.len(), cols)];
            let into = RowsMut::of(&mut buffer, order.len(), cols);
            let mut ahead = Ahead::rows(&data, &order, into);
            let mut taken = vec![];
            while !ahead.is_done() {
                taken.extend(ahead.turn().asked.iter().map(std::ptr::from_ref));
            }
            assert_eq!((taken, ahead.copied()), (wanted, 0), "{cols} columns");
            let into = RowsMut::of(&mut buffer, order.len(), cols);
            assert!(Ahead::rows(&data[..FAR - 1], &order, into).is_done());
        }
    }

    #[test]
    fn rows_that_count_as_copied_stand_in_their_panels() {
        for (cols, loops) in [(5, 0), (16, 1), (70, 1), (70, 3), (70, 9)] {
            let data: Vec<f32> = (0..FAR + 9 * cols).map(|i| i as f32).collect();
            let order: Vec<u32> = (0..19).map(|r| r * 37 % 101).collect();
            let mut buffer = vec![f32::NAN; rows_len(20, cols)];
            let mut ahead = Ahead::rows(&data, &order, RowsMut::of(&mut buffer, 19, cols));
            ahead.copy();
            let mut copied = vec![];
            while !ahead.is_done() {
                let turn = ahead.turn();
                let mut copying = ahead.copying(&turn, loops);
                (0..loops).for_each(|_| copying.round());
                copying.rest();
                copied.push(ahead.copied());
            }
            let lag = std::iter::repeat_n(0, LAG);
            assert_eq!(copied, lag.chain(1..=order.len()).collect::<Vec<_>>());
            let rows = Rows::of(&buffer, 19, cols);
            for (r, &row) in order.iter().enumerate() {
                for p in 0..cols / LANES {
                    let from = &data[row as usize * cols + p * LANES..];
                    assert_eq!(rows.lanes(r, p), &from[..LANES], "row {r} of {cols} columns");
                }
            }
        }
    }
}
