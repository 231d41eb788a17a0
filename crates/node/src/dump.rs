//! The dump digest: SHA-256 over the sorted stream of keys and values of the replicated state and its tree.
//! Receipts aren't in it, since an operator may prune them; a sequence's certificate has their root.
//!
//! Per family, the state first, and per entry: the family's position (one byte), the key's
//! length (8 bytes, big-endian), the key, the value's length, the value. Equal at all correct validators at
//! one executed sequence.

use quorate_crypto::{Digest, Hasher};
use quorate_storage::{Family, Snapshot, StoreError};

/// Entries read at a time.
const PAGE: usize = 512;

/// A digest, and how many entries it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dump {
    /// The digest.
    pub digest: Digest,
    /// Entries hashed.
    pub keys: u64,
}

/// Hashes a snapshot. Reads all of the replicated state.
///
/// # Errors
/// If the store can't be read.
pub fn dump(snapshot: &impl Snapshot) -> Result<Dump, StoreError> {
    let (mut hasher, mut keys) = (Hasher::new(), 0u64);
    for family in [Family::State, Family::Tree] {
        let mut from = Vec::new();
        loop {
            let entries = snapshot.scan(family, &from, &[], PAGE)?;
            for (key, value) in &entries {
                hasher.update(&[family.index() as u8]);
                for part in [key, value] {
                    hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
                }
                keys += 1;
            }
            let Some((last, _)) = entries.into_iter().nth(PAGE - 1) else { break };
            from = last;
            from.push(0);
        }
    }
    Ok(Dump { digest: hasher.finish(), keys })
}

#[cfg(test)]
mod tests {
    use quorate_storage::{Durability, MemoryStore, Store, WriteBatch};

    use super::*;

    fn digest(entries: &[(Family, u32, &[u8])]) -> Dump {
        let store = MemoryStore::new();
        let mut batch = WriteBatch::new();
        for (family, key, value) in entries {
            batch.put(*family, key.to_be_bytes(), *value);
        }
        store.write(batch, Durability::Buffered).unwrap();
        dump(&store.snapshot().unwrap()).unwrap()
    }

    #[test]
    fn it_covers_every_replicated_entry_and_nothing_else() {
        let base: Vec<(Family, u32, &[u8])> = (0..1_500).map(|key| (Family::State, key, &b"v"[..])).collect();
        let whole = digest(&base);
        assert_eq!(whole.keys, 1_500);
        let with = |entry| digest(&[&base[..], &[entry]].concat());
        assert_eq!(with((Family::Votes, 1, b"vote")), whole);
        assert_eq!(with((Family::Operations, 1, b"place")), whole);
        assert_eq!(with((Family::Receipts, 1, b"receipt")), whole);
        assert_ne!(with((Family::Tree, 1, b"page")).digest, whole.digest);
        assert_ne!(with((Family::State, 1_499, b"w")).digest, whole.digest);
        assert_ne!(digest(&base[1..]).digest, whole.digest);
    }

    #[test]
    fn the_border_between_key_and_value_and_the_family_count() {
        let one = digest(&[(Family::State, 1, b"")]);
        assert_ne!(one.digest, digest(&[(Family::Tree, 1, b"")]).digest);
    }
}
