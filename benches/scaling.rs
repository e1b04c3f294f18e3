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

    /// The same net with so many rows for each of some threads, and data of whole batches.
    fn weak(&self, threads: usize) -> Result<Self> {
        let batch = rows_per_thread(&self.workload) * threads;
        let rows = self.workload.rows.next_multiple_of(batch);
        Self::synthetic(Workload { batch, rows, ..self.workload })
    }

    /// Net, parameters and batch, so that a report says what ran.
    fn name(&self, scaling: &str, batch: &str) -> Result<String> {
        let name = self.workload.name;
        let params = self.workload.model()?.param_count();
        let layers = self.workload.layers_text().replace(',', "-");
        Ok(format!("{scaling}_{name}_{layers}_params{params}_{batch}"))
    }

    fn fingerprint(&self, config: &TrainConfig) -> Result<u64> {
        let mut model = self.workload.model()?;
        Trainer::new(&mut model, &self.data, config)?.epoch()?;
        Ok(model.fingerprint())
    }

    /// Stops the bench if a number of threads changes a bit of the trained model.
    fn check_bits(&self, threads: &[usize]) -> Result<()> {
        let sequential = self.fingerprint(&self.workload.config().threads(1))?;
        for &n in threads {
            let parallel = self.fingerprint(&self.workload.config().exact_threads(n))?;
            assert_eq!(sequential, parallel, "{}: {n} threads train others", self.workload.name);
        }
        Ok(())
    }

    /// Times epochs of one trainer, shuffling and gathering included, as `train_parallel` runs them:
    /// a step by itself begins and ends in a thread outside of the pool, which takes some 10 us.
    fn time(
        &self,
        group: &mut BenchmarkGroup<WallTime>,
        id: BenchmarkId,
        config: &TrainConfig,
    ) -> Result<()> {
        let mut model = self.workload.model()?;
        let mut trainer = Trainer::new(&mut model, &self.data, config)?;
        let rows = trainer.steps_per_epoch() * self.workload.batch;
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|epochs| {
                let start = Instant::now();
                for _ in 0..epochs {
                    trainer.epoch().expect("made-up data train well");
                }
                start.elapsed()
            });
        });
        Ok(())
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Rows of each thread in weak scaling: all cores together have the workload's batch.
fn rows_per_thread(workload: &Workload) -> usize {
    workload.batch.div_ceil(cores())
}

/// 1, 2, 4, ... up to the cores, all cores, and one beyond.
fn thread_counts() -> Vec<usize> {
    let doublings = std::iter::successors(Some(1), |n| Some(n * 2));
    let mut counts: Vec<usize> = doublings.take_while(|&n| n < cores()).collect();
    counts.extend([cores(), cores() + 1]);
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
    let batch = format!("batch{}", case.workload.batch);
    let mut group = criterion.benchmark_group(case.name("strong", &batch)?);
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

/// As many rows for each thread, so that the batch grows with the threads. The sequential run has the
/// rows of one.
fn weak(criterion: &mut Criterion, cases: &[Case]) -> Result<()> {
    let workload = &cases[0].workload;
    let batch = format!("rows{}_per_thread", workload.batch);
    let mut group = criterion.benchmark_group(cases[0].name("weak", &batch)?);
    settings(&mut group, workload);
    let sequential = workload.config().threads(1);
    cases[0].time(&mut group, BenchmarkId::from_parameter("sequential"), &sequential)?;
    for (case, n) in cases.iter().zip(thread_counts()) {
        let config = case.workload.config().exact_threads(n);
        case.time(&mut group, BenchmarkId::new("threads", n), &config)?;
    }
    group.finish();
    Ok(())
}

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let counts = thread_counts();
    let mut cases = vec![Case::digits()];
    for workload in SCALING {
        cases.push(Case::synthetic(workload)?);
    }
    // The digits are too few for whole batches of every size.
    let weakly = |case: &Case| counts.iter().map(|&n| case.weak(n)).collect::<Result<Vec<_>>>();
    let growing: Vec<Vec<Case>> = cases[1..].iter().map(weakly).collect::<Result<_>>()?;
    for case in &cases {
        case.check_bits(&counts)?;
    }
    for (case, n) in growing.iter().flat_map(|cases| cases.iter().zip(&counts)) {
        case.check_bits(&[*n])?;
    }
    println!("the same bits on {counts:?} threads");
    for case in &cases {
        strong(&mut criterion, case)?;
    }
    for cases in &growing {
        weak(&mut criterion, cases)?;
    }
    criterion.final_summary();
    Ok(())
}
