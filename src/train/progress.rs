//! How far a run is and how long it will take, for the eye.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::EpochReport;
use super::observer::{Flow, Observer, StepReport};
use crate::Result;
use crate::decimals::decimals;

/// How often what is shown changes, at most.
const GLANCE: Duration = Duration::from_millis(50);
/// After how long without a line one is printed where there is no terminal.
const SILENCE: Duration = Duration::from_secs(10);
/// Steps of a run are told of together, within less than this, after all of them: up to then nothing was timed.
const TOGETHER: Duration = Duration::from_millis(1);
/// The most steps between two looks at the clock.
const MOST_UNSEEN: usize = 1 << 16;

/// Shows on standard error how far training is: a bar with epoch, step, loss, rows/s and the time left
/// of the epoch and of the run, and a line for each epoch.
///
/// Where standard error is no terminal there are plain lines instead: of epochs one every tenth of the
/// run and the last, and with the same figures as the bar's one whenever nothing was printed for ten seconds. The
/// time left of the run assumes that all its epochs are run, each as long as those so far. A run of `usize::MAX`
/// epochs has neither tenths nor a time left: there epochs and steps are printed after ten seconds' silence alone, and the last epoch when
/// the observer is dropped with the last configuration that holds it.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    bar: Option<ProgressBar>,
    /// The epoch and step that were heard of last; a finished epoch stands beyond all its steps.
    heard: (usize, usize),
    pace: Pace,
    /// Tenths of the run of which an epoch was printed.
    tenths: usize,
    printed: Instant,
    /// The last epoch, if it was not printed, and how many there are.
    unprinted: Option<(EpochReport, usize)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// A bar that appears with the first step.
    pub fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            bar: None,
            heard: (0, 0),
            pace: Pace::default(),
            tenths: 0,
            printed: Instant::now(),
            unprinted: None,
        }
    }

    /// Forgets a run that is over, or that another one follows.
    fn forget(&mut self) {
        (self.pace, self.tenths, self.unprinted) = (Pace::default(), 0, None);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&mut self) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let style = "epoch {prefix} [{bar:20}] step {pos}/{len}  {msg}";
            let style = ProgressStyle::with_template(style).expect("a valid template");
            let bar = ProgressBar::no_length().with_style(style.progress_chars("=> "));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        })
    }

    /// What is to be printed of a step where there is no terminal.
    fn plain_step(&mut self, report: &StepReport, now: Instant) -> Option<String> {
        if now.duration_since(self.printed) < SILENCE {
            return None;
        }
        self.printed = now;
        let StepReport { epoch, epochs, step, steps, .. } = report;
        let (epoch, figures) = (out_of(*epoch, *epochs), self.pace.figures(report, now));
        Some(format!("epoch {epoch}  step {step}/{steps}  {figures}"))
    }

    /// What is to be printed of an epoch where there is no terminal.
    fn plain_epoch(&mut self, report: &EpochReport, epochs: usize, now: Instant) -> Option<String> {
        let tenths = report.epoch.saturating_mul(10) / epochs.max(1);
        if tenths <= self.tenths && now.duration_since(self.printed) < SILENCE {
            self.unprinted = Some((*report, epochs));
            return None;
        }
        (self.tenths, self.printed, self.unprinted) = (tenths, now, None);
        Some(line(report, epochs))
    }
}

/// A run that data arrive for has no end that it could hear of.
impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Observer for Progress {
    fn epoch(&mut self, report: &EpochReport, epochs: usize) -> Result<Flow> {
        self.heard = (report.epoch, usize::MAX);
        if !self.terminal {
            if let Some(line) = self.plain_epoch(report, epochs, Instant::now()) {
                eprintln!("{line}");
            }
        } else if let Some(bar) = &self.bar {
            bar.println(line(report, epochs));
        }
        Ok(Flow::Continue)
    }

    fn end(&mut self) {
        if let Some((report, epochs)) = self.unprinted.take() {
            eprintln!("{}", line(&report, epochs));
        }
        self.forget();
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        let step = (report.epoch, report.step);
        if step <= self.heard {
            self.forget();
        }
        self.heard = step;
        let Some(now) = self.pace.step(report) else { return Ok(Flow::Continue) };
        if !self.terminal {
            if let Some(line) = self.plain_step(report, now) {
                eprintln!("{line}");
            }
            return Ok(Flow::Continue);
        }
        let figures = self.pace.figures(report, now);
        let bar = self.bar();
        bar.set_length(report.steps as u64);
        bar.set_prefix(out_of(report.epoch, report.epochs));
        bar.set_position(report.step as u64);
        bar.set_message(figures);
        Ok(Flow::Continue)
    }

    fn wants_steps(&self) -> bool {
        true
    }

    fn only_watches(&self) -> bool {
        true
    }
}

/// An epoch's number, out of how many unless they have no end.
fn out_of(epoch: usize, epochs: usize) -> String {
    match epochs {
        usize::MAX => epoch.to_string(),
        epochs => format!("{epoch}/{epochs}"),
    }
}

