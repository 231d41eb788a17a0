//! Execution of what was delivered, off the ordering path (protocol §3.5, architecture §6).
//!
//! A job is one delivered proposal with its bundles. [`execute`] expands it, lets the machine apply it,
//! and puts everything that follows from it into **one** batch: the state and its tree, the receipts, where
//! each operation's receipt is, what was judged without a receipt, and the mark of what was executed last. So
//! a crash leaves a sequence executed or not, never half; and what is executed twice is refused before it
//! does harm, because the mark says so.
//!
//! It is a function of the store and the job alone. What is not here: threads, and writing the batch,
//! which are the shell's; the vote on the result, which is the replica's.

mod replay;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use quorate_crypto::{Digest, Scheme};
use quorate_dag::Point;
use quorate_machine::{Block, Charter, CheckpointRoot, EntityChange, Ordered, tree};
use quorate_storage::{StateOf, Store, StoreError, TreeOf, WriteBatch};
use quorate_types::bundle::Bundle;
use quorate_types::codec::encode_list;
use quorate_types::epoch::EpochDefinition;
use quorate_types::evidence::Conviction;
use quorate_types::execution::Execution;
use quorate_types::genesis::Administrators;
use quorate_types::ids::{BundleNumber, ClusterId, OperationId, Sequence, ValidatorIndex};
use quorate_types::kind::Kinds;
use quorate_types::proposal::Proposal;
use quorate_types::receipt::{Judgement, Receipt};
use quorate_types::verified::Context;

pub use self::replay::next_job;
use crate::records::{self, ExecutedMark, Judged, Place, RecordError};

/// What execution is told once.
#[derive(Clone, Debug)]
pub struct ExecutionSetup {
    /// The cluster.
    pub cluster: ClusterId,
    /// The epoch: its validators and parameters.
    pub epoch: Arc<EpochDefinition>,
    /// The kinds of entities that the genesis declares.
    pub kinds: Arc<Kinds>,
    /// Who may change the cluster.
    pub administrators: Arc<Administrators>,
    /// How signatures are checked.
    pub scheme: Scheme,
    /// The digest of the proposal at the epoch's start, or of the genesis.
    pub start: Digest,
}

impl ExecutionSetup {
    /// Execution in an epoch, with what the genesis declares.
    #[must_use]
    pub fn new(context: &Context, kinds: Arc<Kinds>, administrators: Arc<Administrators>) -> Self {
        Self {
            cluster: context.cluster,
            epoch: Arc::new(EpochDefinition::from(context)),
            kinds,
            administrators,
            scheme: context.scheme,
            start: context.start.1,
        }
    }

    fn charter(&self) -> Charter<'_> {
        let Self { epoch, kinds, administrators, scheme, start, .. } = self;
        Charter { epoch, kinds, administrators, scheme: *scheme, start: *start }
    }
}

/// A delivered proposal, to be executed in its turn.
#[derive(Clone, Debug)]
pub struct ExecutionJob {
    /// Its sequence.
    pub sequence: Sequence,
    /// Its digest.
    pub digest: Digest,
    /// The proposal.
    pub proposal: Proposal,
    /// The bundles that it stands for, by lane, then number.
    pub bundles: Vec<Arc<Bundle>>,
}

/// What the replica hears of a job that was carried out and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// What the execution vote is about.
    pub execution: Execution,
    /// How many operations wait for parents: while there are any, the primary proposes on (protocol §3.1).
    pub waiting: u32,
    /// The epoch's last sequence, if what executed has fixed it (protocol §8.4).
    pub ends: Option<Sequence>,
    /// Who was convicted of what (accountability §2.2).
    pub convictions: Vec<Conviction>,
}

/// What executing a job gave.
#[derive(Clone, Debug)]
pub struct ExecutedBatch {
    /// Everything to be written, at once.
    pub batch: WriteBatch,
    /// For the replica, once the batch is written.
    pub executed: Executed,
    /// The sequence's receipts, by index.
    pub receipts: Vec<Receipt>,
    /// Answers without a receipt.
    pub judgements: Vec<(OperationId, Judgement)>,
    /// What changed, in the order of execution.
    pub changes: Vec<EntityChange>,
}

/// Why a job can't be executed. All of it is a local fault: the validator stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionError {
    /// The records can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Jobs go in order, each once, on one chain.
    #[error("sequence {found} with parent {parent} doesn't follow the executed {executed} ({digest})")]
    OutOfOrder {
        /// What was executed last.
        executed: Sequence,
        /// Its proposal.
        digest: Digest,
        /// The job's sequence.
        found: Sequence,
        /// The job's parent.
        parent: Digest,
    },
    /// A delivered proposal, or a bundle that it names, isn't in the store any more.
    #[error("the store lacks what was delivered at sequence {sequence}")]
    Lost {
        /// The sequence.
        sequence: Sequence,
    },
}

