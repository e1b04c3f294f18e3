//! A scaling study by one command:
//! `cargo run --release --features png --example scaling_study -- [--quick] [--out FOLDER]`
//!
//! Measures whole training steps of nets from tiny to wide on 1, 2, 3, 4, 6, 8, … threads up to the cores
//! and one beyond, fits laws of scaling, predicts more threads, and writes a folder with a report
//! (`report.html`, which needs no network), tables, every reading and the pictures as SVG and PNG.
//!
//! `--threads 1,2,4` and `--workloads tiny,small,medium,wide` choose; `--for NAME=CORES,GFLOPS,GBS`
//! predicts for another machine too, by its cores, the GFLOP/s of one of them and the memory's GB/s.

mod accuracy;
mod chart;
mod figures;
mod fit;
mod machine;
mod measure;
mod predict;
mod rates;
mod report;
mod simulate;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use unisono::bench_support::{SCALING, Workload, median, png};

use self::figures::Figure;
use self::measure::{Effort, Readings};
use self::predict::{MOST, Target};
use self::rates::Rates;
use self::report::Study;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Load from which the machine counts as busy, for each core.
const BUSY: f64 = 0.25;
/// How far the clock or a reading may wander.
const DRIFT: f64 = 0.1;

struct Options {
    quick: bool,
    out: PathBuf,
    threads: Vec<usize>,
    workloads: Vec<Workload>,
    machines: Vec<(String, usize, f64, f64)>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.out)?;
    let cores = machine::cores();
    let machine = machine::describe();
    let (load, stolen) = (machine::load(), machine::stolen());
    let effort = match options.quick {
        true => Effort { rounds: 5, seconds: 0.03, phase_seconds: 0.1 },
        false => Effort { rounds: 21, seconds: 0.2, phase_seconds: 1.0 },
    };
    let rates = Rates::measure(&options.threads, if options.quick { 3 } else { 15 });
    let turns = options.workloads.len() * effort.rounds * (2 * options.threads.len() + 1);
    let bar = ProgressBar::new(turns as u64)
        .with_style(ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} ({eta} left)")?);
    let mut readings = vec![];
    for &workload in &options.workloads {
        bar.set_message(workload.name);
        readings.push(measure::read(workload, &options.threads, effort, || bar.inc(1))?);
    }
    bar.finish_and_clear();
    let reached = accuracy::measure(&options.threads, if options.quick { 3 } else { 9 })?;

    let rows: Vec<_> =
        readings.iter().flat_map(|readings| table::rows(readings, &rates, cores)).collect();
    let fits: Vec<_> =
        readings.iter().map(|readings| fit::fit(&readings.strong.up_to(cores))).collect();
    let targets = targets(options, &rates, cores);
    let mut figures = vec![];
    for (readings, fits) in readings.iter().zip(&fits) {
        figures.push(figures::speed_up(readings, fits.as_ref())?);
        figures.push(figures::phases(readings)?);
        for target in &targets {
            figures.push(figures::prediction(readings, &rates, target)?);
        }
    }
    let names: Vec<_> = options.workloads.iter().map(|workload| workload.name).collect();
    figures.push(figures::efficiency(&rows, &names)?);
    figures.push(figures::roofline(&rows, &readings, &rates)?);
    figures.push(figures::accuracy(&reached)?);
    let warnings = warnings(load, stolen, &readings, &rows, cores);
    let command: Vec<_> = std::env::args().skip(1).collect();
    let study = Study {
        machine: &machine,
        warnings: &warnings,
        rates: &rates,
        readings: &readings,
        rows: &rows,
        fits: &fits,
        reached: &reached,
        targets: &targets,
        figures: &figures,
        command: &format!("scaling_study {}", command.join(" ")),
        cores,
    };
    write(&options.out, &study, &readings)?;
    print!("{}", study.markdown());
    println!("report: {}", options.out.join("report.html").display());
    Ok(())
}

/// A machine of as many cores like these as are looked at, and those that were named.
fn targets(options: &Options, rates: &Rates, cores: usize) -> Vec<Target> {
    let each = Rates::at(&rates.memory, cores) / cores as f64;
    let peak = Rates::at(&rates.peak, 1);
    let cache = 32 << 20;
    let mut targets = vec![Target {
        name: "cores like these".to_owned(),
        cores: MOST,
        speed: 1.0,
        memory: each * MOST as f64,
        cache,
    }];
    for (name, cores, gflops, gbs) in &options.machines {
        let (speed, memory) = (gflops * 1e9 / peak, gbs * 1e9);
        targets.push(Target { name: name.clone(), cores: *cores, speed, memory, cache });
    }
    targets
}

/// What should make a reader careful.
fn warnings(
    load: Option<f64>,
    stolen: Option<(u64, u64)>,
    readings: &[Readings],
    rows: &[table::Row],
    cores: usize,
) -> Vec<String> {
    let mut warnings = vec![];
    if let Some(load) = load.filter(|load| *load > BUSY * cores as f64) {
        warnings.push(format!(
            "The machine was busy before the study began (load average {load:.2} on {cores} cores): \
             run it again when nothing else runs."
        ));
    }
    if let (Some((lost, all)), Some((lost_now, all_now))) = (stolen, machine::stolen()) {
        let share = (lost_now - lost) as f64 / (all_now - all).max(1) as f64;
        if share > 0.01 {
            let percent = 100.0 * share;
            warnings.push(format!("The host gave {percent:.1}% of the time to other machines."));
        }
    }
    let peaks: Vec<f64> = readings.iter().flat_map(|readings| readings.peaks.clone()).collect();
    let wander = table::spread(&peaks);
    if wander > DRIFT {
        warnings.push(format!(
            "The cores' clock drifted: the quartiles of the arithmetic peak lie {:.0}% apart around \
             {:.0} GFLOP/s.",
            100.0 * wander,
            median(&peaks) / 1e9
        ));
    }
    let wide: Vec<_> = rows
        .iter()
        .filter(|row| row.spread > DRIFT)
        .map(|row| format!("{} {} on {}", row.workload, row.scaling, row.threads))
        .collect();
    if !wide.is_empty() {
        warnings.push(format!("Quartiles more than 10% apart: {}.", wide.join("; ")));
    }
    warnings
}

