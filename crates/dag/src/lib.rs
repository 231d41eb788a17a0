//! Lanes: how operations spread before they are ordered (architecture §5), and what a proposal's
//! payload stands for (protocol §3.6).
//!
//! Every validator has a *lane*: the chain of its signed bundles, numbered from 1 in every epoch. A
//! payload names new tips of lanes; each stands for all bundles of its lane above the tip that the
//! proposal's own chain named before. [`Lanes`] keeps, for one epoch,
//!
//! * of each lane the delivered tip and the bundles above it, complete or with gaps,
//! * of each proposal that was found valid the tips after it, so that children can be judged,
//! * the pool of operations that this validator's own clients gave it, and its own lane's head.
//!
//! Invariants:
//!
//! * What is missing is never held against a proposal: [`Check::Missing`] says whom to ask for what.
//!   Only data that contradicts makes a payload invalid, and then it is so for everyone who holds it.
//! * Of a lane, at most `lane_bytes` beyond its delivered tip and one bundle per number are kept,
//!   and besides only what proposals name, exactly by digest.
//! * A number of the own lane is never given out twice, also over a restart ([`Lanes::restore`]).
//!
//! What is not here: signatures (checked at the door, made by the signing guard), who is primary, what
//! is durable (the caller stores what [`Admission::Stored`] says before anything depends on it), and
//! the causal order of operations, which execution makes.

mod branches;
mod check;
mod config;
mod fill;
mod lane;
mod lanes;
mod own;
mod point;
mod pool;
mod restore;
mod tidy;

#[cfg(test)]
mod tests;

pub use check::{Check, NotDeliverable, PayloadFault};
pub use config::{LaneLimits, LanesConfig};
pub use fill::{Filled, Waiting};
pub use lane::{Admission, Want};
pub use lanes::Lanes;
pub use point::Point;
pub use pool::{Intake, PoolFigures};
pub use restore::RestoreFault;
