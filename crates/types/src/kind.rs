//! Kinds of entities: what an entity of a kind is and who may do what with it (data-model §2).
//!
//! This version has kinds ordered by consensus. What a later one will have is refused by name rather than
//! as unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_crypto::PublicKey;

use crate::codec::{Canonical, DecodeError, Reader, encode_bytes, encode_list};
use crate::operation::MAX_KIND_BYTES;
use crate::schema::Schema;
use crate::value::Value;

/// Keys that a right of a kind defined by an operation may name at most.
pub const MAX_RIGHT_KEYS: usize = 256;

/// A kind of entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name: up to 64 lower-case letters, digits, `-` and `_`, a letter first.
    pub name: String,
    /// How its entities are replicated.
    pub consistency: Consistency,
    /// What its entities are.
    pub entity_type: EntityType,
    /// What its documents must look like; kinds of other types have none.
    pub schema: Option<Schema>,
    /// Who may do what.
    pub access: Access,
}

/// How the entities of a kind are replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Ordered by consensus.
    Strong,
}

impl Consistency {
    /// The name in the genesis file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strong => "strong",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        (name == Self::Strong.name()).then_some(Self::Strong)
    }
}

/// What the entities of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityType {
    /// A tree of values.
    Document,
    /// A signed 64-bit integer that is added to.
    Counter,
    /// A balance that moves between accounts of the kind.
    Account {
        /// Whether a balance may fall below zero.
        overdraft: bool,
    },
    /// One value, replaced as a whole.
    Register,
    /// Values, each at most once.
    Set,
    /// A stock: what is available, and what is reserved of it.
    Inventory,
}

impl EntityType {
    /// The name in the genesis file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Counter => "counter",
            Self::Account { .. } => "account",
            Self::Register => "register",
            Self::Set => "set",
            Self::Inventory => "inventory",
        }
    }

    /// The type with this name; `overdraft` is for accounts.
    #[must_use]
    pub fn named(name: &str, overdraft: bool) -> Option<Self> {
        let all =
            [Self::Document, Self::Counter, Self::Account { overdraft }, Self::Register, Self::Set, Self::Inventory];
        all.into_iter().find(|found| found.name() == name)
    }
}

/// Who may do what with the entities of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Make entities.
    pub create: Right,
    /// Change and delete them.
    pub write: Right,
    /// Read them, and put guards on them (as writers may, too).
    pub read: Right,
    /// Mint and burn; restock.
    pub administer: Right,
}

/// Who has a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// Everyone with a key.
    Anyone,
    /// The owners of these keys.
    Keys(BTreeSet<PublicKey>),
}

impl Right {
    /// Whether the owner of `key` has it.
    #[must_use]
    pub fn includes(&self, key: &PublicKey) -> bool {
        match self {
            Self::Anyone => true,
            Self::Keys(keys) => keys.contains(key),
        }
    }
}

impl Access {
    /// Everyone may do everything but mint, burn and restock, which only `administrators` may.
    #[must_use]
    pub fn open(administrators: impl IntoIterator<Item = PublicKey>) -> Self {
        let administer = Right::Keys(administrators.into_iter().collect());
        Self { create: Right::Anyone, write: Right::Anyone, read: Right::Anyone, administer }
    }

    /// Whether `key` may change anything, which is what makes it an author.
    #[must_use]
    pub fn admits_author(&self, key: &PublicKey) -> bool {
        [&self.create, &self.write, &self.administer].into_iter().any(|right| right.includes(key))
    }
}

/// All kinds, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds(BTreeMap<String, Arc<Kind>>);

impl Kinds {
    /// The kinds given; the last of two with one name counts (the genesis refuses that).
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.name.clone(), Arc::new(kind))).collect())
    }

    /// The kind with this name.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.0.get(name).map(Arc::as_ref)
    }

    /// The kind with this name, to be kept.
    #[must_use]
    pub fn shared(&self, name: &str) -> Option<Arc<Kind>> {
        self.0.get(name).map(Arc::clone)
    }

    /// Adds a kind.
    pub fn insert(&mut self, kind: Kind) {
        self.0.insert(kind.name.clone(), Arc::new(kind));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.values().map(Arc::as_ref)
    }

    /// Whether `key` has any right by which it may change anything (data-model §3, `UNKNOWN_AUTHOR`).
    #[must_use]
    pub fn admit_author(&self, key: &PublicKey) -> bool {
        self.iter().any(|kind| kind.access.admits_author(key))
    }
}

impl Canonical for Kind {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.name.as_bytes(), out);
        encode_bytes(self.consistency.name().as_bytes(), out);
        encode_bytes(self.entity_type.name().as_bytes(), out);
        (self.entity_type == EntityType::Account { overdraft: true }).encode(out);
        self.schema.is_some().encode(out);
        if let Some(schema) = &self.schema {
            schema.value().encode(out);
        }
        let Access { create, write, read, administer } = &self.access;
        for right in [create, write, read, administer] {
            right.encode(out);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = text(input, "name of a kind")?;
        let consistency = Consistency::named(&text(input, "consistency of a kind")?);
        let (name_of_type, overdraft) = (text(input, "type of a kind")?, bool::decode(input)?);
        let entity_type = EntityType::named(&name_of_type, overdraft);
        let schema = if bool::decode(input)? { Some(Schema::from_value(Value::decode(input)?)) } else { None };
        let malformed = |rule| DecodeError::Malformed { what: "kind", rule };
        let schema = schema.transpose().map_err(|_| malformed("its schema must be one"))?;
        Ok(Self {
            name,
            consistency: consistency.ok_or_else(|| malformed("its consistency must be known"))?,
            entity_type: entity_type.ok_or_else(|| malformed("its type must be known"))?,
            schema,
            access: Access {
                create: Right::decode(input)?,
                write: Right::decode(input)?,
                read: Right::decode(input)?,
                administer: Right::decode(input)?,
            },
        })
    }
}

impl Canonical for Right {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Anyone => out.push(1),
            Self::Keys(keys) => {
                out.push(0);
                encode_list(&keys.iter().copied().collect::<Vec<_>>(), out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if bool::decode(input)? {
            return Ok(Self::Anyone);
        }
        let keys: Vec<PublicKey> = input.list(MAX_RIGHT_KEYS, "keys of a right")?;
        if !keys.is_sorted_by(|one, next| one < next) {
            return Err(DecodeError::Malformed { what: "keys of a right", rule: "they ascend, each once" });
        }
        Ok(Self::Keys(keys.into_iter().collect()))
    }
}

fn text(input: &mut Reader<'_>, what: &'static str) -> Result<String, DecodeError> {
    let bytes = input.bytes(MAX_KIND_BYTES, what)?;
    let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed { what, rule: "must be UTF-8" })?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_who_may_change_something_not_who_may_read() {
        let key = PublicKey::from_bytes([1; 32]);
        let nobody = || Right::Keys(BTreeSet::new());
        let mut access = Access { create: nobody(), write: nobody(), read: Right::Anyone, administer: nobody() };
        let kinds = |access: &Access| {
            Kinds::new([Kind {
                name: "k".to_owned(),
                consistency: Consistency::Strong,
                entity_type: EntityType::Document,
                schema: None,
                access: access.clone(),
            }])
        };
        assert!(!kinds(&access).admit_author(&key));
        access.administer = Right::Keys(BTreeSet::from([key]));
        assert!(kinds(&access).admit_author(&key));
    }
}
