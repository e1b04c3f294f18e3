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

/// The same for a value that other cores hold and this one will write: on processors that heed it they give up
/// their copies meanwhile, and the first write need not wait for it (for others see `Claims`). On two threads
/// 784-512-512-10 trained 1.13 times as fast by it and 54-256-256-256-7 1.065 times (Granite Rapids).
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(value: &T) {
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

/// Pairs of lines that are asked for in the course of a loop, so many a turn: a core waits for some 16 lines
/// at once, and a burst of more holds up what it loads itself. The library's `Chunks` would do the same, in 4 to 5%
/// more instructions a step (784-128-10 and 54-256-256-256-7 on AVX2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace<'a> {
    pairs: &'a [Pair],
    at_once: usize,
}

impl<'a> Pace<'a> {
    #[inline(always)]
    pub fn new(pairs: &'a [Pair], at_once: usize) -> Self {
        Self { pairs, at_once }
    }

    /// The pairs of the next turn.
    #[inline(always)]
    pub fn take(&mut self) -> &'a [Pair] {
        let (now, later) = self.pairs.split_at(self.at_once.min(self.pairs.len()));
        self.pairs = later;
        now
    }
}
