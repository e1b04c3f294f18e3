//! Streams: the bits of training in memory, whatever the threads and the timing, and clear errors.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{bits, classes, values};
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, CsvOptions, DataSource, DataStream, Dataset, Flow,
    MeanSquaredError, MinMaxScaler, Observer, Sequential, StandardScaler, StepReport, TrainConfig,
    Trainer, train_parallel,
};

/// Writes a data set as CSV in so many parts.
fn parts(folder: &Path, data: &Dataset, parts: usize) -> PathBuf {
    let header: Vec<_> = (0..data.features()).map(|column| format!("x{column}")).collect();
    for part in 0..parts {
        let mut text = format!("{},y\n", header.join(","));
        let rows = part * data.rows() / parts..(part + 1) * data.rows() / parts;
        for row in rows {
            let features: Vec<_> = data.x().row(row).iter().map(f32::to_string).collect();
            let target = match data.labels() {
                Some(labels) => labels[row].to_string(),
                None => data.values().unwrap()[(row, 0)].to_string(),
            };
            text += &format!("{},{target}\n", features.join(","));
        }
        std::fs::write(folder.join(format!("{part:03}.csv")), text).unwrap();
    }
    folder.to_owned()
}

fn labelled(folder: &Path, data: &Dataset, count: usize) -> DataStream {
    let names: Vec<_> = (0..data.classes().unwrap()).map(|class| class.to_string()).collect();
    let options = CsvOptions::new("y").class_names(names);
    DataStream::csv(parts(folder, data, count), &options).unwrap()
}

fn net(features: usize) -> Sequential {
    let builder = Sequential::builder(features).dense(20, Activation::Relu).dropout(0.2);
    builder.dense(3, Activation::Softmax).build(1).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).epochs(3).batch_size(50).seed(5)
}

fn trained<'a>(data: impl Into<DataSource<'a>>, config: &TrainConfig) -> (u64, Vec<f64>) {
    let data = data.into();
    let mut model = net(data.features());
    let history = Trainer::new(&mut model, data, config).unwrap().run().unwrap();
    (model.fingerprint(), history.epochs.iter().map(|epoch| epoch.loss).collect())
}

#[test]
fn without_shuffling_the_bits_are_those_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(317, 7, 3, 1);
    let stream = labelled(folder.path(), &data, 3);
    let options = CsvOptions::new("y").class_names(stream.class_names().unwrap().to_vec());
    let list = DataStream::csv(stream.files().to_vec(), &options).unwrap();
    assert_eq!(trained(&list, &config()), trained(&stream, &config()));
    for drop_last in [false, true] {
        let config = config().shuffle(false).drop_last(drop_last);
        assert_eq!(trained(&stream, &config), trained(&data, &config), "drop_last {drop_last}");
    }
    let scaler = StandardScaler::fit(&data).unwrap();
    let (scaled, data) = (scaler.transform(&data).unwrap(), stream.scaled(scaler).unwrap());
    let config = config().shuffle(false);
    assert_eq!(trained(&data, &config), trained(&scaled, &config));
}

/// Makes the trainer slow now and then, so that the reader runs ahead or not.
struct Slow;

impl Observer for Slow {
    fn epoch(&mut self, _: &unisono::EpochReport, _: usize) -> unisono::Result<Flow> {
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> unisono::Result<Flow> {
        if report.step.is_multiple_of(3) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Flow::Continue)
    }

    fn wants_steps(&self) -> bool {
        true
    }
}

#[test]
fn threads_and_timing_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let stream = labelled(folder.path(), &classes(317, 7, 3, 1), 4).window(60);
    let first = trained(&stream, &config().exact_threads(1));
    for threads in [2, 3, 7] {
        assert_eq!(trained(&stream, &config().exact_threads(threads)), first, "{threads} threads");
    }
    assert_eq!(trained(&stream, &config().observer(Slow)), first);
    assert_ne!(trained(&stream, &config().seed(6)), first);
    assert_ne!(trained(&stream.clone().window(61), &config()), first);
}

