//! The study's pictures.

use unisono::bench_support::{Phase, median};

use super::accuracy::Reached;
use super::chart::{COLORS, Chart, Curve, Scale, Style, stacked};
use super::fit::{Fits, amdahl, usl};
use super::measure::Readings;
use super::predict::{MOST, Target};
use super::rates::Rates;
use super::simulate::{jittered, uneven};
use super::table::{Row, quartiles};

/// A picture with its file's name and what it shows.
#[derive(Debug, Clone)]
pub struct Figure {
    pub name: String,
    pub caption: String,
    pub svg: String,
}

type Drawn = Result<Figure, Box<dyn std::error::Error>>;

fn figure(name: String, caption: &str, svg: String) -> Figure {
    Figure { name, caption: caption.to_owned(), svg }
}

/// Few threads are drawn evenly, many by doublings.
fn thread_scale(most: usize) -> Scale {
    if most <= 12 { Scale::Linear } else { Scale::Log2 }
}

/// Threads between which a law is drawn.
fn steps(most: usize) -> impl Iterator<Item = f64> {
    (0..=60).map(move |i| (most as f64).powf(f64::from(i) / 60.0))
}

/// Measured speed-ups with the ideal line and both fits.
pub fn speed_up(readings: &Readings, fits: Option<&Fits>) -> Drawn {
    let name = readings.workload.name;
    let most = readings.strong.threads.iter().copied().max().unwrap_or(1);
    let base = median(&readings.sequential);
    let mut measured = Curve::new("measured, with quartiles", COLORS[0], Style::Dots);
    for (i, &n) in readings.strong.threads.iter().enumerate() {
        let times: Vec<f64> = readings.strong.rounds.iter().map(|round| round[i]).collect();
        let (low, high) = quartiles(&times);
        measured.points.push((n as f64, base / median(&times)));
        measured.bars.push((n as f64, base / high, base / low));
    }
    let line = |f: &dyn Fn(f64) -> f64| steps(most).map(|n| (n, f(n))).collect::<Vec<_>>();
    let mut curves = vec![Curve::new("ideal", COLORS[4], Style::Dashed).points(line(&|n| n))];
    if let Some(fits) = fits {
        // The fits are relative to one thread of the parallel step.
        let alone = measured.points[0].1;
        let (serial, a, b) = (fits.serial.value, fits.contention.value, fits.coherence.value);
        let amdahl = line(&|n| alone * amdahl(serial, n));
        curves.push(Curve::new("Amdahl's law", COLORS[1], Style::Line).points(amdahl));
        let usl = line(&|n| alone * usl(a, b, n));
        curves.push(Curve::new("Universal Scalability Law", COLORS[2], Style::Line).points(usl));
    }
    curves.push(measured);
    let title = format!("{name}: speed-up over the sequential step");
    let chart = Chart {
        title: &title,
        x: ("threads", thread_scale(most)),
        y: ("times as fast", Scale::Linear),
        curves,
        from_zero: true,
    };
    let caption = "Strong scaling: the same batch on more threads.";
    Ok(figure(format!("speed-up-{name}"), caption, chart.svg()?))
}

/// Efficiency of all workloads, strong and weak.
pub fn efficiency(rows: &[Row], workloads: &[&str]) -> Drawn {
    let mut curves = vec![];
    for (index, &workload) in workloads.iter().enumerate() {
        for (scaling, style) in [("strong", Style::DottedLine), ("weak", Style::Dashed)] {
            let of = |row: &&Row| row.workload == workload && row.scaling == scaling;
            let points = rows.iter().filter(of).map(|row| (row.threads as f64, row.efficiency));
            let name = format!("{workload}, {scaling}");
            curves.push(Curve::new(name, COLORS[index % COLORS.len()], style).points(points));
        }
    }
    let most = rows.iter().map(|row| row.threads).max().unwrap_or(1);
    let chart = Chart {
        title: "parallel efficiency",
        x: ("threads", thread_scale(most)),
        y: ("speed-up / threads", Scale::Linear),
        curves,
        from_zero: true,
    };
    let caption = "Strong: the same batch. Weak: the same rows for each thread.";
    Ok(figure("efficiency".into(), caption, chart.svg()?))
}

/// Where a step's time goes, all workers together, beside the time of one thread.
pub fn phases(readings: &Readings) -> Drawn {
    let name = readings.workload.name;
    let parts: Vec<_> = Phase::ALL.iter().map(|phase| phase.name()).collect();
    let bars: Vec<_> = readings
        .phases
        .iter()
        .map(|(n, phases)| {
            let milliseconds = phases.iter().map(|seconds| seconds * 1e3 / *n as f64);
            (n.to_string(), milliseconds.collect())
        })
        .collect();
    let svg = stacked(&format!("{name}: time by phase"), "ms a step", &parts, &bars)?;
    let caption = "Each worker's time, averaged. `reduce` holds the gradients by the parameters with \
                   the tree-sum, `update` the optimizer and the transpose; both run in one pass over \
                   the parameters. `wait` is waiting for other workers.";
    Ok(figure(format!("phases-{name}"), caption, svg))
}

