//! Asking for memory ahead of its use, where the processor has an instruction for it.

use crate::rows::LANES;

/// The second cache, for processors that let a program choose.
const SECOND: i32 = 1;

/// Asks for the cache line of a value to be brought into the second cache; changes nothing else.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    // The same instruction, whose address the compiler makes part of it: `branches` computes it before.
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t1(value);
    #[cfg(not(target_arch = "x86_64"))]
    branches::prefetch_read_data::<_, SECOND>(value);
}

/// The same for a value that other cores hold and this one will write: they give up their copies meanwhile, and
/// the first write need not wait for it. On two threads 784-512-512-10 trained 1.13 times as fast by it and
/// 54-256-256-256-7 1.065 times (Granite Rapids).
#[inline(always)]
fn prefetch_to_write<T>(value: &T) {
    branches::prefetch_write_data::<_, SECOND>(value);
}

/// Two cache lines of values, which are asked for together.
pub(crate) type Pair = [f32; 2 * LANES];

/// Asks for both lines.
#[inline(always)]
pub(crate) fn prefetch_pair(pair: &Pair) {
    prefetch(&pair[0]);
    prefetch(&pair[LANES]);
}

/// Pairs of lines that are asked for in the course of a loop, some a turn: a core waits for some 16 lines
/// at once, and a burst of more holds up what it loads itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace<'a> {
    pairs: &'a [Pair],
    at_once: usize,
    /// Whether other cores hold them, and they will be written.
    to_write: bool,
}

impl<'a> Pace<'a> {
    /// Pairs that will be read, so many in a turn.
    #[inline(always)]
    pub fn reading(pairs: &'a [Pair], at_once: usize) -> Self {
        Self { pairs, at_once, to_write: false }
    }

    /// The pairs of the next turn.
    #[inline(always)]
    pub fn take(&mut self) -> &'a [Pair] {
        let (now, later) = self.pairs.split_at(self.at_once.min(self.pairs.len()));
        self.pairs = later;
        now
    }

    /// Asks for those of the next turn.
    #[inline(always)]
    pub fn ask(&mut self) {
        let pairs = self.take();
        if self.to_write {
            pairs.as_flattened().iter().step_by(LANES).for_each(prefetch_to_write);
        } else {
            pairs.iter().for_each(prefetch_pair);
        }
    }
}

/// Rows whose pages are looked up together: a request waits for its page, and holds up what follows.
const AT_ONCE: usize = 16;

/// Floats from which data are not in the second cache when they are wanted again.
const FAR: usize = 128 << 10;

/// Memory that will be wanted soon, asked for a few pairs of lines at a time while something else is
/// computed: memory answers only so many requests at once, and a burst of them holds up the rest.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    source: Source<'a>,
    /// What is left of the row or slice that comes next.
    rest: &'a [Pair],
    /// Whether that will be written.
    to_write: bool,
    done: bool,
}

#[derive(Debug)]
enum Source<'a> {
    Rows { data: &'a [f32], cols: usize, order: std::slice::Iter<'a, u32> },
    Slices(std::array::IntoIter<(&'a [f32], bool), 5>),
}

impl<'a> Ahead<'a> {
    /// The rows of `data`, `cols` values each, that `order` names, unless the data stay in the cache.
    pub fn rows(data: &'a [f32], cols: usize, order: &'a [u32]) -> Self {
        let done = data.len() < FAR;
        let source = Source::Rows { data, cols, order: order.iter() };
        Self { source, rest: &[], to_write: false, done }
    }

    /// Some slices, one after the other, and for each whether other cores hold it and it will be written.
    pub fn slices(slices: [(&'a [f32], bool); 5]) -> Self {
        let source = Source::Slices(slices.into_iter());
        Self { source, rest: &[], to_write: false, done: false }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { done: true, ..Self::slices([(&[], false); 5]) }
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Takes up to `most` pairs of lines of what comes next.
    #[inline(always)]
    pub fn take(&mut self, most: usize) -> &'a [Pair] {
        if self.rest.is_empty() && !self.done {
            (self.rest, self.to_write) = self.source.next();
            self.done = self.rest.is_empty();
        }
        let (pairs, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        pairs
    }

    /// Takes up to `most` pairs of lines of what comes next, to be asked for in so many turns.
    #[inline(always)]
    pub fn pace(&mut self, most: usize, turns: usize) -> Pace<'a> {
        let pairs = self.take(most);
        Pace { pairs, at_once: most.div_ceil(turns.max(1)), to_write: self.to_write }
    }

    /// Pairs of lines that are left of slices.
    pub fn pairs(&self) -> usize {
        match &self.source {
            _ if self.done => 0,
            Source::Rows { .. } => 0,
            Source::Slices(slices) => {
                let left = slices.as_slice().iter().map(|(slice, _)| slice.len() / (2 * LANES));
                self.rest.len() + left.sum::<usize>()
            }
        }
    }
}

impl<'a> Source<'a> {
    #[inline(never)]
    fn next(&mut self) -> (&'a [Pair], bool) {
        let row = |data: &'a [f32], cols: usize, row: u32| {
            let pairs: &[Pair] = data.get(row as usize * cols..).unwrap_or(&[]).as_chunks().0;
            &pairs[..cols.div_ceil(2 * LANES).min(pairs.len())]
        };
        match self {
            Self::Slices(slices) => slices
                .find(|(slice, _)| slice.len() >= 2 * LANES)
                .map_or((&[], false), |(slice, to_write)| (slice.as_chunks().0, to_write)),
            Self::Rows { data, cols, order } => {
                if order.len().is_multiple_of(AT_ONCE) {
                    for &next in order.as_slice().iter().take(AT_ONCE) {
                        let pairs = row(data, *cols, next);
                        pairs.first().map(prefetch);
                        pairs.last().map(prefetch);
                    }
                }
                (order.next().map_or(&[], |&next| row(data, *cols, next)), false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_lines_has_its_turn_once_and_in_order() {
        let (params, state) = (vec![0.0; 1000], vec![0.0; 70]);
        let pairs = |values: &[f32]| -> Vec<*const Pair> {
            values.as_chunks().0.iter().map(std::ptr::from_ref).collect()
        };
        for (most, turns) in [(7, 2), (31, 16), (40, 1), (5, 9)] {
            let (none, short) = (&[][..], &[1.0][..]);
            let slices =
                [(none, false), (&params, true), (&state, false), (short, true), (none, true)];
            let mut ahead = Ahead::slices(slices);
            let (mut written, mut read) = (vec![], vec![]);
            while ahead.pairs() > 0 {
                let mut pace = ahead.pace(most, turns);
                let asked = if pace.to_write { &mut written } else { &mut read };
                for _ in 0..turns {
                    asked.extend(pace.take().iter().map(std::ptr::from_ref));
                }
            }
            assert_eq!((written, read), (pairs(&params), pairs(&state)), "{most} in {turns}");
        }
    }
}
