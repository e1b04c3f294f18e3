//! Training steps allocate nothing once their buffers are there, and memory does not grow.
//!
//! The allocator counts for all threads, the pool's workers among them. It is one test without the
//! test harness, for what ran or was reported at the same time would be counted as well.

mod common;

use std::alloc::System;
use std::sync::{Arc, Mutex};

use common::{classes, make_steps, values};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};
use unisono::{
    Activation, Adam, Clip, CrossEntropy, Dataset, EpochReport, Flow, MeanSquaredError, Sequential,
    Sgd, TrainConfig, Trainer, train_parallel,
};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn count(stats: &Stats) -> usize {
    stats.allocations + stats.reallocations
}

/// Bytes in use; the difference of two is exact, reallocations included.
fn live(stats: &Stats) -> isize {
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// The allocator's counts at the end of every epoch.
fn epochs(model: &Sequential, data: &Dataset, config: &TrainConfig, epochs: usize) -> Vec<Stats> {
    let seen = Arc::new(Mutex::new(Vec::with_capacity(epochs)));
    let note = seen.clone();
    let observer = move |_: &EpochReport| {
        note.lock().unwrap().push(GLOBAL.stats());
        Flow::Continue
    };
    let config = config.clone().epochs(epochs).observer(observer);
    train_parallel(&mut model.clone(), data, &config).unwrap();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), epochs);
    seen
}

/// What a worker that is woken late allocates once.
const ONCE: usize = 8;

/// None at all on one thread. On more, rayon's queues may grow now and then, less than once in 50
/// steps, and on a busy machine a worker may take its first work at any time.
fn allowed(steps: usize, threads: usize) -> usize {
    if threads == 1 { 0 } else { steps / 50 + ONCE }
}

fn assert_none(stats: &[Stats], steps: usize, threads: usize, name: &str) {
    let (first, last) = (&stats[0], &stats[stats.len() - 1]);
    let (found, allowed) = (count(last) - count(first), allowed(steps, threads));
    assert!(found <= allowed, "{name}, {threads} threads: {found} allocations in {steps} steps");
}

fn runs(threads: usize) {
    let small = Sequential::builder(7)
        .dense(33, Activation::Relu)
        .dense(17, Activation::Gelu)
        .dense(3, Activation::Softmax)
        .build(1)
        .unwrap();
    let special = Sequential::builder(7)
        .dropout(0.1)
        .dense(20, Activation::Tanh)
        .layer_norm()
        .dense(3, Activation::Identity)
        .build(1)
        .unwrap();
    let large = Sequential::builder(7)
        .dense(600, Activation::Relu)
        .dense(53, Activation::Tanh)
        .dense(3, Activation::Softmax)
        .build(1)
        .unwrap();
    assert!(large.param_count() > 1 << 15);
    // Three batches an epoch, the last one short.
    let data = classes(82, 7, 3, 1);
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).batch_size(33);
    for (name, model, config) in [
        ("small", &small, config.clone()),
        ("clipped", &small, config.clone().clip(Clip::Norm(0.1)).shards(3)),
        ("special", &special, config.clone()),
        ("large", &large, config),
    ] {
        let epochs = epochs(model, &data, &config.exact_threads(threads), 40);
        assert_none(&epochs[2..], 3 * 37, threads, name);
    }
}

/// Long shards, ones that lie in several blocks, but not those of each epoch's short last batch, and ones that the
/// members of a team have; also where steps are made alone or together, by the clock.
fn long_shards(threads: usize, set: fn(TrainConfig, usize) -> TrainConfig) {
    let [small, large] = [80, 480].map(|width| {
        let builder = Sequential::builder(70).dense(width, Activation::Relu);
        builder.dense(3, Activation::Softmax).build(1).unwrap()
    });
    assert!(small.param_count() < 1 << 15 && large.param_count() > 1 << 15);
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.001)).batch_size(120);
    let config = set(config, threads);
    for (name, model, config) in [
        ("long shards", &large, config.clone().shards(2)),
        ("a shard", &large, config.clone()),
        ("a team's shards", &small, config),
    ] {
        let epochs = epochs(model, &classes(150, 70, 3, 1), &config, 40);
        assert_none(&epochs[2..], 2 * 37, threads, name);
    }
}

