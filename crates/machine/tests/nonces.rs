//! Exactly once: the table of data-model §3.2 row by row, and how windows begin, move and go.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use quorate_crypto::PublicKey;
use quorate_machine::read;
use quorate_types::ids::BlockTime;
use quorate_types::kind::{Access, EntityType, Kind, Kinds, Right};
use quorate_types::operation::{Change, Operation, OperationBuilder};
use quorate_types::receipt::{Judgement, RejectionCode};
use quorate_types::value::Value;

fn touch(builder: OperationBuilder) -> Arc<Operation> {
    finish(builder.mutate(document("a"), put(Value::Null)))
}

/// An operation with this nonce; `variant` makes it another one.
fn op(world: &World, author: PublicKey, nonce: u64, variant: i64) -> Arc<Operation> {
    finish(world.with_nonce(author, nonce).mutate(document("a"), put(integer(variant))))
}

fn expiring(author: PublicKey, nonce: u64, expires_ms: u64) -> Arc<Operation> {
    let cluster = quorate_types::ids::ClusterId(quorate_crypto::Digest::ZERO);
    touch(OperationBuilder::new(cluster, author, nonce, BlockTime(expires_ms)))
}

fn lifetime_ms(world: &World) -> u64 {
    u64::from(world.parameters.max_lifetime_ms)
}

/// Row 1: the same id again, in the same sequence, from another lane, and later.
#[test]
fn the_same_operation_gets_one_receipt_ever() {
    let mut world = World::new();
    let operation = op(&world, author(1), 7, 0);
    let executed = world.run(&[(0, operation.clone()), (2, operation.clone()), (0, operation.clone())]);
    assert_eq!(executed.receipts.len(), 1);
    for _ in 0..3 {
        let executed = world.run(&[(1, operation.clone())]);
        assert_eq!((executed.receipts, executed.judgements), (vec![], vec![]));
    }
    assert_eq!(world.version(&document("a")), Some(1));
}

/// Row 1, after the operation index has forgotten it: the window has not.
#[test]
fn the_same_operation_has_no_second_receipt_when_the_index_has_lapsed() {
    let mut world = World::new();
    let operation = expiring(author(1), 7, world.time + lifetime_ms(&world));
    world.receipt(&operation);
    let (sequences, ms) = (world.parameters.index_sequences, world.parameters.index_ms);
    world.advance(u64::from(sequences) + 1, u64::from(ms) + 1);
    world.run(&[]);
    assert_eq!(read::executed(&world.state, &operation.id()).unwrap(), None, "the index has forgotten it");
    let executed = world.run(&[(0, operation)]);
    assert_eq!((executed.receipts, executed.judgements), (vec![], vec![]));
}

/// Row 2.
#[test]
fn another_operation_with_a_used_nonce_is_told_which_one_used_it() {
    let mut world = World::new();
    let first = op(&world, author(1), 7, 0);
    world.receipt(&first);
    let second = op(&world, author(1), 7, 1);
    assert_eq!(world.judgement(&second), Judgement::NonceUsed { by: first.id() });
    assert!(world.receipt(&op(&world, author(2), 7, 1)).is_applied(), "another author's nonce is another");
}

/// Row 2, within one sequence.
#[test]
fn of_two_operations_with_one_nonce_one_executes() {
    let mut world = World::new();
    let operations = [op(&world, author(1), 7, 0), op(&world, author(1), 7, 1)];
    let executed = world.run(&[(0, operations[0].clone()), (1, operations[1].clone())]);
    let (first, second) = (&executed.receipts, &executed.judgements);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(second[0].1, Judgement::NonceUsed { by: first[0].operation });
}

/// Row 3.
#[test]
fn a_nonce_below_the_window_is_too_old() {
    let mut world = World::new();
    world.receipt(&op(&world, author(1), 100, 0));
    assert_eq!(world.judgement(&op(&world, author(1), 99, 0)), Judgement::NonceTooOld { lowest: 100 });
    world.receipt(&op(&world, author(1), 1_124, 0));
    assert_eq!(world.judgement(&op(&world, author(1), 100, 1)), Judgement::NonceTooOld { lowest: 101 });
    assert!(world.receipt(&op(&world, author(1), 101, 0)).is_applied());
}

/// Row 4.
#[test]
fn a_nonce_more_than_1024_above_the_highest_is_too_far() {
    let mut world = World::new();
    world.receipt(&op(&world, author(1), 100, 0));
    assert_eq!(world.judgement(&op(&world, author(1), 1_125, 0)), Judgement::NonceTooFar { highest: 1_124 });
    assert!(world.receipt(&op(&world, author(1), 1_124, 0)).is_applied());
}

