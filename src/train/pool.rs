//! Thread pools, kept from one training run to the next: starting threads costs more than an epoch
//! of a small net.

use std::sync::Arc;

use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

static POOLS: Mutex<Vec<Arc<ThreadPool>>> = Mutex::new(Vec::new());

/// The pool of `threads` workers; started at the first call.
pub(crate) fn pool(threads: usize) -> Result<Arc<ThreadPool>> {
    let mut pools = POOLS.lock();
    if let Some(pool) = pools.iter().find(|pool| pool.current_num_threads() == threads) {
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

/// The cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
