//! The shards of a batch, in groups whose rows stay in the first cache.

use super::tile::NODES;
use crate::rows::Rows;

/// Rows of a group of shards: its part of x and dy stays in the first cache, and its pages in the
/// first translation buffer, while the tiles of a strip pass over it. On 256x784x512 over 16 shards
/// 64 rows did 0.02 to 0.03 of the peak better than 128 while they lay in rows (Zen 5, AVX-512); in panels
/// 128 did as well or 0.02 better, and 256 did worse (Granite Rapids).
const GROUP_ROWS: usize = 64;

/// A shard's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub x: &'a [f32],
    pub dy: &'a [f32],
    pub rows: usize,
}

/// Room for the shards of a group. None where there is no shard, for a slice would have to be written.
pub(super) type Leaves<'a> = [Option<Leaf<'a>>; NODES];

/// All shards of a batch.
pub(super) struct Shards<'a, 'l, F> {
    count: usize,
    shard: F,
    /// The binary logarithm of a group's shards.
    at_once: u32,
    /// Rows of the first shard.
    rows: usize,
    /// From one panel to the next, of x and of dy.
    pub apart: (usize, usize),
    swapped: bool,
    /// The shards of group `held`, which all strips share where there are no others.
    leaves: &'l mut Leaves<'a>,
    held: Option<usize>,
}

impl<'a, 'l, F: Fn(usize) -> (Rows<'a>, Rows<'a>)> Shards<'a, 'l, F> {
    /// `count` shards, of which `shard(s)` gives the rows (x, dy).
    #[inline(always)]
    pub fn new(count: usize, shard: F, leaves: &'l mut Leaves<'a>) -> Self {
        let (x, dy) = shard(0);
        Self {
            count,
            shard,
            at_once: (GROUP_ROWS / dy.rows.max(1)).clamp(1, NODES).ilog2(),
            rows: dy.rows,
            apart: (x.panel, dy.panel),
            swapped: false,
            leaves,
            held: None,
        }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        ((self.count - 1) >> self.at_once) + 1
    }

    /// Whether each group is one shard of at least so many rows.
    pub fn long(&self, rows: usize) -> bool {
        self.at_once == 0 && self.rows >= rows
    }

    /// The shards of group `index`.
    pub fn group(&mut self, index: usize) -> &[Option<Leaf<'a>>] {
        let first = index << self.at_once;
        let shards = first..(first + (1 << self.at_once)).min(self.count);
        let count = shards.len();
        if self.held != Some(index) {
            for (place, s) in shards.enumerate() {
                self.leaves[place] = Some(self.leaf(s));
            }
            self.held = Some(index);
        }
        &self.leaves[..count]
    }

    /// Exchanges x and dy.
    pub fn swap(&mut self) {
        self.swapped = !self.swapped;
        self.apart = (self.apart.1, self.apart.0);
        for leaf in self.leaves.iter_mut().flatten() {
            (leaf.x, leaf.dy) = (leaf.dy, leaf.x);
        }
    }

    #[inline(always)]
    fn leaf(&self, s: usize) -> Leaf<'a> {
        let (x, dy) = (self.shard)(s);
        let (x, dy) = if self.swapped { (dy, x) } else { (x, dy) };
        assert_eq!((x.panel, dy.panel), self.apart, "all blocks of a step have as much room");
        Leaf { x: x.data, dy: dy.data, rows: x.rows }
    }
}
