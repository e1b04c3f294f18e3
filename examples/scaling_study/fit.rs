//! Laws of scaling, fitted to measured speed-ups.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use unisono::bench_support::median;

/// Resamplings behind a confidence interval.
const RESAMPLES: usize = 1000;

/// Seconds of a step by number of threads, in rounds: `rounds[r][i]` is for `threads[i]`.
#[derive(Debug, Clone)]
pub struct Timings {
    pub threads: Vec<usize>,
    pub rounds: Vec<Vec<f64>>,
}

impl Timings {
    /// The median of each number of threads.
    pub fn medians(&self) -> Vec<f64> {
        let column = |i: usize| self.rounds.iter().map(|round| round[i]).collect::<Vec<_>>();
        (0..self.threads.len()).map(|i| median(&column(i))).collect()
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

    fn resampled(&self, random: &mut ChaCha8Rng) -> Self {
        let count = self.rounds.len() as u64;
        let rounds = (0..count).map(|_| self.rounds[(random.next_u64() % count) as usize].clone());
        Self { threads: self.threads.clone(), rounds: rounds.collect() }
    }
}

/// A fitted number and the ends of its interval of 95%.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Amdahl's law: the time of a part `serial` of the work stays, the rest is divided by the threads.
///
/// # Source
/// G. M. Amdahl, "Validity of the single processor approach to achieving large scale computing
/// capabilities", 1967.
pub fn amdahl(serial: f64, threads: f64) -> f64 {
    1.0 / (serial + (1.0 - serial) / threads)
}

/// The Universal Scalability Law: `contention` queues for what is shared, `coherence` is the cost of
/// each pair of threads keeping in step.
///
/// # Source
/// N. J. Gunther, "Guerrilla Capacity Planning", 2007, equation 4.31; first in "A simple capacity model
/// of massively parallel transaction systems", 1993.
pub fn usl(contention: f64, coherence: f64, threads: f64) -> f64 {
    threads / (1.0 + contention * (threads - 1.0) + coherence * threads * (threads - 1.0))
}

/// Both laws fitted to one workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fits {
    /// Amdahl's serial part.
    pub serial: Estimate,
    /// The USL's two coefficients.
    pub contention: Estimate,
    pub coherence: Estimate,
    /// Numbers of threads beyond one that the fits rest on; with fewer than two the coherence cannot
    /// be told from the contention, and is taken as 0.
    pub points: usize,
}

/// Fits both laws to medians by least squares, with intervals from resampled rounds. None without a
/// number of threads beyond one.
pub fn fit(timings: &Timings) -> Option<Fits> {
    let points = timings.threads.iter().filter(|&&n| n > 1).count();
    if points == 0 || timings.threads.first() != Some(&1) {
        return None;
    }
    let [serial, contention, coherence] = coefficients(&timings.speed_ups());
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let resampled: Vec<[f64; 3]> =
        (0..RESAMPLES).map(|_| coefficients(&timings.resampled(&mut random).speed_ups())).collect();
    let estimate = |value: f64, which: usize| {
        let mut values: Vec<f64> = resampled.iter().map(|all| all[which]).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        Estimate { value, low: at(0.025).min(value), high: at(0.975).max(value) }
    };
    Some(Fits {
        serial: estimate(serial, 0),
        contention: estimate(contention, 1),
        coherence: estimate(coherence, 2),
        points,
    })
}

/// Serial part, contention and coherence that fit best.
fn coefficients(speed_ups: &[(usize, f64)]) -> [f64; 3] {
    let beyond: Vec<(f64, f64)> =
        speed_ups.iter().filter(|(n, _)| *n > 1).map(|&(n, s)| (n as f64, s)).collect();
    // 1/S = s + (1 - s)/n, so 1/S - 1/n = s (1 - 1/n).
    let (mut top, mut bottom) = (0.0, 0.0);
    for &(n, s) in &beyond {
        let a = 1.0 - 1.0 / n;
        top += a * (1.0 / s - 1.0 / n);
        bottom += a * a;
    }
    let serial = (top / bottom).clamp(0.0, 1.0);
    let (contention, coherence) = usl_coefficients(&beyond);
    [serial, contention, coherence]
}

