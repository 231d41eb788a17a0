//! `quorate.cluster.v1`: how the cluster does, as this validator sees it.

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_replica::records;
use quorate_replica::suspicion::Level;
use quorate_storage::Store;
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::links::PeerView;
use quorate_transport::pb::cluster::v1 as pb;
use quorate_transport::pb::cluster::v1::cluster_server::Cluster;
use quorate_types::codec::Canonical;
use quorate_types::evidence::Conviction;
use quorate_types::ids::{Epoch, Sequence, ValidatorIndex};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::door::client_of;
use super::suspicion::{held_against, level_to_wire, thousandths};
use super::{Api, stopping, wire};
use crate::driver::{Mode, NodeStatus};
use crate::dump::dump;
use crate::executor::SnapshotRequest;

/// Links of the chain of epochs in one answer: some tens of kilobytes each at most.
const EPOCHS_PER_ANSWER: usize = 16;

/// The service.
pub(super) struct ClusterService<S: Store>(pub(super) Arc<Api<S>>);

#[tonic::async_trait]
impl<S: Store> Cluster for ClusterService<S> {
    async fn status(&self, request: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        let api = &self.0;
        let deadline = api.deadline(request.metadata());
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            let dump = match &request.get_ref().dump {
                Some(asked) => Some(api.dump(Sequence(asked.at_sequence), deadline).await?),
                None => None,
            };
            Ok(pb::StatusResponse { dump, ..api.status_response()? })
        })
        .await
    }

    async fn health(&self, request: Request<pb::HealthRequest>) -> Result<Response<pb::HealthResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            Ok(api.health_response())
        })
        .await
    }

    async fn evidence(&self, request: Request<pb::EvidenceRequest>) -> Result<Response<pb::EvidenceResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            api.evidence_response(&request.get_ref().id)
        })
        .await
    }

    async fn bundle(&self, request: Request<pb::BundleRequest>) -> Result<Response<pb::BundleResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            api.bundle_response(request.get_ref())
        })
        .await
    }

    async fn accuse(&self, request: Request<pb::AccuseRequest>) -> Result<Response<pb::AccuseResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), request.get_ref().evidence.len())?;
            api.accuse(&request.get_ref().evidence).await
        })
        .await
    }

    async fn epochs(&self, request: Request<pb::EpochsRequest>) -> Result<Response<pb::EpochsResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            api.epochs_response(Epoch(request.get_ref().from))
        })
        .await
    }

    async fn validators(
        &self,
        request: Request<pb::ValidatorsRequest>,
    ) -> Result<Response<pb::ValidatorsResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            Ok(api.validators_response())
        })
        .await
    }

    async fn suspicion(
        &self,
        request: Request<pb::SuspicionRequest>,
    ) -> Result<Response<pb::SuspicionResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            Ok(api.suspicion_response())
        })
        .await
    }

    async fn explain(&self, request: Request<pb::ExplainRequest>) -> Result<Response<pb::ExplainResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            api.explain_response(request.get_ref())
        })
        .await
    }
}

const fn mode_to_wire(mode: Mode) -> pb::Mode {
    match mode {
        Mode::Ordering => pb::Mode::Ordering,
        Mode::CatchingUp => pb::Mode::CatchingUp,
        Mode::ReadOnly => pb::Mode::ReadOnly,
        Mode::Following => pb::Mode::Following,
    }
}

impl<S: Store> Api<S> {
    fn status_response(&self) -> Result<pb::StatusResponse, ApiFault> {
        let status = self.status();
        let report = &status.report;
        let mark = records::executed().read(self.ledger.store()).map_err(|error| self.record_fault(error))?;
        let execution = mark.as_ref().map(|mark| mark.execution);
        let executed = execution.map_or(0, |execution| execution.sequence.0);
        Ok(pb::StatusResponse {
            cluster: wire(&self.context.cluster.0),
            validator: u32::from(self.me.0),
            name: self.name(self.me).to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: mode_to_wire(status.mode).into(),
            reason: status.reason.clone(),
            epoch: self.context.epoch.0,
            view: report.view.0,
            active: report.is_active,
            primary: u32::from(report.primary.0),
            // The report is as old as the last turn; what the store shows as executed was committed before.
            committed: report.committed.0.max(executed),
            executed,
            certified: report.certified.0,
            stable: report.stable.0,
            block_time_ms: mark.as_ref().map_or(0, |mark| mark.time.0),
            proposal: wire(&execution.map_or(Digest::ZERO, |execution| execution.proposal)),
            state_root: wire(&execution.map_or(Digest::ZERO, |execution| execution.state_root)),
            oldest: self.ledger.oldest().map_err(|error| self.record_fault(error))?.0,
            receipts_root: wire(&execution.map_or(Digest::ZERO, |execution| execution.receipts_root)),
            validators: self.validator_statuses(&status, &self.convictions()),
            dump: None,
            changes: self.changes(),
        })
    }

