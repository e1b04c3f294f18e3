//! A step's time on more threads, or other cores, from what one core takes and what the machine can do.
//!
//! The assumptions stand in [`ASSUMPTIONS`], which the report prints.

use super::rates::Rates;
use super::work::{Setting, Work};

/// The most threads that are looked at.
pub const MOST: usize = 128;
/// What the target of [`MOST`] cores of this machine is called.
pub const LIKE_THESE: &str = "cores like these";
/// More threads stop helping where doubling them gains less than this factor.
const WORTH: f64 = 1.1;
/// Seconds of sharing a pass out where there is but one core to measure it on.
const ASSUMED_FORK_JOIN: f64 = 5e-6;

/// What the prediction takes for granted.
pub const ASSUMPTIONS: [&str; 8] = [
    "A phase takes on each core what it took on one thread here: a fixed part for a block of rows, or \
     for a batch's gradients, and a part for each row, told apart by two sizes of the batch. \
     Operations are counted beside that and do not enter.",
    "The pieces of work (blocks of rows, runs of parameters) are those that the trainer cuts for the \
     number of threads. A pass over k pieces on n cores takes k/n rounds of pieces, rounded up, and at \
     least its longest piece. A piece over parameters holds the whole tree-sum of its gradients.",
    "Sharing a pass out costs what it cost here, and as much again for each doubling of the threads \
     beyond those measured. A pass that is shorter than what sharing it costs is done by one thread, \
     which is kinder to steps of a few microseconds than threads are.",
    "What another core wrote (parameters of the last step, activations of other rows) is read at the \
     rate measured from core to core, by all cores at once, and nothing else is done meanwhile.",
    "Parameters and optimizer state that are larger than the last cache, and rows of a data set that \
     is, pass by at the memory's rate: one core's as far as all of them together do not exceed the \
     machine's. The step takes no less.",
    "For more cores like these, memory's bandwidth is that measured on all cores here, times as many \
     as there are cores; the last cache is as large as here.",
    "A core of another machine does everything faster or slower in the proportion of its arithmetic; \
     sharing out and what goes from core to core take what they take here.",
    "No core is slower for the others' sake: no lower clock under load, no second thread of a core, no \
     distance between sockets.",
];

/// A machine to predict for.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub cores: usize,
    /// A core's arithmetic beside one of this machine.
    pub speed: f64,
    /// Bytes per second of memory, for one core and for all of them together.
    pub memory: [f64; 2],
    /// Bytes of the largest cache.
    pub cache: usize,
}

impl Target {
    /// The machine that was measured.
    pub fn here(rates: &Rates, cache: usize) -> Self {
        let memory = [1, rates.cores].map(|n| Rates::at(&rates.memory, n));
        Self { name: "this machine".into(), cores: rates.cores, speed: 1.0, memory, cache }
    }

    fn bandwidth(&self, cores: usize) -> f64 {
        (self.memory[0] * cores as f64).min(self.memory[1])
    }
}

/// The parts of a predicted step, in seconds; they add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
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

/// What the parts are called, in order.
pub const PARTS: [&str; 6] = [
    "the work, evenly divided",
    "the serial part of a step",
    "too few or uneven pieces of work",
    "sharing out and waiting",
    "what goes from core to core",
    "the memory's bandwidth",
];

impl Prediction {
    pub fn seconds(&self) -> f64 {
        self.parts().iter().sum()
    }

    /// As many as [`PARTS`].
    pub fn parts(&self) -> [f64; 6] {
        [self.shared, self.serial, self.pieces, self.fork_join, self.handed, self.memory]
    }

    /// What costs most beside the work itself.
    pub fn largest_loss(&self) -> &'static str {
        let losses = PARTS.into_iter().zip(self.parts()).skip(1);
        losses.max_by(|a, b| a.1.total_cmp(&b.1)).map_or("nothing", |(name, _)| name)
    }
}

/// The seconds of a pass on so many equal cores: its pieces in rounds, and no less than the longest.
pub fn even_pass(pieces: &[f64], cores: usize) -> f64 {
    let longest = pieces.iter().copied().fold(0.0, f64::max);
    let rounds = pieces.len().div_ceil(cores.max(1)) as f64;
    let mean = pieces.iter().sum::<f64>() / pieces.len().max(1) as f64;
    longest.max(rounds * mean)
}

