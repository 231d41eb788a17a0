//! Waiting for a new view (protocol §5.4).

use quorate_consensus::{Cause, CoreNotice, Effect};
use quorate_types::ids::View;
use quorate_types::message::{Message, Status};

use crate::support::{Bench, complaint, complaints_in, index, sent_to, stages, status, view_change};

/// protocol §5.4: a lone or cut-off validator stays where it is, for hours: no timer runs before a quorum wants the
/// view.
#[test]
fn alone_in_a_view_change_nobody_climbs() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    bench.view_change(view_change(0, 1, None, None));
    bench.pass_slowly(3_600_000);
    assert_eq!(bench.core.view(), View(1));
    assert_eq!(complaints_in(&bench.log), []);
}

/// protocol §5.4: with view changes of `q` distinct validators, its own included, the timer runs; when it runs out,
/// that is a complaint about the view that is awaited.
#[test]
fn with_a_quorum_wanting_the_view_its_absence_is_complained_about() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    bench.view_change(view_change(0, 1, None, None));
    bench.view_change(view_change(2, 4, None, None));
    let early = bench.pass_slowly(450);
    assert_eq!(complaints_in(&early), []);
    let effects = bench.pass_slowly(200);
    let causes = stages(&effects, |effect| match effect {
        Effect::Notice(CoreNotice::Complains(view, cause)) => Some((view.0, *cause)),
        _ => None,
    });
    assert_eq!(causes, [(1, Cause::NewViewMissing)]);
    assert_eq!(complaints_in(&effects)[0].view, View(1));
}

/// protocol §5.4, §5.1: such complaints of `blocking` validators lead to the next view.
#[test]
fn complaints_about_a_missing_new_view_lead_to_the_next_view() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    bench.view_change(view_change(0, 1, None, None));
    bench.view_change(view_change(2, 1, None, None));
    bench.pass_slowly(600);
    assert_eq!(bench.core.view(), View(1), "alone with its complaint it stays");
    bench.complaint(complaint(0, 1, 0));
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(2), false));
}

/// protocol §5.4: a sender's newest view change stands for all lower views, so a quorum of higher ones counts here.
#[test]
fn view_changes_for_higher_views_count_as_wanting_this_one() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    bench.view_change(view_change(0, 2, None, None));
    assert_eq!(bench.core.view(), View(1), "one of them may lie");
    bench.view_change(view_change(1, 1, None, None));
    bench.pass_slowly(600);
    assert!(complaints_in(&bench.log).iter().any(|complaint| complaint.view == View(1)));
}

/// protocol §5.4, §9.2: until then it re-sends: whoever reports without its view change gets it.
#[test]
fn while_waiting_the_view_change_is_sent_again_to_who_lacks_it() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    let lacks = Status { view_changes: [index(0)].into_iter().collect(), ..status(1, false, 0) };
    for _ in 0..3 {
        bench.pass(50);
        let sent = sent_to(&bench.status(0, lacks.clone()), 0);
        let own =
            |message: &&Message| matches!(message, Message::ViewChange(change) if change.signed.signer() == index(3));
        assert_eq!(sent.iter().filter(own).count(), 1);
    }
    bench.pass(50);
    let has = Status { view_changes: [index(0), index(3)].into_iter().collect(), ..status(1, false, 0) };
    assert_eq!(sent_to(&bench.status(0, has), 0), []);
}

/// protocol §5.4: the timer is that of the view: the next view starts with a new one.
#[test]
fn the_next_view_is_waited_for_anew() {
    let mut bench = Bench::new(3);
    for view in 1..=2 {
        bench.make_leave();
        assert_eq!(bench.core.view(), View(view));
        bench.view_change(view_change(0, view, None, None));
        bench.view_change(view_change(1, view, None, None));
        let about = |effects: &[Effect]| complaints_in(effects).iter().filter(|c| c.view == View(view)).count();
        let timeout_ms = bench.core.timeout_ms();
        assert_eq!(about(&bench.pass_slowly(timeout_ms - 50)), 0, "view {view}");
        assert_eq!(about(&bench.pass_slowly(150)), 1, "view {view}");
    }
}
