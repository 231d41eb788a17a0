//! The state tree: keeps the sparse Merkle tree of `quorate_proof::sparse` over the replicated state
//! (data-model §4.7).
//!
//! [`update`] applies what one sequence changed, all at once and in the order of keys, so that what many
//! changes share is hashed and written once. Only the present tree is kept: whoever needs the tree of
//! another moment reads from a snapshot of the store, in which it lies beside the state that it is over.
//!
//! Beside the pages lies, for each entry, its key under the key's digest (`names`): whoever hands the state over
//! goes through it in the order of the tree (protocol §8.7).
//!
//! What holds:
//! * The root follows from the entries alone.
//! * A page that is there stands for two entries or more; only the root's is always there.
//! * The [`Cache`] holds pages near the root exactly as the store does after the last update was written.
//!   One of another root is dropped.

mod names;
mod page;

use std::collections::BTreeMap;

use quorate_crypto::{Digest, sha256};
use quorate_proof::sparse::{self, Leaf, SparsePath};
use quorate_storage::{Change as Write, Family, Key, StateReader, StoreError, WriteBatch};
use quorate_types::codec::Canonical;

use crate::keys;

pub use self::names::entries;
use self::page::{PAGE_BITS, Page, SLOTS, Slot, key_of, slot_of};

/// Pages whose top is above this depth are kept in memory: at most 21,845 of them, some 8 MB.
const CACHED_BITS: usize = 16;

/// Pages near the root, from one update to the next.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// The root of the tree that they are of.
    root: Option<Digest>,
    pages: BTreeMap<Key, Page>,
}

/// What an update gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The root afterwards.
    pub root: Digest,
    /// The pages and names to write and delete, in [`Family::Tree`].
    pub writes: WriteBatch,
}

/// The changes that writes to the state are for its tree: all but those of the operation index, which
/// follows from the lists of what executed (data-model §4.7).
pub fn changes(writes: &WriteBatch) -> impl Iterator<Item = Change> + '_ {
    writes.changes().filter_map(|change| match change {
        Write::Put { family: Family::State, key, value } if is_covered(key) => Some(Change::put(key, value)),
        Write::Delete { family: Family::State, key } if is_covered(key) => Some(Change::delete(key)),
        _ => None,
    })
}

/// Whether an entry of the state has a leaf of its own.
#[must_use]
pub fn is_covered(key: &[u8]) -> bool {
    !key.starts_with(keys::INDEX)
}

/// A changed entry.
#[derive(Clone, Debug)]
pub struct Change {
    /// The digest of its key.
    place: Digest,
    /// Its key.
    name: Key,
    /// Its new value's digest, or nothing if it is gone.
    value: Option<Digest>,
}

impl Change {
    /// An entry has this value now.
    #[must_use]
    pub fn put(key: &[u8], value: &[u8]) -> Self {
        Self { place: sha256(&[key]), name: key.into(), value: Some(sha256(&[value])) }
    }

    /// An entry is gone.
    #[must_use]
    pub fn delete(key: &[u8]) -> Self {
        Self { place: sha256(&[key]), name: key.into(), value: None }
    }
}

/// Applies changes to the tree behind `reader`. Of two to one key the later wins.
///
/// # Errors
/// If the tree can't be read, or isn't whole.
pub fn update<R: StateReader>(
    reader: &R,
    cache: &mut Cache,
    changes: impl IntoIterator<Item = Change>,
) -> Result<Updated, StoreError> {
    let changes: BTreeMap<Digest, Change> = changes.into_iter().map(|change| (change.place, change)).collect();
    let changes: Vec<Change> = changes.into_values().collect();
    let top = read_page(reader, &root_key())?.unwrap_or(Page::EMPTY);
    let before = top.summary().digest();
    if cache.root != Some(before) {
        cache.pages.clear();
    }
    // Until the update has succeeded, nothing is known of the cache.
    cache.root = None;
    let mut update = Update { reader, cache, writes: WriteBatch::new() };
    let root = update.settle(0, root_key(), top, &changes)?.digest();
    let writes = update.writes;
    cache.root = Some(root);
    Ok(Updated { root, writes })
}

/// The root of the tree behind `reader`.
///
/// # Errors
/// If the tree can't be read.
pub fn root<R: StateReader>(reader: &R) -> Result<Digest, StoreError> {
    Ok(read_page(reader, &root_key())?.unwrap_or(Page::EMPTY).summary().digest())
}

/// The path to where `key` stands, or would stand.
///
/// # Errors
/// If the tree can't be read, or isn't whole.
pub fn path<R: StateReader>(reader: &R, key: &Digest) -> Result<SparsePath, StoreError> {
    let mut page = read_page(reader, &root_key())?.unwrap_or(Page::EMPTY);
    let mut siblings = Vec::new();
    for depth in (0..sparse::BITS).step_by(PAGE_BITS) {
        let (beside, end) = page.path(slot_of(key, depth));
        let passed = beside.len();
        siblings.extend(beside);
        match end {
            Slot::Empty => return Ok(SparsePath { end: None, siblings }),
            Slot::Leaf(leaf) => return Ok(SparsePath { end: Some(leaf), siblings }),
            Slot::Page(_) if passed == PAGE_BITS => {
                let below = key_of(key, depth + PAGE_BITS);
                page = read_page(reader, &below)?.ok_or_else(|| missing(&below))?;
            }
            Slot::Page(_) => return Err(missing(&key_of(key, depth))),
        }
    }
    Err(missing(&key_of(key, sparse::BITS - PAGE_BITS)))
}

