//! Laws of scaling, fitted to measured speed-ups.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;

use super::timings::Timings;

/// Resamplings behind a confidence interval.
const RESAMPLES: usize = 1000;

/// A fitted number and the ends of its interval of 95%, which with few rounds tells no more than about their range.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Fits {
    /// Amdahl's serial part as the points have it, even where it is no part: above 1 the threads made
    /// the step slower, below 0 it gained more than there are threads.
    pub serial: Estimate,
    /// The USL's two coefficients, neither below 0.
    pub contention: Estimate,
    /// None with fewer than two numbers of threads beyond one: then it cannot be told from the
    /// contention, and is taken as 0.
    pub coherence: Option<Estimate>,
    /// The numbers of threads that the fits rest on, 1 among them.
    pub threads: Vec<usize>,
    /// The rounds of readings that the intervals rest on.
    pub rounds: usize,
    /// The largest deviation of Amdahl's law and of the USL from a measured speed-up, as a share of
    /// it; none where there are no more points than coefficients and none of these is kept at a bound,
    /// so that a law meets them all.
    pub misfit: [Option<f64>; 2],
}

impl Fits {
    /// Amdahl's law as fitted, its serial part kept between 0 and 1.
    pub fn amdahl(&self, threads: f64) -> f64 {
        amdahl(self.serial.value.clamp(0.0, 1.0), threads)
    }

    /// The USL as fitted.
    pub fn usl(&self, threads: f64) -> f64 {
        usl(self.contention.value, self.coherence.map_or(0.0, |it| it.value), threads)
    }
}

/// Fits both laws to medians by least squares, with percentile intervals from resampled rounds. None
/// without a number of threads beyond one.
///
/// # Source
/// B. Efron, "Bootstrap methods: another look at the jackknife", 1979, for the intervals.
pub fn fit(timings: &Timings) -> Option<Fits> {
    let points = timings.threads.iter().filter(|&&n| n > 1).count();
    if points == 0 || timings.threads.first() != Some(&1) {
        return None;
    }
    let speed_ups = timings.speed_ups();
    let best = coefficients(&speed_ups);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let resampled: Vec<[f64; 3]> =
        (0..RESAMPLES).map(|_| coefficients(&timings.resampled(&mut random).speed_ups())).collect();
    let estimate = |which: usize| {
        let value = best[which];
        let mut values: Vec<f64> = resampled.iter().map(|all| all[which]).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        Estimate { value, low: at(0.025).min(value), high: at(0.975).max(value) }
    };
    let mut fits = Fits {
        serial: estimate(0),
        contention: estimate(1),
        coherence: (points > 1).then(|| estimate(2)),
        threads: timings.threads.clone(),
        rounds: timings.rounds.len(),
        misfit: [None; 2],
    };
    let deviation = |law: &dyn Fn(f64) -> f64| {
        speed_ups.iter().map(|&(n, s)| (law(n as f64) / s - 1.0).abs()).fold(0.0, f64::max)
    };
    // A coefficient that had to be kept within its bounds meets no point, however few there are.
    let bound = !(0.0..=1.0).contains(&fits.serial.value);
    let usl_bound =
        fits.contention.value == 0.0 || fits.coherence.is_some_and(|it| it.value == 0.0);
    fits.misfit = [
        (points > 1 || bound).then(|| deviation(&|n| fits.amdahl(n))),
        (points > 2 || usl_bound).then(|| deviation(&|n| fits.usl(n))),
    ];
    Some(fits)
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
    let (contention, coherence) = usl_coefficients(&beyond);
    [top / bottom, contention, coherence]
}

