//! The workloads: nets, batches and made-up data of the sizes people train on a CPU.

use crate::{Activation, Adam, CrossEntropy, Dataset, MeanSquaredError, Sequential, TrainConfig};
use crate::{Result, datasets};

/// The seed of data, parameters and shuffling.
pub const SEED: u64 = 1;

/// What a net learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Cross-entropy over the outputs.
    Classes,
    /// Mean squared error.
    Values,
}

/// A net, its batch and its data's size. The same stand in `benches/peers/workloads.py`.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// Input features, hidden layers, outputs.
    pub layers: &'static [usize],
    /// Of the hidden layers.
    pub activation: Activation,
    /// What it learns.
    pub task: Task,
    /// Rows of a batch.
    pub batch: usize,
    /// Rows of the data set.
    pub rows: usize,
}

/// The six workloads that unisono is compared on, smallest first.
pub const WORKLOADS: [Workload; 6] = [
    Workload::new("iris", &[4, 4, 3], 24, 120),
    Workload {
        name: "policy",
        layers: &[8, 64, 64, 4],
        activation: Activation::Tanh,
        task: Task::Values,
        batch: 64,
        rows: 16_384,
    },
    Workload::new("fashion_small", &[784, 128, 10], 128, 60_000),
    Workload::new("tabular", &[54, 256, 256, 256, 7], 512, 65_536),
    Workload::new("fashion_medium", &[784, 512, 512, 10], 256, 60_000),
    Workload::new("fashion_wide", &[784, 2048, 2048, 10], 1024, 16_384),
];

/// What scaling is studied on, from a net that no second thread helps to one whose weights leave the
/// second cache.
pub const SCALING: [Workload; 4] = [
    Workload::new("tiny", &[4, 4, 3], 24, 24 * 50),
    Workload::new("small", &[784, 128, 10], 128, 128 * 40),
    Workload::new("medium", &[784, 512, 512, 10], 256, 256 * 16),
    Workload::new("wide", &[784, 2048, 2048, 10], 1024, 1024 * 3),
];

impl Workload {
    /// A classifier with ReLU.
    pub const fn new(
        name: &'static str,
        layers: &'static [usize],
        batch: usize,
        rows: usize,
    ) -> Self {
        Self { name, layers, activation: Activation::Relu, task: Task::Classes, batch, rows }
    }

    /// Finds one of the six by its name.
    pub fn named(name: &str) -> Option<Self> {
        WORKLOADS.into_iter().find(|workload| workload.name == name)
    }

    /// The same with fewer rows, at least one batch and at most so many batches.
    pub fn at_most(mut self, batches: usize) -> Self {
        self.rows = self.rows.min(batches.max(1) * self.batch);
        self
    }

    /// Makes up the data.
    pub fn data(&self) -> Result<Dataset> {
        let (inputs, outputs) = (self.layers[0], self.layers[self.layers.len() - 1]);
        match self.task {
            Task::Classes => datasets::synthetic_classification(self.rows, inputs, outputs, SEED),
            Task::Values => datasets::synthetic_regression(self.rows, inputs, outputs, SEED),
        }
    }

    /// Builds the net.
    pub fn model(&self) -> Result<Sequential> {
        let (hidden, last) = self.layers[1..].split_at(self.layers.len() - 2);
        let end =
            if self.task == Task::Classes { Activation::Softmax } else { Activation::Identity };
        hidden
            .iter()
            .fold(Sequential::builder(self.layers[0]), |b, &n| b.dense(n, self.activation))
            .dense(last[0], end)
            .build(SEED)
    }

    /// Adam with a rate of 1e-3 on whole batches, shuffled.
    pub fn config(&self) -> TrainConfig {
        let adam = Adam::new(1e-3);
        let config = match self.task {
            Task::Classes => TrainConfig::new(CrossEntropy::default(), adam),
            Task::Values => TrainConfig::new(MeanSquaredError, adam),
        };
        config.batch_size(self.batch).drop_last(true).seed(SEED).epochs(1)
    }

    /// The layers as in a command line, `784,128,10`.
    pub fn layers_text(&self) -> String {
        self.layers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }

    /// Floating-point operations of all products of one row's training step.
    pub fn flops_per_row(&self) -> f64 {
        let weights: usize = self.layers.windows(2).map(|pair| pair[0] * pair[1]).sum();
        // The first layer's input needs no gradient.
        2.0 * (3 * weights - self.layers[0] * self.layers[1]) as f64
    }
}
