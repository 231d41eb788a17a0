//! In which order the operations of a sequence execute (data-model §1.7): parents first; ties by lane and
//! position, the lanes rotated by the proposal's digest.
//!
//! The schedule knows nothing of the state: it is told which parents an operation lacks, and that an
//! operation has executed.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::ids::{OperationId, ValidatorIndex};
use quorate_types::operation::Operation;

use crate::block::Ordered;

/// Where an operation stands among those that are ready. What comes out of the waiting room goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// By the sequence that brought it and the place there.
    Waited { sequence: u64, place: u32 },
    /// By the lane's turn and the position in the lane.
    New { turn: usize, position: usize },
}

/// An operation to execute.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) lane: ValidatorIndex,
    pub(crate) operation: Arc<Operation>,
}

#[derive(Default)]
pub(crate) struct Schedule {
    ready: BTreeMap<Rank, Task>,
    blocked: BTreeMap<Rank, Blocked>,
    /// The ranks of the blocked operations, by a parent that they lack.
    children: BTreeMap<OperationId, Vec<Rank>>,
}

struct Blocked {
    task: Task,
    missing: Vec<OperationId>,
}

impl Schedule {
    /// Adds an operation that lacks the parents `missing`.
    pub(crate) fn add(&mut self, rank: Rank, task: Task, missing: Vec<OperationId>) {
        if missing.is_empty() {
            self.ready.insert(rank, task);
            return;
        }
        for parent in &missing {
            self.children.entry(*parent).or_default().push(rank);
        }
        self.blocked.insert(rank, Blocked { task, missing });
    }

    /// The operation to execute next.
    pub(crate) fn next_ready(&mut self) -> Option<Task> {
        self.ready.pop_first().map(|(_, task)| task)
    }

    /// An operation has executed: its children lack it no longer.
    pub(crate) fn on_executed(&mut self, parent: &OperationId) {
        for rank in self.children.remove(parent).unwrap_or_default() {
            let Some(blocked) = self.blocked.get_mut(&rank) else { continue };
            blocked.missing.retain(|missing| missing != parent);
            if blocked.missing.is_empty() {
                self.ready.extend(self.blocked.remove(&rank).map(|blocked| (rank, blocked.task)));
            }
        }
    }

    /// The first operation that lacks parents, with those: it won't execute in this sequence.
    pub(crate) fn next_blocked(&mut self) -> Option<(Task, Vec<OperationId>)> {
        self.blocked.pop_first().map(|(_, blocked)| (blocked.task, blocked.missing))
    }
}

/// The ranks of `ordered`, one each.
pub(crate) fn ranks(ordered: &[Ordered], proposal: &Digest) -> Vec<Rank> {
    let mut lanes: Vec<ValidatorIndex> = ordered.iter().map(|ordered| ordered.lane).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let first = rotation(proposal, lanes.len());
    let turn = |lane: ValidatorIndex| {
        let place = lanes.binary_search(&lane).unwrap_or(0);
        (place + lanes.len() - first) % lanes.len()
    };
    let ranked = ordered.iter().enumerate();
    ranked.map(|(position, ordered)| Rank::New { turn: turn(ordered.lane), position }).collect()
}

/// Which of `lanes` lanes goes first.
fn rotation(proposal: &Digest, lanes: usize) -> usize {
    let [a, b, c, d, ..] = proposal.as_bytes();
    u32::from_be_bytes([*a, *b, *c, *d]) as usize % lanes.max(1)
}
