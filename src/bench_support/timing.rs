//! Timing that a neighbour on the machine disturbs little: short runs in turns with what they are
//! compared with.

use std::time::Instant;

use super::fma_peak;

/// Whether `cargo bench -- --test` only wants to see that a bench runs.
pub fn testing() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// The middle of some values; not a number if there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Takes the arithmetic peak of one core again and again, in operations per second.
#[derive(Debug)]
pub struct Gauge {
    rounds: usize,
}

impl Gauge {
    /// Chooses how long one reading takes: about a millisecond, next to nothing in test mode.
    pub fn new() -> Self {
        let mut gauge = Self { rounds: 1_000 };
        if !testing() {
            while gauge.seconds().0 < 1e-3 {
                gauge.rounds *= 2;
            }
        }
        gauge
    }

    /// Takes one reading.
    pub fn peak(&self) -> f64 {
        let (seconds, flops) = self.seconds();
        flops / seconds
    }

    fn seconds(&self) -> (f64, f64) {
        let start = Instant::now();
        let flops = fma_peak(self.rounds);
        (start.elapsed().as_secs_f64(), flops)
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `f`, which does `flops` operations, in turns with the peak: the median and the best of the
/// shares. The first call after a reading of the peak finds what others left of its data in the caches, so
/// many calls follow it.
pub fn share_of_peak(gauge: &Gauge, flops: f64, mut f: impl FnMut()) -> (f64, f64) {
    let (turns, least) = if testing() { (1, 0.0) } else { (60, 8e-3) };
    let mut calls = 1;
    let mut run = |calls: usize| {
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        start.elapsed().as_secs_f64()
    };
    while run(calls) < least {
        calls *= 2;
    }
    let mut shares: Vec<f64> = Vec::with_capacity(turns);
    let mut before = gauge.peak();
    for _ in 0..turns {
        let rate = flops * calls as f64 / run(calls);
        let after = gauge.peak();
        // The slower the core was meanwhile, the lower both: take the better neighbour.
        shares.push(rate / before.max(after));
        before = after;
    }
    let best = shares.iter().copied().fold(0.0, f64::max);
    (median(&shares), best)
}
