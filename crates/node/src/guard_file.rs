//! The signing guard file: a second record of what was signed, beside the store (protocol §7.2).
//!
//! One file with a header and two slots. A batch is written over the *older* slot and synced, so that a
//! crash at any moment leaves the newer one whole; which is newer is said by the batch's number. A slot
//! counts only if its checksum holds, which also covers the store's incarnation: another store's guard file
//! is no guard file. What a missing, damaged or older file means is decided by `quorate_replica::recover`,
//! which is given what [`GuardFile::open`] found; here are only bytes.

mod slot;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use quorate_crypto::{Digest, sha256};
use quorate_storage::Family;
use thiserror::Error;

pub use self::slot::GuardedBatch;

/// What the file starts with.
const MAGIC: &[u8; 16] = b"quorate-guard-v1";

/// Magic, incarnation, and a checksum over both.
const HEADER_BYTES: usize = 16 + 32 + 32;

/// Where the first slot starts: on a page of its own, so that the header is never rewritten.
const FIRST_SLOT: u64 = 4_096;

/// The most that one batch's protocol records may have: own bundles of one turn, eight of 4 MiB at the highest
/// parameters, and the votes, view changes and proposals beside them. The file is sparse: it takes what was
/// once written.
pub const MAX_BATCH_BYTES: usize = 128 << 20;

/// A protocol record: family, key, value.
pub type Record = (Family, Vec<u8>, Vec<u8>);

/// What can go wrong with a guard file.
#[derive(Debug, Error)]
pub enum GuardFileError {
    /// The operating system failed.
    #[error("the guard file {} failed while {operation}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file lies where a new one was to be made.
    #[error("a file lies at {} already; a guard file is never made anew for a store that has one", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A batch is larger than a slot.
    #[error("the protocol records of one batch have {bytes} bytes, {MAX_BATCH_BYTES} are the most that fit")]
    TooLarge {
        /// Their size.
        bytes: usize,
    },
}

/// What was found where the guard file should be.
#[derive(Debug)]
pub enum Found {
    /// The file, and the newest batch in it; `None` if none was written yet.
    Whole(GuardFile, Option<GuardedBatch>),
    /// No file.
    Missing,
    /// A file that isn't this store's guard file, or none of whose slots is whole.
    Damaged,
}

/// An open guard file.
#[derive(Debug)]
pub struct GuardFile {
    file: File,
    path: PathBuf,
    incarnation: [u8; 32],
    /// The slot that the next batch is written over.
    next_slot: u64,
}

impl GuardFile {
    /// Makes the guard file of a new store, durably.
    ///
    /// # Errors
    /// If a file lies there, or the operating system fails.
    pub fn create(path: &Path, incarnation: [u8; 32]) -> Result<Self, GuardFileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(GuardFileError::Exists { path: path.to_owned() });
            }
            opened => opened.map_err(|source| failed(path, "making it", source))?,
        };
        let write = || {
            file.write_all_at(&header(&incarnation), 0)?;
            file.sync_all()?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|source| failed(path, "making it", source))?;
        Ok(Self { file, path: path.to_owned(), incarnation, next_slot: 0 })
    }

    /// Opens the guard file of the store with this incarnation and reads its newest batch.
    ///
    /// # Errors
    /// If the operating system fails. A file that is missing or damaged is no error here.
    pub fn open(path: &Path, incarnation: [u8; 32]) -> Result<Found, GuardFileError> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            opened => opened.map_err(|source| failed(path, "opening it", source))?,
        };
        let reading = |source| failed(path, "reading it", source);
        let found = read_at(&file, 0, HEADER_BYTES).map_err(reading)?;
        if found != header(&incarnation) {
            return Ok(Found::Damaged);
        }
        let slots = [slot::read(&file, 0, &incarnation), slot::read(&file, 1, &incarnation)];
        let [first, second] = slots;
        let (first, second) = (first.map_err(reading)?, second.map_err(reading)?);
        let is_new = file.metadata().map_err(reading)?.len() <= FIRST_SLOT;
        let (batch, next_slot) = match (first, second) {
            (Some(first), Some(second)) if first.number > second.number => (Some(first), 1),
            (_, Some(second)) => (Some(second), 0),
            (Some(first), None) => (Some(first), 1),
            // The very first batch may have been torn by a crash: nothing left under it, and the store,
            // which was to hold it too, says whether it is missing.
            (None, None) if is_new || slot::is_untouched(&file, 1).map_err(reading)? => (None, 0),
            (None, None) => return Ok(Found::Damaged),
        };
        let guard = Self { file, path: path.to_owned(), incarnation, next_slot };
        Ok(Found::Whole(guard, batch))
    }

    /// Writes a batch, durably. After an error the file must not be used again: what it holds isn't known.
    ///
    /// # Errors
    /// If the batch is too large or the operating system fails.
    pub fn write(&mut self, number: u64, records: &[Record]) -> Result<(), GuardFileError> {
        let bytes = slot::encode(number, records, &self.incarnation);
        if bytes.len() > MAX_BATCH_BYTES {
            return Err(GuardFileError::TooLarge { bytes: bytes.len() });
        }
        let failed = |source| failed(&self.path, "writing a batch", source);
        self.file.write_all_at(&bytes, slot::offset(self.next_slot)).map_err(failed)?;
        self.file.sync_data().map_err(failed)?;
        self.next_slot ^= 1;
        Ok(())
    }
}

fn header(incarnation: &[u8; 32]) -> Vec<u8> {
    let sum: Digest = sha256(&[MAGIC, incarnation]);
    [&MAGIC[..], incarnation, sum.as_bytes()].concat()
}

fn failed(path: &Path, operation: &'static str, source: io::Error) -> GuardFileError {
    GuardFileError::Io { path: path.to_owned(), operation, source }
}

/// At most `length` bytes from `offset` on; fewer where the file ends.
fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
