//! How a value is stored: with a checksum after it that covers its family and key too.
//!
//! A disk may give back flipped bits, and also well-formed data that belongs elsewhere (a misdirected
//! write, a stale block); both fail here. What a checksum of single values cannot show is an entry
//! that is gone: that is for the records' own chain and counters. Nor is it a defence against someone
//! who writes the disk on purpose; so it is XXH3, not a cryptographic hash: each value is summed at
//! every write and read, and damage passes with a chance of one in 2⁶⁴.

use crate::{Family, StoreError};
use twox_hash::XxHash3_64;

/// Bytes after the value: the checksum.
pub const OVERHEAD_BYTES: usize = 8;

/// Appends the bytes to store for `value` to `out`.
pub fn seal(family: Family, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len() + OVERHEAD_BYTES);
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(family, key, value));
}

/// The value in `sealed`, if it was sealed for this family and key.
pub fn open<'a>(family: Family, key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    match sealed.split_last_chunk::<OVERHEAD_BYTES>() {
        Some((value, sum)) if *sum == checksum(family, key, value) => Ok(value),
        _ => Err(StoreError::Corrupt { family, key: key.to_vec() }),
    }
}

/// The sum of the value, seeded with that of the key, seeded with the family: no byte can move from one to another.
fn checksum(family: Family, key: &[u8], value: &[u8]) -> [u8; OVERHEAD_BYTES] {
    let place = XxHash3_64::oneshot_with_seed(family.index() as u64, key);
    XxHash3_64::oneshot_with_seed(place, value).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal_new(family: Family, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal(family, key, value, &mut out);
        out
    }

    #[test]
    fn a_value_opens_only_for_its_own_family_and_key() {
        let sealed = seal_new(Family::Votes, b"key", b"value");
        assert_eq!(open(Family::Votes, b"key", &sealed), Ok(&b"value"[..]));
        assert!(open(Family::State, b"key", &sealed).is_err());
        let error = open(Family::Votes, b"kez", &sealed);
        assert_eq!(error, Err(StoreError::Corrupt { family: Family::Votes, key: b"kez".to_vec() }));
        let moved = seal_new(Family::Votes, b"keyv", b"alue");
        assert_ne!(sealed, moved, "the border between key and value is covered");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let sealed = seal_new(Family::State, b"key", b"value");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Family::State, b"key", &damaged).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(open(Family::State, b"key", &sealed[..length]).is_err(), "{length} bytes");
        }
    }
}
