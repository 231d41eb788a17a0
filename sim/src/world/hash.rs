//! The rolling hash of everything that happened: two runs of one seed must end with the same
//! (simulation §4.2).

use quorate_crypto::{Digest, sha256};

/// So many bytes are gathered before they are hashed.
const CHUNK_BYTES: usize = 1 << 16;

/// A hash over a sequence of events.
#[derive(Clone, Debug, Default)]
pub struct RollingHash {
    state: Option<Digest>,
    pending: Vec<u8>,
    events: u64,
}

impl RollingHash {
    /// Adds an event: when, what kind, who, and its bytes.
    pub fn add(&mut self, at_us: u64, kind: &str, who: u16, bytes: &[u8]) {
        self.events += 1;
        self.pending.extend_from_slice(&at_us.to_be_bytes());
        self.pending.extend_from_slice(kind.as_bytes());
        self.pending.extend_from_slice(&who.to_be_bytes());
        self.pending.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK_BYTES {
            self.fold();
        }
    }

    fn fold(&mut self) {
        let before = self.state.unwrap_or_default();
        self.state = Some(sha256(&[before.as_bytes(), &self.pending]));
        self.pending.clear();
    }

    /// The hash of all events so far.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        self.fold();
        self.state.unwrap_or_default()
    }

    /// How many events there were.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_event_moves_the_hash() {
        let hash = |at, kind, who, bytes: &[u8]| {
            let mut hash = RollingHash::default();
            hash.add(at, kind, who, bytes);
            hash.finish()
        };
        let base = hash(1, "a", 0, b"x");
        assert_eq!(base, hash(1, "a", 0, b"x"));
        for other in [hash(2, "a", 0, b"x"), hash(1, "b", 0, b"x"), hash(1, "a", 1, b"x"), hash(1, "a", 0, b"y")] {
            assert_ne!(base, other);
        }
    }
}
