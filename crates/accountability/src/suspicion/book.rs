//! All validators together.

use std::collections::BTreeMap;

use quorate_types::ids::ValidatorIndex;
use quorate_types::quorum::Quorum;

use super::decay::Points;
use super::level::Level;
use super::observation::Observation;
use super::rule::Rule;
use super::subject::{Point, Subject};

/// So many points of circumstances make a validator one of those that look slow ...
const NOTABLE: Points = Points::thousandths(100);
/// ... until it has fewer than these.
const UNNOTABLE: Points = Points::thousandths(50);
/// While more than `f` look slow at once, circumstances weigh a quarter.
const HALVED_WHILE_MANY: u32 = 2;

/// What a judgement changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A validator's level.
    Level {
        /// Whose.
        validator: ValidatorIndex,
        /// What it was.
        from: Level,
        /// What it is.
        to: Level,
        /// Its score.
        score: Points,
        /// The rule with most of its points, if there is any left.
        mostly: Option<Rule>,
    },
    /// More than `f` look slow at once, or no longer: the network or this node is the likelier cause.
    Many(bool),
}

/// What is held against one validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whom.
    pub validator: ValidatorIndex,
    /// Its score.
    pub score: Points,
    /// Its level, as last judged.
    pub level: Level,
    /// Where the score comes from, the heaviest first.
    pub points: Vec<Point>,
}

/// What one validator suspects the others of.
///
/// Bounded: for each other validator one entry per rule with [`super::KEPT_SIGHTINGS`] sights.
#[derive(Clone, Debug)]
pub struct Suspicions {
    me: ValidatorIndex,
    quorum: Quorum,
    subjects: BTreeMap<ValidatorIndex, Subject>,
    /// More than `f` look slow at once: set and cleared by [`Suspicions::judge`].
    many: bool,
}

impl Suspicions {
    /// Nothing is suspected.
    #[must_use]
    pub const fn new(me: ValidatorIndex, quorum: Quorum) -> Self {
        Self { me, quorum, subjects: BTreeMap::new(), many: false }
    }

    /// Takes in what was seen of a validator; false if it weighs nothing.
    pub fn observe(&mut self, now_ms: u64, of: ValidatorIndex, observation: impl Into<Observation>) -> bool {
        if of == self.me || of.position() >= self.quorum.validators() {
            return false;
        }
        let observation = observation.into();
        let is_circumstance = observation.seen.rule().info().class == super::Class::Circumstance;
        let halved = if is_circumstance { self.halved() } else { 0 };
        self.subjects.entry(of).or_default().observe(now_ms, observation, halved)
    }

    const fn halved(&self) -> u32 {
        if self.many { HALVED_WHILE_MANY } else { 0 }
    }

    /// Forgets what has faded, and judges every level; gives what changed.
    ///
    /// Beyond [`Level::Warn`], at most `f` validators are held at a time, since no more are faulty: where more
    /// would be, something else is wrong, such as two versions that don't understand each other.
    pub fn judge(&mut self, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for subject in self.subjects.values_mut() {
            subject.forget(now_ms);
        }
        let bound = if self.many { UNNOTABLE } else { NOTABLE };
        let slow = self.subjects.values().filter(|subject| subject.circumstances(now_ms) >= bound).count();
        // Of two or three validators any one may be slow alone, although f is 0.
        let many = slow > self.quorum.faulty().max(1);
        if many != self.many {
            self.many = many;
            changes.push(Change::Many(many));
        }
        for (validator, to, score) in self.levels(now_ms) {
            let Some(subject) = self.subjects.get_mut(&validator) else { continue };
            let from = std::mem::replace(&mut subject.level, to);
            if from != to {
                let mostly = subject.points(now_ms).first().map(|point| point.rule);
                changes.push(Change::Level { validator, from, to, score, mostly });
            }
        }
        self.subjects.retain(|_, subject| !subject.is_clear());
        changes
    }

    /// Each validator's next level. Those that are beyond a warning already keep their place before others.
    fn levels(&self, now_ms: u64) -> Vec<(ValidatorIndex, Level, Points)> {
        let mut levels: Vec<_> = self
            .subjects
            .iter()
            .map(|(validator, subject)| {
                let score = subject.score(now_ms, self.halved());
                (*validator, subject.level.next(score), score)
            })
            .collect();
        let is_held = |validator: &ValidatorIndex| self.level(*validator) > Level::Warn;
        levels.sort_by_key(|(validator, _, score)| (!is_held(validator), std::cmp::Reverse(*score), *validator));
        let beyond = levels.iter_mut().filter(|(_, level, _)| *level > Level::Warn);
        for (_, level, _) in beyond.skip(self.quorum.faulty()) {
            *level = Level::Warn;
        }
        levels
    }

    /// The score of a validator: between 0 and 1, whatever was seen.
    #[must_use]
    pub fn score(&self, validator: ValidatorIndex, now_ms: u64) -> Points {
        self.subjects.get(&validator).map_or(Points::NONE, |subject| subject.score(now_ms, self.halved()))
    }

    /// The level of a validator, as last judged.
    #[must_use]
    pub fn level(&self, validator: ValidatorIndex) -> Level {
        self.subjects.get(&validator).map_or(Level::Observe, |subject| subject.level)
    }

    /// Those against whom something is held.
    pub fn suspects(&self) -> impl Iterator<Item = ValidatorIndex> {
        self.subjects.keys().copied()
    }

    /// Whether more than `f` look slow at once.
    #[must_use]
    pub const fn are_many(&self) -> bool {
        self.many
    }

    /// What is held against a validator.
    #[must_use]
    pub fn explain(&self, validator: ValidatorIndex, now_ms: u64) -> Explanation {
        Explanation {
            validator,
            score: self.score(validator, now_ms),
            level: self.level(validator),
            points: self.subjects.get(&validator).map(|subject| subject.points(now_ms)).unwrap_or_default(),
        }
    }
}
