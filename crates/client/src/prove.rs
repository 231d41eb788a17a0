//! Proofs, and reads that trust no single validator (data-model §§4.8, 5.4).
//!
//! A quorum read asks every validator how far the order has gone, over a nonce made for this read; with the
//! statements of a quorum it knows a sequence at or above everything acknowledged before, and takes a proven
//! state at or above it from whoever has one. Whoever shows an older state is passed over.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use quorate_proof::{Proof, Proven, VerifiedState};
use quorate_transport::convert::FieldFault;
use quorate_transport::pb::entities::v1 as pb;
use quorate_transport::read_token::ReadToken;
use quorate_types::codec::Canonical;
use quorate_types::freshness::{FreshnessAnswer, Nonce, Round};
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::operation::EntityId;

use crate::cluster::{Client, Endpoint};
use crate::fault::ClientFault;
use crate::read::{entities, with_token};

/// What a proof is to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An entity, in a state at or above a sequence.
    Entity(EntityId, Sequence),
    /// The receipt of an operation.
    Operation(OperationId),
    /// The proposals from a sequence on.
    OrderFrom(Sequence),
}

/// What a quorum read found.
#[derive(Clone, Debug, PartialEq)]
pub struct QuorumRead {
    /// The entity, or that it doesn't exist, and where that is proven.
    pub state: VerifiedState,
    /// Everything acknowledged before the read began is at or below this sequence, and the state is at or above.
    pub fresh: Sequence,
    /// The proof, as it is kept in a file.
    pub proof: Bytes,
}

impl Client {
    /// A proof of `subject`, verified, with the content of its file. A proof of a state may be old; it
    /// proves what was, not what is ([`Client::read_quorum`]).
    ///
    /// # Errors
    /// If no validator gave one that holds.
    pub async fn prove(&self, subject: &Subject, token: Option<&ReadToken>) -> Result<(Proven, Bytes), ClientFault> {
        self.call(|endpoint| async move { self.prove_at(&endpoint, subject, token).await }).await
    }

    /// Reads an entity without trusting any single validator: everything acknowledged before this call began is
    /// in what it returns, and a quorum stands for it.
    ///
    /// # Errors
    /// If fewer than a quorum of validators say how far the order has gone, or none proves a state that far.
    pub async fn read_quorum(&self, entity: &EntityId, token: Option<&ReadToken>) -> Result<QuorumRead, ClientFault> {
        let fresh = self.fresh().await?;
        let subject = &Subject::Entity(entity.clone(), fresh);
        self.call(|endpoint| async move {
            let (proven, proof) = self.prove_at(&endpoint, subject, token).await?;
            match proven {
                Proven::State(state) => Ok(QuorumRead { state: *state, fresh, proof }),
                other => Err(other_subject(&endpoint, subject, &other)),
            }
        })
        .await
    }

    /// A sequence at or above everything acknowledged before this call began (data-model §5.4).
    ///
    /// # Errors
    /// If fewer than a quorum of validators answer as they must.
    pub async fn fresh(&self) -> Result<Sequence, ClientFault> {
        loop {
            let known = self.epochs().epoch;
            let result = self.fresh_in_epoch().await;
            // Where a validator was in a later epoch, this client has followed it there: all are asked again. What the
            // validators of an earlier one said doesn't count, even if it was a quorum of them.
            if self.epochs().epoch == known {
                return result;
            }
        }
    }

