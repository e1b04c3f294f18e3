//! The data sets that come with the crate; `builtin/README.md` states their sources and licence.

use ndarray::Array2;

use super::idx::read_idx;
use super::{CsvOptions, Dataset};

const IRIS: &str = include_str!("builtin/iris.csv");
const DIGITS_IMAGES: &[u8] = include_bytes!("builtin/digits-images-idx3-ubyte.gz");
const DIGITS_LABELS: &[u8] = include_bytes!("builtin/digits-labels-idx1-ubyte.gz");

/// Returns the iris data: sepal and petal sizes in cm of 150 flowers, 50 of each of three species.
///
/// # Source
/// R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7,
/// 1936. From the UCI Machine Learning Repository (<https://doi.org/10.24432/C56C76>), CC BY 4.0,
/// with two rows corrected to Fisher's paper, as in R and scikit-learn.
///
/// # Examples
/// ```
/// let iris = unisono::datasets::iris();
/// assert_eq!(
///     iris.to_string(),
///     "150 rows x 4 features, 3 classes: setosa (50 rows), versicolor (50 rows), virginica (50 rows)"
/// );
/// ```
pub fn iris() -> Dataset {
    let options = CsvOptions::new("species").classes();
    Dataset::from_csv_reader(IRIS.as_bytes(), "iris.csv", &options)
        .expect("the embedded file is tested")
}

/// Returns 1,797 handwritten digits: images of 8x8 pixels, row after row, each the number of ink
/// dots from 0 to 16.
///
/// # Source
/// E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, the test set. From
/// the UCI Machine Learning Repository (<https://doi.org/10.24432/C50P49>), CC BY 4.0.
///
/// # Examples
/// ```
/// let digits = unisono::datasets::digits();
/// assert_eq!(digits.x().row(0).iter().skip(2).take(3).collect::<Vec<_>>(), [&5.0, &13.0, &9.0]);
/// ```
pub fn digits() -> Dataset {
    let embedded = "the embedded file is tested";
    let images = read_idx(DIGITS_IMAGES, "digits images").expect(embedded);
    let labels = read_idx(DIGITS_LABELS, "digits labels").expect(embedded);
    let pixels = images.data.iter().map(|&pixel| f32::from(pixel)).collect();
    let features = Array2::from_shape_vec((images.dims[0], 64), pixels).expect(embedded);
    Dataset::classification_with(features, labels.data, 10)
        .and_then(|data| data.with_class_names((0..10).map(|digit| digit.to_string())))
        .expect(embedded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iris_is_fishers() {
        let iris = iris();
        assert_eq!((iris.rows(), iris.features()), (150, 4));
        assert_eq!(iris.class_names().unwrap(), ["setosa", "versicolor", "virginica"]);
        assert_eq!(iris.feature_names().unwrap()[2], "petal length (cm)");
        assert_eq!(iris.x().row(34).to_vec(), [4.9, 3.1, 1.5, 0.2]);
        assert_eq!(iris.x().row(37).to_vec(), [4.9, 3.6, 1.4, 0.1]);
        let sums = [876.5, 458.6, 563.7, 179.9];
        for (column, sum) in iris.x().columns().into_iter().zip(sums) {
            assert!((column.iter().map(|&v| f64::from(v)).sum::<f64>() - sum).abs() < 1e-4);
        }
    }

    #[test]
    fn digits_are_scikit_learns() {
        let digits = digits();
        let counts = vec![178, 182, 177, 183, 181, 182, 181, 179, 174, 180];
        assert_eq!(digits.class_counts(), Some(counts));
        assert_eq!(digits.x().iter().map(|&v| f64::from(v)).sum::<f64>(), 561_718.0);
        assert!(digits.x().iter().all(|&v| (0.0..=16.0).contains(&v)));
    }
}
