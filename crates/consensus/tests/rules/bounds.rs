//! Every buffer that peers fill has a bound, and works at it (protocol §9.5).

use quorate_consensus::{Effect, Input};
use quorate_types::ids::{Sequence, View};
use quorate_types::message::{Message, Status};
use quorate_types::parameters::Parameters;
use quorate_types::vote::Phase;

use crate::support::{
    Bench, asked_in, chain, child, committed, genesis, link_of, parameters, places, sent_to, status, view_change,
    votes_in,
};

/// protocol §9.5: votes of one sender: two windows ahead, two phases, of the current view, and as much of older ones.
#[test]
fn the_votes_of_one_sender_are_bounded_and_the_others_unharmed() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 16, 1);
    for salt in 0..100 {
        for proposal in chain(genesis(), 40, salt * 100) {
            bench.vote(3, Phase::Prepare, 0, link_of(&proposal));
            bench.vote(3, Phase::Commit, 0, link_of(&proposal));
        }
    }
    assert_eq!(bench.core.held().votes, 2 * 16);
    bench.pre_prepare(0, &proposals[0]);
    bench.vote(2, Phase::Prepare, 0, link_of(&proposals[0]));
    assert_eq!(places(&bench.all_votes()), [(Phase::Prepare, 0, 1), (Phase::Commit, 0, 1)]);
}

/// protocol §9.5: over many views one sender has room for four windows of votes, the newest.
#[test]
fn votes_over_many_views_stay_within_four_windows_per_sender() {
    let mut bench = Bench::new(1);
    bench.enter(400, None, None);
    for view in 0..=400 {
        for proposal in chain(genesis(), 16, view * 100) {
            bench.vote(3, Phase::Prepare, view, link_of(&proposal));
            bench.vote(3, Phase::Commit, view, link_of(&proposal));
        }
    }
    assert_eq!(bench.core.held().votes, 4 * 8);
    let proposal = child(genesis(), 40_000);
    bench.pre_prepare(400, &proposal);
    bench.vote(2, Phase::Prepare, 400, link_of(&proposal));
    let effects = bench.vote(3, Phase::Prepare, 400, link_of(&proposal));
    assert_eq!(votes_in(&effects), [], "it had voted for another");
}

/// protocol §9.5: pre-prepares of one sender: two windows.
#[test]
fn kept_pre_prepares_are_bounded() {
    let mut bench = Bench::new(1);
    for proposal in chain(genesis(), 100, 1) {
        bench.withheld.push(proposal.digest());
        bench.pre_prepare(0, &proposal);
    }
    assert_eq!(bench.core.held().pre_prepares, 16);
}

/// protocol §9.5: commit certificates that wait: a window of them, the lowest and the highest among them, and
/// catching up goes on at the bound.
#[test]
fn waiting_commit_certificates_are_bounded_and_the_ends_are_kept() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 50, 1);
    let mut effects = Vec::new();
    for proposal in &proposals {
        effects = bench.certificate(committed(0, link_of(proposal)));
    }
    assert_eq!(bench.core.held().goals, 8);
    for proposal in proposals.iter().rev() {
        bench.step(Input::Proposal(proposal.clone()));
        effects.extend(bench.pass(200));
    }
    for proposal in proposals.iter().rev() {
        bench.step(Input::Proposal(proposal.clone()));
        bench.step(Input::Executed(bench.core.tip().sequence));
        bench.pass(200);
    }
    assert_eq!(bench.core.tip().sequence, Sequence(50));
}

/// protocol §9.5: a proposal that nobody asked for isn't kept.
#[test]
fn proposals_that_were_not_asked_for_are_not_kept() {
    let mut bench = Bench::new(3);
    for proposal in chain(genesis(), 100, 1) {
        bench.step(Input::Proposal(proposal));
    }
    assert_eq!(bench.core.held().proposals, 0);
}

/// protocol §9.5: the same question isn't asked twice within a report's interval, whatever provokes it.
#[test]
fn questions_are_not_repeated_at_once() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    let mut asked = 0;
    for _ in 0..50 {
        asked += asked_in(&bench.certificate(committed(0, link_of(&proposal)))).len();
        asked += asked_in(&bench.view_change(view_change(0, 1, None, Some(committed(0, link_of(&proposal)))))).len();
    }
    assert_eq!(asked, 1);
}

/// protocol §9.2, §9.5: answers to one report are within a budget, lowest sequences first, so that the next report
/// goes on from there.
#[test]
fn answers_to_a_report_are_bounded_and_start_with_the_lowest() {
    let parameters = Parameters { window: 128, ..parameters() };
    let mut bench = Bench::of(4, 1, parameters);
    let proposals = chain(genesis(), 100, 1);
    for proposal in &proposals {
        bench.pre_prepare(0, proposal);
        bench.vote(2, Phase::Prepare, 0, link_of(proposal));
    }
    bench.pass(200);
    let sent = sent_to(&bench.status(3, status(0, true, 0)), 3);
    assert_eq!(sent.len(), 128);
    bench.pass(50);
    let first = sent.iter().find_map(|message| match message {
        Message::PrePrepare(pre_prepare) => Some(pre_prepare.proposal.sequence),
        _ => None,
    });
    assert_eq!(first, Some(Sequence(1)));
    let report = bench.core.status();
    assert!(report.slots.len() <= 256);
    let knows = Status { slots: report.slots, ..status(0, true, 0) };
    assert!(sent_to(&bench.status(3, knows), 3).is_empty(), "it has them all");
}

/// protocol §9.5: a view change displaces nothing but its sender's older one.
#[test]
fn one_view_change_per_sender_is_kept() {
    let mut bench = Bench::new(3);
    for view in 1..100 {
        bench.view_change(view_change(0, view, None, None));
    }
    assert_eq!(bench.core.view(), View(0), "one sender moves nobody");
    bench.view_change(view_change(1, 1, None, None));
    assert_eq!(bench.core.view(), View(1));
    let mut late = Bench::new(2);
    late.view_change(view_change(0, 5, None, None));
    late.view_change(view_change(0, 1, None, None));
    late.view_change(view_change(1, 5, None, None));
    assert_eq!(late.core.view(), View(5), "the older one displaced nothing");
}

/// protocol §9.5: what provokes a peer's answer provokes no more than that: a report of nonsense costs one question.
#[test]
fn a_report_of_nonsense_costs_one_question() {
    let mut bench = Bench::new(3);
    let mut asked = 0;
    for round in 0..10u64 {
        let report = Status { stable: Sequence(u64::MAX), ..status(u64::MAX, round % 2 == 0, u64::MAX) };
        let effects = bench.status(0, report);
        asked += asked_in(&effects).len();
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Send(..) | Effect::Broadcast(_))));
    }
    assert_eq!(asked, 1, "one at a time");
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(0), true));
}

/// protocol §9.5: who reports in a hurry is answered at the ordinary pace: a small report can't be made a flood of
/// answers.
#[test]
fn reports_in_a_hurry_are_answered_at_the_ordinary_pace() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.pass(100);
    let answers = |bench: &mut Bench| sent_to(&bench.status(3, status(0, true, 0)), 3).len();
    assert_eq!(answers(&mut bench), 2, "the proposal and the own vote");
    assert_eq!((0..100).map(|_| answers(&mut bench)).sum::<usize>(), 0);
    assert_eq!(sent_to(&bench.status(2, status(0, true, 0)), 2).len(), 2, "others are answered all the same");
    bench.pass(50);
    assert_eq!(answers(&mut bench), 2);
}
