//! ONNX files against ONNX Runtime, where a Python has it: `UNISONO_PYTHON` names one, else `python3`.
#![cfg(feature = "onnx")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::matrix;
use ndarray::{Array2, ArrayView2};
use serde_json::{Value, json};
use unisono::{
    Activation, MinMaxScaler, Missing, OnnxOptions, Preprocessing, Preprocessor, Sequential,
    StandardScaler, Table, Unseen,
};

/// A Python that can import ONNX Runtime.
fn python() -> Option<String> {
    let python = std::env::var("UNISONO_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import onnx, onnxruntime, numpy"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    assert!(
        there || std::env::var("UNISONO_PYTHON").is_err(),
        "{python} has no onnxruntime or onnx"
    );
    if !there {
        eprintln!("skipped: {python} has no onnxruntime or onnx");
    }
    there.then_some(python)
}

#[derive(serde::Deserialize)]
struct Found {
    opsets: BTreeMap<String, i64>,
    rows: Vec<String>,
    y: Vec<Vec<f32>>,
}

/// What ONNX Runtime computes of the inputs, or says.
fn run_on(
    python: &str,
    model: &Sequential,
    options: OnnxOptions,
    inputs: &Value,
) -> Result<Array2<f32>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    model.export_onnx(path("model.onnx"), options).unwrap();
    std::fs::write(path("x"), inputs.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_runtime.py");
    let arguments = [path("model.onnx"), path("x"), path("y")];
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let found: Found = serde_json::from_slice(&std::fs::read(path("y")).unwrap()).unwrap();
    assert!(found.opsets[""] >= 17, "{:?}", found.opsets);
    assert!(found.rows.iter().all(|rows| rows == "rows"), "{:?}", found.rows);
    let values = found.y.concat();
    Ok(Array2::from_shape_vec((found.y.len(), model.outputs()), values).unwrap())
}

fn run(python: &str, model: &Sequential, options: OnnxOptions, x: ArrayView2<f32>) -> Array2<f32> {
    let rows: Vec<Vec<f32>> = x.outer_iter().map(|row| row.to_vec()).collect();
    run_on(python, model, options, &json!({ "x": rows })).unwrap()
}

fn assert_close(found: &Array2<f32>, expected: &Array2<f32>, what: &str) {
    assert_eq!(found.dim(), expected.dim(), "{what}");
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
            .layer_norm_with(0.01)
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

const RAW: OnnxOptions = OnnxOptions { preprocessing: true, logits: false };

#[test]
fn categories_and_missing_values_are_part_of_it() {
    let Some(python) = python() else { return };
    let text = "size,city,age,rooms,heated,price\n1,Rome,30,2,yes,200\n,Oslo,50,,no,260.5\n4,,20,3,yes,100\n7,Oslo,21,3,yes,99\n";
    let table = Table::from_csv_text(text).unwrap();
    let fitted = Preprocessor::new().target("price").missing(Missing::Mean).fit(&table).unwrap();
    let builder = Sequential::builder(fitted.features()).dense(5, Activation::Tanh);
    let mut model = builder.dense(1, Activation::Identity).build(1).unwrap();
    model.set_preprocessing(fitted).unwrap();
    let inputs = json!({
        "x": [[1, 30, 2], [null, 50, null], [4, 20, 3], [7, 21, 3]],
        "x.city": [["Rome"], ["Oslo"], [""], ["Oslo"]],
        "x.heated": [["yes"], ["no"], ["yes"], ["yes"]],
    });
    let found = run_on(&python, &model, RAW, &inputs).unwrap();
    assert_close(&found, &model.predict_table(&table).unwrap(), "mixed columns");

    let far = "t,y\n,1.5\n1600000,2.5\n1600010,3.5\n1600040,2.5\n";
    let table = Table::from_csv_text(far).unwrap();
    let fitted = Preprocessor::new().target("y").missing(Missing::Mean).fit(&table).unwrap();
    let mut model = Sequential::builder(1).dense(1, Activation::Identity).build(1).unwrap();
    model.set_preprocessing(fitted).unwrap();
    let inputs = json!({ "x": [[null], [1_600_000], [1_600_010], [1_600_040]] });
    let found = run_on(&python, &model, RAW, &inputs).unwrap();
    assert_close(&found, &model.predict_table(&table).unwrap(), "numbers far from zero");

    let unknown = json!({ "x.city": [["Paris"], ["Oslo"]] });
    let new = Table::from_csv_text("city\nParis\nOslo\n").unwrap();
    for unseen in [Unseen::Zeros, Unseen::Error] {
        let known = Table::from_csv_text("city,y\nRome,1\nOslo,0\nOslo,0\n").unwrap();
        let fitted = Preprocessor::new().target("y").unseen(unseen).fit(&known).unwrap();
        let mut model = Sequential::builder(2).dense(2, Activation::Softmax).build(1).unwrap();
        model.set_preprocessing(fitted).unwrap();
        let found = run_on(&python, &model, RAW, &unknown);
        match model.predict_table(&new) {
            Ok(expected) => assert_close(&found.unwrap(), &expected, "unseen"),
            Err(_) => assert!(found.unwrap_err().contains("OneHot"), "{unseen:?}"),
        }
    }
}

#[test]
fn scalers_are_part_of_it() {
    let Some(python) = python() else { return };
    // Far from zero, where f32 alone would lose the digits.
    let raw = matrix(20, 3, 1) + 30_000.0;
    let y = matrix(20, 2, 2) * 50.0;
    let standard = Preprocessing::from(StandardScaler::fit_array(raw.view()).unwrap())
        .with_target_scaler(StandardScaler::fit_array(y.view()).unwrap());
    let ranges = Preprocessing::from(MinMaxScaler::fit_array(raw.view(), -1.0, 1.0).unwrap())
        .with_target_scaler(MinMaxScaler::fit_array(y.view(), 0.0, 2.0).unwrap());
    for fitted in [standard, ranges] {
        let builder = Sequential::builder(3).dense(6, Activation::Tanh);
        let mut model = builder.dense(2, Activation::Identity).build(1).unwrap();
        model.set_preprocessing(fitted).unwrap();
        let found = run(&python, &model, RAW, raw.view());
        assert_close(&found, &model.predict_raw(raw.view()).unwrap(), "scaler");
    }
}
