//! Nonces that survive the process (data-model §3): each is durable before an operation with it is signed, so
//! that none is ever used for two. Several processes may share one file: each reserves under its lock, and at
//! its end gives back what it didn't use, if nobody reserved behind it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

/// How far the highest nonce may lie above the lowest outstanding one.
pub(crate) const SPAN: u64 = 1_023;

/// The most nonces reserved at a time. The first time it is one, then twice as many as before.
const MOST_AT_ONCE: u64 = 256;

/// Nonces end here.
const END: u64 = 1 << 63;

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

/// Where an author's next nonces come from.
pub trait NonceStore: Send {
    /// The next `count` nonces, which from now on, durably, are nobody else's.
    ///
    /// # Errors
    /// If it can't be made durable; no nonce is used then.
    fn reserve(&mut self, count: u64) -> Result<Range<u64>, NonceFault>;

    /// Nonces reserved here of which none was used. They may be lost, but never given out twice.
    fn give_back(&mut self, unused: Range<u64>);
}

/// Nonces in a small text file: the lowest one that was never reserved.
#[derive(Debug)]
pub struct FileNonces {
    file: File,
}

impl FileNonces {
    /// Opens or makes the file. A new one starts at 1: an author who used nonces elsewhere says where to go on,
    /// with [`FileNonces::open_from`].
    ///
    /// # Errors
    /// If the file can't be read or written, or holds something else than a number.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NonceFault> {
        Self::open_from(path, 1)
    }

    /// Opens the file; a new one starts at `first`.
    ///
    /// # Errors
    /// As [`FileNonces::open`].
    pub fn open_from(path: impl AsRef<Path>, first: u64) -> Result<Self, NonceFault> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut nonces = Self { file };
        nonces.locked(|nonces| match nonces.read()? {
            Some(_) => Ok(()),
            None => nonces.write(first.max(1)),
        })?;
        Ok(nonces)
    }

    /// The lowest nonce that nobody reserved.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn first_free(&mut self) -> Result<u64, NonceFault> {
        self.locked(|nonces| nonces.read().map(|found| found.unwrap_or(1)))
    }

    /// Goes on at `first`, unless another process has changed the count since it was `seen`. A nonce that was
    /// used and whose operation never executed is then used again: of the two at most one executes.
    ///
    /// # Errors
    /// If the file can't be read or written.
    pub fn restart(&mut self, seen: u64, first: u64) -> Result<(), NonceFault> {
        self.locked(|nonces| if nonces.read()? == Some(seen) { nonces.write(first.max(1)) } else { Ok(()) })
    }

    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, NonceFault>) -> Result<T, NonceFault> {
        self.file.lock()?;
        let result = work(self);
        self.file.unlock()?;
        result
    }

    fn read(&mut self) -> Result<Option<u64>, NonceFault> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_string(&mut text)?;
        match text.trim() {
            "" => Ok(None),
            number => number.parse().map(Some).map_err(|_| NonceFault::Malformed { found: number.to_owned() }),
        }
    }

    /// Numbers of fixed width are overwritten in place: a torn write leaves digits, and never fewer.
    fn write(&mut self, first_free: u64) -> Result<(), NonceFault> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{first_free:020}\n").as_bytes())?;
        Ok(self.file.sync_all()?)
    }
}

impl NonceStore for FileNonces {
    fn reserve(&mut self, count: u64) -> Result<Range<u64>, NonceFault> {
        self.locked(|nonces| {
            let start = nonces.read()?.unwrap_or(1);
            let end = start.saturating_add(count).min(END);
            if start >= end {
                return Err(NonceFault::UsedUp);
            }
            nonces.write(end)?;
            Ok(start..end)
        })
    }

    fn give_back(&mut self, unused: Range<u64>) {
        // What fails here costs some nonces and nothing else.
        let _ = self.restart(unused.end, unused.start);
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
    fn reserve(&mut self, count: u64) -> Result<Range<u64>, NonceFault> {
        let start = self.0;
        let end = start.saturating_add(count).min(END);
        if start >= end {
            return Err(NonceFault::UsedUp);
        }
        self.0 = end;
        Ok(start..end)
    }

    fn give_back(&mut self, unused: Range<u64>) {
        if self.0 == unused.end {
            self.0 = unused.start;
        }
    }
}

/// The nonces of one author in use.
#[derive(Debug)]
pub(crate) struct Nonces<S: NonceStore> {
    store: S,
    /// Reserved and not used yet.
    reserved: Range<u64>,
    at_once: u64,
    outstanding: BTreeSet<u64>,
}

impl<S: NonceStore> Nonces<S> {
    pub(crate) const fn new(store: S) -> Self {
        Self { store, reserved: 0..0, at_once: 1, outstanding: BTreeSet::new() }
    }

