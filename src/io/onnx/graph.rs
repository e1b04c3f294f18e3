//! The nodes of an ONNX graph, one after the other.

use super::proto::{
    Attribute, Dimension, Graph, Model, Node, OperatorSet, Shape, Tensor, TensorType, ValueInfo,
    ValueType,
};
use crate::activation::Activation;

const OPSET: i64 = 17;
/// Operators of the domain [`ML`], as of ONNX's version with opset 17.
const ML_OPSET: i64 = 3;
const IR_VERSION: i64 = 8;
const F32: i32 = 1;
const I64: i32 = 7;
const TEXT: i32 = 8;
const F64: i32 = 11;

/// The domain of operators for what is not tensors of numbers.
pub(super) const ML: &str = "ai.onnx.ml";

/// Adds nodes, each to the output of the one before.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
    inputs: Vec<ValueInfo>,
    /// The newest output.
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

    fn raw(&mut self, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> String {
        let name = format!("constant{}", self.tensors.len());
        let dims = shape.iter().map(|&d| d as i64).collect();
        self.tensors.push(Tensor { dims, data_type, name: name.clone(), raw_data });
        name
    }

    pub fn constant(&mut self, values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(F32, &shape(values.len()), bytes)
    }

    fn doubles(&mut self, values: &[f64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.raw(F64, &shape(values.len()), bytes)
    }

    /// Declares an input of rows of numbers, and makes it the newest output.
    pub fn input(&mut self, name: &str, columns: usize) -> String {
        self.inputs.push(value(name, F32, columns));
        self.newest = name.to_owned();
        self.newest()
    }

    /// Declares an input of one text a row, and makes it the newest output.
    pub fn text_input(&mut self, name: &str) -> String {
        self.inputs.push(value(name, TEXT, 1));
        self.newest = name.to_owned();
        self.newest()
    }

    pub fn newest(&self) -> String {
        self.newest.clone()
    }

    /// Adds a node and makes its output the newest.
    pub fn node(&mut self, op: &str, inputs: Vec<String>, attribute: Vec<Attribute>) -> String {
        self.node_of("", op, inputs, attribute)
    }

    pub fn node_of(
        &mut self,
        domain: &str,
        op: &str,
        inputs: Vec<String>,
        attribute: Vec<Attribute>,
    ) -> String {
        let output = format!("value{}", self.nodes.len());
        self.nodes.push(Node {
            input: inputs,
            output: vec![output.clone()],
            name: format!("node{}", self.nodes.len()),
            op_type: op.to_owned(),
            attribute,
            domain: domain.to_owned(),
        });
        self.newest = output;
        self.newest()
    }

    /// A node with the newest output as its only input.
    pub fn unary(&mut self, op: &str, attribute: Vec<Attribute>) -> String {
        self.node(op, vec![self.newest()], attribute)
    }

    /// A node with the newest output and a constant.
    pub fn with_constant(&mut self, op: &str, values: &[f32]) -> String {
        let constant = self.constant(values);
        self.node(op, vec![self.newest(), constant], vec![])
    }

    fn with_doubles(&mut self, op: &str, values: &[f64]) {
        let constant = self.doubles(values);
        self.node(op, vec![self.newest(), constant], vec![]);
    }

    /// Makes an output the newest.
    pub fn choose(&mut self, output: &str) {
        output.clone_into(&mut self.newest);
    }

    /// Some columns of the newest output.
    pub fn columns(&mut self, columns: std::ops::Range<usize>) -> String {
        let indices: Vec<u8> = columns.clone().flat_map(|i| (i as i64).to_le_bytes()).collect();
        let indices = self.raw(I64, &[columns.len()], indices);
        self.node("Gather", vec![self.newest(), indices], vec![integer("axis", 1)])
    }

    /// Arithmetic on every column in f64, as scalers do it.
    pub fn in_doubles(&mut self, steps: &[(&str, Vec<f64>)]) -> String {
        self.unary("Cast", vec![integer("to", F64.into())]);
        for (op, values) in steps {
            self.with_doubles(op, values);
        }
        self.unary("Cast", vec![integer("to", F32.into())])
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
            Activation::Gelu => self.gelu(),
            Activation::Silu => {
                let x = self.newest();
                let gate = self.unary("Sigmoid", vec![]);
                self.node("Mul", vec![x, gate], vec![]);
            }
            other => {
                let (op, attributes) = operator(other);
                self.unary(op, attributes);
            }
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
    pub fn finish(mut self, outputs: usize) -> Model {
        self.unary("Identity", vec![]);
        if let Some(last) = self.nodes.last_mut() {
            last.output = vec!["y".to_owned()];
        }
        let graph = Graph {
            node: self.nodes,
            name: "unisono".to_owned(),
            initializer: self.tensors,
            input: self.inputs,
            output: vec![value("y", F32, outputs)],
        };
        let mut opset_import = vec![OperatorSet { domain: String::new(), version: OPSET }];
        if graph.node.iter().any(|node| node.domain == ML) {
            opset_import.push(OperatorSet { domain: ML.to_owned(), version: ML_OPSET });
        }
        Model {
            ir_version: IR_VERSION,
            producer_name: "unisono".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(graph),
            opset_import,
        }
    }
}

/// The operator that is an activation by itself.
fn operator(activation: Activation) -> (&'static str, Vec<Attribute>) {
    match activation {
        Activation::Sigmoid => ("Sigmoid", vec![]),
        Activation::Tanh => ("Tanh", vec![]),
        Activation::Relu => ("Relu", vec![]),
        Activation::LeakyRelu { slope } => ("LeakyRelu", vec![float("alpha", slope)]),
        Activation::Elu { alpha } => ("Elu", vec![float("alpha", alpha)]),
        Activation::Softplus => ("Softplus", vec![]),
        Activation::Softmax => ("Softmax", vec![integer("axis", -1)]),
        Activation::Identity | Activation::Gelu | Activation::Silu => ("Identity", vec![]),
    }
}

fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.to_owned(), f, kind: 1, ..Attribute::default() }
}

pub(super) fn integer(name: &str, i: i64) -> Attribute {
    Attribute { name: name.to_owned(), i, kind: 2, ..Attribute::default() }
}

pub(super) fn texts(name: &str, strings: &[String]) -> Attribute {
    let strings = strings.to_vec();
    Attribute { name: name.to_owned(), strings, kind: 8, ..Attribute::default() }
}

/// A single value has no dimension, so that it goes with any number of columns.
fn shape(len: usize) -> Vec<usize> {
    if len == 1 { vec![] } else { vec![len] }
}

/// Any number of rows by `columns` values.
fn value(name: &str, elem_type: i32, columns: usize) -> ValueInfo {
    let rows = Dimension { value: None, param: Some("rows".to_owned()) };
    let columns = Dimension { value: Some(columns as i64), param: None };
    let shape = Some(Shape { dim: vec![rows, columns] });
    let tensor = Some(TensorType { elem_type, shape });
    ValueInfo { name: name.to_owned(), kind: Some(ValueType { tensor }) }
}
