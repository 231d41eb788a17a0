//! Many operations in flight over one stream, for throughput: answers come in any order, each with a verified
//! receipt or the reason why there is none.
//!
//! When the stream breaks, or a validator can't serve it, the operations without an answer are sent again, the
//! same bytes, to the next validator. Bounded: [`Pipeline::send`] waits while `capacity` are in flight.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use quorate_proof::VerifiedReceipt;
use quorate_transport::convert::signed_operation_to_wire;
use quorate_transport::fault::ApiFault;
use quorate_transport::pb::operations::v1 as pb;
use quorate_transport::pb::operations::v1::submit_stream_response::Result as Answer;
use quorate_types::operation::Operation;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use crate::cluster::{Client, Endpoint, Pause};
use crate::fault::ClientFault;
use crate::submit::operations;

/// An operation that got its answer.
#[derive(Debug)]
pub struct Settled {
    /// The operation.
    pub operation: Arc<Operation>,
    /// Its verified receipt, or why there is none.
    pub result: Result<VerifiedReceipt, ClientFault>,
    /// When it was handed to the pipeline.
    pub sent_at: Instant,
}

/// The handing-in end.
#[derive(Debug)]
pub struct Pipeline {
    operations: mpsc::Sender<InFlight>,
    room: Arc<Semaphore>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct InFlight {
    operation: Arc<Operation>,
    sent_at: Instant,
    _room: OwnedSemaphorePermit,
}

impl Client {
    /// Opens a pipeline with room for `capacity` operations in flight. Answers come out of the receiver, which
    /// ends after [`Pipeline::close`] when all have come.
    #[must_use]
    pub fn pipeline(&self, capacity: usize) -> (Pipeline, mpsc::Receiver<Settled>) {
        let (operations, taken) = mpsc::channel(capacity.max(1));
        let (settled, answers) = mpsc::channel(capacity.max(1));
        let run = Run { client: self.clone(), taken, settled, waiting: BTreeMap::new(), next: 0, is_open: true };
        let room = Arc::new(Semaphore::new(capacity.max(1)));
        (Pipeline { operations, room, task: tokio::spawn(run.run()) }, answers)
    }
}

impl Pipeline {
    /// Hands an operation in, waiting for room. False if the pipeline has ended.
    pub async fn send(&self, operation: Arc<Operation>) -> bool {
        let Ok(room) = Arc::clone(&self.room).acquire_owned().await else { return false };
        let sent_at = Instant::now();
        self.operations.send(InFlight { operation, sent_at, _room: room }).await.is_ok()
    }

    /// No more operations: the receiver ends when all answers have come.
    pub async fn close(self) {
        let Self { operations, task, .. } = self;
        drop(operations);
        // The task ends when the last answer has been taken; a panic in it is a bug of this crate.
        if let Err(error) = task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// The task that owns the stream.
struct Run {
    client: Client,
    taken: mpsc::Receiver<InFlight>,
    settled: mpsc::Sender<Settled>,
    waiting: BTreeMap<u64, InFlight>,
    next: u64,
    is_open: bool,
}

impl Run {
    async fn run(mut self) {
        let mut pause = Pause::new(self.client.inner.config.retry);
        let mut failing_since: Option<Instant> = None;
        while self.is_open || !self.waiting.is_empty() {
            let endpoint = self.client.endpoint();
            let before = self.waiting.len();
            let fault = self.serve(&endpoint).await;
            let Some(fault) = fault else { return };
            self.client.turn_away_from(&endpoint);
            // Seen here too: a stream that never opens takes nothing in.
            self.is_open &= !(self.taken.is_closed() && self.taken.is_empty());
            if self.waiting.len() < before {
                failing_since = None;
                pause = Pause::new(self.client.inner.config.retry);
            }
            let since = *failing_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.client.inner.config.retry.total {
                self.give_up(&fault).await;
                failing_since = None;
            }
            tokio::time::sleep(pause.after(&fault)).await;
        }
    }

    /// One stream to one validator, until it fails or everything is answered (`None`).
    async fn serve(&mut self, endpoint: &Endpoint) -> Option<ClientFault> {
        let (requests, outgoing) = mpsc::channel(256);
        let attempt = self.client.inner.config.retry.attempt;
        let ended = || ClientFault::StreamEnded { endpoint: endpoint.address.clone() };
        let timed_out = || ClientFault::TimedOut { endpoint: endpoint.address.clone(), after: attempt };
        let opened = async {
            self.client.admit(endpoint).await?;
            let answers = operations(endpoint).submit_stream(ReceiverStream::new(outgoing)).await;
            Ok(answers.map_err(|status| ClientFault::of_status(&endpoint.address, status))?.into_inner())
        };
        let mut answers = match self.client.in_time(endpoint, opened).await {
            Ok(answers) => answers,
            Err(fault) => return Some(fault),
        };
        // What an earlier stream left unanswered goes first.
        let mut resend: Vec<(u64, Arc<Operation>)> =
            self.waiting.iter().rev().map(|(correlation, held)| (*correlation, Arc::clone(&held.operation))).collect();
        loop {
            if !self.is_open && self.waiting.is_empty() {
                return None;
            }
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        if let Some(fault) = self.settle(endpoint, answer).await {
                            return Some(fault);
                        }
                    }
                    Ok(None) => return Some(ended()),
                    Err(status) => return Some(ClientFault::of_status(&endpoint.address, status)),
                },
                permit = requests.reserve(), if !resend.is_empty() => {
                    let Ok(permit) = permit else { return Some(ended()) };
                    if let Some((correlation, operation)) = resend.pop() {
                        permit.send(request(correlation, &operation));
                    }
                }
                taken = self.taken.recv(), if self.is_open && resend.is_empty() => match taken {
                    None => self.is_open = false,
                    Some(held) => {
                        self.next += 1;
                        let message = request(self.next, &held.operation);
                        self.waiting.insert(self.next, held);
                        if requests.send(message).await.is_err() {
                            return Some(ended());
                        }
                    }
                },
                () = tokio::time::sleep(attempt), if !self.waiting.is_empty() => return Some(timed_out()),
            }
        }
    }

