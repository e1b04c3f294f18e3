//! The counted work of a step: what each phase takes on one core, in how many pieces, and what they
//! have to move.

use unisono::bench_support::{Phase, PhaseClock, Workload, block_rows, padded_params, shards};
use unisono::{Dataset, Result};

use super::phases::{Clocked, Phases};
use super::predict::MOST;
use super::traffic::Traffic;

/// How a step is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub threads: usize,
    pub batch: usize,
}

/// Seconds that grow with a number of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    fixed: f64,
    each: f64,
}

impl Line {
    fn at(self, rows: usize) -> f64 {
        self.fixed + self.each * rows as f64
    }

    /// Through two points, of which each has (times fixed, rows, seconds); neither part below 0.
    fn through([(n0, rows0, s0), (n1, rows1, s1)]: [(f64, f64, f64); 2]) -> Self {
        let determinant = n0 * rows1 - n1 * rows0;
        let fixed = (s0 * rows1 - s1 * rows0) / determinant;
        let each = (n0 * s1 - n1 * s0) / determinant;
        match (fixed, each) {
            (fixed, each) if fixed >= 0.0 && each >= 0.0 => Self { fixed, each },
            (_, each) if each < 0.0 => Self { fixed: s0 / n0, each: 0.0 },
            // One batch alone, or a cost that would be negative: all of it goes with the rows.
            _ => Self { fixed: 0.0, each: s0 / rows0 },
        }
    }

    fn scaled(self, factor: f64) -> Self {
        Self { fixed: self.fixed * factor, each: self.each * factor }
    }
}

/// The counted work of a step of one workload, in seconds of one core.
#[derive(Debug, Clone)]
pub struct Work {
    pub workload: Workload,
    /// Floats in which the parameters lie, padding included.
    pub padded: usize,
    pub traffic: Traffic,
    /// Gathering, forward, loss and backward of a block of rows: beyond its rows a block costs that the
    /// weights pass by.
    block: Line,
    /// The gradients by the parameters, with the tree-sum, of a batch.
    reduce: Line,
    /// The optimizer and the transpose.
    update: f64,
    /// What no phase accounts for: drawing the order, keeping the books.
    pub serial: f64,
    /// Whether gradients and update are one pass over the parameters, or two.
    fused: bool,
    /// Bytes of a row's inputs and gradients of all layers.
    pub row_bytes: usize,
    /// For each number of threads, the shares of a pass over the parameters that its pieces have.
    pieces: Vec<Vec<f64>>,
}

impl Work {
    /// Takes the phases of one thread for two sizes of the batch, and the whole step's seconds, which
    /// the prediction for one thread meets.
    pub fn new(workload: &Workload, data: &Dataset, clocked: &Clocked, step: f64) -> Result<Self> {
        let mut model = workload.model()?;
        let (params, padded) = (model.param_count(), padded_params(&model));
        let clock = PhaseClock::new(&mut model, data, &workload.config().threads(1))?;
        let line = |of: &dyn Fn(&Phases) -> f64, fixed: &dyn Fn(usize) -> f64| {
            Line::through(
                clocked
                    .alone
                    .each_ref()
                    .map(|(rows, phases)| (fixed(*rows), *rows as f64, of(phases))),
            )
        };
        let block = line(&first, &|rows| block_rows(rows, padded, 1).len() as f64);
        let reduce = line(&|phases| phases[Phase::Reduce as usize], &|_| 1.0);
        let widths: usize = workload.layers.windows(2).map(|pair| pair[0] + pair[1]).sum();
        let mut work = Self {
            workload: *workload,
            padded,
            traffic: Traffic::new(workload, params),
            block,
            reduce,
            update: clocked.alone[0].1[Phase::Update as usize],
            serial: 0.0,
            fused: clock.passes() == 2,
            row_bytes: 4 * widths,
            pieces: (1..=MOST).map(|n| clock.update_pieces(n)).collect(),
        };
        let alone = Setting { threads: 1, batch: workload.batch };
        let clocked: f64 = work.passes(alone).iter().flatten().sum();
        // The clock ran in other steps than `step` did: keep the phases' proportions.
        let scale = (step / clocked).min(1.0);
        work.block = work.block.scaled(scale);
        work.reduce = work.reduce.scaled(scale);
        work.update *= scale;
        work.serial = (step - clocked * scale).max(0.0);
        Ok(work)
    }

    /// The workload's batch on so many threads.
    pub fn strong(&self, threads: usize) -> Setting {
        Setting { threads, batch: self.workload.batch }
    }

    /// Each pass of a step that is shared out, as its pieces' seconds of one core: one over blocks of
    /// rows, then one or two over runs of parameters. A piece over parameters holds the whole tree of
    /// its sums.
    pub fn passes(&self, setting: Setting) -> Vec<Vec<f64>> {
        let Setting { threads, batch } = setting;
        let blocks = block_rows(batch, self.padded, threads);
        let pieces = &self.pieces[threads.clamp(1, MOST) - 1];
        let of = |seconds: f64| pieces.iter().map(|share| share * seconds).collect::<Vec<_>>();
        let reduce = self.reduce.at(batch);
        let mut passes = vec![blocks.into_iter().map(|rows| self.block.at(rows)).collect()];
        match self.fused {
            true => passes.push(of(reduce + self.update)),
            false => passes.extend([of(reduce), of(self.update)]),
        }
        passes
    }

