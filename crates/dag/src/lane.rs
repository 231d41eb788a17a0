//! One lane above its delivered tip: the bundles held, and those that proposals name.
//!
//! A bundle is kept by one of two rights. The *ordinary* one: it is the first of its number and the lane
//! stays within `L` bytes beyond the delivered tip, by its own counts and by what is held. The *named*
//! one: a proposal's chain leads to exactly this digest, so it is kept whatever else is held; it is
//! *extra* until it is delivered, becomes ordinary, or no proposal leads to it any more.
//!
//! A missing bundle is asked for by the digest that names it, from the top down: what answers is then
//! known to be right, and a lane's fork can't make a receiver keep anything that nobody named.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::bundle::{Bundle, BundleHeader};
use quorate_types::contradiction::Contradiction;
use quorate_types::ids::{BundleNumber, Epoch, OperationId, ValidatorIndex};
use quorate_types::message::Request;

use crate::config::LaneLimits;
use crate::point::Point;

/// A bundle's number and digest.
pub(crate) type Key = (BundleNumber, Digest);

/// Bundles that are missing: those of `lane` with numbers `from` to `to`, both included, in the chain
/// that ends in `tip`. To be answered from `to` downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Want {
    /// Whose lane.
    pub lane: ValidatorIndex,
    /// The lowest number that may be missing.
    pub from: BundleNumber,
    /// The number of the bundle that is missing for certain.
    pub to: BundleNumber,
    /// Its digest.
    pub tip: Digest,
}

/// What became of a bundle that arrived. Boxed where large: most are stored without complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Kept: make it durable before anything that depends on it leaves.
    Stored {
        /// Its parent, if that isn't held: worth asking for if it doesn't come by itself.
        missing: Option<Want>,
        /// The lane's owner signed two bundles of this number; both are kept.
        contradiction: Option<Box<Contradiction>>,
    },
    /// Held already.
    Duplicate,
    /// At or below the delivered tip: ordered, or on a fork that lost.
    Old,
    /// Not kept: another bundle of this number came first, and no proposal names this one.
    Conflict(Box<Contradiction>),
    /// Not kept: the lane would exceed `L` bytes beyond its delivered tip. It comes back later, by
    /// retransmission or because a proposal names it.
    OverLimit,
    /// Not kept: it names its parent, but doesn't follow it; or it follows a fork that lost.
    BrokenLink,
    /// Not kept: of another epoch, or of a lane that this epoch doesn't have.
    Foreign,
}

/// What a named chain is known to stay within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    /// The tip that the chain must arrive at.
    pub(crate) number: BundleNumber,
    /// That tip's cumulative bytes.
    pub(crate) bytes: u64,
    /// The highest cumulative bytes that a valid chain can have.
    pub(crate) cap_bytes: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) size_bytes: u64,
    /// Kept only because a proposal names it.
    pub(crate) is_extra: bool,
    /// It doesn't follow the parent that it names; whatever names it is invalid.
    pub(crate) is_broken: bool,
}

impl Entry {
    pub(crate) fn header(&self) -> &BundleHeader {
        &self.bundle.header.statement
    }
}

#[derive(Debug)]
pub(crate) struct Lane {
    lane: ValidatorIndex,
    /// The delivered tip.
    pub(crate) tip: Point,
    /// The end of the longest complete chain above the tip.
    pub(crate) top: Point,
    /// All above the tip.
    pub(crate) entries: BTreeMap<Key, Entry>,
    /// Named and not held, each with the bounds of the chain that names it.
    pub(crate) named: BTreeMap<Key, Floor>,
    /// The highest tip known to be committed ([`crate::Lanes::prefetch`]); cleared when delivered.
    pub(crate) goal: Option<Key>,
    /// The end of the chain taken back after a restart, kept whatever the bounds say now; cleared when
    /// delivered.
    pub(crate) restored: Option<Key>,
    /// Bytes of the ordinary entries.
    held_bytes: u64,
    /// How many entries are extra.
    extras: usize,
}

impl Lane {
    pub(crate) fn new(lane: ValidatorIndex, tip: Point) -> Self {
        Self {
            lane,
            tip,
            top: tip,
            entries: BTreeMap::new(),
            named: BTreeMap::new(),
            goal: None,
            restored: None,
            held_bytes: 0,
            extras: 0,
        }
    }

    pub(crate) const fn has_extras(&self) -> bool {
        self.extras > 0
    }

    /// Whether two bundles of one number are held.
    pub(crate) fn is_forked(&self) -> bool {
        self.entries.keys().zip(self.entries.keys().skip(1)).any(|(one, next)| one.0 == next.0)
    }

