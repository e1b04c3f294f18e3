//! Standardisation, and what both scalers share.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::Dataset;
use super::targets::check_finite;
use crate::{Error, Result};

/// Brings every column to mean 0 and standard deviation 1: `(x - mean) / scale`.
///
/// The scale is the population's standard deviation (divided by rows, as scikit-learn's); a constant
/// column has scale 1, so it becomes 0. Fit on the training rows alone and apply to all others.
///
/// # Examples
/// ```
/// use unisono::{StandardScaler, datasets};
///
/// let (train, test) = datasets::iris().split(0.2, 42)?;
/// let scaler = StandardScaler::fit(&train)?;
/// let (train, test) = (scaler.transform(&train)?, scaler.transform(&test)?);
/// assert!(train.x().column(0).sum().abs() < 1e-3);
/// # assert_eq!(test.rows(), 30);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Parts")]
pub struct StandardScaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

/// A scaler as a file has it, to be checked.
#[derive(serde::Deserialize)]
struct Parts {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl TryFrom<Parts> for StandardScaler {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        Self::from_parts(parts.mean, parts.scale)
    }
}

impl StandardScaler {
    /// Learns mean and scale of each column of a data set's features.
    ///
    /// # Errors
    /// None today; a `Result` as of everything that is fitted.
    pub fn fit(data: &Dataset) -> Result<Self> {
        Self::fit_array(data.x())
    }

    /// Learns mean and scale of each column of an array, as of target values.
    ///
    /// # Errors
    /// If the array is empty or a number in it is not finite.
    pub fn fit_array(x: ArrayView2<'_, f32>) -> Result<Self> {
        check_input(x)?;
        let rows = x.nrows() as f64;
        // Differences from the first row make a constant column's deviation exactly 0.
        let first: Vec<f64> = x.row(0).iter().map(|&v| f64::from(v)).collect();
        let mut shift = vec![0.0; first.len()];
        each(x, |column, v| shift[column] += v - first[column]);
        shift.iter_mut().for_each(|sum| *sum /= rows);
        let mut scale = vec![0.0; first.len()];
        each(x, |column, v| {
            let deviation = v - first[column] - shift[column];
            scale[column] += deviation * deviation;
        });
        for sum in &mut scale {
            *sum = (*sum / rows).sqrt();
            if *sum == 0.0 {
                *sum = 1.0;
            }
        }
        Ok(Self { mean: first.iter().zip(&shift).map(|(f, s)| f + s).collect(), scale })
    }

    /// Makes a scaler from means and scales learned before.
    ///
    /// # Errors
    /// If the lengths differ, a number is not finite or a scale is not positive.
    pub fn from_parts(mean: Vec<f64>, scale: Vec<f64>) -> Result<Self> {
        if mean.len() != scale.len() || mean.is_empty() {
            return Err(Error::shape("scales, one for each mean", mean.len().max(1), scale.len()));
        }
        if let Some(column) = mean.iter().position(|m| !m.is_finite()) {
            return Err(Error::Data(format!("mean of column {column} is {}", mean[column])));
        }
        if let Some(column) = scale.iter().position(|s| !(s.is_finite() && *s > 0.0)) {
            let problem = format!("scale of column {column} is {}, not positive", scale[column]);
            return Err(Error::Data(problem));
        }
        Ok(Self { mean, scale })
    }

    /// Returns the mean of each column.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Returns what each column is divided by.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// Standardises the features of a data set.
    ///
    /// # Errors
    /// If it has another number of columns, or a result is too large for f32.
    pub fn transform(&self, data: &Dataset) -> Result<Dataset> {
        data.with_changed(|x| self.apply(x))
    }

    /// Undoes [`StandardScaler::transform`].
    ///
    /// # Errors
    /// As [`StandardScaler::transform`].
    pub fn inverse_transform(&self, data: &Dataset) -> Result<Dataset> {
        data.with_changed(|x| self.undo(x))
    }

    /// Standardises the columns of an array.
    ///
    /// # Errors
    /// As [`StandardScaler::transform`].
    pub fn transform_array(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        changed(x, |x| self.apply(x))
    }

    /// Undoes [`StandardScaler::transform_array`], as for a model's predictions.
    ///
    /// # Errors
    /// As [`StandardScaler::transform`].
    pub fn inverse_transform_array(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        changed(x, |x| self.undo(x))
    }

    fn apply(&self, x: ArrayViewMut2<'_, f32>) -> Result<()> {
        map(x, self.mean.len(), |column, v| (v - self.mean[column]) / self.scale[column])
    }

