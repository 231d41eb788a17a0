//! One validator's shell: the turn of docs/decisions/0006 with a disk that can lose what wasn't synced.
//!
//! A turn drains the inbox into the replica and ends with [`Event::Turn`]; then the records are written, and
//! become durable a moment later, together with the guard file; only then `after` is sent and jobs are
//! executed. Between any two of these the process may die.

use std::collections::VecDeque;

use quorate_replica::machine::tree::Cache;
use quorate_replica::transfer::{Installation, Snapshots, install};
use quorate_replica::{
    Event, ExecutionJob, GuardFile, Notice, Outgoing, RecoverError, Replica, Report, Setup, create_store, epochs,
    guard_file_to_write, recover,
};
use quorate_storage::{Durability, Image, MemorySnapshot, MemoryStore, Store, StoreError, WriteBatch};
use quorate_types::verified::Context;

use super::cast::Cast;
use super::clock::Clock;
use super::invariants::Place;

/// A turn whose records are on their way to the disk.
#[derive(Debug)]
pub(super) struct Saving {
    /// Visible to readers only once they are durable, as in a store with a write-ahead log.
    pub(super) records: WriteBatch,
    pub(super) guard_file: Option<GuardFile>,
    pub(super) after: Vec<Outgoing>,
    pub(super) execute: Vec<ExecutionJob>,
    /// A state is here and is to be put in place.
    pub(super) installs: bool,
    /// The replica is to be built anew.
    pub(super) enters: bool,
    /// Clients and people hear only of what is durable.
    pub(super) notices: Vec<Notice>,
}

/// A validator's machine: the process, when there is one, and what survives it.
#[derive(Debug)]
pub(super) struct Host {
    /// Its index among the machines.
    pub(super) id: u16,
    /// The validator that it is; two machines may be one.
    pub(super) me: u16,
    pub(super) store: MemoryStore,
    pub(super) guard_file: Option<GuardFile>,
    pub(super) clock: Clock,
    /// The process.
    pub(super) replica: Option<Replica>,
    /// Counts processes: what was meant for an earlier one is dropped.
    pub(super) generation: u64,
    pub(super) inbox: Vec<Event>,
    pub(super) saving: Option<Saving>,
    pub(super) jobs: VecDeque<ExecutionJob>,
    /// What the execution thread remembers of the state tree.
    pub(super) tree: Cache,
    pub(super) is_executing: bool,
    /// Checkpoints that it can hand over.
    pub(super) snapshots: Snapshots<MemorySnapshot>,
    /// A new state on its way into its place.
    pub(super) installation: Option<Installation>,
    /// When the next turn is planned.
    pub(super) turn_us: Option<u64>,
    pub(super) paused_until_us: u64,
    pub(super) sync_max_us: u64,
    /// How often a store was made here, or another nonce taken: it differs each time.
    incarnations: u64,
    /// The epoch that the process is in.
    pub(super) context: Context,
    /// The disk has no space.
    pub(super) is_full: bool,
    /// The disk says that it has synced, and has not.
    pub(super) is_lying: bool,
    /// A stored bit has flipped.
    pub(super) is_damaged: bool,
    /// The operator's last copy of store and guard file; the first is what `init` made.
    pub(super) backup: Option<(Image, Option<GuardFile>)>,
    /// Batches written since the last sync: they become durable with the next one.
    pub(super) unsynced: Vec<WriteBatch>,
}

impl Host {
    /// A machine with a store as `init` makes it.
    pub(super) fn new(cast: &Cast, (id, me): (u16, u16), sync_max_us: u64) -> Result<Self, StoreError> {
        let mut host = Self {
            id,
            me,
            store: MemoryStore::new(),
            guard_file: None,
            clock: Clock::default(),
            replica: None,
            generation: 0,
            inbox: Vec::new(),
            saving: None,
            jobs: VecDeque::new(),
            tree: Cache::default(),
            is_executing: false,
            snapshots: Snapshots::new(cast.context.parameters.checkpoint_interval),
            installation: None,
            turn_us: None,
            paused_until_us: 0,
            sync_max_us,
            incarnations: 0,
            context: cast.context.clone(),
            is_full: false,
            is_lying: false,
            is_damaged: false,
            backup: None,
            unsynced: Vec::new(),
        };
        host.init(cast)?;
        host.backup = Some((host.store.image(), host.guard_file.clone()));
        Ok(host)
    }

