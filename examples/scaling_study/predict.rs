//! A step's time on more threads, or other cores, from what one core takes and what the machine can do.
//!
//! Assumptions, all of them also in the report:
//! - a phase's arithmetic takes as long on each core as it took on one thread here;
//! - pieces (blocks of rows, runs of parameters) are those that the trainer cuts for the number of
//!   threads, and each is claimed by the next free worker;
//! - sharing a pass of the step out takes what it took here, and as much again for each doubling of the
//!   threads beyond those measured;
//! - what another core wrote (parameters of the last step, activations of other rows) is read at the
//!   rate measured from core to core, on all cores at once, and nothing else is done meanwhile;
//! - parameters and optimizer state that no cache holds pass by at the memory's rate, which grows with
//!   the cores.

use unisono::bench_support::{Phase, PhaseClock, Workload, block_rows};
use unisono::{Dataset, Result};

use super::measure::Phases;
use super::rates::Rates;
use super::simulate::makespan;

/// Shards of a batch, unless configured.
const SHARDS: usize = 16;
/// The most threads that are looked at.
pub const MOST: usize = 128;
/// More threads stop helping where doubling them gains less than this factor.
const WORTH: f64 = 1.1;

/// The counted work of a step of one workload, in seconds of one core.
#[derive(Debug, Clone)]
pub struct Work {
    batch: usize,
    /// Everything for the rows: gathering, forward, loss, backward.
    first: f64,
    /// The gradients by the parameters, which grow with the rows.
    reduce: f64,
    /// The optimizer and the transpose, which do not.
    update: f64,
    /// What no phase accounts for: drawing the order, keeping the books.
    serial: f64,
    params: usize,
    /// Passes that are shared out: one over the rows, the others over the parameters.
    passes: usize,
    /// Bytes of a row's inputs and gradients of all layers.
    row_bytes: usize,
    /// For each number of threads, the pieces of the second half as shares of it.
    pieces: Vec<Vec<f64>>,
}

/// A machine to predict for.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub cores: usize,
    /// A core's arithmetic beside one of this machine.
    pub speed: f64,
    /// Bytes per second of memory, all cores together.
    pub memory: f64,
    /// Bytes of the largest cache.
    pub cache: usize,
}

/// The parts of a predicted step, in seconds; they add up to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The work evenly divided.
    pub shared: f64,
    pub serial: f64,
    /// Workers that wait because the pieces do not come out even, or there are too few.
    pub pieces: f64,
    pub fork_join: f64,
    pub handed: f64,
    pub memory: f64,
}

impl Prediction {
    pub fn seconds(&self) -> f64 {
        self.shared + self.losses().iter().map(|(_, seconds)| seconds).sum::<f64>()
    }

    fn losses(&self) -> [(&'static str, f64); 5] {
        [
            ("the serial part of a step", self.serial),
            ("too few or uneven pieces of work", self.pieces),
            ("sharing out and waiting", self.fork_join),
            ("what goes from core to core", self.handed),
            ("the memory's bandwidth", self.memory),
        ]
    }

    /// What costs most beside the work itself.
    pub fn largest_loss(&self) -> &'static str {
        let largest = self.losses().into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        largest.map_or("nothing", |(name, _)| name)
    }
}

impl Work {
    /// Takes the phases of one thread, and the whole step's seconds.
    pub fn new(workload: &Workload, data: &Dataset, phases: Phases, step: f64) -> Result<Self> {
        let of = |phase: Phase| phases[phase as usize];
        let (reduce, update) = (of(Phase::Reduce), of(Phase::Update));
        let first = [Phase::Gather, Phase::Forward, Phase::Loss, Phase::Backward, Phase::Measure];
        let first: f64 = first.into_iter().map(of).sum();
        // The clock runs beside other steps than those of `step`: keep the phases' proportions.
        let scale = (step / (first + reduce + update)).min(1.0);
        let mut model = workload.model()?;
        let params = model.param_count();
        let clock = PhaseClock::new(&mut model, data, &workload.config().threads(1))?;
        let widths: usize = workload.layers.windows(2).map(|pair| pair[0] + pair[1]).sum();
        Ok(Self {
            batch: workload.batch,
            first: first * scale,
            reduce: reduce * scale,
            update: update * scale,
            serial: (step - (first + reduce + update) * scale).max(0.0),
            params,
            passes: clock.passes(),
            row_bytes: 4 * widths,
            pieces: (1..=MOST).map(|n| clock.update_pieces(n)).collect(),
        })
    }

    /// The pieces of both halves for `threads` threads and a batch, in seconds of one core.
    pub fn halves(&self, threads: usize, batch: usize) -> [Vec<f64>; 2] {
        let rows = batch as f64 / self.batch as f64;
        let row = self.first * rows / batch as f64;
        let first = block_rows(batch, SHARDS, threads).into_iter().map(|n| n as f64 * row);
        let second = self.reduce * rows + self.update;
        let pieces = &self.pieces[threads.min(MOST) - 1];
        [first.collect(), pieces.iter().map(|share| share * second).collect()]
    }

