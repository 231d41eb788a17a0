//! The record layout: the one place that knows under which key what is kept, and in which form.
//!
//! A [`Slot`] is a typed key: what is put under it and what is read from it have one type. Every value
//! starts with a version byte; a version that isn't known is refused by name ([`RecordError`]), and so is
//! a value that isn't canonical: a store that was damaged or written by a newer version is never guessed
//! at. Numbers in keys are fixed-width and big-endian, so that ranges scan in order.
//!
//! | family | key | value |
//! |---|---|---|
//! | `Meta` | `cluster`, `incarnation`, `batch` | cluster id, the store's nonce, number of the last synced batch |
//! | `Meta` | `delivered`, `executed` | [`Delivered`], [`ExecutedMark`] |
//! | `Meta` | `stable` | the stable checkpoint |
//! | `Meta` | `delivered` | [`Delivered`] |
//! | `Meta` | `stable` | sequence of the stable checkpoint |
//! | `Meta` | `epoch` | the epoch entered last; none before the first change |
//! | `Meta` | `pruned` | the highest sequence that isn't kept any more |
//! | `Meta` | `swept` | after a transfer: how far what lies below `pruned` has been deleted |
//! | `Meta` | `transfer`, `installing` | [`TransferMark`]; the checkpoint whose state is being put in place |
//! | `Meta` | `wrong-from`, `divergence` | since when the state is wrong; [`Divergence`], for inspection |
//! | `Meta` | `void-above` ‖ epoch | what was delivered last in an epoch that ended, until its void bundles are gone |
//! | `Protocol` | `view` | [`ViewState`] |
//! | `Protocol` | `left-lane` ‖ epoch | own index in the epoch before, and the own bundle that was ordered last there |
//! | `Protocol` | `complaint` ‖ epoch | own newest complaint |
//! | `Protocol` | `view-change` ‖ epoch, view | own view change |
//! | `Protocol` | `new-view` ‖ epoch, view | the new view accepted |
//! | `Protocol` | `own-new-view`, `own-bundle`, `own-prepare` ‖ epoch | the newest that this validator signed |
//! | `Votes` | 0 ‖ epoch, sequence, view, phase, validator | own vote, or another's that was seen first |
//! | `Votes` | 1 ‖ epoch, sequence | own execution vote |
//! | `Votes` | 3 ‖ id | evidence |
//! | `Proposals` | 0 ‖ digest | proposal |
//! | `Proposals` | 1 ‖ sequence | digest of the proposal delivered there |
//! | `Certificates` | 0 ‖ epoch | highest prepared certificate |
//! | `Certificates` | 1 ‖ sequence | commit certificate |
//! | `Certificates` | 2 ‖ sequence | execution certificate |
//! | `Certificates` | 3 ‖ sequence | own result of execution |
//! | `Certificates` | 4 ‖ epoch | how it was entered: [`EpochStart`] |
//! | `Bundles` | epoch, lane, number, digest | bundle |
//! | `Receipts` | sequence, index | receipt |
//! | `Operations` | operation id | [`Place`] of its receipt |
//! | `Operations` | operation id ‖ 1 | [`Judged`]: the last answer without a receipt |
//! | `Incoming` | checkpoint, digest of the key | entry of that checkpoint's state |
//!
//! What is not here: when a record is written or must be durable, which is for the composite; and
//! `Family::State`, whose layout is the machine's own.

mod check;
mod ranges;
mod slot;
mod values;

use quorate_crypto::Digest;
use quorate_storage::{Family, Snapshot};
use quorate_types::bundle::{Bundle, BundleHeader};
use quorate_types::codec::Canonical;
use quorate_types::epoch::EpochStart;
use quorate_types::evidence::Evidence;
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{BundleNumber, Epoch, OperationId, Sequence, ValidatorIndex, View};
use quorate_types::proposal::Proposal;
use quorate_types::receipt::Receipt;
use quorate_types::signed::Signed;
use quorate_types::snapshot::Entry;
use quorate_types::view_change::{Complaint, NewView, ViewChangeMessage};
use quorate_types::vote::{Certificate, Phase, Vote};

