//! The loop: epochs of shuffled batches, step by step.

use std::sync::Arc;

use rayon::ThreadPool;

use super::config::{Threads, TrainConfig};
use super::epoch::EpochState;
use super::feed::{Feed, steps_per_epoch};
use super::live::{LiveModel, Publisher};
use super::observer::{Flow, Observer, StepReport};
use super::plan::Plan;
use super::pool::{catch, pool};
use super::step::{NotFinite, StepInput, StepOutcome, Stepper, Untimed};
use super::{EpochReport, History, StopReason, team};
use crate::aligned::Aligned;
use crate::data::DataSource;
use crate::io::{Due, Trained};
use crate::model::{Sequential, check_alike};
use crate::optim::{ScheduleState, StoppingState};
use crate::{Error, Result};

/// Trains a model on a data set or a stream, on as many cores as help, and returns what happened.
///
/// The result is a function of the model, the data and the configuration without its threads: the
/// same bits on any number of threads and any CPU.
///
/// The model then knows the names of the data's columns and classes. A run on data with other names
/// gives it those: of renamed columns, or of another task that it is trained for. A preprocessing that it
/// was given stays, and has to be set anew for other columns or classes.
///
/// # Errors
/// If the data or the configuration do not fit the model; if a column or class that the model knows
/// stands in another place, or the validation set names one otherwise; if a stream cannot be read, or a
/// checkpoint be read or written; at the first loss, gradient or learning rate that is not finite; after
/// an error or a panic of an observer, or a panic in a layer of yours. The model then keeps its last good
/// parameters. The parameters themselves are looked at as an epoch ends: one that an update has made
/// infinite is an error then, and stays.
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, CrossEntropy, Sequential, TrainConfig, datasets, train_parallel};
///
/// let data = datasets::iris();
/// let mut model = Sequential::builder(data.features())
///     .dense(8, Activation::Tanh)
///     .dense(3, Activation::Softmax)
///     .build(1)?;
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.01)).epochs(60);
/// let history = train_parallel(&mut model, &data, &config)?;
/// assert!(history.epochs[59].loss < 0.3);
/// # Ok::<(), unisono::Error>(())
/// ```
pub fn train_parallel<'a>(
    model: &'a mut Sequential,
    data: impl Into<DataSource<'a>>,
    config: &TrainConfig,
) -> Result<History> {
    Trainer::new(model, data, config)?.run()
}

/// A training run that you drive by epoch or by step; [`train_parallel`] is [`run`](Self::run).
///
/// # Examples
/// ```
/// use unisono::{Activation, Adam, CrossEntropy, Sequential, TrainConfig, Trainer, datasets};
///
/// let data = datasets::iris();
/// let builder = Sequential::builder(4).dense(3, Activation::Softmax);
/// let mut model = builder.build(1)?;
/// let config = TrainConfig::new(CrossEntropy::default(), Adam::default());
/// let mut trainer = Trainer::new(&mut model, &data, &config)?;
/// let first = trainer.epoch()?;
/// let second = trainer.epoch()?;
/// assert!(second.loss < first.loss);
/// # Ok::<(), unisono::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer<'a> {
    pub(super) model: &'a mut Sequential,
    pub(super) feed: Feed<'a>,
    pub(super) config: TrainConfig,
    pub(super) stepper: Stepper,
    pub(super) pool: Option<Arc<ThreadPool>>,
    workers: usize,
    pub(super) epoch: EpochState,
    pub(super) schedule: ScheduleState,
    pub(super) stopping: StoppingState,
    pub(super) best: Aligned,
    pub(super) reports: Vec<EpochReport>,
    pub(super) stopped: Option<StopReason>,
    /// Whether an observer wants to hear of steps, and whether one does before the next is made.
    wants_steps: bool,
    wants_each_step: bool,
    /// What the steps of the last run found.
    outcomes: Vec<StepOutcome>,
    pub(super) due: Option<Due>,
    pub(super) publisher: Option<Publisher>,
}