fn line(report: &EpochReport, epochs: usize) -> String {
    let mut line =
        format!("epoch {}  loss {}", out_of(report.epoch, epochs), decimals(report.loss, 4));
    let share = |value: f64| format!("{value:.4}");
    for (name, value) in [
        ("accuracy", report.accuracy.map(share)),
        ("val_loss", report.val_loss.map(|loss| decimals(loss, 4))),
        ("val_accuracy", report.val_accuracy.map(share)),
    ] {
        if let Some(value) = value {
            line.push_str(&format!("  {name} {value}"));
        }
    }
    line + &format!("  {:.0} rows/s", report.rows_per_s)
}

/// How fast it goes. The clock is looked at some times a second, for small nets make a million steps.
#[derive(Debug, Default)]
struct Pace {
    /// Steps until the next look, and how many those were.
    unseen: usize,
    stride: usize,
    looked: Option<Instant>,
    /// When the run's first step was over, and the rows and steps since.
    run: Option<(Instant, usize, usize)>,
    /// When the epoch's first step was over, and that step.
    epoch: Option<(Instant, usize)>,
}

impl Pace {
    /// Counts a step; the time, if it is to be shown.
    fn step(&mut self, report: &StepReport) -> Option<Instant> {
        if let Some((_, rows, steps)) = &mut self.run {
            *rows += report.rows;
            *steps += 1;
        }
        let first = self.run.is_none() || report.step == 1;
        self.unseen = self.unseen.saturating_sub(1);
        (first || self.unseen == 0 || report.step == report.steps)
            .then(|| self.look(report, Instant::now()))
    }

    fn look(&mut self, report: &StepReport, now: Instant) -> Instant {
        let begins = |start: Instant| now.duration_since(start) < TOGETHER;
        if self.run.is_none_or(|run| begins(run.0)) {
            self.run = Some((now, 0, 0));
        }
        if report.step == 1 || self.epoch.is_none_or(|epoch| begins(epoch.0)) {
            self.epoch = Some((now, report.step));
        }
        let soon = self.looked.is_some_and(|looked| now.duration_since(looked) < GLANCE);
        self.stride = if soon { (2 * self.stride).clamp(1, MOST_UNSEEN) } else { self.stride / 2 };
        self.unseen = self.stride;
        self.looked = Some(now);
        now
    }

    fn figures(&self, report: &StepReport, now: Instant) -> String {
        let mut text = format!("loss {}", decimals(report.loss, 4));
        let Some((start, rows, steps)) = self.run.filter(|run| run.2 > 0) else { return text };
        let seconds = now.duration_since(start).as_secs_f64().max(1e-9);
        text.push_str(&format!("  {:.0} rows/s", rows as f64 / seconds));
        let left = |steps_left: usize, step: f64| {
            HumanDuration(Duration::from_secs_f64((step * steps_left as f64).min(1e9)))
        };
        let of_epoch = report.steps - report.step;
        if let Some((start, first)) = self.epoch.filter(|epoch| report.step > epoch.1) {
            let step = now.duration_since(start).as_secs_f64() / (report.step - first) as f64;
            text.push_str(&format!("  {:#} left", left(of_epoch, step)));
        }
        let epochs_left = report.epochs.saturating_sub(report.epoch);
        if epochs_left > 0 && report.epochs < usize::MAX {
            let of_run = epochs_left.saturating_mul(report.steps).saturating_add(of_epoch);
            text.push_str(&format!(" ({:#} of the run)", left(of_run, seconds / steps as f64)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(epoch: usize, step: usize) -> StepReport {
        let (loss, lr, gradient_norm) = (0.5, 0.1, None);
        StepReport { epoch, step, steps: 600, epochs: 3, rows: 32, loss, lr, gradient_norm }
    }

    #[test]
    fn time_left_is_that_of_the_epoch_and_of_the_run() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.look(&step(1, 1), start);
        pace.run = Some((start, 99 * 32, 99));
        let now = start + Duration::from_secs(99);
        assert_eq!(
            pace.figures(&step(1, 100), now),
            "loss 0.5000  32 rows/s  8m left (28m of the run)"
        );
        pace.look(&step(3, 1), now);
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.figures(&step(3, 591), later), "loss 0.5000  29 rows/s  0s left");
    }

    #[test]
    fn a_run_without_end_has_no_time_left() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.look(&step(1, 1), start);
        pace.run = Some((start, 99 * 32, 99));
        let figures = |epochs| {
            pace.figures(&StepReport { epochs, ..step(1, 100) }, start + Duration::from_secs(99))
        };
        assert_eq!(figures(usize::MAX), "loss 0.5000  32 rows/s  8m left");
        assert!(figures(usize::MAX - 1).ends_with("8m left (32y of the run)"));
    }

    #[test]
    fn a_run_without_end_is_shown_by_its_epochs_alone() {
        let mut report = crate::train::history::tests::example(10).epochs[0];
        let mut progress = Progress::new();
        progress.terminal = true;
        progress.step(&StepReport { epochs: usize::MAX, ..step(7, 1) }).unwrap();
        assert_eq!(progress.bar.as_ref().map(ProgressBar::prefix), Some("7".to_owned()));
        let later = progress.printed + SILENCE;
        assert_eq!(progress.plain_epoch(&report, usize::MAX, progress.printed), None);
        let line = progress.plain_epoch(&report, usize::MAX, later).unwrap();
        assert!(line.starts_with("epoch 1  loss "), "{line}");
        let step = StepReport { epochs: usize::MAX, ..step(7, 1) };
        let line = progress.plain_step(&step, later + SILENCE).unwrap();
        assert!(line.starts_with("epoch 7  step 1/600  loss "), "{line}");
        report.epoch = usize::MAX;
        assert!(progress.plain_epoch(&report, 3, later).unwrap().starts_with("epoch 18"));
    }

    #[test]
    fn the_clock_is_looked_at_less_often_where_steps_are_short() {
        let mut pace = Pace::default();
        pace.look(&step(1, 1), Instant::now() - 2 * TOGETHER);
        let looks = 1 + (2..=600).filter(|&i| pace.step(&step(1, i)).is_some()).count();
        assert!((2..60).contains(&looks), "{looks} looks in {:?}", pace.looked);
        assert_eq!(pace.run.map(|run| (run.1, run.2)), Some((599 * 32, 599)));
    }

    #[test]
    fn steps_that_are_told_of_together_took_no_time() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.look(&step(2, 1), start);
        pace.run = Some((start, 200 * 32, 200));
        let told = pace.look(&step(2, 201), start + TOGETHER / 2);
        assert_eq!((pace.run, pace.epoch), (Some((told, 0, 0)), Some((told, 201))));
        pace.run = Some((told, 100 * 32, 100));
        pace.look(&step(2, 301), told + Duration::from_secs(1));
        assert_eq!((pace.run, pace.epoch), (Some((told, 3200, 100)), Some((told, 201))));
    }

