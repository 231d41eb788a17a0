//! Why an operation is refused before it is ordered: always the fault of whoever made or sent it.

use quorate_crypto::Digest;

use crate::ids::ClusterId;
use crate::schema::SchemaFault;
use crate::value::DecimalFault;

/// Why the bytes of an operation are refused whatever the state is (data-model §1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationFault {
    /// The body is not in canonical form.
    #[error("the body is not in canonical form: {field} {problem}")]
    Encoding {
        /// Path of the field at fault, such as `mutations[2].set.path[0]`.
        field: String,
        /// What is wrong with it.
        problem: EncodingProblem,
    },
    /// A field that must be there is not.
    #[error("{field} is required")]
    Missing {
        /// Path of the field.
        field: String,
    },
    /// A byte string of fixed length has another one.
    #[error("{field} must be {expected} bytes long, it has {found}")]
    Length {
        /// Path of the field.
        field: String,
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// A limit is passed.
    #[error("{what} of {value} is above the limit of {limit}")]
    Limit {
        /// What is limited.
        what: Limited,
        /// The value found.
        value: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// The operation belongs to another cluster.
    #[error("the operation is for cluster {found}, this is cluster {expected}")]
    OtherCluster {
        /// The cluster that the operation names.
        found: ClusterId,
        /// This cluster.
        expected: ClusterId,
    },
    /// The signature isn't the author's over this operation.
    #[error("the signature does not fit the author, the cluster and the body")]
    Signature,
    /// One parent is named twice.
    #[error("parents[{index}] names {parent} a second time")]
    RepeatedParent {
        /// Position of the second mention.
        index: usize,
        /// The parent.
        parent: Digest,
    },
    /// A name has a character or form that it may not have.
    #[error("{field} {rule}")]
    Name {
        /// Path of the field.
        field: String,
        /// The rule broken.
        rule: NameRule,
    },
    /// The keys of a map aren't in ascending order, or one is there twice.
    #[error("{field}.keys[{index}] is not above the key before it")]
    MapKeys {
        /// Path of the value.
        field: String,
        /// Position of the key at fault.
        index: usize,
    },
    /// `keys` or `items` hold members that the value's type doesn't have.
    #[error("{field} has {keys} keys and {items} items, which do not fit its type")]
    Members {
        /// Path of the value.
        field: String,
        /// Keys found.
        keys: usize,
        /// Items found.
        items: usize,
    },
    /// A system operation has guards or mutations, too.
    #[error("system stands beside guards or mutations; a system operation stands alone")]
    NotAlone,
    /// A field has a value that it can't have.
    #[error("{field} {rule}")]
    Unusable {
        /// Path of the field.
        field: String,
        /// What must be otherwise.
        rule: &'static str,
    },
    /// A schema isn't one.
    #[error("{field}: {fault}")]
    Schema {
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        fault: Box<SchemaFault>,
    },
    /// A decimal isn't in its one notation.
    #[error("{field}.decimal: {fault}")]
    Decimal {
        /// Path of the value.
        field: String,
        /// What is wrong with it.
        fault: DecimalFault,
    },
}

/// What is wrong with the encoding of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingProblem {
    /// The message has no field of this number.
    #[error("has an unknown field number {number}")]
    UnknownField {
        /// The number found.
        number: u64,
    },
    /// The field has another wire type.
    #[error("has the wire type {found} instead of {expected}")]
    WireType {
        /// The wire type found.
        found: u8,
        /// The wire type of the field.
        expected: u8,
    },
    /// A varint has more bytes than it needs, or more than 64 bits.
    #[error("has a varint that is not the shortest for its number")]
    LongVarint,
    /// A number does not fit the field's type.
    #[error("has a number outside of its type's range")]
    Range,
    /// A field stands behind one with a higher number.
    #[error("stands behind field number {after}")]
    Order {
        /// The higher number before it.
        after: u32,
    },
    /// A singular field, or a second member of a `oneof`, stands where there is one already.
    #[error("stands there a second time")]
    Repeated,
    /// A default value is written out.
    #[error("is written although it has its default value")]
    Default,
    /// The bytes end inside the field.
    #[error("is cut off")]
    Truncated,
    /// Text is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Messages are nested too deeply to be read at all.
    #[error("is nested too deeply")]
    TooDeep,
    /// It differs from what is made of its content, in a way that has no name here.
    #[error("differs from its own re-encoding")]
    Differs,
}

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// Bytes of body and signature together.
    #[error("the operation's size in bytes")]
    OperationBytes,
    /// Number of parents.
    #[error("the number of parents")]
    Parents,
    /// Number of guards.
    #[error("the number of guards")]
    Guards,
    /// Number of mutations.
    #[error("the number of mutations")]
    Mutations,
    /// Bytes of an entity's id.
    #[error("the length in bytes of an entity id")]
    EntityIdBytes,
    /// Bytes of a kind's name.
    #[error("the length in bytes of a kind's name")]
    KindBytes,
    /// Keys that have a right.
    #[error("the number of keys of a right")]
    RightKeys,
    /// Steps of a path.
    #[error("the number of steps in a path")]
    PathSteps,
    /// Levels of a value.
    #[error("the number of levels in a value")]
    ValueLevels,
    /// Bytes of a value.
    #[error("the size in bytes of a value")]
    ValueBytes,
}

/// A rule that a name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameRule {
    /// The name of a kind.
    #[error("must start with a lower-case letter and hold only lower-case letters, digits, '-' and '_'")]
    Kind,
    /// An entity's id is empty.
    #[error("must not be empty")]
    Empty,
    /// An entity's id holds a control character.
    #[error("must not hold control characters")]
    Control,
}
