//! When a validator votes prepare (protocol §3.2), each bullet of the rule.

use quorate_consensus::{CoreNotice, Effect, Input};
use quorate_types::ids::{BlockTime, Sequence};
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::vote::Phase;

use crate::support::{
    Bench, WALL_MS, chain, child, child_at, committed, delivered_in, genesis, link_of, places, prepared, prepares_in,
    simple_new_view, vote, votes_in,
};

/// protocol §3.2: the good case, with the primary's vote that it answers (protocol §2.3).
#[test]
fn a_backup_prepares_what_the_primary_proposes_and_answers_its_vote() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    let effects = bench.pre_prepare(0, &proposal);
    let answered = effects.iter().find_map(|effect| match effect {
        Effect::SignVote(vote, primary) => Some((*vote, *primary)),
        _ => None,
    });
    let (own, primary) = answered.expect("it votes");
    assert_eq!((own.phase, own.sequence, own.digest), (Phase::Prepare, Sequence(1), proposal.digest()));
    assert_eq!(primary, Some(vote(0, Phase::Prepare, 0, link_of(&proposal))));
}

/// protocol §3.2: accepted means durably voted for: the proposal is saved no later than the vote is signed.
#[test]
fn the_proposal_is_saved_before_the_vote_for_it_is_signed() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    let effects = bench.pre_prepare(0, &proposal);
    let saved = effects.iter().position(|effect| matches!(effect, Effect::SaveProposal(..)));
    let signed = effects.iter().position(|effect| matches!(effect, Effect::SignVote(..)));
    assert!(saved.is_some() && saved < signed, "{effects:?}");
}

/// protocol §3.2 (a): only in the active view.
#[test]
fn nothing_is_prepared_in_another_view_than_the_active_one() {
    let mut bench = Bench::new(2);
    let proposal = child(genesis(), 1);
    assert_eq!(prepares_in(&bench.pre_prepare(1, &proposal)), [0; 0], "a view ahead");
    bench.make_leave();
    assert_eq!(prepares_in(&bench.pre_prepare(0, &proposal)), [0; 0], "a view left");
    let entered = bench.new_view(simple_new_view(1, None, None));
    assert_eq!(places(&votes_in(&entered)), [(Phase::Prepare, 1, 1)], "kept until the view begins");
}

/// protocol §3.2 (a): without leave to sign it follows, and votes for what it kept once it has it.
#[test]
fn nothing_is_signed_before_signing_may_begin() {
    let mut bench = Bench::new(1);
    bench.restart();
    let proposal = child(genesis(), 1);
    assert_eq!(votes_in(&bench.pre_prepare(0, &proposal)), []);
    assert_eq!(prepares_in(&bench.step(Input::MaySign)), [1]);
}

/// protocol §3.2 (b): in rising order, each sequence once.
#[test]
fn a_second_proposal_at_a_prepared_sequence_gets_no_vote() {
    let mut bench = Bench::new(1);
    let (one, other) = (child(genesis(), 1), child(genesis(), 2));
    assert_eq!(prepares_in(&bench.pre_prepare(0, &one)), [1]);
    let effects = bench.pre_prepare(0, &other);
    assert_eq!(votes_in(&effects), []);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Contradiction(_))));
    assert_eq!(votes_in(&bench.pre_prepare(0, &one)), [], "again");
}

/// protocol §3.2 (b), (c): proposals that come in the wrong order are voted for in the right one.
#[test]
fn proposals_out_of_order_wait_for_their_parents() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 3, 1);
    assert_eq!(prepares_in(&bench.pre_prepare(0, &proposals[2])), [0; 0]);
    assert_eq!(prepares_in(&bench.pre_prepare(0, &proposals[1])), [0; 0]);
    assert_eq!(prepares_in(&bench.pre_prepare(0, &proposals[0])), [1, 2, 3]);
}

/// protocol §3.2 (b): on one chain with every vote of its own in the view, commit votes included.
#[test]
fn a_child_of_another_branch_than_its_own_votes_gets_no_vote() {
    let mut bench = Bench::new(2);
    let (mine, other) = (child(genesis(), 1), child(genesis(), 2));
    bench.pre_prepare(0, &mine);
    // The Byzantine primary told others something else, and goes on from there.
    let sibling = child(link_of(&other), 3);
    bench.step(Input::Proposal(other.clone()));
    assert_eq!(votes_in(&bench.pre_prepare(0, &sibling)), []);
}

/// protocol §3.2 (b): a commit vote binds as a prepare vote does.
#[test]
fn a_commit_vote_binds_later_prepare_votes_to_its_chain() {
    let mut bench = Bench::new(2);
    let committed_to = child(genesis(), 1);
    // It never saw the pre-prepare: it fetches the proposal that a quorum prepared, and votes commit.
    let effects = bench.certificate(prepared(0, link_of(&committed_to)));
    let effects = bench.answer_asked(&effects, &committed_to);
    assert_eq!(places(&votes_in(&effects)), [(Phase::Commit, 0, 1)]);
    let other = child(genesis(), 2);
    assert_eq!(votes_in(&bench.pre_prepare(0, &other)), [], "another proposal at the sequence committed to");
    bench.pass(1);
    assert_eq!(prepares_in(&bench.pre_prepare(0, &child(link_of(&committed_to), 3))), [2], "a child of it");
}

