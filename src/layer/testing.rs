//! A layer for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ndarray::{ArrayView2, ArrayViewMut2};
use parking_lot::Mutex;

use super::Layer;
use crate::Result;

/// Which of a pool's threads a layer ran on.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub threads: Mutex<Vec<Option<usize>>>,
    /// Whether those of the pool wait for one outside of it.
    pub waits: AtomicBool,
}

impl Seen {
    /// Whether all since the last call were in the pool.
    pub fn in_pool(&self) -> bool {
        std::mem::take(&mut *self.threads.lock()).iter().all(Option::is_some)
    }
}

/// Hands on what it is given, and looks around.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe(pub Arc<Seen>);

impl Layer for Probe {
    fn name(&self) -> String {
        "probe".into()
    }

    fn outputs(&self, inputs: usize) -> Result<usize> {
        Ok(inputs)
    }

    fn tensors(&self, _: usize) -> Vec<(String, Vec<usize>)> {
        vec![("weight".into(), vec![1])]
    }

    fn forward(&self, _: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        let (here, since) = (rayon::current_thread_index(), Instant::now());
        self.0.threads.lock().push(here);
        while self.0.waits.load(Ordering::Relaxed)
            && self.0.threads.lock().iter().all(Option::is_some)
            && since.elapsed() < Duration::from_secs(30)
        {
            std::thread::yield_now();
        }
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

    /// Lets its thread do whatever else there is to do.
    fn param_grads(
        &self,
        _: &[f32],
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        _: &mut [f32],
    ) {
        let wait = |us| move || std::thread::sleep(Duration::from_micros(us));
        rayon::join(wait(30), wait(500));
    }
}