    /// One round with the validators of the newest epoch known.
    async fn fresh_in_epoch(&self) -> Result<Sequence, ClientFault> {
        let nonce: Nonce = rand::random();
        let quorum = self.epochs().set.quorum();
        let mut round = Round::new(nonce, quorum);
        let mut asked: FuturesUnordered<_> =
            self.all_endpoints().map(|endpoint| self.statement(endpoint, nonce)).collect();
        let (mut answered, mut last) = (0, "none was asked".to_owned());
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(answer) => {
                    answered += usize::from(!round.has_heard(answer.signed.statement.validator));
                    round.hear(&answer.signed.statement);
                    if let Some(sequence) = round.result() {
                        return Ok(sequence);
                    }
                }
                Err(fault) => last = fault.to_string(),
            }
        }
        Err(ClientFault::NoFreshness { answered, needed: quorum.quorum(), last })
    }

    /// One validator's statement, verified. Which validator it is, its signature says, not its address.
    async fn statement(&self, endpoint: Endpoint, nonce: Nonce) -> Result<FreshnessAnswer, ClientFault> {
        let endpoint = endpoint.within(self.attempt());
        let request = pb::GetFreshnessRequest { nonce: Bytes::copy_from_slice(&nonce) };
        let mut service = entities(&endpoint);
        let call = async {
            let answer = service.get_freshness(request).await;
            answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))
        };
        let answer = self.in_time(&endpoint, call).await?.into_inner();
        let fault = |fault| ClientFault::Proof { endpoint: endpoint.address.clone(), fault };
        let answer = FreshnessAnswer::from_bytes(&answer.answer)
            .map_err(|error| fault(quorate_proof::FormatFault::from(error).into()))?;
        let epochs = self.epochs();
        self.follow_to(&endpoint, answer.signed.statement.epoch).await?;
        epochs.verify_freshness(&answer, &nonce).map_err(fault)?;
        Ok(answer)
    }

    async fn prove_at(
        &self,
        endpoint: &Endpoint,
        subject: &Subject,
        token: Option<&ReadToken>,
    ) -> Result<(Proven, Bytes), ClientFault> {
        let request = with_token(request_of(subject), token);
        let answer = entities(endpoint).get_proof(request).await;
        let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
        if answer.proof.is_empty() {
            let fault = FieldFault::Missing { field: "proof" };
            return Err(ClientFault::Answer { endpoint: endpoint.address.clone(), fault });
        }
        let fault = |fault| ClientFault::Proof { endpoint: endpoint.address.clone(), fault };
        let proof = Proof::from_file(&answer.proof).map_err(fault)?;
        self.follow_to(endpoint, proof.epoch()).await?;
        let proven = proof.verify(&self.epochs()).map_err(fault)?;
        admit(endpoint, subject, &proven)?;
        Ok((proven, answer.proof))
    }
}

fn request_of(subject: &Subject) -> pb::GetProofRequest {
    use pb::get_proof_request::Subject as Wire;
    let (subject, at_least) = match subject {
        Subject::Entity(EntityId { kind, id }, at_least) => {
            (Wire::Entity(pb::EntityName { kind: kind.clone(), id: id.clone() }), at_least.0)
        }
        Subject::Operation(operation) => (Wire::Operation(Bytes::copy_from_slice(operation.0.as_bytes())), 0),
        Subject::OrderFrom(sequence) => (Wire::OrderFrom(sequence.0), 0),
    };
    pb::GetProofRequest { subject: Some(subject), at_least }
}

/// A proof that holds must also be about what was asked for, and as new as was asked for.
fn admit(endpoint: &Endpoint, subject: &Subject, proven: &Proven) -> Result<(), ClientFault> {
    match (subject, proven) {
        (Subject::Entity(entity, wanted), Proven::State(state)) if state.name() == entity => {
            let found = state.execution().sequence;
            if found < *wanted {
                return Err(ClientFault::Stale { endpoint: endpoint.address.clone(), found, wanted: *wanted });
            }
            Ok(())
        }
        (Subject::Operation(operation), Proven::Receipt(receipt)) if receipt.receipt().operation == *operation => {
            Ok(())
        }
        (Subject::OrderFrom(from), Proven::Order(order)) if order.digest_at(*from).is_some() => Ok(()),
        _ => Err(other_subject(endpoint, subject, proven)),
    }
}

fn other_subject(endpoint: &Endpoint, subject: &Subject, proven: &Proven) -> ClientFault {
    let asked = match subject {
        Subject::Entity(entity, _) => entity.to_string(),
        Subject::Operation(operation) => format!("operation {operation}"),
        Subject::OrderFrom(sequence) => format!("sequence {sequence}"),
    };
    let found = match proven {
        Proven::State(state) => state.name().to_string(),
        Proven::Receipt(receipt) => format!("operation {}", receipt.receipt().operation),
        Proven::Order(_) => "the order".to_owned(),
    };
    ClientFault::OtherSubject { endpoint: endpoint.address.clone(), asked, found }
}
