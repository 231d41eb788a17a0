//! The new state takes the place of the old (protocol §8.7).
//!
//! The state may be far larger than memory, so it takes many batches. From the record [`records::installing`] on,
//! which is durable before the first of them, the state in the store is nobody's: it isn't read, executed on or
//! handed over; and a crash on the way is followed by the same work from its beginning, before anything else.
//! The last batch puts all marks right and removes that record, together.

use quorate_dag::Point;
use quorate_machine::{restore, tree};
use quorate_storage::{Durability, Family, StateOf, Store, StoreError, TreeOf, WriteBatch};
use quorate_types::codec::{Canonical, DecodeError, Reader};
use quorate_types::entity::{ENTITIES, Entity};
use quorate_types::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex};
use quorate_types::limits::MAX_VALIDATORS;
use quorate_types::snapshot::{Entry, LOWEST};
use quorate_types::sparse::Leaf;

use super::marks::{DIFFERENCE_BYTES, Difference, Divergence, MAX_DIFFERENCES, TransferMark};
use crate::records::{self, Delivered, ExecutedMark, RecordError, Slot};
use crate::standing::Ended;

/// Entries that one batch deletes or writes.
const BATCH: usize = 512;

/// Why a state can't be put in place: a local fault, the validator stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The store can't be read, or its records are damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record of the transfer is gone.
    #[error("the store lacks the transfer whose state is being put in place at {0}")]
    NoTransfer(Sequence),
    /// What was received, each chunk of it proven, isn't the certified state any more.
    #[error("the state received for checkpoint {0} was damaged in the store")]
    Damaged(Sequence),
}

impl From<StoreError> for InstallError {
    fn from(error: StoreError) -> Self {
        Self::Record(error.into())
    }
}

/// Putting a state in place: batch after batch, each to be written before the next is asked for.
#[derive(Debug)]
pub struct Installation {
    mark: TransferMark,
    stage: Stage,
    /// The upper part of the new tree.
    tree: tree::Cache,
}

#[derive(Debug)]
enum Stage {
    /// The own state is compared with the certified one, before it goes.
    Compare(Box<Divergence>),
    /// The old entries of this family go, from this key on.
    Clear(Family, Vec<u8>),
    /// The new ones come, from this key of what was received on.
    Fill(Vec<u8>),
    /// Root and marks.
    Finish,
    Done,
}

impl Installation {
    /// The one that is to be carried out now; `None` if there is none.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn of<S: Store>(store: &S) -> Result<Option<Self>, InstallError> {
        let Some(checkpoint) = records::installing().read(store)? else { return Ok(None) };
        let mark = records::transfer().read(store)?.filter(|mark| mark.checkpoint.sequence() == checkpoint);
        let mark = mark.ok_or(InstallError::NoTransfer(checkpoint))?;
        let unseen = records::divergence().read(store)?.filter(|divergence| !divergence.is_compared);
        let stage = unseen.map_or(Stage::Clear(Family::State, Vec::new()), |unseen| Stage::Compare(Box::new(unseen)));
        Ok(Some(Self { mark, stage, tree: tree::Cache::default() }))
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Sequence {
        self.mark.checkpoint.sequence()
    }

