//! The next epoch in the making: what administrators propose and approve, what waits for the epoch's end, and the
//! definition that takes effect there (protocol §8.4, §8.5).
//!
//! | key | value |
//! |---|---|
//! | `vc` | the definition of the epoch that follows the last change; absent while that of the genesis holds |
//! | `vb` | [`Before`]: the epoch before, by which evidence of it is judged |
//! | `vp` | [`Pending`]: what takes effect together at the end of this epoch, and where that is |
//! | `vo` ‖ operation | [`OpenProposal`]: what waits for approvals |
//! | `vr` | the state's roots at the last checkpoints, by which a joiner shows that it has caught up |
//!
//! Every change is judged when it joins those that wait, with all of them, so that at the end all can be made.

use quorate_crypto::{Digest, PublicKey};
use quorate_storage::{Key, StateReader, StoreError};
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_list};
use quorate_types::epoch::{CURRENT, ChangeFault, EpochDefinition, MAX_CHANGES, SetChange};
use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::limits::MAX_VALIDATORS;
use quorate_types::parameters::Parameters;

use crate::block::Charter;
use crate::entity::Position;
use crate::overlay::{Overlay, decode};

const BEFORE: &[u8] = b"vb";
const PENDING: &[u8] = b"vp";
const OPEN: &[u8] = b"vo";
const ROOTS: &[u8] = b"vr";

/// Changes that wait for an epoch's end at most: each validator may come back once, and administrators change a lot.
const MAX_PENDING: usize = 512;
/// What follows from convictions comes on top, so that nothing keeps it out: one change for each key of this epoch and
/// of the one before.
const MAX_FROM_PROOF: usize = 2 * MAX_VALIDATORS;
/// Proposals that wait for approvals at most.
pub(crate) const MAX_OPEN: usize = 64;
/// A proposal that wasn't approved for so many lifetimes of an operation lapses.
const OPEN_LIFETIMES: u64 = 7;
/// Roots of checkpoints kept at least, and, while they are younger than [`ROOTS_MS`], at most.
const ROOTS_KEPT: (usize, usize) = (8, 64);
const ROOTS_MS: u64 = 60_000;

/// What takes effect together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The changes, in their order.
    pub changes: Vec<SetChange>,
    /// The epoch's last sequence.
    pub ends: Sequence,
}

/// What an administrator has proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenProposal {
    /// The changes.
    pub changes: Vec<SetChange>,
    /// When it was proposed.
    pub since: Position,
    /// The administrators that approved it.
    pub approvals: Vec<PublicKey>,
}

/// An epoch that is over, with what its evidence is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its definition.
    pub definition: EpochDefinition,
    /// The digest of the proposal at its start.
    pub start: Digest,
}

/// The state's root at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointRoot {
    /// The checkpoint.
    pub sequence: Sequence,
    /// Its block time.
    pub time: BlockTime,
    /// The root.
    pub root: Digest,
}

fn open_key(proposal: &OperationId) -> Key {
    Key::of(&[OPEN, proposal.0.as_bytes()])
}

/// What takes effect at the end of the epoch.
pub(crate) fn pending<R: StateReader>(state: &Overlay<'_, R>) -> Result<Option<Pending>, StoreError> {
    state.load(PENDING)
}

/// The definition that took effect last, or will at the very next sequence.
pub(crate) fn current<R: StateReader>(state: &Overlay<'_, R>) -> Result<Option<EpochDefinition>, StoreError> {
    state.load(CURRENT)
}

/// The epoch before the one of [`current`].
pub(crate) fn before<R: StateReader>(state: &Overlay<'_, R>) -> Result<Option<Before>, StoreError> {
    state.load(BEFORE)
}

/// What waits for approvals.
pub(crate) fn open<R: StateReader>(
    state: &Overlay<'_, R>,
    proposal: &OperationId,
) -> Result<Option<OpenProposal>, StoreError> {
    state.load(&open_key(proposal))
}

