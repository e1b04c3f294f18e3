//! Layers: what they hold is hyperparameters; their parameters lie in the model's flat buffer.

pub(crate) mod custom;
pub(crate) mod dense;
pub(crate) mod dropout;
pub(crate) mod layer_norm;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use custom::Layer;
pub(crate) use dense::Dense;
pub use dense::Init;
pub(crate) use dropout::Dropout;
pub(crate) use layer_norm::LayerNorm;

use crate::activation::Activation;
use crate::rng::Stream;
use crate::rows::{LANES, padded};
use crate::simd::panels::WeightLayout;
use crate::{Error, Result};

/// Most parameters of a layer: what is sized by them stays within the address space.
const MOST_PARAMS: usize = isize::MAX as usize / 32;

/// Every layer a model can have.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Dense(Dense),
    Activation(Activation),
    Dropout(Dropout),
    LayerNorm(LayerNorm),
    Custom(Arc<dyn Layer>),
}

/// A layer in its place in a model.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub kind: Kind,
    pub inputs: usize,
    pub outputs: usize,
    /// Where its parameters lie in the model's buffer.
    pub params: Range<usize>,
    /// Where its transposed weights lie in a trainer's buffer.
    pub transpose: Range<usize>,
}

/// A named parameter of a layer, in the shape that users see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
}

impl Tensor {
    fn new(name: &str, shape: &[usize]) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec() }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Placed {
    /// Checks a layer against its inputs and places its parameters at `params` and `transpose`.
    pub fn new(kind: Kind, inputs: usize, params: usize, transpose: usize) -> Result<Self> {
        let outputs = match &kind {
            Kind::Dense(dense) => dense.check()?,
            Kind::Activation(activation) => activation.check().map(|()| inputs)?,
            Kind::Dropout(dropout) => dropout.check().map(|()| inputs)?,
            Kind::LayerNorm(norm) => norm.check().map(|()| inputs)?,
            Kind::Custom(layer) => layer.outputs(inputs)?,
        };
        if outputs == 0 {
            return Err(Error::shape("output features", "at least 1", 0));
        }
        let mut placed = Self { kind, inputs, outputs, params: 0..0, transpose: 0..0 };
        let end = params.checked_add(placed.params_len()?).filter(|&end| end <= MOST_PARAMS);
        let too_many = || Error::shape("parameters", "as many as memory can hold", "more");
        placed.params = params..end.ok_or_else(too_many)?;
        placed.transpose = transpose..transpose + placed.transpose_len();
        Ok(placed)
    }

    /// The layout of a dense layer's weights.
    pub fn layout(&self) -> WeightLayout {
        WeightLayout { inputs: self.inputs, outputs: self.outputs }
    }

    fn params_len(&self) -> Result<usize> {
        let padded = |n: usize| n.checked_next_multiple_of(LANES);
        let len = match &self.kind {
            Kind::Dense(_) => {
                let rows = self.inputs.checked_add(1);
                rows.and_then(|rows| padded(self.outputs)?.checked_mul(rows))
            }
            Kind::Activation(_) | Kind::Dropout(_) => Some(0),
            Kind::LayerNorm(_) => padded(self.inputs).and_then(|n| n.checked_mul(2)),
            Kind::Custom(_) => {
                let tensors = self.tensors();
                let mut shapes = tensors.iter().map(|tensor| &tensor.shape);
                let len =
                    |shape: &Vec<usize>| shape.iter().try_fold(1, |n: usize, &d| n.checked_mul(d));
                shapes
                    .try_fold(0, |sum: usize, shape| sum.checked_add(len(shape)?))
                    .and_then(padded)
            }
        };
        len.filter(|&n| n <= MOST_PARAMS)
            .ok_or_else(|| Error::shape("parameters", "as many as memory can hold", "more"))
    }

    fn transpose_len(&self) -> usize {
        match &self.kind {
            Kind::Dense(_) => self.layout().transpose_len(),
            _ => 0,
        }
    }

    /// The parameters as users see them, in PyTorch's names.
    pub fn tensors(&self) -> Vec<Tensor> {
        match &self.kind {
            Kind::Dense(_) => vec![
                Tensor::new("weight", &[self.outputs, self.inputs]),
                Tensor::new("bias", &[self.outputs]),
            ],
            Kind::LayerNorm(_) => {
                vec![Tensor::new("weight", &[self.inputs]), Tensor::new("bias", &[self.inputs])]
            }
            Kind::Activation(_) | Kind::Dropout(_) => vec![],
            Kind::Custom(layer) => {
                let tensors = layer.tensors(self.inputs);
                tensors.into_iter().map(|(name, shape)| Tensor { name, shape }).collect()
            }
        }
    }

    /// Number of parameters as users count them, without padding.
    pub fn param_count(&self) -> usize {
        self.tensors().iter().map(Tensor::len).sum()
    }

    /// Draws the layer's parameters.
    pub fn init(&self, params: &mut [f32], random: &mut Stream) {
        match &self.kind {
            Kind::Dense(dense) => dense.init(self.layout(), params, random),
            Kind::Activation(_) | Kind::Dropout(_) => {}
            Kind::LayerNorm(_) => layer_norm::init(self.inputs, params),
            Kind::Custom(layer) => {
                let len = self.param_count();
                layer.init(self.inputs, &mut params[..len], random);
            }
        }
    }

    /// Where the values of tensor `tensor`, in row-major order, lie in the layer's parameters. `for_each` goes
    /// through it faster than a loop.
    pub fn positions(&self, tensor: usize) -> impl Iterator<Item = usize> + use<> {
        let layout = self.layout();
        let (weights, (start, len)) = match &self.kind {
            Kind::Dense(_) if tensor == 0 => (Some(layout), (0, 0)),
            Kind::Dense(_) => (None, (layout.weights_len(), self.outputs)),
            Kind::LayerNorm(_) => (None, (tensor * padded(self.inputs), self.inputs)),
            _ => {
                let tensors = self.tensors();
                (None, (tensors[..tensor].iter().map(Tensor::len).sum(), tensors[tensor].len()))
            }
        };
        weights.into_iter().flat_map(WeightLayout::indices).chain(start..start + len)
    }

    /// Puts the values of tensor `tensor`, which come in row-major order, into the layer's parameters.
    pub fn put(&self, tensor: usize, mut values: impl Iterator<Item = f32>, params: &mut [f32]) {
        self.positions(tensor).for_each(|at| {
            if let Some(value) = values.next() {
                params[at] = value;
            }
        });
    }

    /// Whether the layer's output may overwrite its input.
    pub fn in_place(&self) -> bool {
        matches!(&self.kind, Kind::Activation(a) if a.derivative_from_output())
    }

    /// Whether the gradient by the layer's input may overwrite that by its output.
    pub fn gradient_in_place(&self) -> bool {
        matches!(&self.kind, Kind::Activation(_) | Kind::Dropout(_))
    }

    /// Values that the forward pass keeps for the backward pass, per row.
    pub fn kept_per_row(&self) -> usize {
        match &self.kind {
            Kind::Dropout(_) => padded(self.inputs),
            Kind::LayerNorm(_) => 2,
            _ => 0,
        }
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.kind {
            Kind::Dense(_) => format!("dense {} -> {}", self.inputs, self.outputs),
            Kind::Activation(activation) => activation.described(),
            Kind::Dropout(dropout) => format!("dropout {}", dropout.rate),
            Kind::LayerNorm(norm) => norm.to_string(),
            Kind::Custom(layer) => layer.name(),
        };
        f.pad(&text)
    }
}
