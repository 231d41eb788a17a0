//! When and what the primary proposes (protocol §3.1, §3.7).

use quorate_consensus::{Effect, Input};
use quorate_types::ids::{BlockTime, Sequence, View};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::Payload;
use quorate_types::rules::admit_new_view;
use quorate_types::view_change::NewView;
use quorate_types::vote::Phase;

use crate::support::{
    Bench, EPOCH, WALL_MS, chain, child, committed, genesis, index, link_of, parameters, payload, places, prepared,
    view_change, votes_in,
};

/// protocol §3.7: `primary(epoch, view) = roster[(epoch + view) mod |roster|]`, the same for all.
#[test]
fn the_primary_goes_round_by_view() {
    for me in 0..4 {
        let bench = Bench::new(me);
        let primaries: Vec<u16> = (0..6).map(|view| bench.config.primary(View(view)).0).collect();
        assert_eq!(primaries, [0, 1, 2, 3, 0, 1]);
    }
}

/// protocol §3.7, §8.6: of those left out of the roster no view is led; they vote as all others do.
#[test]
fn whoever_is_left_out_of_the_roster_votes_and_leads_nobody() {
    let mut bench = Bench::barring(0, &[0]);
    let primaries: Vec<u16> = (0..6).map(|view| bench.config.primary(View(view)).0).collect();
    assert_eq!(primaries, [1, 2, 3, 1, 2, 3]);
    assert_eq!(bench.core.slot(bench.now), None, "view 0 is another one's");
    let proposal = child(genesis(), 1);
    let effects = bench.pre_prepare(0, &proposal);
    assert_eq!(places(&votes_in(&effects)), [(Phase::Prepare, 0, 1)]);
    // It collects view changes for a view that would be its own by index, and makes no new view of them.
    let mut bench = Bench::barring(0, &[0]);
    let mut effects = Vec::new();
    for sender in 1..4 {
        effects.extend(bench.view_change(view_change(sender, 4, None, None)));
    }
    assert_eq!(bench.core.view(), View(4));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::SignNewView(_))));
    // A new view of a primary by index alone is refused, that of the roster's is accepted.
    let changes: Vec<_> = (1..4).map(|sender| view_change(sender, 4, None, None).signed).collect();
    let quorum = bench.config.quorum;
    let judged = |validator: u16| {
        let new_view = NewView {
            epoch: EPOCH,
            view: View(4),
            view_changes: changes.clone(),
            prepared: None,
            committed: None,
            validator: index(validator),
        };
        let start = (genesis().sequence, genesis().digest);
        admit_new_view(&new_view, (quorum, &bench.config.roster), start).is_ok()
    };
    assert_eq!([0, 1, 2, 3].map(judged), [false, false, true, false]);
}

/// protocol §3.1: with nothing in flight the primary proposes at once, and its vote is the signature.
#[test]
fn an_idle_primary_proposes_at_once_by_its_own_prepare_vote() {
    let mut bench = Bench::new(0);
    let slot = bench.core.slot(bench.now).unwrap();
    assert_eq!((slot.parent, slot.sequence, slot.only_full), (genesis().digest, Sequence(1), false));
    let effects = bench.step(Input::Propose(payload(1)));
    let Some(Effect::SignPrePrepare(proposal, vote)) =
        effects.iter().find(|effect| matches!(effect, Effect::SignPrePrepare(..)))
    else {
        panic!("no proposal: {effects:?}")
    };
    assert_eq!((vote.digest, vote.sequence, vote.phase), (proposal.digest(), Sequence(1), Phase::Prepare));
    let saved =
        effects.iter().any(|effect| matches!(effect, Effect::SaveProposal(digest, _) if *digest == vote.digest));
    assert!(saved, "the proposal is durable with the vote for it");
}

/// protocol §3.1: a backup proposes nothing, and neither does a primary that may not sign or is changing.
#[test]
fn only_the_primary_of_an_active_view_has_a_slot() {
    assert_eq!(Bench::new(1).core.slot(Bench::new(1).now), None);
    let mut bench = Bench::new(0);
    bench.restart();
    assert_eq!(bench.core.slot(bench.now), None, "it has not heard its peers yet");
    bench.step(Input::MaySign);
    assert!(bench.core.slot(bench.now).is_some());
    bench.make_leave();
    assert_eq!(bench.core.slot(bench.now), None, "it has left the view");
}

/// protocol §3.1: in flight, payload gathers until a proposal is full or an earlier one commits.
#[test]
fn while_proposals_are_in_flight_only_a_full_payload_goes_out() {
    let mut bench = Bench::new(0);
    let first = bench.propose(payload(1)).unwrap();
    let slot = bench.core.slot(bench.now).unwrap();
    assert!(slot.only_full && !slot.may_be_empty);
    assert_eq!(slot.parent, first.digest(), "it extends its own last proposal");
    bench.certificate(committed(0, link_of(&first)));
    assert!(!bench.core.slot(bench.now).unwrap().only_full, "the earlier one has committed");
}

