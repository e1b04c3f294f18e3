//! A run that stops and goes on ends with the bits of one that ran through, wherever it stopped.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Random, example};
use unisono::{
    Activation, Adam, Checkpoint, CrossEntropy, Dataset, EarlyStopping, EpochReport, Error, Flow,
    History, Observer, Optimizer, Result, RmsProp, Schedule, Sequential, Sgd, StepReport,
    StopReason, TrainConfig, Trainer, datasets, train_parallel,
};

fn data() -> Dataset {
    datasets::synthetic_classification(205, 7, 3, 5).unwrap()
}

fn model() -> Sequential {
    Sequential::builder(7)
        .dense(19, Activation::Relu)
        .dropout(0.3)
        .layer_norm()
        .dense(3, Activation::Softmax)
        .build(2)
        .unwrap()
}

fn config(optimizer: impl Into<Optimizer>) -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), optimizer)
        .epochs(6)
        .batch_size(32)
        .seed(4)
        .validation(datasets::synthetic_classification(60, 7, 3, 6).unwrap())
}

/// Sets a flag after so many steps.
struct StopAfter(usize, Arc<AtomicBool>);

impl Observer for StopAfter {
    fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
        Ok(Flow::Continue)
    }
    fn step(&mut self, _: &StepReport) -> Result<Flow> {
        self.0 = self.0.saturating_sub(1);
        self.1.store(self.0 == 0, Ordering::Relaxed);
        Ok(Flow::Continue)
    }
    fn wants_steps(&self) -> bool {
        true
    }
}

/// Trains for `steps` steps, is interrupted, and goes on to the end on another number of threads.
fn in_two_parts(config: &TrainConfig, steps: usize) -> (Sequential, History) {
    let folder = tempfile::tempdir().unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    let checkpoint = Checkpoint::new(folder.path());
    let first = config
        .clone()
        .exact_threads(2)
        .checkpoint(checkpoint.clone())
        .interrupt(flag.clone())
        .observer(StopAfter(steps, flag));
    let history = train_parallel(&mut model(), &data(), &first).unwrap();
    assert_eq!(history.stopped, StopReason::Interrupted);
    let mut resumed = model();
    let second = config.clone().exact_threads(1).checkpoint(checkpoint.resume(true));
    let history = train_parallel(&mut resumed, &data(), &second).unwrap();
    (resumed, history)
}

#[test]
fn goes_on_from_any_step_with_the_same_bits() {
    let sgd = Sgd::new(0.05).momentum(0.9);
    let plateau =
        Schedule::ReduceOnPlateau { factor: 0.5, patience: 0, min_lr: 0.0, threshold: 0.1 };
    let warmup = Schedule::CosineWarmup { warmup_steps: 9, total_steps: 30, min_lr: 1e-4 };
    for config in [
        config(sgd).schedule(plateau),
        config(Adam::new(0.01)).schedule(warmup),
        config(RmsProp::new(0.002).momentum(0.5).centered(true)).drop_last(true),
        config(Adam::new(0.05)).early_stopping(EarlyStopping::new(2).min_delta(0.02)),
    ] {
        let mut whole = model();
        let history = train_parallel(&mut whole, &data(), &config).unwrap();
        for steps in [1, 6, 7, 8, 13, 20] {
            let (resumed, resumed_history) = in_two_parts(&config, steps);
            assert_eq!(resumed.fingerprint(), whole.fingerprint(), "after {steps} steps");
            assert!(resumed_history.same_bits(&history), "after {steps} steps: {config:?}");
        }
    }
}

#[test]
fn a_finished_run_is_not_run_again_and_more_epochs_add_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).resume(true);
    let run = |epochs| {
        let mut model = model();
        let config = config(Adam::default()).epochs(epochs).checkpoint(checkpoint.clone());
        let history = train_parallel(&mut model, &data(), &config).unwrap();
        (model.fingerprint(), history.epochs.len())
    };
    let three = run(3);
    assert_eq!(run(3), three);
    assert_eq!(run(2), three);
    let five = run(5);
    let mut whole = model();
    train_parallel(&mut whole, &data(), &config(Adam::default()).epochs(5)).unwrap();
    assert_eq!(five, (whole.fingerprint(), 5));
}

