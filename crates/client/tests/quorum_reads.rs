//! Reads that trust no single validator, against gateways that lie (data-model §§5.3, 5.4): a replayed old
//! certificate, a replayed statement, and a claim of what isn't committed are found out.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quorate_client::{Client, ClientConfig, ClientFault, RetryPolicy, SecretKey};
use quorate_crypto::{Digest, sha256};
use quorate_proof::sparse::{self, Leaf, SparsePath};
use quorate_proof::{Proof, StateProof};
use quorate_transport::pb::cluster::v1 as cluster_pb;
use quorate_transport::pb::cluster::v1::cluster_server::{Cluster, ClusterServer};
use quorate_transport::pb::entities::v1 as pb;
use quorate_transport::pb::entities::v1::entities_server::{Entities, EntitiesServer};
use quorate_types::codec::Canonical;
use quorate_types::entity::{Content, Entity, Header, state_key};
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::freshness::{Freshness, FreshnessAnswer, Nonce};
use quorate_types::genesis::{Administrators, Genesis, GenesisContent, GenesisValidator};
use quorate_types::ids::{ClusterId, Epoch, OperationId, Sequence, ValidatorIndex, View};
use quorate_types::kind::{Access, Consistency, EntityType, Kind};
use quorate_types::operation::EntityId;
use quorate_types::parameters::Parameters;
use quorate_types::set::ValidatorInfo;
use quorate_types::signed::{Signed, Statement, signing_bytes};
use quorate_types::vote::{Certificate, Claim, Phase};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const VALIDATORS: u16 = 4;

fn key(index: u16) -> SecretKey {
    SecretKey::from_seed([u8::try_from(index).unwrap() + 1; 32])
}

fn genesis() -> Genesis {
    let validator = |index: u16| GenesisValidator {
        info: ValidatorInfo {
            name: format!("v{index}"),
            consensus_key: key(index).public(),
            network_key: key(index + 100).public(),
            incarnation: [u8::try_from(index).unwrap() + 51; 32],
            peer_address: format!("127.0.0.1:{}", 10_000 + index),
        },
        client_address: None,
    };
    let access = Access::open([key(50).public()]);
    let hits = Kind {
        name: "hits".to_owned(),
        consistency: Consistency::Strong,
        entity_type: EntityType::Counter,
        schema: None,
        access,
    };
    let content = GenesisContent {
        name: "test".to_owned(),
        validators: (0..VALIDATORS).map(validator).collect(),
        administrators: Administrators { threshold: 1, keys: vec![key(60).public()] },
        parameters: Parameters::default(),
        kinds: vec![hits],
    };
    Genesis::parse(content.to_toml().as_bytes()).unwrap()
}

fn name() -> EntityId {
    EntityId::new("hits", "front-page")
}

fn sign<T: Statement>(cluster: &ClusterId, index: u16, statement: T) -> Signed<T> {
    let signature = key(index).sign(&signing_bytes(cluster, &statement));
    Signed { statement, signature }
}

/// The counter has the value of the sequence, and a quorum has signed that.
fn proof_at(cluster: &ClusterId, sequence: u64) -> Bytes {
    let header =
        Header { version: sequence, last: OperationId(Digest::ZERO), changed: Sequence(sequence), heads: Vec::new() };
    let entity = Entity { header, content: Content::Counter(i64::try_from(sequence).unwrap()) };
    let leaf = Leaf::of(&state_key(&name()), &entity.to_bytes());
    let execution = Execution {
        epoch: Epoch(0),
        sequence: Sequence(sequence),
        proposal: sha256(&[&sequence.to_be_bytes()]),
        state_root: sparse::root_of(&[leaf]),
        receipts_root: Digest::ZERO,
    };
    let signature = |index: u16| {
        let vote = sign(cluster, index, ExecutionVote { execution, validator: ValidatorIndex(index) });
        (ValidatorIndex(index), vote.signature)
    };
    let certificate = ExecutionCertificate { execution, signatures: [0, 1, 2].map(signature).to_vec() };
    let path = SparsePath { end: Some(leaf), siblings: Vec::new() };
    let proof = StateProof { entity: name(), record: Some(entity.to_bytes()), path, certificate };
    Bytes::from(Proof::State(Box::new(proof)).to_file())
}

