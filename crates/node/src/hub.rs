//! Where the driver and the execution thread tell the services what has happened: recent sequences, how
//! far things are, and who waits for what.
//!
//! Everything here can be had from the store as well; it is here so that the busy path reads no disk.
//! Bounded: recent sequences by number and bytes, waiting calls by [`Hub::register`]'s limit.

mod sequenced;
mod waiting;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_replica::Intake;
use quorate_types::execution::ExecutionCertificate;
use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::promise::Promise;
use quorate_types::receipt::Judgement;
use quorate_types::signed::Signed;
use tokio::sync::watch;

pub use self::sequenced::Sequenced;
use self::waiting::Waiting;
pub use self::waiting::{Crowded, Outcome, Registration, Wants};

/// Bytes of recent sequences kept, operations and receipts together.
const RECENT_BYTES: usize = 128 << 20;

/// How far this validator is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The highest executed sequence.
    pub executed: Sequence,
    /// Its block time.
    pub time: BlockTime,
    /// Every execution certificate up to here is held.
    pub certified: Sequence,
}

/// Bounds of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubLimits {
    /// Recent sequences kept.
    pub sequences: usize,
    /// Calls that wait at once.
    pub waiting: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
    progress: watch::Sender<Progress>,
    limits: HubLimits,
}

#[derive(Debug, Default)]
struct Inner {
    recent: BTreeMap<Sequence, Recent>,
    bytes: usize,
    waiting: Waiting,
}

#[derive(Debug, Default)]
struct Recent {
    sequenced: Option<Arc<Sequenced>>,
    certificate: Option<Arc<ExecutionCertificate>>,
}

impl Hub {
    /// A hub that knows how far the store is.
    #[must_use]
    pub fn new(limits: HubLimits, progress: Progress) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), progress: watch::channel(progress).0, limits })
    }

    /// How far this validator is, and word of every change.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// A sequence was executed and written. Whether somebody waits for its certificate: if so, look into the
    /// store *afterwards* for one that came before and is no longer among the recent.
    #[must_use]
    pub fn on_executed(&self, sequenced: Arc<Sequenced>, judged: &[(OperationId, Judgement)]) -> bool {
        let (sequence, time) = (sequenced.execution.sequence, sequenced.time);
        let mut inner = self.lock();
        let is_certified = inner.recent.get(&sequence).is_some_and(|recent| recent.certificate.is_some());
        for receipt in &sequenced.receipts {
            inner.waiting.on_receipt(receipt, is_certified);
        }
        for (operation, judgement) in judged {
            inner.waiting.on_judged(operation, sequence, *judgement);
        }
        inner.bytes += sequenced.size_bytes();
        inner.recent.entry(sequence).or_default().sequenced = Some(sequenced);
        inner.evict(self.limits.sequences);
        let somebody_waits = inner.waiting.is_awaited(sequence);
        drop(inner);
        self.progress.send_modify(|progress| (progress.executed, progress.time) = (sequence, time));
        somebody_waits
    }

    /// A state from other validators has replaced the own one (protocol §8.7): recent sequences are forgotten.
    pub fn on_installed(&self, executed: Sequence, time: BlockTime) {
        let mut inner = self.lock();
        inner.recent.clear();
        inner.bytes = 0;
        drop(inner);
        self.progress.send_modify(|progress| {
            (progress.executed, progress.time) = (executed, time);
            progress.certified = progress.certified.max(executed);
        });
    }

    /// A sequence has its execution certificate.
    pub fn on_certified(&self, certificate: Arc<ExecutionCertificate>) {
        let sequence = certificate.execution.sequence;
        let mut inner = self.lock();
        inner.recent.entry(sequence).or_default().certificate = Some(certificate);
        inner.waiting.on_certified(sequence);
        inner.evict(self.limits.sequences);
    }

    /// Every execution certificate up to here is held.
    pub fn on_certified_up_to(&self, sequence: Sequence) {
        self.progress.send_if_modified(|progress| {
            let is_news = progress.certified != sequence;
            progress.certified = sequence;
            is_news
        });
    }

    /// What became of an own client's operation at the pool.
    pub fn on_intake(&self, operation: &OperationId, intake: Intake) {
        self.lock().waiting.on_intake(operation, intake);
    }

    /// An own bundle holds an operation, and the validator has given its word.
    pub fn on_promised(&self, promise: Signed<Promise>) {
        self.lock().waiting.on_promised(promise);
    }

    /// Waits for word of an operation. Look into the store *afterwards* for whether it has executed before.
    ///
    /// # Errors
    /// If as many calls wait as may.
    pub fn register(self: &Arc<Self>, operation: OperationId, wants: Wants) -> Result<Registration, Crowded> {
        self.lock().waiting.register(operation, wants, self.limits.waiting).map(|made| made.of(self))
    }

    /// Waits for the execution certificate of a sequence. Look for the certificate *afterwards*.
    ///
    /// # Errors
    /// If as many calls wait as may.
    pub fn register_certified(
        self: &Arc<Self>,
        place: quorate_replica::records::Place,
    ) -> Result<Registration, Crowded> {
        self.lock().waiting.register_certified(place, self.limits.waiting).map(|made| made.of(self))
    }

    /// A recent sequence.
    #[must_use]
    pub fn sequenced(&self, sequence: Sequence) -> Option<Arc<Sequenced>> {
        self.lock().recent.get(&sequence)?.sequenced.clone()
    }

    /// The execution certificate of a recent sequence.
    #[must_use]
    pub fn certificate(&self, sequence: Sequence) -> Option<Arc<ExecutionCertificate>> {
        self.lock().recent.get(&sequence)?.certificate.clone()
    }

    /// How many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn evict(&mut self, sequences: usize) {
        while self.recent.len() > sequences || (self.bytes > RECENT_BYTES && self.recent.len() > 1) {
            let Some((_, oldest)) = self.recent.pop_first() else { return };
            self.bytes -= oldest.sequenced.map_or(0, |sequenced| sequenced.size_bytes());
        }
    }
}
