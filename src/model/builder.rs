//! The builder, which checks every shape once and says which layer is wrong.

use std::sync::Arc;

use super::Sequential;
use crate::activation::Activation;
use crate::aligned::Aligned;
use crate::layer::{Dense, Dropout, Init, Kind, Layer, LayerNorm, Placed};
use crate::rng::{Purpose, Stream};
use crate::{Error, Result};

/// Collects layers; [`build`](Self::build) checks them and draws the parameters.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct SequentialBuilder {
    inputs: usize,
    layers: Vec<Kind>,
}

impl SequentialBuilder {
    pub(super) fn new(inputs: usize) -> Self {
        Self { inputs, layers: vec![] }
    }

    pub(crate) fn push(mut self, kind: Kind) -> Self {
        self.layers.push(kind);
        self
    }

    /// Adds a dense layer with Glorot-uniform weights, and the activation behind it (none for
    /// [`Activation::Identity`]).
    pub fn dense(self, outputs: usize, activation: Activation) -> Self {
        self.dense_with(Dense::new(outputs), activation)
    }

    /// Adds a dense layer with an initialisation of your choice.
    pub fn dense_init(self, outputs: usize, activation: Activation, init: Init) -> Self {
        self.dense_with(Dense::new(outputs).init_with(init), activation)
    }

    fn dense_with(self, dense: Dense, activation: Activation) -> Self {
        let with_dense = self.push(Kind::Dense(dense));
        match activation {
            Activation::Identity => with_dense,
            activation => with_dense.activation(activation),
        }
    }

    /// Adds an activation by itself.
    pub fn activation(self, activation: Activation) -> Self {
        self.push(Kind::Activation(activation))
    }

    /// Adds dropout: in training, each value is zeroed with probability `rate`, at least 0 and below 1,
    /// and the others grow by 1 / (1 - `rate`); in use it does nothing. The mask of a row is a function
    /// of the seed, the layer, the epoch and the row's place in the epoch.
    ///
    /// # Source
    /// N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    pub fn dropout(self, rate: f32) -> Self {
        self.push(Kind::Dropout(Dropout { rate }))
    }

    /// Adds layer normalisation with eps = 1e-5.
    ///
    /// Each row is normalised to mean 0 and variance 1, then each feature is scaled and shifted:
    /// `y = w (x - mean) / sqrt(var + eps) + b`, with the biased variance.
    ///
    /// # Source
    /// J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", 2016.
    pub fn layer_norm(self) -> Self {
        self.push(Kind::LayerNorm(LayerNorm::default()))
    }

    /// Adds layer normalisation with an eps of your choice, above 0: that of a PyTorch net whose
    /// weights the model takes, say, for a file of weights does not hold it.
    pub fn layer_norm_with(self, eps: f32) -> Self {
        self.push(Kind::LayerNorm(LayerNorm { eps }))
    }

    /// Adds a layer of your own.
    pub fn layer(self, layer: impl Layer + 'static) -> Self {
        self.push(Kind::Custom(Arc::new(layer)))
    }

    /// Checks every layer against the one before it, then draws the parameters from `seed`.
    ///
    /// # Errors
    /// [`Error::Layer`] names the first layer that does not fit; a model without layers or inputs is
    /// an [`Error::Config`].
    pub fn build(self, seed: u64) -> Result<Sequential> {
        let mut model = Sequential::without_parameters(self.place()?)?;
        for (index, layer) in model.layers.iter().enumerate() {
            let mut random = Stream::new(seed, Purpose::Init, 0, index as u64);
            layer.init(&mut model.params[layer.params.clone()], &mut random);
        }
        Ok(model)
    }

    /// Checks every layer against the one before it and says where its parameters lie.
    pub(crate) fn place(self) -> Result<Vec<Placed>> {
        if self.inputs == 0 {
            return Err(Error::config("inputs", "expected at least 1 feature, found 0"));
        }
        if self.layers.is_empty() {
            return Err(Error::config("layers", "expected at least one: add `dense`"));
        }
        let mut layers: Vec<Placed> = Vec::with_capacity(self.layers.len());
        for (index, kind) in self.layers.into_iter().enumerate() {
            let previous = layers.last();
            let inputs = previous.map_or(self.inputs, |layer| layer.outputs);
            let (params, transpose) =
                previous.map_or((0, 0), |layer| (layer.params.end, layer.transpose.end));
            let layer = describe(&kind);
            let placed = Placed::new(kind, inputs, params, transpose)
                .map_err(|error| Error::Layer { index, layer, problem: error.to_string() })?;
            layers.push(placed);
        }
        Ok(layers)
    }
}

impl Sequential {
    /// A model of layers in their places, with all parameters zero.
    pub(crate) fn without_parameters(layers: Vec<Placed>) -> Result<Self> {
        let params = zeros(layers.last().map_or(0, |layer| layer.params.end))?;
        Ok(Self { layers, params, trained: None, preprocessing: None })
    }
}

/// Zeros, or an error where memory cannot hold them.
fn zeros(len: usize) -> Result<Aligned> {
    Aligned::try_lasting(len).map_err(|_| {
        Error::config("layers", format!("{len} parameters are more than memory can hold"))
    })
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Dense(dense) => format!("dense {}", dense.outputs),
        Kind::Activation(activation) => activation.to_string(),
        Kind::Dropout(dropout) => format!("dropout {}", dropout.rate),
        Kind::LayerNorm(norm) => norm.to_string(),
        Kind::Custom(layer) => layer.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_model_and_another_seed_another() {
        let model = |seed| {
            Sequential::builder(5).dense(7, Activation::Relu).build(seed).unwrap().fingerprint()
        };
        assert_eq!(model(1), model(1));
        assert_ne!(model(1), model(2));
    }

    #[test]
    fn errors_name_the_layer() {
        let error = Sequential::builder(5)
            .dense(7, Activation::Relu)
            .dropout(1.5)
            .dense(0, Activation::Identity)
            .build(1)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer 2 (dropout 1.5): dropout rate: expected at least 0 and below 1, found 1.5"
        );
    }

    #[test]
    fn a_model_beyond_memory_is_an_error() {
        let huge = usize::MAX / 64;
        assert!(Sequential::builder(huge).dense(huge, Activation::Relu).build(1).is_err());
    }
}
