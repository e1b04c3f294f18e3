//! The pictures of what was measured.

use unisono::bench_support::median;

use super::Result;
use super::accuracy::{GOAL, ROWS, Reached};
use super::axis::Scale;
use super::chart::{Chart, Curve, Stacked};
use super::fit::Fits;
use super::measure::Readings;
use super::phases::{GROUPS, grouped};
use super::rates::Rates;
use super::sheet::{COLORS, GREY, RED, Style};
use super::table::{Row, quartiles};
use super::traffic::Traffic;

/// A picture with its file's name and what it shows.
#[derive(Debug, Clone)]
pub struct Figure {
    pub name: String,
    pub caption: String,
    pub svg: String,
    pub predicted: bool,
}

fn figure(name: impl Into<String>, caption: impl Into<String>, svg: String) -> Figure {
    Figure { name: name.into(), caption: caption.into(), svg, predicted: false }
}

/// A horizontal axis of threads: few are drawn evenly, many by doublings.
fn threads(counts: &[usize]) -> (Scale, Vec<f64>) {
    let most = counts.last().copied().unwrap_or(1);
    match most {
        0..=12 => (Scale::Linear, counts.iter().map(|&n| n as f64).collect()),
        _ => (Scale::Log2, vec![]),
    }
}

/// A line at the last number of threads that has a core for each.
fn cores_line(counts: &[usize], cores: usize) -> Option<(f64, String)> {
    let beyond = counts.last().is_some_and(|&most| most > cores);
    let name = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    (beyond && counts.contains(&cores)).then_some((cores as f64, name))
}

/// Numbers of threads between which a law is drawn.
fn steps(most: usize) -> impl Iterator<Item = f64> {
    (0..=60).map(move |i| (most as f64).powf(f64::from(i) / 60.0))
}

/// As many times as fast as there are threads with a core for each.
fn ideal(counts: &[usize], cores: usize) -> Curve {
    let most = counts.last().copied().unwrap_or(1);
    let points = steps(most.min(cores)).chain([most as f64]);
    Curve::new("ideal", GREY, Style::Dashed).points(points.map(|n| (n, n.min(cores as f64))))
}

/// Measured speed-ups over the sequential step, with the quartiles of the time.
fn measured(readings: &Readings, curve: Curve) -> Curve {
    let base = median(&readings.sequential);
    let mut curve = curve;
    for (i, &n) in readings.strong.threads.iter().enumerate() {
        let times = readings.strong.column(i);
        let (low, high) = quartiles(&times);
        curve.points.push((n as f64, base / median(&times)));
        curve.bars.push((n as f64, base / high, base / low));
    }
    curve
}

/// Speed-ups of all workloads.
pub fn speed_ups(readings: &[Readings], cores: usize) -> Result<Figure> {
    let counts = readings.first().map_or(&[][..], |first| &first.strong.threads);
    let mut curves = vec![ideal(counts, cores)];
    let (scale, marks) = threads(counts);
    let middle = (readings.len() as f64 - 1.0) / 2.0;
    for ((index, readings), color) in readings.iter().enumerate().zip(COLORS) {
        let curve = Curve::new(readings.workload.name, color, Style::DottedLine);
        let mut curve = measured(readings, curve);
        if scale == Scale::Linear {
            // Side by side, so that no bar hides another.
            let aside = (index as f64 - middle) * 0.006 * counts.len() as f64;
            curve.points.iter_mut().for_each(|point| point.0 += aside);
            curve.bars.iter_mut().for_each(|bar| bar.0 += aside);
        }
        curves.push(curve);
    }
    let chart = Chart {
        title: "speed-up over the sequential step, measured",
        x: ("threads", scale),
        y: ("times as fast", Scale::Linear),
        marks,
        curves,
        from: Some(0.0),
        line: cores_line(counts, cores),
        predicted: false,
    };
    let caption =
        "Strong scaling: the same batch on more threads. Bars: the quartiles of the rounds.";
    Ok(figure("speed-up", caption, chart.svg()?))
}

/// One workload's speed-ups with the ideal line and both fits, up to the cores that they hold for.
pub fn speed_up(readings: &Readings, fits: Option<&Fits>, cores: usize) -> Result<Figure> {
    let name = readings.workload.name;
    let counts = &readings.strong.threads;
    let points = measured(readings, Curve::new("measured, with quartiles", COLORS[0], Style::Dots));
    let mut curves = vec![ideal(counts, cores)];
    if let Some(fits) = fits {
        // The fits are relative to one thread of the parallel step.
        let alone = points.points[0].1;
        let most = fits.threads.last().copied().unwrap_or(1);
        let law =
            |f: &dyn Fn(f64) -> f64| steps(most).map(|n| (n, alone * f(n))).collect::<Vec<_>>();
        let name = match fits.serial.value {
            value if (0.0..=1.0).contains(&value) => "Amdahl's law, fitted",
            _ => "Amdahl's law, at its bound",
        };
        let amdahl = Curve::new(name, COLORS[1], Style::Line);
        curves.push(amdahl.points(law(&|n| fits.amdahl(n))));
        let usl = Curve::new("Universal Scalability Law, fitted", COLORS[2], Style::Dashed);
        curves.push(usl.points(law(&|n| fits.usl(n))));
    }
    curves.push(points);
    let title = format!("{name}: speed-up over the sequential step");
    let (scale, marks) = threads(counts);
    let chart = Chart {
        title: &title,
        x: ("threads", scale),
        y: ("times as fast", Scale::Linear),
        marks,
        curves,
        from: Some(0.0),
        line: cores_line(counts, cores),
        predicted: false,
    };
    let layers = readings.workload.layers_text().replace(',', "-");
    let caption = format!(
        "{layers}, batch {}. Strong scaling: the same batch on more threads. Both laws are fitted to the \
         numbers of threads that have a core for each.",
        readings.workload.batch
    );
    Ok(figure(format!("speed-up-{name}"), caption, chart.svg()?))
}