#[test]
fn a_run_that_stopped_anywhere_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let stream = labelled(folder.path(), &classes(317, 7, 3, 1), 4).window(60);
    let whole = trained(&stream, &config());
    for steps in [1, 6, 7, 9, 14] {
        let saved = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(saved.path()).every_steps(1).resume(true);
        let config = config().checkpoint(checkpoint);
        let mut model = net(7);
        let mut trainer = Trainer::new(&mut model, &stream, &config).unwrap();
        for _ in 0..steps {
            trainer.step().unwrap();
        }
        drop(trainer);
        assert_eq!(trained(&stream, &config), whole, "after {steps} steps");
        let error = Trainer::new(&mut net(7), &stream.clone().window(61), &config).unwrap_err();
        assert!(error.to_string().contains("window of 61 rows"), "{error}");
    }
}

#[test]
fn evaluation_is_that_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(5000, 7, 3, 2);
    let stream = labelled(folder.path(), &data, 2);
    let model = net(7);
    let (streamed, in_memory) = (model.evaluate(&stream).unwrap(), model.evaluate(&data).unwrap());
    assert_eq!(streamed.loss.to_bits(), in_memory.loss.to_bits());
    assert_eq!(streamed.accuracy, in_memory.accuracy);
}

#[test]
fn values_stream_as_classes_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = values(200, 4, 1, 3);
    let options = CsvOptions::new("y").values();
    let stream = DataStream::csv(parts(folder.path(), &data, 2), &options).unwrap();
    let config = TrainConfig::new(MeanSquaredError, Adam::new(0.01)).shuffle(false);
    let trained = |data: DataSource| {
        let builder = Sequential::builder(4).dense(8, Activation::Tanh);
        let mut model = builder.dense(1, Activation::Identity).build(1).unwrap();
        train_parallel(&mut model, data, &config).unwrap();
        model.fingerprint()
    };
    assert_eq!(trained((&stream).into()), trained((&data).into()));
    let all = stream.first_rows(1000).unwrap();
    assert_eq!(bits(all.x().iter()), bits(data.x().iter()));
    assert_eq!(bits(all.values().unwrap().iter()), bits(data.values().unwrap().iter()));
}

#[test]
fn the_window_holds_64_mb_of_features_and_target_values() {
    let folder = tempfile::tempdir().unwrap();
    let files = parts(folder.path(), &classes(30, 4, 3, 1), 1);
    let shown = |options: CsvOptions| DataStream::csv(&*files, &options).unwrap().to_string();
    let rows = (64 << 20) / (4 * 4);
    assert!(shown(CsvOptions::new("y").classes()).ends_with(&format!("of {rows} rows")));
    let rows = (64 << 20) / (4 * 5);
    assert!(shown(CsvOptions::new("y").values()).ends_with(&format!("of {rows} rows")));
}

#[test]
fn a_stream_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let data = classes(30, 2, 3, 1);
    let stream = labelled(folder.path(), &data, 2);
    let csv = |text: &str, options: &CsvOptions| {
        let path = folder.path().join("bad.txt");
        std::fs::write(&path, text).unwrap();
        DataStream::csv(path, options).unwrap_err().to_string()
    };
    let classes = CsvOptions::new("y").classes();
    let scaler = StandardScaler::from_parts(vec![0.0; 3], vec![1.0; 3]).unwrap();
    let one = CsvOptions::new("y").class_names(["0"]);
    let huge = MinMaxScaler::fit_array(ndarray::array![[0.0, 0.0], [1e-38, 1.0]].view(), 0.0, 1e30);
    let too_large = stream.scaled(huge.unwrap()).unwrap().first_rows(1).unwrap_err();
    let window = train_parallel(&mut net(2), &stream.clone().window(0), &config()).unwrap_err();
    let wide = train_parallel(&mut net(3), &stream, &config()).unwrap_err();
    let drop = config().batch_size(31).drop_last(true);
    let drop = train_parallel(&mut net(2), &stream, &drop).unwrap_err();
    let mixed = [folder.path().join("000.csv"), folder.path().join("other.csv")];
    std::fs::write(&mixed[1], "x0,z,y\n1,2,0\n").unwrap();
    for (message, expected) in [
        (csv("x,y\n1,0\n", &CsvOptions::new("y")), "does not guess"),
        (csv("x,y\n1,0\nz,1\n", &classes), "line 3: column \"x\": \"z\" is not a number"),
        (csv("x,y\n1,0\n2,\n", &classes), "line 3: column \"y\": \"\": the target is missing"),
        (csv("x,y\n1,0\n2,3\n", &one), "class \"3\" is not one of \"0\""),
        (csv("x,y\n1,a\n", &CsvOptions::new("y").values()), "\"a\" is not a number"),
        (csv("x,y\n", &classes), "no rows"),
        (csv("x,y\n1,0\n2,\"1\n3,0\n", &classes), "line 3: a quote is opened in this row"),
        (DataStream::csv(mixed, &classes).unwrap_err().to_string(), "other columns than in"),
        (DataStream::csv("/no/such.csv", &classes).unwrap_err().to_string(), "/no/such.csv"),
        (stream.scaled(scaler).unwrap_err().to_string(), "expected 3, found 2"),
        (too_large.to_string(), "a scaled value is too large for f32"),
        (window.to_string(), "`window` expected at least 1 row, found 0"),
        (wide.to_string(), "expected 3"),
        (drop.to_string(), "at most the 30 rows"),
        (stream.batches(0).unwrap_err().to_string(), "`rows` expected at least 1"),
    ] {
        assert!(message.contains(expected), "{message} should contain {expected}");
    }
}

