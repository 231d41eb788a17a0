//! From one epoch to the next, and the way back out of quarantine (protocol §7.4, §8.4, §8.5).

use quorate_replica::machine::read;
use quorate_replica::{Ended, Event, GuardFile, Quarantine, Standing, records};
use quorate_storage::{Durability, MemoryStore, StateOf, Store as _, WriteBatch};
use quorate_types::epoch::SetChange;
use quorate_types::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex, View};
use quorate_types::message::{Message, VoteMessage};
use quorate_types::operation::SystemChange;
use quorate_types::proposal::PrePrepare;

use crate::support::{Cluster, index, key};

fn epoch_of(cluster: &Cluster, at: usize) -> u64 {
    cluster.hosts[at].context.epoch.0
}

fn all_in(cluster: &Cluster, epoch: u64) -> bool {
    (0..cluster.hosts.len()).all(|at| !cluster.hosts[at].is_up || epoch_of(cluster, at) == epoch)
}

/// Proposed and approved by the one administrator, through validator 0.
fn carry(cluster: &mut Cluster, changes: &[SetChange]) {
    let proposal = cluster.administer(0, SystemChange::Propose(changes.to_vec()));
    cluster.administer(0, SystemChange::Approve(proposal));
}

fn parameter(name: &str, value: u32) -> SetChange {
    SetChange::Parameter { name: name.to_owned(), value }
}

/// Signed messages with the epoch and sequence of what they are about.
fn voted(message: &Message) -> Option<(Epoch, Sequence, ValidatorIndex)> {
    let vote = match message {
        Message::Vote(VoteMessage { vote, .. }) | Message::PrePrepare(PrePrepare { vote, .. }) => vote,
        _ => return None,
    };
    Some((vote.statement.epoch, vote.statement.sequence, vote.statement.validator))
}

/// protocol §8.4: an idle cluster reaches the end by empty proposals; nobody votes above it in the old epoch; then all
/// go on, views from 0 and lanes from 1, with what was approved.
#[test]
fn an_approved_change_takes_all_validators_into_the_next_epoch() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(20);
    cluster.submit(1, 3);
    cluster.run(50);
    carry(&mut cluster, &[parameter("document_levels", 7)]);
    cluster.run_until(200_000, |cluster| all_in(cluster, 1));
    let last = cluster.hosts[0].context.start.0;
    assert!(last.0 >= 256 && last.0.is_multiple_of(4), "{last}");
    for (epoch, sequence, validator) in cluster.sent.iter().filter_map(|(_, message)| voted(message)) {
        assert_eq!(epoch == Epoch(0), sequence <= last, "{validator} votes at {sequence} in epoch {epoch}");
    }
    let executed = cluster.executed()[0];
    cluster.submit(1, 3);
    cluster.submit(2, 3);
    cluster.run(2_000);
    cluster.assert_agreed(executed + 1);
    for host in &cluster.hosts {
        assert_eq!(host.context.parameters.document_levels, 7);
        assert_eq!(host.replica.report().view, View(0));
        let tip = records::own_bundle(Epoch(1)).read(&host.store).unwrap().map(|header| header.statement.number);
        assert!(tip.is_none_or(|number| number <= BundleNumber(3)));
        assert_eq!(read::pending_changes(&StateOf(&host.store)), Ok(None));
    }
}

/// protocol §8.4: one that was down comes back in the old epoch, gets what is left of it from those in the new one,
/// and follows them.
#[test]
fn a_validator_that_missed_the_change_follows() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(20);
    cluster.submit(1, 3);
    cluster.run(50);
    cluster.hosts[3].is_up = false;
    carry(&mut cluster, &[parameter("document_levels", 7)]);
    cluster.run_until(120_000, |cluster| all_in(cluster, 1));
    cluster.submit(1, 3);
    cluster.run(3_000);
    cluster.hosts[3].is_up = true;
    cluster.restart(3);
    assert_eq!(epoch_of(&cluster, 3), 0);
    cluster.run_until(120_000, |cluster| all_in(cluster, 1) && cluster.hosts[3].replica.standing().signs());
    let executed = cluster.executed()[0];
    cluster.submit(3, 3);
    cluster.run(3_000);
    cluster.assert_agreed(executed + 1);
}