/// Efficiency of all workloads, strong and weak.
pub fn efficiency(rows: &[Row], readings: &[Readings], cores: usize) -> Result<Figure> {
    let counts = readings.first().map_or(&[][..], |first| &first.strong.threads);
    let ideal = ideal(counts, cores);
    let mut curves = vec![
        Curve::new("ideal", GREY, Style::Dashed)
            .points(ideal.points.into_iter().map(|(n, speed_up)| (n, speed_up / n))),
    ];
    for (readings, color) in readings.iter().zip(COLORS) {
        let workload = readings.workload.name;
        for (scaling, style) in [("strong", Style::DottedLine), ("weak", Style::Dashed)] {
            let of = |row: &&Row| row.workload == workload && row.scaling == scaling;
            let points = rows.iter().filter(of).map(|row| (row.threads as f64, row.efficiency));
            let name = format!("{workload}, {scaling}");
            curves.push(Curve::new(name, color, style).points(points));
        }
    }
    let (scale, marks) = threads(counts);
    let chart = Chart {
        title: "parallel efficiency, measured",
        x: ("threads", scale),
        y: ("speed-up / threads", Scale::Linear),
        marks,
        curves,
        from: Some(0.0),
        line: cores_line(counts, cores),
        predicted: false,
    };
    let caption = "Strong: the same batch. Weak: the same rows for each thread.";
    Ok(figure("efficiency", caption, chart.svg()?))
}

/// Where a step's time goes: each worker's, averaged.
pub fn phases(readings: &Readings) -> Result<Figure> {
    let name = readings.workload.name;
    let longest = readings.phases.iter().map(|(n, phases)| phases.iter().sum::<f64>() / *n as f64);
    let (factor, unit) = match longest.fold(0.0, f64::max) {
        seconds if seconds < 1e-3 => (1e6, "µs a step"),
        _ => (1e3, "ms a step"),
    };
    let bar = |(n, phases): &(usize, _)| {
        let parts = grouped(phases).into_iter().map(|seconds| seconds * factor / *n as f64);
        (n.to_string(), parts.collect())
    };
    let bars: Vec<_> = readings.phases.iter().map(bar).collect();
    let title = format!("{name}: time by phase, mean of the workers");
    let parts = GROUPS.map(|(name, _)| name);
    let chart = Stacked { title: &title, unit, parts: &parts, bars: &bars, predicted: false };
    let caption = "Gather holds the shuffling, backward the loss. Reduce: the gradients by the \
                   parameters, with their tree-sum over the shards; update: the optimizer and the \
                   transposed weights. Waiting: for other workers or for a core; of the shortest \
                   steps also the clock's own time.";
    Ok(figure(format!("phases-{name}"), caption, chart.svg()?))
}

/// Arithmetic by byte, under the machine's roofs.
pub fn roofline(
    rows: &[Row],
    readings: &[Readings],
    rates: &Rates,
    cache: usize,
) -> Result<Figure> {
    let mut curves = vec![];
    let mut places = vec![];
    for (readings, color) in readings.iter().zip(COLORS) {
        let workload = &readings.workload;
        let traffic = Traffic::new(workload, readings.params);
        let bytes = traffic.touched(workload.batch);
        let intensity = workload.flops_per_row() * workload.batch as f64 / bytes;
        places.push(intensity);
        let of = |row: &&Row| row.workload == workload.name && row.batch == workload.batch;
        let within = |row: &&Row| row.scaling == "strong" && row.threads <= rates.cores;
        let points = rows.iter().filter(of).filter(within);
        let points = points.map(|row| (intensity, row.flops / 1e9));
        let held = traffic.memory_bytes(workload.batch, cache) == 0.0;
        let name = format!("{}{}", workload.name, if held { "" } else { " (from memory)" });
        curves.push(Curve::new(name, color, Style::DottedLine).points(points));
    }
    let low = places.iter().copied().fold(1.0, f64::min) / 2.0;
    let high = places.iter().copied().fold(50.0, f64::max) * 2.0;
    let mut roofs: Vec<usize> = vec![1, rates.cores];
    roofs.dedup();
    for (n, style) in roofs.into_iter().zip([Style::Dashed, Style::Line]) {
        let (peak, memory) = (Rates::at(&rates.peak, n), Rates::at(&rates.memory, n));
        let ridge = (peak / memory).clamp(low, high);
        let roof = [low, ridge, high].map(|at| (at, (at * memory).min(peak) / 1e9));
        let name = format!("roof of {n} thread{}", if n == 1 { "" } else { "s" });
        curves.insert(0, Curve::new(name, GREY, style).points(roof));
    }
    let chart = Chart {
        title: "roofline, measured",
        x: ("operations per byte of parameters, state and features", Scale::Log10),
        y: ("GFLOP/s", Scale::Log10),
        marks: vec![],
        curves,
        from: None,
        line: None,
        predicted: false,
    };
    let caption = "Each dot is a number of threads up to the cores. The slope is the \
                   memory's bandwidth: it bounds only nets whose bytes come from memory; what the caches \
                   hold may lie above it (S. Williams, A. Waterman, D. Patterson, \"Roofline\", 2009).";
    Ok(figure("roofline", caption, chart.svg()?))
}