impl From<StoreError> for ExecutionError {
    fn from(error: StoreError) -> Self {
        Self::Record(error.into())
    }
}

/// Executes one job on the store's state. Nothing is written. The tree's `cache` is carried from job to job;
/// a fresh one does, too, and is slower.
///
/// # Errors
/// If the store fails, or the job isn't the next one.
pub fn execute<S: Store>(
    store: &S,
    setup: &ExecutionSetup,
    cache: &mut tree::Cache,
    job: &ExecutionJob,
) -> Result<ExecutedBatch, ExecutionError> {
    let last = records::executed().read(store)?;
    admit_next(last.as_ref(), job)?;
    let ordered = expand(&job.bundles);
    // Lanes are empty at an epoch's start (protocol §8.4).
    let before_it = last.as_ref().map(|mark| CheckpointRoot {
        sequence: mark.execution.sequence,
        time: mark.time,
        root: mark.execution.state_root,
    });
    let before = last.filter(|mark| mark.execution.epoch == job.proposal.epoch);
    let points = points_after(before.map(|mark| mark.points).unwrap_or_default(), &job.bundles);
    let mut tips = Vec::new();
    encode_list(&points, &mut tips);
    let block = Block {
        sequence: job.sequence,
        time: job.proposal.time,
        proposal: job.digest,
        ordered: &ordered,
        cluster: setup.cluster,
        tips: &tips,
        before: before_it,
    };
    let done = quorate_machine::execute(&StateOf(store), setup.charter(), &block)?;
    let tree::Updated { root, writes } = tree::update(&TreeOf(store), cache, tree::changes(&done.writes))?;
    let execution = Execution {
        epoch: job.proposal.epoch,
        sequence: job.sequence,
        proposal: job.digest,
        state_root: root,
        receipts_root: done.receipts_root,
    };
    let mut batch = done.writes;
    batch.append(writes);
    for receipt in &done.receipts {
        let place = Place { sequence: receipt.sequence, index: receipt.index };
        records::receipt(receipt.sequence, receipt.index).put(&mut batch, receipt);
        records::place(&receipt.operation).put(&mut batch, &place);
    }
    let mut judgements = done.judgements;
    for operation in done.known {
        if records::place(&operation).read(store)?.is_none() {
            judgements.push((operation, Judgement::ReceiptPruned));
        }
    }
    for (operation, judgement) in &judgements {
        let judged = Judged { sequence: job.sequence, judgement: *judgement };
        records::judged(operation).put(&mut batch, &judged);
    }
    records::result(job.sequence).put(&mut batch, &execution);
    records::executed().put(&mut batch, &ExecutedMark { execution, time: job.proposal.time, points });
    let (waiting, ends, convictions) = (done.waiting.operations, done.ends, done.convictions);
    let executed = Executed { execution, waiting, ends, convictions };
    Ok(ExecutedBatch { batch, executed, receipts: done.receipts, judgements, changes: done.changes })
}

/// A job follows what was executed last; the first one follows genesis.
fn admit_next(last: Option<&ExecutedMark>, job: &ExecutionJob) -> Result<(), ExecutionError> {
    let (executed, digest) =
        last.map_or((Sequence::ZERO, None), |mark| (mark.execution.sequence, Some(mark.execution.proposal)));
    let is_on_chain = digest.is_none_or(|digest| digest == job.proposal.parent);
    if job.sequence == executed.next() && job.proposal.sequence == job.sequence && is_on_chain {
        return Ok(());
    }
    let (found, parent) = (job.sequence, job.proposal.parent);
    Err(ExecutionError::OutOfOrder { executed, digest: digest.unwrap_or(Digest::ZERO), found, parent })
}

/// The operations of the bundles, of each lane in the lane's order.
fn expand(bundles: &[Arc<Bundle>]) -> Vec<Ordered> {
    let of_bundle = |bundle: &Arc<Bundle>| {
        let lane = bundle.header.statement.lane;
        let operations = bundle.operations.clone();
        operations.into_iter().map(move |operation| Ordered { lane, operation })
    };
    bundles.iter().flat_map(of_bundle).collect()
}

/// The lanes' tips after `bundles`.
fn points_after(mut points: Vec<Point>, bundles: &[Arc<Bundle>]) -> Vec<Point> {
    for bundle in bundles {
        let header = &bundle.header.statement;
        let position = header.lane.position();
        if points.len() <= position {
            points.resize(position + 1, Point::EMPTY);
        }
        points[position] = Point::of(header, header.digest());
    }
    points
}

/// The tip of a lane among `points`.
fn tip_of(points: &[Point], lane: ValidatorIndex) -> BundleNumber {
    points.get(lane.position()).map_or(BundleNumber::ZERO, |point| point.number)
}
