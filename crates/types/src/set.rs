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

/// The validators of one epoch, by index, its learners, and who of the validators leads. Never without a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<ValidatorInfo>,
    learners: Vec<Learner>,
    barred: Vec<PublicKey>,
    roster: Roster,
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
        let roster = Roster::all(validators.len());
        fits.then_some(Self { validators, learners, barred: Vec::new(), roster })
    }

    /// The set when the owners of these consensus keys are barred from leading, the oldest bar first (protocol §8.6).
    #[must_use]
    pub fn barring(self, barred: Vec<PublicKey>) -> Self {
        let place = |key: &PublicKey| self.iter().find(|(_, info)| info.consensus_key == *key).map(|(index, _)| index);
        let roster = Roster::without(self.quorum(), barred.iter().filter_map(place));
        Self { barred, roster, ..self }
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

    /// Whose consensus keys are barred, the oldest bar first. More may be barred than the roster leaves out.
    #[must_use]
    pub fn barred(&self) -> &[PublicKey] {
        &self.barred
    }

    /// Who leads.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The primary of a view (protocol §3.7).
    #[must_use]
    pub fn primary(&self, epoch: Epoch, view: View) -> ValidatorIndex {
        self.roster.primary(epoch, view)
    }
}

/// The validators of one epoch that lead it in turn, by index (protocol §3.7, §8.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster(Vec<ValidatorIndex>);

impl Roster {
    /// All of a set of `size` validators.
    #[must_use]
    pub fn all(size: usize) -> Self {
        Self(indices(size).collect())
    }

    /// All but those `excluded`, of whom each is named once, the oldest exclusion first. At least `n − f` stay: of
    /// more than `f` exclusions the newest lapse (protocol §8.6).
    #[must_use]
    pub fn without(quorum: Quorum, excluded: impl IntoIterator<Item = ValidatorIndex>) -> Self {
        let left_out: Vec<ValidatorIndex> = excluded.into_iter().take(quorum.faulty()).collect();
        Self(indices(quorum.validators()).filter(|index| !left_out.contains(index)).collect())
    }

    /// `primary(epoch, view) = roster[(epoch + view) mod |roster|]` (protocol §3.7).
    #[must_use]
    pub fn primary(&self, epoch: Epoch, view: View) -> ValidatorIndex {
        let size = self.0.len().max(1) as u128;
        let place = (u128::from(epoch.0) + u128::from(view.0)) % size;
        usize::try_from(place).ok().and_then(|place| self.0.get(place)).copied().unwrap_or_default()
    }

    /// Whether this validator is one of them.
    #[must_use]
    pub fn leads(&self, validator: ValidatorIndex) -> bool {
        self.0.binary_search(&validator).is_ok()
    }
}

/// The indices `0..size`.
pub fn indices(size: usize) -> impl Iterator<Item = ValidatorIndex> {
    (0..u16::try_from(size).unwrap_or(u16::MAX)).map(ValidatorIndex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaders(roster: &Roster, epoch: u64) -> Vec<u16> {
        (0..5).map(|view| roster.primary(Epoch(epoch), View(view)).0).collect()
    }

    /// protocol §3.7
    #[test]
    fn primaries_rotate_and_no_view_overflows() {
        let all = Roster::all(4);
        assert_eq!(leaders(&all, 0), [0, 1, 2, 3, 0]);
        assert_eq!(leaders(&all, 3), [3, 0, 1, 2, 3]);
        assert_eq!(all.primary(Epoch(u64::MAX), View(u64::MAX)), ValidatorIndex(2));
    }

    /// protocol §8.6: the oldest `f` exclusions hold, the newer ones lapse.
    #[test]
    fn a_roster_keeps_all_but_f() {
        let without =
            |size, excluded: &[u16]| Roster::without(Quorum::of(size), excluded.iter().copied().map(ValidatorIndex));
        assert_eq!(leaders(&without(4, &[1]), 0), [0, 2, 3, 0, 2]);
        assert_eq!(without(4, &[2, 1, 0]), without(4, &[2]), "one of four, the oldest");
        assert_eq!(leaders(&without(7, &[5, 0, 1]), 1), [2, 3, 4, 6, 1], "two of seven");
        for small in 1..4 {
            assert_eq!(without(small, &[0]), Roster::all(small), "none of {small}");
        }
        assert!(without(4, &[1]).leads(ValidatorIndex(2)) && !without(4, &[1]).leads(ValidatorIndex(1)));
    }
}
