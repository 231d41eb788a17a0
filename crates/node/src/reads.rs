//! Linearizable reads in the shell (data-model §§5.3–5.5): who waits for a freshness round, or for a
//! statement of this validator.
//!
//! All reads that wait share one round; those that come while it is under way share the next, because a
//! round serves only who came before its nonce was made. Bounded by the number of calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_types::freshness::{FreshnessAnswer, Nonce};
use quorate_types::ids::Sequence;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::NodeError;

/// Reads that wait for the next round at most.
const WAITING: usize = 1_024;

/// Questions of the shell that wait for the driver.
const QUESTIONS: usize = 1_024;

/// A round that a quorum doesn't answer in this time is given up; those who still wait join the next.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the driver is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A round over this nonce.
    Round(Nonce),
    /// This validator's statement over this nonce.
    Statement(Nonce),
}

/// Where the driver's answers go.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rounds: BTreeMap<Nonce, oneshot::Sender<Sequence>>,
    statements: BTreeMap<Nonce, Vec<oneshot::Sender<FreshnessAnswer>>>,
}

impl Answers {
    /// A round of own clients has its result.
    pub(crate) fn on_fresh(&self, nonce: &Nonce, sequence: Sequence) {
        if let Some(round) = self.lock().rounds.remove(nonce) {
            // Whoever asked may have gone away.
            let _ = round.send(sequence);
        }
    }

    /// This validator's statement; what it speaks of is durable.
    pub(crate) fn on_statement(&self, answer: &FreshnessAnswer) {
        let asked = self.lock().statements.remove(&answer.signed.statement.nonce);
        for asked in asked.into_iter().flatten() {
            let _ = asked.send(answer.clone());
        }
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The callers' end.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    waiting: mpsc::Sender<oneshot::Sender<Sequence>>,
    questions: mpsc::Sender<Question>,
    answers: Arc<Answers>,
}

/// Makes rounds, one after the other.
#[derive(Debug)]
pub(crate) struct Rounds {
    waiting: mpsc::Receiver<oneshot::Sender<Sequence>>,
    questions: mpsc::Sender<Question>,
    answers: Arc<Answers>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Too many reads wait.
    Crowded,
    /// The node stops.
    Stopping,
}

/// The three ends: for calls, for the task that makes rounds, and for the driver.
pub(crate) fn reads() -> (Reads, Rounds, mpsc::Receiver<Question>) {
    let (to_rounds, waiting) = mpsc::channel(WAITING);
    let (questions, to_driver) = mpsc::channel(QUESTIONS);
    let answers = Arc::<Answers>::default();
    let reads = Reads { waiting: to_rounds, questions: questions.clone(), answers: Arc::clone(&answers) };
    (reads, Rounds { waiting, questions, answers }, to_driver)
}

impl Reads {
    /// Where the driver's answers go.
    pub(crate) const fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    /// The result of a round that begins after this call did.
    pub(crate) async fn fresh(&self) -> Result<Sequence, Unread> {
        let (tell, told) = oneshot::channel();
        self.waiting.try_send(tell).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unread::Crowded,
            mpsc::error::TrySendError::Closed(_) => Unread::Stopping,
        })?;
        told.await.map_err(|_| Unread::Stopping)
    }

    /// This validator's statement; never answered while it doesn't sign.
    pub(crate) async fn statement(&self, nonce: Nonce) -> Result<FreshnessAnswer, Unread> {
        let (tell, told) = oneshot::channel();
        {
            let mut inner = self.answers.lock();
            inner.statements.retain(|_, asked| {
                asked.retain(|asked| !asked.is_closed());
                !asked.is_empty()
            });
            if inner.statements.len() >= WAITING {
                return Err(Unread::Crowded);
            }
            inner.statements.entry(nonce).or_default().push(tell);
        }
        self.questions.try_send(Question::Statement(nonce)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unread::Crowded,
            mpsc::error::TrySendError::Closed(_) => Unread::Stopping,
        })?;
        told.await.map_err(|_| Unread::Stopping)
    }
}

impl Rounds {
    /// Works until the node stops.
    pub(crate) async fn run(mut self, stopping: CancellationToken) -> Result<(), NodeError> {
        let mut readers = Vec::new();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                first = self.waiting.recv() => match first {
                    None => return Ok(()),
                    Some(first) => readers.push(first),
                },
            }
            while !readers.is_empty() {
                // Those who came until now: the nonce is made after them.
                while let Ok(reader) = self.waiting.try_recv() {
                    readers.push(reader);
                }
                let result = tokio::select! {
                    () = stopping.cancelled() => return Ok(()),
                    result = self.round() => result?,
                };
                match result {
                    // Whoever asked may have gone away.
                    Some(sequence) => readers.drain(..).for_each(|reader| _ = reader.send(sequence)),
                    None => readers.retain(|reader: &oneshot::Sender<Sequence>| !reader.is_closed()),
                }
            }
        }
    }

    async fn round(&self) -> Result<Option<Sequence>, NodeError> {
        let mut nonce = Nonce::default();
        let failed = |error: getrandom::Error| NodeError::System {
            what: "randomness",
            source: std::io::Error::other(error.to_string()),
        };
        getrandom::fill(&mut nonce).map_err(failed)?;
        let (tell, told) = oneshot::channel();
        self.answers.lock().rounds.insert(nonce, tell);
        // The driver has ended: so does this task, with the node.
        let _ = self.questions.send(Question::Round(nonce)).await;
        let result = tokio::time::timeout(PATIENCE, told).await;
        self.answers.lock().rounds.remove(&nonce);
        Ok(result.ok().and_then(Result::ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reads_that_wait_share_a_round_and_later_ones_share_the_next() {
        let (reads, rounds, mut questions) = reads();
        let stopping = CancellationToken::new();
        let task = tokio::spawn(rounds.run(stopping.clone()));
        let read = |reads: &Reads| {
            let reads = reads.clone();
            tokio::spawn(async move { reads.fresh().await })
        };
        let first = read(&reads);
        let Some(Question::Round(one)) = questions.recv().await else { panic!("a round") };
        let later = [read(&reads), read(&reads)];
        tokio::task::yield_now().await;
        reads.answers().on_fresh(&one, Sequence(7));
        assert_eq!(first.await.unwrap(), Ok(Sequence(7)));
        let Some(Question::Round(two)) = questions.recv().await else { panic!("a round") };
        assert_ne!(one, two);
        // The result of an earlier round is nothing to those who came later.
        reads.answers().on_fresh(&one, Sequence(8));
        reads.answers().on_fresh(&two, Sequence(9));
        for read in later {
            assert_eq!(read.await.unwrap(), Ok(Sequence(9)));
        }
        stopping.cancel();
        task.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_without_a_quorum_is_tried_again() {
        let (reads, rounds, mut questions) = reads();
        let stopping = CancellationToken::new();
        let task = tokio::spawn(rounds.run(stopping.clone()));
        let reader = reads.clone();
        let read = tokio::spawn(async move { reader.fresh().await });
        let first = questions.recv().await;
        let Some(Question::Round(second)) = questions.recv().await else { panic!("a round") };
        assert_ne!(first, Some(Question::Round(second)));
        reads.answers().on_fresh(&second, Sequence(3));
        assert_eq!(read.await.unwrap(), Ok(Sequence(3)));
        stopping.cancel();
        task.await.unwrap().unwrap();
        assert!(reads.fresh().await.is_err(), "the node has stopped");
    }
}
