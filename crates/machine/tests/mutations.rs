//! Every mutation and guard, with the rights they need and the atomicity of an operation
//! (data-model §§2.3–2.4).

mod common;

use common::*;
use quorate_machine::{Content, read};
use quorate_types::kind::{Access, EntityType, Kind, Kinds};
use quorate_types::operation::{Change, Condition, EntityId, Path};
use quorate_types::receipt::{EntityVersion, Location, Outcome, RejectionCode};
use quorate_types::value::Value;

fn path(pointer: &str) -> Path {
    pointer.parse().expect("the path is a JSON pointer")
}

#[test]
fn create_makes_each_type_of_entity_once() {
    let mut world = World::new();
    world.apply(document("a"), Change::Create { value: Some(map(&[])) });
    world.apply(counter("a"), Change::Create { value: Some(integer(-5)) });
    world.apply(counter("b"), create());
    world.apply(account("a"), create());
    assert_eq!(world.content(&document("a")), Some(Content::Document(map(&[]))));
    assert_eq!((world.number(&counter("a")), world.number(&counter("b"))), (Some(-5), Some(0)));
    assert_eq!(world.number(&account("a")), Some(0));
    assert_eq!(world.reject(document("a"), Change::Create { value: Some(map(&[])) }), RejectionCode::AlreadyExists);
    assert_eq!(world.reject(document("b"), create()), RejectionCode::WrongType);
    assert_eq!(world.reject(counter("c"), Change::Create { value: Some(Value::Null) }), RejectionCode::WrongType);
    assert_eq!(world.reject(account("c"), Change::Create { value: Some(integer(1)) }), RejectionCode::WrongType);
}

#[test]
fn put_makes_or_replaces_a_document_and_versions_count_operations() {
    let mut world = World::new();
    world.apply(document("a"), put(integer(1)));
    let second = world.apply(document("a"), put(integer(2)));
    let entity = read::entity(&world.state, &document("a")).unwrap().unwrap();
    assert_eq!(entity.content, Content::Document(integer(2)));
    assert_eq!((entity.header.version, entity.header.last), (2, second));
    assert_eq!(entity.header.changed.0, world.sequence);
}

/// Many mutations of one entity by one operation are one version.
#[test]
fn an_operation_counts_once_however_many_mutations_it_has() {
    let mut world = World::new();
    let operation = world.op().mutate(counter("a"), create()).mutate(counter("a"), Change::Add { by: 1 });
    let receipt = world.receipt(&finish(operation.mutate(counter("a"), Change::Add { by: 2 })));
    assert_eq!(receipt.versions, [EntityVersion { entity: counter("a"), version: 1 }]);
    assert_eq!(world.number(&counter("a")), Some(3));
}

#[test]
fn delete_leaves_nothing_and_a_new_entity_starts_at_version_one() {
    let mut world = World::new();
    world.apply(document("a"), put(integer(1)));
    world.apply(document("a"), put(integer(2)));
    let operation = finish(world.op().mutate(document("a"), Change::Delete));
    let receipt = world.receipt(&operation);
    assert_eq!(receipt.versions, [EntityVersion { entity: document("a"), version: 0 }]);
    assert_eq!(world.version(&document("a")), None);
    assert!(!world.state.keys().any(|key| key.starts_with(b"e")));
    assert_eq!(world.reject(document("a"), Change::Delete), RejectionCode::NotFound);
    world.apply(document("a"), put(integer(3)));
    assert_eq!(world.version(&document("a")), Some(1));
    let again = world.op().mutate(document("a"), Change::Delete).mutate(document("a"), put(integer(4)));
    assert_eq!(world.receipt(&finish(again)).versions[0].version, 1);
    let brief = world.op().mutate(document("b"), put(integer(4))).mutate(document("b"), Change::Delete);
    assert_eq!(world.receipt(&finish(brief)).versions, []);
}

