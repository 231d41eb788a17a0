//! Staying in touch: the report, and what it is answered with (protocol §9.1–§9.5).

use quorate_consensus::{Effect, Input};
use quorate_types::ids::{Epoch, Sequence, View};
use quorate_types::message::{Message, SlotStatus, Status, VoteMessage, Voters};
use quorate_types::proposal::PrePrepare;
use quorate_types::vote::Phase;

use crate::support::{
    Bench, chain, child, committed, complaint, genesis, index, link_of, payload, places, prepared, sent_to,
    simple_new_view, status, view_change, vote, votes_in,
};

fn voters(voters: &[u16]) -> Voters {
    voters.iter().map(|voter| index(*voter)).collect()
}

/// protocol §9.1: what the report says of the core.
#[test]
fn the_report_says_where_the_validator_stands_and_what_it_counts() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 2, 1);
    bench.deliver(0, &proposals[..1]);
    bench.pre_prepare(0, &proposals[1]);
    bench.vote(2, Phase::Prepare, 0, link_of(&proposals[1]));
    bench.vote(3, Phase::Prepare, 0, link_of(&child(link_of(&proposals[0]), 9)));
    let Status { epoch, view, active, committed, stable, slots, complaint, .. } = bench.core.status();
    assert_eq!((epoch, view, active), (Epoch(0), View(0), true));
    assert_eq!((committed, stable, complaint), (Sequence(1), Sequence(0), None));
    let digest = proposals[1].digest();
    let prepare = SlotStatus { view, sequence: Sequence(2), phase: Phase::Prepare, digest, voters: voters(&[0, 1, 2]) };
    let commit = SlotStatus { phase: Phase::Commit, voters: voters(&[1]), ..prepare };
    assert_eq!(slots, [prepare, commit]);
}

/// protocol §9.2: a validator that has been still for a while answers with the votes that its peer lacks.
#[test]
fn a_peer_gets_the_votes_that_it_lacks() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.vote(2, Phase::Prepare, 0, link_of(&proposal));
    bench.pass(100);
    let digest = proposal.digest();
    let slot =
        |phase, who: &[u16]| SlotStatus { view: View(0), sequence: Sequence(1), phase, digest, voters: voters(who) };
    let report = Status { slots: vec![slot(Phase::Prepare, &[0, 3])], ..status(0, true, 0) };
    let sent = sent_to(&bench.status(3, report), 3);
    let of = |message: &Message| match message {
        Message::Vote(VoteMessage { vote, .. }) => (vote.statement.validator.0, vote.statement.phase),
        other => panic!("{other:?}"),
    };
    let sent: Vec<_> = sent.iter().map(of).collect();
    assert_eq!(sent, [(1, Phase::Prepare), (2, Phase::Prepare), (1, Phase::Commit)]);
}

/// protocol §9.2: a peer that lacks the primary's vote gets the proposal with it.
#[test]
fn a_peer_without_the_primarys_vote_gets_the_proposal() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.pass(100);
    let sent = sent_to(&bench.status(3, status(0, true, 0)), 3);
    let vote = vote(0, Phase::Prepare, 0, link_of(&proposal));
    assert!(sent.contains(&Message::PrePrepare(PrePrepare { proposal, vote })), "{sent:?}");
}

/// protocol §9.2: a pre-prepare that was lost is made up for. The primary's vote alone, which travels with the
/// backups' answers, doesn't stand for the proposal.
#[test]
fn a_lost_pre_prepare_comes_again_although_the_primarys_vote_is_known() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    let primary = vote(0, Phase::Prepare, 0, link_of(&proposal));
    bench.step(Input::Vote(vote(2, Phase::Prepare, 0, link_of(&proposal)), Some(primary)));
    let report = bench.core.status();
    assert_eq!(report.slots[0].voters, voters(&[2]), "the proposal isn't here");
    let mut peer = Bench::new(2);
    peer.pre_prepare(0, &proposal);
    peer.pass(100);
    let sent = sent_to(&peer.status(3, report), 3);
    assert!(sent.iter().any(|message| matches!(message, Message::PrePrepare(_))), "{sent:?}");
}

/// protocol §9.2: the same for a pre-prepare that came before the window reached it.
#[test]
fn a_pre_prepare_just_above_the_window_is_not_lost() {
    let mut bench = Bench::new(3);
    let proposals = chain(genesis(), 9, 1);
    bench.deliver(0, &proposals[..8]);
    // The primary's checkpoint became stable a little earlier than this validator's.
    assert_eq!(votes_in(&bench.pre_prepare(0, &proposals[8])), []);
    assert_eq!(places(&votes_in(&bench.stable(4))), [(Phase::Prepare, 0, 9)]);
}

