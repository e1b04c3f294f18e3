//! Fitted preprocessing: how the cells of a table become features and targets.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::csv::{is_missing, number};
use super::dataset::Dataset;
use super::preprocessor::{Unseen, unknown};
use super::table::Table;
use crate::{Error, Result};

/// Turns tables into features and targets as a [`Preprocessor`](super::Preprocessor) has learned it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    pub(super) columns: Vec<Column>,
    pub(super) target: Option<Target>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Column {
    pub name: String,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encoding {
    /// (x - mean) / scale; `missing` stands for x where it is missing.
    Number { mean: f32, scale: f32, missing: Option<f32> },
    /// A column for each value; `missing` says whether there may be none.
    Category { values: Vec<String>, unseen: Unseen, missing: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Target {
    pub name: String,
    pub encoding: TargetEncoding,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TargetEncoding {
    Classes {
        names: Vec<String>,
    },
    /// The model learns (y - mean) / scale.
    Values {
        mean: f32,
        scale: f32,
    },
}

impl Preprocessing {
    /// Features that a row becomes: the inputs of a model.
    pub fn features(&self) -> usize {
        self.columns.iter().map(|column| column.encoding.width()).sum()
    }

    /// The features' names: those of the columns, and `column=category`.
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
    /// an error; line and column are in it.
    pub fn transform(&self, table: &Table) -> Result<Array2<f32>> {
        let mut x = Array2::zeros((table.rows(), self.features()));
        let mut first = 0;
        for Column { name, encoding } in &self.columns {
            for (row, cell) in table.column(name)?.iter().enumerate() {
                let wrong = |problem: String| table.wrong(row, name, &problem);
                if let Some((at, value)) = encoding.encode(cell).map_err(wrong)? {
                    x[(row, first + at)] = value;
                }
            }
            first += encoding.width();
        }
        Ok(x)
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
        let x = self.transform(table)?;
        let cells = table.column(&target.name)?.iter().enumerate();
        let wrong = |row, problem: String| table.wrong(row, &target.name, &problem);
        let data = match &target.encoding {
            TargetEncoding::Classes { names } => {
                let label = |(row, cell): (usize, &String)| {
                    let label = names.iter().position(|name| name == cell);
                    label.ok_or_else(|| wrong(row, unknown(cell, names)))
                };
                let labels = cells.map(label).collect::<Result<Vec<usize>>>()?;
                Dataset::classification_with(x, labels, names.len())?
                    .with_class_names(names.clone())?
            }
            TargetEncoding::Values { mean, scale } => {
                let mut y = Array2::zeros((table.rows(), 1));
                for (row, cell) in cells {
                    let value = number(cell).map_err(|problem| wrong(row, problem))?;
                    y[(row, 0)] = (value - mean) / scale;
                }
                Dataset::regression(x, y)?
            }
        };
        data.with_feature_names(self.feature_names())
    }

    /// Brings a model's outputs back to the target's units; classes' scores stay as they are.
    pub fn restore(&self, mut y: Array2<f32>) -> Array2<f32> {
        if let Some(Target { encoding: TargetEncoding::Values { mean, scale }, .. }) = &self.target
        {
            y.mapv_inplace(|y| y * scale + mean);
        }
        y
    }

    /// Mean and scale of each column, where all are numbers.
    #[cfg(feature = "onnx")]
    pub(crate) fn numbers(&self) -> Result<Vec<(f32, f32)>> {
        let moments = |column: &Column| match &column.encoding {
            Encoding::Number { mean, scale, .. } => Ok((*mean, *scale)),
            Encoding::Category { .. } => {
                let problem = "holds categories, which are text: export without preprocessing";
                let name = &column.name;
                Err(Error::config("preprocessing", format!("column {name:?} {problem}")))
            }
        };
        self.columns.iter().map(moments).collect()
    }

    /// Mean and scale of a target of values.
    #[cfg(feature = "onnx")]
    pub(crate) fn target_moments(&self) -> Option<(f32, f32)> {
        match self.target.as_ref()?.encoding {
            TargetEncoding::Values { mean, scale } => Some((mean, scale)),
            TargetEncoding::Classes { .. } => None,
        }
    }

    /// Checks what a file says against a model.
    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<()> {
        if self.features() != inputs {
            return Err(Error::shape("features of the preprocessing", inputs, self.features()));
        }
        if let Some(names) = self.class_names()
            && names.len() > outputs.max(2)
        {
            return Err(Error::shape("classes of the preprocessing", outputs.max(2), names.len()));
        }
        let usable =
            |mean: &f32, scale: &f32| mean.is_finite() && scale.is_finite() && *scale > 0.0;
        let numbers = self.columns.iter().all(|column| match &column.encoding {
            Encoding::Number { mean, scale, missing } => {
                usable(mean, scale) && missing.is_none_or(f32::is_finite)
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
                    _ => number(cell)?,
                };
                Ok(Some((0, (value - mean) / scale)))
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
