//! The event loop: one turn after the other (docs/decisions/0006).
//!
//! A turn drains the inbox into the replica, ends with [`Event::Turn`], saves, and then, in this order and
//! only then, sends what depended on the save and hands out what is to be executed. Nothing else in the
//! node calls the replica. The loop waits for its inbox and its deadline only; whatever else takes time is
//! another thread's work.

mod inbox;
mod observer;
mod status;

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_replica::{Event, Notice, Now, Outbox, Replica, records};
use quorate_storage::Store;
use quorate_types::ids::ValidatorIndex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::info;

pub(crate) use self::inbox::{Batch, Inbox, Inputs, Submission, inbox};
pub(crate) use self::observer::Observer;
pub use self::status::Mode;
pub(crate) use self::status::{Judge, NodeStatus};
use crate::clock::Clock;
use crate::error::NodeError;
use crate::executor::{Installed, Work};
use crate::hub::Hub;
use crate::persist::Persist;
use crate::reads::Answers;
use crate::refusals::Refusals;
use crate::tap::Post;

/// Everything that the loop owns or speaks to.
#[derive(Debug)]
pub(crate) struct Driver<S> {
    pub(crate) me: ValidatorIndex,
    pub(crate) replica: Replica,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox,
    pub(crate) persist: Persist<S>,
    pub(crate) post: Post,
    pub(crate) work: WorkQueue,
    pub(crate) hub: Arc<Hub>,
    pub(crate) readers: Arc<Answers>,
    pub(crate) observer: Observer,
    pub(crate) judge: Judge,
    /// Refused messages of peers, and when they were last taken.
    pub(crate) refusals: (Arc<Refusals>, u64),
    /// While a new state is put in place: word that it is.
    pub(crate) installing: Option<oneshot::Receiver<Installed>>,
    pub(crate) stopping: CancellationToken,
    /// Cancelled, before `stopping`, when the epoch is over here.
    pub(crate) epoch_over: CancellationToken,
}

/// Delivered sequences on their way to the execution thread. It never makes the loop wait; what the thread
/// has no room for waits here, and the protocol's window bounds it (protocol §6.1).
#[derive(Debug)]
pub(crate) struct WorkQueue {
    to_thread: mpsc::Sender<Work>,
    waiting: VecDeque<Work>,
}

impl WorkQueue {
    pub(crate) const fn new(to_thread: mpsc::Sender<Work>) -> Self {
        Self { to_thread, waiting: VecDeque::new() }
    }

    fn push(&mut self, work: Work) {
        self.waiting.push_back(work);
    }

    /// Gives the thread as much as it has room for.
    fn flush(&mut self) {
        while let Some(work) = self.waiting.pop_front() {
            if let Err(error) = self.to_thread.try_send(work) {
                self.waiting.push_front(error.into_inner());
                return;
            }
        }
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.to_thread.max_capacity().saturating_sub(self.to_thread.capacity())
    }
}

/// Waits for word of a new state in its place; for ever, where none is expected.
async fn told(installing: &mut Option<oneshot::Receiver<Installed>>) -> Option<Installed> {
    match installing {
        Some(installed) => installed.await.ok(),
        None => std::future::pending().await,
    }
}

