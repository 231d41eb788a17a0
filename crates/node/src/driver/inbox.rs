//! What the driver hears. Each source has its own bounded queue, so none can push out another's.

use std::sync::Arc;

use quorate_replica::{Event, Executed};
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::verified::Verified;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::reads::Question;

/// Batches of verified messages that wait: one per source of messages, and one more each.
const BATCHES: usize = 4;

/// Verified operations of own clients that wait.
pub(crate) const OPERATIONS: usize = 4_096;

/// Results of execution that wait; the execution thread waits when there are more.
const RESULTS: usize = 64;

/// Operations taken in one turn at most: a turn stays short.
const OPERATIONS_PER_TURN: usize = 1_024;

/// Questions of readers taken in one turn at most: each costs a signature.
const QUESTIONS_PER_TURN: usize = 64;

/// An operation of a client, and whether it wants a promise (protocol §3.9).
pub(crate) type Submission = (Verified<Arc<Operation>>, bool);

/// Verified messages of peers, in the order of each peer.
pub(crate) type Batch = Vec<(ValidatorIndex, Verified<Message>)>;

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    executed: mpsc::Receiver<Executed>,
    control: mpsc::Receiver<Batch>,
    bulk: mpsc::Receiver<Batch>,
    operations: mpsc::Receiver<Submission>,
    questions: mpsc::Receiver<Question>,
}

/// The others' ends.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub(crate) executed: mpsc::Sender<Executed>,
    pub(crate) control: mpsc::Sender<Batch>,
    pub(crate) bulk: mpsc::Sender<Batch>,
    pub(crate) operations: mpsc::Sender<Submission>,
}

/// An empty inbox.
pub(crate) fn inbox(questions: mpsc::Receiver<Question>) -> (Inputs, Inbox) {
    let (to_executed, executed) = mpsc::channel(RESULTS);
    let (to_control, control) = mpsc::channel(BATCHES);
    let (to_bulk, bulk) = mpsc::channel(BATCHES);
    let (to_operations, operations) = mpsc::channel(OPERATIONS);
    let inputs = Inputs { executed: to_executed, control: to_control, bulk: to_bulk, operations: to_operations };
    (inputs, Inbox { executed, control, bulk, operations, questions })
}

impl Inbox {
    /// Everything that waits, at most one turn's worth; waits until there is something or `deadline`,
    /// when it gives nothing. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, deadline: Option<Instant>) -> Vec<Event> {
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let mut events = Vec::new();
        tokio::select! {
            biased;
            Some(executed) = self.executed.recv() => events.push(Event::Executed(executed)),
            Some(batch) = self.control.recv() => extend(&mut events, batch),
            Some(batch) = self.bulk.recv() => extend(&mut events, batch),
            Some(submission) = self.operations.recv() => submit(&mut events, submission),
            Some(question) = self.questions.recv() => events.push(event_of(question)),
            () = due => {}
        }
        self.drain(&mut events);
        events
    }

    /// Adds what else waits: all results, one batch of each kind, some operations.
    fn drain(&mut self, events: &mut Vec<Event>) {
        while let Ok(executed) = self.executed.try_recv() {
            events.push(Event::Executed(executed));
        }
        for batches in [&mut self.control, &mut self.bulk] {
            if let Ok(batch) = batches.try_recv() {
                extend(events, batch);
            }
        }
        for _ in 0..OPERATIONS_PER_TURN {
            let Ok(submission) = self.operations.try_recv() else { break };
            submit(events, submission);
        }
        for _ in 0..QUESTIONS_PER_TURN {
            let Ok(question) = self.questions.try_recv() else { break };
            events.push(event_of(question));
        }
    }
}

const fn event_of(question: Question) -> Event {
    match question {
        Question::Round(nonce) => Event::Round(nonce),
        Question::Statement(nonce) => Event::Statement(nonce),
    }
}

fn submit(events: &mut Vec<Event>, (operation, wants_promise): Submission) {
    let id = operation.id();
    events.push(Event::Operation(operation));
    if wants_promise {
        events.push(Event::Promise(id));
    }
}

fn extend(events: &mut Vec<Event>, batch: Batch) {
    events.extend(batch.into_iter().map(|(from, message)| Event::Message { from, message }));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_crypto::{Digest, Scheme, SecretKey};
    use quorate_types::ids::{BlockTime, ClusterId, Epoch, Sequence};
    use quorate_types::operation::{Change, EntityId, OperationBuilder};
    use quorate_types::parameters::Parameters;
    use quorate_types::set::{ValidatorInfo, ValidatorSet};
    use quorate_types::verified::Context;

    use super::*;

    fn verified(count: u64) -> Vec<Verified<Arc<Operation>>> {
        let (key, cluster) = (SecretKey::from_seed([1; 32]), ClusterId(Digest::ZERO));
        let info = ValidatorInfo {
            name: "v0".to_owned(),
            consensus_key: key.public(),
            network_key: key.public(),
            incarnation: [0; 32],
            peer_address: "localhost:1".to_owned(),
        };
        let context = Context {
            cluster,
            scheme: Scheme::Ed25519,
            epoch: Epoch(0),
            set: Arc::new(ValidatorSet::new(vec![info]).unwrap()),
            parameters: Arc::new(Parameters::default()),
            start: (Sequence(0), cluster.0),
        };
        let one = OperationBuilder::new(cluster, key.public(), 0, BlockTime(1))
            .mutate(EntityId::new("counter", "c"), Change::Add { by: 1 })
            .sign(&key)
            .unwrap();
        let operation = Arc::new(one);
        let operations = (0..count).map(|_| Arc::clone(&operation)).collect();
        context.verify_operations(operations).into_iter().map(Result::unwrap).collect()
    }

    #[tokio::test]
    async fn a_turn_takes_so_many_operations_and_leaves_the_rest_for_the_next() {
        let (inputs, mut inbox) = inbox(mpsc::channel(1).1);
        for operation in verified(OPERATIONS_PER_TURN as u64 + 10) {
            inputs.operations.send((operation, false)).await.unwrap();
        }
        // The one that woke the loop comes on top.
        assert_eq!(inbox.next(None).await.len(), OPERATIONS_PER_TURN + 1);
        assert_eq!(inbox.next(None).await.len(), 9);
    }

    /// protocol §3.9
    #[tokio::test]
    async fn a_promise_is_asked_for_right_after_its_operation() {
        let (inputs, mut inbox) = inbox(mpsc::channel(1).1);
        for (operation, wants_promise) in verified(2).into_iter().zip([true, false]) {
            inputs.operations.send((operation, wants_promise)).await.unwrap();
        }
        let events = inbox.next(None).await;
        let is_asked = matches!(&events[..], [Event::Operation(_), Event::Promise(_), Event::Operation(_)]);
        assert!(is_asked, "{events:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_the_deadline_and_gives_nothing_then() {
        let (_inputs, mut inbox) = inbox(mpsc::channel(1).1);
        let deadline = Instant::now() + Duration::from_millis(70);
        assert!(inbox.next(Some(deadline)).await.is_empty());
        assert_eq!(Instant::now(), deadline);
    }
}
