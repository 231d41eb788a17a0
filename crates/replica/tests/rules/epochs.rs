//! From one epoch to the next, and the way back out of quarantine (protocol §7.4, §8.4, §8.5).

use quorate_replica::machine::read;
use quorate_replica::{GuardFile, Quarantine, Standing, records};
use quorate_storage::StateOf;
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
