//! A worker slowed on purpose: workers claim blocks, so it delays a step by one of its blocks at
//! most. A layer sleeps for every block of rows, longer on the slow worker, so that neither the
//! machine's cores nor its neighbours change the outcome.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ndarray::{ArrayView2, ArrayViewMut2};
use unisono::bench_support::{SEED, median, testing};
use unisono::{Activation, CrossEntropy, Layer, Result, Sequential, Sgd, TrainConfig, Trainer};

const WORKERS: usize = 4;
const SHARDS: usize = 16;
const BATCH: usize = 256;
/// How long a block takes.
const BLOCK: Duration = Duration::from_millis(4);
/// The name of the worker that is slow.
const SLOW: &str = "unisono-0";

/// Blocks that were run since they were last counted.
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// Hands its input on, and sleeps as long as a block takes on this worker.
struct Uneven {
    factor: u32,
}

impl fmt::Debug for Uneven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uneven({})", self.factor)
    }
}

impl Layer for Uneven {
    fn name(&self) -> String {
        "uneven".into()
    }

    fn outputs(&self, inputs: usize) -> Result<usize> {
        Ok(inputs)
    }

    fn forward(&self, _params: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        y.assign(&x);
        BLOCKS.fetch_add(1, Ordering::Relaxed);
        let slow = thread::current().name() == Some(SLOW);
        thread::sleep(BLOCK * if slow { self.factor } else { 1 });
    }

    fn backward(
        &self,
        _params: &[f32],
        _x: ArrayView2<f32>,
        _y: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        mut dx: ArrayViewMut2<f32>,
    ) {
        dx.assign(&dy);
    }
}

/// The steps' median milliseconds with a worker so many times as slow, and the blocks of a step.
fn step(factor: u32) -> Result<(f64, f64)> {
    let data = unisono::datasets::synthetic_classification(BATCH, 8, 3, SEED)?;
    let builder = Sequential::builder(8).dense(8, Activation::Tanh).layer(Uneven { factor });
    let mut model = builder.dense(3, Activation::Softmax).build(SEED)?;
    let config = TrainConfig::new(CrossEntropy::default(), Sgd::new(0.1))
        .batch_size(BATCH)
        .shards(SHARDS)
        .exact_threads(WORKERS);
    let mut trainer = Trainer::new(&mut model, &data, &config)?;
    let steps = if testing() { 1 } else { 40 };
    BLOCKS.store(0, Ordering::Relaxed);
    let mut times = vec![];
    for _ in 0..steps {
        let start = Instant::now();
        trainer.step()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok((median(&times), BLOCKS.load(Ordering::Relaxed) as f64 / steps as f64))
}

fn main() -> Result<()> {
    let block = BLOCK.as_secs_f64() * 1e3;
    println!("{WORKERS} workers, one of them slow; times in ms");
    println!("slower  blocks  step  perfect  dealt out  delay, in the slow worker's blocks");
    for factor in [1, 2, 4, 8] {
        let (step, blocks) = step(factor)?;
        let slow = block * f64::from(factor);
        // What blocks of no size would take, and what an even share for every worker takes.
        let perfect = blocks / (1.0 / slow + (WORKERS - 1) as f64 / block);
        let dealt = (blocks / WORKERS as f64).ceil() * slow;
        let delay = (step - perfect) / slow;
        println!("{factor:>5}x {blocks:>7} {step:>5.1} {perfect:>8.1} {dealt:>10.1} {delay:>10.2}");
    }
    Ok(())
}
