//! Parquet files as a stream.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::chunk::Chunk;
use super::parquet_column::{Cells, ColumnCells};
use super::parquet_file::{Whole, caught, open_file, wrong};
use super::{Facts, MOST_CLASSES, ReadRows};
use crate::data::classes::{each_once, key};
use crate::data::csv::{self, Unplaced, shown};
use crate::data::preprocessor::unknown;
use crate::data::{CsvColumn, TargetKind, TargetShape, classes};
use crate::{Error, Result};

/// Rows of the target column that are looked through at once.
const LOOKED_THROUGH: usize = 8192;

/// How Parquet files are to be read: which column is the target, and what it means. Unless told, text
/// and whole numbers are classes, floats are values to predict.
///
/// # Examples
/// ```no_run
/// use unisono::{DataStream, ParquetOptions};
///
/// let options = ParquetOptions::new("price").values().ignore("id");
/// let stream = DataStream::parquet("houses/", &options)?;
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ParquetOptions {
    target: CsvColumn,
    kind: Option<TargetKind>,
    class_names: Option<Vec<String>>,
    ignored: Vec<CsvColumn>,
}

impl ParquetOptions {
    /// Takes the given column, by name or by position from 0, for the target.
    pub fn new(target: impl Into<CsvColumn>) -> Self {
        Self { target: target.into(), kind: None, class_names: None, ignored: vec![] }
    }

    /// Takes the target for classes, numbered in sorted order as [`CsvOptions`](crate::CsvOptions)
    /// does it.
    pub fn classes(mut self) -> Self {
        self.kind = Some(TargetKind::Classes);
        self
    }

    /// Takes the target for classes of these names, numbered in this order; needed where several
    /// streams have to agree and not every class occurs in each.
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

/// Which columns are what, and each class's label.
#[derive(Debug)]
pub(super) struct ParquetFormat {
    names: Vec<String>,
    target: usize,
    features: Vec<usize>,
    labels: Option<HashMap<String, u32>>,
}

pub(super) fn open(files: &[PathBuf], options: &ParquetOptions) -> Result<(ParquetFormat, Facts)> {
    let names = options.class_names.iter().flatten();
    each_once("class_names", names.map(|name| key(name)))?;
    let mut survey = Survey { kind: options.kind, ..Survey::default() };
    for path in files {
        caught(path, || survey.look_at(path, options))?;
    }
    Ok(survey.result(options.class_names.clone()))
}

/// What the files looked at so far hold.
#[derive(Default)]
struct Survey {
    format: Option<ParquetFormat>,
    kind: Option<TargetKind>,
    /// Of each file.
    rows: Vec<usize>,
    classes: BTreeSet<String>,
}

impl Survey {
    fn look_at(&mut self, path: &Path, options: &ParquetOptions) -> Result<()> {
        let reader = open_file(path)?;
        let metadata = reader.metadata().file_metadata();
        let schema = metadata.schema_descr();
        let rows = usize::try_from(metadata.num_rows());
        self.rows.push(rows.map_err(|_| wrong(path, "a negative number of rows"))?);
        let format = match &mut self.format {
            Some(format) => {
                format.check(path, schema)?;
                format
            }
            none => none.insert(ParquetFormat::new(schema, options).map_err(|p| wrong(path, p))?),
        };
        format.check_types(path, schema)?;
        let column = schema.column(format.target);
        let target = column.physical_type();
        let guess = if is_float(&column) { TargetKind::Values } else { TargetKind::Classes };
        match *self.kind.get_or_insert(guess) {
            TargetKind::Values if target == Type::BYTE_ARRAY => {
                Err(wrong(path, "the target is text: choose .classes()"))
            }
            TargetKind::Values => Ok(()),
            TargetKind::Classes => format.find_classes(
                path,
                &reader,
                options.class_names.as_deref(),
                &mut self.classes,
            ),
        }
    }

