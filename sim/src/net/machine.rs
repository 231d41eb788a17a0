//! One validator's machine: what survives its processes, and how a process is started on it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quorate_crypto::SecretKey;
use quorate_node::clock::Clock;
use quorate_node::config::NodeConfig;
use quorate_node::guard_file::{Found, GuardFile, GuardFileError};
use quorate_node::tap::SharedTap;
use quorate_node::{Ended, Environment, Listeners, Node, NodeError, OpenStore, Plan, Secrets, Threads};
use quorate_replica::create_store;
use quorate_storage::{Durability, Store, StoreError, WriteBatch};
use quorate_types::genesis::Genesis;

use super::disk::Disk;
use super::hostile::Hostile;
use super::listener::Listener;
use super::sight::Shared;
use super::wires::Wires;
use crate::world::{Cast, START_WALL_MS};

/// Where validators listen for each other.
pub(super) const PEER_PORT: u16 = 7_000;

/// Where they listen for clients.
pub(super) const CLIENT_PORT: u16 = 7_200;

/// What all machines are made for.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) cast: Cast,
    pub(super) genesis: Genesis,
    pub(super) network_seeds: Vec<[u8; 32]>,
}

/// Why a machine can't be prepared.
#[derive(Debug, thiserror::Error)]
pub(super) enum MachineError {
    /// The store failed, and no fault was ordered.
    #[error("the store of a simulated machine failed: {0}")]
    Store(#[from] StoreError),
    /// The guard file failed.
    #[error(transparent)]
    GuardFile(#[from] GuardFileError),
    /// The guard file couldn't be taken away.
    #[error("a guard file couldn't be removed: {0}")]
    Remove(#[from] std::io::Error),
}

/// A machine. Clones are the same machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) me: u16,
    pub(super) name: String,
    pub(super) disk: Disk,
    pub(super) guard_path: PathBuf,
    /// The wall clock's offset from true time.
    pub(super) offset_ms: Arc<AtomicI64>,
    pub(super) wires: Wires,
    pub(super) sight: Shared,
    /// The nonce of the store that lies here now.
    incarnation: [u8; 32],
    incarnations: u64,
}

impl Machine {
    /// A machine with store and guard file as `init` makes them.
    pub(super) fn new(
        cluster: &Cluster,
        me: u16,
        directory: &std::path::Path,
        (wires, sight): (Wires, Shared),
    ) -> Result<Self, MachineError> {
        let mut machine = Self {
            me,
            name: cluster.genesis.content.validators[usize::from(me)].info.name.clone(),
            disk: Disk::new(me, sight.clone()),
            guard_path: directory.join(format!("guard-{me}")),
            offset_ms: Arc::default(),
            wires,
            sight,
            incarnation: Cast::incarnation(me),
            incarnations: 0,
        };
        machine.init(cluster)?;
        Ok(machine)
    }

    /// Makes store and guard file; the first time with the nonce that the cluster knows.
    fn init(&mut self, cluster: &Cluster) -> Result<(), MachineError> {
        if self.incarnations > 0 {
            self.incarnation[..8].copy_from_slice(&self.incarnations.to_be_bytes());
        }
        self.incarnations += 1;
        // Not by way of the disk that tells: nothing in it is signed.
        self.disk.store().write(create_store(cluster.genesis.cluster, self.incarnation), Durability::Synced)?;
        drop(GuardFile::create(&self.guard_path, self.incarnation)?);
        Ok(())
    }

    /// Store and guard file are gone; the operator runs `init` with the old key.
    pub(super) fn lose_store(&mut self, cluster: &Cluster) -> Result<(), MachineError> {
        self.disk.lose();
        std::fs::remove_file(&self.guard_path)?;
        self.init(cluster)
    }

    /// What the guard file holds: durable, whether the store has it or not.
    pub(super) fn guarded(&self) -> Result<WriteBatch, MachineError> {
        let mut records = WriteBatch::new();
        if let Found::Whole(_, Some(batch)) = GuardFile::open(&self.guard_path, self.incarnation)? {
            for (family, key, value) in batch.records {
                records.put(family, key, value);
            }
        }
        Ok(records)
    }

    /// A process, from its start to its end, on turmoil's host of this machine.
    pub(super) async fn live(self, cluster: Arc<Cluster>) -> turmoil::Result {
        let (me, sight) = (self.me, self.sight.clone());
        let ended = self.run(&cluster).await;
        let reason = ended.map_or_else(|error| error.to_string(), |()| "without a reason".to_owned());
        sight.with(|sight| {
            sight.tell(|| format!("-- the node of {me} has ended: {reason}"));
            sight.ended[usize::from(me)] = Some(reason);
        });
        Ok(())
    }

    /// One node after the other, as long as epochs end.
    async fn run(self, cluster: &Cluster) -> Result<(), NodeError> {
        while self.run_epoch(cluster).await? == Ended::EpochOver {
            self.sight.with(|sight| sight.tell(|| format!("-- the node of {} goes on in the next epoch", self.me)));
        }
        Ok(())
    }

    async fn run_epoch(&self, cluster: &Cluster) -> Result<Ended, NodeError> {
        let size = cluster.cast.size();
        let is_byzantine = self.sight.with(|sight| sight.is_byzantine(self.me));
        let listener = Listener {
            me: self.me,
            size,
            disk: self.disk.clone(),
            sight: self.sight.clone(),
            hostile: is_byzantine.then(|| Hostile::new(self.me)),
            turns_at: (0, 0),
        };
        let offset_ms = Arc::clone(&self.offset_ms);
        let environment = Environment {
            connector: self.wires.clone(),
            clock: Clock::with_wall(move || true_wall_ms().saturating_add_signed(offset_ms.load(Ordering::Relaxed))),
            threads: Threads::Inline,
            tap: SharedTap::new(listener),
        };
        let config = self.config();
        let listeners = Listeners::open(&self.wires, &config).await?;
        let network = SecretKey::from_seed(cluster.network_seeds[usize::from(self.me)]);
        let secrets = Secrets { consensus: cluster.cast.key(self.me), network, client_tls: None };
        let plan = Plan { config, genesis: cluster.genesis.clone(), secrets, store: OpenStore::new(self.disk.clone()) };
        Node::start(environment, listeners, plan).await?.wait().await
    }

    fn config(&self) -> NodeConfig {
        let anywhere = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let mut config = NodeConfig::default();
        config.peers.listen = anywhere(PEER_PORT);
        config.clients.listen = anywhere(CLIENT_PORT);
        config.clients.plaintext = true;
        config.paths.guard_file.clone_from(&self.guard_path);
        config
    }
}

/// True time, as block time.
pub(super) fn true_wall_ms() -> u64 {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    START_WALL_MS.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
