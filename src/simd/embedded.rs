//! Multiply-adds that take an operand from memory.
//!
//! A multiply-add of AVX-512 may take one value from memory for all its lanes (embedded broadcast). It costs a load, of
//! which there is room for two a cycle, and saves the instruction that fills a register with the value for all of a
//! row's multiply-adds. By itself on a core that is worth little. Beside a busy neighbour, who has every other turn to
//! begin instructions, it is what counts: tiles of 12 x 2 of which none, four, six, eight, ten and all twelve rows did
//! so, in assembler, read 0.85, 0.87, 0.895, 0.91, 0.92 and 0.89 of the peak in an hour when they read 0.967, 0.987, 0.988,
//! 1.00, 1.00 and 1.00 at its best moments. Of 8 x 3, none, two, four, six and eight read 0.86, 0.88, 0.92, 0.84 and 0.80
//! (Emerald Rapids). Where 512-bit multiply-adds are double-pumped there is time for both; it was not measured there.
//!
//! The address must be one register and a constant: with an index added two operations are begun all the same, and the
//! same 12 x 2 tiles read 0.83, 0.765, 0.75 and 0.72 with none, four, six and eight. And the compiler makes such a multiply-add
//! only of a value that it loads for one use. So each of a row's multiply-adds has an address of its own for it, from
//! [`copies`], and the loop over them is written out by [`each`]. Nothing but speed depends on that; `objdump` shows such
//! operands as `{1to16}`.

use std::hint::black_box;

/// The same place N times, as addresses that the compiler neither computes from others nor knows to be one.
#[inline(always)]
pub(crate) fn copies<T, const N: usize>(place: &T) -> [&T; N] {
    let mut copies = [place; N];
    for copy in &mut copies {
        *copy = black_box(place);
    }
    copies
}

/// Calls `f` with each number below N, 8 or 16, written out.
#[inline(always)]
pub(crate) fn each<const N: usize>(mut f: impl FnMut(usize)) {
    const { assert!(N == 8 || N == 16) };
    f(0);
    f(1);
    f(2);
    f(3);
    f(4);
    f(5);
    f(6);
    f(7);
    if const { N == 16 } {
        f(8);
        f(9);
        f(10);
        f(11);
        f(12);
        f(13);
        f(14);
        f(15);
    }
}
