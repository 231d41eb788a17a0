//! What a replica says about itself, for status, metrics and simulators.

use std::fmt;
use std::sync::Arc;

use quorate_consensus::Held;
use quorate_dag::PoolFigures;
use quorate_types::ids::{BlockTime, Epoch, Sequence, ValidatorIndex, View};
use quorate_types::proposal::LaneTip;

use crate::replica::Replica;
use crate::standing::Standing;
use crate::suspecting::SuspicionReport;
use crate::transfer::TransferReport;

/// A replica at one moment.
#[derive(Clone, Debug)]
pub struct Report {
    /// The epoch.
    pub epoch: Epoch,
    /// Its last sequence, once that is known (protocol §8.4).
    pub ends: Option<Sequence>,
    /// Its view.
    pub view: View,
    /// Whether it votes there.
    pub is_active: bool,
    /// The view's primary.
    pub primary: ValidatorIndex,
    /// The highest delivered sequence.
    pub committed: Sequence,
    /// Its block time.
    pub committed_time: BlockTime,
    /// The highest executed sequence.
    pub executed: Sequence,
    /// Every execution certificate up to here is held.
    pub certified: Sequence,
    /// The stable checkpoint.
    pub stable: Sequence,
    /// Whether it signs.
    pub standing: Standing,
    /// Whether it has stopped because certificates contradict each other.
    pub is_halted: bool,
    /// The timeout in force, in milliseconds.
    pub timeout_ms: u64,
    /// How far its doubt of its own complaints has stretched its timers (protocol §4.8); 1: none.
    pub self_doubt: u64,
    /// What waits for a bundle.
    pub pool: PoolFigures,
    /// The highest complete tip of each lane.
    pub tips: Vec<LaneTip>,
    /// Proposals that wait for bundles.
    pub awaiting_bundles: usize,
    /// Execution votes held.
    pub execution_votes: usize,
    /// The sizes of the core's buffers.
    pub held: Held,
    /// Pieces of evidence kept against each validator, by index.
    pub evidence: Vec<u64>,
    /// The first sequence whose own result isn't the certified one, until the state is repaired.
    pub diverged: Option<Sequence>,
    /// The transfer under way, if there is one.
    pub transfer: Option<TransferReport>,
    /// Chunks of snapshots that weren't whole, by who sent them, since the start.
    pub lying_chunks: Vec<u64>,
    /// What is suspected of others, and why.
    pub suspicion: Arc<SuspicionReport>,
    /// What each validator last reported, by index; this one's place is `None`.
    pub peers: Vec<Option<PeerReport>>,
}

/// What a peer last reported of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// Its highest delivered sequence.
    pub committed: Sequence,
    /// Its highest executed sequence.
    pub executed: Sequence,
    /// Its stable checkpoint.
    pub stable: Sequence,
    /// Monotonic time of its last status, in milliseconds; 0: none since the start.
    pub heard_ms: u64,
}

/// The state on one line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, view, committed, executed, certified, stable, standing, .. } = self;
        let activity = if self.is_active { "active" } else { "changing" };
        write!(f, "epoch {epoch}, view {view} ({activity}), committed {committed}, executed {executed}, ")?;
        write!(f, "certified {certified}, stable {stable}, {standing}")?;
        if let Some(ends) = self.ends {
            write!(f, ", its epoch ends at {ends}")?;
        }
        if let Some(transfer) = &self.transfer {
            let percent = transfer.done_millionths / 10_000;
            write!(f, ", fetches the state of checkpoint {}: {percent} % are here", transfer.checkpoint)?;
        }
        if self.awaiting_bundles > 0 {
            write!(f, ", {} proposals wait for bundles", self.awaiting_bundles)?;
        }
        if self.pool.operations > 0 {
            write!(f, ", {} operations wait for a bundle", self.pool.operations)?;
        }
        if self.is_halted {
            f.write_str(", halted over contradicting certificates")?;
        }
        Ok(())
    }
}

impl Replica {
    /// What this replica says about itself.
    #[must_use]
    pub fn report(&self) -> Report {
        let core = &self.core;
        let peer = |validator: ValidatorIndex| {
            let peer = core.peer(validator).filter(|_| validator != self.me)?;
            let &quorate_consensus::Peer { committed, executed, stable, heard_ms, .. } = peer;
            Some(PeerReport { committed, executed, stable, heard_ms })
        };
        Report {
            epoch: self.context.epoch,
            ends: core.last(),
            view: core.view(),
            is_active: core.is_active(),
            primary: core.primary(),
            committed: core.tip().sequence,
            committed_time: core.tip().time,
            executed: self.executed,
            certified: self.executions.certified(),
            stable: core.stable(),
            standing: self.standing.clone(),
            is_halted: core.is_halted(),
            timeout_ms: core.timeout_ms(),
            self_doubt: core.self_doubt(),
            pool: self.lanes.pool(),
            tips: self.lanes.tips(),
            awaiting_bundles: self.awaiting.len(),
            execution_votes: self.executions.held(),
            held: core.held(),
            evidence: self.context.set.indices().map(|validator| self.ledger.kept_of(validator)).collect(),
            diverged: self.diverged,
            transfer: self.transfer.report(),
            lying_chunks: self.transfer.lies(),
            suspicion: self.suspecting.report(),
            peers: self.context.set.indices().map(peer).collect(),
        }
    }
}
