//! The cells of a column of a Parquet file.

use std::path::{Path, PathBuf};

use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::schema::types::ColumnDescriptor;

use super::parquet_file::wrong;
use crate::Result;
use crate::data::csv::Unplaced;

/// Some cells of a column: numbers or text.
#[derive(Debug)]
pub(super) enum Cells {
    Bools(Vec<bool>),
    Ints(Vec<i128>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Texts(Vec<ByteArray>),
}

impl Default for Cells {
    fn default() -> Self {
        Self::Floats(vec![])
    }
}

impl Cells {
    pub fn len(&self) -> usize {
        match self {
            Self::Bools(cells) => cells.len(),
            Self::Ints(cells) => cells.len(),
            Self::Floats(cells) => cells.len(),
            Self::Doubles(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
        }
    }

    /// A cell as a number; text is none.
    pub fn number(&self, index: usize) -> f32 {
        match self {
            Self::Bools(cells) => f32::from(u8::from(cells[index])),
            Self::Ints(cells) => cells[index] as f32,
            Self::Floats(cells) => cells[index],
            Self::Doubles(cells) => cells[index] as f32,
            Self::Texts(_) => f32::NAN,
        }
    }

    /// What `take` makes of a cell as text, or why it is none.
    pub fn with_text<T>(
        &self,
        index: usize,
        take: impl FnOnce(&str) -> Unplaced<T>,
    ) -> Unplaced<T> {
        match self {
            Self::Bools(cells) => take(if cells[index] { "true" } else { "false" }),
            Self::Ints(cells) => take(&cells[index].to_string()),
            Self::Floats(cells) => take(&cells[index].to_string()),
            Self::Doubles(cells) => take(&cells[index].to_string()),
            Self::Texts(cells) => match std::str::from_utf8(cells[index].data()) {
                Ok(text) => take(text),
                Err(_) => Err("the text is not UTF-8".into()),
            },
        }
    }
}

/// Reads one column of a group of rows.
pub(super) struct ColumnCells {
    path: PathBuf,
    name: String,
    unsigned: bool,
    reader: ColumnReader,
    /// Of each row: whether it is there, which it is at the level `present`.
    levels: Vec<i16>,
    present: i16,
    ints: Vec<i32>,
    longs: Vec<i64>,
}

impl ColumnCells {
    pub fn new(path: &Path, name: &str, column: &ColumnDescriptor, reader: ColumnReader) -> Self {
        let unsigned = match column.logical_type_ref() {
            Some(LogicalType::Integer(integer)) => !integer.is_signed,
            _ => {
                use ConvertedType::{UINT_8, UINT_16, UINT_32, UINT_64};
                [UINT_8, UINT_16, UINT_32, UINT_64].contains(&column.converted_type())
            }
        };
        let (path, name) = (path.into(), name.into());
        let present = column.max_def_level();
        let (levels, ints, longs) = (vec![], vec![], vec![]);
        Self { path, name, unsigned, reader, levels, present, ints, longs }
    }

    /// Puts at most `most` further cells into `cells`; the first of them stands in `row` of the file.
    pub fn read(&mut self, most: usize, row: usize, cells: &mut Cells) -> Result<()> {
        let Self { path, name, unsigned, reader, levels, present, ints, longs } = self;
        levels.clear();
        let read = match reader {
            ColumnReader::BoolColumnReader(reader) => {
                let mut values = vec![];
                let read = records(reader, most, levels, &mut values);
                *cells = Cells::Bools(values);
                read
            }
            ColumnReader::Int32ColumnReader(reader) => {
                ints.clear();
                let read = records(reader, most, levels, ints);
                let wide = |&v: &i32| if *unsigned { i128::from(v as u32) } else { v.into() };
                *cells = Cells::Ints(ints.iter().map(wide).collect());
                read
            }
            ColumnReader::Int64ColumnReader(reader) => {
                longs.clear();
                let read = records(reader, most, levels, longs);
                let wide = |&v: &i64| if *unsigned { i128::from(v as u64) } else { v.into() };
                *cells = Cells::Ints(longs.iter().map(wide).collect());
                read
            }
            ColumnReader::FloatColumnReader(reader) => {
                let mut values = reused(cells);
                let read = records(reader, most, levels, &mut values);
                *cells = Cells::Floats(values);
                read
            }
            ColumnReader::DoubleColumnReader(reader) => {
                let mut values = vec![];
                let read = records(reader, most, levels, &mut values);
                *cells = Cells::Doubles(values);
                read
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let mut values = vec![];
                let read = records(reader, most, levels, &mut values);
                *cells = Cells::Texts(values);
                read
            }
            _ => return Err(wrong(path, format!("column {name:?} holds no numbers"))),
        };
        let (rows, values) =
            read.map_err(|error| wrong(path, format!("column {name:?}: {error}")))?;
        if rows == values {
            return Ok(());
        }
        let missing = levels.iter().position(|level| level < present).unwrap_or(0);
        let problem = format!(
            "row {}, column {name:?}: the value is missing; fill it in or leave the row out",
            row + missing
        );
        Err(wrong(path, problem))
    }
}

fn reused(cells: &mut Cells) -> Vec<f32> {
    match std::mem::take(cells) {
        Cells::Floats(mut values) => {
            values.clear();
            values
        }
        _ => vec![],
    }
}

/// Reads at most `most` rows, and returns how many there were, and how many of them have a value.
fn records<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    most: usize,
    levels: &mut Vec<i16>,
    values: &mut Vec<T::T>,
) -> parquet::errors::Result<(usize, usize)> {
    let mut rows = 0;
    while rows < most {
        let (read, _, _) = reader.read_records(most - rows, Some(levels), None, values)?;
        if read == 0 {
            break;
        }
        rows += read;
    }
    Ok((rows, values.len()))
}
