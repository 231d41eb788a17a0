//! `proto/vectors/operations.json`: bodies that every implementation must accept or refuse
//! (data-model §1), with id and signature. The file is made here and read back here, through the door
//! that validators use.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_crypto::{Digest, PublicKey, Scheme, SecretKey, Signature, sha256};
use quorate_types::ids::{BlockTime, ClusterId, OperationId};
use quorate_types::kind::{Access, Consistency, EntityType, Kind, Right};
use quorate_types::operation::{
    Change, Condition, EntityId, HybridTime, Operation, OperationBuilder, OperationFault, Path, SignedOperation,
    SystemChange, admit_operation, operation_id, signing_bytes,
};
use quorate_types::parameters::Parameters;
use quorate_types::schema::Schema;
use quorate_types::value::{Decimal, Value};

const FILE: &str = include_str!("../../../proto/vectors/operations.json");
const SEED: [u8; 32] = [42; 32];
const EXPIRES_MS: u64 = 1_800_000_000_000;

/// Field 7 (`expires_at`) and field 9 (`mutations`, one deletion of k/i) by hand.
const EXPIRES: &[u8] = &[0x38, 9];
const MUTATION: &[u8] = &[0x4a, 8, 0x0a, 1, b'k', 0x12, 1, b'i', 0x2a, 0];
/// Name, consistency and type of a kind.
const KIND: &[u8] = b"\x0a\x14\x0a\x01k\x12\x06strong\x1a\x07counter";

struct Vector {
    name: &'static str,
    body: Bytes,
    signature: Signature,
    /// Why it is refused.
    error: Option<OperationFault>,
}

fn cluster() -> ClusterId {
    ClusterId(sha256(&[b"quorate test vectors"]))
}

fn key() -> SecretKey {
    SecretKey::from_seed(SEED)
}

fn id(text: &str) -> OperationId {
    OperationId(sha256(&[text.as_bytes()]))
}

fn path(pointer: &str) -> Path {
    pointer.parse().expect("the path is a JSON pointer")
}

fn builder() -> OperationBuilder {
    OperationBuilder::new(cluster(), key().public(), 1, BlockTime(EXPIRES_MS))
}

fn document() -> EntityId {
    EntityId::new("package", "zlib1g:amd64")
}

fn account(id: &str) -> EntityId {
    EntityId::new("money", id)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<BTreeMap<_, _>>())
}

fn every_type() -> Value {
    map(&[
        ("boolean", Value::Boolean(false)),
        ("data", Value::Data(vec![0, 1, 255])),
        ("decimal", Value::Decimal(Decimal::new("-1250", 2).expect("it is in its one notation"))),
        ("empty list", Value::List(vec![])),
        ("empty map", map(&[])),
        ("integer", Value::Integer(i64::MIN)),
        ("null", Value::Null),
        ("text", text("grüße")),
        ("zero", Value::Integer(0)),
    ])
}

fn tags() -> EntityId {
    EntityId::new("tags", "home")
}

fn stock() -> EntityId {
    EntityId::new("stock", "screws")
}

fn accepted() -> Vec<(&'static str, OperationBuilder)> {
    let deep = (1..64).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let delete = || builder().mutate(document(), Change::Delete);
    let on = |change| builder().mutate(document(), change);
    let sixteen = (0..16).fold(delete(), |builder, index| builder.parent(id(&index.to_string())));
    let zero = OperationBuilder::new(cluster(), key().public(), 0, BlockTime(1));
    let highest = OperationBuilder::new(cluster(), key().public(), u64::MAX, BlockTime(u64::MAX));
    vec![
        ("create an empty document", on(Change::Create { value: Some(map(&[])) })),
        ("create an account, without a value", builder().mutate(account("alice"), Change::Create { value: None })),
        ("put every type of value", on(Change::Put { value: every_type() })),
        ("put a value of 64 levels", on(Change::Put { value: deep })),
        ("delete", delete()),
        ("set at a path", on(Change::Set { path: path("/versions/0/a~1b"), value: text("1.3") })),
        ("unset an empty key", on(Change::Unset { path: path("/") })),
        ("increment by a negative number", on(Change::Increment { path: path("/n"), by: -300 })),
        ("increment by zero, a default", on(Change::Increment { path: path("/n"), by: 0 })),
        ("push", on(Change::Push { path: path("/tags"), value: Value::Boolean(true) })),
        ("pull", on(Change::Pull { path: path("/tags"), value: Value::Data(vec![]) })),
        ("add to a counter", builder().mutate(EntityId::new("hits", "home"), Change::Add { by: i64::MAX })),
        ("transfer", builder().mutate(account("alice"), Change::Transfer { to: "bob".to_owned(), amount: 5 })),
        ("mint the highest amount", builder().mutate(account("alice"), Change::Mint { amount: u64::MAX })),
        ("burn", builder().mutate(account("alice"), Change::Burn { amount: 1 })),
        ("insert into a set", builder().mutate(tags(), Change::Insert { value: every_type() })),
        ("remove from a set", builder().mutate(tags(), Change::Remove { value: Value::Null })),
        ("restock", builder().mutate(stock(), Change::Restock { amount: 1 })),
        ("reserve, release and take", {
            let moved = builder().mutate(stock(), Change::Reserve { amount: 300 });
            moved.mutate(stock(), Change::Release { amount: 1 }).mutate(stock(), Change::Take { amount: u64::MAX })
        }),
        (
            "every guard",
            delete()
                .guard(document(), Condition::Exists)
                .guard(document(), Condition::Absent)
                .guard(document(), Condition::Version(0))
                .guard(document(), Condition::Version(300))
                .guard(document(), Condition::ValueAt { path: Path::default(), value: Value::Null })
                .guard(document(), Condition::Last(id("last")))
                .guard(tags(), Condition::Contains(text("red")))
                .guard(tags(), Condition::Lacks(Value::Null)),
        ),
        ("sixteen parents", sixteen),
        ("a clock", delete().timestamp(HybridTime { ms: EXPIRES_MS - 1, counter: u32::MAX })),
        ("nonce zero, a default, and the earliest expiry", zero.mutate(document(), Change::Delete)),
        ("the highest nonce and expiry", highest.mutate(document(), Change::Delete)),
        ("define a kind of documents", builder().system(SystemChange::DefineKind(Box::new(documents())))),
    ]
}

