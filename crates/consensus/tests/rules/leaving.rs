//! Leaving a view together (protocol §5.1).

use quorate_consensus::{CoreNotice, Effect, Input};
use quorate_types::contradiction::Contradiction;
use quorate_types::ids::{Sequence, View};
use quorate_types::message::Message;
use quorate_types::view_change::ViewChangeMessage;
use quorate_types::vote::Phase;

use crate::support::{
    Bench, broadcast_in, certificate, chain, child, committed, complaint, genesis, link_of, parameters, prepared,
    simple_new_view, stages, view_change, view_changes_in, votes_in,
};

/// protocol §5.1, §1.3: `blocking` complaints, not one less.
#[test]
fn so_many_complaints_make_a_validator_leave_as_block_every_quorum() {
    for (validators, blocking) in [(4u16, 2u16), (5, 2), (6, 3), (7, 3), (10, 4)] {
        let mut bench = Bench::of(usize::from(validators), validators - 1, parameters());
        for other in 0..blocking - 1 {
            bench.complaint(complaint(other, 0, 0));
        }
        assert_eq!(bench.core.view(), View(0), "{validators} validators");
        bench.complaint(complaint(blocking - 1, 0, 0));
        assert_eq!((bench.core.view(), bench.core.is_active()), (View(1), false), "{validators} validators");
    }
}

/// protocol §5.1: complaints about the view and view changes above it count together, of distinct validators.
#[test]
fn complaints_and_view_changes_count_together_each_validator_once() {
    let mut bench = Bench::new(3);
    bench.complaint(complaint(1, 0, 0));
    bench.view_change(view_change(1, 1, None, None));
    assert_eq!(bench.core.view(), View(0), "one validator");
    bench.view_change(view_change(2, 1, None, None));
    assert_eq!(bench.core.view(), View(1));
}

/// protocol §5.1: complaints about a view that was left count for nothing.
#[test]
fn complaints_about_views_below_do_not_count() {
    let mut bench = Bench::new(3);
    bench.enter(2, None, None);
    bench.complaint(complaint(0, 0, 0));
    bench.complaint(complaint(1, 1, 0));
    bench.complaint(complaint(2, 1, 0));
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(2), true));
}

/// protocol §5.1: to the highest view that `blocking` validators have reached: `f` liars move nobody far.
#[test]
fn it_goes_to_the_highest_view_that_a_correct_one_has_reached() {
    let mut bench = Bench::new(3);
    bench.view_change(view_change(0, u64::MAX, None, None));
    bench.view_change(view_change(1, 7, None, None));
    assert_eq!(bench.core.view(), View(7), "the second highest: one of the two is correct");
    let mut bench = Bench::new(3);
    bench.view_change(view_change(0, u64::MAX, None, None));
    bench.complaint(complaint(1, 0, 0));
    assert_eq!(bench.core.view(), View(1));
}

/// protocol §5.1: a certificate shows a view of a quorum.
#[test]
fn a_certificate_shows_the_view_of_a_quorum() {
    let mut bench = Bench::new(3);
    bench.certificate(committed(6, link_of(&child(genesis(), 1))));
    assert_eq!(bench.core.view(), View(0), "knowing it is no reason to leave");
    bench.make_leave();
    assert_eq!(bench.core.view(), View(6));
}

/// protocol §5.1: durable first, then the view change, together with what moved it.
#[test]
fn leaving_is_durable_and_takes_along_what_moved_it() {
    let mut bench = Bench::new(3);
    bench.complaint(complaint(1, 0, 0));
    let effects = bench.view_change(view_change(2, 1, None, None));
    let order = stages(&effects, |effect| match effect {
        Effect::SaveView(view, false) => Some((view.0, "saved")),
        Effect::SignViewChange(statement, ..) => Some((statement.new_view.0, "signed")),
        _ => None,
    });
    assert_eq!(order, [(1, "saved"), (1, "signed")]);
    let moved = broadcast_in(&effects);
    assert!(moved.contains(&Message::Complaint(complaint(1, 0, 0))));
    assert!(moved.contains(&Message::ViewChange(Box::new(view_change(2, 1, None, None)))));
    let notice = CoreNotice::Leaves { from: View(0), to: View(1) };
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Notice(found) if *found == notice)));
}

/// protocol §5.1, §10.4: from then on it signs nothing in views below.
#[test]
fn nothing_is_signed_in_a_view_that_was_left() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.pre_prepare(0, &proposals[0]);
    bench.make_leave();
    let before = bench.all_votes().len();
    bench.pre_prepare(0, &proposals[1]);
    bench.votes(&[0, 1, 3], Phase::Prepare, 0, link_of(&proposals[0]));
    bench.enter(1, None, None);
    bench.votes(&[0, 1, 3], Phase::Prepare, 0, link_of(&proposals[1]));
    assert_eq!(bench.all_votes().len(), before);
}

/// protocol §5.1: the view never decreases.
#[test]
fn the_view_never_decreases() {
    let mut bench = Bench::new(3);
    bench.enter(5, None, None);
    bench.new_view(simple_new_view(3, None, None));
    bench.view_change(view_change(0, 2, None, None));
    bench.view_change(view_change(1, 2, None, None));
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(5), true));
}