impl<'a> Trainer<'a> {
    /// Checks model, data and configuration against each other and allocates every buffer.
    ///
    /// # Errors
    /// If something does not fit, naming it.
    pub fn new(
        model: &'a mut Sequential,
        data: impl Into<DataSource<'a>>,
        config: &TrainConfig,
    ) -> Result<Self> {
        Self::with_earlier(&mut None, model, data.into(), config)
    }

    /// As [`new`](Self::new), with the buffers and the optimizer's state of an earlier run of the same model and
    /// configuration, which are taken where nothing is wrong.
    pub(super) fn with_earlier(
        earlier: &mut Option<Stepper>,
        model: &'a mut Sequential,
        data: DataSource<'a>,
        config: &TrainConfig,
    ) -> Result<Self> {
        let goes_on = earlier.is_some();
        check(model, data, config, goes_on)?;
        let batch = config.batch_size.min(data.rows());
        let rest = data.rows() % batch;
        let workers = team::workers(config.threads, model, batch, config.shards);
        let batches: &[usize] =
            if rest == 0 || config.drop_last { &[batch] } else { &[rest, batch] };
        let pool = if workers > 1 { Some(pool(workers)?) } else { None };
        let any = |asks: &dyn Fn(&dyn Observer) -> bool| {
            catch(|| config.observers.iter().any(|observer| asks(&*observer.lock())))
        };
        let wants_norm = any(&|observer| observer.wants_gradient_norm())?;
        let wants_steps = any(&|observer| observer.wants_steps())?;
        let wants_each_step = any(&|observer| observer.wants_steps() && !observer.only_watches())?;
        let mut stepper = Stepper::with_earlier(
            earlier.take(),
            model,
            (&config.loss, &config.optimizer),
            data.target_shape(),
            batches,
            (config.shards, workers),
        );
        stepper.norm = wants_norm;
        if !matches!(config.threads, Threads::Exactly(_)) {
            stepper.may_choose(model.flops_per_row() * batch);
        }
        let mut trainer = Self {
            stepper,
            pool,
            workers,
            epoch: EpochState::default(),
            schedule: ScheduleState::new(config.optimizer.lr()),
            stopping: StoppingState::default(),
            best: Aligned::default(),
            reports: Vec::with_capacity(config.epochs.min(1 << 16)),
            stopped: None,
            wants_steps,
            wants_each_step,
            outcomes: vec![],
            publisher: None,
            due: config.checkpoint.clone().map(Due::new),
            config: config.clone(),
            model,
            feed: Feed::new(data, batch),
        };
        trainer.resume()?;
        let names = trainer.model.names_after(data, goes_on);
        trainer.model.trained = Some(Arc::new(Trained::new(config, names)));
        Ok(trainer)
    }

    /// Trains to the end: the last epoch, a threshold, early stopping or an observer's word.
    ///
    /// # Errors
    /// As [`train_parallel`].
    pub fn run(&mut self) -> Result<History> {
        tracing::info!(
            rows = self.feed.source().rows(),
            batch = self.config.batch_size,
            epochs = self.config.epochs,
            threads = self.workers,
            simd = %crate::SimdLevel::current(),
            "training starts"
        );
        self.guarded(usize::MAX, |trainer| {
            while trainer.stopped.is_none() {
                trainer.epoch_inside()?;
            }
            Ok(())
        })?;
        let history = self.history();
        tracing::info!(epochs = history.epochs.len(), why = %history.stopped, "training ends");
        Ok(history)
    }

    /// Trains to the end of the current epoch and returns its report. It goes on beyond the
    /// configured number of epochs if asked to, from the parameters that the model then has, which may be restored ones.
    /// After a pause one of up to 16 steps is begun as a [`step`](Self::step) is.
    ///
    /// # Errors
    /// As [`train_parallel`].
    pub fn epoch(&mut self) -> Result<EpochReport> {
        self.guarded(self.steps_per_epoch(), Self::epoch_inside)
    }

