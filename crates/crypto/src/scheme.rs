//! The closed set of signature schemes and the one rule of acceptance.

use crate::{PublicKey, Signature, StandInToken, batch, stand_in};
use ed25519_zebra::VerificationKey;

/// How signatures are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// ed25519 under ZIP-215.
    Ed25519,
    /// The keyed hash of simulations.
    StandIn(StandInToken),
}

/// One signature to check, with what it is said to be a signature of.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// The signed bytes, with their domain tag.
    pub message: &'a [u8],
    /// What is claimed to be the signature.
    pub signature: Signature,
}

impl Scheme {
    /// Whether `signature` over `message` by `key` counts. Any bytes may be given.
    pub fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        match self {
            Self::Ed25519 => verify_ed25519(key, message, signature),
            Self::StandIn(_) => stand_in::verify(key, message, signature),
        }
    }

    /// One verdict per item, in order, each the same as [`verify`](Self::verify) would give.
    ///
    /// Honest items cost about half of a single verification, less where keys repeat; bad ones, and
    /// those near them, at most about twice a single one.
    pub fn verify_batch(&self, items: &[Item<'_>]) -> Vec<bool> {
        match self {
            Self::Ed25519 => batch::verify(items),
            Self::StandIn(_) => {
                items.iter().map(|item| stand_in::verify(&item.key, item.message, &item.signature)).collect()
            }
        }
    }
}

/// ZIP-215 for one signature.
pub(crate) fn verify_ed25519(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    VerificationKey::try_from(*key.as_bytes()).is_ok_and(|key| {
        let signature = ed25519_zebra::Signature::from_bytes(signature.as_bytes());
        key.verify(&signature, message).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_signature_counts_for_its_key_and_message_only() {
        let (key, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let signature = key.sign(b"vote");
        assert!(Scheme::Ed25519.verify(&key.public(), b"vote", &signature));
        assert!(!Scheme::Ed25519.verify(&other.public(), b"vote", &signature));
        assert!(!Scheme::Ed25519.verify(&key.public(), b"veto", &signature));
        assert!(!Scheme::Ed25519.verify(&PublicKey::from_bytes([2; 32]), b"vote", &signature));
    }

    #[test]
    fn an_empty_batch_has_no_verdicts() {
        assert!(Scheme::Ed25519.verify_batch(&[]).is_empty());
    }
}
