//! Handing the state over (protocol §8.7): snapshots of checkpoints, and chunks out of them.
//!
//! The shell takes a snapshot right after executing each checkpoint's sequence, before the next one, and keeps it
//! here; the first of a process is of what it finds when it starts, whatever sequence that is. Once that sequence is
//! certified it is handed out; the newest one always, the one before for as long as
//! somebody asks for it. So who is in the middle of a transfer isn't left alone by every new checkpoint, and who
//! never comes back holds nothing up.

use quorate_machine::tree;
use quorate_storage::{Snapshot, StateAt, Store, StoreError, TreeAt};
use quorate_types::ids::Sequence;
use quorate_types::limits::CHUNK_BYTES;
use quorate_types::message::{Message, Request};
use quorate_types::snapshot::{Checkpoint, Chunk, Span};

use crate::records::{self, RecordError};

/// A checkpoint that isn't the newest is kept so long after the last question for it.
const KEPT_MS: u64 = 30_000;

/// However often somebody asks, an older checkpoint is kept no longer than this: a snapshot holds the disk space of
/// everything that was changed since.
const KEPT_AT_MOST_MS: u64 = 3_600_000;

/// Snapshots of sequences that aren't certified yet, at most; the oldest go first.
const MAX_UNCERTIFIED: usize = 4;

/// The snapshots held.
#[derive(Debug)]
pub struct Snapshots<N> {
    interval: u64,
    /// What lies at or below is certified: a state there may be handed out.
    certified: Sequence,
    /// By sequence, ascending.
    held: Vec<Held<N>>,
}

#[derive(Debug)]
struct Held<N> {
    sequence: Sequence,
    snapshot: N,
    /// When somebody asked for it, or was told of it, last; 0: never.
    asked_ms: u64,
    /// When it was taken.
    taken_ms: u64,
}

/// What a question leads to.
#[derive(Debug)]
pub enum Handed<N> {
    /// Nothing: it is another kind of question, or nothing can be handed over.
    Nothing,
    /// This answer.
    Answer(Message),
    /// Part of this snapshot, which takes some reading: [`Handed::read`].
    Part(N, Sequence, Span),
}

impl<N: Snapshot> Handed<N> {
    /// The answer, if there is one; part of a snapshot with at most `budget_bytes` of entries, or a single one.
    ///
    /// # Errors
    /// If the snapshot can't be read.
    pub fn read(self, budget_bytes: usize) -> Result<Option<Message>, StoreError> {
        match self {
            Self::Nothing => Ok(None),
            Self::Answer(message) => Ok(Some(message)),
            Self::Part(snapshot, checkpoint, span) => {
                let part = chunk(&snapshot, (checkpoint, span), budget_bytes.min(CHUNK_BYTES))?;
                Ok(Some(Message::Chunk(Box::new(part))))
            }
        }
    }
}

impl<N: Snapshot + Clone> Snapshots<N> {
    /// None yet; every `checkpoint_interval` sequences there is a checkpoint.
    #[must_use]
    pub fn new(checkpoint_interval: u32) -> Self {
        Self { interval: u64::from(checkpoint_interval).max(1), certified: Sequence::ZERO, held: Vec::new() }
    }

    /// Whether the state right after this sequence is to be kept: a checkpoint's, and any where none is held, as after
    /// a start. Who needs it may be the one without whose vote there is no next checkpoint.
    #[must_use]
    pub const fn wants(&self, executed: Sequence) -> bool {
        executed.0 > 0 && (executed.0.is_multiple_of(self.interval) || self.held.is_empty())
    }

