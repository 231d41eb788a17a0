//! What must hold of every reachable set of messages (protocol §§5, 10).

use std::fmt;
use std::str::FromStr;

use super::Model;
use super::judge::{Anchor, CORRECT};
use super::tree::{Proposal, Set};
use super::votes::{Ground, Offers, Votes};

/// One property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Commit certificates, of whatever views, lie on one chain: no two different proposals are
    /// committed at a sequence, and each continues the one below (protocol §10, Agreement and Chain).
    Agreement,
    /// All prepared certificates of a view lie on one chain (protocol §5).
    CertificatesOnOneChain,
    /// No correct validator signs two votes of one phase at one place, and all its votes of a view lie
    /// on one chain (protocol §10, No double sign).
    NoDoubleSign,
    /// Every `NewView` that can be made for a view starts it at or above all that has a commit
    /// certificate of a view below, on its chain (protocol §5).
    AnchorAboveCommitted,
}

const NAMES: [(Invariant, &str); 4] = [
    (Invariant::Agreement, "agreement"),
    (Invariant::CertificatesOnOneChain, "certificates-on-one-chain"),
    (Invariant::NoDoubleSign, "no-double-sign"),
    (Invariant::AnchorAboveCommitted, "anchor-above-committed"),
];

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(invariant, _)| invariant == self).map_or("", |(_, name)| name))
    }
}

/// No invariant has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInvariant {
    name: String,
}

impl fmt::Display for UnknownInvariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no invariant is called {:?}; there are:", self.name)?;
        NAMES.iter().try_for_each(|(_, name)| write!(f, " {name}"))
    }
}

impl std::error::Error for UnknownInvariant {}

impl FromStr for Invariant {
    type Err = UnknownInvariant;

    fn from_str(text: &str) -> Result<Self, UnknownInvariant> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(invariant, _)| *invariant);
        found.ok_or_else(|| UnknownInvariant { name: text.to_owned() })
    }
}

/// An invariant broken, with the facts that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    Agreement { one: Proposal, other: Proposal },
    CertificatesOnOneChain { one: Proposal, other: Proposal },
    NoDoubleSign { validator: usize, one: Proposal, other: Proposal },
    AnchorAboveCommitted { anchor: Anchor, committed: Proposal },
}

impl Violation {
    pub(super) const fn invariant(self) -> Invariant {
        match self {
            Self::Agreement { .. } => Invariant::Agreement,
            Self::CertificatesOnOneChain { .. } => Invariant::CertificatesOnOneChain,
            Self::NoDoubleSign { .. } => Invariant::NoDoubleSign,
            Self::AnchorAboveCommitted { .. } => Invariant::AnchorAboveCommitted,
        }
    }

    /// The two facts, for people.
    pub(super) fn describe(self, model: &Model, view: u8) -> String {
        let name = |proposal| model.tree.name(proposal);
        match self {
            Self::Agreement { one, other } => {
                format!("both {} and {} have a commit certificate", name(one), name(other))
            }
            Self::CertificatesOnOneChain { one, other } => {
                format!("view {view} has prepared certificates for both {} and {}", name(one), name(other))
            }
            Self::NoDoubleSign { validator, one, other } => {
                let index = model.judge.index(validator);
                format!("validator {index} voted for both {} and {} in view {view}", name(one), name(other))
            }
            Self::AnchorAboveCommitted { anchor, committed } => format!(
                "view {view} can start at {}, but {} has a commit certificate of a view below",
                name(anchor.proposal),
                name(committed)
            ),
        }
    }
}

impl Model {
    fn checks(&self, invariant: Invariant) -> bool {
        self.only.is_none_or(|only| only == invariant)
    }

    /// What the votes of one view break, with the commit certificates of lower views in `ground`.
    pub(super) fn broken_by_votes(&self, ground: &Ground, votes: &Votes) -> Option<Violation> {
        if self.checks(Invariant::Agreement) {
            let commits = ground.committed.and(self.commit_certificates(ground, votes));
            if let Some((one, other)) = self.tree.fork(commits) {
                return Some(Violation::Agreement { one, other });
            }
        }
        if self.checks(Invariant::CertificatesOnOneChain)
            && let Some((one, other)) = self.tree.fork(self.prepared_certificates(votes))
        {
            return Some(Violation::CertificatesOnOneChain { one, other });
        }
        if self.checks(Invariant::NoDoubleSign) {
            return (0..CORRECT).find_map(|validator| {
                let signed = votes.members[validator].prepared.and(votes.members[validator].committed);
                let (one, other) = self.tree.fork(signed)?;
                Some(Violation::NoDoubleSign { validator, one, other })
            });
        }
        None
    }

    /// What the anchors that a view can start from break.
    pub(super) fn broken_by_offers(&self, offers: Offers, committed: Set) -> Option<Violation> {
        if !self.checks(Invariant::AnchorAboveCommitted) {
            return None;
        }
        offers.iter().find_map(|anchor| {
            let below = committed.without(self.tree.chain(anchor.proposal)).iter().next()?;
            Some(Violation::AnchorAboveCommitted { anchor, committed: below })
        })
    }
}
