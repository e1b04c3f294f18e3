//! Trains on files larger than the memory it takes:
//! `cargo run --release --features npy --example larger_than_memory -- FOLDER --gb 4`
//!
//! Makes rows of 256 features in 10 classes in parts of 64 MB, unless the folder has some, and trains
//! a net on them as a stream; `--in-memory` reads them all first instead, to compare. `--hidden
//! 512,512`, `--window ROWS`, `--epochs N` and `--threads N` change the defaults.
//!
//! With `--target COLUMN`, the classes, it takes a CSV or (`--features npy,parquet`) Parquet file of
//! yours, or a folder of them, in place of FOLDER; `--validation PATH` names others, of which up to
//! 10,000 rows are predicted after each epoch, and `--save MODEL` keeps the model.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use npyz::WriterBuilder;
use unisono::{
    Activation, Adam, CrossEntropy, CsvOptions, DataSource, DataStream, Dataset, Progress,
    Sequential, StandardScaler, TrainConfig, datasets, train_parallel,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "usage:
  larger_than_memory FOLDER [--gb 0.067]  (makes files in FOLDER and trains on them)
  larger_than_memory FILE|FOLDER --target COLUMN [--validation FILE|FOLDER] [--save MODEL]
and with both [--hidden 512,512] [--window ROWS] [--epochs 1] [--threads N] [--in-memory]";

const FEATURES: usize = 256;
const CLASSES: usize = 10;
/// Rows of a part: 64 MB of features.
const PART: usize = 1 << 16;
/// The most rows that are predicted after each epoch.
const VALIDATION: usize = 10_000;

struct Options {
    path: PathBuf,
    target: Option<String>,
    validation: Option<PathBuf>,
    save: Option<PathBuf>,
    rows: usize,
    window: Option<usize>,
    epochs: usize,
    threads: Option<usize>,
    hidden: Vec<usize>,
    in_memory: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let (mut stream, validation) = streams(&options)?;
    if let Some(rows) = options.window {
        stream = stream.window(rows);
    }
    let start = Instant::now();
    let scaler = StandardScaler::fit_stream(&stream)?;
    println!("scaler fitted in one pass of {:.1} s", start.elapsed().as_secs_f64());
    stream = stream.scaled(scaler.clone())?;
    println!("{stream}");

    let memory = match options.in_memory {
        true => Some(stream.first_rows(stream.rows())?),
        false => None,
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
        .observer(Progress::new());
    match validation {
        Some(other) => {
            config = config.validation(other.scaled(scaler.clone())?.first_rows(VALIDATION)?);
        }
        None => println!("no validation: --validation names other rows to predict"),
    }
    if let Some(threads) = options.threads {
        config = config.threads(threads);
    }
    let history = train_parallel(&mut model, source, &config)?;
    println!("{history}");
    if let Some(path) = &options.save {
        model.set_preprocessing(scaler)?;
        model.save(path)?;
        println!("saved to {}", path.display());
    }
    if let Some(peak) = peak_memory() {
        println!("peak of resident memory: {peak} MB");
    }
    Ok(())
}

/// The rows to train on and others to predict, where there are some.
fn streams(options: &Options) -> Result<(DataStream, Option<DataStream>)> {
    let Some(target) = &options.target else {
        make(&options.path, options.rows)?;
        let npy = |x: &str, y: &str| DataStream::npy(options.path.join(x), options.path.join(y));
        return Ok((npy("x", "y")?, Some(npy("validation-x.npy", "validation-y.npy")?)));
    };
    let stream = open(&options.path, target, None)?;
    let classes = stream.class_names();
    let other = options.validation.as_ref().map(|path| open(path, target, classes)).transpose()?;
    Ok((stream, other))
}

/// Opens CSV or Parquet files; `classes` are those of other files already opened.
fn open(path: &Path, target: &str, classes: Option<&[String]>) -> Result<DataStream> {
    let ends = |path: &Path| path.extension().is_some_and(|ending| ending == "parquet");
    let holds = |mut folder: std::fs::ReadDir| folder.any(|it| it.is_ok_and(|it| ends(&it.path())));
    if ends(path) || std::fs::read_dir(path).is_ok_and(holds) {
        return parquet(path, target, classes);
    }
    let options = CsvOptions::new(target).classes();
    Ok(DataStream::csv(path, &classes.into_iter().fold(options, CsvOptions::class_names))?)
}

#[cfg(feature = "parquet")]
fn parquet(path: &Path, target: &str, classes: Option<&[String]>) -> Result<DataStream> {
    let options = unisono::ParquetOptions::new(target).classes();
    let options = classes.into_iter().fold(options, unisono::ParquetOptions::class_names);
    Ok(DataStream::parquet(path, &options)?)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &Path, _: &str, _: Option<&[String]>) -> Result<DataStream> {
    Err("Parquet files need `--features npy,parquet`".into())
}

/// Writes parts until there are enough rows, and others for validation.
fn make(folder: &Path, rows: usize) -> Result<()> {
    let (x, y) = (folder.join("x"), folder.join("y"));
    std::fs::create_dir_all(&x)?;
    std::fs::create_dir_all(&y)?;
    let parts = rows.div_ceil(PART);
    for (part, first) in (0..rows).step_by(PART).enumerate() {
        let name = format!("part-{part:04}.npy");
        if !y.join(&name).exists() {
            println!("making part {part} of {parts}");
            write_rows(
                &x.join(&name),
                &y.join(&name),
                &synthetic(2 + part as u64, PART.min(rows - first))?,
            )?;
        }
    }
    let (x, y) = (folder.join("validation-x.npy"), folder.join("validation-y.npy"));
    if !y.exists() {
        write_rows(&x, &y, &synthetic(1 << 32, VALIDATION)?)?;
    }
    let found = DataStream::npy(folder.join("x"), folder.join("y"))?.rows();
    match found == rows {
        true => Ok(()),
        false => Err(format!(
            "{} has {found} rows of another run, expected {rows}: name a new folder, or as many GB as then",
            folder.display()
        )
        .into()),
    }
}

/// Rows whose features are a class's pattern and noise; the patterns are those of all parts.
fn synthetic(seed: u64, rows: usize) -> Result<Dataset> {
    let patterns = datasets::synthetic_classification(CLASSES, FEATURES, CLASSES, 1)?;
    let noise = datasets::synthetic_classification(rows, FEATURES, 1, seed)?;
    let mut x = noise.x().to_owned();
    for (row, mut x) in x.outer_iter_mut().enumerate() {
        x.scaled_add(0.2, &patterns.x().row(row % CLASSES));
    }
    Ok(Dataset::classification_with(x, (0..rows).map(|row| (row % CLASSES) as u32), CLASSES)?)
}

fn write_rows(x: &Path, y: &Path, data: &Dataset) -> Result<()> {
    write(x, &[data.rows(), FEATURES], data.x().iter().copied())?;
    let labels = data.labels().unwrap_or_default();
    write(y, &[labels.len()], labels.iter().copied())
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
        validation: None,
        save: None,
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
            "--validation" => options.validation = Some(value()?.into()),
            "--save" => options.save = Some(value()?.into()),
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
            other => return Err(format!("{other}: unknown\n{USAGE}").into()),
        }
    }
    if options.path.as_os_str().is_empty() {
        return Err(format!("name a folder for the files\n{USAGE}").into());
    }
    if options.validation.is_some() && options.target.is_none() {
        return Err(
            "--validation goes with --target: rows that were made have others already".into()
        );
    }
    Ok(options)
}
