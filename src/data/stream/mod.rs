//! Data sets that are read as they are needed.

mod batches;
mod chunk;
mod csv;
mod files;
mod moments;
#[cfg(feature = "npy")]
mod npy;
#[cfg(feature = "npy")]
mod npy_array;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
mod parquet_column;
#[cfg(feature = "parquet")]
mod parquet_file;
mod window;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::ArrayView2;

pub use self::batches::Batches;
pub(crate) use self::batches::{BatchReader, ReadPlan};
use self::chunk::Chunk;
pub use self::files::Files;
#[cfg(feature = "parquet")]
pub use self::parquet::ParquetOptions;
use super::targets::check_finite;
use super::{CsvOptions, Scaler, TargetShape};
use crate::{Error, Result};

/// Bytes of features and target values that a shuffling window holds unless told.
const WINDOW_BYTES: usize = 64 << 20;
/// Bytes of features and target values that are read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// The most classes that a target column is searched for.
const MOST_CLASSES: usize = 1 << 16;

/// Rows in files, larger than memory: a thread of its own reads, scales and shuffles them ahead of the
/// training.
///
/// Where a configuration shuffles, rows are drawn out of a window of [`window`](Self::window) rows that
/// moves through the files, which are themselves in an order drawn anew each epoch. What comes out is
/// a function of the files, the window, the seed and the epoch; the bits do not depend on timing or
/// threads. Without shuffling a stream trains to the bits of the same rows in memory.
///
/// Files are read once when a stream is opened, as far as rows have to be counted and classes found;
/// they must stay as they are while it is used.
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, CrossEntropy, CsvOptions, DataStream, Sequential};
/// use unisono::{StandardScaler, TrainConfig, train_parallel};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let parts = folder.path();
/// for (part, rows) in [("a.csv", "1,small\n9,large\n"), ("b.csv", "2,small\n8,large\n")] {
///     std::fs::write(parts.join(part), format!("size,kind\n{rows}")).unwrap();
/// }
/// let stream = DataStream::csv(parts, &CsvOptions::new("kind").classes())?.window(3);
/// let stream = stream.scaled(StandardScaler::fit_stream(&stream)?)?;
///
/// let mut model = Sequential::builder(1).dense(2, Activation::Softmax).build(1)?;
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.1)).epochs(50);
/// train_parallel(&mut model, &stream, &config)?;
/// assert_eq!(model.evaluate(&stream)?.accuracy, Some(1.0));
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DataStream {
    source: Arc<Source>,
    window: usize,
    scaler: Option<Arc<Scaler>>,
}

#[derive(Debug)]
struct Source {
    files: Vec<PathBuf>,
    format: Format,
    facts: Facts,
}

/// What is known of the files after they were opened.
#[derive(Debug)]
struct Facts {
    /// Rows of each file.
    rows: Vec<usize>,
    columns: usize,
    targets: TargetShape,
    feature_names: Option<Vec<String>>,
    class_names: Option<Vec<String>>,
}

#[derive(Debug)]
enum Format {
    Csv(csv::CsvFormat),
    #[cfg(feature = "npy")]
    Npy(npy::NpyFormat),
    #[cfg(feature = "parquet")]
    Parquet(parquet::ParquetFormat),
}

/// Reads the rows of one file, in order.
trait ReadRows {
    /// Appends at most `most` rows; there are no more when it appends none.
    fn read(&mut self, most: usize, chunk: &mut Chunk) -> Result<()>;
}

impl DataStream {
    /// Opens CSV files (of a folder: those that end in `.csv`) with the same columns. They are read
    /// once to check every row.
    ///
    /// # Errors
    /// As [`Dataset::from_csv`](crate::Dataset::from_csv); also if the options leave the kind of the
    /// target to be guessed, or the files' columns differ.
    pub fn csv(files: impl Into<Files>, options: &CsvOptions) -> Result<Self> {
        let files = files.into().expand(&["csv"])?;
        let (format, facts) = csv::open(&files, options)?;
        Self::new(files, Format::Csv(format), facts)
    }

