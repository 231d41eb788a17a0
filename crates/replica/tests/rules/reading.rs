//! Freshness rounds and statements (data-model §§5.3, 5.4).

use quorate_replica::Event;
use quorate_types::freshness::Nonce;
use quorate_types::ids::Sequence;
use quorate_types::message::{Message, Request};

use crate::support::{Cluster, index};

const NONCE: Nonce = [7; 32];

fn cluster_with_history() -> (Cluster, Sequence) {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.submit(0, 3);
    cluster.run(100);
    let certified = cluster.hosts[0].replica.report().certified;
    assert!(certified > Sequence(0));
    (cluster, certified)
}

fn is_question(message: &Message) -> bool {
    matches!(message, Message::Request(Request::Freshness(_)))
}

/// data-model §5.4: the one asked need not know what was acknowledged; a quorum does.
#[test]
fn a_round_finds_what_the_asking_validator_has_not_heard_of() {
    let (mut cluster, before) = cluster_with_history();
    // Validator 3 is cut off, and an operation executes without it; then only questions and answers of rounds
    // reach it.
    cluster.links = Box::new(|from, to, _| from != 3 && to != 3);
    cluster.submit(0, 1);
    cluster.run(100);
    let acknowledged = cluster.hosts[0].replica.report().certified;
    assert!(acknowledged > before && cluster.hosts[3].replica.report().committed < acknowledged);
    cluster.wire.clear();
    cluster.links = Box::new(|from, to, message| {
        (from != 3 && to != 3) || is_question(message) || matches!(message, Message::Freshness(_))
    });
    cluster.step(3, Event::Round(NONCE));
    cluster.run(10);
    let [(nonce, result)] = cluster.hosts[3].fresh[..] else { panic!("one result") };
    assert_eq!(nonce, NONCE);
    assert!(result >= acknowledged, "{result} is below {acknowledged}");
}

/// Nothing relies on a single delivery: a round whose questions were lost is asked again with the next status.
#[test]
fn lost_questions_and_answers_are_made_up_for() {
    let (mut cluster, certified) = cluster_with_history();
    cluster.links = Box::new(|_, _, message| !is_question(message));
    cluster.step(1, Event::Round(NONCE));
    cluster.run(20);
    assert_eq!(cluster.hosts[1].fresh, []);
    cluster.links = Box::new(|_, _, message| !matches!(message, Message::Freshness(_)));
    cluster.run(2_000);
    assert_eq!(cluster.hosts[1].fresh, [], "its own statement and silence are no quorum");
    cluster.links = Box::new(|_, _, _| true);
    cluster.run_until(2_000, |cluster| !cluster.hosts[1].fresh.is_empty());
    assert!(cluster.hosts[1].fresh[0].1 >= certified);
}

/// data-model §5.3: who doesn't sign states nothing, and its own word doesn't count in its rounds.
#[test]
fn a_validator_in_quarantine_states_nothing_and_still_reads_through_the_others() {
    let (mut cluster, certified) = cluster_with_history();
    let store = cluster.fresh_store(2);
    cluster.hosts[2] = cluster.boot(2, store, None);
    cluster.run(50);
    assert!(cluster.hosts[2].replica.standing().is_quarantined());
    cluster.step(2, Event::Statement(NONCE));
    assert_eq!(cluster.hosts[2].statements, []);
    cluster.sent.clear();
    cluster.step(2, Event::Round(NONCE));
    cluster.step(0, Event::Round([8; 32]));
    cluster.run(20);
    assert!(cluster.hosts[2].fresh[0].1 >= certified);
    assert!(cluster.hosts[0].fresh[0].1 >= certified);
    let answers = cluster.sent.iter().filter_map(|(from, message)| match message {
        Message::Freshness(answer) => Some((*from, answer.signed.statement.validator)),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert!(answers.iter().all(|(from, validator)| *from != 2 && *validator != index(2)), "{answers:?}");
}

/// data-model §5.3: the statement carries the certificate that it speaks of, and anyone can check both.
#[test]
fn a_statement_is_signed_and_carries_its_certificate() {
    let (mut cluster, certified) = cluster_with_history();
    cluster.step(1, Event::Statement(NONCE));
    let answer = cluster.hosts[1].statements.pop().expect("it signs");
    assert!(answer.signed.statement.committed >= certified);
    assert_eq!(answer.signed.statement.nonce, NONCE);
    assert!(cluster.context.verify(Message::Freshness(Box::new(answer.clone()))).is_ok());
    let mut inflated = answer.clone();
    inflated.signed =
        cluster.sign(quorate_types::freshness::Freshness { committed: Sequence(1_000_000), ..answer.signed.statement });
    assert!(cluster.context.verify(Message::Freshness(Box::new(inflated))).is_err());
}
