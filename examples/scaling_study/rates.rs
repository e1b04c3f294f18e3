//! The machine's own rates, measured on the spot: arithmetic, memory, what goes from core to core, and
//! sharing work out.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use unisono::bench_support::{Gauge, fma_peak, median};

/// Values of a buffer that no cache holds: 64 MB.
const STREAMED: usize = 16 << 20;
/// Values of a buffer that goes from core to core: 512 KB, about what a worker's second cache keeps.
const HANDED: usize = 128 << 10;

/// What the machine can do.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Threads, and fused multiply-adds of all of them together, in floating-point operations per
    /// second.
    pub peak: Vec<(usize, f64)>,
    /// Threads, and bytes per second that all of them together read and write in memory.
    pub memory: Vec<(usize, f64)>,
    /// Bytes per second at which a core reads what another has just written; infinite on one core.
    pub handed: f64,
    /// Threads, and seconds that sharing out as many pieces as a pass of a step has takes, beyond the
    /// work in them evenly divided.
    pub fork_join: Vec<(usize, f64)>,
}

impl Rates {
    /// Measures on each number of threads, all of them at most the cores.
    pub fn measure(threads: &[usize], rounds: usize) -> Self {
        let cores = super::machine::cores();
        let within = || threads.iter().copied().filter(|&n| n <= cores);
        Self {
            peak: within().map(|n| (n, best(rounds, || peak(n)))).collect(),
            memory: within().map(|n| (n, best(rounds, || memory(n)))).collect(),
            handed: if cores > 1 { middle(rounds, handed) } else { f64::INFINITY },
            fork_join: within().map(|n| (n, fork_join(n, rounds))).collect(),
        }
    }

    /// The rate for a number of threads that was measured, or the nearest below.
    pub fn at(points: &[(usize, f64)], threads: usize) -> f64 {
        let below = points.iter().rev().find(|(n, _)| *n <= threads);
        below.or(points.first()).map_or(f64::NAN, |(_, rate)| *rate)
    }
}

fn middle(rounds: usize, mut f: impl FnMut() -> f64) -> f64 {
    median(&(0..rounds.max(1)).map(|_| f()).collect::<Vec<_>>())
}

fn best(rounds: usize, mut f: impl FnMut() -> f64) -> f64 {
    (0..rounds.max(1)).map(|_| f()).fold(0.0, f64::max)
}

/// Runs `f` on `threads` threads at once and returns the seconds from the first start to the last end.
fn together(threads: usize, f: impl Fn(usize) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let (barrier, f) = (&barrier, &f);
            scope.spawn(move || {
                barrier.wait();
                let start = Instant::now();
                f(thread);
                (start, Instant::now())
            })
        };
        let handles: Vec<_> = (0..threads).map(run).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
    });
    let start = times.iter().map(|(start, _)| *start).min();
    let end = times.iter().map(|(_, end)| *end).max();
    start.zip(end).map_or(f64::NAN, |(start, end)| (end - start).as_secs_f64())
}

fn peak(threads: usize) -> f64 {
    let gauge = Gauge::new();
    let rounds = (gauge.peak() * 0.02 / fma_peak(1)) as usize + 1;
    let seconds = together(threads, |_| {
        black_box(fma_peak(rounds));
    });
    fma_peak(1) * rounds as f64 * threads as f64 / seconds
}

/// `a = b + 3 c` over buffers that no cache holds: two reads and a write, and the read that comes before
/// a write.
///
/// # Source
/// J. D. McCalpin, "Memory bandwidth and machine balance in current high performance computers", 1995
/// (STREAM, triad), with the write-allocate counted.
fn memory(threads: usize) -> f64 {
    let len = STREAMED / threads;
    let mut parts: Vec<[Vec<f32>; 3]> =
        (0..threads).map(|_| std::array::from_fn(|i| vec![i as f32; len])).collect();
    let parts: Vec<_> = parts.iter_mut().map(parking_lot::Mutex::new).collect();
    let seconds = together(threads, |thread| {
        let mut part = parts[thread].lock();
        let [a, b, c] = &mut **part;
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

/// Pieces that a half of a step is cut into for each worker.
const PIECES: usize = 8;
/// Seconds of work in a piece: enough that others come and take some.
const PIECE: f64 = 1e-6;

fn spin() {
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < PIECE {
        std::hint::spin_loop();
    }
}

/// What a shared-out half takes beyond its work evenly divided.
fn fork_join(threads: usize, rounds: usize) -> f64 {
    if threads == 1 {
        return 0.0;
    }
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else { return 0.0 };
    fn split(pieces: usize) {
        if pieces > 1 {
            rayon::join(|| split(pieces / 2), || split(pieces - pieces / 2));
        } else {
            spin();
        }
    }
    let times: Vec<f64> = pool.install(|| {
        (0..200 * rounds.max(1))
            .map(|_| {
                let start = Instant::now();
                split(PIECES * threads);
                start.elapsed().as_secs_f64() - PIECES as f64 * PIECE
            })
            .collect()
    });
    median(&times).max(0.0)
}
