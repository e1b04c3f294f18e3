//! The readings: every number of threads in turns, so that whatever else the machine does meets all.

use std::time::Instant;

use unisono::bench_support::{Gauge, Workload};
use unisono::{Dataset, Sequential, TrainConfig, Trainer};

use super::Result;
use super::phases::{self, Phases};
use super::timings::Timings;
use super::work::Work;

/// Steps shorter than this, in seconds, are timed by whole epochs, as [`unisono::train_parallel`] runs
/// them: a step by itself starts and ends in a thread outside of the pool, which takes some 10 us.
const SHORT: f64 = 5e-3;
/// Fewest rounds, however slow the machine is.
const FEWEST: usize = 3;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Times that each number of threads has its turn.
    pub rounds: usize,
    /// Seconds of a turn, at least; a turn is at least one step.
    pub seconds: f64,
    /// Seconds after which a workload gets no further round.
    pub budget: f64,
}

/// Everything that was read of one workload.
#[derive(Debug)]
pub struct Readings {
    pub workload: Workload,
    pub params: usize,
    /// The plain sequential step that knows no pool, by round.
    pub sequential: Vec<f64>,
    /// The number of threads that the trainer chooses if nobody tells it, and its readings.
    pub default: (usize, Vec<f64>),
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
    epochs: bool,
    times: usize,
}

impl<'a> Runner<'a> {
    /// With as many steps or epochs in a turn as take the time.
    fn new(
        model: &'a mut Sequential,
        data: &'a Dataset,
        config: &TrainConfig,
        seconds: f64,
    ) -> Result<Self> {
        let trainer = Trainer::new(model, data, config)?;
        let mut runner = Self { trainer, epochs: false, times: 1 };
        if runner.run()? > seconds {
            return Ok(runner);
        }
        runner.epochs = runner.run()? < SHORT;
        while runner.times < 1 << 20 {
            let start = Instant::now();
            runner.run()?;
            if start.elapsed().as_secs_f64() > seconds / 2.0 {
                break;
            }
            runner.times *= 2;
        }
        Ok(runner)
    }

    /// Seconds a step.
    fn run(&mut self) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..self.times {
            match self.epochs {
                true => drop(self.trainer.epoch()?),
                false => drop(self.trainer.step()?),
            }
        }
        let each = if self.epochs { self.trainer.steps_per_epoch() } else { 1 };
        Ok(start.elapsed().as_secs_f64() / (self.times * each) as f64)
    }
}

/// Checks that every number of threads trains the same bits, then takes the readings.
pub fn read(
    workload: Workload,
    threads: &[usize],
    effort: Effort,
    tick: impl FnMut(),
) -> Result<Readings> {
    let weak_rows = workload.batch.div_ceil(super::machine::cores());
    let most = threads.last().map_or(weak_rows, |most| weak_rows * most);
    let workload = Workload { rows: workload.rows.max(2 * most), ..workload };
    let data = workload.data()?;
    let exactly = |n| workload.config().exact_threads(n);
    let weakly = |n| exactly(n).batch_size(weak_rows * n);
    let fingerprint = |config: &TrainConfig| fingerprint(&workload, &data, config);
    let alone = fingerprint(&workload.config().threads(1))?;
    for &n in threads {
        same_bits(&workload, n, alone, fingerprint(&exactly(n))?)?;
        if n > 1 {
            let alone = fingerprint(&weakly(n).threads(1))?;
            same_bits(&workload, n, alone, fingerprint(&weakly(n))?)?;
        }
    }

    let mut configs = vec![workload.config().threads(1), workload.config()];
    configs.extend(threads.iter().map(|&n| exactly(n)));
    configs.extend(threads.iter().map(|&n| weakly(n)));
    let mut models =
        configs.iter().map(|_| workload.model()).collect::<unisono::Result<Vec<_>>>()?;
    let params = models[0].param_count();
    let mut runners = vec![];
    for (config, model) in configs.iter().zip(&mut models) {
        runners.push(Runner::new(model, &data, config, effort.seconds)?);
    }
    let chosen = runners[1].trainer.history().threads;
    let (rounds, peaks) = rounds(&mut runners, effort, tick)?;
    drop(runners);
    drop(models);

    let column = |i: usize| rounds.iter().map(|round| round[i]).collect::<Vec<f64>>();
    let timings = |from: usize| Timings {
        threads: threads.to_vec(),
        rounds: rounds.iter().map(|round| round[from..from + threads.len()].to_vec()).collect(),
    };
    let strong = timings(2);
    let seconds = effort.seconds * effort.rounds as f64 / 8.0;
    let clocked = phases::read(&workload, &data, threads, seconds)?;
    let work = Work::new(&workload, &data, &clocked, strong.medians()[0])?;
    Ok(Readings {
        workload,
        params,
        sequential: column(0),
        default: (chosen, column(1)),
        strong,
        weak: timings(2 + threads.len()),
        weak_rows,
        phases: clocked.by_threads,
        work,
        peaks,
    })
}

