//! Registers, sets, inventories, the schemas of documents, and kinds that operations define (data-model §§2.2–2.6).

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use quorate_machine::Content;
use quorate_machine::read;
use quorate_types::entity::Stock;
use quorate_types::genesis::MAX_KINDS;
use quorate_types::kind::{Access, EntityType, Kind, Kinds, Right};
use quorate_types::operation::{Change, Condition, EntityId, Operation, Path, SystemChange};
use quorate_types::receipt::{Location, Outcome, RejectionCode};
use quorate_types::schema::Schema;
use quorate_types::value::Value;

fn insert(value: Value) -> Change {
    Change::Insert { value }
}

fn remove(value: Value) -> Change {
    Change::Remove { value }
}

fn members(world: &World, entity: &EntityId) -> Vec<Value> {
    let Some(Content::Set(members)) = world.content(entity) else { panic!("{entity} is a set") };
    members.iter().cloned().collect()
}

fn amounts(world: &World, entity: &EntityId) -> (i64, i64) {
    let Some(Content::Inventory(Stock { available, reserved })) = world.content(entity) else {
        panic!("{entity} is an inventory")
    };
    (available, reserved)
}

#[test]
fn a_register_holds_one_value_replaced_as_a_whole() {
    let mut world = World::new();
    assert_eq!(world.reject(setting("a"), create()), RejectionCode::WrongType);
    world.apply(setting("a"), Change::Create { value: Some(integer(1)) });
    world.apply(setting("a"), put(map(&[("x", integer(2))])));
    assert_eq!(world.content(&setting("a")), Some(Content::Register(map(&[("x", integer(2))]))));
    let path: Path = "/x".parse().expect("a JSON pointer");
    let unset = Change::Unset { path: path.clone() };
    assert_eq!(world.reject(setting("a"), unset), RejectionCode::WrongKind);
    let guarded = |world: &mut World, value| {
        let condition = Condition::ValueAt { path: path.clone(), value };
        let operation = world.op().guard(setting("a"), condition).mutate(setting("b"), put(integer(1)));
        world.receipt(&finish(operation)).is_applied()
    };
    assert!(guarded(&mut world, integer(2)) && !guarded(&mut world, integer(3)));
    world.apply(setting("a"), Change::Delete);
    assert_eq!(world.content(&setting("a")), None);
}

#[test]
fn a_set_has_each_member_once_in_one_order() {
    let mut world = World::new();
    assert_eq!(world.reject(tags("a"), insert(integer(1))), RejectionCode::NotFound);
    assert_eq!(world.reject(tags("a"), Change::Create { value: Some(integer(1)) }), RejectionCode::WrongType);
    let first = Value::List(vec![integer(3), integer(1), integer(3)]);
    world.apply(tags("a"), Change::Create { value: Some(first) });
    world.apply(tags("a"), insert(integer(2)));
    world.apply(tags("a"), insert(integer(2)));
    world.apply(tags("a"), remove(integer(9)));
    assert_eq!(members(&world, &tags("a")), [1, 2, 3].map(integer));
    assert_eq!(world.version(&tags("a")), Some(4), "what changes nothing is a version all the same");
    world.apply(tags("a"), remove(integer(1)));
    assert_eq!(members(&world, &tags("a")), [2, 3].map(integer));
    assert_eq!(world.reject(counter("a"), insert(integer(1))), RejectionCode::WrongKind);
    assert_eq!(world.reject(tags("a"), Change::Add { by: 1 }), RejectionCode::WrongKind);
}

#[test]
fn guards_on_members_hold_when_they_should_and_say_why_not() {
    let mut world = World::new();
    world.apply(tags("a"), Change::Create { value: Some(Value::List(vec![integer(1)])) });
    world.apply(counter("a"), create());
    let mut check = |entity: EntityId, condition: Condition| {
        let operation = world.op().guard(entity, condition).mutate(document("x"), put(integer(1)));
        match world.receipt(&finish(operation)).outcome {
            Outcome::Applied => None,
            Outcome::Rejected(rejection) => {
                assert_eq!(rejection.code, RejectionCode::GuardFailed);
                Some(rejection.message)
            }
        }
    };
    assert_eq!(check(tags("a"), Condition::Contains(integer(1))), None);
    assert_eq!(check(tags("a"), Condition::Lacks(integer(2))), None);
    let said = check(tags("a"), Condition::Contains(integer(2))).expect("it lacks it");
    assert_eq!(said, "2 isn't a member of tags/a, which was expected");
    let said = check(tags("a"), Condition::Lacks(integer(1))).expect("it contains it");
    assert_eq!(said, "1 is a member of tags/a, which wasn't expected");
    assert_eq!(check(counter("a"), Condition::Lacks(integer(1))).as_deref(), Some("hits/a is no set"));
    assert_eq!(check(tags("b"), Condition::Lacks(integer(1))).as_deref(), Some("tags/b does not exist"));
}

