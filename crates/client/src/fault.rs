//! What can come out of a call instead of what was asked for.

use std::time::Duration;

use quorate_proof::{ProofFault, VerifiedReceipt};
use quorate_transport::convert::FieldFault;
use quorate_transport::fault::{ApiFault, Reason};
use quorate_types::ids::{ClusterId, OperationId, Sequence};
use quorate_types::receipt::{Outcome, Rejection};
use tonic::{Code, Status};

/// An operation that was ordered and rejected: final, and proven.
#[derive(Debug, thiserror::Error)]
#[error("the operation was rejected at sequence {}: {}", receipt.receipt().sequence, rejection.message)]
pub struct Rejected {
    /// The receipt that proves it.
    pub receipt: Box<VerifiedReceipt>,
    /// Why.
    pub rejection: Rejection,
}

impl Rejected {
    /// Splits a verified receipt by its outcome.
    ///
    /// # Errors
    /// If the operation was rejected.
    pub fn unless_applied(receipt: VerifiedReceipt) -> Result<VerifiedReceipt, Self> {
        match &receipt.receipt().outcome {
            Outcome::Applied => Ok(receipt),
            Outcome::Rejected(rejection) => {
                let rejection = rejection.clone();
                Err(Self { receipt: Box::new(receipt), rejection })
            }
        }
    }
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// A validator said why.
    #[error(transparent)]
    Api(#[from] ApiFault),
    /// No validator gave an answer in time. An operation may still execute: submitting the same one again is
    /// safe, and tells.
    #[error("no answer from any of {endpoints} validators asked within {seconds} s: {last}")]
    NoAnswer {
        /// How many were asked.
        endpoints: usize,
        /// For how long.
        seconds: u64,
        /// What they said last.
        last: String,
    },
    /// A validator didn't answer in its time.
    #[error("{endpoint} gave no answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// Which.
        endpoint: String,
        /// How long it had.
        after: Duration,
    },
    /// A validator of another cluster.
    #[error("{endpoint} belongs to cluster {found}, the genesis file is that of {expected}")]
    OtherCluster {
        /// Which.
        endpoint: String,
        /// Its cluster.
        found: ClusterId,
        /// The one of the genesis file.
        expected: ClusterId,
    },
    /// A validator answered with what doesn't hold. It is faulty, or speaks for another cluster.
    #[error("validator at {endpoint} answered with a proof that doesn't hold: {fault}")]
    Proof {
        /// Which.
        endpoint: String,
        /// What doesn't hold.
        fault: ProofFault,
    },
    /// A validator answered with the receipt of another operation.
    #[error("validator at {endpoint} answered for operation {found} instead of {asked}")]
    OtherOperation {
        /// Which.
        endpoint: String,
        /// What was asked for.
        asked: OperationId,
        /// What it answered for.
        found: OperationId,
    },
    /// A validator showed another bundle than the one asked for, or not all of it.
    #[error("validator at {endpoint} showed another bundle than the one asked for, or not all of it")]
    OtherBundle {
        /// Which.
        endpoint: String,
    },
    /// A validator proved something else than was asked for.
    #[error("validator at {endpoint} proved something about {found} instead of {asked}")]
    OtherSubject {
        /// Which.
        endpoint: String,
        /// What was asked for.
        asked: String,
        /// What the proof is about.
        found: String,
    },
    /// A validator proved a state that is older than what was committed before the read began: it is behind,
    /// or it replays an old certificate.
    #[error(
        "validator at {endpoint} proved the state at sequence {found}, but {wanted} was committed before the \
         read began: it is behind, or it shows an old state on purpose"
    )]
    Stale {
        /// Which.
        endpoint: String,
        /// The sequence of its proof.
        found: Sequence,
        /// The sequence that it must be at or above.
        wanted: Sequence,
    },
    /// Too few validators said how far the order has gone.
    #[error("{answered} validators said how far the order has gone, {needed} are needed; the last failure: {last}")]
    NoFreshness {
        /// How many did.
        answered: usize,
        /// How many must.
        needed: usize,
        /// What the last of the others said.
        last: String,
    },
    /// A validator answered with what can't be read.
    #[error("validator at {endpoint} answered with what can't be read: {fault}")]
    Answer {
        /// Which.
        endpoint: String,
        /// What is wrong.
        fault: FieldFault,
    },
    /// A validator's status that isn't one of ours.
    #[error("validator at {endpoint}: {}{}", words(status), hint.words())]
    Transport {
        /// Which.
        endpoint: String,
        /// What gRPC says.
        status: Box<Status>,
        /// What may be the matter.
        hint: Hint,
    },
    /// A stream of answers ended.
    #[error("the stream to {endpoint} ended")]
    StreamEnded {
        /// Which.
        endpoint: String,
    },
    /// An address can't be one.
    #[error(transparent)]
    Address(#[from] quorate_transport::channel::ChannelFault),
}

/// What may be the matter with a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    /// Nothing that a caller could change.
    #[default]
    None,
    /// The certificate isn't signed by the authority that the client trusts.
    Authority,
    /// The client speaks without TLS.
    Plaintext,
}

impl Hint {
    pub(crate) fn of(has_tls: bool, fault: &ClientFault) -> Self {
        match fault {
            ClientFault::Transport { status, .. } if has_tls && words(status).contains("certificate") => {
                Self::Authority
            }
            // A refused connection says nothing about what the other end wants.
            ClientFault::Transport { status, .. } if !has_tls && !words(status).contains("connect error") => {
                Self::Plaintext
            }
            _ => Self::None,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Authority => "; is --authority this cluster's authority.crt?",
            Self::Plaintext => "; does it want TLS? Try without --plaintext",
        }
    }
}

/// A status with what caused it, each said once.
fn words(status: &Status) -> String {
    let mut said = format!("{}: {}", status.code(), status.message());
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let cause = error.to_string();
        if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
        source = error.source();
    }
    said
}

impl ClientFault {
    pub(crate) fn of_status(endpoint: &str, status: Status) -> Self {
        match ApiFault::of_status(&status) {
            Some(fault) => Self::Api(fault),
            None => Self::Transport { endpoint: endpoint.to_owned(), status: Box::new(status), hint: Hint::None },
        }
    }

    pub(crate) fn with_hint(mut self, found: Hint) -> Self {
        if let Self::Transport { hint, .. } = &mut self {
            *hint = found;
        }
        self
    }

    /// Whether trying again, elsewhere or later, may help. A lying validator is a reason to ask another.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Api(fault) => fault.reason.is_passing(),
            Self::Address(_) => false,
            // A request beyond the size of a message, or for a call that this version doesn't have.
            Self::Transport { status, .. } => !matches!(status.code(), Code::OutOfRange | Code::Unimplemented),
            Self::NoAnswer { .. }
            | Self::TimedOut { .. }
            | Self::OtherCluster { .. }
            | Self::Proof { .. }
            | Self::OtherOperation { .. }
            | Self::OtherBundle { .. }
            | Self::OtherSubject { .. }
            | Self::Stale { .. }
            | Self::NoFreshness { .. }
            | Self::Answer { .. }
            | Self::StreamEnded { .. } => true,
        }
    }

    /// The reason, if a validator gave one.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Api(fault) => Some(fault.reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_validator_will_ever_take_is_not_tried_again() {
        let of = |code| ClientFault::of_status("v0", Status::new(code, "")).is_passing();
        assert!(!of(Code::OutOfRange), "larger than a message may be");
        assert!(!of(Code::Unimplemented), "unknown to this version");
        assert!(of(Code::Unavailable) && of(Code::Unknown), "a connection that broke");
    }
}
