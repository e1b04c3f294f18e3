//! Time to a given accuracy where the batch grows with the threads, on handwritten digits.

use unisono::bench_support::median;
use unisono::{Activation, Adam, CrossEntropy, Result, Sequential, TrainConfig, Trainer, datasets};

/// Held-out accuracy that ends a run.
pub const GOAL: f64 = 0.95;
/// Rows of a batch for each thread.
pub const ROWS: usize = 32;
/// Runs end here without having got there.
const MOST_EPOCHS: usize = 60;

/// How one number of threads got there.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    pub threads: usize,
    pub batch: usize,
    /// Medians over some seeds; none if a run did not get there.
    pub epochs: Option<f64>,
    pub seconds: Option<f64>,
}

/// Trains 64-256-256-10 on each number of threads from several seeds.
pub fn measure(threads: &[usize], seeds: u64) -> Result<Vec<Reached>> {
    let (train, test) = datasets::digits().split_stratified(0.2, 1)?;
    let mut all = vec![];
    for &n in threads {
        let (mut epochs, mut seconds) = (vec![], vec![]);
        for seed in 0..seeds {
            let builder = Sequential::builder(64).dense(256, Activation::Relu);
            let builder = builder.dense(256, Activation::Relu).dense(10, Activation::Softmax);
            let mut model = builder.build(seed)?;
            let config = TrainConfig::new(CrossEntropy::default(), Adam::new(1e-3))
                .epochs(MOST_EPOCHS)
                .batch_size(ROWS * n)
                .seed(seed)
                .validation(test.clone())
                .exact_threads(n);
            let mut trainer = Trainer::new(&mut model, &train, &config)?;
            let mut taken = 0.0;
            while trainer.stopped().is_none() {
                let report = trainer.epoch()?;
                taken += report.seconds;
                if report.val_accuracy >= Some(GOAL) {
                    epochs.push(report.epoch as f64);
                    seconds.push(taken);
                    break;
                }
            }
        }
        let whole = epochs.len() as u64 == seeds;
        all.push(Reached {
            threads: n,
            batch: ROWS * n,
            epochs: whole.then(|| median(&epochs)),
            seconds: whole.then(|| median(&seconds)),
        });
    }
    Ok(all)
}