fn write(folder: &Path, study: &Study, readings: &[Readings]) -> Result<()> {
    let file = |name: &str| folder.join(name);
    std::fs::write(file("report.html"), study.html())?;
    std::fs::write(file("table.md"), study.markdown())?;
    std::fs::write(file("table.csv"), table::csv(study.rows))?;
    std::fs::write(file("readings.csv"), every_reading(readings))?;
    for Figure { name, svg, .. } in study.figures {
        std::fs::write(file(&format!("{name}.svg")), svg)?;
        std::fs::write(file(&format!("{name}.png")), png(svg)?)?;
    }
    Ok(())
}

/// Every turn's seconds a step, for those who fit laws of their own.
fn every_reading(readings: &[Readings]) -> String {
    let mut text = "workload,scaling,threads,round,seconds_per_step\n".to_owned();
    for readings in readings {
        let name = readings.workload.name;
        for (round, seconds) in readings.sequential.iter().enumerate() {
            text += &format!("{name},sequential,1,{round},{seconds}\n");
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

/// 1, 2, 3, 4, 6, 8, 12, … up to the cores, all cores, and one beyond.
fn thread_counts(cores: usize) -> Vec<usize> {
    let doublings = (0..).map(|i| 1_usize << i).take_while(|&n| n <= cores);
    let mut counts: Vec<usize> = doublings.flat_map(|n| [n, n + n / 2]).collect();
    counts.retain(|&n| n <= cores);
    counts.extend([cores, cores + 1]);
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn parse(mut arguments: impl Iterator<Item = String>) -> std::result::Result<Options, String> {
    let mut options = Options {
        quick: false,
        out: "scaling_study".into(),
        threads: thread_counts(machine::cores()),
        workloads: SCALING.to_vec(),
        machines: vec![],
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--out" => options.out = value()?.into(),
            "--threads" => options.threads = threads(&value()?)?,
            "--workloads" => options.workloads = workloads(&value()?)?,
            "--for" => options.machines.push(other_machine(&value()?)?),
            other => {
                return Err(format!(
                    "unknown flag {other}; known are --quick, --out FOLDER, --threads 1,2,…, \
                     --workloads tiny,…, --for NAME=CORES,GFLOPS,GBS"
                ));
            }
        }
    }
    Ok(options)
}

fn threads(text: &str) -> std::result::Result<Vec<usize>, String> {
    let wrong = || format!("--threads: expected numbers from 1 to {MOST}, found {text:?}");
    let parsed: Option<Vec<usize>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    let mut counts = parsed.ok_or_else(wrong)?;
    if counts.iter().any(|&n| n == 0 || n > MOST) {
        return Err(wrong());
    }
    // Speed-ups are over one thread.
    counts.push(1);
    counts.sort_unstable();
    counts.dedup();
    Ok(counts)
}

fn workloads(text: &str) -> std::result::Result<Vec<Workload>, String> {
    let named = |name: &str| {
        let known = SCALING.map(|workload| workload.name).join(", ");
        let found = SCALING.into_iter().find(|workload| workload.name == name);
        found.ok_or(format!("--workloads: expected some of {known}, found {name:?}"))
    };
    text.split(',').map(|name| named(name.trim())).collect()
}

fn other_machine(text: &str) -> std::result::Result<(String, usize, f64, f64), String> {
    let parsed = || {
        let (name, rest) = text.split_once('=')?;
        let mut parts = rest.split(',').map(str::trim);
        let cores = parts.next()?.parse().ok().filter(|&n: &usize| n > 0)?;
        let mut rate = || parts.next()?.parse().ok().filter(|&rate: &f64| rate > 0.0);
        Some((name.to_owned(), cores, rate()?, rate()?))
    };
    parsed().ok_or(format!("--for: expected NAME=CORES,GFLOPS,GBS, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_go_up_to_the_cores_and_one_beyond() {
        assert_eq!(thread_counts(1), [1, 2]);
        assert_eq!(thread_counts(2), [1, 2, 3]);
        assert_eq!(thread_counts(6), [1, 2, 3, 4, 6, 7]);
        assert_eq!(thread_counts(16), [1, 2, 3, 4, 6, 8, 12, 16, 17]);
    }

    #[test]
    fn flags_that_make_no_sense_are_errors() {
        let parse = |text: &str| parse(text.split(' ').map(str::to_owned)).err();
        assert_eq!(parse("--quick --threads 2,4 --for big=64,117,300"), None);
        for (text, problem) in [
            ("--threads 0", "from 1 to 128"),
            ("--workloads huge", "expected some of tiny"),
            ("--for big=64,117", "NAME=CORES,GFLOPS,GBS"),
            ("--for big=0,1,1", "NAME=CORES,GFLOPS,GBS"),
            ("--out", "needs a value"),
            ("--fast", "unknown flag"),
        ] {
            let found = parse(text).unwrap();
            assert!(found.contains(problem), "{found}");
        }
    }
}
