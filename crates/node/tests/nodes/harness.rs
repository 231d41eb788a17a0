//! Validators in one process: real nodes over loopback TCP, stores in memory, guard files on disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorate_crypto::SecretKey;
use quorate_node::config::NodeConfig;
use quorate_node::guard_file::GuardFile;
use quorate_node::{ClientTls, Ended, Environment, Listeners, Node, NodeError, OpenStore, Plan, Secrets};
use quorate_proof::{EpochInfo, ReceiptProof, VerifiedReceipt};
use quorate_replica::create_store;
use quorate_storage::{Durability, MemoryStore, Store};
use quorate_transport::TcpConnector;
use quorate_transport::channel::{ChannelTiming, channel};
use quorate_transport::convert::signed_operation_to_wire;
use quorate_transport::fault::ApiFault;
use quorate_transport::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_transport::pb::cluster::v1::{StatusRequest, StatusResponse};
use quorate_transport::pb::entities::v1::entities_client::EntitiesClient;
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::operations_client::OperationsClient;
use quorate_transport::tls::Authority;
use quorate_types::genesis::{Administrators, Genesis, GenesisContent, GenesisValidator};
use quorate_types::ids::BlockTime;
use quorate_types::kind::{Access, Consistency, EntityType, Kind, Right};
use quorate_types::operation::{Change, EntityId, Operation, OperationBuilder};
use quorate_types::parameters::Parameters;
use quorate_types::receipt::Receipt;
use quorate_types::set::ValidatorInfo;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Longer than anything here takes; it only turns a hang into a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn consensus_key(index: usize) -> SecretKey {
    SecretKey::from_seed([u8::try_from(index).unwrap() + 1; 32])
}

pub(crate) fn network_key(index: usize) -> SecretKey {
    SecretKey::from_seed([u8::try_from(index).unwrap() + 101; 32])
}

pub(crate) fn client_key() -> SecretKey {
    SecretKey::from_seed([200; 32])
}

pub(crate) fn reader_key() -> SecretKey {
    SecretKey::from_seed([201; 32])
}

/// A cluster; validators may be stopped and started one by one.
pub(crate) struct Cluster {
    pub(crate) genesis: Genesis,
    pub(crate) stores: Vec<MemoryStore>,
    pub(crate) nodes: Vec<Option<Running>>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) change: fn(&mut NodeConfig),
    /// Signs the certificates for clients; used where the configuration has no plaintext.
    pub(crate) authority: Authority,
    peers: Vec<SocketAddr>,
}

pub(crate) struct Running {
    pub(crate) address: String,
    stopper: CancellationToken,
    wait: JoinHandle<Result<Ended, NodeError>>,
}

fn kind(name: &str, entity_type: EntityType, read: Right) -> Kind {
    let access = Access { read, ..Access::open([client_key().public()]) };
    Kind { name: name.to_owned(), consistency: Consistency::Strong, entity_type, schema: None, access }
}

fn genesis(validators: usize, parameters: Parameters) -> Genesis {
    let validator = |index: usize| GenesisValidator {
        info: ValidatorInfo {
            name: format!("v{index}"),
            consensus_key: consensus_key(index).public(),
            network_key: network_key(index).public(),
            incarnation: [u8::try_from(index).unwrap() + 51; 32],
            peer_address: format!("127.0.0.1:{}", 10_000 + index),
        },
        client_address: None,
    };
    let secret = Right::Keys([reader_key().public()].into());
    let content = GenesisContent {
        name: "test".to_owned(),
        validators: (0..validators).map(validator).collect(),
        administrators: Administrators { threshold: 1, keys: vec![SecretKey::from_seed([250; 32]).public()] },
        parameters,
        kinds: vec![
            kind("counter", EntityType::Counter, Right::Anyone),
            kind("secret", EntityType::Counter, secret),
            kind("note", EntityType::Document, Right::Anyone),
        ],
    };
    Genesis::parse(content.to_toml().as_bytes()).unwrap()
}

