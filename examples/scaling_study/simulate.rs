//! A step on workers that claim pieces of work, one after the other: cores may differ, and be held up.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Steps that are simulated.
const STEPS: usize = 200;

/// When the last of some workers is done, each taking the next piece as soon as it is free. `speeds` are
/// relative to the core on which the pieces' seconds were measured.
pub fn makespan(pieces: &[f64], speeds: &[f64]) -> f64 {
    delayed(pieces, speeds, || 1.0)
}

fn delayed(pieces: &[f64], speeds: &[f64], mut factor: impl FnMut() -> f64) -> f64 {
    let mut free = vec![0.0_f64; speeds.len()];
    for piece in pieces {
        let soonest = (0..free.len()).min_by(|&a, &b| free[a].total_cmp(&free[b]));
        let Some(worker) = soonest else { return f64::NAN };
        free[worker] += piece / speeds[worker] * factor();
    }
    free.into_iter().fold(0.0, f64::max)
}

/// The mean of steps of two halves whose pieces each take up to `jitter` longer, at random.
pub fn jittered(halves: [&[f64]; 2], speeds: &[f64], jitter: f64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut factor = || 1.0 + jitter * (random.next_u32() >> 8) as f64 / (1 << 24) as f64;
    let total: f64 =
        (0..STEPS).flat_map(|_| halves.map(|half| delayed(half, speeds, &mut factor))).sum();
    total / STEPS as f64
}

/// So many cores, every other of them at half speed, as laptops have them.
pub fn uneven(cores: usize) -> Vec<f64> {
    (0..cores).map(|core| if core % 2 == 0 { 1.0 } else { 0.5 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_workers_share_even_pieces() {
        assert_eq!(makespan(&[1.0; 8], &[1.0; 4]), 2.0);
        assert_eq!(makespan(&[1.0; 9], &[1.0; 4]), 3.0);
        assert_eq!(makespan(&[1.0; 2], &[1.0; 64]), 1.0);
    }

    #[test]
    fn a_slow_worker_delays_by_one_of_its_pieces_at_most() {
        let pieces = [1.0; 32];
        let speeds = [1.0, 1.0, 1.0, 0.25];
        let ideal = pieces.iter().sum::<f64>() / speeds.iter().sum::<f64>();
        let found = makespan(&pieces, &speeds);
        assert!(found >= ideal && found <= ideal + 1.0 / 0.25, "{found} for {ideal}");
    }

    #[test]
    fn jitter_costs_between_nothing_and_all_of_it() {
        let pieces = [1.0; 16];
        let none = jittered([&pieces, &[]], &[1.0; 4], 0.0);
        assert_eq!(none, 4.0);
        let some = jittered([&pieces, &[]], &[1.0; 4], 0.2);
        assert!(some > none * 1.1 && some < none * 1.2, "{some}");
        assert_eq!(uneven(3), [1.0, 0.5, 1.0]);
    }
}
