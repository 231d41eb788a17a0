//! After a restart: the same lanes, and no number twice (protocol §7.1, §10).

use std::sync::Arc;

use quorate_types::bundle::Bundle;
use quorate_types::ids::BundleNumber;

use super::*;
use crate::{Admission, Intake, RestoreFault};

fn own_bundles(lanes: &mut Lanes, count: u64) -> Vec<Arc<Bundle>> {
    let mut bundles = Vec::new();
    for number in 0..count {
        assert_eq!(lanes.submit(operation(number)), Intake::Taken);
        let (header, operations) = lanes.next_bundle().unwrap();
        bundles.push(signed(header, operations));
        admit_all(lanes, &bundles[bundles.len() - 1..]);
    }
    bundles
}

#[test]
fn lanes_come_back_from_bundles_in_any_order_and_the_own_one_goes_on_after_its_head() {
    let (mut before, mut other) = (lanes(4), Owner::new(2));
    let own = own_bundles(&mut before, 3);
    let others = other.bundles(&[1, 2, 1]);
    admit_all(&mut before, &others);
    let mut after = lanes(4);
    let stored = own.iter().rev().chain(&others[1..]).chain(&others[..1]).cloned();
    assert_eq!(after.restore(stored, BundleNumber(3)), Ok(()));
    assert_eq!(after.tips(), before.tips());
    assert_eq!(after.own_head(), before.own_head());
    assert_eq!(after.submit(operation(1)), Intake::Known, "it is in an undelivered own bundle");
    after.submit(operation(9));
    let (header, _) = after.next_bundle().unwrap();
    assert_eq!((header.number, header.parent), (BundleNumber(4), own[2].digest()));
    assert_eq!(header.cumulative_bytes, 4 * unit());
}

#[test]
fn lanes_come_back_above_delivered_tips() {
    let (mut before, mut other) = (lanes(4), Owner::new(2));
    let own = own_bundles(&mut before, 3);
    let others = other.bundles(&[1, 2]);
    admit_all(&mut before, &others);
    order(&mut before, name(1), &[own[1].header.statement.tip(), others[0].header.statement.tip()]);
    let (digest, points) = before.delivered();
    let mut after = Lanes::new(config(4), digest, points);
    assert_eq!(after.restore([Arc::clone(&own[2]), Arc::clone(&others[1])], BundleNumber(3)), Ok(()));
    assert_eq!((after.tips(), after.delivered()), (before.tips(), before.delivered()));
    assert_eq!(after.undelivered_bytes(), unit());
    // With everything delivered there may be nothing to take back.
    order(&mut after, name(2), &[own[2].header.statement.tip()]);
    let (digest, points) = after.delivered();
    let mut again = Lanes::new(config(4), digest, points);
    assert_eq!(again.restore([], BundleNumber(3)), Ok(()));
    again.submit(operation(9));
    assert_eq!(again.next_bundle().unwrap().0.number, BundleNumber(4));
}

#[test]
fn a_lost_own_bundle_mutes_the_lane_and_the_others_go_on() {
    let (mut before, mut other) = (lanes(4), Owner::new(2));
    let own = own_bundles(&mut before, 3);
    let others = other.bundles(&[1]);
    let lost: [&[Arc<Bundle>]; 3] = [&own[..2], &[], &own[1..]];
    for (kept, held) in lost.into_iter().zip([2, 0, 0]) {
        let mut after = lanes(4);
        let fault = RestoreFault { signed: BundleNumber(3), held: BundleNumber(held) };
        let stored = kept.iter().chain(&others).cloned();
        assert_eq!(after.restore(stored, BundleNumber(3)), Err(fault));
        after.submit(operation(9));
        assert_eq!(after.next_bundle(), None);
        assert!(after.tips().contains(&other.tip()));
    }
    let mut more = lanes(4);
    let fault = RestoreFault { signed: BundleNumber(2), held: BundleNumber(3) };
    assert_eq!(more.restore(own, BundleNumber(2)), Err(fault), "more than the records say");
}

#[test]
fn forks_that_were_kept_come_back_and_can_be_delivered() {
    let mut owner = Owner::new(1);
    let mut forked = owner.fork(1);
    let (mine, theirs) = (owner.bundles(&[1, 1]), forked.bundles(&[1, 1]));
    let mut after = lanes(4);
    after.restore(mine.iter().chain(&theirs).cloned(), BundleNumber::ZERO).unwrap();
    order(&mut after, name(1), &[forked.tip()]);
    assert_eq!(after.tips(), [forked.tip()]);
}

/// The store may hold more than `L` above the tips when deliveries are made again from records.
#[test]
fn deliveries_made_again_need_nothing_from_peers() {
    let (mut before, mut other) = (lanes(4), Owner::new(2));
    let (mut chain, mut stored) = (Vec::new(), Vec::new());
    for number in 0..8 {
        let own = own_bundles(&mut before, 1);
        let others = other.bundles(&[4, 4]);
        admit_all(&mut before, &others);
        let tips = [own[0].header.statement.tip(), other.tip()];
        order(&mut before, name(number), &tips);
        chain.push(payload(&tips));
        stored.extend(own.into_iter().chain(others));
    }
    let own = own_bundles(&mut before, 2);
    stored.extend(own);
    let mut after = lanes(4);
    assert_eq!(after.restore(stored, BundleNumber(10)), Ok(()));
    let mut parent = ROOT;
    for (number, payload) in (0..).zip(&chain) {
        assert_eq!(after.check(parent, name(number), payload), Check::Valid);
        after.deliver(name(number)).unwrap();
        parent = name(number);
    }
    assert_eq!((after.tips(), after.own_head()), (before.tips(), before.own_head()));
    assert!(!after.is_muted());
    assert!(matches!(after.admit(other.bundle(1)), Admission::Stored { .. }));
}
