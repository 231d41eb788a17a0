//! The way back out of quarantine, and the way in for a new validator (protocol §7.4, §8.5): a signed word that any
//! peer bundles, said again until the epoch in which it is valid has ended.
//!
//! What a store that isn't the one that signed last gets is a new incarnation nonce, before anything else
//! ([`renew`]): from then on it is no store that may sign in this epoch, whatever happens to it. It signs again in the
//! first epoch whose definition holds that nonce, in which its lost self can't have signed anything.

use std::sync::Arc;

use quorate_consensus::Now;
use quorate_crypto::{Digest, PublicKey};
use quorate_storage::{Durability, Store, WriteBatch};
use quorate_types::ids::{BlockTime, Sequence, ValidatorIndex};
use quorate_types::message::Message;
use quorate_types::operation::{Operation, OperationBuilder, Ready, Rejoin, SystemChange};
use quorate_types::set::LearnerRole;

use crate::leaving::is_leaving;
use crate::outbox::Outbox;
use crate::records::{self, RecordError};
use crate::recovery::RecoverError;
use crate::replica::Replica;
use crate::standing::{Ended, Quarantine, Standing};

/// The word is said again after so many status intervals, then after twice as many, and so on: what was ordered once
/// is ordered in vain again, and until the epoch ends nobody tells the one that waits.
const AGAIN_INTERVALS: u64 = 8;

/// The interval is doubled so often at most.
const DOUBLINGS: usize = 6;

/// How long the word may travel, in block time.
const LIFETIME_MS: u64 = 600_000;

/// What this validator says to come (back) in.
#[derive(Debug)]
pub(crate) struct Returning {
    /// The key that says it.
    pub(crate) key: PublicKey,
    /// The store's nonce.
    pub(crate) incarnation: [u8; 32],
    /// The newest checkpoint that this validator executed, and the state's root there.
    pub(crate) checkpoint: Option<(Sequence, Digest)>,
    /// What was said last.
    said: Option<(SystemChange, Arc<Operation>)>,
    /// When it is said next, by the monotonic clock.
    due_ms: u64,
    /// How often it was said: whom it goes to changes.
    rounds: usize,
}

impl Returning {
    pub(crate) const fn new(key: PublicKey, incarnation: [u8; 32], checkpoint: Option<(Sequence, Digest)>) -> Self {
        Self { key, incarnation, checkpoint, said: None, due_ms: 0, rounds: 0 }
    }
}

/// Gives the store another nonce if it has the one that the epoch knows, although it isn't the store that signed last:
/// for good, whatever shows later. What a divergence or an alarm has ended, no new nonce mends.
pub(crate) fn renew<S: Store>(
    store: &S,
    (known, fresh): (Option<[u8; 32]>, [u8; 32]),
    reason: &Quarantine,
) -> Result<[u8; 32], RecordError> {
    let incarnation = records::incarnation().read(store)?.map_or([0; 32], |nonce| *nonce.as_bytes());
    let is_mended_otherwise = matches!(
        reason,
        Quarantine::Diverged { .. }
            | Quarantine::Earlier(Ended::Diverged(_) | Ended::Alarm(_))
            | Quarantine::OtherIncarnation
            | Quarantine::NotAValidator
    );
    if is_mended_otherwise || known != Some(incarnation) {
        return Ok(incarnation);
    }
    begin_as(store, fresh)?;
    Ok(fresh)
}

/// An operator's word that this store may not be the one that signed last, whatever guard file and peers can show: it is
/// another incarnation from now on, signs nothing in the present epoch, and comes back by `Rejoin` (protocol §7.3, §7.4).
///
/// # Errors
/// If the store belongs to no cluster yet, so that nothing was ever signed with it, or fails.
pub fn quarantine<S: Store>(store: &S, fresh: [u8; 32]) -> Result<(), RecoverError> {
    if !records::cluster().is_kept(store)? {
        return Err(RecoverError::NotCreated("cluster"));
    }
    Ok(begin_as(store, fresh)?)
}

/// The store is the incarnation `fresh` from now on.
fn begin_as<S: Store>(store: &S, fresh: [u8; 32]) -> Result<(), RecordError> {
    let mut batch = WriteBatch::new();
    records::incarnation().put(&mut batch, &Digest::new(fresh));
    // The guard file of the new incarnation begins anew, and so does the counting of its batches.
    records::batch_number().put(&mut batch, &0);
    let ended = records::ended();
    // A new nonce answers what was signed elsewhere; a divergence is repaired, and an alarm stays (protocol §8.2).
    if ended.read(store)? == Some(Ended::OtherSelf) {
        batch.delete(ended.family(), ended.key());
    }
    Ok(store.write(batch, Durability::Synced)?)
}

