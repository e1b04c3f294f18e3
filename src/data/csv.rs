//! Reads CSV: one column is the target, the others are features.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use ndarray::Array2;

use super::classes::{each_once, key};
use super::csv_records::{Record, Records};
use super::csv_target::TargetColumn;
use super::{CsvColumn, CsvOptions, Dataset};
use crate::{Error, Result};

/// What stands for a value that is not there, beside NaN: pandas' list, and the `?` of UCI's files.
const MISSING: [&str; 16] = [
    "", "?", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
];

/// Characters of a field, and names of a list, that a message shows.
const SHOWN: usize = 40;

/// A result whose problem does not name its place yet.
pub(super) type Unplaced<T> = std::result::Result<T, String>;

impl Dataset {
    /// Reads a CSV file, one row a line. A feature becomes an f32, which has 7 digits: of times and other
    /// large numbers that differ by little, a [`Table`](crate::Table) keeps all, which its
    /// [`Preprocessor`](crate::Preprocessor) subtracts the mean from. It also takes text for features.
    ///
    /// # Errors
    /// If the file cannot be read or is empty, a column is unknown or named twice, the header is a
    /// row of numbers, a line has more or fewer fields than the first, a value is missing, or a
    /// feature is not a finite number. The message names line and column.
    ///
    /// # Examples
    /// ```no_run
    /// use unisono::{CsvOptions, Dataset};
    ///
    /// let wine = Dataset::from_csv("wine.csv", &CsvOptions::new("quality").delimiter(b';'))?;
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn from_csv(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        Self::from_csv_reader(file, &path.display().to_string(), options)
    }

    /// Reads CSV from anything that can be read; messages call it `origin`.
    ///
    /// # Errors
    /// As [`Dataset::from_csv`].
    pub fn from_csv_reader(reader: impl Read, origin: &str, options: &CsvOptions) -> Result<Self> {
        let (layout, mut records) = open(reader, origin, options)?;
        let (mut features, mut targets) = (Vec::new(), TargetColumn::default());
        loop {
            layout.read(&records.record, &mut features).map_err(|p| records.wrong(p))?;
            targets.push(records.record.field(layout.target), records.line);
            if !records.advance()? {
                break;
            }
        }
        layout.dataset(features, targets, origin, options)
    }
}

/// Reads up to the first row of numbers, which is then the current record.
pub(super) fn open<R: Read>(
    reader: R,
    origin: &str,
    options: &CsvOptions,
) -> Result<(Layout, Records<R>)> {
    let mut records = Records::new(reader, origin, options.delimiter)?;
    if !records.advance()? {
        return Err(Error::parse(origin, None, "is empty"));
    }
    let names = options.class_names.iter().flatten();
    each_once("class_names", names.map(|name| key(name)))?;
    let layout = Layout::new(&records.record, options).map_err(|p| records.wrong(p))?;
    if options.has_header() && !records.advance()? {
        return Err(Error::parse(origin, None, "has a header and no rows"));
    }
    Ok((layout, records))
}

/// Which columns are what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub names: Option<Vec<String>>,
    pub target: usize,
    pub features: Vec<usize>,
}

impl Layout {
    fn new(first: &Record, options: &CsvOptions) -> Unplaced<Self> {
        let names: Option<Vec<String>> =
            options.has_header().then(|| first.fields().map(String::from).collect());
        let columns = first.fields().count();
        let find = |column: &CsvColumn| find(column, names.as_deref(), columns);
        let target = find(&options.target)?;
        let ignored = options.ignored.iter().map(find).collect::<Unplaced<Vec<_>>>()?;
        if ignored.contains(&target) {
            return Err("the target column is to be ignored".into());
        }
        let is_feature = |column: &usize| *column != target && !ignored.contains(column);
        let features: Vec<usize> = (0..columns).filter(is_feature).collect();
        if features.is_empty() {
            let problem = "no columns are left for features; is the delimiter right?";
            return Err(format!("of {columns} columns, {problem}"));
        }
        if let Some(names) = &names {
            if options.header.is_none() && !options.names_a_column() && is_row(names, &features) {
                let problem = "the names of all features are numbers: choose .header(false) if this \
                               line is a row, .header(true) if it is not";
                return Err(problem.into());
            }
            let mut seen = HashSet::new();
            if let Some(name) = names.iter().find(|&name| !seen.insert(name)) {
                return Err(format!("the header names {} twice", shown(name)));
            }
        }
        Ok(Self { names, target, features })
    }

    /// Appends the features of a record.
    pub fn read(&self, record: &Record, features: &mut Vec<f32>) -> Unplaced<()> {
        for &column in &self.features {
            let value = number(record.field(column));
            let place = |problem| {
                let (name, text) = (self.name(column), record.field(column));
                match text.parse::<f32>() {
                    Ok(value) if !value.is_nan() => format!("{name}: {problem}"),
                    _ => format!(
                        "{name}: {problem} (a `Table` takes text and fills in what is missing)"
                    ),
                }
            };
            features.push(value.map_err(place)?);
        }
        Ok(())
    }

