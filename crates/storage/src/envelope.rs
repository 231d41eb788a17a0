//! How a value is stored: behind a checksum that covers its family and key too.
//!
//! A disk may give back flipped bits, and also well-formed data that belongs elsewhere (a misdirected
//! write, a stale block); both fail here. What a checksum of single values cannot show is an entry
//! that is gone: that is for the records' own chain and counters.

use crate::{Family, StoreError};
use quorate_crypto::sha256;

/// Bytes before the value: the first eight of a SHA-256.
pub const OVERHEAD_BYTES: usize = 8;

/// The bytes to store for `value`.
pub fn seal(family: Family, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(OVERHEAD_BYTES + value.len());
    sealed.extend_from_slice(&checksum(family, key, value));
    sealed.extend_from_slice(value);
    sealed
}

/// The value in `sealed`, if it was sealed for this family and key.
pub fn open<'a>(family: Family, key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match sealed.split_first_chunk::<OVERHEAD_BYTES>() {
        Some((sum, value)) if *sum == checksum(family, key, value) => Ok(value),
        _ => Err(StoreError::Corrupt {
            family,
            key: key.to_vec(),
        }),
    }
}

fn checksum(family: Family, key: &[u8], value: &[u8]) -> [u8; OVERHEAD_BYTES] {
    let key_length = (key.len() as u64).to_be_bytes();
    let digest = sha256(&[&[family.index() as u8], &key_length, key, value]);
    let mut sum = [0; OVERHEAD_BYTES];
    sum.copy_from_slice(&digest.as_bytes()[..OVERHEAD_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_for_its_own_family_and_key() {
        let sealed = seal(Family::Votes, b"key", b"value");
        assert_eq!(open(Family::Votes, b"key", &sealed), Ok(&b"value"[..]));
        assert!(open(Family::State, b"key", &sealed).is_err());
        let error = open(Family::Votes, b"kez", &sealed);
        assert_eq!(
            error,
            Err(StoreError::Corrupt {
                family: Family::Votes,
                key: b"kez".to_vec()
            })
        );
        let moved = seal(Family::Votes, b"keyv", b"alue");
        assert_ne!(sealed, moved, "the border between key and value is covered");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let sealed = seal(Family::State, b"key", b"value");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Family::State, b"key", &damaged).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                open(Family::State, b"key", &sealed[..length]).is_err(),
                "{length} bytes"
            );
        }
    }
}
