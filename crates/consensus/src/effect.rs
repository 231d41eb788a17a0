//! What goes into the core and what comes out of it.
//!
//! The core speaks in unsigned statements. The composite signs through its guard, records, and hands the
//! signed statement back as [`Input::Own`] in the same step; only then does it count.

use quorate_crypto::Digest;
use quorate_types::contradiction::Contradiction;
use quorate_types::ids::{Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, Request, Segment, Status};
use quorate_types::proposal::{Payload, PrePrepare, Proposal};
use quorate_types::signed::Signed;
use quorate_types::view_change::{Complaint, NewView, ViewChange, ViewChangeMessage};
use quorate_types::vote::{Certificate, Vote};

use crate::config::Link;
use crate::fairness::LaneDemand;

/// One thing that happened. Signatures and context-free rules have been checked.
#[derive(Clone, Debug)]
pub enum Input {
    /// A proposal put to the vote.
    PrePrepare(PrePrepare),
    /// A vote, and the primary's vote that it answers.
    Vote(Signed<Vote>, Option<Signed<Vote>>),
    /// A complaint.
    Complaint(Signed<Complaint>),
    /// A view change with its proofs.
    ViewChange(Box<ViewChangeMessage>),
    /// A new view.
    NewView(Box<Signed<NewView>>),
    /// A certificate sent in answer to a status.
    Certificate(Certificate),
    /// A proposal that was asked for.
    Proposal(Proposal),
    /// A stretch of the committed chain that was asked for.
    Segment(Box<Segment>),
    /// A peer's report.
    Status(ValidatorIndex, Box<Status>),
    /// What the guard signed for this core, handed back.
    Own(Box<Own>),
    /// The answer to [`Effect::CheckPayload`]: held and valid, or contradicting.
    Payload(Digest, bool),
    /// A payload for the slot that [`crate::Core::slot`] named.
    Propose(Payload),
    /// What waits to be ordered, above the tip of the view's chain.
    Demand(LaneDemand),
    /// This validator executed up to here.
    Executed(Sequence),
    /// The stable checkpoint moved: executed here, and its execution certificate held (protocol §8.1).
    Stable(Sequence),
    /// Signing may begin (protocol §7.3).
    MaySign,
    /// Time passed: timers are judged.
    Tick,
}

/// A statement of this validator, signed.
#[derive(Clone, Debug)]
pub enum Own {
    /// Its vote.
    Vote(Signed<Vote>),
    /// Its proposal.
    PrePrepare(PrePrepare),
    /// Its complaint.
    Complaint(Signed<Complaint>),
    /// Its view change.
    ViewChange(ViewChangeMessage),
    /// Its new view.
    NewView(Signed<NewView>),
}

/// One thing to do. All that must be durable is saved in the same batch, before anything that was signed
/// in the step leaves (protocol §7.1).
#[derive(Clone, Debug)]
pub enum Effect {
    /// Sign, record and broadcast a vote, with the primary's vote that it answers.
    SignVote(Vote, Option<Signed<Vote>>),
    /// Sign, record and broadcast a proposal by this primary's prepare vote.
    SignPrePrepare(Proposal, Vote),
    /// Sign, record and broadcast a complaint.
    SignComplaint(Complaint),
    /// Sign, record and broadcast a view change with its proofs.
    SignViewChange(ViewChange, Option<Certificate>, Option<Certificate>),
    /// Sign, record and broadcast a new view.
    SignNewView(Box<NewView>),
    /// Record the view and whether it is active.
    SaveView(View, bool),
    /// Record the accepted new view.
    SaveNewView(Box<Signed<NewView>>),
    /// Record a proposal.
    SaveProposal(Digest, Proposal),
    /// Record the first-seen vote of another validator.
    SaveVote(Signed<Vote>),
    /// Record the highest prepared certificate.
    SavePrepared(Certificate),
    /// Record a commit certificate.
    SaveCommit(Certificate),
    /// Judge a payload against the chain of its parent; answered by [`Input::Payload`], at once or when the
    /// data has come.
    CheckPayload(Digest, Proposal),
    /// The next proposal of the total order.
    Deliver(Link, Proposal),
    /// Send to one validator.
    Send(ValidatorIndex, Message),
    /// Send to all others something that was durable before this step, or isn't signed by this validator.
    Broadcast(Message),
    /// Ask, of one validator.
    Ask(ValidatorIndex, Request),
    /// Two statements of one validator contradict each other.
    Contradiction(Contradiction),
    /// Tell people.
    Notice(CoreNotice),
}

/// What people and metrics hear from the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreNotice {
    /// This validator complains about a view, for this reason.
    Complains(View, Cause),
    /// It left its view and changes to another.
    Leaves {
        /// The view left.
        from: View,
        /// The view wanted.
        to: View,
    },
    /// It entered a view.
    Enters {
        /// The view.
        view: View,
        /// Its primary.
        primary: ValidatorIndex,
        /// The sequence of the view's anchor.
        anchor: Sequence,
    },
    /// Two proposals are certified at one sequence: more than `f` validators are faulty. The core has
    /// stopped voting.
    SafetyAlarm {
        /// The sequence.
        sequence: Sequence,
        /// What this validator knows committed.
        committed: Digest,
        /// What contradicts it.
        other: Digest,
    },
    /// A committed proposal's payload contradicts this validator's lanes: as grave as the above.
    InvalidCommitted(Link),
}

/// Why a validator complains (protocol §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Something waits and nothing commits.
    Progress,
    /// Others commit, one lane is passed over.
    Fairness,
    /// The primary's status is missing.
    Heartbeat,
    /// The primary's block times stay behind.
    SlowClock,
    /// No new view although a quorum wants one.
    NewViewMissing,
    /// The primary commits, and much more slowly than it could (protocol §4.11).
    SlowPrimary,
    /// The view has lasted as long as one may: nothing is wrong with it (protocol §4.12).
    Rotation,
}

impl Cause {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Progress,
        Self::Fairness,
        Self::Heartbeat,
        Self::SlowClock,
        Self::NewViewMissing,
        Self::SlowPrimary,
        Self::Rotation,
    ];
}
