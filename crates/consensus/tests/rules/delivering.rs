//! Delivery (protocol §3.4), and what makes it come true: fetching (protocol §8.3).

use quorate_consensus::{CoreNotice, Effect, Input};
use quorate_types::ids::Sequence;
use quorate_types::message::{Request, Segment};
use quorate_types::vote::Phase;

use crate::support::{
    Bench, asked_in, certificate, chain, child, committed, delivered_in, genesis, index, link_of, status, vote,
    votes_in,
};

/// protocol §3.4: `q` matching commits of one view commit a proposal and all its ancestors, in order.
#[test]
fn a_quorum_of_commits_delivers_the_whole_chain_below_in_order() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 3, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    let effects = bench.votes(&[0, 1], Phase::Commit, 0, link_of(&proposals[2]));
    assert_eq!(delivered_in(&effects), [0; 0], "two of three");
    assert_eq!(delivered_in(&bench.vote(2, Phase::Commit, 0, link_of(&proposals[2]))), [1, 2, 3]);
}

/// protocol §3.4: of one view. Commits of two views don't add up.
#[test]
fn commits_of_different_views_do_not_add_up() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.votes(&[0, 1], Phase::Commit, 0, link_of(&proposal));
    bench.vote(2, Phase::Commit, 1, link_of(&proposal));
    assert_eq!(delivered_in(&bench.log), [0; 0]);
}

/// protocol §3.4: whatever view the validator itself is in.
#[test]
fn commits_of_a_view_that_was_left_deliver_all_the_same() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.make_leave();
    assert_eq!(delivered_in(&bench.votes(&[0, 1, 2], Phase::Commit, 0, link_of(&proposal))), [1]);
}

/// protocol §3.4: a commit certificate is durable before what it delivers is executed.
#[test]
fn the_certificate_is_saved_before_the_delivery() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    let effects = bench.certificate(committed(0, link_of(&proposal)));
    let saved = effects.iter().position(|effect| matches!(effect, Effect::SaveCommit(_)));
    let delivered = effects.iter().position(|effect| matches!(effect, Effect::Deliver(..)));
    assert!(saved.is_some() && saved < delivered);
}

/// protocol §3.4, §8.3: missing proposals are fetched by digest, of one peer after another.
#[test]
fn what_is_missing_is_asked_for_again_of_another_peer() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    let whom = |effects: &[Effect]| -> Vec<u16> {
        let asked = |effect: &Effect| match effect {
            Effect::Ask(of, Request::Proposal(_)) => Some(of.0),
            _ => None,
        };
        effects.iter().filter_map(asked).collect()
    };
    let first = whom(&bench.certificate(committed(0, link_of(&proposal))));
    assert_eq!(first.len(), 1);
    assert_eq!(whom(&bench.pass(50)), [0; 0], "not at once");
    let second = whom(&bench.pass(50));
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
    assert_eq!(delivered_in(&bench.step(Input::Proposal(proposal))), [1]);
}

/// protocol §3.6: missing bundles hold a delivery back, and nothing else.
#[test]
fn delivery_waits_for_bundles() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 2, 1);
    bench.withheld.push(proposals[1].digest());
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    assert_eq!(delivered_in(&bench.certificate(committed(0, link_of(&proposals[1])))), [1]);
    assert_eq!(delivered_in(&bench.step(Input::Payload(proposals[1].digest(), true))), [2]);
}

/// protocol §3.4: a committed payload that contradicts the lanes is as grave as two certificates: it stops.
#[test]
fn a_committed_invalid_payload_stops_the_validator() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.invalid.push(proposal.digest());
    bench.pre_prepare(0, &proposal);
    let effects = bench.certificate(committed(0, link_of(&proposal)));
    let invalid = CoreNotice::InvalidCommitted(link_of(&proposal));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Notice(notice) if *notice == invalid)));
    assert!(bench.core.is_halted() && delivered_in(&bench.log).is_empty());
}

