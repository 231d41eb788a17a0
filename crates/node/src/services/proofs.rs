//! Proofs, certified states and freshness (data-model §§4.8, 5.3–5.5).

use std::sync::Arc;

use bytes::Bytes;
use quorate_crypto::sha256;
use quorate_proof::{OrderProof, Proof, ReceiptProof, StateProof};
use quorate_replica::machine::tree;
use quorate_replica::serve;
use quorate_storage::{StateAt, StateReader, Store, TreeAt};
use quorate_transport::convert::{fixed, operation_id};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::entities::v1 as pb;
use quorate_transport::pb::entities::v1::get_proof_request::Subject;
use quorate_types::codec::Canonical;
use quorate_types::entity::state_key;
use quorate_types::execution::ExecutionCertificate;
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::message::{Message, Request};
use quorate_types::operation::EntityId;
use tokio::time::Instant;

use super::access::Reader;
use super::{Api, pruned, stopping};
use crate::reads::Unread;

/// Bytes of proposals in one proof of the order: well above what one commit certificate covers in use.
const ORDER_BYTES: usize = 4 << 20;

/// A state that a quorum signed, and the store as it was there.
pub(super) struct Certified<N> {
    pub(super) snapshot: N,
    pub(super) sequence: Sequence,
    pub(super) certificate: Arc<ExecutionCertificate>,
}

