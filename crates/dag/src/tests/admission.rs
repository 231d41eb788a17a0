//! Which bundles are kept (architecture §5).

use std::sync::Arc;

use quorate_crypto::Digest;
use quorate_types::ids::{BundleNumber, Epoch, ValidatorIndex};

use super::*;
use crate::{Admission, Want};

const STORED: Admission = Admission::Stored { missing: None, contradiction: None };

#[test]
fn bundles_in_order_make_the_tip_and_a_second_copy_is_a_duplicate() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(2));
    let bundles = owner.bundles(&[1, 2, 3]);
    for bundle in &bundles {
        assert_eq!(lanes.admit(Arc::clone(bundle)), STORED);
    }
    assert_eq!(lanes.tips(), [owner.tip()]);
    assert_eq!(lanes.admit(Arc::clone(&bundles[1])), Admission::Duplicate);
}

#[test]
fn a_bundle_without_its_parent_is_kept_and_says_what_is_missing_by_digest() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(2));
    let bundles = owner.bundles(&[1, 1, 1, 1]);
    admit_all(&mut lanes, &bundles[..1]);
    let missing =
        Want { lane: ValidatorIndex(2), from: BundleNumber(2), to: BundleNumber(3), tip: bundles[2].digest() };
    let expected = Admission::Stored { missing: Some(missing), contradiction: None };
    assert_eq!(lanes.admit(Arc::clone(&bundles[3])), expected);
    assert_eq!(lanes.tips()[0].number, BundleNumber(1), "a chain with a gap is no tip");
    admit_all(&mut lanes, &[Arc::clone(&bundles[2]), Arc::clone(&bundles[1])]);
    assert_eq!(lanes.tips(), [owner.tip()], "the gap is closed from above");
}

#[test]
fn a_lane_is_kept_up_to_exactly_its_bound_beyond_the_delivered_tip() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let bundles = owner.bundles(&[4, 4, 4, 4, 4]);
    admit_all(&mut lanes, &bundles);
    let after = owner.bundle(1);
    assert_eq!(lanes.admit(Arc::clone(&after)), Admission::OverLimit);
    order(&mut lanes, name(1), &[bundles[0].header.statement.tip()]);
    assert_eq!(lanes.admit(after), STORED, "the delivered tip has moved on");
}

#[test]
fn a_lane_that_lies_about_its_counts_is_kept_within_the_same_bound() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let mut kept = 0;
    for number in 0..100 {
        let loose = owner.twisted(|header| {
            header.number = BundleNumber(5 + number);
            header.parent = Digest::new([9; 32]);
            header.cumulative_bytes = unit();
        });
        kept += usize::from(matches!(lanes.admit(loose), Admission::Stored { .. }));
    }
    assert_eq!(kept, 20, "lane_bytes is 20 operations");
}

#[test]
fn a_bundle_that_names_its_parent_and_does_not_follow_it_is_refused_whichever_comes_first() {
    let mut owner = Owner::new(1);
    let first = owner.bundle(2);
    let twists: [fn(&mut quorate_types::bundle::BundleHeader); 4] = [
        |header| header.cumulative_bytes += 1,
        |header| header.cumulative_bytes -= 1,
        |header| header.cumulative_operations += 1,
        |header| header.cumulative_operations -= 1,
    ];
    for twist in twists {
        let bad = owner.fork(0).twisted(twist);
        let mut early = lanes(4);
        admit_all(&mut early, &[Arc::clone(&first)]);
        assert_eq!(early.admit(Arc::clone(&bad)), Admission::BrokenLink);
        let mut late = lanes(4);
        admit_all(&mut late, &[bad, Arc::clone(&first)]);
        assert_eq!(late.tips(), [first.header.statement.tip()], "the child is not part of the chain");
    }
}

#[test]
fn a_first_bundle_with_a_parent_is_refused() {
    let bad = Owner::new(1).twisted(|header| header.parent = Digest::new([1; 32]));
    assert_eq!(lanes(4).admit(bad), Admission::BrokenLink);
}

#[test]
fn bundles_of_other_epochs_and_lanes_are_foreign() {
    let other_epoch = Owner::new(1).twisted(|header| header.epoch = Epoch(4));
    assert_eq!(lanes(4).admit(other_epoch), Admission::Foreign);
    assert_eq!(lanes(4).admit(Owner::new(4).bundle(1)), Admission::Foreign);
}

#[test]
fn delivered_bundles_are_old() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let bundles = owner.bundles(&[1, 1]);
    admit_all(&mut lanes, &bundles);
    order(&mut lanes, name(1), &[owner.tip()]);
    assert_eq!(lanes.admit(Arc::clone(&bundles[0])), Admission::Old);
    assert_eq!(lanes.admit(Arc::clone(&bundles[1])), Admission::Old);
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let mut lanes = lanes(4);
    for number in [u64::MAX, u64::MAX - 1] {
        let far = Owner::new(1).twisted(|header| {
            header.number = BundleNumber(number);
            header.cumulative_bytes = u64::MAX;
            header.cumulative_operations = u64::MAX;
        });
        assert_eq!(lanes.admit(far), Admission::OverLimit);
        let lying = Owner::new(1).twisted(|header| {
            header.number = BundleNumber(number);
            header.cumulative_bytes = 0;
        });
        assert!(matches!(lanes.admit(lying), Admission::Stored { .. }));
    }
    assert_eq!(lanes.tips(), []);
}

/// protocol §9.2: what a status shows lacking is asked for, or sent.
#[test]
fn lanes_compare_with_a_peers_tips() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let bundles = owner.bundles(&[1, 1, 1]);
    admit_all(&mut lanes, &bundles[..2]);
    let tip = |index: usize| bundles[index].header.statement.tip();
    assert_eq!(lanes.lacking(&tip(0)), None);
    assert_eq!(lanes.lacking(&tip(1)), None);
    let want = lanes.lacking(&tip(2)).unwrap();
    assert_eq!((want.from, want.to, want.tip), (BundleNumber(3), BundleNumber(3), bundles[2].digest()));
    let empty = LaneTip { lane: ValidatorIndex(1), number: BundleNumber::ZERO, digest: Digest::ZERO };
    assert_eq!(lanes.above(&empty, u64::MAX), bundles[..2]);
    assert_eq!(lanes.above(&empty, 1), bundles[..1], "never nothing when something is lacking");
    assert_eq!(lanes.above(&tip(0), u64::MAX), bundles[1..2]);
    assert!(lanes.above(&tip(2), u64::MAX).is_empty());
}

#[test]
fn a_full_lane_asks_for_nothing_until_something_of_it_is_delivered() {
    let (mut lanes, mut owner) = (lanes(4), Owner::new(1));
    let bundles = owner.bundles(&[4, 4, 4, 4, 4]);
    admit_all(&mut lanes, &bundles[..4]);
    assert!(lanes.lacking(&owner.tip()).is_some(), "one full bundle still fits");
    admit_all(&mut lanes, &bundles[4..]);
    owner.bundle(4);
    assert_eq!(lanes.lacking(&owner.tip()), None);
    order(&mut lanes, name(1), &[bundles[0].header.statement.tip()]);
    assert!(lanes.lacking(&owner.tip()).is_some());
}
