//! The confusion matrix and what follows from it.

use std::fmt;

use super::{in_range, same_rows};
use crate::{Dataset, Error, Result, Sequential};

/// Counts rows by actual and predicted class. It prints as a table, actual classes down, predicted
/// ones across.
///
/// A ratio without rows to divide by (precision of a class never predicted, say) is 0.
///
/// # Examples
/// ```
/// use unisono::metrics::ConfusionMatrix;
///
/// let matrix = ConfusionMatrix::new(&[0, 0, 1, 1], &[0, 1, 1, 1], 2)?.with_names(&["cat", "dog"])?;
/// assert_eq!(matrix.count(1, 0), 1);
/// assert_eq!(matrix.precision(0), 0.5);
/// println!("{matrix}\n{}", matrix.report());
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// Row-major, actual x predicted.
    counts: Vec<u64>,
    names: Vec<String>,
}

/// Precision, recall and their harmonic mean, of a class or averaged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Share of the rows predicted as the class that are of it.
    pub precision: f64,
    /// Share of the class's rows that are predicted as it.
    pub recall: f64,
    /// Harmonic mean of both: `2 hits / (predicted + actual)`.
    pub f1: f64,
    /// Rows of the class.
    pub support: u64,
}

impl ConfusionMatrix {
    /// Counts predictions.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ, [`Error::Data`] if there are no rows or a class is
    /// not below `classes`.
    pub fn new(predicted: &[usize], actual: &[usize], classes: usize) -> Result<Self> {
        same_rows("predicted classes", predicted.len(), actual.len())?;
        in_range("predicted", predicted, classes)?;
        in_range("actual", actual, classes)?;
        let cells = classes.checked_mul(classes).filter(|&cells| cells <= 1 << 28);
        let Some(cells) = cells else {
            let problem = format!("expected at most 16384 for a table of them, found {classes}");
            return Err(Error::config("classes", problem));
        };
        let mut counts = vec![0; cells];
        for (p, a) in predicted.iter().zip(actual) {
            counts[a * classes + p] += 1;
        }
        Ok(Self { counts, names: (0..classes).map(|class| class.to_string()).collect() })
    }

    /// Counts a model's predictions on a data set of classes, whose names are the data's or else the model's.
    ///
    /// # Errors
    /// [`Error::Data`] if the targets are values, if the data name a column or class otherwise than those that the model
    /// was trained on, and as [`Sequential::predict_classes`].
    ///
    /// # Examples
    /// ```
    /// use unisono::metrics::ConfusionMatrix;
    /// use unisono::{Activation, Sequential, datasets};
    ///
    /// let model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
    /// let matrix = ConfusionMatrix::of(&model, &datasets::iris())?;
    /// assert!(matrix.to_string().contains("virginica"));
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn of(model: &Sequential, data: &Dataset) -> Result<Self> {
        let (Some(labels), Some(classes)) = (data.labels(), data.classes()) else {
            let problem = "expected targets of classes, found values";
            return Err(Error::Data(problem.to_owned()));
        };
        model.check_names(data.into())?;
        let predicted = model.predict_classes(data.x())?;
        let actual: Vec<usize> = labels.iter().map(|&label| label as usize).collect();
        let classes = classes.max(model.outputs()).max(2);
        let matrix = Self::new(&predicted, &actual, classes)?;
        let names = [data.class_names(), model.class_names()];
        match names.into_iter().flatten().find(|names| names.len() == classes) {
            Some(names) => matrix.with_names(names),
            None => Ok(matrix),
        }
    }

