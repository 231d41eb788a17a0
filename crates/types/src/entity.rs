//! Entities as the state holds them and as state proofs show them (data-model §§2.1, 4.7).
//!
//! An entity is one entry: what the machine knows about it and its value. A deleted entity leaves
//! nothing behind; one created again starts at version 1.

use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::ids::{BlockTime, OperationId, Sequence};
use crate::operation::EntityId;
use crate::receipt::MAX_CONCURRENT;
use crate::value::Value;

/// What the keys of all entities in the state start with.
pub const ENTITIES: &[u8] = b"e";

/// An entity's key in the state. A kind's name holds no zero byte.
#[must_use]
pub fn state_key(entity: &EntityId) -> Vec<u8> {
    [ENTITIES, entity.kind.as_bytes(), &[0], entity.id.as_bytes()].concat()
}

/// An entity that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// What the machine knows about it.
    pub header: Header,
    /// What it is.
    pub content: Content,
}

/// What the machine knows about an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Operations applied to it since it was created, that one included.
    pub version: u64,
    /// The last of them.
    pub last: OperationId,
    /// The sequence at which that one executed.
    pub changed: Sequence,
    /// Operations on it without children on it, the oldest first; at most 16 (data-model §1.9).
    pub heads: Vec<Head>,
}

/// An operation that nothing on the entity was built on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The operation.
    pub operation: OperationId,
    /// Where it executed; a head lapses with its entry in the operation index.
    pub at: Position,
}

/// A sequence and its block time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The sequence.
    pub sequence: Sequence,
    /// Its block time.
    pub time: BlockTime,
}

/// What an entity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A tree of values.
    Document(Value),
    /// A number that is added to.
    Counter(i64),
    /// A balance.
    Account(i64),
}

impl Position {
    /// Whether a span of `sequences` and `ms` that began here has passed at `now`: both halves must have
    /// (data-model §4.2).
    #[must_use]
    pub fn lapsed(self, sequences: u32, ms: u32, now: Self) -> bool {
        let by_sequence = now.sequence.above(self.sequence) > u64::from(sequences);
        let by_time = now.time.above(self.time) > u64::from(ms);
        by_sequence && by_time
    }
}

impl Canonical for Entity {
    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.content.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { header: Header::decode(input)?, content: Content::decode(input)? })
    }
}

impl Canonical for Header {
    fn encode(&self, out: &mut Vec<u8>) {
        self.version.encode(out);
        self.last.encode(out);
        self.changed.encode(out);
        encode_list(&self.heads, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: input.u64()?,
            last: OperationId::decode(input)?,
            changed: Sequence::decode(input)?,
            heads: input.list(MAX_CONCURRENT, "heads of an entity")?,
        })
    }
}

impl Canonical for Head {
    fn encode(&self, out: &mut Vec<u8>) {
        self.operation.encode(out);
        self.at.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { operation: OperationId::decode(input)?, at: Position::decode(input)? })
    }
}

impl Canonical for Position {
    fn encode(&self, out: &mut Vec<u8>) {
        self.sequence.encode(out);
        self.time.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { sequence: Sequence::decode(input)?, time: BlockTime::decode(input)? })
    }
}

impl Canonical for Content {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Document(value) => {
                out.push(0);
                value.encode(out);
            }
            Self::Counter(value) => {
                out.push(1);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Account(balance) => {
                out.push(2);
                out.extend_from_slice(&balance.to_be_bytes());
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Value::decode(input).map(Self::Document),
            1 => input.array().map(i64::from_be_bytes).map(Self::Counter),
            2 => input.array().map(i64::from_be_bytes).map(Self::Account),
            value => Err(DecodeError::Unknown { what: "type of an entity", value }),
        }
    }
}
