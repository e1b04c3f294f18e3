//! A model in use while it trains, and training on data as they arrive.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use unisono::{
    Activation, Adam, CrossEntropy, CsvOptions, DataStream, Dataset, Error, MeanSquaredError,
    OnlineTrainer, Schedule, Sequential, Sgd, TrainConfig, Trainer, datasets,
};

fn data() -> Dataset {
    datasets::synthetic_classification(300, 6, 3, 1).unwrap()
}

fn model() -> Sequential {
    Sequential::builder(6)
        .dense(40, Activation::Tanh)
        .dropout(0.2)
        .dense(3, Activation::Softmax)
        .build(1)
        .unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).epochs(60).batch_size(50)
}

/// Waits for some more reads.
fn await_reads(reads: &AtomicUsize) {
    let before = reads.load(Ordering::Relaxed);
    while reads.load(Ordering::Relaxed) < before + 16 {
        std::thread::yield_now();
    }
}

#[test]
fn readers_see_finished_steps_and_nothing_between() {
    let data = data();
    let mut alone = model();
    let mut states = HashSet::from([alone.fingerprint()]);
    let mut trainer = Trainer::new(&mut alone, &data, &config()).unwrap();
    for _ in 0..60 * trainer.steps_per_epoch() {
        trainer.step().unwrap();
        states.insert(trainer.model().fingerprint());
    }

    let mut watched = model();
    let mut trainer = Trainer::new(&mut watched, &data, &config().exact_threads(2)).unwrap();
    let live = trainer.live(1);
    let (over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen: HashSet<u64> = std::thread::scope(|scope| {
        let read = || {
            let live = live.clone();
            let mut seen = HashSet::new();
            while !over.load(Ordering::Relaxed) {
                let snapshot = live.snapshot();
                seen.insert(snapshot.fingerprint());
                assert_eq!(snapshot.predict(data.x()).unwrap().nrows(), 300);
                live.predict(data.x()).unwrap();
                reads.fetch_add(1, Ordering::Relaxed);
            }
            seen
        };
        let readers: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
        await_reads(&reads);
        let mut steps = 0;
        while trainer.stopped().is_none() {
            trainer.step().unwrap();
            steps += 1;
            // Now and then until the readers had their turn, which a busy machine may withhold.
            if steps % 60 == 0 {
                await_reads(&reads);
            }
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    assert!(seen.is_subset(&states), "{} states, {} of them seen", states.len(), seen.len());
    assert!(seen.len() > 2, "the readers saw no training: {}", seen.len());
    assert_eq!(watched.fingerprint(), alone.fingerprint());
    assert_eq!(live.snapshot().fingerprint(), alone.fingerprint());
}

#[test]
fn a_snapshot_stays_as_it_is_while_training_goes_on() {
    let (data, mut model) = (data(), model());
    let mut trainer = Trainer::new(&mut model, &data, &config()).unwrap();
    let live = trainer.live(3);
    let first = live.snapshot();
    let before = first.fingerprint();
    for step in 1..=12 {
        trainer.step().unwrap();
        let newest = live.snapshot().fingerprint() == trainer.model().fingerprint();
        // Every third step, and the sixth, which ends an epoch.
        assert_eq!(newest, step % 3 == 0, "step {step}");
    }
    assert_eq!(first.fingerprint(), before);
    drop(live);
    trainer.step().unwrap();
    let again = trainer.live(5).snapshot();
    assert_eq!(again.fingerprint(), trainer.model().fingerprint());
}

#[test]
fn readers_see_the_last_good_step_of_a_run_that_fails() {
    let data = datasets::synthetic_regression(64, 60, 2, 1).unwrap();
    let builder = Sequential::builder(60).dense(12, Activation::Relu);
    let mut model = builder.dense(2, Activation::Identity).build(1).unwrap();
    let config = TrainConfig::new(MeanSquaredError, Sgd::new(1e4)).epochs(20).batch_size(16);
    let mut trainer = Trainer::new(&mut model, &data, &config).unwrap();
    let live = trainer.live(u64::MAX);
    let untrained = live.snapshot().fingerprint();
    let error = trainer.run().unwrap_err();
    assert!(matches!(error, Error::NonFinite { epoch: 1, step: 2.., .. }), "{error}");
    assert_ne!(trainer.model().fingerprint(), untrained);
    assert_eq!(live.snapshot().fingerprint(), trainer.model().fingerprint());
}

#[test]
fn arriving_data_train_as_epochs_do() {
    let data = data();
    for config in [
        config(),
        TrainConfig::new(CrossEntropy::default(), Sgd::new(0.1).momentum(0.9))
            .batch_size(64)
            .schedule(Schedule::Exponential { gamma: 0.5 }),
    ] {
        let (mut by_epoch, mut by_set) = (model(), model());
        let mut trainer = Trainer::new(&mut by_epoch, &data, &config).unwrap();
        let mut online = OnlineTrainer::new(&mut by_set, &config).unwrap();
        for _ in 0..3 {
            let (epoch, set) = (trainer.epoch().unwrap(), online.partial_fit(&data).unwrap());
            assert_eq!((epoch.loss.to_bits(), epoch.epoch), (set.loss.to_bits(), set.epoch));
        }
        assert_eq!(by_set.fingerprint(), by_epoch.fingerprint());
    }
}

/// A model that was published before its first set knows neither loss nor names then.
#[test]
fn readers_know_what_a_model_was_trained_with() {
    let data = data().with_class_names(["a", "b", "c"]).unwrap();
    let mut model = model();
    let config = config();
    let mut online = OnlineTrainer::new(&mut model, &config).unwrap();
    let live = online.live(1);
    assert!(live.snapshot().class_names().is_none());
    online.partial_fit(&data).unwrap();
    online.partial_fit(&data).unwrap();
    let snapshot = live.snapshot();
    assert_eq!(snapshot.class_names().unwrap(), ["a", "b", "c"]);
    assert_eq!(snapshot.evaluate(&data).unwrap(), online.model().evaluate(&data).unwrap());
    assert!(snapshot.trained_with().is_some());
}

#[test]
fn arriving_data_that_do_not_fit_change_nothing() {
    let mut model = model();
    let before = model.fingerprint();
    let mut online = OnlineTrainer::new(&mut model, &config()).unwrap();
    let narrow = datasets::synthetic_classification(20, 5, 3, 1).unwrap();
    let error = online.partial_fit(&narrow).unwrap_err().to_string();
    assert!(error.contains("expected 6, found 5"), "{error}");
    assert_eq!(online.model().fingerprint(), before);
    online.partial_fit(&data()).unwrap();
    assert_ne!(online.model().fingerprint(), before);
}

#[test]
fn arriving_data_are_seen_by_readers_and_may_be_streams() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let x = data.x();
    let rows = x.outer_iter().zip(data.labels().unwrap()).map(|(row, label)| {
        let row: Vec<_> = row.iter().map(f32::to_string).collect();
        format!("{},{label}\n", row.join(","))
    });
    std::fs::write(&path, rows.collect::<String>()).unwrap();
    let options = CsvOptions::default().header(false).class_names(["0", "1", "2"]);
    let stream = DataStream::csv(&path, &options).unwrap();
    let config = config().shuffle(false);
    let (mut from_memory, mut from_file) = (model(), model());
    let mut memory = OnlineTrainer::new(&mut from_memory, &config).unwrap();
    let mut file = OnlineTrainer::new(&mut from_file, &config).unwrap();
    let live = memory.live(1);
    assert_eq!(live.snapshot().fingerprint(), model().fingerprint());
    for _ in 0..2 {
        memory.partial_fit(&data).unwrap();
        file.partial_fit(&stream).unwrap();
        assert_eq!(live.snapshot().fingerprint(), memory.model().fingerprint());
        assert_eq!(memory.model().fingerprint(), file.model().fingerprint());
    }
    let (over, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen: HashSet<u64> = std::thread::scope(|scope| {
        let read = || {
            let mut seen = HashSet::new();
            while !over.load(Ordering::Relaxed) {
                seen.insert(live.snapshot().fingerprint());
                reads.fetch_add(1, Ordering::Relaxed);
            }
            seen
        };
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        for _ in 0..5 {
            (0..10).for_each(|_| drop(memory.partial_fit(&data)));
            await_reads(&reads);
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    assert!(seen.len() > 2, "the readers saw no training: {}", seen.len());
}
