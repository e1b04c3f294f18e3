//! Which buffer each layer reads and writes: activations overwrite their input where they can.

use crate::Activation;
use crate::layer::{Kind, Placed};
use crate::simd::product::Slope;

/// One layer's place in the way of the data. Buffers of values and of gradients are numbered apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Op {
    /// Position in the model.
    pub layer: usize,
    /// Value buffers of its input and output; the same where it works in place.
    pub x: usize,
    pub y: usize,
    /// Gradient buffers by its input and output; no `dx` where nothing before it learns.
    pub dx: Option<usize>,
    pub dy: usize,
    /// What the dense layers beside an activation do of its work as they store their results.
    pub fused: Fused,
}

/// Passes of an activation that are parts of its neighbours' products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fused {
    /// A ReLU's forward pass, in that of the dense layer before.
    pub forward: bool,
    /// The backward pass, in that of the dense layer after.
    pub backward: Option<Slope>,
}

/// Layers in order, with the width of every buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub ops: Vec<Op>,
    /// Columns of each value buffer; buffer 0 holds the features.
    pub values: Vec<usize>,
    /// Columns of each gradient buffer.
    pub grads: Vec<usize>,
    /// Values per row that each op keeps for its backward pass.
    pub kept: Vec<usize>,
    /// The value and gradient buffers of the output.
    pub output: (usize, usize),
}

impl Plan {
    /// Plans the first `count` layers of a model. In use (not training), dropout is passed over.
    pub fn new(layers: &[Placed], count: usize, training: bool) -> Self {
        let inputs = layers[0].inputs;
        let mut plan = Self {
            ops: vec![],
            values: vec![inputs],
            grads: vec![inputs],
            kept: vec![],
            output: (0, 0),
        };
        let (mut learned, mut read) = (false, false);
        for (index, layer) in layers[..count].iter().enumerate() {
            let dropout = matches!(layer.kind, Kind::Dropout(_));
            if dropout && !training {
                continue;
            }
            let (x, dx) = plan.output;
            // The features stay as they are: the first layer's weight gradient reads them. So do outputs
            // that the backward pass takes a derivative from.
            let in_place = layer.in_place() && x != 0 && !read;
            let y = if in_place { x } else { push(&mut plan.values, layer) };
            read = layer.in_place();
            let dy = if layer.gradient_in_place() { dx } else { push(&mut plan.grads, layer) };
            let dx = (learned || dx == dy).then_some(dx);
            plan.ops.push(Op { layer: index, x, y, dx, dy, fused: Fused::default() });
            plan.kept.push(layer.kept_per_row());
            plan.output = (y, dy);
            learned |= !layer.params.is_empty();
        }
        plan.fuse(layers);
        plan
    }

    fn fuse(&mut self, layers: &[Placed]) {
        let dense = |op: &Op| matches!(layers[op.layer].kind, Kind::Dense(_));
        for index in 0..self.ops.len() {
            let op = &self.ops[index];
            let slope = match layers[op.layer].kind {
                Kind::Activation(Activation::Relu) => Slope::Relu,
                Kind::Activation(Activation::Tanh) => Slope::Tanh,
                _ => continue,
            };
            let before = index.checked_sub(1).map(|before| &self.ops[before]);
            let after = self.ops.get(index + 1);
            let backward = after.is_some_and(|after| dense(after) && after.dx.is_some());
            self.ops[index].fused = Fused {
                forward: slope == Slope::Relu && op.x == op.y && before.is_some_and(dense),
                backward: backward.then_some(slope),
            };
        }
    }

    /// Whether the ReLU after op `index` is part of its forward pass.
    pub fn relu_after(&self, index: usize) -> bool {
        self.ops.get(index + 1).is_some_and(|op| op.fused.forward)
    }

    /// What stands before op `index` and has its derivative in this one's backward pass.
    pub fn slope_before(&self, index: usize) -> Option<Slope> {
        self.ops[..index].last().and_then(|op| op.fused.backward)
    }
}

fn push(buffers: &mut Vec<usize>, layer: &Placed) -> usize {
    buffers.push(layer.outputs);
    buffers.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Sequential};

    #[test]
    fn activations_share_their_buffers_and_the_input_needs_no_gradient() {
        let model = Sequential::builder(4)
            .dense(8, Activation::Relu)
            .dense(6, Activation::Gelu)
            .dense(3, Activation::Identity)
            .build(1)
            .unwrap();
        let plan = Plan::new(&model.layers, 5, true);
        let buffers: Vec<_> = plan.ops.iter().map(|op| (op.x, op.y, op.dx, op.dy)).collect();
        assert_eq!(
            buffers,
            [
                (0, 1, None, 1),
                (1, 1, Some(1), 1),
                (1, 2, Some(1), 2),
                (2, 3, Some(2), 2),
                (3, 4, Some(2), 3)
            ]
        );
    }

    #[test]
    fn only_activations_beside_dense_layers_are_parts_of_them() {
        let builder = Sequential::builder(4)
            .activation(Activation::Relu)
            .dense(8, Activation::Relu)
            .dense(8, Activation::Tanh)
            .dense(6, Activation::Relu)
            .dropout(0.5)
            .dense(3, Activation::Relu);
        let model = builder.build(1).unwrap();
        let plan = Plan::new(&model.layers, model.layers.len(), true);
        let fused: Vec<_> =
            plan.ops.iter().map(|op| (op.fused.forward, op.fused.backward)).collect();
        let (none, forward) = ((false, None), (true, None));
        let (both, tanh) = ((true, Some(Slope::Relu)), (false, Some(Slope::Tanh)));
        assert_eq!(fused, [none, none, both, none, tanh, none, forward, none, none, forward]);
    }

    #[test]
    fn an_activation_does_not_overwrite_what_the_one_before_needs() {
        let model = Sequential::builder(4)
            .dense(8, Activation::Sigmoid)
            .activation(Activation::Tanh)
            .activation(Activation::Gelu)
            .activation(Activation::Relu)
            .build(1)
            .unwrap();
        let plan = Plan::new(&model.layers, 5, true);
        let buffers: Vec<_> = plan.ops.iter().map(|op| (op.x, op.y)).collect();
        assert_eq!(buffers, [(0, 1), (1, 1), (1, 2), (2, 3), (3, 3)]);
    }

    #[test]
    fn dropout_is_passed_over_in_use() {
        let builder = Sequential::builder(4).dropout(0.5).dense(2, Activation::Identity);
        let model = builder.build(1).unwrap();
        assert_eq!(Plan::new(&model.layers, 2, true).ops.len(), 2);
        assert_eq!(Plan::new(&model.layers, 2, false).ops.len(), 1);
    }
}
