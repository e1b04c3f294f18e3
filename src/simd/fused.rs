//! Multiply-adds that load an operand themselves.
//!
//! An instruction of AVX-512 may fill a register with one value from memory and multiply by it. By itself on a core
//! that costs a load, of which there is room for two a cycle, and saves the instruction that filled a register. Beside
//! a busy neighbour, who has every other turn to begin instructions, saving them is what counts: of tiles of 12 x 2 whose
//! rows are loaded so, none, four, six, eight, ten and all twelve, in assembler, read 0.85, 0.87, 0.895, 0.91, 0.92 and
//! 0.89 of the peak in an hour when they read 0.967, 0.987, 0.988, 1.00, 1.00 and 1.00 at its best moments. Of 8 x 3,
//! none, two, four, six and eight read 0.86, 0.88, 0.92, 0.84 and 0.80 (Emerald Rapids).
//!
//! It holds only where the address is one register and a constant. With an index added, two operations are begun all the
//! same: the same tiles read 0.83, 0.765, 0.75 and 0.72 with none, four, six and eight. So a place in memory goes through
//! [`copies`], and the loop over it is written out.

use std::hint::black_box;

/// The same place N times, as addresses that the compiler neither computes from others nor knows to be one: values loaded
/// from different ones are loaded where they are used.
#[inline(always)]
pub(crate) fn copies<T: ?Sized, const N: usize>(place: &T) -> [&T; N] {
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