/// All that wait for approvals, by the proposing operation.
pub(crate) fn all_open<R: StateReader>(state: &Overlay<'_, R>) -> Result<Vec<(OperationId, OpenProposal)>, StoreError> {
    let entries = state.scan(OPEN, MAX_OPEN)?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        Ok((OperationId(decode(&key, key.get(OPEN.len()..).unwrap_or_default())?), decode(&key, &value)?))
    };
    entries.into_iter().map(read).collect()
}

/// Keeps a proposal until it is approved.
pub(crate) fn put_open<R: StateReader>(state: &mut Overlay<'_, R>, id: &OperationId, proposal: &OpenProposal) {
    state.store(open_key(id), proposal);
}

/// A proposal was approved, or has lapsed.
pub(crate) fn close_open<R: StateReader>(state: &mut Overlay<'_, R>, id: &OperationId) {
    state.delete(open_key(id));
}

/// Proposals that have waited too long go; how many are left.
pub(crate) fn lapse<R: StateReader>(
    state: &mut Overlay<'_, R>,
    now: BlockTime,
    epoch: &EpochDefinition,
) -> Result<usize, StoreError> {
    let lifetime_ms = OPEN_LIFETIMES * u64::from(epoch.parameters.max_lifetime_ms);
    let all = all_open(state)?;
    let (lapsed, left): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, proposal)| proposal.since.time.plus(lifetime_ms) < now);
    lapsed.iter().for_each(|(id, _)| close_open(state, id));
    Ok(left.len())
}

/// What the next epoch would be with these changes after all that wait; nothing is changed.
pub(crate) fn judge<R: StateReader>(
    state: &Overlay<'_, R>,
    epoch: &EpochDefinition,
    at: Position,
    changes: &[SetChange],
) -> Result<Result<Pending, ChangeFault>, StoreError> {
    let Pending { changes: mut all, ends } =
        pending(state)?.unwrap_or_else(|| Pending { changes: Vec::new(), ends: boundary(epoch, at.sequence) });
    all.retain(|before| !changes.iter().any(|change| change.supersedes(before)));
    all.extend_from_slice(changes);
    let asked_for = all.iter().filter(|change| !change.follows_from_proof()).count();
    if asked_for > MAX_PENDING {
        let (what, found) = ("changes that wait for the end of the epoch", asked_for);
        return Ok(Err(ChangeFault::TooMany { what, found, limit: MAX_PENDING }));
    }
    Ok(epoch.after(&all, ends).map(|_| Pending { changes: all, ends }))
}

/// The changes take effect with all that wait.
pub(crate) fn put_pending<R: StateReader>(state: &mut Overlay<'_, R>, pending: &Pending) {
    state.store(PENDING.to_vec(), pending);
}

/// protocol §8.6, accountability §2.3, §2.4: what follows for whoever is convicted, without anybody's approval: it leads no
/// more, or leaves, from the next epoch on. Nothing follows twice, nor for somebody who won't be there.
pub(crate) fn convict<R: StateReader>(
    state: &mut Overlay<'_, R>,
    epoch: &EpochDefinition,
    at: Position,
    convicted: PublicKey,
) -> Result<(), StoreError> {
    let Parameters { bar_on_proof, evict_on_proof, .. } = epoch.parameters;
    if (bar_on_proof, evict_on_proof) == (0, 0) {
        return Ok(());
    }
    let waiting = pending(state)?.map(|pending| pending.changes).unwrap_or_default();
    let next = epoch.after(&waiting, at.sequence).expect("whatever joined what waits was judged with all of it");
    if !next.may_lead(&convicted) {
        return Ok(());
    }
    let evict = (evict_on_proof == 1).then_some(SetChange::Evict { validator: convicted });
    let bar = (!next.barred.contains(&convicted)).then_some(SetChange::Bar { validator: convicted });
    for change in evict.into_iter().chain(bar) {
        // An eviction can't be made where too few validators would be left; a bar always can.
        if let Ok(pending) = judge(state, epoch, at, &[change])? {
            put_pending(state, &pending);
            return Ok(());
        }
    }
    Ok(())
}

