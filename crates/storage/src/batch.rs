//! Sets of changes that become visible and durable together.

use crate::Family;

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets a key to a value.
    Put {
        /// The family.
        family: Family,
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Removes a key, if it is there.
    Delete {
        /// The family.
        family: Family,
        /// The key.
        key: &'a [u8],
    },
}

/// Changes in the order in which they apply: of two to one key, the later wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    entries: Vec<Entry>,
    /// The keys and values of the entries, one after the other: a batch holds thousands.
    bytes: Vec<u8>,
}

/// One change without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    family: Family,
    key_bytes: usize,
    /// Of the value that is put; `None` deletes.
    value_bytes: Option<usize>,
}

impl WriteBatch {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// No changes yet, and room for so many with so many bytes of keys and values.
    pub fn with_capacity(changes: usize, bytes: usize) -> Self {
        Self { entries: Vec::with_capacity(changes), bytes: Vec::with_capacity(bytes) }
    }

    /// Adds: set `key` to `value`.
    pub fn put(&mut self, family: Family, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.put_with(family, key, |out| out.extend_from_slice(value.as_ref()));
    }

    /// Adds: set `key` to the value that `write` appends to what it is given.
    pub fn put_with(&mut self, family: Family, key: impl AsRef<[u8]>, write: impl FnOnce(&mut Vec<u8>)) {
        let key_bytes = self.push_key(key.as_ref());
        let before = self.bytes.len();
        write(&mut self.bytes);
        let value_bytes = self.bytes.len().checked_sub(before);
        assert!(value_bytes.is_some(), "a value is only appended");
        self.entries.push(Entry { family, key_bytes, value_bytes });
    }

    /// Adds: remove `key`.
    pub fn delete(&mut self, family: Family, key: impl AsRef<[u8]>) {
        let key_bytes = self.push_key(key.as_ref());
        self.entries.push(Entry { family, key_bytes, value_bytes: None });
    }

    fn push_key(&mut self, key: &[u8]) -> usize {
        self.bytes.extend_from_slice(key);
        key.len()
    }

    /// Adds all changes of `other` after these.
    pub fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        self.entries.append(&mut other.entries);
        self.bytes.append(&mut other.bytes);
    }

    /// The changes in order.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut rest = &self.bytes[..];
        let mut next = move |bytes: usize| {
            let (next, after) = rest.split_at(bytes);
            rest = after;
            next
        };
        self.entries.iter().map(move |&Entry { family, key_bytes, value_bytes }| {
            let key = next(key_bytes);
            match value_bytes {
                Some(value_bytes) => Change::Put { family, key, value: next(value_bytes) },
                None => Change::Delete { family, key },
            }
        })
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_changes_come_after_and_are_counted() {
        let family = Family::State;
        let mut first = WriteBatch::new();
        assert!(first.is_empty());
        first.put(family, b"key", b"value");
        let mut second = WriteBatch::new();
        second.delete(family, b"key");
        second.put_with(family, b"", |out| out.push(7));
        first.append(second);
        assert_eq!((first.len(), first.size_bytes()), (3, 12));
        let expected = [
            Change::Put { family, key: b"key", value: b"value" },
            Change::Delete { family, key: b"key" },
            Change::Put { family, key: b"", value: &[7] },
        ];
        assert!(first.changes().eq(expected));
    }
}
