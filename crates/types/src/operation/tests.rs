//! Bodies read back as written, and every way of not being canonical named by its field.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use quorate_crypto::{Digest, Scheme, SecretKey, Signature, sha256};

use super::*;
use crate::ids::BlockTime;
use crate::kind::{Access, Consistency, EntityType, Kind, MAX_RIGHT_KEYS, Right};
use crate::pb;
use crate::schema::Schema;
use crate::value::{Decimal, Value};

pub(super) const LIMITS: OperationLimits = OperationLimits {
    operation_bytes: 256 << 10,
    accusation_bytes: 512 << 10,
    parents: 16,
    guards: 128,
    mutations: 128,
    entity_id_bytes: 256,
    levels: 64,
};

fn cluster() -> ClusterId {
    ClusterId(sha256(&[b"a genesis file"]))
}

fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn id(text: &str) -> OperationId {
    OperationId(sha256(&[text.as_bytes()]))
}

fn document() -> EntityId {
    EntityId::new("package", "zlib1g:amd64")
}

fn path(pointer: &str) -> Path {
    pointer.parse().unwrap()
}

fn deep_value() -> Value {
    let list = vec![
        Value::Null,
        Value::Boolean(false),
        Value::Integer(0),
        Value::Integer(i64::MIN),
        Value::Decimal(Decimal::new("0", 0).unwrap()),
        Value::Text(String::new()),
        Value::Data(vec![]),
        Value::List(vec![]),
        Value::Map(BTreeMap::new()),
    ];
    Value::Map(BTreeMap::from([("".to_owned(), Value::Null), ("list".to_owned(), Value::List(list))]))
}

fn builder() -> OperationBuilder {
    OperationBuilder::new(cluster(), key().public(), 41, BlockTime(1_800_000_000_000))
}

/// Every guard and every mutation once.
fn full() -> OperationBuilder {
    let account = EntityId::new("money", "alice");
    let tags = EntityId::new("tags", "home");
    let stock = EntityId::new("stock", "screws");
    builder()
        .parent(id("one"))
        .parent(id("two"))
        .timestamp(HybridTime { ms: 1_799_999_999_999, counter: 3 })
        .guard(document(), Condition::Exists)
        .guard(document(), Condition::Absent)
        .guard(document(), Condition::Version(0))
        .guard(document(), Condition::ValueAt { path: path("/a/0"), value: deep_value() })
        .guard(document(), Condition::Last(id("last")))
        .guard(tags.clone(), Condition::Contains(deep_value()))
        .guard(tags.clone(), Condition::Lacks(Value::Null))
        .mutate(document(), Change::Create { value: None })
        .mutate(document(), Change::Create { value: Some(Value::Null) })
        .mutate(document(), Change::Put { value: deep_value() })
        .mutate(document(), Change::Delete)
        .mutate(document(), Change::Set { path: path("/a"), value: deep_value() })
        .mutate(document(), Change::Unset { path: path("/") })
        .mutate(document(), Change::Increment { path: path("/n"), by: -1 })
        .mutate(document(), Change::Push { path: path("/l"), value: Value::Integer(1) })
        .mutate(document(), Change::Pull { path: path("/l"), value: Value::Boolean(true) })
        .mutate(EntityId::new("hits", "home"), Change::Add { by: i64::MIN })
        .mutate(account.clone(), Change::Transfer { to: "bob".to_owned(), amount: u64::MAX })
        .mutate(account.clone(), Change::Mint { amount: 1 })
        .mutate(account, Change::Burn { amount: 2 })
        .mutate(tags.clone(), Change::Insert { value: deep_value() })
        .mutate(tags, Change::Remove { value: Value::Integer(0) })
        .mutate(stock.clone(), Change::Restock { amount: u64::MAX })
        .mutate(stock.clone(), Change::Reserve { amount: 3 })
        .mutate(stock.clone(), Change::Release { amount: 1 })
        .mutate(stock, Change::Take { amount: 2 })
}

fn signed(body: impl Into<Bytes>) -> SignedOperation {
    SignedOperation { body: body.into(), signature: Signature::from_bytes([0; 64]) }
}