/// A quorum has committed the sequence.
fn commit_at(cluster: &ClusterId, sequence: u64) -> Certificate {
    let claim = Claim { view: View(0), sequence: Sequence(sequence), digest: sha256(&[&sequence.to_be_bytes()]) };
    let mut certificate = Certificate { phase: Phase::Commit, epoch: Epoch(0), claim, signatures: Vec::new() };
    let signature = |index: u16| {
        let vote = sign(cluster, index, certificate.vote_of(ValidatorIndex(index)));
        (ValidatorIndex(index), vote.signature)
    };
    certificate.signatures = [1, 2, 3].map(signature).to_vec();
    certificate
}

/// How a gateway answers.
#[derive(Clone, Copy)]
struct Manner {
    /// The commit that it speaks of.
    committed: u64,
    /// What it adds to the sequence of that, on its word alone.
    inflated: u64,
    /// The state that it proves.
    proves: u64,
    /// Whether it answers with a statement made for another nonce.
    replays: bool,
}

const HONEST: Manner = Manner { committed: 9, inflated: 0, proves: 9, replays: false };

#[derive(Clone, Copy)]
struct Gateway {
    index: u16,
    cluster: ClusterId,
    manner: Manner,
}

#[tonic::async_trait]
impl Cluster for Gateway {
    async fn status(
        &self,
        _: Request<cluster_pb::StatusRequest>,
    ) -> Result<Response<cluster_pb::StatusResponse>, Status> {
        let cluster = Bytes::copy_from_slice(self.cluster.0.as_bytes());
        Ok(Response::new(cluster_pb::StatusResponse { cluster, ..Default::default() }))
    }

