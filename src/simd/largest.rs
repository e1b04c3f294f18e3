//! The largest size among values, which bounds every sum of their products.

use super::dispatch;

/// Returns the largest absolute value; infinity where a value is infinite or NaN.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let bits = values.iter().fold(0, |most: u32, v| most.max(v.to_bits() & 0x7fff_ffff));
    f32::from_bits(bits.min(f32::INFINITY.to_bits()))
}

/// Whether every value is finite.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    dispatch!(_simd => largest(values)).is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_every_value_and_what_is_none() {
        assert_eq!(largest(&[]), 0.0);
        assert_eq!(largest(&[1.0, -3.0, 2.0]), 3.0);
        assert_eq!(largest(&[1.0, f32::NAN]), f32::INFINITY);
        assert_eq!(largest(&[1.0, f32::NEG_INFINITY]), f32::INFINITY);
        assert!(all_finite(&[1.0, f32::MAX]) && !all_finite(&[f32::NAN, 1.0]));
    }
}
