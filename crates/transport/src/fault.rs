//! What clients hear when there is no receipt (data-model §6): a status code, a reason for programs, a
//! sentence for people, and when to try again.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_types::operation::OperationFault;
use quorate_types::receipt::Judgement;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::convert::FieldFault;
use crate::pb::operations::v1::Failure;
use crate::read_token::TokenFault;

/// The domain of our reasons in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "quorate";

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $code:ident;)*) => {
        /// Why there is no answer, for programs. Each belongs to one gRPC status code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])* $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// When it is given, for people.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*).trim(),)*
                }
            }

            /// The status code that goes with it.
            #[must_use]
            pub const fn code(self) -> Code {
                match self {
                    $(Self::$name => Code::$code,)*
                }
            }
        }
    };
}

reasons! {
    /// A request or body that can't be read.
    Malformed = "MALFORMED", InvalidArgument;
    /// An operation's signature isn't by its author.
    BadSignature = "BAD_SIGNATURE", InvalidArgument;
    /// A limit is passed.
    Limit = "LIMIT", InvalidArgument;
    /// An operation of another cluster.
    OtherCluster = "OTHER_CLUSTER", InvalidArgument;
    /// Another operation has the nonce.
    NonceUsed = "NONCE_USED", AlreadyExists;
    /// The nonce is below the author's window.
    NonceTooOld = "NONCE_TOO_OLD", FailedPrecondition;
    /// The nonce is too far above the author's window.
    NonceTooFar = "NONCE_TOO_FAR", FailedPrecondition;
    /// Expired, and whether it executed before only a receipt can tell.
    Expired = "EXPIRED", FailedPrecondition;
    /// It would live longer than allowed.
    ExpiresTooFar = "EXPIRES_TOO_FAR", FailedPrecondition;
    /// It executed before, and its receipt is no longer kept here.
    ReceiptPruned = "RECEIPT_PRUNED", OutOfRange;
    /// The state has gone past the sequence that was asked for.
    SequencePassed = "SEQUENCE_PASSED", FailedPrecondition;
    /// The author has no right to change anything.
    UnknownAuthor = "UNKNOWN_AUTHOR", PermissionDenied;
    /// The reader lacks the right.
    ReadDenied = "READ_DENIED", PermissionDenied;
    /// The kind needs a read token and there is none.
    TokenMissing = "TOKEN_MISSING", Unauthenticated;
    /// The read token isn't good.
    TokenInvalid = "TOKEN_INVALID", Unauthenticated;
    /// No such kind, operation, receipt or author.
    NotFound = "NOT_FOUND", NotFound;
    /// A watch from a sequence that is no longer kept.
    Pruned = "PRUNED", OutOfRange;
    /// The client sends more than it may.
    RateLimited = "RATE_LIMITED", ResourceExhausted;
    /// No room for more operations at the moment.
    PoolFull = "POOL_FULL", ResourceExhausted;
    /// A watcher that reads too slowly.
    SlowWatcher = "SLOW_WATCHER", ResourceExhausted;
    /// No quorum: nothing is ordered.
    NoQuorum = "NO_QUORUM", Unavailable;
    /// This validator is behind.
    CatchingUp = "CATCHING_UP", Unavailable;
    /// This validator signs nothing, so it takes no operations.
    Following = "FOLLOWING", Unavailable;
    /// The state is older than the reader allows.
    TooStale = "TOO_STALE", Unavailable;
    /// The validator is stopping.
    Stopping = "STOPPING", Unavailable;
    /// The deadline passed; an operation may still execute.
    Timeout = "TIMEOUT", DeadlineExceeded;
    /// The store is damaged.
    StoreDamaged = "STORE_DAMAGED", DataLoss;
    /// A mistake in the validator's program.
    Internal = "INTERNAL", Internal;
}

impl Reason {
    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }

    /// Whether the same request may succeed at another validator, or here later. Sending an operation
    /// again is safe in any case.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(
            self.code(),
            Code::Unavailable
                | Code::ResourceExhausted
                | Code::DeadlineExceeded
                // What ails one validator.
                | Code::DataLoss
                | Code::Internal
        )
    }
}

/// An error of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.name())]
pub struct ApiFault {
    /// Why, for programs.
    pub reason: Reason,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// More, by name.
    pub metadata: BTreeMap<String, String>,
    /// When to try again, if waiting helps.
    pub retry_after: Option<Duration>,
}

impl ApiFault {
    /// A fault without metadata.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), metadata: BTreeMap::new(), retry_after: None }
    }

    /// Adds metadata.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.metadata.insert(name.to_owned(), value.to_string());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The fault in a gRPC status, if it is one of ours.
    #[must_use]
    pub fn of_status(status: &Status) -> Option<Self> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
        Some(Self {
            reason: Reason::from_name(&info.reason)?,
            message: status.message().to_owned(),
            metadata: info.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        })
    }

    /// The fault in a stream's answer; `None` if its reason isn't known to this program.
    #[must_use]
    pub fn of_failure(failure: Failure) -> Option<Self> {
        let wait = Duration::from_millis(failure.retry_after_ms);
        Some(Self {
            reason: Reason::from_name(&failure.reason)?,
            message: failure.message,
            metadata: failure.metadata,
            retry_after: (!wait.is_zero()).then_some(wait),
        })
    }

    /// The fault as a stream's answer.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        // A wait below a millisecond is still a wait.
        let retry_after_ms = self.retry_after.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(0).max(1));
        Failure {
            code: self.reason.code() as u32,
            reason: self.reason.name().to_owned(),
            message: self.message,
            metadata: self.metadata,
            retry_after_ms,
        }
    }
}

