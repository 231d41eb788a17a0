//! A copy of the store as it is at one moment, made while it is written to.

use std::path::Path;

use quorate_storage::StoreError;
use rocksdb::checkpoint::Checkpoint;

use crate::RocksStore;
use crate::error::translate;

impl RocksStore {
    /// Makes a copy of the store in `path`, which must not exist: everything written before the call is in it,
    /// and of what is written meanwhile a prefix. On the same file system the large files are shared by hard
    /// links, which costs no space until the store drops them; elsewhere they are copied.
    ///
    /// # Errors
    /// If something lies in `path`, or it can't be written.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let made = Checkpoint::new(&self.database).and_then(|checkpoint| checkpoint.create_checkpoint(path));
        made.map_err(|error| translate("copying the store", &error))
    }
}
