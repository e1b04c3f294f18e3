//! Shuffling what does not fit into memory: a window of rows, out of which the draws are made.

use super::chunk::Chunk;
use crate::rng::{Purpose, Stream};

/// Holds some rows; each further one takes the place of one drawn at random, which goes out. Where the
/// window holds all rows, every order is as likely as any other.
#[derive(Debug)]
pub(super) struct Window {
    rows: Chunk,
    capacity: usize,
    draws: Stream,
    order: Vec<u32>,
}

impl Window {
    /// An empty window, for `empty`'s kind of rows, that holds `capacity` of them.
    pub fn new(empty: Chunk, capacity: usize) -> Self {
        let draws = Stream::new(0, Purpose::Window, 0, 0);
        Self { rows: empty, capacity: capacity.min(u32::MAX as usize), draws, order: vec![] }
    }

    /// Begins an epoch.
    pub fn begin(&mut self, seed: u64, epoch: u64) {
        self.rows.clear();
        self.draws = Stream::new(seed, Purpose::Window, epoch, 0);
    }

    /// Takes a row in, and once it is full gives one out, to the end of `out`.
    pub fn pass(&mut self, from: &Chunk, row: usize, out: &mut Chunk) {
        if self.rows.rows < self.capacity {
            self.rows.push(from, row);
            return;
        }
        let drawn = self.draws.below(self.capacity as u32) as usize;
        out.push(&self.rows, drawn);
        self.rows.replace(drawn, from, row);
    }

    /// Draws an order for the rows that are left, and returns how many there are.
    pub fn rest(&mut self) -> usize {
        self.order.clear();
        self.order.extend(0..self.rows.rows as u32);
        self.draws.shuffle(&mut self.order);
        self.order.len()
    }

    /// Copies the `index`th of the rows that are left to the end of `out`.
    pub fn left(&self, index: usize, out: &mut Chunk) {
        out.push(&self.rows, self.order[index] as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TargetShape;

    fn order(rows: usize, capacity: usize, epoch: u64) -> Vec<usize> {
        let empty = Chunk::new(1, TargetShape::Classes(1));
        let mut all = empty.clone();
        for row in 0..rows {
            all.features.push(row as f32);
            all.labels.push(0);
            all.rows += 1;
        }
        let (mut window, mut out) = (Window::new(empty.clone(), capacity), empty);
        window.begin(3, epoch);
        (0..rows).for_each(|row| window.pass(&all, row, &mut out));
        (0..window.rest()).for_each(|index| window.left(index, &mut out));
        out.features.iter().map(|&v| v as usize).collect()
    }

    #[test]
    fn every_row_comes_out_once_in_an_order_of_seed_and_epoch() {
        for (rows, capacity) in [(1, 1), (10, 1), (100, 7), (100, 100), (5, 1000)] {
            let drawn = order(rows, capacity, 0);
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..rows).collect::<Vec<_>>(), "{rows} rows, window of {capacity}");
            assert_eq!(order(rows, capacity, 0), drawn);
        }
        assert_ne!(order(100, 50, 0), order(100, 50, 1));
    }

    #[test]
    fn a_row_never_comes_out_a_window_before_its_turn() {
        for (place, row) in order(1000, 10, 0).into_iter().enumerate() {
            assert!(row <= place + 10, "row {row} at {place}");
        }
    }

    #[test]
    fn a_window_over_all_rows_mixes_them_evenly() {
        let (rows, epochs) = (20, 4000);
        let mut first = vec![0_u32; rows];
        (0..epochs).for_each(|epoch| first[order(rows, rows, epoch)[0]] += 1);
        let expected = epochs as f64 / rows as f64;
        let chi2: f64 = first.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        // The 0.001 quantile from above at 19 degrees of freedom.
        assert!(chi2 < 43.8, "{chi2} {first:?}");
    }
}
