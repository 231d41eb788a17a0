//! What this core has seen of how others behave: for suspicion, which decides nothing here (accountability §6.7).

use std::collections::{BTreeMap, BTreeSet};

use quorate_types::ids::{BundleNumber, Sequence, ValidatorIndex, View};
use quorate_types::message::Voters;
use quorate_types::signed::Signed;
use quorate_types::vote::Vote;

use crate::config::Now;
use crate::core::Core;
use crate::effect::Cause;

/// What was counted since it was last taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    /// Sequences of which a quorum's votes were seen, and in how many each validator's were not.
    looked_at: u64,
    absent: BTreeMap<ValidatorIndex, u64>,
    /// How the last view's primary was slow when the view was left: by this validator's own timers, whoever complained
    /// first.
    left_slow: Option<LeftSlow>,
    /// Questions for stretches of the chain that were left open, by whom.
    unanswered: BTreeMap<ValidatorIndex, u64>,
}

/// Who voted in the sequences that this validator saw decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attendance {
    /// How many sequences.
    pub of: u64,
    /// In how many each validator's votes were missing.
    pub absent: BTreeMap<ValidatorIndex, u64>,
}

/// A view that was left while its primary made this validator wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftSlow {
    /// The view.
    pub view: View,
    /// Its primary.
    pub primary: ValidatorIndex,
    /// The sequence that was waited for.
    pub sequence: Sequence,
    /// How long, in milliseconds.
    pub waited_ms: u64,
    /// Half of what leads to a complaint.
    pub allowed_ms: u64,
}

impl Conduct {
    pub(crate) fn on_unanswered(&mut self, of: ValidatorIndex) {
        let count = self.unanswered.entry(of).or_default();
        *count = count.saturating_add(1);
    }
}

impl Core {
    /// Before the votes up to `stable` are forgotten: who voted, where a quorum's votes came directly. What was taken
    /// as a stretch of the chain says nothing about who voted.
    pub(crate) fn note_attendance(&mut self, before: Sequence, stable: Sequence) {
        let mut voted: BTreeMap<Sequence, Voters> = BTreeMap::new();
        for vote in self.votes.of_views(View::ZERO, self.reign.view) {
            let Vote { sequence, validator, .. } = vote.statement;
            if sequence > before && sequence <= stable {
                voted.entry(sequence).or_default().insert(validator);
            }
        }
        let quorum = self.config.quorum.quorum();
        for voters in voted.values().filter(|voters| voters.count() >= quorum) {
            self.conduct.looked_at = self.conduct.looked_at.saturating_add(1);
            for validator in quorate_types::set::indices(self.config.quorum.validators()) {
                if !voters.contains(validator) {
                    let count = self.conduct.absent.entry(validator).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    /// Who voted in the sequences decided since this was last asked, once there are `at_least` of them.
    pub fn take_attendance(&mut self, at_least: u64) -> Option<Attendance> {
        let conduct = &mut self.conduct;
        (conduct.looked_at >= at_least).then(|| Attendance {
            of: std::mem::take(&mut conduct.looked_at),
            absent: std::mem::take(&mut conduct.absent),
        })
    }

    /// Before a view is left: whether it was half as slow for this validator as it takes to complain. Others may have
    /// complained first, but their word counts for nothing here.
    pub(crate) fn note_slow_view(&mut self, now: Now) {
        let primary = self.primary();
        if !self.reign.active || primary == self.config.me {
            return;
        }
        let since = self.reign.progress_ms.map(|since_ms| now.monotonic_ms.saturating_sub(since_ms));
        let waited_ms = since.unwrap_or(0).max(self.late_debt_ms());
        let allowed_ms = self.timeout_ms() / 2;
        if waited_ms >= allowed_ms {
            let sequence = self.tip().sequence.next();
            let left = LeftSlow { view: self.reign.view, primary, sequence, waited_ms, allowed_ms };
            self.conduct.left_slow = Some(left);
        }
    }

    /// The view that was left slow since this was last asked.
    pub const fn take_left_slow(&mut self) -> Option<LeftSlow> {
        self.conduct.left_slow.take()
    }

    /// Questions left open since this was last asked, by whom.
    pub fn take_unanswered(&mut self) -> BTreeMap<ValidatorIndex, u64> {
        std::mem::take(&mut self.conduct.unanswered)
    }

    /// The lane that this view's primary has passed over for longest, and the bundle that wasn't named.
    #[must_use]
    pub fn passed_over(&self) -> Option<(ValidatorIndex, BundleNumber)> {
        let factor = self.complaints.factor(Cause::Fairness);
        let (parameters, validators) = (&self.config.parameters, self.config.quorum.validators());
        let due = self.fairness.next_due(parameters, validators, self.reign.commits, factor);
        due.map(|(_, lane, number)| (lane, number))
    }

    /// By how much the block time of the primary's last proposal lay behind the local clock when it came.
    #[must_use]
    pub const fn clock_behind_ms(&self) -> u64 {
        self.reign.behind_ms
    }

    /// Whether a vote says nothing new: of a view that was left, settled, or held already.
    #[must_use]
    pub fn is_stale_vote(&self, vote: &Signed<Vote>) -> bool {
        let Vote { view, sequence, phase, validator, .. } = vote.statement;
        view < self.reign.view
            || sequence <= self.stable
            || self.votes.of(validator, (view, sequence, phase)).is_some_and(|held| held.statement == vote.statement)
    }

    /// These validators are asked only when nobody else is left to ask: a local measure (accountability §6.4).
    pub fn ask_last(&mut self, last: BTreeSet<ValidatorIndex>) {
        self.peers.ask_last(last);
    }
}
