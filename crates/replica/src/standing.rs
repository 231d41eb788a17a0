//! Whether this validator signs (protocol §7.3–§7.6).
//!
//! A validator starts by asking its peers for the highest messages of its own key that they hold; what its
//! records lack means that its store is not the one that signed last. Out of quarantine leads another epoch alone
//! ([`crate::returning`]); until then it follows, executes and serves reads.

use std::collections::BTreeSet;

use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::ids::{Sequence, ValidatorIndex};

/// Whether and why a validator signs or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has started and hears what its peers hold of its key; it signs nothing yet.
    Asking {
        /// Who has answered.
        heard: BTreeSet<ValidatorIndex>,
        /// How many must.
        needed: usize,
    },
    /// It signs.
    Signing,
    /// It signs nothing that the protocol counts.
    Quarantined(Quarantine),
}

/// Why a validator is in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Quarantine {
    /// The state doesn't hold this store's incarnation nonce: another store was, or is, this validator.
    #[error("this store is another incarnation than the one that the cluster knows for this validator")]
    OtherIncarnation,
    /// It is no validator of this epoch: it follows, to become one, or because it was one.
    #[error("it is no validator of this epoch")]
    NotAValidator,
    /// The guard file has seen batches that the store lacks.
    #[error("the store lacks batches that the guard file has seen: store at {store}, guard file at {guard}")]
    BehindGuardFile {
        /// The store's last guarded batch.
        store: u64,
        /// The guard file's.
        guard: u64,
    },
    /// The store has seen batches that the guard file lacks.
    #[error("the guard file lacks batches that the store has seen: store at {store}, guard file at {guard}")]
    GuardFileBehind {
        /// The store's last guarded batch.
        store: u64,
        /// The guard file's.
        guard: u64,
    },
    /// There is no guard file, or it can't be read.
    #[error("the guard file is missing or damaged, so nothing shows that the store isn't an old copy")]
    NoGuardFile,
    /// Bundles of its own lane that it signed aren't in its store.
    #[error("bundles of this validator's own lane that it signed are missing from its store")]
    LostOwnBundles,
    /// A peer holds a message of this validator's key that its records lack.
    #[error("validator {peer} holds a {what} of this validator's own key that its store doesn't know")]
    BehindPeer {
        /// Who holds it.
        peer: ValidatorIndex,
        /// What kind of message.
        what: &'static str,
    },
    /// A message of its own key arrived that it didn't make: two nodes run with one key.
    #[error("a {what} of this validator's own key arrived that this node didn't make: two nodes run with one key")]
    KeyUsedElsewhere {
        /// What kind of message.
        what: &'static str,
    },
    /// Signing ended for good before this start.
    #[error("{0}, before this start")]
    Earlier(Ended),
    /// A certified result differs from its own.
    #[error("executing sequence {sequence} gave another result than a quorum certified")]
    Diverged {
        /// Where.
        sequence: Sequence,
    },
}

/// What ends signing for good, whatever happens after: kept in the store (protocol §3.2, §8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// A certified result differed from its own.
    #[error("executing sequence {0} gave another result than a quorum certified")]
    Diverged(Sequence),
    /// Certificates contradicted each other, or what was committed contradicted the lanes.
    #[error("certificates contradicted each other at sequence {0}")]
    Alarm(Sequence),
    /// Messages of its own key were seen that its store doesn't know (protocol §7.3, §7.6).
    #[error("messages of this validator's own key were seen that its store doesn't know")]
    OtherSelf,
}

impl Canonical for Ended {
    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, sequence) = match self {
            Self::Diverged(sequence) => (1, *sequence),
            Self::Alarm(sequence) => (2, *sequence),
            Self::OtherSelf => (3, Sequence::ZERO),
        };
        out.push(tag);
        sequence.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = u8::decode(input)?;
        let sequence = Sequence::decode(input)?;
        match tag {
            1 => Ok(Self::Diverged(sequence)),
            2 => Ok(Self::Alarm(sequence)),
            3 => Ok(Self::OtherSelf),
            _ => Err(DecodeError::Malformed { what: "end of signing", rule: "a known kind" }),
        }
    }
}

impl Standing {
    /// Whether it signs.
    #[must_use]
    pub const fn signs(&self) -> bool {
        matches!(self, Self::Signing)
    }

    /// Whether it is in quarantine.
    #[must_use]
    pub const fn is_quarantined(&self) -> bool {
        matches!(self, Self::Quarantined(_))
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asking { heard, needed } => {
                write!(f, "asking peers what they hold of this key ({} of {needed} answered)", heard.len())
            }
            Self::Signing => write!(f, "signing"),
            Self::Quarantined(reason @ (Quarantine::Diverged { .. } | Quarantine::Earlier(Ended::Diverged(_)))) => {
                write!(
                    f,
                    "in quarantine, signs nothing and serves no reads: {reason}; it fetches the certified state, and signs \
                 again after that"
                )
            }
            Self::Quarantined(reason @ Quarantine::NotAValidator) => {
                write!(f, "following, signs nothing: {reason}; it executes and serves reads")
            }
            Self::Quarantined(
                reason @ (Quarantine::KeyUsedElsewhere { .. } | Quarantine::Earlier(Ended::Alarm(_))),
            ) => write!(
                f,
                "in quarantine, signs nothing: {reason}; it follows, executes and serves reads until people have looked \
                 at it and started it again"
            ),
            Self::Quarantined(reason) => write!(
                f,
                "in quarantine, signs nothing: {reason}; it follows, executes and serves reads, asks the cluster to take \
                 it back, and signs again from the next epoch on"
            ),
        }
    }
}
