//! Payloads: judged (protocol §3.6), expanded to bundles, delivered.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::bundle::Bundle;
use quorate_types::ids::{BundleNumber, ValidatorIndex};
use quorate_types::proposal::{LaneTip, Payload};

use crate::lane::{Floor, Lane, Want};
use crate::lanes::Lanes;
use crate::point::Point;

/// What is known about a proposal's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Valid, and every bundle that it stands for is held.
    Valid,
    /// Bundles are missing; ask again when they have come. (Without a want: too many proposals are
    /// remembered; ask again after the next delivery.)
    Missing(Vec<Want>),
    /// It contradicts its own chain, and does so for everyone: never a vote for it.
    Invalid(PayloadFault),
    /// The parent isn't delivered, nor known to be valid.
    UnknownParent,
}

/// The rule of protocol §3.6 that a payload breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadFault {
    /// Lanes don't ascend, or one is named twice.
    #[error("lane {0} is out of order")]
    LanesOutOfOrder(ValidatorIndex),
    /// A lane that the epoch doesn't have.
    #[error("lane {0} is not of this epoch")]
    UnknownLane(ValidatorIndex),
    /// The tip isn't above the one that the chain has.
    #[error("bundle {number} of lane {lane} is not above the chain's tip {tip}")]
    NotAboveTip {
        /// Whose lane.
        lane: ValidatorIndex,
        /// The number named.
        number: BundleNumber,
        /// The chain's.
        tip: BundleNumber,
    },
    /// The chain of bundles doesn't arrive at the tip that the proposal's chain has.
    #[error("lane {lane} doesn't lead down to the chain's tip {tip}")]
    NotOnTip {
        /// Whose lane.
        lane: ValidatorIndex,
        /// The number of the tip that it should arrive at.
        tip: BundleNumber,
    },
    /// A bundle doesn't follow the one that it names as its parent.
    #[error("bundle {number} of lane {lane} doesn't follow its parent")]
    BrokenLink {
        /// Whose lane.
        lane: ValidatorIndex,
        /// The bundle.
        number: BundleNumber,
    },
    /// More bytes than one proposal may stand for.
    #[error("it stands for {found} bytes or more, {limit} are allowed")]
    TooManyBytes {
        /// As far as is known.
        found: u64,
        /// The epoch's limit.
        limit: u64,
    },
    /// More operations than one proposal may stand for.
    #[error("it stands for {found} operations or more, {limit} are allowed")]
    TooManyOperations {
        /// As far as is known.
        found: u64,
        /// The epoch's limit.
        limit: u64,
    },
}

/// A delivery that the caller mustn't ask for: deliveries go in order, each after [`Check::Valid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proposal {digest} is no valid child of the delivered {delivered}")]
pub struct NotDeliverable {
    /// What was to be delivered.
    pub digest: Digest,
    /// What is.
    pub delivered: Digest,
}

/// What a payload stands for as far as it is held.
#[derive(Debug, Default)]
struct Sums {
    operations: u64,
    bytes: u64,
}

/// What judging one lane's tip found.
enum Found {
    /// The whole chain is held; this is the tip's place.
    Complete(Point),
    /// A bundle is missing; the tip's place if the tip itself is held.
    Gap(Option<Point>),
}

impl Lanes {
    /// Judges the payload of the proposal `digest`, a child of `parent`. When valid, the tips after it
    /// are remembered, so that its children can be judged; when bundles are missing, those that it
    /// names are kept from now on whatever else their lanes hold.
    pub fn check(&mut self, parent: Digest, digest: Digest, payload: &Payload) -> Check {
        if self.branches.get(&digest).is_some() {
            return Check::Valid;
        }
        if let Some(fault) = self.branches.fault(&digest) {
            return Check::Invalid(fault);
        }
        let Some(base) = self.branches.get(&parent) else { return Check::UnknownParent };
        let points = base.points.clone();
        match self.judge(&points, payload) {
            Err(fault) => {
                if self.branches.refuse(digest, parent, fault) {
                    self.tidy();
                }
                Check::Invalid(fault)
            }
            Ok(Some(after)) => {
                let has_room = self.branches.insert(digest, parent, after);
                if has_room { Check::Valid } else { Check::Missing(Vec::new()) }
            }
            Ok(None) => {
                self.branches.wait(digest, parent, payload);
                Check::Missing(self.name_missing(&points, payload))
            }
        }
    }

