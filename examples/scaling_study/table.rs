//! The study as a table.

use unisono::bench_support::median;

use super::measure::Readings;
use super::rates::Rates;
use super::traffic::Traffic;

/// A line of the table: one workload on one number of threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub workload: String,
    /// "sequential", "default", "strong" or "weak".
    pub scaling: &'static str,
    pub threads: usize,
    pub batch: usize,
    /// Median of the rounds.
    pub seconds: f64,
    /// The distance of the quartiles, as a share of the median.
    pub spread: f64,
    pub speed_up: f64,
    pub efficiency: f64,
    /// Arithmetic of the products, per second.
    pub flops: f64,
    /// None where as many threads were not measured.
    pub share_of_peak: Option<f64>,
    /// Bytes that have to come from memory or go there, beside the memory's rate; 0 if the caches hold
    /// everything, none where as many threads were not measured.
    pub share_of_memory: Option<f64>,
}

impl Row {
    pub fn rows_per_s(&self) -> f64 {
        self.batch as f64 / self.seconds
    }
}

/// The columns' names, for readers.
pub const COLUMNS: [&str; 12] = [
    "workload",
    "scaling",
    "threads",
    "batch",
    "time a step",
    "spread",
    "rows/s",
    "speed-up",
    "efficiency",
    "GFLOP/s",
    "of peak",
    "of memory",
];

/// The columns' names in CSV.
const CSV: &str = "workload,scaling,threads,batch,seconds_per_step,spread,rows_per_s,speed_up,\
                   efficiency,gflops,share_of_peak,share_of_memory\n";

/// The distance of the first and third quartile, as a share of the median.
pub fn spread(values: &[f64]) -> f64 {
    let (low, high) = quartiles(values);
    (high - low) / median(values)
}

/// The first and third quartile: the medians of the lower and the upper half, the middle in both.
pub fn quartiles(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len().div_ceil(2);
    (median(&sorted[..half]), median(&sorted[sorted.len() - half..]))
}

/// Rows of one workload: the sequential one first. Speed-ups of the same batch are those over it. Weak
/// scaling has its own base, one thread with its rows: the efficiency is its time beside that of all
/// threads with theirs, the speed-up as many times that as there are threads (Gustafson's).
pub fn rows(readings: &Readings, rates: &Rates, cache: usize) -> Vec<Row> {
    let workload = &readings.workload;
    let traffic = Traffic::new(workload, readings.params);
    let row = |scaling, threads: usize, batch: usize, times: &[f64], base: f64| {
        let seconds = median(times);
        let working = threads.min(rates.cores);
        let flops = workload.flops_per_row() * batch as f64 / seconds;
        let gain = base / seconds;
        let (speed_up, efficiency) = match scaling {
            "weak" => (gain * threads as f64, gain),
            _ => (gain, gain / threads as f64),
        };
        let bytes = traffic.memory_bytes(batch, cache);
        Row {
            workload: workload.name.to_owned(),
            scaling,
            threads,
            batch,
            seconds,
            spread: spread(times),
            speed_up,
            efficiency,
            flops,
            share_of_peak: Rates::of(&rates.peak, working).map(|peak| flops / peak),
            share_of_memory: match bytes {
                0.0 => Some(0.0),
                _ => Rates::of(&rates.memory, working).map(|memory| bytes / seconds / memory),
            },
        }
    };
    let batch = workload.batch;
    let base = median(&readings.sequential);
    let (chosen, times) = &readings.default;
    let mut all = vec![
        row("sequential", 1, batch, &readings.sequential, base),
        row("default", *chosen, batch, times, base),
    ];
    for (i, &n) in readings.strong.threads.iter().enumerate() {
        all.push(row("strong", n, batch, &readings.strong.column(i), base));
    }
    let base = median(&readings.weak.column(0));
    for (i, &n) in readings.weak.threads.iter().enumerate() {
        all.push(row("weak", n, readings.weak_rows * n, &readings.weak.column(i), base));
    }
    all
}

