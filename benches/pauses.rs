//! Steps that a program calls one at a time, with work of its own between them: the workers are asleep then.

use std::time::{Duration, Instant};

use unisono::bench_support::{Workload, median, testing};
use unisono::{Result, Trainer};

const NETS: [&str; 2] = ["fashion_small", "tabular"];
/// Microseconds that the program works for itself before each step.
const PAUSES: [u64; 6] = [0, 50, 300, 1_000, 3_000, 10_000];
/// How long each number is measured, and how often in turns.
const TIME: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

/// Microseconds of each step after a pause, for as long as it is measured.
fn times(trainer: &mut Trainer, pause: Duration) -> Result<Vec<f64>> {
    let (begun, mut times) = (Instant::now(), vec![]);
    while times.is_empty() || !testing() && begun.elapsed() < TIME {
        let start = Instant::now();
        while start.elapsed() < pause {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        trainer.step()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

fn main() -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("median microseconds of a step, by the program's own work before it");
    print!("{:<16}{:>8}", "net", "threads");
    PAUSES.iter().for_each(|pause| print!("{:>10}", format!("{pause} us")));
    println!();
    for name in NETS {
        let workload = Workload::named(name).expect("it is one of the workloads");
        let data = workload.data()?;
        let mut found = vec![[const { vec![] }; PAUSES.len()]; 2];
        let threads = [1, cores];
        for _ in 0..if testing() { 1 } else { ROUNDS } {
            for (threads, found) in threads.into_iter().zip(&mut found) {
                let mut model = workload.model()?;
                let config = workload.config().threads(threads).epochs(usize::MAX);
                let mut trainer = Trainer::new(&mut model, &data, &config)?;
                for (&pause, found) in PAUSES.iter().zip(found) {
                    found.extend(times(&mut trainer, Duration::from_micros(pause))?);
                }
            }
        }
        for (threads, found) in threads.into_iter().zip(found) {
            print!("{name:<16}{threads:>8}");
            found.iter().for_each(|times| print!("{:>10.0}", median(times)));
            println!();
        }
    }
    Ok(())
}
