//! Rows in chunks, which all cores claim.

use rayon::prelude::*;

use crate::Result;
use crate::train::pool::{cores, pool};
use crate::train::{Block, Helpers, catch, must_not_wait};

/// Most rows of a chunk, a multiple of 6 and of 12. Sums over a set of rows go by chunks of as many.
pub(super) const CHUNK: usize = 192;

/// What the rows of a chunk are a multiple of, and how many chunks there are for each worker at least.
const UNIT: usize = 48;
const PER_WORKER: usize = 2;

/// Floating-point operations from which a further worker is worth waking. With 8-64-64-4 after 3 ms of other work two
/// threads took 55 to 73 us for 256 rows, 2.4 million, and one 41 to 44; 97 and 118 for 800 rows (Zen 4).
const FLOPS_PER_WORKER: usize = 3_000_000;

/// How many workers `flops` floating-point operations are worth.
pub(super) fn worth(flops: usize) -> usize {
    cores().min(flops / FLOPS_PER_WORKER).max(1)
}

/// Rows of a chunk where no sum depends on it: a few rows are cut so that every worker has some.
pub(super) fn height(rows: usize, workers: usize) -> usize {
    match workers {
        1 => CHUNK,
        workers => rows.div_ceil(workers * PER_WORKER).next_multiple_of(UNIT).clamp(UNIT, CHUNK),
    }
}

/// Who runs chunks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workers {
    pub count: usize,
    /// Whether a caller who is in a pool leaves it if it has fewer.
    pub leaves: bool,
}

/// Calls `run` with each chunk and with room that is a worker's own: in the pool that the caller is in and does not
/// leave, else on the caller's thread and on a pool's workers, which join in as they wake up. For an observer in a pool
/// of the user's it is all done on the caller's thread. A panic in a user's layer comes back as an error.
pub(super) fn each_chunk<I>(
    chunks: I,
    workers: Workers,
    run: impl Fn(&mut Block, I::Item) + Sync + Send,
) -> Result<()>
where
    I: DoubleEndedIterator + ExactSizeIterator + Send,
    I::Item: Send,
{
    if workers.count.min(chunks.len()) < 2 || must_not_wait() {
        let mut block = Block::default();
        return catch(|| chunks.for_each(|chunk| run(&mut block, chunk)));
    }
    if stays(workers) {
        return catch(|| chunks.par_bridge().for_each_init(Block::default, run));
    }
    let helpers = Helpers { pool: pool(workers.count)?, workers: workers.count };
    catch(|| helpers.each(chunks, Block::default, run))
}

/// Whether the caller is in a pool that is to be used.
fn stays(workers: Workers) -> bool {
    let here = rayon::current_thread_index().map(|_| rayon::current_num_threads());
    here.is_some_and(|here| !workers.leaves || here >= workers.count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn only_who_asks_for_it_leaves_a_pool_with_fewer_workers() {
        let stays =
            |leaves, count| pool(2).unwrap().install(|| super::stays(Workers { count, leaves }));
        assert_eq!([1, 2, 5].map(|count| stays(false, count)), [true; 3]);
        assert_eq!([1, 2, 5].map(|count| stays(true, count)), [true, true, false]);
        assert!(!super::stays(Workers { count: 1, leaves: false }), "there is no pool here");
    }

    #[test]
    fn every_chunk_is_run_once_wherever_the_caller_is() {
        for count in [1, 2, 5] {
            for leaves in [false, true] {
                let run = || {
                    let seen = Mutex::new(vec![]);
                    let run = |_: &mut Block, chunk| seen.lock().push(chunk);
                    each_chunk(0..100, Workers { count, leaves }, run).unwrap();
                    let seen = seen.into_inner();
                    assert_eq!(seen.len(), 100);
                    assert!(seen.into_iter().collect::<BTreeSet<_>>().into_iter().eq(0..100));
                };
                run();
                pool(2).unwrap().install(run);
            }
        }
    }

    #[test]
    fn few_rows_are_cut_for_all_workers() {
        assert_eq!([height(5, 1), height(0, 2)], [CHUNK, UNIT]);
        assert_eq!([1, 192, 576, 10_000].map(|rows| height(rows, 2)), [48, 48, 144, CHUNK]);
        assert_eq!(height(10_000, 64), 96);
        assert!(CHUNK.is_multiple_of(UNIT));
    }
}
