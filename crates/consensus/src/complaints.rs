//! Complaints about the current view, this validator's own and the others' (protocol §§4.6–4.8).
//!
//! Own side: which causes hold, since when, and how far self-doubt has stretched each kind of timer.
//! Others' side: the newest complaint per sender, and how many count together.

use std::collections::{BTreeMap, BTreeSet};

use quorate_types::ids::{BlockTime, ValidatorIndex, View};
use quorate_types::signed::Signed;
use quorate_types::view_change::Complaint;

use crate::effect::Cause;

/// Self-doubt stretches a timer at most so much.
const MAX_DOUBT: u64 = 64;
/// Doubt is halved per hour without a lone complaint.
const DOUBT_HALVED_AFTER_MS: u64 = 3_600_000;

/// What is known of complaints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaints {
    newest: BTreeMap<ValidatorIndex, Signed<Complaint>>,
    causes: BTreeMap<Cause, Holding>,
    doubt: BTreeMap<Cause, (u64, u64)>,
}

/// Since when a cause holds, or was last judged, and how many proposals the view had committed by then.
#[derive(Clone, Copy, Debug)]
struct Holding {
    since_ms: u64,
    commits: u64,
}

impl Complaints {
    /// Keeps a sender's complaint if it is its newest (by view, then time).
    pub(crate) fn insert(&mut self, complaint: Signed<Complaint>) -> bool {
        let key = |complaint: &Signed<Complaint>| (complaint.statement.view, complaint.statement.time);
        let sender = complaint.signer();
        if self.newest.get(&sender).is_some_and(|held| key(held) >= key(&complaint)) {
            return false;
        }
        self.newest.insert(sender, complaint);
        true
    }

    /// The newest complaint of a validator.
    pub(crate) fn of(&self, validator: ValidatorIndex) -> Option<&Signed<Complaint>> {
        self.newest.get(&validator)
    }

    /// A sender no longer complains about `view`, or about one below.
    pub(crate) fn withdraw(&mut self, sender: ValidatorIndex, view: View) {
        if self.newest.get(&sender).is_some_and(|complaint| complaint.statement.view <= view) {
            self.newest.remove(&sender);
        }
    }

