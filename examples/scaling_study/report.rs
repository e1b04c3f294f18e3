//! The study as a page that shows everything without a network.

use super::accuracy::{GOAL, ROWS, Reached};
use super::figures::Figure;
use super::fit::{Estimate, Fits};
use super::machine::Facts;
use super::measure::Readings;
use super::predict::Target;
use super::rates::Rates;
use super::table::{self, Row};

/// Everything that the report tells.
pub struct Study<'a> {
    pub machine: &'a Facts,
    pub warnings: &'a [String],
    pub rates: &'a Rates,
    pub readings: &'a [Readings],
    pub rows: &'a [Row],
    pub fits: &'a [Option<Fits>],
    pub reached: &'a [Reached],
    pub targets: &'a [Target],
    pub figures: &'a [Figure],
    pub command: &'a str,
    pub cores: usize,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:1300px;\
margin:2em auto;padding:0 1em}h1,h2{line-height:1.2}table{border-collapse:collapse;margin:1em 0;\
font-variant-numeric:tabular-nums}td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child,.text td{text-align:left}figure{display:inline-block;margin:.5em 1em .5em 0;\
max-width:620px;vertical-align:top}figure svg{max-width:100%;height:auto}figcaption{font-size:13px;\
color:#555}.warning{background:#fff3d6;border-left:4px solid #d08a00;padding:.5em 1em}\
.scroll{overflow-x:auto}";

/// A text as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn table_of(head: &[&str], rows: &[Vec<String>], class: &str) -> String {
    let cells = |tag: &str, cells: &[String]| -> String {
        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
    };
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let rows: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!(
        "<div class=\"scroll\"><table class=\"{class}\"><tr>{}</tr>\n{rows}</table></div>\n",
        cells("th", &head)
    )
}

