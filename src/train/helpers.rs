//! Work of a thread outside of the pool that the pool's workers join as they wake up.
//!
//! A program that works for itself between two steps finds the workers asleep. Handed over to them, a step waits
//! until two threads are awake, which in their first milliseconds the system may run on one core: the other was busy
//! when it chose. Here the thread that is awake begins by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rayon::{Scope, ThreadPool};

use super::fork::AWAKE;
use super::pool::cores;

/// Looks at the others between two offers of the core: one of them may have been woken on it.
const LOOKS: usize = 64;

/// From which end to claim: parts that follow each other stay in one core's caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

/// Who shares work: the workers of a pool, of whom the calling thread takes the place of one.
#[derive(Debug, Clone)]
pub(crate) struct Helpers {
    pub pool: Arc<ThreadPool>,
    pub workers: usize,
}

impl Helpers {
    /// Calls `f` with each item, and with what `own` makes for each worker, who claim the items one by one.
    pub fn each<I, T>(
        &self,
        items: I,
        own: impl Fn() -> T + Sync,
        f: impl Fn(&mut T, I::Item) + Sync,
    ) where
        I: DoubleEndedIterator + ExactSizeIterator + Send,
        I::Item: Send,
    {
        let (parts, unclaimed) = (items.len(), Mutex::new(items));
        self.share(parts, |end| {
            let mut own = own();
            let claim = || match end {
                End::Front => unclaimed.lock().next(),
                End::Back => unclaimed.lock().next_back(),
            };
            while let Some(item) = claim() {
                f(&mut own, item);
            }
        });
    }

    /// Calls `work`, which claims some of so many parts, on this thread from the front and on the others, as they
    /// come, from the back; returns when all have returned. Each of the others allocates a few bytes.
    pub(super) fn share(&self, parts: usize, work: impl Fn(End) + Sync) {
        let others = self.workers.min(parts).saturating_sub(1);
        if others == 0 {
            return work(End::Front);
        }
        let left = AtomicUsize::new(others);
        let other = || {
            let _leave = Leave(&left);
            work(End::Back);
        };
        self.pool.in_place_scope(|scope| {
            call(scope, others, &other);
            work(End::Front);
            if others < cores() {
                look_out(&left);
            }
        });
    }
}

/// Counts one less when it goes, also by a panic.
struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
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
    while since.elapsed() < AWAKE {
        for _ in 0..LOOKS {
            if left.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::catch;
    use crate::train::pool::pool;

    fn helpers(workers: usize) -> Helpers {
        Helpers { pool: pool(workers).unwrap(), workers }
    }

    #[test]
    fn everything_is_claimed_once_by_as_many_as_there_are() {
        for workers in [1, 2, 3, 8] {
            let (owners, done) = (AtomicUsize::new(0), Mutex::new(vec![]));
            let own = || owners.fetch_add(1, Ordering::Relaxed);
            helpers(workers).each(0..100, own, |_, item| done.lock().push(item));
            let mut done = done.into_inner();
            done.sort_unstable();
            assert!(done.into_iter().eq(0..100));
            assert_eq!(owners.into_inner(), workers);
        }
    }

    #[test]
    fn nobody_is_called_for_a_part_alone() {
        let ends = Mutex::new(vec![]);
        for parts in [0, 1] {
            helpers(2).share(parts, |end| ends.lock().push(end));
        }
        assert_eq!(ends.into_inner(), [End::Front, End::Front]);
    }

    #[test]
    fn this_thread_is_one_of_them() {
        let ends = Mutex::new(vec![]);
        helpers(2).share(2, |end| ends.lock().push((end, rayon::current_thread_index().is_none())));
        let mut ends = ends.into_inner();
        ends.sort_by_key(|(end, _)| *end == End::Back);
        assert_eq!(ends, [(End::Front, true), (End::Back, false)]);
    }

    #[test]
    fn a_panic_at_either_end_comes_back() {
        for panicking in [End::Front, End::Back] {
            assert!(catch(|| helpers(2).share(2, |end| assert!(end != panicking))).is_err());
        }
    }
}
