//! Scalers, fitted on one set and applied to others.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

use super::Dataset;
use crate::{Error, Result};

/// Shifts and scales each feature: `y = (x - offset) / scale`.
#[derive(Debug, Clone, PartialEq)]
struct Affine {
    offset: Vec<f64>,
    scale: Vec<f64>,
}

impl Affine {
    fn fit(data: &Dataset, column: impl Fn(ArrayView1<f32>) -> (f64, f64)) -> Self {
        let (offset, scale) = data.x().axis_iter(Axis(1)).map(column).unzip();
        Self { offset, scale }
    }

    fn apply(&self, x: ArrayView2<f32>, f: impl Fn(f64, f64, f64) -> f64) -> Result<Array2<f32>> {
        if x.ncols() != self.offset.len() {
            let what = "features of the data (those that the scaler was fitted on)";
            return Err(Error::shape(what, self.offset.len(), x.ncols()));
        }
        let value = |(row, i): (usize, usize)| {
            f(f64::from(x[(row, i)]), self.offset[i], self.scale[i]) as f32
        };
        Ok(Array2::from_shape_fn(x.dim(), value))
    }

    fn forward(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        self.apply(x, |x, offset, scale| (x - offset) / scale)
    }

    fn inverse(&self, y: ArrayView2<f32>) -> Result<Array2<f32>> {
        self.apply(y, |y, offset, scale| y * scale + offset)
    }
}

macro_rules! transforms {
    ($scaler:ident) => {
        impl $scaler {
            /// Scales a data set's features; the targets stay.
            ///
            /// # Errors
            /// If it has another number of features, or a result is beyond f32.
            pub fn transform(&self, data: &Dataset) -> Result<Dataset> {
                data.with_features(self.affine.forward(data.x())?)
            }

            /// Undoes [`transform`](Self::transform), up to rounding.
            ///
            /// # Errors
            /// As [`transform`](Self::transform).
            pub fn inverse_transform(&self, data: &Dataset) -> Result<Dataset> {
                data.with_features(self.affine.inverse(data.x())?)
            }

            /// Scales rows (rows x features) that have no targets.
            ///
            /// # Errors
            /// If there is another number of features.
            pub fn transform_rows(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
                self.affine.forward(x)
            }

            /// Undoes [`transform_rows`](Self::transform_rows), up to rounding.
            ///
            /// # Errors
            /// If there is another number of features.
            pub fn inverse_transform_rows(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
                self.affine.inverse(x)
            }
        }
    };
}

/// Gives each feature mean 0 and standard deviation 1 (of the population); a constant feature
/// becomes 0. Statistics are taken in f64.
///
/// # Examples
/// ```
/// use unisono::{StandardScaler, datasets};
///
/// let (train, test) = datasets::iris().split(0.2, 42)?;
/// let scaler = StandardScaler::fit(&train)?;
/// let (train, test) = (scaler.transform(&train)?, scaler.transform(&test)?);
/// assert!(train.x().mean().unwrap().abs() < 1e-5);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StandardScaler {
    affine: Affine,
}

impl StandardScaler {
    /// Takes each feature's mean and standard deviation.
    ///
    /// # Errors
    /// None today; a data set has at least one row and finite features.
    pub fn fit(data: &Dataset) -> Result<Self> {
        let n = data.rows() as f64;
        let affine = Affine::fit(data, |column| {
            let mean = column.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let deviation = |x: &f32| (f64::from(*x) - mean) * (f64::from(*x) - mean);
            let std = (column.iter().map(deviation).sum::<f64>() / n).sqrt();
            let constant = column.iter().all(|&x| x == column[0]);
            (mean, if constant || std == 0.0 { 1.0 } else { std })
        });
        Ok(Self { affine })
    }

    /// Each feature's mean.
    pub fn mean(&self) -> &[f64] {
        &self.affine.offset
    }

