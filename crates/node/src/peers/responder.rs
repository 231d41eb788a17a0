//! Answers to what other validators ask for, from the store (protocol §9). One queue per peer: whoever asks
//! too much makes only itself wait.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use quorate_replica::records::RecordError;
use quorate_replica::{Outgoing, Recipient, serve};
use quorate_storage::Store;
use quorate_types::ids::ValidatorIndex;
use quorate_types::limits::CHUNK_BYTES;
use quorate_types::message::{Message, Request};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::NodeError;
use crate::executor::Checkpoints;
use crate::tap::Post;
use crate::threads::Threads;

/// Questions of one peer that wait; further ones are left out, and asked again.
const QUESTIONS: usize = 64;

/// Bytes of one answer: some bundles. The peer asks on from there.
const ANSWER_BYTES: usize = 2 << 20;

/// The pause after a part of a snapshot: with its size, 32 MiB per second to each peer at most.
const PART_PAUSE: Duration = Duration::from_millis(16);

/// Where questions go, by peer.
#[derive(Clone, Debug)]
pub(crate) struct Responders {
    queues: Arc<[mpsc::Sender<Request>]>,
}

/// Answers one peer.
#[derive(Debug)]
pub(crate) struct Responder {
    peer: ValidatorIndex,
    questions: mpsc::Receiver<Request>,
}

impl Responders {
    /// One for each of `validators`.
    pub(crate) fn new(validators: usize) -> (Self, Vec<Responder>) {
        let (queues, responders): (Vec<_>, Vec<_>) = quorate_types::set::indices(validators)
            .map(|peer| {
                let (queue, questions) = mpsc::channel(QUESTIONS);
                (queue, Responder { peer, questions })
            })
            .unzip();
        (Self { queues: queues.into() }, responders)
    }

    /// Queues a question, or leaves it out.
    pub(crate) fn ask(&self, from: ValidatorIndex, request: Request) {
        if let Some(queue) = self.queues.get(from.position()) {
            let _ = queue.try_send(request);
        }
    }
}

impl Responder {
    /// Works until the node stops or the store fails.
    pub(crate) async fn run<S: Store>(
        mut self,
        sources: Sources<S>,
        (post, threads): (Post, Threads),
        stopping: CancellationToken,
    ) -> Result<(), NodeError> {
        loop {
            let request = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                request = self.questions.recv() => request,
            };
            let Some(request) = request else { return Ok(()) };
            let (sources, tap, to) = (sources.clone(), post.tap.clone(), Recipient::One(self.peer));
            let is_part = matches!(request, Request::Chunk { .. });
            let read = threads.blocking(move || {
                let messages = sources.answer(&request)?;
                let messages = messages.into_iter().map(|message| Outgoing { to, message });
                Ok::<_, RecordError>(Post::pack(&tap, messages.collect()))
            });
            match read.await {
                // A full queue leaves it out; the peer asks again.
                Ok(frames) => post.dispatch(frames?),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Ok(()),
            }
            if is_part {
                tokio::time::sleep(PART_PAUSE).await;
            }
        }
    }
}

/// Where answers come from.
pub(crate) struct Sources<S: Store> {
    pub(crate) store: Arc<S>,
    pub(crate) checkpoints: Checkpoints<S>,
    pub(crate) clock: Clock,
}

impl<S: Store> Clone for Sources<S> {
    fn clone(&self) -> Self {
        let Self { store, checkpoints, clock } = self;
        Self { store: Arc::clone(store), checkpoints: Arc::clone(checkpoints), clock: clock.clone() }
    }
}

impl<S: Store> Sources<S> {
    fn answer(&self, request: &Request) -> Result<Vec<Message>, RecordError> {
        let now_ms = self.clock.now().monotonic_ms;
        let handed = {
            let mut checkpoints = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
            checkpoints.answer(&*self.store, request, now_ms)?
        };
        match handed.read(CHUNK_BYTES)? {
            Some(message) => Ok(vec![message]),
            None => serve::answer(&*self.store, request, ANSWER_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::ids::Sequence;

    use super::*;

    #[test]
    fn one_peers_questions_are_bounded_and_take_nothing_from_anothers() {
        let (responders, mut workers) = Responders::new(2);
        for sequence in 0..QUESTIONS as u64 + 10 {
            responders.ask(ValidatorIndex(0), Request::Execution(Sequence(sequence)));
        }
        responders.ask(ValidatorIndex(1), Request::Execution(Sequence(1)));
        responders.ask(ValidatorIndex(7), Request::Execution(Sequence(1)));
        assert_eq!(workers[0].questions.len(), QUESTIONS);
        assert_eq!(workers[0].questions.try_recv(), Ok(Request::Execution(Sequence(0))), "the first ones are kept");
        assert_eq!(workers[1].questions.len(), 1);
    }
}
