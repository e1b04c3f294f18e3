//! What watches a training run: steps, epochs, and a say in whether it goes on.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::EpochReport;
use crate::Result;
use crate::model::Sequential;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Goes on.
    Continue,
    /// Stops after this epoch or step; the model keeps what it has learned.
    Stop,
}

/// One optimizer step, as observers see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Step within the epoch, from 1.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// Mean loss of the batch, before the step.
    pub loss: f64,
    /// Learning rate of the step.
    pub lr: f64,
    /// Euclidean norm of the batch's gradient before clipping, where an observer
    /// [wants](Observer::wants_gradient_norm) it or it is at hand anyway.
    pub gradient_norm: Option<f64>,
}

/// Watches a training run. An error or a panic of an observer ends the run with an error.
pub trait Observer: Send {
    /// Hears of each finished epoch, out of `epochs`.
    ///
    /// # Errors
    /// What it returns ends the training; wrap your own in [`Error::Observer`](crate::Error).
    fn epoch(&mut self, report: &EpochReport, epochs: usize) -> Result<Flow>;

    /// Hears of each finished step, if [`wants_steps`](Self::wants_steps).
    ///
    /// # Errors
    /// What it returns ends the training.
    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        let _ = report;
        Ok(Flow::Continue)
    }

    /// Sees the model after each finished epoch.
    ///
    /// # Errors
    /// What it returns ends the training.
    fn model(&mut self, epoch: usize, model: &Sequential) -> Result<()> {
        let _ = (epoch, model);
        Ok(())
    }

    /// Whether it wants to hear of steps; small nets make a million of them a second.
    fn wants_steps(&self) -> bool {
        false
    }

    /// Whether it wants the gradient's norm in the reports of steps; a large model then writes its
    /// gradients to memory for it.
    fn wants_gradient_norm(&self) -> bool {
        false
    }
}

/// A closure that hears of each epoch.
impl<F: FnMut(&EpochReport) -> Flow + Send> Observer for F {
    fn epoch(&mut self, report: &EpochReport, _: usize) -> Result<Flow> {
        Ok(self(report))
    }
}

/// Draws a progress bar on standard error with epoch, step, loss, rows/s and the time left of the
/// epoch, and a line for each epoch; where that is no terminal,
/// it prints a line every tenth of the run instead.
#[derive(Debug, Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
    shown: usize,
    /// When the epoch's first step was over, and the rows since.
    since: Option<(Instant, usize)>,
}

impl Progress {
    /// A bar that appears with the first step.
    pub fn new() -> Self {
        Self::default()
    }

    fn bar(&mut self, steps: usize) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let style = "epoch {prefix} [{bar:30}] {pos}/{len} {msg} ({elapsed}, {eta} left)";
            let style = ProgressStyle::with_template(style).expect("a valid template");
            let bar = ProgressBar::new(steps as u64).with_style(style.progress_chars("=> "));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        })
    }
}

impl Observer for Progress {
    fn epoch(&mut self, report: &EpochReport, epochs: usize) -> Result<Flow> {
        let mut line = format!("epoch {}/{epochs}  loss {:.4}", report.epoch, report.loss);
        let mut add = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                line.push_str(&format!("  {name} {value:.4}"));
            }
        };
        add("accuracy", report.accuracy);
        add("val_loss", report.val_loss);
        add("val_accuracy", report.val_accuracy);
        line.push_str(&format!("  {:.0} rows/s", report.rows_per_s));
        let tenth = report.epoch * 10 / epochs.max(1);
        match &self.bar {
            Some(bar) => bar.println(&line),
            None if tenth > self.shown || report.epoch == epochs => eprintln!("{line}"),
            None => {}
        }
        self.shown = tenth;
        if report.epoch == epochs
            && let Some(bar) = self.bar.take()
        {
            bar.finish_and_clear();
        }
        Ok(Flow::Continue)
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        let bar = self.bar(report.steps).clone();
        if report.step == 1 {
            bar.set_prefix(report.epoch.to_string());
            bar.reset_eta();
            self.since = Some((Instant::now(), 0));
        }
        bar.set_position(report.step as u64);
        if let Some((start, rows)) = &mut self.since {
            *rows += if report.step == 1 { 0 } else { report.rows };
            if report.step.is_multiple_of(16) || report.step == report.steps {
                let rate = *rows as f64 / start.elapsed().as_secs_f64().max(1e-9);
                bar.set_message(format!("loss {:.4}  {rate:.0} rows/s", report.loss));
            }
        }
        Ok(Flow::Continue)
    }

    fn wants_steps(&self) -> bool {
        std::io::stderr().is_terminal()
    }
}
