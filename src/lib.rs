#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Trains neural networks on all cores of one machine, to the same bits on any number of threads.
//!
//! # A first model
//!
//! A model is a row of layers, a data set is checked when it is made, a configuration names the loss
//! and the optimizer, and [`train_parallel`] brings them together:
//!
//! ```
//! use unisono::{Activation, Adam, CrossEntropy, Sequential, StandardScaler, TrainConfig};
//! use unisono::{datasets, train_parallel};
//!
//! let (train, test) = datasets::iris().split_stratified(0.2, 42)?;
//! let scaler = StandardScaler::fit(&train)?;
//! let (train, test) = (scaler.transform(&train)?, scaler.transform(&test)?);
//!
//! let mut model = Sequential::builder(train.features())
//!     .dense(8, Activation::Relu)
//!     .dense(3, Activation::Softmax)
//!     .build(7)?;
//! let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).epochs(100);
//! train_parallel(&mut model, &train, &config)?;
//! assert!(model.evaluate(&test)?.accuracy > Some(0.9));
//! # Ok::<(), unisono::Error>(())
//! ```
//!
//! # Data
//!
//! A [`Dataset`] holds features (rows x columns, `f32`) and for each row a class or values to predict.
//! It comes from ndarray ([`Dataset::classification`], [`Dataset::regression`]), from a CSV file
//! ([`Dataset::from_csv`]), from IDX files ([`Dataset::from_idx`], [`datasets::fashion_mnist`]), or is
//! built in ([`datasets::iris`], [`datasets::digits`]). Whatever is wrong with it is an error that
//! names row and column:
//!
//! ```
//! use ndarray::array;
//! use unisono::Dataset;
//!
//! let error = Dataset::classification(array![[1.0], [f32::NAN]], [0, 1]).unwrap_err();
//! assert!(error.to_string().contains("row 1"));
//! ```
//!
//! [`StandardScaler`] and [`MinMaxScaler`] are fitted on the training rows and applied to both sides;
//! [`Dataset::split`], [`Dataset::split_stratified`] and [`Dataset::k_fold`] cut a set in parts.
//!
//! Columns and classes are numbers to a model, but it knows the names that its training data gave them:
//! data whose columns stand in another order, or that lack a class in between, are refused
//! ([`CsvOptions::class_names`] says which classes there are).
//!
//! What does not fit into memory is a [`DataStream`] of CSV files, or of NumPy's or Parquet files with
//! the features `npy` and `parquet`, given as a file, a list or a folder; it trains and evaluates
//! wherever a `Dataset` does, shuffled by a window that moves through the files, and
//! [`StandardScaler::fit_stream`] needs one pass. The example `larger_than_memory` shows one.
//!
//! # Models
//!
//! [`Sequential::builder`] takes layers in order; `build` checks every shape once, says which layer is
//! wrong, and draws the parameters from a seed. A model prints as a table. Its weights go in and out
//! as ndarray, in PyTorch's names and shapes:
//!
//! ```
//! use unisono::{Activation, Sequential};
//!
//! let mut model = Sequential::builder(64)
//!     .dense(32, Activation::Gelu)
//!     .layer_norm()
//!     .dropout(0.1)
//!     .dense(10, Activation::Softmax)
//!     .build(1)?;
//! let weight = model.weight("0.weight")?;
//! assert_eq!(weight.shape(), [32, 64]); // out x in
//! model.set_weight("0.weight", (weight * 0.5).view())?;
//! # Ok::<(), unisono::Error>(())
//! ```
//!
//! [`Sequential::predict`], [`Sequential::predict_classes`] and [`Sequential::evaluate`] use all cores
//! too; [`metrics`] judges predictions more closely.
//!
//! # Training
//!
//! A [`TrainConfig`] has defaults for all but loss and optimizer: schedules, clipping, validation,
//! early stopping and observers (a [`Progress`] bar is one) are added where they are wanted. The
//! [`History`] that comes back holds every epoch's figures. To do something between epochs or steps,
//! drive a [`Trainer`] yourself:
//!
//! ```
//! use unisono::{Activation, CrossEntropy, Schedule, Sequential, Sgd, TrainConfig, Trainer, datasets};
//!
//! let data = datasets::iris();
//! let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
//! let config = TrainConfig::new(CrossEntropy::default(), Sgd::new(0.05).momentum(0.9))
//!     .schedule(Schedule::Exponential { gamma: 0.9 });
//! let mut trainer = Trainer::new(&mut model, &data, &config)?;
//! while trainer.stopped().is_none() {
//!     let epoch = trainer.epoch()?;
//!     println!("epoch {}: loss {:.3}", epoch.epoch, epoch.loss);
//! }
//! # Ok::<(), unisono::Error>(())
//! ```
//!
//! A loss or gradient that is not finite ends the training with an error before it reaches the
//! parameters.
//!
//! A [`Checkpoint`] setting writes everything that a run needs to go on, by steps or by seconds, and goes
//! on from it with the same bits (example `checkpoint`).
//!
//! # Watching
//!
//! What watches a run is an [`Observer`]: a [`Progress`] bar with the time left (lines where there is no
//! terminal), an [`EpochLog`] of every epoch's figures as CSV or JSON lines, `TensorBoard` (feature
//! `tensorboard`) event files, or a closure of yours. The [`History`] prints as a table with the best
//! epoch below; `History::write_svg` and `write_png` (features `plot` and `png`) draw its curves. The
//! example `watch` does all of it.
//!
//! The crate says what it does through `tracing`, and nothing at all until a program listens. The target
//! is `unisono` and the module:
//!
//! | level | event | fields |
//! |---|---|---|
//! | warn | a checkpoint cannot be read: trying the one before | error |
//! | warn | the last events cannot be written (of `TensorBoard`, when a run ends) | error |
//! | warn | the SIMD level is not lowered (`UNISONO_SIMD` is misspelt) | error |
//! | info | training starts | rows, batch, epochs, threads, simd |
//! | info | training goes on | path, epoch, step |
//! | info | training ends | epochs, why |
//! | debug | epoch done | epoch, loss, val_loss, rows_per_s |
//! | debug | checkpoint written | path, bytes |
//!
//! # A model in use while it trains
//!
//! [`Trainer::live`] gives a [`LiveModel`]: clones of it predict from any thread with the weights of the
//! newest finished step. An [`OnlineTrainer`] learns from data as they arrive, and has such handles too
//! (example `live`).
//!
//! # From your file to a saved model
//!
//! A [`Preprocessor`] is fitted on a [`Table`] of text and makes a [`Dataset`] of it: numbers standardised, text as
//! categories, the target as classes or values. Validation rows choose the epoch, so a third part tells how good
//! the model is. Given to the model, preprocessing is saved with it, and predictions then take raw rows:
//!
//! ```
//! use unisono::{Activation, Adam, Checkpoint, CrossEntropy, EarlyStopping, Preprocessor, Sequential};
//! use unisono::{Table, TrainConfig, train_parallel};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = |name: &str| folder.path().join(name);
//! # let rows = (0..90).map(|n| format!("{n},{},{}\n", ["red", "blue"][n % 2], ["a", "b"][n / 45]));
//! # std::fs::write(path("parts.csv"), "size,colour,kind\n".to_owned() + &rows.collect::<String>()).unwrap();
//! let (rest, test) = Table::from_csv(path("parts.csv"))?.split(0.2, 1)?;
//! let (train, validation) = rest.split(0.2, 2)?;
//! let fitted = Preprocessor::new().target("kind").fit(&train)?;
//! let (train, validation) = (fitted.dataset(&train)?, fitted.dataset(&validation)?);
//!
//! let mut model = Sequential::builder(train.features()).dense(2, Activation::Softmax).build(1)?;
//! let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.1))
//!     .epochs(40)
//!     .validation(validation)
//!     .early_stopping(EarlyStopping::new(10)) // the best epoch's weights come back
//!     .checkpoint(Checkpoint::new(path("run")).resume(true)); // killed, it goes on where it was
//! train_parallel(&mut model, &train, &config)?;
//! assert!(model.evaluate(&fitted.dataset(&test)?)?.accuracy > Some(0.8));
//!
//! model.set_preprocessing(fitted)?;
//! model.save(path("model.safetensors"))?;
//! let new = Table::from_csv_text("size,colour\n3,red\n88,blue\n")?;
//! assert_eq!(Sequential::load(path("model.safetensors"))?.predict_labels(&new)?, ["a", "b"]);
//! # Ok::<(), unisono::Error>(())
//! ```
//!
//! A scaler that was fitted in memory or on a stream is given to a model in the same way, which then
//! takes raw rows of numbers by [`Sequential::predict_raw`].
//!
//! The file is safetensors with the tensors of a PyTorch `nn.Sequential`; [`Sequential::load_weights`]
//! reads what PyTorch saved. With the feature `onnx`, `Sequential::export_onnx` writes models for
//! runtimes in other languages, with their preprocessing where that is asked for (example `export`).
//!
//! # The same bits
//!
//! A trained model is a function of the data, the configuration (threads left out) and the seeds. A
//! batch is cut into shards by its rows and the net, never by the number of threads; every sum has one
//! order, and so has the tree that adds up the shards' gradients. [`Sequential::fingerprint`] hashes
//! every bit:
//!
//! ```
//! use unisono::{Activation, Adam, CrossEntropy, Sequential, TrainConfig, datasets, train_parallel};
//!
//! let trained = |threads| {
//!     let data = datasets::iris();
//!     let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1)?;
//!     let config = TrainConfig::new(CrossEntropy::default(), Adam::default()).epochs(3);
//!     train_parallel(&mut model, &data, &config.exact_threads(threads))?;
//!     Ok::<_, unisono::Error>(model.fingerprint())
//! };
//! assert_eq!(trained(1)?, trained(3)?);
//! # Ok::<(), unisono::Error>(())
//! ```
//!
//! `threads` changes the speed alone; a net too small to gain from a further thread runs on fewer.
//! The kernels use AVX-512, AVX2 or NEON as the CPU has it ([`SimdLevel`]), again to the same bits; a
//! CPU without fused multiply-add emulates it, slowly.
//!
//! # Layers of your own
//!
//! Implement [`Layer`] (forward, backward, gradients of the parameters) and add it with
//! [`SequentialBuilder::layer`]; the example `custom_layer` shows one. The layer sees blocks of rows
//! and no threads. It keeps the promise of the same bits if each row's result depends on that row and
//! the parameters alone, and that of the same bits on every platform if it uses IEEE operations alone,
//! for `f32::exp` and its like differ.
//!
//! # Speed
//!
//! How training scales over threads, how to measure that, and which batch suits how many
//! threads: [`guide::scaling`].
//!
//! Build with `--release`. For debug builds of a project of your own, have this crate optimised:
//!
//! ```toml
//! [profile.dev.package.unisono]
//! opt-level = 3
//! ```

