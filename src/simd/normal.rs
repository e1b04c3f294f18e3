//! The normal distribution, which exact GELU is made of, on sixteen lanes.

use fearless_simd::{f32x16, prelude::*};

use super::math::{exp_nonpositive, horner};
use crate::simd::{Fma, Registers, apart};

/// The scale of the substitution u = K / (a + K).
const K: f32 = 3.5;

/// exp(a²/2) Φ(-a) / u in powers of u - 1/2 for 0 <= a <= 14.5, within 0.17 * 2^-24 of it.
const TAIL: [f32; 10] = [
    0.212_690_31,
    0.323_178_17,
    0.360_485_64,
    0.265_262_37,
    0.079_575_56,
    -0.059_339_687,
    -0.058_114_424,
    0.017_990_706,
    0.031_136_561,
    -0.016_304_9,
];

/// 1 / sqrt(2 pi).
const DENSITY: f32 = 0.398_942_3;

/// The distribution function Φ(x) and the density φ(x) of the normal distribution.
///
/// Their largest error is 6 and 3 ulp, far into the lower tail too, for the square of x keeps
/// its rounding error; below 2^-126 they are 0.
#[inline(always)]
pub(crate) fn normal<S: Registers>(simd: S, x: f32x16<S>) -> (f32x16<S>, f32x16<S>) {
    apart!(simd => {
        let a = x.abs();
        let a = a.simd_gt(14.5).select(f32x16::splat(simd, 14.5), a);
        let square = a * a;
        let rest = a.fma(a, -square);
        let [e] = exp_nonpositive(simd, [square * -0.5]);
        let e = (e * -0.5).fma(rest, e);
        let u = f32x16::splat(simd, K) / (a + K);
        let [p] = horner(simd, [u - 0.5], &TAIL);
        let tail = e * (u * p);
        (x.simd_gt(0.0).select(-tail + 1.0, tail), e * DENSITY)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{every_level, largest_ulp_error, normal_cdf, normal_pdf};
    use super::*;

    #[test]
    fn distribution_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => normal(simd, v).0);
        assert!(largest_ulp_error(f, normal_cdf, |x| x > -13.1) <= 6.0);
        let y = f(&[0.0, 20.0, -20.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
        assert_eq!(y[..5], [0.5, 1.0, 0.0, 1.0, 0.0]);
        assert!(y[5].is_nan());
    }

    #[test]
    fn density_is_within_its_error() {
        let f = |x: &[f32]| every_level!(x, simd, v => normal(simd, v).1);
        assert!(largest_ulp_error(f, normal_pdf, |x| x.abs() < 13.1) <= 3.0);
    }
}
