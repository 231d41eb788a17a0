//! The execution thread: one delivered sequence after the other, off the ordering path (architecture §6).
//!
//! Each is executed, written in one batch (buffered: what is lost in a crash is executed again) and then
//! told to the replica and to those who wait. A sequence that isn't the next one, or a store that fails,
//! stops the node.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_replica::execution::{execute, next_job};
use quorate_replica::machine::{self, tree::Cache};
use quorate_replica::records;
use quorate_replica::{Executed, ExecutedBatch, ExecutionJob, ExecutionSetup};
use quorate_storage::{Durability, StateOf, Store};
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::operation::Operation;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, info};

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

/// See the module.
#[derive(Debug)]
pub(crate) struct Executor<S: Store> {
    pub(crate) ledger: Arc<Ledger<S>>,
    pub(crate) setup: ExecutionSetup,
    pub(crate) metrics: Arc<Metrics>,
    /// Bounded; what doesn't fit waits at the driver, bounded by the window (protocol §6.1).
    pub(crate) work: mpsc::Receiver<ExecutionJob>,
    pub(crate) executed: mpsc::Sender<Executed>,
    pub(crate) snapshots: mpsc::Receiver<SnapshotRequest<S::Snapshot>>,
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
                    Some(job) => self.execute(&mut memory, &job).await?,
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
        while memory.waiting.len() > self.setup.parameters.waiting_operations as usize {
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
