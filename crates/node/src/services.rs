//! The gRPC services for clients and operators (architecture §7).
//!
//! A service reads what the driver and the execution thread have published, or the store; it decides
//! nothing. Every call is charged to its client, has a deadline, and ends when the node
//! stops. Errors are those of data-model §6. A call that panics ends the node, like every other part.

mod access;
mod admin;
mod changes;
mod cluster;
mod door;
mod entities;
mod evidence;
mod faults;
mod operations;
mod promises;
mod proofs;
mod server;
mod submit;
mod suspicion;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use quorate_crypto::Digest;
use quorate_replica::records::{self, RecordError};
use quorate_storage::{Store, StoreError};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::links::PeerLinks;
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::kind::Kinds;
use quorate_types::verified::Context;
use tokio::sync::watch::Receiver;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

pub(crate) use self::admin::{Admin, listen as listen_admin};
pub(crate) use self::door::Door;
pub(crate) use self::faults::{Faults, faults};
pub(crate) use self::server::{serve_admin, serve_clients};
use crate::clock::Clock;
use crate::config::ClientsConfig;
use crate::driver::{Batch, Mode, NodeStatus, Submission};
use crate::executor::SnapshotRequest;
use crate::intake::OperationIntake;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::reads::Reads;
use crate::threads::Threads;

/// What all services share.
pub(crate) struct Api<S: Store> {
    pub(crate) me: ValidatorIndex,
    pub(crate) context: Arc<Context>,
    pub(crate) kinds: Arc<Kinds>,
    /// So many administrators must approve a change.
    pub(crate) approvals_needed: usize,
    pub(crate) config: ClientsConfig,
    pub(crate) clock: Clock,
    pub(crate) ledger: Arc<Ledger<S>>,
    pub(crate) intake: OperationIntake,
    pub(crate) to_replica: mpsc::Sender<Submission>,
    pub(crate) accusations: mpsc::Sender<Batch>,
    pub(crate) snapshots: mpsc::Sender<SnapshotRequest<S::Snapshot>>,
    pub(crate) status: Receiver<Arc<NodeStatus>>,
    pub(crate) links: Arc<PeerLinks>,
    pub(crate) reads: Reads,
    pub(crate) door: Door,
    pub(crate) watches: Arc<Semaphore>,
    pub(crate) dumps: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) faults: Faults,
    pub(crate) threads: Threads,
    pub(crate) stopping: CancellationToken,
}

