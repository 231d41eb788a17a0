//! A validator for tests that says what it is told to say.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_crypto::{Digest, PublicKey, Scheme, SecretKey};
use quorate_transport::fault::ApiFault;
use quorate_transport::pb::cluster::v1 as cluster_pb;
use quorate_transport::pb::cluster::v1::cluster_server::{Cluster, ClusterServer};
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::operations_server::{Operations, OperationsServer};
use quorate_transport::read_token::ReadToken;
use quorate_types::codec::Canonical;
use quorate_types::epoch::{CURRENT, EpochDefinition, EpochStart};
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::genesis::{Administrators, GenesisContent, GenesisValidator};
use quorate_types::ids::{BlockTime, ClusterId, Epoch, Sequence, ValidatorIndex};
use quorate_types::kind::{Access, Consistency, EntityType, Kind};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::set::ValidatorInfo;
use quorate_types::signed::signing_bytes;
use quorate_types::sparse::{Leaf, SparsePath};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{Client, ClientConfig, MemoryNonces, RetryPolicy, Signer};

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// How long the clients here try.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

type Entries<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Watched = Entries<pb::WatchResponse>;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// A genesis file of this cluster name.
pub(crate) fn genesis(name: &str) -> Vec<u8> {
    let info = ValidatorInfo {
        name: "v0".to_owned(),
        consensus_key: key(1).public(),
        network_key: key(2).public(),
        incarnation: [3; 32],
        peer_address: "127.0.0.1:7000".to_owned(),
    };
    let kind = Kind {
        name: "counter".to_owned(),
        consistency: Consistency::Strong,
        entity_type: EntityType::Counter,
        schema: None,
        access: Access::open([key(9).public()]),
    };
    let content = GenesisContent {
        name: name.to_owned(),
        validators: vec![GenesisValidator { info, client_address: None }],
        administrators: Administrators { threshold: 1, keys: vec![key(9).public()] },
        parameters: Parameters::default(),
        kinds: vec![kind],
    };
    content.to_toml().into_bytes()
}

/// A client of the cluster "test" that doesn't try for long.
pub(crate) fn client<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Client {
    let retry = RetryPolicy { total: PATIENCE, ..RetryPolicy::default() };
    let config = ClientConfig::new(&genesis("test"), addresses.into_iter().map(str::to_owned)).unwrap();
    Client::new(config.with_retry(retry)).unwrap()
}

pub(crate) fn signer(client: &Client) -> Signer<MemoryNonces> {
    Signer::new(key(4), client.cluster(), MemoryNonces::starting_at(1))
}

/// The start of an epoch whose only validator has the key of seed `next`, certified with that of seed `signer`, which
/// is 1 for the validator of the genesis.
pub(crate) fn epoch_start(cluster: ClusterId, epoch: u64, signer: u8, next: u8) -> EpochStart {
    let sequence = Sequence(128 * epoch);
    let info = ValidatorInfo {
        name: "v0".to_owned(),
        consensus_key: key(next).public(),
        network_key: key(next + 1).public(),
        incarnation: [next; 32],
        peer_address: "127.0.0.1:7000".to_owned(),
    };
    let definition = EpochDefinition {
        epoch: Epoch(epoch),
        start: sequence,
        validators: vec![info],
        learners: vec![],
        barred: vec![],
        parameters: Parameters::default(),
    };
    let (parent, time, before) = (Digest::ZERO, BlockTime(epoch), Epoch(epoch - 1));
    let proposal = Proposal { epoch: before, sequence, parent, time, payload: Payload::default() };
    let leaf = Leaf::of(CURRENT, &definition.to_bytes());
    let execution = Execution {
        epoch: before,
        sequence,
        proposal: proposal.digest(),
        state_root: leaf.digest(),
        receipts_root: Digest::ZERO,
    };
    let vote = ExecutionVote { execution, validator: ValidatorIndex(0) };
    let signatures = vec![(vote.validator, key(signer).sign(&signing_bytes(&cluster, &vote)))];
    let certificate = ExecutionCertificate { execution, signatures };
    EpochStart { definition, path: SparsePath { end: Some(leaf), siblings: vec![] }, certificate, proposal }
}

