//! What was seen, kept so that a person can follow it.

use std::fmt;

use quorate_types::ids::{BundleNumber, Sequence, ValidatorIndex, View};

use super::rule::Rule;

/// Bytes of a description made from a peer's message.
const MAX_WORDS: usize = 120;

/// A description of bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Box<str>);

impl Words {
    /// The beginning of `text`, as much as is kept.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut end = text.len().min(MAX_WORDS);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].into())
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was seen. Equal values are one and the same sight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing valid for so long, while others were heard.
    Silence {
        /// How long, in milliseconds.
        for_ms: u64,
        /// What is usual.
        bound_ms: u64,
    },
    /// Questions for what it must hold, left open.
    Unanswered {
        /// For what.
        what: &'static str,
        /// How many so far.
        total: u64,
    },
    /// Bundles of its lane that came from others than itself.
    Withheld {
        /// How many.
        detour: u64,
        /// Of how many.
        of: u64,
        /// When the last of them came, so that two counts are two sights.
        at_ms: u64,
    },
    /// How long commits took in a view.
    SlowPrimary {
        /// The view.
        view: View,
        /// The sequence that was waited for.
        sequence: Sequence,
        /// How long it took, or has taken, in milliseconds.
        took_ms: u64,
        /// What was allowed, from what others achieve.
        allowed_ms: u64,
    },
    /// Sequences without its vote.
    MissingVotes {
        /// The last sequence looked at.
        up_to: Sequence,
        /// In how many none came.
        missing: u64,
        /// How many were looked at.
        of: u64,
    },
    /// A lane that was passed over.
    Censoring {
        /// In its view.
        view: View,
        /// Whose lane.
        lane: ValidatorIndex,
        /// The bundle that wasn't named.
        number: BundleNumber,
    },
    /// A message that was refused.
    InvalidMessage {
        /// Why.
        why: Words,
        /// How many were refused of it so far.
        total: u64,
    },
    /// A flood of messages that say nothing new.
    Stale {
        /// How many of them in the interval.
        stale: u64,
        /// Of how many messages in all.
        of: u64,
        /// The end of the interval, so that two intervals are two sights.
        at_ms: u64,
    },
    /// Something that was asked for came, and was something else.
    BadSyncData {
        /// What.
        what: &'static str,
        /// How many of it so far.
        total: u64,
    },
    /// It says of itself what can't be.
    Status {
        /// What it says.
        what: &'static str,
        /// The number said.
        claimed: u64,
        /// The highest possible.
        possible: u64,
    },
    /// Its clock against the median of all.
    Clock {
        /// By how much it is ahead, in milliseconds; negative: behind.
        offset_ms: i64,
        /// What is allowed.
        bound_ms: u64,
    },
}

impl Seen {
    /// The rule that it speaks of.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        match self {
            Self::Silence { .. } | Self::Unanswered { .. } | Self::Withheld { .. } => Rule::Silent,
            Self::SlowPrimary { .. } => Rule::SlowPrimary,
            Self::MissingVotes { .. } => Rule::MissingVotes,
            Self::Censoring { .. } => Rule::Censoring,
            Self::InvalidMessage { .. } => Rule::InvalidMessage,
            Self::Stale { .. } => Rule::StaleOrReplayed,
            Self::BadSyncData { .. } => Rule::BadSyncData,
            Self::Status { .. } => Rule::InconsistentStatus,
            Self::Clock { .. } => Rule::ClockSkew,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence { for_ms, bound_ms } => {
                write!(f, "nothing valid for {for_ms} ms, {bound_ms} ms are allowed")
            }
            Self::Unanswered { what, total } => write!(f, "left a question for {what} open ({total} so far)"),
            Self::Withheld { detour, of, .. } => write!(f, "{detour} of {of} bundles of its lane came from others"),
            Self::SlowPrimary { view, sequence, took_ms, allowed_ms } => {
                write!(f, "view {view}: {took_ms} ms for sequence {sequence}, {allowed_ms} ms are allowed")
            }
            Self::MissingVotes { up_to, missing, of } => {
                write!(f, "no vote in {missing} of {of} sequences up to {up_to}")
            }
            Self::Censoring { view, lane, number } => {
                write!(f, "view {view}: lane {lane} passed over at bundle {number} while others committed")
            }
            Self::InvalidMessage { why, total } => write!(f, "{why} ({total} refused so far)"),
            Self::Stale { stale, of, .. } => write!(f, "{stale} of {of} messages said nothing new"),
            Self::BadSyncData { what, total } => write!(f, "{what} ({total} so far)"),
            Self::Status { what, claimed, possible } => {
                write!(f, "says {what} {claimed}, where at most {possible} is possible")
            }
            Self::Clock { offset_ms, bound_ms } => {
                write!(f, "clock off by {offset_ms} ms, {bound_ms} ms are allowed")
            }
        }
    }
}

/// Something seen of a validator, once or several times at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What.
    pub seen: Seen,
    /// How often.
    pub count: u64,
}

impl From<Seen> for Observation {
    fn from(seen: Seen) -> Self {
        Self { seen, count: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_their_bound_and_between_characters() {
        let words = Words::of(&"ä".repeat(MAX_WORDS));
        assert_eq!(words.to_string(), "ä".repeat(MAX_WORDS / 2));
        assert_eq!(Words::of(&format!("x{}", "ä".repeat(MAX_WORDS))).to_string().len(), MAX_WORDS - 1);
        assert_eq!(Words::of("short").to_string(), "short");
    }
}
