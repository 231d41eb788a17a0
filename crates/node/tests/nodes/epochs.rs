//! Real nodes go from one epoch into the next (protocol §8.4).

use std::sync::Arc;

use quorate_crypto::SecretKey;
use quorate_node::Ended;
use quorate_proof::{EpochInfo, ReceiptProof};
use quorate_transport::pb::cluster::v1::EpochsRequest;
use quorate_transport::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_types::codec::Canonical;
use quorate_types::epoch::{EpochStart, SetChange};
use quorate_types::ids::{BlockTime, Epoch};
use quorate_types::operation::{Operation, OperationBuilder, SystemChange};
use quorate_types::parameters::Parameters;

use crate::harness::{Cluster, submit};

/// Epochs as short as they may be, and soon over.
async fn cluster() -> Cluster {
    let parameters = Parameters {
        checkpoint_interval: 4,
        window: 8,
        min_epoch_sequences: 128,
        empty_interval_ms: 5,
        status_interval_ms: 50,
        ..Parameters::default()
    };
    Cluster::start_with(4, parameters, |_| {}).await
}

fn administer(cluster: &Cluster, nonce: u64, change: SystemChange) -> Arc<Operation> {
    let key = SecretKey::from_seed([250; 32]);
    let expires = BlockTime(u64::MAX / 2);
    let soon = cluster.make(1, "any").content().expires_at.min(expires);
    let builder = OperationBuilder::new(cluster.genesis.cluster, key.public(), nonce, soon);
    Arc::new(builder.system(change).sign(&key).unwrap())
}

/// protocol §8.4: an approved change ends the epoch of running nodes; those of the next epoch go on with the same
/// stores, and a client that holds nothing but the genesis follows.
#[tokio::test(flavor = "multi_thread")]
async fn real_nodes_enter_the_next_epoch_and_clients_follow() {
    let mut cluster = cluster().await;
    cluster.ordering(0).await;
    cluster.order(0, &cluster.make(1, "before")).await;
    let changes = vec![SetChange::Parameter { name: "document_levels".to_owned(), value: 9 }];
    let proposal = administer(&cluster, 1, SystemChange::Propose(changes));
    assert!(cluster.order(0, &proposal).await.is_applied());
    let approval = administer(&cluster, 2, SystemChange::Approve(proposal.id()));
    assert!(cluster.order(1, &approval).await.is_applied());
    for index in 0..4 {
        assert_eq!(cluster.ended(index).await.unwrap(), Ended::EpochOver);
        cluster.start_one(index).await.unwrap();
    }
    cluster.ordering(1).await;
    assert_eq!(cluster.status(1).await.epoch, 1);
    let mut known = EpochInfo::of_genesis(&cluster.genesis);
    let operation = cluster.make(2, "after");
    let answer = cluster.operations(1).submit(submit(&operation)).await.unwrap().into_inner();
    let proof = ReceiptProof::from_file(&answer.receipt.unwrap().proof).unwrap();
    assert!(proof.verify(&known).is_err(), "of epoch 1 the genesis alone says nothing");
    let links = ClusterClient::new(cluster.channel(2)).epochs(EpochsRequest { from: 1 }).await.unwrap().into_inner();
    let [start] = &links.starts[..] else { panic!("{links:?}") };
    let start = EpochStart::from_bytes(start).unwrap();
    let mut forged = start.clone();
    forged.definition.parameters.document_levels = 10;
    assert!(known.follow(&forged).is_err());
    known.follow(&start).unwrap();
    assert_eq!((known.epoch, start.definition.parameters.document_levels), (Epoch(1), 9));
    assert!(proof.verify(&known).unwrap().receipt().is_applied());
    cluster.stop_all().await;
}
