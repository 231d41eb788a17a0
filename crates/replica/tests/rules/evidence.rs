//! Evidence in a cluster (accountability §3): found, kept over restarts, spread to all, and then silence.

use quorate_crypto::{Digest, sha256};
use quorate_replica::records;
use quorate_types::evidence::Evidence;
use quorate_types::ids::{Epoch, Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::signed::{Signed, signing_bytes};
use quorate_types::vote::{Phase, Vote};

use crate::support::{Cluster, key};

/// A commit vote of validator 3 that its own replica never made.
fn vote(cluster: &Cluster, choice: &[u8]) -> Message {
    let statement = Vote {
        epoch: Epoch(0),
        view: View(0),
        sequence: Sequence(9),
        digest: sha256(&[choice]),
        phase: Phase::Commit,
        validator: ValidatorIndex(3),
    };
    let signature = key(1, 3).sign(&signing_bytes(&cluster.context.cluster, &statement));
    Message::Vote(VoteMessage { vote: Signed { statement, signature }, primary: None })
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
