//! How a batch's shards, which decide the bits, lie in blocks of rows, which workers claim and which decide nothing.

use std::ops::Range;

use super::shards::{FEWEST_ROWS, shards_of};
use crate::simd::product::Begin;
use crate::simd::weight_grad::PIECES;

/// Most rows of a block. A product goes through its rows slab by slab, so larger blocks spare no pass over the weights,
/// but their rows leave the second cache between two layers. On one thread, beside 512 in the same process,
/// 784-2048-2048-10 trained 1.00 to 1.03 times as fast with 256 and 1.01 to 1.03 with 128, 54-256-256-256-7 1.00 and
/// 0.987 (Emerald Rapids, medians of up to eight runs in both orders).
const ROWS_PER_BLOCK: usize = 256;

/// Blocks of a worker, fewest and most: a slow core holds the others up by one block at most, and on a shared machine
/// every core is slow now and then. There are more than the fewest only where they have as many rows as this. Four
/// blocks instead of two, two threads, some steps of both in turns in one process, medians on a busy Zen 3: of 128 rows
/// 784-128-10 1.03, 54-256-256-256-7 1.03 (twice), 784-512-512-10 1.03, 784-2048-2048-10 1.02 and 1.03 and
/// 64-128-128-10 1.00; of 64 rows 0.99, 1.00 (0.993 to 0.996), 1.005; of 256 rows the second net 0.99. On Zen 4
/// 784-2048-2048-10 1.016 and 54-256-256-256-7 1.002. Where workers turn out even (`step/balance.rs`) one is the
/// fewest, and two workers share by their speeds: 784-128-10, whose blocks have 64 rows then instead of 32, trained
/// 1.012 times as fast, 1.02 to 1.03 at moments when weights take long from one core to the other, and 1.011 beside
/// another program in an endless loop (Zen 4).
const BLOCKS_PER_WORKER: (usize, usize) = (2, 4);
const ROWS_OF_MORE: usize = 128;

/// Most rows of a batch that two even workers share in two blocks, each as many rows as it makes in the same time.
/// Beside two equal blocks 784-128-10 trained 1.00 to 1.07 times as fast and 784-512-512-10 1.00 to 1.03, beside four
/// 54-256-256-256-7 1.00 to 1.05, and 784-2048-2048-10 with 1,024 rows 0.90 to 0.97 beside eight (a busy Emerald
/// Rapids, whose cores are slow in turns).
const ROWS_IN_TWO: usize = 512;

/// Parts of a batch, in which it is said how many of them one of two workers takes: fewest, half, most and all.
pub const LEAST: usize = 12;
pub const HALF: usize = 16;
pub const MOST: usize = PARTS - LEAST;
pub const PARTS: usize = 2 * HALF;

/// Places at which each of `shards` shards of `rows` rows may be cut, its end included: with half of the batch among
/// them, where there are several.
fn places(rows: usize, shards: usize) -> usize {
    match (rows / FEWEST_ROWS).max(1) {
        odd @ 3.. if odd % 2 == 1 && shards % 2 == 1 => odd - 1,
        places => places,
    }
}

/// The first of a batch's rows that a member of a team takes, of which each takes as many shards.
pub fn first_row(rows: usize, (member, members): (usize, usize)) -> usize {
    member * rows / members
}

/// Rows of a shard that lie together in one block: in which, and at which of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub block: usize,
    pub rows: Range<usize>,
}

/// How to cut batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cutting {
    /// Shards, where they are configured.
    pub shards: Option<usize>,
    /// Parameters of the net.
    pub params: usize,
    pub workers: usize,
    /// Whether the workers are about as fast as each other, so that one block may be enough for each.
    pub even: bool,
    /// Parts of the batch, of [`PARTS`], for the worker that calls, where it and one other share by their speeds.
    pub callers: Option<usize>,
    /// Whether a shard may lie in several blocks.
    pub divide: bool,
}

impl Cutting {
    /// Number of shards of a batch of `rows` rows.
    pub fn shards_of(&self, rows: usize) -> usize {
        shards_of(rows, self.params, self.shards, self.divide)
    }
}

/// A batch of some number of rows, cut. Blocks hold whole shards, or shards whole blocks; of two for workers that share
/// by their speeds each may hold a part of one shard besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cut {
    /// Rows of the batch.
    pub rows: usize,
    pub shards: usize,
    /// As many of each shard, in order.
    pub pieces: Vec<Piece>,
    /// The batch's rows that each block holds.
    pub blocks: Vec<Range<usize>>,
}

