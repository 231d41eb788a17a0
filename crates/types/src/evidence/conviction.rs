//! What the state holds of evidence that was ordered (accountability §2.2): one entry for each key and kind.

use quorate_crypto::{Digest, PublicKey};

use super::Evidence;
use crate::codec::{Canonical, DecodeError, Reader};
use crate::ids::{BlockTime, Epoch, OperationId, Sequence};

/// What the keys of convictions in the state start with (data-model §4.7).
pub const CONVICTIONS: &[u8] = b"a";

/// The cluster has judged evidence: who is convicted of what, on whose word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// The consensus key that signed what it may not.
    pub convicted: PublicKey,
    /// The kind of the evidence, by its code.
    pub kind: u8,
    /// The evidence.
    pub evidence: Digest,
    /// The epoch that it is about.
    pub epoch: Epoch,
    /// The validator that showed it.
    pub shown_by: PublicKey,
    /// The operation by which it did.
    pub operation: OperationId,
    /// The sequence at which it was judged.
    pub sequence: Sequence,
    /// The block time there.
    pub time: BlockTime,
}

impl Conviction {
    /// Its key in the state: a second one about the same key and kind says nothing new.
    #[must_use]
    pub fn state_key(convicted: &PublicKey, kind: u8) -> Vec<u8> {
        [CONVICTIONS, convicted.as_bytes(), &[kind]].concat()
    }

    /// Whether blame follows from it: a wrong result can come from a broken disk (accountability §1.9), and authors
    /// aren't judged here.
    #[must_use]
    pub const fn blames(&self) -> bool {
        !matches!(self.kind, 12 | 13 | 16)
    }

    /// What the evidence is, for people.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        // 17 is nobody's.
        let place = match self.kind {
            0 | 17 => None,
            code @ 1..17 => Some(code - 1),
            code => Some(code - 2),
        };
        place.and_then(|place| Evidence::KINDS.get(usize::from(place))).copied().unwrap_or("of an unknown kind")
    }
}

impl Canonical for Conviction {
    fn encode(&self, out: &mut Vec<u8>) {
        self.convicted.encode(out);
        self.kind.encode(out);
        self.evidence.encode(out);
        self.epoch.encode(out);
        self.shown_by.encode(out);
        self.operation.0.encode(out);
        self.sequence.encode(out);
        self.time.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            convicted: PublicKey::decode(input)?,
            kind: input.u8()?,
            evidence: Digest::decode(input)?,
            epoch: Epoch::decode(input)?,
            shown_by: PublicKey::decode(input)?,
            operation: OperationId(Digest::decode(input)?),
            sequence: Sequence::decode(input)?,
            time: BlockTime::decode(input)?,
        })
    }
}
