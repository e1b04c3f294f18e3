//! Wrong data of every kind: each comes back as an error that says what is wrong, and none panics.

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, array};
use unisono::{
    CsvOptions, Dataset, MinMaxScaler, Result, StandardScaler, Table, Targets, datasets,
};

/// A name for the case, what is done, and what the message has to say.
type Case<'a> = (&'a str, Box<dyn Fn() -> Result<()> + 'a>, &'a [&'a str]);

/// Makes a case of anything that should fail, whatever it would give.
fn case<'a, T>(
    name: &'a str,
    run: impl Fn() -> Result<T> + 'a,
    message: &'a [&'a str],
) -> Case<'a> {
    (name, Box::new(move || run().map(drop)), message)
}

/// Runs all cases and reports all that went wrong at once.
fn check(cases: &[Case]) {
    let mut wrong = Vec::new();
    for (name, run, fragments) in cases {
        match catch_unwind(AssertUnwindSafe(run)) {
            Err(_) => wrong.push(format!("{name}: panicked")),
            Ok(Ok(())) => wrong.push(format!("{name}: no error")),
            Ok(Err(error)) => {
                let message = error.to_string();
                if let Some(missing) = fragments.iter().find(|part| !message.contains(**part)) {
                    wrong.push(format!("{name}: {message:?} does not say {missing:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A folder for one test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("unisono-bad-data-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ones(rows: usize, columns: usize) -> Array2<f32> {
    Array2::ones((rows, columns))
}

fn classes(labels: &[u32]) -> Dataset {
    Dataset::classification(ones(labels.len(), 2), labels.to_vec()).unwrap()
}

fn values(rows: usize) -> Dataset {
    Dataset::regression(ones(rows, 2), ones(rows, 1)).unwrap()
}

#[test]
fn data_sets() {
    let nan = array![[1.0, 2.0], [3.0, f32::NAN]];
    let infinite = array![[f32::INFINITY], [0.0]];
    let names = ["a"];
    check(&[
        case("no rows", || Dataset::regression(ones(0, 2), ones(0, 1)), &["0 rows x 2 columns"]),
        case("no columns", || Dataset::classification(ones(2, 0), [0, 1]), &["2 rows x 0 columns"]),
        case("NaN", || Dataset::classification(nan.clone(), [0, 1]), &["row 1, column 1 is NaN"]),
        case(
            "inf",
            || Dataset::classification(infinite.clone(), [0, 1]),
            &["row 0, column 0 is inf"],
        ),
        case(
            "NaN target",
            || Dataset::regression(ones(2, 1), nan.clone()),
            &["target values", "NaN"],
        ),
        case("no target", || Dataset::regression(ones(2, 1), ones(2, 0)), &["no columns"]),
        case(
            "few labels",
            || Dataset::classification(ones(3, 1), [0, 1]),
            &["expected 3, found 2"],
        ),
        case(
            "many values",
            || Dataset::regression(ones(3, 1), ones(4, 1)),
            &["expected 3, found 4"],
        ),
        case("negative", || Dataset::classification(ones(2, 1), [0, -7]), &["label -7 in row 1"]),
        case(
            "label out of range",
            || Dataset::classification_with(ones(2, 1), [0, 3], 3),
            &["label 3 in row 1", "0 to 2"],
        ),
        case(
            "identifier for a label",
            || Dataset::classification(ones(2, 1), [0, 4_000_000_000u32]),
            &["label 4000000000 in row 1", "at most"],
        ),
        case(
            "absurd class count",
            || Dataset::new(ones(1, 1), Targets::Classes { labels: vec![0], count: usize::MAX }),
            &["at most"],
        ),
        case("feature names", || classes(&[0]).with_feature_names(names), &["expected 2, found 1"]),
        case("class names", || classes(&[0, 1]).with_class_names(names), &["expected 2, found 1"]),
        case("names of values", || values(2).with_class_names(names), &["have to be classes"]),
        case("one-hot of values", || values(2).one_hot(), &["one_hot", "have to be classes"]),
        case("select nothing", || values(2).select(&[]), &["no rows"]),
        case("select beyond", || values(2).select(&[0, 2]), &["row 2", "0 to 1"]),
        case("synthetic rows", || datasets::synthetic_classification(0, 1, 2, 0), &["`rows`"]),
        case("synthetic outputs", || datasets::synthetic_regression(1, 1, 0, 0), &["`outputs`"]),
        case(
            "synthetic beyond memory",
            || datasets::synthetic_classification(u32::MAX as usize, u32::MAX as usize, 2, 0),
            &["do not fit into memory"],
        ),
    ]);
}

#[test]
fn splits() {
    let two = classes(&[0, 1]);
    let rare = classes(&[0, 0, 0, 1]);
    let four = classes(&[0, 0, 1, 1, 2, 2, 3, 3]);
    let rare = rare.with_class_names(["cat", "dog"]).unwrap();
    check(&[
        case("size 0", || two.split(0.0, 1), &["`test_size` is 0"]),
        case("size 1", || two.split(1.0, 1), &["`test_size` is 1"]),
        case("negative size", || two.split(-0.2, 1), &["`test_size` is -0.2"]),
        case("NaN size", || two.split(f64::NAN, 1), &["`test_size` is NaN"]),
        case("rows for a share", || two.split(30.0, 1), &["`test_size` is 30"]),
        case("nothing to train on", || two.split(0.9, 1), &["of 2 rows", "none"]),
        case("a single row", || values(1).split(0.5, 1), &["of 1 rows", "none"]),
        case("stratify values", || values(4).split_stratified(0.5, 1), &["have to be classes"]),
        case("rare class", || rare.split_stratified(0.5, 1), &["class dog has 1 of the 2 rows"]),
        case("few test rows", || four.split_stratified(0.2, 1), &["2 test rows", "4 classes"]),
        case("few train rows", || four.split_stratified(0.8, 1), &["1 train rows", "4 classes"]),
        case("one fold", || two.k_fold(1, 1), &["`k` is 1"]),
        case("many folds", || two.k_fold(3, 1), &["`k` is 3", "(2)"]),
        case("no folds", || rare.k_fold_stratified(0, 1), &["`k` is 0"]),
        case("rare in folds", || rare.k_fold_stratified(2, 1), &["class dog has 1 of the 2 rows"]),
        case(
            "folds of values",
            || values(4).k_fold_stratified(2, 1).map(drop),
            &["have to be classes"],
        ),
    ]);
}

#[test]
fn scalers() {
    let standard = StandardScaler::fit(&values(3)).unwrap();
    let small = StandardScaler::from_parts(vec![0.0], vec![1e-10]).unwrap();
    let min_max = MinMaxScaler::fit(&values(3)).unwrap();
    let wide = MinMaxScaler::fit_array(array![[0.0], [1e-3]].view(), 0.0, 1.0).unwrap();
    let three = Dataset::regression(ones(1, 3), ones(1, 1)).unwrap();
    let huge = Dataset::regression(array![[3e38]], ones(1, 1)).unwrap();
    let nan = array![[f32::NAN, 0.0]];
    check(&[
        case("columns", || standard.transform(&three), &["columns", "expected 2, found 3"]),
        case("columns back", || standard.inverse_transform(&three), &["expected 2, found 3"]),
        case("columns to a range", || min_max.transform(&three), &["expected 2, found 3"]),
        case("fit nothing", || StandardScaler::fit_array(ones(0, 2).view()), &["nothing to fit"]),
        case("fit NaN", || StandardScaler::fit_array(nan.view()), &["row 0, column 0 is NaN"]),
        case("fit a range to NaN", || MinMaxScaler::fit_array(nan.view(), 0.0, 1.0), &["NaN"]),
        case("transform NaN", || standard.transform_array(nan.view()), &["row 0, column 0 is NaN"]),
        case("too large", || small.transform(&huge), &["row 0, column 0 is inf"]),
        case("too large for a range", || wide.transform_array(huge.x()), &["column 0 is inf"]),
        case(
            "range upside down",
            || MinMaxScaler::fit_to(&three, 1.0, 0.0),
            &["`range` is 1 to 0"],
        ),
        case("endless range", || MinMaxScaler::fit_to(&three, 0.0, f32::INFINITY), &["`range`"]),
        case(
            "scale 0",
            || StandardScaler::from_parts(vec![0.0], vec![0.0]),
            &["scale of column 0"],
        ),
        case(
            "no scale",
            || StandardScaler::from_parts(vec![0.0], vec![]),
            &["expected 1, found 0"],
        ),
    ]);
}

#[test]
fn csv() {
    let read = |text: &'static str, options: CsvOptions| {
        move || Dataset::from_csv_reader(text.as_bytes(), "f.csv", &options)
    };
    let by = |name: &str| CsvOptions::new(name);
    let last = CsvOptions::default;
    let rows = "3,4\n".repeat(10_000);
    let (unclosed, unclosed_last) = (format!("a,y\n\"1,2\n{rows}"), format!("a,y\n1,\"2\n{rows}"));
    check(&[
        case("no file", || Dataset::from_csv("no/such.csv", &last()), &["no/such.csv: "]),
        case("a folder", || Dataset::from_csv(std::env::temp_dir(), &last()), &[]),
        case("empty", read("", last()), &["f.csv: is empty"]),
        case("blank", read("\n\r\n\n", last()), &["f.csv: is empty"]),
        case("header alone", read("a,y\n", last()), &["no rows"]),
        case("long row", read("a,y\n1,2\n1,2,3\n", last()), &["line 3", "expected 2", "found 3"]),
        case("short row", read("a,b,y\r\n1,2\r\n", last()), &["line 2", "expected 3", "found 2"]),
        case("missing", read("a,y\n1,2\n,3\n", last()), &["line 3: column \"a\"", "missing"]),
        case("NA", read("a,y\nNA,3\n", last()), &["line 2: column \"a\": \"NA\"", "missing"]),
        case("NaN", read("a,y\nnan,3\n", last()), &["line 2: column \"a\"", "missing"]),
        case("infinite", read("a,y\n-inf,3\n", last()), &["line 2: column \"a\"", "infinite"]),
        case(
            "beyond f32",
            read("a,y\n1e39,3\n", last()),
            &["line 2: column \"a\"", "range of f32"],
        ),
        case("text", read("a,y\n1,x\nred,x\n", last()), &["line 3: column \"a\"", "\"red\""]),
        case(
            "missing target",
            read("a,y\n1,x\n2,\n", last()),
            &["line 3: column \"y\"", "missing"],
        ),
        case(
            "text for a value",
            read("a,y\n1,x\n", last().values()),
            &["line 2: column \"y\"", "\"x\""],
        ),
        case(
            "mixed targets",
            read("a,y\n1,2\n1,2.5.1\n", last()),
            &["line 3: column \"y\"", "2.5.1"],
        ),
        case(
            "unknown class",
            read("a,y\n1,c\n", by("y").class_names(["a", "b"])),
            &["line 2", "\"c\""],
        ),
        case("unknown column", read("a,y\n1,2\n", by("z")), &["\"z\"", "\"a\", \"y\""]),
        case("column beyond", read("a,y\n1,2\n", CsvOptions::new(2)), &["no column 2"]),
        case("name, no header", read("1,2\n", by("y").header(false)), &["\"y\"", "header"]),
        case("named twice", read("a,a,y\n1,2,3\n", last()), &["line 1", "\"a\" twice"]),
        case("wrong delimiter", read("a;y\n1;2\n", last()), &["line 1", "delimiter"]),
        case("target ignored", read("a,y\n1,2\n", by("y").ignore("y")), &["ignored"]),
        case("odd delimiter", read("a,y\n1,2\n", last().delimiter(b'"')), &["`delimiter`"]),
        case(
            "not UTF-8",
            || Dataset::from_csv_reader(&b"a,y\n1,2\n\xff,1\n"[..], "f.csv", &last()),
            &["line 3", "UTF-8"],
        ),
        case(
            "quote never closed",
            || Dataset::from_csv_reader(unclosed.as_bytes(), "f.csv", &last()),
            &["line 2: a quote is opened", "never closed"],
        ),
        case(
            "quote never closed in the last column",
            || Dataset::from_csv_reader(unclosed_last.as_bytes(), "f.csv", &last()),
            &["line 2: a quote is opened", "never closed"],
        ),
        case(
            "the same in a table",
            || Table::from_csv_text(&unclosed_last),
            &["line 2: a quote is opened", "never closed"],
        ),
        case("zeros", || Dataset::from_csv_reader(&[0u8; 100][..], "f.csv", &last()), &["f.csv"]),
    ]);
}

/// An IDX header and content.
fn idx(element: u8, dims: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, element, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(content);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_files() {
    let folder = Folder::new();
    let good = idx(8, &[2, 2, 2], &[0, 51, 102, 153, 204, 255, 0, 0]);
    let labels = folder.file("labels", &idx(8, &[2], &[1, 0]));
    let three = folder.file("three", &idx(8, &[3], &[1, 0, 1]));
    let images = folder.file("images", &good);
    assert_eq!(Dataset::from_idx(&images, &labels).unwrap().x()[(0, 1)], 0.2);

    let packed = gzip(&good);
    let mut damaged = packed.clone();
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    let tebibyte = [1 << 20, 1 << 10, 1 << 10];
    let with = |name: &'static str, content: &[u8]| {
        let (path, labels) = (folder.file(name, content), labels.clone());
        move || Dataset::from_idx(&path, &labels)
    };
    check(&[
        case("no file", || Dataset::from_idx("no/such", &labels), &["no/such: "]),
        case("no labels", || Dataset::from_idx(&images, "no/such"), &["no/such: "]),
        case("empty", with("empty", &[]), &["empty: is truncated"]),
        case("half a header", with("half", &good[..9]), &["half: is truncated"]),
        case("magic", with("magic", b"PNG and more"), &["starts with 50 4e"]),
        case("floats", with("floats", &idx(13, &[2, 1], &[0; 8])), &["type 0x0d"]),
        case("no dimensions", with("none", &idx(8, &[], &[1])), &["no dimensions"]),
        case("truncated", with("short", &good[..20]), &["2 x 2 x 2 bytes", "found 4"]),
        case("trailing", with("long", &[&good[..], &[0]].concat()), &["goes on after"]),
        case(
            "truncated gzip",
            with("cut.gz", &packed[..packed.len() - 9]),
            &["cut.gz: is truncated"],
        ),
        case(
            "gzip without its end",
            with("end.gz", &packed[..packed.len() - 4]),
            &["is truncated"],
        ),
        case("checksum", with("sum.gz", &damaged), &["sum.gz: is damaged"]),
        case("gzip and more", with("more.gz", &[&packed[..], b"more"].concat()), &["more.gz: is"]),
        case("gzip of nothing", with("nil.gz", &gzip(&[])), &["is truncated"]),
        case(
            "2^40 bytes",
            with("tera", &idx(8, &tebibyte, &[7; 20])),
            &["is truncated", "found 20"],
        ),
        case(
            "the same packed",
            with("tera.gz", &gzip(&idx(8, &tebibyte, &[7; 20]))),
            &["found 20"],
        ),
        case(
            "2^96 bytes",
            with("absurd", &idx(8, &[u32::MAX; 3], &[7; 20])),
            &["no file can hold"],
        ),
        case("255 dimensions", with("dims", &idx(8, &[u32::MAX; 255], &[])), &["no file can hold"]),
        case("no images", with("zero", &idx(8, &[0, 2, 2], &[])), &["expected 0, found 2"]),
        case("no pixels", with("flat", &idx(8, &[2, 0], &[])), &["2 rows x 0 columns"]),
        case(
            "swapped",
            || Dataset::from_idx(&labels, &images),
            &["labels: images need", "swapped"],
        ),
        case("images twice", || Dataset::from_idx(&images, &images), &["need one dimension"]),
        case(
            "label count",
            || Dataset::from_idx(&images, &three),
            &["labels in", "three for images in", "expected 2, found 3"],
        ),
    ]);
}

#[test]
fn fashion_mnist_folders() {
    let folder = Folder::new();
    let path: &Path = &folder.0;
    let name = path.display().to_string();
    let missing = |file: &str| {
        let error = datasets::fashion_mnist(path).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains(file), "{error}");
    };
    missing("train-images-idx3-ubyte.gz");
    folder.file("train-images-idx3-ubyte.gz", &gzip(&idx(8, &[1, 2, 2], &[0; 4])));
    missing("train-labels-idx1-ubyte");
    folder.file("train-labels-idx1-ubyte", &idx(8, &[1], &[9]));
    missing("t10k-images-idx3-ubyte");
    folder.file("t10k-images-idx3-ubyte", &idx(8, &[1, 2, 2], &[0; 4]));
    missing("t10k-labels-idx1-ubyte");
    let labels = folder.file("t10k-labels-idx1-ubyte.gz", &gzip(&idx(8, &[1], &[10])));
    missing("label 10 in row 0");
    fs::write(labels, idx(8, &[1], &[0])).unwrap();
    let (train, test) = datasets::fashion_mnist(path).unwrap();
    assert_eq!((train.classes(), test.classes()), (Some(10), Some(10)));
    assert_eq!(test.class_names().unwrap()[9], "Ankle boot");
}
