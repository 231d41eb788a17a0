//! Timers and complaints (protocol §4.1–§4.10).

use quorate_consensus::{Cause, CoreNotice, Effect, Input, LaneWaits};
use quorate_types::ids::{BlockTime, BundleNumber, Sequence, View};
use quorate_types::message::Segment;
use quorate_types::parameters::Parameters;
use quorate_types::vote::Phase;

use crate::support::{
    Bench, WALL_MS, chain, child, child_at, committed, complaint, complaints_in, genesis, index, link_of, parameters,
    payload, prepared, stages, status, votes_in,
};

fn causes(effects: &[Effect]) -> Vec<Cause> {
    stages(effects, |effect| match effect {
        Effect::Notice(CoreNotice::Complains(_, cause)) => Some(*cause),
        _ => None,
    })
}

/// What waits: `bytes` of lane 2, up to bundle `number`.
fn waiting(number: u64, bytes: u64) -> Input {
    Input::Demand(vec![LaneWaits { lane: index(2), number: BundleNumber(number), bytes, operations: 1 }])
}

fn nothing_waits() -> Input {
    Input::Demand(Vec::new())
}

/// The primary of the view is heard of, so that its silence is no reason to complain.
fn hear_primary(bench: &mut Bench) {
    let primary = bench.core.primary();
    if primary != bench.config.me {
        let report = status(bench.core.view().0, true, bench.core.tip().sequence.0);
        bench.status(primary.0, report);
    }
}

/// Time passes while the primary is heard of and lane 2 waits as stated.
fn wait(bench: &mut Bench, ms: u64, demand: &Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    for _ in 0..ms / 50 {
        hear_primary(bench);
        effects.extend(bench.step(demand.clone()));
        effects.extend(bench.pass(50));
    }
    effects
}

/// protocol §4.10, §1.4: without an input no time passes: the core reads no clock.
#[test]
fn the_core_knows_only_the_time_that_it_is_told() {
    let mut bench = Bench::new(1);
    bench.step(waiting(1, 10));
    for _ in 0..100 {
        assert_eq!(complaints_in(&bench.step(Input::Tick)), []);
    }
}

/// protocol §4.2, §4.6: a lane waits and nothing commits: after the timeout it complains, and keeps voting.
#[test]
fn a_waiting_lane_without_progress_leads_to_a_complaint_and_votes_go_on() {
    let mut bench = Bench::new(1);
    let effects = wait(&mut bench, 1_000, &waiting(1, 10));
    assert_eq!(causes(&effects), [Cause::Progress]);
    let complaint = complaints_in(&effects)[0];
    assert_eq!((complaint.view, complaint.time, complaint.validator), (View(0), BlockTime(0), index(1)));
    let proposal = child(genesis(), 1);
    assert_eq!(votes_in(&bench.pre_prepare(0, &proposal)).len(), 1);
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(0), true));
}

/// protocol §4.1: a lane waits only when the primary has been told of it at least one round trip ago: one that talks
/// to others than the primary makes nobody complain before the next reports could reach it.
#[test]
fn a_lane_that_the_primary_cannot_know_yet_does_not_wait() {
    let mut bench = Bench::new(1);
    // The timeout runs from when the lane waits: a report's interval and a round trip after it is held.
    let effects = wait(&mut bench, 600, &waiting(1, 10));
    assert_eq!(complaints_in(&effects), []);
    assert_eq!(complaints_in(&wait(&mut bench, 150, &waiting(1, 10))).len(), 1);
}

/// protocol §4.1: lanes are compared by number: once the chain names it, the lane doesn't wait.
#[test]
fn a_lane_that_is_named_does_not_wait_any_more() {
    let mut bench = Bench::new(1);
    wait(&mut bench, 300, &waiting(1, 10));
    assert_eq!(complaints_in(&wait(&mut bench, 2_000, &nothing_waits())), []);
}

