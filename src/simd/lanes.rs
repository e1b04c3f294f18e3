//! Sums and maxima along a row, in the one order that every SIMD level keeps.

use fearless_simd::{f32x16, f64x8, prelude::*};

use crate::rows::LANES;
use crate::simd::{Registers, apart};

/// The sum of sixteen lanes by a fixed tree: halves are added until one lane is left.
#[inline(always)]
pub(crate) fn sum16<S: Registers>(simd: S, v: f32x16<S>) -> f32 {
    apart!(simd => {
        let (low, high) = simd.split_f32x16(v);
        let (low, high) = simd.split_f32x8(low + high);
        let four = (low + high).to_array();
        (four[0] + four[2]) + (four[1] + four[3])
    })
}

/// A sum in f64 of vectors and at last of their lanes, by the tree of [`sum16`].
#[derive(Clone, Copy)]
pub(crate) struct WideSum<S: Registers> {
    low: f64x8<S>,
    high: f64x8<S>,
}

impl<S: Registers> WideSum<S> {
    #[inline(always)]
    pub fn zero(simd: S) -> Self {
        let zero = f64x8::splat(simd, 0.0);
        Self { low: zero, high: zero }
    }

    /// Adds each lane to its own.
    #[inline(always)]
    pub fn add(&mut self, v: f32x16<S>) {
        let simd = v.token();
        apart!(simd => {
            let (low, high) = simd.widen_f32x16(v);
            self.low += low;
            self.high += high;
        });
    }

    /// The sum of the lanes.
    #[inline(always)]
    pub fn total(self) -> f64 {
        let simd = self.low.token();
        apart!(simd => {
            let (low, high) = simd.split_f64x8(self.low + self.high);
            let four = (low + high).to_array();
            (four[0] + four[2]) + (four[1] + four[3])
        })
    }
}

/// The largest of sixteen lanes. With a NaN among them it is one of the lanes, the same one at
/// every level.
#[inline(always)]
pub(crate) fn max16<S: Registers>(simd: S, v: f32x16<S>) -> f32 {
    apart!(simd => {
        let (low, high) = simd.split_f32x16(v);
        let (low, high) = simd.split_f32x8(low.simd_gt(high).select(low, high));
        let four = low.simd_gt(high).select(low, high).to_array();
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        larger(larger(four[0], four[2]), larger(four[1], four[3]))
    })
}

/// Sixteen values of a slice from `start`; `fill` beyond its end.
#[inline(always)]
pub(crate) fn load<S: Registers>(simd: S, from: &[f32], start: usize, fill: f32) -> f32x16<S> {
    apart!(simd => {
        let rest = from.get(start..).unwrap_or(&[]);
        match rest.first_chunk::<LANES>() {
            Some(whole) => f32x16::load_array_ref(simd, whole),
            None => {
                let mut part = [fill; LANES];
                part[..rest.len()].copy_from_slice(rest);
                f32x16::load_array(simd, part)
            }
        }
    })
}

/// A row's lanes: how many panels it fills and which lanes of each belong to it.
#[derive(Clone, Copy)]
pub(crate) struct LaneRow<S: Registers> {
    lanes: f32x16<S>,
    cols: usize,
    /// Panels of a row.
    pub panels: usize,
}

impl<S: Registers> LaneRow<S> {
    /// The lanes of rows of `cols` values.
    #[inline(always)]
    pub fn new(simd: S, cols: usize) -> Self {
        let lanes = f32x16::from_fn(simd, |i| i as f32);
        Self { lanes, cols, panels: cols.div_ceil(LANES) }
    }

    /// Keeps the row's lanes of panel `p` and sets those of the padding to `fill`.
    #[inline(always)]
    pub fn keep(&self, p: usize, v: f32x16<S>, fill: f32) -> f32x16<S> {
        let simd = v.token();
        apart!(simd => {
            let left = (self.cols - p * LANES) as f32;
            self.lanes.simd_lt(left).select(v, f32x16::splat(simd, fill))
        })
    }

    /// A bit for each of the row's lanes in panel `p`.
    #[inline(always)]
    pub fn bits(&self, p: usize) -> u64 {
        (1 << (self.cols - p * LANES).min(LANES)) - 1
    }

    /// `value` in the lane of column `col`, if panel `p` has it, and 0 elsewhere.
    #[inline(always)]
    pub fn only(&self, simd: S, p: usize, col: usize, value: f32) -> f32x16<S> {
        apart!(simd => {
            let lane = col as f32 - (p * LANES) as f32;
            let zero = f32x16::splat(simd, 0.0);
            self.lanes.simd_eq(lane).select(f32x16::splat(simd, value), zero)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::levels;
    use super::super::{dispatch, dispatch_at};
    use super::*;

    #[test]
    fn a_sum_is_the_same_tree_at_every_level() {
        let v: [f32; 16] = std::array::from_fn(|i| [1e8, -1.0, 0.1, -1e8][i % 4] * (i + 1) as f32);
        let half = |v: &[f32]| -> Vec<f32> {
            let (a, b) = v.split_at(v.len() / 2);
            a.iter().zip(b).map(|(a, b)| a + b).collect()
        };
        let want = half(&half(&half(&half(&v))))[0];
        for level in levels() {
            let sum = dispatch_at!(level, simd => sum16(simd, f32x16::load_array(simd, v)));
            assert_eq!(sum.to_bits(), want.to_bits(), "{level:?}");
        }
    }

    #[test]
    fn a_wide_sum_is_the_same_tree_in_f64() {
        let v: [[f32; 16]; 3] = std::array::from_fn(|p| {
            std::array::from_fn(|i| [3e38, -1.7, 0.1, 1e-8][i % 4] * (p + i) as f32 / 18.0)
        });
        let lanes: Vec<f64> =
            (0..16).map(|i| v.iter().fold(0.0, |sum, v| sum + f64::from(v[i]))).collect();
        let half = |v: &[f64]| -> Vec<f64> {
            let (a, b) = v.split_at(v.len() / 2);
            a.iter().zip(b).map(|(a, b)| a + b).collect()
        };
        let want = half(&half(&half(&half(&lanes))))[0];
        for level in levels() {
            let sum = dispatch_at!(level, simd => {
                let mut sum = WideSum::zero(simd);
                v.iter().for_each(|v| sum.add(f32x16::load_array_ref(simd, v)));
                sum.total()
            });
            assert_eq!(sum.to_bits(), want.to_bits(), "{level:?}");
        }
    }

    #[test]
    fn a_maximum_is_found_in_any_lane() {
        for at in 0..16 {
            let v: [f32; 16] =
                std::array::from_fn(|i| if i == at { -1.0 } else { -2.0 - i as f32 });
            for level in levels() {
                let max = dispatch_at!(level, simd => max16(simd, f32x16::load_array(simd, v)));
                assert_eq!(max, -1.0);
            }
        }
    }

    #[test]
    fn padding_and_columns_are_told_apart() {
        let (kept, one) = dispatch!(simd => {
            let row = LaneRow::new(simd, 18);
            let ones = f32x16::splat(simd, 1.0);
            (row.keep(1, ones, 0.5).to_array(), row.only(simd, 1, 17, 3.0).to_array())
        });
        assert_eq!(kept[..3], [1.0, 1.0, 0.5]);
        assert_eq!((one[0], one[1], one.iter().sum::<f32>()), (0.0, 3.0, 3.0));
    }
}
