//! The exponential and what is made of it, on sixteen lanes.
//!
//! The functions take some vectors at once and go through them step by step. One after the other, each
//! of them a long chain, more wait than a CPU's scheduler holds: four at once took tanh from 11.2 to 9.2
//! cycles a vector (Zen 5, AVX-512).
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
//! | [`quotient`] | 1.5 ulp | where nothing is subnormal |

use crate::simd::{Fma, Registers, apart};
use fearless_simd::{f32x16, i32x16, prelude::*, u32x16};

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few bits that its product with any exponent is exact.
pub(super) const LN2_HI: f32 = 0.693_145_75;
pub(super) const LN2_LO: f32 = 1.428_606_8e-6;
/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits.
pub(super) const MAGIC: f32 = 12_582_912.0;
/// The same for an integer n that is to be an exponent: n + 127, its field in 2^n, stands there.
const EXPONENT: f32 = MAGIC + 127.0;
/// ln of the smallest normal number, rounded towards zero.
const LN_MIN_POSITIVE: f32 = -87.336_54;

/// What the bits of d are subtracted from for those of a guess r at 1 / d: the exponents of both sum to twice the
/// bias, less a half for what the mantissas then miss. From 0.950 to 1.051 that makes d * r, so that r * (2.00128 -
/// d * r) is within 0.0013 of 1 / d: of all such pairs of constants the best.
const RECIPROCAL: u32 = 0x7ef3_3409;
const NEARLY_TWO: f32 = 2.001_281_2;
/// The divisor beyond which a guess would be no normal number.
const LARGEST_DIVISOR: f32 = 4.253_529_6e37;

/// (exp(r) - 1 - r) / r² for |r| <= ln(2)/2, within 0.24 * 2^-24 of exp(r) - 1.
const EXP: [f32; 5] = [0.499_999_97, 0.166_665_43, 0.041_667_54, 0.008_366_534, 0.001_386_107_5];

/// An array of what an expression gives for each index, computed one after the other.
macro_rules! each {
    ($zero:expr, $i:ident => $value:expr) => {{
        let mut all = [$zero; N];
        for $i in 0..N {
            all[$i] = $value;
        }
        all
    }};
}

/// Evaluates `c[0] + c[1] x + c[2] x² + ...`.
#[inline(always)]
pub(super) fn horner<S: Registers, const N: usize, const C: usize>(
    simd: S,
    x: [f32x16<S>; N],
    c: &[f32; C],
) -> [f32x16<S>; N] {
    let mut p = [f32x16::splat(simd, c[C - 1]); N];
    for k in (0..C - 1).rev() {
        p = each!(p[0], i => p[i].fma(x[i], c[k]));
    }
    p
}

/// Splits x into n ln 2 + r, where ln 2 is the sum of PARTS: returns 2^n, for -126 <= n, and
/// exp(r) - 1.
#[inline(always)]
fn reduce<S: Registers, const N: usize, const PARTS: usize>(
    simd: S,
    x: [f32x16<S>; N],
    ln2: [f32; PARTS],
) -> ([f32x16<S>; N], [f32x16<S>; N]) {
    let exponent = f32x16::splat(simd, EXPONENT);
    let t = each!(exponent, i => x[i].fma(LOG2_E, exponent));
    let n = each!(exponent, i => t[i] - EXPONENT);
    let mut r = x;
    for part in ln2 {
        r = each!(exponent, i => n[i].fma(-part, r[i]));
    }
    let p = horner(simd, r, &EXP);
    let p = each!(exponent, i => (r[i] * r[i]).fma(p[i], r[i]));
    (each!(exponent, i => (t[i].bitcast::<i32x16<S>>() << 23).bitcast()), p)
}

/// exp(x) for x <= 0; what would be subnormal is 0.
#[inline(always)]
pub(crate) fn exp_nonpositive<S: Registers, const N: usize>(
    simd: S,
    x: [f32x16<S>; N],
) -> [f32x16<S>; N] {
    exp_from(simd, LN_MIN_POSITIVE, x)
}

