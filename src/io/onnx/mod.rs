//! Export to ONNX, for runtimes in other languages.

mod graph;
mod proto;
mod raw;

use std::path::Path;

use prost::Message;

use super::files;
use crate::Result;
use crate::activation::Activation;
use crate::layer::{Kind, Placed};
use crate::model::Sequential;
use graph::Builder;

/// What goes into an ONNX file beside the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnnxOptions {
    /// Whether the model's preprocessing becomes part of the graph: inputs are then raw rows, and
    /// outputs of a regression in its units.
    ///
    /// Input `x` has the columns of numbers, in their order, with NaN for what is missing. A column
    /// `NAME` of categories is an input `x.NAME` of one text a row (rows x 1). Categories that are
    /// unknown or missing are zeros in all their columns; where nothing may be missing and unknown
    /// ones are errors, both are errors of the runtime.
    pub preprocessing: bool,
    /// Whether a softmax or sigmoid at the model's end is left out, so that the outputs are logits.
    pub logits: bool,
}

impl Sequential {
    /// The model as an ONNX file (opset 17, IR version 8), with any number of rows: input `x` is
    /// rows x inputs, output `y` rows x outputs, both f32; for raw rows see
    /// [`OnnxOptions::preprocessing`]. Dropout, which does nothing in use, is left out; parameters have
    /// the names of [`weight_names`](Self::weight_names).
    ///
    /// # Errors
    /// If a layer is one of your own, which ONNX does not know, or the preprocessing is asked for and
    /// missing.
    ///
    /// # Source
    /// The ONNX operators' specification, opset 17, and that of its domain `ai.onnx.ml`, opset 3.
    ///
    /// # Examples
    /// ```
    /// use unisono::{Activation, OnnxOptions, Sequential};
    ///
    /// let model = Sequential::builder(4).dense(3, Activation::Softmax).build(7)?;
    /// assert!(model.to_onnx(OnnxOptions::default())?.len() > 60);
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn to_onnx(&self, options: OnnxOptions) -> Result<Vec<u8>> {
        let mut graph = Builder::default();
        let last = self.layers.len() - 1;
        if options.preprocessing {
            let preprocessing = self.needed_preprocessing()?;
            preprocessing.check_digits()?;
            graph.raw_rows(preprocessing);
        } else {
            graph.input("x", self.inputs());
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let ends =
                matches!(layer.kind, Kind::Activation(Activation::Softmax | Activation::Sigmoid));
            if !(options.logits && index == last && ends) {
                self.add_layer(&mut graph, index, layer)?;
            }
        }
        if options.preprocessing {
            graph.restore(self.needed_preprocessing()?);
        }
        Ok(graph.finish(self.outputs()).encode_to_vec())
    }

    /// Writes what [`to_onnx`](Self::to_onnx) gives to a file, whole or not at all.
    ///
    /// # Errors
    /// As [`to_onnx`](Self::to_onnx), and if the file cannot be written.
    pub fn export_onnx(&self, path: impl AsRef<Path>, options: OnnxOptions) -> Result<()> {
        files::write_whole(path.as_ref(), &self.to_onnx(options)?)
    }

    fn add_layer(&self, graph: &mut Builder, index: usize, layer: &Placed) -> Result<()> {
        for (t, tensor) in layer.tensors().into_iter().enumerate() {
            let values = self.tensor_values(index, t);
            graph.parameter(format!("{index}.{}", tensor.name), &tensor.shape, values);
        }
        let (weight, bias) = (format!("{index}.weight"), format!("{index}.bias"));
        match &layer.kind {
            Kind::Dense(_) => graph.dense(weight, bias),
            Kind::LayerNorm(norm) => graph.layer_norm(weight, bias, norm.eps),
            Kind::Activation(activation) => graph.activation(*activation),
            Kind::Dropout(_) => {}
            Kind::Custom(custom) => {
                let problem = "a layer of your own, which ONNX does not know".to_owned();
                return Err(crate::Error::Layer { index, layer: custom.name(), problem });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Preprocessor, Table};

    fn model() -> Sequential {
        Sequential::builder(2)
            .dense(3, Activation::Gelu)
            .dropout(0.5)
            .layer_norm()
            .dense(2, Activation::Softmax)
            .build(1)
            .unwrap()
    }

    fn decoded(options: OnnxOptions) -> proto::Graph {
        let bytes = model().to_onnx(options).unwrap();
        proto::Model::decode(&bytes[..]).unwrap().graph.unwrap()
    }

    #[test]
    fn the_graph_has_the_layers_in_order_from_x_to_y() {
        let graph = decoded(OnnxOptions::default());
        let ops: Vec<&str> = graph.node.iter().map(|node| node.op_type.as_str()).collect();
        let gelu = ["Mul", "Erf", "Add", "Mul", "Mul"];
        let rest = ["LayerNormalization", "Gemm", "Softmax", "Identity"];
        assert_eq!(ops, [&["Gemm"][..], &gelu, &rest].concat());
        assert_eq!((&*graph.input[0].name, &*graph.output[0].name), ("x", "y"));
        assert_eq!(graph.node.last().unwrap().output, ["y"]);
        let mut known = vec!["x".to_owned()];
        known.extend(graph.initializer.iter().map(|tensor| tensor.name.clone()));
        for node in &graph.node {
            assert!(node.input.iter().all(|input| known.contains(input)), "{node:?}");
            known.extend(node.output.clone());
        }
    }

    #[test]
    fn parameters_and_logits_are_as_asked() {
        let graph = decoded(OnnxOptions { logits: true, ..OnnxOptions::default() });
        assert!(graph.node.iter().all(|node| node.op_type != "Softmax"));
        let weight = graph.initializer.iter().find(|tensor| tensor.name == "0.weight").unwrap();
        assert_eq!(weight.dims, [3, 2]);
        let expected: Vec<u8> = model()
            .weight("0.weight")
            .unwrap()
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(weight.raw_data, expected);
    }

    #[test]
    fn text_is_an_input_of_its_own() {
        let asked = OnnxOptions { preprocessing: true, ..OnnxOptions::default() };
        assert!(model().to_onnx(asked).unwrap_err().to_string().contains("set_preprocessing"));
        let table = Table::from_csv_text("a,b,y\n1,u,0\n2,v,1\n").unwrap();
        let mut model = Sequential::builder(3).dense(2, Activation::Softmax).build(1).unwrap();
        model.set_preprocessing(Preprocessor::new().target("y").fit(&table).unwrap()).unwrap();
        let model = proto::Model::decode(&model.to_onnx(asked).unwrap()[..]).unwrap();
        let domains: Vec<&str> = model.opset_import.iter().map(|set| &*set.domain).collect();
        assert_eq!(domains, ["", graph::ML]);
        let names: Vec<_> =
            model.graph.unwrap().input.into_iter().map(|input| input.name).collect();
        assert_eq!(names, ["x", "x.b"]);
    }
}
