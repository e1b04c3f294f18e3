//! The parts of a step, for who wants to time them.

/// A part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Draws the epoch's permutation.
    Shuffle,
    /// Copies the batch's rows and targets.
    Gather,
    /// Runs the layers forward.
    Forward,
    /// Computes losses and the gradients by the outputs.
    Loss,
    /// The gradients by the layers' inputs.
    Backward,
    /// Takes the sizes from which a bound on the gradients follows.
    Measure,
    /// The gradients by the parameters, with the tree-sum over the shards.
    Reduce,
    /// The optimizer, and the transpose of the weights.
    Update,
    /// The rest: what workers waited for each other, and what has no phase of its own.
    Wait,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 9] = [
        Self::Shuffle,
        Self::Gather,
        Self::Forward,
        Self::Loss,
        Self::Backward,
        Self::Measure,
        Self::Reduce,
        Self::Update,
        Self::Wait,
    ];

    /// Names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shuffle => "shuffle",
            Self::Gather => "gather",
            Self::Forward => "forward",
            Self::Loss => "loss",
            Self::Backward => "backward",
            Self::Measure => "measure",
            Self::Reduce => "reduce",
            Self::Update => "update",
            Self::Wait => "wait",
        }
    }
}

/// Stands beside a step and hears when its parts run.
pub(crate) trait Timer: Sync {
    /// Runs a part of a phase.
    fn time<T>(&self, phase: Phase, f: impl FnOnce() -> T) -> T;
}

/// Takes no time.
pub(crate) struct Untimed;

impl Timer for Untimed {
    #[inline(always)]
    fn time<T>(&self, _: Phase, f: impl FnOnce() -> T) -> T {
        f()
    }
}
