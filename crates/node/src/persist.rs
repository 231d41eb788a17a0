//! Saving a turn: the store and, side by side, the guard file (protocol §7.2). Only when both are durable
//! may anything leave.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use quorate_replica::{Notice, Outbox};
use quorate_storage::{Durability, Store, WriteBatch};
use tokio::time::Instant;

use crate::error::NodeError;
use crate::executor::millis;
use crate::guard_file::{GuardFile, GuardFileError, Record};
use crate::metrics::Metrics;

/// Records that nothing depends on and nobody is told of yet wait for the next sync, as long as they are below
/// this.
const PENDING_BYTES: usize = 4 << 20;

/// How the guard file is written.
#[derive(Debug)]
pub(crate) enum Guard {
    /// Beside the store, by a thread of its own.
    Beside(GuardHandle),
    /// Before the store, by the driver itself.
    Before(GuardFile),
}

/// The driver's end of the guard file's thread.
#[derive(Debug)]
pub(crate) struct GuardHandle {
    batches: SyncSender<(u64, Vec<Record>)>,
    results: Receiver<Result<(), GuardFileError>>,
}

/// The guard file's end.
#[derive(Debug)]
pub(crate) struct GuardThread {
    file: GuardFile,
    batches: Receiver<(u64, Vec<Record>)>,
    results: SyncSender<Result<(), GuardFileError>>,
}

/// Saves turns.
#[derive(Debug)]
pub(crate) struct Persist<S> {
    store: Arc<S>,
    guard: Option<Guard>,
    metrics: Arc<Metrics>,
    /// Records of turns out of which nothing left.
    pending: WriteBatch,
}

/// The two ends of a thread that writes `file`.
pub(crate) fn guard_thread(file: GuardFile) -> (GuardHandle, GuardThread) {
    // One batch at a time: the driver waits for each.
    let (to_file, batches) = sync_channel(1);
    let (results, from_file) = sync_channel(1);
    (GuardHandle { batches: to_file, results: from_file }, GuardThread { file, batches, results })
}

