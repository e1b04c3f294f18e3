//! A scaling study by one command:
//! `cargo run --release --features png --example scaling_study -- [--quick] [--out FOLDER]`
//!
//! Measures whole training steps of nets from tiny to wide on 1, 2, 3, 4, 6, 8, … threads up to the cores
//! and one beyond, fits laws of scaling, predicts more threads and other machines, and writes a folder
//! with a report (`report.html`, which needs no network), tables, every reading and the pictures as SVG
//! and PNG. `--help` lists all flags; `docs/scaling.md` says how to read it.

mod accuracy;
mod axis;
mod busy;
mod chart;
mod document;
mod figures;
mod fit;
mod forecast;
mod machine;
mod measure;
mod options;
mod outlook;
mod phases;
mod predict;
mod rates;
mod report;
mod sharing;
mod sheet;
mod simulate;
mod table;
mod timings;
mod traffic;
mod validate;
mod work;

use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use unisono::bench_support::{Phase, png};

use self::accuracy::Reached;
use self::busy::Watch;
use self::figures::Figure;
use self::fit::Fits;
use self::measure::{Effort, Readings};
use self::options::{HELP, Options};
use self::predict::{LIKE_THESE, MOST, Target};
use self::rates::Rates;
use self::report::Study;
use self::table::Row;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned());
    let options = match Options::parse(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("scaling_study: {problem}\n`--help` lists all flags");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scaling_study: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was measured, before anything is made of it.
struct Measured {
    rates: Rates,
    readings: Vec<Readings>,
    rows: Vec<Row>,
    reached: Vec<Reached>,
    warnings: Vec<String>,
}

fn run(options: &Options) -> Result<()> {
    // What cannot be written is told before the minutes of measuring.
    std::fs::create_dir_all(&options.out)
        .map_err(|error| format!("--out: no folder {}: {error}", options.out.display()))?;
    png("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")?;
    let cache = machine::cache();
    let measured = measure(options, cache.0)?;
    let Measured { rates, readings, rows, reached, warnings } = &measured;
    let cores = rates.cores;
    let fits: Vec<_> =
        readings.iter().map(|readings| fit::fit(&readings.strong.up_to(cores))).collect();
    let targets = targets(options, rates, cache.0);
    let figures = figures(&measured, &fits, &targets, cache.0)?;
    let study = Study {
        command: &command(),
        machine: &machine::describe(),
        warnings,
        rates,
        readings,
        rows,
        fits: &fits,
        reached,
        targets: &targets,
        checks: &validate::checks(rows, readings, rates, cache.0),
        figures: &figures,
        cache,
    };
    let document = study.document();
    let files = [
        ("report.html", document.html()),
        ("table.md", document.markdown()),
        ("table.csv", table::csv(rows)),
        ("readings.csv", every_reading(readings)),
        ("phases.csv", every_phase(readings)),
        ("prediction.csv", forecast::csv(readings, rates, &targets)),
    ];
    write(&options.out, &files, &figures)?;
    print!("{}", document.markdown());
    println!("\nreport: {}", options.out.join("report.html").display());
    Ok(())
}

/// The command line as a shell would take it again.
fn command() -> String {
    let quoted = |argument: String| match argument.contains(|c: char| " '\"$".contains(c)) {
        true if !argument.contains('\'') => format!("'{argument}'"),
        _ => argument,
    };
    let arguments = std::env::args_os().skip(1).map(|it| quoted(it.to_string_lossy().into_owned()));
    let all: Vec<_> = std::iter::once("scaling_study".to_owned()).chain(arguments).collect();
    all.join(" ")
}

fn measure(options: &Options, cache: usize) -> Result<Measured> {
    let (effort, rounds, seeds) = match options.quick {
        true => (Effort { rounds: 7, seconds: 0.02, budget: 4.0 }, 3, 3),
        false => (Effort { rounds: 21, seconds: 0.2, budget: 120.0 }, 9, 9),
    };
    let before = busy::before();
    let watch = Watch::start();
    let turns = options.workloads.len() * effort.rounds * (2 + 2 * options.threads.len());
    let style = "{msg} [{bar:40}] {pos}/{len} ({eta} left)";
    let bar = ProgressBar::new(turns as u64).with_style(ProgressStyle::with_template(style)?);
    bar.set_message("the machine");
    let first = Rates::measure(&options.threads, rounds);
    let mut readings = vec![];
    for &workload in &options.workloads {
        bar.set_message(workload.name);
        readings.push(measure::read(workload, &options.threads, effort, || bar.inc(1))?);
    }
    bar.set_message("time to accuracy");
    let reached = accuracy::measure(&options.threads, seeds)?;
    let last = Rates::measure(&options.threads, rounds);
    bar.finish_and_clear();
    let rates = Rates::merged([&first, &last]);
    let rows: Vec<_> =
        readings.iter().flat_map(|readings| table::rows(readings, &rates, cache)).collect();
    let warnings = busy::warnings(before, watch.others(), [&first, &last], &readings, &rows);
    Ok(Measured { rates, readings, rows, reached, warnings })
}

/// A machine of as many cores like these as are looked at, and those that were named.
fn targets(options: &Options, rates: &Rates, cache: usize) -> Vec<Target> {
    let here = Target::here(rates, cache);
    let each = here.memory[1] / rates.cores as f64;
    let memory = [here.memory[0], each * MOST as f64];
    let name = LIKE_THESE.to_owned();
    let mut targets = vec![Target { name, cores: MOST, memory, ..here }];
    for machine in &options.machines {
        targets.push(Target {
            name: machine.name.clone(),
            cores: machine.cores,
            speed: machine.flops / Rates::at(&rates.peak, 1),
            memory: [targets[0].memory[0].min(machine.memory), machine.memory],
            cache: machine.cache.unwrap_or(cache),
        });
    }
    targets
}

fn figures(
    measured: &Measured,
    fits: &[Option<Fits>],
    targets: &[Target],
    cache: usize,
) -> Result<Vec<Figure>> {
    let Measured { rates, readings, rows, reached, .. } = measured;
    let mut figures = vec![figures::speed_ups(readings, rates.cores)?];
    for (readings, fits) in readings.iter().zip(fits) {
        figures.push(figures::speed_up(readings, fits.as_ref(), rates.cores)?);
        figures.push(figures::phases(readings)?);
    }
    figures.push(figures::efficiency(rows, readings, rates.cores)?);
    figures.push(figures::roofline(rows, readings, rates, cache)?);
    figures.push(figures::accuracy(reached)?);
    for target in targets {
        figures.push(forecast::overview(readings, rates, target)?);
        for readings in readings {
            figures.push(forecast::speed_up(readings, rates, target)?);
            figures.push(forecast::parts(readings, rates, target)?);
        }
    }
    Ok(figures)
}

fn write(folder: &Path, files: &[(&str, String)], figures: &[Figure]) -> Result<()> {
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))
    };
    for (name, content) in files {
        file(name, content.as_bytes())?;
    }
    for Figure { name, svg, .. } in figures {
        file(&format!("{name}.svg"), svg.as_bytes())?;
        file(&format!("{name}.png"), &png(svg)?)?;
    }
    Ok(())
}

