//! What a primary names: every waiting lane a fair share, in turn (protocol §3.6), and which lanes wait
//! (protocol §4.1, §4.3).

use super::*;
use crate::Waiting;

fn numbers(filled: &crate::Filled) -> Vec<(u16, u64)> {
    filled.payload.tips.iter().map(|tip| (tip.lane.0, tip.number.0)).collect()
}

#[test]
fn everything_that_waits_is_named_while_there_is_room() {
    let (mut lanes, mut one, mut two) = (lanes(4), Owner::new(1), Owner::new(3));
    admit_all(&mut lanes, &one.bundles(&[1, 1, 1]));
    admit_all(&mut lanes, &two.bundles(&[4]));
    let filled = lanes.fill(ROOT).unwrap();
    assert_eq!(filled.payload, payload(&[one.tip(), two.tip()]));
    assert!(!filled.is_full);
    let waiting = lanes.waiting(ROOT).unwrap();
    let expected = [
        Waiting { tip: one.tip(), operations: 3, bytes: 3 * unit() },
        Waiting { tip: two.tip(), operations: 4, bytes: 4 * unit() },
    ];
    assert_eq!(waiting, expected);
    assert_eq!(lanes.fill(name(1)), None);
    assert_eq!(lanes.waiting(name(1)), None);
}

#[test]
fn a_proposal_is_full_at_exactly_its_bounds_and_when_something_is_left_out() {
    let (mut lanes, mut one) = (lanes(4), Owner::new(1));
    admit_all(&mut lanes, &one.bundles(&[4, 4, 2]));
    let filled = lanes.fill(ROOT).unwrap();
    assert_eq!((numbers(&filled), filled.is_full), (vec![(1, 3)], false));
    admit_all(&mut lanes, &[one.bundle(1)]);
    let filled = lanes.fill(ROOT).unwrap();
    assert_eq!((numbers(&filled), filled.is_full), (vec![(1, 3)], true));
    assert_eq!(lanes.check(ROOT, name(1), &filled.payload), Check::Valid);
}

#[test]
fn a_gap_is_not_named() {
    let (mut lanes, mut one) = (lanes(4), Owner::new(1));
    let bundles = one.bundles(&[1, 1, 1]);
    admit_all(&mut lanes, &[bundles[0].clone(), bundles[2].clone()]);
    assert_eq!(numbers(&lanes.fill(ROOT).unwrap()), [(1, 1)]);
    assert_eq!(lanes.waiting(ROOT).unwrap()[0].tip.number.0, 1);
}

#[test]
fn a_lane_with_little_is_not_pushed_aside_by_one_with_much() {
    let (mut lanes, mut much, mut little) = (lanes(4), Owner::new(1), Owner::new(3));
    admit_all(&mut lanes, &much.bundles(&[4, 4, 4, 4, 4]));
    admit_all(&mut lanes, &little.bundles(&[1, 1, 1]));
    let filled = lanes.fill(ROOT).unwrap();
    // 4 + 1, then the lane with fewer bytes first: 1, 1, and 4 more don't fit into the 3 left.
    assert_eq!((numbers(&filled), filled.is_full), (vec![(1, 1), (3, 3)], true));
}

#[test]
fn lanes_that_found_no_room_are_first_in_the_next_proposal() {
    let mut lanes = lanes(7);
    let mut owners: Vec<Owner> = (0..7).map(Owner::new).collect();
    for owner in owners.iter_mut().skip(1) {
        admit_all(&mut lanes, &owner.bundles(&[4, 4]));
    }
    let mut parent = ROOT;
    let mut served = Vec::new();
    for number in 0..6 {
        let filled = lanes.fill(parent).unwrap();
        served.push(filled.payload.tips.iter().map(|tip| tip.lane.0).collect::<Vec<_>>());
        assert_eq!(lanes.check(parent, name(number), &filled.payload), Check::Valid);
        parent = name(number);
    }
    // Two full bundles fit into a proposal.
    assert_eq!(served, [[1, 2], [3, 4], [5, 6], [1, 2], [3, 4], [5, 6]]);
    assert!(lanes.fill(parent).unwrap().payload.is_empty());
}

/// The turn is a function of the chain: asking twice, or asking another validator, changes nothing.
#[test]
fn asking_for_a_payload_moves_no_turn() {
    let mut lanes = lanes(4);
    for lane in 1..4 {
        admit_all(&mut lanes, &Owner::new(lane).bundles(&[4, 4]));
    }
    let first = lanes.fill(ROOT).unwrap();
    assert_eq!(lanes.fill(ROOT).unwrap(), first);
    assert_eq!(lanes.check(ROOT, name(1), &first.payload), Check::Valid);
    let second = lanes.fill(name(1)).unwrap();
    assert_eq!(numbers(&second), [(1, 2), (3, 1)]);
    assert_eq!(lanes.fill(ROOT).unwrap(), first, "on the other branch it is still as before");
}

/// A lane whose next bundle is large can't be passed over for ever by lanes with small ones.
#[test]
fn every_lane_is_served_within_one_round_of_turns() {
    let mut lanes = lanes(4);
    let mut owners: Vec<Owner> = (0..4).map(Owner::new).collect();
    admit_all(&mut lanes, &owners[2].bundles(&[4, 4]));
    for lane in [0, 1, 3] {
        admit_all(&mut lanes, &owners[lane].bundles(&[3, 3, 3]));
    }
    let mut parent = ROOT;
    for number in 0..2 {
        let filled = lanes.fill(parent).unwrap();
        assert_eq!(lanes.check(parent, name(number), &filled.payload), Check::Valid);
        parent = name(number);
    }
    let points = &lanes.branches.get(&parent).unwrap().points;
    assert!(points.iter().all(|point| point.number.0 > 0));
}
