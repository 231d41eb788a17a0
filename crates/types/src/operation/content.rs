//! What an operation says: entities, guards, mutations (data-model §§1–2).

use std::fmt;

use quorate_crypto::PublicKey;
use serde::{Deserialize, Serialize};

use super::system::SystemChange;
use crate::codec::{Canonical, DecodeError, Reader, encode_bytes};
use crate::ids::{BlockTime, ClusterId, OperationId};
use crate::value::Value;

/// Bytes of a kind's name at most.
pub const MAX_KIND_BYTES: usize = 64;

/// Bytes of an entity's id at most, whatever the parameters say.
pub const MAX_ENTITY_ID_BYTES: usize = 1024;

/// An entity: a kind and an id within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityId {
    /// The kind's name, as the genesis declares it.
    pub kind: String,
    /// The id: UTF-8 without control characters.
    pub id: String,
}

impl EntityId {
    /// The entity `id` of `kind`; the names are checked where the operation is.
    #[must_use]
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned() }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl Canonical for EntityId {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.kind.as_bytes(), out);
        encode_bytes(self.id.as_bytes(), out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = text(input.bytes(MAX_KIND_BYTES, "name of a kind")?)?;
        let id = text(input.bytes(MAX_ENTITY_ID_BYTES, "entity id")?)?;
        Ok(Self { kind, id })
    }
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| DecodeError::Malformed { what: "name of an entity", rule: "must be UTF-8" })
}

/// The author's hybrid logical clock: information, never trusted for order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HybridTime {
    /// Milliseconds since the Unix epoch.
    pub ms: u64,
    /// Counter within one millisecond.
    pub counter: u32,
}

/// Everything that the author signs, in the words of the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationContent {
    /// The only cluster in which the operation is valid.
    pub cluster: ClusterId,
    /// Who signs.
    pub author: PublicKey,
    /// Unique for each author (data-model §3).
    pub nonce: u64,
    /// The operation's causal past.
    pub parents: Vec<OperationId>,
    /// The author's clock.
    pub timestamp: HybridTime,
    /// The block time after which it must not execute.
    pub expires_at: BlockTime,
    /// Conditions that must all hold.
    pub guards: Vec<Guard>,
    /// Changes, applied all or none, in this order.
    pub mutations: Vec<Mutation>,
    /// What a system operation does, in place of guards and mutations.
    pub system: Option<SystemChange>,
}

/// A condition on one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The entity.
    pub entity: EntityId,
    /// What must hold.
    pub condition: Condition,
}

/// What a guard demands of its entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It exists.
    Exists,
    /// It doesn't exist.
    Absent,
    /// It exists at this version.
    Version(u64),
    /// It exists and holds this value at this path.
    ValueAt {
        /// Where; empty for the whole.
        path: Path,
        /// The value expected, type and scale included.
        value: Value,
    },
    /// It exists and this operation was the last applied to it.
    Last(OperationId),
    /// It is a set that exists, and this is a member.
    Contains(Value),
    /// It is a set that exists, and this is no member.
    Lacks(Value),
}

/// A change of one entity (a transfer: of two).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The entity.
    pub entity: EntityId,
    /// What to do with it.
    pub change: Change,
}

/// What a mutation does. What each demands is said field by field in `body.proto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes the entity.
    Create {
        /// A document's or register's content, a counter's first value, or a list of a set's first members.
        value: Option<Value>,
    },
    /// Replaces a document or a register, or makes it.
    Put {
        /// The whole content.
        value: Value,
    },
    /// Removes the entity.
    Delete,
    /// Writes the value at a path of a document.
    Set {
        /// Where.
        path: Path,
        /// What.
        value: Value,
    },
    /// Removes what is at a path of a document.
    Unset {
        /// Where.
        path: Path,
    },
    /// Adds to the integer at a path of a document.
    Increment {
        /// Where.
        path: Path,
        /// How much.
        by: i64,
    },
    /// Appends to the list at a path of a document.
    Push {
        /// Where the list is.
        path: Path,
        /// What to append.
        value: Value,
    },
    /// Removes all members equal to a value from the list at a path of a document.
    Pull {
        /// Where the list is.
        path: Path,
        /// What to remove.
        value: Value,
    },
    /// Adds to a counter.
    Add {
        /// How much.
        by: i64,
    },
    /// Moves an amount from this account to another of the same kind.
    Transfer {
        /// Id of the receiving account.
        to: String,
        /// How much, at least 1.
        amount: u64,
    },
    /// Makes an amount out of nothing.
    Mint {
        /// How much, at least 1.
        amount: u64,
    },
    /// Destroys an amount.
    Burn {
        /// How much, at least 1.
        amount: u64,
    },
    /// Adds a member to a set.
    Insert {
        /// The member.
        value: Value,
    },
    /// Removes a member from a set.
    Remove {
        /// The member.
        value: Value,
    },
    /// Adds to what an inventory has available.
    Restock {
        /// How much, at least 1.
        amount: u64,
    },
    /// Sets an amount of what is available aside.
    Reserve {
        /// How much, at least 1.
        amount: u64,
    },
    /// Makes an amount of what is reserved available again.
    Release {
        /// How much, at least 1.
        amount: u64,
    },
    /// Takes an amount of what is reserved out of the stock.
    Take {
        /// How much, at least 1.
        amount: u64,
    },
}

