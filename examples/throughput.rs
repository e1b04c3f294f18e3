//! Measures how fast a dense net trains: the tool for studies.
//!
//! `cargo run --release --example throughput -- --data fashion-mnist --threads 2 --json`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unisono::bench_support::fma_peak;
use unisono::{Activation, CsvColumn, CsvOptions, Dataset, Error, Loss, Optimizer, Result};
use unisono::{
    EpochReport, History, Sequential, SimdLevel, StandardScaler, TrainConfig, Trainer, datasets,
};

const HELP: &str = "\
Measures how fast a dense net trains.

  --data SOURCE        iris, digits, fashion-mnist[:DIR], synthetic-classification:ROWS,
                       synthetic-regression:ROWS or csv:FILE:TARGET, where TARGET is a column's
                       name or its position from 0 [synthetic-classification:10000]
  --layers WIDTHS      features, hidden widths and outputs, as 784,512,512,10; synthetic data take
                       their width from here [512,512 between the data's features and outputs;
                       784 and 10 for synthetic data]
  --activation NAME    of the hidden layers: relu, tanh, sigmoid, gelu, silu, … [relu]; behind the
                       last stands softmax for cross-entropy, sigmoid for bce, nothing otherwise
  --loss NAME          cross-entropy, bce, mse, mae or huber [cross-entropy for classes, else mse]
  --optimizer NAME     adam, adamw, sgd, rmsprop or adagrad, or as sgd(lr=0.1,momentum=0.9) [adam]
  --lr RATE            learning rate [the optimizer's]
  --batch ROWS         rows of a step [256]
  --epochs N           epochs that are measured [2]
  --warmup-epochs N    epochs before these [1]
  --threads N          at most so many threads [all cores]
  --exact              exactly that many threads, even where fewer would be faster
  --shards N           at most so many shards of a batch, of 16 rows at least [one for each 128 rows
                       (a small net's 64), 16 at most]
  --seed N             seed of parameters, shuffling and synthetic data [1]
  --json               prints one line of JSON instead of a table
  --help               prints this

The rate is the median over runs of epochs of 50 ms and more by the clock on the wall: shuffling,
gathering and what lies between epochs count, evaluation does not.
Features of iris, digits and CSV files are standardised.";

/// The shortest run of epochs that is timed.
const RUN: Duration = Duration::from_millis(50);

const FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned());
    let options = match Options::parse(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("throughput: {problem}\n`--help` lists all flags");
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(report) if options.json => println!("{report}"),
        Ok(report) => print_table(&report),
        Err(error) => {
            eprintln!("throughput: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Where the rows come from.
enum Source {
    Iris,
    Digits,
    FashionMnist(PathBuf),
    Classification(usize),
    Regression(usize),
    Csv(PathBuf, CsvColumn),
}

struct Options {
    /// The source as it was written.
    data: String,
    source: Source,
    layers: Option<Vec<usize>>,
    activation: Activation,
    loss: Option<Loss>,
    optimizer: Optimizer,
    lr: Option<f64>,
    batch: usize,
    epochs: usize,
    warmup_epochs: usize,
    threads: Option<usize>,
    exact: bool,
    shards: Option<usize>,
    seed: u64,
    json: bool,
}

type Parsed<T> = std::result::Result<T, String>;

impl Options {
    /// Reads the flags; `None` if help is asked for.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Parsed<Option<Self>> {
        let mut options = Self {
            data: "synthetic-classification:10000".into(),
            source: Source::Classification(10_000),
            layers: None,
            activation: Activation::Relu,
            loss: None,
            optimizer: unisono::Adam::default().into(),
            lr: None,
            batch: 256,
            epochs: 2,
            warmup_epochs: 1,
            threads: None,
            exact: false,
            shards: None,
            seed: 1,
            json: false,
        };
        while let Some(argument) = arguments.next() {
            let (flag, given) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            match flag {
                "--json" | "--exact" | "--help" | "-h" if given.is_some() => {
                    return Err(format!("{flag} takes no value"));
                }
                "--json" => options.json = true,
                "--exact" => options.exact = true,
                "--help" | "-h" => return Ok(None),
                flag => {
                    let mut value =
                        || given.clone().or_else(|| arguments.next()).ok_or_else(|| missing(flag));
                    options.set(flag, &mut value)?;
                }
            }
        }
        if options.exact && options.threads.is_none() {
            return Err("--exact needs --threads: it says how many exactly".into());
        }
        Ok(Some(options))
    }

    fn set(&mut self, flag: &str, value: &mut dyn FnMut() -> Parsed<String>) -> Parsed<()> {
        match flag {
            "--data" => {
                self.data = value()?;
                self.source = source(&self.data)?;
            }
            "--layers" => self.layers = Some(layers(&value()?)?),
            "--activation" => self.activation = named(flag, &value()?)?,
            "--loss" => self.loss = Some(named(flag, &value()?)?),
            "--optimizer" => self.optimizer = named(flag, &value()?)?,
            "--lr" => self.lr = Some(number(flag, &value()?, "a learning rate such as 0.001")?),
            "--batch" => self.batch = positive(flag, &value()?)?,
            "--epochs" => self.epochs = positive(flag, &value()?)?,
            "--warmup-epochs" => self.warmup_epochs = number(flag, &value()?, "a whole number")?,
            "--threads" => self.threads = Some(positive(flag, &value()?)?),
            "--shards" => self.shards = Some(positive(flag, &value()?)?),
            "--seed" => self.seed = number(flag, &value()?, "a whole number")?,
            _ => return Err(format!("unknown flag {flag:?}")),
        }
        Ok(())
    }
}

fn missing(flag: &str) -> String {
    match flag.starts_with("--") {
        true => format!("{flag}: a value is missing"),
        false => format!("unknown argument {flag:?}"),
    }
}

fn number<T: std::str::FromStr>(flag: &str, text: &str, expected: &str) -> Parsed<T> {
    text.parse().map_err(|_| format!("{flag}: expected {expected}, found {text:?}"))
}

fn positive(flag: &str, text: &str) -> Parsed<usize> {
    let expected = "a whole number above 0";
    match number(flag, text, expected)? {
        0 => Err(format!("{flag}: expected {expected}, found \"0\"")),
        n => Ok(n),
    }
}

/// A name that the library reads; it says itself which ones there are.
fn named<T: std::str::FromStr<Err = Error>>(flag: &str, text: &str) -> Parsed<T> {
    text.parse().map_err(|error| format!("{flag}: {error}"))
}

fn layers(text: &str) -> Parsed<Vec<usize>> {
    let widths: Vec<usize> =
        text.split(',').map(|width| positive("--layers", width.trim())).collect::<Parsed<_>>()?;
    match widths.len() {
        0 | 1 => {
            let expected = "at least two widths, as 784,128,10";
            Err(format!("--layers: expected {expected}, found {text:?}"))
        }
        _ => Ok(widths),
    }
}

fn source(text: &str) -> Parsed<Source> {
    let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    Ok(match (name, rest) {
        ("iris", None) => Source::Iris,
        ("digits", None) => Source::Digits,
        ("fashion-mnist", dir) => Source::FashionMnist(dir.unwrap_or(FASHION_MNIST).into()),
        ("synthetic-classification", Some(rows)) => {
            Source::Classification(positive("--data synthetic-classification", rows)?)
        }
        ("synthetic-regression", Some(rows)) => {
            Source::Regression(positive("--data synthetic-regression", rows)?)
        }
        ("csv", Some(rest)) => {
            let (file, target) = rest.rsplit_once(':').ok_or("--data: expected csv:FILE:TARGET")?;
            let column = target.parse().map_or_else(|_| target.into(), CsvColumn::Index);
            Source::Csv(file.into(), column)
        }
        _ => {
            let names = "iris, digits, fashion-mnist[:DIR], synthetic-classification:ROWS, \
                         synthetic-regression:ROWS or csv:FILE:TARGET";
            return Err(format!("--data: expected {names}, found {text:?}"));
        }
    })
}

/// The rows, standardised where they are a table of measurements.
fn load(options: &Options) -> Result<Dataset> {
    let widths = options.layers.as_deref().unwrap_or(&[784, 10]);
    let (first, last) = (widths[0], widths[widths.len() - 1]);
    let table = match &options.source {
        Source::Iris => datasets::iris(),
        Source::Digits => datasets::digits(),
        Source::Csv(file, target) => Dataset::from_csv(file, &CsvOptions::new(target.clone()))?,
        Source::FashionMnist(dir) => return Ok(datasets::fashion_mnist(dir)?.0),
        Source::Classification(rows) => {
            return datasets::synthetic_classification(*rows, first, last, options.seed);
        }
        Source::Regression(rows) => {
            return datasets::synthetic_regression(*rows, first, last, options.seed);
        }
    };
    StandardScaler::fit(&table)?.transform(&table)
}

/// Trains and reports.
fn measure(options: &Options) -> Result<Value> {
    let mut data = load(options)?;
    let loss = options.loss.clone().unwrap_or_else(|| match data.classes() {
        Some(_) => unisono::CrossEntropy::default().into(),
        None => unisono::MeanSquaredError.into(),
    });
    let outputs = data.classes().or_else(|| data.values().map(|y| y.ncols())).unwrap_or(1);
    let widths = options.layers.clone().unwrap_or_else(|| vec![data.features(), 512, 512, outputs]);
    let last = match loss {
        Loss::CrossEntropy(_) => Activation::Softmax,
        Loss::BinaryCrossEntropy(_) => Activation::Sigmoid,
        _ => Activation::Identity,
    };
    let needs_values =
        last == Activation::Identity || last == Activation::Sigmoid && widths[widths.len() - 1] > 1;
    if data.classes().is_some() && needs_values {
        data = data.one_hot()?;
    }
    let mut builder = Sequential::builder(widths[0]);
    for (i, &width) in widths.iter().enumerate().skip(1) {
        let is_last = i + 1 == widths.len();
        builder = builder.dense(width, if is_last { last } else { options.activation });
    }
    let mut model = builder.build(options.seed)?;
    let optimizer = options.lr.map_or(options.optimizer, |lr| options.optimizer.with_lr(lr));
    let config = TrainConfig::new(loss.clone(), optimizer)
        .epochs(options.warmup_epochs.saturating_add(options.epochs))
        .batch_size(options.batch)
        .seed(options.seed);
    let config = match options.shards {
        Some(shards) => config.shards(shards),
        None => config,
    };
    let config = match options.threads {
        Some(threads) if options.exact => config.exact_threads(threads),
        Some(threads) => config.threads(threads),
        None => config,
    };
    let mut trainer = Trainer::new(&mut model, &data, &config)?;
    for _ in 0..options.warmup_epochs {
        trainer.epoch()?;
    }
    let (last, epoch_s) = timed_epochs(&mut trainer, options.epochs)?;
    let History { threads, shards, .. } = trainer.history();
    let rows_per_s = data.rows() as f64 / epoch_s;
    let gflops = flops_per_row(&widths) * rows_per_s / 1e9;
    let peak = gflops_peak();
    Ok(json!({
        "data": options.data,
        "rows": data.rows(),
        "layers": widths,
        "activation": options.activation.to_string(),
        "loss": loss.to_string(),
        "optimizer": optimizer.to_string(),
        "batch": options.batch,
        "epochs": options.epochs,
        "warmup_epochs": options.warmup_epochs,
        "seed": options.seed,
        "threads": threads,
        "shards": shards,
        "simd": SimdLevel::current().to_string(),
        "parameters": trainer.model().param_count(),
        "rows_per_s": rows_per_s,
        "epoch_s": epoch_s,
        "gflops": gflops,
        "peak_gflops_per_core": peak,
        "share_of_peak": gflops / (peak * threads as f64),
        "final_train_loss": last.loss,
        "fingerprint": format!("{:016x}", trainer.model().fingerprint()),
    }))
}

/// Trains for some epochs, at least one; returns the last one's report, and the seconds of an epoch: the
/// median over runs of [`RUN`] and more, or all of them in one where they are over before.
fn timed_epochs(trainer: &mut Trainer, epochs: usize) -> Result<(EpochReport, f64)> {
    let mut seconds = vec![];
    let (mut start, mut count, mut left) = (Instant::now(), 0, epochs);
    let last = loop {
        let report = trainer.epoch()?;
        (count, left) = (count + 1, left - 1);
        let passed = start.elapsed();
        if passed >= RUN || left == 0 && seconds.is_empty() {
            seconds.push(passed.as_secs_f64() / f64::from(count));
            (start, count) = (Instant::now(), 0);
        }
        if left == 0 {
            break report;
        }
    };
    Ok((last, median(seconds)))
}

/// Arithmetic of the products of one row's step: forward, weight gradient and, behind the first
/// layer, input gradient.
fn flops_per_row(widths: &[usize]) -> f64 {
    let product = |pair: &[usize]| 2.0 * pair[0] as f64 * pair[1] as f64;
    let all: f64 = widths.windows(2).map(product).sum();
    3.0 * all - product(&widths[..2])
}

/// The fused-multiply-add peak of one core: the best of 50 runs, so short that other processes leave
/// some of them alone.
fn gflops_peak() -> f64 {
    let timed = |rounds: usize| {
        let start = Instant::now();
        let flops = fma_peak(rounds);
        (flops, start.elapsed().as_secs_f64())
    };
    let mut rounds = 1_000;
    while timed(rounds).1 < 1e-3 {
        rounds *= 2;
    }
    (0..50).map(|_| timed(rounds)).map(|(flops, s)| flops / s / 1e9).fold(0.0, f64::max)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

fn print_table(report: &Value) {
    for (name, value) in report.as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(widths) => {
                widths.iter().map(Value::to_string).collect::<Vec<_>>().join(",")
            }
            Value::Number(n) if n.is_f64() => {
                let n = n.as_f64().unwrap_or(f64::NAN);
                if n >= 1000.0 { format!("{n:.0}") } else { format!("{n:.4}") }
            }
            other => other.to_string(),
        };
        println!("{name:<22}{text}");
    }
}
