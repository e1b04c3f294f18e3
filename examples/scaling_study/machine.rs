//! What machine this is, as far as it tells.

use std::fs::read_to_string;
use std::process::Command;

/// Name and value, for tables.
pub type Facts = Vec<(&'static str, String)>;

/// The last cache where the machine does not tell: 32 MB.
const CACHE: usize = 32 << 20;

/// Describes processor, cores, caches, instruction sets, compiler and version.
pub fn describe() -> Facts {
    let told = |fact: Option<String>| fact.unwrap_or_else(|| "unknown".to_owned());
    vec![
        ("processor", told(processor())),
        ("cores that this process may use", cores().to_string()),
        ("caches of the first core", told(caches())),
        ("memory", told(memory())),
        ("SIMD level", unisono::SimdLevel::current().to_string()),
        ("operating system", system()),
        ("rustc on the path", told(output("rustc", &["--version"]))),
        ("unisono", version()),
        ("date", told(output("date", &["-u", "+%Y-%m-%d"]))),
    ]
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of the first core's largest cache, and whether the machine said so.
pub fn cache() -> (usize, bool) {
    let sizes = (0..8).filter_map(|index| bytes(&cache_fact(index, "size")?));
    sizes.max().map_or((CACHE, false), |size| (size, true))
}

/// `32768K` in bytes.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    Some(digits.parse::<usize>().ok()? * unit)
}

fn cache_fact(index: usize, name: &str) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}");
    Some(read_to_string(path).ok()?.trim().to_owned())
}

fn caches() -> Option<String> {
    let one = |index| {
        let fact = |name| cache_fact(index, name);
        let kind = match fact("type")?.as_str() {
            "Unified" => String::new(),
            kind => format!(" {}", kind.to_lowercase()),
        };
        let shared = fact("shared_cpu_list").map(|cores| format!(" (of cores {cores})"));
        let shared = shared.filter(|cores| cores.contains([',', '-']));
        Some(format!("L{}{kind} {}{}", fact("level")?, fact("size")?, shared.unwrap_or_default()))
    };
    let caches: Vec<String> = (0..8).map_while(one).collect();
    (!caches.is_empty()).then(|| caches.join(", "))
}

/// The value behind a name and a colon.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn processor() -> Option<String> {
    let text = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = field(&text, "model name");
    let name = name.or_else(|| output("sysctl", &["-n", "machdep.cpu.brand_string"]))?;
    let numbers: Vec<String> = ["cpu family", "model\t", "stepping"]
        .iter()
        .filter_map(|name| Some(format!("{} {}", name.trim(), field(&text, name)?)))
        .collect();
    Some(if numbers.is_empty() { name } else { format!("{name} ({})", numbers.join(", ")) })
}

fn memory() -> Option<String> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let kilobytes: f64 = field(&text, "MemTotal")?.split(' ').next()?.parse().ok()?;
    Some(format!("{:.0} GB", kilobytes * 1024.0 / 1e9))
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

/// The version, and the commit where the sources lie in a repository.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let folder = env!("CARGO_MANIFEST_DIR");
    match output("git", &["-C", folder, "describe", "--always", "--dirty", "--abbrev=12"]) {
        Some(commit) => format!("{version}, commit {commit}"),
        None => version.to_owned(),
    }
}

/// The first line that a program prints.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("32768K"), Some(32 << 20));
        assert_eq!(bytes("1M"), Some(1 << 20));
        assert_eq!((bytes("512"), bytes("1T"), bytes("K")), (Some(512), None, None));
    }

    #[test]
    fn every_fact_has_a_value() {
        let facts = describe();
        assert!(facts.iter().all(|(_, value)| !value.is_empty()), "{facts:?}");
        let of = |name| facts.iter().find(|(fact, _)| *fact == name).unwrap().1.clone();
        assert_eq!(of("SIMD level"), unisono::SimdLevel::current().to_string());
        assert!(of("unisono").starts_with(env!("CARGO_PKG_VERSION")));
    }
}
