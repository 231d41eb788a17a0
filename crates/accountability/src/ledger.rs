//! The contradictions seen, deduplicated and bounded.

use std::collections::{BTreeMap, BTreeSet};

use quorate_types::contradiction::Contradiction;
use quorate_types::ids::ValidatorIndex;

/// Contradictions kept of one validator. One is enough to know; a few more help to understand.
pub const MAX_KEPT_PER_OFFENDER: usize = 64;

/// What became of a contradiction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The first about this place: keep both messages.
    New,
    /// One about this place is kept already.
    Known,
    /// The offender has as many kept as there is room for; it is only counted.
    OverLimit,
}

/// Who contradicted itself about what.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    kept: BTreeMap<ValidatorIndex, BTreeSet<(&'static str, Vec<u8>)>>,
    seen: BTreeMap<ValidatorIndex, u64>,
}

impl Ledger {
    /// Takes a contradiction in. Its signatures have been checked at the door.
    pub fn note(&mut self, pair: &Contradiction) -> Noted {
        let offender = pair.offender();
        let seen = self.seen.entry(offender).or_default();
        *seen = seen.saturating_add(1);
        let kept = self.kept.entry(offender).or_default();
        let place = (pair.kind(), pair.place());
        if kept.contains(&place) {
            Noted::Known
        } else if kept.len() >= MAX_KEPT_PER_OFFENDER {
            Noted::OverLimit
        } else {
            kept.insert(place);
            Noted::New
        }
    }

    /// How many contradictions of a validator were seen, repetitions included.
    #[must_use]
    pub fn seen(&self, validator: ValidatorIndex) -> u64 {
        self.seen.get(&validator).copied().unwrap_or(0)
    }

    /// How many are kept of a validator.
    #[must_use]
    pub fn kept(&self, validator: ValidatorIndex) -> usize {
        self.kept.get(&validator).map_or(0, BTreeSet::len)
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::{Digest, Signature, sha256};
    use quorate_types::codec::Canonical;
    use quorate_types::ids::{Epoch, Sequence, View};
    use quorate_types::signed::Signed;
    use quorate_types::vote::{Phase, Vote};

    use super::*;

    fn pair(validator: u16, sequence: u64, choice: u8) -> Contradiction {
        let vote = |digest: Digest| Signed {
            statement: Vote {
                epoch: Epoch(0),
                view: View(1),
                sequence: Sequence(sequence),
                digest,
                phase: Phase::Commit,
                validator: ValidatorIndex(validator),
            },
            signature: Signature::from_bytes([0; 64]),
        };
        Contradiction::Votes(vote(Digest::ZERO), vote(sha256(&[&[choice]])))
    }

    #[test]
    fn each_place_is_kept_once_and_every_sighting_is_counted() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.note(&pair(2, 5, 1)), Noted::New);
        assert_eq!(ledger.note(&pair(2, 5, 2)), Noted::Known);
        assert_eq!(ledger.note(&pair(2, 6, 1)), Noted::New);
        assert_eq!((ledger.seen(ValidatorIndex(2)), ledger.kept(ValidatorIndex(2))), (3, 2));
        assert_eq!(ledger.seen(ValidatorIndex(1)), 0);
    }

    #[test]
    fn one_offender_fills_only_its_own_room() {
        let mut ledger = Ledger::default();
        for sequence in 0..2 * MAX_KEPT_PER_OFFENDER as u64 {
            ledger.note(&pair(2, sequence, 1));
        }
        assert_eq!(ledger.kept(ValidatorIndex(2)), MAX_KEPT_PER_OFFENDER);
        assert_eq!(ledger.note(&pair(2, 9_999, 1)), Noted::OverLimit);
        assert_eq!(ledger.note(&pair(3, 9_999, 1)), Noted::New);
    }

    #[test]
    fn a_contradiction_survives_its_bytes() {
        let pair = pair(1, 2, 3);
        assert_eq!(Contradiction::from_bytes(&pair.to_bytes()), Ok(pair));
    }
}