    #[test]
    fn without_a_terminal_a_long_silence_ends_with_a_line() {
        let mut progress = Progress::new();
        let start = progress.printed;
        progress.pace.look(&step(2, 1), start);
        progress.pace.run = Some((start, 320, 10));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(progress.plain_step(&step(2, 5), at(9)), None);
        let line = progress.plain_step(&step(2, 11), at(10)).unwrap();
        assert_eq!(
            line,
            "epoch 2/3  step 11/600  loss 0.5000  32 rows/s  10m left (20m of the run)"
        );
        assert_eq!(progress.plain_step(&step(2, 12), at(12)), None);
    }

    #[test]
    fn without_a_terminal_every_tenth_of_the_epochs_is_printed() {
        let mut progress = Progress::new();
        let now = progress.printed;
        let history = crate::train::history::tests::example(100);
        let mut lines = history.epochs.iter().filter_map(|it| progress.plain_epoch(it, 100, now));
        assert!(lines.next().unwrap().starts_with("epoch 10/100  loss 1.0526  accuracy 0.6342"));
        assert_eq!(lines.count(), 9);
    }

    #[test]
    fn the_bar_is_as_long_as_each_epoch() {
        let mut progress = Progress::new();
        progress.terminal = true;
        progress.step(&step(1, 1)).unwrap();
        progress.step(&StepReport { steps: 7, ..step(2, 1) }).unwrap();
        assert_eq!(progress.bar.as_ref().and_then(ProgressBar::length), Some(7));
    }

    #[test]
    fn a_run_that_ends_early_leaves_no_bar_and_keeps_its_last_line() {
        let reports = crate::train::history::tests::example(10).epochs;
        let mut progress = Progress::new();
        progress.terminal = true;
        progress.step(&step(1, 1)).unwrap();
        let bar = progress.bar.clone().unwrap();
        progress.epoch(&reports[0], 100).unwrap();
        progress.end();
        assert!(bar.is_finished() && progress.bar.is_none());

        let mut progress = Progress::new();
        progress.terminal = false;
        assert_eq!(progress.plain_epoch(&reports[0], 100, progress.printed), None);
        assert_eq!(progress.unprinted, Some((reports[0], 100)));
        progress.end();
        assert_eq!(progress.unprinted, None);
    }

    #[test]
    fn a_second_run_is_told_from_the_first() {
        let reports = crate::train::history::tests::example(10).epochs;
        // Through all epochs and further; cut short, and again or on from there.
        for (epochs, next) in [(1, step(2, 1)), (10, step(1, 1)), (10, step(1, 3))] {
            let mut progress = Progress::new();
            progress.terminal = false;
            progress.step(&step(1, 1)).unwrap();
            progress.step(&step(1, 2)).unwrap();
            progress.epoch(&reports[0], epochs).unwrap();
            if epochs == 1 {
                progress.end();
            }
            progress.step(&next).unwrap();
            assert_eq!(progress.tenths, 0);
            assert_eq!(progress.pace.run.map(|run| run.2), Some(0), "{epochs} {next:?}");
        }
    }
}