/// Two epochs and more were done when it was cut off; one is asked for.
#[test]
fn a_run_that_is_past_its_epochs_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).every_steps(1).keep(2);
    let config = config(Adam::default()).epochs(5);
    let mut first = model();
    let set = data();
    let cut = config.clone().checkpoint(checkpoint.clone());
    let mut trainer = Trainer::new(&mut first, &set, &cut).unwrap();
    for _ in 0..16 {
        trainer.step().unwrap();
    }
    drop(trainer);
    let again = config.epochs(1).checkpoint(checkpoint.resume(true));
    let history = train_parallel(&mut model(), &data(), &again).unwrap();
    assert_eq!(history.epochs.len(), 2);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_last_ones_are_kept_and_a_damaged_one_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).every_steps(5).keep(4).resume(true);
    let config = config(Adam::default()).checkpoint(checkpoint);
    let mut whole = model();
    train_parallel(&mut whole, &data(), &config).unwrap();
    // 7 steps an epoch: the multiples of 5 and of 7 up to 42.
    let kept =
        ["028", "030", "035", "040", "042"].map(|n| format!("step-000000000{n}.safetensors"));
    assert_eq!(names(folder.path()), kept[1..]);

    fs::write(folder.path().join(".step-000000000043.safetensors.x.unfinished"), "half").unwrap();
    let newest = folder.path().join(&kept[4]);
    let bytes = fs::read(&newest).unwrap();
    let mut flipped = bytes.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for damaged in [&bytes[..bytes.len() / 2], &[], &flipped] {
        fs::write(&newest, damaged).unwrap();
        let mut resumed = model();
        train_parallel(&mut resumed, &data(), &config).unwrap();
        assert_eq!(resumed.fingerprint(), whole.fingerprint());
    }
    assert_eq!(names(folder.path()).len(), 4);
}

#[test]
fn another_run_is_refused_and_the_field_named() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path());
    let base = config(Adam::default()).epochs(1);
    let train = |model: &mut Sequential, data: &Dataset, config: TrainConfig| {
        train_parallel(model, data, &config).map(|_| ())
    };
    train(&mut model(), &data(), base.clone().checkpoint(checkpoint.clone())).unwrap();
    let again = base.clone().checkpoint(checkpoint.clone());
    let resume = |config: TrainConfig| config.checkpoint(checkpoint.clone().resume(true));
    let mut other = Sequential::builder(7).dense(3, Activation::Softmax).build(2).unwrap();
    let fewer = data().select(&(0..100).collect::<Vec<_>>()).unwrap();
    let cases: [(Result<()>, &str); 8] = [
        (train(&mut model(), &data(), again), "resume(true)"),
        (train(&mut model(), &data(), resume(base.clone().seed(5))), "`seed`"),
        (train(&mut model(), &data(), resume(base.clone().batch_size(31))), "`batch_size`"),
        (train(&mut model(), &data(), resume(config(Sgd::new(0.1)))), "`optimizer`"),
        (
            train(&mut model(), &data(), resume(base.clone().shards(2))),
            "`shards` expected none set",
        ),
        (train(&mut model(), &fewer, resume(base.clone())), "rows of the data"),
        (train(&mut other, &data(), resume(base.clone())), "model"),
        (train(&mut model(), &data(), base.checkpoint(Checkpoint::new("x").keep(0))), "`keep`"),
    ];
    for (result, expected) in cases {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
}