fn documents() -> Kind {
    let schema = Schema::from_value(map(&[("type", text("object")), ("required", Value::List(vec![text("name")]))]));
    let owners = Right::Keys([key().public()].into());
    Kind {
        name: "article".to_owned(),
        consistency: Consistency::Strong,
        entity_type: EntityType::Document,
        schema: Some(schema.expect("a schema")),
        access: Access { write: owners, ..Access::open([]) },
    }
}

/// Cluster and author, then `fields` as they are.
fn by_hand(fields: &[&[u8]]) -> Bytes {
    let (cluster, author) = (cluster(), key().public());
    let head: [&[u8]; 4] = [&[0x0a, 32], cluster.0.as_bytes(), &[0x12, 32], author.as_bytes()];
    [head.concat(), fields.concat()].concat().into()
}

/// Bodies by hand, each with one fault.
fn malformed() -> Vec<(&'static str, Bytes)> {
    let parent: Vec<u8> = [&[0x22, 32][..], &[7; 32]].concat();
    vec![
        ("an unknown field", by_hand(&[EXPIRES, MUTATION, &[0x58, 1]])),
        ("a varint with an empty last byte", by_hand(&[&[0x38, 0x89, 0x00], MUTATION])),
        ("a length with an empty last byte", by_hand(&[EXPIRES, &[0x4a, 0x88, 0x00], &MUTATION[2..]])),
        ("fields out of order", by_hand(&[EXPIRES, &[0x18, 1], MUTATION])),
        ("a field twice", by_hand(&[EXPIRES, EXPIRES, MUTATION])),
        ("a default written out", by_hand(&[&[0x18, 0], EXPIRES, MUTATION])),
        ("two members of a oneof", by_hand(&[EXPIRES, &[0x4a, 10, 0x0a, 1, b'k', 0x12, 1, b'i', 0x1a, 0, 0x2a, 0]])),
        ("a boolean of two", by_hand(&[EXPIRES, &[0x4a, 12, 0x0a, 1, b'k', 0x12, 1, b'i', 0x22, 4, 0x0a, 2, 0x10, 2]])),
        ("a body cut off", by_hand(&[EXPIRES, &MUTATION[..9]])),
        ("a kind that is not UTF-8", by_hand(&[EXPIRES, &[0x4a, 8, 0x0a, 1, 0xff, 0x12, 1, b'i', 0x2a, 0]])),
        ("a group", by_hand(&[EXPIRES, MUTATION, &[0x4b, 0x4c]])),
        ("a 32-bit number above 32 bits", by_hand(&[&[0x30, 0x80, 0x80, 0x80, 0x80, 0x10], EXPIRES, MUTATION])),
        ("no mutation", by_hand(&[EXPIRES])),
        ("no expiry", by_hand(&[MUTATION])),
        ("a system operation without a change", by_hand(&[EXPIRES, &[0x52, 0]])),
        ("a kind defined beside a mutation", by_hand(&[EXPIRES, MUTATION, &[0x52, 2, 0x0a, 0]])),
        ("a kind without rights", by_hand(&[EXPIRES, &[0x52, 22], KIND])),
        ("a parent twice", by_hand(&[&parent, &parent, EXPIRES, MUTATION])),
        ("a kind in capitals", by_hand(&[EXPIRES, &[0x4a, 8, 0x0a, 1, b'K', 0x12, 1, b'i', 0x2a, 0]])),
        (
            "map keys that do not ascend",
            by_hand(&[
                EXPIRES,
                &[0x4a, 26, 0x0a, 1, b'k', 0x12, 1, b'i', 0x22, 18, 0x0a, 16, 0x42, 0, 0x4a, 1, b'b', 0x4a, 1, b'a'],
                &[0x52, 2, 0x0a, 0, 0x52, 2, 0x0a, 0],
            ]),
        ),
    ]
}

