//! Payload validity, clause by clause (protocol §3.6).

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::ids::{BundleNumber, ValidatorIndex};
use quorate_types::proposal::LaneTip;

use super::*;
use crate::branches::MAX_BRANCHES;
use crate::{NotDeliverable, PayloadFault, Want};

fn invalid(check: Check) -> PayloadFault {
    match check {
        Check::Invalid(fault) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_is_judged_from_its_own_chains_tip_and_not_from_the_pools() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let bundles = owner.bundles(&[1, 1, 1]);
    admit_all(&mut lanes, &bundles);
    let tip = |index: usize| payload(&[bundles[index].header.statement.tip()]);
    assert_eq!(lanes.check(ROOT, name(1), &tip(1)), Check::Valid);
    assert_eq!(lanes.check(ROOT, name(2), &tip(0)), Check::Valid, "another branch from the same parent");
    let fault = invalid(lanes.check(name(1), name(3), &tip(1)));
    let expected = PayloadFault::NotAboveTip { lane: ValidatorIndex(1), number: BundleNumber(2), tip: BundleNumber(2) };
    assert_eq!(fault, expected);
    assert_eq!(lanes.check(name(1), name(4), &tip(2)), Check::Valid);
    assert_eq!(lanes.expand(name(1), &tip(2)).unwrap(), bundles[2..]);
    assert_eq!(lanes.expand(name(2), &tip(2)).unwrap(), bundles[1..]);
    assert_eq!(lanes.check(name(9), name(10), &tip(2)), Check::UnknownParent);
}

#[test]
fn an_empty_payload_is_valid_and_keeps_the_tips() {
    let (mut lanes, mut owner) = (lanes(2), Owner::new(1));
    admit_all(&mut lanes, &owner.bundles(&[1]));
    assert_eq!(lanes.check(ROOT, name(1), &Payload::default()), Check::Valid);
    assert_eq!(lanes.fill(name(1)).unwrap().payload, payload(&[owner.tip()]));
}

#[test]
fn lanes_out_of_order_or_of_nobody_are_invalid() {
    let (mut lanes, mut one, mut two) = (lanes(3), Owner::new(1), Owner::new(2));
    admit_all(&mut lanes, &[one.bundle(1), two.bundle(1)]);
    let reversed = payload(&[two.tip(), one.tip()]);
    let twice = payload(&[one.tip(), one.tip()]);
    for (bad, digest) in [(reversed, name(1)), (twice, name(3))] {
        let fault = invalid(lanes.check(ROOT, digest, &bad));
        assert_eq!(fault, PayloadFault::LanesOutOfOrder(ValidatorIndex(1)));
    }
    let nobody = payload(&[LaneTip { lane: ValidatorIndex(3), ..one.tip() }]);
    let fault = invalid(lanes.check(ROOT, name(2), &nobody));
    assert_eq!(fault, PayloadFault::UnknownLane(ValidatorIndex(3)));
}

#[test]
fn missing_bundles_are_wanted_from_the_top_down_and_never_held_against_the_proposal() {
    let (mut lanes, mut one, mut two) = (lanes(4), Owner::new(1), Owner::new(2));
    let (ones, twos) = (one.bundles(&[1, 1, 1]), two.bundles(&[1]));
    admit_all(&mut lanes, &ones[..1]);
    let named = payload(&[one.tip(), two.tip()]);
    let want = |lane: u16, from: u64, bundle: &quorate_types::bundle::Bundle| Want {
        lane: ValidatorIndex(lane),
        from: BundleNumber(from),
        to: number(bundle),
        tip: bundle.digest(),
    };
    let expected = vec![want(1, 1, &ones[2]), want(2, 1, &twos[0])];
    assert_eq!(lanes.check(ROOT, name(1), &named), Check::Missing(expected));
    lanes.admit(Arc::clone(&ones[2]));
    let expected = vec![want(1, 1, &ones[1]), want(2, 1, &twos[0])];
    assert_eq!(lanes.check(ROOT, name(1), &named), Check::Missing(expected));
    assert_eq!(lanes.expand(ROOT, &named), None);
    lanes.admit(Arc::clone(&ones[1]));
    lanes.admit(Arc::clone(&twos[0]));
    assert_eq!(lanes.check(ROOT, name(1), &named), Check::Valid);
    let order: Vec<_> = lanes.expand(ROOT, &named).unwrap();
    assert_eq!(order, [&ones[..], &twos[..]].concat(), "by lane, then by number");
}

#[test]
fn a_chain_that_arrives_beside_the_tip_is_invalid() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let mut forked = owner.fork(1);
    let theirs = forked.bundles(&[1, 1]);
    admit_all(&mut lanes, &[owner.bundle(1)]);
    assert_eq!(lanes.check(ROOT, name(1), &payload(&[owner.tip()])), Check::Valid);
    let named = payload(&[forked.tip()]);
    assert!(matches!(lanes.check(name(1), name(2), &named), Check::Missing(_)));
    lanes.admit(Arc::clone(&theirs[1]));
    let fault = invalid(lanes.check(name(1), name(2), &named));
    assert_eq!(fault, PayloadFault::NotOnTip { lane: ValidatorIndex(1), tip: BundleNumber(1) });
}

