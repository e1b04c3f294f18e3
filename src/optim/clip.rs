//! Clipping of gradients.

use fearless_simd::prelude::*;
use fearless_simd::{f32x16, f64x8};

use crate::rows::LANES;
use crate::simd::{Registers, dispatch};
use crate::{Error, Result};

/// Limits gradients before they reach the optimizer.
///
/// # Examples
/// ```
/// use unisono::Clip;
///
/// assert!(Clip::Norm(1.0).check().is_ok());
/// assert!(Clip::Value(-1.0).check().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Clip {
    /// Takes gradients as they are.
    #[default]
    None,
    /// Cuts every component to at most this size, either sign.
    Value(f32),
    /// Scales the whole gradient down to this Euclidean norm where it is longer: by
    /// `limit / (norm + 1e-6)`, as `torch.nn.utils.clip_grad_norm_` does.
    Norm(f32),
}

impl Clip {
    /// Checks the limit.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not a positive number.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Value(limit) | Self::Norm(limit) if !(limit > 0.0 && limit.is_finite()) => Err(
                Error::config("clip", format!("expected a finite limit above 0, found {limit}")),
            ),
            _ => Ok(()),
        }
    }

    /// What is done to every component of a gradient with this sum of squares (which only
    /// [`Clip::Norm`] looks at).
    pub(crate) fn scale(&self, sum_of_squares: f64) -> GradScale {
        match *self {
            Self::None => GradScale::NONE,
            Self::Value(limit) => GradScale { clip: Some(limit), ..GradScale::NONE },
            Self::Norm(limit) => {
                let scale = f64::from(limit) / (sum_of_squares.sqrt() + 1e-6);
                GradScale { scale: scale.min(1.0) as f32, clip: None }
            }
        }
    }
}

/// What happens to a gradient's components on their way into the update: first the factor, then
/// the cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GradScale {
    pub scale: f32,
    pub clip: Option<f32>,
}

impl GradScale {
    /// Nothing.
    pub const NONE: Self = Self { scale: 1.0, clip: None };
}

/// Adds up squares in f64: lane `i % 16` takes value `i`, in index order, then the upper half of
/// the lanes is folded onto the lower one until one is left.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    dispatch!(simd => squares(simd, values))
}

/// The square of an f32 is exact in f64, so a fused multiply-add and a separate one agree, and the
/// fallback may take the cheap one.
#[inline(always)]
fn squares<S: Registers>(simd: S, values: &[f32]) -> f64 {
    let (panels, rest) = values.as_chunks::<LANES>();
    let (mut low, mut high) = (f64x8::splat(simd, 0.0), f64x8::splat(simd, 0.0));
    for panel in panels {
        let (a, b) = f32x16::simd_from(simd, *panel).widen();
        low = a.mul_add(a, low);
        high = b.mul_add(b, high);
    }
    let mut lanes = [0.0; LANES];
    low.store_slice(&mut lanes[..8]);
    high.store_slice(&mut lanes[8..]);
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(value) * f64::from(value);
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use crate::simd::dispatch_at;
    use crate::simd::testing::levels;

    fn values(len: usize) -> Vec<f32> {
        let mut stream = Stream::new(3, Purpose::Synthetic, 0, 0);
        (0..len).map(|_| stream.normal()).collect()
    }

    #[test]
    fn squares_add_up() {
        for len in [0, 1, 15, 16, 17, 48, 1000, 4112] {
            let values = values(len);
            let expected: f64 = values.iter().map(|&v| f64::from(v).powi(2)).sum();
            assert!((sum_of_squares(&values) - expected).abs() <= 1e-12 * expected);
        }
    }

    #[test]
    fn squares_are_the_same_bits_at_every_level() {
        let values = values(1013);
        let bits = levels()
            .into_iter()
            .map(|level| dispatch_at!(level, simd => squares(simd, &values)).to_bits());
        assert!(bits.into_iter().all(|bits| bits == sum_of_squares(&values).to_bits()));
    }

    #[test]
    fn squares_do_not_overflow() {
        assert!(sum_of_squares(&[f32::MAX; 32]).is_finite());
    }

    #[test]
    fn a_short_gradient_is_left_alone() {
        assert_eq!(Clip::Norm(2.0).scale(1.0), GradScale::NONE);
        assert_eq!(Clip::Norm(2.0).scale(0.0), GradScale::NONE);
    }

    #[test]
    fn a_long_gradient_gets_the_norm() {
        let scale = f64::from(Clip::Norm(2.0).scale(100.0).scale);
        assert!((scale - 0.2).abs() < 1e-6, "{scale}");
    }

    #[test]
    fn limits_are_positive_numbers() {
        for limit in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Clip::Value(limit).check().is_err());
            assert!(Clip::Norm(limit).check().is_err());
        }
        assert!(Clip::None.check().is_ok());
    }
}
