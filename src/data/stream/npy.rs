//! NumPy's files as a stream: an array of features and one of targets.

use std::path::{Path, PathBuf};

use super::chunk::Chunk;
use super::npy_array::ArrayReader;
use super::{Facts, ReadRows};
use crate::data::TargetShape;
use crate::data::targets::MAX_CLASSES;
use crate::{Error, Result};

/// Labels that are looked through at once.
const LABELS: usize = 1 << 16;

/// Where the targets of the features are.
#[derive(Debug)]
pub(super) enum NpyFormat {
    /// In a file of their own for each of the features'.
    Files(Vec<PathBuf>),
    /// In the same archive: the names of features and targets.
    Archives(String, String),
}

pub(super) fn open(features: &[PathBuf], targets: Vec<PathBuf>) -> Result<(NpyFormat, Facts)> {
    if features.len() != targets.len() {
        let what = "files of targets, one for each file of features";
        return Err(Error::shape(what, features.len(), targets.len()));
    }
    let format = NpyFormat::Files(targets);
    let facts = facts(features, &format)?;
    Ok((format, facts))
}

pub(super) fn open_archives(
    files: &[PathBuf],
    features: &str,
    targets: &str,
) -> Result<(NpyFormat, Facts)> {
    let format = NpyFormat::Archives(features.into(), targets.into());
    let facts = facts(files, &format)?;
    Ok((format, facts))
}

/// Compares all headers, and looks through the labels for the largest.
fn facts(files: &[PathBuf], format: &NpyFormat) -> Result<Facts> {
    let mut rows = vec![];
    let mut first: Option<(usize, TargetShape)> = None;
    let mut largest = 0;
    for (index, path) in files.iter().enumerate() {
        let mut file = format.open(path, index)?;
        let shape = match file.targets.element.is_float() {
            true => TargetShape::Values(file.targets.columns),
            false => TargetShape::Classes(0),
        };
        if let TargetShape::Classes(_) = shape {
            largest = largest.max(largest_label(&mut file.targets, path)?);
        }
        let found = (file.features.columns, shape);
        let expected = *first.get_or_insert(found);
        if expected != found {
            let what = format!("{}: columns and targets, as in the first file", path.display());
            let told = |(columns, shape)| match shape {
                TargetShape::Classes(_) => {
                    format!("{columns} and whole numbers, which are classes")
                }
                TargetShape::Values(1) => format!("{columns} and a value"),
                TargetShape::Values(values) => format!("{columns} and {values} values"),
            };
            return Err(Error::shape(what, told(expected), told(found)));
        }
        rows.push(file.features.rows);
    }
    let (columns, targets) = first.expect("a stream has at least one file");
    let targets = match targets {
        TargetShape::Classes(_) => TargetShape::Classes(largest as usize + 1),
        values => values,
    };
    Ok(Facts { rows, columns, targets, feature_names: None, class_names: None })
}

fn largest_label(targets: &mut ArrayReader, path: &Path) -> Result<u32> {
    let what = |what: &str| format!("{}: {what}", path.display());
    if targets.columns != 1 {
        let what = what("columns of whole numbers as targets, which are labels");
        return Err(Error::shape(what, 1, targets.columns));
    }
    let (mut labels, mut largest) = (vec![], 0);
    while targets.labels(LABELS, &mut labels)? > 0 {
        largest = labels.drain(..).fold(largest, u32::max);
    }
    if largest as usize >= MAX_CLASSES {
        let expected = format!("below {MAX_CLASSES}: save numbers to predict as floats");
        return Err(Error::shape(what("labels"), expected, largest));
    }
    Ok(largest)
}

impl NpyFormat {
    fn open(&self, path: &Path, index: usize) -> Result<NpyRows> {
        let (features, targets) = match self {
            Self::Files(targets) => (ArrayReader::npy(path)?, ArrayReader::npy(&targets[index])?),
            Self::Archives(features, targets) => {
                (ArrayReader::npz(path, features)?, ArrayReader::npz(path, targets)?)
            }
        };
        if features.rows != targets.rows {
            let what = format!("{}: targets, one for each row of features", path.display());
            return Err(Error::shape(what, features.rows, targets.rows));
        }
        Ok(NpyRows { features, targets })
    }

    pub fn read(&self, path: &Path, index: usize) -> Result<Box<dyn ReadRows>> {
        Ok(Box::new(self.open(path, index)?))
    }
}

struct NpyRows {
    features: ArrayReader,
    targets: ArrayReader,
}

impl ReadRows for NpyRows {
    fn read(&mut self, most: usize, chunk: &mut Chunk) -> Result<()> {
        let what = "columns or targets of a file, as when the stream was opened";
        if self.features.columns != chunk.columns {
            return Err(Error::shape(what, chunk.columns, self.features.columns));
        }
        let rows = self.features.numbers(most, &mut chunk.features)?;
        match chunk.targets {
            TargetShape::Classes(_) => self.targets.labels(rows, &mut chunk.labels)?,
            TargetShape::Values(columns) if columns == self.targets.columns => {
                self.targets.numbers(rows, &mut chunk.values)?
            }
            TargetShape::Values(columns) => {
                return Err(Error::shape(what, columns, self.targets.columns));
            }
        };
        chunk.rows += rows;
        Ok(())
    }
}