    /// The next batch; `None` when all is done.
    ///
    /// # Errors
    /// If the store can't be read, or doesn't hold what was received.
    pub fn next<S: Store>(&mut self, store: &S) -> Result<Option<(WriteBatch, Durability)>, InstallError> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Compare(divergence) => {
                    self.stage = Stage::Clear(Family::State, Vec::new());
                    let mut batch = WriteBatch::new();
                    records::divergence().put(&mut batch, &self.compare(store, *divergence)?);
                    return Ok(Some((batch, Durability::Buffered)));
                }
                Stage::Clear(family, mut from) => {
                    let mut batch = WriteBatch::new();
                    // Each goes on behind the one before: what was deleted still lies there for a while.
                    let is_more = delete_from(store, family, (&mut from, &[]), &mut batch)?;
                    self.stage = match (is_more, family) {
                        (true, _) => Stage::Clear(family, from),
                        (false, Family::State) => Stage::Clear(Family::Tree, Vec::new()),
                        _ => Stage::Fill(records::incoming(self.checkpoint(), &LOWEST).key().to_vec()),
                    };
                    if !batch.is_empty() {
                        return Ok(Some((batch, Durability::Buffered)));
                    }
                }
                Stage::Fill(from) => {
                    let (batch, next) = self.fill(store, &from)?;
                    self.stage = next.map_or(Stage::Finish, Stage::Fill);
                    if !batch.is_empty() {
                        return Ok(Some((batch, Durability::Buffered)));
                    }
                }
                Stage::Finish => return Ok(Some((self.finish(store)?, Durability::Synced))),
                Stage::Done => return Ok(None),
            }
        }
    }

    /// Some of what was received, from a key on: into state and tree.
    fn fill<S: Store>(&mut self, store: &S, from: &[u8]) -> Result<(WriteBatch, Option<Vec<u8>>), InstallError> {
        let mut batch = WriteBatch::new();
        let entries = received(store, self.checkpoint(), from)?;
        let next = entries.get(BATCH - 1).map(|(key, _)| [key, &[0][..]].concat());
        for (_, Entry { key, value }) in &entries {
            restore::put(key, value, &mut batch)?;
        }
        let changes = entries.iter().map(|(_, Entry { key, value })| tree::Change::put(key, value));
        batch.append(tree::update(&TreeOf(store), &mut self.tree, changes)?.writes);
        Ok((batch, next))
    }

    /// The whole root once more, and all marks.
    fn finish<S: Store>(&self, store: &S) -> Result<WriteBatch, InstallError> {
        let certificate = &self.mark.checkpoint.certificate;
        let (sequence, proposal) = (self.checkpoint(), &self.mark.checkpoint.proposal);
        if tree::root(&TreeOf(store))? != certificate.execution.state_root {
            return Err(InstallError::Damaged(sequence));
        }
        let mut batch = WriteBatch::new();
        let points = points(store)?.ok_or(InstallError::Damaged(sequence))?;
        let digest = certificate.execution.proposal;
        let link = quorate_consensus::Link { sequence, digest, time: proposal.time };
        let before = records::delivered().read(store)?;
        if before.as_ref().is_none_or(|before| before.link.sequence < sequence) {
            forget_skipped(store, before.as_ref(), (&points, proposal.epoch), &mut batch)?;
            records::delivered().put(&mut batch, &Delivered { link, points: points.clone() });
        }
        let mark = ExecutedMark { execution: certificate.execution, time: proposal.time, points };
        records::executed().put(&mut batch, &mark);
        records::proposal(&digest).put(&mut batch, proposal);
        records::committed(sequence).put(&mut batch, &digest);
        records::execution(sequence).put(&mut batch, certificate);
        for slot in [records::stable(), records::certified()] {
            let highest = slot.read(store)?.unwrap_or_default().max(sequence);
            slot.put(&mut batch, &highest);
        }
        self.forget_wrong(store, &mut batch)?;
        let pruned = records::pruned().read(store)?.unwrap_or_default();
        if pruned < sequence {
            let swept = records::swept().read(store)?.unwrap_or(pruned);
            records::swept().put(&mut batch, &swept);
            records::pruned().put(&mut batch, &sequence);
        }
        delete(&mut batch, &records::transfer());
        delete(&mut batch, &records::installing());
        Ok(batch)
    }

    /// protocol §8.2: results and receipts from the first wrong sequence on, and that signing had ended for it. What
    /// was signed stays, the wrong execution votes among it.
    fn forget_wrong<S: Store>(&self, store: &S, batch: &mut WriteBatch) -> Result<(), InstallError> {
        // What else has ended signing stays.
        if let Some(Ended::Diverged(_)) = records::ended().read(store)? {
            delete(batch, &records::ended());
        }
        let Some(first) = records::wrong_from().read(store)? else { return Ok(()) };
        delete(batch, &records::wrong_from());
        let executed = records::executed().read(store)?.map_or(Sequence::ZERO, |mark| mark.execution.sequence);
        let mut at = first;
        while at <= executed {
            delete(batch, &records::result(at));
            for receipt in records::receipts_at(store, at)? {
                delete(batch, &records::receipt(at, receipt.index));
                delete(batch, &records::place(&receipt.operation));
            }
            at = at.next();
        }
        Ok(())
    }

    /// Which entities differ although neither state has changed them since the results differed first: what the
    /// divergence began with. One that execution has changed since says nothing.
    fn compare<S: Store>(&self, store: &S, mut divergence: Divergence) -> Result<Divergence, InstallError> {
        divergence.is_compared = true;
        let until = divergence.sequence;
        let is_old = |value: Option<&[u8]>| match value.map(Entity::from_bytes) {
            Some(Ok(entity)) => entity.header.changed <= until,
            Some(Err(_)) | None => true,
        };
        let mut note = |key: &[u8], own: Option<&[u8]>, certified: Option<&[u8]>| {
            let is_shown = key.starts_with(ENTITIES) && own != certified && is_old(own) && is_old(certified);
            if is_shown && divergence.differences.len() < MAX_DIFFERENCES {
                let cut = |value: &[u8]| value[..value.len().min(DIFFERENCE_BYTES)].to_vec();
                let (own, certified) = (own.map(cut), certified.map(cut));
                divergence.differences.push(Difference { key: key.to_vec(), own, certified });
            }
        };
        let mut from = ENTITIES.to_vec();
        loop {
            let entries = store.scan(Family::State, &from, b"f", BATCH)?;
            for (key, own) in &entries {
                let place = Leaf::of(key, &[]).key;
                let certified = records::incoming(self.checkpoint(), &place).read(store)?;
                note(key, Some(own), certified.as_ref().map(|entry| &entry.value[..]));
            }
            let Some((last, _)) = entries.get(BATCH - 1) else { break };
            from = [last, &[0][..]].concat();
        }
        let mut from = records::incoming(self.checkpoint(), &LOWEST).key().to_vec();
        loop {
            let entries = received(store, self.checkpoint(), &from)?;
            for (_, Entry { key, value }) in &entries {
                if store.get(Family::State, key)?.is_none() {
                    note(key, None, Some(value));
                }
            }
            let Some((last, _)) = entries.get(BATCH - 1) else { break };
            from = [last, &[0][..]].concat();
        }
        Ok(divergence)
    }
}