/// protocol §3.2 (c): a parent merely received is none.
#[test]
fn a_parent_merely_received_is_no_parent() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.withheld.push(proposals[0].digest());
    bench.pre_prepare(0, &proposals[0]);
    assert_eq!(votes_in(&bench.pre_prepare(0, &proposals[1])), [], "the first one waits for bundles");
    let effects = bench.step(Input::Payload(proposals[0].digest(), true));
    assert_eq!(prepares_in(&effects), [1, 2]);
}

/// protocol §3.2 (c), second: the anchor is a parent only once it has itself been voted for, if it is chosen.
#[test]
fn a_chosen_anchor_is_a_parent_only_once_voted_for() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.withheld.push(proposals[0].digest());
    bench.pre_prepare(0, &proposals[0]);
    bench.enter(1, Some(prepared(0, link_of(&proposals[0]))), None);
    assert_eq!(votes_in(&bench.pre_prepare(1, &proposals[1])), []);
    let effects = bench.step(Input::Payload(proposals[0].digest(), true));
    assert_eq!(places(&votes_in(&effects)), [(Phase::Prepare, 1, 1), (Phase::Prepare, 1, 2)]);
}

/// protocol §3.2 (c), second: a base is a parent once it is delivered here.
#[test]
fn a_base_anchor_is_a_parent_once_it_is_delivered() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 2, 1);
    bench.new_view(simple_new_view(1, None, Some(committed(0, link_of(&proposals[0])))));
    assert_eq!(votes_in(&bench.pre_prepare(1, &proposals[1])), []);
    let effects = bench.step(Input::Proposal(proposals[0].clone()));
    assert_eq!((delivered_in(&effects), prepares_in(&effects)), (vec![1], vec![2]));
}

/// protocol §3.2 (c), third: a validator that caught up joins a long view without having voted in it.
#[test]
fn a_validator_that_caught_up_votes_on_top_of_what_is_committed() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 5, 1);
    let effects = bench.certificate(committed(0, link_of(&proposals[3])));
    let mut effects = bench.answer_asked(&effects, &proposals[3]);
    for proposal in proposals[..3].iter().rev() {
        effects = bench.answer_asked(&effects, proposal);
    }
    assert_eq!(bench.core.tip().sequence, Sequence(4));
    assert_eq!(places(&votes_in(&bench.pre_prepare(0, &proposals[4]))), [(Phase::Prepare, 0, 5)]);
}

/// protocol §3.2 (c), third: the certificate's view is at most the active one. What only a later view committed
/// carries no vote in this view.
#[test]
fn a_commit_of_a_later_view_is_no_parent_in_this_one() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 2, 1);
    let effects = bench.certificate(committed(1, link_of(&proposals[0])));
    bench.answer_asked(&effects, &proposals[0]);
    assert_eq!(bench.core.tip().sequence, Sequence(1));
    assert_eq!(votes_in(&bench.pre_prepare(0, &proposals[1])), []);
    bench.new_view(simple_new_view(2, None, Some(committed(1, link_of(&proposals[0])))));
    assert_eq!(places(&votes_in(&bench.pre_prepare(2, &proposals[1]))), [(Phase::Prepare, 2, 2)]);
}

/// protocol §3.2 (c), third: the committed chain must contain the validator's own highest vote of the view.
#[test]
fn a_committed_parent_off_its_own_votes_carries_no_vote() {
    let mut bench = Bench::new(3);
    let (own, other) = (child(genesis(), 1), chain(genesis(), 3, 10));
    bench.pre_prepare(0, &own);
    // View 1 committed another chain; this validator hears of it while still in view 0.
    for proposal in &other[..2] {
        let effects = bench.certificate(committed(1, link_of(proposal)));
        bench.answer_asked(&effects, proposal);
    }
    assert_eq!(bench.core.tip().sequence, Sequence(2));
    assert_eq!(votes_in(&bench.pre_prepare(0, &other[2])), []);
}

/// protocol §3.2 (d): block time doesn't go back.
#[test]
fn a_block_time_below_the_parents_gets_no_vote() {
    let mut bench = Bench::new(1);
    let first = child(genesis(), 1);
    bench.pre_prepare(0, &first);
    let back = child_at(link_of(&first), 2, WALL_MS - 1);
    assert_eq!(votes_in(&bench.pre_prepare(0, &back)), []);
}

