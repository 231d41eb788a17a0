//! A primary that is slow, though not slow enough for a timeout (protocol §4.11), and the scheduled rotation
//! (protocol §4.12). Reasons to leave a view, never to doubt what it ordered.
//!
//! What is measured is the time in which lanes wait longer than they may. A wait is judged against the round trips of
//! votes and against what the *other* primaries achieved, never against this one's own past: one that grows slower
//! by little and little doesn't move its own bound. Late time runs up a debt, which time as such pays off at the
//! share that is allowed; so a primary that is slow now and then pays for it like one that is always a little slow.

use std::collections::BTreeMap;

use quorate_types::ids::{ValidatorIndex, View};

use crate::config::Now;
use crate::core::Core;
use crate::effect::Cause;

/// A wait may take so many round trips of votes: bundle, proposal, and the commit of what is in flight before it
/// take two to three.
const ROUND_TRIPS_ALLOWED: u64 = 4;
/// A wait may take so many times what others achieve.
const TIMES_OTHERS: u64 = 3;
/// So many timeouts of late time are borne before a primary counts as slow.
const TIMEOUTS_BORNE: u64 = 2;
/// A new wait moves what a primary achieved by 1/8 (as for round trips, see `timeouts`).
const SAMPLE_WEIGHT: u64 = 8;
/// The allowance is doubled so often at most.
const MAX_EXPONENT: u32 = 16;

/// The account of one view, and what was learned in those before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    /// From when on a lane waits longer than it may, as things stand; it may lie ahead.
    late_from_ms: Option<u64>,
    /// Up to when late time is counted.
    counted_ms: u64,
    /// Late time that isn't paid off, in hundredths of a millisecond.
    debt: u64,
    /// The debt reached what is borne, and hasn't fallen below half of it since.
    is_slow: bool,
    /// Doublings of the allowance: one for each view left for slowness, one less for each calm `T_k`.
    exponent: u32,
    /// Since when there is no debt.
    calm_since_ms: u64,
    /// The typical wait under each primary, for one share of a proposal.
    achieved_ms: BTreeMap<ValidatorIndex, u64>,
    /// The longest wait that was late in this view.
    longest_ms: u64,
}

/// How slow a primary is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowness {
    /// Its view.
    pub view: View,
    /// The longest late wait in it.
    pub longest_ms: u64,
    /// How long a wait for one share of a proposal may take.
    pub allowed_ms: u64,
}

impl Pace {
    /// Counts the time since the last call.
    fn count(&mut self, now_ms: u64, percent: u64, borne: u64, calm_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.counted_ms);
        let late = self.late_from_ms.map(|from_ms| now_ms.saturating_sub(from_ms.max(self.counted_ms)));
        let late_ms = late.unwrap_or(0);
        self.counted_ms = self.counted_ms.max(now_ms);
        self.debt = self
            .debt
            .saturating_add(late_ms.saturating_mul(100))
            .saturating_sub(elapsed_ms.saturating_mul(percent))
            .min(borne.saturating_mul(2));
        self.is_slow = self.debt >= if self.is_slow { borne / 2 } else { borne };
        if self.debt > 0 {
            self.calm_since_ms = now_ms;
        } else if now_ms.saturating_sub(self.calm_since_ms) >= calm_ms {
            self.exponent = self.exponent.saturating_sub(1);
            self.calm_since_ms = now_ms;
        }
    }

    /// A lane's wait has ended under `primary`.
    fn on_wait(&mut self, primary: ValidatorIndex, waited_ms: u64, shares: u64) {
        let sample = waited_ms / shares.max(1);
        let achieved = self.achieved_ms.entry(primary).or_insert(sample);
        *achieved = (achieved.saturating_mul(SAMPLE_WEIGHT - 1).saturating_add(sample)) / SAMPLE_WEIGHT;
    }

    /// The median of what others than `primary` achieved, the `faulty` highest left out; `None` while nobody
    /// correct needs be among them.
    fn usual_ms(&self, primary: ValidatorIndex, faulty: usize) -> Option<u64> {
        let is_other = |other: &ValidatorIndex| *other != primary || cfg!(mutant = "slow-against-its-own-past");
        let others = self.achieved_ms.iter().filter(|(other, _)| is_other(other));
        let mut figures: Vec<u64> = others.map(|(_, achieved)| *achieved).collect();
        figures.sort_unstable();
        let kept = if cfg!(mutant = "slow-against-its-own-past") {
            figures.len()
        } else {
            figures.len().saturating_sub(faulty)
        };
        (kept > 0).then(|| figures[(kept - 1) / 2])
    }

    /// A view is left.
    pub(crate) fn on_view_left(&mut self, now_ms: u64) {
        if self.is_slow {
            self.exponent = (self.exponent + 1).min(MAX_EXPONENT);
        }
        self.late_from_ms = None;
        self.debt = 0;
        self.is_slow = false;
        self.longest_ms = 0;
        self.counted_ms = now_ms;
        self.calm_since_ms = now_ms;
    }
}

