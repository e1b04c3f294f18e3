//! What a model is made of, as JSON, and back through every check of the builder.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::data::Preprocessing;
use crate::layer::{Dense, Dropout, Kind, Layer, LayerNorm};
use crate::model::{Sequential, SequentialBuilder};
use crate::train::TrainConfig;
use crate::{Error, Result};

/// The newest version of the format.
const VERSION: u32 = 1;

/// A model without its parameters.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    version: u32,
    inputs: usize,
    layers: Vec<LayerSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained: Option<Trained>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Preprocessing>,
}

/// How a model was last trained, and what its columns and classes are called.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Trained {
    /// Without validation set and observers.
    pub config: TrainConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
}

impl Trained {
    /// What training with `config` leaves to remember, and the names of columns and classes.
    pub fn new(config: &TrainConfig, names: [Option<Vec<String>>; 2]) -> Self {
        let [feature_names, class_names] = names;
        Self { config: config.recipe(), feature_names, class_names }
    }

    fn check(&self, model: &Sequential) -> Result<()> {
        let agree = |what: &str, names: &Option<Vec<String>>, expected: usize| match names {
            Some(names) if names.len() != expected => {
                Err(Error::shape(what, expected, names.len()))
            }
            _ => Ok(()),
        };
        agree("feature names", &self.feature_names, model.inputs())?;
        let classes = model.outputs().max(2);
        if self.class_names.as_ref().is_some_and(|names| names.len() > classes) {
            agree("class names", &self.class_names, classes)?;
        }
        self.config.optimizer.check()
    }
}

/// A layer by its hyperparameters.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case")]
enum LayerSpec {
    Dense(Dense),
    Activation { function: Activation },
    Dropout(Dropout),
    LayerNorm(LayerNorm),
    Custom { name: String },
}

impl Spec {
    pub fn new(model: &Sequential) -> Self {
        let layer = |kind: &Kind| match kind {
            Kind::Dense(dense) => LayerSpec::Dense(dense.clone()),
            Kind::Activation(function) => LayerSpec::Activation { function: *function },
            Kind::Dropout(dropout) => LayerSpec::Dropout(*dropout),
            Kind::LayerNorm(norm) => LayerSpec::LayerNorm(*norm),
            Kind::Custom(layer) => LayerSpec::Custom { name: layer.name() },
        };
        Self {
            version: VERSION,
            inputs: model.inputs(),
            layers: model.layers.iter().map(|placed| layer(&placed.kind)).collect(),
            trained: model.trained.as_deref().cloned(),
            preprocessing: model.preprocessing.as_deref().cloned(),
        }
    }

    /// Inputs and layers alone, for comparison.
    pub fn architecture(&self) -> Result<serde_json::Value> {
        let value = serde_json::to_value((self.inputs, &self.layers));
        value.map_err(|error| Error::Data(format!("metadata: {error}")))
    }

    /// The layers, to be checked and placed; `custom` makes layers of the user's by their names.
    pub(super) fn builder(self, custom: &Factory) -> Result<(SequentialBuilder, Memory)> {
        if self.version != VERSION {
            let problem = format!("format version {VERSION} expected, {} found", self.version);
            return Err(Error::Data(format!("{problem}: written by a newer unisono")));
        }
        let mut builder = Sequential::builder(self.inputs);
        for (index, layer) in self.layers.into_iter().enumerate() {
            builder = builder.push(match layer {
                LayerSpec::Dense(dense) => Kind::Dense(dense),
                LayerSpec::Activation { function } => Kind::Activation(function),
                LayerSpec::Dropout(dropout) => Kind::Dropout(dropout),
                LayerSpec::LayerNorm(norm) => Kind::LayerNorm(norm),
                LayerSpec::Custom { name } => match custom(&name) {
                    Some(layer) => Kind::Custom(Arc::from(layer)),
                    None => {
                        let problem = "a layer of your own: load the model with `load_with` and \
                                       make it there by this name"
                            .to_owned();
                        return Err(Error::Layer { index, layer: name, problem });
                    }
                },
            });
        }
        Ok((builder, Memory { trained: self.trained, preprocessing: self.preprocessing }))
    }
}

/// Makes a layer of the user's from its name.
pub(super) type Factory<'f> = dyn Fn(&str) -> Option<Box<dyn Layer>> + 'f;

/// What a model knows beside its layers and parameters.
pub(super) struct Memory {
    trained: Option<Trained>,
    preprocessing: Option<Preprocessing>,
}

/// Gives a model what it knew, if that fits it.
pub(super) fn remember(model: &mut Sequential, memory: Memory) -> Result<()> {
    if let Some(preprocessing) = memory.preprocessing {
        model.set_preprocessing(preprocessing)?;
    }
    if let Some(trained) = memory.trained {
        trained.check(model)?;
        model.trained = Some(Arc::new(trained));
    }
    Ok(())
}
