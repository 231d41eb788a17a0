//! Freshness statements: how far the order had gone after a nonce was made (data-model §§5.3, 5.4).
//!
//! A [`Round`] collects the statements over one nonce; it is used by validators that answer linearizable
//! reads and by clients that trust no single one.

use std::collections::BTreeMap;

use crate::codec::{Canonical, DecodeError, Reader};
use crate::ids::{Epoch, Sequence, ValidatorIndex};
use crate::quorum::Quorum;
use crate::rules::{RuleFault, admit_certificate};
use crate::signed::{Signed, Statement};
use crate::vote::{Certificate, Phase};

/// What makes a round its own: random, never used twice.
pub type Nonce = [u8; 32];

/// A validator's word, given after a nonce was made, for how far it knows the order to have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The epoch.
    pub epoch: Epoch,
    /// The nonce of whoever asked.
    pub nonce: Nonce,
    /// The sequence of its highest commit certificate; 0 if it has none.
    pub committed: Sequence,
    /// Who says so.
    pub validator: ValidatorIndex,
}

/// A freshness statement with the certificate that it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshnessAnswer {
    /// The statement.
    pub signed: Signed<Freshness>,
    /// The highest commit certificate; `None` at sequence 0.
    pub certificate: Option<Certificate>,
}

impl FreshnessAnswer {
    /// Checks that the certificate is what the statement says: nobody can claim what isn't committed.
    /// Signatures are checked elsewhere.
    ///
    /// # Errors
    /// The rule broken.
    pub fn admit(&self, epoch: Epoch, quorum: Quorum) -> Result<(), RuleFault> {
        let committed = self.signed.statement.committed;
        let shown = match &self.certificate {
            None => Sequence::ZERO,
            Some(certificate) => {
                admit_certificate(certificate, Phase::Commit, epoch, quorum)?;
                certificate.claim.sequence
            }
        };
        if shown == committed { Ok(()) } else { Err(RuleFault::UnprovenClaim) }
    }
}

/// Collects the statements over one nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    nonce: Nonce,
    needed: usize,
    heard: BTreeMap<ValidatorIndex, Sequence>,
}

impl Round {
    /// A round that nobody has answered yet.
    #[must_use]
    pub const fn new(nonce: Nonce, quorum: Quorum) -> Self {
        Self { nonce, needed: quorum.quorum(), heard: BTreeMap::new() }
    }

    /// The nonce.
    #[must_use]
    pub const fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Whether a validator has answered.
    #[must_use]
    pub fn has_heard(&self, validator: ValidatorIndex) -> bool {
        self.heard.contains_key(&validator)
    }

    /// Takes a verified statement in; one over another nonce counts for nothing.
    pub fn hear(&mut self, statement: &Freshness) {
        if statement.nonce == self.nonce {
            let heard = self.heard.entry(statement.validator).or_insert(statement.committed);
            *heard = statement.committed.max(*heard);
        }
    }

    /// The highest sequence among the statements of a quorum, once there are so many: at or above everything
    /// that was acknowledged, or shown by a linearizable read, before the nonce was made (data-model §5.4).
    #[must_use]
    pub fn result(&self) -> Option<Sequence> {
        let needed = if cfg!(mutant = "read-of-one") { 1 } else { self.needed };
        if self.heard.len() >= needed { self.heard.values().copied().max() } else { None }
    }
}

impl Statement for Freshness {
    const TAG: &'static str = "quorate/freshness/v1";

    fn signer(&self) -> ValidatorIndex {
        self.validator
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Canonical for Freshness {
    fn encode(&self, out: &mut Vec<u8>) {
        self.epoch.encode(out);
        out.extend_from_slice(&self.nonce);
        self.committed.encode(out);
        self.validator.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch::decode(input)?,
            nonce: input.array()?,
            committed: Sequence::decode(input)?,
            validator: ValidatorIndex::decode(input)?,
        })
    }
}

impl Canonical for FreshnessAnswer {
    fn encode(&self, out: &mut Vec<u8>) {
        self.signed.encode(out);
        self.certificate.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { signed: Signed::decode(input)?, certificate: Option::decode(input)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(nonce: Nonce, validator: u16, committed: u64) -> Freshness {
        Freshness { epoch: Epoch(0), nonce, committed: Sequence(committed), validator: ValidatorIndex(validator) }
    }

    /// data-model §5.4
    #[test]
    fn a_round_needs_a_quorum_of_distinct_validators_over_its_own_nonce() {
        let mut round = Round::new([1; 32], Quorum::of(4));
        for (nonce, validator) in [([1; 32], 0), ([1; 32], 0), ([2; 32], 1), ([2; 32], 2)] {
            round.hear(&statement(nonce, validator, 7));
        }
        round.hear(&statement([1; 32], 3, 4));
        assert_eq!(round.result(), None, "two of three");
        round.hear(&statement([1; 32], 2, 5));
        assert_eq!(round.result(), Some(Sequence(7)), "the highest of them counts");
        assert!(round.has_heard(ValidatorIndex(3)) && !round.has_heard(ValidatorIndex(1)));
    }

    /// data-model §5.3
    #[test]
    fn a_claim_without_its_certificate_is_refused() {
        let signature = quorate_crypto::Signature::from_bytes([0; 64]);
        let answer = |committed| FreshnessAnswer {
            signed: Signed { statement: statement([1; 32], 0, committed), signature },
            certificate: None,
        };
        assert_eq!(answer(0).admit(Epoch(0), Quorum::of(4)), Ok(()));
        assert_eq!(answer(9).admit(Epoch(0), Quorum::of(4)), Err(RuleFault::UnprovenClaim));
        let bytes = answer(3).to_bytes();
        assert_eq!(FreshnessAnswer::from_bytes(&bytes), Ok(answer(3)));
    }
}
