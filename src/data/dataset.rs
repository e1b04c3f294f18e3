//! A checked table of features with its targets.

use std::borrow::Cow;
use std::fmt;

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use super::classes;
use super::features::Features;
use super::targets::{self, Targets, check_finite, zeros};
use crate::{Error, Result};

/// Classes that `Display` lists before it says how many more there are.
const CLASSES_SHOWN: usize = 10;

/// Features with their targets: what a model learns from, or is measured on.
///
/// What is in a `Dataset` has been checked: at least one row and one column, fewer than 2^32 rows,
/// every number finite, a target for each row, every label in range. Rows and columns are counted
/// from 0, in messages too.
///
/// # Shapes
/// Features are rows x columns; targets are one label a row, or rows x outputs.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use unisono::Dataset;
///
/// let xor = Dataset::classification(
///     array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]],
///     [0, 1, 1, 0],
/// )?;
/// assert_eq!(xor.to_string(), "4 rows x 2 features, 2 classes: 0 (2 rows), 1 (2 rows)");
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    features: Features,
    targets: Targets,
    /// The largest absolute value among the features.
    largest: f32,
    feature_names: Option<Vec<String>>,
    class_names: Option<Vec<String>>,
}

impl Dataset {
    /// Joins features and targets of either kind.
    ///
    /// The array stays where it is if its rows follow each other. Copies, as [`select`](Self::select), splits and scalers
    /// make them, lie in the system's large pages if they are large: 784-128-10 trained 1.015 to 1.034 times as fast.
    ///
    /// # Errors
    /// If there are no rows or no columns, a number is not finite, the lengths differ or a label
    /// is out of range.
    pub fn new(features: Array2<f32>, targets: Targets) -> Result<Self> {
        Self::of_features(Features::new(features), targets)
    }

    /// As [`new`](Self::new).
    pub(super) fn of_features(features: Features, targets: Targets) -> Result<Self> {
        Self::checked(features, targets, None, None)
    }

    /// Joins features and class labels; the classes are 0 to the largest label.
    ///
    /// # Errors
    /// As [`Dataset::new`]; also if a label is negative.
    pub fn classification<L>(
        features: Array2<f32>,
        labels: impl IntoIterator<Item = L>,
    ) -> Result<Self>
    where
        L: TryInto<u32> + Copy + fmt::Display,
    {
        let labels = targets::labels(labels)?;
        let count = labels.iter().max().map_or(0, |&largest| largest as usize + 1);
        Self::new(features, Targets::Classes { labels, count })
    }

    /// Joins features and class labels of `count` classes, not all of which need to occur.
    ///
    /// # Errors
    /// As [`Dataset::classification`].
    pub fn classification_with<L>(
        features: Array2<f32>,
        labels: impl IntoIterator<Item = L>,
        count: usize,
    ) -> Result<Self>
    where
        L: TryInto<u32> + Copy + fmt::Display,
    {
        Self::new(features, targets::classes(labels, count)?)
    }