/// Seconds and epochs to a given accuracy, beside one thread's.
pub fn accuracy(reached: &[Reached]) -> Result<Figure> {
    let counts: Vec<usize> = reached.iter().map(|it| it.threads).collect();
    let mut curves = vec![
        Curve::new("one thread", GREY, Style::Dashed)
            .points(counts.iter().map(|&n| (n as f64, 1.0))),
    ];
    let mut seconds = Curve::new("seconds, with quartiles", COLORS[0], Style::DottedLine);
    let mut epochs = Curve::new("epochs", COLORS[1], Style::DottedLine);
    if let Some((base_s, base_e)) =
        reached.first().and_then(|it| Some((median(&it.seconds()?), it.epochs()?)))
    {
        for it in reached {
            let (Some(times), Some(count)) = (it.seconds(), it.epochs()) else { continue };
            let (n, (low, high)) = (it.threads as f64, quartiles(&times));
            seconds.points.push((n, median(&times) / base_s));
            seconds.bars.push((n, low / base_s, high / base_s));
            epochs.points.push((n, count / base_e));
        }
    }
    curves.extend([epochs, seconds]);
    let title = format!("training until {:.0}% on handwritten digits, measured", 100.0 * GOAL);
    let label = format!("threads, with {ROWS} rows of the batch each");
    let (scale, marks) = threads(&counts);
    let chart = Chart {
        title: &title,
        x: (&label, scale),
        y: ("beside one thread", Scale::Linear),
        marks,
        curves,
        from: Some(0.0),
        line: None,
        predicted: false,
    };
    let caption = "A larger batch makes faster epochs but may need more of them: what counts is the \
                   seconds. Below the dashed line more threads are sooner there.";
    Ok(figure("time-to-accuracy", caption, chart.svg()?))
}

/// Colour of what was measured, in a picture of predictions.
pub const MEASURED: plotters::style::RGBColor = RED;

#[cfg(test)]
mod tests {
    use super::super::fit::fit;
    use super::super::measure::testing::readings;
    use super::super::table::rows;
    use super::*;

    #[test]
    fn every_picture_of_one_workload_is_drawn() {
        let rates = Rates {
            cores: 2,
            peak: vec![(1, 1e9), (2, 2e9)],
            memory: vec![(1, 1e9), (2, 2e9)],
            ..Rates::default()
        };
        let readings = [readings()];
        let rows = rows(&readings[0], &rates, 1 << 20);
        let fits = fit(&readings[0].strong);
        let reached =
            [1, 2].map(|n| Reached { threads: n, batch: n, runs: vec![(n, 1.0)], missed: 0 });
        for (figure, dots) in [
            (speed_ups(&readings, 2), 2),
            (speed_up(&readings[0], fits.as_ref(), 2), 2),
            (efficiency(&rows, &readings, 2), 2),
            (phases(&readings[0]), 0),
            (roofline(&rows, &readings, &rates, 1 << 20), 2),
            (accuracy(&reached), 4),
        ] {
            let figure = figure.unwrap();
            let legend = usize::from(dots > 0) * if dots == 4 { 2 } else { 1 };
            let circles = figure.svg.matches("<circle").count();
            assert_eq!(circles, dots + legend, "{}", figure.name);
            assert!(!figure.predicted && !figure.svg.contains("PREDICTION"));
        }
    }

    #[test]
    fn the_ideal_ends_at_the_cores() {
        let points = ideal(&[1, 2, 4, 5], 4).points;
        assert_eq!((points[0], points[60]), ((1.0, 1.0), (4.0, 4.0)));
        assert_eq!(points[61], (5.0, 4.0));
        assert_eq!(cores_line(&[1, 2, 3], 2).unwrap().1, "2 cores");
        assert!(cores_line(&[1, 2], 2).is_none());
    }

    #[test]
    fn a_run_that_missed_the_goal_leaves_its_point_out() {
        let reached = |threads, missed| Reached { threads, batch: 1, runs: vec![(1, 1.0)], missed };
        let svg = accuracy(&[reached(1, 0), reached(2, 1)]).unwrap().svg;
        assert_eq!(svg.matches("<circle").count(), 2 + 2);
    }
}
