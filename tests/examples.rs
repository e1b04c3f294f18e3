//! The example programs as a user starts them: as processes, with right and wrong arguments.

mod common;

use std::process::{Command, Output};

use common::example;
use serde_json::Value;

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(example(name)).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn iris_prints_summary_history_and_score() {
    let output = run("iris", &[]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for expected in ["dense 4 -> 3", "total 35", "rows/s", "100 epochs", "test: loss", "accuracy"] {
        assert!(printed.contains(expected), "{expected} is missing in:\n{printed}");
    }
}

#[test]
fn custom_layer_has_one_fingerprint() {
    let printed = text(&run("custom_layer", &[]).stdout);
    let prints: Vec<&str> =
        printed.lines().filter_map(|line| line.split("fingerprint ").nth(1)).collect();
    assert_eq!(prints.len(), 2, "{printed}");
    assert_eq!(prints[0], prints[1]);
}

#[test]
fn nothing_is_said_where_nobody_listens() {
    assert_eq!(text(&run("iris", &[]).stderr), "");
}

#[test]
fn live_serves_while_it_trains_and_learns_from_what_arrives() {
    let output = run("live", &[]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(printed.lines().filter(|line| line.starts_with("server ")).count(), 4, "{printed}");
    let last = printed.lines().rfind(|line| line.starts_with("set ")).unwrap();
    let right = last.split_whitespace().nth(2).unwrap().parse::<usize>().unwrap();
    assert!(right >= 85, "{printed}");
}

#[cfg(all(feature = "png", feature = "tensorboard"))]
#[test]
fn watch_writes_every_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = run("watch", &[folder.path().to_str().unwrap()]);
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    for (text, expected) in [(&printed, "best epoch"), (&said, "training starts rows=")] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    let lines =
        |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
    assert_eq!(lines("log.csv"), lines("log.jsonl") + 1);
    for name in ["curves.svg", "curves.png", "board"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[cfg(feature = "onnx")]
#[test]
fn export_writes_both_files_and_reads_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let output = run("export", &[folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("loaded again, it takes the first flower for "));
    for name in ["iris.safetensors", "iris.onnx"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[cfg(feature = "npy")]
#[test]
fn larger_than_memory_takes_csv_files_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    for (part, rows) in [("0.csv", "0,1,x\n1,0,y\n"), ("1.csv", "0,2,x\n2,0,y\n")] {
        std::fs::write(folder.path().join(part), format!("a,b,kind\n{rows}")).unwrap();
    }
    let others = folder.path().join("others.txt");
    std::fs::write(&others, "a,b,kind\n3,0,y\n").unwrap();
    let model = folder.path().join("model.safetensors");
    let train = |target: &str, more: &[&str]| {
        let path = folder.path().to_str().unwrap();
        let arguments = [path, "--target", target, "--hidden", "4", "--epochs", "200"];
        run("larger_than_memory", &[&arguments[..], more].concat())
    };
    let kept = ["--validation", others.to_str().unwrap(), "--save", model.to_str().unwrap()];
    let output = train("kind", &kept);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    for expected in ["4 rows x 2 features in 2 files, 2 classes", "val_loss", "saved to"] {
        assert!(printed.contains(expected), "{expected} is missing in:\n{printed}");
    }
    let model = unisono::Sequential::load(&model).unwrap();
    let outputs = model.predict_raw(ndarray::array![[0.0, 1.5], [1.5, 0.0]].view()).unwrap();
    assert!(outputs[(0, 0)] > 0.5 && outputs[(1, 1)] > 0.5, "{outputs}");

    assert!(text(&train("kind", &[]).stdout).contains("no validation: --validation names"));
    std::fs::write(&others, "a,b,kind\n3,0,z\n").unwrap();
    for (output, expected) in [
        (train("c", &[]), "no column \"c\""),
        (train("kind", &kept), "class \"z\" is not one of \"x\", \"y\""),
    ] {
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn throughput_prints_one_line_of_json() {
    let csv = std::env::temp_dir().join(format!("unisono-examples-{}.csv", std::process::id()));
    std::fs::write(&csv, "a,b,kind\n0,1,x\n1,0,y\n0,2,x\n2,0,y\n").unwrap();
    let from_csv = format!("csv:{}:kind", csv.display());
    let cases = [
        ("iris", "4,4,3"),
        ("digits", "64,20,10"),
        ("synthetic-classification:300", "5,6,2"),
        (from_csv.as_str(), "2,3,2"),
    ];
    for (data, layers) in cases {
        let output = run("throughput", &["--data", data, "--layers", layers, "--json"]);
        assert!(output.status.success(), "{data}: {}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(text(&output.stdout).trim().lines().count(), 1);
        for key in ["rows_per_s", "epoch_s", "gflops", "final_train_loss", "threads", "shards"] {
            assert!(
                report[key].as_f64().is_some_and(|value| value > 0.0),
                "{data}: {key} {report}"
            );
        }
        assert!(report["simd"].is_string() && report["fingerprint"].is_string(), "{report}");
    }
    std::fs::remove_file(csv).unwrap();
    let mse =
        ["--data", "synthetic-regression:200", "--layers", "4,5,2", "--loss", "mse", "--json"];
    let one = run("throughput", &[&mse[..], &["--threads", "1", "--exact"]].concat());
    let two = run("throughput", &[&mse[..], &["--threads", "2", "--exact"]].concat());
    let print = |output: &Output| -> Value {
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["fingerprint"].clone()
    };
    assert_eq!(print(&one), print(&two));
}

#[test]
fn wrong_arguments_are_named_with_exit_code_2() {
    for (name, arguments, expected) in [
        ("throughput", &["--speed", "9"][..], "--speed"),
        ("throughput", &["--batch", "many"], "--batch"),
        ("throughput", &["--threads"], "--threads"),
        ("throughput", &["--activation", "swish"], "swish"),
        ("throughput", &["fast"], "fast"),
        ("throughput", &["--layers", "784"], "--layers"),
        ("throughput", &["--layers", "4,0,3"], "--layers"),
        ("throughput", &["--data", "moons"], "--data"),
        ("throughput", &["--data", "synthetic-regression:many"], "--data"),
        ("throughput", &["--data", "csv:file"], "--data"),
        ("throughput", &["--loss", "hinge"], "--loss"),
        ("throughput", &["--optimizer", "adam(lr"], "--optimizer"),
        ("throughput", &["--lr", "fast"], "--lr"),
        ("throughput", &["--epochs", "-1"], "--epochs"),
        ("throughput", &["--warmup-epochs", "1.5"], "--warmup-epochs"),
        ("throughput", &["--threads", "0"], "--threads"),
        ("throughput", &["--shards", ""], "--shards"),
        ("throughput", &["--seed", "x"], "--seed"),
        ("throughput", &["--json=yes"], "--json"),
        ("throughput", &["--exact"], "--threads"),
        ("fashion_mnist", &["--epochs", "x"], "--epochs"),
        ("fashion_mnist", &["--fast"], "--fast"),
    ] {
        let output = run(name, arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{message}");
    }
    let missing = run("fashion_mnist", &["no/such/folder"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("no/such/folder"));
}

/// 2 I O operations a row and product: forward, weight gradient, and behind the first layer the
/// input gradient.
#[test]
fn throughput_counts_the_arithmetic_of_the_products() {
    let data = ["--data", "synthetic-classification:96", "--layers", "8,16,3"];
    let output = run("throughput", &[&data[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| report[key].as_f64().unwrap();
    let expected = (2 * (2 * 8 * 16) + 3 * (2 * 16 * 3)) as f64;
    let found = number("gflops") * 1e9 / number("rows_per_s");
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    let share = number("gflops") / (number("peak_gflops_per_core") * number("threads"));
    assert!((number("share_of_peak") / share - 1.0).abs() < 1e-9, "{report}");
}

#[test]
fn throughput_fits_targets_and_last_activation_to_the_loss() {
    for (data, layers, loss) in [
        ("iris", "4,5,3", "mse"),
        ("iris", "4,5,3", "bce"),
        ("synthetic-classification:40", "6,5,2", "bce"),
        ("synthetic-regression:40", "6,5,2", "huber"),
    ] {
        let output =
            run("throughput", &["--data", data, "--layers", layers, "--loss", loss, "--json"]);
        assert!(output.status.success(), "{data} {loss}: {}", text(&output.stderr));
    }
}

#[test]
fn input_that_does_not_fit_ends_with_1() {
    for arguments in [
        &["--data", "fashion-mnist:no/such/folder"][..],
        &["--data", "csv:no/such/file.csv:kind"],
        &["--data", "iris", "--layers", "5,3"],
        &["--data", "iris", "--layers", "4,2"],
        &["--data", "iris", "--lr", "-1"],
        &["--data", "synthetic-regression:20", "--layers", "4,2", "--loss", "cross-entropy"],
        &["--data", "synthetic-classification:4000000000", "--layers", "4000000000,3"],
    ] {
        let output = run("throughput", arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    }
}
