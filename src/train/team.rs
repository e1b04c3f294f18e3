//! Small nets on a few workers: every member of a team has the parameters, the optimizer's state and a part of each
//! batch's rows to itself, and the others get nothing of it but its gradient.
//!
//! Where workers share the parameters, they come together two or three times a step, and every line of the
//! parameters that one of them writes is first taken from the others and then fetched by them again. On two cores
//! of a Zen 4, a step of 8-64-64-4 on 64 rows took 26 us that way, as long as on one core; a team's takes 17.

mod meeting;
mod member;
#[cfg(test)]
mod tests;

use std::ops::{Range, RangeInclusive};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use self::meeting::{Meeting, PATIENCE};
use self::member::Member;
use super::config::Threads;
use super::fork::Fork;
use super::plan::Plan;
use super::pool::{self, most};
use super::shards::{SMALL, shards};
use super::step::{IN_DOUBT, NotFinite, StepInput, StepOutcome, Timer};
use super::update::{Size, Unit};
use crate::data::TargetShape;
use crate::layer::{Kind, Placed};
use crate::model::Sequential;

/// Most rounds in which members exchange gradients in pairs, and most members.
const ROUNDS: usize = 2;
const MOST: usize = 1 << ROUNDS;

/// Rows of a member, as far as teams were measured; more leave the second cache.
const ROWS: RangeInclusive<usize> = 32..=512;

/// Floating-point operations of a step from which a further member is worth waking: two members made steps of 10 us
/// in 0.70 of one's time, of 4 us in 0.78, and of 2.5 us in 0.82 to 0.94 (Zen 4).
const FLOPS_PER_MEMBER: usize = 250_000;

/// How long the steps are made without the team after its members did not all come: where they never do, waiting for
/// them takes a twentieth of the time.
pub(super) const PAUSE: Duration = PATIENCE.saturating_mul(20);

/// Whether a team of `members` can make the steps on batches of `rows` rows.
pub(super) fn fits(
    model: &Sequential,
    rows: usize,
    configured: Option<usize>,
    members: usize,
) -> bool {
    let params = model.params.len();
    let shards = shards(rows, params, configured);
    // A layer of the user's may panic, or wait for something.
    let custom = |layer: &Placed| matches!(layer.kind, Kind::Custom(_));
    (2..=MOST).contains(&members)
        && members.is_power_of_two()
        && shards.is_power_of_two()
        && shards >= members
        && ROWS.contains(&(rows / members))
        && params <= SMALL
        && !model.layers.iter().any(custom)
}

/// How many workers the steps on batches of `rows` rows are worth, as a team or without one.
pub(super) fn workers(
    threads: Threads,
    model: &Sequential,
    rows: usize,
    configured: Option<usize>,
) -> usize {
    let flops = model.flops_per_row() * rows;
    match threads {
        Threads::Exactly(n) => n,
        threads => of_at_most(most(threads), flops, |n| fits(model, rows, configured, n)),
    }
}

/// The same for steps of `flops` operations, of at most `most` workers.
fn of_at_most(most: usize, flops: usize, fits: impl Fn(usize) -> bool) -> usize {
    // Of two, where that is in doubt, the steps tell.
    let in_doubt = usize::from(IN_DOUBT.contains(&flops));
    let workers = pool::of_at_most(most, flops).max(most.min(1 + in_doubt));
    let sizes = (1..=ROUNDS).rev().map(|rounds| 1 << rounds);
    let team = sizes.filter(|&n| n <= most.min(flops / FLOPS_PER_MEMBER)).find(|&n| fits(n));
    // Beyond twice as many a guess: teams were measured on two cores alone.
    team.filter(|team| workers <= 2 * team).unwrap_or(workers)
}

/// What all members read.
#[derive(Clone, Copy)]
pub(super) struct Net<'a> {
    pub layers: &'a [Placed],
    pub plan: &'a Plan,
    pub units: &'a [Unit],
}

