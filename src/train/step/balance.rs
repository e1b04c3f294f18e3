//! Whether a step's workers are about as fast as each other, by the clock, and how a batch is best shared between two.

use std::time::Duration;

use crate::train::shards::{HALF, LEAST, MOST, PARTS};

/// How many times as long as the fastest rows the slowest take in a step that is uneven. A worker with two blocks has
/// begun its second before another, which is less than twice as fast, could take it.
const UNEVEN: f64 = 1.8;

/// Steps that are remembered. Workers are even from when no more than a few of these were uneven, until many were:
/// on a shared machine another program takes a core now and then.
const REMEMBERED: u32 = u32::BITS;
const FEW: u32 = 1;
const MANY: u32 = 8;

/// How much a step counts in what is known of a worker's speed. A neighbour on a shared machine slows a core down for a
/// quarter of a second and more: hundreds of steps.
const NEW: f64 = 0.125;

/// Parts of a batch by which the best share must differ from the one that is kept, to replace it: the rows that were
/// copied for a worker ahead lie with it.
const APART: f64 = 0.75;

/// A block that was made: by which worker of the pool, how long it took, and its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub worker: Option<usize>,
    pub time: Duration,
    pub rows: usize,
}

impl Made {
    fn seconds_a_row(&self) -> f64 {
        self.time.as_secs_f64() / self.rows.max(1) as f64
    }
}

/// Decides whether each worker is given one block of rows, which takes the weights through its caches once, or more
/// of them, so that a slow one holds the others up by less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Balance {
    even: bool,
    /// A bit for each remembered step since the last change: whether it was uneven.
    history: u32,
    steps: u32,
    /// Rows a second of the first two workers; zero where it is not known yet.
    speeds: [f64; 2],
    /// Parts of a batch, of [`PARTS`], for the first of them.
    share: usize,
}

impl Default for Balance {
    fn default() -> Self {
        Self { even: false, history: 0, steps: 0, speeds: [0.0; 2], share: HALF }
    }
}

impl Balance {
    /// Whether the workers are about as fast as each other.
    pub fn is_even(&self) -> bool {
        self.even
    }

    /// Parts of a batch, of [`PARTS`], for the worker that calls, where it is one of two.
    pub fn first(&self, caller: Option<usize>) -> usize {
        match caller {
            Some(0) => self.share,
            Some(1) => PARTS - self.share,
            _ => HALF,
        }
    }

    /// Sees a step's blocks.
    pub fn see(&mut self, blocks: impl Iterator<Item = Made>) {
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        for block in blocks {
            let time = block.seconds_a_row();
            (least, most) = (least.min(time), most.max(time));
            if let Some(speed) = block.worker.and_then(|worker| self.speeds.get_mut(worker)) {
                let new = if *speed == 0.0 { 1.0 } else { NEW };
                *speed += (1.0 / time.max(1e-12) - *speed) * new;
            }
        }
        self.share_out();
        self.history = self.history << 1 | u32::from(most > UNEVEN * least);
        self.steps = (self.steps + 1).min(REMEMBERED);
        let uneven = self.history.count_ones();
        let even =
            if self.even { uneven < MANY } else { self.steps == REMEMBERED && uneven <= FEW };
        if even != self.even {
            (self.even, self.history, self.steps) = (even, 0, 0);
        }
    }

    /// Finds the share with which both workers would end together.
    fn share_out(&mut self) {
        let [first, second] = self.speeds;
        if first == 0.0 || second == 0.0 {
            return;
        }
        let best = first / (first + second) * PARTS as f64;
        if (best - self.share as f64).abs() > APART {
            self.share = (best.round() as usize).clamp(LEAST, MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Balance {
        /// After enough even steps, with a share for the first worker.
        pub fn trusting(share: usize) -> Self {
            let mut balance = Self::default();
            see(&mut balance, REMEMBERED as usize, [10, 10]);
            Self { share, ..balance }
        }
    }

    /// Both workers make as many rows.
    fn see(balance: &mut Balance, steps: usize, milliseconds: [u64; 2]) {
        for _ in 0..steps {
            balance.see(made(milliseconds.map(|ms| (ms, 32))));
        }
    }

    fn made(blocks: [(u64, usize); 2]) -> impl Iterator<Item = Made> {
        blocks.into_iter().enumerate().map(|(worker, (ms, rows))| Made {
            worker: Some(worker),
            time: Duration::from_millis(ms),
            rows,
        })
    }

    #[test]
    fn it_takes_many_even_steps_to_trust_workers_and_some_uneven_ones_to_doubt_them() {
        let mut balance = Balance::default();
        see(&mut balance, 31, [10, 17]);
        assert!(!balance.is_even());
        see(&mut balance, 1, [10, 17]);
        assert!(balance.is_even());
        see(&mut balance, 7, [10, 19]);
        see(&mut balance, 100, [10, 10]);
        assert!(balance.is_even(), "a core was taken away for seven steps");
        see(&mut balance, 8, [19, 10]);
        assert!(!balance.is_even());
        for _ in 0..100 {
            see(&mut balance, 10, [10, 10]);
            see(&mut balance, 1, [10, 40]);
        }
        assert!(!balance.is_even(), "every eleventh step is uneven");
    }

    #[test]
    fn rows_count_and_not_blocks() {
        let mut balance = Balance::default();
        for _ in 0..REMEMBERED {
            balance.see(made([(30, 60), (10, 20)]));
        }
        assert!(balance.is_even());
    }

    #[test]
    fn the_faster_of_two_workers_takes_more_whoever_calls() {
        let mut balance = Balance::default();
        see(&mut balance, 40, [10, 15]);
        let firsts = [Some(0), Some(1), None, Some(2)].map(|caller| balance.first(caller));
        assert_eq!(
            firsts,
            [19, 13, HALF, HALF],
            "three fifths, two fifths, unknown, of a larger pool"
        );
        see(&mut balance, 1, [100, 10]);
        let after_one = balance.first(Some(0));
        assert!((17..=19).contains(&after_one), "{after_one} after a single slow step");
        see(&mut balance, 40, [30, 10]);
        assert_eq!(balance.first(Some(0)), LEAST);
    }

    #[test]
    fn a_share_is_kept_while_speeds_differ_little() {
        let mut balance = Balance::default();
        for _ in 0..50 {
            see(&mut balance, 3, [100, 104]);
            see(&mut balance, 3, [104, 100]);
            assert_eq!(balance.first(Some(0)), HALF);
        }
    }
}
