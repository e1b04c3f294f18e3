use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::meeting::{Left, Message};
use super::*;
use crate::aligned::Aligned;
use crate::data::Dataset;
use crate::layer::testing::Probe;
use crate::loss::Loss;
use crate::optim::{Clip, Optimizer};
use crate::train::catch;
use crate::train::pool::pool;
use crate::train::step::{Stepper, Untimed};
use crate::{Activation, Adam, CrossEntropy, MeanSquaredError, RmsProp, Sgd, datasets};

const BATCH: usize = 300;
const ROWS_OF_DATA: usize = 10 * BATCH + 50;

fn net(builder: crate::SequentialBuilder) -> Sequential {
    builder.dense(3, Activation::Softmax).build(3).unwrap()
}

fn plain() -> Sequential {
    net(Sequential::builder(9).dense(33, Activation::Relu).dense(20, Activation::Relu))
}

fn special() -> Sequential {
    let builder = Sequential::builder(9).dropout(0.2).dense(17, Activation::Gelu).layer_norm();
    net(builder.dense(40, Activation::Relu).dropout(0.3))
}

/// Steps on whole batches, then one on a short one.
struct Steps {
    data: Dataset,
    loss: Loss,
    optimizer: Optimizer,
    clip: Clip,
    /// Learning rate of a step.
    lr: fn(usize) -> f64,
    order: Vec<u32>,
}

/// What they led to.
#[derive(Debug, PartialEq)]
struct Found {
    outcomes: Vec<StepOutcome>,
    error: Option<NotFinite>,
    params: Vec<u32>,
    slots: [Vec<u32>; 3],
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

impl Steps {
    fn new(optimizer: impl Into<Optimizer>, clip: Clip) -> Self {
        Self {
            data: datasets::synthetic_classification(ROWS_OF_DATA, 9, 3, 1).unwrap(),
            loss: CrossEntropy::default().into(),
            optimizer: optimizer.into(),
            clip,
            lr: |step| 0.01 / (step + 1) as f64,
            order: (0..ROWS_OF_DATA as u32).rev().collect(),
        }
    }

    fn input(&self, step: usize) -> StepInput<'_> {
        let rows = |step: usize| self.order.chunks(BATCH).nth(step).unwrap_or(&[]);
        StepInput {
            data: &self.data,
            loss: &self.loss,
            optimizer: &self.optimizer,
            clip: self.clip,
            seed: 5,
            epoch: 2,
            lr: (self.lr)(step),
            rows: rows(step),
            next: rows(step + 1),
            first_row: (step * BATCH) as u64,
        }
    }

    fn stepper(&self, model: &Sequential, workers: usize) -> Stepper {
        let (targets, sizes) = (self.data.targets().shape(), (None, workers));
        Stepper::new(model, &self.loss, &self.optimizer, targets, &[50, BATCH], sizes)
    }

    /// Makes runs of steps on so many workers. Where there are several of them a team makes all but the last step.
    fn make(&self, model: &Sequential, workers: usize, runs: &[usize]) -> Found {
        let mut model = model.clone();
        let mut stepper = self.stepper(&model, workers);
        let (mut outcomes, mut error, mut first) = (vec![], None, 0);
        for &count in runs {
            let input = |index: usize| self.input(first + index);
            let whole = if workers == 1 { 0 } else { count.min(10 - first) };
            let rest = |index: usize| input(whole + index);
            let run = || {
                team_steps(&mut stepper, &mut model, whole, &input, &mut outcomes)?;
                stepper.steps(&mut model, count - whole, &rest, &mut outcomes, &Untimed)
            };
            error = pool(workers).unwrap().install(run).err();
            if error.is_some() {
                break;
            }
            first += count;
        }
        let slots = stepper.slots.each_ref().map(|slot| bits(slot));
        Found { outcomes, error, params: bits(&model.params), slots }
    }
}

/// Makes steps by the team, as soon as its members come in time.
fn team_steps<'i>(
    stepper: &mut Stepper,
    model: &mut Sequential,
    count: usize,
    input: &(impl Fn(usize) -> StepInput<'i> + Sync),
    outcomes: &mut Vec<StepOutcome>,
) -> Result<(), NotFinite> {
    let (start, mut made) = (Instant::now(), 0);
    while made == 0 && count > 0 && start.elapsed() < Duration::from_secs(60) {
        made = stepper.steps_by_team(model, count, input, outcomes, &Untimed)?;
    }
    assert_eq!(made, count);
    Ok(())
}

