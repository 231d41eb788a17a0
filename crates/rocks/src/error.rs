//! RocksDB's errors in the words of [`StoreError`].

use quorate_storage::StoreError;
use rocksdb::{Error, ErrorKind};

/// RocksDB tells what went wrong by the text of its message alone.
pub(crate) fn translate(operation: &'static str, error: &Error) -> StoreError {
    let text: &str = error.as_ref();
    if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        return StoreError::Full { operation };
    }
    let detail = text.to_owned();
    match error.kind() {
        ErrorKind::Corruption => StoreError::CorruptFiles { operation, detail },
        _ => StoreError::Io { operation, detail },
    }
}

/// Whether opening failed because someone has the directory open: another process, or this one.
pub(crate) fn is_locked(error: &Error) -> bool {
    let text: &str = error.as_ref();
    text.contains("While lock file") || text.contains("lock hold by current process")
}
