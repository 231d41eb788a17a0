//! How a run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use quorate_crypto::Digest;

use super::detection::Deed;
use super::recording::Recording;

/// What a run showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing unsafe, and everything healed and served.
    Passed,
    /// A property doesn't hold.
    Unsafe(Violation),
    /// After all faults ended, something stayed pending.
    Stuck {
        /// What, by name.
        pending: Vec<String>,
    },
    /// The harness itself failed: a fault beyond the budget, or an error of a store that nobody ordered.
    Harness(String),
}

/// A property that doesn't hold, with the facts that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The property.
    pub invariant: &'static str,
    /// Where it is specified.
    pub clause: &'static str,
    /// What contradicts what.
    pub facts: Vec<String>,
}

/// A validator began to keep evidence against another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Whom it accuses.
    pub accused: u16,
    /// Of what.
    pub kind: String,
    /// Who keeps it.
    pub by: u16,
    /// Since when.
    pub at_ms: u64,
}

/// A finished run, of either level.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// When it ended.
    pub virtual_ms: u64,
    /// Packets delivered; at the net level, messages that went into replicas.
    pub deliveries: u64,
    /// Turns of all validators.
    pub turns: u64,
    /// The rolling hash of all events.
    pub hash: Digest,
    /// What was reached, by name: rare branches that a campaign must have seen.
    pub reached: BTreeMap<&'static str, u64>,
    /// Points at which a crash could be placed; the net level counts none.
    pub crash_points: u64,
    /// How many validators there were.
    pub validators: u16,
    /// Who was Byzantine.
    pub byzantine: Vec<u16>,
    /// Against whom contradictions are held: by kind, who holds them.
    pub blamed: BTreeMap<u16, BTreeMap<String, BTreeSet<u16>>>,
    /// Every piece of evidence that any validator kept, in the order of time.
    pub accusations: Vec<Accusation>,
    /// Whom forensics over the stores of the correct validators names, and of what, where a property didn't hold.
    pub culprits: BTreeMap<u16, BTreeSet<String>>,
    /// In that case also whom a single store names, by whose store it is.
    pub named_by: BTreeMap<u16, BTreeSet<u16>>,
    /// When all that proves a deed had reached correct validators, in virtual milliseconds.
    pub known_ms: BTreeMap<Deed, u64>,
    /// How long each acknowledged operation took, from its signature to a certified receipt.
    pub waits_us: Vec<u64>,
    /// Who was first warned of whom, and when, in virtual milliseconds: by the suspect, then by who suspects.
    pub suspected: BTreeMap<u16, BTreeMap<u16, u64>>,
    /// The virtual time from the end of all faults until all had healed.
    pub healed_in_ms: Option<u64>,
    /// What happened, if it was recorded: the world's.
    pub recording: Option<Recording>,
    /// The story, if it was told: the net level's, which has no recording.
    pub story: Vec<String>,
}

impl Report {
    /// The story, line by line, if it was recorded or told.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.recording.iter().flat_map(Recording::lines).chain(self.story.iter().cloned()).collect()
    }

    /// A run of which nothing but its end is known.
    pub(crate) fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            virtual_ms: 0,
            deliveries: 0,
            turns: 0,
            hash: Digest::ZERO,
            reached: BTreeMap::new(),
            crash_points: 0,
            validators: 0,
            byzantine: Vec::new(),
            blamed: BTreeMap::new(),
            accusations: Vec::new(),
            culprits: BTreeMap::new(),
            named_by: BTreeMap::new(),
            known_ms: BTreeMap::new(),
            waits_us: Vec::new(),
            suspected: BTreeMap::new(),
            healed_in_ms: None,
            recording: None,
            story: Vec::new(),
        }
    }
}

impl Verdict {
    /// The exit code of the command line: 0 pass, 1 safety, 2 liveness, 3 harness (simulation §3).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Unsafe(_) => 1,
            Self::Stuck { .. } => 2,
            Self::Harness(_) => 3,
        }
    }

    /// It as a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unsafe(_) => "unsafe",
            Self::Stuck { .. } => "stuck",
            Self::Harness(_) => "harness",
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => write!(f, "PASSED"),
            Self::Unsafe(violation) => write!(f, "UNSAFE: {violation}"),
            Self::Stuck { pending } => {
                write!(f, "STUCK: after all faults had ended, this stayed pending:")?;
                pending.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::Harness(reason) => write!(f, "HARNESS ERROR: {reason}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.invariant, self.clause)?;
        self.facts.iter().try_for_each(|fact| write!(f, "\n  {fact}"))
    }
}
