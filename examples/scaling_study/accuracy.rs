//! Time to a given accuracy where the batch grows with the threads, on handwritten digits.

use unisono::bench_support::median;
use unisono::{Activation, Adam, CrossEntropy, Dataset, Result, Sequential, TrainConfig, Trainer};

/// Held-out accuracy that ends a run.
pub const GOAL: f64 = 0.97;
/// Rows of a batch for each thread.
pub const ROWS: usize = 32;
/// The learning rate, whatever the batch.
pub const RATE: f64 = 1e-3;
/// Runs end here without having got there.
const MOST_EPOCHS: usize = 100;

/// How one number of threads got there.
#[derive(Debug, Clone, PartialEq)]
pub struct Reached {
    pub threads: usize,
    pub batch: usize,
    /// Epochs and seconds of training of each run that got there.
    pub runs: Vec<(usize, f64)>,
    /// Runs that did not.
    pub missed: usize,
}

impl Reached {
    /// Median epochs; none if a run did not get there.
    pub fn epochs(&self) -> Option<f64> {
        let epochs: Vec<f64> = self.runs.iter().map(|(epochs, _)| *epochs as f64).collect();
        (self.missed == 0).then(|| median(&epochs))
    }

    /// The seconds of each run; none if one did not get there.
    pub fn seconds(&self) -> Option<Vec<f64>> {
        (self.missed == 0).then(|| self.runs.iter().map(|(_, seconds)| *seconds).collect())
    }
}

/// Trains 64-256-256-10 from several seeds, with each of them on each number of threads in turns. Leaves
/// out threads for whose batch there are too few rows: the trainer would take a smaller one.
pub fn measure(threads: &[usize], seeds: u64) -> Result<Vec<Reached>> {
    let (train, test) = unisono::datasets::digits().split_stratified(0.2, 1)?;
    let empty = |&n: &usize| Reached { threads: n, batch: ROWS * n, runs: vec![], missed: 0 };
    let enough = threads.iter().filter(|&&n| ROWS * n <= train.rows());
    let mut all: Vec<Reached> = enough.map(empty).collect();
    for seed in 0..seeds {
        for reached in &mut all {
            match run(&train, &test, reached, seed)? {
                Some(run) => reached.runs.push(run),
                None => reached.missed += 1,
            }
        }
    }
    Ok(all)
}

/// Epochs, and seconds of training without the validation, until it is there.
fn run(
    train: &Dataset,
    test: &Dataset,
    setting: &Reached,
    seed: u64,
) -> Result<Option<(usize, f64)>> {
    let mut model = Sequential::builder(64)
        .dense(256, Activation::Relu)
        .dense(256, Activation::Relu)
        .dense(10, Activation::Softmax)
        .build(seed)?;
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(RATE))
        .epochs(MOST_EPOCHS)
        .batch_size(setting.batch)
        .seed(seed)
        .validation(test.clone())
        .exact_threads(setting.threads);
    let mut trainer = Trainer::new(&mut model, train, &config)?;
    let mut seconds = 0.0;
    while trainer.stopped().is_none() {
        let report = trainer.epoch()?;
        seconds += report.seconds;
        if report.val_accuracy >= Some(GOAL) {
            return Ok(Some((report.epoch, seconds)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_that_did_not_get_there_leaves_the_median_open() {
        let runs = vec![(3, 0.3), (5, 0.5), (4, 0.4)];
        let reached = Reached { threads: 1, batch: 32, runs, missed: 0 };
        assert_eq!((reached.epochs(), reached.seconds().unwrap().len()), (Some(4.0), 3));
        let reached = Reached { missed: 1, ..reached };
        assert_eq!((reached.epochs(), reached.seconds()), (None, None));
    }

    #[test]
    fn threads_without_rows_for_their_batch_are_left_out() {
        let all = measure(&[1, 44, 45, 128], 0).unwrap();
        assert_eq!(all.iter().map(|it| it.threads).collect::<Vec<_>>(), [1, 44]);
    }

    #[test]
    fn the_goal_is_reached_in_some_epochs() {
        let [reached] = &measure(&[1], 1).unwrap()[..] else { panic!() };
        let [(epochs, seconds)] = reached.runs[..] else { panic!("{reached:?}") };
        assert!(epochs > 1 && epochs < MOST_EPOCHS && seconds > 0.0, "{reached:?}");
    }
}
