//! Trains on any CSV file, reports on rows held out, saves the model, and predicts with a saved one.
//!
//! ```sh
//! cargo run --release --example train_csv -- train data.csv --target price --save model.safetensors
//! cargo run --release --example train_csv -- predict model.safetensors new.csv
//! ```

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use unisono::metrics::{ConfusionMatrix, mean_absolute_error, r2};
use unisono::{
    Activation, Adam, CrossEntropy, Dataset, EarlyStopping, Loss, MeanSquaredError, Missing,
    Preprocessor, Progress, Sequential, Table, Task, TrainConfig, train_parallel,
};

const USAGE: &str = "usage:
  train_csv train FILE.csv --target COLUMN [--task classification|regression] [--save MODEL]
            [--without COLUMN,COLUMN] [--categories COLUMN,COLUMN] [--missing error|mean|NUMBER]
            [--layers 64,64] [--epochs 200]
            [--patience 20] [--validation 0.2] [--test 0.2] [--lr 0.002] [--batch 32] [--threads N] [--seed 0]
            [--classes NAME,NAME] [--delimiter ,] [--columns NAME,NAME]
  train_csv predict MODEL FILE.csv [--delimiter ,] [--columns NAME,NAME]
A file whose first line is a row needs --columns: a name for each column, in order.";

/// The flags of `train`.
const TRAINING: [&str; 18] = [
    "--target",
    "--task",
    "--save",
    "--without",
    "--categories",
    "--missing",
    "--layers",
    "--epochs",
    "--patience",
    "--validation",
    "--test",
    "--lr",
    "--batch",
    "--threads",
    "--seed",
    "--classes",
    "--delimiter",
    "--columns",
];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &words[..] {
        words if words.iter().any(|word| ["-h", "--help"].contains(word)) => {
            println!("{USAGE}");
            Ok(())
        }
        ["train", file, flags @ ..] => train(file, flags),
        ["predict", model, file, flags @ ..] => predict(model, file, flags),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(2)
        }
    }
}

/// The flags of the command line, by their names.
struct Flags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Flags<'a> {
    fn new(words: &[&'a str], known: &[&str]) -> Result<Self, Failure> {
        let mut flags = vec![];
        for pair in words.chunks(2) {
            match pair {
                [name, value] if known.contains(name) => flags.push((*name, *value)),
                [name, ..] => {
                    return Err(format!("{name}: unknown, or without a value\n{USAGE}").into());
                }
                [] => {}
            }
        }
        Ok(Self(flags))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| *value)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, otherwise: T) -> Result<T, Failure> {
        let Some(text) = self.text(name) else { return Ok(otherwise) };
        text.parse().map_err(|_| format!("{name}: expected a number, found {text:?}").into())
    }

    fn table(&self, file: &str) -> Result<Table, Failure> {
        let delimiter = match self.text("--delimiter").unwrap_or(",").as_bytes() {
            [one] => *one,
            b"tab" => b'\t',
            _ => return Err("--delimiter: expected one character, or `tab`".into()),
        };
        Ok(match self.text("--columns") {
            Some(names) => Table::from_csv_named(file, delimiter, names.split(','))?,
            None => Table::from_csv_with(file, delimiter)?,
        })
    }
}

fn preprocessor(flags: &Flags) -> Result<Preprocessor, Failure> {
    let target = flags.text("--target").ok_or_else(|| format!("--target is needed\n{USAGE}"))?;
    let task = match flags.text("--task") {
        None => Task::Guess,
        Some("classification") => Task::Classification,
        Some("regression") => Task::Regression,
        Some(other) => {
            return Err(format!("--task: classification or regression, found {other:?}").into());
        }
    };
    let missing = match flags.text("--missing") {
        None | Some("error") => Missing::Error,
        Some("mean") => Missing::Mean,
        Some(_) => Missing::Constant(flags.number("--missing", 0.0)?),
    };
    let columns = |flag| flags.text(flag).map_or(vec![], |names| names.split(',').collect());
    let preprocessor = Preprocessor::new().target(target).task(task).missing(missing);
    let preprocessor =
        preprocessor.without(columns("--without")).categories(columns("--categories"));
    Ok(match flags.text("--classes") {
        Some(names) => preprocessor.class_names(names.split(',')),
        None => preprocessor,
    })
}

fn train(file: &str, words: &[&str]) -> Result<(), Failure> {
    let flags = Flags::new(words, &TRAINING)?;
    let seed = flags.number("--seed", 0)?;
    flags.text("--save").map_or(Ok(()), can_be_saved)?;
    let table = flags.table(file)?;
    let preprocessor = decided(preprocessor(&flags)?, &table)?;
    let (rest, test) = held_out(&table, ("--test", &flags), seed)?;
    let (train, validation) = held_out(&rest, ("--validation", &flags), seed)?;
    let fitted = preprocessor.fit(&train)?;
    let (data, validation) = (fitted.dataset(&train)?, fitted.dataset(&validation)?);
    println!(
        "{} rows to train on, {} to choose the epoch by, {} to test on",
        data.rows(),
        validation.rows(),
        test.rows()
    );
    let all = preprocessor.clone().most_categories(usize::MAX).fit(&train)?;
    tell_of_categories(&train, &fitted.feature_names(), &all.feature_names());
    if let Some(balance) = data.class_balance() {
        println!("{balance}");
    }
    if flags.text("--task").is_none() {
        println!("{}", guess(&data));
    }

    let (mut model, loss) = build(&flags, &data, seed)?;
    println!("{model}");
    let mut config = TrainConfig::new(loss, Adam::new(flags.number("--lr", 0.002)?))
        .epochs(flags.number("--epochs", 200)?)
        .batch_size(flags.number("--batch", 32)?)
        .seed(seed)
        .early_stopping(EarlyStopping::new(flags.number("--patience", 20)?))
        .validation(validation)
        .observer(Progress::new());
    if flags.text("--threads").is_some() {
        config = config.threads(flags.number("--threads", 1)?);
    }
    println!("{}", train_parallel(&mut model, &data, &config)?);

    model.set_preprocessing(fitted)?;
    report(&model, &test)?;
    if let Some(path) = flags.text("--save") {
        model.save(path)?;
        println!("saved to {path}");
    }
    Ok(())
}