impl<S: Store> Api<S> {
    /// The state now, once it is at or above a sequence and a quorum has signed it (data-model §5.5).
    pub(super) async fn certified(
        &self,
        at_least: Sequence,
        deadline: Instant,
    ) -> Result<Certified<S::Snapshot>, ApiFault> {
        self.executed(at_least.0, deadline).await?;
        let snapshot = self.snapshot()?;
        let at = quorate_replica::machine::read::position(&StateAt(&snapshot));
        let at = at.map_err(|error| self.store_fault(error))?;
        let Some(sequence) = at.map(|at| at.sequence) else {
            let text = "nothing was executed yet, so there is no state to prove; submit an operation first";
            return Err(ApiFault::new(Reason::NotFound, text));
        };
        let mut progress = self.ledger.hub().progress();
        let reached = progress.wait_for(|progress| progress.certified >= sequence);
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => {
                let text = format!("sequence {sequence} is executed, but no quorum has signed it yet; ask again");
                return Err(ApiFault::new(Reason::Timeout, text).with("executed", sequence));
            }
        }
        let certificate = self.ledger.certificate(sequence).map_err(|error| self.record_fault(error))?;
        let Some(certificate) = certificate else {
            let oldest = self.ledger.oldest().map_err(|error| self.record_fault(error))?;
            return Err(pruned(sequence, oldest));
        };
        Ok(Certified { snapshot, sequence, certificate })
    }

    /// The state as a linearizable read must see it.
    pub(super) async fn linearizable(&self, deadline: Instant) -> Result<Certified<S::Snapshot>, ApiFault> {
        let fresh = tokio::time::timeout_at(deadline, self.reads.fresh()).await;
        let fresh = fresh.map_err(|_| {
            let text = "no quorum of validators said in time how far the order has gone; ask again, or read LOCAL";
            ApiFault::new(Reason::Timeout, text)
        })?;
        self.certified(fresh.map_err(unread)?, deadline).await
    }

    /// A proof of whatever is asked for.
    pub(super) async fn prove(
        &self,
        request: &pb::GetProofRequest,
        reader: Reader,
        deadline: Instant,
    ) -> Result<pb::GetProofResponse, ApiFault> {
        let (proof, sequence) = match &request.subject {
            None => return Err(quorate_transport::convert::FieldFault::Missing { field: "subject" }.into()),
            Some(Subject::Entity(pb::EntityName { kind, id })) => {
                self.readable_kind(kind, reader)?;
                let certified = self.certified(Sequence(request.at_least), deadline).await?;
                let proof = self.prove_state(&certified, EntityId::new(kind, id))?;
                (Proof::State(Box::new(proof)), certified.sequence)
            }
            Some(Subject::Operation(operation)) => {
                let proof = self.prove_receipt(&operation_id("operation", operation)?)?;
                let sequence = proof.receipt.sequence;
                (Proof::Receipt(Box::new(proof)), sequence)
            }
            Some(Subject::OrderFrom(from)) => {
                let proof = self.prove_order(Sequence(*from))?;
                let sequence = proof.segment.certificate.claim.sequence;
                (Proof::Order(Box::new(proof)), sequence)
            }
        };
        Ok(pb::GetProofResponse { proof: Bytes::from(proof.to_file()), sequence: sequence.0 })
    }

    fn prove_state(&self, certified: &Certified<S::Snapshot>, entity: EntityId) -> Result<StateProof, ApiFault> {
        let fault = |error| self.store_fault(error);
        let key = state_key(&entity);
        let record = StateAt(&certified.snapshot).read(&key).map_err(fault)?;
        let pages = TreeAt(&certified.snapshot);
        let root = certified.certificate.execution.state_root;
        if tree::root(&pages).map_err(fault)? != root {
            // protocol §8.2: its own word is worth nothing now.
            let text = format!("the state here at sequence {} is not the one that a quorum signed", certified.sequence);
            return Err(ApiFault::new(Reason::Following, format!("{text}; use another validator")));
        }
        let path = tree::path(&pages, &sha256(&[&key])).map_err(fault)?;
        Ok(StateProof { entity, record, path, certificate: (*certified.certificate).clone() })
    }

    fn prove_receipt(&self, operation: &OperationId) -> Result<ReceiptProof, ApiFault> {
        let fault = |error| self.record_fault(error);
        let missing = || ApiFault::new(Reason::NotFound, format!("there is no receipt of operation {operation} yet"));
        let place = self.ledger.place(operation).map_err(fault)?.ok_or_else(missing)?;
        let certificate = self.ledger.certificate(place.sequence).map_err(fault)?.ok_or_else(missing)?;
        let sequenced = self.ledger.sequenced(place.sequence).map_err(fault)?.ok_or_else(missing)?;
        sequenced.prove(place.index, &certificate).ok_or_else(missing)
    }

    fn prove_order(&self, from: Sequence) -> Result<OrderProof, ApiFault> {
        let asked = Request::Segment(from);
        let found = serve::answer(self.ledger.store(), &asked, ORDER_BYTES);
        match found.map_err(|error| self.record_fault(error))?.into_iter().next() {
            Some(Message::Segment(segment)) => Ok(OrderProof { segment: *segment }),
            _ => {
                let oldest = self.ledger.oldest().map_err(|error| self.record_fault(error))?;
                Err(match from < oldest {
                    true => pruned(from, oldest),
                    false => ApiFault::new(Reason::NotFound, format!("sequence {from} is not committed here")),
                })
            }
        }
    }

    /// This validator's freshness statement.
    pub(super) async fn freshness(
        &self,
        request: &pb::GetFreshnessRequest,
        deadline: Instant,
    ) -> Result<pb::GetFreshnessResponse, ApiFault> {
        let nonce = fixed("nonce", &request.nonce)?;
        if !self.status().report.standing.signs() {
            let text = format!("this validator signs nothing: {}; use others", self.status().report.standing);
            return Err(ApiFault::new(Reason::Following, text));
        }
        match tokio::time::timeout_at(deadline, self.reads.statement(nonce)).await {
            Ok(Ok(answer)) => Ok(pb::GetFreshnessResponse { answer: Bytes::from(answer.to_bytes()) }),
            Ok(Err(error)) => Err(unread(error)),
            Err(_) => Err(ApiFault::new(Reason::Timeout, "no statement before the deadline; ask again")),
        }
    }
}

fn unread(error: Unread) -> ApiFault {
    match error {
        Unread::Crowded => ApiFault::new(Reason::RateLimited, "too many reads wait; ask again"),
        Unread::Stopping => stopping(),
    }
}
