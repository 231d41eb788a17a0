//! Opening a directory: the lock, and the format of what lies in it.

use crate::error::{is_locked, translate};
use crate::options::Shared;
use crate::{RocksOptions, RocksStore};
use quorate_storage::StoreError;
use rocksdb::{DB, WriteOptions};
use std::path::Path;

/// The format of the store: families, and values behind `quorate_storage::envelope`. Since 2 there is a tree
/// over the state.
const FORMAT: u64 = 2;
/// In the default family, which holds nothing else.
const FORMAT_KEY: &[u8] = b"format";

impl RocksStore {
    /// Whether a store lies in `path`.
    pub fn exists(path: &Path) -> bool {
        path.join("CURRENT").exists()
    }

    /// Opens the store in `path`, and makes an empty one where there is none.
    pub fn open(path: &Path, options: &RocksOptions) -> Result<Self, StoreError> {
        let shared = Shared::new(options);
        let families = shared.families(options);
        let database = match DB::open_cf_descriptors(&shared.options, path, families) {
            Ok(database) => database,
            Err(error) if is_locked(&error) => {
                return Err(StoreError::Locked { path: path.to_owned() });
            }
            Err(error) => return Err(translate("opening the store", &error)),
        };
        admit_format(&database)?;
        Ok(Self::new(database, shared))
    }

    /// Opens the store in `path` for reading; not one byte of it is changed. Another process may have it open, and
    /// what that one writes afterwards isn't seen.
    pub fn open_to_read(path: &Path, options: &RocksOptions) -> Result<Self, StoreError> {
        let shared = Shared::new(options);
        let families = shared.families(options);
        let database = DB::open_cf_descriptors_read_only(&shared.options, path, families, false)
            .map_err(|error| translate("opening the store", &error))?;
        if database.get(FORMAT_KEY).map_err(|error| translate("reading the store's format", &error))?.is_none() {
            let detail = "it has no format: its making was interrupted".to_owned();
            return Err(StoreError::CorruptFiles { operation: "reading the store's format", detail });
        }
        admit_format(&database)?;
        Ok(Self::new(database, shared))
    }
}

/// Refuses a format that this version does not know; writes ours into a new store.
fn admit_format(database: &DB) -> Result<(), StoreError> {
    let operation = "reading the store's format";
    let found = database.get(FORMAT_KEY).map_err(|error| translate(operation, &error))?;
    let Some(found) = found else {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        return database
            .put_opt(FORMAT_KEY, FORMAT.to_be_bytes(), &synced)
            .map_err(|error| translate("writing the store's format", &error));
    };
    let bytes = <[u8; 8]>::try_from(found.as_slice()).map_err(|_| StoreError::CorruptFiles {
        operation,
        detail: format!("it has {} bytes instead of 8", found.len()),
    })?;
    match u64::from_be_bytes(bytes) {
        FORMAT => Ok(()),
        found => Err(StoreError::UnknownFormat { found, known: FORMAT }),
    }
}
