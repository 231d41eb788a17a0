//! A recording, driven through `Replica::step` again.

use std::sync::Arc;

use quorate_crypto::{Scheme, SecretKey};
use quorate_replica::{Event, Now, Outbox, RecoverError, Replica, Setup, recover};
use quorate_storage::{Durability, MemoryStore, Store as _, StoreError, WriteBatch};
use quorate_types::codec::DecodeError;
use quorate_types::genesis::{Genesis, GenesisError};
use quorate_types::ids::{Epoch, Sequence};
use quorate_types::operation::OperationFault;
use quorate_types::verified::{Context, PeerFault};
use thiserror::Error;

use super::format::{END_MAGIC, Frame, MAGIC, Start, digest, frames, summary};

/// Why a recording can't be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// Not a recording.
    #[error("this is no recording of a flight recorder, or one of another version")]
    NoRecording,
    /// It doesn't begin with a start.
    #[error("the recording doesn't begin with the replica's start")]
    NoStart,
    /// A frame can't be read.
    #[error("frame {frame} of the recording can't be read: {fault}")]
    Frame {
        /// Which, from 0.
        frame: usize,
        /// Why.
        fault: DecodeError,
    },
    /// The genesis in it can't be used.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The replica can't be made.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The store in memory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the node let in then isn't let in now.
    #[error("a recorded message is refused: {0}")]
    Message(#[from] PeerFault),
    /// The same for an operation.
    #[error("a recorded operation is refused: {0}")]
    Operation(#[from] OperationFault),
}

/// One step of a replay.
#[derive(Debug)]
pub struct Moment<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// When it was.
    pub now: Now,
    /// What went in, in words.
    pub event: String,
    /// What the turn gave, if this is the end of one.
    pub gave: Option<Gave>,
    /// The replica after it.
    pub replica: &'a Replica,
}

/// What a turn gave, then and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gave {
    /// Then, in words.
    pub recorded: String,
    /// Now, in words.
    pub replayed: String,
    /// Whether every byte is the same. With another key than the validator's it never is, where anything was
    /// signed.
    pub is_same: bool,
}

/// How a replay went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events and ends of turns.
    pub steps: u64,
    /// Ends of turns.
    pub turns: u64,
    /// Turns that gave other bytes than recorded.
    pub other_bytes: u64,
    /// Turns that gave other kinds of things than recorded.
    pub other_words: u64,
}