#[test]
fn a_broken_link_inside_a_named_chain_is_invalid_in_every_order_of_arrival() {
    for upwards in [true, false] {
        let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
        let first = owner.bundle(1);
        let bad = owner.twisted(|header| header.cumulative_operations += 1);
        let last = owner.bundle(1);
        let named = payload(&[owner.tip()]);
        assert!(matches!(lanes.check(ROOT, name(1), &named), Check::Missing(_)));
        let mut arriving = vec![first, bad, last];
        if !upwards {
            arriving.reverse();
        }
        for _ in 0..2 {
            for bundle in &arriving {
                lanes.admit(Arc::clone(bundle));
                let _ = lanes.check(ROOT, name(1), &named);
            }
        }
        let fault = invalid(lanes.check(ROOT, name(1), &named));
        assert_eq!(fault, PayloadFault::BrokenLink { lane: ValidatorIndex(1), number: BundleNumber(2) });
    }
}

/// Ten operations are exactly `proposal_bytes`.
#[test]
fn bytes_are_bounded_exactly_over_all_lanes() {
    let (mut lanes, mut one, mut two) = (lanes(4), Owner::new(1), Owner::new(2));
    admit_all(&mut lanes, &one.bundles(&[4, 2]));
    admit_all(&mut lanes, &two.bundles(&[4]));
    assert_eq!(lanes.check(ROOT, name(1), &payload(&[one.tip(), two.tip()])), Check::Valid);
    admit_all(&mut lanes, &[two.bundle(1)]);
    let fault = invalid(lanes.check(ROOT, name(2), &payload(&[one.tip(), two.tip()])));
    assert_eq!(fault, PayloadFault::TooManyBytes { found: 11 * unit(), limit: 10 * unit() });
    // The bound is on what the proposal adds to its own chain.
    assert_eq!(lanes.check(name(1), name(3), &payload(&[two.tip()])), Check::Valid);
}

#[test]
fn operations_are_bounded_exactly_over_all_lanes() {
    let mut config = config(4);
    config.limits.proposal_bytes = 100 * unit();
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    let (mut one, mut two) = (Owner::new(1), Owner::new(2));
    admit_all(&mut lanes, &one.bundles(&[4, 4]));
    admit_all(&mut lanes, &two.bundles(&[4]));
    assert_eq!(lanes.check(ROOT, name(1), &payload(&[one.tip(), two.tip()])), Check::Valid);
    admit_all(&mut lanes, &[two.bundle(1)]);
    let fault = invalid(lanes.check(ROOT, name(2), &payload(&[one.tip(), two.tip()])));
    assert_eq!(fault, PayloadFault::TooManyOperations { found: 13, limit: 12 });
}

#[test]
fn a_tip_too_far_above_is_invalid_before_anything_is_fetched() {
    let mut lanes = lanes(4);
    let far = |number: u64| {
        payload(&[LaneTip { lane: ValidatorIndex(1), number: BundleNumber(number), digest: Digest::new([5; 32]) }])
    };
    assert!(matches!(lanes.check(ROOT, name(1), &far(12)), Check::Missing(_)));
    let fault = invalid(lanes.check(ROOT, name(2), &far(13)));
    assert_eq!(fault, PayloadFault::TooManyOperations { found: 13, limit: 12 });
    assert!(matches!(lanes.check(ROOT, name(3), &far(u64::MAX)), Check::Invalid(_)));
}

#[test]
fn a_held_tip_above_the_bounds_is_invalid_while_what_lies_below_is_missing() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    owner.bundles(&[4, 4]);
    let top = owner.bundle(4);
    let named = payload(&[owner.tip()]);
    assert!(matches!(lanes.check(ROOT, name(1), &named), Check::Missing(_)));
    lanes.admit(top);
    assert!(matches!(lanes.check(ROOT, name(1), &named), Check::Invalid(PayloadFault::TooManyBytes { .. })));
}

#[test]
fn bundles_that_proposals_name_are_kept_beyond_the_lanes_bound() {
    let mut config = config(4);
    config.limits.lane_bytes = 4 * unit();
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    let mut owner = Owner::new(1);
    let bundles = owner.bundles(&[4, 4]);
    admit_all(&mut lanes, &bundles[..1]);
    assert_eq!(lanes.admit(Arc::clone(&bundles[1])), crate::Admission::OverLimit);
    let named = payload(&[owner.tip()]);
    assert!(matches!(lanes.check(ROOT, name(1), &named), Check::Missing(_)));
    admit_all(&mut lanes, &bundles[1..]);
    assert_eq!(lanes.check(ROOT, name(1), &named), Check::Valid);
}

