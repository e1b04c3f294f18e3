//! Decides what the target column of a CSV file means.

use std::collections::HashMap;

use ndarray::Array2;

use super::csv::{is_missing, listed, number, shown};
use super::{Targets, classes};

/// The most distinct whole numbers that are taken for classes unless told.
const GUESSED_CLASSES: usize = 20;

/// What a target column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetKind {
    /// The name or number of a class.
    Classes,
    /// A number to predict.
    Values,
}

/// A result whose problem has its line, where there is one, but not the file yet.
type Placed<T> = std::result::Result<T, (Option<u64>, String)>;

/// The entries of the target column: each distinct text once, with the line it first stood in.
#[derive(Debug, Default)]
pub(super) struct TargetColumn {
    texts: Vec<(String, u64)>,
    indices: HashMap<String, usize>,
    entries: Vec<u32>,
}

impl TargetColumn {
    /// Adds the entry of a row.
    pub fn push(&mut self, text: &str, line: u64) {
        let index = match self.indices.get(text) {
            Some(&index) => index,
            None => {
                self.indices.insert(text.into(), self.texts.len());
                self.texts.push((text.into(), line));
                self.texts.len() - 1
            }
        };
        self.entries.push(index as u32);
    }

    /// Turns the entries into targets, with the classes' names if they are classes.
    pub fn finish(
        self,
        kind: Option<TargetKind>,
        class_names: Option<&[String]>,
    ) -> Placed<(Targets, Option<Vec<String>>)> {
        let known = |text: &String| class_names.is_some_and(|names| names.contains(text));
        if let Some((text, line)) = self.texts.iter().find(|(t, _)| is_missing(t) && !known(t)) {
            return Err((Some(*line), format!("{}: the target is missing", shown(text))));
        }
        match (kind, class_names) {
            (Some(TargetKind::Values), _) => self.values(),
            (_, Some(names)) => self.named_classes(names),
            (Some(TargetKind::Classes), None) => Ok(self.classes()),
            (None, None) => match self.guess()? {
                TargetKind::Values => self.values(),
                TargetKind::Classes => Ok(self.classes()),
            },
        }
    }

    /// Text and few whole numbers are classes, other numbers are values, and a mixture is an error.
    fn guess(&self) -> Placed<TargetKind> {
        let is_number = |text: &str| number(text).is_ok();
        let Some((text, line)) = self.texts.iter().find(|(text, _)| !is_number(text)) else {
            let whole = self.texts.iter().all(|(text, _)| classes::is_whole(text));
            let few = self.texts.len() <= GUESSED_CLASSES;
            return Ok(if whole && few { TargetKind::Classes } else { TargetKind::Values });
        };
        if self.texts.iter().any(|(text, _)| is_number(text)) {
            let problem = format!(
                "{} is not a number, and other targets are: mend it, or choose .classes()",
                shown(text)
            );
            return Err((Some(*line), problem));
        }
        Ok(TargetKind::Classes)
    }

    fn values(self) -> Placed<(Targets, Option<Vec<String>>)> {
        let value =
            |(text, line): &(String, u64)| number(text).map_err(|problem| (Some(*line), problem));
        let distinct = self.texts.iter().map(value).collect::<Placed<Vec<f32>>>()?;
        let values: Vec<f32> = self.entries.iter().map(|&index| distinct[index as usize]).collect();
        let values = Array2::from_shape_vec((values.len(), 1), values)
            .map_err(|error| (None, error.to_string()))?;
        Ok((Targets::Values(values), None))
    }

    /// Numbers the classes in sorted order.
    fn classes(self) -> (Targets, Option<Vec<String>>) {
        let texts: Vec<&str> = self.texts.iter().map(|(text, _)| text.as_str()).collect();
        let (names, class_of) = classes::numbered(&texts);
        let labels = self.entries.iter().map(|&index| class_of[index as usize]).collect();
        (Targets::Classes { labels, count: names.len() }, Some(names))
    }

    /// Numbers the classes as the given names are.
    fn named_classes(self, names: &[String]) -> Placed<(Targets, Option<Vec<String>>)> {
        let class = |(text, line): &(String, u64)| {
            let position = classes::position(names, text);
            let problem = || format!("class {} is not one of {}", shown(text), listed(names));
            position.map(|class| class as u32).ok_or_else(|| (Some(*line), problem()))
        };
        let class_of = self.texts.iter().map(class).collect::<Placed<Vec<u32>>>()?;
        let labels = self.entries.iter().map(|&index| class_of[index as usize]).collect();
        Ok((Targets::Classes { labels, count: names.len() }, Some(names.to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(texts: &[&str]) -> TargetColumn {
        let mut column = TargetColumn::default();
        texts.iter().zip(1..).for_each(|(text, line)| column.push(text, line));
        column
    }

    fn labels(texts: &[&str]) -> (Vec<u32>, Vec<String>) {
        match column(texts).finish(None, None).unwrap() {
            (Targets::Classes { labels, .. }, Some(names)) => (labels, names),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_makes_classes_in_sorted_order() {
        assert_eq!(labels(&["b", "a", "b"]), (vec![1, 0, 1], vec!["a".into(), "b".into()]));
    }

    #[test]
    fn numbers_are_sorted_as_numbers() {
        let names = ["2", "9", "10"].map(String::from).to_vec();
        assert_eq!(labels(&["10", "9", "2", "9.0"]), (vec![2, 1, 0, 1], names));
    }

    #[test]
    fn many_or_broken_numbers_are_values() {
        let many: Vec<String> = (0..=GUESSED_CLASSES).map(|i| i.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for texts in [&["0.5", "1"][..], &many] {
            let (targets, names) = column(texts).finish(None, None).unwrap();
            assert!(matches!(targets, Targets::Values(_)) && names.is_none());
        }
    }

    #[test]
    fn the_kind_given_wins_over_the_guess() {
        let (targets, _) = column(&["3", "1"]).finish(Some(TargetKind::Values), None).unwrap();
        assert_eq!(targets, Targets::Values(ndarray::array![[3.0], [1.0]]));
        let (targets, _) = column(&["0.5", "x"]).finish(Some(TargetKind::Classes), None).unwrap();
        assert_eq!(targets, Targets::Classes { labels: vec![0, 1], count: 2 });
    }

    #[test]
    fn a_mixture_of_text_and_numbers_is_not_guessed() {
        let (line, problem) = column(&["1", "2", "1,5"]).finish(None, None).unwrap_err();
        assert_eq!(line, Some(3));
        assert!(problem.contains("\"1,5\" is not a number"), "{problem}");
    }

    #[test]
    fn given_names_fix_the_numbering() {
        let names = ["NA", "EU"].map(String::from);
        let (targets, _) = column(&["EU", "NA"]).finish(None, Some(&names)).unwrap();
        assert_eq!(targets, Targets::Classes { labels: vec![1, 0], count: 2 });
        let (line, problem) = column(&["EU", "AS"]).finish(None, Some(&names)).unwrap_err();
        assert_eq!(
            (line, problem.as_str()),
            (Some(2), "class \"AS\" is not one of \"NA\", \"EU\"")
        );
    }
}