    /// The bundles that a payload stands for after `parent`, in the order of lanes and numbers; `None`
    /// if one isn't held or `parent` isn't known.
    #[must_use]
    pub fn expand(&self, parent: Digest, payload: &Payload) -> Option<Vec<Arc<Bundle>>> {
        let base = self.branches.get(&parent)?;
        let mut bundles = Vec::new();
        for tip in &payload.tips {
            let lane = self.lanes.get(tip.lane.position())?;
            let floor = base.points.get(tip.lane.position())?;
            let start = bundles.len();
            let mut at = (tip.number, tip.digest);
            while at.0 > floor.number {
                let entry = lane.entry(&at)?;
                bundles.push(Arc::clone(&entry.bundle));
                at = (at.0.previous()?, entry.header().parent);
            }
            bundles[start..].reverse();
        }
        Some(bundles)
    }

    /// The proposal `digest`, a valid child of the delivered one, is delivered: lanes advance, bundles
    /// below are released, other branches forgotten. Returns each lane's tip after it.
    ///
    /// # Errors
    /// If it isn't that; nothing has changed then.
    pub fn deliver(&mut self, digest: Digest) -> Result<Vec<Point>, NotDeliverable> {
        let delivered = self.branches.delivered();
        let branch = self.branches.get(&digest).filter(|branch| branch.parent == delivered && digest != delivered);
        let points = branch.ok_or(NotDeliverable { digest, delivered })?.points.clone();
        for (lane, point) in self.lanes.iter_mut().zip(&points) {
            if lane.tip != *point {
                lane.advance(*point);
            }
        }
        self.branches.deliver(digest);
        self.tidy();
        self.release_own();
        Ok(points)
    }

    /// Names the bundles of payloads that are known to be committed, above the delivered proposal and
    /// in its chain, so that they can be fetched before each is judged in its turn. Memory: the caller
    /// bounds it by how many payloads it passes, `max_proposal_bytes` each.
    pub fn prefetch(&mut self, payloads: &[Payload]) -> Vec<Want> {
        let mut wants = Vec::new();
        for tip in payloads.iter().flat_map(|payload| &payload.tips) {
            let Some(lane) = self.lanes.get_mut(tip.lane.position()) else { continue };
            let key = (tip.number, tip.digest);
            let is_higher = tip.number > lane.goal.map_or(lane.tip.number, |(number, _)| number);
            if is_higher {
                lane.goal = Some(key);
            }
        }
        for (lane, held) in (0u16..).map(ValidatorIndex).zip(&mut self.lanes) {
            wants.extend(held.name_goal().map(|(to, tip)| Want { lane, from: held.tip.number.next(), to, tip }));
        }
        wants
    }

    /// The tips after the payload if all is held, `None` if something is missing.
    fn judge(&self, base: &[Point], payload: &Payload) -> Result<Option<Vec<Point>>, PayloadFault> {
        let (mut after, mut sums, mut is_complete) = (base.to_vec(), Sums::default(), true);
        let mut last: Option<ValidatorIndex> = None;
        for tip in &payload.tips {
            if last.is_some_and(|last| last >= tip.lane) {
                return Err(PayloadFault::LanesOutOfOrder(tip.lane));
            }
            last = Some(tip.lane);
            let position = tip.lane.position();
            let (Some(floor), Some(lane)) = (base.get(position), self.lanes.get(position)) else {
                return Err(PayloadFault::UnknownLane(tip.lane));
            };
            self.judge_number(tip, floor, &mut sums)?;
            let top = match descend(lane, tip, floor)? {
                Found::Complete(top) => Some(top),
                Found::Gap(top) => {
                    is_complete = false;
                    top
                }
            };
            if let Some(top) = top {
                self.judge_counts(tip, floor, &top, &mut sums)?;
                after[position] = top;
            }
        }
        Ok(is_complete.then_some(after))
    }

