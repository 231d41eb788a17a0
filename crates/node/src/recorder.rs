//! The flight recorder: everything that one replica is told, with the time, into a file (off unless
//! `telemetry.recording` names one).
//!
//! A replica is a function of what it found in the store when it started and of its events. So that is all
//! that a recording holds, and after each turn the digest of what came out: [`replay`] drives
//! `Replica::step` again and reaches the same, or says where not. Keys are not in it.
//!
//! It starts with the process and ends at `telemetry.recording_bytes`, with a line in the log: a later start
//! makes a new one. A recorder that fails is given up and never stops the node.

mod format;
mod reads;
mod replay;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use quorate_replica::{Event, Now, Outbox, Replica};
use tracing::{info, warn};

pub use self::format::{MAGIC, Start};
pub(crate) use self::reads::Reads;
pub use self::replay::{Moment, ReplayError, Replayed, replay};
use crate::tap::Tap;

/// Writes a recording.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: Option<File>,
    /// Of the turn under way: written at its end, with one call.
    pending: Vec<u8>,
    bytes: u64,
    limit: u64,
}

impl Recorder {
    /// Begins a recording; an older one at this place is replaced.
    ///
    /// # Errors
    /// If the file can't be made.
    pub(crate) fn begin(path: &Path, limit: u64, start: &Start) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut recorder = Self { file: Some(file), pending: MAGIC.to_vec(), bytes: 0, limit };
        format::put_start(start, &mut recorder.pending);
        recorder.write();
        info!(path = %path.display(), limit, "the flight recorder runs");
        Ok(recorder)
    }

    fn write(&mut self) {
        let Some(file) = &mut self.file else { return self.pending.clear() };
        let length = self.pending.len() as u64;
        if self.bytes.saturating_add(length) > self.limit {
            info!(bytes = self.bytes, "the flight recorder's file is full; it ends here");
            self.file = None;
        } else if let Err(error) = file.write_all(&self.pending) {
            warn!(%error, "the flight recorder failed; it ends here");
            self.file = None;
        }
        self.bytes += length;
        self.pending.clear();
    }
}

impl Tap for Recorder {
    fn admit(&mut self, now: Now, event: &Event) -> bool {
        if self.file.is_some() {
            format::put_event(now, event, &mut self.pending);
        }
        true
    }

    /// A recording begins with what the store held then; what it holds now is another matter.
    fn on_resume(&mut self, _: Now, _: &Replica) {
        self.file = None;
        self.pending.clear();
    }

    fn on_turn(&mut self, now: Now, _: &Replica, out: &Outbox) {
        if self.file.is_some() {
            format::put_turn(now, out, &mut self.pending);
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

    #[test]
    fn a_full_recording_ends_at_a_whole_turn_below_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        let mut recorder = Recorder::begin(&path, 2_000, &start()).unwrap();
        let now = Now { monotonic_ms: 5, wall_ms: 6 };
        for _ in 0..1_000 {
            recorder.admit(now, &Event::Turn);
            format::put_turn(now, &Outbox::default(), &mut recorder.pending);
            recorder.write();
        }
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() <= 2_000 && bytes.len() > 1_800, "{}", bytes.len());
        assert!(recorder.pending.is_empty(), "a recorder that has ended keeps nothing");
        let frames = format::frames(&bytes).unwrap();
        assert!(frames.len() > 10 && frames.iter().all(Result::is_ok));
    }
}
