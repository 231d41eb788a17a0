//! Intake promises: asked for, checked, and held against a gateway that breaks one (protocol §3.9, accountability
//! §1.10).

use bytes::Bytes;
use quorate_crypto::{Digest, Signature};
use quorate_proof::VerifiedReceipt;
use quorate_transport::convert::{FieldFault, fixed, operation_id, signed_operation_to_wire};
use quorate_transport::pb::cluster::v1 as cluster_pb;
use quorate_transport::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_transport::pb::operations::v1 as pb;
use quorate_types::bundle::BundleHeader;
use quorate_types::codec::Canonical;
use quorate_types::evidence::{BrokenPromise, Evidence};
use quorate_types::merkle;
use quorate_types::operation::{Operation, leaf_of};
use quorate_types::promise::{Listed, Promise};
use quorate_types::signed::Signed;

use crate::cluster::{Client, Endpoint};
use crate::fault::ClientFault;
use crate::submit::{MAX_ANSWER_BYTES, operations};

/// What a validator answered that took an operation.
#[derive(Debug)]
pub enum Accepted {
    /// Its promise, verified. Keep it: whoever has it can convict the validator if it drops the operation.
    Promised(Signed<Promise>),
    /// The operation has executed before: its receipt, verified, and the proof as it is kept in a file.
    Executed(Box<VerifiedReceipt>, Bytes),
}

/// What became of a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The bundle holds the operation.
    Kept,
    /// No validator asked has the bundle: it isn't made, isn't spread, or is pruned. That proves nothing.
    Unknown {
        /// How many validators answered.
        asked: usize,
    },
    /// The bundle doesn't hold it, which this evidence proves to anyone.
    Broken(Box<Evidence>),
}

impl Client {
    /// Submits an operation and waits until a validator has it in a bundle, and promises that.
    ///
    /// Tries other validators with the same signed operation until one answers. What became of the operation only its
    /// receipt tells ([`Client::receipt`]).
    ///
    /// # Errors
    /// What a validator said that can't pass by itself, or that none answered with a promise that holds.
    pub async fn submit_accepted(&self, operation: &Operation) -> Result<Accepted, ClientFault> {
        let id = operation.id();
        let request = pb::SubmitRequest {
            operation: Some(signed_operation_to_wire(operation.signed())),
            wait: pb::Wait::Accepted.into(),
        };
        self.call(|endpoint| {
            let request = request.clone();
            async move {
                let answer = operations(&endpoint).submit(request).await;
                let answer = answer.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
                if let Some(proven) = answer.receipt {
                    let receipt = self.verify(&endpoint, id, &proven).await?;
                    return Ok(Accepted::Executed(Box::new(receipt), proven.proof));
                }
                let promise: Signed<Promise> = statement("promise", &answer.promise).map_err(unreadable(&endpoint))?;
                let found = promise.statement.operation;
                if found != id {
                    return Err(ClientFault::OtherOperation { endpoint: endpoint.address.clone(), asked: id, found });
                }
                self.verify_promise(&endpoint, &promise).await?;
                Ok(Accepted::Promised(promise))
            }
        })
        .await
    }

    /// Asks all validators for the bundle that a promise names, and judges the promise by each.
    ///
    /// # Errors
    /// If no validator answers, or the promise isn't one of this cluster's validators.
    pub async fn check_promise(&self, promise: &Signed<Promise>) -> Result<Kept, ClientFault> {
        let (mut asked, mut is_kept, mut fault) = (0, false, None);
        for endpoint in self.all_endpoints() {
            match self.ask_for_bundle(&endpoint.within(self.inner.config.retry.attempt), promise).await {
                Ok(Kept::Broken(evidence)) => return Ok(Kept::Broken(evidence)),
                Ok(verdict) => {
                    asked += 1;
                    is_kept |= verdict == Kept::Kept;
                }
                Err(failure) => fault = Some(failure),
            }
        }
        match fault {
            Some(fault) if asked == 0 => Err(fault),
            _ if is_kept => Ok(Kept::Kept),
            _ => Ok(Kept::Unknown { asked }),
        }
    }