impl<S: Store> Driver<S> {
    /// Turns until the node stops or a save fails.
    ///
    /// # Errors
    /// If a save fails: nothing left that depended on it.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        self.observer.on_start(&self.replica);
        if let Some(mut tap) = self.post.tap.lock() {
            tap.on_start(self.clock.now(), &mut self.replica);
        }
        loop {
            // A turn does all that is due: a deadline that has passed since is for the next one, not for at once.
            let due_ms = self.replica.deadline_ms().min(self.judge.deadline_ms());
            let deadline = self.clock.instant(due_ms.max(self.clock.now().monotonic_ms.saturating_add(1)));
            let events = tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
                installed = told(&mut self.installing) => {
                    // Without word of it, the execution thread has failed: so does the node.
                    let Some(installed) = installed else { break };
                    self = self.resume(installed)?;
                    continue;
                }
                events = self.inbox.next(deadline) => events,
            };
            self.turn(events)?;
        }
        self.persist.flush()
    }

    fn turn(&mut self, events: Vec<Event>) -> Result<(), NodeError> {
        let now = self.clock.now();
        let mut out = Outbox::default();
        let refused = self.refusals.0.take(now, &mut self.refusals.1);
        for event in events.into_iter().chain(refused) {
            // What a client of this validator handed in has no session that it could speak about.
            if let Event::Message { from, message } = &event
                && *from != self.me
            {
                self.observer.on_message(now, *from, message);
                self.judge.on_message(now, *from, message);
            }
            if self.post.tap.lock().is_some_and(|mut tap| !tap.admit(now, &event)) {
                continue;
            }
            self.replica.step(now, event, &mut out);
        }
        self.replica.step(now, Event::Turn, &mut out);
        self.carry_out(now, out)
    }

    /// The order of these lines is the rule that matters most: save, then send (protocol §7.1).
    fn carry_out(&mut self, now: Now, mut out: Outbox) -> Result<(), NodeError> {
        self.observer.on_turn(now, &out);
        if let Some(mut tap) = self.post.tap.lock() {
            tap.on_turn(now, &self.replica, &out);
        }
        self.post.send(std::mem::take(&mut out.now));
        self.persist.save(&mut out, !self.replica.standing().is_quarantined())?;
        self.post.send(out.after);
        self.execute(out.execute);
        if out.install.is_some() {
            self.install();
        }
        self.tell(now, out.notices);
        self.report(now);
        if let Some(next) = out.enters {
            if next > self.replica.report().epoch {
                info!(epoch = next.0, "the epoch is over; this validator goes on in the next one");
            } else {
                info!(
                    epoch = next.0,
                    "this store is another incarnation from here on; this validator starts anew on it"
                );
            }
            self.epoch_over.cancel();
            self.stopping.cancel();
        }
        Ok(())
    }

    fn execute(&mut self, jobs: Vec<quorate_replica::ExecutionJob>) {
        for job in jobs {
            self.work.push(Work::Job(job));
        }
        self.work.flush();
    }

    /// A state from other validators is here: it takes its place once all that was delivered before is executed.
    fn install(&mut self) {
        let (tell, installed) = oneshot::channel();
        self.work.push(Work::Install(tell));
        self.work.flush();
        self.installing = Some(installed);
    }

    /// The new state is in its place: the replica is built anew from the records, and execution goes on
    /// (protocol §8.7).
    fn resume(self, Installed { checkpoint, go_on }: Installed) -> Result<Self, NodeError> {
        let now = self.clock.now();
        if self.replica.report().diverged.is_some()
            && let Some(divergence) = records::divergence().read(self.persist.store())?
        {
            Observer::on_repaired(&divergence);
        }
        let replica = self.replica.resume(self.persist.store(), now)?;
        let mut driver = Self { replica, installing: None, ..self };
        if let Some(mut tap) = driver.post.tap.lock() {
            tap.on_resume(now, &driver.replica);
        }
        info!(checkpoint = checkpoint.0, standing = %driver.replica.standing(), "goes on with the state of a checkpoint");
        // Whoever waits for it may have ended.
        let _ = go_on.send(());
        driver.report(now);
        Ok(driver)
    }

    fn tell(&mut self, now: Now, notices: Vec<Notice>) {
        for notice in notices {
            self.observer.on_notice(now, &notice);
            if let Some(mut tap) = self.post.tap.lock() {
                tap.on_notice(now, &notice);
            }
            match notice {
                Notice::Intake(operation, intake) => self.hub.on_intake(&operation, intake),
                Notice::Promised(promise) => self.hub.on_promised(promise),
                Notice::Certified(certificate) => self.hub.on_certified(certificate),
                Notice::Fresh { nonce, sequence } => self.readers.on_fresh(&nonce, sequence),
                Notice::Statement(answer) => self.readers.on_statement(&answer),
                _ => {}
            }
        }
    }

    fn report(&mut self, now: Now) {
        let report = self.replica.report();
        self.hub.on_certified_up_to(report.certified);
        let change = self.judge.judge(now, report, self.work.len());
        if let Some(status) = change {
            self.observer.on_mode(&status);
        }
    }
}
