//! Who waits for which operation. A call that goes away takes its place with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use quorate_replica::Intake;
use quorate_replica::records::Place;
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::promise::Promise;
use quorate_types::receipt::{Judgement, Receipt};
use quorate_types::signed::Signed;
use tokio::sync::oneshot;

use super::Hub;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// This validator's promise (protocol §3.9), or a receipt if that comes first.
    Promise,
    /// A receipt that can be proven.
    Receipt,
}

/// What a call hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An own bundle holds the operation.
    Promised(Signed<Promise>),
    /// The pool refuses it.
    Refused(Intake),
    /// There is a receipt, and it can be proven.
    Receipt(Place),
    /// It was judged without a receipt, at this sequence.
    Judged(Sequence, Judgement),
}

/// As many calls wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// How many that is.
    pub limit: usize,
}

/// Calls that wait, by what they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_operation: BTreeMap<OperationId, Vec<Waiter>>,
    by_sequence: BTreeMap<Sequence, Vec<(Place, Waiter)>>,
    count: usize,
    next_token: u64,
}

#[derive(Debug)]
struct Waiter {
    token: u64,
    wants: Wants,
    tell: oneshot::Sender<Outcome>,
}

/// A call's place among those that wait; given up when dropped.
#[derive(Debug)]
pub struct Registration {
    token: u64,
    operation: Option<OperationId>,
    hub: Weak<Hub>,
    outcome: oneshot::Receiver<Outcome>,
    /// Set once the outcome was heard: there is no place left to give up.
    is_over: bool,
}

/// A registration that doesn't know its hub yet.
pub(super) struct Made {
    token: u64,
    operation: Option<OperationId>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Made {
    pub(super) fn of(self, hub: &Arc<Hub>) -> Registration {
        let Self { token, operation, outcome } = self;
        Registration { token, operation, hub: Arc::downgrade(hub), outcome, is_over: false }
    }
}

impl Registration {
    /// What became of it; `None` if the node stops.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        let outcome = (&mut self.outcome).await.ok();
        self.is_over = true;
        outcome
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(hub) = self.hub.upgrade() {
            hub.lock().waiting.forget(self.token, self.operation);
        }
    }
}

impl Waiting {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) fn register(&mut self, operation: OperationId, wants: Wants, limit: usize) -> Result<Made, Crowded> {
        let (waiter, outcome) = self.waiter(wants, limit)?;
        let token = waiter.token;
        self.by_operation.entry(operation).or_default().push(waiter);
        Ok(Made { token, operation: Some(operation), outcome })
    }

    pub(super) fn register_certified(&mut self, place: Place, limit: usize) -> Result<Made, Crowded> {
        let (waiter, outcome) = self.waiter(Wants::Receipt, limit)?;
        let token = waiter.token;
        self.by_sequence.entry(place.sequence).or_default().push((place, waiter));
        Ok(Made { token, operation: None, outcome })
    }

    fn waiter(&mut self, wants: Wants, limit: usize) -> Result<(Waiter, oneshot::Receiver<Outcome>), Crowded> {
        if self.count >= limit {
            return Err(Crowded { limit });
        }
        self.count += 1;
        self.next_token = self.next_token.wrapping_add(1);
        let (tell, outcome) = oneshot::channel();
        Ok((Waiter { token: self.next_token, wants, tell }, outcome))
    }

    pub(super) fn on_intake(&mut self, operation: &OperationId, intake: Intake) {
        if matches!(intake, Intake::Taken | Intake::Known) {
            return;
        }
        if let Some(waiters) = self.by_operation.remove(operation) {
            self.tell(waiters, &Outcome::Refused(intake));
        }
    }

    pub(super) fn on_promised(&mut self, promise: Signed<Promise>) {
        let operation = promise.statement.operation;
        let Some(waiters) = self.by_operation.get_mut(&operation) else { return };
        let told: Vec<Waiter> = waiters.extract_if(.., |waiter| waiter.wants == Wants::Promise).collect();
        if waiters.is_empty() {
            self.by_operation.remove(&operation);
        }
        self.tell(told, &Outcome::Promised(promise));
    }

    pub(super) fn on_receipt(&mut self, receipt: &Receipt, is_certified: bool) {
        let Some(waiters) = self.by_operation.remove(&receipt.operation) else { return };
        let place = Place { sequence: receipt.sequence, index: receipt.index };
        if is_certified {
            self.tell(waiters, &Outcome::Receipt(place));
        } else {
            let waiters = waiters.into_iter().map(|waiter| (place, waiter));
            self.by_sequence.entry(receipt.sequence).or_default().extend(waiters);
        }
    }

    pub(super) fn on_judged(&mut self, operation: &OperationId, sequence: Sequence, judgement: Judgement) {
        if let Some(waiters) = self.by_operation.remove(operation) {
            self.tell(waiters, &Outcome::Judged(sequence, judgement));
        }
    }

    /// Whether somebody waits for a sequence's certificate.
    pub(super) fn is_awaited(&self, sequence: Sequence) -> bool {
        self.by_sequence.contains_key(&sequence)
    }

    pub(super) fn on_certified(&mut self, sequence: Sequence) {
        for (place, waiter) in self.by_sequence.remove(&sequence).unwrap_or_default() {
            self.tell(vec![waiter], &Outcome::Receipt(place));
        }
    }

    fn tell(&mut self, waiters: Vec<Waiter>, outcome: &Outcome) {
        self.count -= waiters.len();
        for waiter in waiters {
            // Whoever has gone away needs no word.
            let _ = waiter.tell.send(outcome.clone());
        }
    }

    fn forget(&mut self, token: u64, operation: Option<OperationId>) {
        let before = self.count;
        if let Some(waiters) = operation.and_then(|operation| self.by_operation.get_mut(&operation)) {
            let all = waiters.len();
            waiters.retain(|waiter| waiter.token != token);
            self.count -= all - waiters.len();
            if waiters.is_empty() {
                operation.map(|operation| self.by_operation.remove(&operation));
            }
        }
        if before != self.count {
            return;
        }
        // Few sequences wait for their certificates at any time.
        for waiters in self.by_sequence.values_mut() {
            let all = waiters.len();
            waiters.retain(|(_, waiter)| waiter.token != token);
            self.count -= all - waiters.len();
        }
        self.by_sequence.retain(|_, waiters| !waiters.is_empty());
    }
}
