//! What can go wrong in a store. All of it is a local fault: the validator stops, or refuses to start.

use crate::Family;
use std::path::PathBuf;
use thiserror::Error;

/// An error of a [`Store`](crate::Store).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// A value's bytes do not match its checksum, or the value belongs to another key.
    #[error("the value of {} in family {family} is damaged", key.escape_ascii())]
    Corrupt {
        /// The family read.
        family: Family,
        /// The key read.
        key: Vec<u8>,
    },
    /// The store found its own files damaged.
    #[error("the store's files are damaged, found while {operation}: {detail}")]
    CorruptFiles {
        /// What was being done.
        operation: &'static str,
        /// The words of the store.
        detail: String,
    },
    /// The operating system failed to read, write or sync.
    #[error("input or output failed while {operation}: {detail}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The words of the store or the operating system.
        detail: String,
    },
    /// No space is left; nothing was written.
    #[error("the disk is full while {operation}")]
    Full {
        /// What was being done.
        operation: &'static str,
    },
    /// An earlier write failed, so what is on disk is not known; open the store anew.
    #[error("the store is closed since an earlier write failed")]
    Closed,
    /// Another process has the store open.
    #[error("another process has the store in {} open", path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// The store was written in a format that this version does not know.
    #[error("the store has format {found}, this version knows {known}")]
    UnknownFormat {
        /// The format found.
        found: u64,
        /// The format of this version.
        known: u64,
    },
}
