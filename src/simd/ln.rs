//! The logarithm and softplus, on sixteen lanes; the same rules as for the exponential.
//!
//! | function | largest error | where |
//! |---|---|---|
//! | [`ln`] | 1.0 ulp | everywhere, subnormal numbers included |
//! | [`ln_1p_unit`] | 1.5 ulp | 0 <= u <= 1 |
//! | [`softplus`] | 2.0 ulp | everywhere; below 2^-126 it is 0 |

use fearless_simd::{f32x16, i32x16, prelude::*};

use super::math::{LN2_HI, LN2_LO, MAGIC, exp_nonpositive, horner};
use crate::simd::{Fma, Registers, apart};

/// (ln(1+f) - f + f²/2) / f³ for sqrt(1/2) <= 1+f <= sqrt(2), within 0.1 * 2^-24 of ln(1+f).
const LN: [f32; 8] = [
    0.333_333_3,
    -0.250_008_23,
    0.200_012_42,
    -0.166_233_2,
    0.142_015_81,
    -0.131_604_28,
    0.127_622_4,
    -0.076_341_81,
];

/// The bits of sqrt(1/2), where the mantissas are cut.
const SQRT_HALF_BITS: i32 = 0x3f35_04f3;

/// e ln 2 + ln(1+f), for f as [`LN`] wants it.
#[inline(always)]
fn combine<S: Registers>(simd: S, f: f32x16<S>, e: f32x16<S>) -> f32x16<S> {
    let [p] = horner(simd, [f], &LN);
    let tail = f.fma(p, -0.5);
    let low = e.fma(LN2_LO, f * f * tail);
    e.fma(LN2_HI, f + low)
}

/// The natural logarithm; -inf at zero, NaN below it.
#[inline(always)]
pub(crate) fn ln<S: Registers>(simd: S, x: f32x16<S>) -> f32x16<S> {
    apart!(simd => {
        let splat = |v: f32| f32x16::splat(simd, v);
        let tiny = x.simd_lt(f32::MIN_POSITIVE);
        let bits = tiny.select(x * 8_388_608.0, x).bitcast::<i32x16<S>>();
        let e = (bits - SQRT_HALF_BITS) >> 23;
        let f = (bits - (e << 23)).bitcast::<f32x16<S>>() - 1.0;
        let whole = (e + MAGIC.to_bits() as i32).bitcast::<f32x16<S>>() - MAGIC;
        let y = combine(simd, f, whole - tiny.select(splat(23.0), splat(0.0)));
        let outside = x.simd_lt(0.0).select(splat(f32::NAN), x);
        let outside = x.simd_eq(0.0).select(splat(f32::NEG_INFINITY), outside);
        (x.simd_gt(0.0) & x.simd_lt(f32::INFINITY)).select(y, outside)
    })
}

/// ln(1 + u) for 0 <= u <= 1.
#[inline(always)]
pub(crate) fn ln_1p_unit<S: Registers>(simd: S, u: f32x16<S>) -> f32x16<S> {
    apart!(simd => {
        let splat = |v: f32| f32x16::splat(simd, v);
        let halve = u.simd_gt(0.414_213_54);
        let f = halve.select((u - 1.0) * 0.5, u);
        combine(simd, f, halve.select(splat(1.0), splat(0.0)))
    })
}

/// ln(1 + exp(x)), without overflow.
#[inline(always)]
pub(crate) fn softplus<S: Registers>(simd: S, x: f32x16<S>) -> f32x16<S> {
    apart!(simd => {
        let low = ln_1p_unit(simd, exp_nonpositive(simd, [-x.abs()])[0]);
        x.simd_gt(0.0).select(x, f32x16::splat(simd, 0.0)) + low
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{every_level, largest_ulp_error};
    use super::*;

    #[test]
    fn ln_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => ln(simd, v));
        assert!(largest_ulp_error(f, f64::ln, |x| x > 0.0) <= 1.0);
        let y = f(&[1.0, 0.0, -0.0, f32::INFINITY, -1.0, f32::NEG_INFINITY, f32::NAN]);
        assert_eq!(y[..4], [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY]);
        assert!(y[4..7].iter().all(|y| y.is_nan()), "{y:?}");
    }

    #[test]
    fn ln_1p_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => ln_1p_unit(simd, v));
        assert!(largest_ulp_error(f, f64::ln_1p, |x| (0.0..=1.0).contains(&x)) <= 1.5);
        assert!(f(&[f32::NAN])[0].is_nan());
    }

    #[test]
    fn softplus_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => softplus(simd, v));
        let want = |x: f64| {
            let y = x.max(0.0) + (-x.abs()).exp().ln_1p();
            if y < f64::from(f32::MIN_POSITIVE) { 0.0 } else { y }
        };
        assert!(largest_ulp_error(f, want, |_| true) <= 2.0);
        let y = f(&[f32::INFINITY, f32::NEG_INFINITY, -1e4, 1e4, f32::NAN]);
        assert_eq!(y[..4], [f32::INFINITY, 0.0, 0.0, 1e4]);
        assert!(y[4].is_nan());
    }
}