/// Every turn's seconds a step, for those who fit laws of their own.
fn every_reading(readings: &[Readings]) -> String {
    let mut text = "workload,scaling,threads,round,seconds_per_step\n".to_owned();
    for readings in readings {
        let name = readings.workload.name;
        let (chosen, default) = &readings.default;
        for (scaling, threads, times) in
            [("sequential", 1, &readings.sequential), ("default", *chosen, default)]
        {
            for (round, seconds) in times.iter().enumerate() {
                text += &format!("{name},{scaling},{threads},{round},{seconds}\n");
            }
        }
        for (scaling, timings) in [("strong", &readings.strong), ("weak", &readings.weak)] {
            for (round, times) in timings.rounds.iter().enumerate() {
                for (threads, seconds) in timings.threads.iter().zip(times) {
                    text += &format!("{name},{scaling},{threads},{round},{seconds}\n");
                }
            }
        }
    }
    text
}

/// The seconds of each phase of a step, of all workers together.
fn every_phase(readings: &[Readings]) -> String {
    let mut text = "workload,threads,phase,worker_seconds_per_step\n".to_owned();
    for readings in readings {
        for (threads, phases) in &readings.phases {
            for (phase, seconds) in Phase::ALL.iter().zip(phases) {
                let (name, phase) = (readings.workload.name, phase.name());
                text += &format!("{name},{threads},{phase},{seconds}\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::measure::testing::readings;
    use super::*;

    #[test]
    fn every_reading_and_phase_is_written() {
        let readings = [readings()];
        assert_eq!(every_reading(&readings).lines().count(), 1 + 3 + 3 + 2 * 3 * 2);
        assert_eq!(every_phase(&readings).lines().count(), 1 + 2 * 9);
        assert!(every_reading(&readings).contains("\nnet,weak,2,2,0.0025\n"));
    }
}
