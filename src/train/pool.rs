//! How many threads, and pools of them, kept from one training run to the next: starting threads costs
//! more than an epoch of a small net.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::config::Threads;
use crate::{Error, Result};

/// Floating-point operations of a step from which a further worker is worth waking.
const FLOPS_PER_WORKER: usize = 1_500_000;

static POOLS: Mutex<Vec<Arc<ThreadPool>>> = Mutex::new(Vec::new());

/// A pool of `threads` workers that nobody else uses now; started where there is none. A worker that
/// waits within one training would otherwise take up all of another, and hold up its own for as long.
pub(crate) fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    let mut pools = POOLS.lock();
    if let Some(pool) = pools
        .iter()
        .find(|pool| pool.current_num_threads() == threads && Arc::strong_count(pool) == 1)
    {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("unisono-{index}"))
        .build()
        .map_err(|error| Error::Threads(error.to_string()))?;
    let pool = Arc::new(pool);
    pools.push(pool.clone());
    Ok(pool)
}

/// The cores that this process might use when it first asked. Asking takes 40 us, longer than a step of a small net.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// How many workers a step of `flops` floating-point operations is worth.
pub(super) fn workers(threads: Threads, flops: usize) -> usize {
    match threads {
        Threads::Exactly(n) => n,
        threads => of_at_most(most(threads), flops),
    }
}

/// The same, of at most so many.
pub(super) fn of_at_most(most: usize, flops: usize) -> usize {
    most.min(flops / FLOPS_PER_WORKER).max(1)
}

/// The most workers that were asked for.
pub(super) fn most(threads: Threads) -> usize {
    match threads {
        Threads::Exactly(n) => n,
        Threads::AtMost(n) => n.min(cores()),
        Threads::Auto => cores(),
    }
}

/// Turns a panic into an error.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| Error::panic("a layer or an observer", panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More threads than any other test's, for pools are given to whoever asks.
    const THREADS: usize = 7;

    #[test]
    fn a_pool_is_nobody_elses_until_it_is_given_back() {
        let (one, other) = (pool(THREADS).unwrap(), pool(THREADS).unwrap());
        assert!(!Arc::ptr_eq(&one, &other));
        let given_back = Arc::as_ptr(&one);
        drop(one);
        assert_eq!(Arc::as_ptr(&pool(THREADS).unwrap()), given_back);
    }
}