impl GuardThread {
    /// Writes batches until the driver ends, which it does when one fails.
    pub(crate) fn run(mut self) -> Result<(), NodeError> {
        while let Ok((number, records)) = self.batches.recv() {
            if self.results.send(self.file.write(number, &records)).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl<S: Store> Persist<S> {
    pub(crate) fn new(store: Arc<S>, guard: Option<Guard>, metrics: Arc<Metrics>) -> Self {
        Self { store, guard, metrics, pending: WriteBatch::new() }
    }

    /// Makes durable all that the messages in `after` and the jobs in `execute` depend on. `may_sign` is
    /// whether the replica may have signed anything; one that may not needs no guard file.
    ///
    /// # Errors
    /// If a save fails; then nothing may leave, and the node stops.
    pub(crate) fn save(&mut self, out: &mut Outbox, may_sign: bool) -> Result<(), NodeError> {
        self.pending.append(std::mem::take(&mut out.records));
        let guarded = std::mem::take(&mut out.guard);
        let leaves = !out.after.is_empty() || !out.execute.is_empty() || !guarded.is_empty() || out.install.is_some();
        if !leaves {
            // Whoever is told of a certificate looks for it in the store.
            let is_told = out.notices.iter().any(|notice| matches!(notice, Notice::Certified(_)));
            let is_due = is_told || self.pending.size_bytes() > PENDING_BYTES;
            return if is_due { self.write(Durability::Buffered) } else { Ok(()) };
        }
        let began = Instant::now();
        let to_file = self.begin_guard(out.batch, guarded, may_sign)?;
        if !self.pending.is_empty() {
            self.metrics.store_syncs.add(1);
            self.metrics.synced_bytes.add(self.pending.size_bytes() as u64);
            self.write(Durability::Synced)?;
        }
        if to_file {
            self.end_guard()?;
        }
        self.metrics.save_ms.observe(millis(began));
        Ok(())
    }

    /// Makes everything durable that was handed over: the last act of a node that stops.
    ///
    /// # Errors
    /// If the save fails.
    pub(crate) fn flush(&mut self) -> Result<(), NodeError> {
        if self.pending.is_empty() { Ok(()) } else { self.write(Durability::Synced) }
    }

    /// The store.
    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    fn write(&mut self, durability: Durability) -> Result<(), NodeError> {
        Ok(self.store.write(std::mem::take(&mut self.pending), durability)?)
    }

    /// Hands a batch to the guard file's thread; whether there is one to wait for.
    fn begin_guard(&mut self, batch: Option<u64>, records: Vec<Record>, may_sign: bool) -> Result<bool, NodeError> {
        let (Some(number), false) = (batch, records.is_empty()) else { return Ok(false) };
        match &mut self.guard {
            Some(Guard::Before(file)) => {
                file.write(number, &records)?;
                self.metrics.guard_syncs.add(1);
                Ok(false)
            }
            Some(Guard::Beside(guard)) => {
                let gone = guard.batches.send((number, records)).is_err();
                if gone { Err(NodeError::Ended { task: "guard-file" }) } else { Ok(true) }
            }
            None if may_sign => Err(NodeError::Unguarded),
            None => Ok(false),
        }
    }

    fn end_guard(&self) -> Result<(), NodeError> {
        let result = match &self.guard {
            Some(Guard::Beside(guard)) => guard.results.recv().ok(),
            _ => None,
        };
        result.ok_or(NodeError::Ended { task: "guard-file" })??;
        self.metrics.guard_syncs.add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;
    use quorate_replica::{Outgoing, Recipient};
    use quorate_storage::{Family, MemoryStore};
    use quorate_types::execution::{Execution, ExecutionCertificate};
    use quorate_types::ids::{Epoch, Sequence};
    use quorate_types::message::{Message, Request};

    use super::*;
    use crate::guard_file::Found;

    fn outbox(is_guarded: bool, leaves: bool) -> Outbox {
        let mut out = Outbox::default();
        out.records.put(Family::Votes, b"vote", b"1");
        if is_guarded {
            out.guard.push((Family::Votes, b"vote".to_vec(), b"1".to_vec()));
            out.batch = Some(1);
        }
        if leaves {
            let message = Message::Request(Request::Segment(Sequence(1)));
            out.after.push(Outgoing { to: Recipient::All, message });
        }
        out
    }

    fn persist(store: &MemoryStore, guard: Option<Guard>) -> Persist<MemoryStore> {
        Persist::new(Arc::new(store.clone()), guard, Arc::default())
    }

    /// protocol §7.1: what leaves depends on records that are synced, also those of turns before.
    #[test]
    fn records_wait_unsynced_until_something_leaves_and_are_synced_before_it() {
        let store = MemoryStore::new();
        let mut persist = persist(&store, None);
        persist.save(&mut outbox(false, false), true).unwrap();
        assert_eq!(store.counters().writes, 0);
        persist.save(&mut outbox(false, true), true).unwrap();
        assert_eq!((store.counters().writes, store.counters().syncs), (1, 1));
        assert_eq!(store.get(Family::Votes, b"vote").unwrap().unwrap(), b"1");
        persist.save(&mut outbox(false, false), true).unwrap();
        persist.flush().unwrap();
        assert_eq!(store.counters().syncs, 2);
    }

    #[test]
    fn records_that_wait_are_bounded() {
        let store = MemoryStore::new();
        let mut persist = persist(&store, None);
        let mut out = Outbox::default();
        out.records.put(Family::Bundles, b"bundle", vec![0; PENDING_BYTES + 1]);
        persist.save(&mut out, true).unwrap();
        assert_eq!((store.counters().writes, store.counters().syncs), (1, 0));
    }

    #[test]
    fn a_certificate_that_somebody_is_told_of_is_in_the_store() {
        let store = MemoryStore::new();
        let mut persist = persist(&store, None);
        let mut out = outbox(false, false);
        let execution = Execution {
            epoch: Epoch(0),
            sequence: Sequence(1),
            proposal: Digest::ZERO,
            state_root: Digest::ZERO,
            receipts_root: Digest::ZERO,
        };
        out.notices.push(Notice::Certified(Arc::new(ExecutionCertificate { execution, signatures: vec![] })));
        persist.save(&mut out, true).unwrap();
        assert_eq!((store.counters().writes, store.counters().syncs), (1, 0));
    }

    /// protocol §7.2
    #[test]
    fn a_guarded_batch_is_in_the_guard_file_when_the_save_returns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("guard");
        let (handle, thread) = guard_thread(GuardFile::create(&path, [1; 32]).unwrap());
        let thread = std::thread::spawn(move || thread.run());
        let store = MemoryStore::new();
        let mut persist = persist(&store, Some(Guard::Beside(handle)));
        persist.save(&mut outbox(true, true), true).unwrap();
        let Found::Whole(_, Some(batch)) = GuardFile::open(&path, [1; 32]).unwrap() else { panic!() };
        assert_eq!((batch.number, batch.records.len()), (1, 1));
        drop(persist);
        thread.join().unwrap().unwrap();
    }

    /// protocol §7.2, docs/decisions/0009
    #[test]
    fn a_guard_file_without_a_thread_holds_the_batch_when_the_save_returns_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("guard");
        let file = GuardFile::create(&path, [1; 32]).unwrap();
        let store = MemoryStore::new();
        let mut persist = persist(&store, Some(Guard::Before(file)));
        persist.save(&mut outbox(true, true), true).unwrap();
        let Found::Whole(_, Some(batch)) = GuardFile::open(&path, [1; 32]).unwrap() else { panic!() };
        assert_eq!((batch.number, batch.records.len()), (1, 1));
        assert_eq!(store.counters().syncs, 1);
    }

    #[test]
    fn nothing_signed_is_saved_as_if_it_may_leave_without_a_guard_file() {
        let store = MemoryStore::new();
        let error = persist(&store, None).save(&mut outbox(true, true), true).unwrap_err();
        assert!(matches!(error, NodeError::Unguarded));
        assert!(persist(&store, None).save(&mut outbox(true, false), false).is_ok(), "one that signs nothing");
    }

    #[test]
    fn a_failed_sync_is_an_error_and_so_is_every_save_after_it() {
        let store = MemoryStore::new();
        store.fail_next_sync();
        let mut persist = persist(&store, None);
        assert!(matches!(persist.save(&mut outbox(false, true), true), Err(NodeError::Store(_))));
        assert!(matches!(persist.save(&mut outbox(false, true), true), Err(NodeError::Store(_))));
    }
}
