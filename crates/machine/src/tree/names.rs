//! The keys of the state's entries in the order of the tree, which is that of the keys' digests.

use quorate_crypto::Digest;
use quorate_storage::{Family, Key, StateReader, StoreError};
use quorate_types::snapshot::{Entry, HIGHEST, Span};

/// What keys of names start with: above every page's level.
const NAMES: u8 = u8::MAX;

/// Names read from the store at a time.
const PAGE: usize = 256;

/// Where the key of an entry lies.
pub(super) fn key_of(place: &Digest) -> Key {
    Key::of(&[&[NAMES], place.as_bytes()])
}

/// The entries whose places lie in `span`, lowest first: as many as fit into `budget_bytes`, one at least; and the
/// span that they are all entries of, which ends early if there are more (protocol §8.7). `tree` and `state` are of
/// one moment.
///
/// # Errors
/// If the store can't be read, or tree and state don't belong together.
pub fn entries<T: StateReader, R: StateReader>(
    tree: &T,
    state: &R,
    span: Span,
    budget_bytes: usize,
) -> Result<(Vec<Entry>, Span), StoreError> {
    let end = if span.to == HIGHEST { Key::of(&[]) } else { Key::of(&[&key_of(&span.to), &[0]]) };
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    let (mut from, mut last) = (key_of(&span.from), span.to);
    loop {
        let names = tree.scan(&from, &end, PAGE)?;
        let is_last = names.len() < PAGE;
        for (key, name) in names {
            let value = state.read(&name)?.ok_or_else(|| missing(&name))?;
            let entry = Entry { key: name, value };
            bytes = bytes.saturating_add(entry.size_bytes());
            if bytes > budget_bytes && !found.is_empty() {
                return Ok((found, Span { from: span.from, to: last }));
            }
            last = place_of(&key)?;
            from = Key::of(&[&key, &[0]]);
            found.push(entry);
        }
        if is_last {
            return Ok((found, span));
        }
    }
}

fn place_of(key: &[u8]) -> Result<Digest, StoreError> {
    let place = key.get(1..).and_then(|place| <[u8; 32]>::try_from(place).ok());
    place.map(Digest::new).ok_or_else(|| StoreError::Corrupt { family: Family::Tree, key: key.to_vec() })
}

/// The tree names an entry that the state lacks.
fn missing(name: &[u8]) -> StoreError {
    StoreError::Corrupt { family: Family::State, key: name.to_vec() }
}