#[test]
fn a_file_that_goes_wrong_in_training_ends_it_and_keeps_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let stream = labelled(folder.path(), &classes(400, 2, 3, 1), 4).window(10);
    let mut model = net(2);
    let config = config().shuffle(false);
    let mut trainer = Trainer::new(&mut model, &stream, &config).unwrap();
    trainer.step().unwrap();
    std::fs::write(folder.path().join("003.csv"), "x0,x1,y\n1,nan,0\n").unwrap();
    let error = loop {
        if let Err(error) = trainer.step() {
            break error.to_string();
        }
    };
    assert!(error.contains("003.csv") || error.contains("rows"), "{error}");
    let x = stream.files().len() as f32;
    assert!(model.predict(ndarray::array![[x, 1.0]].view()).unwrap().iter().all(|v| v.is_finite()));
}

/// Files that NumPy and Arrow have written, where a Python has those.
#[cfg(any(feature = "npy", feature = "parquet"))]
fn written(folder: &Path, format: &str) -> Option<Dataset> {
    let python = std::env::var("UNISONO_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/streamed_files.py");
    let output = std::process::Command::new(&python).arg(script).arg(folder).arg(format).output();
    let done = output.as_ref().is_ok_and(|output| output.status.success());
    assert!(done || std::env::var("UNISONO_PYTHON").is_err(), "{output:?}");
    if !done {
        eprintln!("skipped: {python} cannot write {format} files");
        return None;
    }
    let options = CsvOptions::new("kind").classes();
    Some(Dataset::from_csv(folder.join("rows.csv"), &options).unwrap())
}

#[cfg(any(feature = "npy", feature = "parquet"))]
fn assert_rows(stream: &DataStream, data: &Dataset) {
    let rows = stream.first_rows(stream.rows()).unwrap();
    assert_eq!(bits(rows.x().iter()), bits(data.x().iter()));
    assert_eq!(rows.labels(), data.labels());
}

#[cfg(feature = "npy")]
#[test]
fn numpy_files_hold_what_numpy_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let Some(data) = written(folder.path(), "npy") else { return };
    assert_rows(&DataStream::npy(path("x"), path("y")).unwrap(), &data);
    assert_rows(&DataStream::npz(path("npz"), "x", "y").unwrap(), &data);
    let regression = DataStream::npy(path("x"), path("x")).unwrap();
    let rows = regression.first_rows(300).unwrap();
    assert_eq!(bits(rows.values().unwrap().iter()), bits(data.x().iter()));

    let list = |kind: &str| [path(&format!("{kind}/0.npy")), path(&format!("{kind}/1.npy"))];
    assert_rows(&DataStream::npy(list("x"), list("y")).unwrap(), &data);
    assert_rows(&DataStream::npz([path("npz/0.npz"), path("npz/1.npz")], "x", "y").unwrap(), &data);
    let one = DataStream::npz(path("npz/1.npz"), "x", "y").unwrap();
    assert_rows(&one, &data.select(&(70..300).collect::<Vec<_>>()).unwrap());

    let message = |stream: unisono::Result<DataStream>| stream.unwrap_err().to_string();
    let archive = std::fs::read(path("npz/1.npz")).unwrap();
    std::fs::write(path("cut.npz"), &archive[..archive.len() / 2]).unwrap();
    for (message, expected) in [
        (message(DataStream::npy(path("columns.npy"), path("y/0.npy"))), "ascontiguousarray"),
        (message(DataStream::npy(path("text.npy"), path("y/0.npy"))), "booleans, integers, or"),
        (message(DataStream::npy(path("x/0.npy"), path("y/1.npy"))), "expected 70, found 230"),
        (message(DataStream::npy(path("x"), path("y/1.npy"))), "expected 2, found 1"),
        (message(DataStream::npz(path("npz"), "x", "z")), "no array is called \"z\""),
        (message(DataStream::npz(path("cut.npz"), "x", "y")), "no archive"),
        (message(DataStream::npy(path("rows.csv"), path("rows.csv"))), "no plain array of NumPy's"),
    ] {
        assert!(message.contains(expected), "{message} should contain {expected}");
    }
}

