//! The execution thread: one delivered sequence after the other, off the ordering path (architecture §6).
//!
//! Each is executed, written in one batch (buffered: what is lost in a crash is executed again) and then
//! told to the replica and to those who wait. A sequence that isn't the next one, or a store that fails,
//! stops the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use quorate_replica::execution::{execute, next_job};
use quorate_replica::machine::{self, tree::Cache};
use quorate_replica::records;
use quorate_replica::transfer::{Snapshots, install};
use quorate_replica::{Executed, ExecutedBatch, ExecutionJob, ExecutionSetup};
use quorate_storage::{Durability, Entries, Family, Snapshot, StateOf, Store, StoreError};
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::operation::Operation;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::clock::Clock;
use crate::error::NodeError;
use crate::hub::Sequenced;
use crate::ledger::Ledger;
use crate::metrics::Metrics;

/// Snapshots asked for that wait for their sequence at once.
const SNAPSHOTS: usize = 8;

/// Asks for the store as it is right after a sequence.
#[derive(Debug)]
pub(crate) struct SnapshotRequest<N> {
    /// The sequence; 0: whatever is executed.
    pub(crate) at: Sequence,
    /// Gets the snapshot, or the executed sequence if that is higher already. Dropped if too many ask.
    pub(crate) tell: oneshot::Sender<Result<(Sequence, N), Sequence>>,
}

/// What the thread is given to do, in order.
#[derive(Debug)]
pub(crate) enum Work {
    /// A delivered sequence.
    Job(ExecutionJob),
    /// The state that came from other validators takes the place of the own one (protocol §8.7).
    Install(oneshot::Sender<Installed>),
}

/// A new state is in its place.
#[derive(Debug)]
pub(crate) struct Installed {
    /// The checkpoint.
    pub(crate) checkpoint: Sequence,
    /// Execution goes on when the replica has been built anew.
    pub(crate) go_on: oneshot::Sender<()>,
}

/// Checkpoints that this validator can hand over, between those who make them and those who read them.
pub(crate) type Checkpoints<S> = Arc<Mutex<Snapshots<SharedSnapshot<<S as Store>::Snapshot>>>>;

/// A snapshot that several read, one at a time.
#[derive(Debug)]
pub(crate) struct SharedSnapshot<N>(Arc<Mutex<N>>);

impl<N> Clone for SharedSnapshot<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Snapshot> Snapshot for SharedSnapshot<N> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(family, key)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Entries, StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).scan(family, from, to, limit)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Executor<S: Store> {
    pub(crate) ledger: Arc<Ledger<S>>,
    pub(crate) setup: ExecutionSetup,
    pub(crate) metrics: Arc<Metrics>,
    /// Bounded; what doesn't fit waits at the driver, bounded by the window (protocol §6.1).
    pub(crate) work: mpsc::Receiver<Work>,
    pub(crate) executed: mpsc::Sender<Executed>,
    pub(crate) snapshots: mpsc::Receiver<SnapshotRequest<S::Snapshot>>,
    pub(crate) checkpoints: Checkpoints<S>,
    pub(crate) clock: Clock,
}

/// What the thread remembers between sequences.
#[derive(Debug)]
struct Memory<N> {
    executed: Sequence,
    /// Operations in the waiting room; bounded by the room (parameter `waiting_operations`).
    waiting: BTreeMap<OperationId, Arc<Operation>>,
    snapshots: Vec<SnapshotRequest<N>>,
    /// The upper part of the state tree, bounded by its own constant.
    tree: Cache,
}