    fn dataset(
        &self,
        features: Vec<f32>,
        targets: TargetColumn,
        origin: &str,
        options: &CsvOptions,
    ) -> Result<Dataset> {
        let (targets, class_names) = targets
            .finish(options.kind, options.class_names.as_deref())
            .map_err(|(line, problem)| {
            Error::parse(origin, line, format!("{}: {problem}", self.name(self.target)))
        })?;
        let columns = self.features.len();
        let features = Array2::from_shape_vec((features.len() / columns, columns), features)
            .map_err(|error| Error::parse(origin, None, error.to_string()))?;
        let mut data = Dataset::new(features, targets)?;
        if let Some(names) = &self.names {
            data = data.with_feature_names(self.features.iter().map(|&i| names[i].clone()))?;
        }
        match class_names {
            Some(names) => data.with_class_names(names),
            None => Ok(data),
        }
    }

    /// Says which column of a file is another than it was elsewhere.
    pub fn other_than(&self, known: &Self, path: &Path, elsewhere: &str) -> Error {
        let (names, others) = (self.names.as_deref(), known.names.as_deref());
        let differ = names.zip(others).and_then(|(names, others)| {
            let mut pairs = names.iter().zip(others).enumerate();
            pairs.find(|(_, (name, other))| name != other)
        });
        let problem = match differ {
            Some((at, (name, other))) => {
                let (name, other) = (shown(name), shown(other));
                format!(
                    "other columns than {elsewhere}: column {at} (from 0) is {name}, not {other}"
                )
            }
            None => format!("other columns than {elsewhere}"),
        };
        Error::parse(path.display().to_string(), None, problem)
    }

    /// What a column is called in messages.
    pub fn name(&self, column: usize) -> String {
        match &self.names {
            Some(names) => format!("column {}", shown(&names[column])),
            None => format!("column {column} (from 0)"),
        }
    }
}

/// Whether what should be the features' names are the numbers of a row. Whole numbers that count the
/// columns are names: a table whose columns have none gets them when it is saved.
fn is_row(names: &[String], features: &[usize]) -> bool {
    let counts = features.iter().map(|&column| names[column].parse().ok());
    let counts = counts.collect::<Option<Vec<usize>>>();
    let counting = counts.is_some_and(|counts| {
        counts.is_sorted_by(|a, b| a < b) && counts.last() <= Some(&names.len())
    });
    !counting && features.iter().all(|&column| number(&names[column]).is_ok())
}

pub(super) fn find(
    column: &CsvColumn,
    names: Option<&[String]>,
    columns: usize,
) -> Unplaced<usize> {
    match (column, names) {
        (CsvColumn::Last, _) => Ok(columns - 1),
        (CsvColumn::Index(index), _) if *index < columns => Ok(*index),
        (CsvColumn::Index(index), _) => {
            Err(format!("there is no column {index}: the {columns} columns are counted from 0"))
        }
        (CsvColumn::Name(name), None) => {
            Err(format!("column {name:?} cannot be found without a header; give its position"))
        }
        (CsvColumn::Name(name), Some(names)) => {
            let problem = || format!("there is no column {name:?} among {}", listed(names));
            names.iter().position(|known| known == name).ok_or_else(problem)
        }
    }
}

/// Whether a field says that its value is not there.
pub(super) fn is_missing(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    MISSING.contains(&text) || unsigned.eq_ignore_ascii_case("nan")
}

/// Reads a finite number, or says why it is none.
pub(super) fn number(text: &str) -> Unplaced<f32> {
    finite(text)
}

/// The same for one from which something will be subtracted before it becomes an f32.
pub(super) fn double(text: &str) -> Unplaced<f64> {
    finite(text)
}

fn finite<T: FromStr + Copy + Into<f64>>(text: &str) -> Unplaced<T> {
    match text.parse::<T>() {
        Ok(value) if (value.into() as f32).is_finite() => Ok(value),
        _ if is_missing(text) => {
            Err(format!("{}: the value is missing; fill it in or leave the row out", shown(text)))
        }
        Ok(_) => Err(format!("{} is infinite or beyond the range of f32", shown(text))),
        Err(_) => Err(format!("{} is not a number", shown(text))),
    }
}

