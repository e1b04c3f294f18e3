//! Files made to do harm: whatever they say, an error or something that can be used, and never a panic.

mod common;

use std::fs;

use common::Random;
use ndarray::Array2;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, CsvOptions, DataStream, Dataset, Init,
    MinMaxScaler, Missing, Preprocessor, Sequential, StandardScaler, Table, TrainConfig, Trainer,
    datasets, train_parallel,
};

/// A number below `n`.
fn below(random: &mut Random, n: usize) -> usize {
    (random.bits() % n as u64) as usize
}

/// What a stranger may write in the place of a value.
fn odd_value(random: &mut Random) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(3),
        json!(2.5),
        json!(1e300),
        json!(-1e-300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1_u64 << 53),
        json!(""),
        json!("7ff0000000000000"),
        json!("ffffffffffffffff"),
        json!("relu"),
        json!([]),
        json!([1, 2]),
        json!({}),
        json!({"standard": {"mean": [1e308, -1e308], "scale": [1e-308, 1.0]}}),
    ];
    all[below(random, all.len())].clone()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the `at`th value below this one: another value, or a list or object one item longer or
/// shorter.
fn change(value: &mut Value, at: &mut usize, random: &mut Random) {
    if *at == 0 {
        match value {
            Value::Array(items) if !items.is_empty() && random.bits() % 4 < 3 => {
                let item = below(random, items.len());
                if random.bits().is_multiple_of(2) {
                    items.push(items[item].clone());
                } else {
                    items.remove(item);
                }
            }
            Value::Object(fields) if !fields.is_empty() && random.bits() % 4 < 3 => {
                let names: Vec<String> = fields.keys().cloned().collect();
                fields.remove(&names[below(random, names.len())]);
            }
            _ => *value = odd_value(random),
        }
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    let inside: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => vec![],
    };
    for value in inside {
        if *at != usize::MAX {
            change(value, at, random);
        }
    }
}

fn changed(mut value: Value, random: &mut Random) -> Value {
    for _ in 0..=below(random, 3) {
        let mut at = below(random, count(&value));
        change(&mut value, &mut at, random);
    }
    value
}

/// A model of random layers, with random preprocessing.
fn random_model(random: &mut Random) -> Sequential {
    const ACTIVATIONS: [Activation; 10] = [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.3 },
        Activation::Elu { alpha: 0.7 },
        Activation::Gelu,
        Activation::Silu,
        Activation::Softplus,
        Activation::Softmax,
    ];
    let inputs = 1 + below(random, 40);
    let mut builder = Sequential::builder(inputs);
    for _ in 0..=below(random, 5) {
        let activation = ACTIVATIONS[below(random, 10)];
        let width = 1 + below(random, 50);
        builder = match below(random, 5) {
            0 => builder.layer_norm(),
            1 => builder.dropout(0.5),
            2 => builder.activation(activation),
            3 => builder.dense_init(width, activation, Init::HeUniform),
            _ => builder.dense(width, activation),
        };
    }
    let mut model = builder.build(random.bits()).unwrap();
    let raw = Array2::from_shape_simple_fn((7, inputs), || random.value());
    match below(random, 3) {
        0 => {}
        1 => model.set_preprocessing(StandardScaler::fit_array(raw.view()).unwrap()).unwrap(),
        _ => {
            model.set_preprocessing(MinMaxScaler::fit_array(raw.view(), 0.0, 1.0).unwrap()).unwrap()
        }
    }
    model
}

#[test]
fn any_model_comes_back_as_it_was() {
    let mut random = Random::new(3);
    for _ in 0..300 {
        let model = random_model(&mut random);
        let bytes = model.to_bytes().unwrap();
        let back = Sequential::from_bytes(&bytes).unwrap();
        assert_eq!(back.fingerprint(), model.fingerprint(), "{model}");
        assert_eq!(back.preprocessing(), model.preprocessing());
        assert_eq!(back.to_bytes().unwrap(), bytes);
        let x = Array2::from_shape_simple_fn((3, model.inputs()), || random.value());
        assert_eq!(back.predict(x.view()).unwrap(), model.predict(x.view()).unwrap());
        assert_eq!(back.predict_raw(x.view()).ok(), model.predict_raw(x.view()).ok());
    }
}

/// Whatever was loaded can be used in every way.
fn use_model(model: &Sequential, table: &Table) {
    let rows = Array2::zeros((2, model.inputs().min(1 << 16)));
    let _ = model.predict(rows.view());
    let _ = model.predict_classes(rows.view());
    let _ = model.predict_raw(rows.view());
    let _ = model.predict_table(table);
    let _ = model.predict_labels(table);
    let _ = (model.to_string(), model.trained_with().map(|config| format!("{config:?}")));
    #[cfg(feature = "onnx")]
    for preprocessing in [false, true] {
        let _ = model.to_onnx(unisono::OnnxOptions { preprocessing, logits: preprocessing });
    }
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_eq!(back.fingerprint(), model.fingerprint());
}

