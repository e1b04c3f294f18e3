//! Buffers that lie as the parameters do, as named tensors in a safetensors file and back.

use std::collections::{HashMap, HashSet};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::layer::Placed;
use crate::model::Sequential;
use crate::{Error, Result};

/// Tensors to be written, as bytes.
#[derive(Default)]
pub(super) struct Writer {
    tensors: Vec<(String, Vec<usize>, Vec<u8>)>,
}

impl Writer {
    /// Adds a buffer that lies as the model's parameters do, a tensor for each of theirs, its name
    /// behind `prefix`.
    pub fn add(&mut self, model: &Sequential, prefix: &str, buffer: &[f32]) {
        for (index, layer) in model.layers.iter().enumerate() {
            let values = &buffer[layer.params.clone()];
            for (t, tensor) in layer.tensors().into_iter().enumerate() {
                let mut bytes = Vec::with_capacity(size_of::<f32>() * tensor.len());
                layer.positions(t).for_each(|at| bytes.extend(values[at].to_le_bytes()));
                let name = format!("{prefix}{index}.{}", tensor.name);
                self.tensors.push((name, tensor.shape, bytes));
            }
        }
    }

    /// The file, with JSON under `key` in its metadata.
    pub fn finish(&self, key: &str, json: String) -> Result<Vec<u8>> {
        let mut views: Vec<(&str, TensorView)> = Vec::with_capacity(self.tensors.len());
        let mut seen = HashSet::new();
        for (name, shape, bytes) in &self.tensors {
            if !seen.insert(name) {
                return Err(Error::Data(format!("two parameters are called {name}")));
            }
            views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(wrong)?));
        }
        let metadata = HashMap::from([(key.to_owned(), json)]);
        safetensors::serialize(views, Some(metadata)).map_err(wrong)
    }

    /// The checksum of a text and the tensors.
    pub fn checksum(&self, text: &str) -> String {
        checksum(text, self.tensors.iter().map(|(name, _, bytes)| (name.as_str(), &bytes[..])))
    }
}

/// The CRC-32 of the text and of each tensor with its name, added up: their order does not matter.
fn checksum<'t>(json: &str, tensors: impl Iterator<Item = (&'t str, &'t [u8])>) -> String {
    let tensor = |(name, bytes): (&str, &[u8])| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(name.as_bytes());
        hasher.update(bytes);
        u64::from(hasher.finalize())
    };
    format!("{:x}", u64::from(crc32fast::hash(json.as_bytes())) + tensors.map(tensor).sum::<u64>())
}

/// Which values a tensor may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    Finite,
    Any,
}

/// Tensors of a file that was read. Making one checks every size against the file's own.
pub(super) struct Reader<'a> {
    tensors: SafeTensors<'a>,
    json: Option<String>,
}

impl<'a> Reader<'a> {
    /// Reads the names, shapes and places, and the metadata under `key`.
    pub fn new(bytes: &'a [u8], key: &str) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get(key)).cloned();
        Ok(Self { tensors: SafeTensors::deserialize(bytes).map_err(wrong)?, json })
    }

    /// The JSON under the key.
    pub fn json(&self) -> Option<&str> {
        self.json.as_deref()
    }

    /// The checksum of a text and the tensors.
    pub fn checksum(&self, text: &str) -> String {
        let tensors: Vec<_> = self.tensors.iter().collect();
        checksum(text, tensors.iter().map(|(name, tensor)| (*name, tensor.data())))
    }

    /// Whether any tensor's name starts so.
    pub fn has(&self, prefix: &str) -> bool {
        self.tensors.iter().any(|(name, _)| name.starts_with(prefix))
    }

    /// Checks that the layers' tensors are there, in number, shape and type.
    pub fn check(&self, layers: &[Placed], prefix: &str) -> Result<()> {
        for (index, layer) in layers.iter().enumerate() {
            for tensor in layer.tensors() {
                self.find(&format!("{prefix}{index}.{}", tensor.name), &tensor.shape)?;
            }
        }
        Ok(())
    }

    /// Checks that there are no tensors but the model's.
    pub fn check_no_more(&self, model: &Sequential) -> Result<()> {
        let names = model.weight_names();
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        match self.tensors.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => {
                let names = crate::data::listed(&names);
                Err(Error::Data(format!("tensor {name:?}: not of this model, which has {names}")))
            }
            None => Ok(()),
        }
    }

    /// Copies the tensors of all layers into a buffer that lies as the parameters do.
    pub fn fill(
        &self,
        layers: &[Placed],
        prefix: &str,
        buffer: &mut [f32],
        allowed: Values,
    ) -> Result<()> {
        for (index, layer) in layers.iter().enumerate() {
            let values = &mut buffer[layer.params.clone()];
            for (t, tensor) in layer.tensors().into_iter().enumerate() {
                let name = format!("{prefix}{index}.{}", tensor.name);
                let bytes = self.find(&name, &tensor.shape)?;
                let all = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                let mut indexed = all.clone().enumerate();
                if allowed == Values::Finite
                    && let Some((i, value)) = indexed.find(|(_, value)| !value.is_finite())
                {
                    let problem = format!("expected finite values, found {value} at {i}");
                    return Err(Error::Data(format!("tensor {name}: {problem}")));
                }
                layer.put(t, all, values);
            }
        }
        Ok(())
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&'a [u8]> {
        let tensor = self.tensors.tensor(name).map_err(|_| {
            Error::Data(format!("tensor {name}: expected with shape {shape:?}, not found"))
        })?;
        if tensor.shape() != shape || tensor.dtype() != Dtype::F32 {
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(Error::shape(format!("tensor {name}"), format!("F32 {shape:?}"), found));
        }
        Ok(tensor.data())
    }
}

fn wrong(error: safetensors::SafeTensorError) -> Error {
    Error::Data(format!("not a safetensors file: {error}"))
}
