//! Seconds of steps by number of threads, in rounds.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::Rng;
use unisono::bench_support::median;

/// Seconds of a step by number of threads, in rounds: `rounds[r][i]` is for `threads[i]`.
#[derive(Debug, Clone)]
pub struct Timings {
    pub threads: Vec<usize>,
    pub rounds: Vec<Vec<f64>>,
}

impl Timings {
    /// The readings of number `i`, by round.
    pub fn column(&self, i: usize) -> Vec<f64> {
        self.rounds.iter().map(|round| round[i]).collect()
    }

    /// The median of each number of threads.
    pub fn medians(&self) -> Vec<f64> {
        (0..self.threads.len()).map(|i| median(&self.column(i))).collect()
    }

    /// Threads and speed-ups over one thread, which is the first.
    pub fn speed_ups(&self) -> Vec<(usize, f64)> {
        let medians = self.medians();
        self.threads.iter().zip(&medians).map(|(&n, time)| (n, medians[0] / time)).collect()
    }

    /// The same numbers of threads up to `most`.
    pub fn up_to(&self, most: usize) -> Self {
        let keep: Vec<usize> =
            (0..self.threads.len()).filter(|&i| self.threads[i] <= most).collect();
        let take = |round: &Vec<f64>| keep.iter().map(|&i| round[i]).collect();
        Self {
            threads: keep.iter().map(|&i| self.threads[i]).collect(),
            rounds: self.rounds.iter().map(take).collect(),
        }
    }

    /// As many rounds, drawn with replacement. Each stays whole, for what disturbs one number of
    /// threads disturbs its neighbours too.
    pub fn resampled(&self, random: &mut ChaCha8Rng) -> Self {
        let count = self.rounds.len() as u64;
        let rounds = (0..count).map(|_| self.rounds[(random.next_u64() % count) as usize].clone());
        Self { threads: self.threads.clone(), rounds: rounds.collect() }
    }
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::SeedableRng;

    use super::*;

    fn timings() -> Timings {
        Timings { threads: vec![1, 2, 3], rounds: vec![vec![4.0, 2.0, 3.0], vec![6.0, 3.0, 2.0]] }
    }

    #[test]
    fn speed_ups_are_those_of_the_medians() {
        assert_eq!(timings().medians(), [5.0, 2.5, 2.5]);
        assert_eq!(timings().speed_ups(), [(1, 1.0), (2, 2.0), (3, 2.0)]);
        let two = timings().up_to(2);
        assert_eq!((two.threads.len(), two.column(1)), (2, vec![2.0, 3.0]));
    }

    #[test]
    fn resampling_draws_whole_rounds() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<_> = (0..20).flat_map(|_| timings().resampled(&mut random).rounds).collect();
        assert!(drawn.iter().all(|round| timings().rounds.contains(round)));
        assert!(timings().rounds.iter().all(|round| drawn.contains(round)));
    }
}
