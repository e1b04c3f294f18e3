//! Trains with checkpoints: kill it at any moment, start it again, and it ends with the same bits.
//!
//! Run it with `cargo run --release --example checkpoint -- FOLDER`, press Ctrl-C, and run it again.
//! `--epochs N` (40), `--every-steps N` (50) and `--threads N` (all cores) may follow, and `--bits` for the
//! losses to the bit.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use unisono::{Activation, AdamW, Checkpoint, CrossEntropy, EarlyStopping, Progress, Schedule};
use unisono::{Sequential, TrainConfig, datasets, train_parallel};

/// What the command line may say.
struct Arguments {
    folder: String,
    epochs: usize,
    every_steps: u64,
    threads: Option<usize>,
    bits: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, interrupted.clone())?;

    let (train, validation) = datasets::digits().split_stratified(0.2, 1)?;
    let mut model = Sequential::builder(train.features())
        .layer_norm()
        .dense(96, Activation::Relu)
        .dropout(0.2)
        .dense(10, Activation::Softmax)
        .build(3)?;
    let checkpoint = Checkpoint::new(&arguments.folder).every_steps(arguments.every_steps);
    let mut config = TrainConfig::new(CrossEntropy::default(), AdamW::new(0.002))
        .epochs(arguments.epochs)
        .batch_size(24)
        .schedule(Schedule::Exponential { gamma: 0.97 })
        .validation(validation)
        .early_stopping(EarlyStopping::new(10))
        .checkpoint(checkpoint.resume(true))
        .interrupt(interrupted)
        .observer(Progress::new());

    if let Some(threads) = arguments.threads {
        config = config.threads(threads);
    }
    let history = train_parallel(&mut model, &train, &config)?;
    println!("{history}");
    for epoch in history.epochs.iter().filter(|_| arguments.bits) {
        let val_loss = epoch.val_loss.unwrap_or(f64::NAN).to_bits();
        println!("bits {} {:016x} {val_loss:016x}", epoch.epoch, epoch.loss.to_bits());
    }
    println!("fingerprint {:016x}", model.fingerprint());
    Ok(())
}

fn arguments() -> Result<Arguments, String> {
    let mut given = std::env::args().skip(1);
    let usage = "usage: checkpoint FOLDER [--epochs N] [--every-steps N] [--threads N] [--bits]";
    let folder = given.next().filter(|it| !it.starts_with("--")).ok_or(usage)?;
    let mut arguments =
        Arguments { folder, epochs: 40, every_steps: 50, threads: None, bits: false };
    while let Some(flag) = given.next() {
        if flag == "--bits" {
            arguments.bits = true;
            continue;
        }
        let value = given.next().ok_or_else(|| format!("{flag} needs a number; {usage}"))?;
        let number: usize = value
            .parse()
            .map_err(|_| format!("{flag}: expected a number, found {value:?}; {usage}"))?;
        match flag.as_str() {
            "--epochs" => arguments.epochs = number,
            "--every-steps" => arguments.every_steps = number as u64,
            "--threads" => arguments.threads = Some(number),
            _ => return Err(format!("unknown {flag:?}; {usage}")),
        }
    }
    Ok(arguments)
}