fn refusal(body: impl Into<Bytes>) -> OperationFault {
    admit_operation(&signed(body), &LIMITS, cluster()).unwrap_err()
}

/// A valid body with one part changed by `change`.
fn changed(change: impl FnOnce(&mut pb::OperationBody)) -> OperationFault {
    let mut message = pb::OperationBody::decode(full().content().to_body()).unwrap();
    change(&mut message);
    refusal(message.encode_to_vec())
}

/// `prefix`, then fields by hand: the only way to make what libraries don't write.
fn by_hand(fields: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![0x0a, 32];
    body.extend_from_slice(cluster().0.as_bytes());
    body.extend_from_slice(&[0x12, 32]);
    body.extend_from_slice(key().public().as_bytes());
    body.extend_from_slice(&fields.concat());
    body
}

const EXPIRES: &[u8] = &[0x38, 9];
const MUTATION: &[u8] = &[0x4a, 8, 0x0a, 1, b'k', 0x12, 1, b'i', 0x2a, 0];

#[test]
fn every_guard_and_mutation_survives_the_body_and_its_bundle_form() {
    let operation = full().sign(&key()).unwrap();
    assert_eq!(*operation.content(), full().content());
    assert_eq!(Operation::from_bytes(&operation.to_bytes()), Ok(operation.clone()));
    assert_eq!(admit_operation(operation.signed(), &LIMITS, cluster()), Ok(operation.clone()));
    assert_eq!(operation.size_bytes(), operation.signed().body.len() + 64);
}

/// data-model §1: the id and what is signed.
#[test]
fn id_and_signature_are_those_of_the_specification() {
    let operation = full().sign(&key()).unwrap();
    let body = &operation.signed().body;
    assert_eq!(operation.id().0, sha256(&[b"quorate/operation-id/v1", body]));
    let message = [&b"quorate/operation/v1"[..], cluster().0.as_bytes(), operation.id().0.as_bytes()].concat();
    assert_eq!(operation.signing_bytes(), message);
    assert!(Scheme::Ed25519.verify(&operation.author(), &message, operation.signature()));
}

#[test]
fn a_hand_made_body_is_read_so_the_broken_ones_below_differ_in_one_thing() {
    assert!(Operation::decode(&signed(by_hand(&[EXPIRES, MUTATION]))).is_ok());
}

/// A kind with each right of another form.
fn article() -> Kind {
    let schema = Schema::from_value(Value::Map(BTreeMap::from([("minimum".to_owned(), Value::Integer(1))])));
    let keys = [SecretKey::from_seed([8; 32]).public(), key().public()];
    Kind {
        name: "article".to_owned(),
        consistency: Consistency::Strong,
        entity_type: EntityType::Document,
        schema: Some(schema.unwrap()),
        access: Access {
            create: Right::Anyone,
            write: Right::Keys(keys.into()),
            read: Right::Anyone,
            administer: Right::Keys([].into()),
        },
    }
}

fn defining(kind: Kind) -> OperationBuilder {
    builder().system(SystemChange::DefineKind(Box::new(kind)))
}

#[test]
fn a_kind_reads_back_as_defined_and_as_stored() {
    let plain = |name: &str, entity_type| Kind { entity_type, schema: None, name: name.to_owned(), ..article() };
    let kinds = [
        article(),
        plain("purse", EntityType::Account { overdraft: true }),
        plain("purse", EntityType::Account { overdraft: false }),
        plain("n-1_x", EntityType::Inventory),
        plain("s", EntityType::Set),
        plain("r", EntityType::Register),
        plain("c", EntityType::Counter),
    ];
    for kind in kinds {
        let operation = defining(kind.clone()).sign(&key()).unwrap();
        assert_eq!(operation.content().system, Some(SystemChange::DefineKind(Box::new(kind.clone()))));
        assert_eq!(Kind::from_bytes(&kind.to_bytes()).unwrap(), kind);
    }
    let body = defining(article()).content().to_body();
    for at in 0..body.len() {
        judge_alike(&[&body[..at], &body[at + 1..]].concat());
        judge_alike(&[&body[..at], &[body[at] ^ 1], &body[at + 1..]].concat());
    }
}