impl Study<'_> {
    /// The report as one HTML file.
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>Scaling study of unisono</title><style>{STYLE}</style></head><body>\n\
             <h1>Scaling study of unisono</h1>\n<p>Made by <code>{}</code>. Whole training steps, \
             forward, backward, tree-sum and Adam, shuffling and gathering included. All numbers of \
             threads had their turn in every round, and trained the same bits.</p>\n",
            escaped(self.command)
        );
        for warning in self.warnings {
            page += &format!("<p class=\"warning\">{}</p>\n", escaped(warning));
        }
        page += "<h2>Machine</h2>\n";
        let facts =
            self.machine.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        page += &table_of(&["", ""], &facts.collect::<Vec<_>>(), "text");
        page += &table_of(&["measured on the spot", "threads", "rate"], &self.rate_rows(), "");
        page += "<h2>Speed</h2>\n";
        page += &self.pictures(&["speed-up", "efficiency", "roofline"]);
        let head = [
            "workload",
            "scaling",
            "threads",
            "batch",
            "ms a step",
            "spread",
            "rows/s",
            "speed-up",
            "efficiency",
            "GFLOP/s",
            "of peak",
            "of memory",
        ];
        let rows: Vec<_> = self.rows.iter().map(|row| table::cells(row).to_vec()).collect();
        page += &table_of(&head, &rows, "");
        page += "<p><i>Spread</i>: the distance of the quartiles. <i>Of peak</i>: the arithmetic of the \
                 products beside the measured peak of the threads, at most one a core. <i>Of memory</i>: \
                 bytes of features, parameters and optimizer state that would have to pass by if no \
                 cache held any, beside the measured bandwidth; above 100% a cache does hold \
                 them.</p>\n<h2>Laws of scaling</h2>\n";
        page += &table_of(
            &[
                "workload",
                "serial part (Amdahl)",
                "contention (USL)",
                "coherence (USL)",
                "rests on",
            ],
            &self.fit_rows(),
            "",
        );
        page += "<p>In brackets: intervals of 95% from resampled rounds, so of the noise of measuring \
                 alone. Sources: G. M. Amdahl, 1967; N. J. Gunther, <i>Guerrilla Capacity Planning</i>, \
                 2007.</p>\n<h2>Where the time goes</h2>\n";
        page += &self.pictures(&["phases"]);
        page += &format!(
            "<h2>Time to accuracy</h2>\n<p>64-256-256-10 on handwritten digits until {:.0}% of the \
             held-out rows are right, with {ROWS} rows of the batch for each thread.</p>\n",
            100.0 * GOAL
        );
        page += &self.pictures(&["time-to-accuracy"]);
        page += &table_of(&["threads", "batch", "epochs", "seconds"], &self.reached_rows(), "");
        page += "<h2>Beyond what was measured: a prediction</h2>\n";
        page += ASSUMPTIONS;
        page += &self.pictures(&["prediction"]);
        page += "<h3>Where it stops scaling, as predicted</h3>\n";
        page += &table_of(
            &["workload", "machine", "doubling gains less than 10% from", "what costs most there"],
            &self.stop_rows(),
            "",
        );
        page += "<h3>Predicted beside measured</h3>\n";
        page += &table_of(
            &["workload", "scaling", "threads", "measured ms", "predicted ms", "error"],
            &self.validation_rows(),
            "",
        );
        page + "</body></html>\n"
    }

    /// Table, laws and warnings as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = "# Scaling study of unisono\n\n".to_owned();
        for warning in self.warnings {
            text += &format!("**Warning:** {warning}\n\n");
        }
        for (name, value) in self.machine {
            text += &format!("- {name}: {value}\n");
        }
        text += &format!("\n{}\n", table::markdown(self.rows));
        let table = |head: &[&str], rows: Vec<Vec<String>>| {
            let rows: String =
                rows.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
            format!("| {} |\n|{}\n{rows}\n", head.join(" | "), "---|".repeat(head.len()))
        };
        text += &table(
            &[
                "workload",
                "serial part (Amdahl)",
                "contention (USL)",
                "coherence (USL)",
                "rests on",
            ],
            self.fit_rows(),
        );
        text += "Predicted (not measured) beside measured:\n\n";
        text += &table(
            &["workload", "scaling", "threads", "measured ms", "predicted ms", "error"],
            self.validation_rows(),
        );
        text += &table(
            &[
                "workload",
                "machine",
                "predicted: doubling gains less than 10% from",
                "what costs most",
            ],
            self.stop_rows(),
        );
        text
    }

    fn pictures(&self, kinds: &[&str]) -> String {
        let chosen = |figure: &&Figure| kinds.iter().any(|kind| figure.name.starts_with(kind));
        let drawn = |figure: &Figure| {
            let caption = escaped(&figure.caption);
            format!(
                "<figure id=\"{}\">{}<figcaption>{caption}</figcaption></figure>\n",
                escaped(&figure.name),
                figure.svg
            )
        };
        self.figures.iter().filter(chosen).map(drawn).collect()
    }

    fn rate_rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, n: String, rate: String| vec![name.to_owned(), n, rate];
        let Rates { peak, memory, handed, fork_join } = self.rates;
        let mut rows = vec![];
        for (n, rate) in peak {
            let rate = format!("{:.1} GFLOP/s", rate / 1e9);
            rows.push(row("arithmetic (fused multiply-add, f32)", n.to_string(), rate));
        }
        for (n, rate) in memory {
            rows.push(row("memory (triad)", n.to_string(), format!("{:.1} GB/s", rate / 1e9)));
        }
        if handed.is_finite() {
            let rate = format!("{:.1} GB/s", handed / 1e9);
            rows.push(row("reading what another core wrote", "2".into(), rate));
        }
        for (n, seconds) in fork_join.iter().filter(|(n, _)| *n > 1) {
            let time = format!("{:.2} µs", seconds * 1e6);
            rows.push(row("sharing out a pass of a step", n.to_string(), time));
        }
        rows
    }

    fn fit_rows(&self) -> Vec<Vec<String>> {
        let told = |estimate: &Estimate| {
            let Estimate { value, low, high } = estimate;
            format!("{value:.4} ({low:.4} to {high:.4})")
        };
        let row = |(readings, fits): (&Readings, &Option<Fits>)| {
            let mut row = vec![readings.workload.name.to_owned()];
            match fits {
                None => row.extend(["–", "–", "–", "one thread alone"].map(str::to_owned)),
                Some(fits) => {
                    row.extend([told(&fits.serial), told(&fits.contention)]);
                    let points = fits.points;
                    row.push(match points {
                        0 | 1 => "cannot be told: taken as 0".to_owned(),
                        _ => told(&fits.coherence),
                    });
                    row.push(format!("1 and {points} more numbers of threads"));
                }
            }
            row
        };
        self.readings.iter().zip(self.fits).map(row).collect()
    }

    fn reached_rows(&self) -> Vec<Vec<String>> {
        let told = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "not reached".to_owned(), |value| format!("{value:.digits$}"))
        };
        let row = |it: &Reached| {
            let (epochs, seconds) = (told(it.epochs, 1), told(it.seconds, 4));
            vec![it.threads.to_string(), it.batch.to_string(), epochs, seconds]
        };
        self.reached.iter().map(row).collect()
    }

    fn stop_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![];
        for readings in self.readings {
            for target in self.targets {
                let (threads, why) = match readings.work.stops(self.rates, target) {
                    Some((threads, why)) => (format!("{threads} threads"), why),
                    None => (format!("not up to {}", target.cores.min(super::predict::MOST)), "–"),
                };
                let name = readings.workload.name.to_owned();
                rows.push(vec![name, target.name.clone(), threads, why.to_owned()]);
            }
        }
        rows
    }

    /// The prediction for this machine beside every measured point.
    fn validation_rows(&self) -> Vec<Vec<String>> {
        let Some(here) = self.targets.first() else { return vec![] };
        let here = Target { cores: self.cores, ..here.clone() };
        let here = Target { memory: Rates::at(&self.rates.memory, self.cores), ..here };
        let mut rows = vec![];
        for row in self.rows.iter().filter(|row| row.scaling != "sequential") {
            let of = |readings: &&Readings| readings.workload.name == row.workload;
            let Some(readings) = self.readings.iter().find(of) else { continue };
            let predicted = readings.work.predict(self.rates, &here, row.threads, row.batch);
            let predicted = predicted.seconds();
            rows.push(vec![
                row.workload.clone(),
                row.scaling.to_owned(),
                row.threads.to_string(),
                format!("{:.4}", row.seconds * 1e3),
                format!("{:.4}", predicted * 1e3),
                format!("{:+.0}%", 100.0 * (predicted / row.seconds - 1.0)),
            ]);
        }
        rows
    }
}

const ASSUMPTIONS: &str = "<p>From the phases of one thread and the rates above, with these assumptions: \
a phase's arithmetic takes as long on every core as on one thread here; each piece of work (a block of \
rows, a run of parameters, as the trainer cuts them) is claimed by the next free worker; sharing a pass \
of a step out costs what it cost here, and as much again for each doubling beyond; what another core \
wrote is read at the measured rate on all cores at once, and nothing else is done meanwhile; memory's \
bandwidth grows with the cores. A simulation of workers that claim pieces, with jitter and with uneven \
cores, stands beside the closed form.</p>\n";
