//! The work and space of a sequence stay within what the parameters say (data-model §4.2).

mod common;

use std::sync::Arc;

use common::*;
use quorate_machine::read;
use quorate_types::ids::Sequence;
use quorate_types::operation::{Change, Operation};
use quorate_types::receipt::RejectionCode;
use quorate_types::value::Value;

fn text(bytes: usize) -> Value {
    Value::Text("x".repeat(bytes))
}

/// A small operation on `count` documents of the size given by [`with_documents`].
fn touch_all(world: &mut World, number: u8, count: usize) -> Arc<Operation> {
    let builder = (0..count).fold(world.by(author(number)), |builder, index| {
        let push = Change::Set { path: "/k".parse().expect("a JSON pointer"), value: integer(i64::from(number)) };
        builder.mutate(document(&index.to_string()), push)
    });
    finish(builder)
}

fn with_documents(count: usize, bytes: usize) -> World {
    let mut world = World::new();
    for index in 0..count {
        world.apply(document(&index.to_string()), put(map(&[("k", integer(0)), ("t", text(bytes))])));
    }
    world
}

#[test]
fn an_operation_moves_no_more_bytes_than_allowed_however_small_it_is() {
    let mut world = with_documents(10, 100_000);
    world.parameters.operation_touched_bytes = 1_000_000;
    let operation = touch_all(&mut world, 1, 4);
    assert!(world.receipt(&operation).is_applied());
    let operation = touch_all(&mut world, 2, 6);
    assert_eq!(rejection(&world.receipt(&operation)).0, RejectionCode::TouchesTooMuch, "reads fit, writes don't");
    let operation = touch_all(&mut world, 3, 10);
    assert_eq!(rejection(&world.receipt(&operation)).0, RejectionCode::TouchesTooMuch);
}

#[test]
fn a_sequence_moves_no_more_bytes_than_allowed_and_small_operations_always_fit() {
    let mut world = with_documents(4, 100_000);
    world.parameters.proposal_touched_bytes = 3_000_000;
    let small = |world: &mut World, number| {
        finish(world.by(author(number)).mutate(document(&format!("small-{number}")), put(text(5_000))))
    };
    // Each touches some 800 kB: three fit.
    let mut operations: Vec<_> = (0..10).map(|number| (0, touch_all(&mut world, number, 4))).collect();
    operations.extend((10..20).map(|number| (0, small(&mut world, number))));
    let executed = world.run(&operations);
    let outcome = |index: usize| &executed.receipts[index];
    assert!((0..3).all(|index| outcome(index).is_applied()));
    assert!((3..10).all(|index| rejection(outcome(index)).0 == RejectionCode::SequenceFull));
    assert!((10..20).all(|index| outcome(index).is_applied()));
    let again = touch_all(&mut world, 3, 4);
    assert!(world.receipt(&again).is_applied(), "the next sequence has room again");
}

/// data-model §4.2: an entry goes when both halves of `R` have passed.
#[test]
fn the_index_forgets_what_lapsed_and_nothing_else() {
    let mut world = World::new();
    world.parameters.index_sequences = 10;
    world.parameters.index_ms = 5_000;
    let ids: Vec<_> = (0..30).map(|_| world.apply(document("a"), put(integer(1)))).collect();
    // At sequence 30 those of sequence 19 and before are more than 10 sequences and 5 s old.
    let found = |id| read::executed(&world.state, id).unwrap().map(|entry| entry.at.sequence);
    let kept: Vec<_> = ids.iter().filter_map(found).collect();
    assert_eq!(kept, (20..=30).map(Sequence).collect::<Vec<_>>());
    assert_eq!(world.state.keys().filter(|key| key[0] == b'o').count(), 11);
    assert_eq!(world.state.keys().filter(|key| key[0] == b'l').count(), 11);
}

#[test]
fn a_backlog_of_lapsed_entries_is_removed_over_several_sequences() {
    let mut world = World::new();
    (world.parameters.index_sequences, world.parameters.index_ms) = (1_000, 1_000);
    for _ in 0..40 {
        world.apply(document("a"), put(integer(1)));
    }
    world.advance(2_000, 0);
    let entries = |world: &World| world.state.keys().filter(|key| key[0] == b'o').count();
    for left in [36, 32, 28] {
        world.run(&[]);
        assert_eq!(entries(&world), left, "four sequences at a time");
    }
    (0..8).for_each(|_| drop(world.run(&[])));
    assert_eq!(entries(&world), 0);
}

#[test]
fn the_state_knows_the_sequence_and_time_that_it_is_of() {
    let mut world = World::new();
    assert_eq!(read::position(&world.state).unwrap(), None);
    world.run(&[]);
    let position = read::position(&world.state).unwrap().unwrap();
    assert_eq!((position.sequence.0, position.time.0), (world.sequence, world.time));
}

#[test]
fn entities_of_a_kind_are_listed_page_by_page() {
    let mut world = World::new();
    for id in ["b", "a", "c", "a:1"] {
        world.apply(document(id), put(Value::Null));
    }
    world.apply(counter("a"), create());
    let page = |after, limit| -> Vec<String> {
        let entities = read::entities(&world.state, "package", after, limit).unwrap();
        entities.into_iter().map(|(entity, _)| entity.id).collect()
    };
    assert_eq!(page(None, 2), ["a", "a:1"]);
    assert_eq!(page(Some("a:1"), 10), ["b", "c"]);
    assert_eq!(page(Some("c"), 10), Vec::<String>::new());
}

/// A value that isn't what this code wrote stops execution; it is never guessed at.
#[test]
fn a_damaged_value_is_an_error_of_the_store() {
    let mut world = World::new();
    world.apply(document("a"), put(Value::Null));
    let key = world.state.keys().find(|key| key[0] == b'e').unwrap().clone();
    world.state.insert(key.clone(), vec![1, 2, 3]);
    let error = read::entity(&world.state, &document("a")).unwrap_err();
    assert_eq!(error, quorate_storage::StoreError::Corrupt { family: quorate_storage::Family::State, key });
}