/// protocol §7.4, §8.4: what a crash left at an epoch's end enters the next one at the start, and a restart in it stays
/// in it.
#[test]
fn the_epoch_is_kept_over_restarts() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(20);
    carry(&mut cluster, &[parameter("document_levels", 7)]);
    cluster.run_until(200_000, |cluster| all_in(cluster, 1));
    for at in 0..4 {
        cluster.restart(at);
    }
    assert!(all_in(&cluster, 1));
    cluster.submit(2, 2);
    cluster.run(3_000);
    cluster.assert_agreed(cluster.hosts[0].context.start.0.0 + 1);
}

/// protocol §7.4: an empty disk: the validator comes back by itself, and signs in the next epoch, never in this one.
#[test]
fn a_validator_that_lost_its_store_returns_by_itself_in_the_next_epoch() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(20);
    cluster.submit(1, 3);
    cluster.submit(3, 3);
    cluster.run(50);
    let lost = cluster.another_store([77; 32]);
    cluster.hosts[3] = cluster.boot(3, lost, Some(GuardFile::default()));
    assert_eq!(cluster.hosts[3].replica.standing(), &Standing::Quarantined(Quarantine::OtherIncarnation));
    let before = cluster.sent.len();
    cluster.run_until(120_000, |cluster| all_in(cluster, 1) && cluster.hosts[3].replica.standing().signs());
    let signed = cluster.sent[before..].iter().filter_map(|(_, message)| voted(message));
    assert!(signed.filter(|(epoch, _, by)| *by == index(3) && *epoch == Epoch(0)).count() == 0);
    let executed = cluster.executed()[0];
    cluster.submit(3, 3);
    cluster.run(3_000);
    cluster.assert_agreed(executed + 1);
    let votes = cluster.sent.iter().filter_map(|(_, message)| voted(message));
    assert!(votes.filter(|(epoch, _, by)| *by == index(3) && *epoch == Epoch(1)).count() > 0, "it votes again");
}

/// protocol §7.3, §7.4: an operator puts a store into quarantine by hand, where nothing else could show that it isn't the
/// one that signed last: it signs nothing in this epoch, over restarts neither, and is back in the next.
#[test]
fn a_store_that_was_put_into_quarantine_by_hand_signs_nothing_until_the_next_epoch() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(20);
    cluster.submit(3, 3);
    cluster.run(50);
    let (store, guard) = (cluster.hosts[3].store.clone(), cluster.hosts[3].guard.clone());
    quorate_replica::quarantine(&store, [77; 32]).unwrap();
    cluster.hosts[3] = cluster.boot(3, store.clone(), guard);
    assert_eq!(cluster.hosts[3].replica.standing(), &Standing::Quarantined(Quarantine::OtherIncarnation));
    let before = cluster.sent.len();
    cluster.run(500);
    cluster.restart(3);
    cluster.run_until(120_000, |cluster| all_in(cluster, 1) && cluster.hosts[3].replica.standing().signs());
    let signed = cluster.sent[before..].iter().filter_map(|(_, message)| voted(message));
    assert_eq!(signed.filter(|(epoch, _, by)| *by == index(3) && *epoch == Epoch(0)).count(), 0);
    let executed = cluster.executed()[0];
    cluster.submit(3, 3);
    cluster.run(3_000);
    cluster.assert_agreed(executed + 1);
}

/// protocol §7.4, §8.2: another nonce answers what the key signed elsewhere, and nothing else: an alarm stays.
#[test]
fn quarantine_by_hand_forgets_no_alarm_and_no_divergence() {
    for (ended, stays) in
        [(Ended::OtherSelf, false), (Ended::Alarm(Sequence(3)), true), (Ended::Diverged(Sequence(3)), true)]
    {
        let store = Cluster::new(4).another_store([7; 32]);
        let mut batch = WriteBatch::new();
        records::ended().put(&mut batch, &ended);
        store.write(batch, Durability::Synced).unwrap();
        quorate_replica::quarantine(&store, [77; 32]).unwrap();
        assert_eq!(records::ended().read(&store).unwrap(), stays.then_some(ended));
    }
    let nobodys = MemoryStore::new();
    assert!(quorate_replica::quarantine(&nobodys, [77; 32]).is_err(), "it was never anybody's");
}