#[test]
fn a_kind_that_can_not_be_is_refused_by_its_field() {
    type Change<'a> = &'a dyn Fn(&mut pb::DefineKind);
    let refused = |change: Change<'_>| {
        let mut message = pb::OperationBody::decode(defining(article()).content().to_body()).unwrap();
        let Some(pb::system_operation::Change::DefineKind(kind)) = &mut message.system.as_mut().unwrap().change else {
            panic!("it defines a kind");
        };
        change(kind);
        refusal(message.encode_to_vec()).to_string()
    };
    let cases: [(Change<'_>, &str); 10] = [
        (&|kind| kind.name.clear(), "system.define_kind.name must start with a lower-case letter"),
        (&|kind| kind.name = "k".repeat(65), "the length in bytes of a kind's name of 65 is above the limit of 64"),
        (&|kind| kind.consistency = "causal".to_owned(), "system.define_kind.consistency must be \"strong\""),
        (&|kind| kind.r#type = "text".to_owned(), "system.define_kind.type must be \"document\""),
        (&|kind| kind.overdraft = true, "system.define_kind.overdraft is for kinds of accounts"),
        (&|kind| kind.r#type = "set".to_owned(), "system.define_kind.schema is for kinds of documents"),
        (
            &|kind| {
                kind.schema = Some(pb::Value { value: Some(pb::value::Value::Boolean(true)), ..pb::Value::default() })
            },
            "system.define_kind.schema: at the top of the schema",
        ),
        (&|kind| kind.read = None, "system.define_kind.read is required"),
        (
            &|kind| kind.write.as_mut().unwrap().keys.reverse(),
            "system.define_kind.write must name its keys in ascending",
        ),
        (&|kind| kind.write.as_mut().unwrap().anyone = true, "system.define_kind.write names keys although anyone"),
    ];
    for (change, expected) in cases {
        let found = refused(change);
        assert!(found.starts_with(expected), "{found}");
    }
    let keys = |count: usize| Bytes::from(count.to_be_bytes().repeat(4));
    let many = refused(&|kind| kind.write.as_mut().unwrap().keys = (0..=MAX_RIGHT_KEYS).map(keys).collect());
    assert_eq!(many, "the number of keys of a right of 257 is above the limit of 256");
}

#[test]
fn a_system_operation_stands_alone() {
    assert_eq!(
        refusal(full().system(SystemChange::DefineKind(Box::new(article()))).content().to_body()),
        OperationFault::NotAlone
    );
    let guarded = defining(article()).guard(document(), Condition::Exists);
    assert_eq!(refusal(guarded.content().to_body()), OperationFault::NotAlone);
    let missing = changed(|body| {
        (body.guards, body.mutations) = Default::default();
        body.system = Some(pb::SystemOperation { change: None });
    });
    assert_eq!(missing, OperationFault::Missing { field: "system.change".to_owned() });
}

/// data-model §1: "rejects what differs with an error that names the field".
#[test]
fn every_departure_from_the_canonical_form_names_its_field() {
    let cases: [(&str, &[&[u8]], &str, EncodingProblem); 15] = [
        ("unknown number", &[EXPIRES, MUTATION, &[0x58, 1]], "body", EncodingProblem::UnknownField { number: 11 }),
        ("number zero", &[&[0x00, 1], EXPIRES], "body", EncodingProblem::UnknownField { number: 0 }),
        (
            "group",
            &[EXPIRES, MUTATION, &[0x4b, 0x4c]],
            "mutations[1]",
            EncodingProblem::WireType { found: 3, expected: 2 },
        ),
        ("long tag", &[&[0xb8, 0x00, 9], MUTATION], "body", EncodingProblem::LongVarint),
        ("long number", &[&[0x38, 0x89, 0x00], MUTATION], "expires_at", EncodingProblem::LongVarint),
        ("long length", &[EXPIRES, &[0x4a, 0x88, 0x00], &MUTATION[2..]], "mutations[0]", EncodingProblem::LongVarint),
        (
            "more than 64 bits",
            &[&[0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], MUTATION],
            "expires_at",
            EncodingProblem::LongVarint,
        ),
        ("order", &[EXPIRES, &[0x18, 1], MUTATION], "nonce", EncodingProblem::Order { after: 7 }),
        ("repeated", &[EXPIRES, EXPIRES, MUTATION], "expires_at", EncodingProblem::Repeated),
        ("default", &[&[0x18, 0], EXPIRES, MUTATION], "nonce", EncodingProblem::Default),
        (
            "above 32 bits",
            &[&[0x30, 0x80, 0x80, 0x80, 0x80, 0x10], EXPIRES, MUTATION],
            "timestamp_counter",
            EncodingProblem::Range,
        ),
        (
            "two choices",
            &[EXPIRES, &[0x4a, 10, 0x0a, 1, b'k', 0x12, 1, b'i', 0x1a, 0, 0x2a, 0]],
            "mutations[0].delete",
            EncodingProblem::Repeated,
        ),
        (
            "boolean two",
            &[EXPIRES, &[0x4a, 12, 0x0a, 1, b'k', 0x12, 1, b'i', 0x22, 4, 0x0a, 2, 0x10, 2]],
            "mutations[0].put.value.boolean",
            EncodingProblem::Range,
        ),
        ("cut off", &[EXPIRES, &MUTATION[..9]], "mutations[0]", EncodingProblem::Truncated),
        (
            "not UTF-8",
            &[EXPIRES, MUTATION, &[0x4a, 8, 0x0a, 1, 0xff, 0x12, 1, b'i', 0x2a, 0]],
            "mutations[1].kind",
            EncodingProblem::NotUtf8,
        ),
    ];
    for (what, fields, field, problem) in cases {
        let expected = OperationFault::Encoding { field: field.to_owned(), problem };
        assert_eq!(refusal(by_hand(fields)), expected, "{what}");
    }
}

/// The walk that names the field and the verdict by re-encoding agree on bodies with one byte changed,
/// one removed or one doubled, wherever it stands.
#[test]
fn every_damaged_body_is_refused_by_name_or_is_canonical_itself() {
    let body = full().content().to_body();
    for at in 0..body.len() {
        for flip in [0x01u8, 0x02, 0x04, 0x08, 0x10, 0x40, 0x80, 0xff] {
            let mut damaged = body.to_vec();
            damaged[at] ^= flip;
            judge_alike(&damaged);
        }
        judge_alike(&[&body[..at], &body[at + 1..]].concat());
        judge_alike(&[&body[..=at], &body[at..]].concat());
        judge_alike(&body[..at]);
    }
}

fn judge_alike(body: &[u8]) {
    let is_canonical = pb::OperationBody::decode(body).is_ok_and(|message| message.encode_to_vec() == body);
    let located = wire::locate(body);
    let unnamed = matches!(located, OperationFault::Encoding { problem: EncodingProblem::Differs, .. });
    assert_eq!(is_canonical, unnamed, "{located} in {body:02x?}");
}

#[test]
fn fields_that_must_be_there_are_named_when_missing() {
    let missing = |field: &str| OperationFault::Missing { field: field.to_owned() };
    assert_eq!(changed(|body| body.expires_at = 0), missing("expires_at"));
    assert_eq!(changed(|body| body.mutations.clear()), missing("mutations"));
    assert_eq!(changed(|body| body.mutations[3].change = None), missing("mutations[3].change"));
    assert_eq!(changed(|body| body.guards[1].condition = None), missing("guards[1].condition"));
    let put = |value| Some(pb::mutation::Change::Put(pb::Put { value }));
    assert_eq!(changed(|body| body.mutations[0].change = put(None)), missing("mutations[0].put.value"));
    let untyped = pb::Value::default();
    assert_eq!(changed(|body| body.mutations[0].change = put(Some(untyped))), missing("mutations[0].put.value.value"));
    let mint = Some(pb::mutation::Change::Mint(pb::Mint { amount: 0 }));
    assert_eq!(changed(|body| body.mutations[0].change = mint), missing("mutations[0].mint.amount"));
    let unset = Some(pb::mutation::Change::Unset(pb::Unset { path: vec![] }));
    assert_eq!(changed(|body| body.mutations[0].change = unset), missing("mutations[0].unset.path"));
}

#[test]
fn keys_and_ids_of_another_length_are_refused() {
    let length = |field: &str, found| OperationFault::Length { field: field.to_owned(), expected: 32, found };
    assert_eq!(changed(|body| body.cluster = Bytes::new()), length("cluster", 0));
    assert_eq!(changed(|body| body.author = vec![1; 33].into()), length("author", 33));
    assert_eq!(changed(|body| body.parents[1] = vec![1; 31].into()), length("parents[1]", 31));
    let last = Some(pb::guard::Condition::Last(pb::LastIs { operation: Bytes::new() }));
    assert_eq!(changed(|body| body.guards[0].condition = last), length("guards[0].last.operation", 0));
}

#[test]
fn a_parent_named_twice_is_refused() {
    let parent = id("one").0;
    assert_eq!(
        changed(|body| body.parents[1] = body.parents[0].clone()),
        OperationFault::RepeatedParent { index: 1, parent }
    );
}

#[test]
fn names_of_kinds_and_entities_have_a_form() {
    let fault = |field: &str, rule| OperationFault::Name { field: field.to_owned(), rule };
    for kind in ["", "Package", "9to5", "a/b", "ü"] {
        assert_eq!(changed(|body| body.guards[0].kind = kind.to_owned()), fault("guards[0].kind", NameRule::Kind));
    }
    assert_eq!(changed(|body| body.mutations[2].id.clear()), fault("mutations[2].id", NameRule::Empty));
    for id in ["a\nb", "\u{7f}", "\u{85}"] {
        let expected = fault("mutations[2].id", NameRule::Control);
        assert_eq!(changed(|body| body.mutations[2].id = id.to_owned()), expected);
    }
}

#[test]
fn values_with_two_forms_are_refused() {
    let with = |value: pb::Value| {
        changed(|body| body.mutations[0].change = Some(pb::mutation::Change::Put(pb::Put { value: Some(value) })))
    };
    let field = "mutations[0].put.value".to_owned();
    let null = || pb::Value { value: Some(pb::value::Value::Null(pb::Null {})), ..Default::default() };
    let map = |keys: &[&str], items| pb::Value {
        value: Some(pb::value::Value::Map(pb::Map {})),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        items,
    };
    for keys in [["b", "a"], ["a", "a"]] {
        let expected = OperationFault::MapKeys { field: field.clone(), index: 1 };
        assert_eq!(with(map(&keys, vec![null(), null()])), expected);
    }
    let members = |keys, items| OperationFault::Members { field: field.clone(), keys, items };
    assert_eq!(with(map(&["a"], vec![])), members(1, 0));
    assert_eq!(with(pb::Value { items: vec![null()], ..null() }), members(0, 1));
    let decimal = pb::Decimal { digits: "1.5".to_owned(), scale: 0 };
    let decimal = pb::Value { value: Some(pb::value::Value::Decimal(decimal)), ..Default::default() };
    assert!(matches!(with(decimal), OperationFault::Decimal { .. }));
}

#[test]
fn an_operation_of_another_cluster_is_refused() {
    let operation = full().sign(&key()).unwrap();
    let other = ClusterId(Digest::ZERO);
    let fault = admit_operation(operation.signed(), &LIMITS, other).unwrap_err();
    assert_eq!(fault, OperationFault::OtherCluster { found: cluster(), expected: other });
}

/// Each limit holds exactly: at it accepted, one above refused with limit and value.
#[test]
fn every_limit_is_exact_and_its_error_names_limit_and_value() {
    let admit = |builder: OperationBuilder, limits: &OperationLimits| {
        admit_operation(&signed(builder.content().to_body()), limits, cluster()).map(|_| ())
    };
    let over = |what, limit| Err(OperationFault::Limit { what, value: limit + 1, limit });
    let base = || builder().mutate(document(), Change::Delete);
    let size = base().content().to_body().len() + 64;
    let exact = OperationLimits { operation_bytes: size, ..LIMITS };
    assert_eq!(admit(base(), &exact), Ok(()));
    let less = OperationLimits { operation_bytes: size - 1, ..LIMITS };
    assert_eq!(admit(base(), &less), over(Limited::OperationBytes, size - 1));

    let accuse = |bytes: usize| builder().system(SystemChange::Accuse(vec![1; bytes].into())).sign(&key()).unwrap();
    let above = accuse(LIMITS.operation_bytes);
    let size = above.size_bytes();
    let exact = OperationLimits { accusation_bytes: size, ..LIMITS };
    assert_eq!(super::limits::admit(&above, &exact, cluster()), Ok(()), "evidence may hold an operation");
    let less = OperationLimits { accusation_bytes: size - 1, ..LIMITS };
    assert_eq!(super::limits::admit(&above, &less, cluster()), over(Limited::OperationBytes, size - 1));

    let parents = |count: u8| (0..count).fold(base(), |builder, i| builder.parent(OperationId(sha256(&[&[i]]))));
    assert_eq!(admit(parents(16), &LIMITS), Ok(()));
    assert_eq!(admit(parents(17), &LIMITS), over(Limited::Parents, 16));
    let guards = |count| (0..count).fold(base(), |builder, _| builder.guard(document(), Condition::Exists));
    assert_eq!(admit(guards(128), &LIMITS), Ok(()));
    assert_eq!(admit(guards(129), &LIMITS), over(Limited::Guards, 128));
    let mutations = |count| (1..count).fold(base(), |builder, _| builder.mutate(document(), Change::Delete));
    assert_eq!(admit(mutations(128), &LIMITS), Ok(()));
    assert_eq!(admit(mutations(129), &LIMITS), over(Limited::Mutations, 128));
    let named = |length| builder().mutate(EntityId::new("k", &"i".repeat(length)), Change::Delete);
    assert_eq!(admit(named(256), &LIMITS), Ok(()));
    assert_eq!(admit(named(257), &LIMITS), over(Limited::EntityIdBytes, 256));
    let kind = |length| builder().mutate(EntityId::new(&"k".repeat(length), "i"), Change::Delete);
    assert_eq!(admit(kind(64), &LIMITS), Ok(()));
    assert_eq!(admit(kind(65), &LIMITS), over(Limited::KindBytes, 64));
    let to = |length| {
        let change = Change::Transfer { to: "t".repeat(length), amount: 1 };
        builder().mutate(EntityId::new("k", "i"), change)
    };
    assert_eq!(admit(to(256), &LIMITS), Ok(()));
    assert_eq!(admit(to(257), &LIMITS), over(Limited::EntityIdBytes, 256));
    let steps = |count| builder().mutate(document(), Change::Unset { path: Path(vec!["s".to_owned(); count]) });
    assert_eq!(admit(steps(64), &LIMITS), Ok(()));
    assert_eq!(admit(steps(65), &LIMITS), over(Limited::PathSteps, 64));
    let low = OperationLimits { levels: 8, ..LIMITS };
    assert_eq!(admit(nested(8), &low), Ok(()));
    assert_eq!(admit(nested(9), &low), over(Limited::ValueLevels, 8));
}

fn nested(levels: usize) -> OperationBuilder {
    let value = (1..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    builder().mutate(document(), Change::Put { value })
}

/// 64 levels pass through a protobuf reader that stops at 100.
#[test]
fn sixty_four_levels_pass_and_a_depth_bomb_is_refused() {
    assert!(nested(64).sign(&key()).is_ok());
    for levels in [65, 90] {
        let fault = refusal(nested(levels).content().to_body());
        assert!(matches!(fault, OperationFault::Limit { what: Limited::ValueLevels, .. }), "{levels}: {fault}");
    }
    for levels in [101, 1_000] {
        let fault = refusal(nested(levels).content().to_body());
        let deep = matches!(fault, OperationFault::Encoding { problem: EncodingProblem::TooDeep, .. });
        assert!(deep, "{levels}: {fault}");
        assert!(fault.to_string().len() < 300, "the path is shortened: {fault}");
    }
}
