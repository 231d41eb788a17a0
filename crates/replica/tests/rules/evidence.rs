//! Evidence in a cluster (accountability §3): found, kept over restarts, spread to all, and then silence.

use std::sync::Arc;

use quorate_accountability::MAX_KEPT_PER_KIND;
use quorate_crypto::{Digest, sha256};
use quorate_replica::machine::read;
use quorate_replica::records;
use quorate_storage::{Durability, StateOf, Store, WriteBatch};
use quorate_types::epoch::SetChange;
use quorate_types::evidence::{Evidence, in_order};
use quorate_types::ids::{Epoch, Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::operation::{Operation, SystemChange};
use quorate_types::signed::{Signed, signing_bytes};
use quorate_types::vote::{Phase, Vote};

use crate::support::{Cluster, key};

/// A commit vote that its validator's own replica never made.
fn commit(cluster: &Cluster, validator: u16, sequence: u64, choice: &[u8]) -> Signed<Vote> {
    let statement = Vote {
        epoch: Epoch(0),
        view: View(0),
        sequence: Sequence(sequence),
        digest: sha256(&[choice]),
        phase: Phase::Commit,
        validator: ValidatorIndex(validator),
    };
    let signature = key(1, usize::from(validator)).sign(&signing_bytes(&cluster.context.cluster, &statement));
    Signed { statement, signature }
}

/// One of validator 3.
fn vote(cluster: &Cluster, choice: &[u8]) -> Message {
    Message::Vote(VoteMessage { vote: commit(cluster, 3, 9, choice), primary: None })
}

fn kept(cluster: &Cluster, at: usize) -> Vec<Digest> {
    cluster.hosts[at].replica.evidence().map(|(id, _)| *id).collect()
}

/// accountability §3.1, §3.2, §1.5
#[test]
fn evidence_that_one_validator_finds_reaches_all_once_and_outlives_restarts() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    for choice in [b"a", b"b"] {
        let vote = vote(&cluster, choice);
        cluster.wire.push_back((3, 0, vote));
    }
    cluster.run_until(5_000, |cluster| (0..4).all(|at| kept(cluster, at).len() == 1));
    let id = kept(&cluster, 0)[0];
    for at in 0..4 {
        assert_eq!(kept(&cluster, at), [id]);
        let found = records::evidence(&id).read(&cluster.hosts[at].store).unwrap().unwrap();
        assert_eq!((found.id(), found.kind()), (id, "conflicting-votes"));
    }
    // The accused learns that its key is used elsewhere.
    assert!(cluster.hosts[3].replica.standing().is_quarantined());
    cluster.restart(0);
    assert_eq!(kept(&cluster, 0), [id]);
    cluster.run(5_000);
    let before = cluster.sent.len();
    cluster.run(20_000);
    let still = cluster.sent[before..].iter().filter(|(_, message)| matches!(message, Message::Evidence(_)));
    assert_eq!(still.count(), 0, "all keep it, and nobody offers it any more");
}

/// accountability §1.6, §3.1, protocol §7.1: votes first seen before a restart are compared after it.
#[test]
fn a_contradiction_over_a_restart_of_the_one_who_sees_it_is_found() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    let (first, second) = (vote(&cluster, b"a"), vote(&cluster, b"b"));
    cluster.wire.push_back((3, 0, first));
    cluster.run(50);
    cluster.restart(0);
    cluster.wire.push_back((3, 0, second));
    cluster.run_until(5_000, |cluster| kept(cluster, 1).len() == 1);
}

/// accountability §3.2: a peer that never says that it keeps anything is offered it ever more rarely.
#[test]
fn a_peer_that_doesnt_answer_is_offered_evidence_ever_more_rarely() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    cluster.links = Box::new(|_, to, message| to != 1 || !matches!(message, Message::Evidence(_)));
    for choice in [b"a", b"b"] {
        let vote = vote(&cluster, choice);
        cluster.wire.push_back((3, 0, vote));
    }
    cluster.run(60_000);
    let offered = |(from, message): &&(usize, Message)| *from == 0 && matches!(message, Message::Evidence(_));
    let offers = cluster.sent.iter().filter(offered).count();
    assert!((4..20).contains(&offers), "{offers} offers in 240 intervals");
    cluster.links = Box::new(|_, _, _| true);
    cluster.run_until(60_000, |cluster| kept(cluster, 1).len() == 1);
    assert!(matches!(*cluster.hosts[1].evidence[0], Evidence::ConflictingVotes(..)));
}

/// accountability §3.1, §3.2, §4.3: who floods with evidence against itself fills its own room, and hides nothing else.
#[test]
fn a_flood_of_evidence_is_bounded_and_keeps_nothing_from_spreading() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    for sequence in 1..60 {
        let (first, second) = in_order((commit(&cluster, 3, sequence, b"a"), commit(&cluster, 3, sequence, b"b")));
        let evidence = Evidence::ConflictingVotes(first, second);
        cluster.wire.push_back((3, 0, Message::Evidence(Box::new(evidence))));
    }
    cluster.run(2_000);
    assert_eq!(kept(&cluster, 0).len(), MAX_KEPT_PER_KIND);
    for choice in [b"a", b"b"] {
        let vote = Message::Vote(VoteMessage { vote: commit(&cluster, 2, 9, choice), primary: None });
        cluster.wire.push_back((2, 0, vote));
    }
    let accuses = |cluster: &Cluster, at: usize, accused: u16| {
        cluster.hosts[at].replica.evidence().any(|(_, one)| one.validator() == Some(ValidatorIndex(accused)))
    };
    cluster.run_until(20_000, |cluster| (0..4).all(|at| accuses(cluster, at, 2) && accuses(cluster, at, 3)));
}

