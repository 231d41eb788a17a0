//! Putting a node together: links, engine (driver, execution, intake), services.

use std::io;
use std::sync::{Arc, Mutex};

use quorate_replica::transfer::Snapshots;
use quorate_replica::{ExecutionSetup, Replica, Setup, records};
use quorate_storage::Store;
use quorate_transport::Connector;
use quorate_transport::limiter::Rate;
use quorate_transport::links::{Inboxes, Incoming, Lane, LinkConfig, LinkLimits, LinkTiming, PeerLinks};
use quorate_transport::serve::{AcceptLimits, incoming};
use quorate_transport::tls::NetworkIdentity;
use quorate_types::genesis::{Administrators, Genesis};
use quorate_types::ids::{BlockTime, Sequence};
use quorate_types::kind::Kinds;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::gauges::{AskResidence, Gauges};
use super::setup::{Continued, Identity, recover_replica};
use super::{CopyStore, Environment, Listeners, OpenStore, Plan};
use crate::config::NodeConfig;
use crate::driver::{Driver, Inputs, Judge, NodeStatus, Observer, WorkQueue, inbox};
use crate::error::NodeError;
use crate::executor::{Checkpoints, Executor, SnapshotRequest};
use crate::guard_file::GuardFile;
use crate::hub::{Hub, HubLimits, Progress};
use crate::intake::{OperationIntake, operation_intake};
use crate::ledger::Ledger;
use crate::metrics::{self, Metrics};
use crate::peers::{BULK_FRAMES, CONTROL_FRAMES, Intake, Responders, Sources, log_peers};
use crate::persist::{Guard, Persist, guard_thread};
use crate::pruner::Pruner;
use crate::reads::{Reads, reads};
use crate::recorder::{Recorder, Start};
use crate::refusals::Refusals;
use crate::services::{Admin, Api, Door, faults, listen_admin, serve_admin, serve_clients};
use crate::supervise::Supervisor;
use crate::tap::{Post, SharedTap};
use crate::threads::Threads;
use crate::verifier::Verifier;

/// Jobs that wait in the execution thread's queue; more wait at the driver.
const JOBS: usize = 16;

/// Snapshots asked for that wait for the execution thread.
const SNAPSHOT_REQUESTS: usize = 4;

/// Dump digests computed at once: each reads the whole state.
const DUMPS: usize = 1;

/// What all parts are made of.
pub(super) struct Base<S: Store, C> {
    config: NodeConfig,
    environment: Environment<C>,
    identity: Identity,
    kinds: Arc<Kinds>,
    administrators: Arc<Administrators>,
    verifier: Verifier,
    pub(super) supervisor: Supervisor,
    pub(super) stopping: CancellationToken,
    pub(super) epoch_over: CancellationToken,
    metrics: Arc<Metrics>,
    store: Arc<S>,
    residence: Option<AskResidence>,
    copy: Option<CopyStore>,
    ledger: Arc<Ledger<S>>,
}

/// What one part alone is given.
pub(super) struct Recovered {
    /// The replica that continues from the records.
    replica: Replica,
    /// The guard file, if it is to be written.
    guard_file: Option<GuardFile>,
    /// The key of the links.
    network: NetworkIdentity,
}

/// Frames from control streams, and from bulk streams.
type Frames = (mpsc::Receiver<Incoming>, mpsc::Receiver<Incoming>);

/// What the services need of the engine.
struct Engine<S: Store> {
    inputs: Inputs,
    intake: OperationIntake,
    snapshots: mpsc::Sender<SnapshotRequest<S::Snapshot>>,
    status: watch::Receiver<Arc<NodeStatus>>,
    reads: Reads,
}

