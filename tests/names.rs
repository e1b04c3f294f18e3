//! Columns and classes are numbers to a model: data that name them otherwise than its training did
//! are an error, and never measured or learned from as if they were the same.

use ndarray::{Array2, array};
use unisono::metrics::ConfusionMatrix;
use unisono::{
    Activation, Adam, CrossEntropy, CsvOptions, DataStream, Dataset, OnlineTrainer, Preprocessor,
    Result, Sequential, Table, TrainConfig, train_parallel,
};

fn csv(text: &str) -> Dataset {
    Dataset::from_csv_reader(text.as_bytes(), "rows.csv", &CsvOptions::new("kind")).unwrap()
}

fn three() -> Dataset {
    csv("x,y,kind\n1,2,a\n2,1,b\n3,5,c\n")
}

/// Its c is class 1.
fn two() -> Dataset {
    csv("x,y,kind\n1,2,a\n3,5,c\n")
}

fn swapped() -> Dataset {
    csv("y,x,kind\n2,1,a\n1,2,b\n5,3,c\n")
}

/// The rows of `three` with names of the test's own.
fn named(columns: [&str; 2], classes: [&str; 3]) -> Dataset {
    let data = three().with_feature_names(columns).unwrap();
    data.with_class_names(classes).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::new(0.1)).epochs(1)
}

fn untrained() -> Sequential {
    Sequential::builder(2).dense(3, Activation::Softmax).build(1).unwrap()
}

fn trained() -> Sequential {
    let mut model = untrained();
    train_parallel(&mut model, &three(), &config()).unwrap();
    model
}

#[track_caller]
fn assert_refused<T>(result: Result<T>, fragments: &[&str]) {
    let message = result.err().expect("it should be refused").to_string();
    for fragment in fragments {
        assert!(message.contains(fragment), "{fragment:?} in {message:?}");
    }
}

const C_FOR_B: &[&str] =
    &["data: class 1 of", "expected \"b\"", "found \"c\"", ".class_names([\"a\", \"b\", \"c\"])"];
const Y_FOR_X: &[&str] =
    &["data: column 0 of", "expected \"x\"", "found \"y\"", "\"x\", \"y\"", "with_feature_names"];

#[test]
fn evaluation_wants_the_classes_and_columns_of_the_training() {
    let model = trained();
    assert_refused(model.evaluate(&two()), C_FOR_B);
    assert_refused(model.evaluate(&swapped()), Y_FOR_X);
    assert_refused(model.evaluate(&named(["x", "z"], ["a", "b", "c"])), &["column 1", "\"z\""]);
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    assert_refused(back.evaluate_with(&two(), &CrossEntropy::default().into()), C_FOR_B);
}

