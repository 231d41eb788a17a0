//! Reading entries, from the store as it is or from a snapshot.

use crate::error::translate;
use quorate_storage::{Entries, Family, StoreError, envelope};
use rocksdb::{ColumnFamily, DB, DBIterator, DBPinnableSlice, Error, IteratorMode, ReadOptions};

/// The column family; they were all made when the store was opened.
pub(crate) fn column(database: &DB, family: Family) -> Result<&ColumnFamily, StoreError> {
    database.cf_handle(family.name()).ok_or_else(|| StoreError::CorruptFiles {
        operation: "looking up a column family",
        detail: format!("there is none named {family}"),
    })
}

/// Opens the envelope of what RocksDB found.
pub(crate) fn open_value(
    family: Family,
    key: &[u8],
    found: Result<Option<DBPinnableSlice<'_>>, Error>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let sealed = found.map_err(|error| translate("reading a value", &error))?;
    sealed.map(|sealed| envelope::open(family, key, &sealed).map(<[u8]>::to_vec)).transpose()
}

/// What a scan looks at, and how far.
#[derive(Clone, Copy)]
pub(crate) struct Range<'a> {
    pub(crate) from: &'a [u8],
    /// Exclusive; empty means the end.
    pub(crate) to: &'a [u8],
    pub(crate) limit: usize,
    pub(crate) is_descending: bool,
}

impl Range<'_> {
    /// Whether nothing can lie in it. RocksDB must not be asked: it wants ordered bounds.
    pub(crate) fn is_empty(&self) -> bool {
        self.limit == 0 || (!self.to.is_empty() && self.from >= self.to)
    }

    pub(crate) fn mode(&self) -> IteratorMode<'static> {
        if self.is_descending { IteratorMode::End } else { IteratorMode::Start }
    }

    pub(crate) fn bounds(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if !self.from.is_empty() {
            options.set_iterate_lower_bound(self.from);
        }
        if !self.to.is_empty() {
            options.set_iterate_upper_bound(self.to);
        }
        options
    }

    /// The entries of an iterator over exactly this range.
    pub(crate) fn collect(&self, family: Family, entries: DBIterator<'_>) -> Result<Entries, StoreError> {
        entries
            .take(self.limit)
            .map(|entry| {
                let (key, sealed) = entry.map_err(|error| translate("scanning", &error))?;
                let value = envelope::open(family, &key, &sealed)?.to_vec();
                Ok((key.into_vec(), value))
            })
            .collect()
    }
}
