//! Parquet files as a stream: what is a class, and what is none.
#![cfg(feature = "parquet")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use unisono::{DataStream, ParquetOptions};

/// Writes a feature `x`, which counts the rows, and a target `y` of the schema's type.
fn write<T: DataType>(folder: &Path, y: &str, cells: &[T::T]) -> PathBuf {
    let path = folder.join("rows.parquet");
    let schema = format!("message rows {{ required double x; required {y}; }}");
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let x: Vec<f64> = (0..cells.len()).map(|row| row as f64).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&x, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(cells, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    path
}

fn texts(folder: &Path, cells: &[&[u8]]) -> PathBuf {
    let cells: Vec<ByteArray> = cells.iter().map(|&cell| cell.to_vec().into()).collect();
    write::<ByteArrayType>(folder, "binary y", &cells)
}

fn message(path: PathBuf, options: &ParquetOptions) -> String {
    DataStream::parquet(path, options).unwrap_err().to_string()
}

#[test]
fn a_missing_class_is_an_error_that_names_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let classes = ParquetOptions::new("y").classes();
    let path = write::<DoubleType>(folder.path(), "double y", &[1.0, 0.0, f64::NAN]);
    let error = message(path, &classes);
    assert!(error.contains("row 2, column \"y\": the target is missing"), "{error}");
}

#[test]
fn text_that_would_be_missing_in_a_csv_file_is_a_class() {
    let folder = tempfile::tempdir().unwrap();
    let path = texts(folder.path(), &[b"Low", b"None", b"", b"NA"]);
    let stream = DataStream::parquet(path, &ParquetOptions::new("y")).unwrap();
    assert_eq!(stream.class_names().unwrap(), ["", "Low", "NA", "None"]);
}

#[test]
fn names_of_another_files_spelling_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = write::<DoubleType>(folder.path(), "double y", &[1.0, 0.0, 1.0]);
    let named = ParquetOptions::new("y").class_names(["0.0", "1.0"]);
    let rows = DataStream::parquet(path, &named).unwrap().first_rows(3).unwrap();
    assert_eq!(rows.labels().unwrap(), [1, 0, 1]);
}

#[test]
fn a_class_that_is_named_is_not_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = texts(folder.path(), &[b"EU", b"NA"]);
    let regions = ParquetOptions::new("y").class_names(["NA", "EU"]);
    let rows = DataStream::parquet(path, &regions).unwrap().first_rows(2).unwrap();
    assert_eq!(rows.labels().unwrap(), [1, 0]);
}

#[test]
fn text_that_is_not_utf_8_is_an_error_that_names_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = texts(folder.path(), &[b"a", b"\xff", b"\xfe"]);
    let error = message(path, &ParquetOptions::new("y"));
    assert!(error.contains("row 1, column \"y\": the text is not UTF-8"), "{error}");
}

#[test]
fn a_class_that_is_unknown_is_named_with_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = texts(folder.path(), &[b"a", b"b"]);
    let error = message(path, &ParquetOptions::new("y").class_names(["a"]));
    assert!(error.contains("row 1, column \"y\": expected one of \"a\", found \"b\""), "{error}");
}

#[test]
fn classes_are_numbered_as_those_of_a_csv_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = texts(folder.path(), &[b"10", b"9", b"9.0", b"09"]);
    let stream = DataStream::parquet(path, &ParquetOptions::new("y")).unwrap();
    assert_eq!(stream.class_names().unwrap(), ["9", "09", "10"]);
    assert_eq!(stream.first_rows(4).unwrap().labels().unwrap(), [2, 0, 0, 1]);
}

#[test]
fn a_class_that_came_after_the_opening_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = texts(folder.path(), &[b"a", b"b"]);
    let stream = DataStream::parquet(path, &ParquetOptions::new("y")).unwrap();
    texts(folder.path(), &[b"a", b"c"]);
    let error = stream.first_rows(2).unwrap_err().to_string();
    assert!(error.contains("row 1, column \"y\": \"c\" is a new class"), "{error}");
}
