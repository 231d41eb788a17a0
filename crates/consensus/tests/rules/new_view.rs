//! The new view: made by its primary, accepted at most once (protocol §5.2).

use quorate_consensus::Effect;
use quorate_types::contradiction::Contradiction;
use quorate_types::ids::{Sequence, View};
use quorate_types::view_change::NewView;
use quorate_types::vote::Phase;

use crate::support::{
    Bench, chain, child, committed, genesis, link_of, places, prepared, simple_new_view, stages, view_change, votes_in,
};

fn new_views_in(effects: &[Effect]) -> Vec<NewView> {
    stages(effects, |effect| match effect {
        Effect::SignNewView(new_view) => Some((**new_view).clone()),
        _ => None,
    })
}

/// protocol §5.2: the primary of the view, with `q` valid view changes for it, its own among them.
#[test]
fn the_primary_makes_the_new_view_of_a_quorum_of_view_changes() {
    let mut bench = Bench::new(1);
    bench.make_leave();
    assert_eq!(new_views_in(&bench.view_change(view_change(0, 1, None, None))), [], "two of three");
    let made = new_views_in(&bench.view_change(view_change(2, 1, None, None)));
    assert_eq!(made.len(), 1);
    let senders: Vec<u16> = made[0].view_changes.iter().map(|change| change.signer().0).collect();
    assert_eq!((made[0].view, senders), (View(1), vec![0, 1, 2]));
    assert!(bench.core.is_active(), "it enters by its own");
    assert_eq!(new_views_in(&bench.view_change(view_change(3, 1, None, None))), [], "one per view");
}

/// protocol §5.2: another validator than the primary makes none, nor does the primary for a view that it isn't
/// changing to.
#[test]
fn nobody_else_makes_a_new_view() {
    let mut bench = Bench::new(2);
    bench.make_leave();
    bench.view_change(view_change(0, 1, None, None));
    bench.view_change(view_change(1, 1, None, None));
    assert_eq!(new_views_in(&bench.log), []);
    let mut bench = Bench::new(1);
    bench.enter(2, None, None);
    for other in [0, 2, 3] {
        bench.view_change(view_change(other, 1, None, None));
    }
    assert_eq!(new_views_in(&bench.log), []);
}

/// protocol §5.2, §2.7: view changes for higher views are no view changes for this one.
#[test]
fn view_changes_for_other_views_do_not_make_the_new_view() {
    let mut bench = Bench::new(1);
    bench.make_leave();
    bench.view_change(view_change(0, 1, None, None));
    bench.view_change(view_change(3, 5, None, None));
    assert_eq!(new_views_in(&bench.log), []);
}

/// protocol §5.2: `base` by sequence, `chosen` by view, then sequence; the higher of the two by sequence is the anchor.
#[test]
fn the_anchor_is_recomputed_from_the_claims() {
    let proposals = chain(genesis(), 4, 1);
    let link = |number: usize| link_of(&proposals[number - 1]);
    for (prepared, committed, expected) in [
        (Some(prepared(0, link(3))), Some(committed(0, link(2))), (3, true)),
        (Some(prepared(0, link(2))), Some(committed(0, link(2))), (2, false)),
        (Some(prepared(0, link(1))), Some(committed(0, link(4))), (4, false)),
        (None, None, (0, false)),
    ] {
        let mut bench = Bench::new(2);
        bench.deliver(0, &proposals);
        let mut fresh = Bench::new(2);
        for proposal in &proposals {
            fresh.pre_prepare(0, proposal);
        }
        let effects = fresh.new_view(simple_new_view(1, prepared.clone(), committed.clone()));
        let anchors = stages(&effects, |effect| match effect {
            Effect::Notice(quorate_consensus::CoreNotice::Enters { anchor, .. }) => Some(anchor.0),
            _ => None,
        });
        assert_eq!(anchors, [expected.0]);
        let votes = places(&votes_in(&effects));
        assert_eq!(votes.contains(&(Phase::Prepare, 1, expected.0)), expected.1, "{votes:?}");
    }
}

