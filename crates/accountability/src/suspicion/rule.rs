//! The rules of suspicion, and what each weighs (accountability §6.1).

use super::decay::Points;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// What may be behind an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A correct validator can look like that: a bad link, a slow machine, a clock. Its points together never
    /// lead beyond [`super::Level::Warn`], and weigh less while many look so.
    Circumstance,
    /// No network makes a correct validator do that: it came over its own authenticated connection.
    Conduct,
}

/// What was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nothing valid came within the heartbeat bound, while others were heard.
    Silent,
    /// Commits took much longer under this primary than under others.
    SlowPrimary,
    /// No vote of it in many sequences, although it says that it keeps up.
    MissingVotes,
    /// The fairness timer of a lane ran out in its view.
    Censoring,
    /// A message that is malformed, too large, misplaced, or whose signature doesn't verify.
    InvalidMessage,
    /// Many messages of old views, or the same ones again.
    StaleOrReplayed,
    /// A part of a state, a proposal or a bundle that isn't what was asked for.
    BadSyncData,
    /// It says of itself what certificates contradict.
    InconsistentStatus,
    /// Its clock is off.
    ClockSkew,
}

/// What is known about one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its id.
    pub rule: Rule,
    /// Its name for people, logs and metrics.
    pub name: &'static str,
    /// What may be behind it.
    pub class: Class,
    /// Points of one observation.
    pub weight: Points,
    /// The most points of this rule.
    pub cap: Points,
    /// The time in which its points halve.
    pub half_life_ms: u64,
    /// Observations closer together weigh as one.
    pub apart_ms: u64,
}

const fn row(rule: Rule, name: &'static str, class: Class, weight: (u64, u64), times: (u64, u64)) -> RuleInfo {
    let (weight, cap) = (Points::thousandths(weight.0), Points::thousandths(weight.1));
    RuleInfo { rule, name, class, weight, cap, half_life_ms: times.0, apart_ms: times.1 }
}

impl Rule {
    /// All rules, in the order of the documentation.
    pub const TABLE: [RuleInfo; 9] = [
        row(Self::Silent, "silent", Class::Circumstance, (100, 400), (2 * MINUTE, 2 * SECOND)),
        row(Self::SlowPrimary, "slow-primary", Class::Circumstance, (200, 400), (5 * MINUTE, SECOND)),
        row(Self::MissingVotes, "missing-votes", Class::Circumstance, (100, 300), (3 * MINUTE, 2 * SECOND)),
        row(Self::Censoring, "censoring", Class::Circumstance, (300, 400), (5 * MINUTE, SECOND)),
        row(Self::InvalidMessage, "invalid-message", Class::Conduct, (40, 1_000), (10 * MINUTE, SECOND)),
        row(Self::StaleOrReplayed, "stale-or-replayed", Class::Conduct, (100, 800), (5 * MINUTE, SECOND)),
        row(Self::BadSyncData, "bad-sync-data", Class::Conduct, (300, 1_000), (30 * MINUTE, 0)),
        row(Self::InconsistentStatus, "inconsistent-status", Class::Conduct, (100, 800), (10 * MINUTE, 2 * SECOND)),
        row(Self::ClockSkew, "clock-skew", Class::Circumstance, (60, 300), (5 * MINUTE, 10 * SECOND)),
    ];

    /// Its row.
    #[must_use]
    pub const fn info(self) -> &'static RuleInfo {
        &Self::TABLE[self as usize]
    }

    /// Its name for people, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_finds_its_own_row() {
        for info in Rule::TABLE {
            assert_eq!(info.rule.info(), &info);
            assert!(info.weight <= info.cap && info.half_life_ms > 0, "{}", info.name);
        }
    }
}
