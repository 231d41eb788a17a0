//! Pages: how the nodes of the state tree lie in the store.
//!
//! A page stands for a subtree with two entries or more (the root's for any number) and shows what is
//! [`PAGE_BITS`] below its top: in each slot nothing, the only entry there, or the digest of a subtree that
//! has a page of its own. What lies between is hashed when it is needed.

use quorate_crypto::Digest;
use quorate_proof::sparse::{self, Leaf};
use quorate_storage::Key;
use quorate_types::codec::{Canonical, DecodeError, Reader};

/// Levels of the tree that one page spans. Small pages make less to hash and to write for each change,
/// large ones make fewer of them; measured in docs/performance.md.
pub(super) const PAGE_BITS: usize = 2;

/// Slots of a page.
pub(super) const SLOTS: usize = 1 << PAGE_BITS;

/// What stands in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// No entry.
    Empty,
    /// One entry.
    Leaf(Leaf),
    /// Two or more, in a page below.
    Page(Digest),
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) slots: [Slot; SLOTS],
}

impl Page {
    pub(super) const EMPTY: Self = Self { slots: [Slot::Empty; SLOTS] };

    /// What stands for this page in the one above: a single entry needs no page.
    pub(super) fn summary(&self) -> Slot {
        summary(&self.slots)
    }

    /// The siblings on the way from the page's top to a slot, from the top down, and the slot where the way
    /// ends: higher up than the bottom if an entry, or nothing, stands alone there.
    pub(super) fn path(&self, slot: usize) -> (Vec<Option<Digest>>, Slot) {
        let (mut span, mut at, mut siblings) = (&self.slots[..], slot, Vec::new());
        loop {
            let whole = summary(span);
            if span.len() == 1 || !matches!(whole, Slot::Page(_)) {
                return (siblings, whole);
            }
            let (left, right) = span.split_at(span.len() / 2);
            let goes_right = at >= left.len();
            let sibling = if goes_right { left } else { right };
            siblings.push(Some(digest(sibling)).filter(|digest| *digest != sparse::EMPTY));
            if goes_right {
                at -= left.len();
            }
            span = if goes_right { right } else { left };
        }
    }
}

fn summary(slots: &[Slot]) -> Slot {
    let mut held = slots.iter().filter(|slot| **slot != Slot::Empty);
    match (held.next(), held.next()) {
        (None, _) => Slot::Empty,
        (Some(Slot::Leaf(leaf)), None) => Slot::Leaf(*leaf),
        (Some(below), None) if slots.len() == 1 => *below,
        _ => {
            let (left, right) = slots.split_at(slots.len() / 2);
            Slot::Page(sparse::hash_inner(digest(left), digest(right)))
        }
    }
}

/// The digest of a subtree.
fn digest(slots: &[Slot]) -> Digest {
    summary(slots).digest()
}

impl Slot {
    /// The digest of the subtree.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Empty => sparse::EMPTY,
            Self::Leaf(leaf) => leaf.digest(),
            Self::Page(digest) => *digest,
        }
    }
}

/// The slot of a key in a page whose top is at `depth`.
pub(super) fn slot_of(key: &Digest, depth: usize) -> usize {
    let byte = usize::from(key.as_bytes()[depth / 8]);
    (byte >> (8 - PAGE_BITS - depth % 8)) & (SLOTS - 1)
}

/// Where the page lies whose top is at `depth` on the way to `key`: pages near the root come first.
pub(super) fn key_of(key: &Digest, depth: usize) -> Key {
    let (whole, rest) = (depth / 8, depth % 8);
    let level = [(depth / PAGE_BITS) as u8];
    if rest == 0 {
        return Key::of(&[&level, &key.as_bytes()[..whole]]);
    }
    let last = key.as_bytes()[whole] & !(0xff >> rest);
    Key::of(&[&level, &key.as_bytes()[..whole], &[last]])
}

impl Canonical for Page {
    fn encode(&self, out: &mut Vec<u8>) {
        for slot in &self.slots {
            match slot {
                Slot::Empty => out.push(0),
                Slot::Leaf(leaf) => {
                    out.push(1);
                    leaf.encode(out);
                }
                Slot::Page(digest) => {
                    out.push(2);
                    digest.encode(out);
                }
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut page = Self::EMPTY;
        for slot in &mut page.slots {
            *slot = match input.u8()? {
                0 => Slot::Empty,
                1 => Slot::Leaf(Leaf::decode(input)?),
                2 => Slot::Page(Digest::decode(input)?),
                value => return Err(DecodeError::Unknown { what: "slot of a page", value }),
            };
        }
        Ok(page)
    }
}
