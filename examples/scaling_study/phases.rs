//! Where a step's time goes, by the trainer's own functions with a clock between them.

use std::time::Instant;

use unisono::bench_support::{Phase, PhaseClock, Workload, median};
use unisono::{Dataset, Sequential};

use super::Result;

/// Seconds of a step by phase, of all workers together.
pub type Phases = [f64; Phase::ALL.len()];

/// Turns of each clock, at most and at least.
const ROUNDS: usize = 7;
const FEWEST: usize = 3;
/// Fewest rows of the small batch.
const FEW: usize = 16;

/// The phases that readers are shown, and which of the trainer's each holds.
pub const GROUPS: [(&str, &[Phase]); 6] = [
    ("gather", &[Phase::Shuffle, Phase::Gather]),
    ("forward", &[Phase::Forward]),
    ("backward", &[Phase::Loss, Phase::Backward, Phase::Measure]),
    ("reduce", &[Phase::Reduce]),
    ("update", &[Phase::Update]),
    ("waiting", &[Phase::Wait]),
];

/// The seconds of each group.
pub fn grouped(phases: &Phases) -> Vec<f64> {
    let sum = |members: &[Phase]| members.iter().map(|&phase| phases[phase as usize]).sum();
    GROUPS.iter().map(|(_, members)| sum(members)).collect()
}

/// What the clocks showed.
#[derive(Debug, Clone)]
pub struct Clocked {
    /// The workload's batch on each number of threads.
    pub by_threads: Vec<(usize, Phases)>,
    /// The workload's batch on one thread, and a small one: rows and phases. What a block of rows
    /// costs beyond its rows follows from the two.
    pub alone: [(usize, Phases); 2],
}

/// Rows of the small batch beside one of so many.
pub fn small_batch(batch: usize) -> usize {
    (batch / 8).max(FEW).min(batch.div_ceil(2))
}

/// Times steps on all numbers of threads in turns, about `seconds` on each.
pub fn read(
    workload: &Workload,
    data: &Dataset,
    threads: &[usize],
    seconds: f64,
) -> Result<Clocked> {
    let batch = workload.batch;
    let small = small_batch(batch);
    let mut settings: Vec<(usize, usize)> = vec![(1, batch), (1, small)];
    settings.extend(threads.iter().filter(|&&n| n > 1).map(|&n| (n, batch)));
    let mut models =
        settings.iter().map(|_| workload.model()).collect::<unisono::Result<Vec<Sequential>>>()?;
    let mut clocks = vec![];
    for (&(n, rows), model) in settings.iter().zip(&mut models) {
        let config = workload.config().exact_threads(n).batch_size(rows);
        let mut clock = PhaseClock::new(model, data, &config)?;
        clock.run()?;
        clocks.push(clock);
    }
    let mut turns: Vec<Vec<Phases>> = vec![vec![]; clocks.len()];
    let (start, budget) = (Instant::now(), seconds * clocks.len() as f64);
    for round in 0..ROUNDS {
        if round >= FEWEST && start.elapsed().as_secs_f64() > budget {
            break;
        }
        for (clock, turns) in clocks.iter_mut().zip(&mut turns) {
            turns.push(mean(clock, seconds / ROUNDS as f64)?);
        }
    }
    let middle = |turns: &Vec<Phases>| -> Phases {
        std::array::from_fn(|phase| {
            median(&turns.iter().map(|turn| turn[phase]).collect::<Vec<_>>())
        })
    };
    let taken: Vec<Phases> = turns.iter().map(middle).collect();
    let others = settings.iter().zip(&taken).skip(2).map(|(&(n, _), &phases)| (n, phases));
    Ok(Clocked {
        by_threads: std::iter::once((1, taken[0])).chain(others).collect(),
        alone: [(batch, taken[0]), (small, taken[1])],
    })
}

/// The mean of steps that take some time together.
fn mean(clock: &mut PhaseClock<'_>, seconds: f64) -> Result<Phases> {
    let (start, mut steps, mut sum) = (Instant::now(), 0, Phases::default());
    while steps < 1 || start.elapsed().as_secs_f64() < seconds {
        let (made, seconds) = clock.run()?;
        sum.iter_mut().zip(seconds).for_each(|(sum, seconds)| *sum += seconds);
        steps += made;
    }
    Ok(sum.map(|seconds| seconds / steps as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_every_phase_once() {
        let each: Phases = std::array::from_fn(|phase| (1 << phase) as f64);
        assert_eq!(grouped(&each).iter().sum::<f64>(), 511.0);
        assert_eq!(GROUPS.iter().map(|(_, members)| members.len()).sum::<usize>(), 9);
    }

    #[test]
    fn one_thread_and_others_are_clocked() {
        let workload = Workload::new("net", &[10, 20, 5], 64, 128);
        let data = workload.data().unwrap();
        let clocked = read(&workload, &data, &[1, 2], 1e-3).unwrap();
        let threads: Vec<usize> = clocked.by_threads.iter().map(|(n, _)| *n).collect();
        assert_eq!((threads, clocked.alone[1].0), (vec![1, 2], 16));
        let forward = clocked.alone.map(|(_, phases)| phases[Phase::Forward as usize]);
        assert!(forward.iter().all(|&seconds| seconds > 0.0), "{forward:?}");
    }
}