    /// Makes one optimizer step; the last one of an epoch ends it, with its validation. A step of less than three
    /// million floating-point operations is made on this thread alone, and one of less than fifty million where that is
    /// faster, unless the threads are set exactly.
    ///
    /// After a pause of 20 microseconds or more the workers sleep. A step of up to a billion floating-point operations is
    /// then begun by this thread, and they join in as they wake up, for which each allocates a few bytes. A small net's
    /// (up to 32,768 parameters), whose workers each keep parameters of their own, is made by this thread alone, unless
    /// the threads are set exactly.
    ///
    /// # Errors
    /// As [`train_parallel`].
    pub fn step(&mut self) -> Result<StepReport> {
        self.guarded(1, |trainer| {
            trainer.end_epoch_left_open()?;
            let (report, flow) = trainer.steps_inside(1)?;
            trainer.after_step(flow)?;
            Ok(report)
        })
    }

    /// What happened so far. While the run has not ended, the reason in it is [`StopReason::Epochs`] all the same;
    /// [`stopped`](Self::stopped) tells.
    pub fn history(&self) -> History {
        History {
            epochs: self.reports.clone(),
            stopped: self.stopped.unwrap_or(StopReason::Epochs),
            threads: self.workers,
            shards: self.stepper.shards(self.batch()),
        }
    }

    /// Why the run has ended, if it has.
    pub fn stopped(&self) -> Option<&StopReason> {
        self.stopped.as_ref()
    }

    /// The model as it stands after the last step.
    pub fn model(&self) -> &Sequential {
        self.model
    }

    /// A handle by which other threads predict with the newest parameters while training goes on;
    /// they are published after every `every_steps` steps and at the end of each epoch, which costs a
    /// copy of them as long as there is a handle.
    pub fn live(&mut self, every_steps: u64) -> LiveModel {
        let publisher = self.publisher.get_or_insert_with(|| Publisher::new(self.model));
        publisher.handle(self.model, every_steps)
    }

    /// Rows of a whole batch.
    pub(super) fn batch(&self) -> usize {
        self.config.batch_size.min(self.feed.source().rows())
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        steps_per_epoch(self.feed.source().rows(), &self.config)
    }

    fn epoch_inside(&mut self) -> Result<EpochReport> {
        if let Some(report) = self.end_epoch_left_open()? {
            return Ok(report);
        }
        loop {
            let (_, flow) = self.steps_inside(usize::MAX)?;
            if let Some(report) = self.after_step(flow)? {
                return Ok(report);
            }
        }
    }

    /// Steps to be made before anybody looks.
    fn run_length(&self) -> usize {
        if self.wants_each_step {
            return 1;
        }
        let run = self.stepper.run_length;
        let steps = self.stepper.steps;
        let published = self.publisher.as_ref().map_or(usize::MAX, |it| it.steps_left(steps));
        let saved = self.due.as_ref().map_or(usize::MAX, |due| due.steps_left(steps));
        run.min(published).min(saved)
    }

    /// Makes steps of the epoch, at most so many, and reports the last one.
    fn steps_inside(&mut self, most: usize) -> Result<(StepReport, Flow)> {
        self.epoch.start_clock();
        let made = self.make_run(most)?;
        self.outcomes.iter().for_each(|outcome| self.epoch.count(outcome));
        let flow = self.tell_run();
        made.map_err(|NotFinite(what)| Error::NonFinite {
            what,
            epoch: self.epoch.done + 1,
            step: self.epoch.step + 1,
        })?;
        Ok((self.report(self.outcomes.len() - 1), flow?))
    }

