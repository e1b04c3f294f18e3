//! Tables of text, as people have them in CSV files.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::Array2;

use super::cells::Cells;
use super::csv::{listed, number};
use super::csv_records::Records;
use super::permutation::permutation;
use super::split::share_of;
use crate::{Error, Result};

/// Named columns of text cells. A [`Preprocessor`](super::Preprocessor) makes numbers of it.
///
/// # Examples
/// ```
/// use unisono::Table;
///
/// let table = Table::from_csv_text("city,rooms\nRome,3\nOslo,\n")?;
/// assert_eq!((table.rows(), table.columns()), (2, &["city".to_owned(), "rooms".to_owned()][..]));
/// assert_eq!(table.column("city")?, ["Rome", "Oslo"]);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    origin: String,
    columns: Vec<String>,
    /// Column by column.
    cells: Vec<Cells>,
    /// Where each row stands in the file, from 1.
    lines: Vec<u64>,
}

impl Table {
    /// Reads a CSV file with a header; blanks around cells are left out.
    ///
    /// # Errors
    /// If the file cannot be read, has no rows, a column name twice, or a row with more or fewer cells
    /// than the header; the line is in the error.
    pub fn from_csv(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_csv_with(path, b',')
    }

    /// The same with another byte between cells, `b';'` or `b'\t'`.
    ///
    /// # Errors
    /// As [`from_csv`](Self::from_csv).
    pub fn from_csv_with(path: impl AsRef<Path>, delimiter: u8) -> Result<Self> {
        Self::open(path.as_ref(), delimiter, None)
    }

    /// Reads a CSV file that has no header; its columns get these names, in order.
    ///
    /// # Errors
    /// As [`from_csv`](Self::from_csv); also if there is not one name for each column.
    ///
    /// # Examples
    /// ```no_run
    /// use unisono::Table;
    ///
    /// let names = ["sepal length", "sepal width", "petal length", "petal width", "species"];
    /// let iris = Table::from_csv_named("iris.data", b',', names)?;
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn from_csv_named<S: Into<String>>(
        path: impl AsRef<Path>,
        delimiter: u8,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names = names.into_iter().map(Into::into).collect();
        Self::open(path.as_ref(), delimiter, Some(names))
    }

    /// Reads CSV with a header from a text.
    ///
    /// # Errors
    /// As [`from_csv`](Self::from_csv).
    pub fn from_csv_text(text: &str) -> Result<Self> {
        Self::read(text.as_bytes(), "CSV text", b',', None)
    }

