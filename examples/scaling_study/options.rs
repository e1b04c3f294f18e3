//! What the command line asks for.

use std::path::PathBuf;

use unisono::bench_support::{SCALING, Workload};

use super::machine;
use super::predict::{LIKE_THESE, MOST};

/// What `--help` prints.
pub const HELP: &str = "\
Measures how training scales over threads on this machine, and predicts more threads.

  --quick            fewer and shorter readings: under a minute instead of some
  --out FOLDER       where report.html, tables and pictures go [scaling_study]
  --threads LIST     numbers of threads, as 1,2,4 [1, 2, 3, 4, 6, 8, … up to the cores, and one
                     beyond]
  --workloads LIST   some of tiny, small, medium, wide [all]
  --for NAME=CORES,GFLOPS,GBS[,MB]
                     predicts for another machine too: its cores, the GFLOP/s of one of them (f32,
                     fused multiply-add), the GB/s of its memory, and the MB of its last cache [as
                     here]; may be given several times
  --help             prints this

Run it on an idle machine; the report says what disturbed it. It needs a font for the PNG pictures.";

/// Another machine to predict for.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub name: String,
    pub cores: usize,
    /// Floating-point operations per second of one core.
    pub flops: f64,
    /// Bytes per second of all memory.
    pub memory: f64,
    /// Bytes of the last cache; as here if it is not given.
    pub cache: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub quick: bool,
    pub out: PathBuf,
    pub threads: Vec<usize>,
    pub workloads: Vec<Workload>,
    pub machines: Vec<Machine>,
}

impl Options {
    /// Reads the flags; `None` if help is asked for.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            quick: false,
            out: "scaling_study".into(),
            threads: thread_counts(machine::cores()),
            workloads: SCALING.to_vec(),
            machines: vec![],
        };
        while let Some(argument) = arguments.next() {
            let (flag, given) = match argument.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            if let ("--quick" | "--help" | "-h", Some(value)) = (flag.as_str(), &given) {
                return Err(format!("{flag} takes no value, found {value:?}"));
            }
            let mut value = || {
                given.clone().or_else(|| arguments.next()).ok_or(format!("{flag} needs a value"))
            };
            match flag.as_str() {
                "--help" | "-h" => return Ok(None),
                "--quick" => options.quick = true,
                "--out" => options.out = value()?.into(),
                "--threads" => options.threads = threads(&value()?)?,
                "--workloads" => options.workloads = workloads(&value()?)?,
                "--for" => options.add(machine(&value()?)?)?,
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        Ok(Some(options))
    }

    fn add(&mut self, machine: Machine) -> Result<(), String> {
        let name = &machine.name;
        if self.machines.iter().any(|other| file_name(&other.name) == file_name(name)) {
            return Err(format!("--for: {name:?} is named twice"));
        }
        let all = self.machines.iter().map(|other| other.name.as_str()).chain([LIKE_THESE]);
        if let Some(other) = all.into_iter().find(|other| same_files(other, name)) {
            return Err(format!(
                "--for: {name:?} would write the files of {other:?}, which is predicted for too; choose \
                 another name"
            ));
        }
        self.machines.push(machine);
        Ok(())
    }
}

/// A name as part of a file's name.
pub fn file_name(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "-").to_lowercase()
}

/// Whether pictures of two machines would share a file: that of all workloads is named by the machine,
/// those of one by the workload before it.
fn same_files(a: &str, b: &str) -> bool {
    let (a, b) = (file_name(a), file_name(b));
    let of_one = |all: &str, one: &str| {
        let named = |w: &Workload| [format!("{}-{one}", w.name), format!("parts-{}-{one}", w.name)];
        SCALING.iter().flat_map(named).any(|name| name == all)
    };
    a == b || of_one(&a, &b) || of_one(&b, &a)
}

/// 1, 2, 3, 4, 6, 8, 12, … up to the cores, all cores, and one beyond.
fn thread_counts(cores: usize) -> Vec<usize> {
    let doublings = (0..).map(|i| 1_usize << i).take_while(|&n| n <= cores);
    let mut counts: Vec<usize> = doublings.flat_map(|n| [n, n + n / 2]).collect();
    counts.retain(|&n| n <= cores);
    counts.extend([cores, cores + 1]);
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn threads(text: &str) -> Result<Vec<usize>, String> {
    let wrong = || format!("--threads: expected numbers from 1 to {MOST}, found {text:?}");
    let parsed: Option<Vec<usize>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    let mut counts = parsed.ok_or_else(wrong)?;
    if counts.iter().any(|&n| n == 0 || n > MOST) {
        return Err(wrong());
    }
    // Speed-ups are over one thread.
    counts.push(1);
    counts.sort_unstable();
    counts.dedup();
    Ok(counts)
}

fn workloads(text: &str) -> Result<Vec<Workload>, String> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    let known = |name: &&str| SCALING.iter().any(|workload| workload.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known = SCALING.map(|workload| workload.name).join(", ");
        return Err(format!("--workloads: expected some of {known}, found {unknown:?}"));
    }
    Ok(SCALING.into_iter().filter(|workload| names.contains(&workload.name)).collect())
}

