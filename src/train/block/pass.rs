//! A block's way through the model: forward, loss, backward.

use super::Block;
use crate::data::Dataset;
use crate::layer::dropout::MaskKey;
use crate::layer::{Kind, Placed, dense, dropout, layer_norm};
use crate::loss::{Loss, LossRows, TargetRows};
use crate::rows::{Extent, Rows};
use crate::simd::product::{Begin, Finish};
use crate::simd::{Ahead, dispatch, largest};
use crate::train::plan::Plan;

/// Rows that the block will be asked for next.
#[derive(Clone, Copy)]
pub(crate) struct Next<'a> {
    pub data: &'a Dataset,
    pub order: &'a [u32],
}

/// What the blocks of a step share, and where this one's products begin.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub layers: &'a [Placed],
    pub plan: &'a Plan,
    pub params: &'a [f32],
    pub transpose: &'a [f32],
    pub seed: u64,
    pub epoch: u64,
    /// Whether products are to bound what they store.
    pub bound: bool,
    /// Where among the panels of weights that is; the only thing that differs from block to block.
    pub begin: Begin,
}

impl Block {
    /// Runs the layers forward; `first_row` is the epoch's row that stands first here. Meanwhile the first dense
    /// layer asks for the rows that come next, no more than are at hand, and copies those that it can.
    pub fn forward(&mut self, pass: &Pass, first_row: u64, next: Option<Next>) {
        let (mut next, extent) = (next.filter(|next| next.order.len() <= self.rows()), self.extent);
        for (index, op) in pass.plan.ops.iter().enumerate().filter(|(_, op)| !op.fused.forward) {
            self.value_bounds[op.y] = None;
            let layer = &pass.layers[op.layer];
            if op.x == op.y {
                if let Kind::Activation(activation) = &layer.kind {
                    let y = extent.of_mut(&mut self.values[op.y], layer.outputs);
                    activation.forward_in_place(y);
                }
                continue;
            }
            let (x, y, next_rows) = if next.is_some() {
                self.values.three([op.x, op.y, self.next]).into()
            } else {
                let (x, y) = self.values.two(op.x, op.y);
                (x, y, &mut [][..])
            };
            let (x, y) = (extent.of(x, layer.inputs), extent.of_mut(y, layer.outputs));
            let params = &pass.params[layer.params.clone()];
            let kept = &mut self.kept[index];
            match &layer.kind {
                Kind::Dense(_) => {
                    let next = next.take();
                    let mut ahead = match next {
                        Some(Next { data, order }) => {
                            let into = Extent { rows: order.len(), ..extent };
                            let into = into.of_mut(next_rows, data.features());
                            Ahead::rows(data.features_slice(), order, into)
                        }
                        None => Ahead::none(),
                    };
                    let relu = pass.plan.relu_after(index);
                    let finish = if relu { Finish::Relu } else { Finish::Sum };
                    let (layout, y) = (layer.layout(), (y, finish, pass.bound));
                    self.value_bounds[op.y] =
                        dense::forward(layout, (params, pass.begin), x, y, &mut ahead);
                    let copied = next.map_or(&[][..], |next| &next.order[..ahead.copied()]);
                    self.copied.extend_from_slice(copied);
                }
                Kind::Activation(activation) => activation.forward(x, y),
                Kind::Dropout(dropout) => {
                    let (seed, epoch, place) = (pass.seed, pass.epoch, op.layer as u64);
                    let key = MaskKey { seed, layer: place, epoch, first_row };
                    dropout.forward(key, x, y, extent.of_mut(kept, layer.inputs));
                }
                Kind::LayerNorm(norm) => norm.forward(params, x, y, kept),
                Kind::Custom(custom) => {
                    let params = &params[..layer.param_count()];
                    self.own[index].forward(&**custom, params, x, y);
                }
            }
        }
    }

    /// Computes each row's loss and, with a scale, the gradient by the model's output.
    pub fn loss(&mut self, pass: &Pass, loss: &Loss, scale: Option<f32>) {
        let (y, dy) = pass.plan.output;
        let (columns, extent) = (pass.plan.values[y], self.extent);
        let rows = LossRows {
            logits: extent.of(&self.values[y], columns),
            targets: match self.target_columns {
                0 => TargetRows::Classes(&self.labels[..extent.rows]),
                columns => TargetRows::Values(extent.of(&self.targets, columns)),
            },
            scale: scale.unwrap_or(0.0),
            grad: scale.map(|_| extent.of_mut(&mut self.grads[dy], columns)),
            values: &mut self.losses[..extent.rows],
        };
        self.correct = loss.rows(rows).unwrap_or(0);
        if scale.is_some() {
            self.grad_bounds[dy] = None;
        }
    }

