//! Models: layers in a row, with their parameters in one flat buffer.

mod builder;
mod chunks;
mod evaluate;
mod names;
mod predict;
mod raw;
mod summary;
mod weights;

use std::hash::Hasher;

pub use builder::SequentialBuilder;
pub use evaluate::Score;
pub(crate) use names::check_alike;

use crate::activation::Activation;
use crate::aligned::Aligned;
use crate::data::Preprocessing;
use crate::io::Trained;
use crate::layer::{Kind, Placed};
use crate::train::TrainConfig;

/// Layers in a row: each one's output is the next one's input.
///
/// # Examples
/// ```
/// use unisono::{Activation, Sequential};
///
/// let model = Sequential::builder(4)
///     .dense(16, Activation::Relu)
///     .dense(3, Activation::Softmax)
///     .build(7)?;
/// assert_eq!(model.param_count(), 4 * 16 + 16 + 16 * 3 + 3);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sequential {
    pub(crate) layers: Vec<Placed>,
    pub(crate) params: Aligned,
    /// What it was last trained with.
    pub(crate) trained: Option<Box<Trained>>,
    /// How rows of a table become its inputs.
    pub(crate) preprocessing: Option<Box<Preprocessing>>,
}

impl Sequential {
    /// Starts a model that takes rows of `inputs` features.
    pub fn builder(inputs: usize) -> SequentialBuilder {
        SequentialBuilder::new(inputs)
    }

    /// Input features.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Output features.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Number of layers, activations among them.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether it has no layer: never, for the builder asks for one.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Number of parameters.
    pub fn param_count(&self) -> usize {
        self.layers.iter().map(Placed::param_count).sum()
    }

    /// The configuration that it was last trained with, without validation set and observers.
    pub fn trained_with(&self) -> Option<&TrainConfig> {
        self.trained.as_ref().map(|trained| &trained.config)
    }

    /// The names of its input columns, if the data that it was last trained on had names.
    pub fn feature_names(&self) -> Option<&[String]> {
        self.trained.as_ref()?.feature_names.as_deref()
    }

    /// The names of its classes, that of class 0 first, if the data that it was last trained on had
    /// names. Data that name the first of its classes alone do not take the others' names away.
    pub fn class_names(&self) -> Option<&[String]> {
        self.trained.as_ref()?.class_names.as_deref()
    }

    /// The activation that ends the model, or the identity.
    pub(crate) fn last_activation(&self) -> Activation {
        match &self.layers[self.layers.len() - 1].kind {
            Kind::Activation(activation) => *activation,
            _ => Activation::Identity,
        }
    }

    /// Returns a hash of the architecture and of every parameter's bits: equal fingerprints mean
    /// equal models. It depends on values alone, not on how they lie in memory.
    ///
    /// # Source
    /// FNV-1a with 64 bits, G. Fowler, L. C. Noll, K.-P. Vo.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        for (index, layer) in self.layers.iter().enumerate() {
            hash.write(format!("{layer} {} {};", layer.inputs, layer.outputs).as_bytes());
            for tensor in 0..layer.tensors().len() {
                let values = self.tensor_values(index, tensor);
                values.for_each(|value| hash.write(&value.to_bits().to_le_bytes()));
            }
        }
        hash.finish()
    }
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