/// protocol §9.2: what a peer has delivered it lacks no votes for: two idle validators have nothing to tell each other,
/// although the last delivered sequence is no checkpoint yet.
#[test]
fn a_peer_gets_no_votes_for_what_it_has_delivered() {
    let (mut bench, mut peer) = (Bench::new(1), Bench::new(2));
    let proposals = chain(genesis(), 3, 1);
    bench.deliver(0, &proposals);
    peer.deliver(0, &proposals);
    bench.pass(10_000);
    assert_eq!(sent_to(&bench.status(2, peer.core.status()), 2), []);
}

/// protocol §9.3: a peer that counts another digest gets the vote that contradicts, so that conflicting votes meet.
#[test]
fn conflicting_votes_meet() {
    let mut bench = Bench::new(1);
    let (mine, theirs) = (child(genesis(), 1), child(genesis(), 2));
    let double = vote(0, Phase::Prepare, 0, link_of(&mine));
    bench.pre_prepare(0, &mine);
    bench.pass(100);
    let counted = SlotStatus {
        view: View(0),
        sequence: Sequence(1),
        phase: Phase::Prepare,
        digest: theirs.digest(),
        voters: voters(&[0, 2, 3]),
    };
    let sent = sent_to(&bench.status(2, Status { slots: vec![counted], ..status(0, true, 0) }), 2);
    assert!(sent.contains(&Message::PrePrepare(PrePrepare { proposal: mine, vote: double })), "{sent:?}");
    let mut peer = Bench::new(2);
    peer.pre_prepare(0, &theirs);
    let effects = peer.step(Input::Vote(double, None));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Contradiction(_))));
}

/// protocol §9.2: a peer that stands still below the tip gets the certificate that commits more.
#[test]
fn a_peer_that_stands_still_gets_the_commit_certificate() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 2, 1);
    bench.deliver(0, &proposals);
    bench.status(3, status(0, true, 1));
    let sent = sent_to(&bench.status(3, status(0, true, 1)), 3);
    assert_eq!(sent, [Message::Certificate(committed(0, link_of(&proposals[1])))]);
    assert_eq!(sent_to(&bench.status(3, status(0, true, 2)), 3), [], "it has caught up");
}

/// protocol §9.2, §5.2: whoever accepted a new view sends it to a peer below, or changing to it; not to one in it.
#[test]
fn a_peer_below_or_changing_gets_the_new_view() {
    let mut bench = Bench::new(2);
    let accepted = simple_new_view(1, None, None);
    bench.new_view(accepted.clone());
    let expected = [Message::NewView(Box::new(accepted))];
    assert_eq!(sent_to(&bench.status(3, status(0, true, 0)), 3), expected);
    bench.pass(50);
    assert_eq!(sent_to(&bench.status(3, status(1, false, 0)), 3), expected);
    bench.pass(50);
    assert_eq!(sent_to(&bench.status(3, status(1, true, 0)), 3), []);
    assert_eq!(sent_to(&bench.status(3, status(2, false, 0)), 3), []);
}

/// protocol §9.2, §5.1: while changing, a peer gets the view changes that it lacks, this validator's own among them.
#[test]
fn a_peer_gets_the_view_changes_that_it_lacks() {
    let mut bench = Bench::new(2);
    bench.view_change(view_change(0, 1, None, None));
    bench.make_leave();
    let senders = |messages: Vec<Message>| -> Vec<u16> {
        let sender = |message: &Message| match message {
            Message::ViewChange(change) => change.signed.signer().0,
            other => panic!("{other:?}"),
        };
        messages.iter().map(sender).collect()
    };
    assert_eq!(senders(sent_to(&bench.status(3, status(0, true, 0)), 3)), [0, 2], "it hasn't left yet");
    bench.pass(50);
    let changing = Status { view_changes: voters(&[0, 3]), ..status(1, false, 0) };
    assert_eq!(senders(sent_to(&bench.status(3, changing), 3)), [2]);
}

/// protocol §9.1, §4.7: a lasting complaint travels with the report, and counts from there as from anywhere; only
/// its own sender's.
#[test]
fn a_complaint_inside_a_report_counts_if_it_is_the_senders() {
    let mut bench = Bench::new(3);
    let of = |validator, from| {
        let report = Status { complaint: Some(complaint(validator, 0, 0)), ..status(0, true, 0) };
        (from, report)
    };
    let (from, report) = of(1, 0);
    bench.status(from, report);
    let (from, report) = of(2, 2);
    bench.status(from, report);
    assert_eq!(bench.core.view(), View(0), "one of them came through another's report");
    let (from, report) = of(1, 1);
    bench.status(from, report);
    assert_eq!(bench.core.view(), View(1));
}

