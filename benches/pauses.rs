//! Steps and predictions that a program calls one at a time, with work of its own between them: the workers are asleep
//! then.

use std::time::{Duration, Instant};

use unisono::bench_support::{Workload, median, predict_on, testing};
use unisono::{Result, Trainer};

const STEPS: [&str; 2] = ["fashion_small", "tabular"];
const PREDICTIONS: [(&str, usize); 3] =
    [("fashion_small", 192), ("fashion_small", 576), ("policy", 1600)];
/// Microseconds that the program works for itself before each call.
const PAUSES: [u64; 6] = [0, 50, 300, 1_000, 3_000, 10_000];
/// How long each number is measured, and how often in turns.
const TIME: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

/// Microseconds of each call, by the pause before it.
type Times = [Vec<f64>; PAUSES.len()];

/// Calls after each of the pauses, for as long as it is measured.
fn measure(found: &mut Times, mut call: impl FnMut() -> Result<()>) -> Result<()> {
    for (pause, found) in PAUSES.map(Duration::from_micros).into_iter().zip(found) {
        let begun = Instant::now();
        while found.is_empty() || !testing() && begun.elapsed() < TIME {
            let start = Instant::now();
            while start.elapsed() < pause {
                std::hint::spin_loop();
            }
            let start = Instant::now();
            call()?;
            found.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(())
}

/// Prints the medians of what `run` measures with one thread and with all cores.
fn table(name: &str, mut run: impl FnMut(usize, &mut Times) -> Result<()>) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found = [const { [const { vec![] }; PAUSES.len()] }; 2];
    for _ in 0..if testing() { 1 } else { ROUNDS } {
        for (threads, found) in [1, cores].into_iter().zip(&mut found) {
            run(threads, found)?;
        }
    }
    for (threads, found) in [1, cores].into_iter().zip(found) {
        print!("{name:<24}{threads:>8}");
        found.iter().for_each(|times| print!("{:>10.0}", median(times)));
        println!();
    }
    Ok(())
}

fn main() -> Result<()> {
    println!("median microseconds of a call, by the program's own work before it");
    print!("{:<24}{:>8}", "call", "threads");
    PAUSES.iter().for_each(|pause| print!("{:>10}", format!("{pause} us")));
    println!();
    for name in STEPS {
        let workload = Workload::named(name).expect("it is one of the workloads");
        let data = workload.data()?;
        table(&format!("{name} step"), |threads, found| {
            let mut model = workload.model()?;
            let config = workload.config().threads(threads).epochs(usize::MAX);
            let mut trainer = Trainer::new(&mut model, &data, &config)?;
            measure(found, || trainer.step().map(drop))
        })?;
    }
    for (name, rows) in PREDICTIONS {
        let mut workload = Workload::named(name).expect("it is one of the workloads");
        workload.rows = rows;
        let (data, model) = (workload.data()?, workload.model()?);
        table(&format!("{name} {rows} rows"), |threads, found| {
            measure(found, || predict_on(&model, data.x(), threads).map(drop))
        })?;
    }
    Ok(())
}