    fn validator_statuses(&self, status: &NodeStatus, convictions: &[Conviction]) -> Vec<pb::ValidatorStatus> {
        let views = self.links.views();
        let peers = status.report.peers.iter().flatten().map(|peer| peer.committed);
        let highest = peers.max().unwrap_or_default().max(status.report.committed);
        let one = |(index, info): (ValidatorIndex, &quorate_types::set::ValidatorInfo)| {
            let view = views.iter().find(|view| view.validator == index);
            let held = held_against(status, index);
            let convicted = convictions.iter().filter(|conviction| conviction.convicted == info.consensus_key).count();
            let base = pb::ValidatorStatus {
                suspicion_thousandths: thousandths(held),
                suspicion_level: level_to_wire(held.map_or(Level::Observe, |held| held.level)).into(),
                validator: u32::from(index.0),
                name: info.name.clone(),
                evidence: status.report.evidence.get(index.position()).copied().unwrap_or(0),
                convictions: u32::try_from(convicted).unwrap_or(u32::MAX),
                ..Default::default()
            };
            match view {
                None => own_status(base, status, highest),
                Some(view) => peer_status(base, status, view, highest),
            }
        };
        self.context.set.iter().map(one).collect()
    }

    /// Links of the chain of epochs, as many as fit into one answer.
    fn epochs_response(&self, from: Epoch) -> Result<pb::EpochsResponse, ApiFault> {
        let newest = self.context.epoch;
        let mut starts = Vec::new();
        let mut at = from.max(Epoch(1));
        while at <= newest && starts.len() < EPOCHS_PER_ANSWER {
            let start = records::epoch_start(at).read(self.ledger.store());
            let start = start.map_err(|error| self.record_fault(error))?;
            let Some(start) = start else { break };
            starts.push(start.to_bytes().into());
            at = at.next();
        }
        Ok(pb::EpochsResponse { newest: newest.0, starts })
    }

    /// Waits for the sequence and hashes the store as it is right there.
    async fn dump(&self, at: Sequence, deadline: Instant) -> Result<pb::DumpDigest, ApiFault> {
        let work = async {
            // One at a time: it reads the whole state.
            let _place = self.dumps.acquire().await.map_err(|_| stopping())?;
            let (tell, snapshot) = oneshot::channel();
            self.snapshots.send(SnapshotRequest { at, tell }).await.map_err(|_| stopping())?;
            let (sequence, snapshot) = match snapshot.await {
                Ok(Ok(found)) => found,
                Ok(Err(executed)) => return Err(passed(at, executed)),
                Err(_) => return Err(ApiFault::new(Reason::RateLimited, "too many ask for dump digests; ask again")),
            };
            let hashed = self.threads.blocking(move || dump(&snapshot)).await.map_err(|_| stopping())?;
            let hashed = hashed.map_err(|error| self.store_fault(error))?;
            Ok(pb::DumpDigest { sequence: sequence.0, digest: wire(&hashed.digest), keys: hashed.keys })
        };
        match tokio::time::timeout_at(deadline, work).await {
            Ok(dump) => dump,
            Err(_) => Err(ApiFault::new(Reason::Timeout, format!("no dump digest at {at} before the deadline"))),
        }
    }

    fn health_response(&self) -> pb::HealthResponse {
        let status = self.status();
        let reason = (!status.reason.is_empty()).then(|| status.reason.clone());
        let problems = reason.into_iter().chain(self.suspicion_problems(&status)).collect();
        let missing = status.missing.iter().map(|missing| self.name(missing.validator).to_owned());
        pb::HealthResponse {
            writable: status.mode == Mode::Ordering,
            readable: true,
            mode: mode_to_wire(status.mode).into(),
            problems,
            missing: missing.collect(),
        }
    }

    fn validators_response(&self) -> pb::ValidatorsResponse {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let quorum = self.context.quorum();
        let one = |(index, info): (ValidatorIndex, &quorate_types::set::ValidatorInfo)| pb::Validator {
            index: u32::from(index.0),
            name: info.name.clone(),
            consensus_key: quorate_transport::convert::wire(info.consensus_key.as_bytes()),
            network_key: quorate_transport::convert::wire(info.network_key.as_bytes()),
            peer_address: info.peer_address.clone(),
        };
        pb::ValidatorsResponse {
            cluster: wire(&self.context.cluster.0),
            epoch: self.context.epoch.0,
            quorum: count(quorum.quorum()),
            faulty: count(quorum.faulty()),
            validators: self.context.set.iter().map(one).collect(),
        }
    }
}

fn passed(at: Sequence, executed: Sequence) -> ApiFault {
    let text = format!("executed up to {executed} already; ask for a sequence that is still to come, or for 0");
    ApiFault::new(Reason::SequencePassed, text).with("asked", at).with("executed", executed)
}

fn own_status(base: pb::ValidatorStatus, status: &NodeStatus, highest: Sequence) -> pb::ValidatorStatus {
    let report = &status.report;
    pb::ValidatorStatus {
        is_self: true,
        connected: true,
        last_seen_ms: Some(0),
        view: report.view.0,
        committed: report.committed.0,
        executed: report.executed.0,
        lag: highest.above(report.committed),
        following: status.mode == Mode::Following,
        ..base
    }
}

fn peer_status(
    base: pb::ValidatorStatus,
    status: &NodeStatus,
    view: &PeerView,
    highest: Sequence,
) -> pb::ValidatorStatus {
    let position = view.validator.position();
    let said = status.report.peers.get(position).copied().flatten();
    let other = status.others.get(position).copied().unwrap_or_default();
    let committed = said.map_or(Sequence::ZERO, |said| said.committed);
    let age = |at: Instant| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
    pb::ValidatorStatus {
        connected: view.is_connected(),
        last_seen_ms: view.last_seen.map(age),
        view: other.view.0,
        committed: committed.0,
        executed: said.map_or(0, |said| said.executed.0),
        lag: highest.above(committed),
        following: other.is_following,
        problem: view.problem.clone().unwrap_or_default(),
        dropped: view.lanes.iter().map(|lane| lane.dropped_frames).sum(),
        ..base
    }
}