/// The least squares of 1/S - 1/n = contention (n - 1)/n + coherence (n - 1), neither below 0: the
/// solution without bounds if it keeps them, else the better of those on the bounds.
fn usl_coefficients(beyond: &[(f64, f64)]) -> (f64, f64) {
    let rows: Vec<[f64; 3]> =
        beyond.iter().map(|&(n, s)| [(n - 1.0) / n, n - 1.0, 1.0 / s - 1.0 / n]).collect();
    let sum = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let (aa, ab, bb, ay, by) = (sum(0, 0), sum(0, 1), sum(1, 1), sum(0, 2), sum(1, 2));
    let contention_alone = ((ay / aa).max(0.0), 0.0);
    if rows.len() < 2 {
        return contention_alone;
    }
    let determinant = aa * bb - ab * ab;
    let both = ((ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant);
    if both.0 >= 0.0 && both.1 >= 0.0 {
        return both;
    }
    let coherence_alone = (0.0, (by / bb).max(0.0));
    let squares = |(a, b): (f64, f64)| -> f64 {
        rows.iter().map(|row| (row[2] - a * row[0] - b * row[1]).powi(2)).sum()
    };
    if squares(coherence_alone) < squares(contention_alone) {
        coherence_alone
    } else {
        contention_alone
    }
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::Rng;

    use super::*;

    /// Times of a law, each up to `noise` longer or shorter.
    fn timings(threads: &[usize], noise: f64, seed: u64, speed_up: impl Fn(f64) -> f64) -> Timings {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut factor =
            || 1.0 + noise * ((random.next_u32() >> 8) as f64 / (1 << 23) as f64 - 1.0);
        let round = |_| threads.iter().map(|&n| factor() / speed_up(n as f64)).collect();
        Timings { threads: threads.to_vec(), rounds: (0..21).map(round).collect() }
    }

    #[test]
    fn a_curve_of_amdahls_gives_its_serial_part() {
        for serial in [0.0, 0.03, 0.4, 1.0] {
            let fits = fit(&timings(&[1, 2, 4, 8, 16], 0.0, 1, |n| amdahl(serial, n))).unwrap();
            assert!((fits.serial.value - serial).abs() < 1e-12, "{:?}", fits.serial);
            assert_eq!((fits.threads.len(), fits.rounds), (5, 21));
            assert!(fits.misfit[0].unwrap() < 1e-9, "{:?}", fits.misfit);
        }
    }

    #[test]
    fn a_curve_of_the_usl_gives_its_coefficients() {
        for (contention, coherence) in [(0.0, 0.0), (0.05, 0.0), (0.0, 0.002), (0.03, 0.0005)] {
            let law = |n| usl(contention, coherence, n);
            let fits = fit(&timings(&[1, 2, 3, 4, 8, 32], 0.0, 1, law)).unwrap();
            assert!((fits.contention.value - contention).abs() < 1e-12, "{fits:?}");
            assert!((fits.coherence.unwrap().value - coherence).abs() < 1e-12, "{fits:?}");
            assert!(fits.misfit[1].unwrap() < 1e-9, "{:?}", fits.misfit);
        }
    }

    /// Studies of noisy readings, again and again: an interval of 95% holds the truth in most.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let studies = 60;
        let held = |seed: &u64| {
            let fits = fit(&timings(&[1, 2, 4, 8], 0.1, *seed, |n| amdahl(0.1, n))).unwrap();
            fits.serial.low <= 0.1 && 0.1 <= fits.serial.high
        };
        let count = (0..studies).filter(held).count();
        // Of 60 studies 57 should; fewer than 50 has a chance of one in a thousand at 93%.
        assert!(count >= 50, "{count} of {studies}");
    }

    #[test]
    fn intervals_narrow_with_the_noise() {
        let width = |noise: f64| {
            let fits = fit(&timings(&[1, 2, 4, 8], noise, 7, |n| usl(0.1, 0.002, n))).unwrap();
            [fits.serial, fits.contention, fits.coherence.unwrap()].map(|it| it.high - it.low)
        };
        let (loud, quiet) = (width(0.1), width(0.01));
        assert!(loud.iter().zip(quiet).all(|(loud, quiet)| *loud > 3.0 * quiet && quiet > 0.0));
    }

    #[test]
    fn one_point_beyond_one_thread_leaves_the_coherence_and_the_misfit_open() {
        let fits = fit(&timings(&[1, 2], 0.0, 1, |n| amdahl(0.2, n))).unwrap();
        assert_eq!((fits.coherence, fits.misfit), (None, [None, None]));
        assert!((fits.usl(2.0) - amdahl(0.2, 2.0)).abs() < 1e-12);
        assert!(fit(&timings(&[1], 0.0, 1, |n| n)).is_none());
    }

    #[test]
    fn threads_that_hurt_are_told_and_not_hidden_by_a_bound() {
        // Two threads take five times as long: the serial "part" would have to be 9.
        let fits = fit(&timings(&[1, 2], 0.0, 1, |n| if n > 1.0 { 0.2 } else { 1.0 })).unwrap();
        assert!((fits.serial.value - 9.0).abs() < 1e-9, "{:?}", fits.serial);
        assert_eq!(fits.amdahl(2.0), 1.0);
        assert!((fits.misfit[0].unwrap() - 4.0).abs() < 1e-9, "{:?}", fits.misfit);
    }

    #[test]
    fn a_coefficient_at_its_bound_does_not_hide_the_misfit() {
        // Two threads are 2.2 times as fast: the contention would have to be negative.
        let fits = fit(&timings(&[1, 2], 0.0, 1, |n| if n > 1.0 { 2.2 } else { 1.0 })).unwrap();
        assert_eq!(fits.contention.value, 0.0);
        assert!((fits.misfit[1].unwrap() - (1.0 - 2.0 / 2.2)).abs() < 1e-9, "{:?}", fits.misfit);
        // Four threads gain more than two let hope: so would the coherence.
        let speed_up = |n: f64| [1.0, 1.2, 0.0, 3.0][n as usize - 1];
        let fits = fit(&timings(&[1, 2, 4], 0.0, 1, speed_up)).unwrap();
        assert_eq!(fits.coherence.unwrap().value, 0.0);
        assert!(fits.misfit[1].unwrap() > 0.05, "{:?}", fits.misfit);
        assert_eq!(
            fit(&timings(&[1, 2, 4], 0.0, 1, |n| usl(0.1, 0.01, n))).unwrap().misfit[1],
            None
        );
    }

    #[test]
    fn bounded_coefficients_fit_best_among_those_within_the_bounds() {
        // More than n times as fast at first, then worse: without bounds the contention is negative.
        let points = [(2.0, 2.3), (4.0, 4.4), (8.0, 6.0)];
        let (a, b) = usl_coefficients(&points);
        let squares = |a: f64, b: f64| -> f64 {
            let error = |&(n, s): &(f64, f64)| 1.0 / usl(a, b, n) - 1.0 / s;
            points.iter().map(|point| error(point).powi(2)).sum()
        };
        assert_eq!(a, 0.0);
        for (da, db) in [(0.001, 0.0), (0.0, 0.0005), (0.0, -0.0005), (0.001, -0.0005)] {
            assert!(squares(a, b) <= squares(a + da, (b + db).max(0.0)) + 1e-15, "{a} {b}");
        }
    }
}
