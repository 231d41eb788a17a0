//! One container for all kinds of proof: what lies in proof files and travels to clients (data-model §4.8).

use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::ids::Epoch;

use crate::file;
use crate::{
    EpochInfo, OrderProof, ProofFault, ReceiptProof, StateProof, VerifiedOrder, VerifiedReceipt, VerifiedState,
};

/// What a proof file starts with.
const MAGIC: &str = "quorate-proof";

const RECEIPT: u8 = 1;
const STATE: u8 = 2;
const ORDER: u8 = 3;

/// A proof of any kind. Unverified until [`Proof::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// What became of an operation.
    Receipt(Box<ReceiptProof>),
    /// What an entity was.
    State(Box<StateProof>),
    /// In which order proposals were committed.
    Order(Box<OrderProof>),
}

/// What a proof has shown. Made only by [`Proof::verify`].
#[derive(Clone, Debug, PartialEq)]
pub enum Proven {
    /// What became of an operation.
    Receipt(Box<VerifiedReceipt>),
    /// What an entity was.
    State(Box<VerifiedState>),
    /// In which order proposals were committed.
    Order(Box<VerifiedOrder>),
}

impl Proof {
    /// The epoch whose validators it takes to verify it.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Receipt(proof) => proof.certificate.execution.epoch,
            Self::State(proof) => proof.certificate.execution.epoch,
            Self::Order(proof) => proof.segment.certificate.epoch,
        }
    }

    /// The content of a proof file; also how proofs travel to clients.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        file::write_summed(MAGIC, self)
    }

    /// Reads the content of a proof file, strictly. Nothing is verified yet but that it is as it was written: a
    /// proof of absence whose name has changed would prove something else, and truly so.
    ///
    /// # Errors
    /// [`ProofFault::Format`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, ProofFault> {
        Ok(file::read_summed(MAGIC, bytes)?)
    }

    /// Checks everything against one epoch.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify(&self, epoch: &EpochInfo) -> Result<Proven, ProofFault> {
        Ok(match self {
            Self::Receipt(proof) => Proven::Receipt(Box::new(proof.verify(epoch)?)),
            Self::State(proof) => Proven::State(Box::new(proof.verify(epoch)?)),
            Self::Order(proof) => Proven::Order(Box::new(proof.verify(epoch)?)),
        })
    }
}

impl Canonical for Proof {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Receipt(proof) => {
                out.push(RECEIPT);
                proof.encode(out);
            }
            Self::State(proof) => {
                out.push(STATE);
                proof.encode(out);
            }
            Self::Order(proof) => {
                out.push(ORDER);
                proof.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8()? {
            RECEIPT => Self::Receipt(Box::new(ReceiptProof::decode(input)?)),
            STATE => Self::State(Box::new(StateProof::decode(input)?)),
            ORDER => Self::Order(Box::new(OrderProof::decode(input)?)),
            value => return Err(DecodeError::Unknown { what: "kind of proof", value }),
        })
    }
}
