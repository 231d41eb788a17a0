//! A whole node: its parts made, wired and started, then waited for.

mod build;
mod gauges;
mod setup;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quorate_storage::{Store, StoreError};
use quorate_transport::links::PeerLinks;
use quorate_transport::{Connector, TcpConnector};
use quorate_types::genesis::Genesis;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::build::Base;
use self::gauges::AskResidence;
pub use self::gauges::Residence;
pub use self::setup::{ClientTls, Secrets};
use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::error::NodeError;
use crate::supervise::Supervisor;
use crate::tap::SharedTap;
use crate::threads::Threads;

/// An open store, how to ask it what it holds in memory, and how to copy it.
pub struct OpenStore<S> {
    store: Arc<S>,
    residence: Option<AskResidence>,
    copy: Option<CopyStore>,
}

/// Copies the store, as it is at one moment, to a path at which nothing is.
pub(crate) type CopyStore = Arc<dyn Fn(&Path) -> Result<(), StoreError> + Send + Sync>;

impl<S> Clone for OpenStore<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), residence: self.residence.clone(), copy: self.copy.clone() }
    }
}

impl<S: Store> OpenStore<S> {
    /// A store that isn't asked.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::shared(Arc::new(store))
    }

    /// A store that someone else holds, too.
    #[must_use]
    pub const fn shared(store: Arc<S>) -> Self {
        Self { store, residence: None, copy: None }
    }

    /// Asks `residence` when the metrics are read.
    #[must_use]
    pub fn with_residence(mut self, residence: impl Fn() -> Residence + Send + Sync + 'static) -> Self {
        self.residence = Some(Arc::new(residence));
        self
    }

    /// Copies the store by `copy` when the operator asks for a backup.
    #[must_use]
    pub fn with_copy(mut self, copy: impl Fn(&Path) -> Result<(), StoreError> + Send + Sync + 'static) -> Self {
        self.copy = Some(Arc::new(copy));
        self
    }
}

/// What a node is given of the world.
#[derive(Clone, Debug)]
pub struct Environment<C> {
    /// Listens and connects.
    pub connector: C,
    /// The clocks.
    pub clock: Clock,
    /// Where work is done.
    pub threads: Threads,
    /// Who listens to the driver.
    pub tap: SharedTap,
}

impl Environment<TcpConnector> {
    /// The operating system's, with nobody listening.
    #[must_use]
    pub fn system() -> Self {
        Self { connector: TcpConnector, clock: Clock::system(), threads: Threads::Own, tap: SharedTap::none() }
    }
}

/// The two listeners that other machines reach.
#[derive(Debug)]
pub struct Listeners<C: Connector> {
    /// For validators.
    pub peers: C::Listener,
    /// For clients.
    pub clients: C::Listener,
}

impl<C: Connector> Listeners<C> {
    /// Listens where the configuration says.
    ///
    /// # Errors
    /// If an address can't be listened on.
    pub async fn open(connector: &C, config: &NodeConfig) -> Result<Self, NodeError> {
        let peers = listen(connector, "peer listener", config.peers.listen).await?;
        let clients = listen(connector, "client listener", config.clients.listen).await?;
        Ok(Self { peers, clients })
    }
}

async fn listen<C: Connector>(connector: &C, what: &'static str, at: SocketAddr) -> Result<C::Listener, NodeError> {
    let listener = connector.listen(&at.to_string()).await;
    listener.map_err(|source| NodeError::Listen { what, address: at.to_string(), source })
}

/// Runs one validator until `shutdown` resolves, then stops it in an orderly way. The library's door.
///
/// # Errors
/// Why it didn't start, or stopped by itself. The last log line says the same.
pub async fn run<S: Store>(
    config: NodeConfig,
    genesis: Genesis,
    secrets: Secrets,
    store: OpenStore<S>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NodeError> {
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        shutdown.await;
        info!("asked to stop");
        asked.cancel();
    });
    let result = run_epochs(config, genesis, secrets, store, stop).await;
    match &result {
        Ok(()) => info!("stopped"),
        Err(error) => error!("stopped: {error}"),
    }
    result
}

/// One epoch after the other: each has a node of its own, because each has its own validators, links and guard
/// (protocol §8.4). Process, store and listeners' addresses stay.
async fn run_epochs<S: Store>(
    config: NodeConfig,
    genesis: Genesis,
    mut secrets: Secrets,
    store: OpenStore<S>,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    loop {
        let environment = Environment::system();
        let listeners = Listeners::open(&environment.connector, &config).await?;
        let plan = Plan { config: config.clone(), genesis: genesis.clone(), secrets, store: store.clone() };
        let node = Node::start(environment, listeners, plan).await?;
        let (stopper, asked, over) = (node.stopper(), stop.clone(), node.stopper());
        tokio::spawn(async move {
            tokio::select! {
                () = asked.cancelled() => stopper.cancel(),
                () = over.cancelled() => {}
            }
        });
        match node.wait().await? {
            Ended::EpochOver if !stop.is_cancelled() => secrets = Secrets::load(&config)?,
            Ended::EpochOver | Ended::Stopped => return Ok(()),
        }
    }
}

/// Resolves at SIGTERM or SIGINT.
///
/// # Errors
/// If the operating system refuses handlers.
pub fn signals() -> Result<impl Future<Output = ()> + Send + 'static, NodeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |source| NodeError::System { what: "a signal handler", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// What makes a node this validator.
pub struct Plan<S> {
    /// Its configuration.
    pub config: NodeConfig,
    /// The cluster.
    pub genesis: Genesis,
    /// Its keys.
    pub secrets: Secrets,
    /// Its store.
    pub store: OpenStore<S>,
}

/// Why a node has ended, when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Its epoch is over: another one, started on the same store, goes on in the next.
    EpochOver,
}

/// A running node: one validator in one epoch.
#[derive(Debug)]
pub struct Node {
    epoch_over: CancellationToken,
    supervisor: Supervisor,
    links: Arc<PeerLinks>,
    stopping: CancellationToken,
    client_address: Option<SocketAddr>,
}

impl Node {
    /// Starts all parts.
    ///
    /// # Errors
    /// Why it can't start; nothing runs then.
    pub async fn start<S: Store, C: Connector>(
        environment: Environment<C>,
        listeners: Listeners<C>,
        plan: Plan<S>,
    ) -> Result<Self, NodeError> {
        let client_address = C::local_address(&listeners.clients).ok();
        let (mut base, recovered) = Base::new(environment, plan)?;
        let started = base.start(recovered, listeners).await;
        let Base { supervisor, stopping, epoch_over, .. } = base;
        match started {
            Ok(links) => Ok(Self { epoch_over, supervisor, links, stopping, client_address }),
            Err(error) => {
                stopping.cancel();
                // What failed first is what is told.
                let _ = supervisor.run(|| {}).await;
                Err(error)
            }
        }
    }

    /// Where clients reach it.
    #[must_use]
    pub const fn client_address(&self) -> Option<SocketAddr> {
        self.client_address
    }

    /// Cancelling it stops the node.
    #[must_use]
    pub fn stopper(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Waits until the node is stopped, its epoch is over, or it stops by itself.
    ///
    /// # Errors
    /// Why it stopped by itself, or what failed while it stopped.
    pub async fn wait(self) -> Result<Ended, NodeError> {
        let Self { epoch_over, supervisor, links, .. } = self;
        supervisor.run(|| links.close()).await?;
        Ok(if epoch_over.is_cancelled() { Ended::EpochOver } else { Ended::Stopped })
    }
}
