//! What the study tells, in order.

use super::accuracy::{GOAL, RATE, ROWS, Reached};
use super::document::{Document, Part, Section, Table};
use super::figures::Figure;
use super::fit::{Estimate, Fits};
use super::machine::Facts;
use super::measure::Readings;
use super::phases::{GROUPS, grouped};
use super::predict::Target;
use super::rates::{Rates, STREAMED_BYTES};
use super::table::{self, COLUMNS, Row, duration, percent};
use super::validate::Check;

/// Below so many rounds an interval from resampled medians is about their range.
const ROUNDS_OF_AN_INTERVAL: usize = 9;

/// Everything that the report tells.
pub struct Study<'a> {
    pub command: &'a str,
    pub machine: &'a Facts,
    pub warnings: &'a [String],
    pub rates: &'a Rates,
    pub readings: &'a [Readings],
    pub rows: &'a [Row],
    pub fits: &'a [Option<Fits>],
    pub reached: &'a [Reached],
    pub targets: &'a [Target],
    pub checks: &'a [Check],
    pub figures: &'a [Figure],
    /// The last cache's bytes, and whether the machine told them.
    pub cache: (usize, bool),
}

pub fn text(text: impl Into<String>) -> Part<'static> {
    Part::Text(text.into())
}

pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> Part<'static> {
    Part::Table(Table::new(head, rows))
}

/// "1 thread", "2 threads".
pub fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

