//! State transfer: far behind the others' retention, and back (protocol §8.2, §8.3, §8.7).

use std::cell::RefCell;
use std::rc::Rc;

use quorate_crypto::sha256;
use quorate_replica::transfer::{Installation, TransferNotice};
use quorate_replica::{Ended, GuardFile, Quarantine, Standing, create_store, records};
use quorate_storage::{Durability, Family, MemoryStore, Store, WriteBatch};
use quorate_types::entity;
use quorate_types::evidence::Evidence;
use quorate_types::ids::{Sequence, ValidatorIndex};
use quorate_types::message::{Message, Request};
use quorate_types::operation::EntityId;
use quorate_types::snapshot::{HIGHEST, Span};

use crate::support::{Cluster, WALL_MS, execution_mark};

/// Enough for a transfer to be seen as needed, to be made, and for what came since.
const LONG_MS: u64 = 60_000;

/// Everything replicated that a store holds.
fn replicated(store: &MemoryStore) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
    [Family::State, Family::Tree].map(|family| store.scan(family, &[], &[], usize::MAX).unwrap()).into()
}

/// Orders some operations with validator `away` down, and lets the others forget what they can.
fn leave_behind(away: usize) -> Cluster {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    cluster.submit(0, 3);
    cluster.run(300);
    cluster.hosts[away].is_up = false;
    order(&mut cluster, 40);
    for at in (0..4).filter(|at| *at != away) {
        cluster.prune(at, 1);
        let pruned = records::pruned().read(&cluster.hosts[at].store).unwrap().unwrap();
        assert!(pruned > execution_mark(&cluster.hosts[away].store).sequence, "{pruned}");
    }
    cluster
}

/// Orders operations, one per sequence.
fn order(cluster: &mut Cluster, operations: usize) {
    for _ in 0..operations {
        cluster.submit(0, 1);
        cluster.run(30);
    }
}

fn is_level(cluster: &Cluster) -> bool {
    let executed = cluster.executed();
    executed.iter().all(|at| *at == executed[0])
        && cluster.hosts.iter().all(|host| host.replica.report().transfer.is_none())
}

fn begins(cluster: &Cluster, at: usize) -> Vec<u64> {
    let of = |notice: &TransferNotice| match notice {
        TransferNotice::Begins { checkpoint, .. } => Some(checkpoint.0),
        _ => None,
    };
    cluster.hosts[at].transfers.iter().filter_map(of).collect()
}

/// protocol §8.3, §8.7
#[test]
fn a_validator_behind_the_others_retention_comes_back_by_transfer_and_votes() {
    let mut cluster = leave_behind(3);
    let signed = records::own_prepare(cluster.context.epoch).read(&cluster.hosts[3].store).unwrap();
    cluster.hosts[3].is_up = true;
    cluster.run_until(LONG_MS, is_level);
    assert_eq!(begins(&cluster, 3).len(), 1);
    assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
    let kept = records::own_prepare(cluster.context.epoch).read(&cluster.hosts[3].store).unwrap();
    assert_eq!(kept, signed, "what was signed stays");
    cluster.run_until(LONG_MS, |cluster| cluster.hosts[3].replica.standing() == &Standing::Signing);
    // The others are one short without it.
    cluster.hosts[2].is_up = false;
    let before = execution_mark(&cluster.hosts[0].store).sequence.0;
    order(&mut cluster, 12);
    cluster.run_until(LONG_MS, |cluster| execution_mark(&cluster.hosts[0].store).sequence.0 >= before + 12);
    cluster.run(500);
    assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
    assert!(cluster.hosts[3].store.is_empty(Family::Incoming) || begins(&cluster, 3).len() == 1);
    cluster.restart(3);
    cluster.run_until(LONG_MS, |cluster| cluster.hosts[3].replica.standing() == &Standing::Signing);
    cluster.prune(3, 1);
    assert!(cluster.hosts[3].store.is_empty(Family::Incoming), "nothing is left of it");
    let (pruned, swept) = (records::pruned(), records::swept());
    let store = &cluster.hosts[3].store;
    assert!(pruned.read(store).unwrap().unwrap().0 > 40);
    assert_eq!(swept.read(store).unwrap(), None, "the deleting has come as far as the mark");
}

