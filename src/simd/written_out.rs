//! Loops written out, so that what is added to an address in them is a constant.

/// Calls `f` with each number below N, 8 or 16.
#[inline(always)]
pub(crate) fn written_out<const N: usize>(mut f: impl FnMut(usize)) {
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
