//! A model in use while it trains.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use parking_lot::RwLock;

use crate::Result;
use crate::model::Sequential;

/// Predicts with the newest parameters of a model in training, from any thread, and does not hold the
/// training up. Clones are cheap and see the same model; [`Trainer::live`](super::Trainer::live) gives
/// the first one. When training is over, it goes on with the last parameters, also where an error ended
/// it; parameters that have overflowed are not published, unless the first handle is asked for when they have: where the last
/// ones had, or a trainer is dropped within an epoch, it goes on with those published last.
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, CrossEntropy, Sequential, TrainConfig, Trainer, datasets};
///
/// let data = datasets::iris();
/// let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::default()).epochs(5);
/// let mut trainer = Trainer::new(&mut model, &data, &config)?;
/// let live = trainer.live(1);
/// std::thread::scope(|scope| {
///     let reader = scope.spawn(|| live.predict(data.x()));
///     trainer.run()?;
///     reader.join().unwrap()
/// })?;
/// assert_eq!(live.predict(data.x())?, model.predict(data.x())?);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LiveModel(Arc<RwLock<Arc<Sequential>>>);

impl LiveModel {
    /// The model as it stood after the newest step that was published: whole, and unchanged however
    /// training goes on.
    pub fn snapshot(&self) -> Arc<Sequential> {
        self.0.read().clone()
    }

    /// Computes the newest model's outputs, on this thread alone.
    ///
    /// # Shapes
    /// x: rows x inputs; result: rows x outputs.
    ///
    /// # Errors
    /// As [`Sequential::predict`].
    pub fn predict<'a>(&self, x: impl Into<ArrayView2<'a, f32>>) -> Result<Array2<f32>> {
        self.snapshot().predict_on(x.into(), 1)
    }
}

/// The trainer's side: a step's parameters are copied into a model that nobody looks at, which then
/// takes the place of the newest one.
#[derive(Debug)]
pub(super) struct Publisher {
    live: LiveModel,
    every: u64,
    spare: Option<Arc<Sequential>>,
}

impl Publisher {
    pub fn new(model: &Sequential) -> Self {
        let live = LiveModel(Arc::new(RwLock::new(Arc::new(model.clone()))));
        Self { live, every: 1, spare: None }
    }

    /// A handle that sees the model as it stands, for it may have trained on while there was none.
    pub fn handle(&mut self, model: &Sequential, every: u64) -> LiveModel {
        let handle = self.live.clone();
        self.every = every.max(1);
        if model.is_finite() {
            self.publish(model);
        }
        handle
    }

    /// Steps from step `steps` to the next one after which it publishes, as long as anybody has a handle.
    pub fn steps_left(&self, steps: u64) -> usize {
        if self.alone() {
            return usize::MAX;
        }
        usize::try_from(self.every - steps % self.every).unwrap_or(usize::MAX)
    }

    /// Whether step `steps` is one after which it publishes, and anybody has a handle.
    pub fn is_due(&self, steps: u64) -> bool {
        steps.is_multiple_of(self.every) && !self.alone()
    }

    /// Whether nobody has a handle.
    fn alone(&self) -> bool {
        Arc::strong_count(&self.live.0) == 1
    }

    /// Publishes, if anybody has a handle. A model that a reader still holds is left to it.
    pub fn publish(&mut self, model: &Sequential) {
        if self.alone() {
            return;
        }
        let mut next = self.spare.take().unwrap_or_else(|| Arc::new(model.clone()));
        match Arc::get_mut(&mut next) {
            Some(next) => next.clone_trained_from(model),
            None => next = Arc::new(model.clone()),
        }
        self.spare = Some(std::mem::replace(&mut *self.live.0.write(), next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;

    #[test]
    fn runs_of_steps_end_where_somebody_waits_for_the_model() {
        let builder = Sequential::builder(2).dense(2, Activation::Identity);
        let model = builder.build(1).unwrap();
        let mut publisher = Publisher::new(&model);
        assert_eq!(publisher.steps_left(5), usize::MAX);
        let handle = publisher.handle(&model, 4);
        assert_eq!([3, 4, 5].map(|steps| publisher.steps_left(steps)), [1, 4, 3]);
        drop(handle);
        assert_eq!(publisher.steps_left(5), usize::MAX);
    }
}
