//! Model files from strangers: whatever the bytes, an error or a model that can be used.
//!
//! `cargo +nightly fuzz run model` searches; `cargo run --manifest-path fuzz/Cargo.toml --bin model --
//! FILE…` goes through files, without a nightly compiler.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ndarray::Array2;
use unisono::{OnnxOptions, Sequential, Table};

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = Sequential::from_bytes(bytes) else { return };
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.fingerprint(), model.fingerprint());
    if model.inputs() < 1 << 20 {
        let row = Array2::zeros((1, model.inputs()));
        let _ = model.predict(row.view());
        let _ = model.predict_raw(row.view());
    }
    let table = Table::from_csv_text("size,city\n1,Rome\n,Oslo\n").unwrap();
    let _ = model.predict_labels(&table);
    let _ = model.predict_table(&table);
    let _ = model.to_onnx(OnnxOptions { preprocessing: true, logits: true });
});