impl<S: Store, C: Connector> Base<S, C> {
    pub(super) fn new(environment: Environment<C>, plan: Plan<S>) -> Result<(Self, Recovered), NodeError> {
        let Plan { config, genesis, secrets, store: OpenStore { store, residence, copy } } = plan;
        let (identity, consensus, network) = Identity::of(&config, &genesis, secrets, &*store)?;
        let context = Arc::clone(&identity.context);
        info!(
            cluster = %context.cluster, validator = identity.name(), validators = context.set.size(),
            quorum = context.quorum().quorum(), "a validator of {}", genesis.content.name
        );
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh)
            .map_err(|error| NodeError::System { what: "randomness", source: io::Error::other(error) })?;
        let setup = Setup { context: (*context).clone(), me: identity.me, key: consensus, fresh };
        let Continued { replica, guard_file, start } =
            recover_replica(&store, &config.paths.guard_file, setup, &environment.clock)?;
        let environment = with_recorder(environment, &config, &genesis, start)?;
        let hub = Hub::new(
            HubLimits { sequences: config.resources.recent_sequences, waiting: config.clients.submissions },
            progress(&*store, &replica)?,
        );
        let verifier = match environment.threads {
            Threads::Own => Verifier::on_threads(context, config.resources.verification_threads),
            Threads::Inline => Verifier::inline(context),
        };
        let stopping = CancellationToken::new();
        let base = Self {
            kinds: Arc::new(genesis.kinds()),
            administrators: Arc::new(genesis.content.administrators.clone()),
            identity,
            verifier,
            supervisor: Supervisor::new(stopping.clone()),
            stopping,
            epoch_over: CancellationToken::new(),
            metrics: Arc::default(),
            ledger: Ledger::new(Arc::clone(&store), hub),
            store,
            residence,
            copy,
            config,
            environment,
        };
        Ok((base, Recovered { replica, guard_file, network }))
    }

    /// Starts all parts.
    pub(super) async fn start(
        &mut self,
        recovered: Recovered,
        listeners: Listeners<C>,
    ) -> Result<Arc<PeerLinks>, NodeError> {
        let Recovered { replica, guard_file, network } = recovered;
        let refusals = Arc::new(Refusals::default());
        let (links, frames) = self.start_links(network, listeners.peers, &refusals)?;
        let engine = self.start_engine((replica, guard_file), frames, &links, refusals)?;
        self.start_services(engine, &links, listeners.clients).await?;
        Ok(links)
    }

    /// Listens for and dials the other validators.
    fn start_links(
        &mut self,
        network: NetworkIdentity,
        listener: C::Listener,
        refusals: &Arc<Refusals>,
    ) -> Result<(Arc<PeerLinks>, Frames), NodeError> {
        let (control, control_frames) = mpsc::channel(CONTROL_FRAMES);
        let (bulk, bulk_frames) = mpsc::channel(BULK_FRAMES);
        let peers = &self.config.peers;
        let rate = Rate { per_second: peers.bytes_per_second, burst: peers.bytes_per_second };
        let limits = LinkLimits { bulk_queue_bytes: peers.queue_bytes, bulk_receive: rate, ..LinkLimits::default() };
        let incarnation = records::incarnation().read(&*self.store)?;
        let config = LinkConfig {
            me: self.identity.me,
            cluster: self.identity.context.cluster,
            set: Arc::clone(&self.identity.context.set),
            incarnation: incarnation.map_or([0; 32], |nonce| *nonce.as_bytes()),
            identity: network,
            addresses: std::mem::take(&mut self.identity.addresses),
            limits,
            timing: LinkTiming::default(),
        };
        let inboxes = Inboxes { control, bulk };
        let (links, tasks) = PeerLinks::start(config, &self.environment.connector, listener, inboxes)?;
        self.supervisor.task("links", join_links(tasks, self.stopping.clone()));
        let one_correct = self.identity.context.quorum().one_correct();
        let told = (Arc::clone(refusals), one_correct);
        self.supervisor.task("peers", log_peers(Arc::clone(&links), told, self.stopping.clone()));
        Ok((links, (control_frames, bulk_frames)))
    }

    /// Driver, execution, guard file, and what feeds them.
    fn start_engine(
        &mut self,
        (replica, guard_file): (Replica, Option<GuardFile>),
        frames: Frames,
        links: &Arc<PeerLinks>,
        refusals: Arc<Refusals>,
    ) -> Result<Engine<S>, NodeError> {
        let (reads, rounds, questions) = reads();
        self.supervisor.task("rounds", rounds.run(self.stopping.clone()));
        let (inputs, inbox) = inbox(questions);
        let (to_executor, work) = mpsc::channel(JOBS);
        let (snapshots, snapshot_requests) = mpsc::channel(SNAPSHOT_REQUESTS);
        let guard = guard_file.map(|file| self.start_guard(file)).transpose()?;
        let post = Post { links: Arc::clone(links), tap: self.environment.tap.clone() };
        let context = &self.identity.context;
        let clock = self.environment.clock.clone();
        let (judge, status) = Judge::new(self.identity.me, context, clock.now(), replica.report());
        let observer = Observer::new(Arc::clone(&self.metrics), Arc::clone(&context.set));
        let setup = ExecutionSetup::new(context, Arc::clone(&self.kinds), Arc::clone(&self.administrators));
        let checkpoints: Checkpoints<S> =
            Arc::new(Mutex::new(Snapshots::new(self.identity.context.parameters.checkpoint_interval)));
        let executor = Executor {
            checkpoints: Arc::clone(&checkpoints),
            clock: clock.clone(),
            ledger: Arc::clone(&self.ledger),
            setup,
            metrics: Arc::clone(&self.metrics),
            work,
            executed: inputs.executed.clone(),
            snapshots: snapshot_requests,
        };
        let driver = Driver {
            me: self.identity.me,
            replica,
            clock,
            inbox,
            persist: Persist::new(Arc::clone(&self.store), guard, Arc::clone(&self.metrics)),
            post: post.clone(),
            work: WorkQueue::new(to_executor),
            hub: Arc::clone(self.ledger.hub()),
            readers: Arc::clone(reads.answers()),
            observer,
            judge,
            refusals: (Arc::clone(&refusals), 0),
            installing: None,
            stopping: self.stopping.clone(),
            epoch_over: self.epoch_over.clone(),
        };
        self.start_intake(frames, (&inputs, &refusals), (&post, &checkpoints));
        let pruner = Pruner {
            store: Arc::clone(&self.store),
            retained: self.config.retained_sequences,
            checkpoint_interval: self.identity.context.parameters.checkpoint_interval,
            threads: self.environment.threads,
            stopping: self.stopping.clone(),
        };
        self.supervisor.task("pruning", pruner.run());
        let (intake, batcher) = operation_intake(self.verifier.clone());
        self.supervisor.task("operations", batcher.run(self.stopping.clone()));
        self.start_on_thread("execution", executor.run())?;
        self.start_on_thread("driver", driver.run())?;
        Ok(Engine { inputs, intake, snapshots, status, reads })
    }

    /// Runs a part that computes or waits for the disk: on a thread of its own, if it may have one.
    fn start_on_thread(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Result<(), NodeError>> + Send + 'static,
    ) -> Result<(), NodeError> {
        if self.environment.threads == Threads::Inline {
            self.supervisor.task(name, part);
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| NodeError::System { what: "a runtime", source })?;
        self.supervisor.thread(name, move || runtime.block_on(part))
    }

    /// Who writes the guard file.
    fn start_guard(&mut self, file: GuardFile) -> Result<Guard, NodeError> {
        if self.environment.threads == Threads::Inline {
            return Ok(Guard::Before(file));
        }
        let (handle, thread) = guard_thread(file);
        self.supervisor.thread("guard-file", move || thread.run())?;
        Ok(Guard::Beside(handle))
    }

    fn start_intake(
        &mut self,
        (control, bulk): Frames,
        (inputs, refusals): (&Inputs, &Arc<Refusals>),
        (post, checkpoints): (&Post, &Checkpoints<S>),
    ) {
        let context = &self.identity.context;
        let (responders, workers) = Responders::new(context.set.everyone().count());
        for worker in workers {
            let sources = Sources {
                store: Arc::clone(&self.store),
                checkpoints: Arc::clone(checkpoints),
                clock: self.environment.clock.clone(),
            };
            let way = (post.clone(), self.environment.threads);
            let answers = worker.run(sources, way, self.stopping.clone());
            self.supervisor.task("answers", answers);
        }
        let names: Arc<[String]> = context.set.everyone().map(|(_, info)| info.name.clone()).collect();
        for (name, lane, frames) in [("control", Lane::Control, control), ("bulk", Lane::Bulk, bulk)] {
            // Votes don't wait behind bundles: control messages have a thread of their own.
            let verifier = match (lane, self.environment.threads) {
                (Lane::Control, Threads::Own) => Verifier::on_threads(Arc::clone(context), 1),
                _ => self.verifier.clone(),
            };
            let intake = Intake {
                lane,
                frames,
                batch_bytes: self.config.resources.batch_bytes,
                verifier,
                inputs: inputs.clone(),
                responders: responders.clone(),
                refusals: Arc::clone(refusals),
                names: Arc::clone(&names),
                metrics: Arc::clone(&self.metrics),
                stopping: self.stopping.clone(),
            };
            self.supervisor.task(name, intake.run());
        }
    }

    /// Everything that clients and operators reach.
    async fn start_services(
        &mut self,
        engine: Engine<S>,
        links: &Arc<PeerLinks>,
        listener: C::Listener,
    ) -> Result<(), NodeError> {
        let (faults, watch_faults) = faults(self.stopping.clone());
        self.supervisor.task("calls", watch_faults);
        let clients = &self.config.clients;
        let status = engine.status.clone();
        let api = Arc::new(Api {
            me: self.identity.me,
            context: Arc::clone(&self.identity.context),
            kinds: Arc::clone(&self.kinds),
            approvals_needed: self.administrators.threshold,
            clock: self.environment.clock.clone(),
            ledger: Arc::clone(&self.ledger),
            intake: engine.intake,
            to_replica: engine.inputs.operations,
            accusations: engine.inputs.control,
            snapshots: engine.snapshots,
            status: engine.status,
            links: Arc::clone(links),
            reads: engine.reads,
            door: Door::new(clients, Arc::clone(&self.metrics)),
            watches: Arc::new(Semaphore::new(clients.watches)),
            dumps: Arc::new(Semaphore::new(DUMPS)),
            metrics: Arc::clone(&self.metrics),
            faults,
            threads: self.environment.threads,
            stopping: self.stopping.clone(),
            config: clients.clone(),
        });
        let limits = AcceptLimits { connections: clients.connections, ..AcceptLimits::default() };
        let tls = self.identity.client_tls.take();
        let connections = incoming::<C>(listener, "clients", tls, limits);
        self.supervisor.task("clients", serve_clients(api, connections));
        if self.environment.threads == Threads::Own {
            self.start_admin().await?;
            self.start_metrics(status, links).await?;
        }
        Ok(())
    }

    async fn start_admin(&mut self) -> Result<(), NodeError> {
        let socket = listen_admin(&self.config.admin_socket).await?;
        let admin = Admin {
            hub: Arc::clone(self.ledger.hub()),
            stopping: self.stopping.clone(),
            copy: self.copy.clone(),
            threads: self.environment.threads,
        };
        self.supervisor.task("admin", serve_admin(admin, socket));
        Ok(())
    }

    async fn start_metrics(
        &mut self,
        status: watch::Receiver<Arc<NodeStatus>>,
        links: &Arc<PeerLinks>,
    ) -> Result<(), NodeError> {
        let Some(address) = self.config.telemetry.metrics else { return Ok(()) };
        let listener = TcpListener::bind(address).await;
        let failed = move |source| NodeError::Listen { what: "page of metrics", address: address.to_string(), source };
        let listener = listener.map_err(failed)?;
        let gauges = Gauges {
            metrics: Arc::clone(&self.metrics),
            status,
            links: Arc::clone(links),
            hub: Arc::clone(self.ledger.hub()),
            clock: self.environment.clock.clone(),
            residence: self.residence.clone(),
        };
        let stopping = self.stopping.clone();
        self.supervisor.task("metrics", async move {
            tokio::select! {
                served = metrics::serve(listener, move || gauges.page()) => served.map_err(failed),
                () = stopping.cancelled() => Ok(()),
            }
        });
        Ok(())
    }
}

