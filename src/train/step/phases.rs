//! A step's parts with a clock between them, for the benches: where does the time go?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rayon::ThreadPool;

use super::timer::{Phase, Timer};
use super::{NotFinite, StepInput, StepOutcome, Stepper};
use crate::data::Dataset;
use crate::model::Sequential;
use crate::train::config::{Threads, TrainConfig};
use crate::train::feed::shuffle;
use crate::train::pool::{cores, pool};
use crate::{Error, Result};

/// Makes training steps and says how many seconds of the workers' time each phase took.
pub struct PhaseClock<'a> {
    model: &'a mut Sequential,
    data: &'a Dataset,
    config: TrainConfig,
    stepper: Stepper,
    pool: Option<Arc<ThreadPool>>,
    order: Vec<u32>,
    next: usize,
    epoch: u64,
    outcomes: Vec<StepOutcome>,
}

impl<'a> PhaseClock<'a> {
    /// Prepares steps of whole batches on as many workers as the configuration names.
    ///
    /// # Errors
    /// If a pool cannot be started, or the data are smaller than a batch.
    pub fn new(model: &'a mut Sequential, data: &'a Dataset, config: &TrainConfig) -> Result<Self> {
        config.check()?;
        model.check_source(data.into(), &config.loss)?;
        if data.rows() < config.batch_size {
            return Err(Error::config("batch_size", "expected at most the rows of the data"));
        }
        let workers = match config.threads {
            Threads::Auto => cores(),
            Threads::AtMost(n) | Threads::Exactly(n) => n,
        };
        let sizes = (config.shards, workers);
        let batches = [config.batch_size];
        let targets = data.targets().shape();
        Ok(Self {
            stepper: Stepper::new(model, &config.loss, &config.optimizer, targets, &batches, sizes),
            pool: if workers > 1 { Some(pool(workers)?) } else { None },
            order: (0..data.rows() as u32).collect(),
            config: config.clone(),
            next: 0,
            epoch: 0,
            outcomes: vec![],
            model,
            data,
        })
    }

    /// Makes a run of steps, as they are made where nobody looks in between, and returns how many, and each phase's seconds
    /// in all of them, summed over the workers.
    ///
    /// # Errors
    /// If a loss or a gradient is not finite.
    pub fn run(&mut self) -> Result<(usize, [f64; Phase::ALL.len()])> {
        match self.pool.clone() {
            Some(pool) => pool.install(|| self.timed()),
            None => self.timed(),
        }
    }

    /// How often a step shares work out where no team makes it: once for the rows, and once or twice for the
    /// parameters.
    pub fn passes(&self) -> usize {
        if self.stepper.in_memory(self.config.clip) { 3 } else { 2 }
    }

    /// The shares of the second half's work in the pieces that `workers` workers claim, in order.
    pub fn update_pieces(&self, workers: usize) -> Vec<f64> {
        self.stepper.pieces(workers)
    }

    fn timed(&mut self) -> Result<(usize, [f64; Phase::ALL.len()])> {
        let clock = Clock::default();
        let batch = self.config.batch_size;
        if self.next + batch > self.order.len() || self.stepper.steps == 0 {
            self.next = 0;
            self.epoch += 1;
            clock.time(Phase::Shuffle, || {
                shuffle(&mut self.order, self.config.seed, self.epoch);
            });
        }
        let (config, stepper, data, epoch) =
            (&self.config, &mut self.stepper, self.data, self.epoch);
        let (order, next) = (&self.order, self.next);
        let count = stepper.run_length.min((order.len() - next) / batch);
        let input = |index: usize| StepInput {
            data,
            loss: &config.loss,
            optimizer: &config.optimizer,
            clip: config.clip,
            seed: config.seed,
            epoch,
            lr: config.optimizer.lr(),
            rows: &order[next + index * batch..][..batch],
            next: order.get(next + (index + 1) * batch..).unwrap_or(&[]),
            first_row: (next + index * batch) as u64,
        };
        self.next += count * batch;
        let start = Instant::now();
        self.outcomes.clear();
        let made = stepper.steps(self.model, count, &input, &mut self.outcomes, &clock);
        let wall = start.elapsed().as_secs_f64();
        made.map_err(|NotFinite(what)| Error::NonFinite {
            what,
            epoch: self.epoch as usize,
            step: stepper.steps as usize + 1,
        })?;
        let mut seconds = clock.seconds();
        let worked: f64 = seconds[1..].iter().sum();
        let workers = self.pool.as_ref().map_or(1, |pool| pool.current_num_threads());
        seconds[Phase::Wait as usize] = (wall * workers as f64 - worked).max(0.0);
        Ok((count, seconds))
    }
}

/// Nanoseconds of each phase, over all workers.
#[derive(Default)]
struct Clock([AtomicU64; Phase::ALL.len()]);

impl Timer for Clock {
    fn time<T>(&self, phase: Phase, f: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = f();
        self.0[phase as usize].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        done
    }
}

impl Clock {
    fn seconds(&self) -> [f64; Phase::ALL.len()] {
        self.0.each_ref().map(|ns| ns.load(Ordering::Relaxed) as f64 * 1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Adam, Clip, CrossEntropy, Trainer, datasets};

    #[test]
    fn clocked_steps_change_the_parameters_as_the_trainer_does() {
        let data = datasets::synthetic_classification(96, 20, 3, 1).unwrap();
        let build = || {
            let builder = Sequential::builder(20).dense(17, Activation::Relu);
            builder.dense(3, Activation::Softmax).build(1).unwrap()
        };
        let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
            .batch_size(48)
            .shuffle(false)
            .exact_threads(2);
        let (mut clocked, mut trained) = (build(), build());
        let mut clock = PhaseClock::new(&mut clocked, &data, &config).unwrap();
        clock.run().unwrap();
        let order: Vec<usize> = clock.order.iter().map(|&row| row as usize).collect();
        let shuffled = data.select(&order).unwrap();
        let mut trainer = Trainer::new(&mut trained, &shuffled, &config).unwrap();
        clock.outcomes.iter().for_each(|_| _ = trainer.step().unwrap());
        assert_eq!(clocked.fingerprint(), trained.fingerprint());
    }

    #[test]
    fn gradients_that_go_through_memory_are_shared_out_twice() {
        let data = datasets::synthetic_classification(16, 200, 2, 1).unwrap();
        for (width, clip, passes) in
            [(10, Clip::None, 3), (200, Clip::None, 2), (200, Clip::Norm(1.0), 3)]
        {
            let builder = Sequential::builder(200).dense(width, Activation::Relu);
            let mut model = builder.dense(2, Activation::Softmax).build(1).unwrap();
            let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
                .batch_size(16)
                .clip(clip);
            assert_eq!(PhaseClock::new(&mut model, &data, &config).unwrap().passes(), passes);
        }
    }
}
