//! The largest size among values, which bounds every sum of their products.

/// Returns the largest absolute value; infinity where a value is infinite or NaN.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let bits = values.iter().fold(0, |most: u32, v| most.max(v.to_bits() & 0x7fff_ffff));
    f32::from_bits(bits.min(f32::INFINITY.to_bits()))
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
    }
}
