//! SHA-256 digests.

use crate::hex::byte_string;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes. Which bytes, and under which domain tag, is said by whoever made it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

byte_string!(Digest, 32, "a digest");

impl Digest {
    /// All bits zero: "none yet", never the digest of anything.
    pub const ZERO: Self = Self([0; 32]);

    /// Wraps the bytes of a digest made elsewhere.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Makes a [`Digest`] of bytes that come in pieces.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes `bytes` after what came before. The borders between pieces leave no trace: whoever
    /// needs them writes lengths.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// The digest of everything so far.
    pub fn finish(&self) -> Digest {
        Digest(self.0.clone().finalize().into())
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

/// The digest of the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_abc_is_the_published_one() {
        let published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&[b"a", b"bc"]).to_string(), published);
        assert_eq!(Hasher::new().update(b"ab").update(b"c").finish(), sha256(&[b"abc"]));
        assert_eq!(published.parse(), Ok(sha256(&[b"abc"])));
    }

    #[test]
    fn the_debug_form_is_short_and_json_is_full_hexadecimal() {
        let digest = Digest::new([0xab; 32]);
        assert_eq!(format!("{digest:?}"), "abababab…");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        let error = serde_json::from_str::<Digest>("\"ab\"").unwrap_err().to_string();
        assert!(error.contains("a digest: expected 64"), "{error}");
    }
}
