//! From points to measures, with hysteresis (accountability §6.4).

use super::decay::Points;

/// What is done about a validator, here and nowhere else. Each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing but looking.
    #[default]
    Observe,
    /// People are told.
    Warn,
    /// What it sends should be read more slowly.
    Throttle,
    /// It is asked last.
    Deprioritise,
    /// Its connections should be closed until it has sunk below this level.
    Disconnect,
}

impl Level {
    /// All, ascending.
    pub const ALL: [Self; 5] = [Self::Observe, Self::Warn, Self::Throttle, Self::Deprioritise, Self::Disconnect];

    /// The name for people, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Warn => "warn",
            Self::Throttle => "throttle",
            Self::Deprioritise => "deprioritise",
            Self::Disconnect => "disconnect",
        }
    }

    /// The score at which it is entered.
    #[must_use]
    pub const fn enters_at(self) -> Points {
        Points::thousandths(match self {
            Self::Observe => 0,
            Self::Warn => 250,
            Self::Throttle => 500,
            Self::Deprioritise => 700,
            Self::Disconnect => 900,
        })
    }

    /// The score below which it is left for the level before.
    #[must_use]
    pub const fn leaves_below(self) -> Points {
        Points::thousandths(match self {
            Self::Observe => 0,
            Self::Warn => 150,
            Self::Throttle => 350,
            Self::Deprioritise => 500,
            Self::Disconnect => 700,
        })
    }

    /// The level at this score, coming from this one.
    pub(super) fn next(self, score: Points) -> Self {
        let entered = Self::ALL.into_iter().rfind(|level| level.enters_at() <= score).unwrap_or_default();
        let kept = Self::ALL.into_iter().rfind(|level| *level <= self && level.leaves_below() <= score);
        entered.max(kept.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// accountability §6.4
    #[test]
    fn a_level_is_entered_high_and_left_low() {
        let at = Points::thousandths;
        assert_eq!(Level::Observe.next(at(249)), Level::Observe);
        assert_eq!(Level::Observe.next(at(250)), Level::Warn);
        assert_eq!(Level::Warn.next(at(150)), Level::Warn);
        assert_eq!(Level::Warn.next(at(149)), Level::Observe);
        assert_eq!(Level::Observe.next(at(1_000)), Level::Disconnect);
        assert_eq!(Level::Disconnect.next(at(700)), Level::Disconnect);
        assert_eq!(Level::Disconnect.next(at(699)), Level::Deprioritise);
        assert_eq!(Level::Disconnect.next(at(0)), Level::Observe);
    }

    #[test]
    fn between_leaving_and_entering_again_lie_points() {
        for level in &Level::ALL[1..] {
            assert!(level.leaves_below() < level.enters_at(), "{}", level.name());
        }
    }
}