/// Seconds in the unit that suits them.
pub fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds.abs() {
        s if s < 1e-3 => (seconds * 1e6, "µs"),
        s if s < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = match value.abs() {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A share as text.
pub fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

/// A row's cells as text.
pub fn cells(row: &Row) -> Vec<String> {
    let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
    vec![
        row.workload.clone(),
        row.scaling.to_owned(),
        row.threads.to_string(),
        row.batch.to_string(),
        duration(row.seconds),
        format!("{:.1}%", 100.0 * row.spread),
        format!("{:.0}", row.rows_per_s()),
        format!("{:.2}", row.speed_up),
        percent(row.efficiency),
        format!("{:.1}", row.flops / 1e9),
        share(row.share_of_peak),
        match row.share_of_memory {
            Some(0.0) => "cached".into(),
            memory => share(memory),
        },
    ]
}

/// As CSV, with all digits.
pub fn csv(rows: &[Row]) -> String {
    let mut text = CSV.to_owned();
    for row in rows {
        let numbers = [
            row.seconds,
            row.spread,
            row.rows_per_s(),
            row.speed_up,
            row.efficiency,
            row.flops / 1e9,
        ];
        let shares = [row.share_of_peak, row.share_of_memory]
            .map(|share| share.map_or_else(String::new, |share| share.to_string()));
        let numbers: Vec<_> = numbers.iter().map(f64::to_string).chain(shares).collect();
        let Row { workload, scaling, threads, batch, .. } = row;
        text += &format!("{workload},{scaling},{threads},{batch},{}\n", numbers.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::measure::testing::readings;
    use super::*;

    fn rates() -> Rates {
        Rates {
            cores: 2,
            peak: vec![(1, 1e8), (2, 2e8)],
            memory: vec![(1, 1e7), (2, 2e7)],
            ..Rates::default()
        }
    }

    #[test]
    fn speed_up_efficiency_and_shares_follow_from_the_times() {
        let rows = rows(&readings(), &rates(), 1000);
        assert_eq!(rows.len(), 6);
        let strong = &rows[3];
        assert_eq!((strong.scaling, strong.threads, strong.batch), ("strong", 2, 100));
        assert!((strong.speed_up - 1.6).abs() < 1e-12);
        assert!((strong.efficiency - 0.8).abs() < 1e-12);
        assert!((strong.rows_per_s() - 40_000.0).abs() < 1e-6);
        // Products of a row: 2 (3 (10 20 + 20 5) - 10 20) operations.
        let flops = 2.0 * (3.0 * 300.0 - 200.0) * 100.0 / 2.5e-3;
        assert!((strong.flops / flops - 1.0).abs() < 1e-12);
        assert!((strong.share_of_peak.unwrap() - flops / 2e8).abs() < 1e-12);
        let bytes = 28.0 * 325.0 + 12.0 * 100.0 + 44.0 * 100.0;
        assert!((strong.share_of_memory.unwrap() - bytes / 2.5e-3 / 2e7).abs() < 1e-12);
        let weak = &rows[5];
        assert_eq!((weak.scaling, weak.threads, weak.batch), ("weak", 2, 100));
        assert!((weak.efficiency - 0.8).abs() < 1e-12 && (weak.speed_up - 1.6).abs() < 1e-12);
        assert_eq!((rows[0].speed_up, rows[0].scaling), (1.0, "sequential"));
        assert_eq!((rows[1].speed_up, rows[1].threads, rows[1].efficiency), (2.0, 2, 1.0));
    }

    #[test]
    fn what_the_caches_hold_is_no_share_of_memory() {
        let rows = rows(&readings(), &rates(), 1 << 20);
        assert!(rows.iter().all(|row| row.share_of_memory == Some(0.0)));
        assert_eq!(cells(&rows[0])[11], "cached");
    }

    #[test]
    fn more_threads_than_cores_share_the_cores_rates() {
        let rates = Rates { cores: 1, ..rates() };
        let rows = rows(&readings(), &rates, 1 << 20);
        assert!((rows[3].share_of_peak.unwrap() * 1e8 - rows[3].flops).abs() < 1e-3);
    }

    #[test]
    fn threads_whose_rates_were_not_measured_have_no_share_of_them() {
        let rates = Rates { cores: 4, peak: vec![(1, 1e8)], memory: vec![(4, 1e7)], ..rates() };
        let rows = rows(&readings(), &rates, 1000);
        assert_eq!(cells(&rows[1])[10..], ["–", "–"]);
        assert!(csv(&rows[1..2]).ends_with(",,\n"));
        assert!(rows[0].share_of_peak.is_some() && rows[0].share_of_memory.is_none());
    }

    #[test]
    fn the_spread_is_that_of_the_quartiles() {
        assert_eq!(spread(&[1.0, 2.0, 3.0, 4.0, 5.0]), (4.0 - 2.0) / 3.0);
        assert_eq!(quartiles(&[7.0]), (7.0, 7.0));
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), (1.5, 3.5));
    }

    #[test]
    fn times_have_their_unit() {
        let texts = [1.5e-6, 2.5e-4, 4.21e-3, 0.123, 2.0].map(duration);
        assert_eq!(texts, ["1.50 µs", "250 µs", "4.21 ms", "123 ms", "2.00 s"]);
    }

    #[test]
    fn csv_has_a_line_for_each_row_and_every_digit() {
        let csv = csv(&rows(&readings(), &rates(), 1000));
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 7);
        assert!(lines.iter().all(|line| line.len() == COLUMNS.len()), "{csv}");
        assert_eq!(&lines[4][..5], ["net", "strong", "2", "100", "0.0025"]);
    }
}
