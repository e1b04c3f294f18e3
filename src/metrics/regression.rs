//! Errors of predicted values.

use ndarray::{ArrayView, ArrayView2, Dimension};

use super::same_rows;
use crate::{Error, Result};

/// Computes the mean of `|predicted - actual|` over all rows and outputs.
///
/// # Shapes
/// Both rows x outputs.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ, [`Error::Data`] if they are empty.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use unisono::metrics::mean_absolute_error;
///
/// assert_eq!(mean_absolute_error(array![[1.0], [4.0]].view(), array![[2.0], [2.0]].view())?, 1.5);
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn mean_absolute_error(
    predicted: ArrayView2<'_, f32>,
    actual: ArrayView2<'_, f32>,
) -> Result<f64> {
    same_shape(predicted, actual)?;
    Ok(mean(predicted, actual, f64::abs))
}

/// Computes the root of the mean of `(predicted - actual)²` over the rows, for each output by itself,
/// and takes the mean over the outputs.
///
/// # Shapes
/// Both rows x outputs.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ, [`Error::Data`] if they are empty.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use unisono::metrics::root_mean_squared_error;
///
/// let (predicted, actual) = (array![[1.0, 0.0], [1.0, 4.0]], array![[4.0, 0.0], [4.0, 4.0]]);
/// assert_eq!(root_mean_squared_error(predicted.view(), actual.view())?, 1.5); // (3 + 0) / 2
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn root_mean_squared_error(
    predicted: ArrayView2<'_, f32>,
    actual: ArrayView2<'_, f32>,
) -> Result<f64> {
    same_shape(predicted, actual)?;
    let columns = predicted.columns().into_iter().zip(actual.columns());
    let sum: f64 = columns.map(|(p, a)| mean(p, a, |d| d * d).sqrt()).sum();
    Ok(sum / actual.ncols() as f64)
}

/// Computes the coefficient of determination, `1 - sum (p - a)² / sum (a - mean a)²` per output,
/// and takes the mean over the outputs.
///
/// An output whose actual values are all the same has 1 if it is predicted exactly and 0 if not.
///
/// # Shapes
/// Both rows x outputs.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ, [`Error::Data`] if there are fewer than two rows or no
/// outputs.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use unisono::metrics::r2;
///
/// let actual = array![[1.0], [2.0], [3.0]];
/// assert_eq!(r2(actual.view(), actual.view())?, 1.0);
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn r2(predicted: ArrayView2<'_, f32>, actual: ArrayView2<'_, f32>) -> Result<f64> {
    same_shape(predicted, actual)?;
    let (rows, outputs) = actual.dim();
    if rows < 2 {
        return Err(Error::Data(format!("r2 needs at least two rows, found {rows}")));
    }
    let mut sum = 0.0;
    for (p, a) in predicted.columns().into_iter().zip(actual.columns()) {
        let mean = a.iter().map(|&a| f64::from(a)).sum::<f64>() / rows as f64;
        let (mut residual, mut total) = (0.0, 0.0);
        for (&p, &a) in p.iter().zip(a) {
            let (p, a) = (f64::from(p), f64::from(a));
            residual += (p - a) * (p - a);
            total += (a - mean) * (a - mean);
        }
        sum += match (residual == 0.0, total == 0.0) {
            (true, _) => 1.0,
            (false, true) => 0.0,
            (false, false) => 1.0 - residual / total,
        };
    }
    Ok(sum / outputs as f64)
}

/// The mean size of the differences, of which there is at least one.
fn mean<D: Dimension>(
    predicted: ArrayView<'_, f32, D>,
    actual: ArrayView<'_, f32, D>,
    size: impl Fn(f64) -> f64,
) -> f64 {
    let pairs = predicted.iter().zip(&actual);
    let sum: f64 = pairs.map(|(&p, &a)| size(f64::from(p) - f64::from(a))).sum();
    sum / actual.len() as f64
}

fn same_shape(predicted: ArrayView2<'_, f32>, actual: ArrayView2<'_, f32>) -> Result<()> {
    if predicted.ncols() != actual.ncols() {
        return Err(Error::shape("predicted outputs", actual.ncols(), predicted.ncols()));
    }
    if actual.ncols() == 0 {
        return Err(Error::Data("a metric needs at least one output, found none".into()));
    }
    same_rows("predicted rows", predicted.nrows(), actual.nrows())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn errors_are_those_by_hand() {
        let predicted = array![[1.0, 2.0], [3.0, 4.0]];
        let actual = array![[1.0, 4.0], [0.0, 5.0]];
        assert_eq!(mean_absolute_error(predicted.view(), actual.view()).unwrap(), 1.5);
        let rmse = root_mean_squared_error(predicted.view(), actual.view()).unwrap();
        assert_eq!(rmse, (4.5_f64.sqrt() + 2.5_f64.sqrt()) / 2.0);
    }

    #[test]
    fn r2_is_the_mean_over_outputs() {
        // First output: residual 1.5, total 29.1875; second: residual 1, total 5.
        let predicted = array![[2.5, 1.0], [0.0, 2.0], [2.0, 3.0], [8.0, 5.0]];
        let actual = array![[3.0, 1.0], [-0.5, 2.0], [2.0, 3.0], [7.0, 4.0]];
        let expected = (1.0 - 1.5 / 29.1875 + 1.0 - 1.0 / 5.0) / 2.0;
        assert!((r2(predicted.view(), actual.view()).unwrap() - expected).abs() < 1e-15);
    }

    #[test]
    fn r2_of_constant_targets_is_one_or_zero() {
        let actual = array![[0.1], [0.1], [0.1]];
        assert_eq!(r2(actual.view(), actual.view()).unwrap(), 1.0);
        assert_eq!(r2(array![[0.1], [0.1], [0.2]].view(), actual.view()).unwrap(), 0.0);
    }

    #[test]
    fn wrong_shapes_are_named() {
        let of = |rows, cols| Array2::<f32>::zeros((rows, cols));
        for (predicted, actual, part) in [
            (of(2, 1), of(3, 1), "predicted rows: expected 3"),
            (of(2, 1), of(2, 2), "predicted outputs: expected 2"),
            (of(0, 1), of(0, 1), "at least one row"),
            (of(1, 0), of(1, 0), "at least one output"),
            (of(1, 1), of(1, 1), "two rows"),
        ] {
            let message = r2(predicted.view(), actual.view()).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
