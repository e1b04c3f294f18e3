//! A step on workers that claim pieces of work, one after the other: cores may differ, and be held up.
//! It backs the closed form of [`super::predict`], which knows neither.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::predict::{Sharing, Target, memory_seconds, predict};
use super::rates::Rates;
use super::work::{Setting, Work};

/// Steps that are simulated where chance has a part.
const STEPS: usize = 100;

/// What the workers are like.
#[derive(Debug, Clone, PartialEq)]
pub struct Workers {
    /// Speeds relative to a core of the machine.
    pub speeds: Vec<f64>,
    /// By what share a piece may take longer, at most, at random.
    pub jitter: f64,
}

impl Workers {
    /// All the same and never held up.
    pub fn even(cores: usize) -> Self {
        Self { speeds: vec![1.0; cores], jitter: 0.0 }
    }

    /// All the same, each piece up to a tenth longer.
    pub fn jittery(cores: usize) -> Self {
        Self { jitter: 0.1, ..Self::even(cores) }
    }

    /// Every other of them at half speed, as laptops have them.
    pub fn uneven(cores: usize) -> Self {
        let speed = |core| if core % 2 == 0 { 1.0 } else { 0.5 };
        Self { speeds: (0..cores).map(speed).collect(), jitter: 0.0 }
    }
}

/// When the last worker is done, each taking the next piece as soon as it is free.
fn pass(pieces: &[f64], workers: &Workers, random: &mut ChaCha8Rng) -> f64 {
    let mut free = vec![0.0_f64; workers.speeds.len()];
    for piece in pieces {
        let soonest = (0..free.len()).min_by(|&a, &b| free[a].total_cmp(&free[b]));
        let Some(worker) = soonest else { return f64::NAN };
        let share = f64::from(random.next_u32() >> 8) / f64::from(1 << 24);
        free[worker] += piece / workers.speeds[worker] * (1.0 + workers.jitter * share);
    }
    free.into_iter().fold(0.0, f64::max)
}

/// The mean seconds of steps on such workers of a machine, one for each thread that has a core. What is
/// serial, and what is handed over, costs what the closed form says.
pub fn step(
    work: &Work,
    rates: &Rates,
    target: &Target,
    setting: Setting,
    workers: &Workers,
) -> f64 {
    let closed = predict(work, rates, target, setting);
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let steps = if workers.jitter > 0.0 { STEPS } else { 1 };
    let passes = work.passes(setting);
    let memory = memory_seconds(work, target, setting);
    let one = Workers { speeds: vec![1.0], ..workers.clone() };
    let mut total = 0.0;
    for _ in 0..steps {
        let mut worked = 0.0;
        for pieces in &passes {
            let cost = Sharing::of(rates, target, setting.threads, pieces.len());
            let together = pass(pieces, workers, &mut random) / target.speed;
            let by_one = pass(pieces, &one, &mut random) / target.speed;
            let shares_out = together + cost.fork_join <= by_one + cost.offers;
            let (pieces, sharing) =
                if shares_out { (together, cost.fork_join) } else { (by_one, cost.offers) };
            worked += pieces;
            total += pieces + sharing;
        }
        total += (memory - worked).max(0.0);
    }
    closed.serial + closed.handed + total / steps as f64
}

#[cfg(test)]
mod tests {
    use unisono::bench_support::SCALING;

    use super::super::predict::MOST;
    use super::super::predict::testing::{rates, target};
    use super::super::work::testing::{of, work};
    use super::*;

    fn makespan(pieces: &[f64], speeds: &[f64]) -> f64 {
        let workers = Workers { speeds: speeds.to_vec(), jitter: 0.0 };
        pass(pieces, &workers, &mut ChaCha8Rng::seed_from_u64(1))
    }

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

    /// The closed form knows rounds of pieces, the simulation every piece: they have to agree on every
    /// workload, as the trainer cuts it, and every number of threads.
    #[test]
    fn the_simulation_backs_the_closed_form() {
        let rates = Rates { join: 1e-7, ..rates(20e9, 3e-6) };
        for (workload, seconds) in SCALING.into_iter().zip([1e-6, 3e-4, 4e-3, 0.15]) {
            let work = of(&workload, seconds);
            for threads in 1..=MOST {
                let setting = work.strong(threads);
                let closed = predict(&work, &rates, &target(MOST), setting).seconds();
                let workers = Workers::even(threads);
                let simulated = step(&work, &rates, &target(MOST), setting, &workers);
                let error = closed / simulated - 1.0;
                assert!(error.abs() < 0.12, "{} on {threads}: {error}", workload.name);
            }
        }
    }

    #[test]
    fn jitter_costs_between_nothing_and_all_of_it() {
        let (work, rates) = (work(), rates(f64::INFINITY, 0.0));
        let time = |workers: Workers| step(&work, &rates, &target(8), work.strong(4), &workers);
        let (even, jittery) = (time(Workers::even(4)), time(Workers::jittery(4)));
        assert!(jittery > even * 1.03 && jittery < even * 1.1, "{jittery} for {even}");
    }

    #[test]
    fn uneven_cores_come_within_a_slow_piece_of_their_sum() {
        assert_eq!(Workers::uneven(3).speeds, [1.0, 0.5, 1.0]);
        let (work, rates) = (work(), rates(f64::INFINITY, 0.0));
        let found = step(&work, &rates, &target(8), work.strong(4), &Workers::uneven(4));
        // A slow core is held up by one block of 32 rows and one piece over parameters, at most.
        let (ideal, slow) = (5e-3 / 3.0, (3e-3 / 8.0 + 2e-3 / 32.0) / 0.5);
        assert!(found >= ideal && found <= ideal + slow, "{found} for {ideal}");
    }

    #[test]
    fn longer_work_hides_more_of_the_memorys_time() {
        let (work, rates) = (work(), rates(f64::INFINITY, 0.0));
        let setting = work.strong(4);
        let bytes = work.traffic.memory_bytes(setting.batch, 0);
        let slow = Target { cache: 0, memory: [bytes / 4e-3; 2], ..target(4) };
        // Work of 5 ms on even cores takes 1.25 ms, and on uneven ones more; memory takes 4 ms.
        for workers in [Workers::even(4), Workers::uneven(4), Workers::jittery(4)] {
            let found = step(&work, &rates, &slow, setting, &workers);
            assert!((found - 4e-3).abs() < 1e-12, "{workers:?}: {found}");
        }
    }
}
