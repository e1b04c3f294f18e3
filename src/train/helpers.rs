//! Work of a thread outside of the pool that the pool's workers join as they wake up.
//!
//! A program that works for itself between two steps finds the workers asleep. Handed over to them, a step waits
//! until two threads are awake, which in their first milliseconds the system may run on one core: the other was busy
//! when it chose. Here the thread that is awake begins by itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::{Scope, ThreadPool};

use super::fork::AWAKE;
use super::pool::cores;

/// From which end to claim: parts that follow each other stay in one core's caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Front,
    Back,
}

/// Who shares work: the workers of a pool, of whom the calling thread takes the place of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Helpers<'p> {
    pub pool: &'p ThreadPool,
    pub workers: usize,
}

impl Helpers<'_> {
    /// The same, but no more of them than there are parts to share.
    pub fn at_most(self, parts: usize) -> Self {
        Self { workers: self.workers.min(parts).max(1), ..self }
    }

    /// Calls `work` on this thread, which claims from the front, and on the others as they come, which claim from the
    /// back; returns when all have returned. Each allocates a few bytes.
    pub fn share(self, work: impl Fn(End) + Sync) {
        let others = self.workers - 1;
        if others == 0 {
            return work(End::Front);
        }
        let left = AtomicUsize::new(others);
        let other = || {
            work(End::Back);
            left.fetch_sub(1, Ordering::Release);
        };
        self.pool.in_place_scope(|scope| {
            call(scope, others, &other);
            work(End::Front);
            if self.workers <= cores() {
                look_out(&left);
            }
        });
    }
}

/// Calls `other` on so many workers, of which each calls a part of the rest.
fn call<'s>(scope: &Scope<'s>, others: usize, other: &'s (impl Fn() + Sync)) {
    if others > 0 {
        scope.spawn(move |scope| {
            let rest = others - 1;
            call(scope, rest / 2, other);
            call(scope, rest - rest / 2, other);
            other();
        });
    }
}

/// Returns when nobody is left, or after a while: to sleep and to be woken takes longer than most last parts.
fn look_out(left: &AtomicUsize) {
    let since = Instant::now();
    while left.load(Ordering::Acquire) > 0 && since.elapsed() < AWAKE {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::train::catch;
    use crate::train::pool::pool;

    #[test]
    fn everything_is_claimed_once_by_as_many_as_there_are() {
        for workers in [1, 2, 3, 8] {
            let pool = pool(workers).unwrap();
            let (parts, calls) = (Mutex::new(0..100), AtomicUsize::new(0));
            let done = Mutex::new(vec![]);
            Helpers { pool: &pool, workers }.share(|end| {
                calls.fetch_add(1, Ordering::Relaxed);
                let next = || match end {
                    End::Front => parts.lock().next(),
                    End::Back => parts.lock().next_back(),
                };
                while let Some(part) = next() {
                    done.lock().push(part);
                }
            });
            let mut done = done.into_inner();
            done.sort_unstable();
            assert!(done.into_iter().eq(0..100));
            assert_eq!(calls.into_inner(), workers);
        }
    }

    #[test]
    fn nobody_is_called_for_a_part_alone() {
        let pool = pool(2).unwrap();
        let ends = Mutex::new(vec![]);
        for parts in [0, 1] {
            Helpers { pool: &pool, workers: 2 }.at_most(parts).share(|end| ends.lock().push(end));
        }
        assert_eq!(ends.into_inner(), [End::Front, End::Front]);
    }

    #[test]
    fn this_thread_is_one_of_them() {
        let pool = pool(2).unwrap();
        let ends = Mutex::new(vec![]);
        Helpers { pool: &pool, workers: 2 }
            .share(|end| ends.lock().push((end, rayon::current_thread_index().is_none())));
        let mut ends = ends.into_inner();
        ends.sort_by_key(|(end, _)| *end == End::Back);
        assert_eq!(ends, [(End::Front, true), (End::Back, false)]);
    }

    #[test]
    fn a_panic_at_either_end_comes_back() {
        for panicking in [End::Front, End::Back] {
            let panicked = catch(|| {
                let pool = pool(2).unwrap();
                Helpers { pool: &pool, workers: 2 }.share(|end| assert!(end != panicking));
            });
            assert!(panicked.is_err());
        }
    }
}
