//! The operations of an executed sequence, found again in the bundles that its proposal stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_replica::records::{self, RecordError};
use quorate_storage::Store;
use quorate_types::ids::{BundleNumber, OperationId, Sequence, ValidatorIndex};
use quorate_types::operation::Operation;
use quorate_types::proposal::LaneTip;

/// Proposals looked through for where a lane stood before; an idle lane may have stood still for longer.
const PROPOSALS_BACK: u64 = 64;

/// Bundles of one lane that are read where it isn't known where the lane stood before.
const BUNDLES: u64 = 256;

/// Those of the wanted operations that came with a sequence.
pub(super) fn read<S: Store>(
    store: &S,
    sequence: Sequence,
    wanted: &BTreeSet<OperationId>,
) -> Result<BTreeMap<OperationId, Arc<Operation>>, RecordError> {
    let mut found = BTreeMap::new();
    let Some(digest) = records::committed(sequence).read(store)? else { return Ok(found) };
    let Some(proposal) = records::proposal(&digest).read(store)? else { return Ok(found) };
    for LaneTip { lane, number, digest } in proposal.payload.tips {
        let floor = floor(store, lane, sequence)?.unwrap_or(BundleNumber(number.0.saturating_sub(BUNDLES)));
        let (mut at, mut digest) = (number, digest);
        while at > floor && found.len() < wanted.len() {
            let Some(bundle) = records::bundle(proposal.epoch, lane, at, &digest).read(store)? else { break };
            digest = bundle.header.statement.parent;
            at = at.previous().unwrap_or(BundleNumber::ZERO);
            let named = bundle.operations.into_iter().filter(|operation| wanted.contains(&operation.id()));
            found.extend(named.map(|operation| (operation.id(), operation)));
        }
    }
    Ok(found)
}

/// Where a lane stood before a sequence, if a proposal near enough says so.
fn floor<S: Store>(store: &S, lane: ValidatorIndex, before: Sequence) -> Result<Option<BundleNumber>, RecordError> {
    for back in 1..=PROPOSALS_BACK {
        let Some(at) = before.0.checked_sub(back).filter(|at| *at > 0) else { return Ok(Some(BundleNumber::ZERO)) };
        let Some(digest) = records::committed(Sequence(at)).read(store)? else { return Ok(None) };
        let Some(proposal) = records::proposal(&digest).read(store)? else { return Ok(None) };
        if let Some(tip) = proposal.payload.tips.iter().find(|tip| tip.lane == lane) {
            return Ok(Some(tip.number));
        }
    }
    Ok(None)
}
