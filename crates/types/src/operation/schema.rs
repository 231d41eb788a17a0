//! The fields of `body.proto` as data, for [`super::wire`] to name what is wrong with a body.
//!
//! A test over every message shows that this table and the generated code agree.

/// One message type.
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// One field of a message.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// How a field's content is encoded.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `uint64` and `sint64`.
    Number64,
    /// `uint32`.
    Number32,
    /// `bool`.
    Boolean,
    /// `string`.
    Text,
    /// `bytes`.
    Data,
    /// Another message.
    Message(&'static Message),
}

/// How often a field may stand in its message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At most once; absent when it has its default value.
    Single,
    /// One of the members of the message's `oneof`; written whatever its value.
    Choice,
    /// Any number of times.
    List,
}

impl Kind {
    /// The wire type: 0 for varints, 2 for what has a length.
    pub(super) const fn wire_type(self) -> u8 {
        match self {
            Self::Number64 | Self::Number32 | Self::Boolean => 0,
            Self::Text | Self::Data | Self::Message(_) => 2,
        }
    }
}

const fn single(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, place: Place::Single }
}

const fn choice(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, place: Place::Choice }
}

const fn list(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, place: Place::List }
}

/// `OperationBody`.
pub(super) static BODY: Message = Message {
    fields: &[
        single(1, "cluster", Kind::Data),
        single(2, "author", Kind::Data),
        single(3, "nonce", Kind::Number64),
        list(4, "parents", Kind::Data),
        single(5, "timestamp_ms", Kind::Number64),
        single(6, "timestamp_counter", Kind::Number32),
        single(7, "expires_at", Kind::Number64),
        list(8, "guards", Kind::Message(&GUARD)),
        list(9, "mutations", Kind::Message(&MUTATION)),
        single(10, "system", Kind::Message(&SYSTEM)),
    ],
};

static SYSTEM: Message = Message {
    fields: &[choice(1, "define_kind", Kind::Message(&DEFINE_KIND)), choice(6, "accuse", Kind::Message(&ACCUSE))],
};

static ACCUSE: Message = Message { fields: &[single(1, "evidence", Kind::Data)] };

static DEFINE_KIND: Message = Message {
    fields: &[
        single(1, "name", Kind::Text),
        single(2, "consistency", Kind::Text),
        single(3, "type", Kind::Text),
        single(4, "overdraft", Kind::Boolean),
        single(5, "schema", Kind::Message(&VALUE)),
        single(6, "create", Kind::Message(&RIGHT)),
        single(7, "write", Kind::Message(&RIGHT)),
        single(8, "read", Kind::Message(&RIGHT)),
        single(9, "administer", Kind::Message(&RIGHT)),
    ],
};

static RIGHT: Message = Message { fields: &[single(1, "anyone", Kind::Boolean), list(2, "keys", Kind::Data)] };

static GUARD: Message = Message {
    fields: &[
        single(1, "kind", Kind::Text),
        single(2, "id", Kind::Text),
        choice(3, "exists", Kind::Message(&EMPTY)),
        choice(4, "absent", Kind::Message(&EMPTY)),
        choice(5, "version", Kind::Message(&VERSION_IS)),
        choice(6, "value", Kind::Message(&PATH_AND_VALUE)),
        choice(7, "last", Kind::Message(&LAST_IS)),
        choice(8, "contains", Kind::Message(&CONTENT)),
        choice(9, "lacks", Kind::Message(&CONTENT)),
    ],
};

static MUTATION: Message = Message {
    fields: &[
        single(1, "kind", Kind::Text),
        single(2, "id", Kind::Text),
        choice(3, "create", Kind::Message(&CONTENT)),
        choice(4, "put", Kind::Message(&CONTENT)),
        choice(5, "delete", Kind::Message(&EMPTY)),
        choice(6, "set", Kind::Message(&PATH_AND_VALUE)),
        choice(7, "unset", Kind::Message(&PATH)),
        choice(8, "increment", Kind::Message(&INCREMENT)),
        choice(9, "push", Kind::Message(&PATH_AND_VALUE)),
        choice(10, "pull", Kind::Message(&PATH_AND_VALUE)),
        choice(11, "add", Kind::Message(&ADD)),
        choice(12, "transfer", Kind::Message(&TRANSFER)),
        choice(13, "mint", Kind::Message(&AMOUNT)),
        choice(14, "burn", Kind::Message(&AMOUNT)),
        choice(16, "insert", Kind::Message(&CONTENT)),
        choice(17, "remove", Kind::Message(&CONTENT)),
        choice(20, "restock", Kind::Message(&AMOUNT)),
        choice(21, "reserve", Kind::Message(&AMOUNT)),
        choice(22, "release", Kind::Message(&AMOUNT)),
        choice(23, "take", Kind::Message(&AMOUNT)),
    ],
};

static VALUE: Message = Message {
    fields: &[
        choice(1, "null", Kind::Message(&EMPTY)),
        choice(2, "boolean", Kind::Boolean),
        choice(3, "integer", Kind::Number64),
        choice(4, "decimal", Kind::Message(&DECIMAL)),
        choice(5, "text", Kind::Text),
        choice(6, "data", Kind::Data),
        choice(7, "list", Kind::Message(&EMPTY)),
        choice(8, "map", Kind::Message(&EMPTY)),
        list(9, "keys", Kind::Text),
        list(10, "items", Kind::Message(&VALUE)),
    ],
};

static EMPTY: Message = Message { fields: &[] };
static PATH: Message = Message { fields: &[list(1, "path", Kind::Text)] };
static CONTENT: Message = Message { fields: &[single(1, "value", Kind::Message(&VALUE))] };
static PATH_AND_VALUE: Message =
    Message { fields: &[list(1, "path", Kind::Text), single(2, "value", Kind::Message(&VALUE))] };
static VERSION_IS: Message = Message { fields: &[single(1, "version", Kind::Number64)] };
static LAST_IS: Message = Message { fields: &[single(1, "operation", Kind::Data)] };
static INCREMENT: Message = Message { fields: &[list(1, "path", Kind::Text), single(2, "by", Kind::Number64)] };
static ADD: Message = Message { fields: &[single(1, "by", Kind::Number64)] };
static TRANSFER: Message = Message { fields: &[single(1, "to", Kind::Text), single(2, "amount", Kind::Number64)] };
static AMOUNT: Message = Message { fields: &[single(1, "amount", Kind::Number64)] };
static DECIMAL: Message = Message { fields: &[single(1, "digits", Kind::Text), single(2, "scale", Kind::Number32)] };
