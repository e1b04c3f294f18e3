//! Whether steps are made faster by all workers or by one of them alone: measured, for it depends on how long cores
//! take to hand over to each other, which differs between machines and from one second to the next.

use std::ops::Range;

/// Floating-point operations of a step for which it is measured: smaller ones are made alone, larger ones together.
pub(in crate::train) const IN_DOUBT: Range<usize> = 1_000_000..50_000_000;

/// Seconds after a change that do not count: the others wake up, and lines of memory move.
const WARMING: f64 = 200e-6;

/// Steps of a reading, at least.
const STEPS: usize = 3;

/// Readings of a comparison, in turns.
const READINGS: usize = 4;

/// Seconds from one comparison to the next, and how many times as long as the comparison they are at least. The first
/// ones follow sooner, four times, eight times … as long as they take: for some milliseconds after a worker has woken up it
/// may stand on the core of another.
const KEPT: f64 = 0.5;
const TIMES: f64 = 50.0;

/// What working together has to gain, for it takes the others' cores.
const GAIN: f64 = 0.97;

/// Compares both ways, keeps to the better one and compares again after a while.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trial {
    /// Whether the next steps are to be made by all workers.
    pub together: bool,
    /// Seconds since that has changed, up to where steps count.
    warm: f64,
    /// Seconds of a reading, at least, and what the one that is being taken has so far.
    reading: f64,
    steps: usize,
    seconds: f64,
    /// Steps to be timed as one while it is taken.
    at_once: usize,
    /// Readings to be taken until the comparison ends; none between two.
    left: usize,
    /// The shortest step of this comparison, alone and together.
    shortest: [f64; 2],
    /// Seconds that the comparison has taken, and those since it.
    taken: f64,
    since: f64,
    /// Comparisons that were made before.
    before: i32,
}

impl Trial {
    /// Seconds of a reading where workers share each step, and where a team makes them: it copies the parameters to its
    /// members and back for each run of steps.
    pub const OF_POOL: f64 = 200e-6;
    pub const OF_TEAM: f64 = 1e-3;

    /// Begins with a comparison, of the way that is the likelier one first.
    pub fn new(together: bool, reading: f64) -> Self {
        Self {
            together,
            reading,
            at_once: 1,
            warm: 0.0,
            steps: 0,
            seconds: 0.0,
            left: READINGS,
            shortest: [f64::INFINITY; 2],
            taken: 0.0,
            since: 0.0,
            before: 0,
        }
    }

    /// Steps, of `most`, that are to be timed as one.
    pub fn at_once(&self, most: usize) -> usize {
        if self.left > 0 { self.at_once.min(most) } else { most }
    }

    /// Hears how long steps took, which were made as it said.
    pub fn made(&mut self, steps: usize, seconds: f64) {
        if self.left == 0 {
            self.since += seconds;
            let soon = self.taken * 2f64.powi(self.before + 2);
            if self.since >= soon.min(KEPT.max(TIMES * self.taken)) {
                *self = Self { before: self.before + 1, ..Self::new(!self.together, self.reading) };
            }
            return;
        }
        self.taken += seconds;
        self.at_once = ((self.reading * steps as f64 / seconds.max(1e-9)) as usize).max(1);
        if self.warm < WARMING {
            self.warm += seconds;
            return;
        }
        self.steps += steps;
        self.seconds += seconds;
        if self.seconds >= self.reading && self.steps >= STEPS {
            self.read();
        }
    }

    /// Ends a reading.
    fn read(&mut self) {
        let shortest = &mut self.shortest[usize::from(self.together)];
        *shortest = shortest.min(self.seconds / self.steps as f64);
        (self.steps, self.seconds, self.warm) = (0, 0.0, 0.0);
        self.left -= 1;
        self.together = !self.together;
        if self.left == 0 {
            let [alone, together] = self.shortest;
            self.together = together < GAIN * alone;
            tracing::debug!(alone, together, "seconds of a step");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes steps that take so many seconds alone and together, and returns the part of them that was made together.
    fn together(trial: &mut Trial, steps: usize, seconds: [f64; 2]) -> f64 {
        let mut made = 0;
        let mut together = 0;
        while made < steps {
            let at_once = trial.at_once(50);
            let way = trial.together;
            trial.made(at_once, at_once as f64 * seconds[usize::from(way)]);
            made += at_once;
            together += if way { at_once } else { 0 };
        }
        together as f64 / made as f64
    }

    #[test]
    fn steps_are_made_the_faster_way_but_for_a_few() {
        for (first, reading) in
            [(true, Trial::OF_TEAM), (true, Trial::OF_POOL), (false, Trial::OF_POOL)]
        {
            for (alone, shared, expected) in [
                (20e-6, 30e-6, 0.0),
                (30e-6, 20e-6, 1.0),
                (2e-3, 1.2e-3, 1.0),
                (30e-6, 29.5e-6, 0.0),
            ] {
                let mut trial = Trial::new(first, reading);
                let found = together(&mut trial, 200_000, [alone, shared]);
                assert!((found - expected).abs() < 0.05, "{alone} {shared}: {found}");
            }
        }
    }

    #[test]
    fn it_follows_when_the_other_way_becomes_faster() {
        let mut trial = Trial::new(true, Trial::OF_TEAM);
        assert!(together(&mut trial, 100_000, [40e-6, 30e-6]) > 0.95);
        assert!(together(&mut trial, 100_000, [40e-6, 60e-6]) < 0.1);
        assert!(together(&mut trial, 100_000, [40e-6, 30e-6]) > 0.9);
    }

    #[test]
    fn what_comes_right_after_a_change_does_not_count() {
        let mut trial = Trial::new(false, Trial::OF_POOL);
        let mut last = false;
        for _ in 0..1000 {
            let woken = trial.together && !last;
            last = trial.together;
            trial.made(
                1,
                if woken {
                    1e-3
                } else if last {
                    20e-6
                } else {
                    30e-6
                },
            );
        }
        assert!(trial.together && trial.left == 0);
    }
}
