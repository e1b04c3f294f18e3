//! Models in files.

use std::path::Path;

use super::files;
use super::spec::{Factory, Spec, remember};
use super::tensors::{Reader, Values, Writer};
use crate::aligned::Aligned;
use crate::model::Sequential;
use crate::{Error, Result};

/// Where the architecture stands in the metadata.
const KEY: &str = "unisono";

impl Sequential {
    /// Writes the model to one file: parameters, architecture, the configuration of its last training
    /// and the names of columns and classes.
    ///
    /// The file is safetensors. Its tensors have the names and layouts of a PyTorch `nn.Sequential`
    /// of the same layers (`0.weight` as (out, in), `0.bias`), with an activation counting as a
    /// module; the rest is JSON in the metadata. It is written beside its place and then moved there,
    /// so a file of that name stays whole whatever happens.
    ///
    /// # Errors
    /// If the file cannot be written; the path is in the error.
    ///
    /// # Examples
    /// ```
    /// use unisono::{Activation, Sequential};
    ///
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("model.safetensors");
    /// let model = Sequential::builder(4).dense(3, Activation::Softmax).build(7)?;
    /// model.save(&path)?;
    /// assert_eq!(Sequential::load(&path)?.fingerprint(), model.fingerprint());
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_whole(path.as_ref(), &self.to_bytes()?)
    }

    /// Reads a model that [`save`](Self::save) wrote. A file from strangers does no harm: every size
    /// is checked against the file's own before memory is taken.
    ///
    /// # Errors
    /// If the file cannot be read, is no such file, is damaged or has layers of your own, for which
    /// there is [`load_with`](Self::load_with).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, |_| None)
    }

    /// Reads a model with layers of your own, which `layer` makes by their names.
    ///
    /// # Errors
    /// As [`load`](Self::load), and if `layer` does not know a name.
    pub fn load_with(
        path: impl AsRef<Path>,
        layer: impl Fn(&str) -> Option<Box<dyn crate::Layer>>,
    ) -> Result<Self> {
        let path = path.as_ref();
        read_model(&files::read(path)?, &layer).map_err(in_file(path))
    }

    /// The bytes that [`save`](Self::save) writes.
    ///
    /// # Errors
    /// If a custom layer gives two parameters the same name.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::default();
        writer.add(self, "", &self.params);
        writer.finish(KEY, to_json(&Spec::new(self))?)
    }

    /// Reads a model from the bytes of a file; see [`load`](Self::load).
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        read_model(bytes, &|_| None)
    }

    /// Replaces all parameters by those of a safetensors file with this model's names and shapes, for
    /// instance one that `safetensors.torch.save_file(net.state_dict(), …)` wrote. What such a file does
    /// not hold stays as the model was built: the eps of a layer norm, the slope of an activation.
    ///
    /// # Errors
    /// If the file cannot be read, a tensor is missing, of another shape or type, too many or not
    /// finite; the model is then unchanged.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = files::read(path)?;
        let read = || {
            let reader = Reader::new(&bytes, KEY)?;
            reader.check_no_more(self)?;
            let mut params = Aligned::lasting(self.params.len());
            reader.fill(&self.layers, "", &mut params, Values::Finite)?;
            Ok(params)
        };
        self.params = read().map_err(in_file(path))?;
        Ok(())
    }
}

fn read_model(bytes: &[u8], layer: &Factory) -> Result<Sequential> {
    let reader = Reader::new(bytes, KEY)?;
    let json = reader.json().ok_or_else(|| {
        let problem = "no architecture in the file's metadata: build a model of the same layers and \
                       read the file with `load_weights`";
        Error::Data(problem.to_owned())
    })?;
    let spec: Spec = from_json(json)?;
    let (builder, memory) = spec.builder(layer)?;
    let layers = builder.place()?;
    reader.check(&layers, "")?;
    let mut model = Sequential::without_parameters(layers)?;
    reader.check_no_more(&model)?;
    let Sequential { layers, params, .. } = &mut model;
    reader.fill(layers, "", params, Values::Finite)?;
    remember(&mut model, memory)?;
    Ok(model)
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Data(format!("metadata: {error}")))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::Data(format!("metadata: {error}")))
}

/// Adds the file's name to an error about its content.
pub(super) fn in_file(path: &Path) -> impl Fn(Error) -> Error + '_ {
    |error| match error {
        Error::Io { .. } => error,
        Error::Data(problem) => Error::parse(path.display().to_string(), None, problem),
        other => Error::parse(path.display().to_string(), None, other.to_string()),
    }
}
