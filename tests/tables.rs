//! Tables as people have them: fitted on some rows, applied to others, saved with the model.

mod common;

use std::process::{Command, Output};

use common::example;
use ndarray::array;
use unisono::{
    Activation, Adam, CrossEntropy, MeanSquaredError, Missing, Preprocessor, Sequential, Table,
    Task, TrainConfig, Unseen, train_parallel,
};

fn table(text: &str) -> Table {
    Table::from_csv_text(text).unwrap()
}

const HOUSES: &str = "\
rooms,city,heated,price
2,Rome,yes,100
4,Oslo,no,300
3,Oslo,yes,200
3,Bonn,yes,240
";

#[test]
fn numbers_are_standardised_and_text_is_one_hot_by_frequency() {
    let fitted = Preprocessor::new().target("price").fit(&table(HOUSES)).unwrap();
    let names = ["rooms", "city=Oslo", "city=Bonn", "city=Rome", "heated=yes", "heated=no"];
    assert_eq!(fitted.feature_names(), names);
    let x = fitted.transform(&table(HOUSES)).unwrap();
    let z = 0.5_f32.sqrt().recip();
    let expected = array![
        [-z, 0.0, 0.0, 1.0, 1.0, 0.0],
        [z, 1.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 0.0, 1.0, 0.0],
    ];
    assert!((&x - &expected).iter().all(|d| d.abs() < 1e-6), "{x}");
    let data = fitted.dataset(&table(HOUSES)).unwrap();
    let back = fitted.restore(data.values().unwrap().to_owned()).unwrap();
    assert!(
        (&back - &array![[100.0_f32], [300.0], [200.0], [240.0]]).iter().all(|d| d.abs() < 1e-3)
    );
}

#[test]
fn columns_are_chosen_left_out_and_taken_as_categories() {
    let base = || Preprocessor::new().target("price");
    let names = |it: Preprocessor| it.fit(&table(HOUSES)).unwrap().feature_names();
    assert_eq!(names(base().only(["rooms"])), ["rooms"]);
    assert_eq!(names(base().without(["city", "heated"])), ["rooms"]);
    let rooms = names(base().only(["rooms"]).categories(["rooms"]));
    assert_eq!(rooms, ["rooms=3", "rooms=2", "rooms=4"]);
    assert_eq!(names(base().only(["city"]).most_categories(1)), ["city=Oslo"]);
}

