//! What goes into the replica and what comes out of it: the wall between deciding and doing
//! (architecture §4).

use std::sync::Arc;

use quorate_accountability::suspicion::{Change, Words};
use quorate_consensus::CoreNotice;
use quorate_crypto::Digest;
use quorate_dag::Intake;
use quorate_storage::{Family, WriteBatch};
use quorate_types::evidence::{Conviction, Evidence};
use quorate_types::execution::ExecutionCertificate;
use quorate_types::freshness::{FreshnessAnswer, Nonce};
use quorate_types::ids::{BlockTime, Epoch, OperationId, Sequence, ValidatorIndex, View};
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::promise::Promise;
use quorate_types::signed::Signed;
use quorate_types::verified::Verified;

use crate::execution::{Executed, ExecutionJob};
use crate::executions::Camps;
use crate::records::Record;
use crate::standing::Standing;
use crate::transfer::TransferNotice;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message from another validator, whose session the shell has authenticated.
    Message {
        /// Whose session brought it; this validator itself, where a client handed evidence in (accountability §1.10).
        from: ValidatorIndex,
        /// The message, rules and signatures checked.
        message: Verified<Message>,
    },
    /// An operation of a client of this validator.
    Operation(Verified<Arc<Operation>>),
    /// A client of this validator wants a promise for an operation that was just taken, or waits already
    /// (protocol §3.9). [`Notice::Promised`] answers, unless a receipt comes first.
    Promise(OperationId),
    /// A job of [`Outbox::execute`] was carried out and its batch written.
    Executed(Executed),
    /// A client of this validator wants to know how far the order has gone; the nonce is new, and made for it
    /// (data-model §5.4). [`Notice::Fresh`] answers.
    Round(Nonce),
    /// A client wants this validator's own statement over its nonce. [`Notice::Statement`] answers, unless this
    /// validator doesn't sign.
    Statement(Nonce),
    /// The shell refused messages that another validator's session brought (accountability §6.7).
    Refused {
        /// Whose session.
        from: ValidatorIndex,
        /// How many.
        count: u64,
        /// Why the first.
        why: Words,
    },
    /// At so many peers that one of them is correct, connections with this validator's key take the place of its own:
    /// another node runs with it (protocol §7.6).
    KeyElsewhere,
    /// The end of a turn of the event loop, and every timer: bundles, proposals, timeouts, status.
    Turn,
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// All other validators.
    All,
    /// One of them.
    One(ValidatorIndex),
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// To whom.
    pub to: Recipient,
    /// What.
    pub message: Message,
}

/// What a turn gave: one batch to save, and what may happen before and after.
///
/// The shell writes `records` synced, and the guard file if `guard` isn't empty, in parallel; only when
/// both are durable it sends `after` and starts `execute`. A failed save stops the node.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be saved in one atomic, synced batch.
    pub records: WriteBatch,
    /// The protocol records among them, for the guard file (protocol §7.2); empty if nothing signed leaves.
    pub guard: Vec<Record>,
    /// The number of the batch, if it is guarded.
    pub batch: Option<u64>,
    /// Messages that may leave only when the records are durable: everything signed here, and everything
    /// that depends on it.
    pub after: Vec<Outgoing>,
    /// Messages that may leave at once: questions, and what was durable before.
    pub now: Vec<Outgoing>,
    /// Delivered proposals to execute, in order, once the records are durable.
    pub execute: Vec<ExecutionJob>,
    /// The state of this checkpoint is here: once the records are durable and what was handed out is executed, the
    /// shell puts it in place ([`crate::transfer::install`]) and goes on with [`crate::Replica::resume`].
    pub install: Option<Sequence>,
    /// The epoch is over here, and this one follows; or this store turned out to be another incarnation, in the same one.
    /// Once the records are durable, the shell ends this replica and builds it anew, as after a restart
    /// ([`crate::epochs::current`], [`crate::recover`]).
    pub enters: Option<Epoch>,
    /// For clients, people and metrics.
    pub notices: Vec<Notice>,
}

impl Outbox {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.after.is_empty()
            && self.now.is_empty()
            && self.execute.is_empty()
            && self.install.is_none()
            && self.enters.is_none()
            && self.notices.is_empty()
    }

    pub(crate) fn save(&mut self, record: Record) {
        let (family, key, value) = record;
        self.records.put(family, key, value);
    }

    /// Saves a protocol record, in the guard file too.
    pub(crate) fn save_guarded(&mut self, record: Record) {
        debug_assert!(
            !matches!(record.0, Family::Meta | Family::State | Family::Receipts | Family::Operations),
            "what repairs or replays the state never touches the guard file"
        );
        self.guard.push(record.clone());
        self.save(record);
    }

    pub(crate) fn broadcast(&mut self, message: Message) {
        self.after.push(Outgoing { to: Recipient::All, message });
    }

    pub(crate) fn send(&mut self, to: ValidatorIndex, message: Message) {
        self.after.push(Outgoing { to: Recipient::One(to), message });
    }

    pub(crate) fn ask(&mut self, of: ValidatorIndex, request: quorate_types::message::Request) {
        self.now.push(Outgoing { to: Recipient::One(of), message: Message::Request(request) });
    }
}

/// What people, clients and metrics hear.
#[derive(Clone, Debug)]
pub enum Notice {
    /// From the ordering core.
    Core(CoreNotice),
    /// What became of an operation of an own client.
    Intake(OperationId, Intake),
    /// An own bundle, which is among the records or durable before, holds an operation: the client may have this
    /// (protocol §3.9).
    Promised(Signed<Promise>),
    /// A proposal was delivered.
    Delivered {
        /// Its sequence.
        sequence: Sequence,
        /// Its digest.
        digest: Digest,
        /// Its block time.
        time: BlockTime,
        /// The view this validator was in.
        view: View,
    },
    /// A sequence has its execution certificate: receipts can be proven.
    Certified(Arc<ExecutionCertificate>),
    /// The stable checkpoint moved.
    Stable(Sequence),
    /// Evidence, the first about its place, with its id: it is among the records; the shell logs and counts.
    Evidence(Digest, Arc<Evidence>),
    /// The cluster has convicted a validator: it stands in the state.
    Conviction(Box<Conviction>),
    /// A freshness round is complete.
    Fresh {
        /// Its nonce.
        nonce: Nonce,
        /// Everything acknowledged before the nonce was made is at or below this sequence.
        sequence: Sequence,
    },
    /// This validator's freshness statement.
    Statement(Box<FreshnessAnswer>),
    /// No result of a sequence can have a quorum any more: each, with who voted for it (protocol §8.2).
    Camps(Camps),
    /// How a transfer of a snapshot goes.
    Transfer(TransferNotice),
    /// What this validator suspects others of changed.
    Suspicion(Change),
    /// Whether this validator signs changed.
    Standing(Standing),
    /// The guard refused to sign: a fault of this program, shown rather than signed.
    Refused(crate::guard::GuardRefusal),
}
