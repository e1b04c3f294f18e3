//! Fitted preprocessing: how raw rows become features, and outputs values in the target's units.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use super::classes;
use super::csv::{double, is_missing};
use super::dataset::Dataset;
use super::features::Features;
use super::preprocessor::{Unseen, unknown};
use super::scaling::Scaler;
use super::table::Table;
use super::targets::{self, Targets, check_finite};
use crate::{Error, Result};

/// Turns raw rows into features, and outputs into the target's units: tables as a
/// [`Preprocessor`](super::Preprocessor) has learned it, or arrays of numbers by a scaler.
///
/// Given to a model by [`Sequential::set_preprocessing`](crate::Sequential::set_preprocessing) it is
/// saved with it, and predictions then take raw rows.
///
/// # Examples
/// ```
/// use ndarray::array;
/// use unisono::{Preprocessing, StandardScaler};
///
/// let raw = array![[1.0, 100.0], [3.0, 300.0]];
/// let fitted = Preprocessing::from(StandardScaler::fit_array(raw.view())?);
/// assert_eq!(fitted.transform_array(raw.view())?, array![[-1.0, -1.0], [1.0, 1.0]]);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Of a table; none where there is a scaler.
    pub(crate) columns: Vec<Column>,
    /// Of rows of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scaler: Option<Scaler>,
    pub(crate) target: Option<Target>,
    /// Of the values that the model learned, where these were scaled as an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target_scaler: Option<Scaler>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Column {
    pub name: String,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Encoding {
    /// (x - mean) / scale; `missing` stands for x where it is missing.
    Number { mean: f64, scale: f64, missing: Option<f64> },
    /// A column for each value; `missing` says whether there may be none.
    Category { values: Vec<String>, unseen: Unseen, missing: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub name: String,
    pub encoding: TargetEncoding,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TargetEncoding {
    Classes {
        names: Vec<String>,
    },
    /// The model learns (y - mean) / scale.
    Values {
        mean: f64,
        scale: f64,
    },
}

/// How far apart neighbouring f32 of a column may be, in its standard deviations.
const COARSE: f64 = 0.05;

impl<S: Into<Scaler>> From<S> for Preprocessing {
    /// Scales the columns of an array, which have no names.
    fn from(scaler: S) -> Self {
        let scaler = Some(scaler.into());
        Self { columns: vec![], scaler, target: None, target_scaler: None }
    }
}

impl Preprocessing {
    pub(super) fn of_table(columns: Vec<Column>, target: Option<Target>) -> Self {
        Self { columns, scaler: None, target, target_scaler: None }
    }

    /// Says by what the target values were scaled that the model learned: predictions are then
    /// brought back to the values' units. A table's target knows that by itself.
    pub fn with_target_scaler(self, scaler: impl Into<Scaler>) -> Self {
        Self { target_scaler: Some(scaler.into()), ..self }
    }

    /// The scaler of the features, if it is one and no table's.
    pub fn scaler(&self) -> Option<&Scaler> {
        self.scaler.as_ref()
    }

    /// Features that a row becomes: the inputs of a model.
    pub fn features(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.encoding.width()).sum();
        self.scaler.as_ref().map_or(columns, Scaler::columns)
    }

    /// The features' names: those of the columns, and `column=category`. A scaler's have none.
    pub fn feature_names(&self) -> Vec<String> {
        let names = |column: &Column| match &column.encoding {
            Encoding::Number { .. } => vec![column.name.clone()],
            Encoding::Category { values, .. } => {
                values.iter().map(|value| format!("{}={value}", column.name)).collect()
            }
        };
        self.columns.iter().flat_map(names).collect()
    }

    /// The column that is predicted, if there is one.
    pub fn target(&self) -> Option<&str> {
        self.target.as_ref().map(|target| target.name.as_str())
    }

    /// The classes, if classes are predicted: that of label 0 first.
    pub fn class_names(&self) -> Option<&[String]> {
        match &self.target.as_ref()?.encoding {
            TargetEncoding::Classes { names } => Some(names),
            TargetEncoding::Values { .. } => None,
        }
    }

    /// Computes the features of every row of a table; the target need not be among its columns.
    ///
    /// # Shapes
    /// Result: rows x features.
    ///
    /// # Errors
    /// If a column is not there, or a cell is missing, no number or an unseen category where that is
    /// an error; line and column are in it. Also if it is a scaler, which knows no columns by name.
    pub fn transform(&self, table: &Table) -> Result<Array2<f32>> {
        let mut x = targets::zeros(table.rows(), self.features())?;
        self.encode(table, x.view_mut())?;
        Ok(x)
    }

    /// Writes the features of every row over zeros.
    fn encode(&self, table: &Table, mut x: ArrayViewMut2<'_, f32>) -> Result<()> {
        if self.scaler.is_some() {
            let problem = "is a scaler of numbers, which knows no columns by name: take \
                           `transform_array`";
            return Err(Error::config("preprocessing", problem));
        }
        let mut first = 0;
        for Column { name, encoding } in &self.columns {
            for (row, cell) in table.cells(name)?.iter().enumerate() {
                let wrong = |problem: String| table.wrong(row, name, &problem);
                if let Some((at, value)) = encoding.encode(cell).map_err(wrong)? {
                    x[(row, first + at)] = value;
                }
            }
            first += encoding.width();
        }
        Ok(())
    }

    /// Computes the features of every row of an array of raw numbers, whose columns are those of the
    /// table without the target, or those that the scaler was fitted on. NaN stands for what is
    /// missing in a table.
    ///
    /// # Shapes
    /// x: rows x columns; result: rows x features.
    ///
    /// # Errors
    /// If there is another number of columns, one of them holds categories or numbers of more digits than an f32 has
    /// (times, say), or a value is missing or infinite where that is an error.
    pub fn transform_array(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        if let Some(scaler) = &self.scaler {
            check_finite(x, "raw rows", None)?;
            return scaler.transform_array(x);
        }
        if x.ncols() != self.columns.len() {
            return Err(Error::shape("columns of raw rows", self.columns.len(), x.ncols()));
        }
        self.check_digits()?;
        let mut y = x.to_owned();
        for (Column { name, encoding }, mut y) in self.columns.iter().zip(y.columns_mut()) {
            let Encoding::Number { mean, scale, missing } = encoding else {
                return Err(Error::config("preprocessing", holds_text(name)));
            };
            for (row, y) in y.iter_mut().enumerate() {
                let raw = f64::from(*y);
                let value = if raw.is_nan() { missing.unwrap_or(raw) } else { raw };
                if !value.is_finite() {
                    let problem = format!("raw rows: row {row}, column {name:?} is {value}");
                    return Err(Error::Data(problem));
                }
                *y = ((value - mean) / scale) as f32;
            }
        }
        Ok(y)
    }

    /// Checks that an f32 tells a column's raw numbers apart: neighbours of large ones lie far from each other.
    pub(crate) fn check_digits(&self) -> Result<()> {
        let coarse = |column: &&Column| match column.encoding {
            // A constant that an f32 holds is one of no deviation.
            Encoding::Number { mean, scale: 1.0, .. } if f64::from(mean as f32) == mean => false,
            Encoding::Number { mean, scale, .. } => {
                mean.abs() * f64::from(f32::EPSILON) > COARSE * scale
            }
            Encoding::Category { .. } => false,
        };
        match self.columns.iter().find(coarse) {
            None => Ok(()),
            Some(Column { name, .. }) => {
                let problem = format!(
                    "column {name:?} holds numbers of more digits than an f32 has: give a table, or subtract something \
                     from them before the table is read"
                );
                Err(Error::config("preprocessing", problem))
            }
        }
    }

    /// Makes a data set of a table: features and target. A target of values is standardised.
    ///
    /// # Errors
    /// As [`transform`](Self::transform), and if there is no target, or a class that is not known.
    pub fn dataset(&self, table: &Table) -> Result<Dataset> {
        let Some(target) = &self.target else {
            let problem = "expected a column to predict: name it when fitting";
            return Err(Error::config("target", problem));
        };
        let mut x = Features::zeros(table.rows(), self.features())?;
        self.encode(table, x.view_mut())?;
        let cells = table.cells(&target.name)?.iter().enumerate();
        let wrong = |row, problem: String| table.wrong(row, &target.name, &problem);
        let data = match &target.encoding {
            TargetEncoding::Classes { names } => {
                let label = |(row, cell): (usize, &str)| {
                    let label = classes::position(names, cell);
                    label.ok_or_else(|| wrong(row, unknown(cell, names)))
                };
                let labels = cells.map(label).collect::<Result<Vec<usize>>>()?;
                Dataset::of_features(x, targets::classes(labels, names.len())?)?
                    .with_class_names(names.clone())?
            }
            TargetEncoding::Values { mean, scale } => {
                let mut y = Array2::zeros((table.rows(), 1));
                for (row, cell) in cells {
                    let value = double(cell).map_err(|problem| wrong(row, problem))?;
                    y[(row, 0)] = ((value - mean) / scale) as f32;
                }
                Dataset::of_features(x, Targets::Values(y))?
            }
        };
        data.with_feature_names(self.feature_names())
    }

    /// Brings a model's outputs back to the target's units; classes' scores stay as they are. The result has the 7
    /// digits of an f32.
    ///
    /// # Errors
    /// If the target's scaler was fitted on another number of columns, or a value is too large for
    /// f32.
    pub fn restore(&self, mut y: Array2<f32>) -> Result<Array2<f32>> {
        if let Some(Target { encoding: TargetEncoding::Values { mean, scale }, .. }) = &self.target
        {
            y.mapv_inplace(|y| (f64::from(y) * scale + mean) as f32);
            check_finite(y.view(), "scaled values", None)?;
        }
        match &self.target_scaler {
            Some(scaler) => scaler.inverse_transform_array(y.view()),
            None => Ok(y),
        }
    }

    /// Checks what a file says against a model.
    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<()> {
        if self.features() != inputs {
            return Err(Error::shape("features of the preprocessing", inputs, self.features()));
        }
        if self.scaler.is_some() && !self.columns.is_empty() {
            let problem = "expected columns of a table or a scaler, found both";
            return Err(Error::Data(format!("preprocessing: {problem}")));
        }
        if self.target.is_some() && self.target_scaler.is_some() {
            let problem = "expected the target of a table or a target's scaler, found both: a table's \
                           target is brought back without `with_target_scaler`";
            return Err(Error::Data(format!("preprocessing: {problem}")));
        }
        if let Some(scaler) = &self.target_scaler
            && scaler.columns() != outputs
        {
            let what = "columns of the target's scaler";
            return Err(Error::shape(what, outputs, scaler.columns()));
        }
        if let Some(names) = self.class_names()
            && names.len() > outputs.max(2)
        {
            return Err(Error::shape("classes of the preprocessing", outputs.max(2), names.len()));
        }
        let usable =
            |mean: &f64, scale: &f64| mean.is_finite() && scale.is_finite() && *scale > 0.0;
        let numbers = self.columns.iter().all(|column| match &column.encoding {
            Encoding::Number { mean, scale, missing } => {
                usable(mean, scale) && missing.is_none_or(f64::is_finite)
            }
            Encoding::Category { .. } => true,
        });
        let target = match self.target.as_ref().map(|target| &target.encoding) {
            Some(TargetEncoding::Values { mean, scale }) => usable(mean, scale),
            _ => true,
        };
        if numbers && target {
            return Ok(());
        }
        Err(Error::Data("preprocessing: expected finite means and scales above 0".to_owned()))
    }
}

impl Encoding {
    fn width(&self) -> usize {
        match self {
            Self::Number { .. } => 1,
            Self::Category { values, .. } => values.len(),
        }
    }

    /// Which of its columns a cell sets, and to what; none for an unknown category.
    fn encode(&self, cell: &str) -> std::result::Result<Option<(usize, f32)>, String> {
        match self {
            Self::Number { mean, scale, missing } => {
                let value = match missing {
                    Some(value) if is_missing(cell) => *value,
                    _ => double(cell)?,
                };
                Ok(Some((0, ((value - mean) / scale) as f32)))
            }
            Self::Category { values, unseen, missing } => {
                let at = values.iter().position(|value| value == cell);
                match at {
                    Some(at) => Ok(Some((at, 1.0))),
                    None if is_missing(cell) && !missing => {
                        Err("the value is missing; fill it in".to_owned())
                    }
                    None if *unseen == Unseen::Error && !is_missing(cell) => {
                        Err(unknown(cell, values))
                    }
                    None => Ok(None),
                }
            }
        }
    }
}

/// Why a column is not among an array's numbers.
fn holds_text(name: &str) -> String {
    format!("column {name:?} holds categories, which are text: give a table")
}
