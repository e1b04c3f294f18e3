//! The shards of a batch, in groups whose rows stay in the first cache.

use super::tile::NODES;
use crate::rows::Rows;

/// Most pieces that a shard may be in.
pub(crate) const PIECES: usize = NODES;

/// Most pieces of a group whose rows are near, unless a shard has more. So taken two abreast its shards are four nodes at
/// most.
const NEAR_PIECES: usize = 8;

/// Rows of a group of shards: its part of x and dy stays in the first cache, and its pages in the
/// first translation buffer, while the tiles of a strip pass over it. On 256x784x512 over 4 shards 128 rows ran
/// at 0.90 of the peak, 64 at 0.88 (AVX2: 0.90 and 0.86), over 16 shards at 0.79 and 0.77; 256 did worse
/// (Granite Rapids).
const GROUP_ROWS: usize = 128;

/// The same of long shards that do not stay near anyway: so many pass as fast through a tile, and sums of groups, which
/// wait in the second cache, are not made. 1024x784x512 over 16 shards ran at 0.92 to 0.96 of the peak where in groups
/// of 128 rows, by the tallest tile, it had run at 0.89 to 0.92, 1024x2048x2048 at 0.94 for 0.91 (Zen 4).
const FAR_GROUP_ROWS: usize = 1024;

/// Rows of a shard that lie together: all of them, or one of its pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub x: &'a [f32],
    pub dy: &'a [f32],
    /// One at least.
    pub rows: usize,
    pub start: Start,
}

/// What begins with a piece.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// Nothing: it is the same shard's as the one before.
    Nothing,
    /// The group, with its first shard.
    Group,
    /// A shard. What the one before it has come to is added to so many sums that wait for it.
    Shard(u32),
}

/// Room for the pieces of a group's shards. None where there is none, for a slice would have to be written.
pub(super) type Pieces<'a> = [Option<Piece<'a>>; NODES];

/// All shards of a batch.
pub(super) struct Shards<'a, 'l, F> {
    count: usize,
    /// Pieces of each shard.
    pub pieces: usize,
    piece: F,
    /// The binary logarithm of a group's shards.
    at_once: u32,
    /// Whether groups were joined.
    pub joined: bool,
    /// Rows of the first shard.
    rows: usize,
    /// From one panel to the next, of x and of dy.
    pub apart: (usize, usize),
    swapped: bool,
    /// The pieces of group `held`, which all strips share where there are no others.
    room: &'l mut Pieces<'a>,
    held: Option<usize>,
}

impl<'a, 'l, F: Fn(usize) -> (Rows<'a>, Rows<'a>)> Shards<'a, 'l, F> {
    /// `count` shards in `pieces` pieces each, of which `piece(index)` gives the rows (x, dy).
    #[inline(always)]
    pub fn new((count, pieces): (usize, usize), piece: F, room: &'l mut Pieces<'a>) -> Self {
        assert!((1..=PIECES).contains(&pieces), "a shard in {pieces} pieces");
        let (x, dy) = piece(0);
        let rows = dy.rows + (1..pieces).map(|index| piece(index).1.rows).sum::<usize>();
        Self {
            count,
            pieces,
            piece,
            at_once: (GROUP_ROWS / rows.max(1)).clamp(1, (NEAR_PIECES / pieces).max(1)).ilog2(),
            joined: false,
            rows,
            apart: (x.panel, dy.panel),
            swapped: false,
            room,
            held: None,
        }
    }

    /// Joins groups, for their rows are far. Returns whether that could be.
    pub fn join_groups(&mut self) -> bool {
        let at_once = (FAR_GROUP_ROWS / self.rows.max(1)).clamp(1, NODES / self.pieces).ilog2();
        self.joined = at_once > self.at_once;
        if self.joined {
            (self.at_once, self.held) = (at_once, None);
        }
        self.joined
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        ((self.count - 1) >> self.at_once) + 1
    }

    /// Rows of all shards, as if each had as many as the first.
    pub fn rows(&self) -> usize {
        self.count * self.rows
    }

    /// Whether there are two shards and more.
    pub fn are_several(&self) -> bool {
        self.count > 1
    }

    /// Whether there are groups of two shards and more.
    pub fn are_grouped(&self) -> bool {
        self.at_once > 0 && self.count > 1
    }

    /// Whether each group is one shard or two, of at least so many rows.
    pub fn long(&self, rows: usize) -> bool {
        self.at_once <= 1 && self.rows >= rows
    }

    /// The pieces of the shards of group `index`, in order.
    pub fn group(&mut self, index: usize) -> &[Option<Piece<'a>>] {
        let first = index << self.at_once;
        let last = (first + (1 << self.at_once)).min(self.count);
        let pieces = first * self.pieces..last * self.pieces;
        let count = pieces.len();
        if self.held != Some(index) {
            for (place, index) in pieces.enumerate() {
                let start = match (place / self.pieces, place % self.pieces) {
                    (0, 0) => Start::Group,
                    (shard, 0) => Start::Shard(shard.trailing_zeros()),
                    _ => Start::Nothing,
                };
                self.room[place] = Some(self.piece(index, start));
            }
            self.held = Some(index);
        }
        &self.room[..count]
    }

    /// Exchanges x and dy.
    pub fn swap(&mut self) {
        self.swapped = !self.swapped;
        self.apart = (self.apart.1, self.apart.0);
        for piece in self.room.iter_mut().flatten() {
            (piece.x, piece.dy) = (piece.dy, piece.x);
        }
    }

    #[inline(always)]
    fn piece(&self, index: usize, start: Start) -> Piece<'a> {
        let (x, dy) = (self.piece)(index);
        let (x, dy) = if self.swapped { (dy, x) } else { (x, dy) };
        assert_eq!((x.panel, dy.panel), self.apart, "all blocks of a step have as much room");
        Piece { x: x.data, dy: dy.data, rows: x.rows, start }
    }
}
