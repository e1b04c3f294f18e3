//! Two parts of a step side by side, without the waking up between.
//!
//! A worker of rayon's that finds no work sleeps after some 20 microseconds, and waking it takes 15 to
//! 110: as long as a phase of a small net. Here the two sides of a join look out for each other instead,
//! so that the next phase finds both awake.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::pool::cores;

/// How long one side looks out for the other before it may be sent to sleep.
pub(super) const AWAKE: Duration = Duration::from_millis(1);

/// Looks at the other side between two looks for other work, and looks for work between two offers of
/// the core to other threads.
const LOOKS: (u32, u32) = (16, 16);

/// How the workers of a pool come together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fork {
    pub workers: usize,
    awake: bool,
}

impl Fork {
    /// For a pool of `workers`. Where there are more of them than cores, nobody spins.
    pub fn new(workers: usize) -> Self {
        Self { workers, awake: workers <= cores() }
    }

    /// Runs both, where another worker is idle at the same time.
    pub fn join(&self, a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
        if !self.awake {
            rayon::join(a, b);
            return;
        }
        let (left, right) = (Side::default(), Side::default());
        rayon::join_context(
            |_| {
                left.run(a);
                if right.has_begun() {
                    right.look_out();
                }
            },
            |context| {
                right.run(b);
                if context.migrated() {
                    left.look_out();
                }
            },
        );
    }
}

const BEGUN: u8 = 1;
const ENDED: u8 = 2;

/// How far one side of a join is.
#[derive(Default)]
struct Side(AtomicU8);

impl Side {
    fn run(&self, f: impl FnOnce()) {
        /// Ends the side even if it panics.
        struct End<'a>(&'a AtomicU8);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(ENDED, Ordering::Release);
            }
        }
        self.0.store(BEGUN, Ordering::Release);
        let _end = End(&self.0);
        f();
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) == ENDED
    }

    /// Returns when the side has ended, or after a while. Does others' work meanwhile.
    fn look_out(&self) {
        let mut since = None;
        while !self.has_ended() {
            for _ in 0..LOOKS.1 {
                for _ in 0..LOOKS.0 {
                    if self.has_ended() {
                        return;
                    }
                    std::hint::spin_loop();
                }
                rayon::yield_now();
            }
            if since.get_or_insert_with(Instant::now).elapsed() > AWAKE {
                return;
            }
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::train::pool::pool;

    fn count(fork: Fork, tasks: usize, done: &AtomicUsize) {
        match tasks {
            1 => _ = done.fetch_add(1, Ordering::Relaxed),
            n => fork.join(|| count(fork, n / 2, done), || count(fork, n - n / 2, done)),
        }
    }

    #[test]
    fn everything_runs_once_on_any_pool() {
        for workers in [1, 2, 3, 8] {
            for awake in [true, false] {
                let fork = Fork { workers, awake };
                for tasks in [1, 2, 7, 100, 1000] {
                    let done = AtomicUsize::new(0);
                    pool(workers).unwrap().install(|| count(fork, tasks, &done));
                    assert_eq!(done.into_inner(), tasks);
                }
            }
        }
    }

    #[test]
    fn a_panic_on_either_side_comes_back() {
        let fork = Fork { workers: 2, awake: true };
        for side in 0..2 {
            let panicked = crate::train::catch(|| {
                let one = |this| move || assert!(side != this, "side {side}");
                pool(2).unwrap().install(|| fork.join(one(0), one(1)));
            });
            assert!(panicked.is_err());
        }
    }
}
