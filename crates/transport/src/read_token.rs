//! The token that proves who reads, for kinds that restrict reading (data-model §5).
//!
//! A bearer token: whoever has it may read as its author until it expires, so it travels over TLS only and
//! lives briefly.

use bytes::Bytes;
use prost::Message;
use quorate_crypto::{PublicKey, Scheme, SecretKey, Signature};
use quorate_types::ids::ClusterId;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::convert::{FieldFault, fixed};
use crate::pb::entities::v1 as pb;

/// The metadata key under which it travels.
pub const METADATA_KEY: &str = "quorate-read-token-bin";

/// How far ahead a token may expire, in milliseconds.
pub const MAX_LIFETIME_MS: u64 = 24 * 60 * 60 * 1_000;

/// Domain tag of the signature.
const TAG: &[u8] = b"quorate/read-token/v1";

/// A signed statement of who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadToken {
    author: PublicKey,
    cluster: ClusterId,
    expires_at_ms: u64,
    signature: Signature,
}

/// Why a token isn't accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It can't be read.
    #[error("the read token is not a serialised ReadToken")]
    Malformed,
    /// A field can't be read.
    #[error("the read token's {0}")]
    Field(#[from] FieldFault),
    /// It is for another cluster.
    #[error("the read token is for cluster {found}, this is {expected}")]
    OtherCluster {
        /// The token's.
        found: ClusterId,
        /// Ours.
        expected: ClusterId,
    },
    /// It has expired.
    #[error("the read token expired at {expired_at_ms} ms, it is {now_ms} ms here")]
    Expired {
        /// When.
        expired_at_ms: u64,
        /// The validator's clock.
        now_ms: u64,
    },
    /// It lives too long.
    #[error("the read token expires at {expires_at_ms} ms, {latest_ms} ms is the latest allowed now")]
    TooLong {
        /// When it would expire.
        expires_at_ms: u64,
        /// The latest allowed.
        latest_ms: u64,
    },
    /// Its signature doesn't verify.
    #[error("the read token's signature is not by its author")]
    Signature,
}

impl ReadToken {
    /// A token by the owner of `key`.
    #[must_use]
    pub fn sign(key: &SecretKey, cluster: ClusterId, expires_at_ms: u64) -> Self {
        let author = key.public();
        let signature = key.sign(&signing_bytes(cluster, author, expires_at_ms));
        Self { author, cluster, expires_at_ms, signature }
    }

    /// Puts the token into a call's metadata.
    pub fn attach(&self, metadata: &mut MetadataMap) {
        let message = pb::ReadToken {
            author: Bytes::copy_from_slice(self.author.as_bytes()),
            cluster: Bytes::copy_from_slice(self.cluster.0.as_bytes()),
            expires_at_ms: self.expires_at_ms,
            signature: Bytes::copy_from_slice(self.signature.as_bytes()),
        };
        metadata.insert_bin(METADATA_KEY, MetadataValue::from_bytes(&message.encode_to_vec()));
    }

    /// The token in a call's metadata, if there is one. Not verified yet.
    ///
    /// # Errors
    /// If there is one that can't be read.
    pub fn of_call(metadata: &MetadataMap) -> Result<Option<Self>, TokenFault> {
        let Some(value) = metadata.get_bin(METADATA_KEY) else {
            return Ok(None);
        };
        let bytes = value.to_bytes().map_err(|_| TokenFault::Malformed)?;
        let message = pb::ReadToken::decode(bytes).map_err(|_| TokenFault::Malformed)?;
        Ok(Some(Self {
            author: fixed("author", &message.author).map(PublicKey::from_bytes)?,
            cluster: fixed("cluster", &message.cluster).map(|id| ClusterId(quorate_crypto::Digest::new(id)))?,
            expires_at_ms: message.expires_at_ms,
            signature: fixed("signature", &message.signature).map(Signature::from_bytes)?,
        }))
    }

    /// Who reads, if the token is good at `now_ms`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, scheme: Scheme, cluster: ClusterId, now_ms: u64) -> Result<PublicKey, TokenFault> {
        if self.cluster != cluster {
            return Err(TokenFault::OtherCluster { found: self.cluster, expected: cluster });
        }
        if self.expires_at_ms <= now_ms {
            return Err(TokenFault::Expired { expired_at_ms: self.expires_at_ms, now_ms });
        }
        let latest_ms = now_ms.saturating_add(MAX_LIFETIME_MS);
        if self.expires_at_ms > latest_ms {
            return Err(TokenFault::TooLong { expires_at_ms: self.expires_at_ms, latest_ms });
        }
        let message = signing_bytes(self.cluster, self.author, self.expires_at_ms);
        if scheme.verify(&self.author, &message, &self.signature) {
            Ok(self.author)
        } else {
            Err(TokenFault::Signature)
        }
    }
}

fn signing_bytes(cluster: ClusterId, author: PublicKey, expires_at_ms: u64) -> Vec<u8> {
    [TAG, cluster.0.as_bytes(), author.as_bytes(), &expires_at_ms.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;

    use super::*;

    const CLUSTER: ClusterId = ClusterId(Digest::new([3; 32]));

    fn token(expires_at_ms: u64) -> ReadToken {
        ReadToken::sign(&SecretKey::from_seed([1; 32]), CLUSTER, expires_at_ms)
    }

    #[test]
    fn a_token_survives_the_metadata_and_names_its_author() {
        let mut metadata = MetadataMap::new();
        assert_eq!(ReadToken::of_call(&metadata), Ok(None));
        token(2_000).attach(&mut metadata);
        let read = ReadToken::of_call(&metadata).unwrap().unwrap();
        assert_eq!(read.verify(Scheme::Ed25519, CLUSTER, 1_999), Ok(SecretKey::from_seed([1; 32]).public()));
    }

    #[test]
    fn a_token_counts_in_its_cluster_and_time_only() {
        let judge = |token: &ReadToken, now_ms| token.verify(Scheme::Ed25519, CLUSTER, now_ms);
        assert!(matches!(judge(&token(2_000), 2_000), Err(TokenFault::Expired { .. })));
        assert!(matches!(judge(&token(MAX_LIFETIME_MS + 2), 1), Err(TokenFault::TooLong { .. })));
        assert!(judge(&token(MAX_LIFETIME_MS + 1), 1).is_ok());
        let other = ClusterId(Digest::new([4; 32]));
        assert!(matches!(token(9).verify(Scheme::Ed25519, other, 1), Err(TokenFault::OtherCluster { .. })));
        let stretched = ReadToken { expires_at_ms: 3_000, ..token(2_000) };
        assert_eq!(judge(&stretched, 1), Err(TokenFault::Signature));
        let stolen = ReadToken { author: SecretKey::from_seed([2; 32]).public(), ..token(2_000) };
        assert_eq!(judge(&stolen, 1), Err(TokenFault::Signature));
    }

    #[test]
    fn unreadable_tokens_are_named() {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(METADATA_KEY, MetadataValue::from_bytes(&[0xff; 9]));
        assert_eq!(ReadToken::of_call(&metadata), Err(TokenFault::Malformed));
        let short = pb::ReadToken { author: Bytes::from_static(&[1; 31]), ..Default::default() };
        metadata.insert_bin(METADATA_KEY, MetadataValue::from_bytes(&short.encode_to_vec()));
        assert!(matches!(ReadToken::of_call(&metadata), Err(TokenFault::Field(_))));
    }
}
