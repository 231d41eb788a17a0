//! Submitting one operation, and asking about operations and authors.

use bytes::Bytes;
use quorate_crypto::PublicKey;
use quorate_proof::{ReceiptProof, VerifiedReceipt};
use quorate_transport::convert::{operation_id, signed_operation, signed_operation_to_wire};
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::operations_client::OperationsClient;
use quorate_transport::read_token::ReadToken;
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::operation::{EntityId, Operation};

use crate::cluster::{Client, Endpoint, Service};
use crate::fault::ClientFault;
use crate::read::with_token;

/// What a validator knows of an operation that executed.
#[derive(Debug)]
pub struct KnownOperation {
    /// The operation; `None` if it may not be read.
    pub operation: Option<Operation>,
    /// Its receipt, verified; `None` as long as it can't be proven.
    pub receipt: Option<VerifiedReceipt>,
}

impl Client {
    /// Submits an operation and waits for its receipt, verified. The receipt may say that it was rejected
    /// ([`crate::Rejected::unless_applied`] tells).
    ///
    /// Tries other validators with the same signed operation until one answers; submitting it again later is
    /// safe too, it executes once.
    ///
    /// # Errors
    /// Without a receipt: what a validator said that can't pass by itself, or that none answered.
    pub async fn submit(&self, operation: &Operation) -> Result<VerifiedReceipt, ClientFault> {
        self.submit_with_proof(operation).await.map(|(receipt, _)| receipt)
    }

    /// As [`Client::submit`], with the proof as it is kept in a receipt file.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn submit_with_proof(&self, operation: &Operation) -> Result<(VerifiedReceipt, Bytes), ClientFault> {
        let id = operation.id();
        let request = pb::SubmitRequest {
            operation: Some(signed_operation_to_wire(operation.signed())),
            wait: pb::Wait::Executed.into(),
        };
        self.call(|endpoint| {
            let request = request.clone();
            async move {
                let answer = operations(&endpoint).submit(request).await;
                let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
                let proven = answer.receipt.ok_or_else(|| missing(&endpoint))?;
                Ok((self.verify(&endpoint, id, &proven).await?, proven.proof))
            }
        })
        .await
    }

    /// The receipt of an operation, if there is one, verified; `wait` waits for it.
    ///
    /// # Errors
    /// If none answered, or, without `wait`, if there is none yet ([`crate::Reason::NotFound`]).
    pub async fn receipt(&self, id: OperationId, wait: bool) -> Result<(VerifiedReceipt, Bytes), ClientFault> {
        let request = pb::GetReceiptRequest { operation: Bytes::copy_from_slice(id.0.as_bytes()), wait };
        self.call(|endpoint| {
            let request = request.clone();
            async move {
                let answer = operations(&endpoint).get_receipt(request).await;
                let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
                let proven = answer.receipt.ok_or_else(|| missing(&endpoint))?;
                Ok((self.verify(&endpoint, id, &proven).await?, proven.proof))
            }
        })
        .await
    }

    /// What a validator knows about an author's nonces.
    ///
    /// # Errors
    /// If none answered.
    pub async fn author(&self, author: PublicKey) -> Result<pb::GetAuthorResponse, ClientFault> {
        let request = pb::GetAuthorRequest { author: Bytes::copy_from_slice(author.as_bytes()) };
        self.call(|endpoint| {
            let request = request.clone();
            async move {
                let answer = operations(&endpoint).get_author(request).await;
                Ok(answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner())
            }
        })
        .await
    }

    /// An operation, if a validator knows that it executed: itself, its receipt, and the proof if there is one
    /// yet. Without the right to read all that it names, given by `token`, the operation is left out.
    ///
    /// # Errors
    /// If none answered, or none knows of it ([`crate::Reason::NotFound`]).
    pub async fn operation(&self, id: OperationId, token: Option<&ReadToken>) -> Result<KnownOperation, ClientFault> {
        let request = pb::GetOperationRequest { operation: Bytes::copy_from_slice(id.0.as_bytes()) };
        self.call(|endpoint| {
            let request = with_token(request.clone(), token);
            async move {
                let answer = operations(&endpoint).get_operation(request).await;
                let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
                self.known(&endpoint, id, answer).await
            }
        })
        .await
    }

    async fn known(
        &self,
        endpoint: &Endpoint,
        id: OperationId,
        answer: pb::GetOperationResponse,
    ) -> Result<KnownOperation, ClientFault> {
        let signed = answer.operation.is_some().then(|| signed_operation(answer.operation)).transpose();
        let signed = signed.map_err(|fault| ClientFault::Answer { endpoint: endpoint.address.clone(), fault })?;
        let operation = signed.map(|signed| Operation::decode(&signed)).transpose().map_err(|_| missing(endpoint))?;
        if let Some(found) = operation.as_ref().map(Operation::id).filter(|found| *found != id) {
            return Err(ClientFault::OtherOperation { endpoint: endpoint.address.clone(), asked: id, found });
        }
        let proven = answer.receipt.filter(|proven| !proven.proof.is_empty());
        let receipt = match proven {
            Some(proven) => Some(self.verify(endpoint, id, &proven).await?),
            None => None,
        };
        Ok(KnownOperation { operation, receipt })
    }

    /// The operations that no executed one names as its parent, newest first: of one entity, or of all. One
    /// validator's word.
    ///
    /// # Errors
    /// If none answered, or reading is denied.
    pub async fn heads(
        &self,
        entity: Option<&EntityId>,
        token: Option<&ReadToken>,
    ) -> Result<Vec<(OperationId, Sequence)>, ClientFault> {
        let entity = entity.map(|name| pb::EntityName { kind: name.kind.clone(), id: name.id.clone() });
        let message = pb::GetHeadsRequest { entity };
        self.call(|endpoint| {
            let request = with_token(message.clone(), token);
            async move {
                let answer = operations(&endpoint).get_heads(request).await;
                let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
                let fault = |fault| ClientFault::Answer { endpoint: endpoint.address.clone(), fault };
                let head = |head: pb::Head| Ok((operation_id("operation", &head.operation)?, Sequence(head.sequence)));
                answer.heads.into_iter().map(head).collect::<Result<_, _>>().map_err(fault)
            }
        })
        .await
    }

    /// Verifies a proof file's content, of any kind, against this cluster's genesis, and the epochs that this client has followed
    /// from there; asks nobody.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify_proof(&self, content: &[u8]) -> Result<quorate_proof::Proven, quorate_proof::ProofFault> {
        quorate_proof::Proof::from_file(content)?.verify(&self.epochs())
    }

    /// Verifies a receipt file's content against this cluster's genesis, and the epochs that this client has followed
    /// from there; asks nobody.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify_file(&self, content: &[u8]) -> Result<VerifiedReceipt, quorate_proof::ProofFault> {
        ReceiptProof::from_file(content)?.verify(&self.epochs())
    }
}

/// The operations service of an endpoint.
pub(crate) fn operations(endpoint: &Endpoint) -> OperationsClient<Service> {
    OperationsClient::new(endpoint.service()).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// The largest answer taken from a validator.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 << 20;

fn missing(endpoint: &Endpoint) -> ClientFault {
    let fault = quorate_transport::convert::FieldFault::Missing { field: "receipt" };
    ClientFault::Answer { endpoint: endpoint.address.clone(), fault }
}
