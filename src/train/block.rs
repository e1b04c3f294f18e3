//! A block of rows on its way through the model: gathered, forward, loss, backward, in buffers of
//! its own.

use super::gather::gather_rows;
use super::plan::{Op, Plan};
use super::shards::ShardPlace;
use crate::aligned::Aligned;
use crate::data::{Dataset, TargetShape, Targets};
use crate::layer::dropout::MaskKey;
use crate::layer::{Kind, Placed, dense, dropout, layer_norm};
use crate::loss::{Loss, LossRows, TargetRows};
use crate::rows::{Rows, RowsMut, stride};
use crate::simd::product::Finish;
use crate::simd::weight_grad::{Left, write_tiled};
use crate::simd::{Ahead, dispatch, largest};

/// The buffers of a block of rows, sized once.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub rows: usize,
    pub values: Vec<Aligned>,
    pub grads: Vec<Aligned>,
    kept: Vec<Aligned>,
    /// Each op's input in tiles, where the plan says so.
    tiled: Vec<Aligned>,
    labels: Vec<u32>,
    targets: Aligned,
    target_columns: usize,
    /// Each row's loss.
    pub losses: Vec<f64>,
    /// Rows that were classified right.
    pub correct: usize,
    /// Bounds on the sizes in each buffer of values and of gradients, where what wrote it found one.
    value_bounds: Vec<Option<f32>>,
    grad_bounds: Vec<Option<f32>>,
    /// The largest sizes in each op's input and output gradient.
    pub sizes: Vec<(f32, f32)>,
}

/// What every block of a step shares.
pub(crate) struct Pass<'a> {
    pub layers: &'a [Placed],
    pub plan: &'a Plan,
    pub params: &'a [f32],
    pub transpose: &'a [f32],
    pub seed: u64,
    pub epoch: u64,
}

impl Block {
    /// Makes room for `rows` rows; nothing is allocated where there was room before.
    pub fn reserve(
        &mut self,
        plan: &Plan,
        rows: usize,
        targets: Option<TargetShape>,
        training: bool,
    ) {
        grow(&mut self.values, plan.values.iter().map(|&w| rows * stride(w)));
        grow(&mut self.kept, plan.kept.iter().map(|&w| rows * w));
        self.value_bounds.resize(plan.values.len(), None);
        self.grad_bounds.resize(plan.grads.len(), None);
        if training {
            grow(&mut self.grads, plan.grads.iter().map(|&w| rows * stride(w)));
        }
        match targets {
            None => {}
            Some(TargetShape::Classes(_)) => grow_one(&mut self.labels, rows),
            Some(TargetShape::Values(columns)) => {
                self.target_columns = columns;
                self.targets.grow(rows * stride(columns));
            }
        }
        grow_one(&mut self.losses, rows);
    }

    /// Makes room for `rows` rows of the dense layers' inputs in tiles.
    pub fn reserve_tiles(&mut self, plan: &Plan, rows: usize) {
        grow(&mut self.tiled, plan.tiled.iter().map(|&w| rows * w));
    }

    /// Copies rows that lie one after the other.
    pub fn load(&mut self, features: &[f32], columns: usize, rows: usize) {
        self.rows = rows;
        let to = self.values[0].chunks_exact_mut(stride(columns));
        for (from, to) in features.chunks_exact(columns).zip(to) {
            to[..columns].copy_from_slice(from);
        }
    }

    /// Copies the targets of some rows.
    pub fn load_targets(&mut self, targets: &Targets, rows: std::ops::Range<usize>) {
        match targets {
            Targets::Classes { labels, .. } => {
                self.labels[..rows.len()].copy_from_slice(&labels[rows]);
            }
            Targets::Values(values) => {
                let columns = values.ncols();
                let values = values.as_slice().expect("targets lie in standard layout");
                let values = &values[rows.start * columns..rows.end * columns];
                let to = self.targets.chunks_exact_mut(stride(columns));
                for (from, to) in values.chunks_exact(columns).zip(to) {
                    to[..columns].copy_from_slice(from);
                }
            }
        }
    }

