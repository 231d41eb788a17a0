//! The stand-in scheme of simulations: a keyed hash in place of a signature.
//!
//! It costs one SHA-256 and protects against nobody who means to forge: simulated adversaries are
//! held to the keys that they own by the harness, not by mathematics.

use crate::{Digest, PublicKey, Signature, sha256};

/// The right to use [`Scheme::StandIn`](crate::Scheme::StandIn).
///
/// It has no constructor on purpose. It is a transparent wrapper of `()`, so code that may be
/// `unsafe` can make one by `transmute`; every package of this workspace but `quorate-determinism`
/// forbids unsafe code, so a validator cannot be talked into accepting stand-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct StandInToken(());

/// The public key that belongs to `seed`.
pub(crate) fn public(seed: &[u8; 32]) -> PublicKey {
    PublicKey::from_bytes(*sha256(&[b"quorate stand-in key", seed]).as_bytes())
}

/// The stand-in for a signature over `message` by the owner of `key`.
pub(crate) fn sign(key: &PublicKey, message: &[u8]) -> Signature {
    let tag: Digest = sha256(&[b"quorate stand-in", key.as_bytes(), message]);
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(tag.as_bytes());
    bytes[32..].copy_from_slice(key.as_bytes());
    Signature::from_bytes(bytes)
}

/// Whether `signature` is the one that [`sign`] makes.
pub(crate) fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    sign(key, message) == *signature
}
