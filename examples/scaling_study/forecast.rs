//! The pictures and tables of what was predicted, 1 to 128 threads.

use super::Result;
use super::axis::Scale;
use super::chart::{Chart, Curve, Stacked};
use super::figures::{Figure, MEASURED};
use super::measure::Readings;
use super::options::file_name;
use super::predict::{MOST, PARTS, Target, predict, stops};
use super::rates::Rates;
use super::sheet::{COLORS, GREY, Style};
use super::simulate::{Workers, step};
use super::work::{Setting, Work};

/// Numbers of threads that are predicted for a machine: doublings, and all its cores.
pub fn counts(target: &Target) -> Vec<usize> {
    let most = target.cores.min(MOST);
    let mut counts: Vec<usize> = (0..8).map(|i| 1 << i).take_while(|&n| n <= most).collect();
    counts.push(most);
    counts.dedup();
    counts
}

/// What was predicted of one number of threads, in seconds a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    pub threads: usize,
    pub closed: f64,
    /// Simulated: even workers, jittery ones, uneven ones.
    pub simulated: [f64; 3],
}

/// Predicts and simulates every number of threads.
pub fn forecasts(work: &Work, rates: &Rates, target: &Target) -> Vec<Forecast> {
    let forecast = |threads: usize| {
        let setting = work.strong(threads);
        let simulate = |workers: Workers| step(work, rates, target, setting, &workers);
        let kinds = [Workers::even, Workers::jittery, Workers::uneven];
        let closed = predict(work, rates, target, setting).seconds();
        Forecast { threads, closed, simulated: kinds.map(|kind| simulate(kind(threads))) }
    };
    counts(target).into_iter().map(forecast).collect()
}

/// As CSV.
pub fn csv(readings: &[Readings], rates: &Rates, targets: &[Target]) -> String {
    let mut text = "workload,machine,threads,predicted_seconds_per_step,predicted_speed_up,\
                    simulated_seconds_per_step,simulated_seconds_per_step_jitter,\
                    simulated_seconds_per_step_uneven_cores\n"
        .to_owned();
    for readings in readings {
        for target in targets {
            let all = forecasts(&readings.work, rates, target);
            for Forecast { threads, closed, simulated: [even, jitter, uneven] } in &all {
                let (name, machine) = (readings.workload.name, target.name.replace(',', " "));
                let speed_up = all[0].closed / closed;
                text += &format!(
                    "{name},{machine},{threads},{closed},{speed_up},{even},{jitter},{uneven}\n"
                );
            }
        }
    }
    text
}

/// For a number of threads: predicted efficiencies with the batch as it is and with 32 rows of it for
/// each thread.
pub fn advice(work: &Work, rates: &Rates, target: &Target, threads: usize) -> [f64; 2] {
    let batch = work.workload.batch;
    [batch, batch.max(32 * threads)].map(|batch| {
        let at = |threads| predict(work, rates, target, Setting { threads, batch });
        at(1).seconds() / at(threads).seconds() / threads as f64
    })
}

fn figure(name: String, caption: String, svg: String) -> Figure {
    Figure { name, caption, svg, predicted: true }
}

fn ideal(most: usize) -> Curve {
    let ends = [1.0, most as f64];
    Curve::new("ideal", GREY, Style::Dashed).points(ends.map(|n| (n, n)))
}

/// Draws speed-ups, with a line where more threads stop paying.
fn chart(title: &str, curves: Vec<Curve>, stop: Option<usize>) -> Result<String> {
    let chart = Chart {
        title,
        x: ("threads, a core for each", Scale::Log2),
        y: ("times as fast as one", Scale::Log2),
        marks: vec![],
        curves,
        from: None,
        line: stop.map(|n| (n as f64, "doubling stops paying".to_owned())),
        predicted: true,
    };
    chart.svg()
}

/// Predicted speed-ups of all workloads on one machine.
pub fn overview(readings: &[Readings], rates: &Rates, target: &Target) -> Result<Figure> {
    let counts = counts(target);
    let mut curves = vec![ideal(target.cores.min(MOST))];
    let mut caption = vec![];
    for (readings, color) in readings.iter().zip(COLORS) {
        let (name, work) = (readings.workload.name, &readings.work);
        let at = |n: usize| predict(work, rates, target, work.strong(n)).seconds();
        let points = counts.iter().map(|&n| (n as f64, at(1) / at(n)));
        curves.push(Curve::new(name, color, Style::HollowDashed).points(points));
        caption.push(match stops(work, rates, target) {
            Some((n, why)) => format!("{name} beyond {n} ({why})"),
            None => format!("{name} nowhere"),
        });
    }
    let title = format!("speed-up on {}", target.name);
    let caption = format!(
        "A prediction, not a measurement. Doubling the threads gains less than a tenth for {}.",
        caption.join(", ")
    );
    let name = format!("prediction-{}", file_name(&target.name));
    Ok(figure(name, caption, chart(&title, curves, None)?))
}

