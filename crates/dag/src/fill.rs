//! What a primary's next payload would name, and which lanes wait to be named.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::Digest;
use quorate_types::ids::ValidatorIndex;
use quorate_types::proposal::{LaneTip, Payload};

use crate::branches::in_turn;
use crate::lanes::Lanes;
use crate::point::Point;

/// A payload that could be proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// The tips: only of chains that are held completely.
    pub payload: Payload,
    /// Something that waits was left out for lack of room.
    pub is_full: bool,
}

/// A lane with bundles that no proposal of a chain names yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The end of its complete chain.
    pub tip: LaneTip,
    /// Operations from the chain's tip up to and with it.
    pub operations: u64,
    /// Bytes from the chain's tip up to and with it: `b` of protocol §4.
    pub bytes: u64,
}

/// A payload in the making.
struct Filling {
    operations_left: u64,
    bytes_left: u64,
    taken: BTreeMap<ValidatorIndex, Point>,
    is_full: bool,
}

impl Lanes {
    /// Fills a payload for a child of `parent` within a proposal's bounds; `None` if `parent` isn't
    /// known to be valid.
    ///
    /// Every waiting lane gets a fair share: first one bundle each, starting after the last lane
    /// served, up to the first for which there is no room (it is the first next time); then always the
    /// lane that has got the fewest bytes (protocol §3.6).
    #[must_use]
    pub fn fill(&self, parent: Digest) -> Option<Filled> {
        let branch = self.branches.get(&parent)?;
        let limits = &self.config.limits;
        let mut filling = Filling {
            operations_left: limits.proposal_operations,
            bytes_left: limits.proposal_bytes,
            taken: BTreeMap::new(),
            is_full: false,
        };
        let mut shares = BTreeSet::new();
        for (place, lane) in in_turn(branch.last_served, self.lanes.len()).enumerate() {
            let base = &branch.points[lane.position()];
            let Some(next) = self.lanes[lane.position()].next_above(base) else { continue };
            if !filling.take(lane, base, next) {
                return Some(filling.finish());
            }
            shares.insert((next.cumulative_bytes.saturating_sub(base.cumulative_bytes), place, lane));
        }
        while let Some((share, place, lane)) = shares.pop_first() {
            let Some(at) = filling.taken.get(&lane).copied() else { continue };
            let Some(next) = self.lanes[lane.position()].next_above(&at) else { continue };
            if filling.take(lane, &at, next) {
                let more = next.cumulative_bytes.saturating_sub(at.cumulative_bytes);
                shares.insert((share.saturating_add(more), place, lane));
            }
        }
        Some(filling.finish())
    }

    /// The lanes that wait above the tips of the proposal `chain_tip`, ascending: those whose chain is
    /// held from the tip that the chain names to a higher number (protocol §4.1). `None` if the proposal
    /// isn't known to be valid.
    #[must_use]
    pub fn waiting(&self, chain_tip: Digest) -> Option<Vec<Waiting>> {
        let branch = self.branches.get(&chain_tip)?;
        let lanes = (0u16..).map(ValidatorIndex).zip(&self.lanes).zip(&branch.points);
        let waiting = lanes.filter_map(|((lane, held), base)| {
            let top = held.climb(*base);
            (top.number > base.number).then(|| Waiting {
                tip: top.tip(lane),
                operations: top.cumulative_operations.saturating_sub(base.cumulative_operations),
                bytes: top.cumulative_bytes.saturating_sub(base.cumulative_bytes),
            })
        });
        Some(waiting.collect())
    }
}

impl Filling {
    /// Takes the bundle from `at` to `next` if there is room.
    fn take(&mut self, lane: ValidatorIndex, at: &Point, next: Point) -> bool {
        let operations = next.cumulative_operations.saturating_sub(at.cumulative_operations);
        let bytes = next.cumulative_bytes.saturating_sub(at.cumulative_bytes);
        if operations > self.operations_left || bytes > self.bytes_left {
            self.is_full = true;
            return false;
        }
        self.operations_left -= operations;
        self.bytes_left -= bytes;
        self.taken.insert(lane, next);
        true
    }

    fn finish(self) -> Filled {
        let tips = self.taken.iter().map(|(lane, point)| point.tip(*lane)).collect();
        Filled { payload: Payload { tips }, is_full: self.is_full }
    }
}