    /// Standardises a row in place.
    pub(super) fn scale_row(&self, row: &mut [f32]) {
        for (v, (mean, scale)) in row.iter_mut().zip(self.mean.iter().zip(&self.scale)) {
            *v = ((f64::from(*v) - mean) / scale) as f32;
        }
    }

    fn undo(&self, x: ArrayViewMut2<'_, f32>) -> Result<()> {
        map(x, self.mean.len(), |column, v| v * self.scale[column] + self.mean[column])
    }
}

/// Refuses what no scaler can be fitted on.
pub(super) fn check_input(x: ArrayView2<'_, f32>) -> Result<()> {
    if x.is_empty() {
        let (rows, columns) = x.dim();
        return Err(Error::Data(format!(
            "scaler: {rows} rows x {columns} columns: nothing to fit"
        )));
    }
    check_finite(x, "scaler", None)
}

/// Visits every value with its column, row after row.
pub(super) fn each(x: ArrayView2<'_, f32>, mut visit: impl FnMut(usize, f64)) {
    for row in x.axis_iter(Axis(0)) {
        row.iter().enumerate().for_each(|(column, &v)| visit(column, f64::from(v)));
    }
}

/// Maps every value by its column, in f64.
pub(super) fn map(
    mut x: ArrayViewMut2<'_, f32>,
    columns: usize,
    f: impl Fn(usize, f64) -> f64,
) -> Result<()> {
    if x.ncols() != columns {
        let what = "columns, as many as the scaler was fitted on";
        return Err(Error::shape(what, columns, x.ncols()));
    }
    for mut row in x.axis_iter_mut(Axis(0)) {
        row.iter_mut().enumerate().for_each(|(column, v)| *v = f(column, f64::from(*v)) as f32);
    }
    Ok(())
}

/// A copy of an array that `change` has changed, if all its values are finite.
pub(super) fn changed(
    x: ArrayView2<'_, f32>,
    change: impl FnOnce(ArrayViewMut2<'_, f32>) -> Result<()>,
) -> Result<Array2<f32>> {
    let mut y = x.as_standard_layout().into_owned();
    change(y.view_mut())?;
    check_finite(y.view(), "scaled values", None)?;
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::datasets::iris;
    use ndarray::array;

    #[test]
    fn statistics_are_those_of_scikit_learn() {
        let scaler = StandardScaler::fit(&iris()).unwrap();
        let mean = [5.843_333_333, 3.057_333_333, 3.758, 1.199_333_333];
        let scale = [0.825_301_292, 0.434_410_968, 1.759_404_066, 0.759_692_628];
        for column in 0..4 {
            assert!((scaler.mean()[column] - mean[column]).abs() < 1e-7, "{:?}", scaler.mean());
            assert!((scaler.scale()[column] - scale[column]).abs() < 1e-7, "{:?}", scaler.scale());
        }
    }

    #[test]
    fn the_inverse_brings_the_values_back() {
        let scaler = StandardScaler::fit(&iris()).unwrap();
        let back = scaler.inverse_transform(&scaler.transform(&iris()).unwrap()).unwrap();
        let error = (&back.x() - &iris().x()).iter().fold(0.0, |m: f32, d| m.max(d.abs()));
        assert!(error <= 1e-6, "{error}");
        assert_eq!(back.feature_names(), iris().feature_names());
    }

    #[test]
    fn a_constant_column_becomes_zero() {
        let x = array![[0.1, 1e30], [0.1, 1e30], [0.1, 1e30]];
        let scaler = StandardScaler::fit_array(x.view()).unwrap();
        assert_eq!(scaler.scale(), [1.0, 1.0]);
        assert_eq!(scaler.transform_array(x.view()).unwrap(), Array2::<f32>::zeros((3, 2)));
    }

    #[test]
    fn the_largest_and_smallest_floats_stay_finite() {
        let tiny = f32::from_bits(1);
        let x = array![[f32::MAX, tiny], [f32::MIN, -tiny]];
        let scaler = StandardScaler::fit_array(x.view()).unwrap();
        assert_eq!(scaler.transform_array(x.view()).unwrap(), array![[1.0, 1.0], [-1.0, -1.0]]);
    }

    #[test]
    fn parts_make_the_same_scaler() {
        let scaler = StandardScaler::fit(&iris()).unwrap();
        let (mean, scale) = (scaler.mean().to_vec(), scaler.scale().to_vec());
        assert_eq!(StandardScaler::from_parts(mean, scale).unwrap(), scaler);
        assert!(StandardScaler::from_parts(vec![0.0], vec![0.0]).is_err());
        assert!(StandardScaler::from_parts(vec![0.0], vec![]).is_err());
    }
}