    /// Every bundle holds an operation, so numbers alone bound what a payload can stand for.
    fn judge_number(&self, tip: &LaneTip, floor: &Point, sums: &mut Sums) -> Result<(), PayloadFault> {
        if tip.number <= floor.number {
            return Err(PayloadFault::NotAboveTip { lane: tip.lane, number: tip.number, tip: floor.number });
        }
        let found = sums.operations.saturating_add(tip.number.above(floor.number));
        let limit = self.config.limits.proposal_operations;
        if found > limit {
            return Err(PayloadFault::TooManyOperations { found, limit });
        }
        Ok(())
    }

    fn judge_counts(&self, tip: &LaneTip, floor: &Point, top: &Point, sums: &mut Sums) -> Result<(), PayloadFault> {
        let operations = top.cumulative_operations.checked_sub(floor.cumulative_operations);
        let bytes = top.cumulative_bytes.checked_sub(floor.cumulative_bytes);
        let (Some(operations), Some(bytes)) = (operations, bytes) else {
            return Err(PayloadFault::NotOnTip { lane: tip.lane, tip: floor.number });
        };
        sums.operations = sums.operations.saturating_add(operations);
        sums.bytes = sums.bytes.saturating_add(bytes);
        let limits = &self.config.limits;
        if sums.operations > limits.proposal_operations {
            return Err(PayloadFault::TooManyOperations { found: sums.operations, limit: limits.proposal_operations });
        }
        if sums.bytes > limits.proposal_bytes {
            return Err(PayloadFault::TooManyBytes { found: sums.bytes, limit: limits.proposal_bytes });
        }
        Ok(())
    }

    /// Names the first bundle that each named chain lacks.
    pub(crate) fn name_missing(&mut self, base: &[Point], payload: &Payload) -> Vec<Want> {
        let limit = self.config.limits.proposal_bytes;
        let mut wants = Vec::new();
        for tip in &payload.tips {
            let position = tip.lane.position();
            let (Some(point), Some(lane)) = (base.get(position), self.lanes.get_mut(position)) else { continue };
            let floor = Floor {
                number: point.number,
                bytes: point.cumulative_bytes,
                cap_bytes: point.cumulative_bytes.saturating_add(limit),
            };
            let missing = lane.name((tip.number, tip.digest), floor);
            let from = point.number.next();
            wants.extend(missing.map(|(to, tip_digest)| Want { lane: tip.lane, from, to, tip: tip_digest }));
        }
        wants
    }
}

/// Follows the chain from `tip` down to `floor`.
fn descend(lane: &Lane, tip: &LaneTip, floor: &Point) -> Result<Found, PayloadFault> {
    let (mut at, mut top) = ((tip.number, tip.digest), None);
    while at.0 > floor.number {
        let Some(entry) = lane.entry(&at) else { return Ok(Found::Gap(top)) };
        let header = entry.header();
        if entry.is_broken {
            return Err(PayloadFault::BrokenLink { lane: tip.lane, number: at.0 });
        }
        let operations = entry.bundle.operations.len() as u64;
        let stays_above = header.cumulative_operations.checked_sub(operations) >= Some(floor.cumulative_operations)
            && header.cumulative_bytes.checked_sub(entry.size_bytes) >= Some(floor.cumulative_bytes);
        if !stays_above {
            return Err(PayloadFault::NotOnTip { lane: tip.lane, tip: floor.number });
        }
        top = top.or(Some(Point::of(header, at.1)));
        at = (at.0.previous().unwrap_or(BundleNumber::ZERO), header.parent);
    }
    match top {
        Some(top) if at == (floor.number, floor.digest) => Ok(Found::Complete(top)),
        _ => Err(PayloadFault::NotOnTip { lane: tip.lane, tip: floor.number }),
    }
}
