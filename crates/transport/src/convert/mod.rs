//! Between the gRPC messages and the words of `quorate-types`, with strict decoding: what can't be read
//! exactly is refused with the field's name.

mod message;
mod receipt;
mod value;

use bytes::Bytes;
use quorate_crypto::{Digest, PublicKey, Signature};
use quorate_types::ids::OperationId;
use quorate_types::operation::SignedOperation;

pub use self::message::{decode_frame, encode_frame};
pub use self::receipt::{proven_receipt, readable_receipt, receipt_from_wire};
pub use self::value::{value_from_wire, value_to_wire};
use crate::pb::operations::v1 as pb;

/// A field of a message that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// A message that must be there is not.
    #[error("{field} is required")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A byte string of fixed length has another one.
    #[error("{field} must be {expected} bytes long, it has {found}")]
    Length {
        /// The field.
        field: &'static str,
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// A value breaks a rule.
    #[error("{field} {rule}")]
    Rule {
        /// The field.
        field: &'static str,
        /// The rule.
        rule: &'static str,
    },
}

/// The bytes of a field of fixed length.
///
/// # Errors
/// [`FieldFault::Length`].
pub fn fixed<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], FieldFault> {
    bytes.try_into().map_err(|_| FieldFault::Length { field, expected: N, found: bytes.len() })
}

/// An operation's id.
///
/// # Errors
/// If it isn't 32 bytes long.
pub fn operation_id(field: &'static str, bytes: &[u8]) -> Result<OperationId, FieldFault> {
    fixed(field, bytes).map(|bytes| OperationId(Digest::new(bytes)))
}

/// An author's or validator's key.
///
/// # Errors
/// If it isn't 32 bytes long.
pub fn public_key(field: &'static str, bytes: &[u8]) -> Result<PublicKey, FieldFault> {
    fixed(field, bytes).map(PublicKey::from_bytes)
}

/// A digest, key, id or signature for the wire.
#[must_use]
pub fn wire(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The operation of a request; its body isn't looked at.
///
/// # Errors
/// If it is missing or its signature has the wrong length.
pub fn signed_operation(operation: Option<pb::SignedOperation>) -> Result<SignedOperation, FieldFault> {
    let pb::SignedOperation { body, signature } = operation.ok_or(FieldFault::Missing { field: "operation" })?;
    let signature = fixed("operation.signature", &signature).map(Signature::from_bytes)?;
    // A copy: a body that is kept must not keep the buffer of the whole call.
    Ok(SignedOperation { body: Bytes::copy_from_slice(&body), signature })
}

/// An operation for the wire.
#[must_use]
pub fn signed_operation_to_wire(operation: &SignedOperation) -> pb::SignedOperation {
    pb::SignedOperation { body: operation.body.clone(), signature: wire(operation.signature.as_bytes()) }
}