    /// Takes an answer in. A passing failure of one operation turns the whole stream away; others are final.
    async fn settle(&mut self, endpoint: &Endpoint, answer: pb::SubmitStreamResponse) -> Option<ClientFault> {
        let held = self.waiting.get(&answer.correlation)?;
        let id = held.operation.id();
        let result = match answer.result {
            Some(Answer::Submitted(submitted)) => match &submitted.receipt {
                Some(proven) => self.client.verify(endpoint, id, proven).await,
                None => Err(ClientFault::StreamEnded { endpoint: endpoint.address.clone() }),
            },
            Some(Answer::Failure(failure)) => {
                let message = failure.message.clone();
                Err(ApiFault::of_failure(failure).map_or_else(
                    || ClientFault::of_status(&endpoint.address, tonic::Status::unknown(message)),
                    ClientFault::Api,
                ))
            }
            None => Err(ClientFault::StreamEnded { endpoint: endpoint.address.clone() }),
        };
        match result {
            Err(fault) if fault.is_passing() => Some(fault),
            result => {
                let held = self.waiting.remove(&answer.correlation)?;
                let InFlight { operation, sent_at, .. } = held;
                // The receiver is gone when nobody wants answers any more; the operations are sent all the same.
                let _ = self.settled.send(Settled { operation, result, sent_at }).await;
                None
            }
        }
    }

    /// Time is up for all that wait: each is told so.
    async fn give_up(&mut self, fault: &ClientFault) {
        let policy = self.client.inner.config.retry;
        while let Ok(held) = self.taken.try_recv() {
            self.next += 1;
            self.waiting.insert(self.next, held);
        }
        for (_, InFlight { operation, sent_at, .. }) in std::mem::take(&mut self.waiting) {
            let result = Err(ClientFault::NoAnswer {
                endpoints: self.client.endpoints().count(),
                seconds: policy.total.as_secs(),
                last: fault.to_string(),
            });
            let _ = self.settled.send(Settled { operation, result, sent_at }).await;
        }
    }
}

fn request(correlation: u64, operation: &Operation) -> pb::SubmitStreamRequest {
    pb::SubmitStreamRequest {
        correlation,
        operation: Some(signed_operation_to_wire(operation.signed())),
        wait: pb::Wait::Executed.into(),
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::operation::{Change, EntityId};

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_pipeline_ends_and_says_why_when_nobody_can_be_reached() {
        let client = testing::client(["127.0.0.1:1"]);
        let mut signer = testing::signer(&client);
        let (pipeline, mut answers) = client.pipeline(8);
        for _ in 0..3 {
            let draft = signer.draft(1_000).unwrap().mutate(EntityId::new("counter", "c"), Change::Add { by: 1 });
            assert!(pipeline.send(Arc::new(signer.sign(draft).unwrap())).await);
        }
        let ended = async {
            for _ in 0..3 {
                let settled = answers.recv().await.unwrap();
                assert!(matches!(settled.result, Err(ClientFault::NoAnswer { .. })), "{:?}", settled.result);
            }
            pipeline.close().await;
            assert!(answers.recv().await.is_none());
        };
        tokio::time::timeout(testing::LONG, ended).await.unwrap();
    }
}
