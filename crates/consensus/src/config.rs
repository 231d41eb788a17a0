//! What the core is told once, and the units in which it is told the time.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::ids::{BlockTime, Epoch, Sequence, ValidatorIndex, View};
use quorate_types::parameters::Parameters;
use quorate_types::quorum::Quorum;
use quorate_types::set::Roster;

/// The time of a step, made by the shell. The core compares and adds, it never reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds of a clock that never goes back: all timers.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch by the local clock: block time and its drift, nothing else.
    pub wall_ms: u64,
}

/// A committed or voted point of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Its sequence.
    pub sequence: Sequence,
    /// Its proposal's digest.
    pub digest: Digest,
    /// Its block time.
    pub time: BlockTime,
}

/// The epoch as one validator's core sees it.
#[derive(Clone, Debug)]
pub struct Config {
    /// This validator.
    pub me: ValidatorIndex,
    /// The epoch.
    pub epoch: Epoch,
    /// Its quorum arithmetic.
    pub quorum: Quorum,
    /// Who leads it, in turn.
    pub roster: Roster,
    /// How many follow it without being counted, with indices after the validators' (protocol §8.5).
    pub learners: usize,
    /// Its parameters.
    pub parameters: Arc<Parameters>,
    /// Its starting checkpoint; for epoch 0 genesis at sequence 0.
    pub start: Link,
}

impl Config {
    /// What new views are judged by.
    #[must_use]
    pub const fn leading(&self) -> (Quorum, &Roster) {
        (self.quorum, &self.roster)
    }

    /// Who leads `view`.
    #[must_use]
    pub fn primary(&self, view: View) -> ValidatorIndex {
        self.roster.primary(self.epoch, view)
    }
}
