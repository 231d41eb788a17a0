//! What is to change in the cluster: proposed, approved, learning (protocol §8.5), and who is barred (accountability
//! §2.5), for those who ask for the status.

use quorate_crypto::PublicKey;
use quorate_replica::machine::read;
use quorate_storage::{StateAt, Store, StoreError};
use quorate_transport::pb::cluster::v1 as pb;
use quorate_types::epoch::SetChange;
use quorate_types::ids::ValidatorIndex;
use quorate_types::set::{Learner, LearnerRole};

use super::{Api, wire};

impl<S: Store> Api<S> {
    /// The changes that are on their way; `None` where the state can't be read: then the status says so elsewhere.
    pub(super) fn changes(&self) -> Option<pb::Changes> {
        // Nothing may come between what is proposed and what is approved.
        let snapshot = self.snapshot().ok()?;
        self.changes_in(&snapshot).map_err(|error| self.store_fault(error)).ok()
    }

    fn changes_in(&self, snapshot: &S::Snapshot) -> Result<pb::Changes, StoreError> {
        let state = StateAt(snapshot);
        let pending = read::pending_changes(&state)?;
        let approved = pending.map(|pending| pending.changes).unwrap_or_default();
        let ends = read::epoch_end(&state, self.context.epoch)?;
        let proposed = read::open_proposals(&state)?.into_iter().map(|(id, proposal)| pb::ProposedChange {
            id: wire(&id.0),
            changes: proposal.changes.iter().map(ToString::to_string).collect(),
            approvals: count(proposal.approvals.len()),
            proposed_at_ms: proposal.since.time.0,
        });
        let learners = self.context.set.everyone().skip(self.context.set.size());
        let learners = learners.zip(self.context.set.learners());
        let owner = |key: &PublicKey| self.context.set.everyone().find(|(_, info)| info.consensus_key == *key);
        let barred = self.context.set.barred().iter().filter_map(owner);
        Ok(pb::Changes {
            epoch_ends: ends.map_or(0, |ends| ends.0),
            approved: approved.iter().map(|change| self.words(change)).collect(),
            proposed: proposed.collect(),
            approvals_needed: count(self.approvals_needed),
            learners: learners.map(|((index, _), learner)| self.learner(index, learner, &approved)).collect(),
            barred: barred.map(|(_, info)| info.name.clone()).collect(),
        })
    }

    /// A change in words; a key that belongs to somebody of this epoch is told by the name.
    fn words(&self, change: &SetChange) -> String {
        let (key, does) = match change {
            SetChange::Ready { validator, .. } => (validator, "has caught up, and is a validator then"),
            SetChange::Rejoin { validator, .. } => (validator, "comes back"),
            SetChange::Bar { validator } => (validator, "is convicted and leads no more"),
            SetChange::Evict { validator } => (validator, "is convicted and leaves"),
            SetChange::Add(_) | SetChange::Remove { .. } | SetChange::Parameter { .. } => return change.to_string(),
        };
        let known = self.context.set.everyone().find(|(_, info)| info.consensus_key == *key);
        known.map_or_else(|| change.to_string(), |(_, info)| format!("{} {does}", info.name))
    }

    fn learner(&self, index: ValidatorIndex, learner: &Learner, approved: &[SetChange]) -> pb::LearnerStatus {
        let key = learner.info.consensus_key;
        let is_ready = |change: &SetChange| matches!(change, SetChange::Ready { validator, .. } if *validator == key);
        pb::LearnerStatus {
            name: learner.info.name.clone(),
            leaving: learner.role == LearnerRole::Leaving,
            ready: approved.iter().any(is_ready),
            connected: index == self.me
                || self.links.views().iter().any(|view| view.validator == index && view.is_connected()),
        }
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