    pub(crate) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    fn at(&self, number: BundleNumber) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.range(keys_of(number))
    }

    /// The bundle of a number that holds an operation.
    pub(crate) fn bundle_with(&self, number: BundleNumber, id: &OperationId) -> Option<Arc<Bundle>> {
        let holds = |bundle: &Bundle| bundle.operations.iter().any(|operation| operation.id() == *id);
        self.at(number).map(|(_, entry)| &entry.bundle).find(|bundle| holds(bundle)).cloned()
    }

    /// The bundle that follows `point`; of several the ordinary one.
    pub(crate) fn next_above(&self, point: &Point) -> Option<Point> {
        let follows = |(_, entry): &(&Key, &Entry)| {
            entry.header().parent == point.digest && !entry.is_broken && point.number < entry.header().number
        };
        self.at(point.number.next())
            .filter(follows)
            .min_by_key(|(_, entry)| entry.is_extra)
            .map(|(key, entry)| Point::of(entry.header(), key.1))
    }

    /// The end of the complete chain above `point`.
    pub(crate) fn climb(&self, point: Point) -> Point {
        // Without extras the lane has one bundle per number, so one chain.
        let (mut at, on_chain) = (point, !self.has_extras() && point.number <= self.top.number);
        if on_chain && (point == self.tip || self.entries.contains_key(&(point.number, point.digest))) {
            return self.top;
        }
        while let Some(next) = self.next_above(&at) {
            at = next;
        }
        at
    }

    /// Judges and perhaps keeps a bundle, which is of this lane and epoch.
    pub(crate) fn admit(&mut self, bundle: Arc<Bundle>, limits: &LaneLimits) -> Admission {
        let header = bundle.header.statement;
        let (key, size_bytes) = ((header.number, bundle.digest()), bundle.size_bytes());
        if header.number <= self.tip.number {
            return Admission::Old;
        }
        if self.entries.contains_key(&key) {
            return Admission::Duplicate;
        }
        let contradiction = self.contradiction(&bundle);
        let named = self.named.remove(&key);
        let parent = self.parent(&header);
        let is_broken = match &parent {
            Some(parent) => !parent.is_followed_by(&bundle, size_bytes),
            None => header.number == self.tip.number.next(),
        };
        let is_ordinary = contradiction.is_none() && !is_broken && self.has_room(&header, size_bytes, limits);
        if !is_ordinary && named.is_none() {
            return match contradiction {
                Some(pair) => Admission::Conflict(pair),
                None if is_broken => Admission::BrokenLink,
                None => Admission::OverLimit,
            };
        }
        self.insert(key, Entry { bundle, size_bytes, is_extra: !is_ordinary, is_broken });
        let breaks_child = self.mark_broken_children(Point::of(&header, key.1));
        if let Some(floor) = named.filter(|floor| !is_broken && !breaks_child && floor.holds(&header, size_bytes)) {
            self.name((header.number, key.1), floor);
        }
        self.top = self.climb_from_top();
        Admission::Stored { missing: self.missing_parent(&header, parent.is_some() || is_broken), contradiction }
    }

    /// Keeps a bundle that was kept before a restart, by whichever right.
    pub(crate) fn readmit(&mut self, bundle: Arc<Bundle>, limits: &LaneLimits) {
        let key = (bundle.header.statement.number, bundle.digest());
        let floor = Floor { number: self.tip.number, bytes: 0, cap_bytes: u64::MAX };
        self.named.entry(key).or_insert(floor);
        self.admit(bundle, limits);
        self.named.clear();
    }

    /// Follows the chain that ends in `key` down to `floor`; what is missing first is named from now on.
    pub(crate) fn name(&mut self, key: Key, floor: Floor) -> Option<Key> {
        let missing = self.missing_below(key, floor.number)?;
        let named = self.named.entry(missing).or_insert(floor);
        if floor.number < named.number {
            *named = floor;
        }
        named.cap_bytes = named.cap_bytes.max(floor.cap_bytes);
        Some(missing)
    }

    /// The first bundle not held in the chain that ends in `key`, going down to above `floor`.
    fn missing_below(&self, key: Key, floor: BundleNumber) -> Option<Key> {
        let mut at = key;
        while at.0 > floor {
            match self.entries.get(&at) {
                None => return Some(at),
                Some(entry) if entry.is_broken => return None,
                Some(entry) => at = (at.0.previous()?, entry.header().parent),
            }
        }
        None
    }

    /// The delivered tip moves to `tip`: what lies below is released, and what follows a fork that
    /// lost. The lane's history is what the committed proposal names (architecture §5).
    pub(crate) fn advance(&mut self, tip: Point) {
        let was_one_chain = !self.has_extras();
        let above = self.entries.split_off(&(tip.number.next(), Digest::ZERO));
        self.entries = above;
        let mut lost: BTreeSet<Digest> = BTreeSet::new();
        for ((number, digest), entry) in &self.entries {
            let parent = entry.header().parent;
            if lost.contains(&parent) || (*number == tip.number.next() && parent != tip.digest) {
                lost.insert(*digest);
            }
        }
        self.entries.retain(|(_, digest), _| !lost.contains(digest));
        self.tip = tip;
        self.goal = self.goal.filter(|(number, _)| *number > tip.number);
        self.restored = self.restored.filter(|(number, _)| *number > tip.number);
        self.recount(was_one_chain && lost.is_empty());
    }

    /// Keeps of the extras those that `is_needed` says, and those that are ordinary by now.
    pub(crate) fn settle_extras(&mut self, limits: &LaneLimits, is_needed: impl Fn(&Key) -> bool) {
        let extras: Vec<Key> = self.entries.iter().filter(|(_, entry)| entry.is_extra).map(|(key, _)| *key).collect();
        for key in extras {
            let Some(entry) = self.entries.get(&key) else { continue };
            let is_only = self.at(key.0).count() == 1;
            if is_only && !entry.is_broken && self.has_room(entry.header(), entry.size_bytes, limits) {
                self.held_bytes = self.held_bytes.saturating_add(entry.size_bytes);
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.is_extra = false;
                }
            } else if !is_needed(&key) {
                self.entries.remove(&key);
            }
        }
        self.recount(false);
    }

    /// The bundles that follow the one at `from` in the complete chain, lowest first, within a budget;
    /// at least one if there is any.
    pub(crate) fn above(&self, from: Point, budget_bytes: u64) -> Vec<Arc<Bundle>> {
        let (mut at, mut left, mut found) = (from, budget_bytes, Vec::new());
        while let Some(next) = self.next_above(&at) {
            let Some(entry) = self.entries.get(&(next.number, next.digest)) else { break };
            if entry.size_bytes > left && !found.is_empty() {
                break;
            }
            left = left.saturating_sub(entry.size_bytes);
            found.push(Arc::clone(&entry.bundle));
            at = next;
        }
        found
    }

    fn contradiction(&self, bundle: &Bundle) -> Option<Box<Contradiction>> {
        let (_, first) = self.at(bundle.header.statement.number).min_by_key(|(_, entry)| entry.is_extra)?;
        Some(Box::new(Contradiction::Bundles(first.bundle.header, bundle.header)))
    }

    fn parent(&self, header: &BundleHeader) -> Option<Point> {
        let key = (header.number.previous()?, header.parent);
        if key == (self.tip.number, self.tip.digest) {
            return Some(self.tip);
        }
        self.entries.get(&key).map(|entry| Point::of(entry.header(), key.1))
    }

    fn has_room(&self, header: &BundleHeader, size_bytes: u64, limits: &LaneLimits) -> bool {
        header.cumulative_bytes.saturating_sub(self.tip.cumulative_bytes) <= limits.lane_bytes
            && self.held_bytes.saturating_add(size_bytes) <= limits.lane_bytes
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        if entry.is_extra {
            self.extras += 1;
        } else {
            self.held_bytes = self.held_bytes.saturating_add(entry.size_bytes);
        }
        self.entries.insert(key, entry);
    }

    /// Children that came before their parent are judged now. Returns whether one doesn't follow.
    fn mark_broken_children(&mut self, point: Point) -> bool {
        let mut broke = false;
        for (_, entry) in self.entries.range_mut(keys_of(point.number.next())) {
            let is_child = entry.header().parent == point.digest;
            if is_child && !point.is_followed_by(&entry.bundle, entry.size_bytes) {
                entry.is_broken = true;
                broke = true;
            }
        }
        broke
    }

    fn missing_parent(&self, header: &BundleHeader, is_known: bool) -> Option<Want> {
        if is_known {
            return None;
        }
        let parent = (header.number.previous()?, header.parent);
        let (to, tip) = self.missing_below(parent, self.tip.number)?;
        Some(Want { lane: self.lane, from: self.top.number.next().min(to), to, tip })
    }

    fn climb_from_top(&self) -> Point {
        let mut at = self.top;
        while let Some(next) = self.next_above(&at) {
            at = next;
        }
        at
    }

    /// After entries have gone: sums, and the top, which stays if the chain below it is whole.
    fn recount(&mut self, is_chain_whole: bool) {
        self.extras = self.entries.values().filter(|entry| entry.is_extra).count();
        let ordinary = self.entries.values().filter(|entry| !entry.is_extra);
        self.held_bytes = ordinary.fold(0, |sum, entry| sum.saturating_add(entry.size_bytes));
        if !is_chain_whole || self.top.number <= self.tip.number {
            self.top = self.tip;
        }
        self.top = self.climb_from_top();
    }
}

fn keys_of(number: BundleNumber) -> RangeInclusive<Key> {
    (number, Digest::ZERO)..=(number, Digest::new([u8::MAX; 32]))
}

impl Floor {
    /// Whether a chain with this bundle in it can still be valid by its counts.
    fn holds(&self, header: &BundleHeader, size_bytes: u64) -> bool {
        let below = header.cumulative_bytes.checked_sub(size_bytes);
        header.cumulative_bytes <= self.cap_bytes && below.is_some_and(|below| below >= self.bytes)
    }
}

impl Want {
    /// This want as a request to a peer.
    #[must_use]
    pub const fn request(&self, epoch: Epoch) -> Request {
        Request::Bundles { epoch, lane: self.lane, from: self.from, to: self.to, tip: self.tip }
    }
}
