//! Where an axis has its marks, and what they are called.

use std::ops::Range;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// By doublings.
    Log2,
    Log10,
}

impl Scale {
    /// Where a value lies.
    pub fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log2 => value.log2(),
            Self::Log10 => value.log10(),
        }
    }

    /// What a place is called.
    pub fn label(self, place: f64) -> String {
        match self {
            Self::Linear => number(place),
            Self::Log2 if place < -1e-6 => format!("1/{}", number((-place).exp2())),
            Self::Log2 => number(place.exp2()),
            Self::Log10 => number(10_f64.powf(place)),
        }
    }

    /// Marks within a range of places, at most about eight of them.
    pub fn marks(self, range: &Range<f64>) -> Vec<f64> {
        match self {
            Self::Linear => multiples(range, nice((range.end - range.start) / 6.0)),
            Self::Log2 => multiples(range, ((range.end - range.start) / 8.0).ceil().max(1.0)),
            Self::Log10 if range.end - range.start > 5.0 => multiples(range, 1.0),
            Self::Log10 => {
                let decades = multiples(&(range.start - 1.0..range.end), 1.0);
                let within = |decade: f64| [1.0, 2.0, 5.0].map(|digit: f64| decade + digit.log10());
                let mut marks: Vec<f64> = decades.into_iter().flat_map(within).collect();
                marks.retain(|place| range.contains(place));
                marks
            }
        }
    }
}

/// The smallest of 1, 2, 5, 10, … (and their decimal fractions) that is not below `step`.
fn nice(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    let fits = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * decade >= step * 0.999);
    fits.unwrap_or(10.0) * decade
}

fn multiples(range: &Range<f64>, step: f64) -> Vec<f64> {
    let first = (range.start / step - 1e-9).ceil() as i64;
    let last = (range.end / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// With as many digits as it needs, three of them at most behind the first.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 12.0);
    let power = 10_f64.powf(digits);
    format!("{}", (value * power).round() / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_numbers() {
        let labels = |scale: Scale, range: Range<f64>| -> Vec<String> {
            scale.marks(&range).into_iter().map(|place| scale.label(place)).collect()
        };
        assert_eq!(labels(Scale::Linear, 0.0..3.1), ["0", "1", "2", "3"]);
        assert_eq!(labels(Scale::Linear, 0.0..0.55), ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(labels(Scale::Log2, -2.1..1.0), ["1/4", "1/2", "1", "2"]);
        assert_eq!(labels(Scale::Log10, 0.9..2.1), ["10", "20", "50", "100"]);
        assert!(labels(Scale::Log2, -7.0..7.0).len() <= 8);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.30000000000000004, 1000.0, 12.5, 1.5e-5].map(number),
            ["0.3", "1000", "12.5", "0.000015"]
        );
    }
}
