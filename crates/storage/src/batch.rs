//! Sets of changes that become visible and durable together.

use crate::Family;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a key to a value.
    Put {
        /// The family.
        family: Family,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Removes a key, if it is there.
    Delete {
        /// The family.
        family: Family,
        /// The key.
        key: Vec<u8>,
    },
}

/// Changes in the order in which they apply: of two to one key, the later wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    changes: Vec<Change>,
    size_bytes: usize,
}

impl WriteBatch {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: set `key` to `value`.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        self.size_bytes += key.len() + value.len();
        self.changes.push(Change::Put { family, key, value });
    }

    /// Adds: remove `key`.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.size_bytes += key.len();
        self.changes.push(Change::Delete { family, key });
    }

    /// Adds all changes of `other` after these.
    pub fn append(&mut self, mut other: Self) {
        self.size_bytes += other.size_bytes;
        self.changes.append(&mut other.changes);
    }

    /// The changes in order.
    pub fn ops(&self) -> &[Change] {
        &self.changes
    }

    /// The changes in order, by value.
    pub fn into_ops(self) -> Vec<Change> {
        self.changes
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_changes_come_after_and_are_counted() {
        let mut first = WriteBatch::new();
        assert!(first.is_empty());
        first.put(Family::State, b"key", b"value");
        let mut second = WriteBatch::new();
        second.delete(Family::State, b"key");
        first.append(second);
        assert_eq!((first.len(), first.size_bytes()), (2, 11));
        assert!(matches!(&first.ops()[1], Change::Delete { key, .. } if key == b"key"));
    }
}
