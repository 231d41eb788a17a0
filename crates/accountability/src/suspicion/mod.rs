//! Suspicion: what this validator itself saw of another that can't be proven (accountability §6).
//!
//! | file | what |
//! |---|---|
//! | `rule` | the rules, and what each weighs |
//! | `observation` | what was seen, for people |
//! | `decay` | points that halve with time, in integers |
//! | `subject` | the points of one validator |
//! | `level` | from points to measures, with hysteresis |
//! | `book` | all validators together: [`Suspicions`], the door |
//!
//! Nothing here is a vote or a reason to count one: levels change local measures alone. Time is an argument,
//! in milliseconds of a clock that doesn't go back.

mod book;
mod decay;
mod level;
mod observation;
mod rule;
mod subject;

#[cfg(test)]
mod tests;

pub use book::{Change, Explanation, Suspicions};
pub use decay::{ONE, Points};
pub use level::Level;
pub use observation::{Observation, Seen, Words};
pub use rule::{Class, Rule, RuleInfo};
pub use subject::{KEPT_SIGHTINGS, Point, Sighting};