#[test]
fn documents_are_changed_at_paths() {
    let mut world = World::new();
    world.apply(document("a"), put(map(&[("n", integer(1)), ("l", Value::List(vec![integer(7), integer(7)]))])));
    world.apply(document("a"), Change::Set { path: path("/s"), value: Value::Text("x".to_owned()) });
    world.apply(document("a"), Change::Increment { path: path("/n"), by: 41 });
    world.apply(document("a"), Change::Push { path: path("/l"), value: integer(8) });
    world.apply(document("a"), Change::Pull { path: path("/l"), value: integer(7) });
    world.apply(document("a"), Change::Unset { path: path("/s") });
    let expected = map(&[("l", Value::List(vec![integer(8)])), ("n", integer(42))]);
    assert_eq!(world.content(&document("a")), Some(Content::Document(expected)));
    let overflow = Change::Increment { path: path("/n"), by: i64::MAX };
    assert_eq!(world.reject(document("a"), overflow), RejectionCode::Overflow);
    assert_eq!(world.reject(document("a"), Change::Unset { path: path("/x") }), RejectionCode::NoSuchPath);
    assert_eq!(world.reject(document("b"), Change::Unset { path: path("/x") }), RejectionCode::NotFound);
}

#[test]
fn documents_stay_within_their_size_and_levels() {
    let mut world = World::new();
    world.parameters.document_bytes = 1_024;
    world.parameters.document_levels = 4;
    let text = |bytes: usize| Value::Text("x".repeat(bytes));
    // One byte says that it is text, four how long.
    world.apply(document("a"), put(text(1_024 - 5)));
    assert_eq!(world.reject(document("a"), put(text(1_024 - 4))), RejectionCode::DocumentTooLarge);
    world.apply(document("b"), put(map(&[("a", map(&[("b", map(&[]))]))])));
    world.apply(document("b"), Change::Set { path: path("/a/b/c"), value: Value::Null });
    let deep = Change::Set { path: path("/a/b/c"), value: map(&[("d", Value::Null)]) };
    assert_eq!(world.reject(document("b"), deep), RejectionCode::DocumentTooDeep);
    world.apply(document("b"), Change::Set { path: path("/l"), value: Value::List(vec![]) });
    world.apply(document("b"), Change::Push { path: path("/l"), value: Value::List(vec![Value::Null]) });
    let deep = Value::List(vec![Value::List(vec![Value::Null])]);
    assert_eq!(
        world.reject(document("b"), Change::Push { path: path("/l"), value: deep }),
        RejectionCode::DocumentTooDeep
    );
}

#[test]
fn counters_add_with_a_check() {
    let mut world = World::new();
    world.apply(counter("a"), create());
    world.apply(counter("a"), Change::Add { by: i64::MAX });
    assert_eq!(world.reject(counter("a"), Change::Add { by: 1 }), RejectionCode::Overflow);
    world.apply(counter("a"), Change::Add { by: -1 });
    assert_eq!(world.number(&counter("a")), Some(i64::MAX - 1));
    assert_eq!(world.reject(counter("b"), Change::Add { by: 1 }), RejectionCode::NotFound);
}

/// data-model §2.3: "the sum over a kind's accounts changes only by mint and burn".
#[test]
fn accounts_move_amounts_and_the_supply_is_minted_less_burnt() {
    let mut world = World::new();
    world.apply(account("a"), create());
    world.apply(account("b"), create());
    world.apply(account("a"), Change::Mint { amount: 10 });
    world.apply(account("a"), transfer("b", 7));
    world.apply(account("b"), Change::Burn { amount: 2 });
    assert_eq!((world.number(&account("a")), world.number(&account("b"))), (Some(3), Some(5)));
    assert_eq!(read::supply(&world.state, "money").unwrap(), 8);
    assert_eq!(world.reject(account("a"), transfer("b", 4)), RejectionCode::InsufficientFunds);
    assert_eq!(world.reject(account("a"), Change::Burn { amount: 4 }), RejectionCode::InsufficientFunds);
    assert_eq!(world.reject(account("a"), transfer("a", 1)), RejectionCode::SameAccount);
    assert_eq!(world.reject(account("a"), transfer("c", 1)), RejectionCode::NotFound);
    assert_eq!(world.reject(account("c"), transfer("a", 1)), RejectionCode::NotFound);
    assert_eq!(world.reject(account("a"), Change::Delete), RejectionCode::NotEmpty);
    world.apply(account("a"), transfer("b", 3));
    world.apply(account("a"), Change::Delete);
    assert_eq!(read::supply(&world.state, "money").unwrap(), 8);
}

