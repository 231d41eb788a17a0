//! The bytes of a recording: a magic word, then frames of kind, length and content.

use quorate_crypto::{Digest, Hasher};
use quorate_replica::suspicion::Words;
use quorate_replica::{Event, Executed, GuardFile, Now, Outbox, Outgoing, Recipient};
use quorate_storage::{Change, Family};
use quorate_types::codec::{Canonical, DecodeError, Reader, encode_bytes, encode_list};
use quorate_types::execution::Execution;
use quorate_types::freshness::Nonce;
use quorate_types::ids::{ClusterId, OperationId, ValidatorIndex};
use quorate_types::limits::MAX_VALIDATORS;
use quorate_types::message::Message;
use quorate_types::operation::Operation;

/// What a recording starts with.
pub const MAGIC: &[u8; 16] = b"quorate-flight-1";

/// What the end of a recording starts with.
pub const END_MAGIC: &[u8; 16] = b"quorate-flight-e";

/// The longest key, value or text in a recording.
const LONGEST: usize = 1 << 30;

const START: u8 = 1;
const MESSAGE: u8 = 2;
const OPERATION: u8 = 3;
const EXECUTED: u8 = 4;
const TURN: u8 = 5;
const ROUND: u8 = 6;
const STATEMENT: u8 = 7;
const REFUSED: u8 = 8;
const STATE: u8 = 9;
const PROMISE: u8 = 10;
const KEY_ELSEWHERE: u8 = 11;

/// An entry of the store: family, key, value.
pub(crate) type Entry = (Family, Vec<u8>, Vec<u8>);

/// What a replica was made of.
#[derive(Clone, Debug)]
pub struct Start {
    /// The cluster.
    pub cluster: ClusterId,
    /// The genesis' content, as TOML.
    pub genesis: String,
    /// The validator.
    pub me: ValidatorIndex,
    /// When.
    pub now: Now,
    /// What its guard file held; `None` if it was missing or damaged.
    pub guard_file: Option<GuardFile>,
    /// What it found in its store.
    pub found: Vec<(Family, Vec<u8>, Vec<u8>)>,
}

/// One thing of a recording.
#[derive(Debug)]
pub(super) enum Frame {
    Start(Box<Start>),
    Message(Now, ValidatorIndex, Message),
    Operation(Now, Box<Operation>),
    Promise(Now, OperationId),
    Executed(Now, Executed),
    Turn(Now, Digest, String),
    Round(Now, Nonce),
    Statement(Now, Nonce),
    KeyElsewhere(Now),
    Refused(Now, ValidatorIndex, u64, Words),
    State(String),
}

/// Appends a frame whose content `write` makes.
fn frame(kind: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_now(now: Now, out: &mut Vec<u8>) {
    out.extend_from_slice(&now.monotonic_ms.to_be_bytes());
    out.extend_from_slice(&now.wall_ms.to_be_bytes());
}

fn take_now(input: &mut Reader<'_>) -> Result<Now, DecodeError> {
    Ok(Now { monotonic_ms: input.u64()?, wall_ms: input.u64()? })
}

fn put_entries(entries: &[Entry], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
    for (family, key, value) in entries {
        out.push(u8::try_from(family.index()).unwrap_or(u8::MAX));
        encode_bytes(key, out);
        encode_bytes(value, out);
    }
}

fn take_entries(input: &mut Reader<'_>) -> Result<Vec<Entry>, DecodeError> {
    let count = input.u32()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let index = usize::from(input.u8()?);
        let family = Family::ALL
            .get(index)
            .copied()
            .ok_or(DecodeError::Unknown { what: "family", value: u8::try_from(index).unwrap_or(u8::MAX) })?;
        entries.push((family, input.bytes(LONGEST, "a key")?.to_vec(), input.bytes(LONGEST, "a value")?.to_vec()));
    }
    Ok(entries)
}

pub(super) fn put_start(start: &Start, out: &mut Vec<u8>) {
    frame(START, out, |out| {
        out.extend_from_slice(start.cluster.0.as_bytes());
        encode_bytes(start.genesis.as_bytes(), out);
        out.extend_from_slice(&start.me.0.to_be_bytes());
        put_now(start.now, out);
        out.push(u8::from(start.guard_file.is_some()));
        if let Some(file) = &start.guard_file {
            out.extend_from_slice(&file.batch.to_be_bytes());
            put_entries(&file.records, out);
        }
        put_entries(&start.found, out);
    });
}

pub(super) fn put_event(now: Now, event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Message { from, message } => frame(MESSAGE, out, |out| {
            put_now(now, out);
            out.extend_from_slice(&from.0.to_be_bytes());
            message.encode(out);
        }),
        Event::Operation(operation) => frame(OPERATION, out, |out| {
            put_now(now, out);
            operation.encode(out);
        }),
        Event::Promise(operation) => frame(PROMISE, out, |out| {
            put_now(now, out);
            operation.encode(out);
        }),
        Event::Executed(executed) => frame(EXECUTED, out, |out| {
            put_now(now, out);
            executed.execution.encode(out);
            out.extend_from_slice(&executed.waiting.to_be_bytes());
            executed.ends.encode(out);
            encode_list(&executed.convictions, out);
        }),
        Event::Round(nonce) => frame(ROUND, out, |out| {
            put_now(now, out);
            out.extend_from_slice(nonce);
        }),
        Event::Statement(nonce) => frame(STATEMENT, out, |out| {
            put_now(now, out);
            out.extend_from_slice(nonce);
        }),
        Event::Refused { from, count, why } => frame(REFUSED, out, |out| {
            put_now(now, out);
            out.extend_from_slice(&from.0.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            encode_bytes(why.to_string().as_bytes(), out);
        }),
        Event::KeyElsewhere => frame(KEY_ELSEWHERE, out, |out| put_now(now, out)),
        // The end of a turn is recorded with what came out of it.
        Event::Turn => {}
    }
}