    /// Gives the classes names to print.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many names as classes.
    pub fn with_names<T: AsRef<str>>(mut self, names: &[T]) -> Result<Self> {
        if names.len() != self.classes() {
            return Err(Error::shape("class names", self.classes(), names.len()));
        }
        self.names = names.iter().map(|name| name.as_ref().to_string()).collect();
        Ok(self)
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The number of rows of an actual class that were predicted as another, or the same.
    ///
    /// # Panics
    /// If a class is out of range.
    pub fn count(&self, actual: usize, predicted: usize) -> u64 {
        self.row(actual)[predicted]
    }

    /// Computes a class's precision.
    ///
    /// # Panics
    /// If the class is out of range.
    pub fn precision(&self, class: usize) -> f64 {
        self.scores(class).precision
    }

    /// Computes a class's recall.
    ///
    /// # Panics
    /// If the class is out of range.
    pub fn recall(&self, class: usize) -> f64 {
        self.scores(class).recall
    }

    /// Computes a class's F1.
    ///
    /// # Panics
    /// If the class is out of range.
    pub fn f1(&self, class: usize) -> f64 {
        self.scores(class).f1
    }

    /// Computes all of a class's scores.
    ///
    /// # Panics
    /// If the class is out of range.
    pub fn scores(&self, class: usize) -> Scores {
        let hits = self.count(class, class);
        let (support, predicted) = (self.support(class), self.predicted(class));
        Scores {
            precision: ratio(hits, predicted),
            recall: ratio(hits, support),
            f1: ratio(2 * hits, predicted + support),
            support,
        }
    }

    /// Computes the share of rows predicted right.
    pub fn accuracy(&self) -> f64 {
        ratio((0..self.classes()).map(|class| self.count(class, class)).sum(), self.total())
    }

    /// Averages the scores of the classes that occur, actual or predicted, each counting the same.
    pub fn macro_average(&self) -> Scores {
        self.average(|_| 1.0)
    }

    /// Averages the scores, each class counting by its rows.
    pub fn weighted_average(&self) -> Scores {
        self.average(|scores| scores.support as f64)
    }

    /// Lists the scores of every class that occurs, and the averages.
    pub fn report(&self) -> ClassificationReport {
        ClassificationReport {
            classes: self.occurring().map(|c| (self.names[c].clone(), self.scores(c))).collect(),
            accuracy: self.accuracy(),
            macro_average: self.macro_average(),
            weighted_average: self.weighted_average(),
        }
    }

    fn row(&self, actual: usize) -> &[u64] {
        &self.counts[actual * self.classes()..][..self.classes()]
    }

    fn support(&self, class: usize) -> u64 {
        self.row(class).iter().sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        self.counts[class..].iter().step_by(self.classes()).sum()
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn occurring(&self) -> impl Iterator<Item = usize> {
        (0..self.classes()).filter(|&class| self.support(class) + self.predicted(class) > 0)
    }

    fn average(&self, weight: impl Fn(&Scores) -> f64) -> Scores {
        let mut sum = Scores { precision: 0.0, recall: 0.0, f1: 0.0, support: self.total() };
        let mut weights = 0.0;
        for scores in self.occurring().map(|class| self.scores(class)) {
            let weight = weight(&scores);
            weights += weight;
            sum.precision += weight * scores.precision;
            sum.recall += weight * scores.recall;
            sum.f1 += weight * scores.f1;
        }
        let Scores { precision, recall, f1, support } = sum;
        Scores {
            precision: precision / weights,
            recall: recall / weights,
            f1: f1 / weights,
            support,
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = "actual \\ predicted";
        let longest = |names: &[String]| names.iter().map(|name| name.chars().count()).max();
        let first = longest(&self.names).unwrap_or(0).max(side.len());
        let digits = self.counts.iter().max().map_or(1, |count| count.to_string().len());
        write!(f, "{side:<first$}")?;
        let widths: Vec<usize> =
            self.names.iter().map(|name| name.chars().count().max(digits)).collect();
        for (name, width) in self.names.iter().zip(&widths) {
            write!(f, "  {name:>width$}")?;
        }
        for (class, name) in self.names.iter().enumerate() {
            write!(f, "\n{name:<first$}")?;
            for (count, width) in self.row(class).iter().zip(&widths) {
                write!(f, "  {count:>width$}")?;
            }
        }
        Ok(())
    }
}

/// Scores of every class and their averages, printed like scikit-learn's `classification_report`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassificationReport {
    /// Name and scores of the classes that occur.
    pub classes: Vec<(String, Scores)>,
    /// Share of rows predicted right.
    pub accuracy: f64,
    /// Each class counting the same.
    pub macro_average: Scores,
    /// Each class counting by its rows.
    pub weighted_average: Scores,
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weighted = "weighted avg";
        let names = self.classes.iter().map(|(name, _)| name.chars().count());
        let width = names.max().unwrap_or(0).max(weighted.len());
        let line = |f: &mut fmt::Formatter<'_>, name: &str, scores: &Scores| {
            let Scores { precision, recall, f1, support } = scores;
            writeln!(f, "{name:>width$}  {precision:>9.2} {recall:>9.2} {f1:>9.2} {support:>9}")
        };
        writeln!(f, "{:>width$}  precision    recall  f1-score   support\n", "")?;
        for (name, scores) in &self.classes {
            line(f, name, scores)?;
        }
        let (accuracy, rows) = (self.accuracy, self.macro_average.support);
        writeln!(f, "\n{:>width$}  {:>19} {accuracy:>9.2} {rows:>9}", "accuracy", "")?;
        line(f, "macro avg", &self.macro_average)?;
        line(f, weighted, &self.weighted_average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six rows: class 0 hit twice of three, class 1 once of one, class 2 once of two.
    fn matrix() -> ConfusionMatrix {
        ConfusionMatrix::new(&[0, 0, 1, 1, 2, 0], &[0, 0, 0, 1, 2, 2], 3).unwrap()
    }

    #[test]
    fn cells_hold_actual_by_predicted() {
        let found: Vec<u64> = (0..9).map(|i| matrix().count(i / 3, i % 3)).collect();
        assert_eq!(found, [2, 1, 0, 0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn scores_are_those_by_hand() {
        let matrix = matrix();
        let expected =
            [(2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0), (0.5, 1.0, 2.0 / 3.0), (1.0, 0.5, 2.0 / 3.0)];
        for (class, (precision, recall, f1)) in expected.into_iter().enumerate() {
            assert_eq!(matrix.precision(class), precision);
            assert_eq!(matrix.recall(class), recall);
            assert_eq!(matrix.f1(class), f1);
        }
        assert_eq!(matrix.accuracy(), 4.0 / 6.0);
    }

    #[test]
    fn averages_weigh_classes_or_rows() {
        let (even, weighted) = (matrix().macro_average(), matrix().weighted_average());
        assert!((even.precision - 13.0 / 18.0).abs() < 1e-15);
        assert!((even.recall - 13.0 / 18.0).abs() < 1e-15);
        assert!((weighted.precision - 4.5 / 6.0).abs() < 1e-15);
        assert!((weighted.recall - 4.0 / 6.0).abs() < 1e-15);
        assert_eq!((even.support, weighted.support), (6, 6));
    }

    #[test]
    fn classes_that_do_not_occur_do_not_count() {
        let matrix = ConfusionMatrix::new(&[0, 1], &[0, 0], 4).unwrap();
        assert_eq!(matrix.macro_average().recall, 0.25);
        assert_eq!((matrix.precision(3), matrix.recall(3), matrix.f1(3)), (0.0, 0.0, 0.0));
        assert_eq!(matrix.report().classes.len(), 2);
    }

    #[test]
    fn the_table_is_aligned() {
        let matrix = matrix().with_names(&["setosa", "v", "virginica"]).unwrap();
        let expected = "actual \\ predicted  setosa  v  virginica\n\
                        setosa                   2  1          0\n\
                        v                        0  1          0\n\
                        virginica                1  0          1";
        assert_eq!(matrix.to_string(), expected);
    }

    #[test]
    fn the_report_is_scikit_learns() {
        let matrix = matrix().with_names(&["a", "b", "c"]).unwrap();
        let expected = "              precision    recall  f1-score   support

           a       0.67      0.67      0.67         3
           b       0.50      1.00      0.67         1
           c       1.00      0.50      0.67         2

    accuracy                           0.67         6
   macro avg       0.72      0.72      0.67         6
weighted avg       0.75      0.67      0.67         6
";
        assert_eq!(matrix.report().to_string(), expected);
    }

    #[test]
    fn wrong_input_is_named() {
        for (error, part) in [
            (ConfusionMatrix::new(&[0], &[0, 1], 2).unwrap_err(), "expected 2"),
            (ConfusionMatrix::new(&[], &[], 2).unwrap_err(), "at least one row"),
            (ConfusionMatrix::new(&[0, 2], &[0, 1], 2).unwrap_err(), "predicted class in row 1"),
            (ConfusionMatrix::new(&[0, 1], &[3, 1], 2).unwrap_err(), "actual class in row 0"),
            (ConfusionMatrix::new(&[0], &[0], usize::MAX).unwrap_err(), "`classes`"),
            (matrix().with_names(&["a"]).unwrap_err(), "class names: expected 3"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