/// protocol §3.2 (d): one too far ahead is kept, and judged again when the clock gets there.
#[test]
fn a_block_time_too_far_ahead_waits_for_the_clock() {
    let mut bench = Bench::new(1);
    let ahead = child_at(genesis(), 1, WALL_MS + 700);
    assert_eq!(votes_in(&bench.pre_prepare(0, &ahead)), []);
    assert_eq!(bench.core.deadline_ms(), Some(bench.now.monotonic_ms + 200), "the drift is allowed for");
    assert_eq!(votes_in(&bench.pass(199)), []);
    assert_eq!(prepares_in(&bench.pass(1)), [1]);
}

/// protocol §3.2 (d): never above the *larger* of the parent's and the clock plus drift: a clock that is behind
/// doesn't stop a chain that is ahead of it.
#[test]
fn a_block_time_equal_to_its_parents_passes_whatever_the_clock_says() {
    let mut bench = Bench::new(1);
    let first = child_at(genesis(), 1, WALL_MS + 500);
    assert_eq!(prepares_in(&bench.pre_prepare(0, &first)), [1]);
    bench.now.wall_ms -= 100_000;
    assert_eq!(prepares_in(&bench.pre_prepare(0, &child_at(link_of(&first), 2, WALL_MS + 500))), [2]);
}

/// protocol §3.2 (d): the block times of the anchor's chain are not checked.
#[test]
fn the_anchor_is_voted_for_whatever_its_block_time() {
    let mut bench = Bench::new(2);
    let anchor = child_at(genesis(), 1, WALL_MS + 1_000_000);
    bench.pre_prepare(0, &anchor);
    let effects = bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&anchor))), None));
    let effects = bench.answer_asked(&effects, &anchor);
    assert_eq!(places(&votes_in(&effects)), [(Phase::Prepare, 1, 1)]);
}

/// protocol §3.2 (d), §3.6: an empty payload keeps its distance from the parent.
#[test]
fn an_empty_payload_too_soon_after_its_parent_gets_no_vote() {
    let mut bench = Bench::new(1);
    let first = child(genesis(), 1);
    bench.pre_prepare(0, &first);
    let empty = |time| Proposal { payload: Payload::default(), ..child_at(link_of(&first), 2, time) };
    bench.now.wall_ms += 5_000;
    assert_eq!(votes_in(&bench.pre_prepare(0, &empty(WALL_MS + 999))), []);
    let mut bench = Bench::new(1);
    bench.pre_prepare(0, &first);
    bench.now.wall_ms += 5_000;
    assert_eq!(prepares_in(&bench.pre_prepare(0, &empty(WALL_MS + 1_000))), [2]);
}

/// protocol §3.2 (e): no vote before all that the payload names is held, none ever for one that breaks a rule.
#[test]
fn the_vote_waits_for_the_payload_and_is_never_given_to_an_invalid_one() {
    let mut bench = Bench::new(1);
    let (missing, invalid) = (child(genesis(), 1), child(genesis(), 2));
    bench.withheld.push(missing.digest());
    assert_eq!(votes_in(&bench.pre_prepare(0, &missing)), []);
    assert_eq!(prepares_in(&bench.step(Input::Payload(missing.digest(), true))), [1]);
    let mut bench = Bench::new(1);
    bench.invalid.push(invalid.digest());
    assert_eq!(votes_in(&bench.pre_prepare(0, &invalid)), []);
    assert_eq!(votes_in(&bench.pass(100)), []);
}

/// protocol §3.2: it never votes against what it knows committed. One primary's word is no alarm.
#[test]
fn a_proposal_against_a_committed_one_gets_no_vote_and_no_alarm() {
    let mut bench = Bench::new(2);
    let (done, against) = (child(genesis(), 1), child(genesis(), 2));
    let effects = bench.certificate(committed(0, link_of(&done)));
    bench.answer_asked(&effects, &done);
    assert_eq!(votes_in(&bench.pre_prepare(0, &against)), []);
    assert!(!bench.core.is_halted());
}

/// protocol §3.2: two commit certificates at one sequence: it stops and raises the safety alarm.
#[test]
fn contradicting_commit_certificates_raise_the_alarm_and_end_signing() {
    let mut bench = Bench::new(2);
    let (one, other) = (child(genesis(), 1), child(genesis(), 2));
    bench.certificate(committed(0, link_of(&one)));
    let effects = bench.certificate(committed(3, link_of(&other)));
    let alarm = CoreNotice::SafetyAlarm { sequence: Sequence(1), committed: one.digest(), other: other.digest() };
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Notice(notice) if *notice == alarm)));
    assert!(bench.core.is_halted());
    assert_eq!(votes_in(&bench.pre_prepare(0, &child(genesis(), 3))), []);
}

/// protocol §3.2 (d): a proposal with block time zero above genesis is as good as any: time never decreases, and
/// that is all.
#[test]
fn equal_block_times_are_allowed() {
    let mut bench = Bench::new(1);
    let first = child_at(genesis(), 1, 0);
    assert_eq!(first.time, BlockTime(0));
    assert_eq!(prepares_in(&bench.pre_prepare(0, &first)), [1]);
}
