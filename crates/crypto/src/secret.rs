//! Secret keys. They are erased from memory when dropped, cannot be copied, and do not show
//! themselves in logs.

use crate::{PublicKey, Scheme, Signature, StandInToken, stand_in};
use ed25519_dalek::{Signer, SigningKey};

/// A key that signs. Signing draws no randomness: the same key and message give the same signature.
pub struct SecretKey(Kind);

enum Kind {
    Ed25519(Box<SigningKey>),
    StandIn { seed: [u8; 32], public: PublicKey, token: StandInToken },
}

impl SecretKey {
    /// The ed25519 key of RFC 8032 for these 32 secret bytes, which must come from a good source.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Kind::Ed25519(Box::new(SigningKey::from_bytes(&seed))))
    }

    /// A key of the stand-in scheme, for simulations.
    pub fn stand_in(seed: [u8; 32], token: StandInToken) -> Self {
        Self(Kind::StandIn { seed, public: stand_in::public(&seed), token })
    }

    /// The scheme under which this key's signatures verify.
    pub fn scheme(&self) -> Scheme {
        match &self.0 {
            Kind::Ed25519(_) => Scheme::Ed25519,
            Kind::StandIn { token, .. } => Scheme::StandIn(*token),
        }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Kind::Ed25519(key) => PublicKey::from_bytes(key.verifying_key().to_bytes()),
            Kind::StandIn { public, .. } => *public,
        }
    }

    /// Signs `message` as it is; domain tags are the caller's business.
    pub fn sign(&self, message: &[u8]) -> Signature {
        match &self.0 {
            Kind::Ed25519(key) => Signature::from_bytes(key.sign(message).to_bytes()),
            Kind::StandIn { public, .. } => stand_in::sign(public, message),
        }
    }

    /// The secret bytes that [`from_seed`](Self::from_seed) took, for writing a key file.
    pub fn seed(&self) -> &[u8; 32] {
        match &self.0 {
            Kind::Ed25519(key) => key.as_bytes(),
            Kind::StandIn { seed, .. } => seed,
        }
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_of_rfc_8032_gives_its_published_signature() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let key = SecretKey::from_seed(*seed.parse::<crate::Digest>().unwrap().as_bytes());
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(key.public().to_string(), public);
        let signature = key.sign(b"");
        assert!(signature.to_string().starts_with("e5564300c360ac729086e2cc806e828a"));
        assert!(Scheme::Ed25519.verify(&key.public(), b"", &signature));
        assert_eq!(crate::Digest::new(*key.seed()).to_string(), seed);
    }

    #[test]
    fn a_secret_key_shows_only_its_public_half() {
        let key = SecretKey::from_seed([7; 32]);
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.public().to_string()[..8]));
        assert!(!shown.contains("0707"));
    }
}