#[cfg(feature = "npy")]
#[test]
fn broken_numpy_files_are_errors() {
    use npyz::WriterBuilder;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, shape: &[u64], values: &[f32]| {
        let mut bytes = vec![];
        let mut array = npyz::WriteOptions::new()
            .default_dtype()
            .shape(shape)
            .writer(&mut bytes)
            .begin_nd()
            .unwrap();
        array.extend(values).unwrap();
        array.finish().unwrap();
        std::fs::write(path(name), &bytes).unwrap();
        bytes
    };
    let good = write("x.npy", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    write("nan.npy", &[3, 2], &[1.0, 2.0, 3.0, f32::NAN, 5.0, 6.0]);
    write("none.npy", &[0, 2], &[]);
    let open = |x: &str| DataStream::npy(path(x), path("x.npy"));
    let nan = open("nan.npy").unwrap().first_rows(3).unwrap_err().to_string();
    assert!(nan.contains("nan.npy: features") && nan.contains("row 1, column 1 is NaN"), "{nan}");
    let none = DataStream::npy(path("none.npy"), path("none.npy")).unwrap_err().to_string();
    assert!(none.contains("rows of the stream: expected at least one"), "{none}");

    for length in 0..good.len() {
        std::fs::write(path("cut.npy"), &good[..length]).unwrap();
        assert!(open("cut.npy").is_err(), "{length} of {} bytes", good.len());
    }
    let mut random = common::Random::new(1);
    for _ in 0..3000 {
        let mut bytes = good.clone();
        let at = random.bits() as usize % bytes.len();
        bytes[at] ^= 1 << (random.bits() % 8);
        std::fs::write(path("flipped.npy"), &bytes).unwrap();
        let _ = open("flipped.npy").and_then(|stream| stream.first_rows(10));
    }
    let header = |version: u8, text: &str, length: u32| {
        let length = length.to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        let bytes = [b"\x93NUMPY", &[version, 0][..], length, text.as_bytes()].concat();
        std::fs::write(path("absurd.npy"), bytes).unwrap();
        open("absurd.npy").unwrap_err().to_string()
    };
    let shape = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
        header(1, &text, text.len() as u32)
    };
    let records = "{'descr': [('station_20240101', '<f4'), ('station_20240102', '<f4')], \
                   'fortran_order': False, 'shape': (3,), }";
    for (message, expected) in [
        (shape("3, 2"), "promises [3, 2], and 0 bytes follow"),
        (shape("3, 1234567890123456"), "promises [3, 1234567890123456], and 0 bytes follow"),
        (shape("3, 18446744073709551615"), "more than any file holds"),
        (shape("0, 4294967296, 4294967296"), "more than any file holds"),
        (shape("3, 0xffffffffffffffff"), "not decimal"),
        (shape(""), "a single number"),
        (header(2, "{}", u32::MAX), "the header is too long"),
        (header(1, &"(".repeat(9000), 9000), "no description of a plain array"),
        (header(9, "{}", 2), "no plain array of NumPy's"),
        (header(1, records, records.len() as u32), "records of several fields"),
    ] {
        assert!(message.contains(expected), "{message} should contain {expected}");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_files_hold_what_arrow_wrote() {
    use unisono::ParquetOptions;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let Some(data) = written(folder.path(), "parquet") else { return };
    let kind = ParquetOptions::new("kind");
    let stream = DataStream::parquet(path("parts"), &kind).unwrap();
    assert_eq!(stream.class_names().unwrap(), ["0", "1", "2"]);
    assert_eq!(stream.feature_names().unwrap(), ["a", "b", "c", "d", "e"]);
    assert_rows(&stream, &data);
    assert_rows(&DataStream::parquet(stream.files().to_vec(), &kind).unwrap(), &data);
    let more = kind.clone().class_names(["2", "none", "0", "1"]);
    let renumbered = DataStream::parquet(path("parts"), &more).unwrap().first_rows(300).unwrap();
    let expected: Vec<u32> =
        data.labels().unwrap().iter().map(|&it| [2, 3, 0][it as usize]).collect();
    assert_eq!(renumbered.labels().unwrap(), expected);
    let values = DataStream::parquet(path("values.parquet"), &kind.clone().ignore("e")).unwrap();
    assert_eq!((values.classes(), values.features()), (None, 4));
    let rows = values.first_rows(300).unwrap();
    assert_eq!(rows.values().unwrap().column(0), data.x().column(0));
    let config = config().shuffle(true);
    assert_eq!(trained(&stream, &config), trained(&stream, &config.clone().exact_threads(3)));

    let open = |file: &str, options: &ParquetOptions| DataStream::parquet(path(file), options);
    let message = |stream: unisono::Result<DataStream>| stream.unwrap_err().to_string();
    let whole = std::fs::read(path("values.parquet")).unwrap();
    std::fs::write(path("cut.parquet"), &whole[..whole.len() - 3]).unwrap();
    let missing = open("missing.parquet", &kind).unwrap().first_rows(300).unwrap_err();
    for (message, expected) in [
        (missing.to_string(), "row 123, column \"b\": the value is missing"),
        (message(open("lists.parquet", &kind)), "holds lists"),
        (message(open("parts", &ParquetOptions::new("b").ignore("b"))), "is to be ignored"),
        (message(open("parts", &ParquetOptions::new("nothing"))), "there is no column \"nothing\""),
        (message(open("parts", &ParquetOptions::new("a"))), "\"kind\" holds BYTE_ARRAY"),
        (message(open("parts", &kind.clone().values())), "choose .classes()"),
        (message(open("cut.parquet", &kind)), "cut.parquet"),
        (
            message(open("parts", &kind.clone().class_names(["0", "1"]))),
            "column \"kind\": expected one of \"0\", \"1\", found \"2\"",
        ),
    ] {
        assert!(message.contains(expected), "{message} should contain {expected}");
    }
    let zstd = open("zstd.parquet", &kind).and_then(|stream| stream.first_rows(300));
    match cfg!(feature = "parquet-zstd") {
        true => assert_eq!(bits(zstd.unwrap().x().iter()), bits(data.x().iter())),
        false => assert!(zstd.unwrap_err().to_string().contains("`parquet-zstd`")),
    }
    let mut random = common::Random::new(2);
    for _ in 0..300 {
        let mut bytes = whole.clone();
        let at = random.bits() as usize % bytes.len();
        bytes[at] ^= 1 << (random.bits() % 8);
        std::fs::write(path("flipped.parquet"), &bytes).unwrap();
        let _ = open("flipped.parquet", &kind).and_then(|stream| stream.first_rows(400));
    }
}

/// Some of these make the library panic.
#[cfg(feature = "parquet")]
#[test]
fn a_broken_parquet_file_is_named_among_others() {
    let folder = tempfile::tempdir().unwrap();
    if written(folder.path(), "parquet").is_none() {
        return;
    }
    let files = ["parts/3.parquet", "flipped.parquet"].map(|name| folder.path().join(name));
    let good = std::fs::read(&files[0]).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << 3;
        std::fs::write(&files[1], &bytes).unwrap();
        let kind = unisono::ParquetOptions::new("kind");
        if let Err(error) = DataStream::parquet(files.clone(), &kind) {
            let error = error.to_string();
            assert!(error.contains("flipped.parquet"), "byte {at}: {error}");
        }
    }
}
