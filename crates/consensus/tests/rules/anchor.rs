//! The anchor: the first vote of a view, and what new proposals extend (protocol §5.3).

use quorate_consensus::{CoreNotice, Effect, Input};
use quorate_types::ids::Sequence;
use quorate_types::message::Request;
use quorate_types::vote::Phase;

use crate::support::{
    Bench, asked_in, chain, child, committed, genesis, link_of, places, prepared, simple_new_view, vote, votes_in,
};

fn alarms(effects: &[Effect]) -> usize {
    let is_alarm = |effect: &&Effect| matches!(effect, Effect::Notice(CoreNotice::SafetyAlarm { .. }));
    effects.iter().filter(is_alarm).count()
}

/// protocol §5.3: `Prepare(v, anchor)`, then `Commit`: the whole chain below commits with it, and nothing below is
/// voted on again.
#[test]
fn one_round_for_the_anchor_commits_the_whole_chain_below_it() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 3, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    let anchor = link_of(&proposals[2]);
    let effects = bench.new_view(simple_new_view(1, Some(prepared(0, anchor)), None));
    assert_eq!(places(&votes_in(&effects)), [(Phase::Prepare, 1, 3)]);
    let effects = bench.votes(&[0, 1], Phase::Prepare, 1, anchor);
    assert_eq!(places(&votes_in(&effects)), [(Phase::Commit, 1, 3)]);
    bench.votes(&[0, 1], Phase::Commit, 1, anchor);
    assert_eq!(bench.core.tip(), anchor);
    assert!(bench.all_votes().iter().all(|vote| vote.view.0 == 0 || vote.sequence == Sequence(3)));
}

/// protocol §5.3: it fetches what it lacks, from the anchor down, and votes once it holds the chain with all bundles.
#[test]
fn the_anchors_chain_is_fetched_before_it_is_voted_for() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 3, 1);
    bench.withheld.push(proposals[0].digest());
    let mut effects = bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&proposals[2]))), None));
    for proposal in proposals.iter().rev() {
        assert_eq!(votes_in(&effects), []);
        effects = bench.answer_asked(&effects, proposal);
    }
    assert_eq!(votes_in(&effects), [], "a bundle of the lowest is missing");
    let effects = bench.step(Input::Payload(proposals[0].digest(), true));
    assert_eq!(places(&votes_in(&effects)), [(Phase::Prepare, 1, 3)]);
}

/// protocol §5.3: what was asked for and didn't come is asked for again, also in a validator that does nothing else.
#[test]
fn an_anchor_that_does_not_come_is_asked_for_again() {
    let mut bench = Bench::new(3);
    let anchor = child(genesis(), 1);
    bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&anchor))), None));
    for _ in 0..3 {
        assert_eq!(asked_in(&bench.pass(100)), [Request::Proposal(anchor.digest())]);
    }
}

/// protocol §5.3: a base anchor is committed: nobody votes on it again.
#[test]
fn a_base_anchor_is_not_voted_on() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.deliver(0, &proposals);
    let before = bench.all_votes().len();
    bench.enter(1, Some(prepared(0, link_of(&proposals[0]))), Some(committed(0, link_of(&proposals[1]))));
    assert_eq!(bench.all_votes().len(), before);
}

/// protocol §5.3: nothing is voted for below the anchor, nor beside it.
#[test]
fn proposals_below_or_beside_the_anchor_get_no_vote() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 3, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    bench.enter(1, Some(prepared(0, link_of(&proposals[2]))), None);
    let before = bench.all_votes().len();
    for (sequence, salt) in [(0, 20), (1, 21), (2, 22)] {
        let parent = if sequence == 0 { genesis() } else { link_of(&proposals[sequence - 1]) };
        bench.pre_prepare(1, &child(parent, salt));
    }
    assert_eq!(bench.all_votes().len(), before);
}

/// protocol §5.3, §6.1: an anchor above the window is voted for when the window gets there.
#[test]
fn an_anchor_above_the_window_waits_for_the_window() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 9, 1);
    bench.deliver(0, &proposals[..8]);
    let effects = bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&proposals[8]))), None));
    assert_eq!(votes_in(&bench.answer_asked(&effects, &proposals[8])), []);
    assert_eq!(places(&votes_in(&bench.stable(4))), [(Phase::Prepare, 1, 9)]);
}

