//! The prediction beside every point that was measured.

use unisono::bench_support::median;

use super::measure::Readings;
use super::phases::small_batch;
use super::predict::{Target, predict};
use super::rates::Rates;
use super::table::Row;
use super::work::Setting;

/// One measured point, and what was predicted of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub workload: String,
    pub scaling: &'static str,
    pub threads: usize,
    pub measured: f64,
    pub predicted: f64,
    pub kind: Kind,
}

/// What a point says about the prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was made from this setting: one thread, with the workload's batch or the small one.
    Given,
    /// It knew nothing of this point.
    Test,
    /// Nor of this one, which has more threads than there are cores.
    Crowded,
}

impl Check {
    /// How far the prediction is off, as a share of what was measured.
    pub fn error(&self) -> f64 {
        self.predicted / self.measured - 1.0
    }
}

/// Predicts every point of strong and weak scaling for the machine that was measured.
pub fn checks(rows: &[Row], readings: &[Readings], rates: &Rates, cache: usize) -> Vec<Check> {
    let here = Target::here(rates, cache);
    let check = |row: &Row| {
        let of = readings.iter().find(|readings| readings.workload.name == row.workload)?;
        let batch = of.workload.batch;
        let setting = Setting { threads: row.threads, batch: row.batch };
        Some(Check {
            workload: row.workload.clone(),
            scaling: row.scaling,
            threads: row.threads,
            measured: row.seconds,
            predicted: predict(&of.work, rates, &here, setting).seconds(),
            kind: match row.threads {
                1 if [batch, small_batch(batch)].contains(&row.batch) => Kind::Given,
                n if n > rates.cores => Kind::Crowded,
                _ => Kind::Test,
            },
        })
    };
    rows.iter().filter(|row| ["strong", "weak"].contains(&row.scaling)).filter_map(check).collect()
}

/// The median and the largest error, without signs, and how many points of a kind there are.
pub fn summary(checks: &[Check], kind: Kind) -> Option<(f64, f64, usize)> {
    let errors: Vec<f64> =
        checks.iter().filter(|check| check.kind == kind).map(|check| check.error().abs()).collect();
    let largest = errors.iter().copied().fold(0.0, f64::max);
    (!errors.is_empty()).then(|| (median(&errors), largest, errors.len()))
}

#[cfg(test)]
mod tests {
    use super::super::measure::testing::readings;
    use super::super::table::rows;
    use super::*;

    #[test]
    fn every_measured_point_is_predicted_and_what_it_was_made_from_is_told() {
        let rates = Rates {
            cores: 1,
            peak: vec![(1, 1e9)],
            memory: vec![(1, 1e12)],
            handed: f64::INFINITY,
            fork_join: vec![(1, 0.0), (2, 0.0)],
            ..Rates::default()
        };
        let readings = [readings()];
        let checks = checks(&rows(&readings[0], &rates, 1 << 20), &readings, &rates, 1 << 20);
        let kinds: Vec<Kind> = checks.iter().map(|check| check.kind).collect();
        assert_eq!(kinds, [Kind::Given, Kind::Crowded, Kind::Test, Kind::Crowded]);
        // 50 rows of 3/256 and 1/256 ms, and 1 ms for the update.
        let predicted = 50.0 * 4e-3 / 256.0 + 1e-3;
        assert!((checks[2].predicted - predicted).abs() < 1e-12, "{checks:?}");
        assert!((checks[2].error() - (predicted / 2e-3 - 1.0)).abs() < 1e-12);
        let (middle, largest, count) = summary(&checks, Kind::Test).unwrap();
        assert_eq!((middle, count), (largest, 1));
        assert!(summary(&[], Kind::Test).is_none());
    }

    #[test]
    fn weak_scaling_that_begins_where_the_prediction_did_is_no_test_of_it() {
        let rates = Rates { cores: 8, fork_join: vec![(1, 0.0), (2, 0.0)], ..Rates::default() };
        for (weak_rows, kind) in [(16, Kind::Given), (50, Kind::Test), (100, Kind::Given)] {
            let readings = [Readings { weak_rows, ..readings() }];
            let checks = checks(&rows(&readings[0], &rates, 1 << 20), &readings, &rates, 1 << 20);
            let weak: Vec<Kind> = checks[2..].iter().map(|check| check.kind).collect();
            assert_eq!(weak, [kind, Kind::Test]);
        }
    }
}