/// The same, and 0 too where x is less than `least`, which is not so small that exp of it would be subnormal.
#[inline(always)]
pub(crate) fn exp_from<S: Registers, const N: usize>(
    simd: S,
    least: f32,
    x: [f32x16<S>; N],
) -> [f32x16<S>; N] {
    debug_assert!(least >= LN_MIN_POSITIVE);
    apart!(simd => {
        let (s, p) = reduce(simd, x, [LN2_HI, LN2_LO]);
        let zero = f32x16::splat(simd, 0.0);
        let y = each!(zero, i => (p[i] + 1.0) * s[i]);
        each!(zero, i => x[i].simd_lt(least).select(zero, y[i]))
    })
}

/// exp(x) - 1 for x <= 0. The rounding of ln 2 makes an error of n 2^n 2^-29, which is nothing beside 1.
#[inline(always)]
pub(crate) fn expm1_nonpositive<S: Registers, const N: usize>(
    simd: S,
    x: [f32x16<S>; N],
) -> [f32x16<S>; N] {
    apart!(simd => {
        let least = f32x16::splat(simd, -20.0);
        let x = each!(least, i => x[i].simd_lt(-20.0).select(least, x[i]));
        let (s, p) = reduce(simd, x, [std::f32::consts::LN_2]);
        each!(least, i => s[i].fma(p[i], s[i] - 1.0))
    })
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<S: Registers, const N: usize>(simd: S, x: [f32x16<S>; N]) -> [f32x16<S>; N] {
    apart!(simd => {
        let m = expm1_nonpositive(simd, each!(x[0], i => x[i].abs() * -2.0));
        let d = each!(x[0], i => m[i] + 2.0);
        each!(x[0], i => (m[i] / d[i]).copysign(x[i]))
    })
}

/// From tanh's output y and the gradient by it, the gradient by its input.
#[inline(always)]
pub(crate) fn tanh_gradient<S: Registers>(_simd: S, y: f32x16<S>, dy: f32x16<S>) -> f32x16<S> {
    dy * (-y).fma(y, 1.0)
}

/// n / d for 1e-30 <= d. From a guess by the exponents, within 5.2%, a step of second order and one of third give
/// 1 / d: eight operations that do not wait for the one divider, which an optimizer's roots keep busy. Above 2^125,
/// infinity included, d counts as that. What a remainder would add to the quotient, half an ulp, it would
/// take back where n is small: then the remainder is subnormal, and slow.
#[inline(always)]
pub(crate) fn quotient<S: Registers>(simd: S, n: f32x16<S>, d: f32x16<S>) -> f32x16<S> {
    apart!(simd => {
        let d = d.min(f32x16::splat(simd, LARGEST_DIVISOR));
        let guess = u32x16::splat(simd, RECIPROCAL) - d.bitcast::<u32x16<S>>();
        let mut r: f32x16<S> = guess.bitcast();
        r *= (-d).fma(r, NEARLY_TWO);
        let e = (-d).fma(r, 1.0);
        r = r.fma(e.fma(e, e), r);
        n * r
    })
}

/// max(x, 0): what is not positive, and not NaN, is +0.
#[inline(always)]
pub(crate) fn relu<S: Registers>(simd: S, x: f32x16<S>) -> f32x16<S> {
    x.simd_le(0.0).select(f32x16::splat(simd, 0.0), x)
}

/// From ReLU's output y and the gradient by it, the gradient by its input.
#[inline(always)]
pub(crate) fn relu_gradient<S: Registers>(simd: S, y: f32x16<S>, dy: f32x16<S>) -> f32x16<S> {
    y.simd_gt(0.0).select(dy, f32x16::splat(simd, 0.0))
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<S: Registers, const N: usize>(simd: S, x: [f32x16<S>; N]) -> [f32x16<S>; N] {
    apart!(simd => {
        let e = exp_nonpositive(simd, each!(x[0], i => -x[i].abs()));
        let one = f32x16::splat(simd, 1.0);
        each!(one, i => x[i].simd_ge(0.0).select(one, e[i]) / (e[i] + one))
    })
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
        let f = |x: &[f32]| every_level!(x, simd, v => exp_nonpositive(simd, [v])[0]);
        assert!(largest_ulp_error(f, |x| flushed(x.exp()), |x| x <= 0.0) <= 1.0);
        assert_eq!(f(&[0.0, -0.0, -200.0, f32::NEG_INFINITY])[..4], [1.0, 1.0, 0.0, 0.0]);
        assert!(f(&[f32::NAN])[0].is_nan());
    }

    #[test]
    fn exp_is_zero_below_the_least_that_is_wanted() {
        let all = |x: &[f32]| every_level!(x, simd, v => exp_nonpositive(simd, [v])[0]);
        let some = |x: &[f32]| every_level!(x, simd, v => exp_from(simd, -20.0, [v])[0]);
        let x = [0.0, -3.5, -20.0, (-20.0f32).next_down(), -80.0, f32::NEG_INFINITY];
        assert_eq!(some(&x)[..3], all(&x)[..3]);
        assert_eq!(some(&x)[3..6], [0.0; 3]);
        assert!(all(&x)[3..5].iter().all(|&e| e > 0.0) && some(&[f32::NAN])[0].is_nan());
    }

    #[test]
    fn expm1_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => expm1_nonpositive(simd, [v])[0]);
        assert!(largest_ulp_error(f, f64::exp_m1, |x| x <= 0.0) <= 1.0);
        assert_eq!(f(&[0.0, -1e4, f32::NEG_INFINITY])[..3], [0.0, -1.0, -1.0]);
        assert!(f(&[f32::NAN])[0].is_nan());
    }

    #[test]
    fn tanh_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => tanh(simd, [v])[0]);
        assert!(largest_ulp_error(f, f64::tanh, |_| true) <= 2.5);
        let y = f(&[0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-40, f32::NAN]);
        assert_eq!(y[..5], [0.0, 0.0, 1.0, -1.0, 1e-40]);
        assert!(y[1].is_sign_negative() && y[5].is_nan());
    }

    #[test]
    fn quotients_are_within_their_error() {
        for n in [1.0_f32, -0.7, 3.3e-12, 1.9e7] {
            let f =
                |d: &[f32]| every_level!(d, simd, d => quotient(simd, f32x16::splat(simd, n), d));
            let range = |d: f64| (1e-30..4e37).contains(&d) && flushed(f64::from(n) / d) != 0.0;
            let finite = |d: f64| range(d) && f64::from(n).abs() / d < 1e38;
            assert!(largest_ulp_error(f, |d| f64::from(n) / d, finite) <= 1.5, "{n}");
        }
        let zero =
            |d: &[f32]| every_level!(d, simd, d => quotient(simd, f32x16::splat(simd, 0.0), d));
        assert!(zero(&[1e-30, 1.0, f32::INFINITY])[..3].iter().all(|q| q.to_bits() == 0));
        let one =
            |d: &[f32]| every_level!(d, simd, d => quotient(simd, f32x16::splat(simd, 1.0), d));
        assert!((0.0..3e-38).contains(&one(&[f32::INFINITY])[0]));
    }

    #[test]
    fn sigmoid_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => sigmoid(simd, [v])[0]);
        let want = |x: f64| flushed(1.0 / (1.0 + (-x).exp()));
        assert!(largest_ulp_error(f, want, |_| true) <= 2.5);
        let y = f(&[0.0, f32::INFINITY, f32::NEG_INFINITY, -1e4, f32::NAN]);
        assert_eq!(y[..4], [0.5, 1.0, 0.0, 0.0]);
        assert!(y[4].is_nan());
    }
}