    /// Opens NumPy arrays in `.npy` files: features, rows first (further dimensions are flattened),
    /// and targets, whole numbers for classes or floats for values, one file for each file of
    /// features.
    ///
    /// # Errors
    /// If a file cannot be read, is no array of numbers in C order or shorter than its header says, or
    /// rows do not agree.
    #[cfg(feature = "npy")]
    pub fn npy(features: impl Into<Files>, targets: impl Into<Files>) -> Result<Self> {
        let features = features.into().expand(&["npy"])?;
        let (format, facts) = npy::open(&features, targets.into().expand(&["npy"])?)?;
        Self::new(features, Format::Npy(format), facts)
    }

    /// Opens NumPy archives (`np.savez`, `np.savez_compressed`), each with an array of features and
    /// one of targets by these names; otherwise as [`npy`](Self::npy).
    ///
    /// # Errors
    /// As [`npy`](Self::npy); also if an archive has no array of a name.
    #[cfg(feature = "npy")]
    pub fn npz(files: impl Into<Files>, features: &str, targets: &str) -> Result<Self> {
        let files = files.into().expand(&["npz"])?;
        let (format, facts) = npy::open_archives(&files, features, targets)?;
        Self::new(files, Format::Npy(format), facts)
    }

    /// Opens Parquet files with the same columns, all of which but the target are numbers or booleans.
    ///
    /// # Errors
    /// If a file cannot be read, columns differ or are neither, or a class or value is missing.
    #[cfg(feature = "parquet")]
    pub fn parquet(files: impl Into<Files>, options: &ParquetOptions) -> Result<Self> {
        let files = files.into().expand(&["parquet"])?;
        let (format, facts) = parquet::open(&files, options)?;
        Self::new(files, Format::Parquet(format), facts)
    }

    fn new(files: Vec<PathBuf>, format: Format, facts: Facts) -> Result<Self> {
        let rows = facts.rows.iter().try_fold(0_usize, |all, &rows| all.checked_add(rows));
        if rows.is_none_or(|rows| rows == 0 || isize::try_from(rows).is_err()) {
            let found = rows.map_or("more than can be counted".into(), |rows| rows.to_string());
            return Err(Error::shape("rows of the stream", "at least one", found));
        }
        let window = (WINDOW_BYTES / (4 * (facts.columns + facts.targets.values()))).max(1);
        Ok(Self { source: Arc::new(Source { files, format, facts }), window, scaler: None })
    }

    /// Sets how many rows the shuffling window holds: as many as take 64 MB of features and target
    /// values unless told. Files whose rows are sorted need a large one.
    pub fn window(mut self, rows: usize) -> Self {
        self.window = rows;
        self
    }

    /// Returns the stream with its features scaled as they are read; a scaler given before is replaced.
    ///
    /// # Errors
    /// If the scaler was fitted on another number of columns.
    pub fn scaled(&self, scaler: impl Into<Scaler>) -> Result<Self> {
        let scaler = scaler.into();
        if scaler.columns() != self.features() {
            let what = "columns, as many as the scaler was fitted on";
            return Err(Error::shape(what, scaler.columns(), self.features()));
        }
        Ok(Self { scaler: Some(Arc::new(scaler)), ..self.clone() })
    }

    /// Counts the rows.
    pub fn rows(&self) -> usize {
        self.source.facts.rows.iter().sum()
    }

    /// Counts the columns of the features: the inputs of a model.
    pub fn features(&self) -> usize {
        self.source.facts.columns
    }

    /// Counts the classes, if the targets are classes.
    pub fn classes(&self) -> Option<usize> {
        match self.source.facts.targets {
            TargetShape::Classes(count) => Some(count),
            TargetShape::Values(_) => None,
        }
    }

    /// Returns the names of the classes, if they have any.
    pub fn class_names(&self) -> Option<&[String]> {
        self.source.facts.class_names.as_deref()
    }

    /// Returns the names of the features' columns, if they have any.
    pub fn feature_names(&self) -> Option<&[String]> {
        self.source.facts.feature_names.as_deref()
    }

    /// Returns the files, in the order in which they are read without shuffling.
    pub fn files(&self) -> &[PathBuf] {
        &self.source.files
    }