#[test]
fn other_names_are_refused_and_none_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).resume(true);
    let named = |features: &str, classes: [&str; 3]| {
        let data = data().with_feature_names(features.split(' '))?;
        data.with_class_names(classes)
    };
    let train = |data: &Dataset, epochs| {
        let config = config(Adam::default()).epochs(epochs).checkpoint(checkpoint.clone());
        train_parallel(&mut model(), data, &config)
    };
    let first = named("a b c d e f g", ["x", "y", "z"]).unwrap();
    train(&first, 1).unwrap();
    for (data, expected) in [
        (
            named("a b c d f e g", ["x", "y", "z"]),
            "column 4 of the data: expected \"e\", as in training, found \"f\"",
        ),
        (
            named("a b c d e f g", ["x", "z", "y"]),
            "class 1 of the data: expected \"y\", as in training, found \"z\"",
        ),
    ] {
        let error = train(&data.unwrap(), 2).unwrap_err().to_string();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
    assert_eq!(train(&first, 2).unwrap().epochs.len(), 2);
    assert_eq!(train(&data(), 3).unwrap().epochs.len(), 3);
}

#[test]
fn another_validation_set_is_refused_where_the_run_goes_by_it() {
    let (data, others) = data().split(0.3, 1).unwrap();
    let (fewer, _) = others.split(0.5, 1).unwrap();
    let plateau =
        Schedule::ReduceOnPlateau { factor: 0.5, patience: 1, min_lr: 0.0, threshold: 0.0 };
    let plain = || config(Adam::default());
    let with = |config: TrainConfig, data: &Dataset| config.validation(data.clone());
    let stopping = || plain().early_stopping(EarlyStopping::new(5));
    for (first, then, refused) in [
        (with(stopping(), &others), with(stopping(), &fewer), true),
        (with(stopping(), &others), with(stopping(), &others), false),
        (with(plain().schedule(plateau), &others), plain().schedule(plateau), true),
        (plain().schedule(plateau), with(plain().schedule(plateau), &others), true),
        (with(plain(), &others), plain(), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let train = |config: &TrainConfig, epochs| {
            let checkpoint = Checkpoint::new(folder.path()).resume(true);
            let config = config.clone().epochs(epochs).checkpoint(checkpoint);
            train_parallel(&mut model(), &data, &config)
        };
        train(&first, 1).unwrap();
        let told = train(&then, 2).map_err(|error| error.to_string());
        assert_eq!(told.is_err(), refused, "{told:?}");
        assert!(told.is_ok() || told.unwrap_err().contains("`validation` expected "));
    }
}

#[test]
fn a_run_that_is_refused_does_not_change_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).resume(true);
    let config = config(Adam::default()).epochs(1).checkpoint(checkpoint);
    let (mut model, data) = (model(), data());
    train_parallel(&mut model, &data, &config).unwrap();
    let before = (model.fingerprint(), model.trained_with().unwrap().clone());
    let other = config.clone().batch_size(31);
    assert!(Trainer::new(&mut model, &data, &other).is_err());
    let after = (model.fingerprint(), model.trained_with().unwrap());
    assert_eq!((after.0, format!("{:?}", after.1)), (before.0, format!("{:?}", before.1)));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_the_model_keeps_its_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let config = config(Adam::default()).checkpoint(Checkpoint::new(&file));
    let error = train_parallel(&mut model(), &data(), &config).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == file), "{error}");
}

/// A full disk, where this process may make one.
#[test]
fn a_full_disk_is_an_error_and_the_checkpoint_before_it_stays() {
    let disk = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| Command::new(args[0]).args(&args[1..]).arg(disk.path()).status();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this process may not mount a small disk");
        return;
    }
    let data = data();
    let mut model = model();
    let checkpoint = Checkpoint::new(disk.path().join("run")).every_steps(1).keep(100);
    let config = config(Adam::default()).checkpoint(checkpoint.resume(true));
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    let error = trainer.run().unwrap_err();
    drop(trainer);
    let full = matches!(&error, Error::Io { source, .. }
        if source.kind() == std::io::ErrorKind::StorageFull);
    let left = names(&disk.path().join("run"));
    let newest = disk.path().join("run").join(left.last().unwrap());
    let whole = safetensors::SafeTensors::deserialize(&fs::read(newest).unwrap()).is_ok();
    mount(&["umount"]).unwrap();
    assert!(full && whole && left.len() > 1, "{error}: {left:?}");
}