/// The parameters, and what goes with them: the transposes and the optimizer's state.
pub(super) struct Learned<'a> {
    pub params: &'a mut [f32],
    pub transpose: &'a mut [f32],
    pub slots: [&'a mut [f32]; 3],
}

/// How long these are.
#[derive(Clone, Copy)]
pub(super) struct Lengths {
    pub params: usize,
    pub transpose: usize,
    pub slots: [usize; 3],
}

/// A run of steps.
#[derive(Clone, Copy)]
pub(super) struct Run<'a, 'i> {
    /// Optimizer steps that were made before it.
    pub before: u64,
    pub count: usize,
    /// What each step is told, by its index in the run.
    pub input: &'a (dyn Fn(usize) -> StepInput<'i> + Sync),
    pub size: Size,
    /// Whether to ask for the rows of the batch that comes next.
    pub ahead: bool,
}

/// The members, and where they meet.
#[derive(Debug)]
pub(super) struct Team {
    members: Vec<CachePadded<Mutex<Member>>>,
    meeting: Meeting,
    fork: Fork,
    /// Rows of a batch.
    rows: usize,
    /// Whether the members' parameters are the model's.
    current: bool,
    pause: Duration,
    /// When the members did not all come.
    missed: Option<Instant>,
}

impl Team {
    /// Sizes every buffer.
    pub fn new(
        plan: &Plan,
        lengths: Lengths,
        targets: TargetShape,
        (rows, shards, members): (usize, usize, usize),
    ) -> Self {
        let member = |index| {
            let member = Member::new(plan, lengths, targets, (rows, shards), (index, members));
            CachePadded::new(Mutex::new(member))
        };
        Self {
            members: (0..members).map(member).collect(),
            meeting: Meeting::new(members),
            fork: Fork::new(members),
            rows,
            current: false,
            pause: PAUSE,
            missed: None,
        }
    }

    /// Rows of the batches that it makes steps on.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets the rows that were copied ahead.
    pub fn forget(&mut self) {
        self.members.iter_mut().for_each(|member| member.get_mut().forget());
    }

    /// Says that the parameters were changed by somebody else.
    pub fn outdate(&mut self) {
        self.current = false;
    }

    /// Makes a run of steps and adds what they found to `outcomes`; makes none where not all members come, nor for a
    /// while after that. On an error the parameters are those after the last good step.
    pub fn run(
        &mut self,
        net: Net,
        learned: &mut Learned,
        run: Run,
        outcomes: &mut Vec<StepOutcome>,
        timer: &impl Timer,
    ) -> Result<(), NotFinite> {
        if self.missed.is_some_and(|missed| missed.elapsed() < self.pause) {
            return Ok(());
        }
        self.meeting.open();
        let (members, meeting) = (&self.members, &self.meeting);
        let from = (!self.current).then_some(&*learned);
        self.current = false;
        each(0..members.len(), self.fork, &|index| {
            let mut member = members[index].lock();
            member.end = None;
            let Some(_presence) = meeting.come(index) else { return };
            if let Some(learned) = from {
                member.take_over(learned);
            }
            member.run(net, meeting, run, timer);
        });
        let first = self.members[0].get_mut();
        self.missed = if first.end.is_none() { Some(Instant::now()) } else { None };
        let Some(end) = first.end else { return Ok(()) };
        first.hand_over(learned);
        outcomes.append(&mut first.outcomes);
        self.current = end.is_ok();
        end
    }
}

/// Calls `f` with each index, all at the same time where as many workers are idle.
fn each(indices: Range<usize>, fork: Fork, f: &(impl Fn(usize) + Sync)) {
    let Range { start, end } = indices;
    if end - start == 1 {
        return f(start);
    }
    let middle = start.midpoint(end);
    fork.join(|| each(start..middle, fork, f), || each(middle..end, fork, f));
}