/// Drives a replica through a recording, telling `each` after each step. `key` is the validator's consensus key,
/// which no recording holds.
///
/// # Errors
/// If it isn't a recording, or can't be replayed with this program.
pub fn replay(recording: &[u8], key: SecretKey, mut each: impl FnMut(&Moment<'_>)) -> Result<Replayed, ReplayError> {
    let frames = frames(recording, MAGIC).ok_or(ReplayError::NoRecording)?;
    let mut frames = frames.into_iter().enumerate();
    let readable =
        |(frame, read): (usize, Result<Frame, DecodeError>)| read.map_err(|fault| ReplayError::Frame { frame, fault });
    let Some(Frame::Start(start)) = frames.next().map(readable).transpose()? else { return Err(ReplayError::NoStart) };
    let context = context(&start)?;
    let mut replica = begin(*start, context.clone(), key)?;
    let (mut out, mut done) = (Outbox::default(), Replayed::default());
    for frame in frames {
        let (now, event, words, expected) = match readable(frame)? {
            Frame::Start(_) | Frame::State(_) => return Err(ReplayError::NoStart),
            Frame::Message(now, from, message) => {
                let words = format!("{} from {from}", message.kind());
                (now, Event::Message { from, message: context.verify(message)? }, words, None)
            }
            Frame::Operation(now, operation) => {
                let words = format!("operation {}", operation.id());
                let mut verdicts = context.verify_operations(vec![Arc::new(*operation)]);
                let Some(verdict) = verdicts.pop() else { continue };
                (now, Event::Operation(verdict?), words, None)
            }
            Frame::Promise(now, operation) => {
                (now, Event::Promise(operation), format!("a promise wanted for {operation}"), None)
            }
            Frame::Executed(now, executed) => {
                let words = format!("executed {}", executed.execution.sequence);
                (now, Event::Executed(executed), words, None)
            }
            Frame::Round(now, nonce) => (now, Event::Round(nonce), "a freshness round".to_owned(), None),
            Frame::Statement(now, nonce) => (now, Event::Statement(nonce), "a freshness statement".to_owned(), None),
            Frame::Refused(now, from, count, why) => {
                let words = format!("{count} refused of {from}: {why}");
                (now, Event::Refused { from, count, why }, words, None)
            }
            Frame::KeyElsewhere(now) => (now, Event::KeyElsewhere, "the own key elsewhere".to_owned(), None),
            Frame::Turn(now, digest, recorded) => {
                (now, Event::Turn, "end of turn".to_owned(), Some((digest, recorded)))
            }
        };
        replica.step(now, event, &mut out);
        done.steps += 1;
        let gave = expected.map(|(expected, recorded)| {
            let out = std::mem::take(&mut out);
            let (replayed, is_same) = (summary(&out), digest(&out) == expected);
            done.turns += 1;
            done.other_bytes += u64::from(!is_same);
            done.other_words += u64::from(replayed != recorded);
            Gave { recorded, replayed, is_same }
        });
        each(&Moment { number: done.steps, now, event: words, gave, replica: &replica });
    }
    Ok(done)
}

/// Tells what stands in the end of a recording, step by step, with the time: what went in, what each turn gave, and
/// the replica's state after it, as they were recorded. Gives the number of turns.
///
/// # Errors
/// If it isn't the end of a recording, or can't be read.
pub fn tell(end: &[u8], mut each: impl FnMut(Now, &str)) -> Result<u64, ReplayError> {
    let frames = frames(end, END_MAGIC).ok_or(ReplayError::NoRecording)?;
    let (mut turns, mut at) = (0, Now { monotonic_ms: 0, wall_ms: 0 });
    for (frame, read) in frames.into_iter().enumerate() {
        let (now, words) = match read.map_err(|fault| ReplayError::Frame { frame, fault })? {
            Frame::Start(_) => return Err(ReplayError::NoRecording),
            Frame::Message(now, from, message) => (now, format!("{} from {from}", message.kind())),
            Frame::Operation(now, operation) => (now, format!("operation {}", operation.id())),
            Frame::Promise(now, operation) => (now, format!("a promise wanted for {operation}")),
            Frame::Executed(now, executed) => (now, format!("executed {}", executed.execution.sequence)),
            Frame::Round(now, _) => (now, "a freshness round".to_owned()),
            Frame::Statement(now, _) => (now, "a freshness statement".to_owned()),
            Frame::KeyElsewhere(now) => (now, "the own key elsewhere".to_owned()),
            Frame::Turn(now, _, gave) => {
                turns += 1;
                (now, format!("end of turn: {}", if gave.is_empty() { "nothing" } else { gave.as_str() }))
            }
            Frame::Refused(now, from, count, words) => (now, format!("{count} messages of {from} refused: {words:?}")),
            Frame::State(words) => (at, words),
        };
        at = now;
        each(now, &words);
    }
    Ok(turns)
}

fn context(start: &Start) -> Result<Context, ReplayError> {
    let genesis = Genesis::parse(start.genesis.as_bytes())?;
    Ok(Context {
        cluster: start.cluster,
        scheme: Scheme::Ed25519,
        epoch: Epoch::ZERO,
        set: Arc::new(genesis.validator_set()),
        parameters: Arc::new(genesis.content.parameters),
        start: (Sequence::ZERO, start.cluster.0),
    })
}

fn begin(start: Start, context: Context, key: SecretKey) -> Result<Replica, ReplayError> {
    let store = MemoryStore::new();
    let mut batch = WriteBatch::new();
    for (family, key, value) in start.found {
        batch.put(family, key, value);
    }
    store.write(batch, Durability::Synced)?;
    Ok(recover(&store, start.guard_file.as_ref(), Setup { context, me: start.me, key, fresh: [0; 32] }, start.now)?)
}