    /// All newest complaints.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Signed<Complaint>> {
        self.newest.values()
    }

    /// The validators whose complaints about `view` count together with `others`, who have left it already:
    /// times within `spread_ms` of each other, none more than that below `own` (protocol §4.7). The largest
    /// such set.
    pub(crate) fn counting(
        &self,
        view: View,
        own: BlockTime,
        spread_ms: u64,
        others: &BTreeSet<ValidatorIndex>,
    ) -> BTreeSet<ValidatorIndex> {
        let about = |complaint: &&Signed<Complaint>| {
            let Complaint { view: v, time, .. } = complaint.statement;
            v == view && time.0.saturating_add(spread_ms) >= own.0
        };
        let mut timed: Vec<_> =
            self.newest.values().filter(about).map(|c| (c.statement.time.0, c.statement.validator)).collect();
        timed.sort_unstable();
        let mut best = others.clone();
        for (at, (earliest, _)) in timed.iter().enumerate() {
            let within = timed[at..].iter().take_while(|(time, _)| time.saturating_sub(*earliest) <= spread_ms);
            let set: BTreeSet<_> = within.map(|(_, validator)| *validator).chain(others.iter().copied()).collect();
            if set.len() > best.len() {
                best = set;
            }
        }
        best
    }

    /// A cause holds; `commits` counts the proposals that the view has committed so far. True if it is new.
    pub(crate) fn set_cause(&mut self, cause: Cause, now_ms: u64, commits: u64) -> bool {
        let is_new = !self.causes.contains_key(&cause);
        self.causes.entry(cause).or_insert(Holding { since_ms: now_ms, commits });
        is_new
    }

    /// A cause doesn't hold any more.
    pub(crate) fn clear_cause(&mut self, cause: Cause) {
        self.causes.remove(&cause);
    }

    /// Whether this validator complains.
    pub(crate) fn any_cause(&self) -> bool {
        !self.causes.is_empty()
    }

    /// No cause holds any more: a new view, or progress.
    pub(crate) fn clear_causes(&mut self) {
        self.causes.clear();
    }

    /// Whether a cause holds.
    pub(crate) fn holds(&self, cause: Cause) -> bool {
        self.causes.contains_key(&cause)
    }

    /// protocol §4.8: the causes that have held for `grace_ms`, time enough for others to have complained too,
    /// while the view went on committing: if this validator is alone with them, it doubts itself. Each is
    /// judged anew after another such time.
    pub(crate) fn doubt_held(&mut self, now_ms: u64, commits: u64, grace_ms: u64) {
        let is_due = |held: &Holding| now_ms.saturating_sub(held.since_ms) >= grace_ms && commits > held.commits;
        // A rotation says nothing against the view, so nothing against whoever asks for it.
        let judged = self.causes.iter().filter(|(cause, _)| **cause != Cause::Rotation);
        let due: Vec<Cause> = judged.filter(|(_, held)| is_due(held)).map(|(cause, _)| *cause).collect();
        for cause in due {
            self.doubt(cause, now_ms);
            self.causes.insert(cause, Holding { since_ms: now_ms, commits });
        }
    }

    /// How much a kind of timer is stretched.
    pub(crate) fn factor(&self, cause: Cause) -> u64 {
        self.doubt.get(&cause).map_or(1, |(factor, _)| *factor)
    }

    /// How much the kind of timer stretched most is stretched.
    pub(crate) fn most_doubt(&self) -> u64 {
        self.doubt.values().map(|(factor, _)| *factor).max().unwrap_or(1)
    }

    /// This validator complained alone while the view went on committing: it doubts itself.
    pub(crate) fn doubt(&mut self, cause: Cause, now_ms: u64) {
        let factor = self.factor(cause).saturating_mul(2).min(MAX_DOUBT);
        self.doubt.insert(cause, (factor, now_ms));
    }

    /// Halves doubt that is an hour old.
    pub(crate) fn settle(&mut self, now_ms: u64) {
        for (factor, since) in self.doubt.values_mut() {
            if now_ms.saturating_sub(*since) >= DOUBT_HALVED_AFTER_MS {
                (*factor, *since) = (*factor / 2, now_ms);
            }
        }
        self.doubt.retain(|_, (factor, _)| *factor > 1);
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Signature;
    use quorate_types::ids::Epoch;

    use super::*;

    fn complaint(validator: u16, view: u64, time: u64) -> Signed<Complaint> {
        let statement = Complaint {
            epoch: Epoch(0),
            view: View(view),
            time: BlockTime(time),
            validator: ValidatorIndex(validator),
        };
        Signed { statement, signature: Signature::from_bytes([0; 64]) }
    }

    /// protocol §4.7: the life of a complaint.
    #[test]
    fn stale_and_scattered_complaints_do_not_count_together() {
        let mut complaints = Complaints::default();
        complaints.insert(complaint(0, 3, 1_000));
        complaints.insert(complaint(1, 3, 5_000));
        complaints.insert(complaint(2, 3, 5_500));
        complaints.insert(complaint(3, 2, 5_500));
        let none = BTreeSet::new();
        let count = |own: u64, spread| complaints.counting(View(3), BlockTime(own), spread, &none).len();
        assert_eq!(count(1_000, 1_000), 2, "too far apart");
        assert_eq!(count(6_400, 1_000), 1, "one is too old for the receiver");
        assert_eq!(count(1_000, 10_000), 3);
    }

    /// protocol §4.7: of each sender the newest counts.
    #[test]
    fn an_older_complaint_displaces_nothing() {
        let mut complaints = Complaints::default();
        assert!(complaints.insert(complaint(0, 3, 1_000)));
        assert!(!complaints.insert(complaint(0, 2, 9_000)));
        assert!(!complaints.insert(complaint(0, 3, 1_000)));
        assert!(complaints.insert(complaint(0, 3, 1_001)));
    }

    /// protocol §4.8: up to 64 times, halved in each quiet hour.
    #[test]
    fn doubt_doubles_to_a_bound_and_fades() {
        let mut complaints = Complaints::default();
        for _ in 0..20 {
            complaints.doubt(Cause::Progress, 0);
        }
        assert_eq!(complaints.factor(Cause::Progress), 64);
        complaints.settle(3_600_000);
        assert_eq!(complaints.factor(Cause::Progress), 32);
        assert_eq!(complaints.factor(Cause::Fairness), 1);
    }
}
