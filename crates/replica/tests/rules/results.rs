//! Execution votes and checkpoints over restarts (protocol §3.5, §8.1, §6.2), and catching up (protocol §8.3).

use quorate_replica::{Quarantine, Standing};
use quorate_storage::{Durability, Family, Store, WriteBatch};
use quorate_types::codec::Canonical;
use quorate_types::entity::{Content, Entity, state_key};
use quorate_types::ids::Sequence;
use quorate_types::message::Message;
use quorate_types::operation::EntityId;

use crate::support::Cluster;

/// protocol §8.1: at every `K`-th sequence the certificate moves the window, at every validator.
#[test]
fn checkpoints_move_the_window() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    for _ in 0..12 {
        cluster.submit(0, 1);
        cluster.run(20);
    }
    cluster.run(300);
    for host in &cluster.hosts {
        let report = host.replica.report();
        assert_eq!(report.stable.0, report.executed.0 / 4 * 4);
    }
}

/// protocol §8.1, §7.1: results that nobody voted on before a restart of all are voted on after it: no sequence
/// stays without a certificate for ever.
#[test]
fn results_of_executions_whose_votes_were_lost_are_certified_after_a_restart_of_all() {
    for validators in [1, 4] {
        let mut cluster = Cluster::new(validators);
        cluster.run(20);
        cluster.hosts.iter_mut().for_each(|host| host.is_deaf_to_results = true);
        cluster.submit(0, 1);
        cluster.run(50);
        let committed = cluster.hosts[0].replica.report().committed;
        assert!(committed > Sequence(0));
        cluster.wire.clear();
        (0..validators).for_each(|at| cluster.restart(at));
        cluster
            .run_until(2_000, |cluster| cluster.hosts.iter().all(|host| host.replica.report().certified >= committed));
    }
}

/// protocol §8.1, §7.1: what was delivered and not executed when all stopped is executed at the start, before
/// anyone may sign; its results are voted on all the same.
#[test]
fn what_is_executed_while_asking_is_certified() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.submit(0, 1);
    cluster.run(50);
    let before = cluster.hosts[0].replica.report().certified;
    // Votes on the next results are lost on all links, and then all stop.
    cluster.links = Box::new(|_, _, message| !matches!(message, Message::ExecutionVote(_)));
    cluster.submit(0, 1);
    cluster.run(50);
    cluster.wire.clear();
    (0..4).for_each(|at| cluster.restart(at));
    cluster.links = Box::new(|_, _, _| true);
    cluster.run_until(2_000, |cluster| cluster.hosts.iter().all(|host| host.replica.report().certified > before));
}

/// protocol §6.2, §7.1: a checkpoint whose certificate comes after a restart still moves the window, also when the
/// window is full and nothing else will ever execute.
#[test]
fn a_full_window_opens_again_after_a_restart_of_all() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.links =
        Box::new(|_, _, message| !matches!(message, Message::ExecutionVote(_) | Message::ExecutionCertificate(_)));
    for _ in 0..40 {
        cluster.submit(0, 1);
        cluster.run(20);
    }
    for host in &cluster.hosts {
        let report = host.replica.report();
        assert_eq!((report.executed, report.stable), (Sequence(16), Sequence(0)), "the window is full");
    }
    cluster.wire.clear();
    (0..4).for_each(|at| cluster.restart(at));
    cluster.links = Box::new(|_, _, _| true);
    cluster.run_until(5_000, |cluster| cluster.hosts.iter().all(|host| host.replica.report().executed > Sequence(16)));
}

/// protocol §9.1, §3.5: the votes on the very last result go out again, too, although nothing follows it.
#[test]
fn lost_votes_on_the_last_result_are_sent_again() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.links = Box::new(|_, _, message| !matches!(message, Message::ExecutionVote(_)));
    cluster.submit(0, 1);
    cluster.run(100);
    cluster.links = Box::new(|_, _, _| true);
    cluster.run_until(2_000, |cluster| {
        cluster.hosts.iter().all(|host| {
            let report = host.replica.report();
            report.executed > Sequence(0) && report.certified == report.executed
        })
    });
}

/// protocol §8.3: a validator that was away fetches the chain and its bundles, executes again, and its window and
/// certificates follow.
#[test]
fn a_validator_that_was_away_catches_up() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.hosts[3].is_up = false;
    for _ in 0..60 {
        cluster.submit(0, 1);
        cluster.run(20);
    }
    let reached = cluster.hosts[0].replica.report().committed;
    assert!(reached > Sequence(30), "{:?}", cluster.executed());
    cluster.hosts[3].is_up = true;
    cluster.run_until(10_000, |cluster| {
        let report = cluster.hosts[3].replica.report();
        report.certified >= reached && report.stable.0 >= reached.0 / 4 * 4
    });
    assert!(cluster.hosts[3].evidence.is_empty());
}

/// protocol §9.4, §6.4: questions that went unanswered for long are asked again; a partition longer than any
/// patience leaves no proposal waiting for its bundles for ever.
#[test]
fn bundles_are_asked_for_again_after_a_long_cut() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    // Validator 3 hears everything but bundles, for longer than any question is repeated.
    cluster.links = Box::new(|_, to, message| to != 3 || !matches!(message, Message::Bundle(_)));
    let no_answers = |cluster: &mut Cluster, ms: u64| {
        for _ in 0..ms {
            cluster.run(1);
            cluster.wire.retain(|(_, to, message)| *to != 3 || !matches!(message, Message::Bundle(_)));
        }
    };
    cluster.submit(0, 1);
    no_answers(&mut cluster, 10_000);
    let reached = cluster.hosts[0].replica.report().committed;
    assert!(reached > cluster.hosts[3].replica.report().committed);
    cluster.links = Box::new(|_, _, _| true);
    cluster.run_until(3_000, |cluster| cluster.hosts[3].replica.report().executed >= reached);
}

/// protocol §8.2: a bit of state that changed behind execution's back shows in the root at the next operation that
/// touches it; the validator stops voting, names the sequence, and the others go on.
#[test]
fn a_validator_whose_state_root_differs_from_the_certified_one_stops_voting_and_says_where() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.submit(0, 2);
    cluster.run(100);
    let key = state_key(&EntityId::new("hits", "front-page"));
    let store = cluster.hosts[3].store.clone();
    let mut entity = Entity::from_bytes(&store.get(Family::State, &key).unwrap().unwrap()).unwrap();
    entity.content = Content::Counter(1_000_000);
    let mut batch = WriteBatch::new();
    batch.put(Family::State, &key, entity.to_bytes());
    store.write(batch, Durability::Synced).unwrap();
    let before = cluster.hosts[3].replica.report().executed;
    cluster.submit(0, 1);
    cluster.run(100);
    let sequence = before.next();
    let diverged = Standing::Quarantined(Quarantine::Diverged { sequence });
    assert_eq!(*cluster.hosts[3].replica.standing(), diverged);
    cluster.sent.clear();
    cluster.submit(0, 1);
    cluster.run(200);
    let reports: Vec<_> = cluster.hosts[..3].iter().map(|host| host.replica.report()).collect();
    assert!(reports.iter().all(|report| report.certified > sequence), "{reports:#?}");
    let signs = |message: &Message| matches!(message, Message::Vote(_) | Message::ExecutionVote(_));
    assert!(!cluster.sent.iter().any(|(from, message)| *from == 3 && signs(message)));
}