/// protocol §7.4, §8.7: it follows and signs nothing.
#[test]
fn a_validator_with_an_empty_disk_follows_by_transfer_in_quarantine() {
    let mut cluster = leave_behind(3);
    let store = MemoryStore::new();
    store.write(create_store(cluster.genesis.cluster, [99; 32]), Durability::Synced).unwrap();
    cluster.hosts[3] = cluster.boot(3, store, Some(GuardFile::default()));
    cluster.sent.clear();
    cluster.run_until(LONG_MS, is_level);
    assert_eq!(cluster.hosts[3].replica.standing(), &Standing::Quarantined(Quarantine::OtherIncarnation));
    assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
    assert_eq!(begins(&cluster, 3).len(), 1);
    order(&mut cluster, 5);
    cluster.run_until(LONG_MS, is_level);
    // It asks, reports, and wants to come back.
    let speaks = |(from, message): &(usize, Message)| {
        *from == 3 && !matches!(message, Message::Request(_) | Message::Status(_) | Message::Operation(_))
    };
    assert!(!cluster.sent.iter().any(speaks));
}

/// protocol §8.7: each chunk is durable with how far its part is.
#[test]
fn a_transfer_goes_on_after_a_restart_of_the_receiver() {
    let mut cluster = leave_behind(3);
    // The last part of the snapshot never comes, until the restart.
    cluster.tamper = Box::new(|_, _, answer| match &answer {
        Message::Chunk(chunk) if chunk.span.to == HIGHEST => Vec::new(),
        _ => vec![answer],
    });
    cluster.hosts[3].is_up = true;
    cluster.run_until(LONG_MS, |cluster| {
        cluster.hosts[3].replica.report().transfer.is_some_and(|transfer| transfer.done_millionths > 500_000)
    });
    cluster.restart(3);
    let transfer = cluster.hosts[3].replica.report().transfer.expect("it is remembered");
    assert!(transfer.done_millionths > 500_000 && transfer.bytes > 0);
    let missing = records::transfer().read(&cluster.hosts[3].store).unwrap().unwrap().missing;
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&asked);
    cluster.tamper = Box::new(move |_, _, answer| {
        if let Message::Chunk(chunk) = &answer {
            seen.borrow_mut().push(chunk.span);
        }
        vec![answer]
    });
    cluster.run_until(LONG_MS, is_level);
    assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
    let is_missing = |span: &Span| missing.iter().any(|part| part.contains(&span.from) && part.contains(&span.to));
    assert!(asked.borrow().iter().all(is_missing), "only what was missing: {asked:?}");
    assert_eq!(begins(&cluster, 3), [0; 0], "it was never begun anew");
}

/// protocol §8.7: providers that lost their snapshots hand over newer ones.
#[test]
fn a_transfer_begins_anew_when_nobody_holds_its_checkpoint_any_more() {
    let mut cluster = leave_behind(3);
    cluster.tamper = Box::new(|_, _, answer| match &answer {
        Message::Chunk(chunk) if chunk.span.to == HIGHEST => Vec::new(),
        _ => vec![answer],
    });
    cluster.hosts[3].is_up = true;
    cluster.run_until(LONG_MS, |cluster| cluster.hosts[3].replica.report().transfer.is_some());
    cluster.run(100);
    for at in 0..3 {
        cluster.restart(at);
    }
    cluster.tamper = Box::new(|_, _, answer| vec![answer]);
    cluster.run(2_000);
    order(&mut cluster, 20);
    for at in 0..3 {
        cluster.prune(at, 1);
    }
    cluster.run_until(LONG_MS, is_level);
    let begun = begins(&cluster, 3);
    assert!(begun.len() == 2 && begun[0] < begun[1], "{begun:?}");
    assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
    cluster.prune(3, 1);
    assert!(cluster.hosts[3].store.is_empty(Family::Incoming), "nothing is left of the first attempt");
}

