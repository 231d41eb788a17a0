//! Intake promises: what a gateway signs for a client whose operation it has bundled (protocol §3.9).
//!
//! A promise names one bundle of the signer's lane. It is made when that bundle is signed and durable, so a correct
//! validator has kept it before it is given. Whoever holds it and is shown the lane's bundle of that number, signed and
//! without the operation, can convict the signer ([`crate::evidence::BrokenPromise`]).

use quorate_crypto::Signature;

use crate::bundle::Bundle;
use crate::codec::{Canonical, DecodeError, Reader};
use crate::ids::{BundleNumber, Epoch, OperationId, ValidatorIndex};
use crate::signed::Statement;

/// "Bundle `number` of my lane in this epoch holds this operation."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The epoch; lanes start empty in each.
    pub epoch: Epoch,
    /// Whose lane, and who signs.
    pub lane: ValidatorIndex,
    /// The bundle.
    pub number: BundleNumber,
    /// The operation, whatever signature of its author it comes with.
    pub operation: OperationId,
}

/// An operation as a bundle's root commits to it: its id and the signature with which it came.
pub type Listed = (OperationId, Signature);

/// What a bundle holds, for whoever needs no more than its root.
#[must_use]
pub fn listed(bundle: &Bundle) -> Vec<Listed> {
    bundle.operations.iter().map(|operation| (operation.id(), *operation.signature())).collect()
}

impl Statement for Promise {
    const TAG: &'static str = "quorate/promise/v1";

    fn signer(&self) -> ValidatorIndex {
        self.lane
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Canonical for Promise {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.lane.encode(out);
        self.number.encode(out);
        self.operation.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            lane: ValidatorIndex::decode(input)?,
            number: BundleNumber::decode(input)?,
            operation: OperationId::decode(input)?,
        })
    }
}
