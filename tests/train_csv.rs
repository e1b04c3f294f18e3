//! `train_csv` as a user starts it on a file of their own.

mod common;

use std::process::{Command, Output};

use common::example;
use unisono::{Sequential, Table};

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
    for expected in [
        "76 rows to train on, 20 to choose the epoch by, 24 to test on",
        "scrap",
        "share",
        "precision",
        "saved to",
    ] {
        assert!(printed.contains(expected), "{expected} is missing in:\n{printed}");
    }
    let output = run(&["predict", &model, &path("new.csv")]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "kind\ngood\nscrap\nscrap\n");
    assert!(printed.contains("best epoch"), "{printed}");

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
fn train_csv_does_as_its_flags_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut text = "a;b;grade\n".to_owned();
    for n in 0..100 {
        let b = if n == 7 { "NA".into() } else { (n * 7 % 13).to_string() };
        text += &format!("{n};{b};{}\n", 1 + n / 34);
    }
    std::fs::write(path("grades.csv"), text).unwrap();
    let shared = ["--delimiter", ";", "--missing", "mean", "--layers", "8", "--lr", "0.01"];
    let train = |more: &[&str]| {
        let start = ["train", &path("grades.csv"), "--target", "grade"];
        let output = run(&[&start[..], &shared, more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Three whole numbers are classes unless told otherwise.
    let guessed =
        train(&["--test", "0.3", "--validation", "0.1", "--threads", "1", "--epochs", "5"]);
    assert!(
        guessed.contains("63 rows to train on, 7 to choose the epoch by, 30 to test on"),
        "{guessed}"
    );
    assert!(guessed.contains("--task regression takes it for values"), "{guessed}");
    assert!(guessed.contains("precision") && guessed.contains("1 thread,"), "{guessed}");
    let told = train(&["--task", "regression", "--epochs", "5", "--categories", "b"]);
    assert!(told.contains("R2 ") && !told.contains("precision"), "{told}");
    assert!(told.contains("dense 14 -> 8"), "one column a category:\n{told}");
    let stopped = train(&["--epochs", "5000", "--patience", "3"]);
    assert!(stopped.contains("no improvement since epoch"), "{stopped}");
    // One seed, one model.
    let fingerprint = |name: &str, more: &[&str]| {
        train(&[&["--epochs", "3", "--save", &path(name)], more].concat());
        Sequential::load(path(name)).unwrap().fingerprint()
    };
    assert_eq!(fingerprint("a", &["--seed", "4"]), fingerprint("b", &["--seed", "4"]));
    assert_ne!(fingerprint("a", &["--seed", "4"]), fingerprint("b", &["--seed", "5"]));
}

#[test]
fn train_csv_knows_a_class_that_is_held_out_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.csv").display().to_string();
    let rows = (0..40).map(|n| format!("{n},{}\n", if n == 0 { "rare" } else { "common" }));
    std::fs::write(&file, "n,kind\n".to_owned() + &rows.collect::<String>()).unwrap();
    for seed in ["0", "1", "2", "3", "4", "5"] {
        let output = run(&["train", &file, "--target", "kind", "--epochs", "1", "--seed", seed]);
        assert!(output.status.success(), "{seed}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn train_csv_guesses_by_all_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.csv").display().to_string();
    // 21 whole numbers, of which one occurs once: most parts have 20, which would be classes.
    let rows = (0..400).map(|n| format!("{n},{}\n", if n == 0 { 20 } else { n % 20 }));
    std::fs::write(&file, "n,y\n".to_owned() + &rows.collect::<String>()).unwrap();
    for seed in ["0", "1", "2", "3"] {
        let output = run(&["train", &file, "--target", "y", "--epochs", "1", "--seed", seed]);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains("taken for values") && printed.contains("R2 "), "{printed}");
    }
}

#[test]
fn train_csv_predicts_csv_whatever_the_classes_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rows =
        (0..60).map(|n| format!("{n},\"{}\"\n", if n < 30 { "low, \"\"so\"\"" } else { "high" }));
    std::fs::write(path("rows.csv"), "n,level\n".to_owned() + &rows.collect::<String>()).unwrap();
    let model = path("model");
    let output =
        run(&["train", &path("rows.csv"), "--target", "level", "--save", &model, "--lr", "0.02"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(path("new.csv"), "n\n2\n55\n").unwrap();
    let output = run(&["predict", &model, &path("new.csv")]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let read = Table::from_csv_text(&text).unwrap();
    assert_eq!(read.column("level").unwrap(), ["low, \"so\"", "high"]);
}

#[test]
fn train_csv_takes_classes_that_look_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rows = (0..60).map(|n| format!("{n},{}\n", if n < 30 { "None" } else { "Mild" }));
    std::fs::write(path("rows.csv"), "n,harm\n".to_owned() + &rows.collect::<String>()).unwrap();
    let (rows, model) = (path("rows.csv"), path("model"));
    let start = ["train", &rows, "--target", "harm", "--save", &model, "--lr", "0.02"];
    assert!(!run(&start).status.success());
    let output = run(&[&start[..], &["--classes", "None,Mild"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(path("new.csv"), "n\n2\n55\n").unwrap();
    let output = run(&["predict", &model, &path("new.csv")]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "harm\nNone\nMild\n");
}

#[test]
fn train_csv_tells_of_categories_that_it_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.csv").display().to_string();
    let rows = (0..200).map(|n| format!("id{n},{},{}\n", ["red", "blue"][n % 2], n % 2));
    std::fs::write(&file, "id,colour,y\n".to_owned() + &rows.collect::<String>()).unwrap();
    let output = run(&["train", &file, "--target", "y", "--epochs", "1"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected =
        "column \"id\": of 128 categories the 50 most frequent are features; --without id";
    assert!(printed.contains(expected) && !printed.contains("\"colour\""), "{printed}");
}

#[test]
fn train_csv_tells_how_it_is_used() {
    for arguments in [&["--help"][..], &["train", "--help"], &["predict", "a", "-h"]] {
        let output = run(arguments);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("usage:"));
    }
}

#[test]
fn train_csv_takes_files_without_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rows = (0..60).map(|n| format!("{n},{}\n", if n < 30 { "low" } else { "high" }));
    std::fs::write(path("rows.data"), rows.collect::<String>()).unwrap();
    std::fs::write(path("new.data"), "2\n55\n").unwrap();
    let (rows, model) = (path("rows.data"), path("model"));
    let arguments = ["train", &rows, "--target", "level", "--save", &model, "--lr", "0.02"];
    let output = run(&[&arguments[..], &["--columns", "n,level"]].concat());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("38 rows to train on, 10 to choose"), "{printed}");
    let output = run(&["predict", &model, &path("new.data"), "--columns", "n"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "level\nlow\nhigh\n");
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
        (
            vec!["train", &file, "--target", "y", "--columns", "x,y,z"],
            "expected as many cells as names, 3, found 2",
        ),
        (vec!["train", "/no/such.csv", "--target", "y"], "/no/such.csv: "),
        (
            vec!["train", &file, "--target", "y", "--save", "/no/folder/m"],
            "--save: there is no folder",
        ),
        (
            vec!["train", &file, "--target", "y", "--save", folder.path().to_str().unwrap()],
            "is a folder, expected a file",
        ),
        (
            vec!["train", &file, "--target", "y", "--missing", "mean", "--validation", "1.5"],
            "--validation: configuration: `share` is 1.5",
        ),
        (vec!["predict", &file, &file], "not a safetensors file"),
    ] {
        let output = run(&arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
}