/// A primary and a lane's owner together can't make a validator keep more than a proposal may hold.
#[test]
fn a_named_chain_is_followed_no_further_than_its_counts_allow() {
    let mut config = config(4);
    config.limits.lane_bytes = 0;
    let mut lanes = Lanes::new(config, ROOT, Vec::new());
    // Counts that don't grow: each bundle claims to be the first unit of the lane.
    let mut owner = Owner::new(1);
    let liars: Vec<_> = (0..12).map(|_| owner.twisted(|header| header.cumulative_bytes = unit())).collect();
    let named = payload(&[owner.tip()]);
    assert!(matches!(lanes.check(ROOT, name(1), &named), Check::Missing(_)));
    for bundle in liars.iter().rev() {
        lanes.admit(Arc::clone(bundle));
    }
    let kept = lanes.lanes[1].entries.len();
    assert!(kept <= 2, "kept {kept}");
    assert!(matches!(lanes.check(ROOT, name(1), &named), Check::Invalid(_)));
}

#[test]
fn deliveries_go_in_order_and_each_after_its_check() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let bundles = owner.bundles(&[1, 2]);
    admit_all(&mut lanes, &bundles);
    let tip = |index: usize| payload(&[bundles[index].header.statement.tip()]);
    assert_eq!(lanes.check(ROOT, name(1), &tip(0)), Check::Valid);
    assert_eq!(lanes.check(name(1), name(2), &tip(1)), Check::Valid);
    let refused = lanes.deliver(name(2)).unwrap_err();
    assert_eq!(refused, NotDeliverable { digest: name(2), delivered: ROOT });
    assert!(lanes.deliver(ROOT).is_err());
    assert!(lanes.deliver(name(7)).is_err());
    lanes.deliver(name(1)).unwrap();
    let points = lanes.deliver(name(2)).unwrap();
    assert_eq!(points[1], owner.head);
    assert_eq!(lanes.delivered(), (name(2), points));
    assert_eq!(lanes.check(name(1), name(3), &tip(1)), Check::UnknownParent, "its branch is gone");
}

#[test]
fn bundles_of_committed_proposals_ahead_are_fetched_together() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let bundles = owner.bundles(&[4, 4, 4, 4, 4, 4, 4]);
    let tip = |index: usize| payload(&[bundles[index].header.statement.tip()]);
    let chain: Vec<_> = (0..7).map(tip).collect();
    for at in (0..7).rev() {
        let wants = lanes.prefetch(&chain);
        assert_eq!(wants.iter().map(|want| want.to.0).collect::<Vec<_>>(), [at + 1]);
        // Seven full bundles are more than the lane's bound, and all are kept.
        admit_all(&mut lanes, &bundles[at as usize..=at as usize]);
    }
    assert!(lanes.prefetch(&chain).is_empty());
    let mut parent = ROOT;
    for (index, payload) in chain.iter().enumerate() {
        let digest = name(index as u64);
        assert_eq!(lanes.check(parent, digest, payload), Check::Valid);
        lanes.deliver(digest).unwrap();
        parent = digest;
    }
    assert_eq!(lanes.tips(), [owner.tip()]);
}

#[test]
fn proposals_remembered_are_bounded_and_those_that_fell_out_are_judged_again() {
    let (mut lanes, mut owner) = (lanes(2), Owner::new(1));
    admit_all(&mut lanes, &owner.bundles(&[1]));
    let named = payload(&[owner.tip()]);
    let count = MAX_BRANCHES as u64 + 10;
    for number in 0..count {
        assert_eq!(lanes.check(ROOT, name(number), &named), Check::Valid);
    }
    assert_eq!(lanes.branches.valid().count(), MAX_BRANCHES);
    assert_eq!(lanes.waiting(name(0)), None, "the oldest fell out");
    assert_eq!(lanes.check(ROOT, name(0), &named), Check::Valid);
    let lacking = payload(&[LaneTip { number: BundleNumber(2), ..owner.tip() }]);
    let twice = payload(&[owner.tip(), owner.tip()]);
    for number in count..2 * count {
        assert!(matches!(lanes.check(ROOT, name(number), &lacking), Check::Missing(_)));
        assert!(matches!(lanes.check(ROOT, name(number + count), &twice), Check::Invalid(_)));
    }
    assert_eq!(lanes.branches.pending().count(), MAX_BRANCHES);
    assert_eq!(lanes.branches.refused(), MAX_BRANCHES);
}

#[test]
fn one_chain_at_the_bound_waits_for_a_delivery() {
    let mut lanes = lanes(1);
    let mut parent = ROOT;
    for number in 0..MAX_BRANCHES as u64 - 1 {
        assert_eq!(lanes.check(parent, name(number), &Payload::default()), Check::Valid);
        parent = name(number);
    }
    let over = name(MAX_BRANCHES as u64);
    assert_eq!(lanes.check(parent, over, &Payload::default()), Check::Missing(Vec::new()));
    lanes.deliver(name(0)).unwrap();
    assert_eq!(lanes.check(parent, over, &Payload::default()), Check::Valid);
}
