//! Which buffer each layer reads and writes: activations overwrite their input where they can.

use crate::layer::Placed;

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
        let mut learned = false;
        for (index, layer) in layers[..count].iter().enumerate() {
            let dropout = matches!(layer.kind, crate::layer::Kind::Dropout(_));
            if dropout && !training {
                continue;
            }
            let (x, dx) = plan.output;
            // The features stay as they are: the first layer's weight gradient reads them.
            let y = if layer.in_place() && x != 0 { x } else { push(&mut plan.values, layer) };
            let dy = if layer.gradient_in_place() { dx } else { push(&mut plan.grads, layer) };
            let dx = (learned || dx == dy).then_some(dx);
            plan.ops.push(Op { layer: index, x, y, dx, dy });
            plan.kept.push(layer.kept_per_row());
            plan.output = (y, dy);
            learned |= !layer.params.is_empty();
        }
        plan
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
    fn dropout_is_passed_over_in_use() {
        let builder = Sequential::builder(4).dropout(0.5).dense(2, Activation::Identity);
        let model = builder.build(1).unwrap();
        assert_eq!(Plan::new(&model.layers, 2, true).ops.len(), 2);
        assert_eq!(Plan::new(&model.layers, 2, false).ops.len(), 1);
    }
}