/// Predicts a step on a machine.
pub fn predict(work: &Work, rates: &Rates, target: &Target, setting: Setting) -> Prediction {
    let Setting { threads, batch, .. } = setting;
    let working = threads.min(target.cores);
    let serial = work.serial / target.speed;
    let mut found = Prediction { serial, ..Prediction::default() };
    let mut worked = 0.0;
    for pass in work.passes(setting) {
        let total = pass.iter().sum::<f64>() / target.speed;
        let even = total / working as f64;
        let cost = Sharing::of(rates, target, threads, pass.len());
        let shared = even_pass(&pass, working) / target.speed;
        found.shared += even;
        if shared + cost.fork_join <= total + cost.offers {
            found.pieces += shared - even;
            found.fork_join += cost.fork_join;
            worked += shared;
        } else {
            found.fork_join += total + cost.offers - even;
            worked += total;
        }
    }
    let others = (working - 1) as f64 / working as f64;
    let params = if work.traffic.held_in(target.cache) { 8.0 * work.padded as f64 } else { 0.0 };
    found.handed = (params + (work.row_bytes * batch) as f64) * others / rates.handed;
    found.memory = (memory_seconds(work, target, setting) - worked).max(0.0);
    found
}

/// What memory takes for a step's bytes, of which a step sees what its work is too short to hide.
pub fn memory_seconds(work: &Work, target: &Target, setting: Setting) -> f64 {
    let bytes = work.traffic.memory_bytes(setting.batch, target.cache);
    bytes / target.bandwidth(setting.threads.min(target.cores))
}

/// What sharing a pass out costs.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// Beyond its pieces, if others come.
    pub fork_join: f64,
    /// Beyond its pieces, if nobody does.
    pub offers: f64,
}

impl Sharing {
    /// Of a pass of so many pieces.
    pub fn of(rates: &Rates, target: &Target, threads: usize, pieces: usize) -> Self {
        if threads == 1 || pieces < 2 {
            return Self { fork_join: 0.0, offers: 0.0 };
        }
        let fork_join = fork_join(rates, threads, target.cores);
        Self { fork_join, offers: (pieces - 1) as f64 * rates.join }
    }
}

/// As measured with a core for each thread, and beyond that once more the largest for each doubling.
/// Threads without a core for each cost what they cost here.
fn fork_join(rates: &Rates, threads: usize, cores: usize) -> f64 {
    if threads > cores {
        return Rates::at(&rates.fork_join, threads);
    }
    let measured = |(n, _): &&(usize, f64)| *n > 1 && *n <= rates.cores;
    let points: Vec<_> = rates.fork_join.iter().filter(measured).copied().collect();
    let Some(&(most, seconds)) = points.last() else { return ASSUMED_FORK_JOIN };
    match threads {
        n if n <= most => Rates::at(&points, n),
        n => seconds * (1.0 + (n as f64 / most as f64).log2()),
    }
}

/// The number of threads from which doubling them gains less than a tenth, and what costs most there;
/// none up to the most that are looked at.
pub fn stops(work: &Work, rates: &Rates, target: &Target) -> Option<(usize, &'static str)> {
    let at = |threads| predict(work, rates, target, work.strong(threads));
    let doublings = std::iter::successors(Some(1), |n| Some(n * 2));
    let mut worth = doublings.take_while(|n| 2 * n <= target.cores.min(MOST));
    let stop = worth.find(|&n| at(n).seconds() < WORTH * at(2 * n).seconds())?;
    Some((stop, at(2 * stop).largest_loss()))
}

#[cfg(test)]
pub mod testing {
    use super::super::work::testing::work;
    use super::*;

    pub fn rates(handed: f64, fork_join: f64) -> Rates {
        let fork_join = vec![(1, 0.0), (2, fork_join)];
        Rates { cores: 2, handed, fork_join, ..Rates::default() }
    }

    pub fn target(cores: usize) -> Target {
        let name = "test".to_owned();
        Target { name, cores, speed: 1.0, memory: [1e12, 1e15], cache: 1 << 30 }
    }

    fn seconds(work: &Work, rates: &Rates, target: &Target, threads: usize) -> f64 {
        predict(work, rates, target, work.strong(threads)).seconds()
    }

