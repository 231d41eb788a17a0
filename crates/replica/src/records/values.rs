//! Records that are nobody else's types.

use quorate_consensus::Link;
use quorate_crypto::Digest;
use quorate_dag::Point;
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_list};
use quorate_types::execution::Execution;
use quorate_types::ids::{BlockTime, Epoch, OperationId, Sequence, View};
use quorate_types::limits::MAX_VALIDATORS;
use quorate_types::receipt::Judgement;

/// Where the validator is in the sequence of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewState {
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// Whether it votes there, or is changing to it.
    pub active: bool,
}

/// What was delivered last, and each lane's tip there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The proposal.
    pub link: Link,
    /// Tips by lane.
    pub points: Vec<Point>,
}

/// What was executed last, and where execution goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedMark {
    /// Sequence, proposal and result.
    pub execution: Execution,
    /// The proposal's block time.
    pub time: BlockTime,
    /// Each lane's tip after the proposal.
    pub points: Vec<Point>,
}

/// Where an operation's receipt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The sequence at which it executed.
    pub sequence: Sequence,
    /// Its position among that sequence's receipts.
    pub index: u32,
}

/// An answer without a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The sequence at which it was judged.
    pub sequence: Sequence,
    /// The answer.
    pub judgement: Judgement,
}

impl Canonical for ViewState {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.view.encode(out);
        self.active.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { epoch: Epoch::decode(input)?, view: View::decode(input)?, active: bool::decode(input)? })
    }
}

impl Canonical for Delivered {
    fn encode(&self, out: &mut Vec<u8>) {
        self.link.sequence.encode(out);
        self.link.digest.encode(out);
        self.link.time.encode(out);
        encode_list(&self.points, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let link = Link {
            sequence: Sequence::decode(input)?,
            digest: Digest::decode(input)?,
            time: BlockTime::decode(input)?,
        };
        Ok(Self { link, points: input.list(MAX_VALIDATORS, "lane tips of the delivered mark")? })
    }
}

impl Canonical for ExecutedMark {
    fn encode(&self, out: &mut Vec<u8>) {
        self.execution.encode(out);
        self.time.encode(out);
        encode_list(&self.points, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            execution: Execution::decode(input)?,
            time: BlockTime::decode(input)?,
            points: input.list(MAX_VALIDATORS, "lane tips of the executed mark")?,
        })
    }
}

impl Canonical for Place {
    fn encode(&self, out: &mut Vec<u8>) {
        self.sequence.encode(out);
        self.index.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { sequence: Sequence::decode(input)?, index: input.u32()? })
    }
}

impl Canonical for Judged {
    fn encode(&self, out: &mut Vec<u8>) {
        self.sequence.encode(out);
        match self.judgement {
            Judgement::NonceUsed { by } => {
                out.push(1);
                by.encode(out);
            }
            Judgement::NonceTooOld { lowest } => encode_number(2, lowest, out),
            Judgement::NonceTooFar { highest } => encode_number(3, highest, out),
            Judgement::UnknownAuthor => out.push(4),
            Judgement::Expired { expired_at_ms } => encode_number(5, expired_at_ms, out),
            Judgement::ExpiresTooFar { latest_ms } => encode_number(6, latest_ms, out),
            Judgement::ReceiptPruned => out.push(7),
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let sequence = Sequence::decode(input)?;
        let judgement = match input.u8()? {
            1 => Judgement::NonceUsed { by: OperationId::decode(input)? },
            2 => Judgement::NonceTooOld { lowest: input.u64()? },
            3 => Judgement::NonceTooFar { highest: input.u64()? },
            4 => Judgement::UnknownAuthor,
            5 => Judgement::Expired { expired_at_ms: input.u64()? },
            6 => Judgement::ExpiresTooFar { latest_ms: input.u64()? },
            7 => Judgement::ReceiptPruned,
            value => return Err(DecodeError::Unknown { what: "judgement", value }),
        };
        Ok(Self { sequence, judgement })
    }
}

fn encode_number(tag: u8, number: u64, out: &mut Vec<u8>) {
    out.push(tag);
    number.encode(out);
}