#[test]
fn missing_and_unseen_values_do_as_they_are_told() {
    let gaps = table("n,c,y\n1,a,0\nNA,,1\n3,b,0\n");
    let base = || Preprocessor::new().target("y");
    let error = base().fit(&gaps).unwrap_err().to_string();
    assert!(error.contains("line 3: column \"n\"") && error.contains("missing"), "{error}");
    let x = |missing| base().missing(missing).fit(&gaps).unwrap().transform(&gaps).unwrap();
    assert_eq!(x(Missing::Mean).row(1), array![0.0, 0.0, 0.0]);
    assert_eq!(x(Missing::Constant(3.0)).row(1), array![1.0, 0.0, 0.0]);

    let known = table("c,y\na,0\nb,1\n");
    let new = table("c\nz\n");
    assert_eq!(base().fit(&known).unwrap().transform(&new).unwrap(), array![[0.0_f32, 0.0]]);
    let error = base().unseen(Unseen::Error).fit(&known).unwrap().transform(&new).unwrap_err();
    let expected = "line 2: column \"c\": expected one of \"a\", \"b\", found \"z\"";
    assert!(error.to_string().contains(expected), "{error}");
    let error = base().fit(&known).unwrap().transform(&table("c\nNA\n")).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn the_task_is_guessed_and_can_be_said() {
    let classes = |text: &str, task| {
        let fitted = Preprocessor::new().target("y").task(task).fit(&table(text)).unwrap();
        fitted.class_names().map(<[String]>::to_vec)
    };
    let names = |names: &[&str]| Some(names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
    assert_eq!(classes("x,y\n1,b\n2,a\n", Task::Guess), names(&["a", "b"]));
    assert_eq!(classes("x,y\n1,10\n2,9\n", Task::Guess), names(&["9", "10"]));
    assert_eq!(classes("x,y\n1,1.5\n2,9\n", Task::Guess), None);
    assert_eq!(classes("x,y\n1,10\n2,9\n", Task::Regression), None);
    assert_eq!(classes("x,y\n1,1.5\n2,9\n", Task::Classification), names(&["1.5", "9"]));
    let wrong = Preprocessor::new().target("y").task(Task::Regression);
    let error = wrong.fit(&table("x,y\n1,b\n2,a\n")).unwrap_err().to_string();
    assert!(error.contains("line 2: column \"y\": \"b\" is not a number"), "{error}");
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let fit = |it: Preprocessor| it.fit(&table(HOUSES)).unwrap_err().to_string();
    for (error, expected) in [
        (fit(Preprocessor::new().target("cost")), "column \"cost\", found rooms, city"),
        (fit(Preprocessor::new().without(["x"])), "\"x\""),
        (fit(Preprocessor::new().missing(Missing::Constant(f32::NAN))), "`missing` expected"),
        (fit(Preprocessor::new().only(["price"]).target("price")), "at least one column"),
    ] {
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
    let fitted = Preprocessor::new().target("city").fit(&table(HOUSES)).unwrap();
    let other = table("rooms,city,heated,price\n1,Paris,yes,5\n");
    let error = fitted.dataset(&other).unwrap_err().to_string();
    assert!(error.contains("line 2: column \"city\": expected one of"), "{error}");
    let mut model = Sequential::builder(2).dense(3, Activation::Softmax).build(1).unwrap();
    let error = model.set_preprocessing(fitted).unwrap_err().to_string();
    assert!(error.contains("features of the preprocessing: expected 2, found 4"), "{error}");
    assert!(model.predict_labels(&other).unwrap_err().to_string().contains("set_preprocessing"));
}

#[test]
fn a_saved_model_takes_raw_rows() {
    for target in ["heated", "price"] {
        let fitted = Preprocessor::new().target(target).fit(&table(HOUSES)).unwrap();
        let data = fitted.dataset(&table(HOUSES)).unwrap();
        let classes = data.classes();
        let builder = Sequential::builder(data.features());
        let builder = match classes {
            Some(classes) => builder.dense(classes, Activation::Softmax),
            None => builder.dense(1, Activation::Identity),
        };
        let mut model = builder.build(1).unwrap();
        let adam = Adam::new(0.1);
        let config = match classes {
            Some(_) => TrainConfig::new(CrossEntropy::default(), adam),
            None => TrainConfig::new(MeanSquaredError, adam),
        };
        train_parallel(&mut model, &data, &config.epochs(200)).unwrap();
        model.set_preprocessing(fitted).unwrap();
        let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(back.preprocessing(), model.preprocessing());
        let predicted = back.predict_table(&table(HOUSES)).unwrap();
        assert_eq!(predicted, model.predict_table(&table(HOUSES)).unwrap());
        if classes.is_some() {
            let labels = back.predict_labels(&table(HOUSES)).unwrap();
            assert_eq!(labels, table(HOUSES).column("heated").unwrap());
        } else {
            assert!((predicted[(1, 0)] - 300.0).abs() < 1.0, "{predicted}");
        }
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(example("train_csv")).args(arguments).output().unwrap()
}

#[test]
fn train_csv_trains_reports_saves_and_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut text = "length,shape,kind,weight\n".to_owned();
    for n in 0..120 {
        let shape = ["round", "square", "flat"][n % 3];
        let kind = if n % 3 == 2 || n < 40 { "scrap" } else { "good" };
        text += &format!("{n},{shape},{kind},{}\n", 2.5 * n as f64 + 0.25);
    }
    std::fs::write(path("parts.csv"), text).unwrap();
    std::fs::write(path("new.csv"), "length,shape\n100,round\n3,square\n100,flat\n").unwrap();

    let model = path("model.safetensors");
    let shared = ["--epochs", "60", "--save", &model, "--lr", "0.01"];
    let arguments = ["train", &path("parts.csv"), "--target", "kind", "--without", "weight"];
    let output = run(&[&arguments[..], &shared].concat());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["96 rows to train on, 24 held out", "scrap", "share", "precision", "saved to"]
    {
        assert!(printed.contains(expected), "{expected} is missing in:\n{printed}");
    }
    let output = run(&["predict", &model, &path("new.csv")]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "kind\ngood\nscrap\nscrap\n");

    let arguments = ["train", &path("parts.csv"), "--target", "weight", "--without", "kind"];
    let output = run(&[&arguments[..], &shared].concat());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let score = printed.lines().find_map(|line| line.strip_prefix("R2 ")).unwrap_or_default();
    assert!(score.trim().parse::<f64>().is_ok_and(|r2| r2 > 0.95), "{printed}");
    let output = run(&["predict", &model, &path("new.csv")]);
    let values: Vec<f64> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .skip(1)
        .map(|line| line.parse().unwrap())
        .collect();
    assert!((values[0] - 250.25).abs() < 25.0 && values.len() == 3, "{values:?}");
}

#[test]
fn train_csv_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv").display().to_string();
    std::fs::write(&file, "x,y\n1,2\n,3\n4,5\n").unwrap();
    for (arguments, expected) in [
        (vec![], "usage:"),
        (vec!["train", &file], "--target is needed"),
        (vec!["train", &file, "--target", "z"], "\"z\""),
        (vec!["train", &file, "--target", "y", "--epoch", "3"], "--epoch: unknown"),
        (vec!["train", &file, "--target", "y"], "line 3: column \"x\": the value is missing"),
        (vec!["train", &file, "--target", "y", "--seed", "three"], "expected a number"),
        (vec!["train", "/no/such.csv", "--target", "y"], "/no/such.csv: "),
        (vec!["predict", &file, &file], "not a safetensors file"),
    ] {
        let output = run(&arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
}
