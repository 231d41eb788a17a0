//! What execution says of an operation (data-model §§3–4).
//!
//! A [`Receipt`] is signed by a quorum through the receipts root, so everything in it, its sentence
//! included, follows from the ordered operations and the state alone. A [`Judgement`] is an answer
//! without a receipt: it changes no state and proves nothing.

use quorate_crypto::{Digest, sha256};

use crate::codec::{Canonical, DecodeError, Reader, encode_bytes, encode_list};
use crate::ids::{OperationId, Sequence};
use crate::operation::EntityId;

/// Domain tag of a receipt's digest.
const DIGEST_TAG: &[u8] = b"quorate/receipt/v1";

/// Bytes of a rejection's sentence at most.
pub const MAX_MESSAGE_BYTES: usize = 1_024;

/// Entities whose versions a receipt names at most: two for each mutation at its highest limit.
pub const MAX_VERSIONS: usize = 2_048;

/// Concurrent operations that a receipt names at most; also the heads kept of an entity.
pub const MAX_CONCURRENT: usize = 16;

/// What became of one ordered operation. There is at most one per operation, ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The operation.
    pub operation: OperationId,
    /// The sequence at which it executed.
    pub sequence: Sequence,
    /// Its position among that sequence's receipts, from 0.
    pub index: u32,
    /// Whether it was applied.
    pub outcome: Outcome,
    /// The entities that it changed with their new versions, by entity; empty for a rejected one.
    pub versions: Vec<EntityVersion>,
    /// Operations that changed the same entities before it and that its author hadn't seen, by id; at
    /// most [`MAX_CONCURRENT`].
    pub concurrent_with: Vec<OperationId>,
}

/// An entity's version after an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityVersion {
    /// The entity.
    pub entity: EntityId,
    /// Operations applied to it since it was created; 0 if it no longer exists.
    pub version: u64,
}

/// Whether an operation was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its mutations were.
    Applied,
    /// None was.
    Rejected(Rejection),
}

/// Why an operation was rejected. It changed nothing but its author's nonce window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, for programs.
    pub code: RejectionCode,
    /// Which part is at fault.
    pub at: Location,
    /// A sentence that a person can act on, at most [`MAX_MESSAGE_BYTES`] long.
    pub message: String,
}

/// Which part of an operation a rejection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// The operation as a whole.
    Operation,
    /// The guard with this index.
    Guard(u32),
    /// The mutation with this index.
    Mutation(u32),
}

macro_rules! rejection_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $text:literal;)*) => {
        /// The reasons for a rejection. The numbers are part of the protocol and never used again for
        /// another reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum RejectionCode {
            $($(#[doc = $doc])* $name = $number,)*
        }

        impl RejectionCode {
            /// All codes, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// When it is given, for people.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*).trim(),)*
                }
            }

            /// The name in interfaces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

rejection_codes! {
    /// The operation had expired by block time.
    Expired = 1, "EXPIRED";
    /// A parent didn't execute in time.
    MissingParent = 2, "MISSING_PARENT";
    /// A parent is missing, and the waiting room or the author's or lane's share of it is full.
    WaitingRoomFull = 3, "WAITING_ROOM_FULL";
    /// No kind of this name exists.
    UnknownKind = 4, "UNKNOWN_KIND";
    /// The author lacks the right.
    PermissionDenied = 5, "PERMISSION_DENIED";
    /// A guard doesn't hold.
    GuardFailed = 6, "GUARD_FAILED";
    /// The entity doesn't exist.
    NotFound = 7, "NOT_FOUND";
    /// The entity exists already.
    AlreadyExists = 8, "ALREADY_EXISTS";
    /// The kind's entities can't be changed in this way.
    WrongKind = 9, "WRONG_KIND";
    /// The path leads nowhere.
    NoSuchPath = 10, "NO_SUCH_PATH";
    /// What stands at the path, or is given, has the wrong type.
    WrongType = 11, "WRONG_TYPE";
    /// A number would leave its range.
    Overflow = 12, "OVERFLOW";
    /// An account would fall below zero.
    InsufficientFunds = 13, "INSUFFICIENT_FUNDS";
    /// An account or a stock to be deleted isn't at zero.
    NotEmpty = 14, "NOT_EMPTY";
    /// A document would be larger than allowed.
    DocumentTooLarge = 15, "DOCUMENT_TOO_LARGE";
    /// A document would be nested more deeply than allowed.
    DocumentTooDeep = 16, "DOCUMENT_TOO_DEEP";
    /// The entities that the operation touches are too large together.
    TouchesTooMuch = 17, "TOUCHES_TOO_MUCH";
    /// The sequence has no room left for what the operation touches.
    SequenceFull = 18, "SEQUENCE_FULL";
    /// Giver and receiver are the same account.
    SameAccount = 19, "SAME_ACCOUNT";
    /// Less is in stock, or reserved, than the operation moves.
    InsufficientStock = 20, "INSUFFICIENT_STOCK";
    /// The document would break its kind's schema.
    SchemaViolation = 21, "SCHEMA_VIOLATION";
    /// The kind to be defined exists.
    KindExists = 22, "KIND_EXISTS";
    /// The cluster has as many kinds as are allowed.
    TooManyKinds = 23, "TOO_MANY_KINDS";
    /// The validator set or the parameters can't be changed in this way.
    ChangeRefused = 24, "CHANGE_REFUSED";
    /// The proposal to be approved isn't open.
    NoSuchProposal = 25, "NO_SUCH_PROPOSAL";
    /// Too many proposals are open.
    TooManyProposals = 26, "TOO_MANY_PROPOSALS";
    /// The operation is of another epoch.
    OtherEpoch = 27, "OTHER_EPOCH";
    /// The state that the author names isn't the cluster's.
    NotCaughtUp = 28, "NOT_CAUGHT_UP";
    /// The evidence convicts no validator.
    InvalidEvidence = 29, "INVALID_EVIDENCE";
    /// The validator is convicted of this already.
    AlreadyConvicted = 30, "ALREADY_CONVICTED";
    /// One sequence judges one piece of evidence of each validator.
    TooMuchEvidence = 31, "TOO_MUCH_EVIDENCE";
}

impl RejectionCode {
    /// The code with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| *code as u8 == number)
    }
}