fn vectors() -> Vec<Vector> {
    let sign = |body: &Bytes| key().sign(&signing_bytes(cluster(), operation_id(body)));
    let mut vectors: Vec<Vector> = accepted()
        .into_iter()
        .map(|(name, builder)| {
            let body = builder.content().to_body();
            Vector { name, signature: sign(&body), body, error: None }
        })
        .collect();
    let good = builder().mutate(document(), Change::Delete);
    let seventeen = (0..17).fold(good.clone(), |builder, index| builder.parent(id(&index.to_string())));
    let elsewhere = OperationBuilder::new(ClusterId(Digest::ZERO), key().public(), 1, BlockTime(EXPIRES_MS));
    let mut refused = malformed();
    refused.push(("seventeen parents", seventeen.content().to_body()));
    refused.push(("another cluster", elsewhere.mutate(document(), Change::Delete).content().to_body()));
    vectors.extend(refused.into_iter().map(|(name, body)| {
        let signature = sign(&body);
        let error = judge(&body, signature).expect_err(name);
        Vector { name, signature, body, error: Some(error) }
    }));
    let body = good.content().to_body();
    let signature = SecretKey::from_seed([43; 32]).sign(&signing_bytes(cluster(), operation_id(&body)));
    let error = Some(OperationFault::Signature);
    vectors.push(Vector { name: "another key's signature", signature, body, error });
    vectors
}

/// What a validator says: form, cluster and limits, then the signature.
fn judge(body: &Bytes, signature: Signature) -> Result<Operation, OperationFault> {
    let signed = SignedOperation { body: body.clone(), signature };
    let operation = admit_operation(&signed, &Parameters::default().operation_limits(), cluster())?;
    match Scheme::Ed25519.verify(&operation.author(), &operation.signing_bytes(), operation.signature()) {
        true => Ok(operation),
        false => Err(OperationFault::Signature),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("the file holds hexadecimal digits"))
        .collect()
}

/// The file, from the vectors.
fn render() -> String {
    let entry = |vector: &Vector| {
        let mut fields = vec![
            ("name", vector.name.to_owned()),
            ("body", hex(&vector.body)),
            ("id", operation_id(&vector.body).to_string()),
            ("signature", vector.signature.to_string()),
        ];
        fields.extend(vector.error.as_ref().map(|error| ("error", error.to_string())));
        let lines = fields.into_iter().map(|(name, value)| format!("      {name:?}: {}", json(&value)));
        format!("    {{\n{}\n    }}", lines.collect::<Vec<_>>().join(",\n"))
    };
    let vectors = vectors();
    let (good, bad): (Vec<_>, Vec<_>) = vectors.iter().partition(|vector| vector.error.is_none());
    let list = |vectors: Vec<&Vector>| vectors.into_iter().map(entry).collect::<Vec<_>>().join(",\n");
    format!(
        "{{\n  \"cluster\": \"{}\",\n  \"secret_key_seed\": \"{}\",\n  \"author\": \"{}\",\n  \"accepted\": [\n{}\n  ],\n  \
         \"refused\": [\n{}\n  ]\n}}\n",
        cluster(),
        hex(&SEED),
        key().public(),
        list(good),
        list(bad),
    )
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("text is always JSON")
}

#[test]
fn the_file_is_made_from_the_vectors() {
    let made = render();
    assert!(FILE == made, "proto/vectors/operations.json must read:\n{made}");
}

#[test]
fn the_bodies_are_accepted_and_refused_with_the_errors_stated() {
    let file: serde_json::Value = serde_json::from_str(FILE).unwrap();
    let author: PublicKey = file["author"].as_str().unwrap().parse().unwrap();
    for (list, least) in [("accepted", accepted().len()), ("refused", 23)] {
        let entries = file[list].as_array().unwrap();
        assert_eq!(entries.len(), least, "{list}");
        for entry in entries {
            let field = |name: &str| entry[name].as_str().unwrap();
            let body = Bytes::from(unhex(field("body")));
            assert_eq!(operation_id(&body).to_string(), field("id"));
            let verdict = judge(&body, field("signature").parse().unwrap());
            match list {
                "accepted" => assert_eq!(verdict.map(|operation| operation.author()), Ok(author), "{}", field("name")),
                _ => assert_eq!(verdict.map_err(|fault| fault.to_string()), Err(field("error").to_owned())),
            }
        }
    }
}

/// Signing is deterministic (RFC 8032), so other languages can compare their own signatures, too.
#[test]
fn signatures_of_accepted_bodies_are_made_again_from_the_seed() {
    for vector in vectors().into_iter().filter(|vector| vector.error.is_none()) {
        let message = signing_bytes(cluster(), operation_id(&vector.body));
        assert_eq!(key().sign(&message), vector.signature, "{}", vector.name);
    }
}
