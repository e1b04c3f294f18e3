//! Where the steps are made that a program calls for: on its own thread, in the pool, or on both.

use std::time::{Duration, Instant};

use super::pool::{self, catch};
use super::trainer::Trainer;
use crate::Result;

/// A pause between two calls after which the workers are asleep.
const PAUSE: Duration = Duration::from_micros(200);

/// Floating-point operations of a call after a pause up to which the calling thread makes part of the steps itself: some
/// milliseconds of them.
const SHORT: usize = 1_000_000_000;

impl Trainer<'_> {
    /// Runs `f`, which makes so many steps, on the pool, if there is one and they are worth it, and turns a panic into
    /// an error. Tells observers if the run ends by it; beyond that, every epoch ends it again.
    pub(super) fn guarded<T: Send>(
        &mut self,
        steps: usize,
        f: impl FnOnce(&mut Self) -> Result<T> + Send,
    ) -> Result<T> {
        let step = self.model.flops_per_row() * self.batch();
        let flops = step.saturating_mul(steps);
        // Being called to the pool and back takes as long as a step of a small net; whether it helps without a team is
        // not known there.
        let sure = self.stepper.team.is_some() || pool::workers(self.config.threads, step) > 1;
        let times = if sure { 1 } else { 10 };
        let worth = pool::workers(self.config.threads, flops / times) > 1;
        let pool = self.pool.clone().filter(|_| worth);
        let may_help = pool.is_some() && flops <= SHORT && self.stepper.team.is_none();
        let helped = may_help && self.ended.is_none_or(|ended| ended.elapsed() > PAUSE);
        let (outside, inside) = if helped { (pool, None) } else { (None, pool) };
        self.stepper.alone = outside.is_none() && inside.is_none();
        self.stepper.outside = outside;
        let done = catch(|| match inside {
            Some(pool) => pool.install(|| f(self)),
            None => f(self),
        });
        self.stepper.outside = None;
        self.epoch.stop_clock();
        self.ended = self.pool.is_some().then(Instant::now);
        let done = done.flatten();
        if done.is_err() || self.stopped.is_some() && self.epoch.step == 0 {
            let told = catch(|| self.config.observers.iter().for_each(|it| it.lock().end()));
            return done.and_then(|done| told.map(|()| done));
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::{ArrayView2, ArrayViewMut2};
    use parking_lot::Mutex;

    use super::*;
    use crate::{Activation, Adam, Clip, CrossEntropy, Layer, Sequential, TrainConfig, datasets};

    /// Notes which of the pool's threads it runs on.
    #[derive(Debug)]
    struct Where(Arc<Mutex<Vec<Option<usize>>>>);

    impl Layer for Where {
        fn name(&self) -> String {
            "where".into()
        }

        fn outputs(&self, inputs: usize) -> Result<usize> {
            Ok(inputs)
        }

        fn forward(&self, _: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
            self.0.lock().push(rayon::current_thread_index());
            y.assign(&x);
        }

        fn backward(
            &self,
            _: &[f32],
            _: ArrayView2<f32>,
            _: ArrayView2<f32>,
            dy: ArrayView2<f32>,
            mut dx: ArrayViewMut2<f32>,
        ) {
            dx.assign(&dy);
        }
    }

    #[test]
    fn only_steps_after_a_pause_are_made_on_this_thread_too() {
        let threads = Arc::new(Mutex::new(vec![]));
        let data = datasets::synthetic_classification(640, 100, 4, 1).unwrap();
        let builder = Sequential::builder(100).layer(Where(threads.clone()));
        let builder = builder.dense(400, Activation::Relu).dense(4, Activation::Softmax);
        let mut model = builder.build(1).unwrap();
        let config = TrainConfig::new(CrossEntropy::default(), Adam::default()).batch_size(64);
        let mut trainer = Trainer::new(&mut model, &data, &config.exact_threads(2)).unwrap();
        let later = Instant::now() + Duration::from_secs(3600);
        for (ended, outside) in [(None, true), (Some(later), false), (None, true)] {
            trainer.ended = ended;
            trainer.step().unwrap();
            let made = std::mem::take(&mut *threads.lock());
            assert_eq!(made.iter().any(|thread| thread.is_none()), outside, "{made:?}");
        }
    }

    #[test]
    fn who_makes_a_step_changes_no_bit() {
        let data = datasets::synthetic_classification(150, 70, 5, 1).unwrap();
        let build = |norm| {
            let mut builder = Sequential::builder(70).dense(300, Activation::Relu).dropout(0.2);
            if norm {
                builder = builder.layer_norm();
            }
            builder.dense(130, Activation::Tanh).dense(5, Activation::Softmax).build(3).unwrap()
        };
        let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(64);
        for (norm, clip) in [(false, Clip::None), (false, Clip::Norm(0.1)), (true, Clip::None)] {
            let train = |threads, after_pauses: bool| {
                let mut model = build(norm);
                let config = config.clone().clip(clip).exact_threads(threads);
                let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
                let losses: Vec<f64> = (0..7)
                    .map(|_| {
                        let later = Instant::now() + Duration::from_secs(3600);
                        trainer.ended = (!after_pauses).then_some(later);
                        trainer.step().unwrap().loss
                    })
                    .collect();
                drop(trainer);
                (model.fingerprint(), losses)
            };
            let alone = train(1, false);
            for threads in [2, 3, 4, 7, 16] {
                assert_eq!(train(threads, true), alone, "{threads} threads, {norm} {clip:?}");
                assert_eq!(train(threads, false), alone, "{threads} threads, {norm} {clip:?}");
            }
        }
    }
}
