//! Nonces that survive the process (data-model §3): each is durable before an operation with it is signed, so
//! that none is ever used for two.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How far the highest nonce may lie above the lowest outstanding one.
pub(crate) const SPAN: u64 = 1_023;

/// So many nonces are reserved in the file at a time.
const RESERVED_AT_ONCE: u64 = 256;

/// Why there is no nonce.
#[derive(Debug, thiserror::Error)]
pub enum NonceFault {
    /// The file can't be read or written.
    #[error("the nonce file: {0}")]
    File(#[from] io::Error),
    /// The file holds something else.
    #[error(
        "the nonce file holds {found:?} instead of a number; if the author's last nonce is known, write the next one into it"
    )]
    Malformed {
        /// What it holds.
        found: String,
    },
    /// 1,023 operations are outstanding above the oldest: settle that one first.
    #[error("nonce {oldest} is still outstanding; at most {SPAN} above it may be used before its receipt is here")]
    TooManyOutstanding {
        /// The oldest one.
        oldest: u64,
    },
    /// Nonces end at 2⁶³.
    #[error("the author's nonces are used up")]
    UsedUp,
}

/// Where an author's next nonce comes from.
pub trait NonceStore: Send {
    /// Makes all nonces below `end` count as used, durably.
    ///
    /// # Errors
    /// If it can't be made durable; no nonce is used then.
    fn reserve_below(&mut self, end: u64) -> Result<(), NonceFault>;

    /// The lowest nonce that was never reserved.
    fn first_free(&self) -> u64;
}

/// Nonces in a small text file: the lowest one that was never reserved.
#[derive(Debug)]
pub struct FileNonces {
    file: File,
    first_free: u64,
}

impl FileNonces {
    /// Opens or makes the file. A new one starts at 1: an author who used nonces elsewhere writes the next one
    /// into it first.
    ///
    /// # Errors
    /// If the file can't be read or written, or holds something else than a number.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NonceFault> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let first_free = match text.trim() {
            "" => 1,
            number => number.parse().map_err(|_| NonceFault::Malformed { found: number.to_owned() })?,
        };
        Ok(Self { file, first_free })
    }
}

impl NonceStore for FileNonces {
    fn reserve_below(&mut self, end: u64) -> Result<(), NonceFault> {
        // Numbers of fixed width are overwritten in place: a torn write leaves digits, and never fewer.
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{end:020}\n").as_bytes())?;
        self.file.sync_all()?;
        self.first_free = end;
        Ok(())
    }

    fn first_free(&self) -> u64 {
        self.first_free
    }
}

/// Nonces that are forgotten with the process: for tests, and for authors that are, too.
#[derive(Debug)]
pub struct MemoryNonces(u64);

impl MemoryNonces {
    /// Starts at `first`.
    #[must_use]
    pub const fn starting_at(first: u64) -> Self {
        Self(first)
    }
}

impl NonceStore for MemoryNonces {
    fn reserve_below(&mut self, end: u64) -> Result<(), NonceFault> {
        self.0 = end;
        Ok(())
    }

    fn first_free(&self) -> u64 {
        self.0
    }
}

/// The nonces of one author in use.
#[derive(Debug)]
pub(crate) struct Nonces<S> {
    store: S,
    next: u64,
    outstanding: BTreeSet<u64>,
}

impl<S: NonceStore> Nonces<S> {
    pub(crate) fn new(store: S) -> Self {
        let next = store.first_free();
        Self { store, next, outstanding: BTreeSet::new() }
    }

    /// The next nonce, durably used up.
    pub(crate) fn take(&mut self) -> Result<u64, NonceFault> {
        let nonce = self.next;
        if let Some(oldest) = self.outstanding.first().copied().filter(|oldest| nonce - oldest > SPAN) {
            return Err(NonceFault::TooManyOutstanding { oldest });
        }
        if nonce >= 1 << 63 {
            return Err(NonceFault::UsedUp);
        }
        if nonce >= self.store.first_free() {
            self.store.reserve_below(nonce + RESERVED_AT_ONCE)?;
        }
        self.next += 1;
        self.outstanding.insert(nonce);
        Ok(nonce)
    }

    /// A nonce's operation has a receipt, or never was sent.
    pub(crate) fn settle(&mut self, nonce: u64) {
        self.outstanding.remove(&nonce);
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// data-model §3
    #[test]
    fn no_nonce_lies_more_than_1023_above_an_outstanding_one() {
        let mut nonces = Nonces::new(MemoryNonces::starting_at(5));
        for expected in 5..=5 + SPAN {
            assert_eq!(nonces.take().unwrap(), expected);
        }
        assert!(matches!(nonces.take(), Err(NonceFault::TooManyOutstanding { oldest: 5 })));
        nonces.settle(6);
        assert!(nonces.take().is_err(), "5 is still outstanding");
        nonces.settle(5);
        assert_eq!(nonces.take().unwrap(), 5 + SPAN + 1);
    }

    #[test]
    fn a_restart_never_gives_a_nonce_again() {
        let path = std::env::temp_dir().join(format!("quorate-nonces-{}", std::process::id()));
        let mut last = 0;
        for _ in 0..3 {
            let mut nonces = Nonces::new(FileNonces::open(&path).unwrap());
            for _ in 0..300 {
                let nonce = nonces.take().unwrap();
                assert!(nonce > last);
                last = nonce;
                nonces.settle(nonce);
            }
        }
        std::fs::write(&path, "twelve").unwrap();
        assert!(matches!(FileNonces::open(&path), Err(NonceFault::Malformed { .. })));
        std::fs::remove_file(&path).unwrap();
    }
}
