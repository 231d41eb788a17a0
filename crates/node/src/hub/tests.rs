//! Who waits for what: answers come once, in order, and waiting is bounded.

use std::sync::Arc;

use quorate_crypto::{Digest, Signature, sha256};
use quorate_proof::merkle;
use quorate_replica::Intake;
use quorate_replica::records::Place;
use quorate_types::execution::{Execution, ExecutionCertificate};
use quorate_types::ids::{BlockTime, BundleNumber, Epoch, OperationId, Sequence, ValidatorIndex};
use quorate_types::promise::Promise;
use quorate_types::receipt::{Judgement, Outcome as ReceiptOutcome, Receipt};
use quorate_types::signed::Signed;

use super::{Crowded, Hub, HubLimits, Outcome, Progress, Sequenced, Wants};

fn id(byte: u8) -> OperationId {
    OperationId(Digest::new([byte; 32]))
}

fn hub(waiting: usize) -> Arc<Hub> {
    Hub::new(HubLimits { sequences: 4, waiting }, Progress::default())
}

fn sequenced(sequence: u64, operations: &[u8]) -> Arc<Sequenced> {
    let receipts: Vec<Receipt> = (0u32..)
        .zip(operations)
        .map(|(index, operation)| Receipt {
            operation: id(*operation),
            sequence: Sequence(sequence),
            index,
            outcome: ReceiptOutcome::Applied,
            versions: vec![],
            concurrent_with: vec![],
        })
        .collect();
    let leaves: Vec<Digest> = receipts.iter().map(Receipt::digest).collect();
    let execution = Execution {
        epoch: Epoch(0),
        sequence: Sequence(sequence),
        proposal: sha256(&[&sequence.to_be_bytes()]),
        state_root: Digest::ZERO,
        receipts_root: merkle::root(&leaves),
    };
    Arc::new(Sequenced::new(execution, BlockTime(sequence), receipts, Default::default()))
}

fn certificate(sequenced: &Sequenced) -> Arc<ExecutionCertificate> {
    let signatures = vec![(ValidatorIndex(0), Signature::from_bytes([0; 64]))];
    Arc::new(ExecutionCertificate { execution: sequenced.execution, signatures })
}

#[tokio::test]
async fn a_receipt_is_told_when_it_can_be_proven_whichever_comes_last() {
    for certified_first in [false, true] {
        let hub = hub(8);
        let mut waits = hub.register(id(2), Wants::Receipt).unwrap();
        let done = sequenced(5, &[1, 2]);
        if certified_first {
            hub.on_certified(certificate(&done));
        }
        assert_eq!(hub.on_executed(Arc::clone(&done), &[]), !certified_first);
        assert_eq!(hub.progress().borrow().executed, Sequence(5));
        if !certified_first {
            assert_eq!(hub.waiting(), 1, "executed isn't proven");
            hub.on_certified(certificate(&done));
        }
        let place = Place { sequence: Sequence(5), index: 1 };
        assert_eq!(waits.outcome().await, Some(Outcome::Receipt(place)));
        assert_eq!(hub.waiting(), 0);
        let held = hub.certificate(Sequence(5)).unwrap();
        let proof = hub.sequenced(Sequence(5)).unwrap().prove(1, &held).unwrap();
        assert_eq!(proof.path.root(proof.receipt.digest()), Some(done.execution.receipts_root));
    }
}

/// A validator that catches up may hold certificates far ahead of what it executes.
#[tokio::test]
async fn a_certificate_that_came_early_and_was_evicted_is_asked_for() {
    let hub = hub(2);
    let mut waits = hub.register(id(1), Wants::Receipt).unwrap();
    let done = sequenced(5, &[1]);
    for sequence in 5..=16 {
        hub.on_certified(certificate(&sequenced(sequence, &[1])));
    }
    assert!(hub.certificate(Sequence(5)).is_none());
    assert!(hub.on_executed(Arc::clone(&done), &[]), "look into the store");
    hub.on_certified(certificate(&done));
    assert_eq!(waits.outcome().await, Some(Outcome::Receipt(Place { sequence: Sequence(5), index: 0 })));
}

#[tokio::test]
async fn a_judgement_and_a_refusal_are_told_at_once() {
    let hub = hub(8);
    let mut judged = hub.register(id(1), Wants::Receipt).unwrap();
    let mut refused = hub.register(id(2), Wants::Receipt).unwrap();
    let mut promised = hub.register(id(3), Wants::Promise).unwrap();
    let patient = hub.register(id(3), Wants::Receipt).unwrap();
    assert!(!hub.on_executed(sequenced(5, &[]), &[(id(1), Judgement::UnknownAuthor)]));
    hub.on_intake(&id(2), Intake::Full);
    hub.on_intake(&id(3), Intake::Taken);
    assert_eq!(judged.outcome().await, Some(Outcome::Judged(Sequence(5), Judgement::UnknownAuthor)));
    assert_eq!(refused.outcome().await, Some(Outcome::Refused(Intake::Full)));
    assert_eq!(hub.waiting(), 2, "taken is no promise yet");
    let statement = Promise { epoch: Epoch(0), lane: ValidatorIndex(1), number: BundleNumber(2), operation: id(3) };
    let promise = Signed { statement, signature: Signature::from_bytes([0; 64]) };
    hub.on_promised(promise);
    assert_eq!(promised.outcome().await, Some(Outcome::Promised(promise)));
    assert_eq!(hub.waiting(), 1, "the other one waits for its receipt");
    drop(patient);
    assert_eq!(hub.waiting(), 0);
}

#[tokio::test]
async fn calls_that_wait_are_bounded_and_one_that_goes_makes_room() {
    let hub = hub(2);
    let first = hub.register(id(1), Wants::Receipt).unwrap();
    let place = Place { sequence: Sequence(9), index: 0 };
    let second = hub.register_certified(place).unwrap();
    assert_eq!(hub.register(id(1), Wants::Receipt).unwrap_err(), Crowded { limit: 2 });
    drop(first);
    let third = hub.register(id(1), Wants::Receipt).unwrap();
    drop(second);
    assert_eq!(hub.waiting(), 1);
    drop(third);
    assert_eq!(hub.waiting(), 0);
}

#[test]
fn recent_sequences_are_bounded() {
    let hub = hub(1);
    for sequence in 1..=6 {
        assert!(!hub.on_executed(sequenced(sequence, &[1]), &[]));
    }
    assert!(hub.sequenced(Sequence(2)).is_none());
    assert!((3..=6).all(|sequence| hub.sequenced(Sequence(sequence)).is_some()));
}
