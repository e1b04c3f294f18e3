//! Trains on files larger than the memory it takes:
//! `cargo run --release --features npy --example larger_than_memory -- FOLDER --gb 4`
//!
//! Makes rows of 256 features in 10 classes in parts of 64 MB, unless the folder has some, and trains
//! a net on them as a stream; `--in-memory` reads them all first instead, to compare. `--hidden
//! 512,512`, `--window ROWS`, `--epochs N` and `--threads N` change the defaults.
//!
//! With `--target COLUMN`, the classes, it takes a CSV or (`--features npy,parquet`) Parquet file of
//! yours, or a folder of them, in place of FOLDER.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use npyz::WriterBuilder;
use unisono::{
    Activation, Adam, CrossEntropy, CsvOptions, DataSource, DataStream, Dataset, Progress,
    Sequential, StandardScaler, TrainConfig, datasets, train_parallel,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FEATURES: usize = 256;
const CLASSES: usize = 10;
/// Rows of a part: 64 MB of features.
const PART: usize = 1 << 16;

struct Options {
    path: PathBuf,
    target: Option<String>,
    rows: usize,
    window: Option<usize>,
    epochs: usize,
    threads: Option<usize>,
    hidden: Vec<usize>,
    in_memory: bool,
}

fn main() -> Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let stream = match &options.target {
        Some(target) => open(&options.path, target)?,
        None => {
            make(&options.path, options.rows)?;
            DataStream::npy(options.path.join("x"), options.path.join("y"))?
        }
    };
    let mut stream = match options.window {
        Some(rows) => stream.window(rows),
        None => stream,
    };
    let start = Instant::now();
    let scaler = StandardScaler::fit_stream(&stream)?;
    println!("scaler fitted in one pass of {:.1} s", start.elapsed().as_secs_f64());
    stream = stream.scaled(scaler)?;
    println!("{stream}");

    let memory = match options.in_memory {
        true => Some(stream.first_rows(stream.rows())?),
        false => None,
    };
    let validation = match &memory {
        Some(data) => data.select(&(0..10_000.min(data.rows())).collect::<Vec<_>>())?,
        None => stream.first_rows(10_000)?,
    };
    let source: DataSource = memory.as_ref().map_or((&stream).into(), Into::into);

    let mut builder = Sequential::builder(stream.features());
    for &width in &options.hidden {
        builder = builder.dense(width, Activation::Relu);
    }
    let classes = stream.classes().ok_or("expected a target of classes, found values")?;
    let mut model = builder.dense(classes, Activation::Softmax).build(1)?;
    let mut config = TrainConfig::new(CrossEntropy::default(), Adam::default())
        .epochs(options.epochs)
        .batch_size(256)
        .validation(validation)
        .observer(Progress::new());
    if let Some(threads) = options.threads {
        config = config.threads(threads);
    }
    let history = train_parallel(&mut model, source, &config)?;
    println!("{history}");
    if let Some(peak) = peak_memory() {
        println!("peak of resident memory: {peak} MB");
    }
    Ok(())
}

/// Opens CSV or Parquet files.
fn open(path: &Path, target: &str) -> Result<DataStream> {
    let ends = |path: &Path| path.extension().is_some_and(|ending| ending == "parquet");
    let holds = |mut folder: std::fs::ReadDir| folder.any(|it| it.is_ok_and(|it| ends(&it.path())));
    if ends(path) || std::fs::read_dir(path).is_ok_and(holds) {
        return parquet(path, target);
    }
    Ok(DataStream::csv(path, &CsvOptions::new(target).classes())?)
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, target: &str) -> Result<DataStream> {
    Ok(DataStream::parquet(path, &unisono::ParquetOptions::new(target).classes())?)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &Path, _: &str) -> Result<DataStream> {
    Err("Parquet files need `--features npy,parquet`".into())
}

/// Writes parts until there are enough rows.
fn make(folder: &Path, rows: usize) -> Result<()> {
    let (x, y) = (folder.join("x"), folder.join("y"));
    std::fs::create_dir_all(&x)?;
    std::fs::create_dir_all(&y)?;
    for (part, first) in (0..rows).step_by(PART).enumerate() {
        let name = format!("part-{part:04}.npy");
        if y.join(&name).exists() {
            continue;
        }
        println!("making part {part} of {}", rows.div_ceil(PART));
        let data = synthetic(part as u64, PART.min(rows - first))?;
        write(&x.join(&name), &[data.rows(), FEATURES], data.x().iter().copied())?;
        let labels = data.labels().unwrap_or_default();
        write(&y.join(&name), &[labels.len()], labels.iter().copied())?;
    }
    Ok(())
}

/// Rows whose features are a class's pattern and noise; the patterns are those of all parts.
fn synthetic(part: u64, rows: usize) -> Result<Dataset> {
    let patterns = datasets::synthetic_classification(CLASSES, FEATURES, CLASSES, 1)?;
    let noise = datasets::synthetic_classification(rows, FEATURES, 1, 2 + part)?;
    let mut x = noise.x().to_owned();
    for (row, mut x) in x.outer_iter_mut().enumerate() {
        x.scaled_add(0.2, &patterns.x().row(row % CLASSES));
    }
    Ok(Dataset::classification_with(x, (0..rows).map(|row| (row % CLASSES) as u32), CLASSES)?)
}

fn write<T: npyz::AutoSerialize>(
    path: &Path,
    shape: &[usize],
    values: impl Iterator<Item = T>,
) -> Result<()> {
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let mut file = BufWriter::new(File::create(path)?);
    let mut array =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut file).begin_nd()?;
    array.extend(values)?;
    array.finish()?;
    file.flush()?;
    Ok(())
}

/// Megabytes of this process's resident memory at its highest, where Linux tells.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let mut options = Options {
        path: PathBuf::new(),
        target: None,
        rows: PART,
        window: None,
        epochs: 1,
        threads: None,
        hidden: vec![512, 512],
        in_memory: false,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--gb" => options.rows = (value()?.parse::<f64>()? * 1e9) as usize / (4 * FEATURES),
            "--target" => options.target = Some(value()?),
            "--window" => options.window = Some(value()?.parse()?),
            "--epochs" => options.epochs = value()?.parse()?,
            "--threads" => options.threads = Some(value()?.parse()?),
            "--hidden" => {
                let widths = value()?;
                let widths =
                    widths.split(',').map(str::parse).collect::<std::result::Result<_, _>>();
                options.hidden = widths?;
            }
            "--in-memory" => options.in_memory = true,
            path if !path.starts_with('-') => options.path = path.into(),
            other => return Err(format!("unknown flag {other}; see the top of the source").into()),
        }
    }
    match options.path.as_os_str().is_empty() {
        true => Err("name a folder for the files".into()),
        false => Ok(options),
    }
}
