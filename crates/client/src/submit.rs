//! Submitting one operation, and asking about operations and authors.

use bytes::Bytes;
use quorate_crypto::PublicKey;
use quorate_proof::{ReceiptProof, VerifiedReceipt};
use quorate_transport::convert::signed_operation_to_wire;
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::operations_client::OperationsClient;
use quorate_types::ids::OperationId;
use quorate_types::operation::Operation;

use crate::cluster::{Client, Endpoint};
use crate::fault::ClientFault;

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
                Ok((self.verify(&endpoint, id, &proven)?, proven.proof))
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
                Ok((self.verify(&endpoint, id, &proven)?, proven.proof))
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

    /// Verifies a receipt file's content against this cluster's genesis; asks nobody.
    ///
    /// # Errors
    /// What doesn't hold.
    pub fn verify_file(&self, content: &[u8]) -> Result<VerifiedReceipt, quorate_proof::ProofFault> {
        ReceiptProof::from_file(content)?.verify(&self.inner.config.epoch)
    }
}

/// The operations service of an endpoint.
pub(crate) fn operations(endpoint: &Endpoint) -> OperationsClient<tonic::transport::Channel> {
    OperationsClient::new(endpoint.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// The largest answer taken from a validator.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 << 20;

fn missing(endpoint: &Endpoint) -> ClientFault {
    let fault = quorate_transport::convert::FieldFault::Missing { field: "receipt" };
    ClientFault::Answer { endpoint: endpoint.address.clone(), fault }
}