impl<'a> Study<'a> {
    /// The report.
    pub fn document(&self) -> Document<'a> {
        let mut sections =
            vec![self.about(), self.speed(), self.laws(), self.phases(), self.accuracy()];
        sections.extend([self.prediction(), self.advice(), self.validation(), self.simulation()]);
        let title = "Scaling study of unisono".to_owned();
        Document { title, warnings: self.warnings.to_vec(), sections }
    }

    /// Pictures whose names begin in one of some ways, measured or predicted.
    pub fn of(&self, kinds: &[&str]) -> Vec<Part<'a>> {
        let begins = |figure: &&Figure| kinds.iter().any(|kind| figure.name.starts_with(kind));
        self.figures.iter().filter(begins).map(Part::Picture).collect()
    }

    fn phases(&self) -> Section<'a> {
        let mut rows = vec![];
        for readings in self.readings {
            for (threads, phases) in &readings.phases {
                let all: f64 = phases.iter().sum();
                let mut row = vec![readings.workload.name.to_owned(), threads.to_string()];
                row.push(duration(all / *threads as f64));
                row.extend(grouped(phases).into_iter().map(|seconds| percent(seconds / all)));
                rows.push(row);
            }
        }
        let mut head = vec!["workload", "threads", "time of a worker"];
        head.extend(GROUPS.map(|(name, _)| name));
        let mut parts = self.of(&["phases-"]);
        parts.push(table(&head, rows));
        Section::measured("Where the time goes", parts)
    }

    fn about(&self) -> Section<'a> {
        let facts = self.machine.iter().map(|(name, value)| vec![(*name).into(), value.clone()]);
        let rounds = self.readings.iter().map(|it| it.sequential.len()).max().unwrap_or(0);
        let told = if self.cache.1 { "as the system tells" } else { "assumed" };
        Section::measured(
            "Machine",
            vec![
                text(format!(
                    "Made by `{}`. Whole training steps are timed: forward, backward, tree-sum and \
                     Adam, shuffling and gathering included. Every number of threads had its turn in \
                     each of up to {rounds} rounds, each round beginning with another, and all of them \
                     trained the same bits.",
                    self.command
                )),
                table(&["", "this machine"], facts.collect()),
                text(format!(
                    "Rates measured on the spot, before the study and after it. Last cache: {:.0} MB \
                     ({told}).{}",
                    self.cache.0 as f64 / 1e6,
                    cached_rate(self.cache.0)
                )),
                table(&["what", "threads", "measured"], self.rate_rows()),
            ],
        )
    }

    fn rate_rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, n: usize, rate: String| vec![name.to_owned(), n.to_string(), rate];
        let Rates { peak, memory, handed, fork_join, join, .. } = self.rates;
        let mut rows = vec![];
        for &(n, rate) in peak {
            let name = "arithmetic (f32, fused multiply-add)";
            rows.push(row(name, n, format!("{:.1} GFLOP/s", rate / 1e9)));
        }
        for &(n, rate) in memory {
            rows.push(row("memory (triad)", n, format!("{:.1} GB/s", rate / 1e9)));
        }
        if handed.is_finite() {
            let rate = format!("{:.1} GB/s", handed / 1e9);
            rows.push(row("reading what another core wrote", 2, rate));
        }
        for &(n, seconds) in fork_join.iter().filter(|(n, _)| *n > 1) {
            rows.push(row("sharing a pass of a step out", n, duration(seconds)));
        }
        rows.push(row("offering a piece that nobody takes", 2, duration(*join)));
        rows
    }

    fn speed(&self) -> Section<'a> {
        let mut parts: Vec<_> = self.of(&["speed-up", "efficiency", "roofline"]);
        parts.push(table(&COLUMNS, self.rows.iter().map(table::cells).collect()));
        parts.push(Part::List(
            [
                "sequential: one thread and no pool, the base of strong speed-ups. default: the number \
                 of threads that the trainer chooses by itself. strong: the same batch on exactly so \
                 many threads. weak: as many rows for each thread; its base is one thread with its \
                 rows, and its speed-up is the scaled one (Gustafson's).",
                "time a step: the median of the rounds. spread: the distance of the quartiles beside the \
                 median. efficiency: speed-up by threads, also of those without a core.",
                "of peak: the arithmetic of the products beside the peak measured for as many threads, \
                 of at most one a core; a dash where that was not measured.",
                "of memory: bytes that have to come from memory or go there, beside the bandwidth \
                 measured for as many threads. Counted are the reads and writes of parameters, both \
                 moments and the transpose if they are larger than the last cache, and the batch's rows \
                 if these and the data set are. cached: nothing has to, for the cache holds everything.",
            ]
            .map(str::to_owned)
            .to_vec(),
        ));
        Section::measured("Speed", parts)
    }

    fn laws(&self) -> Section<'a> {
        let rows = self.readings.iter().zip(self.fits).map(|(readings, fits)| {
            let mut row = vec![readings.workload.name.to_owned()];
            row.extend(fits.as_ref().map_or_else(
                || ["–", "–", "–", "–", "one thread alone"].map(str::to_owned).to_vec(),
                fit_cells,
            ));
            row
        });
        Section::measured(
            "Laws of scaling, fitted",
            vec![
                table(
                    &[
                        "workload",
                        "serial part (Amdahl)",
                        "contention (USL)",
                        "coherence (USL)",
                        "largest deviation (Amdahl, USL)",
                        "fitted to",
                    ],
                    rows.collect(),
                ),
                text(
                    "Least squares on the medians of strong scaling, relative to one thread of the same \
                     step, for the numbers of threads that have a core for each. In brackets: intervals \
                     of 95% from resampled rounds, or with few rounds not much more than their range, no such \
                     interval. They tell the noise of measuring and nothing of \
                     whether the law holds; with one number of threads beyond one any law of one \
                     coefficient meets the point, and what it says of more threads is untested. A \
                     serial part above 1 means that threads made the step slower: no part of the work \
                     is that large, and Amdahl's law does not hold.",
                ),
                text(
                    "Sources: G. M. Amdahl, 1967; N. J. Gunther, Guerrilla Capacity Planning, 2007; \
                     B. Efron, 1979, for the intervals.",
                ),
            ],
        )
    }

    fn accuracy(&self) -> Section<'a> {
        let row = |it: &Reached| {
            let runs = it.runs.len() + it.missed;
            let epochs = it.epochs().map(|epochs| format!("{epochs:.1}"));
            let missed = || format!("not reached by {} of {runs} runs", it.missed);
            let times = it.seconds().map(|times| {
                let (low, high) = table::quartiles(&times);
                let middle = duration(unisono::bench_support::median(&times));
                [middle, format!("{} to {}", duration(low), duration(high))]
            });
            let [middle, range] = times.unwrap_or_else(|| [missed(), "–".into()]);
            let epochs = epochs.unwrap_or_else(|| "–".into());
            vec![it.threads.to_string(), it.batch.to_string(), epochs, middle, range]
        };
        let mut parts = vec![text(format!(
            "64-256-256-10 on handwritten digits until {:.0}% of the held-out rows are right, looked at \
             after each epoch, with {ROWS} rows of the batch for each thread, as far as there are as \
             many rows, and Adam at {RATE} whatever the batch; medians over {} seeds. Time of training, without looking.",
            100.0 * GOAL,
            self.reached.first().map_or(0, |it| it.runs.len() + it.missed),
        ))];
        parts.extend(self.of(&["time-to-accuracy"]));
        let rows = self.reached.iter().map(row).collect();
        parts.push(table(&["threads", "batch", "epochs", "time", "quartiles"], rows));
        Section::measured("Time to accuracy", parts)
    }
}