/// A field in quotes as messages show it: a quote that is never closed may hold the whole file.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The first few names of a list.
pub(crate) fn listed(names: &[String]) -> String {
    let list: Vec<String> = names.iter().take(SHOWN).map(|name| shown(name)).collect();
    let more = names.len() - list.len();
    if more == 0 { list.join(", ") } else { format!("{} and {more} more", list.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn read(text: &str, options: &CsvOptions) -> Result<Dataset> {
        Dataset::from_csv_reader(text.as_bytes(), "test.csv", options)
    }

    fn message(text: &str, options: &CsvOptions) -> String {
        read(text, options).unwrap_err().to_string()
    }

    #[test]
    fn the_target_may_stand_anywhere() {
        let data = read("y,a,b\n7.5,1,2\n8.5,3,4\n", &CsvOptions::new("y")).unwrap();
        assert_eq!(data.x(), array![[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(data.values().unwrap(), array![[7.5], [8.5]]);
        assert_eq!(data.feature_names().unwrap(), ["a", "b"]);
        assert_eq!(read("y,a,b\n7.5,1,2\n8.5,3,4\n", &CsvOptions::new(0)).unwrap(), data);
    }

    #[test]
    fn a_bom_carriage_returns_quotes_and_blanks_do_not_matter() {
        let plain = read("a,b\n1,x\n2,y\n", &CsvOptions::default()).unwrap();
        let odd = "\u{feff}\"a\", b\r\n\r\n 1 ,\"x\"\r\n2,y";
        assert_eq!(read(odd, &CsvOptions::default()).unwrap(), plain);
    }

    #[test]
    fn without_a_header_the_first_line_is_a_row() {
        let data = read("1\t0.5\n2\t1.5\n", &CsvOptions::default().header(false).delimiter(b'\t'));
        assert_eq!(
            data.unwrap(),
            Dataset::regression(array![[1.], [2.]], array![[0.5], [1.5]]).unwrap()
        );
    }

    #[test]
    fn every_spelling_of_nan_is_missing() {
        for text in
            ["NaN", "nan", "NAN", "Nan", "-nan", "-NaN", "+nan", "1.#QNAN", "-1.#IND", "#NA"]
        {
            let error = number(text).unwrap_err();
            assert!(error.contains("the value is missing"), "{error}");
            assert!(is_missing(text));
        }
        for text in ["inf", "-", "nano", "0"] {
            assert!(!is_missing(text), "{text}");
        }
    }

    #[test]
    fn a_row_of_numbers_is_no_header_unless_told() {
        let last = CsvOptions::default;
        for row in ["5.1,3.5,1.4,0.2,setosa", "0,0,5,x", "3,1,2,x", "2,9,4,1", "1,7,x", "5,x"] {
            let error = message(&format!("{row}\n{row}\n"), &last());
            let expected = "test.csv, line 1: the names of all features are numbers";
            assert!(error.starts_with(expected) && error.contains(".header(false)"), "{error}");
        }
        let wavelengths = "1100,1102.5,1\n0.3,0.4,7\n";
        assert_eq!(read(wavelengths, &last().header(true)).unwrap().rows(), 1);
        assert_eq!(read(wavelengths, &last().header(false)).unwrap().rows(), 2);
        let named = "1100,1102.5,moisture\n0.3,0.4,7\n";
        assert_eq!(read(named, &CsvOptions::new("moisture")).unwrap().rows(), 1);
    }

    #[test]
    fn numbers_that_count_the_columns_are_names() {
        for (header, target) in [
            ("0,1,2,y", "y"),
            ("1,2,3,y", "y"),
            ("y,0,1,2", "y"),
            ("0,y,1,2", "y"),
            ("0,1,2,3", "1"),
            (",0,1,y", "y"),
        ] {
            let data = read(&format!("{header}\n0,0,0,0\n"), &CsvOptions::new(target)).unwrap();
            let names: Vec<_> = header.split(',').filter(|&name| name != target).collect();
            assert_eq!(data.feature_names().unwrap(), names);
        }
    }

    #[test]
    fn ignored_columns_are_left_out() {
        let options = CsvOptions::new("y").ignore("id").ignore(2);
        let data = read("id,a,note,y\nk1,1,hm,0\nk2,2,,1\n", &options).unwrap();
        assert_eq!(data.x(), array![[1.0], [2.0]]);
    }

    #[test]
    fn messages_name_the_line_whatever_came_before() {
        let options = CsvOptions::default();
        for text in ["a,y\n1,0\n\nx,1\n", "a,y\r\n1,0\r\n\r\nx,1\r\n", "\n\na,y\nx,0"] {
            assert_eq!(
                message(text, &options),
                "test.csv, line 4: column \"a\": \"x\" is not a number (a `Table` takes text and \
                 fills in what is missing)"
            );
        }
        assert!(
            message("a,y\n\"1\n\",0\n\n1,0,\n", &options).contains("line 5: expected 2 fields")
        );
    }

    #[test]
    fn invalid_utf8_is_an_error() {
        let error = Dataset::from_csv_reader(&b"a,y\n\xff,1\n"[..], "f", &CsvOptions::default());
        assert_eq!(error.unwrap_err().to_string(), "f, line 2: column 0 (from 0) is not UTF-8");
    }
}
