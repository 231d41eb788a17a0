//! Which lanes wait (protocol §4.1), and the fairness timer of each (protocol §4.3): a lane that others' commits pass over is a reason to
//! complain, also when the primary lets a trickle through.

use std::collections::BTreeMap;

use quorate_types::ids::{BundleNumber, ValidatorIndex};
use quorate_types::parameters::Parameters;

/// What waits in the lanes above the tips that the view's chain has named.
pub type LaneDemand = Vec<LaneWaits>;

/// One lane that waits: this validator holds it complete to a higher number than the chain names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneWaits {
    /// Whose lane.
    pub lane: ValidatorIndex,
    /// The number of its newest complete bundle.
    pub number: BundleNumber,
    /// Bytes that wait up to and with it.
    pub bytes: u64,
    /// Operations that wait up to and with it.
    pub operations: u64,
}

/// What one lane may claim of a proposal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    bytes: u64,
    operations: u64,
}

impl Share {
    /// One of `lanes` equal parts of a whole proposal, in bytes and operations.
    pub(crate) fn of((bytes, operations): (u64, u64), lanes: u64) -> Self {
        Self { bytes: (bytes / lanes.max(1)).max(1), operations: (operations / lanes.max(1)).max(1) }
    }

    /// How many of them what waits makes, begun ones included.
    fn count(self, waits: &LaneWaits) -> u64 {
        waits.bytes.div_ceil(self.bytes).max(waits.operations.div_ceil(self.operations)).max(1)
    }
}

/// What a lane has had to offer for a while, over view changes.
#[derive(Clone, Copy, Debug)]
struct Offered {
    number: BundleNumber,
    since_ms: u64,
    /// Shares of a proposal that waited up to and with it.
    shares: u64,
}

/// A timer, set on the newest bundle that waited when it was set.
#[derive(Clone, Copy, Debug)]
struct Offer {
    number: BundleNumber,
    bytes: u64,
    since_ms: u64,
    commits: u64,
}

/// The timers of all lanes, within one view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fairness {
    offers: BTreeMap<ValidatorIndex, Offer>,
    offered: BTreeMap<ValidatorIndex, Offered>,
}

impl Fairness {
    /// What waits now; `commits` counts the proposals that the view has committed so far.
    pub(crate) fn on_demand(&mut self, demand: &LaneDemand, commits: u64, now_ms: u64, share: Share) {
        self.offers.retain(|lane, _| demand.iter().any(|waits| waits.lane == *lane));
        self.offered.retain(|lane, _| demand.iter().any(|waits| waits.lane == *lane));
        for waits in demand {
            let LaneWaits { lane, number, bytes, .. } = *waits;
            let offer = Offer { number, bytes, since_ms: now_ms, commits };
            self.offers.entry(lane).or_insert(offer);
            let offered = Offered { number, since_ms: now_ms, shares: share.count(waits) };
            self.offered.entry(lane).or_insert(offered);
        }
    }

    /// The view's chain names a lane up to `number`: its timer is set anew by the next demand. Gives since when what
    /// it offered waited, and how many shares of a proposal that was, if all of it is named.
    pub(crate) fn on_named(&mut self, lane: ValidatorIndex, number: BundleNumber) -> Option<(u64, u64)> {
        if self.offers.get(&lane).is_some_and(|offer| offer.number <= number) {
            self.offers.remove(&lane);
        }
        let Offered { since_ms, shares, .. } = self.offered.get(&lane).copied().filter(|o| o.number <= number)?;
        self.offered.remove(&lane);
        Some((since_ms, shares))
    }

    /// Each lane that has something to offer: since when, and how many shares of a proposal it was then.
    pub(crate) fn waits_of_lanes(&self) -> impl Iterator<Item = (ValidatorIndex, u64, u64)> {
        self.offered.iter().map(|(lane, offered)| (*lane, offered.since_ms, offered.shares))
    }

    /// A new view: its primary starts with a clean slate.
    pub(crate) fn reset(&mut self) {
        self.offers.clear();
    }

