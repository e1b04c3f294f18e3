//! Model files from strangers: whatever the bytes, an error or a model that can be used.
//!
//! `cargo +nightly fuzz run model` searches; `cargo run --manifest-path fuzz/Cargo.toml --bin model --
//! FILE…` goes through files, without a nightly compiler.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ndarray::Array2;
use unisono::Sequential;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = Sequential::from_bytes(bytes) else { return };
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.fingerprint(), model.fingerprint());
    if model.inputs() < 1 << 20 {
        let _ = model.predict(Array2::zeros((1, model.inputs())).view());
    }
});
