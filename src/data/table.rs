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
use super::split::test_rows;
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
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        Self::read(file, &path.display().to_string(), delimiter)
    }

    /// Reads CSV with a header from a text.
    ///
    /// # Errors
    /// As [`from_csv`](Self::from_csv).
    pub fn from_csv_text(text: &str) -> Result<Self> {
        Self::read(text.as_bytes(), "CSV text", b',')
    }

    fn read(reader: impl Read, origin: &str, delimiter: u8) -> Result<Self> {
        let mut records = Records::new(reader, origin, delimiter);
        if !records.advance()? {
            return Err(records.wrong("expected a header with the columns' names, found nothing"));
        }
        let columns: Vec<String> = records.record.fields().map(str::to_owned).collect();
        let mut seen = HashSet::new();
        if let Some(name) = columns.iter().find(|&name| !seen.insert(name)) {
            return Err(records.wrong(format!("two columns are called {name:?}: rename one")));
        }
        let mut cells = vec![Cells::default(); columns.len()];
        let mut lines = vec![];
        while records.advance()? {
            for (column, cell) in cells.iter_mut().zip(records.record.fields()) {
                column.push(cell);
            }
            lines.push(records.line);
        }
        if lines.is_empty() {
            return Err(records.wrong("expected rows below the header, found none"));
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
            Error::Parse { origin: self.origin.clone(), line: Some(1), problem }
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
    /// If a row is not there.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
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
        let taken = test_rows(self.rows(), share)?;
        let order = permutation(self.rows(), seed);
        let (second, first) = order.split_at(taken);
        Ok((self.select(first)?, self.select(second)?))
    }

    /// An error about one cell.
    pub(super) fn wrong(&self, row: usize, column: &str, problem: &str) -> Error {
        Error::Parse {
            origin: self.origin.clone(),
            line: Some(self.lines[row]),
            problem: format!("column {column:?}: {problem}"),
        }
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
    }
}