    fn result(self, given: Option<Vec<String>>) -> (ParquetFormat, Facts) {
        let mut format = self.format.expect("a stream has at least one file");
        let mut class_names = None;
        if self.kind == Some(TargetKind::Classes) {
            let texts: Vec<&str> = self.classes.iter().map(String::as_str).collect();
            let (names, class_of) = match given {
                Some(names) => {
                    let label = |text: &&str| classes::position(&names, text).map(|at| at as u32);
                    let labels = texts.iter().filter_map(label).collect();
                    (names, labels)
                }
                None => classes::numbered(&texts),
            };
            let labels = texts.into_iter().map(str::to_owned).zip(class_of);
            format.labels = Some(labels.collect());
            class_names = Some(names);
        }
        let targets = match &class_names {
            Some(names) => TargetShape::Classes(names.len()),
            None => TargetShape::Values(1),
        };
        let feature_names = format.features.iter().map(|&i| format.names[i].clone()).collect();
        let columns = format.features.len();
        let feature_names = Some(feature_names);
        (format, Facts { rows: self.rows, columns, targets, feature_names, class_names })
    }
}

impl ParquetFormat {
    fn new(schema: &SchemaDescriptor, options: &ParquetOptions) -> Unplaced<Self> {
        let names = names(schema);
        let find = |column: &CsvColumn| csv::find(column, Some(&names), names.len());
        if names.is_empty() {
            return Err("there are no columns".into());
        }
        let target = find(&options.target)?;
        let ignored = options.ignored.iter().map(find).collect::<Unplaced<Vec<_>>>()?;
        if ignored.contains(&target) {
            return Err("the target column is to be ignored".into());
        }
        let is_feature = |column: &usize| *column != target && !ignored.contains(column);
        let features: Vec<usize> = (0..names.len()).filter(is_feature).collect();
        if features.is_empty() {
            return Err(format!("of {} columns, none are left for features", names.len()));
        }
        Ok(Self { names, target, features, labels: None })
    }

    fn check(&self, path: &Path, schema: &SchemaDescriptor) -> Result<()> {
        if names(schema) == self.names {
            return Ok(());
        }
        Err(wrong(path, "other columns than in the first file of the stream"))
    }

    /// Features have to be numbers, and the target a number or text.
    fn check_types(&self, path: &Path, schema: &SchemaDescriptor) -> Result<()> {
        for &column in self.features.iter().chain([&self.target]) {
            let described = schema.column(column);
            let text_fits = column == self.target;
            if let Some(problem) = unfit(&described, text_fits) {
                return Err(wrong(path, format!("column {:?} {problem}", self.names[column])));
            }
        }
        Ok(())
    }

    fn find_classes(
        &self,
        path: &Path,
        reader: &SerializedFileReader<Whole>,
        given: Option<&[String]>,
        classes: &mut BTreeSet<String>,
    ) -> Result<()> {
        let (mut row, mut cells) = (0, Cells::default());
        let schema = reader.metadata().file_metadata().schema_descr();
        let is_float = is_float(&schema.column(self.target));
        for group in 0..reader.num_row_groups() {
            let mut column = self.column(path, reader, group, self.target)?;
            loop {
                column.read(LOOKED_THROUGH, row, &mut cells)?;
                if cells.len() == 0 {
                    break;
                }
                for index in 0..cells.len() {
                    let found = cells.with_text(index, |text| {
                        if !classes.contains(text) {
                            fits(text, is_float, given)?;
                            classes.insert(text.to_owned());
                        }
                        Ok(())
                    });
                    found.map_err(|problem| self.wrong_target(path, row + index, &problem))?;
                }
                row += cells.len();
                if classes.len() > MOST_CLASSES {
                    let problem = format!(
                        "column {:?} has more than {MOST_CLASSES} classes: choose .values() for \
                         numbers",
                        self.names[self.target]
                    );
                    return Err(wrong(path, problem));
                }
            }
        }
        Ok(())
    }

    fn wrong_target(&self, path: &Path, row: usize, problem: &str) -> Error {
        wrong(path, format!("row {row}, column {:?}: {problem}", self.names[self.target]))
    }

    fn column(
        &self,
        path: &Path,
        reader: &SerializedFileReader<Whole>,
        group: usize,
        column: usize,
    ) -> Result<ColumnCells> {
        let failed = |error: parquet::errors::ParquetError| wrong(path, error.to_string());
        let group = reader.get_row_group(group).map_err(failed)?;
        let described = reader.metadata().file_metadata().schema_descr().column(column);
        let reader = group.get_column_reader(column).map_err(failed)?;
        Ok(ColumnCells::new(path, &self.names[column], &described, reader))
    }

