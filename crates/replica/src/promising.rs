//! Intake promises (protocol §3.9): signed when the bundle is that keeps them, for clients that ask.
//!
//! What is wanted waits until its operation is in a bundle. So the bundle, durable before anything of its turn leaves,
//! is the only record that a promise needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_types::ids::OperationId;
use quorate_types::operation::Operation;

use crate::outbox::{Notice, Outbox};
use crate::replica::Replica;

/// Promises signed in one turn at most: each costs a signature, and a turn stays short.
const PROMISES_PER_TURN: usize = 256;

/// Operations whose clients want a promise.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// Those in the pool: bounded by it, since none leaves it but into a bundle.
    wanted: BTreeSet<OperationId>,
    /// Those in own bundles that weren't delivered when they were bundled or asked for.
    due: BTreeSet<OperationId>,
}

impl Promises {
    /// Whether some can be signed at once.
    pub(crate) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// An own bundle was made of these.
    pub(crate) fn on_bundled(&mut self, operations: &[Arc<Operation>]) {
        if self.wanted.is_empty() {
            return;
        }
        let bundled = operations.iter().map(|operation| operation.id());
        self.due.extend(bundled.filter(|id| self.wanted.remove(id)));
    }
}

impl Replica {
    /// A client of this validator wants its word for an operation. What is neither in the pool nor in an own bundle that
    /// waits to be delivered gets none: it was refused, or its receipt is on the way.
    pub(crate) fn on_promise_wanted(&mut self, operation: OperationId) {
        if self.lanes.is_pooled(&operation) {
            self.promises.wanted.insert(operation);
        } else if self.lanes.own_bundle_with(&operation).is_some() {
            self.promises.due.insert(operation);
        }
    }

    /// After the turn's bundles were made.
    pub(crate) fn make_promises(&mut self, out: &mut Outbox) {
        if self.lanes.is_muted() || self.standing.is_quarantined() {
            self.promises = Promises::default();
        }
        // After a start it asks its peers first (protocol §7.3); who wants a promise waits.
        if !self.standing.signs() {
            return;
        }
        for _ in 0..PROMISES_PER_TURN {
            let Some(operation) = self.promises.due.pop_first() else { return };
            // Delivered meanwhile: its receipt is on the way.
            let Some(bundle) = self.lanes.own_bundle_with(&operation) else { continue };
            out.notices.push(match self.guard.promise(&bundle, operation) {
                Ok(promise) => Notice::Promised(promise),
                Err(refusal) => Notice::Refused(refusal),
            });
        }
    }
}
