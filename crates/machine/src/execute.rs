//! Executes one sequence: drops duplicates, orders by causality, judges, applies, and gives receipts.
//!
//! Everything follows from the state read and the block. An operation gets its one receipt in
//! [`Run::settle`] and nowhere else; there its nonce is consumed and its children are set free.

use std::borrow::Cow;
use std::collections::BTreeSet;

use quorate_crypto::PublicKey;
use quorate_proof::merkle;
use quorate_storage::{StateReader, StoreError};
use quorate_types::evidence::Conviction;
use quorate_types::ids::{ClusterId, OperationId};
use quorate_types::kind::Kinds;
use quorate_types::operation::Operation;
use quorate_types::parameters::Parameters;
use quorate_types::receipt::{
    EntityVersion, Judgement, Location, MAX_CONCURRENT, Outcome, Receipt, Rejection, RejectionCode,
};

use crate::block::{Block, Charter, EntityChange, Executed};
use crate::draft::{Budget, Draft, Stop, Written};
use crate::entity::Position;
use crate::guard;
use crate::index::{self, Indexed, Log};
use crate::mutation::{self, Context};
use crate::nonce::{self, Held, NonceState};
use crate::overlay::Overlay;
use crate::schedule::{self, Rank, Schedule, Task};
use crate::system::Said;
use crate::waiting::{self, Waiting};
use crate::{epochs, keys, kinds, system};

/// Lapsed entries removed at one sequence, as a multiple of the operations that one proposal can bring:
/// more than can be added at one, so that what has lapsed is bounded.
const PRUNED_PER_OPERATION: usize = 4;

/// Executes a committed sequence on the state before it (architecture §6).
///
/// The operations have been admitted by `types` and carry valid signatures. The result is the same on
/// every validator.
///
/// # Errors
/// If the state can't be read. Nothing was changed then.
pub fn execute<R: StateReader>(reader: &R, charter: Charter<'_>, block: &Block<'_>) -> Result<Executed, StoreError> {
    let mut run = Run {
        state: Overlay::new(reader),
        parameters: &charter.epoch.parameters,
        kinds: Cow::Borrowed(charter.kinds),
        charter,
        at: block.position(),
        schedule: Schedule::default(),
        somebody_waits: false,
        touched: 0,
        places: 0,
        log: Log::default(),
        receipts: Vec::new(),
        judgements: Vec::new(),
        known: Vec::new(),
        changes: Vec::new(),
        cluster: block.cluster,
        judged: BTreeSet::new(),
        convictions: Vec::new(),
    };
    run.record_context(block)?;
    run.take_in(block)?;
    run.drain()?;
    run.lapse()?;
    run.admit_blocked()?;
    run.finish()
}

struct Run<'a, R> {
    state: Overlay<'a, R>,
    parameters: &'a Parameters,
    charter: Charter<'a>,
    /// Those of the genesis, and those defined by operations that this sequence has needed.
    kinds: Cow<'a, Kinds>,
    at: Position,
    schedule: Schedule,
    /// Whether the waiting room may hold an operation: it mostly doesn't, and then nothing is looked up there.
    somebody_waits: bool,
    /// Bytes of entities that the sequence's operations have touched.
    touched: usize,
    /// Operations that have entered the waiting room at this sequence.
    places: u32,
    log: Log,
    receipts: Vec<Receipt>,
    judgements: Vec<(OperationId, Judgement)>,
    known: Vec<OperationId>,
    changes: Vec<EntityChange>,
    cluster: ClusterId,
    /// Authors of whom evidence was judged, and what was found.
    judged: BTreeSet<PublicKey>,
    convictions: Vec<Conviction>,
}

/// What is to become of an operation (data-model §3.2).
enum Verdict {
    /// It is the author's to execute, with what is held of the author.
    Execute(Held),
    /// It is late, and known not to have executed before.
    Expired(Held),
    /// It can't be, and nothing is changed by it.
    Judged(Judgement),
    /// It has executed before.
    Known,
}

/// What an operation did.
struct Done {
    outcome: Outcome,
    versions: Vec<EntityVersion>,
    concurrent_with: Vec<OperationId>,
}