    /// Hands an evidence file to a validator, which judges, keeps and spreads it. Gives its id.
    ///
    /// # Errors
    /// If the validator doesn't answer, or the evidence accuses nobody.
    pub async fn accuse(&self, position: usize, file: Vec<u8>) -> Result<Digest, ClientFault> {
        let endpoint = self.endpoint_at(position).unwrap_or_else(|| self.endpoint());
        let endpoint = endpoint.within(self.inner.config.retry.attempt);
        let answer = async {
            self.admit(&endpoint).await?;
            let request = cluster_pb::AccuseRequest { evidence: file.into() };
            let asked = ClusterClient::new(endpoint.service()).accuse(request).await;
            let answer = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
            Ok(Digest::new(fixed("id", &answer.id).map_err(unreadable(&endpoint))?))
        };
        self.in_time(&endpoint, answer).await
    }

    /// Whether a validator of this cluster signed a promise.
    async fn verify_promise(&self, endpoint: &Endpoint, promise: &Signed<Promise>) -> Result<(), ClientFault> {
        self.follow_to(endpoint, promise.statement.epoch).await?;
        let fault = |fault| ClientFault::Proof { endpoint: endpoint.address.clone(), fault };
        self.epochs().verify_signed(*promise).map_err(fault)
    }

    async fn ask_for_bundle(&self, endpoint: &Endpoint, promise: &Signed<Promise>) -> Result<Kept, ClientFault> {
        let Promise { epoch, lane, number, .. } = promise.statement;
        let request = cluster_pb::BundleRequest { epoch: epoch.0, lane: lane.0.into(), number: number.0 };
        let answer = async {
            self.admit(endpoint).await?;
            self.verify_promise(endpoint, promise).await?;
            let mut cluster = ClusterClient::new(endpoint.service()).max_decoding_message_size(MAX_ANSWER_BYTES);
            let asked = cluster.bundle(request).await;
            let bundles = asked.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner();
            let verdicts = bundles.bundles.iter().map(|content| self.judge(endpoint, promise, content));
            let verdicts: Vec<Kept> = verdicts.collect::<Result<_, _>>()?;
            let broken = verdicts.iter().find(|verdict| matches!(verdict, Kept::Broken(_)));
            Ok(broken.or_else(|| verdicts.first()).cloned().unwrap_or(Kept::Unknown { asked: 1 }))
        };
        self.in_time(endpoint, answer).await
    }

    /// One bundle of a promise that was verified. What isn't the bundle asked for, signed and whole, is its bringer's
    /// fault.
    fn judge(
        &self,
        endpoint: &Endpoint,
        promise: &Signed<Promise>,
        content: &cluster_pb::BundleContent,
    ) -> Result<Kept, ClientFault> {
        let header: Signed<BundleHeader> =
            statement("bundles.header", &content.header).map_err(unreadable(endpoint))?;
        let operations = content.operations.iter().map(listed).collect::<Result<Vec<Listed>, _>>();
        let operations = operations.map_err(unreadable(endpoint))?;
        let fault = |fault| ClientFault::Proof { endpoint: endpoint.address.clone(), fault };
        self.epochs().verify_signed(header).map_err(fault)?;
        let Promise { epoch, lane, number, operation } = promise.statement;
        let BundleHeader { operations_root, .. } = header.statement;
        let leaves: Vec<Digest> = operations.iter().map(|(id, signature)| leaf_of(id, signature)).collect();
        let is_asked_for =
            (header.statement.epoch, header.statement.lane, header.statement.number) == (epoch, lane, number);
        if !is_asked_for || merkle::root(&leaves) != operations_root {
            return Err(ClientFault::OtherBundle { endpoint: endpoint.address.clone() });
        }
        if operations.iter().any(|(id, _)| *id == operation) {
            return Ok(Kept::Kept);
        }
        let broken = BrokenPromise { promise: *promise, header, operations };
        Ok(Kept::Broken(Box::new(Evidence::BrokenPromise(Box::new(broken)))))
    }
}

fn listed(found: &cluster_pb::ListedOperation) -> Result<Listed, FieldFault> {
    let signature = Signature::from_bytes(fixed("bundles.operations.signature", &found.signature)?);
    Ok((operation_id("bundles.operations.id", &found.id)?, signature))
}

/// A signed statement in its canonical bytes.
fn statement<T: Canonical>(field: &'static str, bytes: &[u8]) -> Result<Signed<T>, FieldFault> {
    Signed::from_bytes(bytes)
        .map_err(|_| FieldFault::Rule { field, rule: "must be a signed statement in its one form" })
}

fn unreadable(endpoint: &Endpoint) -> impl FnOnce(FieldFault) -> ClientFault {
    |fault| ClientFault::Answer { endpoint: endpoint.address.clone(), fault }
}