    /// Predicts the step on `threads` threads of a machine, with a batch of so many rows.
    pub fn predict(
        &self,
        rates: &Rates,
        target: &Target,
        threads: usize,
        batch: usize,
    ) -> Prediction {
        let working = threads.min(target.cores);
        let halves = self
            .halves(threads, batch)
            .map(|half| half.into_iter().map(|seconds| seconds / target.speed).collect::<Vec<_>>());
        let ideal = halves.iter().flatten().sum::<f64>() / working as f64;
        let speeds = vec![1.0; working];
        let shared_out =
            halves[0].len().min(2) - 1 + (self.passes - 1) * (halves[1].len().min(2) - 1);
        let [first, second] = halves.map(|half| makespan(&half, &speeds));
        let others = (threads - 1) as f64 / threads as f64;
        let handed = 8.0 * self.params as f64 + (self.row_bytes * batch) as f64;
        Prediction {
            shared: ideal,
            serial: self.serial / target.speed,
            pieces: first + second - ideal,
            fork_join: shared_out as f64 * fork_join(rates, threads),
            handed: handed * others / rates.handed,
            memory: (self.state_bytes(target) / memory(target, working) - second).max(0.0),
        }
    }

    /// Bytes of parameters, state and transpose that pass by where no cache holds them.
    fn state_bytes(&self, target: &Target) -> f64 {
        let held = 16 * self.params;
        if held > target.cache { 28.0 * self.params as f64 } else { 0.0 }
    }

    /// The number of threads from which doubling them gains less than a tenth, and what costs most
    /// there; none up to [`MOST`].
    pub fn stops(&self, rates: &Rates, target: &Target) -> Option<(usize, &'static str)> {
        let at = |threads| self.predict(rates, target, threads, self.batch);
        let doublings = std::iter::successors(Some(1), |n| Some(n * 2));
        let mut worth = doublings.take_while(|n| 2 * n <= target.cores.min(MOST));
        let stop = worth.find(|&n| at(n).seconds() < WORTH * at(2 * n).seconds())?;
        Some((stop, at(2 * stop).largest_loss()))
    }
}

fn memory(target: &Target, cores: usize) -> f64 {
    target.memory * cores as f64 / target.cores as f64
}

/// As measured, and beyond that once more the largest for each doubling.
fn fork_join(rates: &Rates, threads: usize) -> f64 {
    let Some(&(most, seconds)) = rates.fork_join.last() else { return 0.0 };
    match threads {
        1 => 0.0,
        n if n <= most => Rates::at(&rates.fork_join, n),
        n => seconds.max(1e-6) * (1.0 + (n as f64 / most.max(2) as f64).log2().max(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Work {
        Work {
            batch: 256,
            first: 3e-3,
            reduce: 1e-3,
            update: 1e-3,
            serial: 0.0,
            params: 1000,
            passes: 2,
            row_bytes: 0,
            pieces: (1..=MOST).map(|n| vec![1.0 / (8 * n) as f64; 8 * n]).collect(),
        }
    }

    fn rates(handed: f64, fork_join: f64) -> Rates {
        let points = vec![(1, 0.0), (2, fork_join)];
        Rates { handed, fork_join: points, ..Rates::default() }
    }

    fn target(cores: usize) -> Target {
        let name = "test".to_owned();
        Target { name, cores, speed: 1.0, memory: 1e12, cache: 1 << 30 }
    }

    #[test]
    fn one_thread_takes_what_was_measured() {
        let found = work().predict(&rates(1e9, 1e-5), &target(8), 1, 256);
        assert!((found.seconds() - 5e-3).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn free_sharing_scales_until_the_pieces_run_out() {
        let (work, rates) = (work(), rates(f64::INFINITY, 0.0));
        for threads in [2, 4, 8] {
            let found = work.predict(&rates, &target(128), threads, 256).seconds();
            assert!((found * threads as f64 / 5e-3 - 1.0).abs() < 1e-3, "{threads}: {found}");
        }
        let stop = work.stops(&rates, &target(128)).unwrap();
        assert_eq!(stop.1, "too few or uneven pieces of work");
        assert!(stop.0 >= 16, "{stop:?}");
    }

    #[test]
    fn every_cost_can_be_what_stops_it() {
        let serial = Work { serial: 2e-3, ..work() };
        let stop = |work: &Work, rates: &Rates, target: &Target| work.stops(rates, target).unwrap();
        let free = rates(f64::INFINITY, 0.0);
        assert_eq!(stop(&serial, &free, &target(128)).1, "the serial part of a step");
        let slow = rates(f64::INFINITY, 1e-3);
        assert_eq!(stop(&work(), &slow, &target(128)).1, "sharing out and waiting");
        let far = rates(4e6, 0.0);
        assert_eq!(stop(&work(), &far, &target(128)).1, "what goes from core to core");
        let narrow = Target { cache: 0, memory: 2e7, ..target(128) };
        assert_eq!(stop(&work(), &free, &narrow).1, "the memory's bandwidth");
    }

    #[test]
    fn more_threads_than_cores_gain_nothing() {
        let free = rates(f64::INFINITY, 0.0);
        let at = |threads| work().predict(&free, &target(2), threads, 256).seconds();
        assert!(at(3) >= at(2) * 0.999 && at(16) >= at(2) * 0.999);
    }

    #[test]
    fn a_larger_batch_costs_its_rows_but_one_update() {
        let free = rates(f64::INFINITY, 0.0);
        let twice = work().predict(&free, &target(1), 1, 512).seconds();
        assert!((twice - 9e-3).abs() < 1e-12, "{twice}");
    }
}
