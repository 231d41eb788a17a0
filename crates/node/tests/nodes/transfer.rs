//! State transfer between real nodes: a validator was down while the others pruned (protocol §8.3, §8.7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate_proof::{EpochInfo, Proof, Proven};
use quorate_replica::{create_store, records};
use quorate_storage::{Durability, Family, MemoryStore, Store};
use quorate_transport::pb::cluster::v1::Mode;
use quorate_transport::pb::entities::v1 as pb;
use quorate_transport::pb::entities::v1::get_proof_request::Subject;
use quorate_types::entity::Content;
use quorate_types::operation::{Change, EntityId};
use quorate_types::parameters::Parameters;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, submit};

async fn cluster() -> Cluster {
    let parameters =
        Parameters { checkpoint_interval: 4, window: 16, status_interval_ms: 100, ..Parameters::default() };
    Cluster::start_with(4, parameters, |config| config.retained_sequences = Some(16)).await
}

fn add(cluster: &Cluster, nonce: u64) -> Arc<quorate_types::operation::Operation> {
    cluster.operation(nonce, EntityId::new("counter", &format!("c{}", nonce % 50)), Change::Add { by: 1 })
}

/// Orders operations with nonces in `nonces`, one after the other.
async fn order(cluster: &Cluster, nonces: std::ops::Range<u64>) {
    for nonce in nonces {
        cluster.order(0, &add(cluster, nonce)).await;
    }
}

/// A cluster that has pruned what its last validator, which is down, lacks; 159 operations were ordered.
async fn leave_behind() -> (Cluster, u64) {
    let mut cluster = cluster().await;
    cluster.ordering(0).await;
    for index in 0..50 {
        cluster.order(0, &cluster.make(index + 1, &format!("c{index}"))).await;
    }
    order(&cluster, 51..60).await;
    cluster.stop(3).await.unwrap();
    let behind = records::executed().read(&cluster.stores[3]).unwrap().unwrap().execution.sequence.0;
    order(&cluster, 60..160).await;
    for index in 0..3 {
        cluster.until(index, |status| status.oldest > behind + 1).await;
    }
    (cluster, behind)
}

/// The entity's amount as `index` proves it.
async fn proven(cluster: &Cluster, index: usize, id: &str, at_least: u64) -> Option<Content> {
    let name = pb::EntityName { kind: "counter".to_owned(), id: id.to_owned() };
    let request = pb::GetProofRequest { subject: Some(Subject::Entity(name)), at_least };
    let answer = cluster.entities(index).get_proof(request).await.unwrap().into_inner();
    let proof = Proof::from_file(&answer.proof).unwrap().verify(&EpochInfo::of_genesis(&cluster.genesis)).unwrap();
    let Proven::State(state) = proof else { panic!("{proof:?}") };
    state.entity().map(|entity| entity.content.clone())
}

fn state_of(store: &MemoryStore) -> [Vec<(Vec<u8>, Vec<u8>)>; 2] {
    [Family::State, Family::Tree].map(|family| store.scan(family, &[], &[], usize::MAX).unwrap())
}

/// protocol §8.3, §8.7
#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_was_down_while_the_others_pruned_comes_back_under_load() {
    let (mut cluster, behind) = leave_behind().await;
    // Load goes on while it comes back.
    let (stopper, ordered) = (CancellationToken::new(), Arc::new(AtomicU64::new(160)));
    let load = {
        let (stopper, ordered, mut client) = (stopper.clone(), Arc::clone(&ordered), cluster.operations(1));
        let operations: Vec<_> = (160..4_000).map(|nonce| add(&cluster, nonce)).collect();
        tokio::spawn(async move {
            for operation in operations {
                if stopper.is_cancelled() {
                    return;
                }
                client.submit(submit(&operation)).await.unwrap();
                ordered.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    cluster.start_one(3).await.unwrap();
    let status =
        cluster.until(3, |status| status.mode == i32::from(Mode::Ordering) && status.oldest > behind + 1).await;
    assert!(status.executed > behind + 50, "{status:?}");
    stopper.cancel();
    load.await.unwrap();
    let nonces = ordered.load(Ordering::Relaxed);
    let highest = cluster.status(0).await.executed;
    cluster.until(3, |status| status.executed >= highest).await;
    assert_eq!(proven(&cluster, 3, "c7", highest).await, proven(&cluster, 0, "c7", highest).await);
    assert_eq!(proven(&cluster, 3, "nowhere", highest).await, None);
    // Without it, the others are one short.
    cluster.stop(2).await.unwrap();
    order(&cluster, nonces..nonces + 20).await;
    let highest = cluster.status(0).await.executed;
    cluster.until(3, |status| status.executed >= highest && status.certified >= highest).await;
    for index in [0, 1, 3] {
        cluster.stop(index).await.unwrap();
    }
    let [first, last] = [0, 3]
        .map(|index: usize| records::executed().read(&cluster.stores[index]).unwrap().unwrap().execution.sequence);
    if first == last {
        assert_eq!(state_of(&cluster.stores[3]), state_of(&cluster.stores[0]));
    }
    // What it fetched doesn't lie about: a start without peers finds its state whole.
    cluster.start_one(3).await.unwrap();
    assert_eq!(cluster.status(3).await.executed, last.0);
    cluster.stop_all().await;
}

/// protocol §7.4, §7.5: an empty disk is another incarnation, which follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_validator_with_an_empty_disk_follows_by_transfer() {
    let (mut cluster, _) = leave_behind().await;
    cluster.stores[3] = MemoryStore::new();
    cluster.stores[3].write(create_store(cluster.genesis.cluster, [77; 32]), Durability::Synced).unwrap();
    std::fs::remove_file(cluster.guard_path(3)).unwrap();
    cluster.start_one(3).await.unwrap();
    let highest = cluster.status(0).await.executed;
    let status = cluster.until(3, |status| status.executed >= highest).await;
    assert_eq!(status.mode, i32::from(Mode::Following));
    assert_eq!(proven(&cluster, 3, "c7", highest).await, proven(&cluster, 0, "c7", highest).await);
    order(&cluster, 160..170).await;
    let highest = cluster.status(0).await.executed;
    cluster.until(3, |status| status.executed >= highest).await;
    cluster.stop_all().await;
}