    /// Keeps a snapshot of the store right after this sequence; what isn't needed any more goes.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn keep<S: Store>(
        &mut self,
        store: &S,
        (sequence, snapshot): (Sequence, N),
        now_ms: u64,
    ) -> Result<(), RecordError> {
        self.held.retain(|held| held.sequence < sequence);
        self.held.push(Held { sequence, snapshot, asked_ms: 0, taken_ms: now_ms });
        self.tidy(store, now_ms)
    }

    /// Everything held is of a state that isn't this validator's any more.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// The newest certified state stays, of the older ones the one that was asked for last if that was lately, and some
    /// that aren't certified yet.
    fn tidy<S: Store>(&mut self, store: &S, now_ms: u64) -> Result<(), RecordError> {
        let stable = records::stable().read(store)?.unwrap_or_default();
        let certified = records::certified().read(store)?.unwrap_or_default().max(stable);
        self.certified = certified;
        let uncertified = self.held.iter().filter(|held| held.sequence > certified).count();
        if uncertified > MAX_UNCERTIFIED {
            let oldest = self.held.iter().position(|held| held.sequence > certified);
            oldest.map(|at| self.held.remove(at));
        }
        let Some(newest) = self.newest().map(|held| held.sequence) else { return Ok(()) };
        let is_wanted = |held: &&Held<N>| {
            let is_young = now_ms.saturating_sub(held.taken_ms) < KEPT_AT_MOST_MS;
            held.asked_ms > 0 && now_ms.saturating_sub(held.asked_ms) < KEPT_MS && is_young
        };
        let wanted = self.held.iter().filter(|held| held.sequence < newest).filter(is_wanted);
        let before = wanted.max_by_key(|held| held.asked_ms).map(|held| held.sequence);
        self.held.retain(|held| held.sequence >= newest || Some(held.sequence) == before);
        Ok(())
    }

    fn newest(&self) -> Option<&Held<N>> {
        self.held.iter().rev().find(|held| held.sequence <= self.certified)
    }

    /// What follows from a question for a checkpoint, for part of one, or for a stretch of the chain, or of its
    /// execution certificates, that is pruned.
    ///
    /// # Errors
    /// If the store fails or its records are damaged.
    pub fn answer<S: Store>(&mut self, store: &S, request: &Request, now_ms: u64) -> Result<Handed<N>, RecordError> {
        let is_for_it = match *request {
            Request::Checkpoint | Request::Chunk { .. } => true,
            Request::Segment(from) | Request::Execution(from) => {
                from <= records::pruned().read(store)?.unwrap_or_default()
            }
            _ => false,
        };
        if !is_for_it {
            return Ok(Handed::Nothing);
        }
        self.tidy(store, now_ms)?;
        if let Request::Chunk { checkpoint, span } = *request {
            let certified = self.certified;
            let held = self.held.iter_mut().find(|held| held.sequence == checkpoint && checkpoint <= certified);
            if let Some(held) = held {
                held.asked_ms = now_ms.max(1);
                return Ok(Handed::Part(held.snapshot.clone(), checkpoint, span));
            }
        }
        self.checkpoint(store, now_ms)
    }

    /// The newest checkpoint that can be handed over; whoever hears of it may ask for it.
    fn checkpoint<S: Store>(&mut self, store: &S, now_ms: u64) -> Result<Handed<N>, RecordError> {
        let certified = self.certified;
        let newest = self.held.iter_mut().rev().find(|held| held.sequence <= certified);
        let Some(held) = newest else { return Ok(Handed::Nothing) };
        let Some(certificate) = records::execution(held.sequence).read(store)? else { return Ok(Handed::Nothing) };
        let slot = records::proposal(&certificate.execution.proposal);
        let bytes = held.snapshot.get(slot.family(), slot.key())?;
        let Some(proposal) = bytes.map(|bytes| slot.open(&bytes)).transpose()? else { return Ok(Handed::Nothing) };
        held.asked_ms = now_ms.max(1);
        let pruned = records::pruned().read(store)?.unwrap_or_default();
        Ok(Handed::Answer(Message::Checkpoint(Box::new(Checkpoint { certificate, proposal, pruned }))))
    }
}

/// The entries of a snapshot from a place on, as many as fit into a chunk, with the paths of both bounds.
fn chunk<N: Snapshot>(
    snapshot: &N,
    (checkpoint, span): (Sequence, Span),
    budget_bytes: usize,
) -> Result<Chunk, StoreError> {
    let tree = TreeAt(snapshot);
    let (entries, span) = tree::entries(&tree, &StateAt(snapshot), span, budget_bytes)?;
    let (first, last) = (tree::path(&tree, &span.from)?, tree::path(&tree, &span.to)?);
    Ok(Chunk { checkpoint, span, entries, first, last })
}

