//! The statements inside messages, by who signed them.

use quorate_types::bundle::BundleHeader;
use quorate_types::execution::ExecutionVote;
use quorate_types::ids::{Epoch, ValidatorIndex};
use quorate_types::message::Message;
use quorate_types::signed::Signed;
use quorate_types::view_change::{Complaint, NewView, ViewChange};
use quorate_types::vote::{Certificate, Vote};

/// A signed statement.
#[derive(Clone, Copy, Debug)]
pub enum Statement<'a> {
    /// A vote.
    Vote(&'a Signed<Vote>),
    /// A complaint.
    Complaint(&'a Signed<Complaint>),
    /// A view change, without its proofs.
    ViewChange(&'a Signed<ViewChange>),
    /// A new view.
    NewView(&'a Signed<NewView>),
    /// A bundle's header.
    Bundle(&'a Signed<BundleHeader>),
    /// An execution vote.
    Execution(&'a Signed<ExecutionVote>),
}

impl Statement<'_> {
    /// The signature's bytes: they identify the statement.
    pub(super) fn signature(&self) -> &[u8; 64] {
        match self {
            Self::Vote(signed) => signed.signature.as_bytes(),
            Self::Complaint(signed) => signed.signature.as_bytes(),
            Self::ViewChange(signed) => signed.signature.as_bytes(),
            Self::NewView(signed) => signed.signature.as_bytes(),
            Self::Bundle(signed) => signed.signature.as_bytes(),
            Self::Execution(signed) => signed.signature.as_bytes(),
        }
    }

    /// The epoch that it is of.
    pub(super) fn epoch(&self) -> Epoch {
        match self {
            Self::Vote(signed) => signed.statement.epoch,
            Self::Complaint(signed) => signed.statement.epoch,
            Self::ViewChange(signed) => signed.statement.epoch,
            Self::NewView(signed) => signed.statement.epoch,
            Self::Bundle(signed) => signed.statement.epoch,
            Self::Execution(signed) => signed.statement.execution.epoch,
        }
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Vote(signed) => {
                let Vote { view, sequence, digest, phase, .. } = signed.statement;
                format!("{phase:?} vote at view {view}, sequence {sequence} for {digest:?}")
            }
            Self::Complaint(signed) => {
                format!("complaint about view {} at {}", signed.statement.view, signed.statement.time)
            }
            Self::ViewChange(signed) => format!("view change for view {}", signed.statement.new_view),
            Self::NewView(signed) => format!("new view {}", signed.statement.view),
            Self::Bundle(signed) => format!("bundle {}", signed.statement.number),
            Self::Execution(signed) => format!("execution vote at {}", signed.statement.execution.sequence),
        }
    }
}

/// The statements of `signer` that a message carries in its own right. What is inside certificates and new
/// views was such a statement before.
pub(crate) fn statements_of(message: &Message, signer: ValidatorIndex) -> Vec<Statement<'_>> {
    let all = match message {
        Message::PrePrepare(pre_prepare) => vec![Statement::Vote(&pre_prepare.vote)],
        Message::Vote(vote) => {
            let primary = vote.primary.iter().map(Statement::Vote);
            primary.chain([Statement::Vote(&vote.vote)]).collect()
        }
        Message::Complaint(complaint) => vec![Statement::Complaint(complaint)],
        Message::ViewChange(change) => vec![Statement::ViewChange(&change.signed)],
        Message::NewView(new_view) => vec![Statement::NewView(new_view)],
        Message::ExecutionVote(vote) => vec![Statement::Execution(vote)],
        Message::Bundle(bundle) => vec![Statement::Bundle(&bundle.header)],
        Message::Status(status) => status.complaint.iter().map(Statement::Complaint).collect(),
        Message::Certificate(_)
        | Message::ExecutionCertificate(_)
        | Message::Proposal(_)
        | Message::Segment(_)
        | Message::Request(_)
        | Message::Checkpoint(_)
        | Message::Chunk(_)
        | Message::Operation(_)
        | Message::Freshness(_)
        | Message::Evidence(_)
        | Message::EvidenceHeld(_) => Vec::new(),
    };
    all.into_iter().filter(|statement| signer_of(statement) == signer).collect()
}

fn signer_of(statement: &Statement<'_>) -> ValidatorIndex {
    match statement {
        Statement::Vote(signed) => signed.signer(),
        Statement::Complaint(signed) => signed.signer(),
        Statement::ViewChange(signed) => signed.signer(),
        Statement::NewView(signed) => signed.signer(),
        Statement::Bundle(signed) => signed.signer(),
        Statement::Execution(signed) => signed.signer(),
    }
}

/// The epoch of what a message says, if it is of one.
pub(super) fn epoch_in(message: &Message) -> Option<Epoch> {
    match message {
        Message::PrePrepare(pre_prepare) => Some(pre_prepare.vote.statement.epoch),
        Message::Vote(vote) => Some(vote.vote.statement.epoch),
        Message::Complaint(complaint) => Some(complaint.statement.epoch),
        Message::ViewChange(change) => Some(change.signed.statement.epoch),
        Message::NewView(new_view) => Some(new_view.statement.epoch),
        Message::ExecutionVote(vote) => Some(vote.statement.execution.epoch),
        Message::Bundle(bundle) => Some(bundle.header.statement.epoch),
        Message::Status(status) => Some(status.epoch),
        Message::Certificate(certificate) => Some(certificate.epoch),
        Message::ExecutionCertificate(certificate) => Some(certificate.execution.epoch),
        Message::Proposal(proposal) => Some(proposal.epoch),
        Message::Segment(segment) => Some(segment.certificate.epoch),
        Message::Checkpoint(checkpoint) => Some(checkpoint.certificate.execution.epoch),
        Message::Freshness(answer) => Some(answer.signed.statement.epoch),
        Message::Request(_)
        | Message::Chunk(_)
        | Message::Operation(_)
        | Message::Evidence(_)
        | Message::EvidenceHeld(_) => None,
    }
}

/// The vote certificates that a message carries.
pub(super) fn certificates_in(message: &Message) -> Vec<&Certificate> {
    match message {
        Message::ViewChange(change) => [&change.prepared, &change.committed].into_iter().flatten().collect(),
        Message::NewView(new_view) => {
            let NewView { prepared, committed, .. } = &new_view.statement;
            [prepared, committed].into_iter().flatten().collect()
        }
        Message::Certificate(certificate) => vec![certificate],
        Message::Segment(segment) => vec![&segment.certificate],
        _ => Vec::new(),
    }
}
