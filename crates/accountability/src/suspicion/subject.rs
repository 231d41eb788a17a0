//! What is held against one validator: for each rule its points and the last sights.

use std::collections::{BTreeMap, VecDeque};

use super::decay::Points;
use super::level::Level;
use super::observation::{Observation, Seen};
use super::rule::{Class, Rule};

/// Sights kept of one rule: the newest. With the number of rules, the bound of a validator's memory.
pub const KEPT_SIGHTINGS: usize = 4;

/// One observation weighs as so many at most, however often it was seen at once.
const MAX_TIMES_AT_ONCE: u64 = 8;

/// Fewer points of a rule than these are none.
pub(super) const FEW: Points = Points::thousandths(1);

/// The circumstances of a validator have so many points together at most: below what any measure takes.
const CIRCUMSTANCES: Points = Points::thousandths(450);

/// Something seen, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When, in milliseconds of the observer's clock.
    pub at_ms: u64,
    /// How often at once.
    pub count: u64,
    /// What.
    pub seen: Seen,
}

/// What one rule holds against a validator, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The rule.
    pub rule: Rule,
    /// Its points now, before what bounds circumstances together.
    pub points: Points,
    /// When it was seen first, since it last faded.
    pub first_ms: u64,
    /// When it was seen last.
    pub last_ms: u64,
    /// How often it was seen.
    pub count: u64,
    /// The last sights, oldest first.
    pub sightings: Vec<Sighting>,
    /// When nothing will be left of it, if it isn't seen again.
    pub fades_at_ms: u64,
}

/// What is kept of one rule.
#[derive(Clone, Debug)]
struct Kept {
    points: Points,
    /// The time of `points`; observations weigh again from `apart_ms` after it.
    weighed_ms: u64,
    first_ms: u64,
    last_ms: u64,
    count: u64,
    sightings: VecDeque<Sighting>,
}

/// One validator.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    kept: BTreeMap<Rule, Kept>,
    pub(super) level: Level,
}

impl Subject {
    /// Takes an observation in, with its weight halved so often; false if it weighs nothing: it was seen
    /// already, or is too close to the one before.
    pub(super) fn observe(&mut self, now_ms: u64, observation: Observation, halved: u32) -> bool {
        let Observation { seen, count } = observation;
        let info = seen.rule().info();
        let fresh = Kept {
            points: Points::NONE,
            weighed_ms: now_ms,
            first_ms: now_ms,
            last_ms: now_ms,
            count: 0,
            sightings: VecDeque::new(),
        };
        let kept = self.kept.entry(info.rule).or_insert(fresh);
        if kept.sightings.iter().any(|sighting| sighting.seen == seen) {
            return false;
        }
        let is_first = kept.count == 0;
        kept.last_ms = now_ms;
        kept.count = kept.count.saturating_add(count);
        kept.sightings.push_back(Sighting { at_ms: now_ms, count, seen });
        if kept.sightings.len() > KEPT_SIGHTINGS {
            kept.sightings.pop_front();
        }
        let elapsed_ms = now_ms.saturating_sub(kept.weighed_ms);
        if !is_first && elapsed_ms < info.apart_ms {
            return false;
        }
        let weight = info.weight.times(count.min(MAX_TIMES_AT_ONCE)).halved(halved);
        kept.points = kept.points.after(elapsed_ms, info.half_life_ms).plus(weight, info.cap);
        kept.weighed_ms = now_ms;
        true
    }

    /// Forgets what has faded.
    pub(super) fn forget(&mut self, now_ms: u64) {
        self.kept.retain(|rule, kept| {
            let elapsed_ms = now_ms.saturating_sub(kept.weighed_ms);
            kept.points.after(elapsed_ms, rule.info().half_life_ms) >= FEW
        });
    }

    /// Whether nothing is held against it.
    pub(super) fn is_clear(&self) -> bool {
        self.kept.is_empty() && self.level == Level::Observe
    }

    fn points_of(&self, class: Class, now_ms: u64) -> Points {
        let cap = if class == Class::Circumstance { CIRCUMSTANCES } else { Points::ALL };
        let of_class = self.kept.iter().filter(|(rule, _)| rule.info().class == class);
        let now = of_class
            .map(|(rule, kept)| kept.points.after(now_ms.saturating_sub(kept.weighed_ms), rule.info().half_life_ms));
        now.fold(Points::NONE, |sum, points| sum.plus(points, cap))
    }

    /// What circumstances alone have, before it is halved.
    pub(super) fn circumstances(&self, now_ms: u64) -> Points {
        self.points_of(Class::Circumstance, now_ms)
    }

    /// The score, with circumstances halved so often.
    pub(super) fn score(&self, now_ms: u64, halved: u32) -> Points {
        self.points_of(Class::Conduct, now_ms).plus(self.circumstances(now_ms).halved(halved), Points::ALL)
    }

    /// Every point, the heaviest first.
    pub(super) fn points(&self, now_ms: u64) -> Vec<Point> {
        let point = |(rule, kept): (&Rule, &Kept)| {
            let half_life_ms = rule.info().half_life_ms;
            let points = kept.points.after(now_ms.saturating_sub(kept.weighed_ms), half_life_ms);
            let fades_at_ms = kept.weighed_ms.saturating_add(kept.points.fades_in_ms(FEW, half_life_ms));
            let Kept { first_ms, last_ms, count, sightings, .. } = kept;
            Point {
                rule: *rule,
                points,
                first_ms: *first_ms,
                last_ms: *last_ms,
                count: *count,
                sightings: sightings.iter().cloned().collect(),
                fades_at_ms,
            }
        };
        let mut points: Vec<Point> = self.kept.iter().map(point).filter(|point| point.points >= FEW).collect();
        points.sort_by_key(|point| std::cmp::Reverse(point.points));
        points
    }
}
