//! How a CSV file is to be read.

use super::csv_target::TargetKind;

/// A column of a CSV file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CsvColumn {
    /// By its name in the header.
    Name(String),
    /// By its position, from 0.
    Index(usize),
    /// The last one.
    Last,
}

impl From<&str> for CsvColumn {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<String> for CsvColumn {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<usize> for CsvColumn {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// How a CSV file is to be read.
///
/// Unless told otherwise there is a header, commas delimit, the last column is the target and what
/// the target means is guessed: text makes classes, whole numbers of at most 20 different values
/// make classes, other numbers are values to predict.
///
/// # Examples
/// ```
/// use unisono::{CsvOptions, Dataset};
///
/// let file = "size;colour;fruit\n7.5;0.2;apple\n12.0;0.9;melon\n";
/// let options = CsvOptions::new("fruit").delimiter(b';');
/// let data = Dataset::from_csv_reader(file.as_bytes(), "fruit.csv", &options)?;
/// assert_eq!(data.to_string(), "2 rows x 2 features, 2 classes: apple (1 rows), melon (1 rows)");
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CsvOptions {
    pub(super) target: CsvColumn,
    pub(super) header: Option<bool>,
    pub(super) delimiter: u8,
    pub(super) kind: Option<TargetKind>,
    pub(super) class_names: Option<Vec<String>>,
    pub(super) ignored: Vec<CsvColumn>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self::new(CsvColumn::Last)
    }
}

impl CsvOptions {
    /// Takes the given column, by name or by position from 0, for the target.
    pub fn new(target: impl Into<CsvColumn>) -> Self {
        Self {
            target: target.into(),
            header: None,
            delimiter: b',',
            kind: None,
            class_names: None,
            ignored: Vec::new(),
        }
    }

    /// Says whether the first line names the columns. Unless told it does, and is refused if all
    /// features would be called by numbers, as where a row stands in its place; numbers that count
    /// the columns, such as `0`, `1`, `2`, are taken for names, and so is a line in which a column was found
    /// by its name.
    pub fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// Whether a column is to be found by its name, which only a header holds.
    pub(super) fn names_a_column(&self) -> bool {
        let mut columns = self.ignored.iter().chain([&self.target]);
        columns.any(|column| matches!(column, CsvColumn::Name(_)))
    }

    pub(super) fn has_header(&self) -> bool {
        self.header.unwrap_or(true)
    }

    /// Sets the byte between two fields, such as `b';'` or `b'\t'`.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Takes the target for classes, numbered in sorted order. Where all are numbers, `9` and `9.0`
    /// are one class, while `7` and the code `007` are two.
    pub fn classes(mut self) -> Self {
        self.kind = Some(TargetKind::Classes);
        self
    }

    /// Takes the target for classes of these names, numbered in this order; needed where several
    /// files have to agree and not every class occurs in each.
    pub fn class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.class_names = Some(names.into_iter().map(Into::into).collect());
        self.classes()
    }

    /// Takes the target for a value to predict.
    pub fn values(mut self) -> Self {
        self.kind = Some(TargetKind::Values);
        self.class_names = None;
        self
    }

    /// Leaves a column out.
    pub fn ignore(mut self, column: impl Into<CsvColumn>) -> Self {
        self.ignored.push(column.into());
        self
    }
}