/// protocol §4.2: it runs while an accepted proposal is uncommitted, whatever the lanes say.
#[test]
fn an_accepted_proposal_that_does_not_commit_leads_to_a_complaint() {
    let mut bench = Bench::new(1);
    bench.pre_prepare(0, &child(genesis(), 1));
    assert_eq!(causes(&wait(&mut bench, 600, &nothing_waits())), [Cause::Progress]);
}

/// protocol §4.2: it runs while the view's chosen anchor is uncommitted.
#[test]
fn an_anchor_that_does_not_commit_leads_to_a_complaint() {
    let mut bench = Bench::new(2);
    bench.enter(1, Some(prepared(0, link_of(&child(genesis(), 1)))), None);
    assert_eq!(causes(&wait(&mut bench, 600, &nothing_waits())), [Cause::Progress]);
}

/// protocol §4.2: it runs while an empty payload is due.
#[test]
fn an_empty_proposal_that_does_not_come_leads_to_a_complaint() {
    let mut bench = Bench::new(1);
    bench.deliver(0, &[child(genesis(), 1)]);
    bench.core.set_waiting_room(true);
    assert_eq!(causes(&wait(&mut bench, 1_000, &nothing_waits())), [], "empty_interval has not passed");
    assert_eq!(causes(&wait(&mut bench, 600, &nothing_waits())), [Cause::Progress]);
}

/// protocol §4.2: with nothing owed it doesn't run, for hours.
#[test]
fn an_idle_view_makes_nobody_complain() {
    let mut bench = Bench::new(1);
    assert_eq!(complaints_in(&wait(&mut bench, 3_600_000, &nothing_waits())), []);
}

/// protocol §4.2: it restarts on every commit.
#[test]
fn every_commit_restarts_the_progress_timer() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 5, 1);
    for proposal in &proposals {
        assert_eq!(complaints_in(&wait(&mut bench, 450, &waiting(9, 10))), []);
        bench.deliver(0, std::slice::from_ref(proposal));
    }
}

/// protocol §4.2: on every commit, also of another view: catching up is progress.
#[test]
fn commits_of_other_views_restart_the_progress_timer_too() {
    let mut bench = Bench::new(2);
    let proposals = chain(genesis(), 5, 1);
    for proposal in &proposals {
        bench.withheld.push(proposal.digest());
    }
    bench.certificate(committed(0, link_of(&proposals[4])));
    for proposal in proposals.iter().rev() {
        bench.step(Input::Proposal(proposal.clone()));
    }
    bench.enter(1, None, Some(committed(0, link_of(&proposals[4]))));
    for proposal in &proposals {
        assert_eq!(complaints_in(&wait(&mut bench, 400, &waiting(9, 10))), []);
        bench.step(Input::Payload(proposal.digest(), true));
    }
    assert_eq!(bench.core.tip().sequence, Sequence(5));
    assert_eq!(complaints_in(&wait(&mut bench, 450, &waiting(9, 10))), []);
}

/// protocol §4.2: it restarts when a new view is accepted.
#[test]
fn a_new_view_restarts_the_progress_timer() {
    let mut bench = Bench::new(2);
    wait(&mut bench, 600, &waiting(1, 10));
    bench.enter(1, None, None);
    assert_eq!(complaints_in(&wait(&mut bench, 950, &waiting(1, 10))), [], "a fruitless view doubled the timeout");
    assert_eq!(complaints_in(&wait(&mut bench, 150, &waiting(1, 10))).len(), 1);
}

/// protocol §4.2, §6.3: it stands still while ordering waits for execution alone, here.
#[test]
fn a_full_window_here_stops_the_progress_timer() {
    let mut bench = Bench::new(1);
    bench.deliver(0, &chain(genesis(), 8, 1));
    assert_eq!(complaints_in(&wait(&mut bench, 5_000, &waiting(9, 10))), []);
    bench.stable(4);
    for peer in [0, 2, 3] {
        let report = quorate_types::message::Status { stable: Sequence(4), ..status(0, true, 8) };
        bench.status(peer, report);
    }
    // From here on the primary could propose.
    let mut complaints = Vec::new();
    for _ in 0..20 {
        let report = quorate_types::message::Status { stable: Sequence(4), ..status(0, true, 8) };
        bench.status(0, report);
        bench.step(waiting(9, 10));
        complaints.extend(complaints_in(&bench.pass(50)));
    }
    assert_eq!(complaints.len(), 1);
}

