//! After proposals have gone: what is still named, and what is kept only because of names.

use std::collections::BTreeSet;

use quorate_crypto::Digest;

use crate::lane::{Floor, Key, Lane};
use crate::lanes::Lanes;

impl Lanes {
    /// Forgets proposals that don't lead to any of `heads`: of what earlier views left behind, only
    /// what the caller still cares about. The delivered one stays.
    pub fn retain(&mut self, heads: &[Digest]) {
        self.branches.retain(heads);
        self.tidy();
    }

    /// Names anew what the waiting proposals lack, and drops the extras to which nothing leads.
    pub(crate) fn tidy(&mut self) {
        for lane in &mut self.lanes {
            lane.named.clear();
            lane.name_goal();
        }
        let pending: Vec<_> =
            self.branches.pending().map(|waiting| (waiting.parent, waiting.payload.clone())).collect();
        for (parent, payload) in &pending {
            if let Some(points) = self.branches.get(parent).map(|branch| branch.points.clone()) {
                self.name_missing(&points, payload);
            }
        }
        for position in 0..self.lanes.len() {
            if !self.lanes[position].has_extras() {
                continue;
            }
            let needed = self.needed(position);
            let limits = self.config.limits;
            self.lanes[position].settle_extras(&limits, |key| needed.contains(key));
        }
    }

    /// The bundles of one lane to which a remembered proposal or the goal leads.
    fn needed(&self, position: usize) -> BTreeSet<Key> {
        let lane = &self.lanes[position];
        let valid = self.branches.valid().filter_map(|branch| branch.points.get(position));
        let waiting = self.branches.pending().flat_map(|pending| &pending.payload.tips);
        let tips = valid
            .map(|point| (point.number, point.digest))
            .chain(waiting.filter(|tip| tip.lane.position() == position).map(|tip| (tip.number, tip.digest)))
            .chain(lane.goal)
            .chain(lane.restored);
        let mut needed = BTreeSet::new();
        for tip in tips {
            let mut at = tip;
            while let Some(entry) = lane.entry(&at).filter(|_| needed.insert(at)) {
                let Some(below) = at.0.previous() else { break };
                at = (below, entry.header().parent);
            }
        }
        needed
    }

    /// Own operations that are delivered are known no more; and if the own lane isn't what was made
    /// here, nothing is made any more.
    pub(crate) fn release_own(&mut self) {
        let Some(lane) = self.lanes.get(self.config.me.position()) else { return };
        self.own.release(lane.tip.number);
        if !is_own_history(lane, (self.own.head.number, self.own.head.digest)) {
            self.own.is_muted = true;
        }
    }
}

/// Whether the own head is the delivered tip, or held above it.
pub(crate) fn is_own_history(lane: &Lane, head: Key) -> bool {
    head == (lane.tip.number, lane.tip.digest) || (head.0 > lane.tip.number && lane.entry(&head).is_some())
}

impl Lane {
    /// Names what the chain down from the goal lacks. It is committed, so nothing bounds its counts.
    pub(crate) fn name_goal(&mut self) -> Option<Key> {
        let floor = Floor { number: self.tip.number, bytes: self.tip.cumulative_bytes, cap_bytes: u64::MAX };
        self.name(self.goal?, floor)
    }
}
