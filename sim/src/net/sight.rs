//! What is seen of a run: every fact passes here, in one order, into the invariants and the hash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use quorate_types::ids::OperationId;

use crate::byzantine::Troupe;
use crate::world::invariants::{Fact, Observer, Place};
use crate::world::{RollingHash, Said, Verdict, Workload};

/// Everything that is known of the nodes of one run.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) observer: Observer,
    pub(super) hash: RollingHash,
    /// The first property that didn't hold.
    pub(super) verdict: Option<Verdict>,
    /// Where each validator stood after its last turn, and whether it signs, in words.
    pub(super) places: Vec<Place>,
    pub(super) standings: Vec<String>,
    /// Nodes that have ended by themselves, with the reason.
    pub(super) ended: Vec<Option<String>>,
    /// Who runs.
    pub(super) up: BTreeSet<u16>,
    /// Who must heal and serve, once the liveness phase has begun.
    pub(super) core: Option<BTreeSet<u16>>,
    pub(super) workload: Workload,
    pub(super) troupe: Troupe,
    /// Kinds of messages that are lost, with sender and receiver.
    pub(super) dropped: Vec<(String, Option<u16>, Option<u16>)>,
    pub(super) reached: BTreeMap<&'static str, u64>,
    pub(super) deliveries: u64,
    /// What was delivered lately.
    pub(super) said: Said,
    pub(super) turns: u64,
    pub(super) now_us: u64,
    /// The story, where it is told.
    pub(super) story: Option<Vec<String>>,
}

impl Sight {
    pub(super) fn new(observer: Observer, (workload, troupe): (Workload, Troupe), size: u16, tells: bool) -> Self {
        let size = usize::from(size);
        Self {
            observer,
            hash: RollingHash::default(),
            verdict: None,
            places: vec![Place::default(); size],
            standings: vec![String::new(); size],
            ended: vec![None; size],
            up: BTreeSet::new(),
            core: None,
            workload,
            troupe,
            dropped: Vec::new(),
            reached: BTreeMap::new(),
            deliveries: 0,
            said: Said::default(),
            turns: 0,
            now_us: 0,
            story: tells.then(Vec::new),
        }
    }

    /// Takes a fact in; the first violation ends the run.
    pub(super) fn see(&mut self, fact: Fact<'_>) {
        if self.verdict.is_none()
            && let Err(violation) = self.observer.see(fact)
        {
            self.verdict = Some(Verdict::Unsafe(violation));
        }
    }

    /// An event that the hash covers.
    pub(super) fn note(&mut self, kind: &str, who: u16, bytes: &[u8]) {
        self.hash.add(self.now_us, kind, who, bytes);
    }

    /// A rare branch was reached.
    pub(super) fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// A line of the story.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let line: String = line().chars().take(400).collect();
            story.push(format!("{:>10.3} ms  {line}", self.now_us as f64 / 1_000.0));
        }
    }

    pub(super) fn is_byzantine(&self, who: u16) -> bool {
        self.observer.scene().byzantine.contains(&who)
    }

    /// Whom clients may turn to now: one, or two at once.
    pub(super) fn gateways(&mut self) -> Vec<u16> {
        let serves = |who: &u16| self.core.as_ref().is_none_or(|core| core.contains(who));
        let up: Vec<u16> = self.up.iter().copied().filter(serves).collect();
        self.workload.gateways(&up)
    }

    pub(super) fn is_pending(&self, id: &OperationId) -> bool {
        self.workload.pending().contains_key(id)
    }

    /// Whether a message of this kind is lost on this way.
    pub(super) fn is_dropped(&self, kind: &str, from: u16, to: u16) -> bool {
        self.dropped.iter().any(|(dropped, sender, receiver)| {
            dropped == kind && sender.is_none_or(|s| s == from) && receiver.is_none_or(|r| r == to)
        })
    }
}

/// The sight of a run, as its parts share it.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Sight>>);

impl Shared {
    pub(super) fn new(sight: Sight) -> Self {
        Self(Arc::new(Mutex::new(sight)))
    }

    /// A look; never across an `await`.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Sight) -> T) -> T {
        let mut sight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(elapsed) = turmoil::in_simulation().then(turmoil::sim_elapsed).flatten() {
            sight.now_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        }
        look(&mut sight)
    }
}