#[test]
fn no_metadata_make_a_model_that_panics() {
    let text = "size,city,kind\n1,Rome,a\n,Oslo,b\n3,,a\n";
    let table = Table::from_csv_text(text).unwrap();
    let fitted = Preprocessor::new().target("kind").missing(Missing::Mean).fit(&table).unwrap();
    let data = fitted.dataset(&table).unwrap();
    let builder = Sequential::builder(3).dense(5, Activation::LeakyRelu { slope: 0.5 });
    let builder = builder.layer_norm().dropout(0.2);
    let mut model = builder.dense(2, Activation::Softmax).build(1).unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::default()).epochs(1);
    train_parallel(&mut model, &data, &config).unwrap();
    let mut models = [model.clone(), model];
    models[0].set_preprocessing(fitted).unwrap();
    models[1].set_preprocessing(StandardScaler::fit(&data).unwrap()).unwrap();

    let mut random = Random::new(5);
    let mut loaded = 0;
    for round in 0..6000 {
        let bytes = models[round % 2].to_bytes().unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let json = metadata.metadata().as_ref().unwrap()["unisono"].clone();
        let spec = changed(serde_json::from_str(&json).unwrap(), &mut random);
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let metadata = Some([("unisono".to_owned(), spec.to_string())].into());
        let bytes = safetensors::serialize(tensors.tensors(), metadata).unwrap();
        if let Ok(model) = Sequential::from_bytes(&bytes) {
            use_model(&model, &table);
            loaded += 1;
        }
    }
    assert!((300..5500).contains(&loaded), "{loaded} of 6,000 were loaded");
}

/// The checksum of a checkpoint, which a stranger can compute too.
fn checksum(run: &str, tensors: &[(String, TensorView)]) -> String {
    let tensor = |(name, view): &(String, TensorView)| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(name.as_bytes());
        hasher.update(view.data());
        u64::from(hasher.finalize())
    };
    format!(
        "{:x}",
        u64::from(crc32fast::hash(run.as_bytes())) + tensors.iter().map(tensor).sum::<u64>()
    )
}

#[test]
fn no_checkpoint_makes_a_run_that_panics() {
    let data = datasets::synthetic_classification(60, 4, 3, 5).unwrap();
    let model = || {
        let builder = Sequential::builder(4).dense(5, Activation::Relu).dropout(0.3);
        builder.dense(3, Activation::Softmax).build(2).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
        .epochs(3)
        .batch_size(20)
        .validation(data.clone())
        .early_stopping(unisono::EarlyStopping::new(2))
        .checkpoint(Checkpoint::new(folder.path()).every_steps(1).keep(1).resume(true));
    let mut first = model();
    let mut trainer = Trainer::new(&mut first, &data, &config).unwrap();
    common::make_steps(&mut trainer, 5);
    let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&whole).unwrap();
    let sealed: Value =
        serde_json::from_str(&metadata.metadata().as_ref().unwrap()["unisono_run"]).unwrap();
    let mut run: Value = serde_json::from_str(sealed["run"].as_str().unwrap()).unwrap();
    // Most changes of these two numbers are refused.
    run.as_object_mut().unwrap().remove("validation");
    let tensors = SafeTensors::deserialize(&whole).unwrap().tensors();

    let mut random = Random::new(9);
    let mut resumed = 0;
    for _ in 0..2000 {
        let run = changed(run.clone(), &mut random).to_string();
        let mut kept = tensors.clone();
        if random.bits().is_multiple_of(8) {
            kept.remove(below(&mut random, kept.len()));
        }
        let sealed = json!({ "checksum": checksum(&run, &kept), "run": run }).to_string();
        let metadata = Some([("unisono_run".to_owned(), sealed)].into());
        for old in fs::read_dir(folder.path()).unwrap() {
            fs::remove_file(old.unwrap().path()).unwrap();
        }
        fs::write(&path, safetensors::serialize(kept, metadata).unwrap()).unwrap();
        let mut model = model();
        if let Ok(mut trainer) = Trainer::new(&mut model, &data, &config) {
            let _ = trainer.run();
            let _ = trainer.history().to_string();
            resumed += 1;
        }
    }
    assert!((50..1950).contains(&resumed), "{resumed} of 2,000 were resumed");
}

#[test]
fn no_bytes_of_csv_make_a_reader_panic() {
    let text = "\u{feff}a,b,\"c\nd\",y\n1,2,x,0\n\"3\",,\"q\"\"q\",1\n,5e30,NA,0\r\n-1,inf,x,1\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let mut random = Random::new(4);
    for _ in 0..3000 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=below(&mut random, 4) {
            let at = below(&mut random, bytes.len());
            match random.bits() % 3 {
                0 => bytes[at] = b",\"\n\r\0;\xff1e"[below(&mut random, 9)],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[below(&mut random, bytes.len())]),
            }
        }
        fs::write(&path, &bytes).unwrap();
        let options = CsvOptions::default().ignore("b").classes();
        let _ = Dataset::from_csv(&path, &options);
        let _ = DataStream::csv(&path, &options).and_then(|stream| stream.first_rows(9));
        if let Ok(table) = Table::from_csv(&path) {
            let target = table.columns().last().unwrap().clone();
            let preprocessor = Preprocessor::new().target(target).missing(Missing::Mean);
            if let Ok(fitted) = preprocessor.fit(&table) {
                assert!(fitted.transform(&table).unwrap().nrows() == table.rows());
            }
        }
    }
}
