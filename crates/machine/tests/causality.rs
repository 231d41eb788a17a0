//! Parents before children, the waiting room and its bounds, and concurrency (data-model §§1.7–1.9).

mod common;

use std::sync::Arc;

use common::*;
use quorate_machine::{Executed, read};
use quorate_types::ids::OperationId;
use quorate_types::operation::{Change, Operation};
use quorate_types::receipt::{Judgement, MAX_CONCURRENT, RejectionCode};

/// An operation of `author` on a document of its own with these parents.
fn child(world: &mut World, number: u8, parents: &[&Arc<Operation>]) -> Arc<Operation> {
    let entity = document(&format!("of-{number}"));
    on(world, number, &entity.id, parents)
}

fn on(world: &mut World, number: u8, id: &str, parents: &[&Arc<Operation>]) -> Arc<Operation> {
    let builder = world.by(author(number)).mutate(document(id), put(integer(i64::from(number))));
    finish(parents.iter().fold(builder, |builder, parent| builder.parent(parent.id())))
}

fn order(executed: &Executed) -> Vec<OperationId> {
    executed.receipts.iter().map(|receipt| receipt.operation).collect()
}

fn ids(operations: &[&Arc<Operation>]) -> Vec<OperationId> {
    operations.iter().map(|operation| operation.id()).collect()
}

#[test]
fn a_parent_executes_before_its_child_whichever_comes_first_in_the_lanes() {
    let mut world = World::new();
    let a = child(&mut world, 1, &[]);
    let b = child(&mut world, 2, &[&a]);
    let c = child(&mut world, 3, &[&b, &a]);
    for lanes in [[0, 0, 0], [2, 1, 0], [0, 1, 2], [1, 2, 0]] {
        let executed = world.execute(&[(lanes[2], c.clone()), (lanes[1], b.clone()), (lanes[0], a.clone())]);
        assert_eq!(order(&executed), ids(&[&a, &b, &c]), "{lanes:?}");
    }
}

/// Depth costs no recursion.
#[test]
fn a_chain_of_thousands_in_reverse_order_executes_from_its_root() {
    let mut world = World::new();
    let mut chain = vec![on(&mut world, 1, "a", &[])];
    for _ in 0..3_000 {
        let next = on(&mut world, 1, "a", &[&chain[chain.len() - 1]]);
        chain.push(next);
    }
    let reversed: Vec<_> = chain.iter().rev().map(|operation| (0, operation.clone())).collect();
    world.parameters.proposal_touched_bytes = u32::MAX;
    // Nonces rise along the chain, so the window moves with it.
    let executed = world.run(&reversed);
    assert_eq!(order(&executed), ids(&chain.iter().collect::<Vec<_>>()));
    assert!(executed.receipts.iter().all(|receipt| receipt.concurrent_with.is_empty()));
}

/// data-model §1.7: ties by lane and position; the first lane changes with the proposal's digest.
#[test]
fn lanes_keep_their_own_order_and_each_goes_first_at_times() {
    let mut world = World::new();
    let operations: Vec<(u16, Arc<Operation>)> =
        (0..12).map(|number| (u16::from(number) % 4, child(&mut world, number, &[]))).collect();
    let mut first = [0; 4];
    for sequence in 0..200 {
        world.sequence = sequence;
        let order = order(&world.execute(&operations));
        let place = |id: &OperationId| operations.iter().position(|(_, op)| op.id() == *id).unwrap();
        let places: Vec<usize> = order.iter().map(place).collect();
        let lanes: Vec<usize> = places.iter().map(|place| place % 4).collect();
        let turn = lanes[0];
        first[turn] += 1;
        let expected: Vec<usize> = (0..12).map(|index| (turn + index / 3) % 4 + index % 3 * 4).collect();
        assert_eq!(places, expected, "lane by lane, from {turn} on");
    }
    assert!(first.iter().all(|count| *count > 20), "{first:?}");
}

