//! The machine's own rates, measured on the spot: arithmetic, memory, what goes from core to core, and
//! sharing work out.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use unisono::bench_support::{Gauge, fma_peak, median};

use super::sharing::{fork_join, join};

/// Values of each of the three buffers that are streamed through: 64 MB, more than most caches hold.
const STREAMED: usize = 16 << 20;
/// Bytes of the three together.
pub const STREAMED_BYTES: usize = 3 * 4 * STREAMED;
/// Values of a buffer that goes from core to core: 512 KB, about what a worker's second cache keeps.
const HANDED: usize = 128 << 10;

/// What the machine can do.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Cores of the machine that was measured.
    pub cores: usize,
    /// Threads, and fused multiply-adds of all of them together, in floating-point operations per
    /// second.
    pub peak: Vec<(usize, f64)>,
    /// Threads, and bytes per second that all of them together read and write in memory.
    pub memory: Vec<(usize, f64)>,
    /// Bytes per second at which a core reads what another has just written; infinite on one core,
    /// where there is no other.
    pub handed: f64,
    /// Threads, and seconds that sharing out as many pieces as a pass of a step has takes, beyond the
    /// work in them evenly divided. Also for more threads than cores.
    pub fork_join: Vec<(usize, f64)>,
    /// Seconds that offering a piece to others costs where none of them comes for it.
    pub join: f64,
}

impl Rates {
    /// Measures on each number of threads, and on one and on all cores, from which predictions and roofs
    /// are made.
    pub fn measure(threads: &[usize], rounds: usize) -> Self {
        let cores = super::machine::cores();
        let threads = with_ends(threads, cores);
        let within = || threads.iter().copied().filter(|&n| n <= cores);
        Self {
            cores,
            peak: within().map(|n| (n, best(rounds, || peak(n)))).collect(),
            memory: within().map(|n| (n, best(rounds, || memory(n)))).collect(),
            handed: if cores > 1 { middle(rounds, handed) } else { f64::INFINITY },
            fork_join: threads.iter().map(|&n| (n, fork_join(n, cores, rounds))).collect(),
            join: middle(rounds, join),
        }
    }

    /// What readings before and after the study say together: the best of arithmetic and memory, the
    /// mean of the others.
    pub fn merged([a, b]: [&Self; 2]) -> Self {
        type Points = [(usize, f64)];
        let both = |a: &Points, b: &Points, of: fn(f64, f64) -> f64| -> Vec<(usize, f64)> {
            a.iter().zip(b).map(|(&(n, a), &(_, b))| (n, of(a, b))).collect()
        };
        let mean = |a: f64, b: f64| (a + b) / 2.0;
        Self {
            cores: a.cores,
            peak: both(&a.peak, &b.peak, f64::max),
            memory: both(&a.memory, &b.memory, f64::max),
            handed: mean(a.handed, b.handed),
            fork_join: both(&a.fork_join, &b.fork_join, mean),
            join: mean(a.join, b.join),
        }
    }

    /// The rate for exactly so many threads, if it was measured.
    pub fn of(points: &[(usize, f64)], threads: usize) -> Option<f64> {
        points.iter().find(|(n, _)| *n == threads).map(|(_, rate)| *rate)
    }

    /// The rate for a number of threads that was measured, or the nearest below.
    pub fn at(points: &[(usize, f64)], threads: usize) -> f64 {
        let below = points.iter().rev().find(|(n, _)| *n <= threads);
        below.or(points.first()).map_or(f64::NAN, |(_, rate)| *rate)
    }
}

/// Numbers of threads, with one and all cores among them.
fn with_ends(threads: &[usize], cores: usize) -> Vec<usize> {
    let mut counts = threads.to_vec();
    counts.extend([1, cores]);
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn middle(rounds: usize, mut f: impl FnMut() -> f64) -> f64 {
    median(&(0..rounds.max(1)).map(|_| f()).collect::<Vec<_>>())
}

fn best(rounds: usize, mut f: impl FnMut() -> f64) -> f64 {
    (0..rounds.max(1)).map(|_| f()).fold(0.0, f64::max)
}

/// Runs `f` on `threads` threads at once, each with what it has `prepared` itself, and returns the
/// seconds from the first start to the last end.
fn together<T>(threads: usize, prepare: impl Fn() -> T + Sync, f: impl Fn(&mut T) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let run = || {
            let mut prepared = prepare();
            barrier.wait();
            let start = Instant::now();
            f(&mut prepared);
            (start, Instant::now())
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
    });
    let start = times.iter().map(|(start, _)| *start).min();
    let end = times.iter().map(|(_, end)| *end).max();
    start.zip(end).map_or(f64::NAN, |(start, end)| (end - start).as_secs_f64())
}

