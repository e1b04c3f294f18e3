//! What the crate tells to `tracing`: nothing to those who do not listen, enough to those who do.

use std::fmt;
use std::process::Command;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, Sequential, SimdLevel, TrainConfig, datasets,
    train_parallel,
};

/// Keeps every event's level and text.
struct Listener(&'static Mutex<Vec<(Level, String)>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        if event.metadata().target().starts_with("unisono") {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push((*event.metadata().level(), text.0));
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_run_tells_start_epochs_checkpoints_and_end() {
    static HEARD: Mutex<Vec<(Level, String)>> = Mutex::new(vec![]);
    tracing::subscriber::set_global_default(Listener(&HEARD)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let train = |epochs| {
        let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1).unwrap();
        let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
            .epochs(epochs)
            .exact_threads(2)
            .checkpoint(Checkpoint::new(folder.path()).keep(1).resume(true));
        train_parallel(&mut model, &datasets::iris(), &config).unwrap();
        std::mem::take(&mut *HEARD.lock().unwrap())
    };
    let heard = train(2);
    let expected = [
        (Level::INFO, "training starts"),
        (Level::DEBUG, "epoch done"),
        (Level::DEBUG, "checkpoint written"),
        (Level::DEBUG, "epoch done"),
        (Level::DEBUG, "checkpoint written"),
        (Level::INFO, "training ends"),
    ];
    assert_eq!(heard.len(), expected.len(), "{heard:?}");
    for ((level, text), (expected_level, part)) in heard.iter().zip(expected) {
        assert!(*level == expected_level && text.contains(part), "{part} in {text}");
    }
    assert!(heard[0].1.contains("rows=150") && heard[0].1.contains("threads=2"), "{heard:?}");

    assert!(train(3)[0].1.contains("training goes on"));
    let damaged = folder.path().join("step-999999999999.safetensors");
    std::fs::write(damaged, b"half").unwrap();
    let heard = train(4);
    assert!(heard[0].0 == Level::WARN && heard[0].1.contains("cannot be read"), "{heard:?}");
}

/// Set in the processes that [`told_of_level`] starts.
const CHILD: &str = "UNISONO_TEST_CHILD";

/// Prints the level and what is told of it, where it runs as a child process.
#[test]
fn print_level() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    static HEARD: Mutex<Vec<(Level, String)>> = Mutex::new(vec![]);
    tracing::subscriber::set_global_default(Listener(&HEARD)).unwrap();
    println!("\nlevel={}", SimdLevel::current());
    for (level, text) in HEARD.lock().unwrap().iter() {
        println!("heard={level} {text}");
    }
}

/// The level that a process runs on which is asked for one, and what it tells of it.
fn told_of_level(asked: &str) -> (String, Vec<String>) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["print_level", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .env("UNISONO_SIMD", asked)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines = |key: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect()
    };
    (lines("level=").remove(0), lines("heard="))
}

#[test]
fn a_level_that_is_misspelt_is_warned_of() {
    let (highest, heard) = told_of_level("");
    assert_eq!(heard, [""; 0]);
    assert_eq!(told_of_level("FallBack"), ("fallback".to_owned(), vec![]));
    let (level, heard) = told_of_level("avx-512");
    assert_eq!((level, heard.len()), (highest, 1));
    let expected = "`UNISONO_SIMD` expected avx512, avx2, neon or fallback, found \"avx-512\"";
    assert!(heard[0].starts_with("WARN") && heard[0].contains(expected), "{heard:?}");
}