    /// Operations of the products of a step: forward, back to the inputs, and the gradients.
    pub fn operations(&self) -> [f64; 3] {
        let layers = self.workload.layers;
        let weights: usize = layers.windows(2).map(|pair| pair[0] * pair[1]).sum();
        // The first layer's input needs no gradient.
        [weights, weights - layers[0] * layers[1], weights]
            .map(|terms| 2.0 * terms as f64 * self.workload.batch as f64)
    }

    /// Shards of the batch, and levels of the tree that adds them up.
    pub fn tree(&self) -> (usize, u32) {
        let shards = shards(self.workload.batch, self.padded, None);
        (shards, shards.next_power_of_two().ilog2())
    }

    /// The seconds that no number of cores can undercut: what is serial, and the longest piece of each
    /// pass, cut for the most threads.
    pub fn critical_path(&self) -> f64 {
        let longest = |pass: &Vec<f64>| pass.iter().copied().fold(0.0, f64::max);
        self.serial + self.passes(self.strong(MOST)).iter().map(longest).sum::<f64>()
    }
}

/// What the first pass does.
fn first(phases: &Phases) -> f64 {
    [Phase::Gather, Phase::Forward, Phase::Loss, Phase::Backward, Phase::Measure]
        .iter()
        .map(|&phase| phases[phase as usize])
        .sum()
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// 3 ms for 256 rows, 1 ms for their gradients and 1 ms for the update, in even pieces.
    pub fn work() -> Work {
        let workload = Workload::new("net", &[10, 20, 5], 256, 512);
        Work {
            workload,
            padded: 325,
            traffic: Traffic::new(&workload, 325),
            block: Line { fixed: 0.0, each: 3e-3 / 256.0 },
            reduce: Line { fixed: 0.0, each: 1e-3 / 256.0 },
            update: 1e-3,
            serial: 0.0,
            fused: true,
            row_bytes: 0,
            pieces: (1..=MOST).map(|n| vec![1.0 / (8 * n) as f64; 8 * n]).collect(),
        }
    }

    /// The work of a workload as it is cut, with phases made up.
    pub fn of(workload: &Workload, step: f64) -> Work {
        let workload = Workload { rows: 2 * workload.batch, ..*workload };
        let data = workload.data().unwrap();
        let phases = |rows: usize| -> Phases {
            let share = step * (0.1 + 0.9 * rows as f64 / workload.batch as f64) / 9.0;
            let mut phases = [share; 9];
            phases[Phase::Update as usize] = step / 9.0;
            phases
        };
        let small = workload.batch / 2;
        let alone = [(workload.batch, phases(workload.batch)), (small, phases(small))];
        let clocked = Clocked { by_threads: vec![], alone };
        Work::new(&workload, &data, &clocked, step).unwrap()
    }

    #[test]
    fn a_line_goes_through_both_points() {
        let line = Line::through([(1.0, 100.0, 5.0), (1.0, 20.0, 1.8)]);
        assert!((line.fixed - 1.0).abs() < 1e-12 && (line.each - 0.04).abs() < 1e-12);
        assert!((line.at(50) - 3.0).abs() < 1e-12);
        // Two blocks pay twice.
        let line = Line::through([(2.0, 100.0, 6.0), (1.0, 20.0, 1.8)]);
        assert!((line.fixed - 1.0).abs() < 1e-12 && (line.each - 0.04).abs() < 1e-12);
    }

    #[test]
    fn costs_are_never_negative() {
        let line = Line::through([(1.0, 100.0, 5.0), (1.0, 20.0, 0.5)]);
        assert_eq!(line, Line { fixed: 0.0, each: 0.05 });
        let line = Line::through([(1.0, 100.0, 5.0), (1.0, 20.0, 6.0)]);
        assert_eq!(line, Line { fixed: 5.0, each: 0.0 });
        let same = Line::through([(1.0, 1.0, 5.0), (1.0, 1.0, 5.0)]);
        assert_eq!(same.at(1), 5.0);
    }

    #[test]
    fn the_pieces_of_one_thread_add_up_to_its_step() {
        for workload in unisono::bench_support::SCALING {
            let work = of(&workload, 1e-3);
            let sum: f64 = work.passes(work.strong(1)).iter().flatten().sum();
            assert!((sum + work.serial - 1e-3).abs() < 1e-12, "{}: {sum}", workload.name);
            assert!(work.critical_path() < 1e-3);
        }
    }

    #[test]
    fn operations_and_shards_are_counted() {
        let work = work();
        let sum: f64 = work.operations().iter().sum();
        assert_eq!(sum, work.workload.flops_per_row() * 256.0);
        assert_eq!(work.operations()[1], 2.0 * 100.0 * 256.0);
        assert_eq!(work.tree(), (4, 2));
        let [tiny, small, ..] = unisono::bench_support::SCALING;
        assert_eq!((of(&tiny, 1e-3).tree(), of(&small, 1e-3).tree()), ((1, 0), (1, 0)));
    }

    #[test]
    fn a_small_net_goes_through_its_parameters_twice() {
        let [tiny, small, ..] = unisono::bench_support::SCALING;
        assert_eq!(of(&tiny, 1e-3).passes(of(&tiny, 1e-3).strong(2)).len(), 3);
        assert_eq!(of(&small, 1e-3).passes(of(&small, 1e-3).strong(2)).len(), 2);
    }
}
