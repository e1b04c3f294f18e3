//! Whether steps are made faster by all workers or by one of them alone: measured, for it depends on how long cores
//! take to hand over to each other, which differs between machines and from one second to the next.

use std::ops::Range;

use crate::train::team;

/// Floating-point operations of a step for which it is measured, where no team makes it: smaller ones are made alone,
/// larger ones together, also by a team.
pub(in crate::train) const IN_DOUBT: Range<usize> = 1_000_000..50_000_000;

/// Seconds after a change that do not count: the others wake up, and lines of memory move.
const WARMING: f64 = 200e-6;

/// Steps of a reading, at least.
const STEPS: usize = 3;

/// Readings of a comparison, in turns.
const READINGS: usize = 4;

/// Seconds of steps from one comparison to the next, and how many times as long as the comparison they are at least.
/// The first ones follow sooner, four times, eight times … as long as they take: for some milliseconds after a worker
/// has woken up it may stand on the core of another.
const KEPT: f64 = 0.5;
const TIMES: f64 = 50.0;

/// Seconds of steps made alone after a team's members did not all come, as long as they are not asked anyway; twice as many
/// each time that they still do not come.
const MISSED: f64 = team::PAUSE.as_secs_f64();

/// What part of one worker's time a step together may take at most, for it takes the others' cores.
const WORTH: f64 = 0.97;

/// How many times as fast one way is that needs no second reading.
const CLEAR: f64 = 1.5;

