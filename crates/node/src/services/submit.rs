//! One operation from its bytes to its receipt (data-model §§3, 4, 6).

use std::sync::Arc;
use std::time::Duration;

use quorate_replica::Intake;
use quorate_replica::records::Place;
use quorate_storage::Store;
use quorate_transport::convert::{proven_receipt, wire};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::operations::v1 as pb;
use quorate_types::codec::Canonical;
use quorate_types::ids::OperationId;
use quorate_types::operation::{Operation, SignedOperation, admit_operation};
use tokio::time::Instant;

use super::{Api, stopping};
use crate::executor::millis;
use crate::hub::{Crowded, Outcome, Registration, Wants};

/// When to try again after the pool was full: a bundle or two later.
const POOL_RETRY: Duration = Duration::from_millis(100);

impl<S: Store> Api<S> {
    /// Takes an operation and waits for what was asked for.
    pub(super) async fn submit(
        &self,
        signed: SignedOperation,
        wants: Wants,
        deadline: Instant,
    ) -> Result<pb::SubmitResponse, ApiFault> {
        let id = signed.id();
        let work = self.submit_by(signed, wants);
        match tokio::time::timeout_at(deadline, work).await {
            Ok(answer) => answer,
            Err(_) => Err(too_late(&id)),
        }
    }

    async fn submit_by(&self, signed: SignedOperation, wants: Wants) -> Result<pb::SubmitResponse, ApiFault> {
        let began = Instant::now();
        let limits = self.context.parameters.operation_limits();
        let operation =
            admit_operation(&signed, &limits, self.context.cluster).map_err(|fault| ApiFault::from(&fault))?;
        // It would be no author's, cost no nonce, and might be as large as evidence is (data-model §2.5).
        if operation.is_own_word() {
            let text =
                "this is a validator's own word, which it puts into its own lane by itself; no client submits it";
            return Err(ApiFault::new(Reason::Malformed, text));
        }
        let id = operation.id();
        // First the place among those who wait, then the look into the store: so nothing falls between.
        let mut registration = self.ledger.hub().register(id, wants).map_err(crowded)?;
        if let Some(place) = self.ledger.place(&id).map_err(|error| self.record_fault(error))? {
            return self.receipt_at(place).await;
        }
        self.admit_write()?;
        self.hand_over(operation, wants == Wants::Promise).await?;
        let answer = self.await_outcome(&id, &mut registration).await;
        if wants == Wants::Receipt && answer.is_ok() {
            self.metrics.receipt_ms.observe(millis(began));
        }
        answer
    }

    /// Verified and into the driver's inbox.
    async fn hand_over(&self, operation: Operation, wants_promise: bool) -> Result<(), ApiFault> {
        let verdict = self.intake.verify(Arc::new(operation)).await.ok_or_else(stopping)?;
        let verified = verdict.map_err(|fault| ApiFault::from(&fault))?;
        self.to_replica.send((verified, wants_promise)).await.map_err(|_| stopping())
    }

    async fn await_outcome(
        &self,
        id: &OperationId,
        registration: &mut Registration,
    ) -> Result<pb::SubmitResponse, ApiFault> {
        match registration.outcome().await.ok_or_else(stopping)? {
            Outcome::Promised(promise) => {
                let promise = promise.to_bytes().into();
                Ok(pb::SubmitResponse { operation: wire(id.0.as_bytes()), receipt: None, promise })
            }
            Outcome::Receipt(place) => self.proven(place),
            Outcome::Judged(sequence, judgement) => Err(ApiFault::from(&judgement).with("sequence", sequence)),
            Outcome::Refused(Intake::TooLarge) => {
                Err(ApiFault::new(Reason::Limit, "the operation is larger than a bundle may be; split it"))
            }
            Outcome::Refused(_) => {
                let text = "no room for more operations at this validator; wait, or use another one";
                Err(ApiFault::new(Reason::PoolFull, text).retry_after(POOL_RETRY))
            }
        }
    }

    /// The first receipt, as soon as it can be proven (data-model §3: the same id again).
    pub(super) async fn receipt_at(&self, place: Place) -> Result<pb::SubmitResponse, ApiFault> {
        let mut registration = self.ledger.hub().register_certified(place).map_err(crowded)?;
        let held = self.ledger.certificate(place.sequence).map_err(|error| self.record_fault(error))?;
        if held.is_none() {
            registration.outcome().await.ok_or_else(stopping)?;
        }
        self.proven(place)
    }

    fn proven(&self, place: Place) -> Result<pb::SubmitResponse, ApiFault> {
        let found = self.ledger.prove(place).map_err(|error| self.record_fault(error))?;
        let Some((receipt, proof)) = found else {
            // Own result and certificate differ: the replica has ended signing over it.
            let text = "this validator's result differs from the certified one; use another validator";
            return Err(ApiFault::new(Reason::StoreDamaged, text));
        };
        let operation = wire(receipt.operation.0.as_bytes());
        let receipt = Some(proven_receipt(&receipt, proof));
        Ok(pb::SubmitResponse { operation, receipt, ..Default::default() })
    }
}

pub(super) fn crowded(Crowded { limit }: Crowded) -> ApiFault {
    let text = "as many operations wait for their receipts as this validator allows; wait, or use another one";
    ApiFault::new(Reason::PoolFull, text).with("limit", limit).retry_after(POOL_RETRY)
}

fn too_late(id: &OperationId) -> ApiFault {
    let text = "the deadline has passed; the operation may still execute: send the same signed operation again";
    ApiFault::new(Reason::Timeout, text).with("operation", id)
}