#[test]
fn an_operation_waits_for_its_parent_and_executes_in_the_same_sequence_as_it() {
    let mut world = World::new();
    let a = child(&mut world, 1, &[]);
    let b = child(&mut world, 2, &[&a]);
    let c = child(&mut world, 3, &[&b]);
    let executed = world.run(&[(0, b.clone()), (1, c.clone())]);
    assert_eq!((executed.receipts.len(), executed.waiting.operations), (0, 2));
    assert!(read::is_waiting(&world.state, &c.id()).unwrap());
    let executed = world.run(&[(1, b.clone())]);
    assert_eq!(
        (executed.receipts.len(), executed.waiting.operations),
        (0, 2),
        "once in the room, however often it comes"
    );
    let d = child(&mut world, 4, &[]);
    let executed = world.run(&[(0, d.clone()), (0, a.clone())]);
    assert_eq!(order(&executed), ids(&[&d, &a, &b, &c]));
    assert_eq!(executed.waiting, quorate_machine::Occupancy::default());
    assert!(!world.state.keys().any(|key| b"wpqc".contains(&key[0])), "the room leaves nothing behind");
}

/// What has waited goes before what is new.
#[test]
fn a_released_operation_goes_before_the_rest_of_the_sequence() {
    let mut world = World::new();
    let a = child(&mut world, 1, &[]);
    let b = child(&mut world, 2, &[&a]);
    world.run(&[(3, b.clone())]);
    let c = child(&mut world, 3, &[]);
    let executed = world.run(&[(0, a.clone()), (0, c.clone())]);
    assert_eq!(order(&executed), ids(&[&a, &b, &c]));
}

#[test]
fn a_rejected_parent_lets_its_children_go_on() {
    let mut world = World::new();
    let parent = finish(world.by(author(1)).mutate(document("a"), Change::Delete));
    let b = child(&mut world, 2, &[&parent]);
    world.run(&[(0, b.clone())]);
    let executed = world.run(&[(0, parent.clone())]);
    assert_eq!(order(&executed), ids(&[&parent, &b]));
    assert!(!executed.receipts[0].is_applied() && executed.receipts[1].is_applied());
}

/// data-model §1.8 and §4.2: `D` has passed when both its sequences and its time have.
#[test]
fn an_operation_without_its_parent_is_rejected_when_both_halves_of_d_have_passed() {
    let (sequences, ms) = (10, 5_000);
    let mut world = World::new();
    world.parameters.waiting_sequences = sequences;
    world.parameters.waiting_ms = ms;
    let a = child(&mut world, 1, &[]);
    let b = child(&mut world, 2, &[&a]);
    let c = child(&mut world, 3, &[&b]);
    world.run(&[(0, b.clone()), (0, c.clone())]);
    let (sequence, time) = (world.sequence, world.time);
    let receipts_at = |world: &mut World, sequences: u64, ms: u64| {
        (world.sequence, world.time) = (sequence + sequences, time + ms);
        world.execute(&[]).receipts.len()
    };
    assert_eq!(receipts_at(&mut world, u64::from(sequences) + 1, u64::from(ms)), 0, "time stands still");
    assert_eq!(receipts_at(&mut world, u64::from(sequences), u64::from(ms) + 1), 0, "few sequences");
    (world.sequence, world.time) = (sequence + 10, time + 4_001);
    let executed = world.run(&[]);
    assert_eq!(order(&executed), ids(&[&b, &c]));
    assert_eq!(rejection(&executed.receipts[0]).0, RejectionCode::MissingParent);
    assert!(rejection(&executed.receipts[0]).1.contains(&a.id().to_string()), "the parent is named");
    assert!(executed.receipts[1].is_applied(), "its own parent has a receipt now");
    let used = finish(world.with_nonce(author(2), 100).mutate(document("a"), put(integer(1))));
    assert_eq!(world.judgement(&used), Judgement::NonceUsed { by: b.id() });
}

