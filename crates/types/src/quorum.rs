//! Quorum arithmetic (protocol §§1.1–1.3), in one place and by name.
//!
//! For every `n ≥ 1`: two quorums share a correct validator, and a quorum exists when all faulty
//! validators are silent. The model checker and the core call these same functions.

/// How many validators make what, for a set of `n` with equal weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    validators: usize,
}

impl Quorum {
    /// The arithmetic of a set of `validators`; a set is never empty (the genesis is checked), and an
    /// empty one counts as one that can never reach a quorum.
    #[must_use]
    pub const fn of(validators: usize) -> Self {
        Self { validators }
    }

    /// `n`.
    #[must_use]
    pub const fn validators(self) -> usize {
        self.validators
    }

    /// `f = ⌊(n−1)/3⌋`: how many may be faulty.
    #[must_use]
    pub const fn faulty(self) -> usize {
        self.validators.saturating_sub(1) / 3
    }

    /// `q = ⌈(n+f+1)/2⌉`: so many matching votes decide; any two sets of this size share a correct
    /// validator.
    #[must_use]
    pub const fn quorum(self) -> usize {
        if cfg!(mutant = "quorum-minus-one") {
            return (self.validators + self.faulty() + 1).div_ceil(2).saturating_sub(1);
        }
        (self.validators + self.faulty() + 1).div_ceil(2)
    }

    /// `f + 1`: so many include a correct one.
    #[must_use]
    pub const fn one_correct(self) -> usize {
        self.faulty() + 1
    }

    /// `max(f+1, n−q+1)`: so many include a correct one, and without them there is no quorum.
    #[must_use]
    pub const fn blocking(self) -> usize {
        let without = self.validators + 1 - self.quorum();
        if without > self.one_correct() { without } else { self.one_correct() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// protocol §1.2: the figures that it names.
    #[test]
    fn quorums_are_those_of_the_specification() {
        for (n, q) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (10, 7), (100, 67)] {
            assert_eq!(Quorum::of(n).quorum(), q, "n = {n}");
        }
    }

    #[test]
    fn two_quorums_share_a_correct_validator_and_one_survives_all_faulty() {
        for n in 1..=300 {
            let quorum = Quorum::of(n);
            let (q, f) = (quorum.quorum(), quorum.faulty());
            assert!(2 * q > n + f, "n = {n}: two quorums may share only faulty validators");
            assert!(q + f <= n, "n = {n}: no quorum without the faulty");
        }
    }

    #[test]
    fn a_blocking_set_has_a_correct_member_and_stops_every_quorum() {
        for n in 1..=300 {
            let quorum = Quorum::of(n);
            assert!(quorum.blocking() > quorum.faulty());
            assert!(n - quorum.blocking() < quorum.quorum());
            assert!(quorum.blocking() <= n - quorum.faulty(), "n = {n}: the correct ones can't leave");
        }
    }
}
