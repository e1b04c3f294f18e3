//! Models: layers in a row, with their parameters in one flat buffer.

mod builder;
mod chunks;
mod evaluate;
mod names;
mod predict;
mod raw;
mod summary;
mod weights;

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

pub use builder::SequentialBuilder;
pub use evaluate::Score;
pub(crate) use names::check_alike;

use crate::activation::Activation;
use crate::aligned::Aligned;
use crate::data::Preprocessing;
use crate::io::Trained;
use crate::layer::{Kind, Placed};
use crate::simd::all_finite;
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
#[derive(Clone)]
pub struct Sequential {
    pub(crate) layers: Vec<Placed>,
    pub(crate) params: Aligned,
    /// What it was last trained with.
    pub(crate) trained: Option<Arc<Trained>>,
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

    /// Takes over what training changes: parameters, and what it was trained with.
    pub(crate) fn clone_trained_from(&mut self, other: &Self) {
        self.params.clone_from(&other.params);
        self.trained.clone_from(&other.trained);
    }

    /// Whether every parameter is finite.
    pub(crate) fn is_finite(&self) -> bool {
        all_finite(&self.params)
    }

    /// What predictions have been through last: the last layer that is no dropout, and the activation that it is, or the
    /// identity.
    pub(crate) fn ending(&self) -> (usize, Activation) {
        let stays = |layer: &Placed| !matches!(layer.kind, Kind::Dropout(_));
        let index = self.layers.iter().rposition(stays).unwrap_or(0);
        match &self.layers[index].kind {
            Kind::Activation(activation) => (index, *activation),
            _ => (index, Activation::Identity),
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

impl fmt::Debug for Sequential {
    /// Its layers, without the values of its parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: Vec<String> = self.layers.iter().map(ToString::to_string).collect();
        let mut shown = f.debug_struct("Sequential");
        shown.field("inputs", &self.inputs()).field("layers", &layers);
        shown.field("params", &self.param_count()).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_predicts_otherwise_has_another_fingerprint() {
        let prints: Vec<u64> = [
            Activation::LeakyRelu { slope: 0.01 },
            Activation::LeakyRelu { slope: 0.3 },
            Activation::Elu { alpha: 1.0 },
            Activation::Elu { alpha: 1.7 },
            Activation::Relu,
        ]
        .iter()
        .map(|&activation| {
            Sequential::builder(2).dense(3, activation).build(1).unwrap().fingerprint()
        })
        .collect();
        for (i, print) in prints.iter().enumerate() {
            assert!(!prints[..i].contains(print), "{i}");
        }
    }

    #[test]
    fn debug_shows_layers_and_no_parameters() {
        let model = Sequential::builder(64).dense(32, Activation::Relu).build(1).unwrap();
        let shown = format!("{model:?}");
        assert!(shown.contains("dense 64 -> 32") && shown.len() < 200, "{shown}");
    }
}