    pub fn read(&self, path: &Path) -> Result<Box<dyn ReadRows>> {
        let reader = caught(path, || open_file(path))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        self.check(path, schema)?;
        self.check_types(path, schema)?;
        Ok(Box::new(ParquetRows {
            path: path.into(),
            format: Self {
                names: self.names.clone(),
                features: self.features.clone(),
                labels: self.labels.clone(),
                target: self.target,
            },
            reader,
            group: 0,
            columns: vec![],
            row: 0,
            cells: Cells::default(),
        }))
    }
}

/// Says why a text is no class, if it is none. Parquet has values that are missing, so that no text stands for one.
fn fits(text: &str, is_float: bool, given: Option<&[String]>) -> Unplaced<()> {
    match given {
        Some(names) if classes::position(names, text).is_some() => Ok(()),
        None if text == "NaN" && is_float => Err("the target is missing".into()),
        Some(names) => Err(unknown(text, names)),
        None => Ok(()),
    }
}

fn is_float(column: &ColumnDescriptor) -> bool {
    matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
}

fn names(schema: &SchemaDescriptor) -> Vec<String> {
    schema.columns().iter().map(|column| column.path().string()).collect()
}

/// Why a column cannot be read as numbers, if it cannot.
fn unfit(column: &ColumnDescriptor, text_fits: bool) -> Option<String> {
    if column.max_rep_level() > 0 {
        return Some("holds lists: expected one number a row".into());
    }
    let decimal = matches!(column.logical_type_ref(), Some(LogicalType::Decimal { .. }))
        || column.converted_type() == ConvertedType::DECIMAL;
    match column.physical_type() {
        _ if decimal => Some("holds decimals: save it as floats, or ignore it".into()),
        Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE => None,
        Type::BYTE_ARRAY if text_fits => None,
        other => Some(format!(
            "holds {other}, expected numbers or booleans: encode it as numbers, or ignore it"
        )),
    }
}

struct ParquetRows {
    path: PathBuf,
    format: ParquetFormat,
    reader: SerializedFileReader<Whole>,
    /// The next group of rows.
    group: usize,
    /// Those of the current group: the features', then the target's.
    columns: Vec<ColumnCells>,
    row: usize,
    cells: Cells,
}

impl ParquetRows {
    fn open_group(&mut self) -> Result<bool> {
        if self.group == self.reader.num_row_groups() {
            return Ok(false);
        }
        self.columns.clear();
        for &column in self.format.features.iter().chain([&self.format.target]) {
            let cells = self.format.column(&self.path, &self.reader, self.group, column)?;
            self.columns.push(cells);
        }
        self.group += 1;
        Ok(true)
    }

    /// Reads rows of the current group; none at its end.
    fn read_group(&mut self, most: usize, chunk: &mut Chunk) -> Result<usize> {
        let Some((target, features)) = self.columns.split_last_mut() else { return Ok(0) };
        let start = chunk.features.len();
        let mut rows = None;
        let width = chunk.columns;
        for (index, column) in features.iter_mut().enumerate() {
            column.read(most, self.row, &mut self.cells)?;
            let count = self.cells.len();
            if *rows.get_or_insert(count) != count {
                return Err(wrong(&self.path, "columns differ in length"));
            }
            chunk.features.resize(start + count * width, 0.0);
            for row in 0..count {
                chunk.features[start + row * width + index] = self.cells.number(row);
            }
        }
        let rows = rows.unwrap_or(0);
        target.read(most, self.row, &mut self.cells)?;
        if self.cells.len() != rows {
            return Err(wrong(&self.path, "columns differ in length"));
        }
        for row in 0..rows {
            match &self.format.labels {
                None => chunk.values.push(self.cells.number(row)),
                Some(labels) => {
                    let label = self.cells.with_text(row, |text| {
                        let problem = || format!("{} is a new class", shown(text));
                        labels.get(text).copied().ok_or_else(problem)
                    });
                    let wrong = |problem: String| {
                        self.format.wrong_target(&self.path, self.row + row, &problem)
                    };
                    chunk.labels.push(label.map_err(wrong)?);
                }
            }
        }
        self.row += rows;
        chunk.rows += rows;
        Ok(rows)
    }
}

impl ReadRows for ParquetRows {
    fn read(&mut self, most: usize, chunk: &mut Chunk) -> Result<()> {
        let path = self.path.clone();
        caught(&path, || {
            while self.read_group(most, chunk)? == 0 {
                if !self.open_group()? {
                    return Ok(());
                }
            }
            Ok(())
        })
    }
}