#[test]
fn a_name_stands_once() {
    let data = Dataset::classification(ndarray::array![[1.0, 2.0], [3.0, 4.0]], [0, 1]).unwrap();
    let twice =
        |field: &str| vec![field.to_owned(), "expected each name once, found \"a\" twice".into()];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, "x,y\n1,a\n2,b\n").unwrap();
    let options = CsvOptions::new("y").class_names(["a", "a", "b"]);
    for (error, field) in [
        (data.clone().with_feature_names(["a", "a"]).unwrap_err(), "`feature_names`"),
        (data.clone().with_class_names(["a", "a"]).unwrap_err(), "`class_names`"),
        (Dataset::from_csv(&path, &options).unwrap_err(), "`class_names`"),
        (DataStream::csv(&path, &options).unwrap_err(), "`class_names`"),
    ] {
        let error = error.to_string();
        assert!(twice(field).iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn two_spellings_of_a_class_are_one_name() {
    let options = CsvOptions::new("y").class_names(["1", "1.0"]);
    let error = Dataset::from_csv_reader(&b"x,y\n1,1\n"[..], "rows", &options).unwrap_err();
    assert!(error.to_string().contains("`class_names` expected each name once"), "{error}");
}

#[test]
fn a_confusion_matrix_wants_them_too_and_shows_them() {
    let model = trained();
    let matrix = ConfusionMatrix::of(&model, &three()).unwrap();
    assert_eq!(matrix.classes(), 3);
    assert_refused(ConfusionMatrix::of(&model, &swapped()), &["column"]);
    assert_refused(ConfusionMatrix::of(&model, &two()), &["class"]);
}

#[test]
fn a_stream_is_held_to_them_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.csv");
    std::fs::write(&path, "x,y,kind\n1,2,a\n3,5,c\n").unwrap();
    let stream = |options: CsvOptions| DataStream::csv(path.as_path(), &options).unwrap();
    let model = trained();
    assert_refused(model.evaluate(&stream(CsvOptions::new("kind").classes())), C_FOR_B);
    let all = CsvOptions::new("kind").class_names(["a", "b", "c"]);
    assert!(model.evaluate(&stream(all)).is_ok());
}

#[test]
fn data_without_names_or_with_the_first_of_the_classes_fit() {
    let model = trained();
    let bare = Dataset::classification(array![[1.0, 2.0], [3.0, 4.0]], [0, 2]).unwrap();
    assert!(model.evaluate(&bare).is_ok());
    assert!(model.evaluate(&csv("x,y,kind\n1,2,a\n3,5,b\n")).is_ok());
    assert!(untrained().evaluate(&swapped()).is_ok());
}

#[test]
fn a_number_is_one_class_however_it_is_written() {
    let mut model = untrained();
    train_parallel(&mut model, &csv("x,y,kind\n1,2,0\n2,1,1\n3,5,2\n"), &config()).unwrap();
    assert!(model.evaluate(&csv("x,y,kind\n1,2,0.0\n2,1,1.0\n3,5,2.0\n")).is_ok());
    assert_refused(model.evaluate(&csv("x,y,kind\n1,2,0\n3,5,2\n")), &["\"1\"", "\"2\""]);
}

#[test]
fn a_validation_set_is_named_as_the_training_data() {
    let run = |validation| {
        train_parallel(&mut untrained(), &three(), &config().validation(validation)).map(|_| ())
    };
    assert_refused(run(two()), C_FOR_B);
    assert_refused(run(swapped()), &["of the validation set", "expected \"x\"", "found \"y\""]);
    assert!(run(three()).is_ok());
}

#[test]
fn arriving_data_are_named_as_those_before() {
    let mut model = untrained();
    let mut online = OnlineTrainer::new(&mut model, &config()).unwrap();
    online.partial_fit(&three()).unwrap();
    let before = online.model().fingerprint();
    assert_refused(online.partial_fit(&two()), C_FOR_B);
    let renamed = named(["x", "z"], ["a", "b", "c"]);
    assert_refused(online.partial_fit(&renamed), &["column 1", "found \"z\""]);
    assert_eq!(online.model().fingerprint(), before);
    let bare = Dataset::classification(Array2::zeros((2, 2)), [0, 2]).unwrap();
    online.partial_fit(&bare).unwrap();
    online.partial_fit(&csv("x,y,kind\n1,2,a\n3,5,b\n")).unwrap();
    assert_eq!(model.class_names().unwrap(), ["a", "b", "c"]);
    assert_eq!(model.feature_names().unwrap(), ["x", "y"]);
}

#[test]
fn a_new_run_takes_new_names_but_no_known_one_in_another_place() {
    let mut model = trained();
    let before = model.fingerprint();
    assert_refused(train_parallel(&mut model, &two(), &config()), &["class 1", "\"b\"", "\"c\""]);
    assert_refused(train_parallel(&mut model, &swapped(), &config()), Y_FOR_X);
    assert_eq!(model.fingerprint(), before);
    let table = Table::from_csv_text("x,y,kind\n1,2,a\n2,1,b\n3,5,c\n").unwrap();
    model.set_preprocessing(Preprocessor::new().target("kind").fit(&table).unwrap()).unwrap();
    assert_eq!(model.predict_labels(&table).unwrap().len(), 3);
    let renamed = named(["x", "height"], ["cat", "b", "dog"]);
    train_parallel(&mut model, &renamed, &config()).unwrap();
    assert_refused(model.predict_labels(&table), &["of the preprocessing", "\"cat\"", "\"a\""]);
    assert_eq!(model.class_names().unwrap(), ["cat", "b", "dog"]);
    assert_eq!(model.feature_names().unwrap(), ["x", "height"]);
}

#[test]
fn a_class_between_those_that_are_known_is_no_new_one_at_the_end() {
    let mut model = untrained();
    train_parallel(&mut model, &two(), &config()).unwrap();
    let b_for_c = &["class 1", "expected \"c\"", "found \"b\"", "([\"a\", \"c\", \"b\"])"];
    assert_refused(model.evaluate(&three()), b_for_c);
    assert_refused(train_parallel(&mut model, &three(), &config()), b_for_c);
    let moved = named(["x", "y"], ["p", "q", "a"]);
    assert_refused(train_parallel(&mut model, &moved, &config()), &["class 0", "\"a\"", "\"p\""]);
}

#[test]
fn a_preprocessing_has_no_known_name_in_another_place() {
    let fitted = |text: &str| {
        Preprocessor::new().target("kind").fit(&Table::from_csv_text(text).unwrap()).unwrap()
    };
    let mut model = trained();
    let two = fitted("x,y,kind\n1,2,a\n3,5,c\n");
    assert_refused(model.set_preprocessing(two), &["of the preprocessing", "\"b\"", "\"c\""]);
    let swapped = fitted("y,x,kind\n2,1,a\n1,2,b\n5,3,c\n");
    assert_refused(model.set_preprocessing(swapped), &["of the preprocessing", "\"x\"", "\"y\""]);
    assert!(model.preprocessing().is_none());
    let classes = ["a", "b", "c"];
    let table = Table::from_csv_text("x,y,kind\n1,2,c\n3,5,c\n").unwrap();
    let all = Preprocessor::new().target("kind").class_names(classes).fit(&table).unwrap();
    model.set_preprocessing(all).unwrap();
}

#[test]
fn a_preprocessings_classes_are_known_where_training_named_none() {
    let table = Table::from_csv_text("x,y,kind\n1,2,a\n2,1,b\n3,5,c\n").unwrap();
    let fitted = |classes: [&str; 3]| {
        Preprocessor::new().target("kind").class_names(classes).fit(&table).unwrap()
    };
    let nameless = Dataset::classification(array![[1.0, 2.0], [2.0, 1.0], [3.0, 5.0]], [0, 1, 2]);
    let mut model = untrained();
    train_parallel(&mut model, &nameless.unwrap(), &config()).unwrap();
    model.set_preprocessing(fitted(["a", "b", "c"])).unwrap();
    assert_refused(model.evaluate(&two()), C_FOR_B);
    model.set_preprocessing(fitted(["a", "c", "b"])).unwrap();
    model.evaluate(&two()).unwrap();
}

#[test]
fn codes_that_are_numbers_to_others_are_names_of_their_own() {
    let mut model = untrained();
    train_parallel(&mut model, &named(["x", "y"], ["7", "007", "8"]), &config()).unwrap();
    model.evaluate(&named(["x", "y"], ["7.0", "007", "8"])).unwrap();
    let exchanged = named(["x", "y"], ["007", "7", "8"]);
    assert_refused(model.evaluate(&exchanged), &["class 0 of", "\"7\"", "\"007\""]);
}

#[test]
fn classes_are_given_by_names_of_another_spelling() {
    let options = CsvOptions::new("kind").class_names(["0", "1", "2"]);
    let text = "x,kind\n1,2.0\n3,0.0\n";
    let data = Dataset::from_csv_reader(text.as_bytes(), "rows.csv", &options).unwrap();
    assert_eq!(data.labels().unwrap(), [2, 0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, text).unwrap();
    let stream = DataStream::csv(path, &options).unwrap();
    assert_eq!(stream.first_rows(2).unwrap().labels().unwrap(), [2, 0]);
}
