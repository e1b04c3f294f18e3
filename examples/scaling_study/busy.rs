//! What disturbed the readings: other processes, other machines on the host, a clock that wanders.

use std::fs::read_to_string;
use std::time::Duration;

use unisono::bench_support::median;

use super::measure::Readings;
use super::rates::Rates;
use super::table::{Row, spread};

/// Share of the machine from which others count as a disturbance.
const OTHERS: f64 = 0.05;
/// Share of the time that the host may give to other machines.
const STOLEN: f64 = 0.01;
/// How far the clock or a reading may wander.
const DRIFT: f64 = 0.1;
/// How far the machine's rates may differ from before to after.
const CHANGE: f64 = 0.25;

/// Ticks of the system's clock that the processors spent, since it started.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    all: u64,
    busy: u64,
    stolen: u64,
    /// Of this process.
    own: u64,
}

/// What the processors did for others while it was watched.
#[derive(Debug, Clone, Copy)]
pub struct Watch(Option<Ticks>);

impl Watch {
    pub fn start() -> Self {
        let text = |path| read_to_string(path).ok();
        Self(text("/proc/stat").and_then(|all| ticks(&all, &text("/proc/self/stat")?)))
    }

    /// The shares of the machine that other processes had, and other machines of the host, since.
    pub fn others(self) -> Option<(f64, f64)> {
        let (from, to) = (self.0?, Self::start().0?);
        let all = (to.all - from.all).max(1) as f64;
        let others = (to.busy - from.busy).saturating_sub(to.own - from.own);
        Some((others as f64 / all, to.stolen.saturating_sub(from.stolen) as f64 / all))
    }
}

