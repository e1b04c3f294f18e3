//! Classes by their names: which texts name the same one, and how they are numbered.

use std::borrow::Cow;
use std::collections::HashSet;

use super::csv::{double, shown};
use crate::{Error, Result};

/// Below this every whole number is an f64 of its own.
const EXACT: f64 = (1_u64 << 53) as f64;

/// Whether a text is a whole number, such as `3` or `3.0`.
pub(super) fn is_whole(text: &str) -> bool {
    double(text).is_ok_and(|value| value.fract() == 0.0)
}

/// Names the classes of distinct texts in sorted order, as numbers if all are, and gives the class of
/// each text. Where all are numbers, `9` and `9.0` are one class.
pub(super) fn numbered(texts: &[&str]) -> (Vec<String>, Vec<u32>) {
    let values: Option<Vec<f64>> = texts.iter().map(|text| value(text)).collect();
    let mut order: Vec<usize> = (0..texts.len()).collect();
    match &values {
        Some(values) => order.sort_by(|&a, &b| {
            // Codes go last, so that they do not stand between spellings of one number.
            let rest = |i: usize| (is_code(texts[i]), texts[i]);
            values[a].total_cmp(&values[b]).then_with(|| rest(a).cmp(&rest(b)))
        }),
        None => order.sort_by_key(|&index| texts[index]),
    }
    let same = |a: usize, b: usize| values.is_some() && same_number(texts[a], texts[b]);
    let mut names: Vec<String> = Vec::new();
    let mut class_of = vec![0; order.len()];
    for (position, &index) in order.iter().enumerate() {
        if position == 0 || !same(order[position - 1], index) {
            names.push(texts[index].to_owned());
        }
        class_of[index] = names.len() as u32 - 1;
    }
    (names, class_of)
}

/// Refuses names of which one is there twice.
pub(super) fn each_once<'n>(
    field: &'static str,
    names: impl Iterator<Item = Cow<'n, str>>,
) -> Result<()> {
    let mut seen = HashSet::new();
    match { names }.find(|name| !seen.insert(name.clone())) {
        None => Ok(()),
        Some(name) => {
            let problem = format!("expected each name once, found {} twice", shown(&name));
            Err(Error::config(field, problem))
        }
    }
}

/// The class of a text: that of this name, or else that of the same number.
pub(super) fn position(names: &[String], text: &str) -> Option<usize> {
    let exact = names.iter().position(|name| name == text);
    exact.or_else(|| names.iter().position(|name| same_number(name, text)))
}

/// What tells names apart: spellings of one number are one name.
pub(crate) fn key(name: &str) -> Cow<'_, str> {
    plain(name).map_or(Cow::Borrowed(name), |value| Cow::Owned(value.to_string()))
}

/// Whether two texts are spellings of one number.
fn same_number(a: &str, b: &str) -> bool {
    plain(a).is_some_and(|a| plain(b) == Some(a))
}

/// A number that spellings may differ of, which codes and what f64 rounds are not known to be.
fn plain(text: &str) -> Option<f64> {
    value(text).filter(|value| value.abs() < EXACT && !is_code(text))
}

fn value(text: &str) -> Option<f64> {
    // Of -0, which would be sorted before 0, the sum makes 0.
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| value + 0.0)
}

/// Whether a number is written with leading zeros, as codes are.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    digits.first() == Some(&b'0') && digits.get(1).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_number_are_one_class() {
        let (names, classes) = numbered(&["9.0", "-0", "10", "0", "9", "1e1"]);
        assert_eq!(names, ["-0", "9", "10"]);
        assert_eq!(classes, [1, 0, 2, 0, 1, 2]);
    }

    #[test]
    fn codes_with_leading_zeros_are_none_of_them() {
        let (names, classes) = numbered(&["007", "7", "07", "7.0", "0.5", "00"]);
        assert_eq!(names, ["00", "0.5", "7", "007", "07"]);
        assert_eq!(classes, [3, 2, 4, 2, 1, 0]);
    }

    #[test]
    fn numbers_that_f64_rounds_to_one_stay_apart() {
        let ids = ["1000000000000000002", "1000000000000000000", "1000000000000000001"];
        assert_eq!(numbered(&ids).1, [2, 0, 1]);
        assert_eq!(numbered(&["9007199254740993", "9007199254740992"]).1, [1, 0]);
    }

    #[test]
    fn a_single_text_makes_all_of_them_text() {
        let (names, _) = numbered(&["10", "9", "1a", "9.0"]);
        assert_eq!(names, ["10", "1a", "9", "9.0"]);
    }

    #[test]
    fn a_text_has_the_class_of_its_name_before_that_of_its_number() {
        let names = ["7", "7.0", "007"].map(String::from);
        let positions = ["7.0", "7.00", "007", "07"].map(|text| position(&names, text));
        assert_eq!(positions, [Some(1), Some(0), Some(2), None]);
    }

    #[test]
    fn keys_are_equal_where_classes_are_one() {
        let texts = [
            "7",
            "7.0",
            "007",
            "-0",
            "0",
            "9007199254740993",
            "9007199254740992",
            "a",
            "0.5",
            ".5",
        ];
        for a in texts {
            for b in texts {
                assert_eq!(key(a) == key(b), a == b || same_number(a, b), "{a} {b}");
            }
        }
    }
}