impl Cut {
    /// Cuts `rows` rows. It allocates nothing where it was cut as finely before.
    pub fn recut(&mut self, rows: usize, how: Cutting) {
        let shards = how.shards_of(rows);
        if let Some(callers) = how.callers.filter(|_| how.divide && rows <= ROWS_IN_TWO) {
            let places = places(rows / shards, shards);
            if shards * places > 1 {
                return self.in_two(rows, (shards, places), callers);
            }
        }
        let wanted = if how.workers == 1 {
            1
        } else {
            let (fewest, most) = BLOCKS_PER_WORKER;
            let fewest = if how.even { 1 } else { fewest };
            (rows / ROWS_OF_MORE).clamp(fewest * how.workers, most * how.workers)
        };
        let wanted = wanted.min(rows / FEWEST_ROWS);
        let wanted = wanted.max(rows.div_ceil(ROWS_PER_BLOCK)).max(1);
        let most = if how.divide { PIECES.min(rows / shards / FEWEST_ROWS).max(1) } else { 1 };
        let per_shard = wanted.div_ceil(shards).min(most);
        let per_block = if per_shard > 1 { 1 } else { shards.div_ceil(wanted) };
        let pieces = shards * per_shard;
        let start = |piece: usize| piece * rows / pieces;
        (self.rows, self.shards) = (rows, shards);
        self.pieces.clear();
        self.blocks.clear();
        for piece in 0..pieces {
            if piece % per_block == 0 {
                self.blocks.push(start(piece)..start((piece + per_block).min(pieces)));
            }
            let block = self.blocks.len() - 1;
            let first = self.blocks[block].start;
            self.pieces.push(Piece { block, rows: start(piece) - first..start(piece + 1) - first });
        }
    }

    /// Cuts `rows` rows in two, the first block for the worker that calls, at one of so many places in a shard. All
    /// shards are divided there, for the gradient takes some of them abreast.
    fn in_two(&mut self, rows: usize, (shards, places): (usize, usize), callers: usize) {
        let cuts = shards * places;
        // What lies between two places goes to the one nearer to the middle.
        let up = PARTS / 2 - usize::from(callers > HALF);
        let cut = ((callers * cuts + up) / PARTS).clamp(1, cuts - 1);
        let (inside, cut) = (cut % places, cut * rows / cuts);
        (self.rows, self.shards) = (rows, shards);
        self.blocks.clear();
        self.blocks.extend([0..cut, cut..rows]);
        self.pieces.clear();
        self.pieces.reserve(2 * shards);
        for shard in 0..shards {
            let (start, end) = (shard * rows / shards, (shard + 1) * rows / shards);
            let middle = if (start..end).contains(&cut) {
                cut
            } else {
                start + (end - start) * inside / places
            };
            for piece in [start..middle, middle..end].into_iter().filter(|piece| !piece.is_empty())
            {
                let block = usize::from(piece.start >= cut);
                let first = self.blocks[block].start;
                self.pieces.push(Piece { block, rows: piece.start - first..piece.end - first });
            }
        }
    }

    /// What each member of a team takes: as many shards, which lie together in the tree, in one block. And which
    /// of the batch's rows these are.
    pub fn of_member(
        rows: usize,
        shards: usize,
        (member, members): (usize, usize),
    ) -> (Range<usize>, Self) {
        let each = shards / members;
        let start = |shard: usize| (member * each + shard) * rows / shards;
        let pieces = (0..each).map(|shard| Piece {
            block: 0,
            rows: start(shard) - start(0)..start(shard + 1) - start(0),
        });
        let taken = first_row(rows, (member, members))..first_row(rows, (member + 1, members));
        let blocks = std::iter::once(0..taken.len()).collect();
        let cut = Self { rows: taken.len(), shards: each, pieces: pieces.collect(), blocks };
        (taken, cut)
    }

    /// Where among the panels of weights a block begins: as far along as its rows lie in the batch, so that workers are apart.
    pub fn begin_of(&self, block: usize) -> Begin {
        Begin::after(self.blocks[block].start, self.rows)
    }

    /// Pieces of each shard.
    pub fn per_shard(&self) -> usize {
        self.pieces.len() / self.shards
    }

    /// Rows of the largest block.
    pub fn most_rows(&self) -> usize {
        self.blocks.iter().map(Range::len).max().unwrap_or(0)
    }
}

