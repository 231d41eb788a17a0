//! Starting again from records (protocol §7.1, §10.4): nothing forgotten that binds, nothing signed twice.

use quorate_consensus::{Effect, Input};
use quorate_types::ids::{Sequence, View};
use quorate_types::vote::Phase;

use crate::support::{
    Bench, chain, child, committed, delivered_in, genesis, link_of, places, prepared, prepares_in, simple_new_view,
    view_changes_in, votes_in,
};

/// protocol §7.1: the votes of the view bind after a restart as before it.
#[test]
fn own_votes_bind_over_a_restart() {
    let mut bench = Bench::new(1);
    let (one, other) = (child(genesis(), 1), child(genesis(), 2));
    bench.pre_prepare(0, &one);
    bench.restart_and_sign();
    assert_eq!(votes_in(&bench.pre_prepare(0, &other)), []);
    bench.pass(1);
    assert_eq!(prepares_in(&bench.pre_prepare(0, &child(link_of(&one), 4))), [2]);
}

/// protocol §7.1, §5.2: the accepted new view is never forgotten: a second one for the view isn't accepted after
/// a restart either.
#[test]
fn the_accepted_new_view_binds_over_a_restart() {
    let mut bench = Bench::new(2);
    let (chosen, other) = (child(genesis(), 1), child(genesis(), 2));
    bench.pre_prepare(0, &chosen);
    bench.enter(1, Some(prepared(0, link_of(&chosen))), None);
    bench.restart_and_sign();
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(1), true));
    let effects = bench.new_view(simple_new_view(1, None, None));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Contradiction(_))));
    assert_eq!(votes_in(&bench.pre_prepare(1, &other)), [], "it extends the other new view's anchor");
}

/// protocol §7.1: a view that was left stays left.
#[test]
fn a_restart_while_changing_view_stays_there() {
    let mut bench = Bench::new(2);
    let proposal = child(genesis(), 1);
    bench.make_leave();
    bench.restart_and_sign();
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(1), false));
    assert_eq!(votes_in(&bench.pre_prepare(0, &proposal)), []);
    let changes = view_changes_in(&bench.log);
    assert_eq!(changes.len(), 1, "the view change was made before the restart, once");
}

/// protocol §7.1: what it committed to it still claims: the prepared certificate survives.
#[test]
fn the_prepared_certificate_is_claimed_after_a_restart() {
    let mut bench = Bench::new(2);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.votes(&[0, 1], Phase::Prepare, 0, link_of(&proposal));
    bench.restart_and_sign();
    let change = view_changes_in(&bench.make_leave()).pop().unwrap();
    assert_eq!(change.prepared.map(|claim| (claim.view, claim.digest)), Some((View(0), proposal.digest())));
    assert_eq!(change.last_vote.map(|claim| claim.digest), Some(proposal.digest()));
}

/// protocol §7.1: no vote is signed again: what was sent is sent again from the records.
#[test]
fn nothing_is_signed_again_after_a_restart() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    bench.votes(&[0, 1], Phase::Prepare, 0, link_of(&proposals[1]));
    let before = bench.all_votes();
    bench.restart_and_sign();
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
        bench.votes(&[0, 1, 3], Phase::Prepare, 0, link_of(proposal));
    }
    bench.pass_slowly(400);
    assert_eq!(bench.all_votes(), before);
}

/// protocol §7.1: a proposal that waited for its payload when the validator stopped is voted for when it is back,
/// though nobody sends it again.
#[test]
fn a_proposal_that_waited_is_voted_for_after_the_restart() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.withheld.push(proposal.digest());
    bench.pre_prepare(0, &proposal);
    bench.withheld.clear();
    bench.restart();
    let mut effects = bench.step(Input::MaySign);
    effects.extend(bench.pass(1));
    assert_eq!(prepares_in(&effects), [1]);
}

/// protocol §7.1, §3.4: commits that couldn't be delivered before are delivered after.
#[test]
fn a_commit_that_waited_for_data_is_delivered_after_the_restart() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 2, 1);
    let effects = bench.certificate(committed(0, link_of(&proposals[1])));
    bench.answer_asked(&effects, &proposals[1]);
    let effects = bench.restart_and_sign();
    assert_eq!(delivered_in(&bench.answer_asked(&effects, &proposals[0])), [1, 2]);
}

/// protocol §7.1, §3.3: prepared before the restart, committed after it: the vote is made up for.
#[test]
fn a_prepared_proposal_without_a_commit_vote_gets_it_after_the_restart() {
    let mut bench = Bench::new(2);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.core.stop_signing();
    bench.votes(&[0, 1], Phase::Prepare, 0, link_of(&proposal));
    assert_eq!(places(&bench.all_votes()), [(Phase::Prepare, 0, 1)]);
    assert_eq!(places(&votes_in(&bench.restart_and_sign())), [(Phase::Commit, 0, 1)]);
}

/// protocol §7.1, §5.3: a restart between entering a view and voting for its anchor.
#[test]
fn the_anchor_is_voted_for_after_a_restart() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&proposals[1]))), None));
    bench.restart();
    let effects = bench.step(Input::MaySign);
    let effects = bench.answer_asked(&effects, &proposals[1]);
    let effects = bench.answer_asked(&effects, &proposals[0]);
    assert_eq!(places(&votes_in(&effects)), [(Phase::Prepare, 1, 2)]);
}

/// protocol §7.1: a primary goes on above its own last proposal, never beside it.
#[test]
fn a_restarted_primary_goes_on_above_its_own_last_proposal() {
    let mut bench = Bench::new(0);
    let first = bench.propose(crate::support::payload(1)).unwrap();
    bench.restart_and_sign();
    let slot = bench.core.slot(bench.now).unwrap();
    assert_eq!((slot.parent, slot.sequence), (first.digest(), Sequence(2)));
}

/// protocol §7.1, §6.1: the stable checkpoint bounds what must be remembered: votes at or below it never come back.
#[test]
fn a_restart_right_at_the_stable_checkpoint_goes_on() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 5, 1);
    bench.deliver(0, &proposals[..4]);
    bench.stable(4);
    bench.restart_and_sign();
    assert_eq!(bench.core.tip().sequence, Sequence(4));
    assert_eq!(prepares_in(&bench.pre_prepare(0, &proposals[4])), [5]);
}

/// protocol §2.6: the highest prepare vote is claimed also when a checkpoint has passed it.
#[test]
fn the_last_vote_is_claimed_when_the_checkpoint_has_passed_it() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 4, 1);
    bench.deliver(0, &proposals);
    bench.stable(4);
    let change = view_changes_in(&bench.make_leave()).pop().unwrap();
    assert_eq!(change.last_vote.map(|claim| claim.sequence), Some(Sequence(4)));
    assert_eq!(change.committed.map(|claim| claim.sequence), Some(Sequence(4)));
}
