//! Trains 784-128-10 on Fashion-MNIST from its IDX files and draws the learning curves.
//!
//! `cargo run --release --features plot --example fashion_mnist [FOLDER] [--epochs N] [--svg FILE]`.
//! Debian's package `dataset-fashion-mnist` puts the files into the default folder.

use std::process::ExitCode;

use unisono::metrics::ConfusionMatrix;
use unisono::{Activation, Adam, CrossEntropy, Progress, Sequential, TrainConfig};
use unisono::{History, datasets, train_parallel};

struct Arguments {
    folder: String,
    epochs: usize,
    svg: String,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        folder: "/usr/share/datasets/fashion-mnist".into(),
        epochs: 10,
        svg: "fashion_mnist.svg".into(),
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
            "--svg" => parsed.svg = value()?,
            flag if flag.starts_with('-') => {
                return Err(format!("unknown flag {flag}; known are --epochs N and --svg FILE"));
            }
            folder => parsed.folder = folder.to_owned(),
        }
    }
    Ok(parsed)
}

fn run(arguments: &Arguments) -> unisono::Result<()> {
    let (train, test) = datasets::fashion_mnist(&arguments.folder)?;
    let mut model = Sequential::builder(train.features())
        .dense(128, Activation::Relu)
        .dense(10, Activation::Softmax)
        .build(1)?;
    println!("{model}\n");

    let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
        .epochs(arguments.epochs)
        .batch_size(128)
        .validation(test.clone())
        .observer(Progress::new());
    let history = train_parallel(&mut model, &train, &config)?;
    println!("{history}\n");

    let predicted = model.predict_classes(test.x())?;
    let actual: Vec<usize> =
        test.labels().unwrap_or_default().iter().map(|&label| label as usize).collect();
    let names = test.class_names().unwrap_or_default().to_vec();
    let matrix = ConfusionMatrix::new(&predicted, &actual, names.len())?.with_names(&names)?;
    println!("{matrix}\n");
    draw(&history, &arguments.svg)?;
    println!("test: {}", model.evaluate(&test)?);
    Ok(())
}

#[cfg(feature = "plot")]
fn draw(history: &History, path: &str) -> unisono::Result<()> {
    history.write_svg(path)?;
    println!("learning curves: {path}");
    Ok(())
}

#[cfg(not(feature = "plot"))]
fn draw(_: &History, path: &str) -> unisono::Result<()> {
    println!("for the learning curves in {path}, run with --features plot");
    Ok(())
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