    pub(crate) fn target_shape(&self) -> TargetShape {
        self.source.facts.targets
    }

    /// What decides the order of the rows beside seed and epoch.
    pub(crate) fn order_key(&self) -> String {
        let rows = &self.source.facts.rows;
        let bytes: Vec<u8> = rows.iter().flat_map(|&rows| (rows as u64).to_le_bytes()).collect();
        let sum = crc32fast::hash(&bytes);
        let (files, window) = (rows.len(), self.window);
        format!(
            "a stream of {files} files (checksum of their rows {sum:08x}), window of {window} rows"
        )
    }

    fn empty_chunk(&self) -> Chunk {
        Chunk::new(self.features(), self.target_shape())
    }

    /// Rows that are read at once.
    fn rows_at_once(&self) -> usize {
        let values = self.features() + self.target_shape().values();
        (CHUNK_BYTES / (4 * values)).clamp(1, 4096)
    }

    /// Hands the rows of a file to `take`, checked and scaled, some at a time.
    fn read_file<E: From<Error>>(
        &self,
        index: usize,
        chunk: &mut Chunk,
        mut take: impl FnMut(&Chunk) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let path = &self.source.files[index];
        let expected = self.source.facts.rows[index];
        let mut reader = self.source.format.read(path, index)?;
        let mut found = 0;
        loop {
            chunk.clear();
            reader.read(self.rows_at_once(), chunk)?;
            if chunk.rows == 0 {
                break;
            }
            self.check(path, found, chunk)?;
            found += chunk.rows;
            take(chunk)?;
        }
        if found != expected {
            let what = format!("{}: rows, as when the stream was opened", path.display());
            return Err(Error::shape(what, expected, found).into());
        }
        Ok(())
    }

    /// Refuses what a data set would refuse, and scales the rest.
    fn check(&self, path: &Path, first: usize, chunk: &mut Chunk) -> Result<()> {
        let what = |part: &str| {
            format!("{}: {part}, rows counted from the file's {first}", path.display())
        };
        let view = |data: &[f32], columns: usize, part: &str| {
            if data.iter().all(|v| v.is_finite()) {
                return Ok(());
            }
            match ArrayView2::from_shape((chunk.rows, columns), data) {
                Ok(array) => check_finite(array, &what(part), self.feature_names()),
                Err(_) => Err(Error::Data(what("numbers are missing"))),
            }
        };
        view(&chunk.features, chunk.columns, "features")?;
        match chunk.targets {
            TargetShape::Values(columns) => view(&chunk.values, columns, "target values")?,
            TargetShape::Classes(count) => {
                if let Some(label) = chunk.labels.iter().find(|&&label| label as usize >= count) {
                    let expected = format!("labels below {count}, as when the stream was opened");
                    return Err(Error::shape(what("labels"), expected, label));
                }
            }
        }
        if let Some(scaler) = &self.scaler {
            scaler.apply(&mut chunk.features);
            if chunk.features.iter().any(|v| !v.is_finite()) {
                return Err(Error::Data(what("a scaled value is too large for f32")));
            }
        }
        Ok(())
    }
}

impl Format {
    fn read(&self, path: &Path, index: usize) -> Result<Box<dyn ReadRows>> {
        let _ = index;
        match self {
            Self::Csv(format) => format.read(path),
            #[cfg(feature = "npy")]
            Self::Npy(format) => format.read(path, index),
            #[cfg(feature = "parquet")]
            Self::Parquet(format) => format.read(path),
        }
    }
}

impl fmt::Display for DataStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.source.files.len();
        let s = if files == 1 { "" } else { "s" };
        write!(f, "{} rows x {} features in {files} file{s}, ", self.rows(), self.features())?;
        match self.target_shape() {
            TargetShape::Classes(count) => write!(f, "{count} classes"),
            TargetShape::Values(1) => write!(f, "1 target value a row"),
            TargetShape::Values(count) => write!(f, "{count} target values a row"),
        }?;
        write!(f, ", shuffled by a window of {} rows", self.window)
    }
}
