//! ONNX files against ONNX Runtime, where a Python has it: `UNISONO_PYTHON` names one, else `python3`.
#![cfg(feature = "onnx")]

mod common;

use std::path::Path;
use std::process::Command;

use common::matrix;
use ndarray::{Array2, ArrayView2};
use unisono::{Activation, OnnxOptions, Preprocessor, Sequential, Table};

/// A Python that can import ONNX Runtime.
fn python() -> Option<String> {
    let python = std::env::var("UNISONO_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import onnxruntime, numpy"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    assert!(there || std::env::var("UNISONO_PYTHON").is_err(), "{python} has no onnxruntime");
    if !there {
        eprintln!("skipped: {python} has no onnxruntime");
    }
    there.then_some(python)
}

/// What ONNX Runtime computes.
fn run(python: &str, model: &Sequential, options: OnnxOptions, x: ArrayView2<f32>) -> Array2<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    model.export_onnx(path("model.onnx"), options).unwrap();
    let bytes: Vec<u8> = x.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(path("x"), bytes).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_runtime.py");
    let output = Command::new(python)
        .arg(script)
        .args([path("model.onnx"), path("x")])
        .arg(x.ncols().to_string())
        .arg(path("y"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(path("y")).unwrap();
    let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Array2::from_shape_vec((x.nrows(), model.outputs()), values).unwrap()
}

fn assert_close(found: &Array2<f32>, expected: &Array2<f32>, what: &str) {
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(error <= 1e-5 * expected.abs().max(1.0), "{what}: {found} for {expected}");
    }
}

#[test]
fn every_layer_and_activation_computes_the_same() {
    let Some(python) = python() else { return };
    let x = matrix(37, 6, 1) * 4.0;
    for activation in [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.2 },
        Activation::Elu { alpha: 1.3 },
        Activation::Gelu,
        Activation::Silu,
        Activation::Softplus,
        Activation::Softmax,
    ] {
        let model = Sequential::builder(6)
            .dense(19, activation)
            .dropout(0.3)
            .layer_norm()
            .dense(4, activation)
            .build(3)
            .unwrap();
        let found = run(&python, &model, OnnxOptions::default(), x.view());
        assert_close(&found, &model.predict(x.view()).unwrap(), &activation.to_string());
        let one = x.slice_axis(ndarray::Axis(0), ndarray::Slice::from(..1));
        let found = run(&python, &model, OnnxOptions::default(), one);
        assert_close(&found, &model.predict(one).unwrap(), "one row");
    }
}

#[test]
fn logits_and_preprocessing_are_part_of_it_on_request() {
    let Some(python) = python() else { return };
    let model = Sequential::builder(6).dense(5, Activation::Softmax).build(3).unwrap();
    let bare = {
        let mut bare = Sequential::builder(6).dense(5, Activation::Identity).build(3).unwrap();
        for name in model.weight_names() {
            bare.set_weight(&name, model.weight(&name).unwrap().view()).unwrap();
        }
        bare
    };
    let x = matrix(9, 6, 2);
    let options = OnnxOptions { logits: true, ..OnnxOptions::default() };
    let found = run(&python, &model, options, x.view());
    assert_close(&found, &bare.predict(x.view()).unwrap(), "logits");

    let text = "a,b,y\n1,30,200\n2,50,260.5\n4,20,100\n";
    let table = Table::from_csv_text(text).unwrap();
    let mut model = Sequential::builder(2).dense(1, Activation::Identity).build(1).unwrap();
    model.set_preprocessing(Preprocessor::new().target("y").fit(&table).unwrap()).unwrap();
    let raw = ndarray::array![[1.0, 30.0], [2.0, 50.0], [4.0, 20.0]];
    let options = OnnxOptions { preprocessing: true, ..OnnxOptions::default() };
    let found = run(&python, &model, options, raw.view());
    assert_close(&found, &model.predict_table(&table).unwrap(), "preprocessing");
}
