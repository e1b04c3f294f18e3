//! A block of rows on its way through the model, in buffers of its own.

mod buffers;
mod pass;

use std::ops::Range;

use self::buffers::Buffers;
pub(crate) use self::pass::{Next, Pass};
use super::plan::{Op, Plan};
use super::step::Made;
use crate::aligned::Aligned;
use crate::data::{Dataset, TargetShape, Targets};
use crate::layer::Placed;
use crate::layer::custom::OwnRows;
use crate::rows::{Extent, LANES, Rows, panel_len};
use crate::simd::{copy_rest, copy_rows};

/// The buffers of a block of rows, sized once.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// The rows at hand, and the panels of every buffer.
    extent: Extent,
    /// The plan's values, and behind them, in training, rows of the next batch, as far as they were copied while the
    /// ones at hand went through the first dense layer.
    values: Buffers,
    /// Where those rows are among the values.
    next: usize,
    grads: Buffers,
    kept: Buffers,
    /// The numbers of the rows that were copied.
    copied: Vec<u32>,
    /// What each user's layer sees of its rows.
    own: Vec<OwnRows>,
    labels: Vec<u32>,
    targets: Aligned,
    target_columns: usize,
    /// Each row's loss.
    pub losses: Vec<f64>,
    /// Rows that were classified right.
    pub correct: usize,
    /// Who made them and how long that took, where it is known.
    pub made: Option<Made>,
    /// Bounds on the sizes in each buffer of values and of gradients, where what wrote it found one.
    value_bounds: Vec<Option<f32>>,
    grad_bounds: Vec<Option<f32>>,
    /// The largest sizes in each op's input and output gradient.
    pub sizes: Vec<(f32, f32)>,
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
        if self.extent.panel < panel_len(rows) {
            self.extent.panel = panel_len(rows);
            self.forget();
            self.lay_out(plan, training);
        }
        if training {
            self.copied.reserve(rows);
        }
        match targets {
            None => {}
            Some(TargetShape::Classes(_)) => grow_one(&mut self.labels, rows),
            Some(TargetShape::Values(columns)) => {
                self.target_columns = columns;
                self.targets.grow(columns.div_ceil(LANES) * self.extent.panel);
            }
        }
        grow_one(&mut self.losses, rows);
    }

    /// Makes room for the plan's buffers.
    fn lay_out(&mut self, plan: &Plan, training: bool) {
        let panel = self.extent.panel;
        let len = |&cols: &usize| cols.div_ceil(LANES) * panel;
        self.next = plan.values.len();
        let next = if training { plan.values[0] } else { 0 };
        self.values.lay_out(plan.values.iter().chain([&next]).map(len), training);
        self.kept.lay_out(plan.kept.iter().map(|width| width * panel / LANES), training);
        let grads = if training { &plan.grads[..] } else { &[] };
        self.grads.lay_out(grads.iter().map(len), training);
        self.own.resize_with(plan.ops.len(), Default::default);
        self.value_bounds.resize(plan.values.len(), None);
        self.grad_bounds.resize(plan.grads.len(), None);
    }

    /// Forgets the rows that were copied ahead: they are not those of the data set to come.
    pub fn forget(&mut self) {
        self.copied.clear();
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.extent.rows
    }

    /// Copies rows that lie one after the other.
    pub fn load(&mut self, features: &[f32], columns: usize, rows: usize) {
        self.extent.rows = rows;
        copy_rows(features, |r| r, &mut self.extent.of_mut(&mut self.values[0], columns));
    }

    /// Copies the targets of some rows.
    pub fn load_targets(&mut self, targets: &Targets, rows: Range<usize>) {
        match targets {
            Targets::Classes { labels, .. } => {
                self.labels[..rows.len()].copy_from_slice(&labels[rows]);
            }
            Targets::Values(values) => {
                let columns = values.ncols();
                let values = values.as_slice().expect("targets lie in standard layout");
                let mut to = self.extent.of_mut(&mut self.targets, columns);
                to.rows = rows.len();
                copy_rows(values, |r| rows.start + r, &mut to);
            }
        }
    }

    /// The rows of the model's output.
    pub fn output(&self, plan: &Plan) -> Rows<'_> {
        let y = plan.output.0;
        self.extent.of(&self.values[y], plan.values[y])
    }

    /// Copies the rows of the data set that `order` names.
    pub fn gather(&mut self, data: &Dataset, order: &[u32]) {
        self.extent.rows = order.len();
        let there =
            order.iter().zip(&self.copied).take_while(|(row, copied)| row == copied).count();
        if there > 0 {
            self.values.swap(0, self.next);
        }
        let mut x = self.extent.of_mut(&mut self.values[0], data.features());
        copy_rest(data.features_slice(), |r| order[r] as usize, &mut x, there);
        self.copied.clear();
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
                let mut to = self.extent.of_mut(&mut self.targets, columns);
                copy_rows(values, |r| order[r] as usize, &mut to);
            }
        }
    }

    /// The input and the output gradient of an op, for some of the rows.
    #[inline(always)]
    pub fn rows_of(&self, layer: &Placed, op: &Op, rows: Range<usize>) -> (Rows<'_>, Rows<'_>) {
        let x = self.extent.of(&self.values[op.x], layer.inputs);
        let dy = self.extent.of(&self.grads[op.dy], layer.outputs);
        (x.slice(rows.clone()), dy.slice(rows))
    }

    /// What the user's layer of op `index` saw.
    pub fn own_of(&self, index: usize) -> &OwnRows {
        &self.own[index]
    }

    /// What op `index` kept in its forward pass, for some of the rows.
    pub fn kept_of(&self, index: usize, per_row: usize, rows: Range<usize>) -> &[f32] {
        &self.kept[index][rows.start * per_row..rows.end * per_row]
    }
}

