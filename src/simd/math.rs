//! The exponential and what is made of it, on sixteen lanes.
//!
//! Every function is branch-free and built of fused multiply-adds, so that its bits are the same at
//! every SIMD level. The coefficients are minimax fits (Lawson's iteration in 40 digits, rounded to
//! f32 from the lowest power up, refitting the rest). NaN gives NaN.
//!
//! | function | largest error | where |
//! |---|---|---|
//! | [`exp_nonpositive`] | 1.0 ulp | x <= 0; below 2^-126 it is 0 |
//! | [`expm1_nonpositive`] | 1.0 ulp | x <= 0 |
//! | [`tanh`] | 2.5 ulp | everywhere |
//! | [`sigmoid`] | 2.5 ulp | everywhere; below 2^-126 it is 0 |

use crate::simd::Fma;
use fearless_simd::{Simd, f32x16, i32x16, prelude::*};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few bits that its product with any exponent is exact.
pub(super) const LN2_HI: f32 = 0.693_145_75;
pub(super) const LN2_LO: f32 = 1.428_606_8e-6;
/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
pub(super) const MAGIC: f32 = 12_582_912.0;
/// ln of the smallest normal number, rounded towards zero.
const LN_MIN_POSITIVE: f32 = -87.336_54;

/// (exp(r) - 1 - r) / r² for |r| <= ln(2)/2, within 0.24 * 2^-24 of exp(r) - 1.
const EXP: [f32; 5] = [0.499_999_97, 0.166_665_43, 0.041_667_54, 0.008_366_534, 0.001_386_107_5];

/// Evaluates `c[0] + c[1] x + c[2] x² + ...`.
#[inline(always)]
pub(super) fn horner<S: Simd, const N: usize>(simd: S, x: f32x16<S>, c: &[f32; N]) -> f32x16<S> {
    let mut p = f32x16::splat(simd, c[N - 1]);
    for k in (0..N - 1).rev() {
        p = p.fma(x, c[k]);
    }
    p
}

/// Splits x into n ln 2 + r: returns n as the low bits of an integer, and exp(r) - 1.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: f32x16<S>) -> (i32x16<S>, f32x16<S>) {
    let t = x.fma(LOG2_E, f32x16::splat(simd, MAGIC));
    let n = t - MAGIC;
    let r = n.fma(-LN2_HI, x);
    let r = n.fma(-LN2_LO, r);
    (t.bitcast::<i32x16<S>>(), (r * r).fma(horner(simd, r, &EXP), r))
}

/// 2^n for the n in the low bits, -126 <= n <= 127.
#[inline(always)]
fn power<S: Simd>(n: i32x16<S>) -> f32x16<S> {
    ((n << 23) + (127 << 23)).bitcast()
}

/// exp(x) for x <= 0; what would be subnormal is 0.
#[inline(always)]
pub(crate) fn exp_nonpositive<S: Simd>(simd: S, x: f32x16<S>) -> f32x16<S> {
    let (n, p) = reduce(simd, x);
    let y = (p + 1.0) * power(n);
    x.simd_lt(LN_MIN_POSITIVE).select(f32x16::splat(simd, 0.0), y)
}

/// exp(x) - 1 for x <= 0.
#[inline(always)]
pub(crate) fn expm1_nonpositive<S: Simd>(simd: S, x: f32x16<S>) -> f32x16<S> {
    let x = x.simd_lt(-20.0).select(f32x16::splat(simd, -20.0), x);
    let (n, p) = reduce(simd, x);
    let s = power(n);
    s.fma(p, s - 1.0)
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: f32x16<S>) -> f32x16<S> {
    let m = expm1_nonpositive(simd, x.abs() * -2.0);
    (m / (m + 2.0)).copysign(x)
}

/// max(x, 0): what is not positive, and not NaN, is +0.
#[inline(always)]
pub(crate) fn relu<S: Simd>(simd: S, x: f32x16<S>) -> f32x16<S> {
    x.simd_le(0.0).select(f32x16::splat(simd, 0.0), x)
}

/// From ReLU's output y and the gradient by it, the gradient by its input.
#[inline(always)]
pub(crate) fn relu_gradient<S: Simd>(simd: S, y: f32x16<S>, dy: f32x16<S>) -> f32x16<S> {
    y.simd_gt(0.0).select(dy, f32x16::splat(simd, 0.0))
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: f32x16<S>) -> f32x16<S> {
    let e = exp_nonpositive(simd, -x.abs());
    let one = f32x16::splat(simd, 1.0);
    x.simd_ge(0.0).select(one, e) / (e + one)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{every_level, largest_ulp_error};
    use super::*;

    /// Zero where the functions flush.
    fn flushed(y: f64) -> f64 {
        if y.abs() < f64::from(f32::MIN_POSITIVE) { 0.0 } else { y }
    }

    #[test]
    fn exp_is_within_its_error_below_zero() {
        let f = |x: &[f32]| every_level!(x, simd, v => exp_nonpositive(simd, v));
        assert!(largest_ulp_error(f, |x| flushed(x.exp()), |x| x <= 0.0) <= 1.0);
        assert_eq!(f(&[0.0, -0.0, -200.0, f32::NEG_INFINITY])[..4], [1.0, 1.0, 0.0, 0.0]);
        assert!(f(&[f32::NAN])[0].is_nan());
    }

    #[test]
    fn expm1_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => expm1_nonpositive(simd, v));
        assert!(largest_ulp_error(f, f64::exp_m1, |x| x <= 0.0) <= 1.0);
        assert_eq!(f(&[0.0, -1e4, f32::NEG_INFINITY])[..3], [0.0, -1.0, -1.0]);
        assert!(f(&[f32::NAN])[0].is_nan());
    }

    #[test]
    fn tanh_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => tanh(simd, v));
        assert!(largest_ulp_error(f, f64::tanh, |_| true) <= 2.5);
        let y = f(&[0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-40, f32::NAN]);
        assert_eq!(y[..5], [0.0, 0.0, 1.0, -1.0, 1e-40]);
        assert!(y[1].is_sign_negative() && y[5].is_nan());
    }

    #[test]
    fn sigmoid_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => sigmoid(simd, v));
        let want = |x: f64| flushed(1.0 / (1.0 + (-x).exp()));
        assert!(largest_ulp_error(f, want, |_| true) <= 2.5);
        let y = f(&[0.0, f32::INFINITY, f32::NEG_INFINITY, -1e4, f32::NAN]);
        assert_eq!(y[..4], [0.5, 1.0, 0.0, 0.0]);
        assert!(y[4].is_nan());
    }
}
