//! Where the steps are made that a program calls for: on its own thread, in the pool, or on both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::ThreadPool;

use super::calling::Calling;
use super::config::Threads;
use super::pool::{self, catch};
use super::trainer::Trainer;
use crate::Result;

/// A pause between two calls after which the workers are asleep, or about to be: being called to them and back then
/// takes longer than calling them here.
const PAUSE: Duration = Duration::from_micros(20);

/// Steps of a call after a pause, and floating-point operations of their products, up to which the calling thread makes
/// part of them itself: some milliseconds, in which the workers come to stand on cores of their own.
const FEW: usize = 16;
const SHORT: usize = 1_000_000_000;

/// Who makes the steps of a call: its own thread, the pool, or both.
enum By {
    Caller,
    Pool(Arc<ThreadPool>),
    Both(Arc<ThreadPool>),
}

impl Trainer<'_> {
    /// Runs `f`, which makes so many steps: on the pool, if there is one and they are worth it, or after a pause here,
    /// with the pool's help. Turns a panic into an error. Tells observers, and whoever watches the model, if the run
    /// ends by it; beyond that, every epoch ends it again.
    pub(super) fn guarded<T: Send>(
        &mut self,
        steps: usize,
        f: impl FnOnce(&mut Self) -> Result<T> + Send,
    ) -> Result<T> {
        let by = self.who_makes(steps);
        self.stepper.alone = matches!(by, By::Caller);
        self.stepper.outside = if let By::Both(pool) = &by { Some(pool.clone()) } else { None };
        let done = catch(|| match by {
            By::Pool(pool) => pool.install(|| f(self)),
            By::Caller | By::Both(_) => f(self),
        });
        self.stepper.outside = None;
        self.epoch.stop_clock();
        self.stepper.ended = self.pool.is_some().then(Instant::now);
        let done = done.flatten();
        let good = done.is_err() && self.model.is_finite();
        if let (true, Some(publisher)) = (good, &mut self.publisher) {
            publisher.publish(self.model);
        }
        if done.is_err() || self.stopped.is_some() && self.epoch.step == 0 {
            let _calling = Calling::observers(true);
            let told = catch(|| self.config.observers.iter().for_each(|it| it.lock().end()));
            return done.and_then(|done| told.map(|()| done));
        }
        done
    }

    /// Says that this thread calls observers, as long as the result lives.
    pub(super) fn calling(&self) -> Calling {
        Calling::observers(self.stepper.alone || self.stepper.outside.is_some())
    }

    /// Who makes so many steps.
    fn who_makes(&self, steps: usize) -> By {
        let step = self.model.flops_per_row() * self.batch();
        let flops = step.saturating_mul(steps);
        // Being called to the pool and back takes as long as a step of a small net; whether it helps without a team is
        // not known there.
        let sure = self.stepper.team.is_some() || pool::workers(self.config.threads, step) > 1;
        let times = if sure { 1 } else { 10 };
        let worth = pool::workers(self.config.threads, flops / times) > 1;
        let Some(pool) = self.pool.clone().filter(|_| worth) else { return By::Caller };
        let short = steps <= FEW && flops <= SHORT;
        let asleep = short && self.stepper.ended.is_none_or(|ended| ended.elapsed() > PAUSE);
        let exactly = matches!(self.config.threads, Threads::Exactly(_));
        match self.stepper.team.is_some() {
            // Its members would wait for each other longer than the steps take.
            true if asleep && !exactly => By::Caller,
            false if asleep => By::Both(pool),
            _ => By::Pool(pool),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rayon::prelude::*;

    use super::*;
    use crate::layer::testing::Probe;
    use crate::{Activation, Adam, Clip, CrossEntropy, Loss, MeanSquaredError, Sequential};
    use crate::{TrainConfig, datasets};

    fn config(loss: impl Into<Loss>) -> TrainConfig {
        TrainConfig::new(loss, Adam::new(0.01)).batch_size(64)
    }

    /// As if the last call had ended long ago, or just now.
    fn pause(trainer: &mut Trainer, long: bool) {
        let later = Instant::now() + Duration::from_secs(3600);
        trainer.stepper.ended = (!long).then_some(later);
    }

    #[test]
    fn only_steps_after_a_pause_are_made_on_this_thread_too() {
        let data = datasets::synthetic_classification(640, 100, 4, 1).unwrap();
        let probe = Probe::default();
        let builder = Sequential::builder(100).layer(probe.clone());
        let builder = builder.dense(400, Activation::Relu).dense(4, Activation::Softmax);
        let mut model = builder.build(1).unwrap();
        let config = config(CrossEntropy::default()).exact_threads(2);
        let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
        for long in [true, false, true] {
            pause(&mut trainer, long);
            probe.0.waits.store(long, Ordering::Relaxed);
            trainer.step().unwrap();
            assert_eq!(probe.0.in_pool(), !long);
        }
    }

    #[test]
    fn a_team_at_choice_is_not_woken_for_a_step() {
        let data = datasets::synthetic_classification(1024, 64, 4, 1).unwrap();
        let builder = Sequential::builder(64).dense(128, Activation::Relu);
        let mut model = builder.dense(4, Activation::Softmax).build(1).unwrap();
        let config = config(CrossEntropy::default()).batch_size(512);
        for (config, long, alone) in [
            (config.clone().threads(2), true, true),
            (config.clone().threads(2), false, false),
            (config.exact_threads(2), true, false),
        ] {
            let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
            if trainer.stepper.team.is_some() {
                pause(&mut trainer, long);
                trainer.step().unwrap();
                assert_eq!(trainer.stepper.alone, alone);
            }
        }
    }

    #[test]
    fn only_a_few_steps_are_made_on_this_thread_whatever_they_cost() {
        let probe = Probe::default();
        let data = datasets::synthetic_regression(64 * 2 * FEW, 4, 4, 1).unwrap();
        for (batch, few) in [(64, false), (128, true)] {
            let mut model = Sequential::builder(4).layer(probe.clone()).build(1).unwrap();
            let config = config(MeanSquaredError).batch_size(batch).exact_threads(2);
            let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
            probe.0.waits.store(few, Ordering::Relaxed);
            trainer.epoch().unwrap();
            assert_eq!(probe.0.in_pool(), !few, "an epoch");
            probe.0.waits.store(false, Ordering::Relaxed);
            pause(&mut trainer, true);
            trainer.run().unwrap();
            assert!(probe.0.in_pool(), "a run");
        }
    }

    #[test]
    fn who_makes_a_step_changes_no_bit() {
        let data = datasets::synthetic_classification(150, 70, 5, 1).unwrap();
        let build = |norm| {
            let mut builder = Sequential::builder(70).dense(300, Activation::Relu).dropout(0.2);
            if norm {
                builder = builder.layer_norm().layer(Probe::default());
            }
            builder.dense(130, Activation::Tanh).dense(5, Activation::Softmax).build(3).unwrap()
        };
        for (norm, clip) in [(false, Clip::None), (false, Clip::Norm(0.1)), (true, Clip::None)] {
            let train = |threads, long: bool| {
                let mut model = build(norm);
                let config = config(CrossEntropy::default()).validation(data.clone()).clip(clip);
                let config = config.exact_threads(threads);
                let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
                let mut losses = vec![];
                for _ in 0..7 {
                    pause(&mut trainer, long);
                    losses.push(trainer.step().unwrap().loss);
                }
                let validated = trainer.history().epochs.last().unwrap().val_loss;
                drop(trainer);
                (model.fingerprint(), losses, validated)
            };
            let alone = train(1, false);
            for threads in [2, 3, 4, 7, 16] {
                assert_eq!(train(threads, true), alone, "{threads} threads, {norm} {clip:?}");
                assert_eq!(train(threads, false), alone, "{threads} threads, {norm} {clip:?}");
            }
            let users = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            let here = |_| assert_eq!(train(3, true), alone, "in a user's pool");
            users.install(|| (0..6).into_par_iter().for_each(here));
        }
    }
}
