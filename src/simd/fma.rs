//! The multiply-add of every kernel: one rounding, at every level.

use fearless_simd::{SimdFloat, SimdInto, f32x16};

use crate::simd::Registers;

/// Multiplies and adds with one rounding.
pub(crate) trait Fma<S: Registers>: Sized {
    /// Computes `self * factor + term`.
    fn fma(self, factor: impl SimdInto<Self, S>, term: impl SimdInto<Self, S>) -> Self;
}

impl<S: Registers> Fma<S> for f32x16<S> {
    #[inline(always)]
    fn fma(self, factor: impl SimdInto<Self, S>, term: impl SimdInto<Self, S>) -> Self {
        let simd = self.simd;
        let (factor, term) = (factor.simd_into(simd), term.simd_into(simd));
        if S::EMULATED {
            return emulated(self, factor, term);
        }
        self.mul_add_precise(factor, term)
    }
}

/// A function of its own: a CPU without the instruction takes some 200 others for it, and written
/// out at every use they made up most of the crate's code and of the time to compile it.
#[inline(never)]
fn emulated<S: Registers>(a: f32x16<S>, b: f32x16<S>, c: f32x16<S>) -> f32x16<S> {
    a.mul_add_precise(b, c)
}
