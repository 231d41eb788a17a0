//! The lanes of one epoch: what goes in, and what this validator can say about them.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::bundle::{Bundle, BundleHeader};
use quorate_types::ids::{OperationId, ValidatorIndex};
use quorate_types::operation::Operation;
use quorate_types::proposal::LaneTip;
use quorate_types::signed::Signed;

use crate::branches::Branches;
use crate::config::LanesConfig;
use crate::lane::{Admission, Lane, Want};
use crate::own::Own;
use crate::point::Point;
use crate::pool::{Intake, Pool, PoolFigures};

/// All lanes of an epoch, the proposals above the delivered one, and the own pool.
#[derive(Debug)]
pub struct Lanes {
    pub(crate) config: LanesConfig,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) branches: Branches,
    pub(crate) own: Own,
    pool: Pool,
}

impl Lanes {
    /// Lanes as they are after the delivered proposal `root`; `points` are their tips there, by lane
    /// (those left out are empty). After a restart, [`Lanes::restore`] comes next.
    #[must_use]
    pub fn new(config: LanesConfig, root: Digest, mut points: Vec<Point>) -> Self {
        points.resize(config.validators, Point::EMPTY);
        let lanes = (0u16..).map(ValidatorIndex).zip(&points).map(|(lane, tip)| Lane::new(lane, *tip)).collect();
        let head = points.get(config.me.position()).copied().unwrap_or(Point::EMPTY);
        Self { config, lanes, branches: Branches::new(root, points), own: Own::new(head), pool: Pool::default() }
    }

    /// Takes an operation of an own client into the pool.
    pub fn submit(&mut self, operation: Arc<Operation>) -> Intake {
        if self.own.holds(&operation.id()) {
            return Intake::Known;
        }
        self.pool.submit(operation, &self.config.limits)
    }

    /// Whether an operation waits in the pool.
    #[must_use]
    pub fn is_pooled(&self, id: &OperationId) -> bool {
        self.pool.holds(id)
    }

    /// The own bundle, not delivered yet, that holds an operation.
    #[must_use]
    pub fn own_bundle_with(&self, id: &OperationId) -> Option<Arc<Bundle>> {
        let number = self.own.bundle_with(id)?;
        self.lanes.get(self.config.me.position())?.bundle_with(number, id)
    }

    /// Makes the next own bundle out of the pool: header and operations. The caller has it signed and
    /// hands it to [`Lanes::admit`] at once. `None` if the pool is empty, `L` bytes of the own lane are
    /// undelivered, or the lane is muted.
    pub fn next_bundle(&mut self) -> Option<(BundleHeader, Vec<Arc<Operation>>)> {
        if self.own.is_muted {
            return None;
        }
        let limits = &self.config.limits;
        let room = limits.lane_bytes.saturating_sub(self.undelivered_bytes());
        let operations = self.pool.drain(limits.own_bundle_operations(), limits.own_bundle_bytes().min(room));
        if operations.is_empty() {
            return None;
        }
        let header = self.own.extend(self.config.epoch, self.config.me, &operations)?;
        Some((header, operations))
    }

    /// Judges a bundle, whose signatures and own limits have been checked at the door, and keeps it if
    /// it may be kept.
    pub fn admit(&mut self, bundle: Arc<Bundle>) -> Admission {
        let header = bundle.header.statement;
        let limits = self.config.limits;
        let is_own = header.lane == self.config.me;
        let Some(lane) = self.lanes.get_mut(header.lane.position()).filter(|_| header.epoch == self.config.epoch)
        else {
            return Admission::Foreign;
        };
        let admission = lane.admit(bundle, &limits);
        let has_unknown_twin =
            matches!(&admission, Admission::Conflict(_) | Admission::Stored { contradiction: Some(_), .. });
        if is_own && (has_unknown_twin || header.number > self.own.head.number) {
            self.own.is_muted = true;
        }
        admission
    }

    /// The end of each lane's complete chain; lanes without a bundle are left out.
    #[must_use]
    pub fn tips(&self) -> Vec<LaneTip> {
        let tips = (0u16..).map(ValidatorIndex).zip(&self.lanes).map(|(lane, held)| held.top.tip(lane));
        tips.filter(|tip| tip.number.0 > 0).collect()
    }

    /// What to ask a peer for whose lane ends in `tip`; `None` if nothing is lacking, or if the lane has no
    /// room for another full bundle: then it is named, and delivered, before more of it is kept.
    #[must_use]
    pub fn lacking(&self, tip: &LaneTip) -> Option<Want> {
        let lane = self.lanes.get(tip.lane.position())?;
        let held_bytes = lane.top.cumulative_bytes.saturating_sub(lane.tip.cumulative_bytes);
        let is_full = held_bytes.saturating_add(self.config.limits.bundle_bytes) > self.config.limits.lane_bytes;
        let is_held = tip.number <= lane.top.number || lane.entry(&(tip.number, tip.digest)).is_some();
        if is_held || (is_full && lane.top.number > lane.tip.number) {
            return None;
        }
        Some(Want { lane: tip.lane, from: lane.top.number.next(), to: tip.number, tip: tip.digest })
    }

    /// The signed header at the end of a lane's complete chain, while it lies above the delivered tip
    /// (protocol §7.3).
    #[must_use]
    pub fn highest_header_of(&self, lane: ValidatorIndex) -> Option<Signed<BundleHeader>> {
        let lane = self.lanes.get(lane.position())?;
        lane.entry(&(lane.top.number, lane.top.digest)).map(|entry| entry.bundle.header)
    }

    /// The bundles, lowest first, that a peer lacks whose lane ends in `tip`, within `budget_bytes` but
    /// at least one; empty if `tip` isn't in the chain held above the delivered tip.
    #[must_use]
    pub fn above(&self, tip: &LaneTip, budget_bytes: u64) -> Vec<Arc<Bundle>> {
        let Some(lane) = self.lanes.get(tip.lane.position()) else { return Vec::new() };
        let key = (tip.number, tip.digest);
        let from = match lane.entry(&key) {
            Some(entry) => Point::of(entry.header(), tip.digest),
            None if key == (lane.tip.number, lane.tip.digest) => lane.tip,
            None => return Vec::new(),
        };
        lane.above(from, budget_bytes)
    }

    /// The delivered proposal and each lane's tip there.
    #[must_use]
    pub fn delivered(&self) -> (Digest, Vec<Point>) {
        (self.branches.delivered(), self.lanes.iter().map(|lane| lane.tip).collect())
    }

    /// How much waits in the pool.
    #[must_use]
    pub fn pool(&self) -> PoolFigures {
        self.pool.figures()
    }

    /// Whether the next operation of the pool finds no room in the own lane (`L`): it waits until something of the lane
    /// is delivered.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let room = self.config.limits.lane_bytes.saturating_sub(self.undelivered_bytes());
        self.pool.next_bytes().is_some_and(|bytes| bytes > room)
    }

    /// Bytes of the own lane beyond its delivered tip; at `lane_bytes` no further bundle is made.
    #[must_use]
    pub fn undelivered_bytes(&self) -> u64 {
        let tip = self.lanes.get(self.config.me.position()).map_or(0, |lane| lane.tip.cumulative_bytes);
        self.own.head.cumulative_bytes.saturating_sub(tip)
    }

    /// The highest bundle of the own lane that was ever made.
    #[must_use]
    pub fn own_head(&self) -> LaneTip {
        self.own.head.tip(self.config.me)
    }

    /// Whether no bundle can be made any more in this epoch, because the own lane holds what the own
    /// records don't know.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.own.is_muted
    }
}
