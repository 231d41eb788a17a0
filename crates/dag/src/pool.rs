//! The pool: operations of this validator's own clients that no bundle holds yet.
//!
//! First in, first out; bounded in operations and bytes; each id once. Operations of other validators'
//! clients never enter: they come in bundles.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_types::ids::OperationId;
use quorate_types::operation::Operation;

use crate::config::LaneLimits;

/// What became of an operation that a client submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// It waits for the next bundle.
    Taken,
    /// It already waits, or is in an own bundle that isn't delivered yet.
    Known,
    /// The pool is at a bound: the client should come later.
    Full,
    /// It is larger than a bundle may be, so no bundle could ever hold it.
    TooLarge,
}

/// How much waits in the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Operations.
    pub operations: usize,
    /// Their bytes: bodies and signatures.
    pub bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    waiting: VecDeque<Arc<Operation>>,
    ids: BTreeSet<OperationId>,
    bytes: u64,
}

impl Pool {
    pub(crate) fn submit(&mut self, operation: Arc<Operation>, limits: &LaneLimits) -> Intake {
        let size = operation.size_bytes() as u64;
        if size > limits.own_bundle_bytes() {
            return Intake::TooLarge;
        }
        if self.ids.contains(&operation.id()) {
            return Intake::Known;
        }
        let fits = self.waiting.len() < limits.pool_operations && self.bytes.saturating_add(size) <= limits.pool_bytes;
        if !fits {
            return Intake::Full;
        }
        self.bytes += size;
        self.ids.insert(operation.id());
        self.waiting.push_back(operation);
        Intake::Taken
    }

    pub(crate) fn holds(&self, id: &OperationId) -> bool {
        self.ids.contains(id)
    }

    /// Takes operations from the front, at most `operations` of them and `bytes` of bytes.
    pub(crate) fn drain(&mut self, operations: usize, bytes: u64) -> Vec<Arc<Operation>> {
        let (mut taken, mut left) = (Vec::new(), bytes);
        while taken.len() < operations {
            let Some(size) = self.waiting.front().map(|next| next.size_bytes() as u64) else { break };
            if size > left {
                break;
            }
            let Some(next) = self.waiting.pop_front() else { break };
            self.ids.remove(&next.id());
            self.bytes = self.bytes.saturating_sub(size);
            left -= size;
            taken.push(next);
        }
        taken
    }

    /// The size of the operation at the front.
    pub(crate) fn next_bytes(&self) -> Option<u64> {
        self.waiting.front().map(|next| next.size_bytes() as u64)
    }

    pub(crate) fn figures(&self) -> PoolFigures {
        PoolFigures { operations: self.waiting.len(), bytes: self.bytes }
    }
}
