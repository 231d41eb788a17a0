//! Every kind of record comes back as it was kept, alone under its key, and in order.

use std::collections::BTreeSet;

use quorate_crypto::{Signature, sha256};
use quorate_dag::Point;
use quorate_storage::{Change, Durability, MemoryStore, Store, WriteBatch};
use quorate_types::bundle::BundleHeader;
use quorate_types::codec::DecodeError;
use quorate_types::execution::Execution;
use quorate_types::ids::BlockTime;
use quorate_types::proposal::Payload;
use quorate_types::receipt::{Judgement, Outcome};
use quorate_types::view_change::ViewChange;
use quorate_types::vote::Claim;

use super::*;

fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

fn some_vote(view: u64, sequence: u64, validator: u16) -> Signed<Vote> {
    let statement = Vote {
        epoch: Epoch(1),
        view: View(view),
        sequence: Sequence(sequence),
        digest: digest(3),
        phase: Phase::Commit,
        validator: ValidatorIndex(validator),
    };
    Signed { statement, signature: Signature::from_bytes([4; 64]) }
}

fn certificate(phase: Phase, sequence: u64) -> Certificate {
    let claim = Claim { view: View(1), sequence: Sequence(sequence), digest: digest(5) };
    Certificate { phase, epoch: Epoch(1), claim, signatures: vec![(ValidatorIndex(2), Signature::from_bytes([6; 64]))] }
}

fn execution_at(sequence: u64) -> Execution {
    Execution {
        epoch: Epoch(1),
        sequence: Sequence(sequence),
        proposal: digest(7),
        state_root: Digest::ZERO,
        receipts_root: digest(8),
    }
}

fn some_bundle(lane: u16, number: u64, root: u8) -> Bundle {
    let statement = BundleHeader {
        epoch: Epoch(1),
        lane: ValidatorIndex(lane),
        number: BundleNumber(number),
        parent: digest(9),
        cumulative_operations: 1,
        cumulative_bytes: 2,
        operations_root: digest(root),
    };
    Bundle { header: Signed { statement, signature: Signature::from_bytes([1; 64]) }, operations: Vec::new() }
}

fn view_change_for(view: u64) -> ViewChangeMessage {
    let statement = ViewChange {
        epoch: Epoch(1),
        new_view: View(view),
        prepared: None,
        committed: None,
        last_vote: None,
        validator: ValidatorIndex(0),
    };
    let signed = Signed { statement, signature: Signature::from_bytes([2; 64]) };
    ViewChangeMessage { signed, prepared: None, committed: None }
}

fn some_receipt(sequence: u64, index: u32) -> Receipt {
    Receipt {
        operation: OperationId(digest(1)),
        sequence: Sequence(sequence),
        index,
        outcome: Outcome::Applied,
        versions: Vec::new(),
        concurrent_with: Vec::new(),
    }
}

fn write(store: &MemoryStore, fill: impl FnOnce(&mut WriteBatch)) {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    store.write(batch, Durability::Synced).unwrap();
}

fn comes_back<T: Canonical + PartialEq + std::fmt::Debug>(slot: &Slot<T>, value: &T) -> (Family, Vec<u8>) {
    let store = MemoryStore::default();
    assert_eq!(slot.read(&store), Ok(None));
    write(&store, |batch| slot.put(batch, value));
    assert_eq!(slot.read(&store).as_ref(), Ok(&Some(T::from_bytes(&value.to_bytes()).unwrap())));
    assert!(slot.is_kept(&store).unwrap());
    (slot.family(), slot.key().to_vec())
}