/// protocol §4.2, §6.3: or at so many others that fewer than a quorum have the sequence in their window.
#[test]
fn full_windows_at_too_many_others_stop_the_progress_timer() {
    let mut bench = Bench::new(1);
    bench.deliver(0, &chain(genesis(), 8, 1));
    bench.stable(8);
    // Own window: up to 16. Of the others one has followed, two are still at genesis: nobody can vote on 9.
    let report = quorate_types::message::Status { stable: Sequence(8), ..status(0, true, 8) };
    let mut complaints = Vec::new();
    for _ in 0..40 {
        bench.status(0, report.clone());
        bench.step(waiting(9, 10));
        complaints.extend(complaints_in(&bench.pass(50)));
    }
    assert_eq!(complaints, []);
}

/// protocol §4.3: a lane passed over while two or more proposals of the view commit.
#[test]
fn a_lane_passed_over_while_others_commit_leads_to_a_complaint() {
    let mut bench = Bench::of(4, 1, Parameters { fairness_ms: 2_000, ..parameters() });
    let proposals = chain(genesis(), 8, 1);
    let mut fired = Vec::new();
    for proposal in &proposals {
        bench.deliver(0, std::slice::from_ref(proposal));
        fired.extend(causes(&wait(&mut bench, 300, &waiting(5, 10))));
    }
    assert_eq!(fired, [Cause::Fairness]);
}

/// protocol §4.3: the more waits, the longer the patience: one share of a proposal per `T_fair`.
#[test]
fn a_lane_with_much_to_order_is_given_more_time() {
    let mut bench = Bench::of(4, 1, Parameters { fairness_ms: 1_000, ..parameters() });
    let proposals = chain(genesis(), 8, 1);
    let three_shares = 3 * u64::from(bench.config.parameters.max_proposal_bytes) / 4;
    let mut fired = Vec::new();
    for proposal in &proposals {
        bench.deliver(0, std::slice::from_ref(proposal));
        fired.extend(causes(&wait(&mut bench, 300, &waiting(5, three_shares))));
    }
    assert_eq!(fired, [], "2.4 of 3 seconds");
}

/// protocol §4.4: no report from the primary within its bound.
#[test]
fn a_primary_that_reports_nothing_leads_to_a_complaint() {
    let mut bench = Bench::new(1);
    let mut effects = bench.pass_slowly(750);
    assert_eq!(causes(&effects), []);
    effects.extend(bench.pass_slowly(100));
    assert_eq!(causes(&effects), [Cause::Heartbeat]);
    hear_primary(&mut bench);
    bench.pass(1);
    assert_eq!(bench.core.status().complaint, None, "it is back");
}

/// protocol §4.4: nobody expects reports of itself.
#[test]
fn a_primary_does_not_miss_its_own_reports() {
    let mut bench = Bench::new(0);
    assert_eq!(complaints_in(&bench.pass_slowly(60_000)), []);
}

/// protocol §4.5: its block times stay behind the local clock by more than the drift; one of them is nothing.
#[test]
fn a_primary_whose_clock_is_slow_leads_to_a_complaint() {
    let mut bench = Bench::new(1);
    let mut parent = genesis();
    let mut fired = Vec::new();
    for number in 1..=8 {
        let late = child_at(parent, number, WALL_MS - 1_000 + number);
        bench.pre_prepare(0, &late);
        bench.certificate(committed(0, link_of(&late)));
        hear_primary(&mut bench);
        fired.extend(causes(&bench.pass(1)));
        parent = link_of(&late);
    }
    assert_eq!(fired, [Cause::SlowClock]);
}

