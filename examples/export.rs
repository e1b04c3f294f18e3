//! Trains a model, saves it with its scaler, and hands it to others: to PyTorch as safetensors, to any
//! runtime as ONNX that takes raw rows.
//!
//! `cargo run --release --features onnx --example export [FOLDER]` writes into FOLDER (`export` unless
//! told) and prints how Python reads what it wrote.

use std::path::PathBuf;

use unisono::{
    Activation, Adam, CrossEntropy, OnnxOptions, Sequential, StandardScaler, TrainConfig, datasets,
    train_parallel,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "export".into());
    if folder.starts_with('-') {
        return Err(format!("usage: export [FOLDER], found {folder}").into());
    }
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let (train, test) = datasets::iris().split_stratified(0.2, 42)?;
    let scaler = StandardScaler::fit(&train)?;
    let mut model = Sequential::builder(train.features())
        .dense(16, Activation::Gelu)
        .dense(3, Activation::Softmax)
        .build(7)?;
    let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).epochs(100);
    train_parallel(&mut model, &scaler.transform(&train)?, &config)?;
    model.set_preprocessing(scaler)?; // from here on it takes raw rows

    let file = folder.join("iris.safetensors");
    model.save(&file)?;
    let back = Sequential::load(&file)?;
    assert_eq!(back.predict_raw(test.x())?, model.predict_raw(test.x())?);
    let names = back.class_names().unwrap_or_default();
    let classes = back.predict_raw_classes(test.x())?;
    println!("loaded again, it takes the first flower for {:?}", names[classes[0]]);

    let onnx = folder.join("iris.onnx");
    let options = OnnxOptions { preprocessing: true, ..OnnxOptions::default() };
    model.export_onnx(&onnx, options)?;
    println!(
        "
ONNX, raw rows in, probabilities out:
    session = onnxruntime.InferenceSession({:?})
    (y,) = session.run([\"y\"], {{\"x\": rows}})  # rows: float32, n x 4; y: n x 3

PyTorch, scaled rows in:
    net = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 3), nn.Softmax(dim=1))
    net.load_state_dict(safetensors.torch.load_file({:?}))
and back: save_file(net.state_dict(), PATH), then model.load_weights(PATH)",
        onnx.display().to_string(),
        file.display().to_string(),
    );
    Ok(())
}