/// protocol §8.7: a crash at any point while the new state takes the old one's place.
#[test]
fn a_crash_while_the_state_is_put_in_place_is_followed_by_the_same_work() {
    let mut cluster = leave_behind(3);
    cluster.hosts[3].is_up = true;
    cluster.tamper = Box::new(|_, _, answer| match &answer {
        Message::Chunk(chunk) if chunk.span.to == HIGHEST => Vec::new(),
        _ => vec![answer],
    });
    cluster.run_until(LONG_MS, |cluster| {
        cluster.hosts[3].replica.report().transfer.is_some_and(|transfer| transfer.done_millionths > 500_000)
    });
    let store = crate::support::copy(&cluster.hosts[3].store);
    cluster.tamper = Box::new(|_, _, answer| vec![answer]);
    cluster.run_until(LONG_MS, is_level);
    let guard = cluster.hosts[3].guard.clone();
    let expected = replicated(&cluster.hosts[3].store);
    // Finish the transfer on a copy each time, and stop it after so many batches.
    for batches in 0..8 {
        let copy = crate::support::copy(&store);
        let mut mark = records::transfer().read(&copy).unwrap().unwrap();
        let checkpoint = mark.checkpoint.sequence();
        let mut batch = WriteBatch::new();
        let provider = &mut cluster.hosts[0];
        let all = Request::Chunk { checkpoint, span: Span::ALL };
        let source = provider.snapshots.answer(&provider.store, &all, 1);
        let Some(Message::Chunk(chunk)) = source.unwrap().read(usize::MAX).unwrap() else {
            panic!("the checkpoint is still held")
        };
        for entry in &chunk.entries {
            records::incoming(checkpoint, &sha256(&[&entry.key])).put(&mut batch, entry);
        }
        mark.missing.clear();
        records::transfer().put(&mut batch, &mark);
        records::installing().put(&mut batch, &checkpoint);
        copy.write(batch, Durability::Synced).unwrap();
        let mut installation = Installation::of(&copy).unwrap().unwrap();
        for _ in 0..batches {
            if let Some((batch, durability)) = installation.next(&copy).unwrap() {
                copy.write(batch, durability).unwrap();
            }
        }
        copy.crash(batches % 2);
        let host = cluster.boot(3, copy, guard.clone());
        assert!(records::installing().read(&host.store).unwrap().is_none());
        assert_eq!(execution_mark(&host.store).sequence, checkpoint, "{batches} batches");
        cluster.hosts[3] = host;
        cluster.run_until(LONG_MS, is_level);
        assert_eq!(replicated(&cluster.hosts[3].store), expected, "{batches} batches");
    }
}

/// protocol §8.7: nothing unproven is written, and who sent it isn't asked again.
#[test]
fn a_lying_provider_is_dropped_and_reported() {
    for lie in 0..4 {
        let mut cluster = leave_behind(3);
        cluster.tamper = Box::new(move |from, _, mut answer| {
            if let Message::Chunk(chunk) = &mut answer
                && from == 1
            {
                match lie {
                    0 => drop(chunk.entries.pop()),
                    1 => chunk.entries.iter_mut().for_each(|entry| entry.value.push(1)),
                    2 => chunk.entries.reverse(),
                    _ => chunk.last.siblings.truncate(1),
                }
            }
            vec![answer]
        });
        cluster.hosts[3].is_up = true;
        cluster.run_until(LONG_MS, is_level);
        assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
        let lied = |notice: &&TransferNotice| matches!(notice, TransferNotice::Lied { .. });
        let lies: Vec<_> = cluster.hosts[3].transfers.iter().filter(lied).collect();
        assert_eq!(lies.len(), 1, "lie {lie}: {:?}", cluster.hosts[3].transfers);
        assert!(matches!(lies[0], TransferNotice::Lied { provider, .. } if provider.0 == 1));
    }
}

/// protocol §8.7: a part whose provider is silent goes on with another; one that trickles holds nothing up.
#[test]
fn silent_and_vanishing_providers_are_passed_over() {
    let mut cluster = leave_behind(3);
    cluster.tamper = Box::new(|from, _, answer| match &answer {
        Message::Chunk(_) if from == 2 => Vec::new(),
        _ => vec![answer],
    });
    cluster.hosts[3].is_up = true;
    cluster.run_until(LONG_MS, is_level);
    assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
    let is_silent = |notice: &TransferNotice| matches!(notice, TransferNotice::Silent { provider } if provider.0 == 2);
    assert!(cluster.hosts[3].transfers.iter().any(is_silent));
}

/// protocol §8.3: who keeps the whole chain is enough; and one peer's word that it is pruned is none.
#[test]
fn no_transfer_begins_where_the_chain_can_be_had() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    cluster.hosts[3].is_up = false;
    order(&mut cluster, 30);
    for at in 0..2 {
        cluster.prune(at, 1);
    }
    cluster.hosts[3].is_up = true;
    cluster.run_until(LONG_MS, is_level);
    assert_eq!(begins(&cluster, 3), [0; 0]);
    assert_eq!(records::pruned().read(&cluster.hosts[3].store).unwrap(), None);
}

#[test]
fn one_liar_alone_moves_nobody_to_a_transfer() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    order(&mut cluster, 20);
    let lie = {
        let host = &mut cluster.hosts[1];
        let answer = host.snapshots.answer(&host.store, &Request::Checkpoint, 1).unwrap();
        let Some(Message::Checkpoint(mut checkpoint)) = answer.read(usize::MAX).unwrap() else { panic!("it has one") };
        checkpoint.pruned.0 = u64::MAX;
        Message::Checkpoint(checkpoint)
    };
    for _ in 0..30 {
        cluster.deliver(1, 3, lie.clone());
        cluster.run(200);
    }
    assert_eq!(begins(&cluster, 3), [0; 0]);
}