/// n/S - 1 = contention (n - 1) + coherence n (n - 1), each divided by n, none negative.
fn usl_coefficients(beyond: &[(f64, f64)]) -> (f64, f64) {
    let rows: Vec<[f64; 3]> =
        beyond.iter().map(|&(n, s)| [(n - 1.0) / n, n - 1.0, (n / s - 1.0) / n]).collect();
    let sum = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let (aa, ab, bb, ay, by) = (sum(0, 0), sum(0, 1), sum(1, 1), sum(0, 2), sum(1, 2));
    let alone = (ay / aa).max(0.0);
    if rows.len() < 2 {
        return (alone, 0.0);
    }
    let determinant = aa * bb - ab * ab;
    let both = ((ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant);
    match both {
        (a, b) if a >= 0.0 && b >= 0.0 => both,
        (a, _) if a < 0.0 => (0.0, (by / bb).max(0.0)),
        _ => (alone, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings(threads: &[usize], noise: f64, speed_up: impl Fn(f64) -> f64) -> Timings {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut factor =
            || 1.0 + noise * ((random.next_u32() >> 8) as f64 / (1 << 23) as f64 - 1.0);
        let round = |_| threads.iter().map(|&n| factor() / speed_up(n as f64)).collect();
        Timings { threads: threads.to_vec(), rounds: (0..15).map(round).collect() }
    }

    #[test]
    fn a_curve_of_amdahls_gives_its_serial_part() {
        for serial in [0.0, 0.03, 0.4, 1.0] {
            let timings = timings(&[1, 2, 4, 8, 16], 0.0, |n| amdahl(serial, n));
            let fits = fit(&timings).unwrap();
            assert!((fits.serial.value - serial).abs() < 1e-12, "{:?}", fits.serial);
            assert_eq!(fits.points, 4);
        }
    }

    #[test]
    fn a_curve_of_the_usl_gives_its_coefficients() {
        for (contention, coherence) in [(0.0, 0.0), (0.05, 0.0), (0.0, 0.002), (0.03, 0.0005)] {
            let timings = timings(&[1, 2, 3, 4, 8, 32], 0.0, |n| usl(contention, coherence, n));
            let fits = fit(&timings).unwrap();
            assert!((fits.contention.value - contention).abs() < 1e-12, "{fits:?}");
            assert!((fits.coherence.value - coherence).abs() < 1e-12, "{fits:?}");
        }
    }

    #[test]
    fn intervals_hold_the_truth_and_narrow_with_the_noise() {
        let width = |noise: f64| {
            let fits = fit(&timings(&[1, 2, 4, 8], noise, |n| amdahl(0.1, n))).unwrap();
            let Estimate { low, high, .. } = fits.serial;
            assert!(low <= 0.1 && 0.1 <= high, "{noise}: {:?}", fits.serial);
            high - low
        };
        assert!(width(0.1) > 3.0 * width(0.01));
    }

    #[test]
    fn one_point_beyond_one_thread_leaves_the_coherence_open() {
        let fits = fit(&timings(&[1, 2], 0.0, |n| amdahl(0.2, n))).unwrap();
        assert_eq!((fits.points, fits.coherence.value), (1, 0.0));
        assert!((usl(fits.contention.value, 0.0, 2.0) - amdahl(0.2, 2.0)).abs() < 1e-12);
        assert!(fit(&timings(&[1], 0.0, |n| n)).is_none());
    }

    #[test]
    fn threads_that_hurt_stay_within_the_laws() {
        let fits = fit(&timings(&[1, 2, 4], 0.0, |n| 1.0 / n)).unwrap();
        assert_eq!(fits.serial.value, 1.0);
        assert!(fits.contention.value >= 0.0 && fits.coherence.value >= 0.0);
    }
}
