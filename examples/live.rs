//! Serves a model while it trains, and goes on training on data as they arrive:
//! `cargo run --release --example live`.
//!
//! Threads that stand for a server answer requests by the newest weights as long as training runs. Then
//! rows arrive in small sets: each is predicted first, and learned from afterwards.

use std::sync::atomic::{AtomicBool, Ordering};

use unisono::metrics::accuracy;
use unisono::{
    Activation, Adam, CrossEntropy, Dataset, LiveModel, MinMaxScaler, OnlineTrainer, Sequential,
    TrainConfig, Trainer, datasets,
};

fn main() -> unisono::Result<()> {
    let (train, later) = datasets::digits().split_stratified(0.5, 1)?;
    let scaler = MinMaxScaler::fit(&train)?;
    let (train, later) = (scaler.transform(&train)?, scaler.transform(&later)?);
    let mut model = Sequential::builder(train.features())
        .dense(128, Activation::Relu)
        .dense(10, Activation::Softmax)
        .build(7)?;
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.002)).epochs(60);

    let mut trainer = Trainer::new(&mut model, &train, &config)?;
    let live = trainer.live(1);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let servers: Vec<_> = (0..4).map(|_| scope.spawn(|| serve(&live, &later, &over))).collect();
        let history = trainer.run();
        over.store(true, Ordering::Relaxed);
        println!("trained in the meantime:\n{}", history?);
        for (server, answers) in servers.into_iter().enumerate() {
            let answers = answers.join().expect("a server does not panic")?;
            let (count, first, last) = answers;
            println!(
                "server {server}: {count} requests, {first} right of the first 100, {last} of the last"
            );
        }
        Ok::<_, unisono::Error>(())
    })?;

    println!("\nrows that arrive 100 at a time, right before they are learned from:");
    let mut online = OnlineTrainer::new(&mut model, &config)?;
    let live = online.live(1);
    for first in (0..later.rows() - 99).step_by(100) {
        let set = later.select(&(first..first + 100).collect::<Vec<_>>())?;
        let right = hits(&live, &set)?;
        let report = online.partial_fit(&set)?;
        println!("set {:>2}: {right:>3} right of 100, loss {:.3}", report.epoch, report.loss);
    }
    Ok(())
}

/// Answers until training is over: how many requests, and how many of a hundred rows were classified
/// right at first and at last.
fn serve(
    live: &LiveModel,
    rows: &Dataset,
    over: &AtomicBool,
) -> unisono::Result<(usize, usize, usize)> {
    let request = rows.select(&(0..100).collect::<Vec<_>>())?;
    let first = hits(live, &request)?;
    let (mut count, mut last) = (1, first);
    while !over.load(Ordering::Relaxed) {
        last = hits(live, &request)?;
        count += 1;
    }
    Ok((count, first, last))
}

/// How many rows the newest weights classify right.
fn hits(live: &LiveModel, rows: &Dataset) -> unisono::Result<usize> {
    let predicted = live.snapshot().predict_classes(rows.x())?;
    let labels: Vec<usize> =
        rows.labels().unwrap_or_default().iter().map(|&label| label as usize).collect();
    Ok((accuracy(&predicted, &labels)? * rows.rows() as f64).round() as usize)
}