    /// The rows of the model's output.
    pub fn output(&self, plan: &Plan) -> Rows<'_> {
        let y = plan.output.0;
        Rows::of(&self.values[y], self.rows, plan.values[y])
    }

    /// Copies the rows of the data set that `order` names.
    pub fn gather(&mut self, data: &Dataset, order: &[u32]) {
        self.rows = order.len();
        gather_rows(data.features_slice(), data.features(), order, &mut self.values[0]);
        self.value_bounds[0] = Some(data.largest_feature());
        match data.targets() {
            Targets::Classes { labels, .. } => {
                for (label, &row) in self.labels.iter_mut().zip(order) {
                    *label = labels[row as usize];
                }
            }
            Targets::Values(values) => {
                let columns = values.ncols();
                let values = values.as_slice().expect("targets lie in standard layout");
                gather_rows(values, columns, order, &mut self.targets);
            }
        }
    }

    /// Runs the layers forward; `first_row` is the epoch's row that stands first here. The first dense
    /// layer asks for what is wanted ahead. Where the plan says so, the inputs of dense layers are copied
    /// to tiles, shard by shard, if any are named.
    pub fn forward(&mut self, pass: &Pass, first_row: u64, ahead: Ahead, shards: &[ShardPlace]) {
        let mut ahead = Some(ahead);
        for (index, op) in pass.plan.ops.iter().enumerate().filter(|(_, op)| !op.fused.forward) {
            self.value_bounds[op.y] = None;
            let layer = &pass.layers[op.layer];
            let (rows, inputs, outputs) = (self.rows, layer.inputs, layer.outputs);
            if op.x == op.y {
                if let Kind::Activation(activation) = &layer.kind {
                    activation.forward_in_place(RowsMut::of(&mut self.values[op.y], rows, outputs));
                }
                continue;
            }
            let [x, y] = disjoint(&mut self.values, op.x, op.y);
            let (x, y) = (Rows::of(x, rows, inputs), RowsMut::of(y, rows, outputs));
            let params = &pass.params[layer.params.clone()];
            let kept = &mut self.kept[index];
            match &layer.kind {
                Kind::Dense(_) => {
                    let per_row = pass.plan.tiled[index];
                    let copied = if per_row > 0 { shards } else { &[] };
                    for rows in copied.iter().map(|shard| shard.rows.clone()) {
                        let to = rows.start * per_row..rows.end * per_row;
                        write_tiled(layer.layout(), &x.slice(rows), &mut self.tiled[index][to]);
                    }
                    let ahead = ahead.take().unwrap_or_else(Ahead::none);
                    let relu = pass.plan.relu_after(index);
                    let y = (y, if relu { Finish::Relu } else { Finish::Sum });
                    let bound = dense::forward(layer.layout(), params, x, y, ahead);
                    self.value_bounds[op.y] = Some(bound);
                }
                Kind::Activation(activation) => activation.forward(x, y),
                Kind::Dropout(dropout) => {
                    let layer = op.layer as u64;
                    let key = MaskKey { seed: pass.seed, layer, epoch: pass.epoch, first_row };
                    dropout.forward(key, x, y, kept);
                }
                Kind::LayerNorm(norm) => norm.forward(params, x, y, kept),
                Kind::Custom(custom) => {
                    let params = &params[..layer.param_count()];
                    custom.forward(params, x.view(), y.view());
                }
            }
        }
    }

    /// Computes each row's loss and, with a scale, the gradient by the model's output.
    pub fn loss(&mut self, pass: &Pass, loss: &Loss, scale: Option<f32>) {
        let (y, dy) = pass.plan.output;
        let columns = pass.plan.values[y];
        let rows = LossRows {
            logits: Rows::of(&self.values[y], self.rows, columns),
            targets: targets(&self.labels, &self.targets, self.target_columns, self.rows),
            scale: scale.unwrap_or(0.0),
            grad: scale.map(|_| RowsMut::of(&mut self.grads[dy], self.rows, columns)),
            values: &mut self.losses[..self.rows],
        };
        self.correct = loss.rows(rows).unwrap_or(0);
        if scale.is_some() {
            self.grad_bounds[dy] = None;
        }
    }

    /// Runs the layers backward, down to the first one that learns.
    pub fn backward(&mut self, pass: &Pass) {
        for (index, op) in pass.plan.ops.iter().enumerate().rev() {
            let Some(dx) = op.dx.filter(|_| op.fused.backward.is_none()) else { continue };
            self.grad_bounds[dx] = None;
            let layer = &pass.layers[op.layer];
            let (rows, inputs, outputs) = (self.rows, layer.inputs, layer.outputs);
            let x = Rows::of(&self.values[op.x], rows, inputs);
            let y = Rows::of(&self.values[op.y], rows, outputs);
            if dx == op.dy {
                let dy = RowsMut::of(&mut self.grads[dx], rows, outputs);
                match &layer.kind {
                    Kind::Activation(activation) => activation.backward(x, y, dy),
                    _ => dropout::backward(&self.kept[index], dy),
                }
                continue;
            }
            let bound = &mut self.grad_bounds[dx];
            let [dx, dy] = disjoint(&mut self.grads, dx, op.dy);
            let (dx, dy) = (RowsMut::of(dx, rows, inputs), Rows::of(dy, rows, outputs));
            let params = &pass.params[layer.params.clone()];
            match &layer.kind {
                Kind::Dense(_) => {
                    let transpose = &pass.transpose[layer.transpose.clone()];
                    let finish = match pass.plan.slope_before(index) {
                        Some(slope) => Finish::Gradient(slope, x),
                        None => Finish::Sum,
                    };
                    let dx = (dx, finish);
                    *bound = Some(dense::backward(layer.layout(), transpose, dy, dx));
                }
                Kind::LayerNorm(_) => {
                    layer_norm::backward(params, x, &self.kept[index], dy, dx);
                }
                Kind::Custom(custom) => {
                    let params = &params[..layer.param_count()];
                    custom.backward(params, x.view(), y.view(), dy.view(), dx.view());
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
                let (x, _, dy) = self.rows_of(layer, op, 0..self.rows);
                let of = |bound: Option<f32>, rows: Rows| {
                    bound.unwrap_or_else(|| dispatch!(_simd => largest(rows.data)))
                };
                let bounds = (self.value_bounds[op.x], self.grad_bounds[op.dy]);
                self.sizes[index] = (of(bounds.0, x), of(bounds.1, dy));
            }
        }
    }

    /// The input, output and output gradient of an op, for some of the rows.
    pub fn rows_of(
        &self,
        layer: &Placed,
        op: &Op,
        rows: std::ops::Range<usize>,
    ) -> (Rows<'_>, Rows<'_>, Rows<'_>) {
        let of = |buffer, columns| Rows::of(buffer, self.rows, columns).slice(rows.clone());
        (
            of(&self.values[op.x], layer.inputs),
            of(&self.values[op.y], layer.outputs),
            of(&self.grads[op.dy], layer.outputs),
        )
    }

    /// A shard's input of op `index` in tiles.
    #[inline(always)]
    pub fn tiled_of(
        &self,
        index: usize,
        per_row: usize,
        rows: &std::ops::Range<usize>,
    ) -> Left<'_> {
        Left::Tiled(&self.tiled[index][rows.start * per_row..rows.end * per_row])
    }

    /// What op `index` kept in its forward pass, for some of the rows.
    pub fn kept_of(&self, index: usize, per_row: usize, rows: std::ops::Range<usize>) -> &[f32] {
        &self.kept[index][rows.start * per_row..rows.end * per_row]
    }
}

