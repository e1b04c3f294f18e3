//! CSV files as a stream.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::chunk::Chunk;
use super::{Facts, MOST_CLASSES, ReadRows};
use crate::data::csv::{self, Layout, Unplaced, is_missing, listed, number, shown};
use crate::data::csv_records::Records;
use crate::data::csv_target::{TargetColumn, TargetKind};
use crate::data::{CsvOptions, TargetShape, Targets, classes};
use crate::{Error, Result};

/// How the files are to be read.
#[derive(Debug)]
pub(super) struct CsvFormat {
    options: CsvOptions,
    layout: Layout,
    /// Each class's label by its text; none where the target is a value.
    labels: Option<HashMap<String, u32>>,
}

/// Reads all files once, to count and check their rows and to find the classes.
pub(super) fn open(files: &[PathBuf], options: &CsvOptions) -> Result<(CsvFormat, Facts)> {
    let kind = options.kind.ok_or_else(|| {
        let problem = "a stream does not guess what the target is: choose .classes(), \
                       .class_names() or .values()";
        Error::config("target", problem)
    })?;
    let mut layout: Option<Layout> = None;
    let mut classes = TargetColumn::default();
    let mut seen = HashMap::new();
    let (mut rows, mut features) = (vec![], vec![]);
    for path in files {
        let mut file = CsvRows::open(path, options)?;
        let known = layout.get_or_insert_with(|| file.layout.clone());
        if *known != file.layout {
            return Err(file.layout.other_than(known, path, "in the first file of the stream"));
        }
        let mut count = 0;
        while file.current {
            features.clear();
            let text = file.row(&mut features)?;
            if kind == TargetKind::Values {
                number(text).map_err(|problem| file.wrong_target(&problem))?;
            } else if !seen.contains_key(text) {
                if let Some(problem) = unfit(text, seen.len(), options) {
                    return Err(file.wrong_target(&problem));
                }
                seen.insert(text.to_owned(), seen.len());
                classes.push(text, file.records.line);
            }
            count += 1;
            file.advance()?;
        }
        rows.push(count);
    }
    let layout = layout.expect("a stream has at least one file");
    let (labels, class_names) = match kind {
        TargetKind::Values => (None, None),
        TargetKind::Classes => {
            let (labels, names) =
                numbered(classes, &seen, options).map_err(|(line, problem)| {
                    let origin = files[0].display().to_string();
                    Error::parse(origin, line, problem)
                })?;
            (Some(labels), Some(names))
        }
    };
    let targets = match &class_names {
        Some(names) => TargetShape::Classes(names.len()),
        None => TargetShape::Values(1),
    };
    let names = layout.names.as_ref();
    let feature_names =
        names.map(|names| layout.features.iter().map(|&i| names[i].clone()).collect());
    let facts = Facts { rows, columns: layout.features.len(), targets, feature_names, class_names };
    Ok((CsvFormat { options: options.clone(), layout, labels }, facts))
}

/// Why a text that was not seen before is no class, if it is none.
fn unfit(text: &str, seen: usize, options: &CsvOptions) -> Option<String> {
    match &options.class_names {
        Some(names) if classes::position(names, text).is_some() => None,
        _ if is_missing(text) => Some(format!("{}: the target is missing", shown(text))),
        Some(names) => Some(format!("class {} is not one of {}", shown(text), listed(names))),
        None if seen == MOST_CLASSES => {
            Some(format!("more than {MOST_CLASSES} classes: choose .values() for numbers"))
        }
        None => None,
    }
}

/// Labels and names of the classes that were seen, in the order of a data set in memory.
#[allow(clippy::type_complexity)]
fn numbered(
    classes: TargetColumn,
    seen: &HashMap<String, usize>,
    options: &CsvOptions,
) -> std::result::Result<(HashMap<String, u32>, Vec<String>), (Option<u64>, String)> {
    let names = options.class_names.as_deref();
    let (targets, names) = classes.finish(options.kind, names)?;
    let Targets::Classes { labels, .. } = targets else {
        return Err((None, "the target holds values".into()));
    };
    let label = |(text, &index): (&String, &usize)| (text.clone(), labels[index]);
    Ok((seen.iter().map(label).collect(), names.unwrap_or_default()))
}

impl CsvFormat {
    pub fn read(&self, path: &Path) -> Result<Box<dyn ReadRows>> {
        let rows = CsvRows::open(path, &self.options)?;
        if rows.layout != self.layout {
            let when = "when the stream was opened";
            return Err(rows.layout.other_than(&self.layout, path, when));
        }
        Ok(Box::new(Labelled { rows, labels: self.labels.clone() }))
    }
}

/// The rows of one file.
struct CsvRows {
    layout: Layout,
    records: Records<File>,
    /// Whether there is a current record.
    current: bool,
}

impl CsvRows {
    fn open(path: &Path, options: &CsvOptions) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let (layout, records) = csv::open(file, &path.display().to_string(), options)?;
        Ok(Self { layout, records, current: true })
    }

    /// Appends the features of the current record, and returns its target.
    fn row(&self, features: &mut Vec<f32>) -> Result<&str> {
        let record = &self.records.record;
        let read: Unplaced<()> = self.layout.read(record, features);
        read.map_err(|problem| self.records.wrong(problem))?;
        Ok(record.field(self.layout.target))
    }

    fn advance(&mut self) -> Result<()> {
        self.current = self.records.advance()?;
        Ok(())
    }

    fn wrong_target(&self, problem: &str) -> Error {
        self.records.wrong(format!("{}: {problem}", self.layout.name(self.layout.target)))
    }
}

struct Labelled {
    rows: CsvRows,
    labels: Option<HashMap<String, u32>>,
}

impl ReadRows for Labelled {
    fn read(&mut self, most: usize, chunk: &mut Chunk) -> Result<()> {
        for _ in 0..most {
            if !self.rows.current {
                break;
            }
            let text = self.rows.row(&mut chunk.features)?;
            match &self.labels {
                Some(labels) => {
                    let missing = || match is_missing(text) {
                        true => "the target is missing".to_owned(),
                        false => format!("{} is a new class", shown(text)),
                    };
                    let label = labels.get(text);
                    let label = label.ok_or_else(|| self.rows.wrong_target(&missing()))?;
                    chunk.labels.push(*label);
                }
                None => {
                    let value = number(text);
                    chunk.values.push(value.map_err(|problem| self.rows.wrong_target(&problem))?);
                }
            }
            chunk.rows += 1;
            self.rows.advance()?;
        }
        Ok(())
    }
}