fn steps(threads: usize) {
    let data = values(82, 5, 2, 1);
    let builder = Sequential::builder(5).dense(9, Activation::Tanh);
    let mut model = builder.dense(2, Activation::Identity).build(1).unwrap();
    let config = TrainConfig::new(MeanSquaredError, Sgd::new(0.01).momentum(0.9));
    let config = config.batch_size(40).exact_threads(threads);
    one_by_one(&mut model, &data, config, threads, "by step");
    let (mut model, data) = shared_net();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.001));
    let config = config.batch_size(120).exact_threads(threads);
    one_by_one(&mut model, &data, config, threads, "by shared step");
}

/// A machine that takes the core away between two calls makes a pause of it, after which workers are called: on more
/// threads than one the first of some runs that was left alone counts.
fn one_by_one(
    model: &mut Sequential,
    data: &Dataset,
    config: TrainConfig,
    threads: usize,
    name: &str,
) {
    let config = config.epochs(2000);
    let mut trainer = Trainer::new(model, data, &config).unwrap();
    let mut step = |count: usize| {
        make_steps(&mut trainer, count);
        GLOBAL.stats()
    };
    let mut stats = [step(9), step(300)];
    for _ in 1..if threads == 1 { 1 } else { 5 } {
        if count(&stats[1]) - count(&stats[0]) <= allowed(300, threads) {
            break;
        }
        stats = [stats[1], step(300)];
    }
    assert_none(&stats, 300, threads, name);
}

/// One whose steps on batches of 120 rows are shared out, and its data.
fn shared_net() -> (Sequential, Dataset) {
    let builder = Sequential::builder(70).dense(480, Activation::Relu);
    (builder.dense(3, Activation::Softmax).build(1).unwrap(), classes(120, 70, 3, 1))
}

/// After pauses this thread calls workers to help, which takes a few bytes for each, twice or three times a step.
fn steps_after_pauses(threads: usize) {
    let (mut model, data) = shared_net();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.001));
    let config = config.batch_size(120).epochs(200).exact_threads(threads);
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    let mut step = |count: usize| {
        for _ in 0..count {
            std::thread::sleep(std::time::Duration::from_millis(1));
            make_steps(&mut trainer, 1);
        }
        GLOBAL.stats()
    };
    let (first, last) = (step(9), step(50));
    let found = count(&last) - count(&first);
    let calls = 50 * 2 * (threads - 1);
    assert!(found >= calls.min(1), "no worker was called");
    let allowed = if threads == 1 { 0 } else { 2 * calls + ONCE };
    assert!(found <= allowed, "{found} allocations in 50 steps after pauses, {threads} threads");
    let kept = live(&last) - live(&first);
    assert!(kept <= 1 << 12, "{kept} bytes more after 50 steps after pauses, {threads} threads");
}

/// A validation allocates its buffers and gives them back; nothing stays, epoch after epoch.
fn thousand_epochs(threads: usize) {
    let data = classes(40, 4, 3, 1);
    let builder = Sequential::builder(4).dense(8, Activation::Relu);
    let model = builder.dense(3, Activation::Softmax).build(1).unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.001)).batch_size(16);
    let config = config.exact_threads(threads);
    let stats = epochs(&model, &data, &config, 1000);
    assert_none(&stats[2..], 3 * 997, threads, "1,000 epochs");
    let validated = epochs(&model, &data, &config.validation(data.clone()), 1000);
    for stats in [stats, validated] {
        let grown = live(&stats[999]) - live(&stats[9]);
        let allowed = if threads == 1 { 0 } else { 1 << 14 };
        assert!(grown <= allowed, "{grown} bytes more after 1,000 epochs, {threads} threads");
    }
}

fn main() {
    let before = GLOBAL.stats();
    drop(Box::new([0_u8; 100]));
    assert!(count(&GLOBAL.stats()) > count(&before), "the allocator does not count");
    // One thread first: then no worker of a pool is there to allocate beside it.
    for threads in [1, 2] {
        runs(threads);
        steps(threads);
        steps_after_pauses(threads);
        long_shards(threads, TrainConfig::exact_threads);
        long_shards(threads, TrainConfig::threads);
        thousand_epochs(threads);
    }
    println!("steady training allocates nothing: ok");
}
