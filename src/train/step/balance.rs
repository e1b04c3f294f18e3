//! Whether a step's workers are about as fast as each other, by the clock, and how a batch is best shared between two.

use std::time::Duration;

use crate::train::cut::{HALF, LEAST, MOST, PARTS};

/// How many times as long as the fastest rows the slowest take in a step that is uneven: for workers that were not even
/// before, and for those that were. A worker with two blocks has begun its second before another, which is less than
/// twice as fast, could take it. Where two share by their speeds, the slower one has fewer rows, which take longer each.
const UNEVEN: [f64; 2] = [1.8, 2.2];

/// Steps that are remembered. Workers are even from when no more than a few of these were uneven, until many were:
/// on a shared machine another program takes a core now and then.
const REMEMBERED: u32 = u32::BITS;
const FEW: u32 = 1;
const MANY: u32 = 8;

/// How much a step counts in what is known of a worker's speed. A neighbour on a shared machine slows a core down for a
/// quarter of a second and more: hundreds of steps.
const NEW: f64 = 0.125;

/// Parts of a batch by which the best share must differ from the one that is kept, to replace it: rows that were copied
/// ahead for one worker are of no use to the other. So they are not where steps are called for one at a time, and one
/// worker calls now and the other then.
const APART: f64 = 0.75;

/// A block that was made: by which worker of the trainer's pool, how long it took, and its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub worker: Option<usize>,
    pub time: Duration,
    pub rows: usize,
}

/// Decides whether each worker is given one block of rows, which takes the weights through its caches once, or more
/// of them, so that a slow one holds the others up by less; and how many rows each of two even ones is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Balance {
    even: bool,
    /// A bit for each remembered step since the last change: whether it was uneven.
    history: u32,
    steps: u32,
    /// Rows a second of the first two workers; zero where it is not known yet.
    speeds: [f64; 2],
    /// Parts of a batch, of [`PARTS`], for worker 0.
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

    /// Parts of a batch, of [`PARTS`], for one of two workers.
    pub fn share_of(&self, worker: usize) -> usize {
        match worker {
            0 => self.share,
            1 => PARTS - self.share,
            _ => HALF,
        }
    }

    /// Sees a step's blocks.
    pub fn see(&mut self, blocks: impl Iterator<Item = Made>) {
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        let mut made = [(0.0, 0); 2];
        for Made { worker, time, rows } in blocks {
            let time = time.as_secs_f64();
            let a_row = time / rows.max(1) as f64;
            (least, most) = (least.min(a_row), most.max(a_row));
            if let Some(made) = worker.and_then(|worker| made.get_mut(worker)) {
                *made = (made.0 + time, made.1 + rows);
            }
        }
        self.learn(made);
        self.history = self.history << 1 | u32::from(most > UNEVEN[usize::from(self.even)] * least);
        self.steps = (self.steps + 1).min(REMEMBERED);
        let uneven = self.history.count_ones();
        let even =
            if self.even { uneven < MANY } else { self.steps == REMEMBERED && uneven <= FEW };
        if even != self.even {
            (self.even, self.history, self.steps) = (even, 0, 0);
        }
    }

    /// Learns from the seconds and rows of the first two workers in a step that both have made a part of, and finds the
    /// share with which they would end together.
    fn learn(&mut self, made: [(f64, usize); 2]) {
        if made.iter().any(|&(time, rows)| time == 0.0 || rows == 0) {
            return;
        }
        for (speed, (time, rows)) in self.speeds.iter_mut().zip(made) {
            let now = rows as f64 / time;
            *speed += (now - *speed) * if *speed == 0.0 { 1.0 } else { NEW };
        }
        let [first, second] = self.speeds;
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
        see(&mut balance, 100, [10, 21]);
        assert!(balance.is_even());
        see(&mut balance, 7, [10, 23]);
        see(&mut balance, 100, [10, 10]);
        assert!(balance.is_even(), "a core was taken away for seven steps");
        see(&mut balance, 8, [23, 10]);
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
    fn the_faster_of_two_workers_takes_more() {
        let mut balance = Balance::default();
        see(&mut balance, 40, [10, 15]);
        let shares = [0, 1, 2].map(|worker| balance.share_of(worker));
        assert_eq!(shares, [19, 13, HALF], "three fifths, two fifths, one of a larger pool");
        see(&mut balance, 1, [100, 10]);
        let share = balance.share_of(0);
        assert!((17..=19).contains(&share), "{share} after a single slow step");
        see(&mut balance, 40, [30, 10]);
        assert_eq!(balance.share_of(0), LEAST);
    }

    #[test]
    fn a_share_is_kept_while_the_best_one_wavers_between_two() {
        let mut balance = Balance::default();
        see(&mut balance, 40, [100, 113]);
        let kept = balance.share_of(0);
        assert_eq!(kept, 17, "the best is 16.98");
        for _ in 0..20 {
            for second in [105, 108] {
                see(&mut balance, 20, [100, second]);
                assert_eq!(balance.share_of(0), kept, "the best is 16.39 and 16.62");
            }
        }
        see(&mut balance, 40, [100, 100]);
        assert_eq!(balance.share_of(0), HALF);
    }

    #[test]
    fn steps_of_one_worker_say_nothing_of_a_share() {
        let mut balance = Balance::default();
        see(&mut balance, 40, [10, 10]);
        for _ in 0..40 {
            let [mut one, mut other] = [made([(10, 32), (10, 32)]), made([(40, 32), (40, 32)])];
            balance.see(one.next().into_iter().chain(other.next()));
        }
        assert_eq!(balance.share_of(0), HALF, "worker 0 took both blocks, the second slowly");
    }

    #[test]
    fn workers_that_share_by_their_speeds_stay_even() {
        let mut balance = Balance::trusting(HALF);
        for _ in 0..500 {
            let rows = [balance.share_of(0) * 4, balance.share_of(1) * 4];
            // A block takes what ten rows take before its first one.
            let time = |worker: usize| (10 + rows[worker] as u64) * [100, 175][worker];
            balance.see(made([(time(0), rows[0]), (time(1), rows[1])]));
            assert!(balance.is_even());
        }
        assert_eq!(balance.share_of(0), MOST);
    }
}