    /// Makes a run of steps, as far as the batches are known.
    fn make_run(&mut self, most: usize) -> Result<std::result::Result<(), NotFinite>> {
        let left = self.steps_per_epoch() - self.epoch.step;
        let most = most.min(self.run_length()).min(left);
        let (config, epoch, schedule) = (&self.config, &self.epoch, &self.schedule);
        let batches = self.feed.batches(config, (epoch.done, epoch.step))?;
        let count = most.min(batches.known());
        let (done, before) = (epoch.done as u64, self.stepper.steps);
        let base = config.optimizer.lr();
        let input = |index: usize| StepInput {
            data: batches.data,
            loss: &config.loss,
            optimizer: &config.optimizer,
            clip: config.clip,
            seed: config.seed,
            epoch: done,
            lr: config.schedule.rate(base, done, before + index as u64, schedule),
            rows: batches.batch(index),
            next: batches.batch(index + 1),
            first_row: ((epoch.step + index) * config.batch_size) as u64,
        };
        self.outcomes.clear();
        Ok(self.stepper.steps(self.model, count, &input, &mut self.outcomes, &Untimed))
    }

    /// The report of a step of the last run, whose steps were counted.
    fn report(&self, index: usize) -> StepReport {
        let outcome = &self.outcomes[index];
        StepReport {
            epoch: self.epoch.done + 1,
            step: self.epoch.step - self.outcomes.len() + index + 1,
            steps: self.steps_per_epoch(),
            epochs: self.config.epochs,
            rows: outcome.rows,
            loss: outcome.loss / outcome.normalizer,
            lr: outcome.lr,
            gradient_norm: outcome.squares.map(f64::sqrt),
        }
    }

    /// Tells all who want to hear of steps of those of the last run, also after one of them has failed, for the steps
    /// were made; returns the first error.
    fn tell_run(&mut self) -> Result<Flow> {
        let mut told = Ok(Flow::Continue);
        if !self.wants_steps {
            return told;
        }
        self.epoch.stop_clock();
        let _calling = self.calling();
        for report in (0..self.outcomes.len()).map(|index| self.report(index)) {
            for observer in &self.config.observers {
                let mut observer = observer.lock();
                if !observer.wants_steps() {
                    continue;
                }
                match observer.step(&report) {
                    Ok(Flow::Continue) => {}
                    Ok(Flow::Stop) => told = told.and(Ok(Flow::Stop)),
                    Err(error) => told = told.and(Err(error)),
                }
            }
        }
        told
    }
}

/// Checks model, data and configuration against each other; `goes_on` says whether the data are the next of a run.
fn check(model: &Sequential, data: DataSource, config: &TrainConfig, goes_on: bool) -> Result<()> {
    config.check()?;
    model.check_source(data, &config.loss)?;
    match goes_on {
        true => model.check_names(data)?,
        false => model.check_places(data.names(), "the data")?,
    }
    if let Some(validation) = &config.validation {
        let validation = DataSource::Memory(validation);
        let checked = model.check_source(validation, &config.loss);
        checked.map_err(|error| error.of("the validation set"))?;
        check_alike(data.names(), validation.names(), "the validation set")?;
    }
    // The next data of a run use the buffers that are there.
    if !goes_on {
        check_memory(model, config.batch_size.min(data.rows()))?;
    }
    if config.drop_last && config.batch_size > data.rows() {
        let problem = format!(
            "expected at most the {} rows of the data when `drop_last` is set, found {}",
            data.rows(),
            config.batch_size
        );
        return Err(Error::config("batch_size", problem));
    }
    Ok(())
}

/// Floats from which it is looked whether there is memory for them.
const MUCH: usize = 1 << 28;

/// Asks for as much memory as a batch's values and gradients will take: an error says more than the end of the process.
fn check_memory(model: &Sequential, rows: usize) -> Result<()> {
    let widths = model.layers.iter().map(|layer| layer.inputs + 2 * layer.outputs);
    if rows.saturating_mul(widths.sum()) < MUCH {
        return Ok(());
    }
    let Plan { values, grads, .. } = Plan::new(&model.layers, model.layers.len(), true);
    let floats = rows.saturating_mul(values.iter().chain(&grads).sum());
    if Vec::<f32>::new().try_reserve_exact(floats).is_ok() {
        return Ok(());
    }
    let problem = format!(
        "expected as many rows as fit into memory, found {rows}: their values and gradients take {} GB; take fewer",
        floats / (1 << 28)
    );
    Err(Error::config("batch_size", problem))
}
