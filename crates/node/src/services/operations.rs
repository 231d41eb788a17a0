//! `quorate.operations.v1`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use quorate_replica::machine::read;
use quorate_replica::records::Place;
use quorate_storage::{StateAt, Store};
use quorate_transport::convert::{
    operation_id, proven_receipt, public_key, signed_operation, signed_operation_to_wire, wire,
};
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::operations_server::Operations;
use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::operation::EntityId;
use quorate_types::parameters::NONCE_WINDOW;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::access::Reader;
use super::door::client_of;
use super::submit::crowded;
use super::{Api, stopping};
use crate::hub::Wants;

/// Answers of one stream that wait to be sent.
const STREAM_ANSWERS: usize = 64;

/// Heads of all operations that one answer names.
const MAX_HEADS: usize = 1_024;

/// Executed operations that are looked through for heads.
const HEADS_SEARCH: usize = 16_384;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service.
pub(super) struct OperationsService<S: Store>(pub(super) Arc<Api<S>>);

#[tonic::async_trait]
impl<S: Store> Operations for OperationsService<S> {
    async fn submit(&self, request: Request<pb::SubmitRequest>) -> Result<Response<pb::SubmitResponse>, Status> {
        let api = &self.0;
        let (client, deadline) = (client_of(request.extensions()), api.deadline(request.metadata()));
        let pb::SubmitRequest { operation, wait } = request.into_inner();
        api.answer(async {
            let signed = signed_operation(operation)?;
            api.door.admit(client, signed.size_bytes())?;
            api.submit(signed, wants(wait)?, deadline).await
        })
        .await
    }

    type SubmitStreamStream = Answers<pb::SubmitStreamResponse>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<pb::SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let client = client_of(request.extensions());
        let (answers, stream) = mpsc::channel(STREAM_ANSWERS);
        let reader = StreamReader { api: Arc::clone(&self.0), client, answers };
        self.0.faults.spawn("a stream of submissions", reader.run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn get_operation(
        &self,
        request: Request<pb::GetOperationRequest>,
    ) -> Result<Response<pb::GetOperationResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            let reader = api.reader(request.metadata())?;
            api.get_operation(operation_id("operation", &request.get_ref().operation)?, reader)
        })
        .await
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        let api = &self.0;
        let deadline = api.deadline(request.metadata());
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            let pb::GetReceiptRequest { operation, wait } = request.get_ref();
            let id = operation_id("operation", operation)?;
            match tokio::time::timeout_at(deadline, api.get_receipt(id, *wait)).await {
                Ok(answer) => answer,
                Err(_) => Err(ApiFault::new(Reason::Timeout, "no receipt before the deadline; ask again")),
            }
        })
        .await
    }

    async fn get_author(
        &self,
        request: Request<pb::GetAuthorRequest>,
    ) -> Result<Response<pb::GetAuthorResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            api.get_author(&request.get_ref().author)
        })
        .await
    }

    async fn get_heads(&self, request: Request<pb::GetHeadsRequest>) -> Result<Response<pb::GetHeadsResponse>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            match &request.get_ref().entity {
                Some(pb::EntityName { kind, id }) => {
                    api.readable_kind(kind, api.reader(request.metadata())?)?;
                    api.heads_of(&EntityId::new(kind.as_str(), id.as_str()))
                }
                None => api.heads(),
            }
        })
        .await
    }

    type WatchStream = Answers<pb::WatchResponse>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let api = &self.0;
        api.answer(async {
            api.door.admit(client_of(request.extensions()), 0)?;
            let reader = api.reader(request.metadata())?;
            let stream = super::watch::start(Arc::clone(api), request.get_ref().clone(), reader)?;
            Ok(Box::pin(stream) as Self::WatchStream)
        })
        .await
    }
}

fn wants(wait: i32) -> Result<Wants, ApiFault> {
    match pb::Wait::try_from(wait) {
        Ok(pb::Wait::Unspecified | pb::Wait::Executed) => Ok(Wants::Receipt),
        Ok(pb::Wait::Accepted) => Ok(Wants::Promise),
        Err(_) => Err(ApiFault::new(Reason::Malformed, format!("wait has the unknown value {wait}"))),
    }
}

/// Reads a stream of submissions and answers each on its own; reads no further while too many are under way.
struct StreamReader<S: Store> {
    api: Arc<Api<S>>,
    client: std::net::IpAddr,
    answers: mpsc::Sender<Result<pb::SubmitStreamResponse, Status>>,
}