/// protocol §7.1: signed messages are kept byte for byte.
#[test]
fn every_kind_of_record_comes_back_from_a_place_of_its_own() {
    let (epoch, sequence, lane) = (Epoch(1), Sequence(2), ValidatorIndex(3));
    let execution_vote = ExecutionVote { execution: execution_at(2), validator: lane };
    let signed_vote = Signed { statement: execution_vote, signature: Signature::from_bytes([4; 64]) };
    let complaint = Complaint { epoch, view: View(1), time: BlockTime(5), validator: lane };
    let complaint = Signed { statement: complaint, signature: Signature::from_bytes([4; 64]) };
    let point = Point { number: BundleNumber(4), digest: digest(1), cumulative_operations: 5, cumulative_bytes: 6 };
    let mark = ExecutedMark { execution: execution_at(2), time: BlockTime(9), points: vec![point, Point::EMPTY] };
    let chained = Proposal { epoch, sequence, parent: digest(1), time: BlockTime(3), payload: Payload::default() };
    let link = quorate_consensus::Link { sequence, digest: digest(3), time: BlockTime(3) };
    let at_tip = Delivered { link, points: vec![point] };
    let certified = ExecutionCertificate { execution: execution_at(2), signatures: Vec::new() };
    let view = NewView {
        epoch,
        view: View(1),
        view_changes: vec![view_change_for(1).signed],
        prepared: None,
        committed: None,
        validator: lane,
    };
    let view = Signed { statement: view, signature: Signature::from_bytes([4; 64]) };
    let id = OperationId(digest(1));
    let judgement = Judgement::UnknownAuthor;
    let places = [
        comes_back(&cluster(), &digest(1)),
        comes_back(&incarnation(), &digest(2)),
        comes_back(&batch_number(), &7),
        comes_back(&executed(), &mark),
        comes_back(&delivered(), &at_tip),
        comes_back(&stable(), &sequence),
        comes_back(&own_new_view(epoch), &view),
        comes_back(&own_bundle(epoch), &some_bundle(3, 4, 5).header),
        comes_back(&view_state(), &ViewState { epoch, view: View(3), active: true }),
        comes_back(&own_complaint(epoch), &complaint),
        comes_back(&own_view_change(epoch, View(1)), &view_change_for(1)),
        comes_back(&new_view(epoch, View(1)), &view),
        comes_back(&vote(&some_vote(1, 2, 3).statement), &some_vote(1, 2, 3)),
        comes_back(&vote_at(epoch, View(1), sequence, Phase::Prepare, lane), &some_vote(1, 2, 3)),
        comes_back(&own_execution_vote(epoch, sequence), &signed_vote),
        comes_back(&proposal(&chained.digest()), &chained),
        comes_back(&committed(sequence), &chained.digest()),
        comes_back(&prepared(epoch), &certificate(Phase::Prepare, 2)),
        comes_back(&commit(sequence), &certificate(Phase::Commit, 2)),
        comes_back(&execution(sequence), &certified),
        comes_back(&bundle_slot(&some_bundle(3, 4, 5)), &some_bundle(3, 4, 5)),
        comes_back(&receipt(sequence, 1), &some_receipt(2, 1)),
        comes_back(&place(&id), &Place { sequence, index: 3 }),
        comes_back(&judged(&id), &Judged { sequence, judgement }),
    ];
    let distinct: BTreeSet<_> = places.iter().collect();
    assert_eq!(distinct.len(), places.len());
}

#[test]
fn every_judgement_comes_back() {
    let judgements = [
        Judgement::NonceUsed { by: OperationId(digest(2)) },
        Judgement::NonceTooOld { lowest: 1 },
        Judgement::NonceTooFar { highest: 2 },
        Judgement::UnknownAuthor,
        Judgement::Expired { expired_at_ms: 3 },
        Judgement::ExpiresTooFar { latest_ms: 4 },
        Judgement::ReceiptPruned,
    ];
    for judgement in judgements {
        comes_back(&judged(&OperationId(digest(1))), &Judged { sequence: Sequence(1), judgement });
    }
}

/// One vote per validator, view, sequence and phase (protocol §3.8): what differs only in its digest has
/// one place.
#[test]
fn votes_that_contradict_each_other_share_a_place_and_all_others_do_not() {
    let base = some_vote(1, 2, 3).statement;
    assert_eq!(vote(&base), vote(&Vote { digest: digest(9), ..base }));
    let others = [
        Vote { epoch: Epoch(2), ..base },
        Vote { view: View(2), ..base },
        Vote { sequence: Sequence(3), ..base },
        Vote { phase: Phase::Prepare, ..base },
        Vote { validator: ValidatorIndex(4), ..base },
    ];
    assert!(others.iter().all(|other| vote(other) != vote(&base)));
}

#[test]
fn votes_above_a_sequence_come_from_all_views_and_no_other_epoch() {
    let store = MemoryStore::default();
    let kept: Vec<_> = (0..3).flat_map(|view| (1..200).map(move |sequence| some_vote(view, sequence, 1))).collect();
    let foreign = Signed { statement: Vote { epoch: Epoch(2), ..kept[0].statement }, ..kept[0] };
    write(&store, |batch| kept.iter().chain([&foreign]).for_each(|kept| vote(&kept.statement).put(batch, kept)));
    let found = votes_above(&store, Epoch(1), Sequence(50)).unwrap();
    assert_eq!(found.len(), 3 * 149, "more than a page");
    assert!(found.iter().all(|vote| vote.statement.sequence > Sequence(50) && vote.statement.epoch == Epoch(1)));
    assert_eq!(votes_above(&store, Epoch(1), Sequence(199)).unwrap(), []);
    assert_eq!(votes_above(&store, Epoch(2), Sequence::ZERO).unwrap(), [foreign]);
}

