//! How losses are written.

/// A number with so many decimals; with an exponent where these would show less than two digits of it, or where it is
/// too long to be read.
pub(crate) fn decimals(value: f64, count: usize) -> String {
    let fixed = format!("{value:.count$}");
    let digits = fixed.trim_start_matches(['-', '0', '.']).len();
    let size = value.abs();
    if size == 0.0 || (digits >= 2 && size < 1e7) || !value.is_finite() {
        fixed
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_their_digits_whatever_their_size() {
        for (value, four, six) in [
            (0.0, "0.0000", "0.000000"),
            (0.25, "0.2500", "0.250000"),
            (-0.0015, "-0.0015", "-0.001500"),
            (0.001, "0.0010", "0.001000"),
            (0.00012346, "1.235e-4", "0.000123"),
            (1.5e-11, "1.500e-11", "1.500e-11"),
            (123456.0, "123456.0000", "123456.000000"),
            (8.5e29, "8.500e29", "8.500e29"),
            (f64::INFINITY, "inf", "inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            assert_eq!((&*decimals(value, 4), &*decimals(value, 6)), (four, six));
        }
    }
}