/// The environment with the flight recorder as its tap, if the operator wants it and nobody else listens.
fn with_recorder<C>(
    environment: Environment<C>,
    config: &NodeConfig,
    genesis: &Genesis,
    start: Start,
) -> Result<Environment<C>, NodeError> {
    let Some(path) = config.telemetry.recording.as_ref().filter(|_| environment.tap.lock().is_none()) else {
        return Ok(environment);
    };
    let start = Start { genesis: genesis.content.to_toml(), ..start };
    let recorder = Recorder::begin(path, config.telemetry.recording_bytes, &start);
    let recorder = recorder.map_err(|source| NodeError::System { what: "the flight recorder's file", source })?;
    Ok(Environment { tap: SharedTap::new(recorder), ..environment })
}

/// How far the store is.
fn progress<S: Store>(store: &S, replica: &Replica) -> Result<Progress, NodeError> {
    let mark = records::executed().read(store)?;
    let (executed, time) = mark.map_or((Sequence::ZERO, BlockTime::ZERO), |mark| (mark.execution.sequence, mark.time));
    Ok(Progress { executed, time, certified: replica.report().certified })
}

/// The tasks of the links: none ends while the node runs.
async fn join_links(mut tasks: JoinSet<io::Result<()>>, stopping: CancellationToken) -> Result<(), NodeError> {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(())) if stopping.is_cancelled() => {}
            Ok(Ok(())) => return Err(NodeError::Ended { task: "links" }),
            Ok(Err(source)) => return Err(NodeError::System { what: "a link", source }),
            Err(error) => {
                let message = error.to_string();
                return Err(NodeError::Panicked { task: "links", message });
            }
        }
    }
    Ok(())
}
