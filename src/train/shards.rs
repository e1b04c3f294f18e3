//! How a batch is cut: into shards, which decide the bits, and into blocks of shards, which workers
//! claim and which decide nothing.

use std::ops::Range;

/// Fewest rows of a shard, unless the batch itself is smaller.
const ROWS_PER_SHARD: usize = 16;

/// Most rows of a block. The weights pass by once a block: for wide layers more rows share them, and
/// beyond this number the rows leave the second cache. On one thread the forward pass of
/// 784-2048-2048-10 ran at 0.75, 0.82, 0.85 and 0.82 of the peak with 128, 256, 512 and 1,024 (Zen 5).
const ROWS_PER_BLOCK: usize = 512;

/// Blocks per worker, so that a slow core holds the others up by one block at most.
const BLOCKS_PER_WORKER: usize = 2;

/// Where a shard's rows lie: in which block, and at which of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardPlace {
    pub block: usize,
    pub rows: Range<usize>,
}

/// A batch of some number of rows, cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cut {
    /// Rows of the batch.
    pub rows: usize,
    pub shards: Vec<ShardPlace>,
    /// The batch's rows that each block holds.
    pub blocks: Vec<Range<usize>>,
}

impl Cut {
    /// Cuts `rows` rows into min(`shards`, rows / 16) shards, and these into blocks for `workers`.
    /// It allocates nothing where it was cut as finely before.
    pub fn recut(&mut self, rows: usize, shards: usize, workers: usize) {
        let shards = shards.min(rows / ROWS_PER_SHARD).max(1);
        let start = |s: usize| s * rows / shards;
        let most = ROWS_PER_BLOCK * shards / rows.max(1);
        let per_worker = if workers == 1 { 1 } else { BLOCKS_PER_WORKER };
        let per_block = shards.div_ceil(workers * per_worker).min(most).max(1);
        self.rows = rows;
        self.shards.clear();
        self.blocks.clear();
        for s in 0..shards {
            if s % per_block == 0 {
                self.blocks.push(start(s)..start((s + per_block).min(shards)));
            }
            let block = self.blocks.len() - 1;
            let first = self.blocks[block].start;
            self.shards.push(ShardPlace { block, rows: start(s) - first..start(s + 1) - first });
        }
    }

    /// Rows of the largest block.
    pub fn most_rows(&self) -> usize {
        self.blocks.iter().map(Range::len).max().unwrap_or(0)
    }
}

/// Rows of each block into which a batch of `rows` rows is cut for `workers` workers.
pub fn block_rows(rows: usize, shards: usize, workers: usize) -> Vec<usize> {
    let mut cut = Cut::default();
    cut.recut(rows, shards, workers);
    cut.blocks.iter().map(Range::len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(rows: usize, shards: usize, workers: usize) -> Cut {
        let mut cut = Cut::default();
        cut.recut(rows, shards, workers);
        cut
    }

    #[test]
    fn the_rows_and_the_configured_number_decide_the_shards() {
        for (rows, shards, expected) in
            [(256, 16, 16), (24, 16, 1), (5, 16, 1), (47, 16, 2), (100, 4, 4), (1, 1, 1)]
        {
            for workers in [1, 2, 3, 7, 64] {
                assert_eq!(cut(rows, shards, workers).shards.len(), expected);
            }
        }
    }

    #[test]
    fn every_row_lies_in_one_shard_and_block_in_order() {
        for rows in [1, 15, 16, 33, 100, 1000, 5000] {
            for workers in [1, 2, 3, 16] {
                let cut = cut(rows, 13, workers);
                let mut next = 0;
                for shard in &cut.shards {
                    let first = cut.blocks[shard.block].start;
                    assert_eq!(first + shard.rows.start, next);
                    next = first + shard.rows.end;
                    assert!(next <= cut.blocks[shard.block].end);
                }
                assert_eq!(next, rows);
                let joined: Vec<usize> = cut.blocks.iter().flat_map(Clone::clone).collect();
                assert_eq!(joined, (0..rows).collect::<Vec<_>>());
            }
        }
    }
}