/// The bundles that were held above the lanes' old tips and lie below the new ones: nothing leads to them any more.
fn forget_skipped<S: Store>(
    store: &S,
    before: Option<&Delivered>,
    (points, epoch): (&[Point], Epoch),
    batch: &mut WriteBatch,
) -> Result<(), InstallError> {
    for (lane, point) in (0u16..).map(ValidatorIndex).zip(points) {
        let held = before.and_then(|before| before.points.get(lane.position()));
        let from = held.map_or(BundleNumber::ZERO, |held| held.number).next();
        records::bundles_between(store, epoch, lane, (from, point.number), |key| batch.delete(Family::Bundles, key))?;
    }
    Ok(())
}

/// Carries out what is to be carried out, if anything is; gives the checkpoint.
///
/// # Errors
/// If the store fails, or doesn't hold what was received.
pub fn install<S: Store>(store: &S) -> Result<Option<Sequence>, InstallError> {
    let Some(mut installation) = Installation::of(store)? else { return Ok(None) };
    while let Some((batch, durability)) = installation.next(store)? {
        store.write(batch, durability)?;
    }
    Ok(Some(installation.checkpoint()))
}

/// Deletes what was received for transfers that are over, some at a time.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    from: Vec<u8>,
}

impl Sweep {
    /// The next deletions; empty if there is nothing left.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn next<S: Store>(&mut self, store: &S) -> Result<WriteBatch, RecordError> {
        let mut batch = WriteBatch::new();
        let current = records::transfer().read(store)?.map(|mark| mark.checkpoint.sequence());
        let is_more = match current {
            None => delete_from(store, Family::Incoming, (&mut self.from, &[]), &mut batch)?,
            Some(current) => {
                let kept = records::incoming(current, &LOWEST);
                let behind = records::incoming(current.next(), &LOWEST);
                let is_more = self.from[..] < *kept.key()
                    && delete_from(store, Family::Incoming, (&mut self.from, kept.key()), &mut batch)?;
                if !is_more {
                    self.from = self.from.clone().max(behind.key().to_vec());
                }
                is_more || delete_from(store, Family::Incoming, (&mut self.from, &[]), &mut batch)?
            }
        };
        if !is_more {
            self.from.clear();
        }
        Ok(batch)
    }
}

/// Adds the deletion of some entries from a key on, and moves that behind them; whether there may be more.
fn delete_from<S: Store>(
    store: &S,
    family: Family,
    (from, to): (&mut Vec<u8>, &[u8]),
    batch: &mut WriteBatch,
) -> Result<bool, StoreError> {
    let entries = store.scan(family, from, to, BATCH)?;
    entries.iter().for_each(|(key, _)| batch.delete(family, key));
    let Some((last, _)) = entries.get(BATCH - 1) else { return Ok(false) };
    *from = [last, &[0][..]].concat();
    Ok(true)
}

/// What was received for a checkpoint, from a key on, at most [`BATCH`] entries, each with its key in the store.
fn received<S: Store>(store: &S, checkpoint: Sequence, from: &[u8]) -> Result<Vec<(Vec<u8>, Entry)>, InstallError> {
    let end = records::incoming(checkpoint.next(), &LOWEST);
    let entries = store.scan(Family::Incoming, from, end.key(), BATCH)?;
    let read = |(key, bytes): (Vec<u8>, Vec<u8>)| Ok((key, end.open(&bytes)?));
    entries.into_iter().map(read).collect()
}

/// The lanes' tips in the state that is in place; `None` if they can't be read.
fn points<S: Store>(store: &S) -> Result<Option<Vec<Point>>, InstallError> {
    let Some(bytes) = restore::tips(&StateOf(store))? else { return Ok(None) };
    let read = |bytes: &[u8]| -> Result<Vec<Point>, DecodeError> {
        let mut input = Reader::new(bytes);
        let points = input.list(MAX_VALIDATORS, "lane tips of the state")?;
        input.finish()?;
        Ok(points)
    };
    Ok(read(&bytes).ok())
}

fn delete<T: Canonical>(batch: &mut WriteBatch, slot: &Slot<T>) {
    batch.delete(slot.family(), slot.key());
}
