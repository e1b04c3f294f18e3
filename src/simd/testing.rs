//! What the tests of kernels share: the levels of this CPU, errors in ulp, references in f64.

use fearless_simd::Level;

use super::SimdLevel;
use super::level::level_of;

/// Every level that this CPU has.
pub(crate) fn levels() -> Vec<Level> {
    SimdLevel::ALL.into_iter().filter_map(level_of).collect()
}

/// Whether to take multiply-adds as double-pumped, and a level: both at the widest one, and no at the others.
pub(crate) fn ways() -> Vec<(fn() -> bool, Level)> {
    let [alone, pumped]: [fn() -> bool; 2] = [|| false, || true];
    let levels = levels();
    let widest = levels[0];
    levels.into_iter().map(|level| (alone, level)).chain([(pumped, widest)]).collect()
}

/// Applies a function of a vector to every value, at every level, and demands the same bits (of a
/// NaN, that it is one).
macro_rules! every_level {
    ($x:expr, $simd:ident, $v:ident => $f:expr) => {{
        use crate::simd::{dispatch_at, load, testing};
        let x: &[f32] = $x;
        let mut found: Option<Vec<f32>> = None;
        for level in testing::levels() {
            let mut y = vec![0.0f32; x.len().next_multiple_of(16)];
            dispatch_at!(level, $simd => {
                for (i, y) in y.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                    let $v = load($simd, x, 16 * i, 0.0);
                    ($f).store_array(y);
                }
            });
            match &found {
                None => found = Some(y),
                Some(first) => testing::assert_same_bits(first, &y, &format!("{level:?}")),
            }
        }
        found.unwrap()
    }};
}
pub(crate) use every_level;

/// Demands the same bits, or NaN in both.
#[track_caller]
pub(crate) fn assert_same_bits(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        assert!(same, "{what}: {a:e} and {b:e} at {i}");
    }
}

/// The largest error over all exponents and both signs, in units of the true value's last place.
pub(crate) fn largest_ulp_error(
    f: impl Fn(&[f32]) -> Vec<f32>,
    want: impl Fn(f64) -> f64,
    domain: impl Fn(f64) -> bool,
) -> f64 {
    let step = if cfg!(debug_assertions) { 50_021 } else { 211 };
    let positive = (0..=f32::MAX.to_bits()).step_by(step).map(f32::from_bits);
    let x: Vec<f32> = positive.flat_map(|x| [x, -x]).filter(|&x| domain(f64::from(x))).collect();
    let mut worst = (0.0, 0.0);
    for x in x.chunks(4096) {
        for (&x, y) in x.iter().zip(f(x)) {
            let error = ulp_error(y, want(f64::from(x)));
            if error.is_nan() || error > worst.0 {
                worst = (error, x);
            }
        }
    }
    println!("largest error {:.3} ulp at {:e}", worst.0, worst.1);
    worst.0
}

fn ulp_error(found: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if found.is_infinite() && found == rounded {
        return 0.0;
    }
    let magnitude = rounded.abs().clamp(f32::MIN_POSITIVE, f32::MAX);
    let ulp =
        f64::from(f32::from_bits(magnitude.to_bits() & 0x7f80_0000)) * f64::from(f32::EPSILON);
    (f64::from(found) - want).abs() / ulp
}

/// The density of the normal distribution.
pub(crate) fn normal_pdf(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The normal distribution function: its series near zero, its continued fraction in the tails.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    let a = x.abs();
    let tail = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for k in 1..100 {
            term *= a * a / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 - normal_pdf(a) * sum
    } else {
        normal_pdf(a) / (1..300).rev().fold(a, |below, k| a + f64::from(k) / below)
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}