/// protocol §5.2: `chosen` by view before sequence: the longer chain of an earlier view has lost.
#[test]
fn the_prepared_certificate_of_the_later_view_is_chosen_though_it_is_lower() {
    let (longer, later) = (chain(genesis(), 3, 1), chain(genesis(), 2, 50));
    let mut bench = Bench::new(2);
    let changes = [
        view_change(0, 2, Some(prepared(0, link_of(&longer[2]))), None),
        view_change(1, 2, Some(prepared(1, link_of(&later[1]))), None),
    ];
    bench.enter(1, None, None);
    bench.make_leave();
    changes.into_iter().for_each(|change| {
        bench.view_change(change);
    });
    let made = new_views_in(&bench.log).pop().expect("it is the primary of view 2");
    assert_eq!(made.prepared.map(|certificate| certificate.claim.digest), Some(later[1].digest()));
    for proposal in later.iter().chain(&longer).rev() {
        bench.step(quorate_consensus::Input::Proposal(proposal.clone()));
    }
    let votes = places(&bench.all_votes());
    assert!(votes.contains(&(Phase::Prepare, 2, 2)) && !votes.contains(&(Phase::Prepare, 2, 3)), "{votes:?}");
}

/// protocol §5.2: the accepted one is durable before the first vote under it.
#[test]
fn the_new_view_is_saved_before_the_first_vote_under_it() {
    let mut bench = Bench::new(2);
    let anchor = child(genesis(), 1);
    bench.pre_prepare(0, &anchor);
    let effects = bench.new_view(simple_new_view(1, Some(prepared(0, link_of(&anchor))), None));
    let order = stages(&effects, |effect| match effect {
        Effect::SaveNewView(_) => Some("new view"),
        Effect::SaveView(_, true) => Some("view"),
        Effect::SignVote(..) => Some("vote"),
        _ => None,
    });
    assert_eq!(order, ["new view", "view", "vote"]);
}

/// protocol §5.2: at most one per view, ever. A second one is shown and has no other effect.
#[test]
fn a_second_new_view_for_the_view_has_no_effect() {
    let mut bench = Bench::new(2);
    let (chosen, other) = (child(genesis(), 1), child(genesis(), 2));
    bench.pre_prepare(0, &chosen);
    let first = simple_new_view(1, Some(prepared(0, link_of(&chosen))), None);
    bench.new_view(first.clone());
    let second = simple_new_view(1, None, None);
    let effects = bench.new_view(second.clone());
    let pairs = stages(&effects, |effect| match effect {
        Effect::Contradiction(pair) => Some(pair.clone()),
        _ => None,
    });
    assert_eq!(pairs, [Contradiction::NewViews(Box::new((first, second)))]);
    assert_eq!(votes_in(&bench.pre_prepare(1, &other)), [], "a child of the second one's anchor");
}

/// protocol §5.2: of two that come before either is entered, the first counts.
#[test]
fn of_two_new_views_that_wait_the_first_counts() {
    let mut bench = Bench::new(3);
    bench.enter(1, None, None);
    let (first, second) =
        (simple_new_view(2, None, None), simple_new_view(2, None, Some(committed(0, link_of(&child(genesis(), 1))))));
    bench.new_view(first);
    let effects = bench.new_view(second);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Contradiction(_))));
    assert_eq!(bench.core.view(), View(2));
}

/// protocol §5.2: for a view above its own it is accepted also by one who never left.
#[test]
fn a_new_view_above_the_own_view_is_accepted_by_one_who_never_left() {
    let mut bench = Bench::new(3);
    bench.new_view(simple_new_view(6, None, None));
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(6), true));
}

/// protocol §5.2: once active in a view, no new view for it or below.
#[test]
fn a_new_view_at_or_below_the_active_view_is_not_accepted() {
    let mut bench = Bench::new(3);
    bench.enter(6, None, None);
    let anchor = child(genesis(), 1);
    for view in [2, 5] {
        bench.new_view(simple_new_view(view, Some(prepared(0, link_of(&anchor))), None));
        assert_eq!((bench.core.view(), votes_in(&bench.log).len()), (View(6), 0));
    }
}

/// protocol §5.2: validity never depends on the receiver's window.
#[test]
fn a_new_view_whose_anchor_lies_far_ahead_is_accepted() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 30, 1);
    bench.enter(1, Some(prepared(0, link_of(&proposals[29]))), Some(committed(0, link_of(&proposals[24]))));
    assert_eq!(bench.core.tip().sequence, Sequence(0));
}

/// protocol §5.2, §5.4: a new view may come late, while changing to its view, and is accepted then.
#[test]
fn a_new_view_is_accepted_while_changing_to_it() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    bench.pass_slowly(300);
    bench.enter(1, None, None);
}

/// protocol §5.2, §5.1: changing to a higher view, a lower new view is refused.
#[test]
fn while_changing_to_a_higher_view_a_lower_new_view_is_refused() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    bench.make_leave();
    assert_eq!(bench.core.view(), View(2));
    bench.new_view(simple_new_view(1, None, None));
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(2), false));
}
