//! The scaling study as a user runs it: `--quick` to the end, its tables, and its report in a real
//! browser. `UNISONO_CHROMIUM` names one, else `chromium` is looked for.
#![cfg(feature = "png")]

mod common;

use std::collections::BTreeMap;
use std::fs::{File, read_to_string};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Without optimisation the larger nets would take many minutes.
const WORKLOADS: &[&str] =
    if cfg!(debug_assertions) { &["tiny", "small"] } else { &["tiny", "small", "medium", "wide"] };
const THREADS: [usize; 3] = [1, 2, 3];

static STUDY: LazyLock<PathBuf> = LazyLock::new(|| common::built_example("scaling_study"));

/// A folder that `--quick` has written, and what it printed.
static QUICK: LazyLock<(TempDir, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let threads = THREADS.map(|n| n.to_string()).join(",");
    let output = Command::new(&*STUDY)
        .args(["--quick", "--threads", &threads, "--workloads", &WORKLOADS.join(",")])
        .args(["--for", "server, 64 cores=64,100,300", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (folder, String::from_utf8(output.stdout).unwrap())
});

fn read(name: &str) -> String {
    read_to_string(QUICK.0.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn pictures(ending: &str) -> Vec<String> {
    let names = std::fs::read_dir(QUICK.0.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

/// The lines of a CSV file by the columns' names.
fn lines(name: &str) -> Vec<BTreeMap<String, String>> {
    let text = read(name);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().unwrap()
}

fn number(line: &BTreeMap<String, String>, column: &str) -> f64 {
    line[column].parse().unwrap_or_else(|_| panic!("{column} of {line:?}"))
}

#[test]
fn quick_runs_to_the_end_and_writes_everything() {
    let printed = &QUICK.1;
    assert!(printed.contains("report.html"), "{printed}");
    // Of each workload: speed-up and phases measured; for two machines speed-up and parts predicted.
    let count = 6 * WORKLOADS.len() + 2 + 4;
    assert_eq!((pictures(".svg").len(), pictures(".png").len()), (count, count));
    let table = read("table.md");
    for text in ["SIMD level", "rustc", "caches", "GFLOP/s", "GB/s", "Amdahl", "quartiles"] {
        assert!(table.contains(text), "{text} is missing in:\n{table}");
    }
    assert!(printed.contains(&table));
}

/// Every figure of the table follows from the readings, computed here by other means.
#[test]
fn the_table_follows_from_the_readings() {
    let mut readings: BTreeMap<[String; 3], Vec<f64>> = BTreeMap::new();
    let key = |line: &BTreeMap<String, String>| {
        ["workload", "scaling", "threads"].map(|column| line[column].clone())
    };
    for line in lines("readings.csv") {
        readings.entry(key(&line)).or_default().push(number(&line, "seconds_per_step"));
    }
    let median = |workload: &str, scaling: &str, threads: &str| {
        let mut values = readings[&[workload, scaling, threads].map(str::to_owned)].clone();
        values.sort_by(f64::total_cmp);
        let n = values.len();
        (values[(n - 1) / 2] + values[n / 2]) / 2.0
    };
    let table = lines("table.csv");
    assert_eq!(table.len(), WORKLOADS.len() * (2 + 2 * THREADS.len()));
    let (mut peaks, mut traffic) = (BTreeMap::new(), BTreeMap::new());
    for line in &table {
        let [workload, scaling, threads] = key(line);
        let (seconds, n) = (median(&workload, &scaling, &threads), number(line, "threads"));
        let gain = match scaling.as_str() {
            "weak" => median(&workload, "weak", "1") / seconds,
            _ => median(&workload, "sequential", "1") / seconds / n,
        };
        let expected = [
            ("seconds_per_step", seconds),
            ("efficiency", gain),
            ("speed_up", gain * n),
            ("rows_per_s", number(line, "batch") / seconds),
        ];
        for (column, expected) in expected {
            let found = number(line, column);
            assert!((found / expected - 1.0).abs() < 1e-9, "{column} of {line:?}: {expected}");
        }
        if scaling == "default" && line["share_of_peak"].is_empty() {
            // The trainer chose a number of threads that is neither named nor all cores.
            continue;
        }
        // One peak for each number of threads. How large the shares are is up to what else runs meanwhile.
        let peak = number(line, "gflops") / number(line, "share_of_peak");
        let first: f64 = *peaks.entry(line["threads"].clone()).or_insert(peak);
        assert!(peak > 0.0 && (peak / first - 1.0).abs() < 1e-9, "{line:?}: {first}");
        // A step's bytes at the bandwidth of so many threads take as long whatever the scaling is called.
        let bytes = number(line, "share_of_memory") * seconds;
        let step = ["workload", "batch", "threads"].map(|column| line[column].clone());
        let first: f64 = *traffic.entry(step).or_insert(bytes);
        assert!(bytes >= 0.0 && (bytes - first).abs() <= 1e-9 * first, "{line:?}: {first}");
    }
}

#[test]
fn predictions_are_marked_in_every_file() {
    for name in pictures(".svg") {
        assert_eq!(read(&name).contains("PREDICTION"), name.starts_with("prediction"), "{name}");
    }
    let predicted = lines("prediction.csv");
    // Doublings up to 128 of cores like these, and up to 64 of the other machine.
    assert_eq!(predicted.len(), WORKLOADS.len() * (8 + 7));
    let head = read("prediction.csv");
    for column in head.lines().next().unwrap().split(',').skip(3) {
        assert!(column.starts_with("predicted") || column.starts_with("simulated"), "{column}");
    }
    let headings: Vec<String> = read("table.md")
        .lines()
        .filter(|line| line.starts_with("## "))
        .map(str::to_owned)
        .collect();
    let from = headings.iter().position(|line| line.starts_with("## Prediction: ")).unwrap();
    assert!(
        headings[from..].iter().all(|line| line.starts_with("## Prediction: ")),
        "{headings:?}"
    );
    assert_eq!(read("report.html").matches("NOT MEASURED").count(), headings.len() - from);
}

#[test]
fn flags_are_explained_and_wrong_ones_named() {
    let run = |arguments: &[&str]| Command::new(&*STUDY).args(arguments).output().unwrap();
    let help = run(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for flag in ["--quick", "--out", "--threads", "--workloads", "--for", "--help"] {
        assert!(text.contains(flag), "{flag} is missing in:\n{text}");
    }
    let message = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    for (arguments, named) in [
        (&["--fast"][..], "--fast"),
        (&["--threads", "none"], "--threads"),
        (&["--workloads", "huge"], "--workloads"),
        (&["--for", "big"], "--for"),
        (&["--out"], "--out"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(message(&output).contains(named), "{}", message(&output));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run(&["--quick", "--out", &file.path().join("folder").to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("--out"), "{}", message(&output));
}

/// A browser that can be started.
fn browser() -> Option<String> {
    let named = std::env::var("UNISONO_CHROMIUM").ok();
    let candidates = match &named {
        Some(named) => vec![named.as_str()],
        None => vec!["chromium", "chromium-browser", "google-chrome"],
    };
    let starts = |name: &&&str| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let found = candidates.iter().find(starts).map(|&name| name.to_owned());
    assert!(found.is_some() || named.is_none(), "{named:?} does not start");
    if found.is_none() {
        eprintln!("skipped: there is no chromium");
    }
    found
}

/// Opens a page and returns what its script has put into the element `found`.
fn look(browser: &str, page: &Path) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dom.html");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1350,1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .stdout(File::create(&dump).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("{browser} did not come back");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let dom = read_to_string(dump).unwrap();
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found.unwrap_or_else(|| panic!("the script did not run: {dom}"));
    serde_json::from_str(&found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .unwrap()
}

/// Looks at every picture inside of the page: is something drawn, and can all texts be read?
const INSPECT: &str = r#"
addEventListener("load", () => {
  const found = { pictures: 0, drawn: 0, unreadable: [], blank: [] };
  for (const figure of document.querySelectorAll("figure")) {
    found.pictures += 1;
    const svg = figure.querySelector("svg");
    const frame = svg.getBoundingClientRect();
    const box = svg.getBBox();
    const marks = [...svg.querySelectorAll("polyline, circle, path, rect")];
    const inked = marks.filter(mark => {
      const size = mark.getBoundingClientRect();
      return size.width + size.height > 0;
    });
    if (frame.width > 0 && frame.height > 0 && box.width > 0 && box.height > 0 && inked.length > 4) {
      found.drawn += 1;
    } else {
      found.blank.push(figure.id);
    }
    const texts = [...svg.querySelectorAll("text")].map(text => [
      text.textContent.trim(), text.getBoundingClientRect()
    ]);
    for (const [text, at] of texts) {
      if (at.width === 0 || at.left < frame.left || at.right > frame.right ||
          at.top < frame.top || at.bottom > frame.bottom) {
        found.unreadable.push(`${figure.id}: ${text} is cut off`);
      }
    }
    texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
      const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (wide > 1 && high > 3) found.unreadable.push(`${figure.id}: ${a} lies on ${b}`);
    }));
  }
  found.tables = document.querySelectorAll("table").length;
  found.requests = performance.getEntriesByType("resource").length;
  found.wide = document.documentElement.scrollWidth > innerWidth;
  const pre = document.createElement("pre");
  pre.id = "found";
  pre.textContent = JSON.stringify(found);
  document.body.append(pre);
});
"#;

#[test]
fn the_report_opens_in_a_browser_with_every_picture_drawn() {
    let Some(browser) = browser() else { return };
    let script = format!("<script>{INSPECT}</script></body>");
    let page = QUICK.0.path().join("inspected.html");
    std::fs::write(&page, read("report.html").replace("</body>", &script)).unwrap();
    let found = look(&browser, &page);
    assert_eq!(found["pictures"], pictures(".svg").len(), "{found}");
    assert_eq!(found["drawn"], found["pictures"], "{found}");
    assert_eq!(found["unreadable"], Value::Array(vec![]));
    assert_eq!((&found["requests"], &found["wide"]), (&0.into(), &false.into()), "{found}");
    assert_eq!(found["tables"], 11, "{found}");
}

#[test]
fn the_picture_files_open_in_a_browser() {
    let Some(browser) = browser() else { return };
    let names: Vec<String> = [pictures(".svg"), pictures(".png")].concat();
    let images: String = names.iter().map(|name| format!("<img src=\"{name}\">")).collect();
    let script = r#"<script>addEventListener("load", () => {
        const pre = document.createElement("pre");
        pre.id = "found";
        pre.textContent = JSON.stringify([...document.images].map(image => image.naturalWidth));
        document.body.append(pre);
    });</script>"#;
    let page = QUICK.0.path().join("pictures.html");
    std::fs::write(&page, format!("<!doctype html><body>{images}{script}</body>")).unwrap();
    let widths = look(&browser, &page);
    let widths: Vec<u64> =
        widths.as_array().unwrap().iter().map(|width| width.as_u64().unwrap()).collect();
    let half = names.len() / 2;
    assert_eq!(widths, [vec![620; half], vec![1240; half]].concat());
}
