//! Training allocates when it starts, and then no more.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use unisono::{
    Activation, Adam, CrossEntropy, Dataset, Sequential, TrainConfig, Trainer, datasets,
};

/// Counts the allocations of all threads.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn setting(layers: &[usize], rows: usize) -> (Sequential, Dataset) {
    let mut builder = Sequential::builder(layers[0]);
    for &size in &layers[1..layers.len() - 1] {
        builder = builder.dense(size, Activation::Gelu);
    }
    let outputs = layers[layers.len() - 1];
    let model = builder.dense(outputs, Activation::Softmax).build(1).unwrap();
    (model, datasets::synthetic_classification(rows, layers[0], outputs, 1).unwrap())
}

/// One test, since the counter is the process's.
#[test]
fn steps_do_not_allocate_and_memory_stays_flat() {
    // A small net (gradients in memory) and a large one (gradients in the cache alone), each with a
    // short last batch.
    for (layers, batch) in [(vec![9, 20, 3], 32), (vec![60, 300, 70, 5], 64)] {
        for threads in [1, 2] {
            let (mut model, data) = setting(&layers, 150);
            let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
                .batch_size(batch)
                .epochs(1_100)
                .exact_threads(threads);
            let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
            for _ in 0..20 {
                trainer.epoch().unwrap();
            }
            let epochs = if cfg!(debug_assertions) || layers[0] > 9 { 50 } else { 1_000 };
            let region = Region::new(ALLOCATOR);
            for _ in 0..epochs {
                trainer.epoch().unwrap();
            }
            let change = region.change();
            // With a pool each epoch is handed over through rayon's queue, which allocates a block
            // of its own every 31 hand-overs and frees the one before.
            let allowed = if threads == 1 { 0 } else { epochs / 20 };
            let found = change.allocations + change.reallocations;
            assert!(found <= allowed, "{layers:?}, {threads} threads: {found} in {epochs} epochs");
            let grown = change.bytes_allocated as i64 - change.bytes_deallocated as i64;
            assert!(
                grown <= 4096,
                "{layers:?}, {threads} threads: {grown} bytes in {epochs} epochs"
            );
        }
    }
}
