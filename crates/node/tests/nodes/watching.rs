//! Watches: complete, in order, resumable, and cut when nobody reads.

use quorate_transport::fault::Reason;
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::watch_response::Entry;
use quorate_types::operation::{Change, EntityId};
use quorate_types::parameters::Parameters;
use quorate_types::value::Value;

use crate::harness::{Cluster, fault};

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_gives_everything_in_order_old_and_new_and_leaves_out_what_may_not_be_read() {
    let cluster = Cluster::start_with(1, Parameters::default(), |config| config.resources.recent_sequences = 2).await;
    cluster.ordering(0).await;
    for nonce in 0..6 {
        cluster.order(0, &cluster.make(nonce, &format!("c{nonce}"))).await;
    }
    let secret = EntityId::new("secret", "s");
    cluster.order(0, &cluster.operation(6, secret, Change::Create { value: None })).await;
    let request = pb::WatchRequest { from_sequence: 1, with_bodies: true, with_proofs: true, ..Default::default() };
    let mut watch = cluster.operations(0).watch(request).await.unwrap().into_inner();
    let late = cluster.make(7, "late");
    cluster.order(0, &late).await;
    let (mut operations, mut changes, mut done) = (Vec::new(), Vec::new(), 0);
    while operations.len() < 8 || done < operations.len() as u64 {
        let response = watch.message().await.unwrap().unwrap();
        match response.entry.unwrap() {
            Entry::Operation(operation) => {
                let answer = pb::SubmitResponse { receipt: operation.receipt, ..Default::default() };
                assert_eq!(cluster.verify(&answer).into_receipt().sequence.0, response.sequence);
                let is_secret = operation.nonce == 6;
                assert_eq!(operation.operation.is_none(), is_secret, "the body of what may not be read is left out");
                operations.push(operation.nonce);
            }
            Entry::Change(change) => changes.push((change.kind, change.id, change.value.is_some())),
            Entry::Conviction(conviction) => panic!("nobody asked for {conviction:?}"),
            Entry::Done(_) => {
                assert_eq!(response.sequence, done + 1);
                done = response.sequence;
            }
        }
    }
    assert_eq!(operations, (0..8).collect::<Vec<u64>>());
    assert_eq!(changes.len(), 7, "the secret's change is left out");
    assert!(changes.iter().all(|(kind, _, has_value)| kind == "counter" && *has_value));
    let resumed = pb::WatchRequest { from_sequence: done, without_changes: true, ..Default::default() };
    let mut watch = cluster.operations(0).watch(resumed).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert!(first.sequence == done && matches!(first.entry, Some(Entry::Operation(operation)) if operation.nonce == 7));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_is_cut_with_the_sequence_to_resume_from() {
    let cluster = Cluster::start_with(1, Parameters::default(), |config| config.clients.watch_patience_ms = 100).await;
    cluster.ordering(0).await;
    let request = pb::WatchRequest { from_sequence: 1, with_bodies: true, ..Default::default() };
    let mut watch = cluster.operations(0).watch(request).await.unwrap().into_inner();
    let value = Value::Text("x".repeat(200_000));
    for nonce in 0..100 {
        let note = EntityId::new("note", &format!("n{nonce}"));
        cluster.order(0, &cluster.operation(nonce, note, Change::Put { value: value.clone() })).await;
    }
    let (mut done, mut refused) = (0, None);
    while refused.is_none() {
        match watch.message().await {
            Ok(Some(response)) if matches!(response.entry, Some(Entry::Done(_))) => done = response.sequence,
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a word"),
            Err(status) => refused = Some(fault(&status)),
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.reason, Reason::SlowWatcher);
    assert_eq!(refused.metadata["resume_from"], (done + 1).to_string());
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_bounded_and_one_that_ends_makes_room() {
    let cluster = Cluster::start_with(1, Parameters::default(), |config| config.clients.watches = 1).await;
    let first = cluster.operations(0).watch(pb::WatchRequest::default()).await.unwrap();
    let refused = cluster.operations(0).watch(pb::WatchRequest::default()).await.unwrap_err();
    assert_eq!(fault(&refused).reason, Reason::PoolFull);
    drop(first);
    let again = async { while cluster.operations(0).watch(pb::WatchRequest::default()).await.is_err() {} };
    tokio::time::timeout(crate::harness::PATIENCE, again).await.expect("the place is free in time");
    cluster.stop_all().await;
}