/// protocol §4.5: what a payload takes to be fetched is not the primary's clock: a backlog is no reason to complain.
#[test]
fn proposals_that_wait_for_bundles_do_not_make_the_primarys_clock_slow() {
    let mut bench = Bench::new(1);
    let mut parent = genesis();
    for number in 1..=20 {
        let proposal = child_at(parent, number, bench.now.wall_ms);
        bench.withheld.push(proposal.digest());
        bench.pre_prepare(0, &proposal);
        wait(&mut bench, 450, &nothing_waits());
        wait(&mut bench, 450, &nothing_waits());
        bench.step(Input::Payload(proposal.digest(), true));
        bench.certificate(committed(0, link_of(&proposal)));
        bench.stable(number / 4 * 4);
        parent = link_of(&proposal);
    }
    assert!(!causes(&bench.log).contains(&Cause::SlowClock), "{:?}", causes(&bench.log));
}

/// protocol §4.6: alone, a validator doesn't complain about itself.
#[test]
fn a_validator_alone_never_complains() {
    let mut bench = Bench::of(1, 0, parameters());
    bench.withheld.push(genesis().digest);
    bench.propose(payload(1));
    bench.step(waiting(1, 10));
    assert_eq!(complaints_in(&bench.pass_slowly(100_000)), []);
}

/// protocol §4.6: no complaint before it may sign.
#[test]
fn nobody_complains_before_it_may_sign() {
    let mut bench = Bench::new(1);
    bench.restart();
    bench.step(waiting(1, 10));
    assert_eq!(complaints_in(&bench.pass_slowly(10_000)), []);
}

/// protocol §4.7: renewed with the report while its cause lasts, and not sent afterwards.
#[test]
fn a_complaint_is_renewed_while_its_cause_lasts_and_then_no_more() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    wait(&mut bench, 600, &nothing_waits());
    assert_eq!(bench.core.status().complaint, Some(complaint(1, 0, 0)));
    bench.certificate(committed(0, link_of(&proposal)));
    assert_eq!(bench.core.status().complaint, None);
    hear_primary(&mut bench);
    assert_eq!(complaints_in(&bench.pass(50)), []);
}

/// protocol §4.7, §10.4: a renewed complaint has a rising time; at one time there is one.
#[test]
fn a_renewed_complaint_has_a_rising_time() {
    let mut bench = Bench::of(4, 1, Parameters { fairness_ms: 1_000, ..parameters() });
    let proposals = chain(genesis(), 8, 1);
    for (number, proposal) in proposals.iter().enumerate() {
        let proposal = child_at(bench.core.tip(), number as u64 + 1, proposal.time.0 + number as u64);
        bench.deliver(0, &[proposal]);
        wait(&mut bench, 300, &waiting(50, 10));
    }
    let times: Vec<u64> = complaints_in(&bench.log).iter().map(|complaint| complaint.time.0).collect();
    assert!(times.len() > 1 && times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}

/// protocol §4.7: of each sender the newest counts; a report without a complaint takes it back.
#[test]
fn a_report_without_a_complaint_takes_it_back() {
    let mut bench = Bench::new(3);
    bench.complaint(complaint(1, 0, 0));
    bench.status(1, status(0, true, 0));
    bench.complaint(complaint(2, 0, 0));
    assert_eq!(bench.core.view(), View(0));
    bench.complaint(complaint(1, 0, 0));
    assert_eq!(bench.core.view(), View(1));
}

/// protocol §4.7: complaints count together when their times lie within `T_fair` of each other, and none is more than
/// that below the receiver's own.
#[test]
fn complaints_too_far_apart_do_not_count_together() {
    let mut bench = Bench::new(3);
    bench.complaint(complaint(1, 0, 10_000));
    bench.complaint(complaint(2, 0, 15_001));
    assert_eq!(bench.core.view(), View(0));
    bench.complaint(complaint(1, 0, 10_001));
    assert_eq!(bench.core.view(), View(1));
    let mut late = Bench::new(3);
    late.deliver(0, &[child(genesis(), 1)]);
    late.complaint(complaint(1, 0, WALL_MS - 5_001));
    late.complaint(complaint(2, 0, WALL_MS - 5_001));
    assert_eq!(late.core.view(), View(0), "stale");
}

/// protocol §4.8: a validator that complained alone while the view went on doubles its timers of that kind.
#[test]
fn a_lone_complainer_doubts_itself() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 2, 1);
    bench.pre_prepare(0, &proposals[0]);
    wait(&mut bench, 1_000, &nothing_waits());
    assert_eq!(complaints_in(&bench.log).len(), 1);
    assert_eq!(bench.core.self_doubt(), 1);
    bench.certificate(committed(0, link_of(&proposals[0])));
    assert_eq!(bench.core.self_doubt(), 2, "and it says so");
    bench.pre_prepare(0, &proposals[1]);
    assert_eq!(complaints_in(&wait(&mut bench, 950, &nothing_waits())), [], "it waits twice as long");
    assert_eq!(complaints_in(&wait(&mut bench, 150, &nothing_waits())).len(), 1);
}