#[test]
fn a_team_finds_the_bits_of_one_worker() {
    let optimizers: [(Optimizer, Clip); 3] = [
        (Adam::default().into(), Clip::None),
        (Sgd::new(0.1).momentum(0.9).into(), Clip::Norm(0.1)),
        (RmsProp::default().momentum(0.5).centered(true).into(), Clip::Value(0.001)),
    ];
    for (optimizer, clip) in optimizers {
        let steps = Steps::new(optimizer, clip);
        for model in [plain(), special()] {
            let alone = steps.make(&model, 1, &[11]);
            assert_eq!((alone.outcomes.len(), alone.error), (11, None));
            for (members, runs) in [(2, &[1, 3, 7][..]), (4, &[11]), (2, &[10, 1])] {
                assert_eq!(steps.make(&model, members, runs), alone, "{members} {runs:?}");
            }
        }
    }
}

#[test]
fn a_team_keeps_the_last_good_parameters() {
    let mut steps = Steps::new(Sgd::new(1.0), Clip::None);
    let data = datasets::synthetic_regression(ROWS_OF_DATA, 9, 3, 1).unwrap();
    let mut x = data.x().to_owned();
    for &row in steps.input(5).rows {
        x.row_mut(row as usize).mapv_inplace(|value| value * 1e25);
    }
    steps.data = Dataset::regression(x, data.values().unwrap().to_owned()).unwrap();
    (steps.loss, steps.lr) = (MeanSquaredError.into(), |_| 1e-12);
    let builder = Sequential::builder(9).dense(33, Activation::Relu);
    let model = builder.dense(3, Activation::Identity).build(3).unwrap();
    // Such rows lead to a loss of 1e50, or with smaller weights to one of 1e36 and a gradient of 1e40.
    let mut smaller = model.clone();
    smaller.params[model.layers[2].params.clone()].iter_mut().for_each(|w| *w *= 1e-7);
    let errors = [model, smaller].map(|model| {
        let alone = steps.make(&model, 1, &[8]);
        assert_eq!(alone.outcomes.len(), 5);
        for runs in [&[8][..], &[2, 6]] {
            assert_eq!(steps.make(&model, 2, runs), alone);
        }
        alone.error
    });
    assert_eq!(errors, [Some(NotFinite("the loss")), Some(NotFinite("a gradient"))]);
}

#[test]
fn where_nobody_comes_the_steps_are_made_alone() {
    let steps = Steps::new(Adam::default(), Clip::None);
    let (mut model, input) = (plain(), |index| steps.input(index));
    let mut stepper = steps.stepper(&model, 2);
    let mut outcomes = vec![];
    // The one worker of this pool cannot come as both members at the same time.
    pool(1).unwrap().install(|| {
        let made = stepper.steps_by_team(&mut model, 4, &input, &mut outcomes, &Untimed);
        assert_eq!((made, outcomes.len()), (Ok(0), 0));
        stepper.steps(&mut model, 4, &input, &mut outcomes, &Untimed).unwrap();
    });
    let input = |index| steps.input(4 + index);
    let run = || team_steps(&mut stepper, &mut model, 6, &input, &mut outcomes);
    pool(2).unwrap().install(run).unwrap();
    let alone = steps.make(&plain(), 1, &[10]);
    assert_eq!((outcomes, bits(&model.params)), (alone.outcomes, alone.params));
}