/// An answer without a receipt (data-model §3): judged at a sequence, changing nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Judgement {
    /// Another operation of the author has the nonce.
    #[error("nonce used by operation {by}; sign the operation again with an unused nonce")]
    NonceUsed {
        /// The other operation.
        by: OperationId,
    },
    /// The nonce lies below the author's window.
    #[error("nonce below the window, which starts at {lowest}; only a receipt can tell whether it ever executed")]
    NonceTooOld {
        /// The lowest nonce that the window covers.
        lowest: u64,
    },
    /// The nonce lies too far above the author's highest.
    #[error("nonce too far ahead, {highest} is the highest now allowed")]
    NonceTooFar {
        /// The highest nonce that would be taken.
        highest: u64,
    },
    /// The author has no right to change anything in this cluster.
    #[error("the author has no right to change anything in this cluster; ask whoever made the genesis")]
    UnknownAuthor,
    /// Expired, and the author's window doesn't show that it never executed.
    #[error("expired at {expired_at_ms}; only a receipt can tell whether it executed before")]
    Expired {
        /// When it expired, in block time.
        expired_at_ms: u64,
    },
    /// It would live longer than allowed.
    #[error(
        "expires too far ahead, {latest_ms} is the latest now allowed; sign it with an earlier expiry (--lifetime)"
    )]
    ExpiresTooFar {
        /// The latest expiry that would be taken, in block time.
        latest_ms: u64,
    },
    /// It executed before, and this validator keeps the receipt no longer (protocol §8.1).
    #[error(
        "executed before, and this validator keeps its receipt no longer; one that keeps more of the history may \
         still show it, and the entity's present state holds what it did"
    )]
    ReceiptPruned,
}

impl Judgement {
    /// The name in interfaces.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NonceUsed { .. } => "NONCE_USED",
            Self::NonceTooOld { .. } => "NONCE_TOO_OLD",
            Self::NonceTooFar { .. } => "NONCE_TOO_FAR",
            Self::UnknownAuthor => "UNKNOWN_AUTHOR",
            Self::Expired { .. } => "EXPIRED",
            Self::ExpiresTooFar { .. } => "EXPIRES_TOO_FAR",
            Self::ReceiptPruned => "RECEIPT_PRUNED",
        }
    }
}

impl Receipt {
    /// What the receipts root is made of.
    #[must_use]
    pub fn digest(&self) -> Digest {
        sha256(&[DIGEST_TAG, &self.to_bytes()])
    }

    /// Whether the operation was applied.
    #[must_use]
    pub const fn is_applied(&self) -> bool {
        matches!(self.outcome, Outcome::Applied)
    }
}

impl Rejection {
    /// A rejection; a sentence that is too long is cut.
    #[must_use]
    pub fn new(code: RejectionCode, at: Location, mut message: String) -> Self {
        while message.len() > MAX_MESSAGE_BYTES {
            message.pop();
        }
        Self { code, at, message }
    }
}

