//! What validators say to each other: the frames of the peer streams.
//!
//! A frame is one version byte, one kind byte and the kind's canonical bytes. Statements inside speak
//! for themselves by their signatures; `Status`, requests and answers carry none: the session that
//! brought them says whose they are (protocol §1.5).

use std::sync::Arc;

use quorate_crypto::Digest;

use crate::bundle::{Bundle, BundleHeader};
use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::evidence::Evidence;
use crate::execution::{ExecutionCertificate, ExecutionVote};
use crate::freshness::{FreshnessAnswer, Nonce};
use crate::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex, View};
use crate::limits::{MAX_SEGMENT_PROPOSALS, MAX_STATUS_SLOTS, MAX_VALIDATORS};
use crate::operation::Operation;
use crate::proposal::{LaneTip, PrePrepare, Proposal};
use crate::signed::{LAYOUT_VERSION, Signed};
use crate::snapshot::{Checkpoint, Chunk, Span};
use crate::view_change::{Complaint, NewView, ViewChange, ViewChangeMessage};
use crate::vote::{Certificate, Phase, Vote};

/// A set of validators by index, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voters([u64; MAX_VALIDATORS / 64]);

/// A vote; a backup's prepare travels with the primary's vote that it answers, so that an equivocating
/// primary is caught at the first exchange of votes (protocol §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteMessage {
    /// The sender's vote.
    pub vote: Signed<Vote>,
    /// The primary's prepare vote for the same slot.
    pub primary: Option<Signed<Vote>>,
}

/// What one validator counts for one (view, sequence, phase).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// The view.
    pub view: View,
    /// The sequence.
    pub sequence: Sequence,
    /// The phase.
    pub phase: Phase,
    /// The digest counted.
    pub digest: Digest,
    /// Who voted for *that* digest.
    pub voters: Voters,
}

/// The highest messages of one key that a peer holds (protocol §7.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldOfYours {
    /// Its highest prepare and highest commit vote, by view and sequence.
    pub votes: Vec<Signed<Vote>>,
    /// Its highest complaint.
    pub complaint: Option<Signed<Complaint>>,
    /// Its highest view change.
    pub view_change: Option<Signed<ViewChange>>,
    /// The header of its highest bundle.
    pub bundle: Option<Signed<BundleHeader>>,
    /// Its highest execution vote.
    pub execution: Option<Signed<ExecutionVote>>,
}

/// The small regular report by which validators find out what each other lacks (protocol §2.9, §9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// Its view.
    pub view: View,
    /// Whether it votes there, or is still changing to it.
    pub active: bool,
    /// Its highest delivered sequence.
    pub committed: Sequence,
    /// Its stable checkpoint.
    pub stable: Sequence,
    /// Its highest executed sequence.
    pub executed: Sequence,
    /// The highest sequence up to which it holds every execution certificate.
    pub certified: Sequence,
    /// What it counts above `committed`.
    pub slots: Vec<SlotStatus>,
    /// The highest complete tip that it holds of each lane, ascending.
    pub tips: Vec<LaneTip>,
    /// Whose view changes for its view, or above, it holds (while changing).
    pub view_changes: Voters,
    /// Its complaint, while the cause lasts.
    pub complaint: Option<Signed<Complaint>>,
    /// Whether it signs nothing (quarantine, protocol §7.4).
    pub quarantined: bool,
    /// "Tell me the highest message of my key that you hold" (protocol §7.3).
    pub asks_for_own: bool,
    /// The answer to that, to this receiver.
    pub yours: Option<Box<HeldOfYours>>,
}

/// A stretch of the chain, ascending, whose last proposal is committed by `certificate`: a full proof of
/// the log between a known digest and there (protocol §2.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Proposals, each the parent of the next.
    pub proposals: Vec<Proposal>,
    /// The commit certificate for the last.
    pub certificate: Certificate,
}

