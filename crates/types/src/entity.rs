//! Entities as the state holds them and as state proofs show them (data-model §§2.1, 4.7).
//!
//! An entity is one entry: what the machine knows about it and its value. A deleted entity leaves
//! nothing behind; one created again starts at version 1.

use crate::codec::{Canonical, DecodeError, Reader, encode_list};
use crate::ids::{BlockTime, OperationId, Sequence};
use crate::operation::EntityId;
use crate::receipt::MAX_CONCURRENT;
use crate::value::Value;

/// Members of a set, at most: a bound of the format. The parameter `document_bytes` bounds them more closely.
const MAX_MEMBERS: usize = 1 << 20;

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
    /// One value, replaced as a whole.
    Register(Value),
    /// Members, each once, in the order of their canonical bytes.
    Set(Members),
    /// A stock.
    Inventory(Stock),
}

impl Content {
    /// What it is, as one value: a set as a list of its members, a stock as a map.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Document(value) | Self::Register(value) => value.clone(),
            Self::Counter(value) | Self::Account(value) => Value::Integer(*value),
            Self::Set(members) => Value::List(members.iter().cloned().collect()),
            Self::Inventory(Stock { available, reserved }) => {
                let number = |name: &str, value: i64| (name.to_owned(), Value::Integer(value));
                Value::Map([number("available", *available), number("reserved", *reserved)].into())
            }
        }
    }

    /// Length of what [`Self::to_value`] gives, in canonical bytes, without making it.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Document(value) | Self::Register(value) => value.size_bytes(),
            Self::Counter(_) | Self::Account(_) => 9,
            Self::Set(members) => 5 + members.iter().map(Value::size_bytes).sum::<usize>(),
            Self::Inventory(_) => 2 * 9 + 5 + 4 + "available".len() + 4 + "reserved".len(),
        }
    }
}

/// A stock: amounts that are never below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// What can still be reserved.
    pub available: i64,
    /// What is set aside, to be taken or released.
    pub reserved: i64,
}

/// Members of a set, each once, in the order of their canonical bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Vec<Value>);

impl Members {
    /// Adds a member; tells whether it was new.
    pub fn insert(&mut self, value: Value) -> bool {
        match self.place(&value) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, value);
                true
            }
        }
    }

    /// Removes a member; tells whether there was one.
    pub fn remove(&mut self, value: &Value) -> bool {
        self.place(value).map(|place| self.0.remove(place)).is_ok()
    }

    /// Whether `value` is a member.
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        self.place(value).is_ok()
    }

    /// All members, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, value: &Value) -> Result<usize, usize> {
        let wanted = value.to_bytes();
        self.0.binary_search_by(|member| member.to_bytes().cmp(&wanted))
    }
}

impl FromIterator<Value> for Members {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut members = Self::default();
        values.into_iter().for_each(|value| _ = members.insert(value));
        members
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Value;
    type IntoIter = std::slice::Iter<'a, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
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

impl Canonical for Members {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(&self.0, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let members: Vec<Value> = input.list(MAX_MEMBERS, "members of a set")?;
        let bytes: Vec<Vec<u8>> = members.iter().map(Canonical::to_bytes).collect();
        if !bytes.is_sorted_by(|one, next| one < next) {
            return Err(DecodeError::Malformed { what: "members of a set", rule: "they ascend, each once" });
        }
        Ok(Self(members))
    }
}

impl Canonical for Stock {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.available.to_be_bytes());
        out.extend_from_slice(&self.reserved.to_be_bytes());
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut amount = || {
            let amount = i64::from_be_bytes(input.array()?);
            let rule = "an amount isn't below zero";
            if amount < 0 { Err(DecodeError::Malformed { what: "a stock", rule }) } else { Ok(amount) }
        };
        Ok(Self { available: amount()?, reserved: amount()? })
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
            Self::Register(value) => {
                out.push(3);
                value.encode(out);
            }
            Self::Set(members) => {
                out.push(4);
                members.encode(out);
            }
            Self::Inventory(stock) => {
                out.push(5);
                stock.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            0 => Value::decode(input).map(Self::Document),
            1 => input.array().map(i64::from_be_bytes).map(Self::Counter),
            2 => input.array().map(i64::from_be_bytes).map(Self::Account),
            3 => Value::decode(input).map(Self::Register),
            4 => Members::decode(input).map(Self::Set),
            5 => Stock::decode(input).map(Self::Inventory),
            value => Err(DecodeError::Unknown { what: "type of an entity", value }),
        }
    }
}
