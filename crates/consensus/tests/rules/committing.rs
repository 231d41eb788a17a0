//! When a validator votes commit (protocol §3.3).

use quorate_consensus::Effect;
use quorate_types::ids::{Sequence, View};
use quorate_types::vote::Phase;

use crate::support::{
    Bench, chain, child, commits_in, genesis, link_of, places, prepared, simple_new_view, stages, votes_in,
};

/// protocol §3.3: `q` matching prepares, the own one among them, make it prepared: kept durably, then committed.
#[test]
fn a_quorum_of_prepares_is_kept_durably_and_committed() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    let link = link_of(&proposal);
    let before = bench.pre_prepare(0, &proposal);
    assert_eq!(commits_in(&before), [0; 0], "the primary's vote and its own are two of three");
    let effects = bench.vote(2, Phase::Prepare, 0, link);
    let order = stages(&effects, |effect| match effect {
        Effect::SavePrepared(certificate) => Some(certificate.signatures.len()),
        Effect::SignVote(vote, _) if vote.phase == Phase::Commit => Some(0),
        _ => None,
    });
    assert_eq!(order, [3, 0], "first the certificate, then the vote");
}

/// protocol §3.3, §1.2: one vote less than a quorum commits nothing, whoever repeats itself.
#[test]
fn less_than_a_quorum_commits_nothing() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    for _ in 0..5 {
        bench.vote(0, Phase::Prepare, 0, link_of(&proposal));
    }
    bench.vote(2, Phase::Prepare, 0, link_of(&child(genesis(), 2)));
    bench.vote(3, Phase::Commit, 0, link_of(&proposal));
    assert_eq!(commits_in(&bench.log), [0; 0]);
}

/// protocol §3.3: only the highest is committed; it commits the chain below.
#[test]
fn a_prepared_descendant_is_committed_at_once_and_nothing_below_it_any_more() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 3, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    assert_eq!(commits_in(&bench.vote(2, Phase::Prepare, 0, link_of(&proposals[2]))), [3]);
    assert_eq!(commits_in(&bench.vote(2, Phase::Prepare, 0, link_of(&proposals[0]))), [0; 0]);
}

/// protocol §3.3: without the proposal and its chain in hand there is no commit vote, and nothing to claim.
#[test]
fn a_certificate_without_its_chain_waits_until_the_chain_is_here() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 2, 1);
    let effects = bench.certificate(prepared(0, link_of(&proposals[1])));
    assert!(votes_in(&effects).is_empty());
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::SavePrepared(_))));
    let effects = bench.answer_asked(&effects, &proposals[1]);
    let effects = bench.answer_asked(&effects, &proposals[0]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SavePrepared(_))));
    assert_eq!(commits_in(&effects), [2]);
}

/// protocol §3.3: `v` is its active view. A certificate of a view that it has left earns no vote.
#[test]
fn a_certificate_of_a_view_left_is_kept_and_not_committed() {
    let mut bench = Bench::new(2);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.make_leave();
    let effects = bench.votes(&[0, 1, 3], Phase::Prepare, 0, link_of(&proposal));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SavePrepared(_))), "knowledge all the same");
    assert_eq!(votes_in(&effects), []);
}

/// protocol §3.3: a certificate of a view ahead is neither claimed nor committed before that view is entered.
#[test]
fn a_certificate_of_a_view_ahead_waits_for_the_view() {
    let mut bench = Bench::new(2);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    let effects = bench.certificate(prepared(1, link_of(&proposal)));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::SavePrepared(_))));
    assert_eq!(votes_in(&effects), []);
    let effects = bench.new_view(simple_new_view(1, None, None));
    assert_eq!(places(&votes_in(&effects)), [(Phase::Commit, 1, 1)]);
}

/// protocol §3.3: every vote of its own in the view, of either phase, is on this chain.
#[test]
fn a_commit_vote_off_the_chain_of_its_own_votes_is_never_given() {
    let mut bench = Bench::new(2);
    let (own, others) = (child(genesis(), 1), child(genesis(), 2));
    bench.pre_prepare(0, &own);
    let effects = bench.certificate(prepared(0, link_of(&others)));
    let effects = bench.answer_asked(&effects, &others);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::SavePrepared(_))));
    assert_eq!(votes_in(&effects), [], "others prepared what this validator has voted against");
}

/// protocol §3.3: the chain goes down to the anchor; what lies below it or beside it is not committed.
#[test]
fn a_certificate_beside_the_anchor_earns_no_vote() {
    let mut bench = Bench::new(2);
    let anchor = child(genesis(), 1);
    let beside = chain(genesis(), 2, 20);
    bench.pre_prepare(0, &anchor);
    bench.withheld.push(anchor.digest());
    bench.enter(1, Some(prepared(0, link_of(&anchor))), None);
    for proposal in &beside {
        let effects = bench.certificate(prepared(1, link_of(proposal)));
        bench.answer_asked(&effects, proposal);
    }
    assert!(bench.all_votes().iter().all(|vote| vote.phase == Phase::Prepare));
}

/// protocol §3.3, §6.1: no commit vote outside of the window.
#[test]
fn a_certificate_above_the_window_is_committed_when_the_window_gets_there() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 9, 1);
    bench.deliver(0, &proposals[..8]);
    let effects = bench.certificate(prepared(0, link_of(&proposals[8])));
    assert_eq!(commits_in(&bench.answer_asked(&effects, &proposals[8])), [0; 0]);
    assert_eq!(commits_in(&bench.stable(4)), [9]);
}

/// protocol §3.3: the highest by view, then sequence, is what is kept.
#[test]
fn a_lower_view_never_displaces_the_prepared_certificate() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.pre_prepare(0, &proposals[0]);
    bench.pre_prepare(0, &proposals[1]);
    bench.enter(1, Some(prepared(0, link_of(&proposals[0]))), None);
    bench.certificate(prepared(1, link_of(&proposals[0])));
    bench.certificate(prepared(0, link_of(&proposals[1])));
    bench.make_leave();
    let claims = crate::support::view_changes_in(&bench.log);
    let prepared = claims.last().and_then(|change| change.prepared).expect("it claims one");
    assert_eq!((prepared.view, prepared.sequence), (View(1), Sequence(1)));
}