    fn open(path: &Path, delimiter: u8, names: Option<Vec<String>>) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        Self::read(file, &path.display().to_string(), delimiter, names)
    }

    /// Reads rows under the given names, or else under those of the first line.
    fn read(
        reader: impl Read,
        origin: &str,
        delimiter: u8,
        names: Option<Vec<String>>,
    ) -> Result<Self> {
        let mut records = Records::new(reader, origin, delimiter)?;
        let header = names.is_none();
        if !records.advance()? {
            let expected = if header { "a header with the columns' names" } else { "rows" };
            let problem = format!("expected {expected}, found nothing");
            return Err(Error::parse(origin, None, problem));
        }
        let first = records.record.fields();
        let columns = names.unwrap_or_else(|| first.map(str::to_owned).collect());
        let mut seen = HashSet::new();
        if let Some(name) = columns.iter().find(|&name| !seen.insert(name)) {
            return Err(records.wrong(format!("two columns are called {name:?}: rename one")));
        }
        let (named, found) = (columns.len(), records.record.fields().count());
        if named != found {
            let problem = format!("expected as many cells as names, {named}, found {found}");
            return Err(records.wrong(problem));
        }
        if header && !records.advance()? {
            return Err(records.wrong("expected rows below the header, found none"));
        }
        let mut cells = vec![Cells::default(); named];
        let mut lines = vec![];
        loop {
            for (column, cell) in cells.iter_mut().zip(records.record.fields()) {
                column.push(cell);
            }
            lines.push(records.line);
            if !records.advance()? {
                break;
            }
        }
        Ok(Self { origin: origin.to_owned(), columns, cells, lines })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The names of the columns, in order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The cells of a column.
    ///
    /// # Errors
    /// If no column has that name; the error lists those that there are.
    pub fn column(&self, name: &str) -> Result<Vec<&str>> {
        Ok(self.cells(name)?.iter().collect())
    }

    /// The same, to go through.
    pub(super) fn cells(&self, name: &str) -> Result<&Cells> {
        let index = self.columns.iter().position(|column| column == name);
        index.map(|index| &self.cells[index]).ok_or_else(|| {
            let known = listed(&self.columns);
            let problem = format!("expected a column {name:?}, found {known}");
            Error::parse(&self.origin, 1, problem)
        })
    }

    /// The cells of some columns as numbers.
    pub(crate) fn numbers(&self, names: &[String]) -> Result<Array2<f32>> {
        let mut x = Array2::zeros((self.rows(), names.len()));
        for (name, mut x) in names.iter().zip(x.columns_mut()) {
            for (row, cell) in self.cells(name)?.iter().enumerate() {
                x[row] = number(cell).map_err(|problem| self.wrong(row, name, &problem))?;
            }
        }
        Ok(x)
    }

    /// Takes some rows, in the given order.
    ///
    /// # Errors
    /// If a row is not there, or none is taken.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::Data("expected rows to select, found none".to_owned()));
        }
        if let Some(row) = rows.iter().find(|row| **row >= self.rows()) {
            return Err(Error::shape("row", format!("below {}", self.rows()), row));
        }
        let take = |column: &Cells| rows.iter().map(|&row| column.get(row)).collect();
        Ok(Self {
            origin: self.origin.clone(),
            columns: self.columns.clone(),
            cells: self.cells.iter().map(take).collect(),
            lines: rows.iter().map(|&row| self.lines[row]).collect(),
        })
    }

    /// Splits off a share of the rows, chosen by a seed: the rest, and that share.
    ///
    /// # Errors
    /// If the share is not between 0 and 1, or leaves no row on either side.
    pub fn split(&self, share: f64, seed: u64) -> Result<(Self, Self)> {
        let taken = share_of(self.rows(), share, "share")?;
        let order = permutation(self.rows(), seed);
        let (second, first) = order.split_at(taken);
        Ok((self.select(first)?, self.select(second)?))
    }

    /// An error about one cell.
    pub(super) fn wrong(&self, row: usize, column: &str, problem: &str) -> Error {
        Error::parse(&self.origin, self.lines[row], format!("column {column:?}: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_named_with_its_line() {
        for (text, expected) in [
            ("", "header"),
            ("a,b\n", "rows below the header"),
            ("a,a\n1,2\n", "two columns are called \"a\""),
            ("a,b\n1,2\n3\n", "line 3: expected 2 fields"),
        ] {
            let error = Table::from_csv_text(text).unwrap_err().to_string();
            assert!(error.contains(expected), "expected {expected:?} in {error:?}");
        }
        let table = Table::from_csv_text("a,b\n1,2\n").unwrap();
        let error = table.column("c").unwrap_err().to_string();
        assert!(error.ends_with("\"c\", found \"a\", \"b\""), "{error}");
        let wide = (0..100).map(|n| format!("column {n}")).collect::<Vec<_>>().join(",");
        let table = Table::from_csv_text(&format!("{wide}\n{}1\n", "1,".repeat(99))).unwrap();
        let error = table.column("c").unwrap_err().to_string();
        assert!(error.ends_with("\"column 39\" and 60 more"), "{error}");
    }

    #[test]
    fn a_split_has_every_row_once() {
        let text = (0..50).fold("n\n".to_owned(), |text, n| text + &format!("{n}\n"));
        let table = Table::from_csv_text(&text).unwrap();
        let (first, second) = table.split(0.2, 3).unwrap();
        assert_eq!((first.rows(), second.rows()), (40, 10));
        let mut all = [first.column("n").unwrap(), second.column("n").unwrap()].concat();
        all.sort_by_key(|n| n.parse::<usize>().unwrap());
        assert_eq!(all, table.column("n").unwrap());
        assert!(table.split(0.0, 1).is_err() && table.split(1.0, 1).is_err());
        assert!(table.split(f64::NAN, 1).is_err());
        assert!(table.split(1.5, 1).unwrap_err().to_string().contains("`share` is 1.5"));
    }

    #[test]
    fn a_file_without_a_header_gets_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.data");
        std::fs::write(&path, "1;a\n2;b\n").unwrap();
        let table = Table::from_csv_named(&path, b';', ["n", "kind"]).unwrap();
        assert_eq!(table.column("n").unwrap(), ["1", "2"]);
        assert_eq!(table.column("kind").unwrap(), ["a", "b"]);
        for (names, expected) in [
            (&["n"][..], "line 1: expected as many cells as names, 1, found 2"),
            (&["n", "n"], "two columns are called \"n\""),
        ] {
            let names = names.iter().copied();
            let error = Table::from_csv_named(&path, b';', names).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        std::fs::write(&path, "").unwrap();
        let error = Table::from_csv_named(&path, b';', ["n"]).unwrap_err().to_string();
        assert!(error.ends_with("expected rows, found nothing"), "{error}");
    }

    #[test]
    fn a_byte_that_cannot_delimit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "a,b\n1,2\n").unwrap();
        let error = Table::from_csv_with(&path, b'"').unwrap_err().to_string();
        assert!(error.contains("`delimiter` is '\"', which cannot delimit"), "{error}");
    }
}
