//! How long to wait: `timeout = base · 2^k`, capped (protocol §4.9).
//!
//! `base` follows the trimmed median of measured vote round trips, within configured bounds: a median over
//! validators, which no single one, the primary least of all, can raise. `k` rises with every view left
//! without a commit and falls with every view left in which one was seen, so that a cluster that has just
//! healed doesn't wait as long as it did while broken.

use std::collections::BTreeMap;

use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::parameters::Parameters;

/// How many round trips make a timeout's base: a commit takes three message delays and syncs.
const ROUND_TRIPS_PER_BASE: u64 = 10;
/// A new sample moves the estimate by 1/8 (the weight that TCP uses, RFC 6298 §2).
const SAMPLE_WEIGHT: u64 = 8;
/// The most prepare votes remembered for measuring.
const MAX_PENDING: usize = 64;
/// `k` never grows beyond what any cap needs.
const MAX_EXPONENT: u32 = 16;

/// The state of the timeout.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    exponent: u32,
    base_ms: u64,
    floor_ms: u64,
    ceiling_ms: u64,
    cap_ms: u64,
    pending: BTreeMap<(View, Sequence), u64>,
    round_trips: BTreeMap<ValidatorIndex, u64>,
    progress_since_ms: Option<u64>,
}

impl Timeouts {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self {
            exponent: 0,
            base_ms: u64::from(parameters.timeout_base_ms),
            floor_ms: u64::from(parameters.timeout_base_min_ms),
            ceiling_ms: u64::from(parameters.timeout_base_max_ms),
            cap_ms: u64::from(parameters.timeout_cap_ms),
            pending: BTreeMap::new(),
            round_trips: BTreeMap::new(),
            progress_since_ms: None,
        }
    }

    /// The timeout in force, in milliseconds.
    pub(crate) fn current_ms(&self) -> u64 {
        self.base_ms.saturating_mul(1 << self.exponent).min(self.cap_ms)
    }

    /// A view is left (protocol §4.9, "k rises by one with every view left without …").
    pub(crate) fn on_view_left(&mut self, saw_commit: bool, was_active_and_idle: bool) {
        self.pending.clear();
        self.progress_since_ms = None;
        if saw_commit {
            if cfg!(mutant = "backoff-reset-by-any-commit") {
                self.exponent = 0;
            }
            self.exponent = self.exponent.saturating_sub(1);
        } else if !was_active_and_idle {
            self.exponent = (self.exponent + 1).min(MAX_EXPONENT);
        }
    }

    /// About one round trip, as far as it has been measured.
    pub(crate) const fn round_trip_ms(&self) -> u64 {
        self.base_ms / ROUND_TRIPS_PER_BASE
    }

    /// Something committed in the active view: `k` falls by one per timeout cap (`T_k`) of progress.
    pub(crate) fn on_commit(&mut self, now_ms: u64) {
        let since = *self.progress_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) >= self.cap_ms {
            self.exponent = self.exponent.saturating_sub(1);
            self.progress_since_ms = Some(now_ms);
        }
    }

    /// This validator voted prepare: round trips are measured from here.
    pub(crate) fn on_prepare_sent(&mut self, view: View, sequence: Sequence, now_ms: u64) {
        self.pending.insert((view, sequence), now_ms);
        if self.pending.len() > MAX_PENDING {
            self.pending.pop_first();
        }
    }

    /// Another validator's commit vote came back for a slot that this one prepared.
    pub(crate) fn on_commit_vote(&mut self, from: ValidatorIndex, slot: (View, Sequence), now_ms: u64, quorum: usize) {
        let Some(sent) = self.pending.get(&slot) else { return };
        let sample = now_ms.saturating_sub(*sent);
        let estimate = self.round_trips.entry(from).or_insert(sample);
        *estimate = (estimate.saturating_mul(SAMPLE_WEIGHT - 1).saturating_add(sample)) / SAMPLE_WEIGHT;
        // A base from fewer than a quorum's round trips would follow a few fast or slow links.
        if self.round_trips.len() + 1 < quorum {
            return;
        }
        let mut sorted: Vec<u64> = self.round_trips.values().copied().collect();
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        self.base_ms =
            median.saturating_mul(ROUND_TRIPS_PER_BASE).clamp(self.floor_ms, self.ceiling_ms.max(self.floor_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts() -> Timeouts {
        Timeouts::new(&Parameters {
            timeout_base_ms: 1_000,
            timeout_base_min_ms: 200,
            timeout_cap_ms: 60_000,
            ..Parameters::default()
        })
    }

    /// protocol §4.9
    #[test]
    fn the_timeout_doubles_per_fruitless_view_up_to_the_cap() {
        let mut timeouts = timeouts();
        timeouts.on_view_left(false, false);
        assert_eq!(timeouts.current_ms(), 2_000);
        for _ in 0..100 {
            timeouts.on_view_left(false, false);
        }
        assert_eq!(timeouts.current_ms(), 60_000);
    }

    /// protocol §4.9: by one, not back to the start; "`k` reset by any commit" is a wrong variant.
    #[test]
    fn a_view_with_a_commit_takes_back_one_doubling_only() {
        let mut timeouts = timeouts();
        for _ in 0..3 {
            timeouts.on_view_left(false, false);
        }
        timeouts.on_view_left(true, false);
        assert_eq!(timeouts.current_ms(), 4_000);
        timeouts.on_view_left(false, true);
        assert_eq!(timeouts.current_ms(), 4_000, "active and idle changes nothing");
    }

    /// protocol §4.9: the trimmed median of pairs, not this primary's own latency.
    #[test]
    fn one_slow_or_fast_peer_does_not_move_the_base() {
        let mut timeouts = timeouts();
        for sequence in 1..=200u64 {
            let slot = (View(0), Sequence(sequence));
            timeouts.on_prepare_sent(slot.0, slot.1, 0);
            timeouts.on_commit_vote(ValidatorIndex(0), slot, 50, 3);
            timeouts.on_commit_vote(ValidatorIndex(1), slot, 60, 3);
            timeouts.on_commit_vote(ValidatorIndex(2), slot, 1_000_000, 3);
        }
        assert!(timeouts.current_ms() <= 650, "{}", timeouts.current_ms());
    }
}
