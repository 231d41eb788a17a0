//! One validator without its shell: ordering, lanes, execution votes and the signing guard behind one door,
//! [`Replica::step`].
//!
//! The shell's contract (architecture §4, docs/decisions/0006): it runs *turns*. It drains its inbox into
//! `step`, ends the turn with [`Event::Turn`], writes the outbox's records in one synced batch and, in
//! parallel, the guard file; then, and only then, it sends `after` and starts `execute`. It answers other
//! validators' requests from the store ([`serve`]), carries jobs out ([`execution`]) off this path, and gives
//! the result back as [`Event::Executed`]. A failed save stops the node.
//!
//! The next epoch: [`epochs`]. Far behind, or with a wrong state: [`transfer`]. Starting again: [`recover`]. What lies where in the store: [`records`].

mod accusing;
mod asking;
pub mod epochs;
mod evidence;
pub mod execution;
mod executions;
mod fetching;
mod guard;
pub mod inspect;
mod leaving;
mod outbox;
mod promising;
pub mod pruning;
mod reading;
pub mod records;
mod recovery;
mod replica;
mod report;
mod results;
mod returning;
pub mod serve;
mod signing;
mod standing;
mod suspecting;
pub mod testimony;
pub mod transfer;

/// What is suspected of others, and its explanation.
pub use quorate_accountability::suspicion;
pub use quorate_consensus::{Cause, CoreNotice, Now};
pub use quorate_dag::{Intake, PoolFigures};
/// The state that execution made, for those who read it.
pub use quorate_machine::{self as machine};

pub use crate::execution::{Executed, ExecutedBatch, ExecutionError, ExecutionJob, ExecutionSetup};
pub use crate::executions::Camps;
pub use crate::guard::{GuardRefusal, Guarded, SigningGuard};
pub use crate::outbox::{Event, Notice, Outbox, Outgoing, Recipient};
pub use crate::recovery::{GuardFile, RecoverError, Setup, create_store, guard_file_to_write, recover};
pub use crate::replica::Replica;
pub use crate::report::{PeerReport, Report};
pub use crate::returning::quarantine;
pub use crate::standing::{Ended, Quarantine, Standing};
pub use crate::suspecting::SuspicionReport;