    #[test]
    fn one_thread_takes_what_was_measured() {
        let found = seconds(&work(), &rates(1e9, 1e-5), &target(8), 1);
        assert!((found - 5e-3).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn a_pass_takes_rounds_of_pieces_and_no_less_than_the_longest() {
        assert_eq!(even_pass(&[1.0; 8], 4), 2.0);
        assert_eq!(even_pass(&[1.0; 9], 4), 3.0);
        assert_eq!(even_pass(&[1.0; 2], 64), 1.0);
        assert_eq!(even_pass(&[5.0, 1.0, 1.0, 1.0], 4), 5.0);
        assert_eq!(even_pass(&[], 4), 0.0);
    }

    #[test]
    fn free_sharing_scales_until_the_pieces_run_out() {
        let (work, free) = (work(), rates(f64::INFINITY, 0.0));
        for threads in [2, 4, 8] {
            let found = seconds(&work, &free, &target(128), threads);
            assert!((found * threads as f64 / 5e-3 - 1.0).abs() < 1e-9, "{threads}: {found}");
        }
        // 256 rows are 16 blocks at most.
        let stop = stops(&work, &free, &target(128)).unwrap();
        assert_eq!(stop, (64, "too few or uneven pieces of work"));
        // With rows for more blocks it goes on.
        let setting = Setting { threads: 64, batch: 4096 };
        let found = predict(&work, &free, &target(128), setting).seconds();
        assert!((found * 64.0 - (16.0 * 4e-3 + 1e-3)).abs() < 1e-9, "{found}");
    }

    #[test]
    fn every_cost_can_be_what_stops_it() {
        let stop =
            |work: &Work, rates: &Rates, target: &Target| stops(work, rates, target).unwrap();
        let free = rates(f64::INFINITY, 0.0);
        let mut serial = work();
        serial.serial = 2e-3;
        assert_eq!(stop(&serial, &free, &target(128)).1, "the serial part of a step");
        let slow = rates(f64::INFINITY, 2e-4);
        assert_eq!(stop(&work(), &slow, &target(128)).1, "sharing out and waiting");
        let far = rates(2e6, 0.0);
        assert_eq!(stop(&work(), &far, &target(128)).1, "what goes from core to core");
        let narrow = Target { cache: 0, memory: [5e6, 1e7], ..target(128) };
        assert_eq!(stop(&work(), &free, &narrow).1, "the memory's bandwidth");
    }

    #[test]
    fn a_pass_that_is_too_short_is_not_shared() {
        let slow = Rates { join: 1e-7, ..rates(f64::INFINITY, 1e-2) };
        let found = predict(&work(), &slow, &target(8), work().strong(4));
        // 8 blocks and 32 pieces are offered, and nobody comes.
        assert!((found.seconds() - 5e-3 - (7.0 + 31.0) * 1e-7).abs() < 1e-12, "{found:?}");
        assert_eq!(found.largest_loss(), "sharing out and waiting");
    }

    #[test]
    fn more_threads_than_cores_gain_nothing() {
        let free = rates(f64::INFINITY, 0.0);
        let at = |threads| seconds(&work(), &free, &target(2), threads);
        assert!(at(3) >= at(2) * 0.999 && at(16) >= at(2) * 0.999);
    }

    #[test]
    fn sharing_costs_more_for_each_doubling() {
        let rates = rates(f64::INFINITY, 3e-6);
        let found = [2, 4, 8, 64].map(|n| fork_join(&rates, n, 128));
        assert_eq!(found, [3e-6, 6e-6, 9e-6, 18e-6]);
        let one = Rates { cores: 1, ..rates };
        assert_eq!(fork_join(&one, 64, 128), ASSUMED_FORK_JOIN);
        assert_eq!(fork_join(&one, 2, 1), 3e-6);
    }

    #[test]
    fn other_cores_and_other_batches_take_their_time() {
        let free = rates(f64::INFINITY, 0.0);
        let setting = Setting { batch: 512, ..work().strong(1) };
        let twice = predict(&work(), &free, &target(1), setting).seconds();
        assert!((twice - 9e-3).abs() < 1e-12, "{twice}");
        let fast = Target { speed: 2.0, ..target(4) };
        assert!((seconds(&work(), &free, &fast, 1) - 2.5e-3).abs() < 1e-12);
    }
}