/// Whether a model can be written there, before it is trained.
fn can_be_saved(path: &str) -> Result<(), Failure> {
    if Path::new(path).is_dir() {
        return Err(format!("--save: {path} is a folder, expected a file").into());
    }
    match Path::new(path).parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(format!("--save: there is no folder {}", folder.display()).into())
        }
        _ => Ok(()),
    }
}

/// Holds out the share of the rows that a flag tells.
fn held_out(
    table: &Table,
    (name, flags): (&str, &Flags),
    seed: u64,
) -> Result<(Table, Table), Failure> {
    let split = table.split(flags.number(name, 0.2)?, seed);
    split.map_err(|error| format!("{name}: {error}").into())
}

/// Tells of columns of text some of whose categories are left out.
fn tell_of_categories(table: &Table, features: &[String], all: &[String]) {
    for name in table.columns() {
        let start = format!("{name}=");
        let kept = features.iter().filter(|feature| feature.starts_with(&start)).count();
        let distinct = all.iter().filter(|feature| feature.starts_with(&start)).count();
        if kept < distinct {
            println!(
                "column {name:?}: of {distinct} categories the {kept} most frequent are features; \
                 --without {name} leaves it out"
            );
        }
    }
}

/// Decides by all rows what the target is, and which classes there are: a rare one may be held out alone.
fn decided(preprocessor: Preprocessor, table: &Table) -> Result<Preprocessor, Failure> {
    let fitted = preprocessor.fit(table)?;
    Ok(match fitted.class_names() {
        Some(classes) => preprocessor.class_names(classes),
        None => preprocessor.task(Task::Regression),
    })
}

/// The net for a data set, and its loss.
fn build(flags: &Flags, data: &Dataset, seed: u64) -> Result<(Sequential, Loss), Failure> {
    let mut builder = Sequential::builder(data.features());
    for width in flags.text("--layers").unwrap_or("64,64").split(',') {
        let width = width.parse().map_err(|_| format!("--layers: {width:?} is no number"))?;
        builder = builder.dense(width, Activation::Relu);
    }
    let (last, loss): (_, Loss) = match data.classes() {
        Some(classes) => {
            (builder.dense(classes, Activation::Softmax), CrossEntropy::default().into())
        }
        None => (builder.dense(1, Activation::Identity), MeanSquaredError.into()),
    };
    Ok((last.build(seed)?, loss))
}

/// What the target was taken for, and how to say otherwise where that makes sense.
fn guess(data: &Dataset) -> &'static str {
    let is_number = |name: &String| name.parse::<f64>().is_ok();
    match data.class_names() {
        Some(names) if names.iter().all(is_number) => {
            "the target is taken for classes; --task regression takes it for values"
        }
        Some(_) => "the target is taken for classes",
        None => "the target is taken for values; --task classification takes it for classes",
    }
}

/// Prints how well the model does on rows that nothing was chosen by.
fn report(model: &Sequential, table: &Table) -> Result<(), Failure> {
    let preprocessing = model.preprocessing().ok_or("the model has no preprocessing")?;
    let data = preprocessing.dataset(table)?;
    println!("\non the {} rows to test on:", table.rows());
    if data.labels().is_some() {
        let matrix = ConfusionMatrix::of(model, &data)?;
        println!("{matrix}\n{}", matrix.report());
    } else if let Some(values) = data.values() {
        let actual = preprocessing.restore(values.to_owned())?;
        let predicted = model.predict_table(table)?;
        println!("R2                   {:.4}", r2(predicted.view(), actual.view())?);
        let error = mean_absolute_error(predicted.view(), actual.view())?;
        println!("mean absolute error  {error:.4}");
    }
    Ok(())
}

fn predict(model: &str, file: &str, words: &[&str]) -> Result<(), Failure> {
    let flags = Flags::new(words, &["--delimiter", "--columns"])?;
    let model = Sequential::load(model)?;
    let table = flags.table(file)?;
    let preprocessing = model.preprocessing().ok_or("the model was saved without preprocessing")?;
    let mut lines = vec![preprocessing.target().unwrap_or("prediction").to_owned()];
    if preprocessing.class_names().is_some() {
        lines.extend(model.predict_labels(&table)?);
    } else {
        lines.extend(model.predict_table(&table)?.iter().map(f32::to_string));
    }
    match write(&lines) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a column of CSV.
fn write(lines: &[String]) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(std::io::stdout().lock());
    for line in lines {
        csv.write_record([line])?;
    }
    csv.flush()
}