    /// Runs the layers backward, down to the first one that learns.
    pub fn backward(&mut self, pass: &Pass) {
        let extent = self.extent;
        for (index, op) in pass.plan.ops.iter().enumerate().rev() {
            let layer = &pass.layers[op.layer];
            if let Kind::Custom(_) = layer.kind {
                self.own[index].set_gradient(extent.of(&self.grads[op.dy], layer.outputs));
            }
            let Some(dx) = op.dx.filter(|_| op.fused.backward.is_none()) else { continue };
            self.grad_bounds[dx] = None;
            let x = extent.of(&self.values[op.x], layer.inputs);
            if dx == op.dy {
                let y = extent.of(&self.values[op.y], layer.outputs);
                let dy = extent.of_mut(&mut self.grads[dx], layer.outputs);
                match &layer.kind {
                    Kind::Activation(activation) => activation.backward(x, y, dy),
                    _ => dropout::backward(extent.of(&self.kept[index], layer.inputs), dy),
                }
                continue;
            }
            let bound = &mut self.grad_bounds[dx];
            let (dx, dy) = self.grads.two(dx, op.dy);
            let (dx, dy) = (extent.of_mut(dx, layer.inputs), extent.of(dy, layer.outputs));
            let params = &pass.params[layer.params.clone()];
            match &layer.kind {
                Kind::Dense(_) => {
                    let transpose = &pass.transpose[layer.transpose.clone()];
                    let finish = match pass.plan.slope_before(index) {
                        Some(slope) => Finish::Gradient(slope, x),
                        None => Finish::Sum,
                    };
                    let dx = (dx, finish, pass.bound);
                    *bound = dense::backward(layer.layout(), (transpose, pass.begin), dy, dx);
                }
                Kind::LayerNorm(_) => {
                    layer_norm::backward(params, x, &self.kept[index], dy, dx);
                }
                Kind::Custom(custom) => {
                    let params = &params[..layer.param_count()];
                    self.own[index].backward(&**custom, params, dx);
                }
                Kind::Activation(_) | Kind::Dropout(_) => {}
            }
        }
    }

    /// Takes the sizes of what goes into each dense layer's gradient.
    pub fn measure(&mut self, pass: &Pass) {
        self.sizes.resize(pass.plan.ops.len(), (0.0, 0.0));
        for (index, op) in pass.plan.ops.iter().enumerate() {
            let layer = &pass.layers[op.layer];
            if let Kind::Dense(_) = layer.kind {
                let (x, dy) = self.rows_of(layer, op, 0..self.rows());
                let of = |bound: Option<f32>, rows: Rows| {
                    bound.unwrap_or_else(|| dispatch!(_simd => largest_of(rows)))
                };
                let bounds = (self.value_bounds[op.x], self.grad_bounds[op.dy]);
                self.sizes[index] = (of(bounds.0, x), of(bounds.1, dy));
            }
        }
    }
}

#[inline(always)]
fn largest_of(rows: Rows) -> f32 {
    (0..rows.panels()).fold(0.0, |most, p| largest(rows.panel(p).as_flattened()).max(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, CrossEntropy, Sequential, datasets};

    #[test]
    fn measured_sizes_bound_what_the_buffers_hold() {
        let data = datasets::synthetic_classification(40, 20, 3, 1).unwrap();
        let model = Sequential::builder(20)
            .dense(33, Activation::Relu)
            .dropout(0.5)
            .dense(17, Activation::Tanh)
            .dense(50, Activation::Relu)
            .layer_norm()
            .dense(18, Activation::Relu)
            .dense(3, Activation::Softmax)
            .build(1)
            .unwrap();
        let plan = Plan::new(&model.layers, model.layers.len() - 1, true);
        let transpose = vec![0.01; model.layers.last().unwrap().transpose.end];
        let (layers, params) = (&model.layers[..], &model.params[..]);
        let pass = Pass {
            layers,
            plan: &plan,
            params,
            transpose: &transpose,
            seed: 1,
            epoch: 1,
            bound: true,
            begin: Begin::FIRST,
        };
        let mut block = Block::default();
        block.reserve(&plan, 40, Some(data.targets().shape()), true);
        block.gather(&data, &(0..40).collect::<Vec<_>>());
        block.forward(&pass, 0, None);
        block.loss(&pass, &CrossEntropy::default().into(), Some(1.0));
        block.backward(&pass);
        block.measure(&pass);
        for (index, op) in plan.ops.iter().enumerate() {
            let layer = &layers[op.layer];
            if let Kind::Dense(_) = layer.kind {
                let (x, dy) = block.rows_of(layer, op, 0..40);
                for (bound, rows) in [(block.sizes[index].0, x), (block.sizes[index].1, dy)] {
                    let largest = dispatch!(_simd => largest_of(rows));
                    assert!(bound >= largest && bound <= 2.0 * largest, "op {index}: {bound}");
                }
            }
        }
    }
}
