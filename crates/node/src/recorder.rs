//! The flight recorder: everything that one replica is told, with the time, into a file (off unless
//! `telemetry.recording` names one).
//!
//! A replica is a function of what it found in the store when it started and of its events. So that is all
//! that a recording holds, and after each turn the digest of what came out: [`replay`] drives
//! `Replica::step` again and reaches the same, or says where not. Keys are not in it.
//!
//! Half of `telemetry.recording_bytes` is for the beginning, from the start of the process on. What comes after it,
//! or after a state from other validators has replaced the own one, goes into two files of a quarter each, in turns:
//! the *end* of the run. No replica can be driven through that, since what one has in memory isn't all in its store;
//! so each turn is followed there by the replica's state in words, and [`tell`] shows it. A later start makes all of
//! them anew. A recorder that fails is given up and never stops the node.

mod format;
mod reads;
mod replay;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use quorate_replica::{Event, Now, Outbox, Replica};
use tracing::{info, warn};

pub use self::format::{END_MAGIC, MAGIC, Start};
pub(crate) use self::reads::Reads;
pub use self::replay::{Moment, ReplayError, Replayed, replay, tell};
use crate::tap::Tap;

/// Writes a recording.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Where the beginning goes; the end goes beside it.
    path: PathBuf,
    file: Option<File>,
    /// Which of its two files the end goes into now; `None` as long as it is the beginning.
    end: Option<usize>,
    /// Of the turn under way: written at its end, with one call.
    pending: Vec<u8>,
    /// In the present file.
    bytes: u64,
    limit: u64,
}

/// The files of a recording's end, beside that of its beginning.
#[must_use]
pub fn ends(path: &Path) -> [PathBuf; 2] {
    ["end-a", "end-b"].map(|which| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(which);
        PathBuf::from(name)
    })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

impl Recorder {
    /// Begins a recording; an older one at this place is replaced.
    ///
    /// # Errors
    /// If the file can't be made.
    pub(crate) fn begin(path: &Path, limit: u64, start: &Start) -> io::Result<Self> {
        for end in ends(path) {
            // Of an earlier process.
            match std::fs::remove_file(end) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let (file, pending) = (Some(open(path)?), MAGIC.to_vec());
        let mut recorder = Self { path: path.to_owned(), file, end: None, pending, bytes: 0, limit };
        format::put_start(start, &mut recorder.pending);
        recorder.write();
        info!(path = %path.display(), limit, "the flight recorder runs");
        Ok(recorder)
    }

    fn write(&mut self) {
        let length = self.pending.len() as u64;
        let room = if self.end.is_some() { self.limit / 4 } else { self.limit / 2 };
        if self.bytes.saturating_add(length) > room {
            self.turn_over();
        }
        // A turn that alone is larger than a file is left out.
        if self.bytes.saturating_add(length) <= self.limit / 4 || self.end.is_none() {
            self.append();
        }
        self.pending.clear();
    }

    fn append(&mut self) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(&self.pending) {
            warn!(%error, "the flight recorder failed; it ends here");
            self.file = None;
        }
        self.bytes += self.pending.len() as u64;
    }

    /// The end begins, or goes on in its other file: what was there is forgotten.
    fn turn_over(&mut self) {
        if self.file.is_none() {
            return;
        }
        if self.end.is_none() {
            info!(path = %self.path.display(), "the flight recorder has the beginning; it goes on with the end");
        }
        let next = self.end.map_or(0, |end| 1 - end);
        let opened = open(&ends(&self.path)[next]).and_then(|mut file| file.write_all(END_MAGIC).map(|()| file));
        self.file = opened.inspect_err(|error| warn!(%error, "the flight recorder failed; it ends here")).ok();
        (self.end, self.bytes) = (Some(next), END_MAGIC.len() as u64);
    }
}

impl Tap for Recorder {
    fn admit(&mut self, now: Now, event: &Event) -> bool {
        if self.file.is_some() {
            format::put_event(now, event, &mut self.pending);
        }
        true
    }

    /// A recording begins with what the store held then; from what it holds now on only the end can be shown.
    fn on_resume(&mut self, _: Now, _: &Replica) {
        self.pending.clear();
        if self.end.is_none() {
            self.turn_over();
        }
    }

    fn on_turn(&mut self, now: Now, replica: &Replica, out: &Outbox) {
        if self.file.is_some() {
            format::put_turn(now, out, &mut self.pending);
            if self.end.is_some() {
                format::put_state(&replica.report().to_string(), &mut self.pending);
            }
            self.write();
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;
    use quorate_types::ids::{ClusterId, ValidatorIndex};

    use super::*;

    fn start() -> Start {
        Start {
            cluster: ClusterId(Digest::ZERO),
            genesis: String::new(),
            me: ValidatorIndex(0),
            now: Now { monotonic_ms: 1, wall_ms: 2 },
            guard_file: None,
            found: vec![],
        }
    }

    /// simulation §6.2
    #[test]
    fn a_long_recording_keeps_its_beginning_and_its_end_below_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        let mut recorder = Recorder::begin(&path, 8_000, &start()).unwrap();
        let at = |turn: u64| Now { monotonic_ms: turn, wall_ms: 6 };
        for turn in 0..1_000 {
            recorder.admit(at(turn), &Event::Statement([7; 32]));
            format::put_turn(at(turn), &Outbox::default(), &mut recorder.pending);
            recorder.write();
        }
        assert!(recorder.pending.is_empty());
        let beginning = std::fs::read(&path).unwrap();
        assert!(beginning.len() <= 4_000 && beginning.len() > 3_800, "{}", beginning.len());
        let frames = format::frames(&beginning, MAGIC).unwrap();
        assert!(frames.len() > 10 && frames.iter().all(Result::is_ok));
        let mut told = Vec::new();
        for end in ends(&path) {
            let bytes = std::fs::read(end).unwrap();
            assert!(bytes.len() <= 2_000, "{}", bytes.len());
            tell(&bytes, |now, _| told.push(now.monotonic_ms)).unwrap();
        }
        told.sort_unstable();
        assert_eq!(told.last(), Some(&999), "the last turn is there");
        assert!(told.first().is_some_and(|first| (960..999).contains(first)), "{:?}", told.first());
        // The next process begins anew.
        Recorder::begin(&path, 8_000, &start()).unwrap();
        assert!(ends(&path).iter().all(|end| !end.exists()));
    }

    /// simulation §6.2: a turn too large for a file is left out, and the bound holds.
    #[test]
    fn a_turn_larger_than_a_file_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        let mut recorder = Recorder::begin(&path, 8_000, &start()).unwrap();
        recorder.turn_over();
        recorder.pending = vec![0; 3_000];
        recorder.write();
        let sizes = ends(&path).map(|end| std::fs::metadata(end).map_or(0, |found| found.len()));
        assert!(sizes.iter().all(|size| *size <= 2_000), "{sizes:?}");
    }
}
