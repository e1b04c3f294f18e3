//! Models in files: what comes back is what went in, and a broken file is an error.

mod common;

use common::Random;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use unisono::{
    Activation, Adam, CrossEntropy, Dataset, Huber, Init, Layer, Result, Sequential, TrainConfig,
    datasets, train_parallel,
};

/// Every layer and activation, in odd widths.
fn model() -> Sequential {
    let mut builder = Sequential::builder(5).layer_norm();
    for (width, activation) in [
        (17, Activation::Sigmoid),
        (33, Activation::Tanh),
        (3, Activation::Relu),
        (7, Activation::LeakyRelu { slope: 0.123_456_79 }),
        (250, Activation::Elu { alpha: 1.1 }),
        (41, Activation::Gelu),
        (2, Activation::Silu),
        (9, Activation::Softplus),
    ] {
        builder = builder.dense_init(width, activation, Init::HeNormal).dropout(0.1);
    }
    builder.dense(4, Activation::Softmax).build(11).unwrap()
}

fn x() -> Array2<f32> {
    Array2::from_shape_fn((13, 5), |(r, c)| (r as f32 - 6.0) * 0.3 + c as f32 * 0.1)
}

#[test]
fn every_layer_comes_back_to_the_bit() {
    let model = model();
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.fingerprint(), model.fingerprint());
    assert_eq!(back.predict(x().view()).unwrap(), model.predict(x().view()).unwrap());
    assert_eq!(back.to_string(), model.to_string());
    assert!(back.to_bytes().unwrap() == model.to_bytes().unwrap(), "the files differ");
}

#[test]
fn the_eps_of_a_layer_norm_is_part_of_the_model() {
    let build = |builder: unisono::SequentialBuilder| builder.build(1).unwrap();
    let model = build(Sequential::builder(5).layer_norm_with(0.3));
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.predict(x().view()).unwrap(), model.predict(x().view()).unwrap());
    assert_eq!(back.fingerprint(), model.fingerprint());
    let plain = build(Sequential::builder(5).layer_norm());
    assert_ne!(plain.fingerprint(), model.fingerprint());
    assert_ne!(plain.predict(x().view()).unwrap(), model.predict(x().view()).unwrap());
    let same = build(Sequential::builder(5).layer_norm_with(1e-5));
    assert_eq!(plain.fingerprint(), same.fingerprint());
}

#[test]
fn training_and_names_are_remembered_and_training_goes_on() {
    let data = datasets::iris();
    let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1).unwrap();
    let loss = CrossEntropy::default().label_smoothing(0.1).class_weights([1.0, 0.3, 1.7]);
    let config = TrainConfig::new(loss, Adam::new(0.1).beta2(0.995)).epochs(2).seed(9);
    train_parallel(&mut model, &data, &config).unwrap();
    let mut back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.class_names(), data.class_names());
    assert_eq!(back.feature_names(), data.feature_names());
    assert_eq!(format!("{:?}", back.trained_with()), format!("{:?}", model.trained_with()));
    assert_eq!(back.evaluate(&data).unwrap(), model.evaluate(&data).unwrap());
    train_parallel(&mut model, &data, &config).unwrap();
    train_parallel(&mut back, &data, &config).unwrap();
    assert_eq!(back.fingerprint(), model.fingerprint());
}

#[test]
fn the_tensors_are_those_of_a_pytorch_sequential() {
    let model = Sequential::builder(3)
        .dense(2, Activation::Relu)
        .dense(4, Activation::Identity)
        .build(1)
        .unwrap();
    let bytes = model.to_bytes().unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    assert_eq!(names, ["0.bias", "0.weight", "2.bias", "2.weight"]);
    let weight = tensors.tensor("2.weight").unwrap();
    assert_eq!(weight.shape(), [4, 2]);
    let first = f32::from_le_bytes(weight.data()[..4].try_into().unwrap());
    assert_eq!(first, model.weight("2.weight").unwrap()[[0, 0]]);
}

#[test]
fn weights_alone_go_into_a_model_of_the_same_layers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let source = model();
    source.save(&path).unwrap();
    let mut other = Sequential::from_bytes(&source.to_bytes().unwrap()).unwrap();
    other.set_weight("0.bias", ndarray::ArrayD::ones(vec![5]).view()).unwrap();
    assert_ne!(other.fingerprint(), source.fingerprint());
    other.load_weights(&path).unwrap();
    assert_eq!(other.fingerprint(), source.fingerprint());

    let mut wrong = Sequential::builder(5).dense(3, Activation::Relu).build(1).unwrap();
    let before = wrong.fingerprint();
    let error = wrong.load_weights(&path).unwrap_err().to_string();
    assert!(
        error.contains("weights.safetensors") && error.contains("\"0.weight\", \"0.bias\""),
        "{error}"
    );
    assert_eq!(wrong.fingerprint(), before);
}

/// Adds one to everything.
#[derive(Debug)]
struct PlusOne;

impl Layer for PlusOne {
    fn name(&self) -> String {
        "plus one".into()
    }
    fn outputs(&self, inputs: usize) -> Result<usize> {
        Ok(inputs)
    }
    fn forward(&self, _: &[f32], x: ArrayView2<f32>, mut y: ArrayViewMut2<f32>) {
        y.assign(&(&x + 1.0));
    }
    fn backward(
        &self,
        _: &[f32],
        _: ArrayView2<f32>,
        _: ArrayView2<f32>,
        dy: ArrayView2<f32>,
        mut dx: ArrayViewMut2<f32>,
    ) {
        dx.assign(&dy);
    }
}