/// One workload's predicted speed-ups: closed form, simulations, and what was measured.
pub fn speed_up(readings: &Readings, rates: &Rates, target: &Target) -> Result<Figure> {
    let name = readings.workload.name;
    let all = forecasts(&readings.work, rates, target);
    let curve = |name: &str, color, style, of: &dyn Fn(&Forecast) -> f64| {
        let points = all.iter().map(|it| (it.threads as f64, of(&all[0]) / of(it)));
        Curve::new(name, color, style).points(points)
    };
    let mut curves = vec![
        ideal(target.cores.min(MOST)),
        curve("simulated, every other core half as fast", COLORS[1], Style::Dashed, &|it| {
            it.simulated[2]
        }),
        curve("simulated, pieces up to 10% longer", COLORS[2], Style::Dashed, &|it| {
            it.simulated[1]
        }),
        curve("predicted", COLORS[0], Style::HollowDashed, &|it| it.closed),
    ];
    if target.speed == 1.0 {
        let within = readings.strong.up_to(rates.cores).speed_ups().into_iter();
        let points = within.map(|(n, speed_up)| (n as f64, speed_up));
        curves.push(Curve::new("measured here", MEASURED, Style::Dots).points(points));
    }
    let title = format!("{name}: speed-up on {}", target.name);
    let stop = stops(&readings.work, rates, target);
    let told = match stop {
        Some((n, why)) => format!("Doubling gains less than a tenth beyond {n}, for {why}."),
        None => "Doubling always gains more than a tenth.".to_owned(),
    };
    let caption = format!("A prediction, not a measurement, but for filled dots. {told}");
    let file = format!("prediction-{name}-{}", file_name(&target.name));
    Ok(figure(file, caption, chart(&title, curves, stop.map(|(n, _)| n))?))
}

/// What a predicted step's time goes to.
pub fn parts(readings: &Readings, rates: &Rates, target: &Target) -> Result<Figure> {
    let (name, work) = (readings.workload.name, &readings.work);
    let bar = |n: usize| {
        let predicted = predict(work, rates, target, work.strong(n));
        let share = |seconds: f64| 100.0 * seconds / predicted.seconds();
        (n.to_string(), predicted.parts().map(share).to_vec())
    };
    let bars: Vec<_> = counts(target).into_iter().map(bar).collect();
    let title = format!("{name}: a step's time on {}", target.name);
    let chart = Stacked {
        title: &title,
        unit: "% of the step",
        parts: &PARTS,
        bars: &bars,
        predicted: true,
    };
    let caption = "A prediction, not a measurement: what a step spends its time on, and so what stops \
                   it scaling.";
    let file = format!("prediction-parts-{name}-{}", file_name(&target.name));
    Ok(figure(file, caption.to_owned(), chart.svg()?))
}

#[cfg(test)]
mod tests {
    use super::super::measure::testing::readings;
    use super::super::predict::testing::{rates, target};
    use super::super::work::testing::work;
    use super::*;

    #[test]
    fn doublings_and_all_cores_are_predicted() {
        assert_eq!(counts(&target(1)), [1]);
        assert_eq!(counts(&target(6)), [1, 2, 4, 6]);
        assert_eq!(counts(&target(128)), [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(counts(&target(500)).last(), Some(&128));
    }

    #[test]
    fn every_picture_says_that_it_is_a_prediction() {
        let (rates, target) = (rates(1e9, 1e-6), target(16));
        let readings = [readings()];
        for figure in [
            overview(&readings, &rates, &target),
            speed_up(&readings[0], &rates, &target),
            parts(&readings[0], &rates, &target),
        ] {
            let figure = figure.unwrap();
            assert!(figure.predicted && figure.svg.contains("PREDICTION"), "{}", figure.name);
            assert!(figure.caption.contains("prediction") && figure.name.contains("prediction"));
        }
        let csv = csv(&readings, &rates, &[target]);
        assert_eq!(csv.lines().count(), 1 + 5);
        assert!(csv.lines().all(|line| line.split(',').count() == 8), "{csv}");
        assert!(csv.starts_with("workload,machine,threads,predicted_seconds"));
    }

    #[test]
    fn more_rows_suit_more_threads() {
        let free = rates(f64::INFINITY, 0.0);
        let [as_is, rows] = advice(&work(), &free, &target(64), 32);
        // 256 rows are 16 blocks at most.
        assert!(rows > 1.3 * as_is, "{as_is} {rows}");
        assert!((advice(&work(), &free, &target(64), 8)[0] - 1.0).abs() < 1e-9);
    }
}