    async fn health(
        &self,
        _: Request<cluster_pb::HealthRequest>,
    ) -> Result<Response<cluster_pb::HealthResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn epochs(
        &self,
        _: Request<cluster_pb::EpochsRequest>,
    ) -> Result<Response<cluster_pb::EpochsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn evidence(
        &self,
        _: Request<cluster_pb::EvidenceRequest>,
    ) -> Result<Response<cluster_pb::EvidenceResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn bundle(
        &self,
        _: Request<cluster_pb::BundleRequest>,
    ) -> Result<Response<cluster_pb::BundleResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn accuse(
        &self,
        _: Request<cluster_pb::AccuseRequest>,
    ) -> Result<Response<cluster_pb::AccuseResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn suspicion(
        &self,
        _: Request<cluster_pb::SuspicionRequest>,
    ) -> Result<Response<cluster_pb::SuspicionResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn explain(
        &self,
        _: Request<cluster_pb::ExplainRequest>,
    ) -> Result<Response<cluster_pb::ExplainResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn validators(
        &self,
        _: Request<cluster_pb::ValidatorsRequest>,
    ) -> Result<Response<cluster_pb::ValidatorsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl Entities for Gateway {
    async fn get(&self, _: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list(&self, _: Request<pb::ListRequest>) -> Result<Response<pb::ListResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_proof(&self, _: Request<pb::GetProofRequest>) -> Result<Response<pb::GetProofResponse>, Status> {
        let sequence = self.manner.proves;
        Ok(Response::new(pb::GetProofResponse { proof: proof_at(&self.cluster, sequence), sequence }))
    }

    async fn get_freshness(
        &self,
        request: Request<pb::GetFreshnessRequest>,
    ) -> Result<Response<pb::GetFreshnessResponse>, Status> {
        let asked: Nonce = request.get_ref().nonce[..].try_into().unwrap();
        let Manner { committed, inflated, replays, .. } = self.manner;
        let statement = Freshness {
            epoch: Epoch(0),
            nonce: if replays { [7; 32] } else { asked },
            committed: Sequence(committed + inflated),
            validator: ValidatorIndex(self.index),
        };
        let signed = sign(&self.cluster, self.index, statement);
        let answer = FreshnessAnswer { signed, certificate: Some(commit_at(&self.cluster, committed)) };
        Ok(Response::new(pb::GetFreshnessResponse { answer: Bytes::from(answer.to_bytes()) }))
    }
}

/// Gateways with these manners, by index, and a client that asks the first one first.
async fn client(manners: [Manner; 4]) -> Client {
    let genesis = genesis();
    let mut addresses = Vec::new();
    for (index, manner) in (0..).zip(manners) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let gateway = Gateway { index, cluster: genesis.cluster, manner };
        let services = tonic::transport::Server::builder().add_service(EntitiesServer::new(gateway));
        let server = services.add_service(ClusterServer::new(gateway));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }
    let pause = Duration::from_millis(1);
    let retry = RetryPolicy {
        attempt: Duration::from_secs(20),
        total: Duration::from_millis(800),
        first_pause: pause,
        longest_pause: pause,
    };
    let file = genesis.content.to_toml();
    Client::new(ClientConfig::new(file.as_bytes(), addresses).unwrap().with_retry(retry)).unwrap()
}

#[tokio::test]
async fn a_gateway_that_replays_an_old_certificate_is_passed_over() {
    let liar = Manner { committed: 5, proves: 5, ..HONEST };
    let read = client([liar, HONEST, HONEST, HONEST]).await.read_quorum(&name(), None).await.unwrap();
    assert_eq!(read.fresh, Sequence(9));
    assert_eq!(read.state.execution().sequence, Sequence(9));
    assert_eq!(read.state.entity().unwrap().content, Content::Counter(9));
    // Its answer verifies; it is only old. And it stays a proof for whoever keeps it.
    let kept = client([HONEST; 4]).await.verify_proof(&read.proof).unwrap();
    assert!(matches!(kept, quorate_client::Proven::State(state) if *state == read.state));
}

#[tokio::test]
async fn gateways_that_all_replay_give_no_answer_and_are_named() {
    let liar = Manner { proves: 5, ..HONEST };
    let fault = client([liar; 4]).await.read_quorum(&name(), None).await.unwrap_err();
    let ClientFault::NoAnswer { last, .. } = fault else { panic!("{fault:?}") };
    assert!(last.contains("proved the state at sequence 5, but 9 was committed"), "{last}");
}

#[tokio::test]
async fn statements_over_another_nonce_count_for_nothing() {
    let liar = Manner { replays: true, ..HONEST };
    let fault = client([HONEST, HONEST, liar, liar]).await.read_quorum(&name(), None).await.unwrap_err();
    assert!(matches!(fault, ClientFault::NoFreshness { answered: 2, needed: 3, .. }), "{fault:?}");
    assert!(fault.to_string().contains("over another nonce"), "{fault}");
    let read = client([liar, HONEST, HONEST, HONEST]).await.read_quorum(&name(), None).await.unwrap();
    assert_eq!(read.fresh, Sequence(9));
}

/// A Byzantine validator can't make reads wait for what will never be.
#[tokio::test]
async fn a_claim_above_its_certificate_is_refused() {
    let liar = Manner { inflated: 1_000_000, ..HONEST };
    let client = client([liar, HONEST, HONEST, HONEST]).await;
    for _ in 0..5 {
        assert_eq!(client.fresh().await.unwrap(), Sequence(9));
    }
}

/// One validator at two addresses is one validator.
#[tokio::test]
async fn one_key_at_two_addresses_counts_once() {
    let genesis = Arc::new(genesis());
    let mut addresses = Vec::new();
    for index in [0, 1, 1, 1] {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let gateway = Gateway { index, cluster: genesis.cluster, manner: HONEST };
        let services = tonic::transport::Server::builder().add_service(EntitiesServer::new(gateway));
        let server = services.add_service(ClusterServer::new(gateway));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }
    let config = ClientConfig::new(genesis.content.to_toml().as_bytes(), addresses).unwrap();
    let fault = Client::new(config).unwrap().fresh().await.unwrap_err();
    assert!(matches!(fault, ClientFault::NoFreshness { answered: 2, needed: 3, .. }), "{fault:?}");
}