/// protocol §8.4: the first checkpoint at or above `s + W` and the epoch's start + `E_min`.
pub(crate) fn boundary(epoch: &EpochDefinition, executed_at: Sequence) -> Sequence {
    let parameters = &epoch.parameters;
    let (window, shortest) = (u64::from(parameters.window), u64::from(parameters.min_epoch_sequences));
    let least = executed_at.plus(window).max(epoch.start.plus(shortest));
    let interval = u64::from(parameters.checkpoint_interval).max(1);
    Sequence(least.0.div_ceil(interval).saturating_mul(interval))
}

/// The end of a sequence. At the epoch's last one what waited takes effect; gives that last one, once it is known.
pub(crate) fn close<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    at: Sequence,
) -> Result<Option<Sequence>, StoreError> {
    let Some(Pending { changes, ends }) = pending(state)? else { return Ok(None) };
    if ends == at {
        let epoch = charter.epoch;
        let next = epoch.after(&changes, ends).expect("whatever joined what waits was judged with all of it");
        state.store(CURRENT.to_vec(), &next);
        state.store(BEFORE.to_vec(), &Before { definition: epoch.clone(), start: charter.start });
        state.delete(PENDING.to_vec());
    }
    Ok(Some(ends))
}

/// protocol §8.5: what the state was at the sequence before, if that was a checkpoint, stays known for a while.
pub(crate) fn note_root<R: StateReader>(
    state: &mut Overlay<'_, R>,
    epoch: &EpochDefinition,
    before: Option<CheckpointRoot>,
) -> Result<(), StoreError> {
    let interval = u64::from(epoch.parameters.checkpoint_interval).max(1);
    let Some(newest) = before.filter(|before| before.sequence.0.is_multiple_of(interval)) else { return Ok(()) };
    let mut roots = roots(state)?;
    roots.0.push(newest);
    let (least, most) = ROOTS_KEPT;
    let is_old = |root: &CheckpointRoot| root.time.plus(ROOTS_MS) < newest.time;
    while roots.0.len() > most || (roots.0.len() > least && roots.0.first().is_some_and(is_old)) {
        roots.0.remove(0);
    }
    state.store(ROOTS.to_vec(), &roots);
    Ok(())
}

/// Whether the state had this root at this checkpoint, as far as that is known.
pub(crate) fn had_root<R: StateReader>(
    state: &Overlay<'_, R>,
    sequence: Sequence,
    root: Digest,
) -> Result<bool, StoreError> {
    Ok(roots(state)?.0.iter().any(|known| (known.sequence, known.root) == (sequence, root)))
}

fn roots<R: StateReader>(state: &Overlay<'_, R>) -> Result<Roots, StoreError> {
    Ok(state.load(ROOTS)?.unwrap_or_default())
}

#[derive(Debug, Default)]
struct Roots(Vec<CheckpointRoot>);

impl Canonical for Roots {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.0, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.list(ROOTS_KEPT.1, "roots of checkpoints").map(Self)
    }
}

impl Canonical for CheckpointRoot {
    fn encode(&self, out: &mut Vec<u8>) {
        self.sequence.encode(out);
        self.time.encode(out);
        self.root.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { sequence: Sequence::decode(input)?, time: BlockTime::decode(input)?, root: Digest::decode(input)? })
    }
}

impl Canonical for Before {
    fn encode(&self, out: &mut Vec<u8>) {
        self.definition.encode(out);
        self.start.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { definition: EpochDefinition::decode(input)?, start: Digest::decode(input)? })
    }
}

impl Canonical for Pending {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.changes, out);
        self.ends.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let changes = input.list(MAX_PENDING + MAX_FROM_PROOF, "changes that wait for the end of the epoch")?;
        Ok(Self { changes, ends: Sequence::decode(input)? })
    }
}

impl Canonical for OpenProposal {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.changes, out);
        self.since.encode(out);
        encode_list(&self.approvals, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            changes: input.list(MAX_CHANGES, "changes of a proposal")?,
            since: Position::decode(input)?,
            approvals: input.list(64, "approvals of a proposal")?,
        })
    }
}
