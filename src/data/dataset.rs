//! Features and targets, checked when they are put together.

use std::fmt;

use ndarray::{Array2, ArrayView2};

use crate::{Error, Result};

/// What a model is to learn for each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// A class for each row.
    Classes {
        /// The classes, from 0.
        labels: Vec<u32>,
        /// How many classes there are.
        count: usize,
    },
    /// One or more values for each row: rows x outputs.
    Values(Array2<f32>),
}

/// Rows of features with their targets.
///
/// # Shapes
/// Features: rows x features, f32, all finite. Targets: a class, or a row of values, for each row.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use unisono::Dataset;
///
/// let features = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
/// let xor = Dataset::classification(features, vec![0, 1, 1, 0])?;
/// assert_eq!((xor.rows(), xor.features(), xor.classes()), (4, 2, Some(2)));
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    features: Array2<f32>,
    targets: Targets,
    feature_names: Option<Vec<String>>,
    class_names: Option<Vec<String>>,
}

impl Dataset {
    /// Puts features and classes together; there are as many classes as the largest label tells.
    ///
    /// # Errors
    /// If there is no row or column, a feature is not finite, or the lengths differ.
    pub fn classification(features: Array2<f32>, labels: Vec<usize>) -> Result<Self> {
        let count = labels.iter().max().map_or(0, |&label| label.saturating_add(1));
        Self::classification_with(features, labels, count)
    }

    /// The same with a given number of classes, some of which may have no row.
    ///
    /// # Errors
    /// As [`classification`](Self::classification), and if a label is `count` or more.
    pub fn classification_with(
        features: Array2<f32>,
        labels: Vec<usize>,
        count: usize,
    ) -> Result<Self> {
        check_lengths(&features, labels.len(), "labels")?;
        if let Some(row) = labels.iter().position(|&l| l >= count || u32::try_from(l).is_err()) {
            let problem = format!(
                "label of row {row}: expected a class below {count}, found {}; classes count from 0",
                labels[row]
            );
            return Err(Error::Data(problem));
        }
        let labels = labels.into_iter().map(|label| label as u32).collect();
        Self::checked(features, Targets::Classes { labels, count })
    }

    /// Puts features and values (rows x outputs) together.
    ///
    /// # Errors
    /// If there is no row or column, a number is not finite, or the lengths differ.
    pub fn regression(features: Array2<f32>, values: Array2<f32>) -> Result<Self> {
        check_lengths(&features, values.nrows(), "rows of target values")?;
        if values.ncols() == 0 {
            return Err(Error::Data("target values: expected at least 1 column, found 0".into()));
        }
        check_finite(values.view(), "target value")?;
        Self::checked(features, Targets::Values(contiguous(values)))
    }

    fn checked(features: Array2<f32>, targets: Targets) -> Result<Self> {
        if features.ncols() == 0 {
            return Err(Error::Data("features: expected at least 1 column, found 0".into()));
        }
        check_finite(features.view(), "feature")?;
        let features = contiguous(features);
        Ok(Self { features, targets, feature_names: None, class_names: None })
    }

    /// Names the columns.
    ///
    /// # Errors
    /// If there are not as many names as features.
    pub fn with_feature_names(mut self, names: Vec<String>) -> Result<Self> {
        if names.len() != self.features() {
            return Err(Error::shape("feature names", self.features(), names.len()));
        }
        self.feature_names = Some(names);
        Ok(self)
    }

    /// Names the classes.
    ///
    /// # Errors
    /// If there are not as many names as classes, or the targets are values.
    pub fn with_class_names(mut self, names: Vec<String>) -> Result<Self> {
        match self.classes() {
            Some(count) if count == names.len() => {
                self.class_names = Some(names);
                Ok(self)
            }
            Some(count) => Err(Error::shape("class names", count, names.len())),
            None => Err(Error::Data("class names: the targets are values, not classes".into())),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.features.nrows()
    }

    /// Number of features of a row.
    pub fn features(&self) -> usize {
        self.features.ncols()
    }

    /// The features: rows x features.
    pub fn x(&self) -> ArrayView2<'_, f32> {
        self.features.view()
    }

    /// The features, row after row.
    pub(crate) fn features_slice(&self) -> &[f32] {
        self.features.as_slice().expect("features are kept in standard layout")
    }

    /// The targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The class of each row, where the targets are classes.
    pub fn labels(&self) -> Option<&[u32]> {
        match &self.targets {
            Targets::Classes { labels, .. } => Some(labels),
            Targets::Values(_) => None,
        }
    }

    /// Number of classes, where the targets are classes.
    pub fn classes(&self) -> Option<usize> {
        match &self.targets {
            Targets::Classes { count, .. } => Some(*count),
            Targets::Values(_) => None,
        }
    }

    /// Names of the columns, if they have any.
    pub fn feature_names(&self) -> Option<&[String]> {
        self.feature_names.as_deref()
    }

    /// Names of the classes, if they have any.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// Rows of each class, where the targets are classes.
    pub fn class_counts(&self) -> Option<Vec<usize>> {
        let mut counts = vec![0; self.classes()?];
        for &label in self.labels()? {
            counts[label as usize] += 1;
        }
        Some(counts)
    }