fn ticks(all: &str, own: &str) -> Option<Ticks> {
    let numbers = |text: &str| -> Vec<u64> {
        text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    // user, nice, system, idle, waiting for disks, interrupts (two kinds), stolen
    let [user, nice, system, idle, disk, hard, soft, stolen, ..] = numbers(all.lines().next()?)[..]
    else {
        return None;
    };
    // Behind the name in brackets stand the state, ten numbers, user and system.
    let own = own.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let busy = user + nice + system + hard + soft;
    Some(Ticks {
        all: busy + idle + disk + stolen,
        busy,
        stolen,
        own: own.filter_map(|ticks| ticks.parse::<u64>().ok()).sum(),
    })
}

/// Looks for a moment at who else runs, before anything is measured.
pub fn before() -> Option<(f64, f64)> {
    let watch = Watch::start();
    std::thread::sleep(Duration::from_millis(500));
    watch.others()
}

/// What should make a reader careful.
pub fn warnings(
    before: Option<(f64, f64)>,
    during: Option<(f64, f64)>,
    rates: [&Rates; 2],
    readings: &[Readings],
    rows: &[Row],
) -> Vec<String> {
    let mut warnings = vec![];
    for (shares, when) in [(before, "before the study began"), (during, "during the study")] {
        let Some((others, stolen)) = shares else { continue };
        if others > OTHERS {
            let percent = 100.0 * others;
            warnings.push(format!(
                "The machine was busy {when}: other processes used {percent:.0}% of its cores. Run \
                 it again when nothing else runs."
            ));
        }
        if stolen > STOLEN {
            let percent = 100.0 * stolen;
            warnings.push(format!("The host gave {percent:.1}% of the time to others {when}."));
        }
    }
    let peaks: Vec<f64> = readings.iter().flat_map(|readings| readings.peaks.clone()).collect();
    let wander = spread(&peaks);
    if wander > DRIFT {
        warnings.push(format!(
            "The cores' clock drifted: the quartiles of one core's arithmetic peak, taken once a \
             round, lie {:.0}% apart around {:.0} GFLOP/s.",
            100.0 * wander,
            median(&peaks) / 1e9
        ));
    }
    warnings.extend(changes(rates));
    let wide: Vec<_> = rows
        .iter()
        .filter(|row| row.spread > DRIFT)
        .map(|row| format!("{} {} on {}", row.workload, row.scaling, row.threads))
        .collect();
    if !wide.is_empty() {
        warnings.push(format!("Quartiles more than 10% apart: {}.", wide.join("; ")));
    }
    warnings
}

/// Rates that were others at the end than at the beginning.
fn changes([before, after]: [&Rates; 2]) -> Vec<String> {
    let mut found = vec![];
    let mut compare = |what: String, before: f64, after: f64| {
        let change = after / before - 1.0;
        if change.is_finite() && change.abs() > CHANGE {
            let percent = 100.0 * change;
            found.push(format!(
                "The machine changed meanwhile: {what} was {percent:+.0}% after the study beside \
                 before."
            ));
        }
    };
    for (name, before, after) in [
        ("arithmetic", &before.peak, &after.peak),
        ("memory's bandwidth", &before.memory, &after.memory),
    ] {
        for ((n, before), (_, after)) in before.iter().zip(after) {
            compare(format!("{name} on {n} threads"), *before, *after);
        }
    }
    compare("what goes from core to core".into(), before.handed, after.handed);
    found
}

#[cfg(test)]
mod tests {
    use super::super::measure::testing;
    use super::*;

    #[test]
    fn ticks_are_told_apart() {
        let all = "cpu  100 10 50 800 20 3 7 10 0 0\ncpu0 1 2 3\n";
        let own = "42 (a (strange) name) S 1 42 42 0 -1 0 9 9 9 9 30 12 0 0 20 0 1";
        let found = ticks(all, own).unwrap();
        assert_eq!((found.all, found.busy, found.stolen, found.own), (1000, 170, 10, 42));
        assert!(ticks("cpu 1 2", own).is_none() && ticks("", own).is_none());
    }

    #[test]
    fn one_that_works_alone_sees_no_others_in_its_own_time() {
        let from = Ticks { all: 0, busy: 0, stolen: 0, own: 0 };
        // Since the system started others were busy too, but never more than all the time.
        if let Some((others, stolen)) = Watch(Some(from)).others() {
            assert!((0.0..=1.0).contains(&others) && (0.0..=1.0).contains(&stolen));
        }
    }

    #[test]
    fn every_reason_for_care_is_told() {
        let mut readings = testing::readings();
        readings.peaks = vec![1e9, 1.1e9, 1.3e9, 1.5e9];
        let row = |scaling, spread| Row {
            workload: "net".into(),
            scaling,
            threads: 2,
            batch: 100,
            seconds: 1.0,
            spread,
            speed_up: 1.0,
            efficiency: 0.5,
            flops: 1e9,
            share_of_peak: Some(0.5),
            share_of_memory: Some(0.0),
        };
        let (rates, rows) = (Rates::default(), [row("weak", 0.05), row("strong", 0.3)]);
        let (before, during) = (Some((0.3, 0.0)), Some((0.0, 0.2)));
        let found = warnings(before, during, [&rates; 2], &[readings], &rows);
        for (warning, expected) in found.iter().zip([
            "busy before the study began: other processes used 30%",
            "gave 20.0% of the time to others during the study",
            "clock drifted",
            "more than 10% apart: net strong on 2.",
        ]) {
            assert!(warning.contains(expected), "{warning} should contain {expected}");
        }
        assert_eq!(found.len(), 4);
        let calm = [testing::readings()];
        assert!(warnings(None, Some((0.0, 0.0)), [&rates; 2], &calm, &rows[..1]).is_empty());
    }

    #[test]
    fn a_machine_that_changed_is_told() {
        let rates = |memory| Rates {
            peak: vec![(1, 1e9)],
            memory: vec![(1, memory)],
            handed: f64::INFINITY,
            ..Rates::default()
        };
        assert!(changes([&rates(1e9), &rates(1.1e9)]).is_empty());
        let found = changes([&rates(1e9), &rates(0.5e9)]);
        assert!(found.len() == 1 && found[0].contains("bandwidth on 1"), "{found:?}");
    }
}