#[test]
fn an_inventory_moves_what_it_has_and_never_falls_below_zero() {
    let mut world = World::new();
    world.apply(stock("a"), create());
    assert_eq!(world.reject(stock("a"), Change::Reserve { amount: 1 }), RejectionCode::InsufficientStock);
    world.apply(stock("a"), Change::Restock { amount: 10 });
    world.apply(stock("a"), Change::Reserve { amount: 4 });
    world.apply(stock("a"), Change::Release { amount: 1 });
    world.apply(stock("a"), Change::Take { amount: 2 });
    assert_eq!(amounts(&world, &stock("a")), (7, 1));
    assert_eq!(world.reject(stock("a"), Change::Reserve { amount: 8 }), RejectionCode::InsufficientStock);
    assert_eq!(world.reject(stock("a"), Change::Release { amount: 2 }), RejectionCode::InsufficientStock);
    assert_eq!(world.reject(stock("a"), Change::Take { amount: u64::MAX }), RejectionCode::InsufficientStock);
    assert_eq!(world.reject(stock("a"), Change::Restock { amount: i64::MAX as u64 }), RejectionCode::Overflow);
    assert_eq!(world.reject(stock("a"), Change::Delete), RejectionCode::NotEmpty);
    world.apply(stock("a"), Change::Reserve { amount: 7 });
    world.apply(stock("a"), Change::Take { amount: 8 });
    world.apply(stock("a"), Change::Delete);
    assert_eq!(world.reject(account("a"), Change::Take { amount: 1 }), RejectionCode::WrongKind);
}

/// A set behaves as a set, and a stock as two numbers, over many random operations.
#[test]
fn sets_and_stocks_follow_their_models() {
    let mut dice = Dice(7);
    let mut world = World::new();
    world.apply(tags("a"), create());
    world.apply(stock("a"), create());
    let (mut model, mut available, mut reserved) = (BTreeSet::new(), 0_i64, 0_i64);
    for _ in 0..500 {
        let (number, amount) = (dice.below(8) as i64 - 4, 1 + dice.below(9) as i64);
        let wire = amount.unsigned_abs();
        let (entity, change, is_expected) = match dice.below(6) {
            0 => (tags("a"), insert(integer(number)), true),
            1 => (tags("a"), remove(integer(number)), true),
            2 => (stock("a"), Change::Restock { amount: wire }, true),
            3 => (stock("a"), Change::Reserve { amount: wire }, available >= amount),
            4 => (stock("a"), Change::Release { amount: wire }, reserved >= amount),
            _ => (stock("a"), Change::Take { amount: wire }, reserved >= amount),
        };
        if is_expected {
            match change {
                Change::Restock { .. } => available += amount,
                Change::Reserve { .. } => (available, reserved) = (available - amount, reserved + amount),
                Change::Release { .. } => (available, reserved) = (available + amount, reserved - amount),
                Change::Take { .. } => reserved -= amount,
                Change::Insert { .. } => _ = model.insert(number),
                _ => _ = model.remove(&number),
            }
        }
        let operation = world.op().mutate(entity, change);
        assert_eq!(world.receipt(&finish(operation)).is_applied(), is_expected);
        assert_eq!(amounts(&world, &stock("a")), (available, reserved));
        let found: BTreeSet<i64> = members(&world, &tags("a"))
            .into_iter()
            .map(|member| match member {
                Value::Integer(number) => number,
                other => panic!("{other:?} was never put in"),
            })
            .collect();
        assert_eq!(found, model);
    }
}

