//! The study as a table.

use unisono::bench_support::median;

use super::measure::Readings;
use super::rates::Rates;

/// A line of the table: one workload on one number of threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub workload: String,
    /// "sequential", "strong" or "weak".
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
    pub share_of_peak: f64,
    /// Bytes that have to pass by if no cache holds them, beside the memory's rate.
    pub share_of_memory: f64,
}

impl Row {
    pub fn rows_per_s(&self) -> f64 {
        self.batch as f64 / self.seconds
    }
}

/// The columns' names in CSV.
const COLUMNS: [&str; 11] = [
    "workload",
    "scaling",
    "threads",
    "batch",
    "ms_per_step",
    "spread",
    "rows_per_s",
    "speed_up",
    "efficiency",
    "gflops",
    "share_of_peak",
];

/// The distance of the first and third quartile, as a share of the median.
pub fn spread(values: &[f64]) -> f64 {
    let (low, high) = quartiles(values);
    (high - low) / median(values)
}

/// The first and third quartile: the medians of the lower and the upper half.
pub fn quartiles(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len().div_ceil(2);
    (median(&sorted[..half]), median(&sorted[sorted.len() - half..]))
}

/// Rows of one workload: the sequential one first. Speed-ups are those over it; the efficiency of weak
/// scaling is its time for one thread's rows beside that for all.
pub fn rows(readings: &Readings, rates: &Rates, cores: usize) -> Vec<Row> {
    let workload = &readings.workload;
    let row = |scaling, threads: usize, batch: usize, times: &[f64], base: f64| {
        let seconds = median(times);
        let working = threads.min(cores);
        let flops = workload.flops_per_row() * batch as f64 / seconds;
        let gain = base / seconds;
        let (speed_up, efficiency) = match scaling {
            "weak" => (gain * threads as f64, gain),
            _ => (gain, gain / threads as f64),
        };
        let features = 4 * workload.layers[0] * batch;
        let bytes = 28.0 * readings.params as f64 + features as f64;
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
            share_of_peak: flops / Rates::at(&rates.peak, working),
            share_of_memory: bytes / seconds / Rates::at(&rates.memory, working),
        }
    };
    let column = |rounds: &[Vec<f64>], i: usize| -> Vec<f64> {
        rounds.iter().map(|round| round[i]).collect()
    };
    let base = median(&readings.sequential);
    let mut all = vec![row("sequential", 1, workload.batch, &readings.sequential, base)];
    for (i, &n) in readings.strong.threads.iter().enumerate() {
        let times = column(&readings.strong.rounds, i);
        all.push(row("strong", n, workload.batch, &times, base));
    }
    let base = median(&column(&readings.weak.rounds, 0));
    for (i, &n) in readings.weak.threads.iter().enumerate() {
        let times = column(&readings.weak.rounds, i);
        all.push(row("weak", n, readings.weak_rows * n, &times, base));
    }
    all
}

/// As Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let mut text =
        "| workload | scaling | threads | batch | ms a step | spread | rows/s | speed-up | \
                    efficiency | GFLOP/s | of peak | of memory |\n\
                    |---|---|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        text += &format!("| {} |\n", cells(row).join(" | "));
    }
    text
}

/// A row's cells as text.
pub fn cells(row: &Row) -> [String; 12] {
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    [
        row.workload.clone(),
        row.scaling.to_owned(),
        row.threads.to_string(),
        row.batch.to_string(),
        format!("{:.4}", row.seconds * 1e3),
        format!("{:.1}%", 100.0 * row.spread),
        format!("{:.0}", row.rows_per_s()),
        format!("{:.2}", row.speed_up),
        percent(row.efficiency),
        format!("{:.1}", row.flops / 1e9),
        percent(row.share_of_peak),
        percent(row.share_of_memory),
    ]
}