fn peak(threads: usize) -> f64 {
    let gauge = Gauge::new();
    let rounds = (gauge.peak() * 0.02 / fma_peak(1)) as usize + 1;
    let run = |(): &mut ()| {
        black_box(fma_peak(rounds));
    };
    fma_peak(1) * rounds as f64 * threads as f64 / together(threads, || (), run)
}

/// `a = b + 3 c` over buffers that few caches hold, which each thread writes first so that they lie in
/// its part of the memory: two reads and a write, and the read that comes before a write.
///
/// # Source
/// J. D. McCalpin, "Memory bandwidth and machine balance in current high performance computers", 1995
/// (STREAM, triad), with the write-allocate counted.
fn memory(threads: usize) -> f64 {
    let len = STREAMED / threads;
    let buffers = || -> [Vec<f32>; 3] { std::array::from_fn(|i| vec![i as f32 + 1.0; len]) };
    let seconds = together(threads, buffers, |[a, b, c]| {
        for ((a, b), c) in a.iter_mut().zip(&*b).zip(&*c) {
            *a = b + 3.0 * c;
        }
        black_box(a);
    });
    16.0 * (len * threads) as f64 / seconds
}

/// One thread writes a buffer, another then reads it, in turns; none of them sleeps between. The median
/// of the turns, since two cores may share a cache in some and not in others.
fn handed() -> f64 {
    const TURNS: usize = 20;
    let buffer = parking_lot::RwLock::new(vec![0.0_f32; HANDED]);
    let turn = AtomicUsize::new(0);
    let wait = |for_turn: usize| {
        while turn.load(Ordering::Acquire) < for_turn {
            std::thread::yield_now();
        }
    };
    let mut times = vec![];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..TURNS {
                wait(2 * i);
                buffer.write().iter_mut().for_each(|v| *v += 1.0);
                turn.store(2 * i + 1, Ordering::Release);
            }
        });
        for i in 0..TURNS {
            wait(2 * i + 1);
            let start = Instant::now();
            let mut sums = [0.0_f32; 16];
            for values in buffer.read().as_chunks::<16>().0 {
                sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
            }
            black_box(sums);
            times.push(start.elapsed().as_secs_f64());
            turn.store(2 * i + 2, Ordering::Release);
        }
    });
    (4 * HANDED) as f64 / median(&times[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_nearest_number_below() {
        let points = [(1, 10.0), (4, 30.0)];
        assert_eq!([1, 3, 4, 9].map(|n| Rates::at(&points, n)), [10.0, 10.0, 30.0, 30.0]);
        assert!(Rates::at(&[], 1).is_nan());
    }

    #[test]
    fn one_thread_and_all_cores_are_always_measured() {
        assert_eq!(with_ends(&[1], 16), [1, 16]);
        assert_eq!(with_ends(&[2, 4, 17], 16), [1, 2, 4, 16, 17]);
        assert_eq!(Rates::measure(&[1], 1).peak.last().unwrap().0, crate::machine::cores());
    }

    #[test]
    fn merged_rates_take_the_best_of_what_others_can_only_slow_down() {
        let rates = |peak, handed| Rates {
            peak: vec![(1, peak)],
            handed,
            fork_join: vec![(1, 0.0), (2, 1.0 / handed)],
            ..Rates::default()
        };
        let merged = Rates::merged([&rates(1.0, 2.0), &rates(3.0, 4.0)]);
        assert_eq!((merged.peak, merged.handed), (vec![(1, 3.0)], 3.0));
        assert_eq!(merged.fork_join[1], (2, 0.375));
    }
}