#[test]
fn registers_and_sets_are_bounded_like_documents() {
    let mut world = World::new();
    (world.parameters.document_bytes, world.parameters.document_levels) = (2_000, 5);
    let text = |length: usize| Value::Text("x".repeat(length));
    assert_eq!(world.reject(setting("a"), put(text(2_000))), RejectionCode::DocumentTooLarge);
    world.apply(tags("a"), create());
    world.apply(tags("a"), insert(text(1_000)));
    assert_eq!(world.reject(tags("a"), insert(text(1_001))), RejectionCode::DocumentTooLarge);
    let levels = world.parameters.document_levels as usize;
    let deep = |levels: usize| (1..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    assert_eq!(world.reject(tags("a"), insert(deep(levels))), RejectionCode::DocumentTooDeep);
    world.apply(tags("a"), insert(deep(levels - 1)));
    assert_eq!(world.reject(setting("b"), put(deep(levels + 1))), RejectionCode::DocumentTooDeep);
}

/// The document that an operation leaves must conform, not each step on the way.
#[test]
fn a_schema_is_kept_by_every_operation_as_a_whole() {
    let mut world = World::new();
    let required = Value::List(vec![Value::Text("number".to_owned())]);
    let number = map(&[("type", Value::Text("integer".to_owned())), ("maximum", integer(9))]);
    let source = map(&[("required", required), ("properties", map(&[("number", number)]))]);
    let schema = Some(Schema::from_value(source).expect("a schema"));
    world.kinds = Kinds::new([Kind { schema, ..kind("package", EntityType::Document) }]);
    let path: Path = "/number".parse().expect("a JSON pointer");
    assert_eq!(world.reject(document("a"), put(map(&[]))), RejectionCode::SchemaViolation);
    let in_two_steps = world.op().mutate(document("a"), put(map(&[])));
    let set = Change::Set { path: path.clone(), value: integer(8) };
    assert!(world.receipt(&finish(in_two_steps.mutate(document("a"), set))).is_applied());
    let over = world.op().mutate(document("a"), Change::Increment { path: path.clone(), by: 1 });
    let over = over.mutate(document("a"), Change::Increment { path: path.clone(), by: 1 });
    let Outcome::Rejected(rejection) = world.receipt(&finish(over)).outcome else { panic!("10 is above 9") };
    assert_eq!((rejection.code, rejection.at), (RejectionCode::SchemaViolation, Location::Mutation(1)));
    assert_eq!(rejection.message, "at /number of package/a: the number is above 9");
    assert_eq!(world.reject(document("a"), Change::Unset { path }), RejectionCode::SchemaViolation);
    assert_eq!(world.content(&document("a")), Some(Content::Document(map(&[("number", integer(8))]))));
    world.apply(document("a"), Change::Delete);
}

fn define(world: &mut World, by: u8, kind: Kind) -> Arc<Operation> {
    finish(world.by(author(by)).system(SystemChange::DefineKind(Box::new(kind))))
}

/// A kind that only `owner` may write.
fn owned(name: &str, owner: u8) -> Kind {
    let only = || keys(&[author(owner)]);
    let access = Access { create: only(), write: only(), read: Right::Anyone, administer: keys(&[]) };
    Kind { access, ..kind(name, EntityType::Document) }
}

/// data-model §2.2: from the sequence of its definition on a kind is one like those of the genesis.
#[test]
fn a_kind_that_an_administrator_defines_is_there_from_then_on() {
    let mut world = World::new();
    world.kinds = Kinds::new([owned("first", 0)]);
    let note = EntityId::new("note", "a");
    let early = world.by(author(9)).mutate(note.clone(), put(map(&[])));
    assert_eq!(world.run(&[(0, finish(early))]).judgements.len(), 1, "a stranger has no right yet");
    let defined = define(&mut world, 0, owned("note", 9));
    assert!(world.receipt(&defined).is_applied());
    assert_eq!(read::defined_kinds(&world.state), Ok(vec![owned("note", 9)]));
    assert_eq!(read::defined_kind(&world.state, "note"), Ok(Some(owned("note", 9))));
    let by_owner = world.by(author(9)).mutate(note.clone(), put(map(&[])));
    assert!(world.receipt(&finish(by_owner)).is_applied());
    let by_another = world.op().mutate(note, Change::Delete);
    let Outcome::Rejected(rejection) = world.receipt(&finish(by_another)).outcome else { panic!("it is another's") };
    assert_eq!(rejection.code, RejectionCode::PermissionDenied);
    let stranger = world.by(author(8)).mutate(EntityId::new("note", "b"), create());
    assert_eq!(world.run(&[(0, finish(stranger))]).judgements.len(), 1, "only the owner has become an author");
    let open = define(&mut world, 0, kind("open", EntityType::Counter));
    assert!(world.receipt(&open).is_applied());
    let anyone = world.by(author(8)).mutate(EntityId::new("open", "b"), create());
    assert!(world.receipt(&finish(anyone)).is_applied());
}

/// A definition and what needs it may come in one sequence, in either lane.
#[test]
fn a_kind_is_there_for_what_follows_in_its_sequence() {
    let mut world = World::new();
    let defined = define(&mut world, 0, kind("note", EntityType::Document));
    let used = finish(world.op().parent(defined.id()).mutate(EntityId::new("note", "a"), put(map(&[]))));
    let executed = world.run(&[(0, used), (1, defined)]);
    assert!(executed.receipts.iter().all(|receipt| receipt.is_applied()), "{:?}", executed.receipts);
}

#[test]
fn only_an_administrator_defines_a_kind_and_none_twice() {
    let mut world = World::new();
    let code = |world: &mut World, by, kind| {
        let operation = define(world, by, kind);
        let Outcome::Rejected(rejection) = world.receipt(&operation).outcome else { panic!("it is rejected") };
        rejection.code
    };
    assert_eq!(code(&mut world, 1, kind("note", EntityType::Document)), RejectionCode::PermissionDenied);
    assert_eq!(code(&mut world, 0, kind("package", EntityType::Document)), RejectionCode::KindExists);
    let first = define(&mut world, 0, kind("note", EntityType::Document));
    assert!(world.receipt(&first).is_applied());
    assert_eq!(code(&mut world, 0, kind("note", EntityType::Counter)), RejectionCode::KindExists);
    let present = world.kinds.len() + 1;
    for number in present..MAX_KINDS {
        let another = define(&mut world, 0, kind(&format!("k{number}"), EntityType::Counter));
        assert!(world.receipt(&another).is_applied(), "{number}");
    }
    assert_eq!(code(&mut world, 0, kind("over", EntityType::Counter)), RejectionCode::TooManyKinds);
    assert_eq!(read::defined_kinds(&world.state).map(|kinds| kinds.len() + world.kinds.len()), Ok(MAX_KINDS));
}
