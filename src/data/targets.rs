//! What a data set asks to be predicted: classes or values.

use ndarray::{Array2, ArrayView2, Axis};

use crate::{Error, Result};

/// The most classes a data set may have. A label beyond it is an identifier taken for a class, and
/// everything that is sized by the classes would ask for absurd memory.
pub(crate) const MAX_CLASSES: usize = 1 << 24;

/// What is to be predicted, one entry or row for each row of features.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Each row belongs to one class.
    Classes {
        /// The class of each row, `0..count`.
        labels: Vec<u32>,
        /// Number of classes; not all of them need to occur.
        count: usize,
    },
    /// Each row has one or more values, in rows x outputs.
    Values(Array2<f32>),
}

/// What the targets of some rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetShape {
    /// Labels of so many classes.
    Classes(usize),
    /// Rows of so many values.
    Values(usize),
}

impl TargetShape {
    /// Values of a row.
    pub fn values(self) -> usize {
        match self {
            Self::Classes(_) => 0,
            Self::Values(columns) => columns,
        }
    }
}

impl Targets {
    pub(crate) fn shape(&self) -> TargetShape {
        match self {
            Self::Classes { count, .. } => TargetShape::Classes(*count),
            Self::Values(values) => TargetShape::Values(values.ncols()),
        }
    }

    /// Counts the rows.
    #[allow(clippy::len_without_is_empty)] // a data set is never empty
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values(values) => values.nrows(),
        }
    }

    /// Checks what a data set of `rows` rows asks of its targets, and makes values contiguous.
    pub(crate) fn checked(self, rows: usize) -> Result<Self> {
        if self.len() != rows {
            let what = match self {
                Self::Classes { .. } => "labels, one for each row of features",
                Self::Values(_) => "rows of target values, one for each row of features",
            };
            return Err(Error::shape(what, rows, self.len()));
        }
        match self {
            Self::Classes { labels, count } => {
                check_labels(&labels, count)?;
                Ok(Self::Classes { labels, count })
            }
            Self::Values(values) => {
                let values = contiguous(values);
                if values.ncols() == 0 {
                    return Err(Error::Data("target values have no columns".into()));
                }
                check_finite(values.view(), "target values", None)?;
                Ok(Self::Values(values))
            }
        }
    }

    /// Copies the given rows, all of which exist.
    pub(crate) fn gather(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes { labels, count } => {
                Self::Classes { labels: rows.iter().map(|&r| labels[r]).collect(), count: *count }
            }
            Self::Values(values) => Self::Values(values.select(Axis(0), rows)),
        }
    }
}

/// Classes as targets, of which there are `count`.
pub(crate) fn classes<L>(given: impl IntoIterator<Item = L>, count: usize) -> Result<Targets>
where
    L: TryInto<u32> + Copy + std::fmt::Display,
{
    Ok(Targets::Classes { labels: labels(given)?, count })
}

/// Turns labels of any integer type into the crate's.
pub(crate) fn labels<L>(given: impl IntoIterator<Item = L>) -> Result<Vec<u32>>
where
    L: TryInto<u32> + Copy + std::fmt::Display,
{
    let label = |(row, label): (usize, L)| {
        label.try_into().map_err(|_| {
            Error::Data(format!("label {label} in row {row}: classes are numbered from 0"))
        })
    };
    given.into_iter().enumerate().map(label).collect()
}

fn check_labels(labels: &[u32], count: usize) -> Result<()> {
    if let Some(row) = labels.iter().position(|&label| label as usize >= MAX_CLASSES) {
        return Err(Error::Data(format!(
            "label {} in row {row}: there may be at most {MAX_CLASSES} classes, numbered from 0",
            labels[row]
        )));
    }
    if count > MAX_CLASSES {
        return Err(Error::Data(format!("{count} classes: there may be at most {MAX_CLASSES}")));
    }
    match labels.iter().position(|&label| label as usize >= count) {
        Some(row) => Err(Error::Data(format!(
            "label {} in row {row} is out of range: with {count} classes the labels are 0 to {}",
            labels[row],
            count.saturating_sub(1)
        ))),
        None => Ok(()),
    }
}

/// Gives the array the standard layout; free if it has it.
pub(crate) fn contiguous(array: Array2<f32>) -> Array2<f32> {
    if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
}

pub(crate) fn too_large(rows: usize, columns: usize) -> Error {
    Error::Data(format!("{rows} x {columns} numbers do not fit into memory"))
}

/// Makes a table of zeros, or says that it is too large.
pub(crate) fn zeros(rows: usize, columns: usize) -> Result<Array2<f32>> {
    let too_large = || too_large(rows, columns);
    let len = rows.checked_mul(columns).ok_or_else(too_large)?;
    let mut data = Vec::new();
    data.try_reserve_exact(len).map_err(|_| too_large())?;
    data.resize(len, 0.0);
    Array2::from_shape_vec((rows, columns), data).map_err(|_| too_large())
}

/// Finds the first value that is NaN or infinite and names its place.
pub(crate) fn check_finite(
    array: ArrayView2<'_, f32>,
    what: &str,
    column_names: Option<&[String]>,
) -> Result<()> {
    if array.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    let Some(((row, column), value)) = array.indexed_iter().find(|(_, v)| !v.is_finite()) else {
        return Ok(());
    };
    let name = column_names.and_then(|names| names.get(column));
    let name = name.map(|name| format!(" ({name:?})")).unwrap_or_default();
    Err(Error::Data(format!(
        "{what}: row {row}, column {column}{name} is {value}; \
         only finite numbers can be learned from: leave the row out or fill in a value"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn any_integer_type_makes_labels() {
        assert_eq!(labels([0u8, 2]).unwrap(), [0, 2]);
        assert_eq!(labels(vec![0usize, 2]).unwrap(), [0, 2]);
        assert_eq!(labels(array![0i64, 2]).unwrap(), [0, 2]);
    }

    #[test]
    fn negative_and_huge_labels_are_refused() {
        assert!(labels([0, -1]).unwrap_err().to_string().contains("label -1 in row 1"));
        assert!(labels([1u64 << 32]).is_err());
        let huge = Targets::Classes { labels: vec![1 << 30], count: (1 << 30) + 1 };
        assert!(huge.checked(1).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn gathered_rows_come_in_the_order_asked_for() {
        let values = Targets::Values(array![[0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(
            values.gather(&[1, 0, 1]),
            Targets::Values(array![[2., 3.], [0., 1.], [2., 3.]])
        );
        let classes = Targets::Classes { labels: vec![4, 5], count: 9 };
        assert_eq!(classes.gather(&[1]), Targets::Classes { labels: vec![5], count: 9 });
    }
}