/// Row 5.
#[test]
fn an_author_without_any_right_is_unknown() {
    let mut world = World::new();
    let only_readable =
        Access { create: keys(&[author(1)]), write: keys(&[]), read: Right::Anyone, administer: keys(&[]) };
    world.kinds = Kinds::new([Kind { access: only_readable, ..kind("package", EntityType::Document) }]);
    assert_eq!(world.judgement(&op(&world, author(2), 1, 0)), Judgement::UnknownAuthor);
    assert!(world.receipt(&op(&world, author(1), 1, 0)).is_applied());
}

/// Row 6: without a window nothing is known of the nonce.
#[test]
fn an_expired_operation_of_an_unknown_author_gets_no_receipt() {
    let mut world = World::new();
    let expired_at_ms = world.time;
    let operation = expiring(author(1), 7, expired_at_ms);
    assert_eq!(world.judgement(&operation), Judgement::Expired { expired_at_ms });
}

/// Row 6, the other side, and §3.3: a window that covers the nonce as unused makes it a receipt, which
/// consumes the nonce.
#[test]
fn an_expired_operation_with_a_nonce_known_as_unused_gets_a_receipt() {
    let mut world = World::new();
    world.receipt(&op(&world, author(1), 7, 0));
    for nonce in [8, 9, 1_000] {
        let operation = expiring(author(1), nonce, world.time);
        assert_eq!(rejection(&world.receipt(&operation)).0, RejectionCode::Expired);
        let again = op(&world, author(1), nonce, 0);
        assert_eq!(world.judgement(&again), Judgement::NonceUsed { by: operation.id() });
    }
    assert_eq!(world.version(&document("a")), Some(1));
}

/// An operation executes up to and with its `expires_at`.
#[test]
fn expiry_is_exact() {
    let mut world = World::new();
    world.receipt(&op(&world, author(1), 7, 0));
    let next = world.time + 1_000;
    assert!(world.receipt(&expiring(author(1), 8, next)).is_applied());
    let next = world.time + 1_000;
    assert_eq!(rejection(&world.receipt(&expiring(author(1), 9, next - 1))).0, RejectionCode::Expired);
}

/// §3.5: a receipt `EXPIRED` says that the operation never executed, so it is given only while that is
/// certain: an author's new window doesn't know what its forgotten one executed.
#[test]
fn an_operation_of_a_forgotten_window_gets_no_receipt_in_the_next_one() {
    let mut world = World::new();
    let old = op(&world, author(1), 50, 0);
    world.receipt(&old);
    world.advance(u64::from(world.parameters.index_sequences), 2 * lifetime_ms(&world) + 1);
    world.receipt(&op(&world, author(1), 40, 1));
    let expired_at_ms = old.content().expires_at.0;
    assert_eq!(world.judgement(&old), Judgement::Expired { expired_at_ms });
}

#[test]
fn an_expired_receipt_is_given_up_to_one_lifetime_after_the_expiry() {
    let mut world = World::new();
    let expires = world.time + 1_000;
    let lifetime = lifetime_ms(&world);
    world.receipt(&op(&world, author(1), 7, 0));
    let at = |world: &mut World, time: u64| world.time = time - 1_000;
    at(&mut world, expires + lifetime);
    assert_eq!(rejection(&world.receipt(&expiring(author(1), 8, expires))).0, RejectionCode::Expired);
    at(&mut world, expires + lifetime + 1);
    let late = world.judgement(&expiring(author(1), 9, expires));
    assert_eq!(late, Judgement::Expired { expired_at_ms: expires });
}

/// Row 7.
#[test]
fn an_operation_that_would_live_too_long_is_refused() {
    let mut world = World::new();
    let latest_ms = world.time + 1_000 + lifetime_ms(&world);
    let too_far = expiring(author(1), 7, latest_ms + 1);
    assert_eq!(world.judgement(&too_far), Judgement::ExpiresTooFar { latest_ms });
    let just = expiring(author(1), 7, world.time + 1_000 + lifetime_ms(&world));
    assert!(world.receipt(&just).is_applied());
    assert!(matches!(world.judgement(&expiring(author(1), 8, u64::MAX)), Judgement::ExpiresTooFar { .. }));
}

/// §3.3: "every receipt consumes the nonce".
#[test]
fn a_rejection_consumes_the_nonce_and_changes_nothing_else_of_entities() {
    let mut world = World::new();
    let rejected = finish(world.with_nonce(author(1), 7).mutate(document("a"), Change::Delete));
    assert!(!world.receipt(&rejected).is_applied());
    assert_eq!(world.judgement(&op(&world, author(1), 7, 0)), Judgement::NonceUsed { by: rejected.id() });
}