/// Compares both ways, keeps to the better one and compares again after a while.
#[derive(Debug)]
pub(super) struct Trial {
    /// Whether the next steps are to be made by all workers.
    pub together: bool,
    /// Seconds since that has changed, up to where steps count.
    warm: f64,
    /// Seconds of a reading, at least, and what the one that is being taken has so far.
    reading: f64,
    steps: usize,
    rows: usize,
    seconds: f64,
    /// Steps to be timed as one while it is taken.
    at_once: usize,
    /// Readings to be taken until the comparison ends; none between two.
    left: usize,
    /// The fewest seconds a row of this comparison, alone and together.
    fewest: [f64; 2],
    /// Seconds that the comparison has taken, and those since it.
    taken: f64,
    since: f64,
    /// Comparisons that were made before.
    before: i32,
    /// How many times in a row the members did not all come.
    misses: i32,
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
            rows: 0,
            seconds: 0.0,
            left: READINGS,
            fewest: [f64::INFINITY; 2],
            taken: 0.0,
            since: 0.0,
            before: 0,
            misses: 0,
        }
    }

    /// Steps, of `most`, that are to be timed as one.
    pub fn at_once(&self, most: usize) -> usize {
        if self.left > 0 { self.at_once.min(most) } else { most }
    }

    /// Hears how long steps on so many rows took, which were made as it said.
    pub fn made(&mut self, steps: usize, rows: usize, seconds: f64) {
        if self.left == 0 {
            self.since += seconds;
            let soon = match self.misses {
                0 => self.taken * 2f64.powi(self.before + 2),
                misses => MISSED * 2f64.powi(misses - 1),
            };
            if self.since >= soon.min(KEPT.max(TIMES * self.taken)) {
                let (before, misses) = (self.before + 1, self.misses);
                *self = Self { before, misses, ..Self::new(!self.together, self.reading) };
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
        self.rows += rows;
        self.seconds += seconds;
        if self.seconds >= self.reading && self.steps >= STEPS {
            self.read();
        }
    }

    /// Hears that a team's members did not all come, so that steps were made alone: that decides for a while.
    pub fn missed(&mut self) {
        (self.together, self.left, self.since) = (false, 0, 0.0);
        self.misses += 1;
    }

    /// Whether there are readings of both ways.
    #[cfg(test)]
    pub fn has_compared(&self) -> bool {
        self.fewest.iter().all(|seconds| seconds.is_finite())
    }

    /// Ends a reading.
    fn read(&mut self) {
        if self.together {
            self.misses = 0;
        }
        let fewest = &mut self.fewest[usize::from(self.together)];
        *fewest = fewest.min(self.seconds / self.rows as f64);
        (self.steps, self.rows, self.seconds, self.warm) = (0, 0, 0.0, 0.0);
        let [alone, together] = self.fewest;
        let both = alone.is_finite() && together.is_finite();
        let clear = both && alone.max(together) >= CLEAR * alone.min(together);
        self.left = if clear { 0 } else { self.left - 1 };
        self.together = !self.together;
        if self.left == 0 {
            self.together = together < WORTH * alone;
            tracing::debug!(alone, together, "seconds a row");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 60;

    /// Makes steps that take so many seconds alone and together, of which each `epoch`th is on a third of the rows and
    /// takes a third of that, and returns the part of them that was made together.
    fn together(trial: &mut Trial, steps: usize, epoch: usize, seconds: [f64; 2]) -> f64 {
        let mut made = 0;
        let mut together = 0;
        while made < steps {
            let at_once = trial.at_once(50).min(epoch - made % epoch);
            made += at_once;
            let thirds = 3 * at_once - if made % epoch == 0 { 2 } else { 0 };
            let way = trial.together;
            let each = seconds[usize::from(way)];
            trial.made(at_once, thirds * ROWS / 3, thirds as f64 / 3.0 * each);
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
                (400e-6, 333e-6, 1.0),
                (30e-6, 29.5e-6, 0.0),
            ] {
                for epoch in [2, 4, 7, 1000] {
                    let mut trial = Trial::new(first, reading);
                    let found = together(&mut trial, 300_000, epoch, [alone, shared]);
                    assert!((found - expected).abs() < 0.04, "{alone} {shared} {epoch}: {found}");
                }
            }
        }
    }

    #[test]
    fn it_follows_when_the_other_way_becomes_faster() {
        let mut trial = Trial::new(true, Trial::OF_TEAM);
        assert!(together(&mut trial, 100_000, 100, [40e-6, 30e-6]) > 0.95);
        assert!(together(&mut trial, 100_000, 100, [40e-6, 60e-6]) < 0.2);
        assert!(together(&mut trial, 100_000, 100, [40e-6, 30e-6]) > 0.8);
    }

    #[test]
    fn a_clear_difference_needs_one_reading_each_way() {
        let first = |seconds| {
            let mut trial = Trial::new(true, Trial::OF_POOL);
            while trial.left > 0 {
                together(&mut trial, 1, 1000, seconds);
            }
            (trial.together, (trial.taken * 1e6).round())
        };
        assert_eq!(first([8e-3, 1e-3]), (true, 4.0 * 9e3));
        assert_eq!(first([1e-3, 1.6e-3]), (false, 4.0 * 2.6e3));
        assert_eq!(first([1.4e-3, 1e-3]), (true, 8.0 * 2.4e3));
    }

    #[test]
    fn a_team_whose_members_do_not_come_is_asked_again_later() {
        let mut trial = Trial::new(true, Trial::OF_TEAM);
        let mut asked = 0;
        for _ in 0..100_000 {
            let way = trial.together;
            trial.made(1, ROWS, if way { 1e-3 } else { 30e-6 });
            if way {
                trial.missed();
                asked += 1;
            }
        }
        assert!((5..20).contains(&asked), "{asked}");
    }

    #[test]
    fn members_that_did_not_come_once_are_asked_again_soon() {
        let mut trial = Trial::new(true, Trial::OF_TEAM);
        for _ in 0..3 {
            trial.missed();
            let part = together(&mut trial, 5000, 1000, [30e-6, 20e-6]);
            assert!(part > 0.8, "{part}");
        }
    }

    #[test]
    fn what_comes_right_after_a_change_does_not_count() {
        let mut trial = Trial::new(false, Trial::OF_POOL);
        let mut last = false;
        for _ in 0..1000 {
            let woken = trial.together && !last;
            last = trial.together;
            let seconds = if last { 20e-6 } else { 30e-6 };
            trial.made(1, ROWS, if woken { 1e-3 } else { seconds });
        }
        assert!(trial.together && trial.left == 0);
    }
}
