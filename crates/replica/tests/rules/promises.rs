//! Intake promises (protocol §3.9): kept before they are given, whatever follows.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_replica::{Event, records};
use quorate_types::bundle::{Bundle, BundleHeader, operations_root};
use quorate_types::evidence::{BrokenPromise, Evidence};
use quorate_types::ids::{OperationId, ValidatorIndex};
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::promise::{Promise, listed};
use quorate_types::signed::Signed;
use quorate_types::verified::Verified;

use crate::support::Cluster;

/// Operations for `to` with a promise wanted for each, in one turn.
fn submit(cluster: &mut Cluster, to: usize, operations: &[Verified<Arc<Operation>>]) {
    let asked =
        |operation: &Verified<Arc<Operation>>| [Event::Operation(operation.clone()), Event::Promise(operation.id())];
    cluster.hand_over(to, operations.iter().flat_map(asked).chain([Event::Turn]).collect());
}

/// The bundle that a promise names, if the validator's store has it.
fn bundle(cluster: &Cluster, at: usize, promise: &Promise) -> Option<Bundle> {
    let Promise { epoch, lane, number, .. } = *promise;
    records::bundles_at(&cluster.hosts[at].store, epoch, lane, number).expect("a readable store").pop()
}

fn is_kept(cluster: &Cluster, at: usize, promise: &Promise) -> bool {
    let held = bundle(cluster, at, promise).map(|bundle| bundle.operations).unwrap_or_default();
    held.iter().any(|operation| operation.id() == promise.operation)
}

fn promised(cluster: &Cluster, at: usize) -> Vec<OperationId> {
    cluster.hosts[at].promises.iter().map(|promise| promise.statement.operation).collect()
}

/// protocol §3.9, §7.1
#[test]
fn a_promise_names_a_bundle_that_is_in_the_store_and_comes_again_after_a_restart() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    // Nobody hears of the bundle, so that it isn't ordered.
    cluster.links = Box::new(|from, _, _| from != 2);
    let operation = cluster.next_operation();
    submit(&mut cluster, 2, std::slice::from_ref(&operation));
    let first = cluster.hosts[2].promises.clone();
    assert_eq!(promised(&cluster, 2), [operation.id()]);
    assert!(is_kept(&cluster, 2, &first[0].statement));
    // The client didn't hear the answer, and asks again; and once more after a crash.
    submit(&mut cluster, 2, std::slice::from_ref(&operation));
    assert_eq!(cluster.hosts[2].promises, [first[0], first[0]]);
    cluster.restart(2);
    submit(&mut cluster, 2, std::slice::from_ref(&operation));
    cluster.links = Box::new(|_, _, _| true);
    cluster.run_until(5_000, |cluster| !cluster.hosts[2].promises.is_empty());
    assert_eq!(cluster.hosts[2].promises, first);
    // In the end it is ordered, from that bundle, everywhere.
    cluster.run_until(5_000, |cluster| cluster.executed().iter().all(|executed| *executed >= 1));
    assert!((0..4).all(|at| is_kept(&cluster, at, &first[0].statement)));
}

/// protocol §3.9: what the validator doesn't hold is not promised, and is not remembered.
#[test]
fn what_is_not_held_is_not_promised() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    let (unknown, ordered) = (cluster.next_operation(), cluster.next_operation());
    submit(&mut cluster, 1, std::slice::from_ref(&ordered));
    cluster.run(200);
    cluster.hosts[1].promises.clear();
    // Executed by now: its client has a receipt.
    cluster.step(1, Event::Promise(ordered.id()));
    cluster.step(1, Event::Promise(unknown.id()));
    cluster.hand_over(1, vec![Event::Operation(unknown)]);
    cluster.run(200);
    assert_eq!(promised(&cluster, 1), []);
}

/// protocol §3.9, §7.4
#[test]
fn a_validator_in_quarantine_promises_nothing() {
    let mut cluster = Cluster::new(4);
    let store = cluster.another_store([77; 32]);
    cluster.hosts[3] = cluster.boot(3, store, None);
    cluster.run(50);
    let operation = cluster.next_operation();
    submit(&mut cluster, 3, &[operation]);
    cluster.run(200);
    assert_eq!(promised(&cluster, 3), []);
}

/// protocol §3.9: each costs a signature, so a turn gives so many, and the next ones follow at once.
#[test]
fn a_turn_gives_a_bounded_number_of_promises() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    let operations: Vec<_> = (0..300).map(|_| cluster.next_operation()).collect();
    submit(&mut cluster, 0, &operations);
    assert_eq!(promised(&cluster, 0).len(), 256);
    assert_eq!(cluster.hosts[0].replica.deadline_ms(), 0);
    cluster.hand_over(0, vec![Event::Turn]);
    let mut all = promised(&cluster, 0);
    all.sort_unstable();
    let mut wanted: Vec<OperationId> = operations.iter().map(|operation| operation.id()).collect();
    wanted.sort_unstable();
    assert_eq!(all, wanted);
}

/// accountability §1.10: a client hands its evidence in, and all keep it.
#[test]
fn evidence_that_a_client_hands_in_reaches_all() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    let operation = cluster.next_operation();
    submit(&mut cluster, 0, std::slice::from_ref(&operation));
    cluster.run(100);
    // Validator 3 promised the same, and made this bundle.
    let held = bundle(&cluster, 0, &cluster.hosts[0].promises[0].statement).expect("it is kept");
    let (lane, operations) = (ValidatorIndex(3), listed(&held));
    let header = BundleHeader { lane, parent: Digest::ZERO, ..held.header.statement };
    assert_eq!(header.operations_root, operations_root(&held.operations));
    let other = cluster.next_operation().id();
    let promise = |operation| Promise { epoch: header.epoch, lane, number: header.number, operation };
    let evidence = |cluster: &Cluster, operation| {
        let (promise, header): (Signed<Promise>, _) = (cluster.sign(promise(operation)), cluster.sign(header));
        Evidence::BrokenPromise(Box::new(BrokenPromise { promise, header, operations: operations.clone() }))
    };
    let kept = evidence(&cluster, operation.id());
    assert!(cluster.context.verify(Message::Evidence(Box::new(kept))).is_err(), "that promise is kept");
    let broken = evidence(&cluster, other);
    cluster.deliver(1, 1, Message::Evidence(Box::new(broken)));
    let keeps = |cluster: &Cluster, at: usize| {
        cluster.hosts[at].replica.evidence().any(|(_, kept)| kept.kind() == "broken-promise")
    };
    cluster.run_until(5_000, |cluster| (0..4).all(|at| keeps(cluster, at)));
}
