//! Scaling to a range.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::Dataset;
use super::scaler::{changed, check_input, each, map};
use crate::{Error, Result};

/// Brings every column to a range, 0 to 1 unless told otherwise: its smallest value to the lower
/// end and its largest to the upper.
///
/// `(x - min) / (max - min) * (high - low) + low`; a constant column becomes `low`. Values beyond
/// those fitted on land beyond the range.
///
/// # Examples
/// ```
/// use unisono::{MinMaxScaler, datasets};
///
/// let iris = datasets::iris();
/// let scaler = MinMaxScaler::fit_to(&iris, -1.0, 1.0)?;
/// let scaled = scaler.transform(&iris)?;
/// assert!(scaled.x().iter().all(|v| (-1.0..=1.0).contains(v)));
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Parts")]
pub struct MinMaxScaler {
    min: Vec<f64>,
    max: Vec<f64>,
    low: f64,
    high: f64,
}

/// A scaler as a file has it, to be checked.
#[derive(serde::Deserialize)]
struct Parts {
    min: Vec<f64>,
    max: Vec<f64>,
    low: f32,
    high: f32,
}

impl TryFrom<Parts> for MinMaxScaler {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        Self::from_parts(parts.min, parts.max, parts.low, parts.high)
    }
}

impl MinMaxScaler {
    /// Learns the range of each column of a data set's features, to bring it to 0 to 1.
    ///
    /// # Errors
    /// None today; a `Result` as of everything that is fitted.
    pub fn fit(data: &Dataset) -> Result<Self> {
        Self::fit_to(data, 0.0, 1.0)
    }

    /// Learns the range of each column of a data set's features, to bring it to `low` to `high`.
    ///
    /// # Errors
    /// If `low` is not less than `high`, or one of them is not finite.
    pub fn fit_to(data: &Dataset, low: f32, high: f32) -> Result<Self> {
        Self::fit_array(data.x(), low, high)
    }

    /// Learns the range of each column of an array, as of target values.
    ///
    /// # Errors
    /// As [`MinMaxScaler::fit_to`]; also if the array is empty or a number in it is not finite.
    pub fn fit_array(x: ArrayView2<'_, f32>, low: f32, high: f32) -> Result<Self> {
        check_range(low, high)?;
        check_input(x)?;
        let first: Vec<f64> = x.row(0).iter().map(|&v| f64::from(v)).collect();
        let (mut min, mut max) = (first.clone(), first);
        each(x, |column, v| {
            min[column] = min[column].min(v);
            max[column] = max[column].max(v);
        });
        Ok(Self { min, max, low: f64::from(low), high: f64::from(high) })
    }

    /// Makes a scaler from the smallest and largest value of each column, learned before.
    ///
    /// # Errors
    /// As [`MinMaxScaler::fit_to`]; also if the lengths differ, a number is not finite or a smallest
    /// value is above the largest.
    pub fn from_parts(min: Vec<f64>, max: Vec<f64>, low: f32, high: f32) -> Result<Self> {
        check_range(low, high)?;
        if min.len() != max.len() || min.is_empty() {
            return Err(Error::shape("maxima, one for each minimum", min.len().max(1), max.len()));
        }
        let ordered = |(min, max): (&f64, &f64)| (max - min).is_finite() && min <= max;
        if let Some(column) = min.iter().zip(&max).position(|ends| !ordered(ends)) {
            let (min, max) = (min[column], max[column]);
            return Err(Error::Data(format!("column {column} is to range from {min} to {max}")));
        }
        Ok(Self { min, max, low: f64::from(low), high: f64::from(high) })
    }

    /// Returns the smallest value of each column.
    pub fn min(&self) -> &[f64] {
        &self.min
    }

    /// Returns the largest value of each column.
    pub fn max(&self) -> &[f64] {
        &self.max
    }

    /// Returns the ends of the range that columns are brought to.
    pub fn range(&self) -> (f32, f32) {
        (self.low as f32, self.high as f32)
    }

    /// Brings the features of a data set to the range.
    ///
    /// # Errors
    /// If it has another number of columns, or a result is too large for f32.
    pub fn transform(&self, data: &Dataset) -> Result<Dataset> {
        data.with_changed(|x| self.apply(x))
    }