/// Gives every runner its turn, round by round, each round beginning with another. Returns the rounds,
/// and the peak of one core before each.
fn rounds(
    runners: &mut [Runner<'_>],
    effort: Effort,
    mut tick: impl FnMut(),
) -> Result<(Vec<Vec<f64>>, Vec<f64>)> {
    let gauge = Gauge::new();
    let (mut rounds, mut peaks) = (vec![], vec![]);
    let start = Instant::now();
    for round in 0..effort.rounds {
        if round >= FEWEST && start.elapsed().as_secs_f64() > effort.budget {
            runners.iter().for_each(|_| tick());
            continue;
        }
        peaks.push(gauge.peak());
        let mut times = vec![0.0; runners.len()];
        for turn in 0..runners.len() {
            let which = (round + turn) % runners.len();
            times[which] = runners[which].run()?;
            tick();
        }
        rounds.push(times);
    }
    Ok((rounds, peaks))
}

/// The model's bits after two steps.
fn fingerprint(workload: &Workload, data: &Dataset, config: &TrainConfig) -> Result<u64> {
    let mut model = workload.model()?;
    let mut trainer = Trainer::new(&mut model, data, config)?;
    (0..2).try_for_each(|_| trainer.step().map(drop))?;
    drop(trainer);
    Ok(model.fingerprint())
}

fn same_bits(workload: &Workload, threads: usize, expected: u64, found: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let name = workload.name;
    Err(format!(
        "{name}: {threads} threads trained other bits than one ({found:016x}, not {expected:016x})"
    )
    .into())
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// Readings as they might have been taken of a small net.
    pub fn readings() -> Readings {
        let workload = Workload::new("net", &[10, 20, 5], 100, 200);
        Readings {
            workload,
            params: 325,
            sequential: vec![4e-3, 4e-3, 4e-3],
            default: (2, vec![2e-3; 3]),
            strong: Timings { threads: vec![1, 2], rounds: vec![vec![4e-3, 2.5e-3]; 3] },
            weak: Timings { threads: vec![1, 2], rounds: vec![vec![2e-3, 2.5e-3]; 3] },
            weak_rows: 50,
            phases: vec![(1, [4e-3 / 9.0; 9]), (2, [5e-3 / 9.0; 9])],
            work: super::super::work::testing::work(),
            peaks: vec![1e9],
        }
    }

    #[test]
    fn readings_are_taken_of_every_number_of_threads() {
        let workload = Workload::new("net", &[10, 20, 5], 32, 64);
        let effort = Effort { rounds: 4, seconds: 1e-4, budget: 10.0 };
        let mut ticks = 0;
        let readings = read(workload, &[1, 2], effort, || ticks += 1).unwrap();
        assert_eq!(ticks, 4 * 6);
        assert_eq!((readings.sequential.len(), readings.peaks.len()), (4, 4));
        let all = readings.strong.rounds.iter().chain(&readings.weak.rounds).flatten();
        assert!(all.chain(&readings.sequential).all(|&seconds| seconds > 0.0));
        assert!(readings.default.0 >= 1);
    }

    #[test]
    fn other_bits_end_the_study() {
        let workload = Workload::new("net", &[4, 3], 16, 32);
        let data = workload.data().unwrap();
        let bits = |n| fingerprint(&workload, &data, &workload.config().exact_threads(n)).unwrap();
        assert!(same_bits(&workload, 2, bits(1), bits(2)).is_ok());
        let error = same_bits(&workload, 2, bits(1), bits(1) + 1).unwrap_err().to_string();
        assert!(error.contains("2 threads trained other bits"), "{error}");
    }

    #[test]
    fn no_time_left_means_the_fewest_rounds() {
        let workload = Workload::new("net", &[4, 3], 16, 32);
        let effort = Effort { rounds: 9, seconds: 1e-5, budget: 0.0 };
        let readings = read(workload, &[1], effort, || ()).unwrap();
        assert_eq!(readings.sequential.len(), FEWEST);
    }
}