/// As CSV, with all digits.
pub fn csv(rows: &[Row]) -> String {
    let mut text = format!("{},share_of_memory\n", COLUMNS.join(","));
    for row in rows {
        let numbers = [
            row.seconds * 1e3,
            row.spread,
            row.rows_per_s(),
            row.speed_up,
            row.efficiency,
            row.flops / 1e9,
            row.share_of_peak,
            row.share_of_memory,
        ];
        let numbers: Vec<_> = numbers.iter().map(f64::to_string).collect();
        let Row { workload, scaling, threads, batch, .. } = row;
        text += &format!("{workload},{scaling},{threads},{batch},{}\n", numbers.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use unisono::bench_support::Workload;

    use super::super::fit::Timings;
    use super::super::predict::Work;
    use super::*;

    fn readings() -> Readings {
        let workload = Workload::new("net", &[10, 20, 5], 100, 200);
        let data = workload.data().unwrap();
        Readings {
            workload,
            params: 325,
            sequential: vec![4e-3, 4e-3, 4e-3],
            strong: Timings { threads: vec![1, 2], rounds: vec![vec![4e-3, 2.5e-3]; 3] },
            weak: Timings { threads: vec![1, 2], rounds: vec![vec![2e-3, 2.5e-3]; 3] },
            weak_rows: 50,
            phases: vec![],
            work: Work::new(&workload, &data, [0.0; 9], 0.0).unwrap(),
            peaks: vec![1e9],
        }
    }

    #[test]
    fn speed_up_efficiency_and_shares_follow_from_the_times() {
        let rates = Rates {
            peak: vec![(1, 1e8), (2, 2e8)],
            memory: vec![(1, 1e7), (2, 2e7)],
            ..Rates::default()
        };
        let rows = rows(&readings(), &rates, 2);
        assert_eq!(rows.len(), 5);
        let strong = &rows[2];
        assert_eq!((strong.scaling, strong.threads, strong.batch), ("strong", 2, 100));
        assert!((strong.speed_up - 1.6).abs() < 1e-12);
        assert!((strong.efficiency - 0.8).abs() < 1e-12);
        assert!((strong.rows_per_s() - 40_000.0).abs() < 1e-6);
        // Products of a row: 2 (3 (10 20 + 20 5) - 10 20) operations.
        let flops = 2.0 * (3.0 * 300.0 - 200.0) * 100.0 / 2.5e-3;
        assert!((strong.flops / flops - 1.0).abs() < 1e-12);
        assert!((strong.share_of_peak - flops / 2e8).abs() < 1e-12);
        let bytes = (28.0 * 325.0 + 4.0 * 10.0 * 100.0) / 2.5e-3;
        assert!((strong.share_of_memory - bytes / 2e7).abs() < 1e-12);
        let weak = &rows[4];
        assert_eq!((weak.scaling, weak.threads, weak.batch), ("weak", 2, 100));
        assert!((weak.efficiency - 0.8).abs() < 1e-12 && (weak.speed_up - 1.6).abs() < 1e-12);
        assert_eq!(rows[0].speed_up, 1.0);
    }

    #[test]
    fn the_spread_is_that_of_the_quartiles() {
        assert_eq!(spread(&[1.0, 2.0, 3.0, 4.0, 5.0]), (4.0 - 2.0) / 3.0);
        assert_eq!(quartiles(&[7.0]), (7.0, 7.0));
    }

    #[test]
    fn markdown_and_csv_have_a_line_for_each_row() {
        let rates = Rates { peak: vec![(1, 1.0)], memory: vec![(1, 1.0)], ..Rates::default() };
        let rows = rows(&readings(), &rates, 2);
        let (markdown, csv) = (markdown(&rows), csv(&rows));
        assert_eq!((markdown.lines().count(), csv.lines().count()), (7, 6));
        assert!(
            markdown.lines().nth(4).unwrap().contains("| 2.5000 |") || markdown.contains("2.5000")
        );
        let columns = csv.lines().map(|line| line.split(',').count());
        assert!(columns.into_iter().all(|count| count == COLUMNS.len() + 1));
    }
}
