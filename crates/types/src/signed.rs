//! What a validator signs: a statement, under a tag of its own, bound to the cluster (protocol §1.5, §1.6).
//!
//! The signed bytes are `tag ‖ cluster id ‖ version ‖ canonical bytes`; every statement carries its
//! epoch and its signer inside. So nothing can be replayed in another role, cluster or epoch, and who
//! is accused by a signature is never taken from anything unsigned.

use quorate_crypto::{Digest, Signature, sha256};

use crate::codec::{Canonical, DecodeError, Reader};
use crate::ids::{ClusterId, Epoch, ValidatorIndex};

/// The version of the layouts of this crate; a statement of another version is refused by name.
pub const LAYOUT_VERSION: u8 = 1;

/// Something that a validator's consensus key signs.
pub trait Statement: Canonical {
    /// The domain tag; unique among statements.
    const TAG: &'static str;

    /// Whose key must have signed it.
    fn signer(&self) -> ValidatorIndex;

    /// The epoch it belongs to.
    fn epoch(&self) -> Epoch;
}

/// The bytes that are signed for `statement` in `cluster`.
#[must_use]
pub fn signing_bytes<T: Statement>(cluster: &ClusterId, statement: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(192);
    bytes.extend_from_slice(T::TAG.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(cluster.0.as_bytes());
    bytes.push(LAYOUT_VERSION);
    statement.encode(&mut bytes);
    bytes
}

/// The digest of `value` under `tag`: what names a proposal or a bundle everywhere.
#[must_use]
pub fn tagged_digest<T: Canonical>(tag: &str, value: &T) -> Digest {
    sha256(&[tag.as_bytes(), &[0, LAYOUT_VERSION], &value.to_bytes()])
}

/// A statement with its signer's signature. Whether the signature is right isn't known until it is
/// inside a [`crate::verified::Verified`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// What is said.
    pub statement: T,
    /// The signature of `statement.signer()` over [`signing_bytes`].
    pub signature: Signature,
}

impl<T: Statement> Signed<T> {
    /// Who signed.
    #[must_use]
    pub fn signer(&self) -> ValidatorIndex {
        self.statement.signer()
    }
}

impl<T: Canonical> Canonical for Signed<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.statement.encode(out);
        self.signature.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { statement: T::decode(input)?, signature: Signature::decode(input)? })
    }
}
