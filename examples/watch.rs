//! Watches a training from every side: a progress bar, logs as CSV and JSON lines, event files for
//! TensorBoard, curves as SVG and PNG, the best epoch, and what the library says through `tracing`.
//!
//! `cargo run --release --features png,tensorboard --example watch [FOLDER]` writes into FOLDER (`watch`
//! unless told); `RUST_LOG=debug` before it shows every epoch's event, and not only those of the run.

use std::fmt::{Debug, Write};
use std::path::PathBuf;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use unisono::{
    Activation, AdamW, CrossEntropy, EarlyStopping, EpochLog, Progress, Schedule, Sequential,
    TensorBoard, TrainConfig, datasets, train_parallel,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "watch".into()));
    std::fs::create_dir_all(&folder)?;
    tracing::subscriber::set_global_default(Console::new())?;

    let (train, validation) = datasets::digits().split_stratified(0.3, 1)?;
    let mut model = Sequential::builder(train.features())
        .layer_norm()
        .dense(64, Activation::Relu)
        .dropout(0.2)
        .dense(10, Activation::Softmax)
        .build(7)?;
    let config = TrainConfig::new(CrossEntropy::default(), AdamW::new(0.003))
        .epochs(40)
        .schedule(Schedule::Exponential { gamma: 0.95 })
        .validation(validation)
        .early_stopping(EarlyStopping::new(8))
        .observer(Progress::new())
        .observer(EpochLog::csv(folder.join("log.csv"))?)
        .observer(EpochLog::json_lines(folder.join("log.jsonl"))?)
        .observer(TensorBoard::new(folder.join("board"))?);
    let history = train_parallel(&mut model, &train, &config)?;
    println!("{history}");

    history.write_svg(folder.join("curves.svg"))?;
    history.write_png(folder.join("curves.png"))?;
    if let Some(best) = history.best() {
        println!("the model is that of epoch {} again", best.epoch);
    }
    println!("see {0}/curves.png, and: tensorboard --logdir {0}/board", folder.display());
    Ok(())
}

/// Prints the library's events; programs take the crate `tracing-subscriber` for it.
struct Console(Level);

impl Console {
    fn new() -> Self {
        let debug = std::env::var("RUST_LOG").is_ok_and(|level| level == "debug");
        Self(if debug { Level::DEBUG } else { Level::INFO })
    }
}

impl Subscriber for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0 && metadata.target().starts_with("unisono")
    }

    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                let name = if field.name() == "message" { "" } else { field.name() };
                let sign = if name.is_empty() { "" } else { "=" };
                let _ = write!(self.0, " {name}{sign}{value:?}");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        eprintln!("{:>5} {}:{}", event.metadata().level(), event.metadata().target(), text.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
