//! Whole training steps by thread count: strong scaling (the batch stays) and weak scaling (the rows
//! of each thread stay), beside a plain sequential run that knows no pool.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use unisono::bench_support::{SCALING, Workload, testing};
use unisono::{Dataset, Result, TrainConfig, Trainer, datasets};

/// Handwritten digits: 1,797 rows of 8 x 8 pixels.
const DIGITS: Workload = Workload::new("digits", &[64, 256, 256, 10], 128, 1797);

/// The data of a bench and how they are called in its name.
struct Case {
    workload: Workload,
    data: Dataset,
}

impl Case {
    fn synthetic(workload: Workload) -> Result<Self> {
        let workload = if testing() { workload.at_most(1) } else { workload };
        Ok(Self { data: workload.data()?, workload })
    }

    fn digits() -> Self {
        Self { workload: DIGITS, data: datasets::digits() }
    }

    /// Parameters, layers and batch, so that a report says what ran.
    fn name(&self, variant: &str) -> Result<String> {
        let Workload { name, batch, .. } = self.workload;
        let params = self.workload.model()?.param_count();
        let layers = self.workload.layers_text().replace(',', "-");
        Ok(format!("{variant}_{name}_{layers}_params{params}_batch{batch}"))
    }

    fn fingerprint(&self, config: &TrainConfig) -> Result<u64> {
        let mut model = self.workload.model()?;
        Trainer::new(&mut model, &self.data, config)?.epoch()?;
        Ok(model.fingerprint())
    }

    /// Stops the bench if the number of threads changes a bit of the trained model.
    fn check_bits(&self, threads: &[usize]) -> Result<()> {
        let sequential = self.fingerprint(&self.workload.config().threads(1))?;
        for &n in threads {
            let parallel = self.fingerprint(&self.workload.config().exact_threads(n))?;
            assert_eq!(sequential, parallel, "{}: {n} threads train others", self.workload.name);
        }
        Ok(())
    }

    /// Times steps of one trainer, shuffling and gathering included.
    fn time(
        &self,
        group: &mut BenchmarkGroup<WallTime>,
        id: BenchmarkId,
        config: &TrainConfig,
    ) -> Result<()> {
        let mut model = self.workload.model()?;
        let mut trainer = Trainer::new(&mut model, &self.data, config)?;
        group.throughput(Throughput::Elements(self.workload.batch as u64));
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|steps| {
                let start = Instant::now();
                for _ in 0..steps {
                    trainer.step().expect("made-up data train well");
                }
                start.elapsed()
            });
        });
        Ok(())
    }
}

/// 1, 2, 4, ... up to the cores, all cores, and one beyond.
fn thread_counts() -> Vec<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|&n| n < cores).collect();
    counts.extend([cores, cores + 1]);
    counts
}

fn settings(group: &mut BenchmarkGroup<WallTime>, workload: &Workload) {
    let slow = workload.name == "wide";
    group.sample_size(if slow { 10 } else { 20 });
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(if slow { 5 } else { 2 }));
}

/// The same batch on more and more threads: as users ask for them, and exactly so many.
fn strong(criterion: &mut Criterion, case: &Case) -> Result<()> {
    let mut group = criterion.benchmark_group(case.name("strong")?);
    settings(&mut group, &case.workload);
    let config = case.workload.config();
    case.time(&mut group, BenchmarkId::from_parameter("sequential"), &config.clone().threads(1))?;
    case.time(&mut group, BenchmarkId::from_parameter("default"), &config)?;
    for n in thread_counts() {
        let config = config.clone().exact_threads(n);
        case.time(&mut group, BenchmarkId::new("threads", n), &config)?;
    }
    group.finish();
    Ok(())
}

/// As many rows for each thread, so that the batch grows with the threads.
fn weak(criterion: &mut Criterion, workload: &Workload) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rows_per_thread = workload.batch.div_ceil(cores);
    let mut group = criterion.benchmark_group(format!(
        "weak_{}_{}_rows{rows_per_thread}_per_thread",
        workload.name,
        workload.layers_text().replace(',', "-"),
    ));
    settings(&mut group, workload);
    for n in thread_counts() {
        let batch = rows_per_thread * n;
        let rows = workload.rows.next_multiple_of(batch);
        let case = Case::synthetic(Workload { batch, rows, ..*workload })?;
        let config = case.workload.config().exact_threads(n);
        case.time(&mut group, BenchmarkId::new("threads", n), &config)?;
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let sizes = if testing() { &SCALING[..2] } else { &SCALING[..] };
    let mut cases = vec![Case::digits()];
    for &workload in sizes {
        cases.push(Case::synthetic(workload)?);
    }
    for case in &cases {
        case.check_bits(&thread_counts())?;
    }
    println!("the same bits on {:?} threads", thread_counts());
    for case in &cases {
        strong(&mut criterion, case)?;
    }
    for workload in sizes {
        weak(&mut criterion, workload)?;
    }
    criterion.final_summary();
    Ok(())
}