fn machine(text: &str) -> Result<Machine, String> {
    let parsed = || {
        let (name, rest) = text.split_once('=').filter(|(name, _)| !name.trim().is_empty())?;
        let parts: Vec<&str> = rest.split(',').map(str::trim).collect();
        let (cores, rest) = parts.split_first()?;
        let cores = cores.parse().ok().filter(|&n: &usize| n > 0)?;
        let rate = |text: &&str| text.parse().ok().filter(|&r: &f64| r.is_finite() && r > 0.0);
        let rates: Option<Vec<f64>> = rest.iter().map(rate).collect();
        let (flops, memory, cache) = match rates?[..] {
            [flops, memory] => (flops * 1e9, memory * 1e9, None),
            [flops, memory, cache] => (flops * 1e9, memory * 1e9, Some((cache * 1e6) as usize)),
            _ => return None,
        };
        Some(Machine { name: name.trim().to_owned(), cores, flops, memory, cache })
    };
    parsed().ok_or(format!(
        "--for: expected NAME=CORES,GFLOPS,GBS[,MB] with numbers above 0, found {text:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Options>, String> {
        Options::parse(text.split(' ').map(str::to_owned))
    }

    #[test]
    fn threads_go_up_to_the_cores_and_one_beyond() {
        assert_eq!(thread_counts(1), [1, 2]);
        assert_eq!(thread_counts(2), [1, 2, 3]);
        assert_eq!(thread_counts(6), [1, 2, 3, 4, 6, 7]);
        assert_eq!(thread_counts(16), [1, 2, 3, 4, 6, 8, 12, 16, 17]);
    }

    #[test]
    fn flags_are_read() {
        let options = parse("--quick --threads 4,2,4 --workloads wide,tiny,wide --out=here");
        let options = options.unwrap().unwrap();
        assert_eq!((options.quick, options.threads), (true, vec![1, 2, 4]));
        let names: Vec<_> = options.workloads.iter().map(|workload| workload.name).collect();
        assert_eq!((names, options.out), (vec!["tiny", "wide"], "here".into()));
        assert!(parse("--help").unwrap().is_none() && parse("--quick -h").unwrap().is_none());
    }

    #[test]
    fn machines_are_read() {
        let options = parse("--for big=64,117,300 --for=small=4,50,20,8").unwrap().unwrap();
        let [big, small] = &options.machines[..] else { panic!("{options:?}") };
        assert_eq!((big.cores, big.flops, big.memory, big.cache), (64, 117e9, 300e9, None));
        assert_eq!((small.name.as_str(), small.cache), ("small", Some(8_000_000)));
    }

    #[test]
    fn flags_that_make_no_sense_are_errors() {
        for (text, problem) in [
            ("--threads 0", "from 1 to 128"),
            ("--threads 1,,2", "from 1 to 128"),
            ("--workloads huge", "expected some of tiny"),
            ("--for big=64,117", "NAME=CORES,GFLOPS,GBS"),
            ("--for big=0,1,1", "NAME=CORES,GFLOPS,GBS"),
            ("--for big=1,inf,1", "NAME=CORES,GFLOPS,GBS"),
            ("--for =1,1,1", "NAME=CORES,GFLOPS,GBS"),
            ("--for a=1,1,1 --for A=2,1,1", "named twice"),
            ("--for Cores-like-these=64,100,300", "the files of \"cores like these\""),
            ("--for a=1,1,1 --for tiny-a=1,1,1", "the files of \"a\""),
            ("--for parts-tiny-a=1,1,1 --for a=1,1,1", "the files of \"parts-tiny-a\""),
            ("--out", "needs a value"),
            ("--quick=yes", "takes no value"),
            ("--fast", "unknown flag --fast"),
            ("fast", "unknown flag fast"),
        ] {
            let found = parse(text).err().unwrap();
            assert!(found.contains(problem), "{found}");
        }
    }
}
