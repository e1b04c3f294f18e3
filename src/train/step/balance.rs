//! Whether a step's workers are about as fast as each other, by the clock.

use std::time::Duration;

/// How many times as long as the fastest rows the slowest take in a step that is uneven. A worker with two blocks has
/// begun its second before another, which is less than twice as fast, could take it.
const UNEVEN: f64 = 1.8;

/// Steps that are remembered. Workers are even from when no more than a few of these were uneven, until many were:
/// on a shared machine another program takes a core now and then.
const REMEMBERED: u32 = u32::BITS;
const FEW: u32 = 1;
const MANY: u32 = 8;

/// Decides whether each worker is given one block of rows, which takes the weights through its caches once, or more
/// of them, so that a slow one holds the others up by less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Balance {
    even: bool,
    /// A bit for each remembered step since the last change: whether it was uneven.
    history: u32,
    steps: u32,
}

impl Balance {
    /// Whether the workers are about as fast as each other.
    pub fn is_even(&self) -> bool {
        self.even
    }

    /// Sees how long a step's blocks took, each with its number of rows.
    pub fn see(&mut self, blocks: impl Iterator<Item = (Duration, usize)>) {
        let per_row = blocks.map(|(time, rows)| time.as_secs_f64() / rows.max(1) as f64);
        let (least, most) = per_row
            .fold((f64::INFINITY, 0.0), |(least, most), time| (time.min(least), time.max(most)));
        self.history = self.history << 1 | u32::from(most > UNEVEN * least);
        self.steps = (self.steps + 1).min(REMEMBERED);
        let uneven = self.history.count_ones();
        let even =
            if self.even { uneven < MANY } else { self.steps == REMEMBERED && uneven <= FEW };
        if even != self.even {
            *self = Self { even, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Balance {
        /// After enough even steps.
        pub fn trusting() -> Self {
            let mut balance = Self::default();
            see(&mut balance, REMEMBERED as usize, [10, 10]);
            balance
        }
    }

    fn see(balance: &mut Balance, steps: usize, milliseconds: [u64; 2]) {
        for _ in 0..steps {
            balance.see(milliseconds.into_iter().map(|ms| (Duration::from_millis(ms), 32)));
        }
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
            balance.see(
                [(30, 60), (10, 20)].map(|(ms, r)| (Duration::from_millis(ms), r)).into_iter(),
            );
        }
        assert!(balance.is_even());
    }
}