impl From<ApiFault> for Status {
    fn from(fault: ApiFault) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(
            fault.reason.name(),
            DOMAIN,
            fault.metadata.into_iter().collect::<std::collections::HashMap<_, _>>(),
        );
        if fault.retry_after.is_some() {
            details.set_retry_info(fault.retry_after);
        }
        Self::with_error_details(fault.reason.code(), fault.message, details)
    }
}

impl From<FieldFault> for ApiFault {
    fn from(fault: FieldFault) -> Self {
        Self::new(Reason::Malformed, fault.to_string())
    }
}

impl From<TokenFault> for ApiFault {
    fn from(fault: TokenFault) -> Self {
        Self::new(Reason::TokenInvalid, fault.to_string())
    }
}

impl From<&OperationFault> for ApiFault {
    fn from(fault: &OperationFault) -> Self {
        let reason = match fault {
            OperationFault::Signature => Reason::BadSignature,
            OperationFault::Limit { .. } => Reason::Limit,
            OperationFault::OtherCluster { .. } => Reason::OtherCluster,
            _ => Reason::Malformed,
        };
        Self::new(reason, fault.to_string())
    }
}

impl From<&Judgement> for ApiFault {
    fn from(judgement: &Judgement) -> Self {
        let fault = |reason| Self::new(reason, judgement.to_string());
        match judgement {
            Judgement::NonceUsed { by } => fault(Reason::NonceUsed).with("operation", by),
            Judgement::NonceTooOld { lowest } => fault(Reason::NonceTooOld).with("lowest", lowest),
            Judgement::NonceTooFar { highest } => fault(Reason::NonceTooFar).with("highest", highest),
            Judgement::UnknownAuthor => fault(Reason::UnknownAuthor),
            Judgement::Expired { expired_at_ms } => fault(Reason::Expired).with("expired_at_ms", expired_at_ms),
            Judgement::ExpiresTooFar { latest_ms } => fault(Reason::ExpiresTooFar).with("latest_ms", latest_ms),
            Judgement::ReceiptPruned => fault(Reason::ReceiptPruned),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;
    use quorate_types::ids::OperationId;

    use super::*;

    fn sample() -> ApiFault {
        ApiFault::new(Reason::PoolFull, "the pool is full; try again")
            .with("limit", 10)
            .retry_after(Duration::from_millis(250))
    }

    #[test]
    fn a_fault_survives_the_status_and_the_stream() {
        let status = Status::from(sample());
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(ApiFault::of_status(&status), Some(sample()));
        assert_eq!(ApiFault::of_failure(sample().into_failure()), Some(sample()));
    }

    #[test]
    fn a_status_of_someone_else_is_not_ours() {
        assert_eq!(ApiFault::of_status(&Status::unavailable("a proxy")), None);
        assert_eq!(ApiFault::of_failure(Failure { reason: "NEWER".into(), ..Failure::default() }), None);
    }

    #[test]
    fn reasons_have_distinct_names_and_codes_as_documented() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| Reason::from_name(reason.name()) == Some(*reason)));
        let by = OperationId(Digest::new([9; 32]));
        let fault = ApiFault::from(&Judgement::NonceUsed { by });
        assert_eq!(
            (fault.reason.code(), fault.metadata["operation"].as_str()),
            (Code::AlreadyExists, by.to_string().as_str())
        );
    }

    /// data-model §6.2
    #[test]
    fn every_reason_stands_in_the_data_model() {
        let written = include_str!("../../../docs/data-model.md");
        for reason in Reason::ALL {
            let code = format!("{:?}", reason.code());
            let words = code.chars().enumerate().fold(String::new(), |said, (at, letter)| match letter {
                'A'..='Z' if at > 0 => format!("{said}_{letter}"),
                letter => format!("{said}{}", letter.to_ascii_uppercase()),
            });
            let row = format!("| `{}` | `{words}` | {} |", reason.name(), reason.meaning());
            assert!(written.contains(&row), "docs/data-model.md must hold:\n{row}");
        }
    }

    #[test]
    fn what_ails_one_validator_is_asked_of_another() {
        for reason in [Reason::StoreDamaged, Reason::Internal, Reason::NoQuorum, Reason::Timeout] {
            assert!(reason.is_passing(), "{reason:?}");
        }
        for reason in [Reason::NonceUsed, Reason::ExpiresTooFar, Reason::Malformed, Reason::ReadDenied] {
            assert!(!reason.is_passing(), "{reason:?}");
        }
    }

    /// data-model §3: the names that judgements have are those that clients see.
    #[test]
    fn judgements_and_reasons_agree_on_names() {
        for judgement in [
            Judgement::NonceUsed { by: OperationId(Digest::ZERO) },
            Judgement::NonceTooOld { lowest: 1 },
            Judgement::NonceTooFar { highest: 1 },
            Judgement::UnknownAuthor,
            Judgement::Expired { expired_at_ms: 1 },
            Judgement::ExpiresTooFar { latest_ms: 1 },
            Judgement::ReceiptPruned,
        ] {
            assert_eq!(ApiFault::from(&judgement).reason.name(), judgement.name());
        }
    }
}