/// protocol §4.8: with a quorum complaining nobody doubts itself.
#[test]
fn with_a_quorum_complaining_nobody_doubts_itself() {
    let mut bench = Bench::of(7, 1, parameters());
    let proposals = chain(genesis(), 2, 1);
    bench.pre_prepare(0, &proposals[0]);
    wait(&mut bench, 1_000, &nothing_waits());
    // They would make it leave together; scattered in time they only show that it is not alone.
    for (other, time) in [(2, 900_000), (3, 800_000), (4, 700_000), (5, 600_000)] {
        bench.complaint(complaint(other, 0, time));
    }
    assert_eq!(bench.core.view(), View(0));
    bench.certificate(quorate_certificate(&proposals[0]));
    bench.pre_prepare(0, &proposals[1]);
    assert_eq!(complaints_in(&wait(&mut bench, 600, &nothing_waits())).len(), 1, "as patient as before");
}

fn quorate_certificate(proposal: &quorate_types::proposal::Proposal) -> quorate_types::vote::Certificate {
    crate::support::certificate(Phase::Commit, 0, link_of(proposal), &[0, 1, 2, 3, 4])
}

/// protocol §4.8: a primary can't talk a validator out of its complaint by committing right after it: the others
/// get the time to complain, too.
#[test]
fn commits_right_after_a_complaint_do_not_make_a_validator_doubt_itself() {
    let mut bench = Bench::of(4, 1, Parameters { fairness_ms: 1_000, ..parameters() });
    bench.step(waiting(5, 10));
    let mut parent = genesis();
    let mut complaint_ms = None;
    for number in 1..=40 {
        let proposal = child(parent, number);
        parent = link_of(&proposal);
        bench.deliver(0, &[proposal]);
        bench.stable(number / 4 * 4);
        hear_primary(&mut bench);
        bench.step(waiting(5, 10));
        if causes(&bench.pass(50)).contains(&Cause::Fairness) {
            complaint_ms = Some(bench.now.monotonic_ms);
        }
        let since_ms = complaint_ms.map_or(0, |at| bench.now.monotonic_ms - at);
        if complaint_ms.is_some() && since_ms < 250 {
            assert!(bench.core.status().complaint.is_some(), "{since_ms} ms after it, and {number} commits");
        }
    }
    assert!(complaint_ms.is_some());
}

