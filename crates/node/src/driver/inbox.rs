//! What the driver hears. Each source has its own bounded queue, so none can push out another's.

use std::sync::Arc;

use quorate_replica::{Event, Executed};
use quorate_types::ids::ValidatorIndex;
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::verified::Verified;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Batches of verified messages that wait: one per source of messages, and one more each.
const BATCHES: usize = 4;

/// Verified operations of own clients that wait.
pub(crate) const OPERATIONS: usize = 4_096;

/// Results of execution that wait; the execution thread waits when there are more.
const RESULTS: usize = 64;

/// Operations taken in one turn at most: a turn stays short.
const OPERATIONS_PER_TURN: usize = 1_024;

/// Verified messages of peers, in the order of each peer.
pub(crate) type Batch = Vec<(ValidatorIndex, Verified<Message>)>;

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    executed: mpsc::Receiver<Executed>,
    control: mpsc::Receiver<Batch>,
    bulk: mpsc::Receiver<Batch>,
    operations: mpsc::Receiver<Verified<Arc<Operation>>>,
}

/// The others' ends.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    pub(crate) executed: mpsc::Sender<Executed>,
    pub(crate) control: mpsc::Sender<Batch>,
    pub(crate) bulk: mpsc::Sender<Batch>,
    pub(crate) operations: mpsc::Sender<Verified<Arc<Operation>>>,
}

/// An empty inbox.
pub(crate) fn inbox() -> (Inputs, Inbox) {
    let (to_executed, executed) = mpsc::channel(RESULTS);
    let (to_control, control) = mpsc::channel(BATCHES);
    let (to_bulk, bulk) = mpsc::channel(BATCHES);
    let (to_operations, operations) = mpsc::channel(OPERATIONS);
    let inputs = Inputs { executed: to_executed, control: to_control, bulk: to_bulk, operations: to_operations };
    (inputs, Inbox { executed, control, bulk, operations })
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
            Some(operation) = self.operations.recv() => events.push(Event::Operation(operation)),
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
            let Ok(operation) = self.operations.try_recv() else { break };
            events.push(Event::Operation(operation));
        }
    }
}

fn extend(events: &mut Vec<Event>, batch: Batch) {
    events.extend(batch.into_iter().map(|(from, message)| Event::Message { from, message }));
}