/// Rows of each block into which a batch of `rows` rows of a net with `params` parameters is cut for `workers`
/// workers.
pub fn block_rows(rows: usize, params: usize, workers: usize) -> Vec<usize> {
    let mut cut = Cut::default();
    let how = Cutting { shards: None, params, workers, even: false, callers: None, divide: true };
    cut.recut(rows, how);
    cut.blocks.iter().map(Range::len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::shards::SMALL;

    const LARGE: usize = SMALL + 1;

    fn cut(rows: usize, shards: Option<usize>, workers: usize, divide: bool) -> Cut {
        let mut cut = Cut::default();
        let how = Cutting { shards, params: LARGE, workers, even: false, callers: None, divide };
        cut.recut(rows, how);
        cut
    }

    /// For even workers, of whom one of two takes so many parts.
    fn even(rows: usize, shards: Option<usize>, workers: usize, callers: Option<usize>) -> Cut {
        let mut cut = Cut::default();
        let how = Cutting { shards, params: LARGE, workers, even: true, callers, divide: true };
        cut.recut(rows, how);
        cut
    }

    fn lengths(cut: &Cut) -> Vec<usize> {
        cut.blocks.iter().map(Range::len).collect()
    }

    #[test]
    fn the_rows_and_the_configured_number_decide_the_shards() {
        let configured =
            [(256, 16, 16), (24, 16, 1), (5, 16, 1), (47, 16, 2), (100, 4, 4), (1, 1, 1)];
        let configured = configured.map(|(rows, shards, expected)| (rows, Some(shards), expected));
        let free = [(1, 1), (255, 1), (256, 2), (1000, 7), (5000, 16)];
        let whole = [(1, 1), (127, 1), (128, 2), (256, 4), (1000, 15), (5000, 16)];
        for workers in [1, 2, 3, 7, 64] {
            for (divide, free) in [(true, &free[..]), (false, &whole)] {
                let free = free.iter().map(|&(rows, expected)| (rows, None, expected));
                for (rows, shards, expected) in configured.into_iter().chain(free) {
                    assert_eq!(cut(rows, shards, workers, divide).shards, expected);
                }
            }
        }
    }

    #[test]
    fn every_row_lies_in_one_piece_and_block_in_order() {
        for rows in [1, 15, 16, 33, 100, 1000, 5000] {
            for workers in [1, 2, 3, 16] {
                let ways = [(None, true), (Some(13), true), (Some(2), false)];
                let cuts = ways.map(|(shards, divide)| cut(rows, shards, workers, divide));
                let two = [0, LEAST, 15, HALF, MOST, PARTS].into_iter().flat_map(|callers| {
                    let cut = |shards| even(rows, shards, workers, Some(callers));
                    [None, Some(3), Some(13)].map(cut)
                });
                for cut in cuts.into_iter().chain(two) {
                    let mut next = 0;
                    for piece in &cut.pieces {
                        let first = cut.blocks[piece.block].start;
                        assert_eq!(first + piece.rows.start, next);
                        assert!(!piece.rows.is_empty() && cut.pieces.len() <= PIECES * cut.shards);
                        next = first + piece.rows.end;
                        assert!(next <= cut.blocks[piece.block].end);
                    }
                    assert_eq!(next, rows);
                    let joined: Vec<usize> = cut.blocks.iter().flat_map(Clone::clone).collect();
                    assert_eq!(joined, (0..rows).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn shards_are_the_same_rows_however_many_workers_there_are() {
        for (rows, shards) in [(100, Some(3)), (256, None), (1000, None), (5000, Some(7))] {
            let ends = |cut: &Cut| -> Vec<usize> {
                let pieces = cut.pieces.chunks(cut.per_shard()).map(|pieces| {
                    let last = &pieces[pieces.len() - 1];
                    cut.blocks[last.block].start + last.rows.end
                });
                pieces.collect()
            };
            for divide in [true, false] {
                let alone = ends(&cut(rows, shards, 1, divide));
                for workers in [2, 3, 8, 64] {
                    let found = ends(&cut(rows, shards, workers, divide));
                    assert_eq!(found, alone, "{rows} rows, {workers} workers");
                }
            }
            let alone = ends(&cut(rows, shards, 1, true));
            for callers in LEAST..=MOST {
                let found = ends(&even(rows, shards, 2, Some(callers)));
                assert_eq!(found, alone, "{rows} rows in two");
            }
        }
    }

    #[test]
    fn members_of_a_team_take_the_same_shards_that_one_worker_has() {
        for (rows, shards) in [(64, 2), (67, 2), (300, 4), (1001, 8)] {
            let alone = cut(rows, Some(shards), 1, false);
            for members in [2, 4, 8].into_iter().filter(|&members| members <= shards) {
                let cuts =
                    (0..members).map(|member| Cut::of_member(rows, shards, (member, members)));
                let pieces = cuts.flat_map(|(taken, cut)| {
                    assert_eq!((cut.rows, cut.shards), (taken.len(), shards / members));
                    cut.pieces.into_iter().map(move |Piece { block, rows }| {
                        assert_eq!(block, 0);
                        rows.start + taken.start..rows.end + taken.start
                    })
                });
                let expected = alone.pieces.iter().map(|piece| {
                    let first = alone.blocks[piece.block].start;
                    piece.rows.start + first..piece.rows.end + first
                });
                assert_eq!(pieces.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn workers_have_more_blocks_where_these_stay_large() {
        for (rows, workers, expected) in [
            (64, 2, 4),
            (512, 2, 4),
            (768, 2, 6),
            (1024, 2, 8),
            (2048, 2, 8),
            (2048, 4, 16),
            (512, 1, 2),
        ] {
            assert_eq!(cut(rows, None, workers, true).blocks.len(), expected, "{rows} rows");
        }
    }

    #[test]
    fn more_workers_than_shards_have_a_block_each() {
        for (rows, workers, expected) in
            [(192, 12, 12), (160, 10, 10), (320, 10, 20), (250, 64, 15)]
        {
            assert_eq!(cut(rows, None, workers, true).blocks.len(), expected, "{rows} rows");
        }
    }

    #[test]
    fn even_workers_have_one_block_each_where_that_is_not_large() {
        let blocks = |rows, workers| even(rows, None, workers, None).blocks.len();
        assert_eq!([blocks(16, 2), blocks(64, 2), blocks(128, 2), blocks(256, 2)], [1, 2, 2, 2]);
        assert_eq!([blocks(512, 2), blocks(1024, 2), blocks(512, 1)], [4, 8, 2]);
        assert_eq!([blocks(128, 8), blocks(256, 8), blocks(1024, 8)], [8, 8, 8]);
    }

    #[test]
    fn the_faster_of_two_workers_has_more_rows_of_the_same_shards() {
        for (rows, callers, expected, per_shard) in [
            (256, HALF, [128, 128], 1),
            (250, HALF, [125, 125], 2),
            (50, HALF, [25, 25], 2),
            (256, 18, [144, 112], 2),
            (256, MOST, [160, 96], 2),
            (512, MOST, [320, 192], 2),
            (512, 17, [272, 240], 2),
            (128, LEAST, [48, 80], 2),
            (100, LEAST, [33, 67], 2),
            (32, LEAST, [16, 16], 2),
        ] {
            let cut = even(rows, None, 2, Some(callers));
            assert_eq!((lengths(&cut), cut.per_shard()), (expected.to_vec(), per_shard), "{rows}");
        }
        let others = [even(31, None, 2, Some(MOST)), even(1024, None, 2, Some(MOST))];
        assert_eq!(others.map(|cut| cut.blocks.len()), [1, 8]);
    }

    #[test]
    fn blocks_that_are_made_side_by_side_begin_apart() {
        let begins = |cut: Cut| -> Vec<Begin> {
            (0..cut.blocks.len()).map(|block| cut.begin_of(block)).collect()
        };
        let of = |part| Begin::after(part, 256);
        assert_eq!(begins(even(256, None, 2, Some(HALF))), [of(0), of(128)]);
        assert_eq!(begins(even(256, None, 2, Some(18))), [of(0), of(144)]);
        assert_eq!(begins(cut(256, None, 2, true)), [of(0), of(64), of(128), of(192)]);
    }

    #[test]
    fn it_is_the_same_for_two_workers_whichever_calls() {
        for rows in [50, 64, 80, 100, 128, 150, 250, 256, 300, 512] {
            for callers in LEAST..=MOST {
                let [one, other] = [callers, PARTS - callers]
                    .map(|callers| lengths(&even(rows, None, 2, Some(callers))));
                let apart = one[0].abs_diff(other[1]);
                assert!(apart <= 1, "{rows} rows, {callers} parts: {one:?} and {other:?}");
                assert!(
                    callers <= HALF || one[0] >= one[1],
                    "{rows} rows, {callers} parts: {one:?}"
                );
            }
        }
    }

    #[test]
    fn two_workers_shares_change_without_an_allocation() {
        for rows in [128, 256, 512] {
            let mut cut = even(rows, None, 2, Some(HALF));
            let room = cut.pieces.capacity();
            for callers in LEAST..=MOST {
                let how = Cutting {
                    shards: None,
                    params: LARGE,
                    workers: 2,
                    even: true,
                    callers: Some(callers),
                    divide: true,
                };
                cut.recut(rows, how);
                assert_eq!(cut.pieces.capacity(), room, "{rows} rows, {callers} parts");
            }
        }
    }

    #[test]
    fn workers_beyond_the_shards_have_blocks_unless_shards_are_whole() {
        assert_eq!(cut(256, None, 8, true).blocks.len(), 16);
        assert_eq!(cut(256, None, 8, false).blocks.len(), 4);
        assert_eq!(cut(256, Some(16), 1, true).blocks.len(), 1);
        assert_eq!(cut(4096, None, 64, true).blocks.len(), 128);
    }
}