    /// Makes store and guard file; the first time with the nonce that the cluster knows.
    pub(super) fn init(&mut self, cast: &Cast) -> Result<(), StoreError> {
        let nonce = self.next_nonce();
        self.guard_file = Some(GuardFile::default());
        self.store.write(create_store(cast.context.cluster, nonce), Durability::Synced)
    }

    /// A nonce that no store here had; the first is the one that the cluster knows.
    fn next_nonce(&mut self) -> [u8; 32] {
        let mut nonce = Cast::incarnation(self.me);
        if self.incarnations > 0 {
            nonce[..8].copy_from_slice(&self.incarnations.to_be_bytes());
        }
        self.incarnations += 1;
        nonce
    }

    /// Starts a process on what the disk holds, in the epoch that it has reached.
    pub(super) fn start(&mut self, cast: &Cast, now_us: u64) -> Result<(), RecoverError> {
        self.clock.started_us = now_us;
        let key = cast.key(self.me);
        // Before anything reads the state (protocol §8.7).
        install(&self.store)?;
        self.context = epochs::current(&self.store, &cast.context, &key.public())?;
        let me = self.context.set.place_of(&key.public());
        let fresh = self.next_nonce();
        let setup = Setup { context: self.context.clone(), me, key, fresh };
        let replica = recover(&self.store, self.guard_file.as_ref(), setup, self.clock.now(now_us))?;
        if replica.is_new_incarnation() {
            self.guard_file = Some(GuardFile::default());
        }
        if let Some(file) = &self.guard_file
            && !replica.standing().is_quarantined()
            && let Some(missing) = guard_file_to_write(&self.store, file, &self.context, me)?
        {
            self.guard_file = Some(missing);
        }
        self.generation += 1;
        self.replica = Some(replica);
        Ok(())
    }

    /// The process dies; of what wasn't synced the first `keep` batches survive, and the guard file's last
    /// version if `guard_survives`.
    pub(super) fn crash(&mut self, keep: usize, guard_survives: bool) {
        self.replica = None;
        self.generation += 1;
        self.inbox.clear();
        self.jobs.clear();
        self.tree = Cache::default();
        self.is_executing = false;
        self.snapshots.clear();
        self.installation = None;
        self.turn_us = None;
        self.unsynced.clear();
        if let Some(Saving { records, guard_file, .. }) = self.saving.take() {
            // What was on its way may have arrived, unless the disk has no space or the write is what failed.
            if !self.is_full && !records.is_empty() {
                let written = self.store.write(records, Durability::Buffered);
                debug_assert!(written.is_ok(), "a failed write is never on its way any more");
            }
            if guard_survives && guard_file.is_some() {
                self.guard_file = guard_file;
            }
        }
        let acknowledged = if self.is_lying { 0 } else { keep };
        self.store.crash(acknowledged);
        self.is_lying = false;
        self.store.set_full(self.is_full);
    }

    /// The process ends, with everything that it has written, to begin anew on it: in another epoch, or as another
    /// incarnation.
    pub(super) fn end(&mut self) {
        self.replica = None;
        self.generation += 1;
        self.inbox.clear();
        self.jobs.clear();
        self.tree = Cache::default();
        self.is_executing = false;
        self.snapshots.clear();
        self.installation = None;
        self.turn_us = None;
    }

    /// Batches that a crash would find unsynced, the one on its way included.
    pub(super) fn unsynced_batches(&self) -> Vec<WriteBatch> {
        let saving = self.saving.iter().filter(|saving| !self.is_full && !saving.records.is_empty());
        let saving = saving.map(|saving| saving.records.clone());
        self.unsynced.iter().cloned().chain(saving).collect()
    }

    /// Whether a process runs.
    pub(super) const fn is_up(&self) -> bool {
        self.replica.is_some()
    }

    /// Where the process stands; where it isn't, nowhere.
    pub(super) fn place(&self) -> Place {
        self.replica.as_ref().map(|replica| place_of(&replica.report())).unwrap_or_default()
    }
}

/// Where a replica stands by its own report.
pub(crate) fn place_of(report: &Report) -> Place {
    Place {
        epoch: report.epoch,
        view: report.view,
        primary: Some(report.primary.0),
        is_active: report.is_active,
        stable: report.stable,
        committed: report.committed,
        executed: report.executed,
        signs: report.standing.signs(),
        is_quarantined: report.standing.is_quarantined(),
        held: Some(report.held),
        execution_votes: report.execution_votes,
    }
}