/// What a validator asks of another. Answered from the store, within a byte budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// A proposal by digest.
    Proposal(Digest),
    /// The committed chain from this sequence on.
    Segment(Sequence),
    /// Bundles of a lane, with these numbers (both included), in the chain that ends in `tip`.
    Bundles {
        /// The epoch.
        epoch: Epoch,
        /// Whose lane.
        lane: ValidatorIndex,
        /// The first number wanted.
        from: BundleNumber,
        /// The last number wanted.
        to: BundleNumber,
        /// The digest of bundle `to`.
        tip: Digest,
    },
    /// The execution certificates from this sequence on, as many as fit.
    Execution(Sequence),
    /// A freshness statement over this nonce (data-model §5.3).
    Freshness(Nonce),
    /// Which checkpoint's state can be handed over (protocol §8.7).
    Checkpoint,
    /// The entries of a checkpoint's state in this span, from its lower bound on as many as fit (protocol §8.7).
    Chunk {
        /// The checkpoint.
        checkpoint: Sequence,
        /// The places.
        span: Span,
    },
}

/// One frame between validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A proposal put to the vote.
    PrePrepare(PrePrepare),
    /// A vote.
    Vote(VoteMessage),
    /// A complaint.
    Complaint(Signed<Complaint>),
    /// A view change with its proofs.
    ViewChange(Box<ViewChangeMessage>),
    /// A new view.
    NewView(Box<Signed<NewView>>),
    /// An execution vote.
    ExecutionVote(Signed<ExecutionVote>),
    /// A bundle of a lane.
    Bundle(Arc<Bundle>),
    /// The regular report.
    Status(Box<Status>),
    /// A prepared or commit certificate, in answer to a status.
    Certificate(Certificate),
    /// An execution certificate, in answer to a status or request.
    ExecutionCertificate(ExecutionCertificate),
    /// A proposal that was asked for by digest.
    Proposal(Proposal),
    /// A stretch of the committed chain that was asked for.
    Segment(Box<Segment>),
    /// A question.
    Request(Request),
    /// A freshness statement that was asked for.
    Freshness(Box<FreshnessAnswer>),
    /// The checkpoint that its sender can hand over: that was asked for, or what was asked for is pruned.
    Checkpoint(Box<Checkpoint>),
    /// Part of a snapshot that was asked for.
    Chunk(Box<Chunk>),
    /// Evidence, for all to keep (accountability §3.2).
    Evidence(Box<Evidence>),
    /// "I keep the evidence with this id, or have no room for it": it needn't be offered again.
    EvidenceHeld(Digest),
    /// A validator's word about its own store, to be bundled by whoever gets it (protocol §7.4).
    Operation(Arc<Operation>),
}

impl Voters {
    /// Adds `validator`; an index above the bound is left out.
    pub fn insert(&mut self, validator: ValidatorIndex) {
        if let Some(word) = self.0.get_mut(validator.position() / 64) {
            *word |= 1 << (validator.0 % 64);
        }
    }

    /// Whether `validator` is in the set.
    #[must_use]
    pub fn contains(&self, validator: ValidatorIndex) -> bool {
        self.0.get(validator.position() / 64).is_some_and(|word| word >> (validator.0 % 64) & 1 == 1)
    }

    /// How many are in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

impl FromIterator<ValidatorIndex> for Voters {
    fn from_iter<I: IntoIterator<Item = ValidatorIndex>>(validators: I) -> Self {
        let mut voters = Self::default();
        validators.into_iter().for_each(|validator| voters.insert(validator));
        voters
    }
}

impl Message {
    /// A short name of the kind, for logs, metrics and fault plans.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PrePrepare(_) => "pre-prepare",
            Self::Vote(VoteMessage { vote, .. }) => match vote.statement.phase {
                Phase::Prepare => "prepare",
                Phase::Commit => "commit",
            },
            Self::Complaint(_) => "complaint",
            Self::ViewChange(_) => "view-change",
            Self::NewView(_) => "new-view",
            Self::ExecutionVote(_) => "execution-vote",
            Self::Bundle(_) => "bundle",
            Self::Status(_) => "status",
            Self::Certificate(_) => "certificate",
            Self::ExecutionCertificate(_) => "execution-certificate",
            Self::Proposal(_) => "proposal",
            Self::Segment(_) => "segment",
            Self::Request(_) => "request",
            Self::Freshness(_) => "freshness",
            Self::Checkpoint(_) => "checkpoint",
            Self::Chunk(_) => "chunk",
            Self::Evidence(_) => "evidence",
            Self::EvidenceHeld(_) => "evidence-held",
            Self::Operation(_) => "operation",
        }
    }

    /// Whether it is bulk data, which travels on the stream that never delays a vote.
    #[must_use]
    pub const fn is_bulk(&self) -> bool {
        match self {
            // Short, and somebody waits for its answer.
            Self::Request(Request::Freshness(_)) => false,
            Self::Bundle(_)
            | Self::Segment(_)
            | Self::Chunk(_)
            | Self::Request(_)
            | Self::Evidence(_)
            | Self::Operation(_) => true,
            _ => false,
        }
    }
}

