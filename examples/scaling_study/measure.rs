//! The readings: every number of threads in turns, so that whatever else the machine does meets all.

use std::time::Instant;

use unisono::bench_support::{Gauge, Phase, PhaseClock, Workload};
use unisono::{Dataset, Result, Sequential, TrainConfig, Trainer};

use super::fit::Timings;
use super::predict::Work;

/// Seconds of a step by phase.
pub type Phases = [f64; Phase::ALL.len()];

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Times that each number of threads has its turn.
    pub rounds: usize,
    /// Seconds of a turn, at least; a turn is at least one step.
    pub seconds: f64,
    /// Steps by which phases are told apart.
    pub phase_seconds: f64,
}

/// Everything that was read of one workload.
#[derive(Debug)]
pub struct Readings {
    pub workload: Workload,
    pub params: usize,
    /// The plain sequential step that knows no pool, by round.
    pub sequential: Vec<f64>,
    /// The same batch on all numbers of threads.
    pub strong: Timings,
    /// As many rows for each thread.
    pub weak: Timings,
    pub weak_rows: usize,
    /// By number of threads, seconds of all workers together.
    pub phases: Vec<(usize, Phases)>,
    /// What the prediction is made from.
    pub work: Work,
    /// The arithmetic peak of one core, by round.
    pub peaks: Vec<f64>,
}

/// A trainer whose turn comes once a round.
struct Runner<'a> {
    trainer: Trainer<'a>,
    steps: usize,
}

impl Runner<'_> {
    fn run(&mut self) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..self.steps {
            self.trainer.step()?;
        }
        Ok(start.elapsed().as_secs_f64() / self.steps as f64)
    }
}

/// Checks that every number of threads trains the same bits, then takes the readings.
pub fn read(
    workload: Workload,
    threads: &[usize],
    effort: Effort,
    mut tick: impl FnMut(),
) -> Result<Readings> {
    let data = workload.data()?;
    check_bits(&workload, &data, threads)?;
    let rows = workload.batch.div_ceil(super::machine::cores());
    let batches: Vec<usize> = threads.iter().map(|&n| rows * n).collect();
    let most = batches.iter().copied().max().unwrap_or(rows);
    let wide = Workload { rows: workload.rows.max(2 * most), ..workload }.data()?;

    let mut configs = vec![(&data, workload.config().threads(1))];
    configs.extend(threads.iter().map(|&n| (&data, workload.config().exact_threads(n))));
    configs.extend(
        threads
            .iter()
            .zip(&batches)
            .map(|(&n, &batch)| (&wide, workload.config().exact_threads(n).batch_size(batch))),
    );
    let mut models = configs.iter().map(|_| workload.model()).collect::<Result<Vec<_>>>()?;
    let mut runners = vec![];
    for ((data, config), model) in configs.iter().zip(&mut models) {
        runners.push(runner(model, data, config, effort.seconds)?);
    }
    let gauge = Gauge::new();
    let (mut sequential, mut strong, mut weak, mut peaks) = (vec![], vec![], vec![], vec![]);
    for _ in 0..effort.rounds {
        peaks.push(gauge.peak());
        let mut times = vec![];
        for runner in &mut runners {
            times.push(runner.run()?);
            tick();
        }
        sequential.push(times[0]);
        strong.push(times[1..=threads.len()].to_vec());
        weak.push(times[threads.len() + 1..].to_vec());
    }
    drop(runners);

    let mut phases = vec![];
    for &n in threads {
        phases.push((n, phases_of(&workload, &data, n, effort.phase_seconds)?));
    }
    let strong = Timings { threads: threads.to_vec(), rounds: strong };
    let params = models[0].param_count();
    let alone = phases.iter().find(|(n, _)| *n == 1).map_or(phases[0].1, |(_, phases)| *phases);
    let work = Work::new(&workload, &data, alone, strong.medians()[0])?;
    Ok(Readings {
        workload,
        params,
        sequential,
        strong,
        weak: Timings { threads: threads.to_vec(), rounds: weak },
        weak_rows: rows,
        phases,
        work,
        peaks,
    })
}

/// A runner with as many steps in a turn as take the time.
fn runner<'a>(
    model: &'a mut Sequential,
    data: &'a Dataset,
    config: &TrainConfig,
    seconds: f64,
) -> Result<Runner<'a>> {
    let mut runner = Runner { trainer: Trainer::new(model, data, config)?, steps: 1 };
    runner.run()?;
    while runner.steps < 1 << 20 && runner.run()? * (runner.steps as f64) < seconds / 2.0 {
        runner.steps *= 2;
    }
    Ok(runner)
}

fn check_bits(workload: &Workload, data: &Dataset, threads: &[usize]) -> Result<()> {
    let fingerprint = |config: TrainConfig| {
        let mut model = workload.model()?;
        let mut trainer = Trainer::new(&mut model, data, &config)?;
        (0..3).try_for_each(|_| trainer.step().map(drop))?;
        drop(trainer);
        Ok::<_, unisono::Error>(model.fingerprint())
    };
    let expected = fingerprint(workload.config().threads(1))?;
    for &n in threads {
        let found = fingerprint(workload.config().exact_threads(n))?;
        assert_eq!(found, expected, "{}: {n} threads train others", workload.name);
    }
    Ok(())
}

fn phases_of(workload: &Workload, data: &Dataset, threads: usize, seconds: f64) -> Result<Phases> {
    let mut model = workload.model()?;
    let config = workload.config().exact_threads(threads);
    let mut clock = PhaseClock::new(&mut model, data, &config)?;
    (0..3).try_for_each(|_| clock.step().map(drop))?;
    let (start, mut steps, mut sum) = (Instant::now(), 0, Phases::default());
    while steps < 3 || start.elapsed().as_secs_f64() < seconds {
        sum.iter_mut().zip(clock.step()?).for_each(|(sum, seconds)| *sum += seconds);
        steps += 1;
    }
    Ok(sum.map(|seconds| seconds / steps as f64))
}