/// protocol §8.2
#[test]
fn a_diverged_validator_names_what_differs_repairs_itself_and_votes_again() {
    let mut cluster = Cluster::new(4);
    cluster.run(50);
    cluster.submit(0, 3);
    cluster.run(300);
    let name = EntityId::new("hits", "ghost");
    let key = entity::state_key(&name);
    // A value that execution never wrote, in state and tree: what a flipped bit in memory leaves behind.
    let (front, ghost) = (entity::state_key(&EntityId::new("hits", "front-page")), key.clone());
    let store = cluster.hosts[3].store.clone();
    let mut batch = WriteBatch::new();
    let value = store.get(Family::State, &front).unwrap().unwrap();
    batch.put(Family::State, &ghost, &value);
    let changes = quorate_replica::machine::tree::changes(&batch).collect::<Vec<_>>();
    let tree = quorate_storage::TreeOf(&store);
    let updated = quorate_replica::machine::tree::update(&tree, &mut Default::default(), changes).unwrap();
    batch.append(updated.writes);
    store.write(batch, Durability::Synced).unwrap();
    cluster.submit(0, 1);
    cluster.run_until(LONG_MS, |cluster| cluster.hosts[3].replica.standing().is_quarantined());
    let first = records::divergence().read(&cluster.hosts[3].store).unwrap().unwrap().sequence;
    assert_eq!(cluster.hosts[3].replica.standing(), &Standing::Quarantined(Quarantine::Diverged { sequence: first }));
    order(&mut cluster, 20);
    cluster.run_until(LONG_MS, |cluster| is_level(cluster) && cluster.hosts[3].replica.standing().signs());
    assert_eq!(replicated(&cluster.hosts[3].store), replicated(&cluster.hosts[0].store));
    let divergence = records::divergence().read(&cluster.hosts[3].store).unwrap().unwrap();
    assert_eq!(divergence.sequence, first);
    let keys: Vec<_> = divergence.differences.iter().map(|difference| difference.key.clone()).collect();
    assert_eq!(keys, [key]);
    assert_eq!(divergence.differences[0].certified, None);
    assert_ne!(divergence.own.state_root, divergence.certified.state_root);
    assert_eq!(records::ended().read(&cluster.hosts[3].store).unwrap(), None);
    // Its wrong vote stays its only one; it is needed, and it votes.
    cluster.restart(3);
    cluster.hosts[2].is_up = false;
    let before = execution_mark(&cluster.hosts[0].store).sequence.0;
    order(&mut cluster, 6);
    cluster.run_until(LONG_MS, |cluster| execution_mark(&cluster.hosts[0].store).sequence.0 >= before + 6);
    // Its wrong results are known to all, and nothing else is held against anyone (accountability §1.9).
    for evidence in cluster.hosts.iter().flat_map(|host| &host.evidence) {
        assert!(matches!(**evidence, Evidence::Diverged(_)), "{evidence:?}");
        assert_eq!(evidence.validator(), Some(ValidatorIndex(3)));
    }
    assert!(cluster.now.wall_ms > WALL_MS);
}

/// protocol §8.2: what else is wrong with a store isn't forgotten with the repair.
#[test]
fn a_repaired_validator_that_may_not_sign_for_another_reason_stays_in_quarantine() {
    for (incarnation, ended, reason) in [
        (99, Ended::Diverged(Sequence(1)), Quarantine::OtherIncarnation),
        (4, Ended::OtherSelf, Quarantine::Earlier(Ended::OtherSelf)),
    ] {
        let mut cluster = leave_behind(3);
        let store = MemoryStore::new();
        let mut batch = create_store(cluster.genesis.cluster, [incarnation; 32]);
        records::ended().put(&mut batch, &ended);
        records::wrong_from().put(&mut batch, &Sequence(1));
        store.write(batch, Durability::Synced).unwrap();
        cluster.hosts[3] = cluster.boot(3, store, Some(GuardFile::default()));
        assert_eq!(cluster.hosts[3].replica.standing(), &Standing::Quarantined(reason));
        cluster.run_until(LONG_MS, is_level);
        let store = &cluster.hosts[3].store;
        assert_eq!(records::wrong_from().read(store).unwrap(), None);
        assert_eq!(records::ended().read(store).unwrap(), None);
        assert_eq!(cluster.hosts[3].replica.standing(), &Standing::Quarantined(reason));
        cluster.restart(3);
        // Whatever the reason was, it has the nonce of another store now.
        assert_eq!(cluster.hosts[3].replica.standing(), &Standing::Quarantined(Quarantine::OtherIncarnation));
    }
}