impl<S: Store> Api<S> {
    /// Carries a call out: until the node stops, and never with a panic that nobody hears.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, ApiFault>>,
    ) -> Result<Response<T>, Status> {
        let watched = self.faults.watch("a call", call);
        tokio::select! {
            answer = watched => match answer {
                Some(answer) => answer.map(Response::new).map_err(Status::from),
                None => Err(ApiFault::new(Reason::Internal, "the validator stops after a fault in its program").into()),
            },
            () = self.stopping.cancelled() => Err(stopping().into()),
        }
    }

    /// Where this validator stands.
    pub(crate) fn status(&self) -> Arc<NodeStatus> {
        Arc::clone(&self.status.borrow())
    }

    /// The store as it is now, if its state may be read: not while another one is put in its place, and not while it
    /// isn't the certified one (protocol §8.2, §8.7).
    pub(crate) fn snapshot(&self) -> Result<S::Snapshot, ApiFault> {
        let snapshot = self.ledger.store().snapshot().map_err(|error| self.store_fault(error))?;
        if let Some(sequence) = self.status().report.diverged {
            let text = format!("the state here isn't the one that a quorum certified since sequence {sequence}");
            return Err(ApiFault::new(
                Reason::Following,
                format!("{text}; use another validator until it is repaired"),
            ));
        }
        if records::is_state_whole(&snapshot).map_err(|error| self.record_fault(error))? {
            return Ok(snapshot);
        }
        let text = "the state of a checkpoint is being put in place here; use another validator meanwhile";
        Err(ApiFault::new(Reason::CatchingUp, text))
    }

    /// Waits until it is executed up to `sequence`, at most until `deadline`.
    pub(crate) async fn executed(&self, sequence: u64, deadline: Instant) -> Result<(), ApiFault> {
        let mut progress = self.ledger.hub().progress();
        let reached = progress.wait_for(|progress| progress.executed.0 >= sequence);
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => {
                let executed = self.ledger.hub().progress().borrow().executed;
                let text =
                    format!("executed up to {executed}, {sequence} was asked for; ask another validator, or later");
                Err(ApiFault::new(Reason::Timeout, text).with("executed", executed))
            }
        }
    }

    /// When a call must be answered: its own deadline, at most the configured one; a little before, so that
    /// the answer says more than that time is up.
    pub(crate) fn deadline(&self, metadata: &MetadataMap) -> Instant {
        let longest = Duration::from_millis(self.config.deadline_ms);
        let asked = metadata.get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
        let allowed = asked.map_or(longest, |asked| asked.min(longest));
        Instant::now() + allowed.saturating_sub((allowed / 10).min(Duration::from_millis(20)))
    }

    /// Why this validator takes no operations now, if so.
    pub(crate) fn admit_write(&self) -> Result<(), ApiFault> {
        let status = self.status();
        let wait = Duration::from_millis(status.report.timeout_ms.max(100));
        let (reason, advice) = match status.mode {
            Mode::Ordering => return Ok(()),
            Mode::CatchingUp => (Reason::CatchingUp, "try another validator"),
            Mode::Following => (Reason::Following, "use another validator"),
            Mode::ReadOnly => (Reason::NoQuorum, "try again when enough of them are back"),
        };
        let fault = ApiFault::new(reason, format!("{}; {advice}", status.reason));
        let fault = if status.mode == Mode::ReadOnly { self.name_missing(fault, &status) } else { fault };
        Err(if status.mode == Mode::Following { fault } else { fault.retry_after(wait) })
    }

    /// Who is missing and since when (data-model §6).
    fn name_missing(&self, fault: ApiFault, status: &NodeStatus) -> ApiFault {
        let names: Vec<&str> = status.missing.iter().map(|missing| self.name(missing.validator)).collect();
        let since = status.lacking_since_ms.unwrap_or(status.at_ms);
        let for_ms = self.clock.now().monotonic_ms.saturating_sub(since);
        fault.with("missing", names.join(",")).with("for_ms", for_ms)
    }

    pub(crate) fn name(&self, validator: ValidatorIndex) -> &str {
        self.context.set.validator(validator).map_or("?", |info| info.name.as_str())
    }

    /// A store that can't be read stops the node; the client hears why.
    pub(crate) fn record_fault(&self, error: RecordError) -> ApiFault {
        let fault = ApiFault::new(Reason::StoreDamaged, format!("{error}; use another validator"));
        self.faults.report(error.into());
        fault
    }

    /// As [`Api::record_fault`].
    pub(crate) fn store_fault(&self, error: StoreError) -> ApiFault {
        self.record_fault(error.into())
    }
}

/// What was asked for is below what this validator keeps.
pub(crate) fn pruned(asked: Sequence, oldest: Sequence) -> ApiFault {
    let text = format!(
        "sequence {asked} is not kept here any more, the oldest is {oldest}; begin there, or ask a validator that \
         keeps more"
    );
    ApiFault::new(Reason::Pruned, text).with("oldest", oldest)
}

/// The call ends because the node stops.
pub(crate) fn stopping() -> ApiFault {
    ApiFault::new(Reason::Stopping, "the validator is stopping; use another one").retry_after(Duration::from_secs(1))
}

/// The digest of a domain's bytes on the wire.
pub(crate) fn wire(digest: &Digest) -> bytes::Bytes {
    quorate_transport::convert::wire(digest.as_bytes())
}

/// A gRPC timeout: digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(value.saturating_mul(60))),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("1500m"), Some(Duration::from_millis(1_500)));
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(359_999_996_400)));
        for bad in ["", "S", "123456789S", "-1S", "5x", "5é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
