//! What the other validators last reported of themselves (protocol §9.1). Hints, never facts: nothing here
//! decides safety.

use std::collections::BTreeSet;

use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::Status;

/// One peer's last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its highest delivered sequence.
    pub committed: Sequence,
    /// What it reported before that.
    pub committed_before: Sequence,
    /// Its stable checkpoint.
    pub stable: Sequence,
    /// Its highest executed sequence.
    pub executed: Sequence,
    /// Whether it says that it signs nothing.
    pub quarantined: bool,
    /// Monotonic time of the report; 0: none yet.
    pub heard_ms: u64,
    /// Monotonic time of the last report of it that was answered; 0: none yet.
    pub answered_ms: u64,
}

/// Whom to ask next for something that many hold: one validator at a time, each in its turn, so that nobody is
/// asked for the same thing by all of a cluster's reports, and nobody who answers nothing is asked for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    /// Who was asked last, and when; cleared when the answer has come.
    asked: Option<(ValidatorIndex, u64)>,
    last: Option<ValidatorIndex>,
}

impl Turns {
    /// Whether `from`, which offers the thing, is to be asked now: nothing is in flight for `again_ms`, and it
    /// comes after the one asked last. After twice that anyone is next.
    pub fn take(&mut self, from: ValidatorIndex, now_ms: u64, again_ms: u64) -> bool {
        let waited_ms = self.asked.map_or(u64::MAX, |(_, at_ms)| now_ms.saturating_sub(at_ms));
        let is_next = self.last.is_none_or(|last| from > last) || waited_ms >= again_ms.saturating_mul(2);
        let due = waited_ms >= again_ms && is_next;
        if due {
            self.asked = Some((from, now_ms));
            self.last = Some(from);
        }
        due
    }

    /// Whose answer is awaited.
    #[must_use]
    pub fn open(&self) -> Option<ValidatorIndex> {
        self.asked.map(|(of, _)| of)
    }

    /// The answer has come: the next question may go out at once.
    pub const fn answered(&mut self) {
        self.asked = None;
    }
}

/// All peers' reports, learners' among them, by index, this validator's own place unused.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    me: ValidatorIndex,
    validators: usize,
    peers: Vec<Peer>,
    asked: usize,
    /// Whom to ask only when nobody else is left.
    last: BTreeSet<ValidatorIndex>,
}

impl Peers {
    pub(crate) fn new(me: ValidatorIndex, validators: usize, learners: usize) -> Self {
        let peers = vec![Peer::default(); validators.saturating_add(learners)];
        Self { me, validators, peers, asked: 0, last: BTreeSet::new() }
    }

    /// Takes a report in; gives the report before.
    pub(crate) fn on_status(&mut self, from: ValidatorIndex, status: &Status, now_ms: u64) -> Peer {
        let Some(peer) = self.peers.get_mut(from.position()) else { return Peer::default() };
        let before = *peer;
        *peer = Peer {
            committed: status.committed,
            committed_before: before.committed,
            stable: status.stable,
            executed: status.executed,
            quarantined: status.quarantined,
            heard_ms: now_ms.max(1),
            answered_ms: before.answered_ms,
        };
        before
    }

    /// Whether a report of `from` may be answered now: not much more often than it should report.
    pub(crate) fn may_answer(&self, from: ValidatorIndex, now_ms: u64, interval_ms: u64) -> bool {
        let answered_ms = self.peers.get(from.position()).map_or(0, |peer| peer.answered_ms);
        answered_ms == 0 || now_ms.saturating_sub(answered_ms) >= interval_ms / 4
    }

    /// A report of `from` was answered.
    pub(crate) fn on_answered(&mut self, from: ValidatorIndex, now_ms: u64) {
        if let Some(peer) = self.peers.get_mut(from.position()) {
            peer.answered_ms = now_ms.max(1);
        }
    }

    pub(crate) fn heard_ms(&self, validator: ValidatorIndex) -> u64 {
        self.peers.get(validator.position()).map_or(0, |peer| peer.heard_ms)
    }

    /// The stable checkpoints that the other validators last reported.
    pub(crate) fn stable(&self) -> impl Iterator<Item = Sequence> {
        let me = self.me.position();
        self.peers
            .iter()
            .take(self.validators)
            .enumerate()
            .filter(move |(at, _)| *at != me)
            .map(|(_, peer)| peer.stable)
    }

    /// The next validator to ask for something, in turn, those heard of first.
    pub(crate) fn next_to_ask(&mut self) -> Option<ValidatorIndex> {
        let others: Vec<ValidatorIndex> =
            quorate_types::set::indices(self.peers.len()).filter(|validator| *validator != self.me).collect();
        let heard: Vec<_> = others.iter().copied().filter(|validator| self.heard_ms(*validator) > 0).collect();
        let known = if heard.is_empty() { others } else { heard };
        let first: Vec<_> = known.iter().copied().filter(|validator| !self.last.contains(validator)).collect();
        let candidates = if first.is_empty() { known } else { first };
        if candidates.is_empty() {
            return None;
        }
        self.asked = self.asked.wrapping_add(1);
        candidates.get(self.asked % candidates.len()).copied()
    }

    pub(crate) fn ask_last(&mut self, last: BTreeSet<ValidatorIndex>) {
        self.last = last;
    }

    /// Whether `validator` may be asked for what it offers: always, unless it comes last and another, heard of,
    /// offers as much.
    pub(crate) fn may_ask(&self, validator: ValidatorIndex) -> bool {
        let offered = self.peer(validator).map(|peer| peer.committed);
        let comes_first = |other: &ValidatorIndex| *other != self.me && !self.last.contains(other);
        let has_as_much = |other: ValidatorIndex| self.peer(other).map(|peer| peer.committed) >= offered;
        !self.last.contains(&validator)
            || !quorate_types::set::indices(self.peers.len()).filter(comes_first).any(has_as_much)
    }

    pub(crate) fn peer(&self, validator: ValidatorIndex) -> Option<&Peer> {
        self.peers.get(validator.position())
    }
}