#[test]
fn a_layer_of_ones_own_is_made_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = Sequential::builder(5).dense(3, Activation::Tanh).layer(PlusOne).build(1).unwrap();
    model.save(&path).unwrap();
    let error = Sequential::load(&path).unwrap_err().to_string();
    assert!(error.contains("layer 2 (plus one)") && error.contains("load_with"), "{error}");
    let make = |name: &str| (name == "plus one").then(|| Box::new(PlusOne) as Box<dyn Layer>);
    let back = Sequential::load_with(&path, make).unwrap();
    assert_eq!(back.fingerprint(), model.fingerprint());
    assert_eq!(back.predict(x().view()).unwrap(), model.predict(x().view()).unwrap());
}

/// A file with one tensor of three values and this metadata.
fn file(json: Option<&str>, tensor: &str, values: [f32; 3]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3], &bytes);
    let metadata = json.map(|json| [("unisono".to_owned(), json.to_owned())].into());
    safetensors::serialize([(tensor, view.unwrap())], metadata).unwrap()
}

#[test]
fn wrong_files_say_what_is_wrong() {
    let norm = |inputs: &str| {
        format!(
            r#"{{"version":1,"inputs":{inputs},"layers":[{{"layer":"layer_norm","eps":1e-5}}]}}"#
        )
    };
    let dense = |outputs: &str| {
        format!(
            r#"{{"version":1,"inputs":3,
                "layers":[{{"layer":"dense","outputs":{outputs},"init":"zeros"}}]}}"#
        )
    };
    let ok = [1.0; 3];
    for (bytes, expected) in [
        (vec![], "not a safetensors file"),
        (b"PK\x03\x04 something else entirely".to_vec(), "not a safetensors file"),
        (u64::MAX.to_le_bytes().to_vec(), "not a safetensors file"),
        (file(None, "0.weight", ok), "load_weights"),
        (file(Some("{"), "0.weight", ok), "metadata"),
        (file(Some(r#"{"version":1,"inputs":3,"layers":[{"layer":"conv"}]}"#), "a", ok), "conv"),
        (file(Some(r#"{"version":9,"inputs":3,"layers":[]}"#), "a", ok), "version 1 expected, 9"),
        (file(Some(r#"{"version":1,"inputs":3,"layers":[]}"#), "a", ok), "layers"),
        (file(Some(&norm("0")), "0.weight", ok), "inputs"),
        (file(Some(&norm("-1")), "0.weight", ok), "metadata"),
        (
            file(Some(&norm("4")), "0.weight", ok),
            "tensor 0.weight: expected F32 [4], found F32 [3]",
        ),
        (file(Some(&norm("3")), "0.weight", ok), "tensor 0.bias"),
        (file(Some(&norm("1000000000000")), "0.weight", ok), "[1000000000000]"),
        (file(Some(&dense("18446744073709551615")), "0.weight", ok), "memory"),
        (file(Some(&dense("100000000000")), "0.weight", ok), "[100000000000, 3]"),
        (
            file(
                Some(r#"{"version":1,"inputs":3,"layers":[{"layer":"dropout","rate":0.5}]}"#),
                "0.weight",
                ok,
            ),
            "not of this model",
        ),
        (
            file(
                Some(r#"{"version":1,"inputs":3,"layers":[{"layer":"dropout","rate":1.5}]}"#),
                "0.weight",
                ok,
            ),
            "below 1",
        ),
    ] {
        let error = Sequential::from_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
    let missing = Sequential::load("/no/such/file.safetensors").unwrap_err().to_string();
    assert!(missing.starts_with("/no/such/file.safetensors: "), "{missing}");
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let mut bytes =
        Sequential::builder(2).dense(1, Activation::Identity).build(1).unwrap().to_bytes().unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = Sequential::from_bytes(&bytes).unwrap_err().to_string();
    assert!(error.contains("expected finite values, found NaN"), "{error}");
}

#[test]
fn no_byte_sequence_makes_it_panic() {
    let data = Dataset::classification(x(), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]).unwrap();
    let mut model = Sequential::builder(5)
        .dense(4, Activation::LeakyRelu { slope: 0.5 })
        .layer_norm()
        .dense(3, Activation::Softmax)
        .build(1)
        .unwrap();
    train_parallel(&mut model, &data, &TrainConfig::new(CrossEntropy::default(), Adam::default()))
        .unwrap();
    let whole = model.to_bytes().unwrap();
    for end in 0..whole.len() {
        assert!(Sequential::from_bytes(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut random = Random::new(1);
    let mut random = || (random.bits() >> 33) as usize;
    let mut loaded = 0;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random() % 3 {
            let at = random() % bytes.len();
            bytes[at] = (random() >> 7) as u8;
        }
        if let Ok(model) = Sequential::from_bytes(&bytes) {
            // Whatever it is now, it can be used.
            let _ = model.predict(Array2::zeros((2, model.inputs().min(1 << 20))).view());
            loaded += 1;
        }
    }
    assert!((1_000..20_000).contains(&loaded), "{loaded} of 20,000 were read");
}

#[test]
fn a_regression_model_evaluates_with_the_loss_that_it_was_trained_with() {
    let data = datasets::synthetic_regression(60, 3, 2, 1).unwrap();
    let mut model = Sequential::builder(3).dense(2, Activation::Identity).build(1).unwrap();
    let config = TrainConfig::new(Huber::default(), Adam::default()).epochs(1);
    train_parallel(&mut model, &data, &config).unwrap();
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.evaluate(&data).unwrap(), model.evaluate(&data).unwrap());
}