/// A free address below the range from which outgoing connections take theirs, so that it is still free
/// when a validator comes back.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], base + NEXT.fetch_add(1, Ordering::Relaxed)));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Cluster {
    /// All validators running.
    pub(crate) async fn start(validators: usize) -> Self {
        Self::start_with(validators, Parameters::default(), |_| {}).await
    }

    pub(crate) async fn start_with(validators: usize, parameters: Parameters, change: fn(&mut NodeConfig)) -> Self {
        let genesis = genesis(validators, parameters);
        let directory = tempfile::tempdir().unwrap();
        let peers = (0..validators).map(|_| free_address()).collect();
        let stores = (0..validators).map(|_| MemoryStore::new()).collect();
        let nodes = (0..validators).map(|_| None).collect();
        let authority = Authority::make("test").unwrap();
        let mut cluster = Self { genesis, stores, nodes, directory, change, authority, peers };
        for index in 0..validators {
            let incarnation = cluster.genesis.content.validators[index].info.incarnation;
            let batch = create_store(cluster.genesis.cluster, incarnation);
            cluster.stores[index].write(batch, Durability::Synced).unwrap();
            drop(GuardFile::create(&cluster.guard_path(index), incarnation).unwrap());
            cluster.start_one(index).await.unwrap();
        }
        cluster
    }

    pub(crate) fn guard_path(&self, index: usize) -> PathBuf {
        self.directory.path().join(format!("guard{index}"))
    }

    pub(crate) fn config(&self, index: usize) -> NodeConfig {
        let mut config = NodeConfig::default();
        config.peers.listen = self.peers[index];
        let addresses = self.peers.iter().enumerate().filter(|(peer, _)| *peer != index);
        config.peers.addresses = addresses.map(|(peer, at)| (format!("v{peer}"), at.to_string())).collect();
        config.clients.listen = "127.0.0.1:0".parse().unwrap();
        config.clients.plaintext = true;
        config.admin_socket = self.directory.path().join(format!("admin{index}.sock"));
        config.paths.guard_file = self.guard_path(index);
        (self.change)(&mut config);
        config
    }

    pub(crate) async fn start_one(&mut self, index: usize) -> Result<(), NodeError> {
        let config = self.config(index);
        let environment = Environment::system();
        let listeners = Listeners::open(&TcpConnector, &config).await?;
        let client_tls = (!config.clients.plaintext).then(|| {
            let issued = self.authority.issue(&["127.0.0.1".to_owned()]).unwrap();
            ClientTls { certificate_pem: issued.certificate_pem, key_pem: issued.key_pem }
        });
        let secrets = Secrets { consensus: consensus_key(index), network: network_key(index), client_tls };
        let store = OpenStore::new(self.stores[index].clone());
        let plan = Plan { config, genesis: self.genesis.clone(), secrets, store };
        let node = Node::start(environment, listeners, plan).await?;
        let address = node.client_address().unwrap().to_string();
        let (stopper, wait) = (node.stopper(), tokio::spawn(node.wait()));
        self.nodes[index] = Some(Running { address, stopper, wait });
        Ok(())
    }

    /// Stops one validator in an orderly way.
    pub(crate) async fn stop(&mut self, index: usize) -> Result<(), NodeError> {
        let running = self.nodes[index].take().unwrap();
        running.stopper.cancel();
        let ended = tokio::time::timeout(PATIENCE, running.wait).await.expect("it stops in time").unwrap()?;
        assert_eq!(ended, Ended::Stopped);
        Ok(())
    }

    /// Waits for a validator to stop by itself.
    pub(crate) async fn ended(&mut self, index: usize) -> Result<Ended, NodeError> {
        let running = self.nodes[index].take().unwrap();
        tokio::time::timeout(PATIENCE, running.wait).await.expect("it stops in time").unwrap()
    }

    pub(crate) async fn stop_all(mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].is_some() {
                self.stop(index).await.unwrap();
            }
        }
    }

    pub(crate) fn channel(&self, index: usize) -> Channel {
        let running = self.nodes[index].as_ref().unwrap();
        channel(TcpConnector, &running.address, None, ChannelTiming::default()).unwrap()
    }

    pub(crate) fn operations(&self, index: usize) -> OperationsClient<Channel> {
        OperationsClient::new(self.channel(index))
    }

    pub(crate) fn entities(&self, index: usize) -> EntitiesClient<Channel> {
        EntitiesClient::new(self.channel(index))
    }

    pub(crate) async fn status(&self, index: usize) -> StatusResponse {
        ClusterClient::new(self.channel(index)).status(StatusRequest::default()).await.unwrap().into_inner()
    }

    /// Asks for the status until it is as wanted.
    pub(crate) async fn until(&self, index: usize, wanted: impl Fn(&StatusResponse) -> bool) -> StatusResponse {
        let began = Instant::now();
        loop {
            let status = self.status(index).await;
            if wanted(&status) {
                return status;
            }
            if began.elapsed() > PATIENCE {
                let mut all = Vec::new();
                for index in (0..self.nodes.len()).filter(|index| self.nodes[*index].is_some()) {
                    all.push(self.status(index).await);
                }
                panic!("the status of v{index} didn't become as wanted: {all:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a validator takes operations.
    pub(crate) async fn ordering(&self, index: usize) {
        use quorate_transport::pb::cluster::v1::Mode;
        self.until(index, |status| status.mode == i32::from(Mode::Ordering)).await;
    }

    /// An operation that makes a counter.
    pub(crate) fn make(&self, nonce: u64, counter: &str) -> Arc<Operation> {
        self.operation(nonce, EntityId::new("counter", counter), Change::Create { value: None })
    }

    /// An operation of the usual client with one change.
    pub(crate) fn operation(&self, nonce: u64, entity: EntityId, change: Change) -> Arc<Operation> {
        Arc::new(self.builder(nonce).mutate(entity, change).sign(&client_key()).unwrap())
    }

    /// An operation of the usual client that says nothing yet.
    pub(crate) fn builder(&self, nonce: u64) -> OperationBuilder {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let expires = BlockTime(u64::try_from(wall).unwrap() + 600_000);
        OperationBuilder::new(self.genesis.cluster, client_key().public(), nonce, expires)
    }

    /// Submits as soon as the validator takes operations, and checks the receipt.
    pub(crate) async fn order(&self, index: usize, operation: &Operation) -> Receipt {
        self.ordering(index).await;
        let answer = self.operations(index).submit(submit(operation)).await.unwrap().into_inner();
        self.verify(&answer).into_receipt()
    }

    /// Checks an answer's proof against nothing but the genesis.
    pub(crate) fn verify(&self, answer: &pb::SubmitResponse) -> VerifiedReceipt {
        let proof = &answer.receipt.as_ref().expect("a receipt").proof;
        ReceiptProof::from_file(proof).unwrap().verify(&EpochInfo::of_genesis(&self.genesis)).unwrap()
    }
}

/// Our fault in a status.
pub(crate) fn fault(status: &tonic::Status) -> ApiFault {
    ApiFault::of_status(status).unwrap_or_else(|| panic!("not our fault: {status:?}"))
}

pub(crate) fn submit(operation: &Operation) -> pb::SubmitRequest {
    let operation = Some(signed_operation_to_wire(operation.signed()));
    pb::SubmitRequest { operation, wait: pb::Wait::Executed.into() }
}