impl Core {
    /// How long one share of a proposal may wait under this primary (protocol §4.11).
    pub(crate) fn allowed_wait_ms(&self) -> u64 {
        let by_links = self.timeouts.round_trip_ms().saturating_mul(ROUND_TRIPS_ALLOWED);
        let usual_ms = self.pace.usual_ms(self.primary(), self.config.quorum.faulty()).unwrap_or(0);
        let by_others = usual_ms.saturating_mul(TIMES_OTHERS);
        let cap_ms = u64::from(self.config.parameters.timeout_cap_ms);
        by_links.max(by_others).saturating_mul(1 << self.pace.exponent).min(cap_ms)
    }

    /// Late time that is borne before the primary counts as slow, in hundredths of a millisecond.
    fn borne(&self) -> u64 {
        let factor = self.complaints.factor(Cause::SlowPrimary);
        self.timeouts.current_ms().saturating_mul(TIMEOUTS_BORNE * 100).saturating_mul(factor)
    }

    /// Counts late time up to now: before anything changes what is late.
    pub(crate) fn count_late_time(&mut self, now: Now) {
        let (percent, borne) = (u64::from(self.config.parameters.late_percent), self.borne());
        self.pace.count(now.monotonic_ms, percent, borne, u64::from(self.config.parameters.timeout_cap_ms));
    }

    /// From when on lanes wait longer than they may, after something changed.
    pub(crate) fn watch_waits(&mut self, now: Now) {
        let counts = self.reign.active && self.primary() != self.config.me && !self.waits_for_execution();
        let late_from_ms = if counts { self.late_from_ms() } else { None };
        self.pace.late_from_ms = late_from_ms;
        if let Some(from_ms) = late_from_ms.filter(|from_ms| *from_ms < now.monotonic_ms) {
            let waited_ms = now.monotonic_ms.saturating_sub(from_ms).saturating_add(self.allowed_wait_ms());
            self.pace.longest_ms = self.pace.longest_ms.max(waited_ms);
        }
    }

    /// The own lane's bundles went to the primary when they were made, and of more than `f` lanes that wait, one's
    /// owner is correct and did the same. A single other lane may talk to all but the primary: it counts once the
    /// primary can know of it by `Status`.
    fn late_from_ms(&self) -> Option<u64> {
        let allowed_ms = self.allowed_wait_ms();
        let due = |shares: u64, since_ms: u64| {
            since_ms.max(self.reign.entered_ms).saturating_add(allowed_ms.saturating_mul(shares))
        };
        let mut dues: Vec<u64> = Vec::new();
        let mut own = None;
        for (lane, since_ms, shares) in self.fairness.waits_of_lanes() {
            let due_ms = due(shares, since_ms);
            dues.push(due_ms);
            if lane == self.config.me {
                own = Some(due_ms);
            }
        }
        dues.sort_unstable();
        let by_many = dues.get(self.config.quorum.faulty()).copied();
        let told_ms = u64::from(self.config.parameters.status_interval_ms);
        let by_one = dues.first().map(|due_ms| due_ms.saturating_add(told_ms));
        [own, by_many, by_one].into_iter().flatten().min()
    }

    /// A proposal names a lane up to `number`: what waited does so no longer (protocol §§4.1, 4.3, 4.11).
    pub(crate) fn on_lane_named(&mut self, now: Now, tip: &quorate_types::proposal::LaneTip) {
        let primary = self.primary();
        if let Some((since_ms, shares)) = self.fairness.on_named(tip.lane, tip.number) {
            let waited_ms = now.monotonic_ms.saturating_sub(since_ms.max(self.reign.entered_ms));
            self.pace.on_wait(primary, waited_ms, shares);
        }
        self.watch_waits(now);
    }

    /// Late time that isn't paid off, in milliseconds.
    pub(crate) const fn late_debt_ms(&self) -> u64 {
        self.pace.debt / 100
    }

    /// Whether the primary is slow.
    pub(crate) fn is_primary_slow(&self) -> bool {
        self.pace.is_slow && self.config.parameters.late_percent < 100
    }

