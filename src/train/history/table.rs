//! A training's epochs as a table.

use std::fmt;

use super::{EpochReport, History};
use crate::decimals::decimals;

/// A column of the table: its heading and its text for an epoch.
type Column = (&'static str, fn(&EpochReport) -> String);

const COLUMNS: [Column; 8] = [
    ("epoch", |report| report.epoch.to_string()),
    ("loss", |report| loss(Some(report.loss))),
    ("accuracy", |report| fixed(report.accuracy, 4)),
    ("val_loss", |report| loss(report.val_loss)),
    ("val_accuracy", |report| fixed(report.val_accuracy, 4)),
    ("lr", |report| rate(report.lr)),
    ("seconds", |report| fixed(Some(report.seconds), 3)),
    ("rows/s", |report| fixed(Some(report.rows_per_s), 0)),
];

fn loss(value: Option<f64>) -> String {
    value.map(|value| decimals(value, 6)).unwrap_or_default()
}

fn fixed(value: Option<f64>, digits: usize) -> String {
    value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
}

/// Three significant digits, as an exponent where zeros would take more room.
fn rate(lr: f64) -> String {
    let short: f64 = format!("{lr:.2e}").parse().unwrap_or(lr);
    if short == 0.0 || (1e-4..1e4).contains(&short) {
        short.to_string()
    } else {
        format!("{short:e}")
    }
}

impl EpochReport {
    /// The epoch in a line, what it is judged by first.
    fn summary(&self) -> String {
        let mut text = format!("best epoch {}:", self.epoch);
        for (name, figure) in [
            ("val_loss", loss(self.val_loss)),
            ("val_accuracy", fixed(self.val_accuracy, 4)),
            ("loss", loss(Some(self.loss))),
            ("accuracy", fixed(self.accuracy, 4)),
        ] {
            if !figure.is_empty() {
                let comma = if text.ends_with(':') { "" } else { "," };
                text.push_str(&format!("{comma} {name} {figure}"));
            }
        }
        text
    }
}

impl History {
    /// The epochs worth a line: all of up to 30; of more the first three, every n-th, the best and
    /// the last, where n is the smallest of 2, 5, 10, 20, 50 … that leaves at most 20 lines.
    fn lines(&self) -> Vec<&EpochReport> {
        let count = self.epochs.len();
        if count <= 30 {
            return self.epochs.iter().collect();
        }
        let decades = (0..).map(|power| 10_usize.saturating_pow(power));
        let nth = decades
            .flat_map(|ten| [2, 5, 10].map(|factor| ten.saturating_mul(factor)))
            .find(|nth| count / nth <= 20)
            .unwrap_or(count);
        let best = self.best().map_or(0, |best| best.epoch);
        let keep = |(i, report): (usize, &EpochReport)| {
            i < 3 || (i + 1) % nth == 0 || i + 1 == count || report.epoch == best
        };
        self.epochs.iter().enumerate().filter(|&it| keep(it)).map(|(_, report)| report).collect()
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let best = self.best().map(|best| best.epoch);
        let columns: Vec<(usize, Vec<String>)> = COLUMNS
            .iter()
            .map(|(heading, text)| {
                let cells = lines.iter().map(|report| text(report));
                let cells: Vec<String> =
                    std::iter::once(heading.to_string()).chain(cells).collect();
                (cells.iter().map(String::len).max().unwrap_or(0), cells)
            })
            .filter(|(_, cells)| lines.is_empty() || cells[1..].iter().any(|cell| !cell.is_empty()))
            .collect();
        for line in 0..=lines.len() {
            for (i, (width, cells)) in columns.iter().enumerate() {
                let gap = if i == 0 { "" } else { "  " };
                write!(f, "{gap}{:>width$}", cells[line])?;
            }
            let marked = line > 0 && Some(lines[line - 1].epoch) == best;
            writeln!(f, "{}", if marked { " *" } else { "" })?;
        }
        let (epochs, threads, shards) = (self.epochs.len(), self.threads, self.shards);
        write!(
            f,
            "{epochs} epoch{}, {}; {threads} thread{}, {shards} shard{}",
            plural(epochs),
            self.stopped,
            plural(threads),
            plural(shards)
        )?;
        self.best().map_or(Ok(()), |best| write!(f, "\n{}", best.summary()))
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn the_table_is_aligned_and_marks_the_best() {
        let expected = "\
epoch      loss  accuracy  val_loss  val_accuracy     lr  seconds  rows/s
    1  0.500000    0.8000  0.611111        0.7750  0.001    0.053   19048
    2  0.285714    0.8643  0.500000        0.8286  0.001    0.053   19048 *
    3  0.200000    0.8900  0.611111        0.8500  0.001    0.053   19048
3 epochs, all epochs done; 2 threads, 16 shards
best epoch 2: val_loss 0.500000, val_accuracy 0.8286, loss 0.285714, accuracy 0.8643";
        assert_eq!(example(3).to_string(), expected);
    }

    #[test]
    fn columns_without_figures_are_left_out() {
        let mut history = example(1);
        let report = &mut history.epochs[0];
        (report.accuracy, report.val_loss, report.val_accuracy) = (None, None, None);
        let text = history.to_string();
        assert!(text.starts_with("epoch      loss     lr"), "{text}");
        let last = "1 epoch, all epochs done; 2 threads, 16 shards\nbest epoch 1: loss 0.200000";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn many_epochs_are_thinned_out() {
        for count in [31, 100, 101, 1000, 12_345] {
            let history = example(count);
            let shown: Vec<usize> = history.lines().iter().map(|report| report.epoch).collect();
            assert!(shown.len() <= 26, "{count}: {shown:?}");
            assert_eq!(shown[..3], [1, 2, 3]);
            assert_eq!(shown.last(), Some(&count));
            assert!(shown.contains(&history.best().unwrap().epoch));
        }
        let shown: Vec<usize> = example(100).lines().iter().map(|report| report.epoch).collect();
        assert_eq!(shown[3..6], [5, 10, 15]);
    }

    #[test]
    fn rates_are_short() {
        let shown = [0.001, 0.0009999, 1.0 / 3.0, 2.5e-7, 0.0].map(rate);
        assert_eq!(shown, ["0.001", "0.001", "0.333", "2.5e-7", "0"]);
    }
}
