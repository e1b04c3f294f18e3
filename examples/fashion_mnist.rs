//! Trains 784-128-10 on Fashion-MNIST from its IDX files, with a tenth of the training images for
//! validation, tests it, and draws the learning curves.
//!
//! `cargo run --release --features plot --example fashion_mnist [FOLDER] [--epochs N]
//! [--curves FILE.svg|FILE.png] [--tensorboard RUN]`: PNG takes the feature `png`, event files for
//! TensorBoard the feature `tensorboard`. Debian's package `dataset-fashion-mnist` puts the files into
//! the default folder.

use std::process::ExitCode;

use unisono::metrics::ConfusionMatrix;
use unisono::{Activation, Adam, CrossEntropy, Progress, Sequential, TrainConfig};
use unisono::{History, datasets, train_parallel};

struct Arguments {
    folder: String,
    epochs: usize,
    curves: String,
    board: Option<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        folder: "/usr/share/datasets/fashion-mnist".into(),
        epochs: 10,
        curves: "fashion_mnist.svg".into(),
        board: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--epochs" => {
                let text = value()?;
                parsed.epochs = text
                    .parse()
                    .map_err(|_| format!("--epochs: {text:?} is not a whole number"))?;
            }
            "--curves" => {
                parsed.curves = value()?;
                if parsed.curves.ends_with(".png") && !cfg!(feature = "png") {
                    return Err("--curves: PNG takes the feature: run with --features png".into());
                }
            }
            "--tensorboard" => parsed.board = Some(value()?),
            flag if flag.starts_with('-') => {
                return Err(format!(
                    "unknown flag {flag}; known are --epochs N, --curves FILE and --tensorboard RUN"
                ));
            }
            folder => parsed.folder = folder.to_owned(),
        }
    }
    Ok(parsed)
}

fn run(arguments: &Arguments) -> unisono::Result<()> {
    let (rest, test) = datasets::fashion_mnist(&arguments.folder)?;
    let (train, validation) = rest.split_stratified(0.1, 1)?;
    drop(rest);
    let mut model = Sequential::builder(train.features())
        .dense(128, Activation::Relu)
        .dense(10, Activation::Softmax)
        .build(1)?;
    println!("{model}\n");

    let mut config = TrainConfig::new(CrossEntropy::default(), Adam::default())
        .epochs(arguments.epochs)
        .batch_size(128)
        .validation(validation)
        .observer(Progress::new());
    if let Some(run) = &arguments.board {
        config = watched(config, run)?;
    }
    let history = train_parallel(&mut model, &train, &config)?;
    println!("{history}\n");

    println!("{}\n", ConfusionMatrix::of(&model, &test)?);
    draw(&history, &arguments.curves)?;
    println!("test: {}", model.evaluate(&test)?);
    Ok(())
}

#[cfg(feature = "tensorboard")]
fn watched(config: TrainConfig, run: &str) -> unisono::Result<TrainConfig> {
    Ok(config.observer(unisono::TensorBoard::new(run)?))
}

#[cfg(not(feature = "tensorboard"))]
fn watched(_: TrainConfig, run: &str) -> unisono::Result<TrainConfig> {
    Err(missing("--tensorboard", run, "tensorboard"))
}

fn draw(history: &History, path: &str) -> unisono::Result<()> {
    if path.ends_with(".png") {
        write_png(history, path)?;
    } else if cfg!(feature = "plot") {
        write_svg(history, path)?;
    } else {
        println!("for the learning curves in {path}, run with --features plot");
        return Ok(());
    }
    println!("learning curves: {path}");
    Ok(())
}

#[cfg(feature = "plot")]
fn write_svg(history: &History, path: &str) -> unisono::Result<()> {
    history.write_svg(path)
}

#[cfg(not(feature = "plot"))]
fn write_svg(_: &History, path: &str) -> unisono::Result<()> {
    Err(missing("--curves", path, "plot"))
}

#[cfg(feature = "png")]
fn write_png(history: &History, path: &str) -> unisono::Result<()> {
    history.write_png(path)
}

#[cfg(not(feature = "png"))]
fn write_png(_: &History, path: &str) -> unisono::Result<()> {
    Err(missing("--curves", path, "png"))
}

#[allow(dead_code)] // with all features nothing is missing
fn missing(flag: &'static str, value: &str, feature: &str) -> unisono::Error {
    let problem = format!("{value} takes the feature: run with --features {feature}");
    unisono::Error::Config { field: flag, problem }
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