#[test]
fn amounts_beyond_a_balance_overflow_and_only_overdrafts_fall_below_zero() {
    let mut world = World::new();
    world.apply(account("a"), create());
    assert_eq!(world.reject(account("a"), Change::Mint { amount: u64::MAX }), RejectionCode::Overflow);
    world.apply(account("a"), Change::Mint { amount: i64::MAX as u64 });
    assert_eq!(world.reject(account("a"), Change::Mint { amount: 1 }), RejectionCode::Overflow);
    let credit = |id: &str| EntityId::new("credit", id);
    world.apply(credit("a"), create());
    world.apply(credit("b"), create());
    world.apply(credit("a"), transfer("b", i64::MAX as u64));
    world.apply(credit("a"), Change::Burn { amount: 1 });
    assert_eq!(world.number(&credit("a")), Some(i64::MIN));
    assert_eq!(world.reject(credit("a"), Change::Burn { amount: 1 }), RejectionCode::Overflow);
}

#[test]
fn overflow_at_the_receiver_takes_nothing_from_the_giver() {
    let mut world = World::new();
    let credit = |id: &str| EntityId::new("credit", id);
    world.apply(credit("a"), create());
    world.apply(credit("b"), create());
    world.apply(credit("a"), transfer("b", i64::MAX as u64));
    assert_eq!(world.reject(credit("a"), transfer("b", 1)), RejectionCode::Overflow);
    assert_eq!((world.number(&credit("a")), world.number(&credit("b"))), (Some(-i64::MAX), Some(i64::MAX)));
}

#[test]
fn mutations_of_another_type_and_unknown_kinds_are_rejected() {
    let mut world = World::new();
    world.apply(document("a"), put(integer(1)));
    world.apply(counter("a"), create());
    world.apply(account("a"), create());
    assert_eq!(world.reject(document("a"), Change::Add { by: 1 }), RejectionCode::WrongKind);
    assert_eq!(world.reject(document("a"), Change::Mint { amount: 1 }), RejectionCode::WrongKind);
    assert_eq!(world.reject(counter("a"), put(integer(1))), RejectionCode::WrongKind);
    assert_eq!(world.reject(counter("a"), transfer("b", 1)), RejectionCode::WrongKind);
    let set = Change::Set { path: path("/x"), value: Value::Null };
    assert_eq!(world.reject(account("a"), set), RejectionCode::WrongKind);
    let unknown = EntityId::new("nothing", "a");
    assert_eq!(world.reject(unknown, create()), RejectionCode::UnknownKind);
}

#[test]
fn every_guard_holds_when_it_should_and_says_what_it_found() {
    let mut world = World::new();
    let id = world.apply(document("a"), put(map(&[("x", integer(1))])));
    world.apply(counter("a"), Change::Create { value: Some(integer(9)) });
    let value_at = |pointer: &str, value| Condition::ValueAt { path: path(pointer), value };
    let holds = [
        (document("a"), Condition::Exists),
        (document("b"), Condition::Absent),
        (document("a"), Condition::Version(1)),
        (document("a"), Condition::Last(id)),
        (document("a"), value_at("/x", integer(1))),
        (document("a"), value_at("", map(&[("x", integer(1))]))),
        (counter("a"), value_at("", integer(9))),
    ];
    for (entity, condition) in holds {
        assert_eq!(world.guard(entity, condition.clone()), Outcome::Applied, "{condition:?}");
    }
    let fails = [
        (document("b"), Condition::Exists, "package/b does not exist"),
        (document("a"), Condition::Absent, "package/a exists, at version 1"),
        (document("a"), Condition::Version(2), "package/a is at version 1, not 2"),
        (document("b"), Condition::Version(0), "package/b does not exist"),
        (document("a"), value_at("/x", integer(2)), "at /x of package/a stands 1, not what was expected"),
        (document("a"), value_at("/y", integer(2)), "there is nothing at /y of package/a"),
        (counter("a"), value_at("/x", integer(9)), "there is nothing at /x of hits/a"),
    ];
    for (entity, condition, sentence) in fails {
        match world.guard(entity, condition) {
            Outcome::Rejected(rejection) => {
                assert_eq!((rejection.code, rejection.at), (RejectionCode::GuardFailed, Location::Guard(0)));
                assert_eq!(rejection.message, sentence);
            }
            Outcome::Applied => panic!("{sentence}"),
        }
    }
    let other = world.apply(document("c"), put(Value::Null));
    assert!(matches!(world.guard(document("a"), Condition::Last(other)), Outcome::Rejected(_)));
}

/// data-model §2.4: guards come before mutations, also of the same entity.
#[test]
fn guards_see_the_entities_as_the_operation_found_them() {
    let mut world = World::new();
    let operation = world.op().mutate(document("a"), put(Value::Null)).guard(document("a"), Condition::Absent);
    assert!(world.receipt(&finish(operation)).is_applied());
}

