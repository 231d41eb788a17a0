//! Operations: what clients sign and the cluster orders (data-model §1).
//!
//! The body is a protobuf message in canonical form; its bytes are hashed, signed, stored and sent as
//! they came, never made again. Only this module knows the protobuf messages; everyone else reads
//! [`OperationContent`]. An [`Operation`] that exists has a canonical body and well-formed content; that
//! it is within limits and of this cluster is said by [`admit_operation`], that its signature holds by
//! `quorate_crypto`'s verdict on [`Operation::signing_bytes`].

mod builder;
mod content;
mod convert;
mod fault;
mod limits;
mod membership;
mod schema;
mod system;
mod trail;
mod wire;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use quorate_crypto::{Digest, PublicKey, Signature, sha256};

pub use self::builder::OperationBuilder;
pub use self::content::{
    Change, Condition, EntityId, Guard, HybridTime, MAX_ENTITY_ID_BYTES, MAX_KIND_BYTES, Mutation, OperationContent,
    Path, PathFault,
};
pub(crate) use self::convert::is_kind_name;
pub use self::fault::{EncodingProblem, Limited, NameRule, OperationFault};
pub use self::limits::{OperationLimits, admit_operation};
pub use self::membership::{Ready, Rejoin};
pub use self::system::SystemChange;
use crate::codec::{Canonical, DecodeError, Reader, encode_bytes};
use crate::ids::{ClusterId, OperationId};
use crate::limits::MAX_OPERATION_BYTES;
use crate::parameters::Parameters;

/// Domain tag of an operation's id.
const ID_TAG: &[u8] = b"quorate/operation-id/v1";

/// Domain tag of an operation in a bundle's Merkle tree.
const LEAF_TAG: &[u8] = b"quorate/operation-leaf/v1";

/// Domain tag of an author's signature.
const SIGNATURE_TAG: &[u8] = b"quorate/operation/v1";

/// An operation as it travels: nothing about it is known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOperation {
    /// The body as its author made it.
    pub body: Bytes,
    /// Claimed to be the author's.
    pub signature: Signature,
}

impl SignedOperation {
    /// Bytes that count against limits and quotas: body and signature.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.body.len().saturating_add(Signature::LENGTH)
    }

    /// The id, which doesn't depend on the signature.
    #[must_use]
    pub fn id(&self) -> OperationId {
        operation_id(&self.body)
    }
}

impl Canonical for SignedOperation {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(&self.body, out);
        self.signature.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let body = Bytes::copy_from_slice(input.bytes(MAX_OPERATION_BYTES, "body of an operation")?);
        Ok(Self { body, signature: Signature::decode(input)? })
    }
}

/// The id of the operation with this body.
#[must_use]
pub fn operation_id(body: &[u8]) -> OperationId {
    OperationId(sha256(&[ID_TAG, body]))
}

/// What the author of an operation signs.
#[must_use]
pub fn signing_bytes(cluster: ClusterId, id: OperationId) -> Vec<u8> {
    [SIGNATURE_TAG, cluster.0.as_bytes(), id.0.as_bytes()].concat()
}

impl OperationContent {
    /// What the author signs, `id` being that of the body.
    #[must_use]
    pub fn signing_bytes(&self, id: OperationId) -> Vec<u8> {
        match self.system.as_ref().and_then(SystemChange::tag) {
            Some(tag) => [tag, self.cluster.0.as_bytes(), id.0.as_bytes()].concat(),
            None => signing_bytes(self.cluster, id),
        }
    }

    /// The canonical body.
    #[must_use]
    pub fn to_body(&self) -> Bytes {
        convert::encode(self)
    }
}

/// An operation whose body is canonical and whose content is well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    id: OperationId,
    content: OperationContent,
    signed: SignedOperation,
}

impl Operation {
    /// Reads an operation strictly; limits, cluster and signature are not checked.
    ///
    /// # Errors
    /// If the body isn't canonical (the error names the field at fault) or its content is malformed.
    pub fn decode(signed: &SignedOperation) -> Result<Self, OperationFault> {
        let content = convert::decode(&signed.body)?;
        Ok(Self { id: signed.id(), content, signed: signed.clone() })
    }

    /// Checks cluster and limits; with [`Operation::decode`] and the signature that is all that can be
    /// checked without the state.
    ///
    /// # Errors
    /// The limit that is passed, or that it is another cluster's.
    pub fn admit(&self, parameters: &Parameters, cluster: &ClusterId) -> Result<(), OperationFault> {
        limits::admit(self, &parameters.operation_limits(), *cluster)
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> OperationId {
        self.id
    }

    /// What it says.
    #[must_use]
    pub const fn content(&self) -> &OperationContent {
        &self.content
    }

    /// Who claims to have signed it.
    #[must_use]
    pub const fn author(&self) -> PublicKey {
        self.content.author
    }

    /// The author's number for it.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.content.nonce
    }

    /// Whether it is a validator's word about its own store, which has no nonce (protocol §7.4).
    #[must_use]
    pub fn is_own_word(&self) -> bool {
        self.content.system.as_ref().is_some_and(SystemChange::is_own_word)
    }

    /// The bytes that arrived, and the signature.
    #[must_use]
    pub const fn signed(&self) -> &SignedOperation {
        &self.signed
    }

    /// The author's signature.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signed.signature
    }

    /// What the signature is over.
    #[must_use]
    pub fn signing_bytes(&self) -> Vec<u8> {
        self.content.signing_bytes(self.id)
    }

    /// Bytes that count against limits and quotas: body and signature.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.signed.size_bytes()
    }

    /// What a bundle's root commits to: the body and the signature with which it came.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        leaf_of(&self.id, &self.signed.signature)
    }
}

/// What a bundle's root commits to for an operation of this id that came with this signature.
#[must_use]
pub fn leaf_of(id: &OperationId, signature: &Signature) -> Digest {
    sha256(&[LEAF_TAG, id.0.as_bytes(), signature.as_bytes()])
}

impl Canonical for Operation {
    fn encode(&self, out: &mut Vec<u8>) {
        self.signed.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let signed = SignedOperation::decode(input)?;
        let rule = "must be canonical and well-formed (data-model §1)";
        Self::decode(&signed).map_err(|_| DecodeError::Malformed { what: "operation", rule })
    }
}
