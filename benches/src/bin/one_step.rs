//! Makes some steps of a workload on one thread and stops, for counting instructions:
//! `one_step fashion_small 3`.

use std::process::ExitCode;

use unisono::bench_support::Workload;
use unisono::{Result, Trainer};

fn run(workload: &Workload, steps: usize) -> Result<u64> {
    let data = workload.at_most(2).data()?;
    let mut model = workload.model()?;
    let config = workload.config().threads(1);
    let mut trainer = Trainer::new(&mut model, &data, &config)?;
    for _ in 0..steps {
        trainer.step()?;
    }
    Ok(model.fingerprint())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, steps] = &arguments[..] else {
        eprintln!("usage: one_step WORKLOAD STEPS");
        return ExitCode::FAILURE;
    };
    let (Some(workload), Ok(steps)) = (Workload::named(name), steps.parse()) else {
        eprintln!("expected a workload of the six and a number of steps, found {name} {steps}");
        return ExitCode::FAILURE;
    };
    match run(&workload, steps) {
        Ok(fingerprint) => println!("{name}: {steps} steps, fingerprint {fingerprint:016x}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