/// protocol §7.2, §7.4: a store whose guard file is gone gets another nonce, for good: whatever shows later, it signs
/// nothing more in this epoch, and comes back in the next.
#[test]
fn a_store_without_its_guard_file_becomes_another_incarnation() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(20);
    cluster.submit(1, 3);
    cluster.run(50);
    let guard = cluster.hosts[2].guard.clone();
    let nonce = |cluster: &Cluster| records::incarnation().read(&cluster.hosts[2].store).unwrap().unwrap();
    let before = nonce(&cluster);
    cluster.hosts[2] = cluster.boot(2, cluster.hosts[2].store.clone(), None);
    assert_eq!(cluster.hosts[2].replica.standing(), &Standing::Quarantined(Quarantine::NoGuardFile));
    assert_ne!(nonce(&cluster), before);
    // The guard file is found again: too late.
    cluster.hosts[2] = cluster.boot(2, cluster.hosts[2].store.clone(), guard);
    assert_eq!(cluster.hosts[2].replica.standing(), &Standing::Quarantined(Quarantine::OtherIncarnation));
    cluster.run_until(120_000, |cluster| all_in(cluster, 1) && cluster.hosts[2].replica.standing().signs());
}

/// protocol §8.5: 4 → 5 → 4 validators under load. The fifth learns, says that it is ready, counts, is removed, and its
/// votes count for nothing from then on.
#[test]
fn a_fifth_validator_joins_and_leaves() {
    let mut cluster = Cluster::of_short_epochs(4);
    cluster.run(20);
    cluster.join(4);
    let newcomer = cluster.newcomer(4);
    carry(&mut cluster, &[SetChange::Add(Box::new(newcomer))]);
    cluster.run_until(200_000, |cluster| all_in(cluster, 1));
    assert_eq!(cluster.hosts[4].replica.standing(), &Standing::Quarantined(Quarantine::NotAValidator));
    cluster.run_until(400_000, |cluster| all_in(cluster, 2) && cluster.hosts[4].replica.standing().signs());
    assert_eq!(cluster.hosts[0].context.set.size(), 5);
    cluster.submit(4, 3);
    cluster.run(3_000);
    cluster.assert_agreed(1);
    carry(&mut cluster, &[SetChange::Remove { name: "v4".to_owned() }]);
    cluster.run_until(400_000, |cluster| all_in(cluster, 3));
    assert_eq!(cluster.hosts[0].context.set.size(), 4);
    let before = cluster.sent.len();
    cluster.submit(1, 3);
    cluster.run(3_000);
    cluster.assert_agreed(1);
    let votes = cluster.sent[before..].iter().filter_map(|(_, message)| voted(message));
    assert_eq!(votes.filter(|(_, _, by)| *by == index(4)).count(), 0);
    assert_eq!(key(1, 4).public(), cluster.newcomer(4).consensus_key);
}

/// protocol §8.4: what the last bundles of a validator that leaves hold, and its epoch didn't order, others order in the
/// next; of nobody else operations are taken that come alone.
#[test]
fn a_removed_validator_hands_its_operations_to_others() {
    let mut cluster = Cluster::of_short_epochs(5);
    cluster.run(20);
    cluster.submit(4, 3);
    cluster.run(50);
    carry(&mut cluster, &[SetChange::Remove { name: "v4".to_owned() }]);
    // Its last bundle reaches nobody: neither sent nor asked for.
    let is_bundle = |message: &Message| matches!(message, Message::Bundle(_));
    cluster.links = Box::new(move |from, _, message| from != 4 || !is_bundle(message));
    cluster.tamper = Box::new(move |from, _, answer| match answer {
        Message::Bundle(_) if from == 4 => vec![],
        answer => vec![answer],
    });
    let operation = cluster.next_operation();
    let id = operation.id();
    cluster.hand_over(4, vec![Event::Operation(operation)]);
    cluster.run_until(200_000, |cluster| all_in(cluster, 1));
    assert_eq!(cluster.hosts[0].context.set.size(), 4);
    let executed = |cluster: &Cluster| read::executed(&StateOf(&cluster.hosts[0].store), &id).unwrap().is_some();
    assert!(!executed(&cluster), "its epoch didn't order it");
    cluster.run_until(20_000, executed);
    // A validator that stays may not do the same: its clients' operations go into its own bundles.
    let alone = cluster.next_operation();
    let message = Message::Operation(std::sync::Arc::clone(&alone));
    cluster.deliver(1, 2, message);
    cluster.run(2_000);
    assert_eq!(read::executed(&StateOf(&cluster.hosts[0].store), &alone.id()).unwrap(), None);
}