#[test]
fn checkpoints_are_written_by_time_too() {
    for (every, expected) in [(Duration::ZERO, 7 * 2), (Duration::from_secs(3600), 2)] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(folder.path()).every(every).keep(100);
        let config = config(Adam::default()).epochs(2).checkpoint(checkpoint);
        train_parallel(&mut model(), &data(), &config).unwrap();
        assert_eq!(names(folder.path()).len(), expected, "every {every:?}");
    }
}

/// Three steps last longer than the time between checkpoints, so that more are written than epochs end.
#[test]
fn checkpoints_are_written_as_their_time_comes() {
    struct Slow;
    impl Observer for Slow {
        fn epoch(&mut self, _: &EpochReport, _: usize) -> Result<Flow> {
            Ok(Flow::Continue)
        }

        fn step(&mut self, _: &StepReport) -> Result<Flow> {
            std::thread::sleep(Duration::from_millis(20));
            Ok(Flow::Continue)
        }

        fn wants_steps(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(folder.path()).every(Duration::from_millis(50)).keep(100);
    let config = config(Adam::default()).epochs(2).observer(Slow).checkpoint(checkpoint);
    train_parallel(&mut model(), &data(), &config).unwrap();
    let written = names(folder.path());
    assert!(written.len() > 2, "{written:?}");
}

fn start(folder: &Path, threads: &str, more: &[&str]) -> Command {
    let mut command = Command::new(example("checkpoint"));
    command.arg(folder).args(["--bits", "--threads", threads]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Figures and fingerprint of a finished run.
fn figures(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    let bits = |line: &&str| line.starts_with("bits") || line.starts_with("fingerprint");
    text.lines().filter(bits).map(str::to_owned).collect()
}

#[test]
fn killed_twenty_times_it_ends_with_the_same_bits() {
    const EVERY: [&str; 4] = ["--epochs", "20", "--every-steps", "1"];
    const SELDOM: [&str; 4] = ["--epochs", "20", "--every-steps", "100000"];
    let folder = tempfile::tempdir().unwrap();
    let whole = start(&folder.path().join("whole"), "1", &SELDOM).output().unwrap();
    let whole = figures(&whole.stdout);
    assert_eq!(whole.len(), 21);
    let mut random = Random::new(7);
    // Kills at any moment, those at the sight of a file being written, and those that fell into a write.
    let (mut at_random, mut at_sight, mut half_written) = (0, 0, 0);
    let run = folder.path().join("killed");
    let unfinished = || {
        let is = |name: &String| name.ends_with(".unfinished");
        run.exists() && names(&run).iter().any(is)
    };
    while at_random < 20 || half_written == 0 {
        assert!(at_sight < 200, "none of 200 kills fell into a write");
        let threads = if at_random % 2 == 0 { "1" } else { "2" };
        let mut child = start(&run, threads, &EVERY).spawn().unwrap();
        if at_random < 20 {
            std::thread::sleep(Duration::from_micros(2_000 + random.bits() % 30_000));
            at_random += 1;
        } else {
            while !unfinished() && child.try_wait().unwrap().is_none() {}
            at_sight += 1;
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "it ended before kill {}", at_random + at_sight);
        half_written += usize::from(unfinished());
    }
    let last = start(&run, "2", &SELDOM).output().unwrap();
    assert!(last.status.success());
    assert_eq!(figures(&last.stdout), whole);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_with_a_checkpoint_from_which_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let more = [&["--epochs", "15", "--every-steps", "100000"], more].concat();
        start(&folder.path().join(name), "1", &more)
    };
    let whole = figures(&run("whole", &[]).output().unwrap().stdout);
    let killed = folder.path().join("stopped");
    for stop in 0..3 {
        let mut child = run("stopped", &[]).spawn().unwrap();
        let before = || if killed.exists() { names(&killed) } else { vec![] };
        let known = before();
        while before() == known {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote a checkpoint");
            std::thread::sleep(Duration::from_millis(1));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("interrupted"), "{stop}: {text}");
    }
    assert_eq!(figures(&run("stopped", &[]).output().unwrap().stdout), whole);
}