/// protocol §3.1, §6.1: nothing is proposed above the window.
#[test]
fn the_primary_stops_at_the_end_of_the_window() {
    let mut bench = Bench::new(0);
    for number in 1..=8 {
        assert!(bench.propose(payload(number)).is_some(), "sequence {number}");
    }
    assert_eq!(bench.core.slot(bench.now), None);
    assert_eq!(bench.propose(payload(9)), None);
}

/// protocol §3.1, §5.3: new proposals extend a chosen anchor as soon as the primary itself has voted for it, and
/// not before.
#[test]
fn the_new_primary_extends_the_anchor_once_it_has_voted_for_it() {
    let anchor = child(genesis(), 1);
    let mut bench = Bench::new(1);
    bench.withheld.push(anchor.digest());
    bench.pre_prepare(0, &anchor);
    bench.enter(1, Some(prepared(0, link_of(&anchor))), None);
    assert_eq!(bench.core.slot(bench.now), None, "the anchor's bundles are missing, so it hasn't voted for it");
    let effects = bench.step(Input::Payload(anchor.digest(), true));
    assert_eq!(places(&votes_in(&effects)), [(Phase::Prepare, 1, 1)]);
    let slot = bench.core.slot(bench.now).unwrap();
    assert_eq!((slot.parent, slot.sequence), (anchor.digest(), Sequence(2)));
}

/// protocol §3.1, §3.2 (b): what a later view has committed off its own votes' chain is nothing that a primary
/// may extend in its old view.
#[test]
fn a_primary_left_behind_does_not_extend_a_chain_that_leaves_its_own_votes() {
    let mut bench = Bench::new(0);
    let own = bench.propose(payload(1)).unwrap();
    let other = chain(genesis(), 2, 50);
    for proposal in &other {
        let effects = bench.certificate(committed(1, link_of(proposal)));
        bench.answer_asked(&effects, proposal);
    }
    assert_eq!(bench.core.tip().sequence, Sequence(2));
    assert_ne!(other[0].digest(), own.digest());
    assert_eq!(bench.core.slot(bench.now), None);
    assert_eq!(bench.propose(payload(3)), None);
}

/// protocol §3.1: an empty proposal when an operation is in the waiting room, at its distance from the last one.
#[test]
fn an_occupied_waiting_room_makes_an_empty_proposal_due() {
    let mut bench = Bench::new(0);
    let first = bench.propose(payload(1)).unwrap();
    bench.certificate(committed(0, link_of(&first)));
    bench.core.set_waiting_room(true);
    assert!(!bench.core.slot(bench.now).unwrap().may_be_empty, "empty_interval has not passed");
    bench.pass(1_000);
    assert!(bench.core.slot(bench.now).unwrap().may_be_empty);
    let empty = bench.propose(Payload::default()).unwrap();
    assert!(empty.time >= BlockTime(first.time.0 + 1_000));
}

/// protocol §3.1: an idle cluster reaches its next checkpoint: an empty proposal is due while the last one is old
/// and sequences lie above it, and not when none do.
#[test]
fn an_old_checkpoint_with_sequences_above_it_makes_an_empty_proposal_due() {
    let parameters = Parameters { checkpoint_max_age_ms: 5_000, ..parameters() };
    let mut bench = Bench::of(4, 0, parameters);
    for number in 1..=5 {
        let proposal = bench.propose(payload(number)).unwrap();
        bench.certificate(committed(0, link_of(&proposal)));
    }
    bench.stable(4);
    bench.pass(4_000);
    assert!(!bench.core.slot(bench.now).unwrap().may_be_empty, "the checkpoint is young");
    bench.pass(2_000);
    assert!(bench.core.slot(bench.now).unwrap().may_be_empty);
    for number in 6..=8 {
        let proposal = bench.propose(payload(number)).unwrap();
        bench.certificate(committed(0, link_of(&proposal)));
    }
    bench.stable(8);
    bench.pass(60_000);
    assert!(!bench.core.slot(bench.now).unwrap().may_be_empty, "nothing lies above the checkpoint");
}

/// protocol §3.1, §3.2 (d): its block time is the clock's, and never below the parent's.
#[test]
fn block_time_is_the_clock_and_never_decreases() {
    let mut bench = Bench::new(0);
    let first = bench.propose(payload(1)).unwrap();
    assert_eq!(first.time, BlockTime(WALL_MS));
    bench.now.wall_ms -= 500;
    assert_eq!(bench.propose(payload(2)).unwrap().time, BlockTime(WALL_MS));
}