impl Canonical for Voters {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|word| word.encode(out));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut words = [0; MAX_VALIDATORS / 64];
        for word in &mut words {
            *word = input.u64()?;
        }
        Ok(Self(words))
    }
}

impl Canonical for VoteMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        self.vote.encode(out);
        self.primary.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { vote: Signed::decode(input)?, primary: Option::decode(input)? })
    }
}

impl Canonical for SlotStatus {
    fn encode(&self, out: &mut Vec<u8>) {
        self.view.encode(out);
        self.sequence.encode(out);
        self.phase.encode(out);
        self.digest.encode(out);
        self.voters.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            view: View::decode(input)?,
            sequence: Sequence::decode(input)?,
            phase: Phase::decode(input)?,
            digest: Digest::decode(input)?,
            voters: Voters::decode(input)?,
        })
    }
}

impl Canonical for HeldOfYours {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.votes, out);
        self.complaint.encode(out);
        self.view_change.encode(out);
        self.bundle.encode(out);
        self.execution.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            votes: input.list(2, "votes held of a key")?,
            complaint: Option::decode(input)?,
            view_change: Option::decode(input)?,
            bundle: Option::decode(input)?,
            execution: Option::decode(input)?,
        })
    }
}

impl Canonical for Status {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.view.encode(out);
        self.active.encode(out);
        self.committed.encode(out);
        self.stable.encode(out);
        self.executed.encode(out);
        self.certified.encode(out);
        encode_list(&self.slots, out);
        encode_list(&self.tips, out);
        self.view_changes.encode(out);
        self.complaint.encode(out);
        self.quarantined.encode(out);
        self.asks_for_own.encode(out);
        self.yours.is_some().encode(out);
        if let Some(yours) = &self.yours {
            yours.encode(out);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let status = Self {
            epoch: Epoch::decode(input)?,
            view: View::decode(input)?,
            active: bool::decode(input)?,
            committed: Sequence::decode(input)?,
            stable: Sequence::decode(input)?,
            executed: Sequence::decode(input)?,
            certified: Sequence::decode(input)?,
            slots: input.list(MAX_STATUS_SLOTS, "slots of a status")?,
            tips: input.list(MAX_VALIDATORS, "lane tips of a status")?,
            view_changes: Voters::decode(input)?,
            complaint: Option::decode(input)?,
            quarantined: bool::decode(input)?,
            asks_for_own: bool::decode(input)?,
            yours: Option::<HeldOfYours>::decode(input)?.map(Box::new),
        };
        if !status.tips.is_sorted_by(|a, b| a.lane < b.lane) {
            return Err(DecodeError::Malformed { what: "status", rule: "lanes ascend, each at most once" });
        }
        Ok(status)
    }
}

impl Canonical for Segment {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.proposals, out);
        self.certificate.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            proposals: input.list(MAX_SEGMENT_PROPOSALS, "proposals of a segment")?,
            certificate: Certificate::decode(input)?,
        })
    }
}

impl Canonical for Request {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Proposal(digest) => {
                out.push(1);
                digest.encode(out);
            }
            Self::Segment(from) => {
                out.push(2);
                from.encode(out);
            }
            Self::Bundles { epoch, lane, from, to, tip } => {
                out.push(3);
                epoch.encode(out);
                lane.encode(out);
                from.encode(out);
                to.encode(out);
                tip.encode(out);
            }
            Self::Execution(sequence) => {
                out.push(4);
                sequence.encode(out);
            }
            Self::Freshness(nonce) => {
                out.push(5);
                out.extend_from_slice(nonce);
            }
            Self::Checkpoint => out.push(6),
            Self::Chunk { checkpoint, span } => {
                out.push(7);
                checkpoint.encode(out);
                span.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            1 => Digest::decode(input).map(Self::Proposal),
            2 => Sequence::decode(input).map(Self::Segment),
            3 => Ok(Self::Bundles {
                epoch: Epoch::decode(input)?,
                lane: ValidatorIndex::decode(input)?,
                from: BundleNumber::decode(input)?,
                to: BundleNumber::decode(input)?,
                tip: Digest::decode(input)?,
            }),
            4 => Sequence::decode(input).map(Self::Execution),
            5 => input.array().map(Self::Freshness),
            6 => Ok(Self::Checkpoint),
            7 => Ok(Self::Chunk { checkpoint: Sequence::decode(input)?, span: Span::decode(input)? }),
            value => Err(DecodeError::Unknown { what: "request", value }),
        }
    }
}