/// protocol §9.1, §7.3: on request, the highest messages of a peer's key that are held here.
#[test]
fn the_highest_messages_of_a_peers_key_are_told() {
    let mut bench = Bench::new(1);
    let proposals = chain(genesis(), 2, 1);
    for proposal in &proposals {
        bench.votes(&[2, 3], Phase::Prepare, 0, link_of(proposal));
    }
    bench.vote(2, Phase::Commit, 0, link_of(&proposals[0]));
    bench.complaint(complaint(2, 0, 5));
    bench.view_change(view_change(2, 1, None, None));
    let held = bench.core.held_of(index(2));
    assert_eq!(
        held.votes,
        [vote(2, Phase::Prepare, 0, link_of(&proposals[1])), vote(2, Phase::Commit, 0, link_of(&proposals[0]))]
    );
    assert_eq!(held.complaint, Some(complaint(2, 0, 5)));
    assert_eq!(held.view_change.unwrap().statement.new_view, View(1));
}

/// protocol §9.5: a report of another epoch, or under the own name, is nobody's.
#[test]
fn a_report_of_another_epoch_or_of_oneself_is_ignored() {
    let mut bench = Bench::new(3);
    let other = Status { epoch: Epoch(1), ..status(0, true, 9) };
    bench.status(0, other.clone());
    assert!(bench.status(0, other).is_empty());
    bench.status(3, status(0, true, 9));
    assert!(bench.status(3, status(0, true, 9)).is_empty());
}

/// protocol §9.2: what a primary that restarted had proposed goes out again, byte for byte.
#[test]
fn a_restarted_primary_resends_what_it_had_proposed() {
    let mut bench = Bench::new(0);
    let proposal = bench.propose(payload(1)).unwrap();
    bench.restart_and_sign();
    bench.pass(100);
    let sent = sent_to(&bench.status(3, status(0, true, 0)), 3);
    let vote = vote(0, Phase::Prepare, 0, link_of(&proposal));
    assert_eq!(sent, [Message::PrePrepare(PrePrepare { proposal, vote })]);
}

/// protocol §9.1: a prepared certificate that came as such is reported by its votes no more than votes are by it;
/// what a peer lacks of them is told by those who hold the votes.
#[test]
fn a_certificate_alone_invents_no_votes_in_the_report() {
    let mut bench = Bench::new(3);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    bench.certificate(prepared(0, link_of(&proposal)));
    let prepare = bench.core.status().slots[0];
    assert_eq!(prepare.voters, voters(&[0, 3]));
}

/// protocol §9.1: also when it stalls: a report is due half a timeout after something began to be owed, so that what
/// was lost comes again before anyone complains.
#[test]
fn a_report_is_due_when_ordering_stalls() {
    let mut bench = Bench::new(3);
    assert_eq!(bench.core.stall_ms(), None);
    bench.pre_prepare(0, &child(genesis(), 1));
    bench.pass(10);
    assert_eq!(bench.core.stall_ms(), Some(bench.now.monotonic_ms + 250));
    bench.make_leave();
    assert_eq!(bench.core.stall_ms(), None);
    bench.view_change(view_change(0, 1, None, None));
    bench.view_change(view_change(2, 1, None, None));
    bench.pass(10);
    assert!(bench.core.stall_ms().is_some(), "the new view is awaited");
}

/// protocol §9.2: a primary's vote that names another sequence than the proposal with that digest has is sent again
/// as the vote that it is: as a pre-prepare nobody would let it in, and whoever sent it would be blamed.
#[test]
fn a_vote_at_another_sequence_than_its_proposals_is_no_pre_prepare() {
    let mut bench = Bench::new(1);
    let proposal = child(genesis(), 1);
    bench.pre_prepare(0, &proposal);
    let mut elsewhere = vote(0, Phase::Prepare, 0, link_of(&proposal));
    elsewhere.statement.sequence = Sequence(2);
    bench.step(Input::Vote(elsewhere, None));
    bench.pass(100);
    let sent = sent_to(&bench.status(3, status(0, true, 0)), 3);
    let pre_prepares = sent.iter().filter(|message| matches!(message, Message::PrePrepare(_))).count();
    assert_eq!(pre_prepares, 1, "{sent:?}");
    assert!(sent.contains(&Message::Vote(VoteMessage { vote: elsewhere, primary: None })), "{sent:?}");
}
