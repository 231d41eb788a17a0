//! The evidence kept: deduplicated and bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_crypto::{Digest, PublicKey};
use quorate_types::evidence::{Accused, Evidence};
use quorate_types::ids::ValidatorIndex;

/// Pieces kept of one kind against one signer. One is enough to convince; a few more help to understand.
pub const MAX_KEPT_PER_KIND: usize = 4;
/// Authors against whom any is kept: there may be more authors than memory.
pub const MAX_AUTHORS: usize = 64;

/// What became of a piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The first about this place: to be kept.
    New,
    /// One about this place is kept already.
    Known,
    /// The accused has as much kept of this kind as there is room for; it is only counted.
    OverLimit,
}

/// What is known against whom.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    kept: BTreeMap<Digest, Arc<Evidence>>,
    places: BTreeMap<(Accused, u8), BTreeSet<Vec<u8>>>,
    authors: BTreeSet<PublicKey>,
    seen: BTreeMap<ValidatorIndex, u64>,
}

impl Ledger {
    /// Takes evidence in that was verified.
    pub fn note(&mut self, evidence: &Arc<Evidence>) -> Noted {
        let accused = evidence.accused();
        match accused {
            Accused::Validator(validator) => {
                let seen = self.seen.entry(validator).or_default();
                *seen = seen.saturating_add(1);
            }
            Accused::Author(author) if self.authors.contains(&author) => {}
            Accused::Author(_) if self.authors.len() >= MAX_AUTHORS => return Noted::OverLimit,
            Accused::Author(author) => {
                self.authors.insert(author);
            }
        }
        let places = self.places.entry((accused, evidence.code())).or_default();
        let place = evidence.place();
        if places.contains(&place) {
            Noted::Known
        } else if places.len() >= MAX_KEPT_PER_KIND {
            Noted::OverLimit
        } else {
            places.insert(place);
            self.kept.insert(evidence.id(), Arc::clone(evidence));
            Noted::New
        }
    }

    /// All that is kept, by id.
    pub fn all(&self) -> impl Iterator<Item = (&Digest, &Arc<Evidence>)> {
        self.kept.iter()
    }

    /// What is kept under an id.
    #[must_use]
    pub fn with_id(&self, id: &Digest) -> Option<&Arc<Evidence>> {
        self.kept.get(id)
    }

    /// How often anything was seen against a validator, repetitions included.
    #[must_use]
    pub fn seen(&self, validator: ValidatorIndex) -> u64 {
        self.seen.get(&validator).copied().unwrap_or(0)
    }

    /// How much is kept against a validator.
    #[must_use]
    pub fn kept_of(&self, validator: ValidatorIndex) -> u64 {
        let accused = Accused::Validator(validator);
        self.places.range((accused, 0)..=(accused, u8::MAX)).map(|(_, places)| places.len() as u64).sum()
    }

    /// How much is kept in all.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::{Signature, sha256};
    use quorate_types::ids::{Epoch, Sequence, View};
    use quorate_types::signed::Signed;
    use quorate_types::vote::{Phase, Vote};

    use super::*;

    fn pair(validator: u16, sequence: u64, choice: u8) -> Arc<Evidence> {
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
        Arc::new(Evidence::ConflictingVotes(vote(Digest::ZERO), vote(sha256(&[&[choice]]))))
    }

    /// accountability §3.1
    #[test]
    fn each_place_is_kept_once_and_every_sighting_is_counted() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.note(&pair(2, 5, 1)), Noted::New);
        assert_eq!(ledger.note(&pair(2, 5, 2)), Noted::Known);
        assert_eq!(ledger.note(&pair(2, 6, 1)), Noted::New);
        assert_eq!((ledger.seen(ValidatorIndex(2)), ledger.kept()), (3, 2));
        assert_eq!(ledger.seen(ValidatorIndex(1)), 0);
        assert_eq!((ledger.kept_of(ValidatorIndex(2)), ledger.kept_of(ValidatorIndex(1))), (2, 0));
    }

    /// accountability §3.1
    #[test]
    fn one_offender_fills_only_its_own_room() {
        let mut ledger = Ledger::default();
        for sequence in 0..2 * MAX_KEPT_PER_KIND as u64 {
            ledger.note(&pair(2, sequence, 1));
        }
        assert_eq!(ledger.kept(), MAX_KEPT_PER_KIND);
        assert_eq!(ledger.note(&pair(2, 9_999, 1)), Noted::OverLimit);
        assert_eq!(ledger.note(&pair(3, 9_999, 1)), Noted::New);
    }
}