#[test]
fn a_team_whose_members_did_not_come_pauses() {
    let steps = Steps::new(Adam::default(), Clip::None);
    let (mut model, input) = (plain(), |index| steps.input(index));
    let mut stepper = steps.stepper(&model, 2);
    let mut outcomes = vec![];
    let mut made = |stepper: &mut Stepper, workers: usize| {
        let made = || stepper.steps_by_team(&mut model, 1, &input, &mut outcomes, &Untimed);
        pool(workers).unwrap().install(made).unwrap()
    };
    stepper.team.as_mut().unwrap().pause = Duration::from_secs(3600);
    assert_eq!(made(&mut stepper, 1), 0);
    assert!((0..20).all(|_| made(&mut stepper, 2) == 0));
    stepper.team.as_mut().unwrap().pause = Duration::ZERO;
    let start = Instant::now();
    while made(&mut stepper, 2) == 0 {
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn a_panic_in_one_member_leaves_the_parameters_and_the_next_run_is_sound() {
    let steps = Steps::new(Adam::default(), Clip::None);
    for panicking in 0..2 {
        let mut model = plain();
        let mut stepper = steps.stepper(&model, 2);
        let mut outcomes = vec![];
        let calls = AtomicUsize::new(0);
        // Asked once about the run as a whole, then by each member about each step.
        let input = |index| {
            if index == 2 && calls.fetch_add(1, Ordering::Relaxed) == panicking {
                panic!("a test's");
            }
            steps.input(index)
        };
        let run = || team_steps(&mut stepper, &mut model, 5, &input, &mut outcomes);
        assert!(catch(|| pool(2).unwrap().install(run)).is_err());
        assert_eq!((outcomes.len(), bits(&model.params)), (0, bits(&plain().params)));
        let input = |index| steps.input(index);
        let run = || team_steps(&mut stepper, &mut model, 5, &input, &mut outcomes);
        pool(2).unwrap().install(run).unwrap();
        let alone = steps.make(&plain(), 1, &[5]);
        assert_eq!((outcomes, bits(&model.params)), (alone.outcomes, alone.params));
    }
}

#[test]
fn parameters_changed_by_others_reach_the_members() {
    let steps = Steps::new(Adam::default(), Clip::None);
    let (mut model, input) = (plain(), |index| steps.input(index));
    let mut stepper = steps.stepper(&model, 2);
    let mut losses = vec![];
    for start in [None, None, Some(plain())] {
        if let Some(start) = start {
            model.params.copy_from_slice(&start.params);
            stepper.refresh(&model);
        }
        let mut outcomes = vec![];
        let run = || team_steps(&mut stepper, &mut model, 2, &input, &mut outcomes);
        pool(2).unwrap().install(run).unwrap();
        losses.push(outcomes[0].loss);
    }
    assert!(losses[0] == losses[2] && losses[0] != losses[1], "{losses:?}");
}

fn message(value: f32) -> Message {
    let mut grads = Aligned::zeros(16);
    grads.fill(value);
    Message { grads, ..Message::default() }
}

#[test]
fn members_exchange_messages_in_pairs() {
    let mut meeting = Meeting::new(4);
    meeting.patience = Duration::from_secs(60);
    for _ in 0..2 {
        meeting.open();
        let meeting = &meeting;
        std::thread::scope(|scope| {
            for member in 0..4 {
                scope.spawn(move || {
                    let _presence = meeting.come(member).unwrap();
                    let mut own = message(member as f32);
                    for step in 1..=100 {
                        for round in 0..2 {
                            let before = own.grads[0] as usize;
                            meeting.exchange((member, round), step, &mut own).unwrap();
                            assert_eq!(own.grads[0] as usize, before ^ 1 << round);
                        }
                    }
                });
            }
        });
    }
}

#[test]
fn who_waits_for_one_that_panicked_waits_no_longer() {
    let mut meeting = Meeting::new(2);
    meeting.patience = Duration::from_secs(60);
    meeting.open();
    let meeting = &meeting;
    std::thread::scope(|scope| {
        let panicked = scope.spawn(|| {
            catch(|| {
                let _presence = meeting.come(1).unwrap();
                panic!("a test's");
            })
        });
        let _presence = meeting.come(0).unwrap();
        assert_eq!(meeting.exchange((0, 0), 1, &mut message(0.0)), Err(Left));
        assert!(panicked.join().unwrap().is_err());
    });
}

#[test]
fn teams_are_for_small_nets_whose_shards_can_be_dealt_out() {
    for (rows, configured, members, expected) in [
        (64, None, 2, true),
        (63, None, 2, false),
        (64, None, 4, false),
        (300, None, 4, true),
        (300, None, 3, false),
        (300, None, 1, false),
        (64, Some(1), 2, false),
        (120, Some(3), 2, false),
        (1024, None, 2, true),
        (1026, None, 2, false),
        (5000, Some(16), 16, false),
    ] {
        assert_eq!(fits(&plain(), rows, configured, members), expected, "{rows} {configured:?}");
    }
    let large = Sequential::builder(200).dense(200, Activation::Relu);
    assert!(!fits(&net(large), 256, None, 2));
    assert!(!fits(&net(Sequential::builder(9).layer(Probe::default())), 256, None, 2));
}

#[test]
fn as_many_workers_as_steps_are_worth() {
    let tiny = net(Sequential::builder(4).dense(4, Activation::Relu));
    let threads = Threads::AtMost(2);
    assert_eq!(workers(threads, &tiny, 64, None), 1);
    assert_eq!(workers(threads, &plain(), 64, None), 1);
    assert_eq!(workers(threads, &plain(), 100, None), 2.min(most(threads)));
    assert_eq!(workers(Threads::Exactly(5), &tiny, 64, None), 5);
    for (cores, flops, largest, expected) in [
        (2, 499_999, 4, 1),
        (2, 500_000, 4, 2),
        (2, 500_000, 0, 1),
        (2, 999_999, 0, 1),
        (2, 1_000_000, 0, 2),
        (1, 1_000_000, 0, 1),
        (16, 1_000_000, 0, 2),
        (16, 3_000_000, 0, 2),
        (3, 1_000_000, 4, 2),
        (16, 1_000_000, 4, 4),
        (16, 12_000_000, 4, 4),
        (16, 13_500_000, 4, 9),
        (16, 9_000_000, 2, 6),
    ] {
        assert_eq!(
            of_at_most(cores, flops, |members| members <= largest),
            expected,
            "{cores} {flops}"
        );
    }
}