fn grow(buffers: &mut Vec<Aligned>, lengths: impl ExactSizeIterator<Item = usize>) {
    buffers.resize_with(lengths.len(), Aligned::default);
    for (buffer, len) in buffers.iter_mut().zip(lengths) {
        buffer.grow(len);
    }
}

fn grow_one<T: Clone + Default>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
}

fn targets<'a>(
    labels: &'a [u32],
    values: &'a [f32],
    columns: usize,
    rows: usize,
) -> TargetRows<'a> {
    if columns == 0 {
        TargetRows::Classes(&labels[..rows])
    } else {
        TargetRows::Values(Rows::of(values, rows, columns))
    }
}

fn disjoint(buffers: &mut [Aligned], read: usize, write: usize) -> [&mut Aligned; 2] {
    buffers.get_disjoint_mut([read, write]).expect("an op reads and writes two buffers")
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
        let pass = Pass { layers, plan: &plan, params, transpose: &transpose, seed: 1, epoch: 1 };
        let mut block = Block::default();
        block.reserve(&plan, 40, Some(data.targets().shape()), true);
        block.gather(&data, &(0..40).collect::<Vec<_>>());
        block.forward(&pass, 0, Ahead::none(), &[]);
        block.loss(&pass, &CrossEntropy::default().into(), Some(1.0));
        block.backward(&pass);
        block.measure(&pass);
        for (index, op) in plan.ops.iter().enumerate() {
            let layer = &layers[op.layer];
            if let Kind::Dense(_) = layer.kind {
                let (x, _, dy) = block.rows_of(layer, op, 0..40);
                for (bound, rows) in [(block.sizes[index].0, x), (block.sizes[index].1, dy)] {
                    let largest = dispatch!(_simd => largest(rows.data));
                    assert!(bound >= largest && bound <= 2.0 * largest, "op {index}: {bound}");
                }
            }
        }
    }
}