use crate::standing::Ended;
use crate::transfer::{Divergence, TransferMark};

pub use self::check::admit;
pub use self::ranges::{
    bundles_above, bundles_at, bundles_between, bundles_of, commits_from, evidence_kept, executions_from,
    highest_bundle, highest_commit, highest_committed, highest_new_view, highest_view_change, new_views, oldest_void,
    own_execution_votes_above, proposals, receipts_at, results_above, votes_above, votes_at,
};
pub use self::slot::{Record, RecordError, Slot};
pub use self::values::{Delivered, ExecutedMark, Judged, Place, ViewState};

/// The version of every value written.
pub const RECORD_VERSION: u8 = 1;

const VOTES: u8 = 0;
const EXECUTION_VOTES: u8 = 1;
/// 2 was a contradiction's, before there was evidence.
const EVIDENCE: u8 = 3;
const BY_DIGEST: u8 = 0;
const BY_SEQUENCE: u8 = 1;
const PREPARED: u8 = 0;
const COMMITS: u8 = 1;
const EXECUTIONS: u8 = 2;
const RESULTS: u8 = 3;
const EPOCHS: u8 = 4;

/// The cluster that the store belongs to: its genesis file's digest.
#[must_use]
pub fn cluster() -> Slot<Digest> {
    Slot::new(Family::Meta, b"cluster".to_vec())
}

/// The store's random incarnation nonce (protocol §7.4).
#[must_use]
pub fn incarnation() -> Slot<Digest> {
    Slot::new(Family::Meta, b"incarnation".to_vec())
}

/// The number of the last synced batch, which the guard file carries too (protocol §7.2).
#[must_use]
pub fn batch_number() -> Slot<u64> {
    Slot::new(Family::Meta, b"batch".to_vec())
}

/// Why signing ended for good, if it has.
#[must_use]
pub fn ended() -> Slot<Ended> {
    Slot::new(Family::Meta, b"ended".to_vec())
}

/// What was executed last; written in the same batch as its effects.
#[must_use]
pub fn executed() -> Slot<ExecutedMark> {
    Slot::new(Family::Meta, b"executed".to_vec())
}

/// What was delivered last.
#[must_use]
pub fn delivered() -> Slot<Delivered> {
    Slot::new(Family::Meta, b"delivered".to_vec())
}

/// The stable checkpoint (protocol §8.1).
#[must_use]
pub fn stable() -> Slot<Sequence> {
    Slot::new(Family::Meta, b"stable".to_vec())
}

/// The epoch that this validator entered last; none before the first change of the set (protocol §8.4).
#[must_use]
pub fn epoch() -> Slot<Epoch> {
    Slot::new(Family::Meta, b"epoch".to_vec())
}

/// How an epoch after the first began: what leads from the epoch before to it.
#[must_use]
pub fn epoch_start(epoch: Epoch) -> Slot<EpochStart> {
    Slot::new(Family::Certificates, key(&[EPOCHS], &[&epoch]))
}

/// What the own lane of the epoch before `epoch` was, and how far it was ordered: what lies above is bundled again
/// (protocol §8.4).
#[must_use]
pub fn left_lane(epoch: Epoch) -> Slot<(ValidatorIndex, BundleNumber)> {
    Slot::new(Family::Protocol, key(LEFT_LANE, &[&epoch]))
}

/// What was delivered last in an epoch that has ended: bundles of it above these points are void (protocol §8.4), and
/// this stays until they have left the store.
#[must_use]
pub fn void_above(epoch: Epoch) -> Slot<Delivered> {
    Slot::new(Family::Meta, key(VOID_ABOVE, &[&epoch]))
}

/// What lies at or below this sequence has left the store (protocol §8.1).
#[must_use]
pub fn pruned() -> Slot<Sequence> {
    Slot::new(Family::Meta, b"pruned".to_vec())
}

/// How far what lies at or below [`pruned`] has been deleted, where a transfer moved that mark ahead of the deleting
/// (protocol §8.7).
#[must_use]
pub fn swept() -> Slot<Sequence> {
    Slot::new(Family::Meta, b"swept".to_vec())
}