impl Done {
    const fn rejected(rejection: Rejection) -> Self {
        Self { outcome: Outcome::Rejected(rejection), versions: Vec::new(), concurrent_with: Vec::new() }
    }
}

impl<R: StateReader> Run<'_, R> {
    /// What the state holds beside the effects of operations (data-model §4.2).
    fn record_context(&mut self, block: &Block<'_>) -> Result<(), StoreError> {
        if !self.state.contains(keys::CLUSTER)? {
            self.state.store(keys::CLUSTER.to_vec(), &block.cluster.0);
        }
        let is_known = self.state.look(keys::TIPS, |tips| Ok(tips == block.tips))?;
        if is_known != Some(true) {
            self.state.put(keys::TIPS.to_vec(), block.tips.to_vec());
        }
        epochs::note_root(&mut self.state, self.charter.epoch, block.before)
    }

    /// Schedules what is new.
    fn take_in(&mut self, block: &Block<'_>) -> Result<(), StoreError> {
        self.somebody_waits = waiting::total(&self.state)?.operations > 0;
        let mut seen = BTreeSet::new();
        let ranks = schedule::ranks(block.ordered, &block.proposal);
        for (ordered, rank) in block.ordered.iter().zip(ranks) {
            let id = ordered.operation.id();
            let waits = self.somebody_waits && waiting::contains(&self.state, &id)?;
            if waits || !seen.insert(id) {
                continue;
            }
            if self.has_executed(&id)? {
                self.known.push(id);
                continue;
            }
            let mut missing = Vec::new();
            for parent in &ordered.operation.content().parents {
                if !self.has_executed(parent)? {
                    missing.push(*parent);
                }
            }
            let task = Task { lane: ordered.lane, operation: ordered.operation.clone() };
            self.schedule.add(rank, task, missing);
        }
        Ok(())
    }

    fn has_executed(&self, id: &OperationId) -> Result<bool, StoreError> {
        Ok(index::find(&self.state, id, self.at, self.parameters)?.is_some())
    }

    /// Executes all that is ready, and what becomes ready by that.
    fn drain(&mut self) -> Result<(), StoreError> {
        while let Some(task) = self.schedule.next_ready() {
            if let Some(held) = self.admit(&task.operation)? {
                let done = self.apply(&task.operation)?;
                self.settle(&task.operation, held, done)?;
            }
        }
        Ok(())
    }

    /// What has waited for `D` waits no longer.
    fn lapse(&mut self) -> Result<(), StoreError> {
        if !self.somebody_waits {
            return Ok(());
        }
        for id in waiting::lapsed(&self.state, self.at, self.parameters)? {
            // Another one's lapsing may have set it free.
            let Some((waiting, missing)) = waiting::take(&mut self.state, &id)? else { continue };
            if let Some(held) = self.admit(&waiting.operation)? {
                let text = match missing.first() {
                    Some(parent) => format!("parent {parent} did not execute in time; sign again without it"),
                    None => "a parent did not execute in time".to_owned(),
                };
                self.reject(&waiting.operation, held, RejectionCode::MissingParent, text)?;
            }
            self.drain()?;
        }
        Ok(())
    }

    /// What lacks a parent after all waits, if there is room.
    fn admit_blocked(&mut self) -> Result<(), StoreError> {
        while let Some((Task { lane, operation }, missing)) = self.schedule.next_blocked() {
            let Some(held) = self.admit(&operation)? else {
                self.drain()?;
                continue;
            };
            let waiting = Waiting { since: self.at, place: self.places, lane, operation };
            if waiting::enter(&mut self.state, &waiting, &missing, self.parameters)? {
                self.places = self.places.saturating_add(1);
                self.somebody_waits = true;
                continue;
            }
            let text = "a parent has not executed, and there is no room to wait for it; submit parents first";
            self.reject(&waiting.operation, held, RejectionCode::WaitingRoomFull, text.to_owned())?;
            self.drain()?;
        }
        Ok(())
    }

    /// Whether the operation may go on, with what is held of its author; if not, it has been answered, with or
    /// without a receipt.
    fn admit(&mut self, operation: &Operation) -> Result<Option<Held>, StoreError> {
        match self.judge(operation)? {
            Verdict::Execute(held) => return Ok(Some(held)),
            Verdict::Known => self.known.push(operation.id()),
            Verdict::Judged(judgement) => self.judgements.push((operation.id(), judgement)),
            Verdict::Expired(held) => {
                let text = format!(
                    "expired at {}, block time is {}; sign it again with a later expiry",
                    operation.content().expires_at,
                    self.at.time
                );
                self.reject(operation, held, RejectionCode::Expired, text)?;
            }
        }
        Ok(None)
    }

    /// Data-model §3.2, row by row.
    fn judge(&self, operation: &Operation) -> Result<Verdict, StoreError> {
        let (author, now) = (operation.author(), self.at.time);
        // A validator's word about its own store has no nonce: it isn't executed twice while the index knows it, and
        // says the same each time (protocol §7.4).
        let (held, state) = if operation.is_own_word() {
            (Held::default(), NonceState::First)
        } else {
            let held = nonce::held(&self.state, &author, now, self.parameters)?;
            let window = held.window.as_ref();
            (held, nonce::judge(&self.state, window, &author, operation.nonce(), operation.id())?)
        };
        match state {
            NonceState::UsedBySame => return Ok(Verdict::Known),
            NonceState::Refused(judgement) => return Ok(Verdict::Judged(judgement)),
            NonceState::First | NonceState::Unused => {}
        }
        if !self.admits_author(operation)? {
            return Ok(Verdict::Judged(Judgement::UnknownAuthor));
        }
        let expires_at = operation.content().expires_at;
        let lifetime_ms = u64::from(self.parameters.max_lifetime_ms);
        if now > expires_at {
            // An operation that executed did so at most `max_lifetime` before it expired, and its window
            // stays for twice that: up to here an unused nonce proves that it never executed. Later the
            // window may be another than the one that it executed in.
            let is_proof = state == NonceState::Unused && now <= expires_at.plus(lifetime_ms);
            let expired_at_ms = expires_at.0;
            return Ok(if is_proof {
                Verdict::Expired(held)
            } else {
                Verdict::Judged(Judgement::Expired { expired_at_ms })
            });
        }
        let latest = now.plus(lifetime_ms);
        if expires_at > latest {
            return Ok(Verdict::Judged(Judgement::ExpiresTooFar { latest_ms: latest.0 }));
        }
        Ok(Verdict::Execute(held))
    }

    /// Whether its author may change anything at all. What has no nonce comes from those few whose word it is.
    fn admits_author(&self, operation: &Operation) -> Result<bool, StoreError> {
        let author = &operation.author();
        let Charter { epoch, kinds, administrators, .. } = self.charter;
        if epoch.validator_with(author).is_some() || epoch.learner_with(author).is_some() {
            return Ok(true);
        }
        if operation.is_own_word() {
            return Ok(false);
        }
        let is_known = kinds.admit_author(author) || administrators.keys.contains(author);
        Ok(is_known || kinds::admits_author(&self.state, author)?)
    }

    /// Runs guards and mutations; their writes join the sequence's only if all succeed.
    fn apply(&mut self, operation: &Operation) -> Result<Done, StoreError> {
        if let Some(change) = &operation.content().system {
            let mut said = Said {
                operation,
                at: self.at,
                cluster: self.cluster,
                judged: &mut self.judged,
                convictions: &mut self.convictions,
            };
            let outcome = match system::apply(&mut self.state, &self.charter, &mut said, change)? {
                Ok(()) => Outcome::Applied,
                Err(rejection) => Outcome::Rejected(rejection),
            };
            return Ok(Done { outcome, versions: Vec::new(), concurrent_with: Vec::new() });
        }
        kinds::load(&self.state, &mut self.kinds, operation.content())?;
        let mut draft = Draft::new(&self.state, Budget::new(self.parameters, self.touched));
        let attempt = self.attempt(&mut draft, operation);
        let parents = &operation.content().parents;
        let unseen = index::unseen(&self.state, parents, draft.heads(), self.at, self.parameters)?;
        let written = attempt.and_then(|()| {
            let is_head = |head: &crate::entity::Head| unseen.contains_key(&head.operation);
            Ok(draft.finish(operation.id(), self.at, self.parameters, is_head)?)
        });
        self.touched = self.touched.saturating_add(draft.touched());
        let concurrent_with = unseen.into_keys().take(MAX_CONCURRENT).collect();
        match written {
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Rejected(rejection)) => Ok(Done { concurrent_with, ..Done::rejected(rejection) }),
            Ok(Written { writes, versions }) => {
                for (key, value) in writes {
                    match value {
                        Some(value) => self.state.put(key, value),
                        None => self.state.delete(key),
                    }
                }
                Ok(Done { outcome: Outcome::Applied, versions, concurrent_with })
            }
        }
    }

    fn attempt(&self, draft: &mut Draft<'_, '_, R>, operation: &Operation) -> Result<(), Stop> {
        let content = operation.content();
        let author = content.author;
        for (index, guard) in (0..).zip(&content.guards) {
            guard::check(draft, &self.kinds, &author, (index, guard))?;
        }
        let context = Context { kinds: &self.kinds, parameters: self.parameters, author };
        for (index, mutation) in (0..).zip(&content.mutations) {
            mutation::apply(draft, &context, index, mutation)?;
        }
        Ok(draft.conform(&self.kinds)?)
    }

    fn reject(
        &mut self,
        operation: &Operation,
        held: Held,
        code: RejectionCode,
        text: String,
    ) -> Result<(), StoreError> {
        let rejection = Rejection::new(code, Location::Operation, text);
        self.settle(operation, held, Done::rejected(rejection))
    }

    /// Gives the operation its receipt.
    fn settle(&mut self, operation: &Operation, held: Held, done: Done) -> Result<(), StoreError> {
        let (id, author, nonce) = (operation.id(), operation.author(), operation.nonce());
        if !operation.is_own_word() {
            nonce::consume(&mut self.state, operation, held, self.at, self.parameters)?;
        }
        let index = u32::try_from(self.receipts.len()).unwrap_or(u32::MAX);
        let parents = operation.content().parents.clone();
        self.log.insert(&mut self.state, id, Indexed { at: self.at, index, author, nonce, parents });
        self.changes.extend(done.versions.iter().map(|EntityVersion { entity, version }| EntityChange {
            entity: entity.clone(),
            version: *version,
            operation: id,
        }));
        self.receipts.push(Receipt {
            operation: id,
            sequence: self.at.sequence,
            index,
            outcome: done.outcome,
            versions: done.versions,
            concurrent_with: done.concurrent_with,
        });
        self.schedule.on_executed(&id);
        if !self.somebody_waits {
            return Ok(());
        }
        for Waiting { since, place, lane, operation } in waiting::release(&mut self.state, &id)? {
            let rank = Rank::Waited { sequence: since.sequence.0, place };
            self.schedule.add(rank, Task { lane, operation }, Vec::new());
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Executed, StoreError> {
        let budget = PRUNED_PER_OPERATION.saturating_mul(self.parameters.max_proposal_operations as usize);
        std::mem::take(&mut self.log).write(&mut self.state, self.at);
        index::prune(&mut self.state, self.at, self.parameters)?;
        nonce::prune(&mut self.state, self.at.time, self.parameters, budget)?;
        self.state.store(keys::POSITION.to_vec(), &self.at);
        let ends = epochs::close(&mut self.state, &self.charter, self.at.sequence)?;
        let digests: Vec<_> = self.receipts.iter().map(Receipt::digest).collect();
        Ok(Executed {
            ends,
            waiting: waiting::total(&self.state)?,
            writes: self.state.into_batch(),
            receipts: self.receipts,
            receipts_root: merkle::root(&digests),
            judgements: self.judgements,
            known: self.known,
            changes: self.changes,
            convictions: self.convictions,
        })
    }
}
