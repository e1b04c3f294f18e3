//! Measures of how good predictions are.
//!
//! Classes are numbers from 0; sums and means are in f64. Definitions are scikit-learn's, several
//! outputs count the same each, and a ratio without rows to divide by is 0. Two things differ: of equal
//! scores [`top_k`] takes the lower class, as a model's predicted class is, and not the higher; and what
//! has no value, such as [`r2`] of a single row, is an error and not NaN.

mod confusion;
mod regression;

use ndarray::ArrayView2;

use crate::{Error, Result};

pub use confusion::{ClassificationReport, ConfusionMatrix, Scores};
pub use regression::{mean_absolute_error, r2, root_mean_squared_error};

/// Computes the share of rows whose predicted class is the actual one.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ, [`Error::Data`] if there are no rows.
///
/// # Examples
/// ```
/// use unisono::metrics::accuracy;
///
/// assert_eq!(accuracy(&[0, 1, 2, 2], &[0, 1, 1, 2])?, 0.75);
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn accuracy(predicted: &[usize], actual: &[usize]) -> Result<f64> {
    same_rows("predicted classes", predicted.len(), actual.len())?;
    let hits = predicted.iter().zip(actual).filter(|(p, a)| p == a).count();
    Ok(hits as f64 / actual.len() as f64)
}

/// Computes the share of rows whose actual class is among the `k` with the highest scores.
///
/// Of equal scores the lower class counts as higher, as it does for the predicted class; a score
/// that is NaN counts as lowest.
///
/// # Shapes
/// `scores`: rows x classes (logits or probabilities); `actual`: rows.
///
/// # Errors
/// [`Error::Shape`] if the lengths differ, [`Error::Data`] if there are no rows or a class is out
/// of range, [`Error::Config`] if `k` is not from 1 to the number of classes.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use unisono::metrics::top_k;
///
/// let scores = array![[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]];
/// assert_eq!(top_k(scores.view(), &[1, 0], 2)?, 0.5);
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn top_k(scores: ArrayView2<'_, f32>, actual: &[usize], k: usize) -> Result<f64> {
    same_rows("rows of scores", scores.nrows(), actual.len())?;
    let classes = scores.ncols();
    if !(1..=classes).contains(&k) {
        let problem = format!("expected from 1 to {classes}, the number of classes, found {k}");
        return Err(Error::config("k", problem));
    }
    in_range("actual", actual, classes)?;
    let hits = scores.rows().into_iter().zip(actual).filter(|(row, class)| {
        let own = row[**class];
        let ahead = row
            .iter()
            .enumerate()
            .filter(|(other, score)| **score > own || (**score == own && other < class));
        !own.is_nan() && ahead.count() < k
    });
    Ok(hits.count() as f64 / actual.len() as f64)
}

/// Demands as many rows of one thing as there are actual values, and at least one.
fn same_rows(what: &str, found: usize, actual: usize) -> Result<()> {
    if found != actual {
        return Err(Error::shape(what, format!("{actual}, as many as actual values"), found));
    }
    if actual == 0 {
        return Err(Error::Data("a metric needs at least one row, found none".into()));
    }
    Ok(())
}

/// Demands classes below a number of classes.
fn in_range(what: &str, labels: &[usize], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(()),
        Some(row) => Err(Error::Data(format!(
            "{what} class in row {row}: expected below {classes}, the number of classes, found {}",
            labels[row]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn accuracy_counts_hits() {
        assert_eq!(accuracy(&[1, 2, 3], &[1, 0, 3]).unwrap(), 2.0 / 3.0);
    }

    #[test]
    fn top_k_widens_with_k() {
        let scores = array![[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.3, 0.4, 0.3]];
        let at = |k| top_k(scores.view(), &[2, 2, 0], k).unwrap();
        assert_eq!([at(1), at(2), at(3)], [1.0 / 3.0, 2.0 / 3.0, 1.0]);
    }

    #[test]
    fn ties_go_to_the_lower_class_and_nan_to_nobody() {
        let ties = array![[0.5, 0.5], [0.5, 0.5]];
        assert_eq!(top_k(ties.view(), &[0, 1], 1).unwrap(), 0.5);
        let broken = array![[f32::NAN, 0.0], [f32::NAN, 0.0]];
        assert_eq!(top_k(broken.view(), &[0, 1], 1).unwrap(), 0.5);
    }

    #[test]
    fn wrong_input_is_named() {
        let scores = array![[0.5, 0.5]];
        for (error, part) in [
            (accuracy(&[0], &[0, 1]).unwrap_err(), "expected 2"),
            (accuracy(&[], &[]).unwrap_err(), "at least one row"),
            (top_k(scores.view(), &[0, 1], 1).unwrap_err(), "rows of scores"),
            (top_k(scores.view(), &[2], 1).unwrap_err(), "row 0: expected below 2"),
            (top_k(scores.view(), &[0], 0).unwrap_err(), "`k`"),
            (top_k(scores.view(), &[0], 3).unwrap_err(), "`k`"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
