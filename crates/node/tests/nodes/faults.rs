//! Stores that fail, guard files that are lost: the node stops, or signs nothing.

use quorate_node::NodeError;
use quorate_node::guard_file::GuardFile;
use quorate_transport::channel::{ChannelTiming, unix_channel};
use quorate_transport::fault::Reason;
use quorate_transport::pb::admin::v1::admin_client::AdminClient;
use quorate_transport::pb::admin::v1::{SetLogFilterRequest, ShutdownRequest};
use quorate_transport::pb::cluster::v1::Mode;
use quorate_types::parameters::Parameters;

use crate::harness::{Cluster, fault, submit};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_stops_the_node_with_the_reason_and_the_others_go_on() {
    let mut cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    cluster.stores[3].fail_next_sync();
    assert!(cluster.order(0, &cluster.make(0, "c")).await.is_applied());
    let error = cluster.ended(3).await.unwrap_err();
    assert!(matches!(error, NodeError::Store(_)), "{error}");
    assert!(error.to_string().contains("a sync failed, as ordered"), "{error}");
    assert!(cluster.order(0, &cluster.make(1, "d")).await.is_applied());
    cluster.stop_all().await;
}

/// protocol §7.2, §7.4: a lost guard file means quarantine, which this version doesn't leave.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_guard_file_a_node_follows_and_serves_reads_and_takes_no_operation() {
    let mut cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    cluster.order(0, &cluster.make(0, "c")).await;
    cluster.stop(3).await.unwrap();
    std::fs::remove_file(cluster.guard_path(3)).unwrap();
    cluster.start_one(3).await.unwrap();
    let receipt = cluster.order(0, &cluster.make(1, "d")).await;
    let status = cluster.until(3, |status| status.executed >= receipt.sequence.0).await;
    assert_eq!(status.mode, i32::from(Mode::Following));
    assert!(
        status.reason.contains("guard file is missing") && status.reason.contains("asks the cluster to take it back"),
        "{status:?}"
    );
    let refused = cluster.operations(3).submit(submit(&cluster.make(2, "e"))).await.unwrap_err();
    assert_eq!(fault(&refused).reason, Reason::Following);
    cluster.until(0, |status| status.validators[3].following).await;
    cluster.stop_all().await;
}

/// protocol §7.2: an older copy of the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_its_guard_file_signs_nothing() {
    let mut cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    cluster.order(0, &cluster.make(0, "c")).await;
    cluster.stop(3).await.unwrap();
    let incarnation = cluster.genesis.content.validators[3].info.incarnation;
    std::fs::remove_file(cluster.guard_path(3)).unwrap();
    let mut guard = GuardFile::create(&cluster.guard_path(3), incarnation).unwrap();
    guard.write(1_000_000, &[]).unwrap();
    drop(guard);
    cluster.start_one(3).await.unwrap();
    let status = cluster.until(3, |status| status.mode == i32::from(Mode::Following)).await;
    assert!(status.reason.contains("lacks batches that the guard file has seen"), "{status:?}");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_value_found_by_a_read_stops_the_node() {
    let mut cluster = Cluster::start_with(1, Parameters::default(), |_| {}).await;
    cluster.ordering(0).await;
    cluster.order(0, &cluster.make(0, "c")).await;
    let key = [b"ecounter\0", &b"c"[..]].concat();
    assert!(cluster.stores[0].flip_bit(quorate_storage::Family::State, &key, 100));
    let request = quorate_transport::pb::entities::v1::GetRequest {
        kind: "counter".to_owned(),
        id: "c".to_owned(),
        consistency: None,
    };
    let refused = cluster.entities(0).get(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::DataLoss);
    let error = cluster.ended(0).await.unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_stops_a_node_by_its_socket() {
    let mut cluster = Cluster::start(1).await;
    let socket = cluster.config(0).admin_socket;
    let mut admin = AdminClient::new(unix_channel(socket.clone(), ChannelTiming::default()));
    let refused = admin.set_log_filter(SetLogFilterRequest { filter: "no=such=level".to_owned() }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    admin.shutdown(ShutdownRequest { reason: "test".to_owned() }).await.unwrap();
    cluster.ended(0).await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_start_leaves_nothing_running() {
    let mut cluster = Cluster::start(1).await;
    cluster.stop(0).await.unwrap();
    let taken = tokio::net::UnixListener::bind(cluster.config(0).admin_socket).unwrap();
    let error = cluster.start_one(0).await.unwrap_err();
    assert!(error.to_string().contains("the admin socket can't listen on"), "{error}");
    drop(taken);
    cluster.start_one(0).await.expect("its other addresses are free again");
    cluster.ordering(0).await;
    cluster.stop_all().await;
}