    /// protocol §4.1: whether a lane waits: it has had something to offer for `offered_ms`, so that the primary
    /// was told of it at least one round trip ago. A lane that talks to others than the primary makes nobody
    /// complain before the primary could know.
    pub(crate) fn waits(&self, now_ms: u64, offered_ms: u64) -> bool {
        self.offered.values().any(|offered| now_ms.saturating_sub(offered.since_ms) >= offered_ms)
    }

    /// The time at which the first timer would run out, if the view goes on committing, with `factor` for
    /// self-doubt.
    pub(crate) fn deadline_ms(
        &self,
        parameters: &Parameters,
        validators: usize,
        commits: u64,
        factor: u64,
    ) -> Option<u64> {
        self.next_due(parameters, validators, commits, factor).map(|(due_ms, ..)| due_ms)
    }

    /// As above, with the lane and the bundle whose timer it is.
    pub(crate) fn next_due(
        &self,
        parameters: &Parameters,
        validators: usize,
        commits: u64,
        factor: u64,
    ) -> Option<(u64, ValidatorIndex, BundleNumber)> {
        let runs = self.offers.iter().filter(|(_, offer)| commits >= offer.commits.saturating_add(2));
        let due = runs.map(|(lane, offer)| {
            let patience_ms = patience_ms(offer, parameters, validators).saturating_mul(factor);
            (offer.since_ms.saturating_add(patience_ms), *lane, offer.number)
        });
        due.min()
    }
}

/// `T_fair · ⌈b / (max_proposal_bytes / n)⌉`.
fn patience_ms(offer: &Offer, parameters: &Parameters, validators: usize) -> u64 {
    let share = (u64::from(parameters.max_proposal_bytes) / (validators as u64).max(1)).max(1);
    u64::from(parameters.fairness_ms).saturating_mul(offer.bytes.div_ceil(share).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        Parameters { fairness_ms: 1_000, max_proposal_bytes: 4_000, ..Parameters::default() }
    }

    fn demand(lane: u16, number: u64, bytes: u64) -> LaneWaits {
        LaneWaits { lane: ValidatorIndex(lane), number: BundleNumber(number), bytes, operations: 1 }
    }

    fn share() -> Share {
        Share::of((4_000, 40), 4)
    }

    /// protocol §4.11: what may wait longer is what makes more than one share, by bytes or by operations.
    #[test]
    fn shares_are_counted_by_bytes_and_by_operations() {
        let waits = |bytes, operations| LaneWaits { operations, ..demand(1, 1, bytes) };
        assert_eq!(share().count(&waits(1, 1)), 1);
        assert_eq!(share().count(&waits(1_001, 10)), 2);
        assert_eq!(share().count(&waits(1, 31)), 4);
    }

    /// protocol §4.3
    #[test]
    fn a_lane_passed_over_while_two_proposals_commit_runs_out() {
        let mut fairness = Fairness::default();
        fairness.on_demand(&vec![demand(2, 5, 2_500)], 10, 100, share());
        assert_eq!(fairness.deadline_ms(&parameters(), 4, 11, 1), None, "one commit proves nothing");
        assert_eq!(fairness.deadline_ms(&parameters(), 4, 12, 1), Some(3_100), "three shares wait");
    }

    /// protocol §4.3: a trickle is censorship too.
    #[test]
    fn naming_an_older_bundle_does_not_stop_the_timer() {
        let mut fairness = Fairness::default();
        fairness.on_demand(&vec![demand(2, 5, 10)], 0, 0, share());
        fairness.on_named(ValidatorIndex(2), BundleNumber(4));
        fairness.on_demand(&vec![demand(2, 9, 10)], 3, 500, share());
        assert_eq!(fairness.deadline_ms(&parameters(), 4, 3, 1), Some(1_000));
        fairness.on_named(ValidatorIndex(2), BundleNumber(5));
        fairness.on_demand(&vec![demand(2, 9, 10)], 3, 600, share());
        assert_eq!(fairness.deadline_ms(&parameters(), 4, 5, 1), Some(1_600));
    }
}