/// A word on memory's rate where a cache holds more than a quarter of what is streamed through.
fn cached_rate(cache: usize) -> String {
    if 4 * cache <= STREAMED_BYTES {
        return String::new();
    }
    format!(
        " The memory's rate comes from arrays of {:.0} MB together, less than four times as much: it may \
         be partly a cache's, and so too high.",
        STREAMED_BYTES as f64 / 1e6
    )
}

/// Both laws' numbers with their intervals, how well they fit, and to what.
fn fit_cells(fits: &Fits) -> Vec<String> {
    let told =
        |Estimate { value, low, high }: Estimate| format!("{value:.4} ({low:.4} to {high:.4})");
    let serial = match fits.serial.value {
        value if value > 1.0 => format!("none: threads hurt, {}", told(fits.serial)),
        value if value < 0.0 => format!("none: more than ideal, {}", told(fits.serial)),
        _ => told(fits.serial),
    };
    let misfit = |share: Option<f64>| match share {
        Some(share) => format!("{:.1}%", 100.0 * share),
        None => "no point left".to_owned(),
    };
    let threads: Vec<_> = fits.threads.iter().map(usize::to_string).collect();
    let rounds = counted(fits.rounds, "round");
    let rounds = match fits.rounds {
        n if n < ROUNDS_OF_AN_INTERVAL => format!("percentiles of {rounds}, no interval of 95%"),
        _ => rounds,
    };
    vec![
        serial,
        told(fits.contention),
        fits.coherence.map_or_else(|| "cannot be told: taken as 0".to_owned(), told),
        fits.misfit.map(misfit).join(", "),
        format!("{} threads, {rounds}", threads.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_may_be_a_caches_is_said_to_be() {
        assert_eq!(cached_rate(32 << 20), "");
        assert!(cached_rate(504 << 20).contains("arrays of 201 MB together"));
    }

    #[test]
    fn a_law_that_does_not_hold_is_said_not_to() {
        let estimate = |value| Estimate { value, low: value - 0.1, high: value + 0.1 };
        let mut fits = Fits {
            serial: estimate(9.0),
            contention: estimate(9.0),
            coherence: None,
            threads: vec![1, 2],
            rounds: 5,
            misfit: [Some(4.0), None],
        };
        let cells = fit_cells(&fits);
        assert_eq!(cells[0], "none: threads hurt, 9.0000 (8.9000 to 9.1000)");
        assert_eq!(cells[2], "cannot be told: taken as 0");
        assert_eq!(
            cells[3..],
            ["400.0%, no point left", "1, 2 threads, percentiles of 5 rounds, no interval of 95%"]
        );
        fits.rounds = 9;
        assert_eq!(fit_cells(&fits)[4], "1, 2 threads, 9 rounds");
        fits.serial = estimate(0.2);
        assert_eq!(fit_cells(&fits)[0], "0.2000 (0.1000 to 0.3000)");
        assert_eq!(
            (counted(1, "thread"), counted(2, "thread")),
            ("1 thread".into(), "2 threads".into())
        );
    }
}
