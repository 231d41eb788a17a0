//! Why a proof doesn't convince.

use quorate_crypto::Digest;
use quorate_types::codec::DecodeError;
use quorate_types::ids::{ClusterId, Epoch, Sequence, ValidatorIndex};
use quorate_types::rules::RuleFault;

use crate::Checkpoint;

/// Why bytes are not a proof in the form of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatFault {
    /// They don't start as such a file does.
    #[error("this is no file of this kind: it does not start with {expected:?}")]
    Magic {
        /// What such a file starts with.
        expected: &'static str,
    },
    /// They have a version that this program doesn't know.
    #[error("version {found} of the file format; this program knows version {known}")]
    Version {
        /// The version found.
        found: u8,
        /// The version known.
        known: u8,
    },
    /// They are not what was written: cut, changed, or put together of several.
    #[error("the file is damaged: its last 32 bytes are not the SHA-256 of what comes before")]
    Damaged,
    /// What follows isn't canonical.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Why a proof doesn't convince.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// Its bytes are not a proof.
    #[error("the proof can't be read: {0}")]
    Format(#[from] FormatFault),
    /// Its certificate or chain breaks a rule.
    #[error("the proof is not valid: {0}")]
    Rule(#[from] RuleFault),
    /// A signature doesn't verify.
    #[error(
        "the signature of validator {signer} doesn't verify in cluster {cluster}: \
         the proof was changed, or belongs to another cluster"
    )]
    Signature {
        /// Whose it should be.
        signer: ValidatorIndex,
        /// The cluster against which it was checked.
        cluster: ClusterId,
    },
    /// The receipt is of another sequence than the certificate.
    #[error("the receipt is of sequence {receipt}, the certificate of {certificate}")]
    OtherSequence {
        /// The receipt's.
        receipt: Sequence,
        /// The certificate's.
        certificate: Sequence,
    },
    /// The path is of another place than the receipt.
    #[error("the receipt is number {receipt} of its sequence, the path is that of number {path}")]
    OtherIndex {
        /// The receipt's.
        receipt: u32,
        /// The path's.
        path: u64,
    },
    /// The receipt isn't among those that the quorum signed.
    #[error("the receipt is not among those under the signed root {root}")]
    NotUnderRoot {
        /// The certificate's receipts root.
        root: Digest,
    },
    /// The path doesn't lead to the state root that the quorum signed.
    #[error("the path does not lead to the signed state root {root}")]
    NotUnderStateRoot {
        /// The certificate's state root.
        root: Digest,
    },
    /// The record isn't what the path shows: another one, none where there is one, or one where there is none.
    #[error("the entity's record is not the one in the signed state")]
    OtherRecord,
    /// The quorum signed a record that this program can't read.
    #[error("the entity's record can't be read: {0}")]
    Record(DecodeError),
    /// A freshness statement answers another question: it is older than this one, or was made for somebody else.
    #[error("the freshness statement of validator {signer} is over another nonce")]
    OtherNonce {
        /// Who signed it.
        signer: ValidatorIndex,
    },
    /// The verifier knows no such epoch.
    #[error("it is of epoch {found}; the chain of epochs at hand ends at epoch {newest}")]
    UnknownEpoch {
        /// The epoch.
        found: Epoch,
        /// The newest one known.
        newest: Epoch,
    },
    /// The validators of the epoch had no say about this sequence: whoever has their keys signs what it likes.
    #[error("it is of epoch {epoch}, to which sequence {sequence} doesn't belong (protocol §8.4)")]
    OutsideEpoch {
        /// The epoch.
        epoch: Epoch,
        /// The sequence.
        sequence: Sequence,
    },
    /// A chain of epochs is of another cluster.
    #[error("the chain of epochs is of cluster {found}, the genesis of {expected}")]
    OtherCluster {
        /// The genesis's.
        expected: ClusterId,
        /// The chain's.
        found: ClusterId,
    },
    /// A link of a chain of epochs doesn't hold.
    #[error("the start of epoch {epoch} doesn't hold: {fault}")]
    Start {
        /// Of which epoch.
        epoch: Epoch,
        /// What doesn't hold.
        fault: Box<Self>,
    },
    /// A chain of epochs contradicts the trusted checkpoint.
    #[error(
        "the chain of epochs contradicts the trusted checkpoint {trusted}: it leads to {found}. Either the \
         checkpoint is of another cluster or mistyped, or the chain is a forgery"
    )]
    OtherCheckpoint {
        /// The one trusted.
        trusted: Checkpoint,
        /// The one in the chain, at that sequence or the first above it.
        found: Checkpoint,
    },
    /// A chain of epochs doesn't lead to the trusted checkpoint yet, so nothing in it is believed.
    #[error("the chain of epochs at hand ends at sequence {newest}, before the trusted checkpoint {trusted}")]
    BeforeCheckpoint {
        /// The one trusted.
        trusted: Checkpoint,
        /// Where the newest epoch known begins.
        newest: Sequence,
    },
}