mod activation;
mod aligned;
#[doc(hidden)]
pub mod bench_support;
mod data;
mod decimals;
mod error;
pub mod guide;
mod io;
mod layer;
mod loss;
pub mod metrics;
mod model;
mod optim;
mod pages;
pub mod rng;
mod rows;
mod simd;
mod train;

pub use activation::Activation;
/// The version whose arrays are features, weights and predictions.
pub use ndarray;
/// The version whose `Mutex` a shared observer lies in.
pub use parking_lot;

#[cfg(feature = "parquet")]
pub use data::ParquetOptions;
pub use data::{
    Batches, ClassBalance, CsvColumn, CsvOptions, DataSource, DataStream, Dataset, Files,
    MinMaxScaler, Missing, Preprocessing, Preprocessor, Scaler, StandardScaler, Table, Targets,
    Task, Unseen, datasets,
};
pub use error::{Error, Result};
pub use io::Checkpoint;
#[cfg(feature = "onnx")]
pub use io::OnnxOptions;
pub use layer::{Init, Layer};
pub use loss::{
    BinaryCrossEntropy, CrossEntropy, Huber, Loss, MeanAbsoluteError, MeanSquaredError,
};
pub use model::{Score, Sequential, SequentialBuilder};
pub use optim::{Adagrad, Adam, AdamW, Clip, EarlyStopping, Optimizer, RmsProp, Schedule, Sgd};
pub use simd::SimdLevel;
#[cfg(feature = "tensorboard")]
pub use train::TensorBoard;
pub use train::{
    EpochLog, EpochReport, Flow, History, LiveModel, Observer, OnlineTrainer, Progress, StepReport,
    StopReason, TrainConfig, Trainer, train_parallel,
};

/// The README's program compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
