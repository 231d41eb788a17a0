//! One vote per slot, and certificates made of votes (protocol §3.8, §2.3, §2.4).

use quorate_consensus::{Effect, Input};
use quorate_types::contradiction::Contradiction;
use quorate_types::vote::Phase;

use crate::support::{Bench, chain, child, commits_in, delivered_in, genesis, index, link_of, stages, vote, votes_in};

fn contradictions(effects: &[Effect]) -> Vec<Contradiction> {
    stages(effects, |effect| match effect {
        Effect::Contradiction(pair) => Some(pair.clone()),
        _ => None,
    })
}

fn saved(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::SaveVote(_))).count()
}

/// protocol §3.8: the first vote is kept and counts, the second one never replaces it; both are shown.
#[test]
fn a_second_vote_of_a_validator_is_shown_and_not_counted() {
    let mut bench = Bench::new(1);
    let (first, second) = (child(genesis(), 1), child(genesis(), 2));
    bench.pre_prepare(0, &first);
    bench.vote(3, Phase::Prepare, 0, link_of(&second));
    let effects = bench.vote(3, Phase::Prepare, 0, link_of(&first));
    let one = vote(3, Phase::Prepare, 0, link_of(&second));
    let other = vote(3, Phase::Prepare, 0, link_of(&first));
    assert_eq!(contradictions(&effects), [Contradiction::Votes(one, other)]);
    assert_eq!(commits_in(&bench.log), [0; 0], "two prepares and an equivocator's second are no quorum");
    assert_eq!(commits_in(&bench.vote(2, Phase::Prepare, 0, link_of(&first))), [1]);
}

/// protocol §3.8: a slot is view, sequence *and* phase: a prepare and a commit of one slot are two votes.
#[test]
fn a_prepare_and_a_commit_do_not_contradict_each_other() {
    let mut bench = Bench::new(1);
    let (one, other) = (child(genesis(), 1), child(genesis(), 2));
    bench.vote(3, Phase::Prepare, 0, link_of(&one));
    bench.vote(3, Phase::Commit, 0, link_of(&one));
    let effects = bench.vote(3, Phase::Prepare, 1, link_of(&other));
    assert_eq!(contradictions(&bench.log), []);
    assert_eq!(contradictions(&effects), []);
}

/// protocol §2.3: the primary's vote that travels with a backup's answer is counted, so that a primary that told
/// different stories is caught at the first exchange of votes.
#[test]
fn an_equivocating_primary_is_caught_when_the_first_answers_meet() {
    let mut bench = Bench::new(1);
    let (mine, theirs) = (child(genesis(), 1), child(genesis(), 2));
    bench.pre_prepare(0, &mine);
    let primary = vote(0, Phase::Prepare, 0, link_of(&theirs));
    let effects = bench.step(Input::Vote(vote(2, Phase::Prepare, 0, link_of(&theirs)), Some(primary)));
    let pairs = contradictions(&effects);
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].offender(), index(0));
    assert_eq!(votes_in(&effects), []);
}

/// protocol §7.1, §3.8: first-seen votes are durable, repetitions and second votes are not recorded again.
#[test]
fn the_first_vote_is_recorded_and_nothing_else() {
    let mut bench = Bench::new(1);
    let link = link_of(&child(genesis(), 1));
    assert_eq!(saved(&bench.vote(2, Phase::Prepare, 0, link)), 1);
    assert_eq!(saved(&bench.vote(2, Phase::Prepare, 0, link)), 0);
    assert_eq!(saved(&bench.vote(2, Phase::Prepare, 0, link_of(&child(genesis(), 2)))), 0);
}

/// protocol §3.8: the first-seen vote stays the first over a restart.
#[test]
fn the_first_vote_stays_the_first_over_a_restart() {
    let mut bench = Bench::new(1);
    let (first, second) = (child(genesis(), 1), child(genesis(), 2));
    bench.vote(3, Phase::Commit, 0, link_of(&first));
    bench.restart_and_sign();
    assert_eq!(contradictions(&bench.vote(3, Phase::Commit, 0, link_of(&second))).len(), 1);
}

/// protocol §3.8: a message of this validator's own key that it didn't make is no vote of its own: it counts for
/// nothing, and a different one is a contradiction.
#[test]
fn a_vote_of_the_own_key_from_elsewhere_counts_for_nothing() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.withheld.push(proposal.digest());
    bench.pre_prepare(0, &proposal);
    let elsewhere = vote(1, Phase::Commit, 0, link_of(&proposal));
    bench.step(Input::Vote(elsewhere, None));
    bench.votes(&[0, 2], Phase::Commit, 0, link_of(&proposal));
    bench.step(Input::Payload(proposal.digest(), true));
    assert_eq!(delivered_in(&bench.log), [0; 0]);
}

/// protocol §2.4, §1.2: seven validators need five matching votes, six need four.
#[test]
fn a_quorum_is_counted_by_the_size_of_the_set() {
    for (validators, quorum) in [(4u16, 3usize), (5, 4), (6, 4), (7, 5)] {
        let mut bench = Bench::of(usize::from(validators), validators - 1, crate::support::parameters());
        let proposal = chain(genesis(), 1, 1).remove(0);
        bench.withheld.push(proposal.digest());
        bench.pre_prepare(0, &proposal);
        bench.step(Input::Payload(proposal.digest(), true));
        for other in 0..validators - 1 {
            let before = delivered_in(&bench.log).len();
            bench.vote(other, Phase::Commit, 0, link_of(&proposal));
            let counted = usize::from(other) + 1;
            assert_eq!(delivered_in(&bench.log).len() > before, counted == quorum, "{counted} of {validators}");
        }
    }
}