/// The transfer under way, and how far it is (protocol §8.7).
#[must_use]
pub fn transfer() -> Slot<TransferMark> {
    Slot::new(Family::Meta, b"transfer".to_vec())
}

/// The checkpoint whose state is being put in place: until that is done the state is nobody's (protocol §8.7).
#[must_use]
pub fn installing() -> Slot<Sequence> {
    Slot::new(Family::Meta, b"installing".to_vec())
}

/// Whether the state in a snapshot is one: not while another one is put in its place.
///
/// # Errors
/// If the snapshot can't be read.
pub fn is_state_whole<N: Snapshot>(snapshot: &N) -> Result<bool, RecordError> {
    let slot = installing();
    Ok(snapshot.get(slot.family(), slot.key())?.is_none())
}

/// The first sequence whose own result isn't the certified one, until a certified state has replaced the own one
/// (protocol §8.2).
#[must_use]
pub fn wrong_from() -> Slot<Sequence> {
    Slot::new(Family::Meta, b"wrong-from".to_vec())
}

/// Where this validator's results left the certified ones last, for inspection (protocol §8.2).
#[must_use]
pub fn divergence() -> Slot<Divergence> {
    Slot::new(Family::Meta, b"divergence".to_vec())
}

/// An entry of a checkpoint's state that another validator sent.
#[must_use]
pub fn incoming(checkpoint: Sequence, place: &Digest) -> Slot<Entry> {
    Slot::new(Family::Incoming, key(&[], &[&checkpoint, place]))
}

/// Every execution certificate up to here is held; below, nothing is voted on or asked for any more.
#[must_use]
pub fn certified() -> Slot<Sequence> {
    Slot::new(Family::Meta, b"certified".to_vec())
}

/// The newest new view that this validator signed as primary, so that a restart never makes a second one.
#[must_use]
pub fn own_new_view(epoch: Epoch) -> Slot<Signed<NewView>> {
    Slot::new(Family::Protocol, key(b"own-new-view", &[&epoch]))
}

/// The header of the newest own bundle: small enough for the guard file.
#[must_use]
pub fn own_bundle(epoch: Epoch) -> Slot<Signed<BundleHeader>> {
    Slot::new(Family::Protocol, key(b"own-bundle", &[&epoch]))
}

/// This validator's highest prepare vote, by view and sequence: a view change names it (protocol §2.6).
#[must_use]
pub fn own_prepare(epoch: Epoch) -> Slot<Signed<Vote>> {
    Slot::new(Family::Protocol, key(b"own-prepare", &[&epoch]))
}

/// Epoch and view, and whether the view is active.
#[must_use]
pub fn view_state() -> Slot<ViewState> {
    Slot::new(Family::Protocol, b"view".to_vec())
}

/// This validator's newest complaint of an epoch.
#[must_use]
pub fn own_complaint(epoch: Epoch) -> Slot<Signed<Complaint>> {
    Slot::new(Family::Protocol, key(b"complaint", &[&epoch]))
}

/// This validator's view change for a view, with its proofs as sent.
#[must_use]
pub fn own_view_change(epoch: Epoch, view: View) -> Slot<ViewChangeMessage> {
    Slot::new(Family::Protocol, key(VIEW_CHANGE, &[&epoch, &view]))
}

/// The one new view accepted for a view (protocol §5.2).
#[must_use]
pub fn new_view(epoch: Epoch, view: View) -> Slot<Signed<NewView>> {
    Slot::new(Family::Protocol, key(NEW_VIEW, &[&epoch, &view]))
}

const VIEW_CHANGE: &[u8] = b"view-change";
const NEW_VIEW: &[u8] = b"new-view";
const LEFT_LANE: &[u8] = b"left-lane";
const VOID_ABOVE: &[u8] = b"void-above";

/// The one vote kept of a validator for a view, sequence and phase: own, or first seen.
#[must_use]
pub fn vote(vote: &Vote) -> Slot<Signed<Vote>> {
    let Vote { epoch, view, sequence, phase, validator, .. } = vote;
    Slot::new(Family::Votes, key(&[VOTES], &[epoch, sequence, view, phase, validator]))
}