impl Change {
    /// The mutation's name, as in the documents and the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Put { .. } => "put",
            Self::Delete => "delete",
            Self::Set { .. } => "set",
            Self::Unset { .. } => "unset",
            Self::Increment { .. } => "increment",
            Self::Push { .. } => "push",
            Self::Pull { .. } => "pull",
            Self::Add { .. } => "add",
            Self::Transfer { .. } => "transfer",
            Self::Mint { .. } => "mint",
            Self::Burn { .. } => "burn",
            Self::Insert { .. } => "insert",
            Self::Remove { .. } => "remove",
            Self::Restock { .. } => "restock",
            Self::Reserve { .. } => "reserve",
            Self::Release { .. } => "release",
            Self::Take { .. } => "take",
        }
    }
}

/// A way into a document: keys of maps and indexes of lists. Which of the two a step is follows from
/// what it meets, as in JSON pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<String>);

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// A pointer that isn't empty starts with a slash.
    #[error("a path starts with '/', as in /versions/0/size")]
    NoSlash,
    /// A tilde stands for itself only as `~0`.
    #[error("'~' at byte {position} must be written ~0 (and '/' inside a step ~1)")]
    Tilde {
        /// Where it stands.
        position: usize,
    },
}

impl Path {
    /// The step as an index into a list: decimal digits without a leading zero.
    #[must_use]
    pub fn index(step: &str) -> Option<usize> {
        let is_number = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
        let has_one_form = step == "0" || !step.starts_with('0');
        if is_number && has_one_form { step.parse().ok() } else { None }
    }
}

impl std::str::FromStr for Path {
    type Err = PathFault;

    /// Reads a JSON pointer (RFC 6901): `/a/b/0`, with `~0` for `~` and `~1` for `/` inside a step.
    fn from_str(pointer: &str) -> Result<Self, PathFault> {
        if pointer.is_empty() {
            return Ok(Self::default());
        }
        let steps = pointer.strip_prefix('/').ok_or(PathFault::NoSlash)?;
        for (position, _) in pointer.match_indices('~') {
            if !matches!(pointer.as_bytes().get(position + 1), Some(b'0' | b'1')) {
                return Err(PathFault::Tilde { position });
            }
        }
        Ok(Self(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_and_read_as_a_json_pointer() {
        for pointer in ["", "/", "/a/b/0", "/a~1b/~0", "/~01", "//x"] {
            assert_eq!(pointer.parse::<Path>().unwrap().to_string(), pointer);
        }
        assert_eq!("/~01".parse::<Path>().unwrap().0, ["~1"]);
        assert_eq!("a".parse::<Path>(), Err(PathFault::NoSlash));
        assert_eq!("/a~".parse::<Path>(), Err(PathFault::Tilde { position: 2 }));
        assert_eq!("/~2".parse::<Path>(), Err(PathFault::Tilde { position: 1 }));
    }

    #[test]
    fn an_index_has_one_form() {
        assert_eq!(Path::index("0"), Some(0));
        assert_eq!(Path::index("10"), Some(10));
        for step in ["", "00", "01", "+1", "-1", "1 ", "99999999999999999999999"] {
            assert_eq!(Path::index(step), None, "{step}");
        }
    }
}