/// data-model §2.4 and §4.1: all or nothing over all entities, and the fault is named by its place.
#[test]
fn an_operation_that_fails_at_its_last_mutation_changes_no_entity() {
    let mut world = World::new();
    world.apply(account("a"), create());
    world.apply(account("b"), create());
    world.apply(account("a"), Change::Mint { amount: 10 });
    let before: Vec<_> = world.state.clone().into_iter().filter(|(key, _)| b"es".contains(&key[0])).collect();
    let operation = world
        .op()
        .mutate(document("new"), put(integer(1)))
        .mutate(account("a"), transfer("b", 5))
        .mutate(account("b"), Change::Mint { amount: 5 })
        .mutate(account("a"), transfer("b", 6));
    let receipt = world.receipt(&finish(operation));
    let Outcome::Rejected(rejection) = &receipt.outcome else { panic!("it overdraws") };
    assert_eq!((rejection.code, rejection.at), (RejectionCode::InsufficientFunds, Location::Mutation(3)));
    assert_eq!(rejection.message, "money/a holds 5, 6 are needed");
    assert_eq!(receipt.versions, []);
    let after: Vec<_> = world.state.clone().into_iter().filter(|(key, _)| b"es".contains(&key[0])).collect();
    assert_eq!(after, before);
}

#[test]
fn every_right_is_asked_for_what_it_covers() {
    let mut world = World::new();
    let [creator, writer, reader, minter, nobody] = [1, 2, 3, 4, 5].map(author);
    let access =
        Access { create: keys(&[creator]), write: keys(&[writer]), read: keys(&[reader]), administer: keys(&[minter]) };
    let restricted = |kind: Kind| Kind { access: access.clone(), ..kind };
    world.kinds = Kinds::new([
        restricted(kind("package", EntityType::Document)),
        restricted(kind("money", EntityType::Account { overdraft: false })),
        restricted(kind("stock", EntityType::Inventory)),
        restricted(kind("tags", EntityType::Set)),
        kind("open", EntityType::Document),
    ]);
    let everyone = [creator, writer, reader, minter, nobody];
    let may = |world: &mut World, entity: EntityId, change: Change| -> Vec<u8> {
        let attempts = everyone.iter().filter(|key| {
            let operation = finish(world.by(**key).mutate(entity.clone(), change.clone()));
            match world.execute(&[(0, operation)]).receipts[0].outcome.clone() {
                Outcome::Rejected(rejection) => rejection.code != RejectionCode::PermissionDenied,
                Outcome::Applied => true,
            }
        });
        attempts.map(|key| key.as_bytes()[0]).collect()
    };
    assert_eq!(may(&mut world, document("a"), put(integer(1))), [1], "put makes");
    world.run(&[(0, finish(world.with_nonce(creator, 1).mutate(document("a"), put(integer(1)))))]);
    assert_eq!(may(&mut world, document("a"), put(integer(1))), [2], "put replaces");
    assert_eq!(may(&mut world, account("a"), create()), [1]);
    assert_eq!(may(&mut world, document("a"), Change::Delete), [2]);
    assert_eq!(may(&mut world, document("a"), Change::Unset { path: path("/x") }), [2]);
    assert_eq!(may(&mut world, account("a"), transfer("b", 1)), [2]);
    assert_eq!(may(&mut world, account("a"), Change::Mint { amount: 1 }), [4]);
    assert_eq!(may(&mut world, account("a"), Change::Burn { amount: 1 }), [4]);
    assert_eq!(may(&mut world, stock("a"), Change::Restock { amount: 1 }), [4]);
    assert_eq!(may(&mut world, stock("a"), Change::Reserve { amount: 1 }), [2]);
    assert_eq!(may(&mut world, tags("a"), Change::Insert { value: integer(1) }), [2]);
    let guarded: Vec<u8> = everyone
        .iter()
        .filter(|key| {
            let open = EntityId::new("open", "x");
            let operation = world.by(**key).guard(document("a"), Condition::Exists).mutate(open, put(integer(1)));
            world.execute(&[(0, finish(operation))]).receipts[0].is_applied()
        })
        .map(|key| key.as_bytes()[0])
        .collect();
    assert_eq!(guarded, [2, 3], "a guard needs the right to read or to write");
}