/// protocol §8.3: behind what a peer had one report ago, it asks that peer for the stretch that it lacks.
#[test]
fn a_validator_that_is_behind_asks_for_the_stretch_that_it_lacks() {
    let mut bench = Bench::new(3);
    assert_eq!(asked_in(&bench.status(0, status(0, true, 5))), [], "it may be in flight");
    assert_eq!(asked_in(&bench.status(0, status(0, true, 6))), [Request::Segment(Sequence(1))]);
    let proposals = chain(genesis(), 5, 1);
    let certificate = committed(0, link_of(&proposals[4]));
    let effects = bench.step(Input::Segment(Box::new(Segment { proposals, certificate })));
    assert_eq!(delivered_in(&effects), [1, 2, 3, 4, 5]);
    assert_eq!(votes_in(&bench.log), [], "nothing committed is voted on again");
}

/// protocol §8.3: a stretch that doesn't start where this validator stands is no use, and not kept.
#[test]
fn a_stretch_that_does_not_join_is_not_kept() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 5, 1);
    let certificate = committed(0, link_of(&proposals[4]));
    let segment = Segment { proposals: proposals[2..].to_vec(), certificate };
    bench.step(Input::Segment(Box::new(segment)));
    assert_eq!((bench.core.held().proposals, bench.core.held().goals), (0, 0));
}

/// protocol §2.4, §3.4: votes and a received certificate are one thing.
#[test]
fn a_received_certificate_counts_as_its_votes_do() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    let received = certificate(Phase::Commit, 0, link_of(&proposal), &[0, 1, 2]);
    let from_votes: Vec<_> = received.votes().collect();
    assert_eq!(from_votes[1].statement, vote(1, Phase::Commit, 0, link_of(&proposal)).statement);
    assert_eq!(from_votes[1].signer(), index(1));
    assert_eq!(delivered_in(&bench.certificate(received)), [1]);
}

/// protocol §8.3, §9.5: it asks one peer at a time, each in its turn: not all of a cluster for the same thing, and
/// not one that answers nothing for ever.
#[test]
fn stretches_are_asked_for_of_one_peer_at_a_time_in_turn() {
    let mut bench = Bench::new(3);
    let mut whom = Vec::new();
    for _ in 0..8 {
        for peer in [0, 1, 2] {
            let effects = bench.status(peer, status(0, true, 5));
            whom.extend((!asked_in(&effects).is_empty()).then_some(peer));
        }
        bench.pass(100);
    }
    let all = [0, 1, 2];
    assert!(all.iter().all(|peer| whom.contains(peer)), "{whom:?}");
    assert!(whom.len() <= 8 && whom.windows(2).all(|pair| pair[0] != pair[1]), "{whom:?}");
}

/// protocol §8.3: when the answer has come, the next question goes out with the next report.
#[test]
fn an_answered_question_is_followed_by_the_next_at_once() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 8, 1);
    bench.status(0, status(0, true, 8));
    assert_eq!(asked_in(&bench.status(0, status(0, true, 8))), [Request::Segment(Sequence(1))]);
    assert_eq!(asked_in(&bench.status(1, status(0, true, 8))), []);
    bench.status(1, status(0, true, 8));
    let certificate = committed(0, link_of(&proposals[3]));
    bench.step(Input::Segment(Box::new(Segment { proposals: proposals[..4].to_vec(), certificate })));
    assert_eq!(asked_in(&bench.status(0, status(0, true, 8))), [Request::Segment(Sequence(5))]);
}

/// protocol §6.3: delivery waits for execution, so that what waits in memory to be executed is bounded; and it asks
/// for nothing more until execution has caught up.
#[test]
fn delivery_stops_two_windows_ahead_of_execution_and_goes_on_with_it() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 24, 1);
    let certificate = committed(0, link_of(&proposals[23]));
    let effects = bench.step(Input::Segment(Box::new(Segment { proposals, certificate })));
    assert_eq!(delivered_in(&effects), (1..=16).collect::<Vec<u64>>(), "the window is 8");
    bench.status(1, status(0, true, 40));
    assert_eq!(asked_in(&bench.status(1, status(0, true, 40))), [], "it couldn't take more");
    assert_eq!(delivered_in(&bench.step(Input::Executed(Sequence(3)))), [17, 18, 19]);
    assert_eq!(delivered_in(&bench.step(Input::Executed(Sequence(19)))), [20, 21, 22, 23, 24]);
    bench.pass(200);
    assert_eq!(asked_in(&bench.status(1, status(0, true, 40))), [Request::Segment(Sequence(25))]);
}
