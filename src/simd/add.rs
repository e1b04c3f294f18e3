//! The sum of two gradients, one of which another core has just written.

use fearless_simd::prelude::*;
use fearless_simd::{f32x16, u32x16};

use super::prefetch::prefetch_to_write;
use crate::rows::LANES;
use crate::simd::Registers;

/// Lines between the one that is asked for and the one that is added.
const AHEAD: usize = 24;

/// Adds `other` to `sum` and returns the largest size of the sum; infinity where one is infinite or NaN.
///
/// Every line of `other` is taken from the core that wrote it, not only read: this one will write it next. A write
/// of a line that both hold waits until the other has given up its copy, one after the other, while what is taken
/// comes many lines at a time.
#[inline(always)]
pub(crate) fn add_and_take<S: Registers>(simd: S, sum: &mut [f32], other: &[f32]) -> f32 {
    debug_assert!(sum.len() == other.len() && sum.len().is_multiple_of(LANES));
    let sum = sum.as_chunks_mut::<LANES>().0;
    let other = &other.as_chunks::<LANES>().0[..sum.len()];
    for line in other.iter().take(AHEAD) {
        prefetch_to_write(line);
    }
    let mut most = u32x16::splat(simd, 0);
    for (index, (sum, line)) in sum.iter_mut().zip(other).enumerate() {
        if let Some(line) = other.get(index + AHEAD) {
            prefetch_to_write(line);
        }
        let lanes = f32x16::simd_from(simd, *sum) + f32x16::simd_from(simd, *line);
        lanes.store_slice(sum);
        most = most.max(lanes.bitcast::<u32x16<S>>() & u32x16::splat(simd, !(1 << 31)));
    }
    let most = <[u32; LANES]>::from(most).into_iter().max().unwrap_or(0);
    f32::from_bits(most.min(f32::INFINITY.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::levels;
    use super::*;
    use crate::simd::dispatch_at;

    #[test]
    fn sums_are_those_of_each_value_and_their_largest_size_is_found() {
        for lines in [1, 2, 23, 24, 25, 60] {
            for level in levels() {
                let value = |i: usize| (i as f32).sin();
                let mut sum: Vec<f32> = (0..lines * LANES).map(value).collect();
                let other: Vec<f32> = (0..lines * LANES).map(|i| value(3 * i + 1)).collect();
                let expected: Vec<f32> = sum.iter().zip(&other).map(|(a, b)| a + b).collect();
                let size = dispatch_at!(level, simd => add_and_take(simd, &mut sum, &other));
                assert_eq!(sum, expected);
                assert_eq!(size, expected.iter().fold(0.0, |most: f32, v| most.max(v.abs())));
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        for (a, b) in [(f32::MAX, f32::MAX), (f32::NAN, 0.0), (0.0, f32::NEG_INFINITY)] {
            for place in [0, 15, 16, 40] {
                let (mut sum, mut other) = ([0.0; 48], [0.0; 48]);
                (sum[place], other[place]) = (a, b);
                for level in levels() {
                    let size =
                        dispatch_at!(level, simd => add_and_take(simd, &mut sum.clone(), &other));
                    assert_eq!(size, f32::INFINITY, "{a} {b} {place}");
                }
            }
        }
    }
}