    /// The next nonce, durably used up.
    pub(crate) fn take(&mut self) -> Result<u64, NonceFault> {
        if self.reserved.is_empty() {
            self.reserve()?;
        }
        let nonce = self.reserved.start;
        if let Some(oldest) = self.oldest().filter(|oldest| nonce.saturating_sub(*oldest) > SPAN) {
            return Err(NonceFault::TooManyOutstanding { oldest });
        }
        self.reserved.start += 1;
        self.outstanding.insert(nonce);
        Ok(nonce)
    }

    /// Few enough that what is reserved stays as close to the oldest outstanding one as what is used.
    fn reserve(&mut self) -> Result<(), NonceFault> {
        let last = self.outstanding.last().map_or(0, |last| last + 1);
        let room = self.oldest().map_or(MOST_AT_ONCE, |oldest| (oldest + SPAN + 1).saturating_sub(last));
        self.reserved = self.store.reserve(self.at_once.min(room).max(1))?;
        self.at_once = (self.at_once * 2).min(MOST_AT_ONCE);
        Ok(())
    }

    fn oldest(&self) -> Option<u64> {
        self.outstanding.first().copied()
    }

    /// A nonce's operation has a receipt.
    pub(crate) fn settle(&mut self, nonce: u64) {
        self.outstanding.remove(&nonce);
    }

    /// A nonce that was used before is used for another operation of the same purpose.
    pub(crate) fn reopen(&mut self, nonce: u64) {
        self.outstanding.insert(nonce);
    }

    /// A nonce's operation was never sent and never will be: the newest one is free again.
    pub(crate) fn forget(&mut self, nonce: u64) {
        if !self.outstanding.remove(&nonce) {
            return;
        }
        if nonce + 1 == self.reserved.start {
            self.reserved.start = nonce;
        }
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }
}

impl<S: NonceStore> Drop for Nonces<S> {
    fn drop(&mut self) {
        if !self.reserved.is_empty() {
            self.store.give_back(self.reserved.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("quorate-nonces-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

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
    fn a_restart_never_gives_a_nonce_again_and_loses_none() {
        let path = path("restart");
        let mut last = 0;
        for _ in 0..3 {
            let mut nonces = Nonces::new(FileNonces::open(&path).unwrap());
            for _ in 0..300 {
                let nonce = nonces.take().unwrap();
                assert_eq!(nonce, last + 1);
                last = nonce;
                nonces.settle(nonce);
            }
        }
        std::fs::write(&path, "twelve").unwrap();
        assert!(matches!(FileNonces::open(&path), Err(NonceFault::Malformed { .. })));
        std::fs::remove_file(&path).unwrap();
    }

    /// One operation in each of many processes, none with an end that could give anything back.
    #[test]
    fn a_process_that_is_killed_after_one_operation_costs_one_nonce() {
        let path = path("killed");
        for expected in 1..=20 {
            let mut nonces = Nonces::new(FileNonces::open(&path).unwrap());
            assert_eq!(nonces.take().unwrap(), expected);
            std::mem::forget(nonces);
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn processes_that_share_a_file_never_share_a_nonce() {
        let path = path("shared");
        let mut seen = BTreeSet::new();
        let open = || Nonces::new(FileNonces::open(&path).unwrap());
        let (mut first, mut second) = (open(), open());
        for _ in 0..100 {
            for nonces in [&mut first, &mut second] {
                let nonce = nonces.take().unwrap();
                assert!(seen.insert(nonce), "{nonce} twice");
                nonces.settle(nonce);
            }
        }
        drop(first);
        drop(second);
        assert!(open().take().is_ok_and(|nonce| seen.insert(nonce)), "what was given back was in use");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_was_never_sent_is_free_again() {
        let path = path("forgotten");
        let mut nonces = Nonces::new(FileNonces::open(&path).unwrap());
        for _ in 0..3 {
            let nonce = nonces.take().unwrap();
            assert_eq!(nonce, 1);
            nonces.forget(nonce);
            nonces.forget(nonce);
        }
        assert_eq!((nonces.take().unwrap(), nonces.take().unwrap()), (1, 2));
        nonces.forget(1);
        assert_eq!((nonces.take().unwrap(), nonces.outstanding()), (3, 2));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_count_is_set_back_only_if_nobody_has_moved_it_since() {
        let path = path("set-back");
        let mut nonces = FileNonces::open_from(&path, 5_000).unwrap();
        assert_eq!(nonces.first_free().unwrap(), 5_000);
        FileNonces::open(&path).unwrap().reserve(1).unwrap();
        nonces.restart(5_000, 7).unwrap();
        assert_eq!(nonces.first_free().unwrap(), 5_001);
        nonces.restart(5_001, 7).unwrap();
        assert_eq!(nonces.reserve(1).unwrap(), 7..8);
        std::fs::remove_file(&path).unwrap();
    }
}
