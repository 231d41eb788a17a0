//! What a validator that was removed hands over: operations of its own bundles that its last epoch didn't order
//! (protocol §8.4). It has no lane any more; others bundle them like operations of clients of their own.
//!
//! Nobody confirms: each is sent to `f+1` others, of whom one is correct, and again to others, a few times. What was
//! ordered twice executes once.

use std::sync::Arc;

use quorate_consensus::Now;
use quorate_types::codec::Canonical as _;
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::set::LearnerRole;
use quorate_types::verified::Context;

use crate::outbox::Outbox;
use crate::replica::Replica;

/// How often everything is handed over.
const ROUNDS: usize = 4;

/// Bytes that are handed over at once, and one operation more.
const BYTES: usize = 256 << 10;

/// What is left to hand over. Bounded by what a lane may hold above its last ordered bundle.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    operations: Vec<Arc<Operation>>,
    /// How many of them were sent in this round.
    sent: usize,
    round: usize,
    /// When it goes on, by the monotonic clock.
    due_ms: u64,
}

impl Leaving {
    pub(crate) const fn new(operations: Vec<Arc<Operation>>) -> Self {
        Self { operations, sent: 0, round: 0, due_ms: 0 }
    }
}

/// Whether this is the place of somebody who was a validator in the epoch before, and is none in this one.
pub(crate) fn is_leaving(context: &Context, index: ValidatorIndex) -> bool {
    let position = index.position().checked_sub(context.set.size());
    let learner = position.and_then(|position| context.set.learners().get(position));
    learner.is_some_and(|learner| learner.role == LearnerRole::Leaving)
}

impl Replica {
    /// The end of a turn: the next operations go to others, once in an interval of `Status`.
    pub(crate) fn hand_over(&mut self, now: Now, out: &mut Outbox) {
        let Leaving { sent, round, due_ms, .. } = self.leaving;
        if round >= ROUNDS || self.leaving.operations.is_empty() || now.monotonic_ms < due_ms {
            return;
        }
        self.leaving.due_ms = now.monotonic_ms.saturating_add(u64::from(self.context.parameters.status_interval_ms));
        let others: Vec<ValidatorIndex> = self.context.set.indices().filter(|other| *other != self.me).collect();
        let few = self.context.quorum().one_correct().min(others.len());
        let mut bytes = 0_usize;
        let mut taken = 0;
        for operation in self.leaving.operations.iter().skip(sent) {
            if bytes >= BYTES {
                break;
            }
            bytes = bytes.saturating_add(operation.to_bytes().len());
            taken += 1;
            let listeners = (0..few).filter_map(|at| others.get((round * few + at) % others.len()));
            listeners.for_each(|to| out.send(*to, Message::Operation(Arc::clone(operation))));
        }
        self.leaving.sent = sent + taken;
        if self.leaving.sent >= self.leaving.operations.len() {
            self.leaving.sent = 0;
            self.leaving.round = round + 1;
        }
    }
}