    /// When the primary will be slow, if what is late stays so.
    pub(crate) fn slow_at_ms(&self) -> Option<u64> {
        let from_ms = self.pace.late_from_ms?;
        let gains = 100_u64.saturating_sub(u64::from(self.config.parameters.late_percent));
        let left = self.borne().saturating_sub(self.pace.debt);
        (gains > 0).then(|| from_ms.max(self.pace.counted_ms).saturating_add(left.div_ceil(gains)))
    }

    /// protocol §4.12: when this view is to be left although nothing is wrong with it. An idle one stays.
    pub(crate) fn rotates_at_ms(&self) -> Option<u64> {
        let after_ms = u64::from(self.config.parameters.rotation_ms);
        let is_used = self.reign.active && self.reign.commits > 0;
        (after_ms > 0 && is_used).then(|| self.reign.entered_ms.saturating_add(after_ms))
    }

    /// How slow the primary is, for people; `None` while it isn't.
    #[must_use]
    pub fn slowness(&self) -> Option<Slowness> {
        let slowness =
            || Slowness { view: self.reign.view, longest_ms: self.pace.longest_ms, allowed_ms: self.allowed_wait_ms() };
        self.is_primary_slow().then(slowness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(steps: &[(u64, Option<u64>)]) -> Pace {
        let mut pace = Pace::default();
        for (now_ms, late_from_ms) in steps {
            pace.count(*now_ms, 10, 10_000, 1_000);
            pace.late_from_ms = *late_from_ms;
        }
        pace
    }

    /// protocol §4.11: late time is counted from when a lane is late, and all time pays off its share.
    #[test]
    fn late_time_runs_up_a_debt_that_time_pays_off() {
        let late = after(&[(0, Some(50)), (150, None), (150, None)]);
        assert_eq!(late.debt, 100 * 100 - 150 * 10);
        let paid = after(&[(0, Some(50)), (150, None), (1_000, None)]);
        assert_eq!((paid.debt, paid.is_slow), (0, false));
    }

    /// protocol §4.11: slow now and then is slow, if it is more than the share allowed.
    #[test]
    fn short_spells_add_up_and_rare_ones_do_not() {
        let spells = |every_ms: u64| {
            let mut pace = Pace::default();
            for spell in 0..100 {
                let begins_ms = spell * every_ms;
                pace.count(begins_ms, 10, 10_000, 1_000_000);
                pace.late_from_ms = Some(begins_ms);
                pace.count(begins_ms + 20, 10, 10_000, 1_000_000);
                pace.late_from_ms = None;
            }
            pace.is_slow
        };
        assert!(spells(100), "a fifth of the time");
        assert!(!spells(250), "less than a tenth");
    }

    /// protocol §4.11: what is left of the debt holds the cause until half of it is paid.
    #[test]
    fn slowness_has_hysteresis_and_a_bounded_debt() {
        let mut pace = after(&[(0, Some(0)), (10_000, None)]);
        pace.count(10_000, 10, 10_000, 1_000);
        assert_eq!((pace.debt, pace.is_slow), (20_000, true), "twice what is borne, however long it was late");
        pace.count(11_400, 10, 10_000, 1_000);
        assert_eq!((pace.debt, pace.is_slow), (6_000, true));
        pace.count(11_600, 10, 10_000, 1_000);
        assert!(!pace.is_slow);
    }

    /// protocol §4.11: the median of what others achieved; of `f` liars among them none moves it.
    #[test]
    fn what_is_usual_is_what_correct_others_achieved() {
        let mut pace = Pace::default();
        let primary = ValidatorIndex(0);
        pace.on_wait(primary, 900, 1);
        assert_eq!(pace.usual_ms(primary, 1), None, "its own past counts for nothing");
        pace.on_wait(ValidatorIndex(1), 5_000, 1);
        assert_eq!(pace.usual_ms(primary, 1), None, "one other may be a liar");
        pace.on_wait(ValidatorIndex(2), 30, 3);
        assert_eq!(pace.usual_ms(primary, 1), Some(10));
        pace.on_wait(ValidatorIndex(3), 20, 1);
        assert_eq!(pace.usual_ms(primary, 1), Some(10));
    }

    /// protocol §4.11: a network that got slower makes everyone patient after some views, and calm takes it back.
    #[test]
    fn each_view_left_for_slowness_doubles_the_allowance_and_calm_takes_it_back() {
        let mut pace = after(&[(0, Some(0)), (10_000, Some(0))]);
        pace.on_view_left(10_000);
        assert_eq!((pace.exponent, pace.debt, pace.is_slow), (1, 0, false));
        pace.on_view_left(10_001);
        assert_eq!(pace.exponent, 1, "left for another reason");
        pace.count(11_001, 10, 10_000, 1_000);
        assert_eq!(pace.exponent, 0);
    }
}