/// protocol §5.3: with a certificate of the view above the anchor in hand, a commit vote takes the anchor's place,
/// and the anchor isn't voted for out of order.
#[test]
fn a_commit_vote_above_the_anchor_comes_instead_of_a_vote_for_it() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.withheld.push(proposals[0].digest());
    bench.pre_prepare(0, &proposals[0]);
    bench.enter(1, Some(prepared(0, link_of(&proposals[0]))), None);
    let effects = bench.certificate(prepared(1, link_of(&proposals[1])));
    let effects = bench.answer_asked(&effects, &proposals[1]);
    assert_eq!(places(&votes_in(&effects)), [(Phase::Commit, 1, 2)]);
    let effects = bench.step(Input::Payload(proposals[0].digest(), true));
    assert_eq!(votes_in(&effects), []);
}

/// protocol §5.3, §3.2: a laggard may enter a view whose anchor a *later* view has overtaken. That is no
/// contradiction: it votes for nothing, raises no alarm, and goes on with the later view.
#[test]
fn an_anchor_that_a_later_view_overtook_raises_no_alarm() {
    let mut bench = Bench::new(3);
    let (lost, done) = (child(genesis(), 1), child(genesis(), 2));
    // View 2 began without the certificate of view 0, and committed another proposal.
    let effects = bench.certificate(committed(2, link_of(&done)));
    bench.answer_asked(&effects, &done);
    assert_eq!(bench.core.tip(), link_of(&done));
    // The late new view of view 1 still names it.
    let effects = bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&lost))), None));
    assert_eq!((alarms(&effects), votes_in(&effects)), (0, vec![]));
    bench.pass(100);
    let effects = bench.new_view(simple_new_view(3, None, Some(committed(2, link_of(&done)))));
    assert_eq!(alarms(&bench.log), 0);
    assert!(!bench.core.is_halted() && bench.core.view().0 == 3, "{effects:?}");
    let next = child(link_of(&done), 3);
    // It is the primary of view 3 itself.
    assert_eq!(bench.propose(next.payload).unwrap().parent, done.digest());
}

/// protocol §5.3, §3.2: the same one step higher: the chain that leads to the overtaken anchor leaves the committed one.
#[test]
fn an_overtaken_anchor_above_the_tip_raises_no_alarm_either() {
    let mut bench = Bench::new(3);
    let (lost, done) = (chain(genesis(), 3, 1), child(genesis(), 50));
    for proposal in &lost {
        bench.pre_prepare(0, proposal);
    }
    let effects = bench.certificate(committed(2, link_of(&done)));
    bench.answer_asked(&effects, &done);
    bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&lost[2]))), None));
    bench.pass(200);
    assert_eq!(alarms(&bench.log), 0);
    assert!(!bench.core.is_halted());
}

/// protocol §5.3, §3.2: a certificate of a view at or above the commit's, against it, is the alarm's case.
#[test]
fn an_anchor_against_a_commit_of_an_earlier_view_raises_the_alarm() {
    let mut bench = Bench::new(3);
    let (done, against) = (child(genesis(), 1), child(genesis(), 2));
    let effects = bench.certificate(committed(0, link_of(&done)));
    bench.answer_asked(&effects, &done);
    let effects = bench.new_view(simple_new_view(2, Some(prepared(1, link_of(&against))), None));
    assert_eq!(alarms(&effects), 1);
    assert!(bench.core.is_halted());
}

/// protocol §5.3: the vote for the anchor carries the primary's, if that has come.
#[test]
fn the_anchor_vote_answers_the_primarys() {
    let mut bench = Bench::new(2);
    let anchor = child(genesis(), 1);
    let primary = vote(1, Phase::Prepare, 1, link_of(&anchor));
    bench.step(Input::Vote(primary, None));
    bench.pre_prepare(0, &anchor);
    let effects = bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&anchor))), None));
    let answered =
        effects.iter().any(|effect| matches!(effect, Effect::SignVote(_, Some(answers)) if *answers == primary));
    assert!(answered, "{effects:?}");
}

/// protocol §5.3: nothing at or below the anchor is voted on by way of a pre-prepare, though its parent be committed:
/// a prepared certificate of the new view, below what an earlier one prepared, would look higher than that.
#[test]
fn what_is_committed_below_the_anchor_is_not_voted_on_again() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 4, 1);
    bench.deliver(0, &proposals[..3]);
    bench.enter(1, None, Some(committed(0, link_of(&proposals[2]))));
    for proposal in &proposals {
        bench.pre_prepare(1, proposal);
    }
    let in_view = bench.all_votes().into_iter().filter(|vote| vote.view.0 == 1);
    assert_eq!(places(&in_view.collect::<Vec<_>>()), [(Phase::Prepare, 1, 4)]);
}
