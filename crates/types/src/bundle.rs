//! Bundles: a validator's signed batches of operations, chained into its lane (protocol §2.8,
//! architecture §5).
//!
//! Digest and signature are over the header alone, which binds the operations by a Merkle root, so
//! that evidence about one operation needs the header and one leaf.

use std::sync::Arc;

use quorate_crypto::Digest;

use crate::codec::{Canonical, DecodeError, Reader};
use crate::ids::{BundleNumber, Epoch, ValidatorIndex};
use crate::limits::MAX_BUNDLE_OPERATIONS;
use crate::merkle;
use crate::operation::Operation;
use crate::proposal::LaneTip;
use crate::signed::{Signed, Statement, tagged_digest};

/// Room for a signed header and the length of the list after it.
const HEADER_BYTES: usize = 256;

/// What a lane's owner signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleHeader {
    /// The epoch; lanes start empty in each.
    pub epoch: Epoch,
    /// Whose lane.
    pub lane: ValidatorIndex,
    /// From 1, without gaps.
    pub number: BundleNumber,
    /// The digest of bundle `number − 1`; zero for number 1.
    pub parent: Digest,
    /// Operations in the lane up to and with this bundle.
    pub cumulative_operations: u64,
    /// Bytes of operations (bodies and signatures) in the lane up to and with this bundle.
    pub cumulative_bytes: u64,
    /// The Merkle root over the operations' leaf digests.
    pub operations_root: Digest,
}

/// A bundle with its operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The signed header.
    pub header: Signed<BundleHeader>,
    /// The operations, in the order in which they execute, causality aside.
    pub operations: Vec<Arc<Operation>>,
}

impl BundleHeader {
    /// The digest that tips and successors name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        tagged_digest("quorate/bundle-digest/v1", self)
    }

    /// This bundle as a lane's tip.
    #[must_use]
    pub fn tip(&self) -> LaneTip {
        LaneTip { lane: self.lane, number: self.number, digest: self.digest() }
    }
}

impl Bundle {
    /// The header's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.header.statement.digest()
    }

    /// Bytes of the operations as lanes count them: bodies and signatures.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        operations_bytes(&self.operations)
    }
}

/// The root that a header names for `operations`.
#[must_use]
pub fn operations_root(operations: &[Arc<Operation>]) -> Digest {
    let leaves: Vec<Digest> = operations.iter().map(|operation| operation.leaf()).collect();
    merkle::root(&leaves)
}

/// Bytes of `operations` as lanes count them: bodies and signatures.
#[must_use]
pub fn operations_bytes(operations: &[Arc<Operation>]) -> u64 {
    operations.iter().map(|operation| operation.size_bytes() as u64).sum()
}

impl Statement for BundleHeader {
    const TAG: &'static str = "quorate/bundle/v1";

    fn signer(&self) -> ValidatorIndex {
        self.lane
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Canonical for BundleHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        self.lane.encode(out);
        self.number.encode(out);
        self.parent.encode(out);
        self.cumulative_operations.encode(out);
        self.cumulative_bytes.encode(out);
        self.operations_root.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            lane: ValidatorIndex::decode(input)?,
            number: BundleNumber::decode(input)?,
            parent: Digest::decode(input)?,
            cumulative_operations: input.u64()?,
            cumulative_bytes: input.u64()?,
            operations_root: Digest::decode(input)?,
        })
    }
}

impl Canonical for Bundle {
    fn encode(&self, out: &mut Vec<u8>) {
        // Large enough that growing step by step would copy it several times.
        let lengths = self.operations.len().saturating_mul(size_of::<u32>());
        let operations = usize::try_from(self.size_bytes()).unwrap_or(usize::MAX);
        out.reserve(HEADER_BYTES.saturating_add(lengths).saturating_add(operations));
        self.header.encode(out);
        crate::codec::encode_list(&self.operations, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Signed::decode(input)?,
            operations: input.list(MAX_BUNDLE_OPERATIONS, "operations of a bundle")?,
        })
    }
}
