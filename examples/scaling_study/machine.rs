//! What machine this is, as far as it tells, and how busy.

use std::fs::read_to_string;
use std::process::Command;

/// Name and value, for tables.
pub type Facts = Vec<(&'static str, String)>;

/// Describes processor, cores, caches, instruction sets and compiler.
pub fn describe() -> Facts {
    let unknown = || "unknown".to_owned();
    vec![
        ("processor", processor().unwrap_or_else(unknown)),
        ("cores that this process may use", cores().to_string()),
        ("caches of the first core", caches().unwrap_or_else(unknown)),
        ("SIMD level", unisono::SimdLevel::current().to_string()),
        ("operating system", system()),
        ("rustc on the path", rustc().unwrap_or_else(unknown)),
        ("unisono", env!("CARGO_PKG_VERSION").to_owned()),
        ("load average before", load().map_or_else(unknown, |load| format!("{load:.2}"))),
    ]
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processes that ran or waited during the last minute, on average.
pub fn load() -> Option<f64> {
    read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Time that the host gave to others while this machine wanted to run, in ticks, and all ticks.
pub fn stolen() -> Option<(u64, u64)> {
    let text = read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    Some((*ticks.get(7)?, ticks.iter().take(8).sum()))
}

fn processor() -> Option<String> {
    let text = read_to_string("/proc/cpuinfo").ok();
    let field = |name: &str| {
        let line = text.as_ref()?.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    field("model name").or_else(|| {
        let output =
            Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (!name.is_empty()).then_some(name)
    })
}

fn caches() -> Option<String> {
    let part = |index: usize, name: &str| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}");
        Some(read_to_string(path).ok()?.trim().to_owned())
    };
    let caches: Vec<String> = (0..8)
        .map_while(|index| {
            let kind = part(index, "type")?;
            let kind = if kind == "Unified" { String::new() } else { format!(" {kind}") };
            Some(format!(
                "L{}{} {}",
                part(index, "level")?,
                kind.to_lowercase(),
                part(index, "size")?
            ))
        })
        .collect();
    (!caches.is_empty()).then(|| caches.join(", "))
}

fn system() -> String {
    let release = read_to_string("/etc/os-release").ok();
    let name = release.as_ref().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("PRETTY_NAME="))?;
        Some(line["PRETTY_NAME=".len()..].trim_matches('"').to_owned())
    });
    let kernel = read_to_string("/proc/sys/kernel/osrelease").ok();
    let kernel = kernel.map(|text| format!(", kernel {}", text.trim()));
    format!(
        "{} {}{}",
        name.unwrap_or_else(|| std::env::consts::OS.to_owned()),
        std::env::consts::ARCH,
        kernel.unwrap_or_default()
    )
}

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