impl Canonical for Receipt {
    fn encode(&self, out: &mut Vec<u8>) {
        self.operation.encode(out);
        self.sequence.encode(out);
        self.index.encode(out);
        self.outcome.encode(out);
        encode_list(&self.versions, out);
        encode_list(&self.concurrent_with, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            operation: OperationId::decode(input)?,
            sequence: Sequence::decode(input)?,
            index: input.u32()?,
            outcome: Outcome::decode(input)?,
            versions: input.list(MAX_VERSIONS, "entity versions of a receipt")?,
            concurrent_with: input.list(MAX_CONCURRENT, "concurrent operations of a receipt")?,
        })
    }
}

impl Canonical for EntityVersion {
    fn encode(&self, out: &mut Vec<u8>) {
        self.entity.encode(out);
        self.version.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { entity: EntityId::decode(input)?, version: input.u64()? })
    }
}

impl Canonical for Outcome {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Applied => out.push(0),
            Self::Rejected(rejection) => {
                out.push(1);
                rejection.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Ok(Self::Applied),
            1 => Rejection::decode(input).map(Self::Rejected),
            value => Err(DecodeError::Unknown { what: "outcome", value }),
        }
    }
}

impl Canonical for Rejection {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code as u8);
        self.at.encode(out);
        encode_bytes(self.message.as_bytes(), out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = input.u8()?;
        let unknown = DecodeError::Unknown { what: "rejection code", value: number };
        let code = RejectionCode::from_number(number).ok_or(unknown)?;
        let at = Location::decode(input)?;
        let message = std::str::from_utf8(input.bytes(MAX_MESSAGE_BYTES, "sentence of a rejection")?)
            .map_err(|_| DecodeError::Malformed { what: "sentence of a rejection", rule: "must be UTF-8" })?;
        Ok(Self { code, at, message: message.to_owned() })
    }
}

impl Canonical for Location {
    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, index) = match self {
            Self::Operation => (0, 0),
            Self::Guard(index) => (1, *index),
            Self::Mutation(index) => (2, *index),
        };
        out.push(tag);
        index.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match (input.u8()?, input.u32()?) {
            (0, 0) => Ok(Self::Operation),
            (1, index) => Ok(Self::Guard(index)),
            (2, index) => Ok(Self::Mutation(index)),
            (value, _) => Err(DecodeError::Unknown { what: "location of a rejection", value }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// data-model §6.3
    #[test]
    fn every_rejection_code_stands_in_the_data_model() {
        let written = include_str!("../../../docs/data-model.md");
        for code in RejectionCode::ALL {
            let row = format!("| `{}` | {} | {} |", code.name(), *code as u8, code.meaning());
            assert!(written.contains(&row), "docs/data-model.md must hold:\n{row}");
        }
    }

    fn receipt(outcome: Outcome) -> Receipt {
        let id = |byte| OperationId(Digest::new([byte; 32]));
        Receipt {
            operation: id(1),
            sequence: Sequence(7),
            index: 3,
            outcome,
            versions: vec![EntityVersion { entity: EntityId::new("package", "zlib"), version: 2 }],
            concurrent_with: vec![id(2)],
        }
    }

    #[test]
    fn receipts_of_every_outcome_survive_their_bytes() {
        let places = [Location::Operation, Location::Guard(0), Location::Mutation(127)];
        let rejected = RejectionCode::ALL
            .iter()
            .flat_map(|code| places.map(|at| Outcome::Rejected(Rejection::new(*code, at, "because".to_owned()))));
        for outcome in rejected.chain([Outcome::Applied]) {
            let receipt = receipt(outcome);
            assert_eq!(Receipt::from_bytes(&receipt.to_bytes()), Ok(receipt));
        }
    }

    #[test]
    fn every_part_of_a_receipt_moves_its_digest() {
        let base = receipt(Outcome::Applied);
        let changed = [
            Receipt { index: 4, ..base.clone() },
            Receipt { sequence: Sequence(8), ..base.clone() },
            Receipt { versions: vec![], ..base.clone() },
            Receipt { concurrent_with: vec![], ..base.clone() },
        ];
        assert!(changed.iter().all(|receipt| receipt.digest() != base.digest()));
    }

    /// The numbers are protocol: this list is only ever added to.
    #[test]
    fn rejection_codes_keep_their_numbers_and_names() {
        let listed: Vec<_> = RejectionCode::ALL.iter().map(|code| (*code as u8, code.name())).collect();
        assert!(listed.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
        assert_eq!(listed[0], (1, "EXPIRED"));
        assert_eq!(listed[2], (3, "WAITING_ROOM_FULL"));
        assert_eq!(listed[18], (19, "SAME_ACCOUNT"));
        assert_eq!(RejectionCode::from_number(0), None);
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        let rejection = Rejection::new(RejectionCode::Overflow, Location::Operation, "ü".repeat(600) + "x");
        assert_eq!(rejection.message, "ü".repeat(512));
    }
}