fn convictions(cluster: &Cluster, at: usize) -> Vec<Digest> {
    let state = StateOf(&cluster.hosts[at].store);
    read::convictions(&state).expect("it can be read").iter().map(|conviction| conviction.evidence).collect()
}

/// How many words of accusation have left a validator in bundles.
fn accusations(cluster: &Cluster, by: impl Fn(usize) -> bool) -> usize {
    let in_bundle = |message: &Message| match message {
        Message::Bundle(bundle) => {
            let accuses =
                |operation: &&Arc<Operation>| matches!(operation.content().system, Some(SystemChange::Accuse(_)));
            bundle.operations.iter().filter(accuses).count()
        }
        _ => 0,
    };
    cluster.sent.iter().filter(|(from, _)| by(*from)).map(|(_, message)| in_bundle(message)).sum()
}

/// accountability §2.2, §3.2: whoever leads, evidence comes to stand in the state of all, mostly by one word; then nobody
/// says it again, restarted or not.
#[test]
fn evidence_comes_to_stand_in_the_state_and_is_said_no_more() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(50);
    for choice in [b"a", b"b"] {
        let vote = vote(&cluster, choice);
        cluster.wire.push_back((3, 0, vote));
    }
    cluster.run_until(20_000, |cluster| (0..3).all(|at| convictions(cluster, at).len() == 1));
    assert_eq!(convictions(&cluster, 0), kept(&cluster, 0));
    assert!((0..3).all(|at| cluster.hosts[at].replica.unjudged_evidence().is_none()));
    cluster.restart(0);
    assert_eq!(cluster.hosts[0].replica.unjudged_evidence(), None);
    let before = accusations(&cluster, |_| true);
    assert!((1..=3).contains(&before), "{before} words");
    cluster.run(30_000);
    assert_eq!(accusations(&cluster, |_| true), before, "once it is there, nobody says it again");
}

/// accountability §2.2: evidence that came too late for its epoch is said in the next one, against the key that it is
/// about.
#[test]
fn evidence_of_the_epoch_before_is_judged_in_this_one() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(50);
    let change = SetChange::Parameter { name: "document_levels".to_owned(), value: 7 };
    let proposal = cluster.administer(0, SystemChange::Propose(vec![change]));
    cluster.administer(0, SystemChange::Approve(proposal));
    cluster.run_until(200_000, |cluster| cluster.hosts.iter().all(|host| host.context.epoch == Epoch(1)));
    let (first, second) = in_order((commit(&cluster, 3, 9, b"a"), commit(&cluster, 3, 9, b"b")));
    let evidence = Evidence::ConflictingVotes(first, second);
    let mut batch = WriteBatch::new();
    records::evidence(&evidence.id()).put(&mut batch, &evidence);
    cluster.hosts[0].store.write(batch, Durability::Synced).unwrap();
    cluster.restart(0);
    assert_eq!(cluster.hosts[0].replica.unjudged_evidence(), Some(evidence.id()));
    cluster.run_until(20_000, |cluster| (0..4).all(|at| convictions(cluster, at) == [evidence.id()]));
}

/// accountability §2.3, protocol §8.6: a conviction takes an idle cluster into the next epoch, without anybody's approval.
/// There the convicted validator follows and leads no view; the others order on.
#[test]
fn a_convicted_validator_leads_no_view_of_the_next_epoch() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(50);
    let votes = [b"a", b"b"].map(|choice| commit(&cluster, 1, 9, choice));
    for vote in votes {
        cluster.wire.push_back((1, 0, Message::Vote(VoteMessage { vote, primary: None })));
    }
    cluster.run_until(200_000, |cluster| cluster.hosts.iter().all(|host| host.context.epoch == Epoch(1)));
    let barred = key(1, 1).public();
    for host in &cluster.hosts {
        assert_eq!(host.context.set.barred(), [barred]);
        assert_eq!(host.replica.report().primary, ValidatorIndex(2), "epoch 1, view 0: the second of three");
    }
    let executed = cluster.executed()[0];
    cluster.submit(0, 3);
    cluster.run(3_000);
    assert!(cluster.executed()[0] > executed);
    let of_next = cluster.sent.iter().filter_map(|(from, message)| match message {
        Message::PrePrepare(pre_prepare) if pre_prepare.proposal.epoch == Epoch(1) => Some((from, pre_prepare)),
        _ => None,
    });
    let proposers: Vec<u16> = of_next.map(|(_, pre_prepare)| pre_prepare.vote.statement.validator.0).collect();
    assert!(!proposers.is_empty() && proposers.iter().all(|by| *by == 2), "{proposers:?}");
    // A restart in that epoch reads who leads from the same place.
    cluster.restart(0);
    assert_eq!(cluster.hosts[0].context.set.barred(), [barred]);
}