impl<S: Store> StreamReader<S> {
    async fn run(self, mut requests: Streaming<pb::SubmitStreamRequest>) {
        let places = Arc::new(Semaphore::new(self.api.config.stream_submissions));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let request = tokio::select! {
                request = requests.message() => request,
                () = self.answers.closed() => return,
                () = self.api.stopping.cancelled() => {
                    let _ = self.answers.try_send(Err(stopping().into()));
                    return;
                }
            };
            // The client has said all, or has gone; what is under way is answered by its own task.
            let Ok(Some(request)) = request else { return };
            let (api, client, answers) = (Arc::clone(&self.api), self.client, self.answers.clone());
            self.api.faults.spawn("a submission of a stream", async move {
                let _place = place;
                let answer = answer_one(&api, client, request).await;
                let _ = answers.send(Ok(answer)).await;
            });
        }
    }
}

async fn answer_one<S: Store>(
    api: &Api<S>,
    client: std::net::IpAddr,
    request: pb::SubmitStreamRequest,
) -> pb::SubmitStreamResponse {
    let pb::SubmitStreamRequest { correlation, operation, wait } = request;
    let deadline = api.deadline(&tonic::metadata::MetadataMap::new());
    let work = async {
        let signed = signed_operation(operation)?;
        api.door.admit(client, signed.size_bytes())?;
        api.submit(signed, wants(wait)?, deadline).await
    };
    let answer = tokio::select! {
        answer = work => answer,
        () = api.stopping.cancelled() => Err(stopping()),
    };
    let result = match answer {
        Ok(submitted) => pb::submit_stream_response::Result::Submitted(submitted),
        Err(fault) => pb::submit_stream_response::Result::Failure(fault.into_failure()),
    };
    pb::SubmitStreamResponse { correlation, result: Some(result) }
}

impl<S: Store> Api<S> {
    fn get_operation(&self, id: OperationId, reader: Reader) -> Result<pb::GetOperationResponse, ApiFault> {
        let fault = |error| self.record_fault(error);
        let Some(place) = self.ledger.place(&id).map_err(fault)? else {
            return Err(self.no_receipt(&id)?);
        };
        let waiting = u64::from(self.context.parameters.waiting_sequences);
        let operation = self.ledger.operation(&id, place, waiting).map_err(fault)?;
        let proven = self.ledger.prove(place).map_err(fault)?;
        let (stage, receipt) = match proven {
            Some((receipt, proof)) => (pb::Stage::Certified, Some(proven_receipt(&receipt, proof))),
            None => {
                let receipt = self.ledger.receipt(place).map_err(fault)?;
                (pb::Stage::Executed, receipt.map(|receipt| proven_receipt(&receipt, Bytes::new())))
            }
        };
        let operation = match operation {
            Some(operation) if self.may_read_body(&operation, reader)? => Some(operation),
            _ => None,
        };
        let operation = operation.map(|operation| signed_operation_to_wire(operation.signed()));
        Ok(pb::GetOperationResponse { operation, stage: stage.into(), receipt })
    }

    async fn get_receipt(&self, id: OperationId, wait: bool) -> Result<pb::GetReceiptResponse, ApiFault> {
        let registration = self.ledger.hub().register(id, Wants::Receipt).map_err(crowded)?;
        let place = self.ledger.place(&id).map_err(|error| self.record_fault(error))?;
        let place = match (place, wait) {
            (Some(place), true) => place,
            (Some(place), false) => {
                let held = self.ledger.certificate(place.sequence).map_err(|error| self.record_fault(error))?;
                if held.is_none() {
                    return Err(self.not_proven_yet(&id, place));
                }
                place
            }
            (None, false) => return Err(self.no_receipt(&id)?),
            (None, true) => self.await_place(registration).await?,
        };
        let receipt = self.receipt_at(place).await?.receipt;
        Ok(pb::GetReceiptResponse { receipt })
    }

    async fn await_place(&self, mut registration: crate::hub::Registration) -> Result<Place, ApiFault> {
        use crate::hub::Outcome;
        match registration.outcome().await.ok_or_else(stopping)? {
            Outcome::Receipt(place) => Ok(place),
            Outcome::Judged(sequence, judgement) => Err(ApiFault::from(&judgement).with("sequence", sequence)),
            Outcome::Promised(_) | Outcome::Refused(_) => Err(ApiFault::new(Reason::NotFound, "there is no receipt")),
        }
    }

    fn not_proven_yet(&self, id: &OperationId, place: Place) -> ApiFault {
        let text = "executed, but the receipt can't be proven yet; ask again, with `wait`";
        ApiFault::new(Reason::NotFound, text).with("operation", id).with("sequence", place.sequence)
    }

    /// What is known of an operation without a receipt.
    fn no_receipt(&self, id: &OperationId) -> Result<ApiFault, ApiFault> {
        let judged = self.ledger.judged(id).map_err(|error| self.record_fault(error))?;
        if let Some(judged) = judged {
            return Ok(ApiFault::from(&judged.judgement).with("sequence", judged.sequence));
        }
        let executed = self.ledger.hub().progress().borrow().executed;
        let text = format!("no operation {id} is executed here up to sequence {executed}");
        Ok(ApiFault::new(Reason::NotFound, text).with("operation", id).with("executed", executed))
    }

