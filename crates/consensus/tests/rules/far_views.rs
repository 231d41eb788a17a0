//! Messages for views ahead (protocol §5.5).

use quorate_consensus::Effect;
use quorate_types::ids::{Sequence, View};
use quorate_types::vote::Phase;

use crate::support::{
    Bench, chain, child, committed, complaint, delivered_in, genesis, link_of, places, simple_new_view, view_change,
    votes_in,
};

/// protocol §5.5: votes of a view ahead are kept and count when the view is entered.
#[test]
fn votes_of_a_view_ahead_count_once_it_is_entered() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(1, &proposal);
    bench.votes(&[0, 1, 2], Phase::Prepare, 1, link_of(&proposal));
    assert_eq!(votes_in(&bench.log), []);
    let effects = bench.new_view(simple_new_view(1, None, None));
    let mut votes = places(&votes_in(&effects));
    votes.sort_unstable();
    assert_eq!(votes, [(Phase::Prepare, 1, 1), (Phase::Commit, 1, 1)]);
}

/// protocol §5.5: of each sender only the newest view is kept; what it sends of lower ones afterwards isn't.
#[test]
fn only_the_newest_view_of_each_sender_is_kept() {
    let mut bench = Bench::new(3);
    let link = link_of(&child(genesis(), 1));
    for view in 1..200 {
        bench.vote(0, Phase::Prepare, view, link);
        bench.vote(0, Phase::Commit, view, link);
    }
    assert_eq!(bench.core.held().votes, 2);
    bench.vote(0, Phase::Prepare, 50, link);
    assert_eq!(bench.core.held().votes, 2);
}

/// protocol §5.5: the newest pre-prepares of each sender only.
#[test]
fn only_the_newest_pre_prepares_of_each_sender_are_kept() {
    let mut bench = Bench::new(3);
    for round in 1..50 {
        for proposal in chain(genesis(), 8, round) {
            bench.pre_prepare(4 * round, &proposal);
        }
    }
    assert_eq!(bench.core.held().pre_prepares, 8);
}

/// protocol §5.5, §9.5: a sender that raves about far views takes nobody else's room: the others' votes of the
/// view are there.
#[test]
fn a_sender_that_runs_ahead_takes_nobody_elses_room() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    for view in 1..100 {
        bench.vote(2, Phase::Prepare, view * 1_000, link_of(&child(genesis(), view)));
    }
    bench.pre_prepare(0, &proposal);
    bench.vote(1, Phase::Prepare, 0, link_of(&proposal));
    assert_eq!(places(&bench.all_votes()), [(Phase::Prepare, 0, 1), (Phase::Commit, 0, 1)]);
}

/// protocol §5.5, §7.1: votes of views ahead are recorded when this validator gets there, not before: what a sender
/// can make others write to disk is bounded by the views that a quorum enters.
#[test]
fn votes_of_views_ahead_are_recorded_when_the_view_is_reached() {
    let mut bench = Bench::new(3);
    let link = link_of(&child(genesis(), 1));
    let saved = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::SaveVote(_))).count();
    for view in 1..=2 {
        assert_eq!(saved(&bench.vote(0, Phase::Prepare, view, link)), 0);
    }
    assert_eq!(saved(&bench.vote(1, Phase::Prepare, 9, link)), 0);
    assert_eq!(saved(&bench.new_view(simple_new_view(2, None, None))), 1, "that of view 2");
    bench.view_change(view_change(1, 9, None, None));
    assert_eq!(saved(&bench.view_change(view_change(2, 9, None, None))), 1, "that of view 9");
}

/// protocol §5.5, §3.4: a commit certificate of a view ahead delivers, and is claimed only once that view is left.
#[test]
fn a_commit_of_a_view_ahead_delivers_at_once() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    assert_eq!(delivered_in(&bench.certificate(committed(7, link_of(&proposal)))), [1]);
    assert_eq!(bench.core.view(), View(0));
}

/// protocol §5.5: the newest new view of each sender waits; an absurd one is a quorum's work or isn't valid, and
/// later ones of the same sender displace it.
#[test]
fn the_highest_new_view_is_entered_first() {
    let mut bench = Bench::new(3);
    bench.core.stop_signing();
    bench.new_view(simple_new_view(2, None, None));
    bench.new_view(simple_new_view(6, None, None));
    bench.new_view(simple_new_view(5, None, None));
    assert_eq!(bench.core.view(), View(6));
}

/// protocol §5.5, §1.4: numbers at their ends neither wrap nor panic.
#[test]
fn numbers_at_their_ends_do_no_harm() {
    let mut bench = Bench::new(3);
    let end = quorate_consensus::Link { sequence: Sequence(u64::MAX), ..genesis() };
    bench.votes(&[0, 1, 2], Phase::Prepare, u64::MAX, end);
    bench.votes(&[0, 1, 2], Phase::Commit, u64::MAX, genesis());
    bench.complaint(complaint(0, u64::MAX, u64::MAX));
    bench.view_change(view_change(1, u64::MAX, None, None));
    bench.pass_slowly(1_000);
    assert_eq!(bench.core.view(), View(u64::MAX), "two have reached it");
    bench.view_change(view_change(2, u64::MAX, None, None));
    bench.pass_slowly(5_000);
    bench.complaint(complaint(1, u64::MAX, u64::MAX));
    bench.pass_slowly(1_000);
    assert_eq!(bench.core.view(), View(u64::MAX));
}