impl Canonical for Message {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(LAYOUT_VERSION);
        match self {
            Self::PrePrepare(inner) => encode_kind(1, inner, out),
            Self::Vote(inner) => encode_kind(2, inner, out),
            Self::Complaint(inner) => encode_kind(3, inner, out),
            Self::ViewChange(inner) => encode_kind(4, inner.as_ref(), out),
            Self::NewView(inner) => encode_kind(5, inner.as_ref(), out),
            Self::ExecutionVote(inner) => encode_kind(6, inner, out),
            Self::Bundle(inner) => encode_kind(7, inner.as_ref(), out),
            Self::Status(inner) => encode_kind(8, inner.as_ref(), out),
            Self::Certificate(inner) => encode_kind(9, inner, out),
            Self::ExecutionCertificate(inner) => encode_kind(10, inner, out),
            Self::Proposal(inner) => encode_kind(11, inner, out),
            Self::Segment(inner) => encode_kind(12, inner.as_ref(), out),
            Self::Request(inner) => encode_kind(13, inner, out),
            Self::Freshness(inner) => encode_kind(14, inner.as_ref(), out),
            Self::Checkpoint(inner) => encode_kind(15, inner.as_ref(), out),
            Self::Chunk(inner) => encode_kind(16, inner.as_ref(), out),
            Self::Evidence(inner) => encode_kind(17, inner.as_ref(), out),
            Self::EvidenceHeld(inner) => encode_kind(18, inner, out),
            Self::Operation(inner) => encode_kind(19, inner.as_ref(), out),
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            LAYOUT_VERSION => {}
            value => return Err(DecodeError::Unknown { what: "message version", value }),
        }
        match input.u8()? {
            1 => PrePrepare::decode(input).map(Self::PrePrepare),
            2 => VoteMessage::decode(input).map(Self::Vote),
            3 => Signed::decode(input).map(Self::Complaint),
            4 => ViewChangeMessage::decode(input).map(|inner| Self::ViewChange(Box::new(inner))),
            5 => Signed::decode(input).map(|inner| Self::NewView(Box::new(inner))),
            6 => Signed::decode(input).map(Self::ExecutionVote),
            7 => Bundle::decode(input).map(|inner| Self::Bundle(Arc::new(inner))),
            8 => Status::decode(input).map(|inner| Self::Status(Box::new(inner))),
            9 => Certificate::decode(input).map(Self::Certificate),
            10 => ExecutionCertificate::decode(input).map(Self::ExecutionCertificate),
            11 => Proposal::decode(input).map(Self::Proposal),
            12 => Segment::decode(input).map(|inner| Self::Segment(Box::new(inner))),
            13 => Request::decode(input).map(Self::Request),
            14 => FreshnessAnswer::decode(input).map(|inner| Self::Freshness(Box::new(inner))),
            15 => Checkpoint::decode(input).map(|inner| Self::Checkpoint(Box::new(inner))),
            16 => Chunk::decode(input).map(|inner| Self::Chunk(Box::new(inner))),
            17 => Evidence::decode(input).map(|inner| Self::Evidence(Box::new(inner))),
            18 => Digest::decode(input).map(Self::EvidenceHeld),
            19 => <Operation as Canonical>::decode(input).map(|inner| Self::Operation(Arc::new(inner))),
            value => Err(DecodeError::Unknown { what: "message kind", value }),
        }
    }
}

fn encode_kind<T: Canonical>(kind: u8, body: &T, out: &mut Vec<u8>) {
    out.push(kind);
    body.encode(out);
}
