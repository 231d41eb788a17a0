//! Payloads as the core sees them (protocol §3.6): asked about, waited for, never rejected for what is missing.

use quorate_consensus::{Effect, Input};
use quorate_types::vote::Phase;

use crate::support::{Bench, chain, child, committed, genesis, link_of, prepared, prepares_in, stages};

fn checks(effects: &[Effect]) -> Vec<u64> {
    stages(effects, |effect| match effect {
        Effect::CheckPayload(_, proposal) => Some(proposal.sequence.0),
        _ => None,
    })
}

/// protocol §2.1, §3.6: the core asks once, and is told later.
#[test]
fn a_payload_is_asked_about_once() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.withheld.push(proposal.digest());
    assert_eq!(checks(&bench.pre_prepare(0, &proposal)), [1]);
    assert_eq!(checks(&bench.pass(200)), [0; 0]);
    assert_eq!(prepares_in(&bench.step(Input::Payload(proposal.digest(), true))), [1]);
}

/// protocol §3.6: a verdict on what was never asked about is nobody's.
#[test]
fn a_verdict_that_was_not_asked_for_changes_nothing() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.step(Input::Payload(proposal.digest(), true));
    assert_eq!(bench.core.held().payloads, 0);
    bench.withheld.push(proposal.digest());
    assert_eq!(prepares_in(&bench.pre_prepare(0, &proposal)), [0; 0]);
}

/// protocol §3.6: data that is missing is waited for over a view change, and the vote is given then.
#[test]
fn a_payload_that_comes_after_the_view_change_is_still_voted_for() {
    let mut bench = Bench::new(2);
    let anchor = child(genesis(), 1);
    bench.withheld.push(anchor.digest());
    bench.pre_prepare(0, &anchor);
    bench.certificate(prepared(0, link_of(&anchor)));
    bench.make_leave();
    bench.enter(1, Some(prepared(0, link_of(&anchor))), None);
    let effects = bench.step(Input::Payload(anchor.digest(), true));
    assert_eq!(prepares_in(&effects), [1]);
}

/// protocol §3.6, §7.1: after a restart the lanes are asked again about all that is held above the tip, parents
/// first.
#[test]
fn after_a_restart_payloads_are_asked_about_again_parents_first() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 3, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
    }
    bench.restart_and_sign();
    assert_eq!(checks(&bench.pass(1)), [1, 2, 3]);
    assert_eq!(checks(&bench.pass(1)), [0; 0]);
}

/// protocol §3.6: verdicts are forgotten with their proposals.
#[test]
fn verdicts_do_not_outlive_their_proposals() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 8, 1);
    bench.deliver(0, &proposals);
    bench.stable(8);
    let held = bench.core.held();
    assert_eq!((held.proposals, held.payloads, held.votes), (1, 1, 0), "the checkpoint itself remains");
}

/// protocol §3.6: a bundle missing for one proposal holds no other chain back: the commit of a sibling goes on.
#[test]
fn a_missing_payload_on_one_branch_does_not_hold_back_another() {
    let mut bench = Bench::new(1);
    let (stuck, other) = (child(genesis(), 1), child(genesis(), 2));
    bench.withheld.push(stuck.digest());
    bench.pre_prepare(0, &stuck);
    bench.enter(1, None, None);
    let effects = bench.certificate(committed(1, link_of(&other)));
    bench.answer_asked(&effects, &other);
    assert_eq!(bench.core.tip().digest, other.digest());
    assert!(bench.all_votes().iter().all(|vote| vote.phase == Phase::Prepare || vote.digest == other.digest()));
}