/// protocol §2.6: it claims its highest prepared certificate by view, then sequence, its highest commit by sequence,
/// and its highest prepare vote, with the certificates attached.
#[test]
fn a_view_change_claims_the_most_that_can_be_proven() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 3, 1);
    bench.deliver(0, &proposals[..1]);
    bench.pre_prepare(0, &proposals[1]);
    bench.votes(&[0, 1], Phase::Prepare, 0, link_of(&proposals[1]));
    bench.pre_prepare(0, &proposals[2]);
    let effects = bench.make_leave();
    let change = view_changes_in(&effects).pop().unwrap();
    let sequence = |claim: Option<quorate_types::vote::Claim>| claim.map(|claim| claim.sequence.0);
    assert_eq!(
        (sequence(change.prepared), sequence(change.committed), sequence(change.last_vote)),
        (Some(2), Some(1), Some(3))
    );
    let attached = stages(&effects, |effect| match effect {
        Effect::SignViewChange(_, prepared, committed) => Some((prepared.is_some(), committed.is_some())),
        _ => None,
    });
    assert_eq!(attached, [(true, true)]);
}

/// protocol §2.6: also when the prepared one lies below the commit.
#[test]
fn a_prepared_certificate_below_the_commit_is_claimed_all_the_same() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.pre_prepare(0, &proposals[0]);
    bench.certificate(prepared(0, link_of(&proposals[0])));
    bench.deliver(0, &proposals[..2]);
    let change = view_changes_in(&bench.make_leave()).pop().unwrap();
    assert_eq!(change.prepared.map(|claim| claim.sequence), Some(Sequence(1)));
    assert_eq!(change.committed.map(|claim| claim.sequence), Some(Sequence(2)));
}

/// protocol §2.6: the views of both certificates are below the new view: what it knows of the view that it is
/// changing to isn't claimed for it, and what it committed to before is.
#[test]
fn what_was_committed_to_is_claimed_though_the_new_view_has_moved_on() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.pre_prepare(0, &proposals[0]);
    bench.certificate(prepared(0, link_of(&proposals[0])));
    assert!(bench.all_votes().iter().any(|vote| vote.phase == Phase::Commit));
    bench.certificate(prepared(1, link_of(&proposals[1])));
    bench.certificate(committed(1, link_of(&proposals[1])));
    let change = view_changes_in(&bench.make_leave()).pop().unwrap();
    assert_eq!(change.new_view, View(1));
    assert_eq!(change.prepared.map(|claim| (claim.view, claim.sequence)), Some((View(0), Sequence(1))));
    assert_eq!(change.committed, None);
}

/// protocol §2.6, §7.1: the same when the certificates of the new view came between a restart and the signature.
#[test]
fn a_claim_made_after_a_restart_is_no_lower_than_before_it() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.pre_prepare(0, &proposals[0]);
    bench.certificate(prepared(0, link_of(&proposals[0])));
    bench.make_leave();
    // The view is saved, its view change isn't: the guard file had no room for it, say.
    bench.forget_own_view_change();
    bench.restart();
    let effects = bench.certificate(prepared(1, link_of(&proposals[1])));
    bench.answer_if_asked(&effects, &proposals[1]);
    let change = view_changes_in(&bench.step(Input::MaySign)).pop().unwrap();
    assert_eq!(change.new_view, View(1));
    assert_eq!(change.prepared.map(|claim| (claim.view, claim.sequence)), Some((View(0), Sequence(1))));
}

/// protocol §5.1, §10.4: one view change per view.
#[test]
fn one_view_change_is_made_for_each_view() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    bench.pass_slowly(1_000);
    bench.view_change(view_change(0, 1, None, None));
    bench.view_change(view_change(1, 1, None, None));
    assert_eq!(view_changes_in(&bench.log).len(), 1);
}

/// protocol §3.8, §10.4: two view changes of one validator for one view are shown; the first counts.
#[test]
fn a_second_view_change_for_a_view_is_a_contradiction() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    let first = view_change(1, 1, None, None);
    let second = view_change(1, 1, Some(prepared(0, link_of(&proposal))), None);
    bench.view_change(first.clone());
    let effects = bench.view_change(second.clone());
    let pairs = stages(&effects, |effect| match effect {
        Effect::Contradiction(pair) => Some(pair.clone()),
        _ => None,
    });
    assert_eq!(pairs, [Contradiction::ViewChanges(first.signed, second.signed)]);
}

/// protocol §2.6, §10.7: other certificates behind the same claims are no contradiction: they aren't signed.
#[test]
fn other_attachments_are_no_contradiction() {
    let mut bench = Bench::new(3);
    let link = link_of(&child(genesis(), 1));
    let one = view_change(1, 1, Some(prepared(0, link)), None);
    let other = ViewChangeMessage { prepared: Some(certificate(Phase::Prepare, 0, link, &[1, 2, 3])), ..one.clone() };
    bench.view_change(one);
    let effects = bench.view_change(other);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Contradiction(_))));
}

/// protocol §7.4: who may not sign leaves nothing: it follows by new views.
#[test]
fn a_validator_that_may_not_sign_follows_by_new_views_only() {
    let mut bench = Bench::new(3);
    bench.core.stop_signing();
    bench.make_leave();
    assert_eq!((bench.core.view(), view_changes_in(&bench.log).len()), (View(0), 0));
    bench.enter(1, None, None);
    assert_eq!(votes_in(&bench.log), []);
}

/// protocol §5.1: a view change of its own key from elsewhere isn't this validator's.
#[test]
fn a_view_change_of_the_own_key_from_elsewhere_does_not_count() {
    let mut bench = Bench::new(3);
    bench.view_change(view_change(3, 9, None, None));
    bench.complaint(complaint(1, 0, 0));
    assert_eq!(bench.core.view(), View(0));
    bench.complaint(complaint(2, 0, 0));
    assert_eq!(view_changes_in(&bench.log).iter().map(|change| change.new_view).collect::<Vec<_>>(), [View(1)]);
}
