//! After a restart: what was delivered and not executed, read back from the records.

use std::sync::Arc;

use quorate_dag::Point;
use quorate_storage::Store;
use quorate_types::bundle::Bundle;
use quorate_types::ids::{BundleNumber, Sequence};
use quorate_types::proposal::Proposal;

use super::{ExecutionError, ExecutionJob, tip_of};
use crate::records;

/// The job after the one that was executed last; `None` if everything delivered is executed. Executing
/// and writing it makes the next call give the one after.
///
/// # Errors
/// If the store fails, or lacks what it must hold.
pub fn next_job<S: Store>(store: &S) -> Result<Option<ExecutionJob>, ExecutionError> {
    let mark = records::executed().read(store)?;
    let sequence = mark.as_ref().map_or(Sequence::ZERO, |mark| mark.execution.sequence).next();
    let Some(digest) = records::committed(sequence).read(store)? else { return Ok(None) };
    let lost = ExecutionError::Lost { sequence };
    let proposal = records::proposal(&digest).read(store)?.ok_or(lost)?;
    // Lanes are empty at an epoch's start (protocol §8.4).
    let before = mark.filter(|mark| mark.execution.epoch == proposal.epoch);
    let points = before.map(|mark| mark.points).unwrap_or_default();
    let bundles = read_bundles(store, &proposal, &points)?;
    Ok(Some(ExecutionJob { sequence, digest, proposal, bundles }))
}

/// The bundles that a proposal stands for above the lanes' tips, by lane, then number.
fn read_bundles<S: Store>(
    store: &S,
    proposal: &Proposal,
    points: &[Point],
) -> Result<Vec<Arc<Bundle>>, ExecutionError> {
    let mut bundles = Vec::new();
    for tip in &proposal.payload.tips {
        let floor = tip_of(points, tip.lane);
        let (mut number, mut digest, start) = (tip.number, tip.digest, bundles.len());
        while number > floor {
            let lost = ExecutionError::Lost { sequence: proposal.sequence };
            let bundle = records::bundle(proposal.epoch, tip.lane, number, &digest).read(store)?.ok_or(lost)?;
            digest = bundle.header.statement.parent;
            number = number.previous().unwrap_or(BundleNumber::ZERO);
            bundles.push(Arc::new(bundle));
        }
        bundles[start..].reverse();
    }
    Ok(bundles)
}
