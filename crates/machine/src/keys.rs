//! The keys of the replicated state, all of them.
//!
//! A key is a letter for the table and then fixed-width big-endian fields, so that scans go in the order
//! of the numbers. Only an entity's key has parts of free length: the kind's name, which holds no zero
//! byte, a zero byte, and the id.
//!
//! | table | key | value |
//! |---|---|---|
//! | `e` | kind, 0, id | the entity |
//! | `s` | kind | supply: the sum over the kind's accounts |
//! | `n` | author | nonce window |
//! | `u` | author, place in a ring of groups | the operations that used 16 neighbouring nonces |
//! | `x` | time, author | when to look whether the window can go |
//! | `o` | operation | where it executed: the operation index |
//! | `l` | sequence | all operations that executed there: what `o` is made of, and pruned by |
//! | `w` | operation | an operation in the waiting room |
//! | `p` | parent, child | that the child waits for the parent |
//! | `q` | sequence, position | the waiting operation, by the time of its arrival |
//! | `c` | whose | what the waiting room holds, in all, of an author, of a lane |
//! | `k` | kind's name | a kind that an operation has defined |
//! | `k` | 0, author | that such a kind gives the author a right to change something |
//! | `k` | 0 | that such a kind gives everyone one |
//! | `k` | | how many such kinds there are |
//! | `m` | | sequence and block time that this is the state of |
//! | `t` | | each lane's tip |
//! | `g` | | the cluster, whose genesis declares validators, parameters, administrators and the first kinds |
//!
//! All of it but `o`, which follows from `l`, is under the state root (data-model §4.3).

use quorate_crypto::PublicKey;
use quorate_storage::Key;
use quorate_types::entity::ENTITIES;
use quorate_types::ids::{BlockTime, OperationId, Sequence, ValidatorIndex};

use quorate_types::operation::EntityId;

/// Sequence and block time of the state.
pub(crate) const POSITION: &[u8] = b"m";
/// Each lane's tip.
pub(crate) const TIPS: &[u8] = b"t";
/// The cluster.
pub(crate) const CLUSTER: &[u8] = b"g";
/// What the keys of the operation index start with.
pub(crate) const INDEX: &[u8] = b"o";
/// The queue of windows to look at.
pub(crate) const WINDOW_QUEUE: &[u8] = b"x";
/// The executed operations, by sequence.
pub(crate) const LOG: &[u8] = b"l";
/// The waiting operations in order of arrival.
pub(crate) const WAITING_QUEUE: &[u8] = b"q";

/// How many kinds operations have defined.
pub(crate) const KINDS: &[u8] = b"k";
/// That a kind which an operation has defined gives everyone a right to change something. No name of a kind holds a
/// zero byte.
pub(crate) const ANYONE: &[u8] = b"k\0";

/// What the waiting room holds in all.
pub(crate) const WAITING_TOTAL: &[u8] = b"ct";

pub(crate) fn entity(entity: &EntityId) -> Key {
    Key::of(&[ENTITIES, entity.kind.as_bytes(), &[0], entity.id.as_bytes()])
}

/// What the keys of all entities of a kind start with.
pub(crate) fn entities(kind: &str) -> Key {
    Key::of(&[ENTITIES, kind.as_bytes(), &[0]])
}

/// A kind that an operation has defined.
pub(crate) fn kind(name: &str) -> Key {
    Key::of(&[KINDS, name.as_bytes()])
}

/// That a kind which an operation has defined gives `author` a right to change something.
pub(crate) fn entitled(author: &PublicKey) -> Key {
    Key::of(&[ANYONE, author.as_bytes()])
}

pub(crate) fn supply(kind: &str) -> Key {
    Key::of(&[b"s", kind.as_bytes()])
}

pub(crate) fn window(author: &PublicKey) -> Key {
    Key::of(&[b"n", author.as_bytes()])
}

pub(crate) fn nonces_of_group(author: &PublicKey, place: u8) -> Key {
    Key::of(&[b"u", author.as_bytes(), &[place]])
}

/// What the keys of all used nonces of an author start with.
pub(crate) fn nonces(author: &PublicKey) -> Key {
    Key::of(&[b"u", author.as_bytes()])
}

pub(crate) fn window_due(due: BlockTime, author: &PublicKey) -> Key {
    Key::of(&[WINDOW_QUEUE, &due.0.to_be_bytes(), author.as_bytes()])
}

pub(crate) fn indexed(operation: &OperationId) -> Key {
    Key::of(&[INDEX, operation.0.as_bytes()])
}

pub(crate) fn logged(sequence: Sequence) -> Key {
    Key::of(&[LOG, &sequence.0.to_be_bytes()])
}

pub(crate) fn waiting(operation: &OperationId) -> Key {
    Key::of(&[b"w", operation.0.as_bytes()])
}

pub(crate) fn waits_for(parent: &OperationId, child: &OperationId) -> Key {
    Key::of(&[b"p", parent.0.as_bytes(), child.0.as_bytes()])
}

/// What the keys of all that wait for a parent start with.
pub(crate) fn children(parent: &OperationId) -> Key {
    Key::of(&[b"p", parent.0.as_bytes()])
}

pub(crate) fn waiting_place(sequence: Sequence, position: u32) -> Key {
    Key::of(&[WAITING_QUEUE, &sequence.0.to_be_bytes(), &position.to_be_bytes()])
}

pub(crate) fn waiting_of_author(author: &PublicKey) -> Key {
    Key::of(&[b"ca", author.as_bytes()])
}

pub(crate) fn waiting_of_lane(lane: ValidatorIndex) -> Key {
    Key::of(&[b"cl", &lane.0.to_be_bytes()])
}

/// The first key above all that start with `prefix`, which holds a byte below 255.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_lies_above_its_keys_and_below_its_successor() {
        assert_eq!(after(b"ea\0"), b"ea\x01");
        assert_eq!(after(&[b'u', 255, 255]), [b'v']);
        assert_eq!(after(b"e"), b"f");
    }

    #[test]
    fn an_entity_lies_where_state_proofs_look_for_it() {
        let name = EntityId::new("package", "zlib1g:amd64");
        assert_eq!(entity(&name)[..], quorate_types::entity::state_key(&name));
    }

    #[test]
    fn no_entity_of_one_kind_lies_among_those_of_another() {
        let longer = entity(&EntityId::new("ab", "x"));
        let prefix = entities("a");
        assert!(!longer.starts_with(&prefix));
        assert!(longer < prefix || longer[..] >= after(&prefix)[..]);
    }
}