fn root_key() -> Key {
    key_of(&Digest::ZERO, 0)
}

fn read_page<R: StateReader>(reader: &R, key: &Key) -> Result<Option<Page>, StoreError> {
    let bytes = reader.read(key)?;
    bytes.map(|bytes| Page::from_bytes(&bytes).map_err(|_| missing(key))).transpose()
}

/// The tree lacks a page, or holds what this code never wrote.
fn missing(key: &[u8]) -> StoreError {
    StoreError::Corrupt { family: Family::Tree, key: key.to_vec() }
}

/// An update on its way.
struct Update<'a, R> {
    reader: &'a R,
    cache: &'a mut Cache,
    writes: WriteBatch,
}

impl<R: StateReader> Update<'_, R> {
    /// Applies changes, sorted and of keys below the page's top, to a page that is there.
    fn descend(&mut self, depth: usize, changes: &[Change]) -> Result<Slot, StoreError> {
        let key = key_of(&changes[0].place, depth);
        let cached = if depth < CACHED_BITS { self.cache.pages.get(&key).cloned() } else { None };
        let page = match cached {
            Some(page) => page,
            None => read_page(self.reader, &key)?.ok_or_else(|| missing(&key))?,
        };
        self.settle(depth, key, page, changes)
    }

    /// Makes the subtree of some entries, sorted, where there was none.
    fn plant(&mut self, depth: usize, leaves: &[Leaf]) -> Slot {
        let first = match leaves {
            [] => return Slot::Empty,
            [leaf] => return Slot::Leaf(*leaf),
            [first, ..] => first,
        };
        let (mut page, mut rest) = (Page::EMPTY, leaves);
        for slot in 0..SLOTS {
            let (here, after) = rest.split_at(rest.partition_point(|leaf| slot_of(&leaf.key, depth) <= slot));
            rest = after;
            page.slots[slot] = self.plant(depth + PAGE_BITS, here);
        }
        self.keep(depth, key_of(&first.key, depth), page, true)
    }

    /// Applies changes to a page, keeps what it has become, and says what stands for it above.
    fn settle(&mut self, depth: usize, key: Key, mut page: Page, changes: &[Change]) -> Result<Slot, StoreError> {
        let before = page.clone();
        let mut rest = changes;
        for slot in 0..SLOTS {
            let end = rest.partition_point(|change| slot_of(&change.place, depth) <= slot);
            let (here, after) = rest.split_at(end);
            rest = after;
            if !here.is_empty() {
                page.slots[slot] = self.change(depth + PAGE_BITS, page.slots[slot], here)?;
            }
        }
        let is_new = page != before;
        Ok(self.keep(depth, key, page, is_new))
    }

    /// Keeps a page, or deletes one that isn't needed any more.
    fn keep(&mut self, depth: usize, key: Key, page: Page, is_new: bool) -> Slot {
        let summary = page.summary();
        if depth == 0 || matches!(summary, Slot::Page(_)) {
            if is_new {
                self.writes.put_with(Family::Tree, &key, |out| page.encode(out));
            }
            if 0 < depth && depth < CACHED_BITS {
                self.cache.pages.insert(key, page);
            }
        } else {
            self.writes.delete(Family::Tree, &key);
            self.cache.pages.remove(&key);
        }
        summary
    }

    /// Applies changes to what stands in a slot.
    fn change(&mut self, depth: usize, slot: Slot, changes: &[Change]) -> Result<Slot, StoreError> {
        let before = match slot {
            Slot::Page(_) => return self.descend(depth, changes),
            Slot::Leaf(leaf) => Some(leaf),
            Slot::Empty => None,
        };
        let mut leaves: Vec<Leaf> = Vec::with_capacity(changes.len() + 1);
        for change in changes {
            let was_there = before.is_some_and(|before| before.key == change.place);
            match change.value {
                Some(value) => leaves.push(Leaf { key: change.place, value }),
                None if was_there => self.writes.delete(Family::Tree, names::key_of(&change.place)),
                None => {}
            }
            if change.value.is_some() && !was_there {
                self.writes.put(Family::Tree, names::key_of(&change.place), &change.name);
            }
        }
        let is_changed = |leaf: &Leaf| changes.binary_search_by_key(&leaf.key, |change| change.place).is_ok();
        if let Some(kept) = before.filter(|leaf| !is_changed(leaf)) {
            leaves.insert(leaves.partition_point(|other| other.key < kept.key), kept);
        }
        Ok(self.plant(depth, &leaves))
    }
}

#[cfg(test)]
mod tests;