impl<S: Store> Executor<S> {
    /// Works until the driver ends.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let mark = records::executed().read(self.ledger.store())?;
        let executed = mark.map_or(Sequence::ZERO, |mark| mark.execution.sequence);
        let mut memory = Memory { executed, waiting: BTreeMap::new(), snapshots: Vec::new(), tree: Cache::default() };
        // What is found can be handed over, whatever sequence it is.
        self.keep_checkpoint(executed)?;
        self.catch_up(&mut memory).await?;
        loop {
            tokio::select! {
                biased;
                Some(request) = self.snapshots.recv() => {
                    if memory.snapshots.len() < SNAPSHOTS {
                        memory.snapshots.push(request);
                    }
                    self.hand_out(&mut memory)?;
                }
                work = self.work.recv() => match work {
                    None => return Ok(()),
                    Some(Work::Job(job)) => self.execute(&mut memory, &job).await?,
                    Some(Work::Install(tell)) => self.install(&mut memory, tell).await?,
                },
            }
        }
    }

    /// What was delivered before the restart and not executed.
    async fn catch_up(&mut self, memory: &mut Memory<S::Snapshot>) -> Result<(), NodeError> {
        let from = memory.executed;
        while let Some(job) = next_job(self.ledger.store())? {
            self.execute(memory, &job).await?;
        }
        if memory.executed > from {
            info!(from = from.0, to = memory.executed.0, "executed what was delivered before the restart");
        }
        Ok(())
    }

    /// The state that came from other validators takes the place of the own one; execution goes on behind it.
    async fn install(
        &mut self,
        memory: &mut Memory<S::Snapshot>,
        tell: oneshot::Sender<Installed>,
    ) -> Result<(), NodeError> {
        self.checkpoints().clear();
        let began = Instant::now();
        let Some(checkpoint) = install(self.ledger.store())? else { return Ok(()) };
        info!(checkpoint = checkpoint.0, ms = millis(began), "the state of a checkpoint is in its place");
        let mark = records::executed().read(self.ledger.store())?;
        let (executed, time) = mark.map_or_else(Default::default, |mark| (mark.execution.sequence, mark.time));
        *memory = Memory {
            executed,
            waiting: BTreeMap::new(),
            snapshots: std::mem::take(&mut memory.snapshots),
            tree: Cache::default(),
        };
        self.ledger.on_installed(executed, time);
        let (go_on, may_go_on) = oneshot::channel();
        // The driver has ended: so does this thread, when it looks for more work.
        if tell.send(Installed { checkpoint, go_on }).is_err() || may_go_on.await.is_err() {
            return Ok(());
        }
        self.keep_checkpoint(executed)?;
        self.hand_out(memory)?;
        self.catch_up(memory).await
    }

    fn checkpoints(&self) -> std::sync::MutexGuard<'_, Snapshots<SharedSnapshot<S::Snapshot>>> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// protocol §8.7: right after a sequence the state can be kept as it is there.
    fn keep_checkpoint(&self, executed: Sequence) -> Result<(), NodeError> {
        if self.checkpoints().wants(executed) {
            let store = self.ledger.store();
            let snapshot = SharedSnapshot(Arc::new(Mutex::new(store.snapshot()?)));
            let now_ms = self.clock.now().monotonic_ms;
            self.checkpoints().keep(store, (executed, snapshot), now_ms)?;
        }
        Ok(())
    }

    async fn execute(&mut self, memory: &mut Memory<S::Snapshot>, job: &ExecutionJob) -> Result<(), NodeError> {
        // Read from the store by `catch_up` already.
        if job.sequence <= memory.executed {
            return Ok(());
        }
        let began = Instant::now();
        let ExecutedBatch { batch, executed, receipts, judgements, changes } =
            execute(self.ledger.store(), &self.setup, &mut memory.tree, job)?;
        self.ledger.store().write(batch, Durability::Buffered)?;
        memory.executed = job.sequence;
        self.keep_checkpoint(job.sequence)?;
        let metrics = &self.metrics;
        metrics.execute_ms.observe(millis(began));
        metrics.executed_operations.add(receipts.len() as u64);
        metrics.rejected_operations.add(receipts.iter().filter(|receipt| !receipt.is_applied()).count() as u64);
        metrics.judged_operations.add(judgements.len() as u64);
        debug!(
            sequence = job.sequence.0,
            receipts = receipts.len(),
            changes = changes.len(),
            judged = judgements.len(),
            "executed"
        );
        let settled = receipts.iter().map(|receipt| receipt.operation);
        let settled: Vec<OperationId> = settled.chain(judgements.iter().map(|(operation, _)| *operation)).collect();
        let operations = self.bodies(memory, job, &settled)?;
        let sequenced = Sequenced::new(executed.execution, job.proposal.time, receipts, operations);
        let somebody_waits = self.ledger.hub().on_executed(Arc::new(sequenced), &judgements);
        if somebody_waits && let Some(certificate) = self.ledger.certificate(job.sequence)? {
            self.ledger.hub().on_certified(certificate);
        }
        self.hand_out(memory)?;
        // The driver has ended: so does this thread, when it looks for more work.
        let _ = self.executed.send(executed).await;
        Ok(())
    }

    /// The operations that were settled at this sequence; those that wait for parents are remembered.
    fn bodies(
        &self,
        memory: &mut Memory<S::Snapshot>,
        job: &ExecutionJob,
        settled: &[OperationId],
    ) -> Result<BTreeMap<OperationId, Arc<Operation>>, NodeError> {
        let came = job.bundles.iter().flat_map(|bundle| &bundle.operations);
        let mut came: BTreeMap<OperationId, Arc<Operation>> =
            came.map(|operation| (operation.id(), Arc::clone(operation))).collect();
        let mut bodies = BTreeMap::new();
        for id in settled {
            let waited = memory.waiting.remove(id);
            if let Some(operation) = came.remove(id).or(waited) {
                bodies.insert(*id, operation);
            }
        }
        // What came and wasn't settled has executed before, or waits.
        for (id, operation) in came {
            if machine::read::is_waiting(&StateOf(self.ledger.store()), &id)? {
                memory.waiting.insert(id, operation);
            }
        }
        while memory.waiting.len() > self.setup.epoch.parameters.waiting_operations as usize {
            memory.waiting.pop_first();
        }
        Ok(bodies)
    }

    /// Gives out the snapshots whose sequence has come, or has passed.
    fn hand_out(&self, memory: &mut Memory<S::Snapshot>) -> Result<(), NodeError> {
        let executed = memory.executed;
        let due = memory.snapshots.extract_if(.., |request| request.at <= executed || request.tell.is_closed());
        for request in due.collect::<Vec<_>>() {
            let is_here = request.at == Sequence::ZERO || request.at == executed;
            let answer = if is_here { Ok((executed, self.ledger.store().snapshot()?)) } else { Err(executed) };
            // Whoever asked may have gone away.
            let _ = request.tell.send(answer);
        }
        Ok(())
    }
}

pub(crate) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
