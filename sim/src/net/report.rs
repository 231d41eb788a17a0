//! What a run of real nodes showed.

use std::collections::BTreeMap;

use quorate_crypto::Digest;

use crate::world::Verdict;

/// A finished run of the net level.
#[derive(Clone, Debug)]
pub struct NetReport {
    /// How it ended.
    pub verdict: Verdict,
    /// When it ended.
    pub virtual_ms: u64,
    /// Messages that went into replicas.
    pub deliveries: u64,
    /// Turns of all nodes.
    pub turns: u64,
    /// The rolling hash of all events.
    pub hash: Digest,
    /// What was reached, by name.
    pub reached: BTreeMap<&'static str, u64>,
    /// The story, if it was told.
    pub story: Vec<String>,
}

impl NetReport {
    /// A run of which nothing but its end is known.
    pub(super) const fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            virtual_ms: 0,
            deliveries: 0,
            turns: 0,
            hash: Digest::ZERO,
            reached: BTreeMap::new(),
            story: Vec::new(),
        }
    }
}
