//! The own lane and the pool.

use std::sync::Arc;

use quorate_types::ids::BundleNumber;
use quorate_types::rules::admit_link;

use super::*;
use crate::{Admission, Intake, PoolFigures};

fn next(lanes: &mut Lanes) -> Option<Arc<quorate_types::bundle::Bundle>> {
    let (header, operations) = lanes.next_bundle()?;
    let bundle = signed(header, operations);
    admit_all(lanes, &[Arc::clone(&bundle)]);
    Some(bundle)
}

#[test]
fn the_pool_is_bounded_in_bytes_and_in_operations() {
    let mut lanes = lanes(4);
    for number in 0..6 {
        assert_eq!(lanes.submit(operation(number)), Intake::Taken);
    }
    assert_eq!(lanes.submit(operation(6)), Intake::Full, "pool_bytes is 6 operations");
    assert_eq!(lanes.pool(), PoolFigures { operations: 6, bytes: 6 * unit() });
    let mut config = config(4);
    config.limits.pool_bytes = u64::MAX;
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    for number in 0..8 {
        assert_eq!(lanes.submit(operation(number)), Intake::Taken);
    }
    assert_eq!(lanes.submit(operation(8)), Intake::Full);
}

#[test]
fn an_operation_that_no_bundle_can_hold_is_refused_and_blocks_nothing() {
    let mut config = config(4);
    config.limits.bundle_bytes = unit() - 1;
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    assert_eq!(lanes.submit(operation(0)), Intake::TooLarge);
    assert_eq!(lanes.next_bundle(), None);
}

#[test]
fn bundles_are_filled_to_their_bounds_and_follow_each_other() {
    let mut config = config(4);
    config.limits.bundle_bytes = 3 * unit() + 1;
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    for number in 0..5 {
        lanes.submit(operation(number));
    }
    let (one, two) = (next(&mut lanes).unwrap(), next(&mut lanes).unwrap());
    assert_eq!((one.operations.len(), two.operations.len()), (3, 2));
    assert_eq!(one.operations[0], operation(0), "first in, first out");
    assert_eq!(admit_link(&one.header.statement, &two), Ok(()));
    assert_eq!(next(&mut lanes), None);
    assert_eq!(lanes.tips(), [lanes.own_head()]);
}

#[test]
fn an_operation_is_known_while_it_waits_and_until_its_bundle_is_delivered() {
    let mut lanes = lanes(4);
    assert_eq!(lanes.submit(operation(0)), Intake::Taken);
    assert_eq!(lanes.submit(operation(0)), Intake::Known);
    let bundle = next(&mut lanes).unwrap();
    assert_eq!(lanes.submit(operation(0)), Intake::Known);
    order(&mut lanes, name(1), &[bundle.header.statement.tip()]);
    assert_eq!(lanes.submit(operation(0)), Intake::Taken, "execution drops what executed before");
}

#[test]
fn the_own_lane_stops_at_its_bound_and_goes_on_after_a_delivery() {
    let mut config = config(4);
    config.limits.lane_bytes = 5 * unit();
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    for number in 0..6 {
        lanes.submit(operation(number));
    }
    let (one, two) = (next(&mut lanes).unwrap(), next(&mut lanes).unwrap());
    assert_eq!((one.operations.len(), two.operations.len()), (4, 1));
    assert_eq!(lanes.undelivered_bytes(), 5 * unit());
    assert_eq!(next(&mut lanes), None);
    assert!(lanes.is_full());
    assert_eq!(lanes.pool().operations, 1);
    order(&mut lanes, name(1), &[one.header.statement.tip()]);
    assert!(!lanes.is_full());
    assert_eq!(next(&mut lanes).unwrap().operations, [operation(5)]);
}

/// The room left may be smaller than the next operation: then, too, nothing can be made until a delivery.
#[test]
fn a_lane_with_less_room_than_the_next_operation_needs_is_full() {
    let mut config = config(4);
    config.limits.lane_bytes = 5 * unit() - 1;
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    for number in 0..5 {
        lanes.submit(operation(number));
    }
    next(&mut lanes).unwrap();
    assert!(lanes.is_full() && next(&mut lanes).is_none());
    assert!(lanes.undelivered_bytes() < 5 * unit() - 1);
}

#[test]
fn a_number_is_given_out_once_even_if_the_bundle_never_comes_back() {
    let mut lanes = lanes(4);
    lanes.submit(operation(0));
    let (first, _) = lanes.next_bundle().unwrap();
    lanes.submit(operation(1));
    let (second, _) = lanes.next_bundle().unwrap();
    assert_eq!((first.number, second.number), (BundleNumber(1), BundleNumber(2)));
    assert_eq!(second.parent, first.digest());
}

/// protocol §7.6: another node runs with this key, or records are lost.
#[test]
fn an_own_bundle_that_the_records_do_not_know_mutes_the_lane() {
    let mut ahead = lanes(4);
    ahead.submit(operation(0));
    let stranger = Owner::new(0).bundle(1);
    assert!(matches!(ahead.admit(stranger), Admission::Stored { .. }));
    assert!(ahead.is_muted());
    assert_eq!(ahead.next_bundle(), None);

    let mut twin = lanes(4);
    twin.submit(operation(0));
    next(&mut twin).unwrap();
    assert!(!twin.is_muted());
    assert!(matches!(twin.admit(Owner::new(0).fork(1).bundle(2)), Admission::Conflict(_)));
    assert!(twin.is_muted());
}

#[test]
fn a_delivered_fork_of_the_own_lane_mutes_it() {
    let mut lanes = lanes(4);
    lanes.submit(operation(0));
    next(&mut lanes).unwrap();
    let mut stranger = Owner::new(0).fork(1);
    let bundle = stranger.bundle(1);
    assert!(matches!(lanes.check(ROOT, name(1), &payload(&[stranger.tip()])), Check::Missing(_)));
    lanes.admit(bundle);
    order(&mut lanes, name(1), &[stranger.tip()]);
    assert!(lanes.is_muted());
}