/// §3.4: the base is any nonce below 2⁶³, and no number locks anybody else out.
#[test]
fn the_first_nonce_sets_the_base_and_extreme_ones_do_no_harm() {
    let mut world = World::new();
    let bound = 1u64 << 63;
    for nonce in [bound, u64::MAX] {
        let judged = world.judgement(&op(&world, author(1), nonce, 0));
        assert_eq!(judged, Judgement::NonceTooFar { highest: bound - 1 });
    }
    assert!(world.receipt(&op(&world, author(1), bound - 1, 0)).is_applied());
    assert_eq!(world.judgement(&op(&world, author(1), 0, 0)), Judgement::NonceTooOld { lowest: bound - 1 });
    assert!(world.receipt(&op(&world, author(1), bound + 1_023, 0)).is_applied());
    assert!(world.receipt(&op(&world, author(2), 0, 0)).is_applied());
    assert!(world.receipt(&op(&world, author(2), 1, 0)).is_applied());
}

/// §3.1: up to 1,024 operations in flight, in any order.
#[test]
fn a_full_window_executes_in_any_order_and_only_once() {
    let mut world = World::new();
    world.receipt(&op(&world, author(1), 0, 0));
    // 7 and 1,024 have no common divisor: every nonce once, in a wild order.
    let nonces: Vec<u64> = (0..1_024).map(|step| step * 7 % 1_024 + 1).collect();
    assert_eq!(nonces.iter().collect::<BTreeSet<_>>().len(), 1_024);
    let operations: Vec<_> = nonces.iter().map(|nonce| (0, op(&world, author(1), *nonce, 0))).collect();
    let executed = world.run(&operations);
    assert_eq!((executed.receipts.len(), executed.judgements.len()), (1_024, 0));
    let known = read::author(&world.state, &author(1), BlockTime(world.time), &world.parameters).unwrap().unwrap();
    assert_eq!((known.lowest, known.highest, known.limit), (1, 1_024, 2_048));
    assert_eq!(known.used.len(), 1_024);
    let again = world.run(&operations);
    assert_eq!((again.receipts.len(), again.judgements.len()), (0, 0));
}

/// §3.4: authors cost bounded space.
#[test]
fn a_window_without_use_is_dropped_with_all_its_entries() {
    let mut world = World::new();
    for nonce in 0..100 {
        world.receipt(&op(&world, author(1), nonce, 0));
    }
    world.advance(5_000, 2 * lifetime_ms(&world));
    world.receipt(&op(&world, author(2), 0, 0));
    world.run(&[]);
    let left = |letter: u8| world.state.keys().filter(|key| key[0] == letter).count();
    assert_eq!((left(b'n'), left(b'u'), left(b'x')), (1, 1, 1), "author 2 alone is known");
}

#[test]
fn a_window_in_use_stays_however_often_it_was_due() {
    let mut world = World::new();
    world.receipt(&op(&world, author(1), 0, 0));
    for step in 1..6 {
        world.advance(1, lifetime_ms(&world) * 3 / 2);
        world.receipt(&op(&world, author(1), step, 0));
    }
    let known = read::author(&world.state, &author(1), BlockTime(world.time), &world.parameters).unwrap().unwrap();
    assert_eq!((known.lowest, known.highest, known.used.len()), (0, 5, 6));
    assert_eq!(world.state.keys().filter(|key| key[0] == b'x').count(), 1);
}

/// That removing old windows takes several sequences must not be seen: a window that is due counts as gone
/// at once, and the next one of its author doesn't see its entries.
#[test]
fn a_dropped_window_is_gone_before_it_is_removed() {
    let mut world = World::new();
    world.parameters.max_proposal_operations = 1;
    let crowd: Vec<_> = (0..40).map(|number| (0, op(&world, author(100 + number), 5, 0))).collect();
    world.run(&crowd);
    world.advance(1, 2 * lifetime_ms(&world) + 1);
    world.run(&[]);
    let remaining = world.state.keys().filter(|key| key[0] == b'n').count();
    assert!(remaining > 30, "{remaining} windows wait for removal");
    let last = author(139);
    assert!(read::author(&world.state, &last, BlockTime(world.time), &world.parameters).unwrap().is_none());
    assert!(world.receipt(&op(&world, last, 5, 1)).is_applied(), "the old entry of nonce 5 isn't seen");
    for _ in 0..40 {
        world.run(&[]);
    }
    assert_eq!(world.state.keys().filter(|key| key[0] == b'n').count(), 1);
}