    /// What each feature is divided by: its standard deviation, 1 where that is 0.
    pub fn scale(&self) -> &[f64] {
        &self.affine.scale
    }
}

transforms!(StandardScaler);

/// Maps each feature's range in the fitted data to `low..=high`; a constant feature becomes `low`.
#[derive(Debug, Clone, PartialEq)]
pub struct MinMaxScaler {
    affine: Affine,
}

impl MinMaxScaler {
    /// Takes each feature's range, to be mapped to 0..=1.
    ///
    /// # Errors
    /// None today; a data set has at least one row and finite features.
    pub fn fit(data: &Dataset) -> Result<Self> {
        Self::fit_to(data, 0.0, 1.0)
    }

    /// Takes each feature's range, to be mapped to `low..=high`.
    ///
    /// # Errors
    /// If `low` is not below `high`, or one is not finite.
    pub fn fit_to(data: &Dataset, low: f32, high: f32) -> Result<Self> {
        let (low, high) = (f64::from(low), f64::from(high));
        if !(low < high && low.is_finite() && high.is_finite()) {
            let problem = format!("expected finite low < high, found {low} and {high}");
            return Err(Error::config("range", problem));
        }
        let affine = Affine::fit(data, |column| {
            let least = column.iter().fold(f64::INFINITY, |least, &x| least.min(f64::from(x)));
            let most = column.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(f64::from(x)));
            let scale = if most > least { (most - least) / (high - low) } else { 1.0 };
            (least - low * scale, scale)
        });
        Ok(Self { affine })
    }
}

transforms!(MinMaxScaler);

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn data() -> Dataset {
        let x = array![[1.0, 5.0, -2.0], [2.0, 5.0, 0.0], [6.0, 5.0, 4.0]];
        Dataset::classification(x, vec![0, 1, 0]).unwrap()
    }

    #[test]
    fn standard_scaling_gives_mean_zero_and_deviation_one() {
        let scaler = StandardScaler::fit(&data()).unwrap();
        assert_eq!((scaler.mean()[0], scaler.scale()[1]), (3.0, 1.0));
        let y = scaler.transform(&data()).unwrap();
        for column in [0, 2] {
            let column = y.x().column(column).mapv(f64::from);
            assert!(column.mean().unwrap().abs() < 1e-7);
            assert!((column.std(0.0) - 1.0).abs() < 1e-6);
        }
        assert!(y.x().column(1).iter().all(|&v| v == 0.0), "a constant column is 0, not NaN");
    }

    #[test]
    fn min_max_scaling_fills_the_range() {
        let y = MinMaxScaler::fit_to(&data(), -1.0, 1.0).unwrap().transform(&data()).unwrap();
        assert_eq!(y.x().column(0).to_vec(), [-1.0, -0.6, 1.0]);
        assert_eq!(y.x().column(1).to_vec(), [-1.0, -1.0, -1.0]);
        assert!(MinMaxScaler::fit_to(&data(), 1.0, 1.0).is_err());
    }

    #[test]
    fn the_inverse_undoes_it() {
        let scaler = StandardScaler::fit(&data()).unwrap();
        let back = scaler.inverse_transform(&scaler.transform(&data()).unwrap()).unwrap();
        assert!(back.x().iter().zip(data().x()).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn another_number_of_features_is_an_error() {
        let scaler = StandardScaler::fit(&data()).unwrap();
        let narrow = Dataset::classification(array![[1.0]], vec![0]).unwrap();
        assert!(scaler.transform(&narrow).unwrap_err().to_string().contains("expected 3, found 1"));
    }

    #[test]
    fn a_result_beyond_f32_is_an_error() {
        let tiny = Dataset::classification(array![[0.0], [1e-30]], vec![0, 1]).unwrap();
        let scaler = StandardScaler::fit(&tiny).unwrap();
        let huge = Dataset::classification(array![[1e30]], vec![0]).unwrap();
        assert!(scaler.transform(&huge).is_err());
    }
}