pub(super) fn put_turn(now: Now, out: &Outbox, bytes: &mut Vec<u8>) {
    frame(TURN, bytes, |bytes| {
        put_now(now, bytes);
        bytes.extend_from_slice(digest(out).as_bytes());
        encode_bytes(summary(out).as_bytes(), bytes);
    });
}

/// The replica after a turn, in words: in the end of a recording.
pub(super) fn put_state(words: &str, bytes: &mut Vec<u8>) {
    frame(STATE, bytes, |bytes| encode_bytes(words.as_bytes(), bytes));
}

/// A digest of all that a turn gave, but for what is only told to people.
pub(super) fn digest(out: &Outbox) -> Digest {
    let mut hasher = Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    for change in out.records.changes() {
        match change {
            Change::Put { family, key, value } => {
                part(family.name().as_bytes());
                part(key);
                part(value);
            }
            Change::Delete { family, key } => {
                part(family.name().as_bytes());
                part(key);
            }
        }
    }
    for (family, key, value) in &out.guard {
        part(family.name().as_bytes());
        part(key);
        part(value);
    }
    part(&out.batch.unwrap_or_default().to_be_bytes());
    for Outgoing { to, message } in out.after.iter().chain(&out.now) {
        match to {
            Recipient::All => part(b"all"),
            Recipient::One(to) => part(&to.0.to_be_bytes()),
        }
        part(&message.to_bytes());
    }
    for job in &out.execute {
        part(job.digest.as_bytes());
    }
    hasher.finish()
}

/// What a turn gave, for people: the same whatever key signed it.
pub(super) fn summary(out: &Outbox) -> String {
    let said = |messages: &[Outgoing]| {
        let one = |outgoing: &Outgoing| match outgoing.to {
            Recipient::All => format!("{} to all", outgoing.message.kind()),
            Recipient::One(to) => format!("{} to {to}", outgoing.message.kind()),
        };
        messages.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let executes: Vec<String> = out.execute.iter().map(|job| job.sequence.to_string()).collect();
    let mut parts = vec![said(&out.now), said(&out.after)];
    if !out.records.is_empty() {
        parts.push(format!("saves {} records", out.records.len()));
    }
    if !executes.is_empty() {
        parts.push(format!("executes {}", executes.join(", ")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

/// The frames of a recording, or of its end; one that was cut in its last frame is read up to there. `None` if it
/// doesn't start with `magic`.
pub(super) fn frames(bytes: &[u8], magic: &[u8; 16]) -> Option<Vec<Result<Frame, DecodeError>>> {
    let mut rest = bytes.strip_prefix(magic.as_slice())?;
    let mut frames = Vec::new();
    while let Some((kind, length, content)) = split(rest) {
        if content.len() < length {
            break;
        }
        let (content, behind) = content.split_at(length);
        frames.push(read(kind, content));
        rest = behind;
    }
    Some(frames)
}

fn split(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (head, content) = bytes.split_at_checked(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    Some((head[0], usize::try_from(length).ok()?, content))
}

fn read(kind: u8, content: &[u8]) -> Result<Frame, DecodeError> {
    let input = &mut Reader::new(content);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let frame = match kind {
        START => {
            let cluster = ClusterId(Digest::new(input.array()?));
            let genesis = text(input.bytes(LONGEST, "a genesis")?);
            let (me, now) = (ValidatorIndex(input.u16()?), take_now(input)?);
            let guard_file = match input.u8()? {
                0 => None,
                _ => Some(GuardFile { batch: input.u64()?, records: take_entries(input)? }),
            };
            let found = take_entries(input)?;
            Frame::Start(Box::new(Start { cluster, genesis, me, now, guard_file, found }))
        }
        MESSAGE => Frame::Message(take_now(input)?, ValidatorIndex(input.u16()?), Message::decode(input)?),
        OPERATION => Frame::Operation(take_now(input)?, Box::new(<Operation as Canonical>::decode(input)?)),
        PROMISE => Frame::Promise(take_now(input)?, OperationId::decode(input)?),
        EXECUTED => {
            let (now, execution) = (take_now(input)?, Execution::decode(input)?);
            let (waiting, ends) = (input.u32()?, Option::decode(input)?);
            let convictions = input.list(MAX_VALIDATORS, "convictions of a sequence")?;
            Frame::Executed(now, Executed { execution, waiting, ends, convictions })
        }
        TURN => {
            let (now, digest) = (take_now(input)?, Digest::new(input.array()?));
            Frame::Turn(now, digest, text(input.bytes(LONGEST, "a summary")?))
        }
        ROUND => Frame::Round(take_now(input)?, input.array()?),
        REFUSED => {
            let (now, from, count) = (take_now(input)?, ValidatorIndex(input.u16()?), input.u64()?);
            Frame::Refused(now, from, count, Words::of(&text(input.bytes(LONGEST, "a reason")?)))
        }
        KEY_ELSEWHERE => Frame::KeyElsewhere(take_now(input)?),
        STATEMENT => Frame::Statement(take_now(input)?, input.array()?),
        STATE => Frame::State(text(input.bytes(LONGEST, "a state")?)),
        other => return Err(DecodeError::Unknown { what: "frame", value: other }),
    };
    std::mem::replace(input, Reader::new(&[])).finish()?;
    Ok(frame)
}