#[test]
fn bundles_above_the_tips_come_by_lane_and_number_forks_included() {
    let store = MemoryStore::default();
    let kept: Vec<_> = (0..3).flat_map(|lane| (1..5).map(move |number| some_bundle(lane, number, 0))).collect();
    let fork = some_bundle(1, 4, 1);
    write(&store, |batch| kept.iter().chain([&fork]).for_each(|bundle| bundle_slot(bundle).put(batch, bundle)));
    let tip = |number| Point { number: BundleNumber(number), ..Point::EMPTY };
    let found = bundles_above(&store, Epoch(1), &[tip(4), tip(2), tip(3)]).unwrap();
    let places: Vec<_> =
        found.iter().map(|bundle| (bundle.header.statement.lane.0, bundle.header.statement.number.0)).collect();
    assert_eq!(places, [(1, 3), (1, 4), (1, 4), (2, 4)]);
    assert_eq!(highest_bundle(&store, Epoch(1), ValidatorIndex(1)), Ok(BundleNumber(4)));
    assert_eq!(highest_bundle(&store, Epoch(1), ValidatorIndex(3)), Ok(BundleNumber::ZERO));
    assert_eq!(highest_bundle(&store, Epoch(0), ValidatorIndex(1)), Ok(BundleNumber::ZERO));
}

#[test]
fn the_highest_of_each_kind_is_found() {
    let store = MemoryStore::default();
    assert_eq!(highest_commit(&store, Epoch(1)), Ok(None));
    assert_eq!(highest_committed(&store), Ok(None));
    assert_eq!(highest_view_change(&store, Epoch(1)), Ok(None));
    assert_eq!(highest_new_view(&store, Epoch(1)), Ok(None));
    write(&store, |batch| {
        for sequence in [1, 255, 256, 70_000] {
            commit(Sequence(sequence)).put(batch, &certificate(Phase::Commit, sequence));
            committed(Sequence(sequence)).put(batch, &sha256(&[&sequence.to_be_bytes()]));
            own_view_change(Epoch(1), View(sequence)).put(batch, &view_change_for(sequence));
        }
    });
    assert_eq!(highest_commit(&store, Epoch(1)).unwrap().unwrap().claim.sequence, Sequence(70_000));
    let expected = sha256(&[&70_000u64.to_be_bytes()]);
    assert_eq!(highest_committed(&store), Ok(Some((Sequence(70_000), expected))));
    let newest = highest_view_change(&store, Epoch(1)).unwrap().unwrap();
    assert_eq!(newest.signed.statement.new_view, View(70_000));
    assert_eq!(highest_view_change(&store, Epoch(2)), Ok(None));
    let from: Vec<_> = commits_from(&store, Sequence(255)).unwrap().iter().map(|c| c.claim.sequence.0).collect();
    assert_eq!(from, [255, 256, 70_000]);
}

#[test]
fn receipts_of_a_sequence_come_by_index() {
    let store = MemoryStore::default();
    write(&store, |batch| {
        for index in (0..600).rev() {
            receipt(Sequence(5), index).put(batch, &some_receipt(5, index));
        }
        receipt(Sequence(6), 0).put(batch, &some_receipt(6, 0));
    });
    let found = receipts_at(&store, Sequence(5)).unwrap();
    assert!(found.iter().map(|receipt| receipt.index).eq(0..600));
}

#[test]
fn a_record_of_another_version_is_refused_by_name_and_a_malformed_one_too() {
    let store = MemoryStore::default();
    let mut sealed = WriteBatch::new();
    batch_number().put(&mut sealed, &7);
    let Some(Change::Put { family, key, value }) = sealed.changes().next() else { panic!("a put") };
    let write_raw = |value: Vec<u8>| write(&store, |batch| batch.put(family, key, value));
    write_raw([&[2], &value[1..]].concat());
    let unknown = RecordError::UnknownVersion { family, key: key.to_vec(), found: 2, known: 1 };
    assert_eq!(batch_number().read(&store), Err(unknown.clone()));
    assert_eq!(unknown.to_string(), "the record batch in family meta has version 2, this program knows 1");
    write_raw([value, &[0]].concat());
    let fault = DecodeError::Trailing { left: 1 };
    assert_eq!(batch_number().read(&store), Err(RecordError::Malformed { family, key: key.to_vec(), fault }));
    write_raw(Vec::new());
    assert!(matches!(batch_number().read(&store), Err(RecordError::Malformed { .. })));
}