fn grow_one<T: Clone + Default>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::dispatch;
    use crate::simd::product::Begin;
    use crate::{Activation, Sequential, datasets};

    #[test]
    fn what_layers_keep_takes_no_more_room_than_their_outputs() {
        let builder = Sequential::builder(20).dropout(0.5).layer_norm();
        let model = builder.dense(3, Activation::Identity).build(1).unwrap();
        let plan = Plan::new(&model.layers, model.layers.len(), true);
        let mut block = Block::default();
        block.reserve(&plan, 40, None, true);
        assert_eq!(block.kept[0].len(), block.values[1].len());
        assert!((80..=2 * 42).contains(&block.kept[1].len()));
    }

    fn wide<S: crate::simd::Registers>(_simd: S) -> bool {
        S::WIDE
    }

    #[test]
    fn rows_that_were_copied_ahead_are_those_that_gathering_copies() {
        let [data, other] =
            [1, 2].map(|seed| datasets::synthetic_classification(2000, 70, 3, seed).unwrap());
        let builder = Sequential::builder(70).dense(400, Activation::Relu);
        let model = builder.dense(3, Activation::Softmax).build(1).unwrap();
        let plan = Plan::new(&model.layers, model.layers.len() - 1, true);
        let (layers, params) = (&model.layers[..], &model.params[..]);
        let pass = Pass {
            layers,
            plan: &plan,
            params,
            transpose: &[],
            seed: 1,
            epoch: 1,
            bound: false,
            begin: Begin::FIRST,
        };
        let block = || {
            let mut block = Block::default();
            block.reserve(&plan, 40, Some(data.targets().shape()), true);
            block
        };
        let first: Vec<u32> = (0..40).collect();
        let next: Vec<u32> = (0..40).map(|r| 1999 - 7 * r).collect();
        let mut changed = next.clone();
        changed[9] = 3;
        for (expected, set, order) in [
            (true, &data, &next[..]),
            (true, &data, &changed),
            (true, &data, &next[..23]),
            (false, &other, &next),
        ] {
            let mut ahead = block();
            ahead.gather(&data, &first);
            ahead.forward(&pass, 0, Some(Next { data: &data, order: &next }));
            if dispatch!(simd => wide(simd)) {
                assert!(ahead.copied.len() > 20, "{} copied", ahead.copied.len());
            }
            if !expected {
                ahead.forget();
            }
            ahead.gather(set, order);
            let mut afresh = block();
            afresh.gather(set, order);
            let x = |block: &Block| block.extent.of(&block.values[0], 70).to_vec();
            assert!(x(&ahead) == x(&afresh));
        }
    }
}
