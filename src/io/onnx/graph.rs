//! The nodes of an ONNX graph, one after the other.

use super::proto::{
    Attribute, Dimension, Graph, Model, Node, OperatorSet, Shape, Tensor, TensorType, ValueInfo,
    ValueType,
};
use crate::activation::Activation;

const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
const F32: i32 = 1;

/// Adds nodes, each to the output of the one before.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
    /// The newest output; empty for the input.
    newest: String,
}

impl Builder {
    pub fn parameter(&mut self, name: String, shape: &[usize], values: impl Iterator<Item = f32>) {
        self.tensors.push(Tensor {
            dims: shape.iter().map(|&d| d as i64).collect(),
            data_type: F32,
            name,
            raw_data: values.flat_map(f32::to_le_bytes).collect(),
        });
    }

    fn constant(&mut self, values: &[f32]) -> String {
        let name = format!("constant{}", self.tensors.len());
        let shape = if values.len() == 1 { vec![] } else { vec![values.len()] };
        self.parameter(name.clone(), &shape, values.iter().copied());
        name
    }

    fn newest(&self) -> String {
        if self.newest.is_empty() { "x".to_owned() } else { self.newest.clone() }
    }

    /// Adds a node and makes its output the newest.
    fn node(&mut self, op: &str, inputs: Vec<String>, attribute: Vec<Attribute>) {
        let output = format!("value{}", self.nodes.len());
        self.nodes.push(Node {
            input: inputs,
            output: vec![output.clone()],
            name: format!("node{}", self.nodes.len()),
            op_type: op.to_owned(),
            attribute,
        });
        self.newest = output;
    }

    /// A node with the newest output as its only input.
    fn unary(&mut self, op: &str, attribute: Vec<Attribute>) {
        self.node(op, vec![self.newest()], attribute);
    }

    /// A node with the newest output and a constant.
    fn with_constant(&mut self, op: &str, values: &[f32]) {
        let constant = self.constant(values);
        self.node(op, vec![self.newest(), constant], vec![]);
    }

    /// (x - mean) / scale for each column.
    pub fn standardize(&mut self, moments: Vec<(f32, f32)>) {
        let (means, scales): (Vec<f32>, Vec<f32>) = moments.into_iter().unzip();
        self.with_constant("Sub", &means);
        self.with_constant("Div", &scales);
    }

    /// y scale + mean.
    pub fn restore(&mut self, mean: f32, scale: f32) {
        self.with_constant("Mul", &[scale]);
        self.with_constant("Add", &[mean]);
    }

    /// x W^T + b, with W as (out, in).
    pub fn dense(&mut self, weight: String, bias: String) {
        let transposed = vec![integer("transB", 1)];
        self.node("Gemm", vec![self.newest(), weight, bias], transposed);
    }

    pub fn layer_norm(&mut self, weight: String, bias: String, eps: f32) {
        let attributes = vec![integer("axis", -1), float("epsilon", eps)];
        self.node("LayerNormalization", vec![self.newest(), weight, bias], attributes);
    }

    pub fn activation(&mut self, activation: Activation) {
        match activation {
            Activation::Identity => {}
            Activation::Sigmoid => self.unary("Sigmoid", vec![]),
            Activation::Tanh => self.unary("Tanh", vec![]),
            Activation::Relu => self.unary("Relu", vec![]),
            Activation::LeakyRelu { slope } => {
                self.unary("LeakyRelu", vec![float("alpha", slope)]);
            }
            Activation::Elu { alpha } => self.unary("Elu", vec![float("alpha", alpha)]),
            Activation::Gelu => self.gelu(),
            Activation::Silu => {
                let x = self.newest();
                self.unary("Sigmoid", vec![]);
                self.node("Mul", vec![x, self.newest()], vec![]);
            }
            Activation::Softplus => self.unary("Softplus", vec![]),
            Activation::Softmax => self.unary("Softmax", vec![integer("axis", -1)]),
        }
    }

    /// x (1 + erf(x / sqrt 2)) / 2: opset 17 has no node for it.
    fn gelu(&mut self) {
        let x = self.newest();
        self.with_constant("Mul", &[std::f32::consts::FRAC_1_SQRT_2]);
        self.unary("Erf", vec![]);
        self.with_constant("Add", &[1.0]);
        self.node("Mul", vec![x, self.newest()], vec![]);
        self.with_constant("Mul", &[0.5]);
    }

    /// The whole file.
    pub fn finish(mut self, inputs: usize, outputs: usize) -> Model {
        self.unary("Identity", vec![]);
        if let Some(last) = self.nodes.last_mut() {
            last.output = vec!["y".to_owned()];
        }
        let graph = Graph {
            node: self.nodes,
            name: "unisono".to_owned(),
            initializer: self.tensors,
            input: vec![value("x", inputs)],
            output: vec![value("y", outputs)],
        };
        Model {
            ir_version: IR_VERSION,
            producer_name: "unisono".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        }
    }
}

fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.to_owned(), f, i: 0, kind: 1 }
}

fn integer(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), f: 0.0, i, kind: 2 }
}

/// Any number of rows by `columns` values.
fn value(name: &str, columns: usize) -> ValueInfo {
    let rows = Dimension { value: None, param: Some("rows".to_owned()) };
    let columns = Dimension { value: Some(columns as i64), param: None };
    let shape = Some(Shape { dim: vec![rows, columns] });
    let tensor = Some(TensorType { elem_type: F32, shape });
    ValueInfo { name: name.to_owned(), kind: Some(ValueType { tensor }) }
}