#[test]
fn an_operation_that_expires_while_it_waits_is_answered_as_expired() {
    let mut world = World::new();
    let known = child(&mut world, 2, &[]);
    world.run(&[(0, known)]);
    let a = child(&mut world, 1, &[]);
    let b = child(&mut world, 2, &[&a]);
    world.run(&[(0, b.clone())]);
    world.advance(0, 2 * 3_600_000);
    let late = child(&mut world, 1, &[]);
    assert_ne!(late.id(), a.id());
    world.advance(u64::from(world.parameters.waiting_sequences), 0);
    let executed = world.run(&[]);
    assert_eq!(order(&executed), ids(&[&b]));
    assert_eq!(rejection(&executed.receipts[0]).0, RejectionCode::Expired);
}

/// A parent that lapsed from the index counts as missing (data-model §4.2).
#[test]
fn a_parent_outside_of_the_index_counts_as_missing() {
    let mut world = World::new();
    let a = child(&mut world, 1, &[]);
    world.run(&[(0, a.clone())]);
    let within = child(&mut world, 2, &[&a]);
    assert_eq!(world.execute(&[(0, within)]).receipts.len(), 1);
    let (sequences, ms) = (world.parameters.index_sequences, world.parameters.index_ms);
    world.advance(u64::from(sequences), u64::from(ms));
    let late = child(&mut world, 3, &[&a]);
    let executed = world.run(&[(0, late)]);
    assert_eq!((executed.receipts.len(), executed.waiting.operations), (0, 1));
}

/// Orphans in bulk: every bound of the room holds exactly, with a receipt for what doesn't fit.
#[test]
fn the_waiting_room_is_bounded_in_all_and_for_each_author_and_lane() {
    let orphans = |world: &mut World, authors: &[u8], lanes: u16| -> Vec<(u16, Arc<Operation>)> {
        // Authors whom the state knows: their nonces are judged alike in whatever order they come.
        let known: Vec<_> = (0..=12).map(|number| (0, child(world, number, &[]))).collect();
        world.run(&known);
        let nobody = child(world, 99, &[]);
        let from = authors.iter().zip(0u16..);
        from.map(|(number, index)| (index % lanes, child(world, *number, &[&nobody]))).collect()
    };
    let check = |change: &dyn Fn(&mut World), authors: &[u8], lanes: u16, fit: usize| {
        let mut world = World::new();
        change(&mut world);
        let operations = orphans(&mut world, authors, lanes);
        let executed = world.run(&operations);
        assert_eq!(executed.waiting.operations as usize, fit);
        assert_eq!(executed.receipts.len(), operations.len() - fit);
        for receipt in &executed.receipts {
            assert_eq!(rejection(receipt).0, RejectionCode::WaitingRoomFull);
        }
    };
    let many: Vec<u8> = (1..=12).collect();
    check(&|world| world.parameters.waiting_operations = 7, &many, 4, 7);
    check(&|world| world.parameters.waiting_operations_per_lane = 2, &many, 4, 8);
    check(&|world| world.parameters.waiting_operations_per_author = 3, &[1; 12], 4, 3);
    let mut world = World::new();
    let size = orphans(&mut world, &[1], 1)[0].1.size_bytes();
    check(&|world| world.parameters.waiting_bytes = 5 * size as u32, &[1; 12], 1, 5);
}

/// A receipt that the room is full sets children free like any other.
#[test]
fn children_of_an_operation_for_which_there_was_no_room_execute() {
    let mut world = World::new();
    world.parameters.waiting_operations = 1;
    let nobody = child(&mut world, 99, &[]);
    let fits = child(&mut world, 1, &[&nobody]);
    let full = child(&mut world, 2, &[&nobody]);
    let below = child(&mut world, 3, &[&full]);
    let executed = world.run(&[(0, fits), (0, full.clone()), (0, below.clone())]);
    assert_eq!(order(&executed), ids(&[&full, &below]));
    assert!(executed.receipts[1].is_applied());
    assert_eq!(executed.waiting.operations, 1);
}

#[test]
fn a_used_nonce_takes_no_place_in_the_waiting_room() {
    let mut world = World::new();
    let used = child(&mut world, 1, &[]);
    world.run(&[(0, used.clone())]);
    let nobody = child(&mut world, 99, &[]);
    let again = world.with_nonce(author(1), used.nonce()).mutate(document("a"), put(integer(1)));
    let again = finish(again.parent(nobody.id()));
    assert_eq!(world.judgement(&again), Judgement::NonceUsed { by: used.id() });
}