    /// Undoes [`MinMaxScaler::transform`].
    ///
    /// # Errors
    /// As [`MinMaxScaler::transform`].
    pub fn inverse_transform(&self, data: &Dataset) -> Result<Dataset> {
        data.with_changed(|x| self.undo(x))
    }

    /// Brings the columns of an array to the range.
    ///
    /// # Errors
    /// As [`MinMaxScaler::transform`].
    pub fn transform_array(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        changed(x, |x| self.apply(x))
    }

    /// Undoes [`MinMaxScaler::transform_array`], as for a model's predictions.
    ///
    /// # Errors
    /// As [`MinMaxScaler::transform`].
    pub fn inverse_transform_array(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        changed(x, |x| self.undo(x))
    }

    /// The width of a column, 1 if it is constant.
    fn width(&self, column: usize) -> f64 {
        let width = self.max[column] - self.min[column];
        if width == 0.0 { 1.0 } else { width }
    }

    /// What each column is divided by.
    #[cfg(feature = "onnx")]
    pub(super) fn widths(&self) -> Vec<f64> {
        (0..self.min.len()).map(|column| self.width(column)).collect()
    }

    fn apply(&self, x: ArrayViewMut2<'_, f32>) -> Result<()> {
        map(x, self.min.len(), |column, v| self.scaled(column, v))
    }

    fn scaled(&self, column: usize, v: f64) -> f64 {
        (v - self.min[column]) / self.width(column) * (self.high - self.low) + self.low
    }

    /// Scales a row in place.
    pub(super) fn scale_row(&self, row: &mut [f32]) {
        for (column, v) in row.iter_mut().enumerate() {
            *v = self.scaled(column, f64::from(*v)) as f32;
        }
    }

    fn undo(&self, x: ArrayViewMut2<'_, f32>) -> Result<()> {
        map(x, self.min.len(), |column, v| {
            (v - self.low) / (self.high - self.low) * self.width(column) + self.min[column]
        })
    }
}

fn check_range(low: f32, high: f32) -> Result<()> {
    if low.is_finite() && high.is_finite() && low < high {
        return Ok(());
    }
    let problem = format!("is {low} to {high}: the lower end has to be less than the upper");
    Err(Error::config("range", problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::datasets::digits;
    use ndarray::array;

    #[test]
    fn ends_of_the_range_are_met_exactly() {
        let x = array![[0.1, f32::MIN], [0.7, 0.0], [0.3, f32::MAX]];
        let scaler = MinMaxScaler::fit_array(x.view(), -0.3, 0.7).unwrap();
        let y = scaler.transform_array(x.view()).unwrap();
        assert_eq!([y[(0, 0)], y[(1, 0)], y[(0, 1)], y[(2, 1)]], [-0.3, 0.7, -0.3, 0.7]);
    }

    #[test]
    fn constant_columns_become_the_lower_end() {
        let y = MinMaxScaler::fit_to(&digits(), 2.0, 3.0).unwrap().transform(&digits()).unwrap();
        assert!(y.x().column(0).iter().all(|&v| v == 2.0));
    }

    #[test]
    fn the_inverse_brings_the_values_back() {
        let scaler = MinMaxScaler::fit(&digits()).unwrap();
        let back = scaler.inverse_transform(&scaler.transform(&digits()).unwrap()).unwrap();
        let error = (&back.x() - &digits().x()).iter().fold(0.0, |m: f32, d| m.max(d.abs()));
        assert!(error <= 1e-5, "{error}");
        assert_eq!((scaler.min()[1], scaler.max()[1], scaler.range()), (0.0, 8.0, (0.0, 1.0)));
    }

    #[test]
    fn parts_make_the_same_scaler() {
        let scaler = MinMaxScaler::fit_to(&digits(), -1.0, 2.0).unwrap();
        let (min, max) = (scaler.min().to_vec(), scaler.max().to_vec());
        assert_eq!(MinMaxScaler::from_parts(min, max, -1.0, 2.0).unwrap(), scaler);
        for (min, max) in [(vec![1.0], vec![0.0]), (vec![f64::NAN], vec![0.0]), (vec![], vec![])] {
            assert!(MinMaxScaler::from_parts(min, max, 0.0, 1.0).is_err());
        }
    }
}