/// Arithmetic by byte, under the machine's two roofs.
pub fn roofline(rows: &[Row], readings: &[Readings], rates: &Rates) -> Drawn {
    let Some(&(threads, peak)) = rates.peak.last() else {
        return Err("no peak was measured".into());
    };
    let memory = Rates::at(&rates.memory, threads);
    let intensity = |readings: &Readings| {
        let Readings { workload, params, .. } = readings;
        let batch = workload.batch as f64;
        let bytes = 28.0 * *params as f64 + 4.0 * workload.layers[0] as f64 * batch;
        workload.flops_per_row() * batch / bytes
    };
    let ends = readings
        .iter()
        .map(intensity)
        .fold((0.5_f64, 20.0_f64), |(low, high), at| (low.min(at / 2.0), high.max(at * 2.0)));
    let roof = |at: f64| (at, (at * memory).min(peak) / 1e9);
    let line = (0..=80).map(|i| roof(ends.0 * (ends.1 / ends.0).powf(f64::from(i) / 80.0)));
    let name = format!("roof of {threads} threads");
    let mut curves = vec![Curve::new(name, COLORS[4], Style::Line).points(line)];
    for (index, readings) in readings.iter().enumerate() {
        let workload = readings.workload.name;
        let best = rows
            .iter()
            .filter(|row| row.workload == workload && row.scaling != "weak")
            .map(|row| row.flops)
            .fold(0.0, f64::max);
        let point = [(intensity(readings), best / 1e9)];
        curves.push(Curve::new(workload, COLORS[index % 4], Style::Dots).points(point));
    }
    let chart = Chart {
        title: "roofline",
        x: ("operations per byte that has to pass by", Scale::Log10),
        y: ("GFLOP/s", Scale::Log10),
        curves,
        from_zero: false,
    };
    let caption = "The best of the measured numbers of threads beside what arithmetic and memory allow \
                   (S. Williams, A. Waterman, D. Patterson, \"Roofline\", 2009). Bytes are counted as if \
                   no cache held anything: nets that fit into one may lie above the slope.";
    Ok(figure("roofline".into(), caption, chart.svg()?))
}

/// Seconds to a given accuracy.
pub fn accuracy(reached: &[Reached]) -> Drawn {
    let points = |of: fn(&Reached) -> Option<f64>| -> Vec<(f64, f64)> {
        reached.iter().filter_map(|it| Some((it.threads as f64, of(it)?))).collect()
    };
    let alone = |points: &[(f64, f64)]| points.first().map_or(1.0, |point| point.1);
    let (seconds, epochs) = (points(|it| it.seconds), points(|it| it.epochs));
    let relative = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().map(|&(n, y)| (n, y / alone(points))).collect()
    };
    let curves = vec![
        Curve::new("seconds", COLORS[0], Style::DottedLine).points(relative(&seconds)),
        Curve::new("epochs", COLORS[1], Style::DottedLine).points(relative(&epochs)),
    ];
    let most = reached.iter().map(|it| it.threads).max().unwrap_or(1);
    let chart = Chart {
        title: "time to 95% on handwritten digits, beside one thread's",
        x: ("threads, 32 rows of the batch each", thread_scale(most)),
        y: ("times one thread's", Scale::Linear),
        curves,
        from_zero: true,
    };
    let caption = "A larger batch makes faster epochs but may need more of them: what counts is the \
                   product.";
    Ok(figure("time-to-accuracy".into(), caption, chart.svg()?))
}

/// Predicted speed-ups for 1 to 128 threads: closed form, simulation, and uneven cores.
pub fn prediction(readings: &Readings, rates: &Rates, target: &Target) -> Drawn {
    let name = readings.workload.name;
    let (work, batch) = (&readings.work, readings.workload.batch);
    let cores: Vec<usize> =
        (0..=7).map(|i| 1 << i).filter(|&n| n <= MOST.min(target.cores)).collect();
    let at = |n: usize| work.predict(rates, target, n, batch);
    let alone = at(1).seconds();
    let closed: Vec<_> = cores.iter().map(|&n| (n as f64, alone / at(n).seconds())).collect();
    let simulated = |speeds: &dyn Fn(usize) -> Vec<f64>| -> Vec<(f64, f64)> {
        let time = |n: usize| {
            let predicted = at(n);
            let halves = work.halves(n, batch);
            let halves = [&halves[0][..], &halves[1][..]];
            let rest = predicted.seconds() - predicted.shared - predicted.pieces;
            jittered(halves, &speeds(n), 0.1) / target.speed + rest
        };
        cores.iter().map(|&n| (n as f64, time(1) / time(n))).collect()
    };
    let measured: Vec<_> = readings
        .strong
        .speed_ups()
        .into_iter()
        .filter(|(n, _)| *n <= super::machine::cores())
        .map(|(n, s)| (n as f64, s))
        .collect();
    let most = cores.last().copied().unwrap_or(1);
    let ideal = steps(most).map(|n| (n, n));
    let curves = vec![
        Curve::new("ideal", COLORS[4], Style::Dashed).points(ideal),
        Curve::new("predicted", COLORS[0], Style::DottedLine).points(closed),
        Curve::new("simulated, pieces up to 10% longer", COLORS[2], Style::Line)
            .points(simulated(&|n| vec![1.0; n])),
        Curve::new("simulated, every other core half as fast", COLORS[1], Style::Line)
            .points(simulated(&uneven)),
        Curve::new("measured", COLORS[5], Style::Dots).points(measured),
    ];
    let title = format!("{name}: PREDICTED speed-up, {}", target.name);
    let chart = Chart {
        title: &title,
        x: ("threads, a core for each", Scale::Log2),
        y: ("times as fast", Scale::Log2),
        curves,
        from_zero: false,
    };
    let file =
        format!("prediction-{name}-{}", target.name.replace(|c: char| !c.is_alphanumeric(), "-"));
    let caption = "A prediction, not a measurement, but for the points marked so.";
    Ok(figure(file, caption, chart.svg()?))
}
