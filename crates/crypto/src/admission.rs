//! Which keys may stand for a validator or an administrator.
//!
//! ZIP-215 accepts signatures by any point on the curve. That is one rule for all, so it splits
//! nobody, but with a small-order key one signature fits many messages: such a key must not enter a
//! validator set. Clients' keys are not checked: who publishes a weak one harms only themselves.

use crate::PublicKey;
use ed25519_dalek::VerifyingKey;
use thiserror::Error;

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WeakKey {
    /// The bytes encode no point of the curve.
    #[error("the public key {key} is not a point on the curve")]
    NotOnCurve {
        /// The key refused.
        key: PublicKey,
    },
    /// The bytes are not the one canonical encoding of their point: one key could pass for two.
    #[error("the public key {key} is not canonically encoded")]
    NotCanonical {
        /// The key refused.
        key: PublicKey,
    },
    /// The point has order 1, 2, 4 or 8.
    #[error("the public key {key} has small order")]
    SmallOrder {
        /// The key refused.
        key: PublicKey,
    },
    /// The point has a small-order component beside its prime-order one.
    #[error("the public key {key} has a small-order component")]
    MixedOrder {
        /// The key refused.
        key: PublicKey,
    },
}

/// Accepts a key that is canonically encoded and of prime order, as every honestly made one is.
pub fn admit_validator_key(key: &PublicKey) -> Result<(), WeakKey> {
    let parsed = VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| WeakKey::NotOnCurve { key: *key })?;
    let point = parsed.to_edwards();
    if point.compress().as_bytes() != key.as_bytes() {
        Err(WeakKey::NotCanonical { key: *key })
    } else if point.is_small_order() {
        Err(WeakKey::SmallOrder { key: *key })
    } else if !point.is_torsion_free() {
        Err(WeakKey::MixedOrder { key: *key })
    } else {
        Ok(())
    }
}