/// What a fake validator answers, and what it was asked.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<Script>>);

struct Script {
    cluster: ClusterId,
    executed: u64,
    watches: VecDeque<Watched>,
    watched_from: Vec<u64>,
    readers: Vec<PublicKey>,
    /// The answer to every question about an author; `None`: never one.
    author: Option<Result<pb::GetAuthorResponse, ApiFault>>,
    /// The chain of epochs that it hands out.
    starts: Vec<EpochStart>,
    asked_within: Vec<Duration>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let cluster = client(["127.0.0.1:1"]).cluster();
        Self(Arc::new(Mutex::new(Script {
            cluster,
            executed: 0,
            watches: VecDeque::new(),
            watched_from: Vec::new(),
            readers: Vec::new(),
            author: None,
            starts: Vec::new(),
            asked_within: Vec::new(),
        })))
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn executed(self, sequence: u64) -> Self {
        self.script().executed = sequence;
        self
    }

    pub(crate) fn of_cluster(self, cluster: ClusterId) -> Self {
        self.script().cluster = cluster;
        self
    }

    pub(crate) fn hands_out(self, starts: Vec<EpochStart>) -> Self {
        self.script().starts = starts;
        self
    }

    pub(crate) fn knows_author(self, answer: Result<pb::GetAuthorResponse, ApiFault>) -> Self {
        self.script().author = Some(answer);
        self
    }

    /// The next watch gives these entries and ends.
    pub(crate) fn will_stream<const N: usize>(&self, entries: [Result<pb::WatchResponse, Status>; N]) {
        self.script().watches.push_back(Box::pin(tokio_stream::iter(entries)));
    }

    /// The next watch gives these entries, is quiet for `wait`, and ends.
    pub(crate) fn will_stream_then_wait<const N: usize>(
        &self,
        entries: [Result<pb::WatchResponse, Status>; N],
        wait: Duration,
    ) {
        let quiet = Box::pin(async move {
            tokio::time::sleep(wait).await;
            Err(Status::unavailable("gone"))
        });
        let quiet = tokio_stream::once(quiet).then(|answer| answer);
        self.script().watches.push_back(Box::pin(tokio_stream::iter(entries).chain(quiet)));
    }

    pub(crate) fn watched_from(&self) -> Vec<u64> {
        self.script().watched_from.clone()
    }

    pub(crate) fn readers(&self) -> Vec<PublicKey> {
        self.script().readers.clone()
    }

    pub(crate) fn was_asked_within(&self) -> Vec<Duration> {
        self.script().asked_within.clone()
    }

    /// Listens; its address.
    pub(crate) async fn start(self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder()
            .add_service(ClusterServer::new(self.clone()))
            .add_service(OperationsServer::new(self));
        let (accepted, incoming) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = accepted.send(Ok::<_, std::io::Error>(stream)).await;
            }
        });
        tokio::spawn(server.serve_with_incoming(ReceiverStream::new(incoming)));
        address
    }
}

fn unasked<T>() -> Result<T, Status> {
    Err(Status::unimplemented("no test asks this"))
}

#[tonic::async_trait]
impl Cluster for Fake {
    async fn epochs(
        &self,
        request: Request<cluster_pb::EpochsRequest>,
    ) -> Result<Response<cluster_pb::EpochsResponse>, Status> {
        let script = self.script();
        let after = usize::try_from(request.get_ref().from.saturating_sub(1)).unwrap_or(usize::MAX);
        let starts = script.starts.iter().skip(after).map(|start| start.to_bytes().into()).collect();
        let newest = script.starts.len() as u64;
        Ok(Response::new(cluster_pb::EpochsResponse { newest, starts }))
    }