    /// Picks rows, in the given order; a row may be picked more than once.
    ///
    /// # Errors
    /// If no row is picked or one does not exist.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::Data("expected at least 1 row to select, found 0".into()));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            let problem = format!("row {row} to select: the data have {} rows", self.rows());
            return Err(Error::Data(problem));
        }
        let axis = ndarray::Axis(0);
        let targets = match &self.targets {
            Targets::Classes { labels, count } => {
                let labels = rows.iter().map(|&row| labels[row]).collect();
                Targets::Classes { labels, count: *count }
            }
            Targets::Values(values) => Targets::Values(contiguous(values.select(axis, rows))),
        };
        let features = contiguous(self.features.select(axis, rows));
        Ok(Self { features, targets, ..self.names() })
    }

    /// The same targets with other features, as many rows.
    pub(crate) fn with_features(&self, features: Array2<f32>) -> Result<Self> {
        check_finite(features.view(), "feature")?;
        Ok(Self { features: contiguous(features), targets: self.targets.clone(), ..self.names() })
    }

    /// Turns classes into values: 1 in the column of the class, 0 elsewhere.
    ///
    /// # Errors
    /// If the targets are values already.
    pub fn one_hot(&self) -> Result<Self> {
        let Targets::Classes { labels, count } = &self.targets else {
            return Err(Error::Data("one_hot: the targets are values already".into()));
        };
        let one = |(row, class): (usize, usize)| f32::from(u8::from(labels[row] as usize == class));
        let values = Array2::from_shape_fn((self.rows(), *count), one);
        let features = self.features.clone();
        let feature_names = self.feature_names.clone();
        Ok(Self { features, targets: Targets::Values(values), feature_names, class_names: None })
    }

    /// The names alone.
    fn names(&self) -> Self {
        Self {
            features: Array2::default((0, 0)),
            targets: Targets::Classes { labels: vec![], count: 0 },
            feature_names: self.feature_names.clone(),
            class_names: self.class_names.clone(),
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows x {} features", self.rows(), self.features())?;
        match &self.targets {
            Targets::Values(values) => write!(f, ", {} target values", values.ncols()),
            Targets::Classes { count, .. } => {
                write!(f, ", {count} classes (")?;
                for (class, rows) in self.class_counts().unwrap_or_default().iter().enumerate() {
                    let comma = if class == 0 { "" } else { ", " };
                    match &self.class_names {
                        Some(names) => write!(f, "{comma}{}: {rows}", names[class])?,
                        None => write!(f, "{comma}{class}: {rows}")?,
                    }
                }
                write!(f, ")")
            }
        }
    }
}

fn contiguous(array: Array2<f32>) -> Array2<f32> {
    if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
}

fn check_lengths(features: &Array2<f32>, found: usize, what: &str) -> Result<()> {
    if features.nrows() == 0 {
        return Err(Error::Data("features: expected at least 1 row, found 0".into()));
    }
    if u32::try_from(features.nrows()).is_err() {
        return Err(Error::Data("features: expected fewer than 2^32 rows".into()));
    }
    if features.nrows() == found {
        return Ok(());
    }
    Err(Error::shape(format!("{what} (one for each row of the features)"), features.nrows(), found))
}

fn check_finite(values: ArrayView2<f32>, what: &str) -> Result<()> {
    match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), value)) => Err(Error::Data(format!(
            "{what} in row {row}, column {column}: expected a finite number, found {value}; drop the \
             row or fill the value in"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn small() -> Dataset {
        Dataset::classification(array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], vec![0, 2, 0]).unwrap()
    }

    #[test]
    fn columns_of_another_layout_are_kept_in_rows() {
        let transposed = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].reversed_axes();
        let data = Dataset::classification(transposed, vec![0, 1, 0]).unwrap();
        assert_eq!(data.features_slice(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn select_takes_rows_with_targets_and_names() {
        let data = small().with_feature_names(vec!["a".into(), "b".into()]).unwrap();
        let picked = data.select(&[2, 1]).unwrap();
        assert_eq!(picked.x(), array![[5.0, 6.0], [3.0, 4.0]]);
        assert_eq!((picked.labels(), picked.classes()), (Some(&[0, 2][..]), Some(3)));
        assert_eq!(picked.feature_names().unwrap()[1], "b");
        assert!(data.select(&[3]).is_err() && data.select(&[]).is_err());
    }

    #[test]
    fn one_hot_marks_the_class() {
        let values = small().one_hot().unwrap();
        let expected = array![[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        assert_eq!(values.targets(), &Targets::Values(expected));
        assert!(values.one_hot().is_err());
    }

    #[test]
    fn prints_its_size_and_classes() {
        let names = vec!["red".into(), "green".into(), "blue".into()];
        let text = small().with_class_names(names).unwrap().to_string();
        assert_eq!(text, "3 rows x 2 features, 3 classes (red: 2, green: 0, blue: 1)");
    }
}
