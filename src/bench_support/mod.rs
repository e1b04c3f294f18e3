//! The kernels and the phases of a step by themselves, for the benches of this crate; no part of
//! the interface.

mod timing;
mod workload;

use std::hint::black_box;

use fearless_simd::{SimdBase, f32x16};
use ndarray::{Array2, ArrayView2};

use crate::Activation;
use crate::aligned::Aligned;
use crate::model::Sequential;
use crate::optim::{Adam, Clip, Optimizer};
use crate::rows::{LANES, Rows, RowsMut, padded, rows_len};
use crate::simd::panels::WeightLayout;
use crate::simd::product::{Ends, Finish, Start, product};
use crate::simd::weight_grad::{InPieces, scratch_len, weight_grad};
use crate::simd::{self, Registers, dispatch};
use crate::simd::{Ahead, Claims};
pub use crate::simd::{fma_peak, is_double_pumped};
pub use crate::train::{Phase, PhaseClock, block_rows, shards};
pub use timing::{Gauge, median, share_of_peak, testing};
pub use workload::{SCALING, SEED, Task, WORKLOADS, Workload};

/// Draws an SVG picture as PNG.
///
/// # Errors
/// If it is none, or the system has no fonts.
#[cfg(feature = "png")]
pub fn png(svg: &str) -> crate::Result<Vec<u8>> {
    crate::train::picture::png(svg)
}

/// Floats in which the parameters of a model lie, padding included: what decides how a batch is cut.
pub fn padded_params(model: &Sequential) -> usize {
    model.params.len()
}

/// Computes the model's outputs (rows x outputs) for x (rows x inputs) on so many threads.
///
/// # Errors
/// As [`Sequential::predict`].
pub fn predict_on(
    model: &Sequential,
    x: ArrayView2<f32>,
    threads: usize,
) -> crate::Result<Array2<f32>> {
    model.predict_on(x, threads)
}

/// A dense layer's three products on data of their own.
pub struct Products {
    rows: usize,
    layout: WeightLayout,
    x: Aligned,
    y: Aligned,
    weights: Aligned,
    transpose: Aligned,
    scratch: Aligned,
    bias: Aligned,
}

impl Products {
    /// A batch of `rows` x `inputs` and weights of `outputs` x `inputs`.
    pub fn new(rows: usize, inputs: usize, outputs: usize) -> Self {
        let layout = WeightLayout { inputs, outputs };
        let fill = |n| filled(n, |i| (i % 17) as f32 * 0.01 - 0.08);
        Self {
            rows,
            layout,
            x: fill(rows_len(rows, inputs)),
            y: fill(rows_len(rows, outputs)),
            weights: fill(layout.weights_len()),
            transpose: fill(layout.transpose_len()),
            scratch: Aligned::zeros(scratch_len(1024)),
            bias: fill(padded(outputs)),
        }
    }

    /// Floating-point operations of one product: a multiplication and an addition a term.
    pub fn flops(&self) -> f64 {
        2.0 * self.rows as f64 * self.layout.inputs as f64 * self.layout.outputs as f64
    }

    /// The forward product.
    pub fn forward(&mut self) {
        let (rows, layout) = (self.rows, self.layout);
        let x = Rows::of(&self.x, rows, layout.inputs);
        let mut y = RowsMut::of(&mut self.y, rows, layout.outputs);
        let operand = layout.forward(&self.weights);
        let (start, finish) = (&Start::Bias(&self.bias), &Finish::Sum);
        let ends = Ends { start, finish, bound: true };
        product(&x, &operand, &mut y, ends, &mut Ahead::none());
        black_box(&mut self.y);
    }

    /// The gradient by the layer's input.
    pub fn input_gradient(&mut self) {
        let (rows, layout) = (self.rows, self.layout);
        let dy = Rows::of(&self.y, rows, layout.outputs);
        let mut dx = RowsMut::of(&mut self.x, rows, layout.inputs);
        let operand = layout.backward(&self.transpose);
        let ends = Ends { start: &Start::Zero, finish: &Finish::Sum, bound: true };
        product(&dy, &operand, &mut dx, ends, &mut Ahead::none());
        black_box(&mut self.x);
    }

    /// The gradient by the weights, over `shards` shards.
    pub fn weight_gradient(&mut self, shards: usize) {
        let (rows, layout) = (self.rows, self.layout);
        let x = Rows::of(&self.x, rows, layout.inputs);
        let dy = Rows::of(&self.y, rows, layout.outputs);
        let range = |s: usize| rows * s / shards..rows * (s + 1) / shards;
        for block in (0..layout.blocks()).map(|b| layout.block(b)) {
            let grads = &mut self.weights[block.weights.clone()];
            let shard = |s| (x.slice(range(s)), dy.slice(range(s)));
            let grads = (grads, &mut [][..]);
            let shards = InPieces { shards, per_shard: 1, piece: &shard };
            weight_grad(&block, shards, &mut self.scratch, grads, &mut Claims::none());
        }
        black_box(&mut self.weights);
    }
}

fn filled(len: usize, value: impl Fn(usize) -> f32) -> Aligned {
    let mut values = Aligned::zeros(len);
    for (index, slot) in values.iter_mut().enumerate() {
        *slot = value(index);
    }
    values
}

/// What [`Elementwise`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The exponential of what is not positive, as softmax takes it.
    Exp,
    /// The hyperbolic tangent.
    Tanh,
    /// The logistic function.
    Sigmoid,
    /// Adam's update of parameters and state.
    AdamUpdate,
}

impl Function {
    /// Names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::AdamUpdate => "adam_update",
        }
    }
}

/// Values that functions are applied to one by one.
pub struct Elementwise {
    x: Aligned,
    y: Aligned,
    slots: [Aligned; 2],
}

impl Elementwise {
    /// About `values` values (a multiple of 16) between -8 and 0.
    pub fn new(values: usize) -> Self {
        let n = padded(values);
        let x = filled(n, |i| (i % 1021) as f32 / 1021.0 * 8.0 - 8.0);
        Self { x, y: Aligned::zeros(n), slots: [Aligned::zeros(n), Aligned::zeros(n)] }
    }

    /// Applies a function to every value; the optimizer takes the values as gradients.
    pub fn run(&mut self, function: Function) {
        let (x, y) = (&self.x[..], &mut self.y[..]);
        let rows = x.len() / LANES;
        let mut forward = |activation: Activation| {
            activation.forward(Rows::of(x, rows, LANES), RowsMut::of(y, rows, LANES));
        };
        match function {
            Function::Tanh => forward(Activation::Tanh),
            Function::Sigmoid => forward(Activation::Sigmoid),
            Function::Exp => dispatch!(s => exp(s, x, y)),
            Function::AdamUpdate => {
                let step = Optimizer::from(Adam::default()).prepare(9, 1e-3, Clip::None.scale(0.0));
                let [a, b] = &mut self.slots;
                step.update(y, x, [a, b, &mut []]);
            }
        }
        black_box(&mut self.y);
    }
}

#[inline(always)]
fn exp<S: Registers>(simd: S, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.as_chunks::<LANES>().0.iter().zip(y.as_chunks_mut::<LANES>().0) {
        let [e] = simd::exp_nonpositive(simd, [f32x16::load_array_ref(simd, x)]);
        e.store_array(y);
    }
}