/// The place of a vote by what it is for.
#[must_use]
pub fn vote_at(
    epoch: Epoch,
    view: View,
    sequence: Sequence,
    phase: Phase,
    validator: ValidatorIndex,
) -> Slot<Signed<Vote>> {
    vote(&Vote { epoch, view, sequence, digest: Digest::ZERO, phase, validator })
}

/// This validator's execution vote at a sequence.
#[must_use]
pub fn own_execution_vote(epoch: Epoch, sequence: Sequence) -> Slot<Signed<ExecutionVote>> {
    Slot::new(Family::Votes, key(&[EXECUTION_VOTES], &[&epoch, &sequence]))
}

/// Evidence by id.
#[must_use]
pub fn evidence(id: &Digest) -> Slot<Evidence> {
    Slot::new(Family::Votes, key(&[EVIDENCE], &[id]))
}

/// A proposal by digest.
#[must_use]
pub fn proposal(digest: &Digest) -> Slot<Proposal> {
    Slot::new(Family::Proposals, key(&[BY_DIGEST], &[digest]))
}

/// The digest of the proposal delivered at a sequence.
#[must_use]
pub fn committed(sequence: Sequence) -> Slot<Digest> {
    Slot::new(Family::Proposals, key(&[BY_SEQUENCE], &[&sequence]))
}

/// The highest prepared certificate of an epoch, by view and sequence.
#[must_use]
pub fn prepared(epoch: Epoch) -> Slot<Certificate> {
    Slot::new(Family::Certificates, key(&[PREPARED], &[&epoch]))
}

/// The commit certificate of a sequence. Not every sequence has one: it covers the chain below.
#[must_use]
pub fn commit(sequence: Sequence) -> Slot<Certificate> {
    Slot::new(Family::Certificates, key(&[COMMITS], &[&sequence]))
}

/// The execution certificate of a sequence.
#[must_use]
pub fn execution(sequence: Sequence) -> Slot<ExecutionCertificate> {
    Slot::new(Family::Certificates, key(&[EXECUTIONS], &[&sequence]))
}

/// What executing a sequence gave here, voted on or not.
#[must_use]
pub fn result(sequence: Sequence) -> Slot<Execution> {
    Slot::new(Family::Certificates, key(&[RESULTS], &[&sequence]))
}

/// A bundle of a lane; several of one number when the lane forked.
#[must_use]
pub fn bundle(epoch: Epoch, lane: ValidatorIndex, number: BundleNumber, digest: &Digest) -> Slot<Bundle> {
    Slot::new(Family::Bundles, key(&[], &[&epoch, &lane, &number, digest]))
}

/// The place of a bundle that is at hand.
#[must_use]
pub fn bundle_slot(bundle: &Bundle) -> Slot<Bundle> {
    let header = &bundle.header.statement;
    self::bundle(header.epoch, header.lane, header.number, &header.digest())
}

/// A receipt by sequence and index.
#[must_use]
pub fn receipt(sequence: Sequence, index: u32) -> Slot<Receipt> {
    Slot::new(Family::Receipts, key(&[], &[&sequence, &index]))
}

/// Where an operation's receipt is.
#[must_use]
pub fn place(operation: &OperationId) -> Slot<Place> {
    Slot::new(Family::Operations, key(&[], &[operation]))
}

/// The last judgement of an operation that had no receipt then (data-model §3).
#[must_use]
pub fn judged(operation: &OperationId) -> Slot<Judged> {
    Slot::new(Family::Operations, key(&[], &[operation, &1u8]))
}

/// What keys are made of: canonical parts of fixed width.
trait KeyPart {
    fn append(&self, out: &mut Vec<u8>);
}

impl<T: Canonical> KeyPart for T {
    fn append(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
}

/// Room for every key without growing.
const KEY_BYTES: usize = 64;

fn key(prefix: &[u8], parts: &[&dyn KeyPart]) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.extend_from_slice(prefix);
    parts.iter().for_each(|part| part.append(&mut key));
    key
}

#[cfg(test)]
mod tests;