/// data-model §1.9: concurrent is what neither has seen of the other, on one entity.
#[test]
fn two_operations_on_one_entity_that_did_not_see_each_other_are_named_to_each_other() {
    let mut world = World::new();
    let a = on(&mut world, 1, "x", &[]);
    let b = on(&mut world, 2, "x", &[&a]);
    let c = on(&mut world, 3, "x", &[&a]);
    let elsewhere = on(&mut world, 4, "y", &[]);
    let d = on(&mut world, 5, "x", &[&b, &c]);
    let e = on(&mut world, 6, "x", &[&d]);
    let operations = [&a, &b, &c, &elsewhere, &d, &e].map(|operation| (0, operation.clone()));
    let executed = world.run(&operations);
    let concurrent: Vec<_> = executed.receipts.iter().map(|receipt| receipt.concurrent_with.clone()).collect();
    assert_eq!(concurrent, [vec![], vec![], vec![b.id()], vec![], vec![], vec![]]);
    let entity = read::entity(&world.state, &document("x")).unwrap().unwrap();
    let heads: Vec<_> = entity.header.heads.iter().map(|head| head.operation).collect();
    assert_eq!(heads, [e.id()]);
}

/// A head may be an ancestor over operations on other entities.
#[test]
fn ancestors_are_followed_through_other_entities() {
    let mut world = World::new();
    let a = on(&mut world, 1, "x", &[]);
    let between = on(&mut world, 2, "y", &[&a]);
    let last = on(&mut world, 3, "x", &[&between]);
    let executed = world.run(&[&a, &between, &last].map(|operation| (0, operation.clone())));
    assert!(executed.receipts.iter().all(|receipt| receipt.concurrent_with.is_empty()));
}

#[test]
fn a_rejection_names_what_it_was_concurrent_with() {
    let mut world = World::new();
    let first = on(&mut world, 1, "x", &[]);
    let guarded = world.by(author(2)).guard(document("x"), quorate_types::operation::Condition::Absent);
    let guarded = finish(guarded.mutate(document("x"), put(integer(1))));
    let executed = world.run(&[(0, first.clone()), (0, guarded)]);
    assert_eq!(rejection(&executed.receipts[1]).0, RejectionCode::GuardFailed);
    assert_eq!(executed.receipts[1].concurrent_with, [first.id()]);
}

/// "at most 16, the oldest falls out".
#[test]
fn an_entity_keeps_sixteen_heads_and_forgets_the_oldest() {
    let mut world = World::new();
    let operations: Vec<_> = (0..40).map(|number| (0, on(&mut world, number, "x", &[]))).collect();
    let executed = world.run(&operations);
    let last: Vec<_> = order(&executed)[24..].to_vec();
    let entity = read::entity(&world.state, &document("x")).unwrap().unwrap();
    let heads: Vec<_> = entity.header.heads.iter().map(|head| head.operation).collect();
    assert_eq!(heads, last);
    assert!(executed.receipts.iter().all(|receipt| receipt.concurrent_with.len() <= MAX_CONCURRENT));
    assert_eq!(executed.receipts[39].concurrent_with.len(), MAX_CONCURRENT);
}

/// Nobody can name a parent that the index has lost, so nobody is blamed for not naming it.
#[test]
fn a_head_that_lapsed_from_the_index_is_concurrent_with_nothing() {
    let mut world = World::new();
    let old = on(&mut world, 1, "x", &[]);
    world.run(&[(0, old)]);
    let (sequences, ms) = (world.parameters.index_sequences, world.parameters.index_ms);
    world.advance(u64::from(sequences) + 1, u64::from(ms) + 1);
    let new = on(&mut world, 2, "x", &[]);
    let executed = world.run(&[(0, new.clone())]);
    assert_eq!(executed.receipts[0].concurrent_with, []);
    let entity = read::entity(&world.state, &document("x")).unwrap().unwrap();
    assert_eq!(entity.header.heads.len(), 1);
}