    async fn status(
        &self,
        _: Request<cluster_pb::StatusRequest>,
    ) -> Result<Response<cluster_pb::StatusResponse>, Status> {
        let script = self.script();
        let cluster = script.cluster.0.as_bytes().to_vec().into();
        Ok(Response::new(cluster_pb::StatusResponse { cluster, executed: script.executed, ..Default::default() }))
    }

    async fn health(
        &self,
        _: Request<cluster_pb::HealthRequest>,
    ) -> Result<Response<cluster_pb::HealthResponse>, Status> {
        unasked()
    }

    async fn evidence(
        &self,
        _: Request<cluster_pb::EvidenceRequest>,
    ) -> Result<Response<cluster_pb::EvidenceResponse>, Status> {
        unasked()
    }

    async fn bundle(
        &self,
        _: Request<cluster_pb::BundleRequest>,
    ) -> Result<Response<cluster_pb::BundleResponse>, Status> {
        unasked()
    }

    async fn accuse(
        &self,
        _: Request<cluster_pb::AccuseRequest>,
    ) -> Result<Response<cluster_pb::AccuseResponse>, Status> {
        unasked()
    }

    async fn suspicion(
        &self,
        _: Request<cluster_pb::SuspicionRequest>,
    ) -> Result<Response<cluster_pb::SuspicionResponse>, Status> {
        unasked()
    }

    async fn explain(
        &self,
        _: Request<cluster_pb::ExplainRequest>,
    ) -> Result<Response<cluster_pb::ExplainResponse>, Status> {
        unasked()
    }

    async fn validators(
        &self,
        _: Request<cluster_pb::ValidatorsRequest>,
    ) -> Result<Response<cluster_pb::ValidatorsResponse>, Status> {
        unasked()
    }
}

#[tonic::async_trait]
impl Operations for Fake {
    type SubmitStreamStream = Entries<pb::SubmitStreamResponse>;
    type WatchStream = Watched;

    async fn submit(&self, _: Request<pb::SubmitRequest>) -> Result<Response<pb::SubmitResponse>, Status> {
        unasked()
    }

    async fn submit_stream(
        &self,
        _: Request<Streaming<pb::SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        unasked()
    }

    async fn get_operation(
        &self,
        _: Request<pb::GetOperationRequest>,
    ) -> Result<Response<pb::GetOperationResponse>, Status> {
        unasked()
    }

    async fn get_receipt(&self, _: Request<pb::GetReceiptRequest>) -> Result<Response<pb::GetReceiptResponse>, Status> {
        unasked()
    }

    async fn get_author(
        &self,
        request: Request<pb::GetAuthorRequest>,
    ) -> Result<Response<pb::GetAuthorResponse>, Status> {
        let answer = {
            let mut script = self.script();
            let asked = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
            let micros = asked.and_then(|text| text.strip_suffix('u')?.parse().ok());
            script.asked_within.extend(micros.map(Duration::from_micros));
            script.author.clone()
        };
        match answer {
            Some(answer) => answer.map(Response::new).map_err(Status::from),
            None => std::future::pending().await,
        }
    }

    async fn get_heads(&self, _: Request<pb::GetHeadsRequest>) -> Result<Response<pb::GetHeadsResponse>, Status> {
        unasked()
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut script = self.script();
        if let Some(token) = ReadToken::of_call(request.metadata()).map_err(|_| Status::internal("token"))? {
            let reader = token.verify(Scheme::Ed25519, script.cluster, crate::signer::now_ms());
            script.readers.push(reader.map_err(|fault| Status::internal(fault.to_string()))?);
        }
        script.watched_from.push(request.get_ref().from_sequence);
        let Some(entries) = script.watches.pop_front() else { return Err(Status::unavailable("no more")) };
        Ok(Response::new(entries))
    }
}
