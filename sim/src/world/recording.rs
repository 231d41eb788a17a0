//! What happened in a run, for people: the story line by line, and messages with their times.
//!
//! Bounded: of a long run the last messages and the last state changes are kept, because what was found
//! stands at the end; how many were dropped is counted.

use std::collections::VecDeque;

use quorate_types::message::{Message, Request};
use serde::Serialize;

use super::network::Fate;

/// The most messages kept.
const MOST_MESSAGES: usize = 24_000;
/// The most state changes kept.
const MOST_MARKS: usize = 40_000;

/// What a state change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A view is entered.
    Enters,
    /// A view is left.
    Leaves,
    /// A complaint.
    Complains,
    /// A proposal is delivered.
    Delivers,
    /// A sequence is executed.
    Executes,
    /// An execution certificate is held.
    Certified,
    /// A checkpoint is stable.
    Stable,
    /// A process dies.
    Crash,
    /// A process starts.
    Start,
    /// A fault of the plan.
    Fault,
    /// The faults end.
    Heal,
    /// A contradiction of a validator is held.
    Contradiction,
    /// What a validator suspects others of changed.
    Suspicion,
    /// A state comes from other validators.
    Transfer,
    /// A validator's standing changes.
    Standing,
    /// Something that a correct validator should never say.
    Alarm,
    /// A client's operation is taken in.
    Intake,
    /// Something about a read.
    Reads,
    /// The verdict.
    Verdict,
}

impl State {
    /// Whether it belongs to the story when only the main lines are told.
    #[must_use]
    pub const fn is_main(self) -> bool {
        !matches!(self, Self::Delivers | Self::Executes | Self::Certified | Self::Stable | Self::Intake | Self::Reads)
    }
}

/// A state change.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// When.
    pub at_us: u64,
    /// What.
    pub state: State,
    /// Of which machine.
    pub who: Option<u16>,
    /// In which view that machine was.
    pub view: Option<u64>,
    /// In words.
    pub text: String,
}

/// A message.
#[derive(Clone, Debug, Serialize)]
pub struct Flight {
    /// When it was sent.
    pub sent_us: u64,
    /// When it arrives; `None` if it is lost or held.
    pub arrives_us: Option<u64>,
    /// The machine that sent it.
    pub from: u16,
    /// The machine that it is for.
    pub to: u16,
    /// Its kind.
    pub kind: &'static str,
    /// What it says, in short.
    pub about: String,
}

/// A run's story.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recording {
    /// State changes, in order.
    pub marks: VecDeque<Mark>,
    /// Messages, in the order in which they were sent.
    pub flights: VecDeque<Flight>,
    /// State changes no longer kept.
    pub dropped_marks: u64,
    /// Messages no longer kept.
    pub dropped_flights: u64,
}

impl Recording {
    pub(super) fn mark(&mut self, mark: Mark) {
        self.marks.push_back(mark);
        if self.marks.len() > MOST_MARKS {
            self.marks.pop_front();
            self.dropped_marks += 1;
        }
    }

    pub(super) fn message(&mut self, sent_us: u64, (from, to): (u16, u16), message: &Message, fate: &Fate) {
        let arrives_us = fate.arrivals_us.first().copied().filter(|_| !fate.is_held);
        let (kind, about) = (message.kind(), about(message));
        self.flights.push_back(Flight { sent_us, arrives_us, from, to, kind, about });
        if self.flights.len() > MOST_MESSAGES {
            self.flights.pop_front();
            self.dropped_flights += 1;
        }
    }

    /// The story, line by line.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.marks.iter().map(|mark| format!("{:>10.3} ms  {}", mark.at_us as f64 / 1_000.0, mark.text))
    }
}

/// What a message says, in short.
fn about(message: &Message) -> String {
    match message {
        Message::PrePrepare(pre_prepare) => {
            let vote = pre_prepare.vote.statement;
            let tips = pre_prepare.proposal.payload.tips.len();
            format!("view {}, sequence {}, {:?}, {tips} lane tips", vote.view, vote.sequence, vote.digest)
        }
        Message::Vote(vote) => {
            let vote = vote.vote.statement;
            format!("view {}, sequence {}, {:?}, by {}", vote.view, vote.sequence, vote.digest, vote.validator)
        }
        Message::Complaint(complaint) => {
            let complaint = complaint.statement;
            format!("about view {}, by {}", complaint.view, complaint.validator)
        }
        Message::ViewChange(change) => {
            let change = &change.signed.statement;
            let place = |claim: Option<quorate_types::vote::Claim>| {
                claim.map_or("nothing".to_owned(), |claim| format!("{} in view {}", claim.sequence, claim.view))
            };
            let (prepared, committed) = (place(change.prepared), place(change.committed));
            format!("to view {}, by {}; prepared {prepared}, committed {committed}", change.new_view, change.validator)
        }
        Message::NewView(new_view) => {
            let new_view = &new_view.statement;
            format!("view {}, from {} view changes", new_view.view, new_view.view_changes.len())
        }
        Message::ExecutionVote(vote) => format!("sequence {}", vote.statement.execution.sequence),
        Message::Bundle(bundle) => {
            let header = bundle.header.statement;
            format!("lane {}, number {}, {} operations", header.lane, header.number, bundle.operations.len())
        }
        Message::Status(status) => {
            let is_active = if status.active { "active" } else { "changing" };
            format!("view {} {is_active}, committed {}, executed {}", status.view, status.committed, status.executed)
        }
        Message::Evidence(evidence) => format!("{} against {}", evidence.kind(), evidence.accused()),
        Message::EvidenceHeld(id) => format!("{id:?}"),
        Message::Certificate(certificate) => {
            let claim = certificate.claim;
            format!("{:?}, view {}, sequence {}", certificate.phase, claim.view, claim.sequence)
        }
        Message::ExecutionCertificate(certificate) => format!("sequence {}", certificate.execution.sequence),
        Message::Proposal(proposal) => format!("sequence {}", proposal.sequence),
        Message::Segment(segment) => {
            format!("{} proposals up to {}", segment.proposals.len(), segment.certificate.claim.sequence)
        }
        Message::Request(Request::Proposal(digest)) => format!("proposal {digest:?}"),
        Message::Request(Request::Segment(from)) => format!("chain from {from}"),
        Message::Request(Request::Bundles { lane, from, to, .. }) => format!("bundles {from} to {to} of lane {lane}"),
        Message::Request(Request::Execution(from)) => format!("execution certificates from {from}"),
        Message::Request(Request::Freshness(_)) => "how far the order is".to_owned(),
        Message::Request(Request::Checkpoint) => "which checkpoint".to_owned(),
        Message::Request(Request::Chunk { checkpoint, span }) => {
            format!("state of checkpoint {checkpoint} from {:?}", span.from)
        }
        Message::Checkpoint(offer) => format!("checkpoint {}, pruned up to {}", offer.sequence(), offer.pruned),
        Message::Chunk(chunk) => format!("{} entries of checkpoint {}", chunk.entries.len(), chunk.checkpoint),
        Message::Operation(operation) => format!("operation {}", operation.id()),
        Message::Freshness(answer) => format!("committed {}", answer.signed.statement.committed),
    }
}