#[cfg(test)]
mod tests {
    use quorate_storage::{Durability, MemorySnapshot, MemoryStore, WriteBatch};

    use super::*;

    struct Provider {
        store: MemoryStore,
        snapshots: Snapshots<MemorySnapshot>,
    }

    impl Provider {
        fn new() -> Self {
            Self { store: MemoryStore::new(), snapshots: Snapshots::new(4) }
        }

        fn stable(&self, sequence: u64) {
            let mut batch = WriteBatch::new();
            records::stable().put(&mut batch, &Sequence(sequence));
            self.store.write(batch, Durability::Synced).unwrap();
        }

        fn keep(&mut self, sequence: u64, now_ms: u64) {
            let snapshot = self.store.snapshot().unwrap();
            self.snapshots.keep(&self.store, (Sequence(sequence), snapshot), now_ms).unwrap();
        }

        fn hands_over(&mut self, sequence: u64, now_ms: u64) -> bool {
            let asked = Request::Chunk { checkpoint: Sequence(sequence), span: Span::ALL };
            matches!(self.snapshots.answer(&self.store, &asked, now_ms).unwrap(), Handed::Part(..))
        }

        fn held(&self) -> Vec<u64> {
            self.snapshots.held.iter().map(|held| held.sequence.0).collect()
        }
    }

    /// protocol §8.7
    #[test]
    fn the_first_state_and_checkpoints_are_kept_and_only_so_many_that_are_not_certified() {
        let mut provider = Provider::new();
        let wanted = |provider: &Provider| (0..=9).filter(|at| provider.snapshots.wants(Sequence(*at))).collect();
        let first: Vec<u64> = wanted(&provider);
        assert_eq!(first, [1, 2, 3, 4, 5, 6, 7, 8, 9], "whatever is found at the start");
        provider.keep(3, 1);
        let then: Vec<u64> = wanted(&provider);
        assert_eq!(then, [4, 8]);
        (1..=9).for_each(|at| provider.keep(4 * at, at));
        assert_eq!(provider.held(), [24, 28, 32, 36]);
        assert!(!provider.hands_over(36, 10), "it isn't certified");
    }

    /// protocol §8.7: who is behind may be needed for the next checkpoint.
    #[test]
    fn the_state_found_at_a_start_is_handed_over_once_its_sequence_is_certified() {
        let mut provider = Provider::new();
        provider.keep(5, 1);
        provider.stable(4);
        assert!(!provider.hands_over(5, 2));
        let mut batch = WriteBatch::new();
        records::certified().put(&mut batch, &Sequence(5));
        provider.store.write(batch, Durability::Synced).unwrap();
        assert!(provider.hands_over(5, 3));
    }

    /// protocol §8.7
    #[test]
    fn an_older_checkpoint_is_kept_while_somebody_asks_and_not_for_ever() {
        let mut provider = Provider::new();
        provider.keep(4, 1);
        provider.stable(4);
        assert!(provider.hands_over(4, 2));
        provider.keep(8, 3);
        provider.stable(8);
        assert!(provider.hands_over(4, KEPT_MS) && provider.hands_over(8, KEPT_MS));
        assert!(provider.hands_over(4, 2 * KEPT_MS - 1), "asked for again in time");
        assert!(!provider.hands_over(4, 3 * KEPT_MS - 1), "nobody asked for a while");
        assert!(provider.hands_over(8, 3 * KEPT_MS - 1));
        provider.keep(12, 3 * KEPT_MS);
        provider.stable(12);
        let mut now_ms = 3 * KEPT_MS;
        while provider.hands_over(8, now_ms) {
            assert!(now_ms <= KEPT_AT_MOST_MS + KEPT_MS, "one peer must not hold it for ever");
            now_ms += KEPT_MS / 2;
        }
        assert!(now_ms >= KEPT_AT_MOST_MS);
        assert_eq!(provider.held(), [12]);
    }
}
