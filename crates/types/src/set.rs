//! The validator set of an epoch, and who leads it when.

use quorate_crypto::PublicKey;

use crate::ids::{Epoch, ValidatorIndex, View};
use crate::quorum::Quorum;

/// What the cluster agrees on about one validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorInfo {
    /// A name for people; unique in the set.
    pub name: String,
    /// The key of everything that the protocol counts; held by the signing guard alone.
    pub consensus_key: PublicKey,
    /// The key of its TLS sessions with other validators.
    pub network_key: PublicKey,
    /// The incarnation nonce of the store that may sign in this epoch (protocol §7.4).
    pub incarnation: [u8; 32],
    /// Where other validators reach it, as `host:port`.
    pub peer_address: String,
}

/// Somebody who follows an epoch without being counted in it (protocol §8.5). Its index comes after the validators'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learner {
    /// As a validator's; one that joins has no incarnation yet.
    pub info: ValidatorInfo,
    /// What for.
    pub role: LearnerRole,
}

/// Why a learner follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnerRole {
    /// It will be a validator.
    Joining {
        /// The consensus key of the validator whose place it takes.
        replaces: Option<PublicKey>,
    },
    /// It was a validator in the epoch before, and serves those who are behind for one more.
    Leaving,
}

/// The validators of one epoch, by index, and its learners. Never without a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<ValidatorInfo>,
    learners: Vec<Learner>,
}

impl ValidatorSet {
    /// A set; `None` if it is empty or above [`crate::limits::MAX_VALIDATORS`].
    #[must_use]
    pub fn new(validators: Vec<ValidatorInfo>) -> Option<Self> {
        Self::with_learners(validators, Vec::new())
    }

    /// A set with learners; `None` if it has no validator, or more of both than
    /// [`crate::limits::MAX_VALIDATORS`].
    #[must_use]
    pub fn with_learners(validators: Vec<ValidatorInfo>, learners: Vec<Learner>) -> Option<Self> {
        let everyone = validators.len().saturating_add(learners.len());
        let fits = !validators.is_empty() && everyone <= crate::limits::MAX_VALIDATORS;
        fits.then_some(Self { validators, learners })
    }

    /// `n`.
    #[must_use]
    pub fn size(&self) -> usize {
        self.validators.len()
    }

    /// The set's quorum arithmetic.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        Quorum::of(self.size())
    }

    /// The validator with this index.
    #[must_use]
    pub fn validator(&self, index: ValidatorIndex) -> Option<&ValidatorInfo> {
        self.validators.get(index.position())
    }

    /// All, by index.
    pub fn iter(&self) -> impl Iterator<Item = (ValidatorIndex, &ValidatorInfo)> {
        (0u16..).map(ValidatorIndex).zip(&self.validators)
    }

    /// The learners.
    #[must_use]
    pub fn learners(&self) -> &[Learner] {
        &self.learners
    }

    /// Validators and learners, by index: all who have links to each other.
    pub fn everyone(&self) -> impl Iterator<Item = (ValidatorIndex, &ValidatorInfo)> {
        let learners = self.learners.iter().map(|learner| &learner.info);
        (0u16..).map(ValidatorIndex).zip(self.validators.iter().chain(learners))
    }

    /// The validator or learner with this index.
    #[must_use]
    pub fn anyone(&self, index: ValidatorIndex) -> Option<&ValidatorInfo> {
        let learner = || self.learners.get(index.position().checked_sub(self.size())?).map(|learner| &learner.info);
        self.validator(index).or_else(learner)
    }

    /// The index of the validator or learner with this consensus key; of whoever is neither, the first that is
    /// nobody's.
    #[must_use]
    pub fn place_of(&self, key: &PublicKey) -> ValidatorIndex {
        let found = self.everyone().find(|(_, info)| info.consensus_key == *key);
        found.map_or_else(|| self.nobody(), |(index, _)| index)
    }

    /// The first index that is nobody's.
    fn nobody(&self) -> ValidatorIndex {
        ValidatorIndex(u16::try_from(self.size() + self.learners.len()).unwrap_or(u16::MAX))
    }

    /// All indices of validators, ascending.
    pub fn indices(&self) -> impl Iterator<Item = ValidatorIndex> + use<> {
        indices(self.size())
    }

    /// The index of the validator or learner with this network key.
    #[must_use]
    pub fn by_network_key(&self, key: &PublicKey) -> Option<ValidatorIndex> {
        self.everyone().find(|(_, info)| info.network_key == *key).map(|(index, _)| index)
    }

    /// `primary(epoch, view) = roster[(epoch + view) mod |roster|]` (protocol §3.7). The roster is the
    /// whole set as long as nothing excludes a validator from it.
    #[must_use]
    pub fn primary(&self, epoch: Epoch, view: View) -> ValidatorIndex {
        primary(self.size(), epoch, view)
    }
}

/// The indices `0..size`.
pub fn indices(size: usize) -> impl Iterator<Item = ValidatorIndex> {
    (0..u16::try_from(size).unwrap_or(u16::MAX)).map(ValidatorIndex)
}

/// The primary of `view` in a roster of `size` validators (protocol §3.7).
#[must_use]
pub fn primary(size: usize, epoch: Epoch, view: View) -> ValidatorIndex {
    let size = size.max(1) as u128;
    let index = (u128::from(epoch.0) + u128::from(view.0)) % size;
    ValidatorIndex(u16::try_from(index).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_rotate_and_no_view_overflows() {
        let leads = |view| primary(4, Epoch(0), View(view)).0;
        assert_eq!((0..5).map(leads).collect::<Vec<_>>(), [0, 1, 2, 3, 0]);
        assert_eq!(primary(4, Epoch(u64::MAX), View(u64::MAX)), ValidatorIndex(2));
    }
}
