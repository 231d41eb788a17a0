//! The *world*: n replicas, a store in memory for each, one queue of packets and a virtual clock, on one
//! thread (simulation §1).
//!
//! A run is a function of its [`FaultPlan`]: [`run`] gives the same [`Report`], event hash included, every
//! time. [`plan_of`] makes a plan from a seed. What is real: `quorate-replica` with everything below it,
//! encoding and decoding of each message, the door that verifies, the turn of the shell. What stands in: the
//! disk, the network, the clock, and in most runs the signatures.
//!
//! | file | what |
//! |---|---|
//! | `settings`, `plan`, `generate` | what a run is, and how a seed chooses it |
//! | `dice`, `queue`, `clock`, `network`, `host` | chance, time, links, machines |
//! | `machine`, `turns`, `faults`, `phases` | the world that turns them |
//! | `workload`, `history` | clients, and whether some order explains what they saw |
//! | `recording` | what happened, for people |
//! | `invariants` | what must hold, one file each |
//! | `campaign`, `probes` | many seeds, and what they reached |
//! | `shrink` | a failing plan made smaller |
//! | `crash_points` | a script, crashed at every save and every send |

mod calm;
mod campaign;
mod cast;
mod clock;
mod crash_points;
mod detection;
mod disks;
mod faults;
mod generate;
mod hash;
mod history;
mod host;
pub mod invariants;
mod machine;
mod network;
mod phases;
mod plan;
mod probes;
mod promises;
mod queue;
mod reads;
mod recording;
mod settings;
mod shrink;
mod statement;
mod suspicion;
mod transfer;
mod turns;
mod twins;
mod verdict;
mod workload;

pub use crate::dice::{Dice, Stream};
pub use campaign::{Failure, Outcome, Summary};
pub use cast::Cast;
pub use crash_points::{CrashPoints, script};
pub use detection::Deed;
pub use generate::{Profile, lost_store_plan, plan_in, plan_of};
pub use hash::RollingHash;
pub use phases::{Options, run, run_with};
pub use plan::{Expectation, FORMAT, Fault, FaultPlan, PlanError, Target, TimedFault};
pub use probes::{PROBES, Probe, missed};
pub use recording::{Flight, Mark, Recording, State};
pub use settings::{Mix, NetworkSettings, Protocol, Settings, StorageSettings, WorkloadSettings};
pub use shrink::Shrinker;
pub use statement::Statement;
pub use twins::{Case, Twins};
pub use verdict::{Accusation, Report, Verdict, Violation};
// What the net level shares.
#[cfg(feature = "net")]
pub(crate) use {
    calm::{CALM_LIMIT_US, CALM_US, Said},
    clock::START_WALL_MS,
    disks::flip_any,
    host::place_of,
    phases::{dump, judge_history},
    statement::statements_of,
    workload::Workload,
};
