//! Four nodes order operations, with one lost, with one restarted, with too few.

use std::time::Duration;

use quorate_transport::fault::Reason;
use quorate_transport::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_transport::pb::cluster::v1::{DumpRequest, Mode, StatusRequest};
use quorate_transport::pb::entities::v1 as entities;
use quorate_types::parameters::Parameters;
use quorate_types::receipt::Receipt;

use crate::harness::{Cluster, fault, submit};

fn quick() -> Parameters {
    Parameters {
        timeout_base_ms: 300,
        status_interval_ms: 50,
        checkpoint_interval: 4,
        window: 16,
        ..Parameters::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_order_operations_and_answer_with_receipts_that_verify() {
    let cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    // The first operation sets the base of the author's nonces.
    cluster.order(0, &cluster.make(0, "c0")).await;
    let calls = (1..40u64).map(|nonce| {
        let operation = cluster.make(nonce, &format!("c{nonce}"));
        let mut client = cluster.operations(usize::try_from(nonce % 4).unwrap());
        async move { client.submit(submit(&operation)).await.unwrap().into_inner() }
    });
    let answers = futures::future::join_all(calls).await;
    let receipts: Vec<_> = answers.iter().map(|answer| cluster.verify(answer).into_receipt()).collect();
    assert!(receipts.iter().all(Receipt::is_applied));
    let highest = receipts.iter().map(|receipt| receipt.sequence.0).max().unwrap();
    for index in 0..4 {
        let at_least = entities::consistency::Level::AtLeast(entities::AtLeast { sequence: highest });
        let request = entities::ListRequest {
            kind: "counter".to_owned(),
            page_size: 1_000,
            consistency: Some(entities::Consistency { level: Some(at_least) }),
            ..Default::default()
        };
        let page = cluster.entities(index).list(request).await.unwrap().into_inner();
        assert_eq!(page.entities.len(), 40);
        assert!(page.read.unwrap().sequence >= highest);
    }
    let status = cluster.status(0).await;
    assert_eq!(status.mode, i32::from(Mode::Ordering));
    assert!(status.validators.iter().all(|validator| validator.connected), "{status:?}");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_validator_orders() {
    let cluster = Cluster::start(1).await;
    cluster.ordering(0).await;
    assert!(cluster.order(0, &cluster.make(1, "c")).await.is_applied());
    cluster.stop_all().await;
}

/// protocol §8.3, §5: the others go on without the primary, and it catches up when it is back, to the same
/// state down to the last byte.
#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_without_the_primary_which_catches_up_when_it_is_back() {
    let mut cluster = Cluster::start_with(4, quick(), |_| {}).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    cluster.order(1, &cluster.make(0, "before")).await;
    let primary = usize::try_from(cluster.status(1).await.primary).unwrap();
    cluster.stop(primary).await.unwrap();
    let gateway = (primary + 1) % 4;
    let mut highest = 0;
    for nonce in 1..30 {
        let receipt = cluster.order(gateway, &cluster.make(nonce, &format!("without-{nonce}"))).await;
        highest = receipt.sequence.0;
    }
    assert!(cluster.status(gateway).await.view > 0);
    cluster.start_one(primary).await.unwrap();
    cluster.ordering(primary).await;
    assert!(cluster.order(primary, &cluster.make(100, "after")).await.is_applied());
    let at = cluster.until(gateway, |status| status.executed > highest).await.executed;
    let mut digests = std::collections::BTreeSet::new();
    for index in 0..4 {
        cluster.until(index, |status| status.executed >= at).await;
        let request = StatusRequest { dump: Some(DumpRequest { at_sequence: 0 }) };
        let status = ClusterClient::new(cluster.channel(index)).status(request).await.unwrap().into_inner();
        let dump = status.dump.unwrap();
        assert_eq!(dump.sequence, at, "nothing more is ordered");
        digests.insert((dump.digest, dump.keys, status.proposal, status.receipts_root));
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    cluster.stop_all().await;
}

/// data-model §6: who is missing and since when; LOCAL reads go on with their age.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_writes_are_refused_by_naming_who_is_missing_and_reads_go_on() {
    let mut cluster = Cluster::start_with(4, quick(), |_| {}).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    let first = cluster.make(0, "c");
    let receipt = cluster.order(0, &first).await;
    cluster.until(0, |status| status.executed == receipt.sequence.0).await;
    cluster.stop(2).await.unwrap();
    cluster.stop(3).await.unwrap();
    cluster.until(0, |status| status.mode == i32::from(Mode::ReadOnly)).await;
    let refused = cluster.operations(0).submit(submit(&cluster.make(1, "d"))).await.unwrap_err();
    let refused = fault(&refused);
    assert_eq!((refused.reason, refused.metadata["missing"].as_str()), (Reason::NoQuorum, "v2,v3"));
    assert!(refused.metadata["for_ms"].parse::<u64>().unwrap() > 0 && refused.retry_after.is_some());
    // What has executed is answered still.
    let again = cluster.operations(0).submit(submit(&first)).await.unwrap().into_inner();
    assert_eq!(cluster.verify(&again).into_receipt(), receipt);
    let get = |max_age_ms| entities::GetRequest {
        kind: "counter".to_owned(),
        id: "c".to_owned(),
        consistency: Some(entities::Consistency {
            level: Some(entities::consistency::Level::Local(entities::Local { max_age_ms })),
        }),
    };
    let read = cluster.entities(0).get(get(0)).await.unwrap().into_inner();
    assert!(read.entity.is_some() && read.read.unwrap().age_ms > 500);
    let stale = cluster.entities(0).get(get(100)).await.unwrap_err();
    assert_eq!(fault(&stale).reason, Reason::TooStale);
    cluster.start_one(2).await.unwrap();
    cluster.ordering(0).await;
    assert!(cluster.order(0, &cluster.make(1, "d")).await.is_applied());
    cluster.stop_all().await;
}

/// protocol §7.1: everything is in the records; all at once may stop and go on.
#[tokio::test(flavor = "multi_thread")]
async fn all_stop_and_start_again_and_nothing_is_lost() {
    let mut cluster = Cluster::start_with(4, quick(), |_| {}).await;
    cluster.ordering(0).await;
    let operation = cluster.make(0, "c");
    let receipt = cluster.order(0, &operation).await;
    for index in 0..4 {
        cluster.stop(index).await.unwrap();
        // Power is lost on top of it: only what was synced survives.
        cluster.stores[index].crash(0);
    }
    for index in 0..4 {
        cluster.start_one(index).await.unwrap();
    }
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    let again = cluster.order(2, &operation).await;
    assert_eq!(again, receipt);
    tokio::time::timeout(Duration::from_secs(30), cluster.order(3, &cluster.make(1, "d"))).await.unwrap();
    cluster.stop_all().await;
}
