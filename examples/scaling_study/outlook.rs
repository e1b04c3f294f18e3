//! The part of the report that was predicted.

use super::document::{Part, Section};
use super::forecast::{advice, forecasts};
use super::measure::Readings;
use super::predict::{ASSUMPTIONS, MOST, stops};
use super::report::{Study, counted, table, text};
use super::table::{duration, percent};
use super::validate::{Check, Kind, summary};

impl<'a> Study<'a> {
    pub fn prediction(&self) -> Section<'a> {
        let mut rows = vec![];
        for readings in self.readings {
            for target in self.targets {
                let (threads, why) = match stops(&readings.work, self.rates, target) {
                    Some((n, why)) => (counted(n, "thread"), why),
                    None => (format!("not up to {}", target.cores.min(MOST)), "–"),
                };
                let work = &readings.work;
                let path = work.critical_path() / target.speed;
                rows.push(vec![
                    work.workload.name.to_owned(),
                    target.name.clone(),
                    threads,
                    why.to_owned(),
                    duration(path),
                ]);
            }
        }
        let mut parts = vec![
            text(
                "Computed, not measured: from what one core takes for each phase, the pieces that the \
                 trainer cuts, and the rates above, under these assumptions.",
            ),
            Part::List(ASSUMPTIONS.map(str::to_owned).to_vec()),
            self.counted(),
        ];
        parts.extend(self.of(&["prediction-"]));
        parts.push(table(
            &[
                "workload",
                "machine",
                "doubling gains less than 10% from",
                "what costs most there",
                "critical path",
            ],
            rows,
        ));
        parts.push(text(
            "Critical path: the serial part, the longest block of rows and the longest piece over \
             parameters, which no number of cores can undercut with this batch.",
        ));
        Section::predicted("more threads and other machines", parts)
    }

    /// The counted work behind the prediction.
    fn counted(&self) -> Part<'a> {
        let row = |readings: &Readings| {
            let work = &readings.work;
            let (shards, levels) = work.tree();
            let operations = work.operations().map(|count| format!("{:.3}", count / 1e6));
            let cut = |n| {
                let passes = work.passes(work.strong(n));
                format!("{} + {}", passes[0].len(), passes[1].len())
            };
            let bytes = work.traffic.touched(work.workload.batch);
            let mut row = vec![work.workload.name.to_owned(), operations.join(" + ")];
            row.push(format!("{:.3}", bytes / 1e6));
            row.push(format!("{shards} in {levels}"));
            row.extend([1, 2, 8, 32, 128].map(cut));
            row
        };
        table(
            &[
                "workload",
                "million operations: forward + backward + gradients",
                "MB of parameters, state and rows",
                "shards, in levels of the tree",
                "blocks + pieces for 1",
                "2",
                "8",
                "32",
                "128 threads",
            ],
            self.readings.iter().map(row).collect(),
        )
    }

    pub fn advice(&self) -> Section<'a> {
        let mut rows = vec![];
        let Some(target) = self.targets.first() else {
            return Section::predicted("batch and threads", vec![]);
        };
        for readings in self.readings {
            for threads in [4, 8, 16, 32, 64, 128] {
                let (name, batch) = (readings.workload.name, readings.workload.batch);
                let shares = advice(&readings.work, self.rates, target, threads);
                let mut row = vec![name.to_owned(), threads.to_string()];
                for (share, batch) in shares.into_iter().zip([batch, batch.max(32 * threads)]) {
                    row.push(format!("{} ({batch})", percent(share)));
                }
                rows.push(row);
            }
        }
        Section::predicted(
            "batch and threads",
            vec![
                text(
                    "Efficiency on cores like these, in brackets the batch's rows: with the workload's \
                     batch, and with 32 rows of it for each thread. A block has 16 rows at least, so \
                     that a batch gives no more than a sixteenth of its rows.",
                ),
                table(&["workload", "threads", "batch as it is", "32 rows a thread"], rows),
            ],
        )
    }

    pub fn validation(&self) -> Section<'a> {
        let row = |check: &Check| {
            let kind = match check.kind {
                Kind::Given => "made from it",
                Kind::Test => "",
                Kind::Crowded => "more threads than cores",
            };
            vec![
                check.workload.clone(),
                check.scaling.to_owned(),
                check.threads.to_string(),
                duration(check.measured),
                duration(check.predicted),
                format!("{:+.0}%", 100.0 * check.error()),
                kind.to_owned(),
            ]
        };
        let told = |kind, what: &str| match summary(self.checks, kind) {
            Some((middle, largest, count)) => format!(
                "{what}: {} off at the median of {}, {} at most. ",
                percent(middle),
                counted(count, "point"),
                percent(largest)
            ),
            None => format!("{what}: no point. "),
        };
        Section::predicted(
            "beside every measured point",
            vec![
                text(
                    told(Kind::Test, "With a core for each thread")
                        + &told(Kind::Crowded, "With more threads than cores"),
                ),
                table(
                    &[
                        "workload",
                        "scaling",
                        "threads",
                        "measured",
                        "predicted",
                        "error",
                        "the prediction was",
                    ],
                    self.checks.iter().map(row).collect(),
                ),
            ],
        )
    }

    pub fn simulation(&self) -> Section<'a> {
        let (mut rows, mut largest) = (vec![], 0.0_f64);
        let Some(target) = self.targets.first() else {
            return Section::predicted("simulation", vec![]);
        };
        for readings in self.readings {
            for it in forecasts(&readings.work, self.rates, target) {
                let [even, jitter, uneven] = it.simulated;
                let error = it.closed / even - 1.0;
                largest = largest.max(error.abs());
                rows.push(vec![
                    readings.workload.name.to_owned(),
                    it.threads.to_string(),
                    duration(it.closed),
                    duration(even),
                    format!("{:+.1}%", 100.0 * error),
                    duration(jitter),
                    duration(uneven),
                ]);
            }
        }
        Section::predicted(
            "the closed form beside a simulation",
            vec![
                text(format!(
                    "The simulation lets every worker claim the next piece as soon as it is free, on \
                     cores like these: all even; each piece up to 10% longer at random; every other \
                     core half as fast. The closed form knows rounds of pieces alone. On even cores \
                     they differ by {} at most.",
                    format_args!("{:.1}%", 100.0 * largest)
                )),
                table(
                    &[
                        "workload",
                        "threads",
                        "closed form",
                        "simulated, even",
                        "difference",
                        "simulated, jitter",
                        "simulated, uneven cores",
                    ],
                    rows,
                ),
            ],
        )
    }
}