/// protocol §4.9: the timeout doubles with every view left without a commit, and falls by one doubling with a
/// commit, not back to the start.
#[test]
fn the_timeout_follows_what_the_views_brought() {
    let mut bench = Bench::new(3);
    bench.pre_prepare(0, &child(genesis(), 1));
    assert_eq!(bench.core.timeout_ms(), 500);
    for expected in [1_000, 2_000, 4_000] {
        bench.make_leave();
        assert_eq!(bench.core.timeout_ms(), expected);
    }
    bench.enter(4, None, None);
    assert_eq!(bench.core.timeout_ms(), 8_000);
    bench.deliver(4, &[child(genesis(), 7)]);
    bench.make_leave();
    assert_eq!(bench.core.timeout_ms(), 4_000, "by one, not back to the start");
}

/// protocol §4.9: a view that was left active and idle changes nothing.
#[test]
fn an_idle_view_that_is_left_does_not_lengthen_the_timeout() {
    let mut bench = Bench::new(3);
    bench.make_leave();
    assert_eq!(bench.core.timeout_ms(), 500);
}

/// protocol §4.9: `base` follows the round trips of votes between pairs, within its bounds.
#[test]
fn the_base_follows_measured_round_trips() {
    let mut bench = Bench::of(4, 1, Parameters { timeout_base_min_ms: 200, ..parameters() });
    let mut parent = genesis();
    for number in 1..=60 {
        let proposal = child(parent, number);
        let link = link_of(&proposal);
        bench.pre_prepare(0, &proposal);
        bench.now.monotonic_ms += 30;
        bench.votes(&[0, 2, 3], Phase::Prepare, 0, link);
        bench.votes(&[0, 2, 3], Phase::Commit, 0, link);
        bench.stable(number / 4 * 4);
        parent = link;
    }
    let timeout_ms = bench.core.timeout_ms();
    assert!((200..=400).contains(&timeout_ms), "ten round trips of 30 ms: {timeout_ms}");
}

/// protocol §4.2: what fires is told once, not with every tick.
#[test]
fn a_cause_is_told_once() {
    let mut bench = Bench::new(1);
    bench.pre_prepare(0, &child(genesis(), 1));
    let effects = wait(&mut bench, 3_000, &nothing_waits());
    assert_eq!((causes(&effects).len(), complaints_in(&effects).len()), (1, 1));
}

/// protocol §4.6, §5.1: its own complaint counts with the others'.
#[test]
fn the_own_complaint_counts() {
    let mut bench = Bench::new(2);
    bench.complaint(complaint(3, 0, 0));
    bench.pre_prepare(0, &child(genesis(), 1));
    wait(&mut bench, 600, &nothing_waits());
    assert_eq!((bench.core.view(), bench.core.is_active()), (View(1), false));
}

/// protocol §4.3: a lane that the chain names isn't passed over, also where this validator didn't vote and took a
/// stretch of the chain instead.
#[test]
fn a_lane_named_in_a_stretch_of_the_chain_sets_its_timer_anew() {
    let mut bench = Bench::of(4, 1, Parameters { fairness_ms: 2_000, timeout_base_ms: 5_000, ..parameters() });
    let proposals = chain(genesis(), 3, 1);
    let number = proposals[2].payload.tips[0].number;
    let offered = Input::Demand(vec![LaneWaits { lane: index(0), number, bytes: 10, operations: 1 }]);
    wait(&mut bench, 1_500, &offered);
    let certificate = committed(0, link_of(&proposals[2]));
    bench.step(Input::Segment(Box::new(Segment { proposals, certificate })));
    let next = LaneWaits { lane: index(0), number: BundleNumber(number.0 + 1), bytes: 10, operations: 1 };
    assert_eq!(causes(&wait(&mut bench, 1_000, &Input::Demand(vec![next]))), []);
}

/// protocol §4.6: one that doesn't sign complains about nobody, so no timer of a complaint ever wakes it.
#[test]
fn a_validator_that_signs_nothing_waits_for_no_timer() {
    let mut bench = Bench::new(1);
    wait(&mut bench, 200, &waiting(1, 10));
    assert!(bench.core.deadline_ms().is_some());
    bench.core.stop_signing();
    bench.pass_slowly(5_000);
    assert_eq!(bench.core.deadline_ms(), None);
}