    fn get_author(&self, author: &[u8]) -> Result<pb::GetAuthorResponse, ApiFault> {
        let author = public_key("author", author)?;
        let fault = |error| self.store_fault(error);
        let snapshot = self.snapshot()?;
        let state = StateAt(&snapshot);
        let at = read::position(&state).map_err(fault)?;
        let (sequence, time) = at.map_or((Sequence::ZERO, BlockTime::ZERO), |at| (at.sequence, at.time));
        let found = read::author(&state, &author, time, &self.context.parameters).map_err(fault)?;
        let read = pb::GetAuthorResponse { sequence: sequence.0, block_time_ms: time.0, ..Default::default() };
        let Some(nonces) = found else { return Ok(read) };
        Ok(pb::GetAuthorResponse {
            is_known: true,
            highest: nonces.highest,
            lowest: nonces.lowest,
            free: free_ranges(nonces.lowest, nonces.highest, nonces.used.iter().map(|(nonce, _)| *nonce)),
            used: nonces
                .used
                .iter()
                .map(|(nonce, operation)| pb::UsedNonce { nonce: *nonce, operation: wire(operation.0.as_bytes()) })
                .collect(),
            ..read
        })
    }

    fn heads_of(&self, entity: &EntityId) -> Result<pb::GetHeadsResponse, ApiFault> {
        let fault = |error| self.store_fault(error);
        let snapshot = self.snapshot()?;
        let state = StateAt(&snapshot);
        let at = read::position(&state).map_err(fault)?;
        let found = read::entity(&state, entity).map_err(fault)?;
        let heads = found.map(|entity| entity.header.heads).unwrap_or_default();
        let newest_first = heads.iter().rev().map(|head| head_to_wire(&head.operation, head.at.sequence));
        Ok(pb::GetHeadsResponse { heads: newest_first.collect(), sequence: at.map_or(0, |at| at.sequence.0) })
    }

    /// Walks back over the executed operations: one that no later one names as parent is a head.
    fn heads(&self) -> Result<pb::GetHeadsResponse, ApiFault> {
        let fault = |error| self.store_fault(error);
        let snapshot = self.snapshot()?;
        let state = StateAt(&snapshot);
        let top = read::position(&state).map_err(fault)?.map_or(Sequence::ZERO, |at| at.sequence);
        let (mut parents, mut heads, mut seen) = (std::collections::BTreeSet::new(), Vec::new(), 0);
        let mut at = top;
        while at > Sequence::ZERO && heads.len() < MAX_HEADS && seen < HEADS_SEARCH {
            let sequenced = self.ledger.sequenced(at).map_err(|error| self.record_fault(error))?;
            let Some(sequenced) = sequenced else { break };
            for receipt in sequenced.receipts.iter().rev() {
                seen += 1;
                let indexed = read::executed(&state, &receipt.operation).map_err(fault)?;
                parents.extend(indexed.map(|indexed| indexed.parents).unwrap_or_default());
                if !parents.contains(&receipt.operation) && heads.len() < MAX_HEADS {
                    heads.push(head_to_wire(&receipt.operation, at));
                }
            }
            at = at.previous().unwrap_or(Sequence::ZERO);
        }
        Ok(pb::GetHeadsResponse { heads, sequence: top.0 })
    }
}

fn head_to_wire(operation: &OperationId, sequence: Sequence) -> pb::Head {
    pb::Head { operation: wire(operation.0.as_bytes()), sequence: sequence.0 }
}

/// The stretches from `lowest` to `highest` without the ascending `used`.
fn free_ranges(lowest: u64, highest: u64, used: impl Iterator<Item = u64>) -> Vec<pb::NonceRange> {
    let mut free = Vec::new();
    let mut from = lowest;
    for nonce in used.take(NONCE_WINDOW as usize) {
        if nonce > from {
            free.push(pb::NonceRange { from, to: nonce - 1 });
        }
        from = nonce.saturating_add(1);
    }
    if from <= highest {
        free.push(pb::NonceRange { from, to: highest });
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_nonces_are_what_lies_between_the_used_ones() {
        let free = |used: &[u64]| -> Vec<(u64, u64)> {
            free_ranges(3, 9, used.iter().copied()).iter().map(|range| (range.from, range.to)).collect()
        };
        assert_eq!(free(&[3, 5, 6, 9]), [(4, 4), (7, 8)]);
        assert_eq!(free(&[9]), [(3, 8)]);
        assert_eq!(free(&[3, 4, 5, 6, 7, 8, 9]), []);
    }
}
