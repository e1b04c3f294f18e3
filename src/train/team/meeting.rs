//! Where the members of a team hand each other what they found, with nobody in between.

use std::mem::swap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;

use super::ROUNDS;
use crate::aligned::Aligned;

/// A worker that sleeps takes 15 to 110 us to come.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);

/// Looks between two offers of the core to other threads: a member that waits may stand on the core that another one
/// needs. With 1,024, steps of 6 us took 36 in such a case, and 12 with 64.
const LOOKS: u32 = 64;

/// What one member gives another: what it and those it has heard from found in a step.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// The gradient over their rows.
    pub grads: Aligned,
    /// The loss of each of their rows, among all of the batch.
    pub losses: Vec<f64>,
    /// Those of their rows that were classified right.
    pub correct: usize,
}

/// Where a member leaves messages for another.
#[derive(Debug, Default)]
struct Mailbox {
    /// The step of the last message.
    step: AtomicU64,
    /// That message, or an empty one in its place.
    message: Mutex<Message>,
}

/// A member's mailboxes: for each round one for even steps and one for odd ones. Whoever leaves a message has got
/// the other's of the step before, but its own of that step may still lie there.
type Mailboxes = [[CachePadded<Mailbox>; 2]; ROUNDS];

/// One run of steps, in which all members meet once a step.
#[derive(Debug)]
pub(super) struct Meeting {
    mailboxes: Vec<Mailboxes>,
    /// How long the first member waits for the others.
    pub patience: Duration,
    /// Members that have come, [`BEGUN`] or [`CALLED_OFF`].
    come: CachePadded<AtomicUsize>,
    /// Whether a member has left before the end.
    left: AtomicBool,
}

const CALLED_OFF: usize = usize::MAX;
const BEGUN: usize = usize::MAX - 1;

/// That a member has left before the end, in a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left;

/// Tells the others if it is dropped in a panic.
pub(super) struct Presence<'a>(&'a Meeting);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.left.store(true, Ordering::Release);
        }
    }
}

impl Meeting {
    /// Of so many members.
    pub fn new(members: usize) -> Self {
        let mut mailboxes = vec![];
        mailboxes.resize_with(members, Mailboxes::default);
        Self {
            mailboxes,
            patience: PATIENCE,
            come: CachePadded::default(),
            left: AtomicBool::new(false),
        }
    }

    /// Begins anew.
    pub fn open(&mut self) {
        for mailbox in self.mailboxes.as_flattened_mut().as_flattened_mut() {
            *mailbox.step.get_mut() = 0;
        }
        *self.come.get_mut() = 0;
        *self.left.get_mut() = false;
    }

    /// Comes as one of the members and waits for the others; nothing where not all of them came in time. Whoever has
    /// not come may have to wait for what this thread does next.
    pub fn come(&self, member: usize) -> Option<Presence<'_>> {
        let others = self.members() - 1;
        let all_came = if member == 0 { self.begin(others) } else { self.join(others) };
        all_came.then_some(Presence(self))
    }

    fn begin(&self, others: usize) -> bool {
        let start = Instant::now();
        spin(|| self.come.load(Ordering::Acquire) == others || start.elapsed() > self.patience);
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let begun = self.come.compare_exchange(others, BEGUN, success, failure).is_ok();
        if !begun {
            self.come.store(CALLED_OFF, Ordering::Release);
        }
        begun
    }

    fn join(&self, others: usize) -> bool {
        let one_more = |come| (come < others).then(|| come + 1);
        if self.come.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_err() {
            return false;
        }
        spin(|| self.come.load(Ordering::Acquire) > others);
        self.come.load(Ordering::Acquire) == BEGUN
    }

    /// How many there are.
    pub fn members(&self) -> usize {
        self.mailboxes.len()
    }

    /// Rounds of exchanges after which everybody has heard of everybody.
    pub fn rounds(&self) -> usize {
        self.mailboxes.len().ilog2() as usize
    }

    /// Gives a member's message of a step, counted from 1, and gets that of its partner in this round: the one
    /// whose number differs in the round's bit.
    pub fn exchange(
        &self,
        (member, round): (usize, usize),
        step: u64,
        message: &mut Message,
    ) -> Result<(), Left> {
        let mailbox = |member: usize| &self.mailboxes[member][round][step as usize % 2];
        let (own, other) = (mailbox(member), mailbox(member ^ 1 << round));
        swap(message, &mut own.message.lock());
        own.step.store(step, Ordering::Release);
        let there = || other.step.load(Ordering::Acquire) == step;
        spin(|| there() || self.left.load(Ordering::Acquire));
        if !there() {
            return Err(Left);
        }
        swap(message, &mut other.message.lock());
        Ok(())
    }
}

/// Returns as soon as `done` says so. Nothing else of the pool's is done meanwhile: it might wait for what
/// this thread is about to do.
fn spin(done: impl Fn() -> bool) {
    loop {
        for _ in 0..LOOKS {
            if done() {
                return;
            }
            std::hint::spin_loop();
        }
        std::thread::yield_now();
    }
}
