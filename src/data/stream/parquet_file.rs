//! A Parquet file that may hold anything, opened.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use parquet::file::reader::{ChunkReader, Length, SerializedFileReader};

use crate::{Error, Result};

/// Runs the library on a file; what it panics at is an error.
pub(super) fn caught<T>(path: &Path, f: impl FnOnce() -> Result<T>) -> Result<T> {
    let broken = |_| Err(wrong(path, "the file is broken: its reader panicked"));
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(broken)
}

pub(super) fn open_file(path: &Path) -> Result<SerializedFileReader<Whole>> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let size = file.metadata().map_err(|source| Error::Io { path: path.into(), source })?.len();
    SerializedFileReader::new(Whole { file, size }).map_err(|error| wrong(path, error.to_string()))
}

/// A file that gives no more bytes than it has, for those asked of a [`File`] are reserved first.
pub(super) struct Whole {
    file: File,
    size: u64,
}

impl Length for Whole {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Whole {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            let problem = format!("{length} bytes at {start} of a file of {}", self.size);
            return Err(parquet::errors::ParquetError::EOF(problem));
        }
        self.file.get_bytes(start, length)
    }
}

pub(super) fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    let mut problem = problem.into();
    if problem.ends_with("compile time: zstd") {
        problem.push_str("; compile with the feature `parquet-zstd`, or save as Snappy");
    }
    Error::parse(path.display().to_string(), None, problem)
}