impl Replica {
    /// Whether this store is another one than the cluster knows for this validator, so that it can come back, or in:
    /// its guard file is made anew then, because nothing was ever signed with this nonce.
    #[must_use]
    pub fn is_new_incarnation(&self) -> bool {
        let known = self.context.set.validator(self.me).map(|info| info.incarnation);
        self.standing.is_quarantined() && known != Some(self.returning.incarnation)
    }

    /// The end of a turn: what brings this validator (back) in is said, if anything is to be said, now and again.
    pub(crate) fn ask_to_return(&mut self, now: Now, out: &mut Outbox) {
        if now.monotonic_ms < self.returning.due_ms {
            return;
        }
        let Some(word) = self.own_word() else { return };
        let interval_ms = u64::from(self.context.parameters.status_interval_ms);
        let again = AGAIN_INTERVALS << self.returning.rounds.min(DOUBLINGS);
        self.returning.due_ms = now.monotonic_ms.saturating_add(again.saturating_mul(interval_ms));
        let block_time = self.core.tip().time.0.max(now.wall_ms);
        let said = self
            .returning
            .said
            .take()
            .filter(|(said, operation)| *said == word && operation.content().expires_at.0 > block_time);
        let Some((word, operation)) = said.or_else(|| self.say(word, block_time)) else { return };
        for to in self.next_listeners() {
            out.send(to, Message::Operation(Arc::clone(&operation)));
        }
        self.returning.said = Some((word, operation));
    }

    fn own_word(&self) -> Option<SystemChange> {
        let Returning { key, incarnation, checkpoint, .. } = self.returning;
        let epoch = self.context.epoch;
        if !self.is_new_incarnation() {
            return None;
        }
        if self.context.set.validator(self.me).is_some() {
            return Some(SystemChange::Rejoin(Rejoin { epoch, incarnation }));
        }
        let joins = |learner: &&quorate_types::set::Learner| {
            learner.info.consensus_key == key && matches!(learner.role, LearnerRole::Joining { .. })
        };
        self.context.set.learners().iter().find(joins)?;
        let (checkpoint, state_root) = checkpoint?;
        Some(SystemChange::Ready(Ready { epoch, incarnation, checkpoint, state_root }))
    }

    fn say(&self, word: SystemChange, block_time: u64) -> Option<(SystemChange, Arc<Operation>)> {
        let lifetime_ms = LIFETIME_MS.min(u64::from(self.context.parameters.max_lifetime_ms) / 2);
        let expires_at = BlockTime(block_time.saturating_add(lifetime_ms));
        let builder = OperationBuilder::new(self.context.cluster, self.returning.key, 0, expires_at);
        let operation = self.guard.own_word(builder, &word)?;
        Some((word, Arc::new(operation)))
    }

    /// So many validators that a correct one is among them, others each time.
    fn next_listeners(&mut self) -> Vec<ValidatorIndex> {
        let others: Vec<ValidatorIndex> = self.context.set.indices().filter(|other| *other != self.me).collect();
        let first = self.returning.rounds;
        self.returning.rounds = first.wrapping_add(1);
        let few = self.context.quorum().one_correct().min(others.len());
        (0..few).filter_map(|at| others.get(first.wrapping_add(at) % others.len()).copied()).collect()
    }

    /// A validator's word that it wants (back) in, or what somebody who leaves hands over (protocol §8.4): this validator
    /// bundles it like an operation of its own clients. Of nobody else an operation is taken that comes alone.
    pub(crate) fn on_foreign_operation(&mut self, from: ValidatorIndex, operation: Arc<Operation>) {
        let author = operation.author();
        let mut everyone = self.context.set.everyone();
        let is_taken = if operation.is_own_word() {
            let is_for_others = operation.content().system.as_ref().is_some_and(SystemChange::is_bundled_by_others);
            is_for_others && everyone.any(|(_, info)| info.consensus_key == author)
        } else {
            is_leaving(&self.context, from)
        };
        if self.standing.signs() && is_taken {
            self.lanes.submit(operation);
        }
    }

    /// A process that finds, on asking, that its store isn't the one that signed last begins anew as another
    /// incarnation (protocol §7.3, §7.4).
    pub(crate) fn begin_anew_if_behind(&mut self, out: &mut Outbox) {
        if matches!(self.standing, Standing::Quarantined(Quarantine::BehindPeer { .. })) {
            self.is_installing = true;
            out.enters = Some(self.context.epoch);
        }
    }
}
