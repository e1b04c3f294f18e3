//! Multiply-adds that take an operand from memory.
//!
//! A multiply-add of AVX-512 may take one value from memory for all its lanes (embedded broadcast). It costs a load, of
//! which there is room for two a cycle, and saves the instruction that fills a register with the value for all of a
//! row's multiply-adds. By itself on a core that is worth 1 to 2% of a product and up to 1% of a gradient. Beside a busy
//! neighbour, another program on the core's second thread, which gets every other cycle to begin instructions, it is
//! worth more. Shares of the peak of tiles in assembler, by how many of a tile's rows do so, at the best moments of some
//! seconds and at their middle (Emerald Rapids; 12 x 2 inputs and panels of a gradient, 8 x 3 rows and panels of a product):
//!
//! | rows | 12 x 2, best | middle | 8 x 3, best | middle |
//! |---|---|---|---|---|
//! | 0 | 0.967 | 0.85 | 0.998 | 0.86 |
//! | 2 | – | – | 1.01 | 0.88 |
//! | 4 | – | – | 1.01 | 0.92 |
//! | 6 | 0.988 | 0.895 | 0.95 | 0.84 |
//! | 8 | 1.00 | 0.91 | 0.94 | 0.80 |
//! | 10 | 1.00 | 0.92 | | |
//! | 12 | 1.00 | 0.89 | | |
//!
//! Where 512-bit multiply-adds are double-pumped there is time for both; it was not measured there.
//!
//! The address must be one register and a constant: with an index added two operations are begun all the same, and in
//! another busy moment 12 x 2 tiles read 0.83, 0.765, 0.75 and 0.72 with none, four, six and eight rows. And the compiler makes
//! such a multiply-add only of a value that it loads for one use. So each of a row's multiply-adds has an address of its
//! own, from [`aliases`], and the loop over indices is [`written_out`](super::written_out()). Nothing but speed depends on
//! that, and `benches/instructions.sh` looks whether such multiply-adds are there.

use std::hint::black_box;

/// The same place N times, as addresses that the compiler neither computes from others nor knows to be equal.
#[inline(always)]
pub(crate) fn aliases<T, const N: usize>(place: &T) -> [&T; N] {
    let mut aliases = [place; N];
    for alias in &mut aliases {
        *alias = black_box(place);
    }
    aliases
}
