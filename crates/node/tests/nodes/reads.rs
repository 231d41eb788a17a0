//! Proofs and linearizable reads through real nodes (data-model §§4.8, 5.3–5.5).

use bytes::Bytes;
use quorate_proof::{EpochInfo, Proof, Proven, VerifiedState};
use quorate_transport::fault::Reason;
use quorate_transport::pb::entities::v1 as pb;
use quorate_transport::pb::entities::v1::consistency::Level;
use quorate_transport::pb::entities::v1::get_proof_request::Subject;
use quorate_types::codec::Canonical;
use quorate_types::entity::Content;
use quorate_types::freshness::FreshnessAnswer;
use quorate_types::operation::{Change, EntityId};

use crate::harness::{Cluster, fault};

fn entity(kind: &str, id: &str, at_least: u64) -> pb::GetProofRequest {
    let name = pb::EntityName { kind: kind.to_owned(), id: id.to_owned() };
    pb::GetProofRequest { subject: Some(Subject::Entity(name)), at_least }
}

async fn prove(cluster: &Cluster, index: usize, request: pb::GetProofRequest) -> Proven {
    let answer = cluster.entities(index).get_proof(request).await.unwrap().into_inner();
    Proof::from_file(&answer.proof).unwrap().verify(&EpochInfo::of_genesis(&cluster.genesis)).unwrap()
}

async fn state(cluster: &Cluster, index: usize, request: pb::GetProofRequest) -> VerifiedState {
    match prove(cluster, index, request).await {
        Proven::State(state) => *state,
        other => panic!("{other:?}"),
    }
}

fn linearizable(kind: &str, id: &str) -> pb::GetRequest {
    let level = Some(Level::Linearizable(pb::Linearizable {}));
    let consistency = Some(pb::Consistency { level });
    pb::GetRequest { kind: kind.to_owned(), id: id.to_owned(), consistency }
}

/// data-model §4.4
#[tokio::test(flavor = "multi_thread")]
async fn every_validator_proves_presence_absence_receipt_and_order() {
    let cluster = Cluster::start(4).await;
    cluster.ordering(0).await;
    let made = cluster.make(1, "c");
    cluster.order(0, &made).await;
    let add = cluster.operation(2, EntityId::new("counter", "c"), Change::Add { by: 7 });
    let receipt = cluster.order(1, &add).await;
    for index in 0..4 {
        let found = state(&cluster, index, entity("counter", "c", receipt.sequence.0)).await;
        assert!(found.execution().sequence >= receipt.sequence);
        let entity_found = found.entity().expect("it exists");
        assert_eq!((entity_found.content.clone(), entity_found.header.version), (Content::Counter(7), 2));
        assert_eq!(entity_found.header.last, add.id());
        assert_eq!(state(&cluster, index, entity("counter", "nowhere", 1)).await.entity(), None);
        let operation = Bytes::copy_from_slice(add.id().0.as_bytes());
        let request = pb::GetProofRequest { subject: Some(Subject::Operation(operation)), at_least: 0 };
        let Proven::Receipt(proven) = prove(&cluster, index, request).await else { panic!("a receipt") };
        assert_eq!(*proven.receipt(), receipt);
        let request = pb::GetProofRequest { subject: Some(Subject::OrderFrom(1)), at_least: 0 };
        let Proven::Order(order) = prove(&cluster, index, request).await else { panic!("the order") };
        assert!(order.digest_at(quorate_types::ids::Sequence(1)).is_some());
    }
    let refused = |request| async { fault(&cluster.entities(0).get_proof(request).await.unwrap_err()).reason };
    assert_eq!(refused(pb::GetProofRequest::default()).await, Reason::Malformed);
    assert_eq!(refused(entity("secret", "c", 0)).await, Reason::TokenMissing);
    assert_eq!(refused(entity("no-such-kind", "c", 0)).await, Reason::NotFound);
    let unknown = Some(Subject::Operation(Bytes::from_static(&[9; 32])));
    assert_eq!(refused(pb::GetProofRequest { subject: unknown, at_least: 0 }).await, Reason::NotFound);
    let far = Some(Subject::OrderFrom(1_000_000));
    assert_eq!(refused(pb::GetProofRequest { subject: far, at_least: 0 }).await, Reason::NotFound);
    cluster.stop_all().await;
}

/// data-model §5.4: whoever was told of an operation sees it at every other validator.
#[tokio::test(flavor = "multi_thread")]
async fn a_linearizable_read_sees_what_was_acknowledged_elsewhere_also_with_one_validator_down() {
    let mut cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    cluster.order(0, &cluster.make(1, "c")).await;
    for round in 0..8 {
        if round == 4 {
            cluster.stop(3).await.unwrap();
        }
        let up = if round < 4 { 4 } else { 3 };
        let add = cluster.operation(2 + round, EntityId::new("counter", "c"), Change::Add { by: 1 });
        let receipt = cluster.order((round % up) as usize, &add).await;
        let elsewhere = ((round + 1) % up) as usize;
        let answer = cluster.entities(elsewhere).get(linearizable("counter", "c")).await.unwrap().into_inner();
        assert!(answer.read.unwrap().sequence >= receipt.sequence.0);
        assert_eq!(answer.entity.unwrap().version, 2 + round);
    }
    cluster.stop_all().await;
}

/// data-model §5.4: fewer than a quorum prove nothing, so there is no answer rather than a stale one.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_there_is_no_linearizable_answer() {
    let mut cluster = Cluster::start_with(4, Default::default(), |config| config.clients.deadline_ms = 1_500).await;
    cluster.ordering(0).await;
    cluster.order(0, &cluster.make(1, "c")).await;
    cluster.stop(2).await.unwrap();
    cluster.stop(3).await.unwrap();
    let refused = cluster.entities(0).get(linearizable("counter", "c")).await.unwrap_err();
    assert_eq!(fault(&refused).reason, Reason::Timeout);
    let local = pb::GetRequest { consistency: None, ..linearizable("counter", "c") };
    assert!(cluster.entities(0).get(local).await.is_ok(), "local reads go on");
    cluster.stop_all().await;
}

/// data-model §5.3
#[tokio::test(flavor = "multi_thread")]
async fn each_validator_states_its_freshness_over_the_callers_nonce() {
    let cluster = Cluster::start(4).await;
    for index in 0..4 {
        cluster.ordering(index).await;
    }
    let receipt = cluster.order(0, &cluster.make(1, "c")).await;
    let epoch = EpochInfo::of_genesis(&cluster.genesis);
    let nonce = [42; 32];
    let mut at_least = 0;
    for index in 0..4 {
        let request = pb::GetFreshnessRequest { nonce: Bytes::copy_from_slice(&nonce) };
        let answer = cluster.entities(index).get_freshness(request).await.unwrap().into_inner();
        let answer = FreshnessAnswer::from_bytes(&answer.answer).unwrap();
        epoch.verify_freshness(&answer, &nonce).unwrap();
        assert!(epoch.verify_freshness(&answer, &[43; 32]).is_err());
        assert_eq!(usize::from(answer.signed.statement.validator.0), index);
        at_least += usize::from(answer.signed.statement.committed >= receipt.sequence);
    }
    assert!(at_least >= 2, "an acknowledged operation is committed at more than n − q correct validators");
    let short = pb::GetFreshnessRequest { nonce: Bytes::from_static(&[1; 31]) };
    let refused = cluster.entities(0).get_freshness(short).await.unwrap_err();
    assert_eq!(fault(&refused).reason, Reason::Malformed);
    cluster.stop_all().await;
}