    /// Joins features and the values to predict, rows x outputs.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn regression(features: Array2<f32>, values: Array2<f32>) -> Result<Self> {
        Self::new(features, Targets::Values(values))
    }

    /// Puts other values to predict in the targets' place, rows x outputs, as when they are scaled.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    ///
    /// # Examples
    /// ```
    /// use ndarray::array;
    /// use unisono::{Dataset, StandardScaler};
    ///
    /// let data = Dataset::regression(array![[1.0], [2.0]], array![[100.0], [300.0]])?;
    /// let scaler = StandardScaler::fit_array(data.values().unwrap())?;
    /// let scaled = scaler.transform_array(data.values().unwrap())?;
    /// let data = data.with_values(scaled)?;
    /// assert_eq!(data.values().unwrap(), array![[-1.0], [1.0]]);
    /// // `Preprocessing::with_target_scaler` has the model's predictions brought back.
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn with_values(self, values: Array2<f32>) -> Result<Self> {
        let targets = Targets::Values(values).checked(self.rows())?;
        Ok(Self { targets, class_names: None, ..self })
    }

    fn checked(
        features: Features,
        targets: Targets,
        feature_names: Option<Vec<String>>,
        class_names: Option<Vec<String>>,
    ) -> Result<Self> {
        let (rows, columns) = (features.rows(), features.columns());
        if rows == 0 || columns == 0 {
            return Err(Error::Data(format!(
                "features are {rows} rows x {columns} columns: at least one of each is needed"
            )));
        }
        if u32::try_from(rows).is_err() {
            return Err(Error::Data(format!("{rows} rows: fewer than 2^32 are possible")));
        }
        let targets = targets.checked(rows)?;
        let largest = features.largest();
        if !largest.is_finite() {
            check_finite(features.view(), "features", feature_names.as_deref())?;
        }
        Ok(Self { features, targets, largest, feature_names, class_names })
    }

    /// Names the columns of the features.
    ///
    /// # Errors
    /// If there is not exactly one name for each column, or one twice.
    pub fn with_feature_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.len() != self.features() {
            return Err(Error::shape("feature names", self.features(), names.len()));
        }
        classes::each_once("feature_names", names.iter().map(Cow::from))?;
        self.feature_names = Some(names);
        Ok(self)
    }

    /// Names the classes, that of label 0 first.
    ///
    /// # Errors
    /// If there is not exactly one name for each class, or one twice, or the targets are values.
    pub fn with_class_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let count = self.classes().ok_or_else(|| self.needs_classes("class names"))?;
        if names.len() != count {
            return Err(Error::shape("class names", count, names.len()));
        }
        classes::each_once("class_names", names.iter().map(|name| classes::key(name)))?;
        self.class_names = Some(names);
        Ok(self)
    }

    /// Returns the same rows with features that `change` writes over them, which are checked; column names stay.
    pub(super) fn with_changed(
        &self,
        change: impl FnOnce(ArrayViewMut2<'_, f32>) -> Result<()>,
    ) -> Result<Self> {
        let mut features = self.features.clone();
        change(features.view_mut())?;
        Self::checked(
            features,
            self.targets.clone(),
            self.feature_names.clone(),
            self.class_names.clone(),
        )
    }

    /// Joins what was checked as it was read.
    pub(crate) fn of_checked(features: Array2<f32>, targets: Targets) -> Self {
        let features = Features::new(features);
        let largest = features.largest();
        Self { features, targets, largest, feature_names: None, class_names: None }
    }

    /// The features and the targets by themselves.
    pub(crate) fn into_parts(self) -> (Array2<f32>, Targets) {
        (self.features.into_array(), self.targets)
    }

    /// Counts the rows.
    pub fn rows(&self) -> usize {
        self.features.rows()
    }

    /// Counts the columns of the features: the inputs of a model.
    pub fn features(&self) -> usize {
        self.features.columns()
    }

    /// Views the features, rows x columns.
    pub fn x(&self) -> ArrayView2<'_, f32> {
        self.features.view()
    }

    /// Views the features, row after row without gaps.
    pub(crate) fn features_slice(&self) -> &[f32] {
        self.features.values()
    }

    /// The largest absolute value among the features.
    pub(crate) fn largest_feature(&self) -> f32 {
        self.largest
    }

    /// Returns the targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Returns the class of each row, if the targets are classes.
    pub fn labels(&self) -> Option<&[u32]> {
        match &self.targets {
            Targets::Classes { labels, .. } => Some(labels),
            Targets::Values(_) => None,
        }
    }

    /// Views the target values, rows x outputs, if the targets are values.
    pub fn values(&self) -> Option<ArrayView2<'_, f32>> {
        match &self.targets {
            Targets::Classes { .. } => None,
            Targets::Values(values) => Some(values.view()),
        }
    }

    /// Counts the classes, if the targets are classes.
    pub fn classes(&self) -> Option<usize> {
        match self.targets {
            Targets::Classes { count, .. } => Some(count),
            Targets::Values(_) => None,
        }
    }

    /// Returns the names of the classes, if they have any.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// Returns the names of the features' columns, if they have any.
    pub fn feature_names(&self) -> Option<&[String]> {
        self.feature_names.as_deref()
    }

    /// Counts the rows of each class, if the targets are classes.
    pub fn class_counts(&self) -> Option<Vec<usize>> {
        let mut counts = vec![0; self.classes()?];
        self.labels()?.iter().for_each(|&label| counts[label as usize] += 1);
        Some(counts)
    }

    /// Copies the given rows, in the given order; a row may be given more than once.
    ///
    /// # Errors
    /// If no row is given, or one that does not exist.
    ///
    /// # Examples
    /// ```
    /// let iris = unisono::datasets::iris();
    /// let some = iris.select(&[0, 50, 100])?;
    /// assert_eq!(some.labels(), Some(&[0, 1, 2][..]));
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::Data("select: no rows were given".into()));
        }
        if u32::try_from(rows.len()).is_err() {
            let len = rows.len();
            return Err(Error::Data(format!("select: {len} rows: fewer than 2^32 are possible")));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            let last = self.rows() - 1;
            return Err(Error::Data(format!("select: row {row} is not one of 0 to {last}")));
        }
        Ok(self.gather(rows))
    }

    /// The same of rows that are there.
    pub(super) fn gather(&self, rows: &[usize]) -> Self {
        let features = self.features.gather(rows);
        Self {
            largest: features.largest(),
            features,
            targets: self.targets.gather(rows),
            feature_names: self.feature_names.clone(),
            class_names: self.class_names.clone(),
        }
    }

    /// Turns classes into values: rows x classes, 1 in the column of the row's class and 0 elsewhere.
    /// The names of the classes are given up.
    ///
    /// # Errors
    /// If the targets are values already, or the table does not fit into memory.
    pub fn one_hot(&self) -> Result<Self> {
        let Targets::Classes { labels, count } = &self.targets else {
            return Err(self.needs_classes("one_hot"));
        };
        let mut values = zeros(labels.len(), *count)?;
        for (row, &label) in labels.iter().enumerate() {
            values[(row, label as usize)] = 1.0;
        }
        Ok(Self {
            features: self.features.clone(),
            largest: self.largest,
            targets: Targets::Values(values),
            feature_names: self.feature_names.clone(),
            class_names: None,
        })
    }

    /// What a class is called: its name, or else its number.
    pub(crate) fn class_name(&self, class: usize) -> String {
        match self.class_names.as_ref().and_then(|names| names.get(class)) {
            Some(name) => name.clone(),
            None => class.to_string(),
        }
    }

    pub(crate) fn needs_classes(&self, what: &str) -> Error {
        Error::Data(format!("{what}: the targets have to be classes, and these are values"))
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows x {} features, ", self.rows(), self.features())?;
        let Some(counts) = self.class_counts() else {
            let outputs = self.values().map_or(0, |values| values.ncols());
            return write!(
                f,
                "{outputs} target value{} a row",
                if outputs == 1 { "" } else { "s" }
            );
        };
        write!(f, "{} class{}:", counts.len(), if counts.len() == 1 { "" } else { "es" })?;
        for (class, count) in counts.iter().enumerate().take(CLASSES_SHOWN) {
            let comma = if class == 0 { "" } else { "," };
            write!(f, "{comma} {} ({count} rows)", self.class_name(class))?;
        }
        match counts.len().saturating_sub(CLASSES_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn small() -> Dataset {
        Dataset::classification_with(array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [2, 0, 2], 4)
            .unwrap()
    }

    #[test]
    fn the_largest_label_decides_the_classes_unless_told() {
        let features = array![[0.0], [1.0]];
        assert_eq!(Dataset::classification(features, [0, 4]).unwrap().classes(), Some(5));
        assert_eq!(small().classes(), Some(4));
        assert_eq!(small().class_counts(), Some(vec![1, 0, 2, 0]));
    }

    #[test]
    fn what_the_crate_writes_lies_in_large_pages_where_the_system_has_them() {
        let (rows, columns) = (60_000, 20);
        let there = crate::pages::zeros(rows * columns, crate::pages::LEAST).is_some();
        let labels = (0..rows).map(|row| row % 2);
        let given = Dataset::classification(Array2::zeros((rows, columns)), labels).unwrap();
        let scaler = crate::StandardScaler::fit(&given).unwrap();
        let ends = crate::MinMaxScaler::fit(&given).unwrap();
        for own in [
            crate::datasets::synthetic_classification(rows, columns, 2, 1).unwrap(),
            given.select(&(0..rows).collect::<Vec<_>>()).unwrap(),
            given.one_hot().unwrap(),
            scaler.transform(&given).unwrap(),
            ends.transform(&given).unwrap(),
        ] {
            assert_eq!(own.features.are_in_large_pages(), there);
        }
    }

    #[test]
    fn any_layout_is_made_contiguous() {
        let transposed = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]].reversed_axes();
        let data = Dataset::regression(transposed.clone(), transposed).unwrap();
        assert_eq!(data.features_slice(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert!(data.values().unwrap().is_standard_layout());
    }

    #[test]
    fn one_hot_has_a_single_one_in_each_row() {
        let values = array![[0., 0., 1., 0.], [1., 0., 0., 0.], [0., 0., 1., 0.]];
        assert_eq!(small().one_hot().unwrap().values().unwrap(), values);
    }

    #[test]
    fn selected_rows_keep_targets_and_names() {
        let data = small().with_feature_names(["a", "b"]).unwrap();
        let data = data.with_class_names(["p", "q", "r", "s"]).unwrap().select(&[2, 0]).unwrap();
        assert_eq!(data.x(), array![[5.0, 6.0], [1.0, 2.0]]);
        assert_eq!(data.labels(), Some(&[2, 2][..]));
        assert_eq!(data.feature_names().unwrap(), ["a", "b"]);
        assert_eq!(data.class_names().unwrap()[3], "s");
    }

    #[test]
    fn display_shortens_a_long_list_of_classes() {
        let data = Dataset::classification_with(array![[0.0]], [0], 12).unwrap();
        assert!(data.to_string().starts_with("1 rows x 1 features, 12 classes: 0 (1 rows), 1 (0"));
        assert!(data.to_string().ends_with("9 (0 rows) and 2 more"));
        let data = Dataset::regression(array![[0.0]], array![[0.0]]).unwrap();
        assert_eq!(data.to_string(), "1 rows x 1 features, 1 target value a row");
    }
}
