//! Forks of a lane: evidence, and whatever a committed proposal names is the history (architecture §5).

use std::sync::Arc;

use quorate_types::contradiction::Contradiction;

use super::*;
use crate::Admission;

#[test]
fn a_second_bundle_of_a_number_is_a_contradiction_and_only_the_first_is_kept() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let other = owner.fork(1).bundle(2);
    let first = owner.bundle(2);
    admit_all(&mut lanes, &[Arc::clone(&first)]);
    let Admission::Conflict(pair) = lanes.admit(Arc::clone(&other)) else { panic!("kept") };
    assert_eq!(*pair, Contradiction::Bundles(first.header, other.header));
    assert_eq!(pair.offender(), owner.lane);
    assert_eq!(lanes.tips(), [owner.tip()]);
}

#[test]
fn the_fork_that_a_proposal_names_is_kept_and_wins_when_delivered() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let common = owner.bundle(1);
    let mut forked = owner.fork(1);
    let (mine, theirs) = (owner.bundles(&[1, 1, 1]), forked.bundles(&[2, 2]));
    admit_all(&mut lanes, &[common]);
    admit_all(&mut lanes, &mine);
    let named = payload(&[forked.tip()]);
    let Check::Missing(wants) = lanes.check(ROOT, name(1), &named) else { panic!("not held") };
    assert_eq!(wants[0].tip, theirs[1].digest());
    // The upper one is named, the lower one is named by it.
    for bundle in [&theirs[1], &theirs[0]] {
        let stored = lanes.admit(Arc::clone(bundle));
        assert!(matches!(stored, Admission::Stored { contradiction: Some(_), .. }), "{stored:?}");
    }
    assert_eq!(lanes.check(ROOT, name(1), &named), Check::Valid);
    lanes.deliver(name(1)).unwrap();
    assert_eq!(lanes.tips(), [forked.tip()]);
    let next = forked.bundle(1);
    assert!(
        matches!(lanes.admit(next), Admission::Stored { contradiction: None, .. }),
        "what followed the losing branch is gone"
    );
    assert!(matches!(lanes.admit(Arc::clone(&mine[2])), Admission::Conflict(_)));
}

/// protocol §4.1: lanes are compared by number, never by digest.
#[test]
fn a_fork_makes_no_lane_wait_once_the_chain_names_the_number() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let mut forked = owner.fork(1);
    let theirs = forked.bundle(1);
    let mine = owner.bundle(1);
    admit_all(&mut lanes, &[mine]);
    assert_eq!(lanes.waiting(ROOT).unwrap().len(), 1);
    let named = payload(&[forked.tip()]);
    assert!(matches!(lanes.check(ROOT, name(1), &named), Check::Missing(_)));
    lanes.admit(theirs);
    assert_eq!(lanes.check(ROOT, name(1), &named), Check::Valid);
    assert_eq!(lanes.waiting(name(1)), Some(Vec::new()));
    assert!(lanes.fill(name(1)).unwrap().payload.is_empty());
    assert_eq!(lanes.waiting(ROOT).unwrap().len(), 1, "on another branch it still waits");
}

#[test]
fn a_fork_below_the_delivered_tip_cannot_come_back() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let mut forked = owner.fork(1);
    admit_all(&mut lanes, &[owner.bundle(1)]);
    order(&mut lanes, name(1), &[owner.tip()]);
    forked.bundle(1);
    assert_eq!(lanes.admit(forked.bundle(1)), Admission::BrokenLink);
    let named = payload(&[forked.tip()]);
    let fault = lanes.check(name(1), name(2), &named);
    assert!(matches!(fault, Check::Missing(_)), "not held, so nothing is known");
}

#[test]
fn what_only_an_abandoned_proposal_named_is_dropped_at_the_next_delivery() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let mut forked = owner.fork(1);
    let theirs = forked.bundles(&[1, 1]);
    let mut quiet = Owner::new(2);
    admit_all(&mut lanes, &owner.bundles(&[1, 1]));
    admit_all(&mut lanes, &[quiet.bundle(1)]);
    assert!(matches!(lanes.check(ROOT, name(1), &payload(&[forked.tip()])), Check::Missing(_)));
    lanes.admit(Arc::clone(&theirs[1]));
    lanes.admit(Arc::clone(&theirs[0]));
    order(&mut lanes, name(2), &[quiet.tip()]);
    assert!(lanes.lanes.iter().all(|lane| !lane.has_extras()));
    assert_eq!(lanes.tips()[0], owner.tip());
}

#[test]
fn what_a_view_left_behind_is_dropped_on_request() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let mut forked = owner.fork(1);
    let theirs = forked.bundle(1);
    admit_all(&mut lanes, &[owner.bundle(1)]);
    assert!(matches!(lanes.check(ROOT, name(1), &payload(&[forked.tip()])), Check::Missing(_)));
    lanes.admit(theirs);
    lanes.retain(&[name(1)]);
    assert!(lanes.lanes[1].has_extras(), "a head that still waits keeps what it names");
    lanes.retain(&[ROOT]);
    assert!(!lanes.lanes[1].has_extras());
    assert!(matches!(lanes.check(ROOT, name(1), &payload(&[forked.tip()])), Check::Missing(_)));
}
