//! Public keys and signatures as plain bytes.
//!
//! Neither type says that its bytes are a point, let alone a good one: whether a signature counts is
//! decided by [`Scheme::verify`](crate::Scheme::verify) alone, whether a key may stand for a
//! validator by [`admit_validator_key`](crate::admit_validator_key).

use crate::hex::byte_string;

/// The public key of a validator, client or administrator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

byte_string!(PublicKey, 32, "a public key");

/// A signature, not known to be valid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature([u8; 64]);

byte_string!(Signature, 64, "a signature");
