//! Proposals: the links of the hash chain that is the total order (protocol §2.1, §2.11).
//!
//! A proposal carries no view, so it keeps its digest when a later view takes it up. Its payload names
//! lane tips, never operations.

use quorate_crypto::Digest;

use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::ids::{BlockTime, BundleNumber, Epoch, Sequence, ValidatorIndex};
use crate::limits::MAX_VALIDATORS;
use crate::signed::{Signed, tagged_digest};
use crate::vote::Vote;

/// One lane's new tip in a payload: it stands for all bundles of the lane above the tip that the
/// proposal's own chain named before (protocol §3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneTip {
    /// Whose lane.
    pub lane: ValidatorIndex,
    /// The number of its newest bundle named.
    pub number: BundleNumber,
    /// That bundle's digest.
    pub digest: Digest,
}

/// What a proposal orders: at most one new tip per lane, in ascending order of lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The tips named.
    pub tips: Vec<LaneTip>,
}

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The epoch it is ordered in.
    pub epoch: Epoch,
    /// Its place in the order: its parent's plus one.
    pub sequence: Sequence,
    /// The digest of the proposal at `sequence − 1`; for sequence 1 the cluster id.
    pub parent: Digest,
    /// The primary's clock when it was made, never below the parent's.
    pub time: BlockTime,
    /// What it orders.
    pub payload: Payload,
}

/// The primary's message that puts a proposal to the vote in a view: the vote is the signature (protocol §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrePrepare {
    /// What is proposed.
    pub proposal: Proposal,
    /// The primary's own prepare vote for it, which names the view.
    pub vote: Signed<Vote>,
}

impl Payload {
    /// Whether it orders nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tips.is_empty()
    }
}

impl Proposal {
    /// The digest that votes name: over tag and bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        tagged_digest("quorate/proposal/v1", self)
    }
}

impl Canonical for LaneTip {
    fn encode(&self, out: &mut Vec<u8>) {
        self.lane.encode(out);
        self.number.encode(out);
        self.digest.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            lane: ValidatorIndex::decode(input)?,
            number: BundleNumber::decode(input)?,
            digest: Digest::decode(input)?,
        })
    }
}

impl Canonical for Payload {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.tips, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tips: Vec<LaneTip> = input.list(MAX_VALIDATORS, "lane tips of a payload")?;
        if !tips.windows(2).all(|pair| pair[0].lane < pair[1].lane) {
            return Err(DecodeError::Malformed { what: "payload", rule: "lanes ascend, each at most once" });
        }
        Ok(Self { tips })
    }
}

impl Canonical for Proposal {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.sequence.encode(out);
        self.parent.encode(out);
        self.time.encode(out);
        self.payload.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            sequence: Sequence::decode(input)?,
            parent: Digest::decode(input)?,
            time: BlockTime::decode(input)?,
            payload: Payload::decode(input)?,
        })
    }
}

impl Canonical for PrePrepare {
    fn encode(&self, out: &mut Vec<u8>) {
        self.proposal.encode(out);
        self.vote.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { proposal: Proposal::decode(input)?, vote: Signed::decode(input)? })
    }
}
