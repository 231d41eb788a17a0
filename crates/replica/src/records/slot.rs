//! A typed key, and what can be wrong with what is found under one.

use std::fmt;
use std::marker::PhantomData;

use quorate_storage::{Family, Store, StoreError, WriteBatch};
use quorate_types::codec::{Canonical, DecodeError};

use super::RECORD_VERSION;

/// Why records can't be read. All of it is a local fault: the validator stops, or refuses to start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record was written by another version of the program.
    #[error("the record {} in family {family} has version {found}, this program knows {known}", key.escape_ascii())]
    UnknownVersion {
        /// The family.
        family: Family,
        /// The key.
        key: Vec<u8>,
        /// The version found.
        found: u8,
        /// The version of this program.
        known: u8,
    },
    /// The record is of a known version and not in its form.
    #[error("the record {} in family {family} is malformed: {fault}", key.escape_ascii())]
    Malformed {
        /// The family.
        family: Family,
        /// The key.
        key: Vec<u8>,
        /// What is wrong.
        fault: DecodeError,
    },
}

/// A record: family, key, value as kept.
pub type Record = (Family, Vec<u8>, Vec<u8>);

/// A key under which values of one type are kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Slot<T> {
    family: Family,
    key: Vec<u8>,
    value: PhantomData<fn() -> T>,
}

impl<T: Canonical> Slot<T> {
    pub(super) const fn new(family: Family, key: Vec<u8>) -> Self {
        Self { family, key, value: PhantomData }
    }

    /// The family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Adds to `batch`: keep `value` here.
    pub fn put(&self, batch: &mut WriteBatch, value: &T) {
        batch.put_with(self.family, &self.key, |out| seal(value, out));
    }

    /// The record itself, for where family, key and value travel together.
    #[must_use]
    pub fn record(&self, value: &T) -> Record {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        seal(value, &mut bytes);
        (self.family, self.key.clone(), bytes)
    }

    /// What is kept here.
    ///
    /// # Errors
    /// If the store fails, or the value isn't one of this type and version.
    pub fn read<S: Store>(&self, store: &S) -> Result<Option<T>, RecordError> {
        let found = store.get(self.family, &self.key)?;
        found.map(|bytes| open(self.family, &self.key, &bytes)).transpose()
    }

    /// The value in bytes that were read here.
    ///
    /// # Errors
    /// If they aren't a value of this type and version.
    pub(crate) fn open(&self, bytes: &[u8]) -> Result<T, RecordError> {
        open(self.family, &self.key, bytes)
    }

    /// Whether anything is kept here.
    ///
    /// # Errors
    /// If the store fails.
    pub fn is_kept<S: Store>(&self, store: &S) -> Result<bool, RecordError> {
        Ok(store.get(self.family, &self.key)?.is_some())
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family, self.key.escape_ascii())
    }
}

/// Room for most protocol records without growing.
const USUAL_BYTES: usize = 256;

/// Appends the bytes kept for `value`.
fn seal<T: Canonical>(value: &T, out: &mut Vec<u8>) {
    out.push(RECORD_VERSION);
    value.encode(out);
}

/// The value in `bytes`, which were found under `key`.
pub(super) fn open<T: Canonical>(family: Family, key: &[u8], bytes: &[u8]) -> Result<T, RecordError> {
    let malformed = |fault| RecordError::Malformed { family, key: key.to_vec(), fault };
    match bytes.split_first() {
        None => Err(malformed(DecodeError::Truncated { offset: 0, wanted: 1, left: 0 })),
        Some((&RECORD_VERSION, value)) => T::from_bytes(value).map_err(malformed),
        Some((&found, _)) => {
            Err(RecordError::UnknownVersion { family, key: key.to_vec(), found, known: RECORD_VERSION })
        }
    }
}
