//! The phases of a training step, and the share of the arithmetic peak of those that are products.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use unisono::bench_support::{Gauge, WORKLOADS, Workload, median, testing};
use unisono::bench_support::{Phase, PhaseClock};
use unisono::{Result, SimdLevel};

/// Batches of data kept in memory.
const BATCHES: usize = 24;

/// A step in which a phase takes less is not worth a criterion run of its own.
const LEAST: f64 = 0.01;

type Seconds = [f64; Phase::ALL.len()];

/// Floating-point operations of a phase's products in one step.
fn flops(workload: &Workload, phase: Phase) -> f64 {
    let weights = |pair: &[usize]| (2 * pair[0] * pair[1] * workload.batch) as f64;
    let pairs = workload.layers.windows(2);
    match phase {
        Phase::Forward | Phase::Reduce => pairs.map(weights).sum(),
        Phase::Backward => pairs.skip(1).map(weights).sum(),
        _ => 0.0,
    }
}

/// The mean seconds of a step's phases, over runs that take a tenth of a second or so together.
fn mean(clock: &mut PhaseClock, workload: &Workload) -> Result<Seconds> {
    let flops = workload.flops_per_row() * workload.batch as f64;
    let least = if testing() { 1 } else { (1e10 / flops.max(1e6)) as usize + 3 };
    let (mut steps, mut sum) = (0, Seconds::default());
    while steps < least {
        let (made, seconds) = clock.run()?;
        steps += made;
        sum.iter_mut().zip(seconds).for_each(|(sum, seconds)| *sum += seconds);
    }
    Ok(sum.map(|seconds| seconds / steps as f64))
}

fn phases(criterion: &mut Criterion, workload: &Workload, threads: usize) -> Result<()> {
    let data = workload.at_most(BATCHES).data()?;
    let mut model = workload.model()?;
    let config = workload.config().exact_threads(threads);
    let mut clock = PhaseClock::new(&mut model, &data, &config)?;
    let mean = mean(&mut clock, workload)?;
    let whole: f64 = mean.iter().sum();
    let mut group = criterion.benchmark_group("step");
    group.sample_size(10).warm_up_time(Duration::from_millis(100));
    group.measurement_time(Duration::from_millis(500));
    group.throughput(Throughput::Elements(workload.batch as u64));
    for phase in Phase::ALL {
        let share = mean[phase as usize] / whole;
        if testing() || share < LEAST {
            continue;
        }
        let id = format!("{}/{threads}_threads", workload.name);
        group.bench_function(BenchmarkId::new(phase.name(), id), |bencher| {
            bencher.iter_custom(|steps| {
                let (mut made, mut sum) = (0, 0.0);
                while made < steps {
                    let (run, seconds) = clock.run().expect("made-up data train well");
                    made += run as u64;
                    sum += seconds[phase as usize];
                }
                Duration::from_secs_f64(sum / made as f64 * steps as f64)
            });
        });
    }
    group.finish();
    Ok(())
}

/// Prints each phase's share of the step, and of the peak of the threads it ran on.
fn table(gauge: &Gauge, workload: &Workload, threads: usize) -> Result<()> {
    let data = workload.at_most(BATCHES).data()?;
    let mut model = workload.model()?;
    let config = workload.config().exact_threads(threads);
    let mut clock = PhaseClock::new(&mut model, &data, &config)?;
    let turns = if testing() { 1 } else { 7 };
    let mut peaks = vec![];
    let mut readings = vec![vec![]; Phase::ALL.len()];
    for _ in 0..turns {
        peaks.push(gauge.peak());
        let mean = mean(&mut clock, workload)?;
        readings.iter_mut().zip(mean).for_each(|(to, mean)| to.push(mean));
    }
    let (peak, seconds) = (median(&peaks), readings.iter().map(|r| median(r)));
    let seconds: Vec<f64> = seconds.collect();
    let whole: f64 = seconds.iter().sum();
    let all: f64 = Phase::ALL.iter().map(|&phase| flops(workload, phase)).sum();
    println!("\n{} {}, batch {}", workload.name, workload.layers_text(), workload.batch);
    println!("{threads} threads; the whole step {:.1}% of their peak", all / whole / peak * 100.0);
    for (phase, seconds) in Phase::ALL.into_iter().zip(seconds) {
        let flops = flops(workload, phase);
        print!("  {:<18} {:>5.1}% of the step", phase.name(), seconds / whole * 100.0);
        match flops > 0.0 {
            true => println!(", {:>5.1}% of the peak", flops / seconds / peak * 100.0),
            false => println!(),
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let thread_counts = if cores == 1 { vec![1] } else { vec![1, cores] };
    // Test mode shows that it runs, with the nets whose steps are short.
    let workloads = if testing() { &WORKLOADS[..3] } else { &WORKLOADS[..] };
    for workload in workloads {
        for &threads in &thread_counts {
            phases(&mut criterion, workload, threads)?;
        }
    }
    criterion.final_summary();
    println!("\nphases of a step, {}", SimdLevel::current());
    let gauge = Gauge::new();
    for workload in workloads {
        for &threads in &thread_counts {
            table(&gauge, workload, threads)?;
        }
    }
    Ok(())
}
