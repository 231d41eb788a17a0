//! Kinds of entities: what an entity of a kind is and who may do what with it (data-model §2).
//!
//! This version has kinds ordered by consensus. What a later one will have is refused by name rather than
//! as unknown.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crypto::PublicKey;

use crate::schema::Schema;

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
pub struct Kinds(BTreeMap<String, Kind>);

impl Kinds {
    /// The kinds given; the last of two with one name counts (the genesis refuses that).
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.name.clone(), kind)).collect())
    }

    /// The kind with this name.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.values()
    }

    /// Whether `key` has any right by which it may change anything (data-model §3, `UNKNOWN_AUTHOR`).
    #[must_use]
    pub fn admit_author(&self, key: &PublicKey) -> bool {
        self.iter().any(|kind| kind.access.admits_author(key))
    }
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
