//! What sharing a pass of a step out costs, measured with pieces of known work.

use std::time::Instant;

use unisono::bench_support::median;

use super::predict::even_pass;

/// Pieces that a half of a step is cut into for each worker.
const PIECES: usize = 8;
/// Seconds of work in a piece: enough that others come and take some.
const PIECE: f64 = 2e-6;
/// Passes in a reading.
const PASSES: usize = 200;

fn spin() {
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < PIECE {
        std::hint::spin_loop();
    }
}

/// Halves until there is one piece, as a step does.
fn split(pieces: usize, piece: &(impl Fn() + Sync)) {
    if pieces > 1 {
        rayon::join(|| split(pieces / 2, piece), || split(pieces - pieces / 2, piece));
    } else {
        piece();
    }
}

/// The median seconds of a pass of so many pieces on a pool of so many threads.
fn pass(threads: usize, pieces: usize, passes: usize, piece: impl Fn() + Sync) -> f64 {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
        return f64::NAN;
    };
    let time = || {
        let start = Instant::now();
        split(pieces, &piece);
        start.elapsed().as_secs_f64()
    };
    median(&pool.install(|| (0..passes).map(|_| time()).collect::<Vec<_>>()))
}

/// Seconds that a shared-out pass takes beyond its pieces evenly divided among the cores.
pub fn fork_join(threads: usize, cores: usize, rounds: usize) -> f64 {
    if threads == 1 {
        return 0.0;
    }
    let pieces = PIECES * threads;
    let ideal = even_pass(&vec![PIECE; pieces], threads.min(cores));
    (pass(threads, pieces, PASSES * rounds.max(1), spin) - ideal).max(0.0)
}

/// Seconds that it costs to offer a piece which nobody takes, for there is nothing in it.
pub fn join() -> f64 {
    pass(2, 2, PASSES, || ())
}
