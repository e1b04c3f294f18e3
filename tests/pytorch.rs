//! Weights into a PyTorch `nn.Sequential` and back, by PyTorch's own loaders, where a Python has them:
//! `UNISONO_TORCH` names one, else `python3`.

mod common;

use std::path::Path;
use std::process::Command;

use common::matrix;
use ndarray::Array2;
use unisono::{Activation, Sequential};

#[derive(serde::Deserialize)]
struct Found {
    torch: String,
    before: Vec<Vec<f32>>,
    after: Vec<Vec<f32>>,
}

fn model() -> Sequential {
    let mut builder = Sequential::builder(6).layer_norm();
    for (width, activation) in [
        (17, Activation::Sigmoid),
        (33, Activation::Tanh),
        (16, Activation::Relu),
        (20, Activation::LeakyRelu { slope: 0.2 }),
        (9, Activation::Elu { alpha: 1.3 }),
        (41, Activation::Gelu),
        (12, Activation::Silu),
        (19, Activation::Softplus),
        (8, Activation::Identity),
    ] {
        builder = builder.dense(width, activation).dropout(0.1);
    }
    builder.layer_norm_with(0.01).dense(4, Activation::Softmax).build(11).unwrap()
}

fn assert_close(model: &Sequential, x: &Array2<f32>, expected: &[Vec<f32>], what: &str) {
    let found = model.predict(x.view()).unwrap();
    for (found, expected) in found.iter().zip(expected.concat()) {
        assert!((found - expected).abs() <= 1e-5, "{what}: {found} for {expected}");
    }
}

#[test]
fn weights_load_into_a_pytorch_sequential_and_back() {
    let named = std::env::var("UNISONO_TORCH");
    let python = named.clone().unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import torch, safetensors.torch"]).output();
    let there = there.is_ok_and(|output| output.status.success());
    assert!(there || named.is_err(), "{python} has no torch or no safetensors");
    if !there {
        eprintln!("skipped: {python} has no torch or no safetensors");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut model = model();
    model.save(path("model.safetensors")).unwrap();
    let x = matrix(37, 6, 1);
    let rows: Vec<Vec<f32>> = x.outer_iter().map(|row| row.to_vec()).collect();
    std::fs::write(path("x.json"), serde_json::to_string(&rows).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch_sequential.py");
    let files = ["model.safetensors", "x.json", "out.json", "weights.safetensors"].map(path);
    let output = Command::new(python).arg(script).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Found = serde_json::from_slice(&std::fs::read(path("out.json")).unwrap()).unwrap();

    assert_close(&model, &x, &found.before, &format!("into PyTorch {}", found.torch));
    let before = model.fingerprint();
    model.load_weights(path("weights.safetensors")).unwrap();
    assert_ne!(model.fingerprint(), before);
    assert_close(&model, &x, &found.after, &format!("back from PyTorch {}", found.torch));
}
