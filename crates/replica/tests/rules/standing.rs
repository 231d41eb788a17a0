//! Whether a validator signs: its store, its guard file, its peers and its key (protocol §7.2–§7.6).

use quorate_crypto::sha256;
use quorate_replica::{Event, GuardFile, Standing};
use quorate_replica::{RecoverError, Setup, records, recover};
use quorate_storage::{Family, MemoryStore};
use quorate_types::execution::{Execution, ExecutionVote};
use quorate_types::ids::{BlockTime, Epoch, Sequence, View};
use quorate_types::message::{Message, Status, VoteMessage};
use quorate_types::view_change::Complaint;
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use crate::support::{Cluster, copy, index, key};

fn why(cluster: &Cluster, at: usize) -> String {
    cluster.hosts[at].replica.standing().to_string()
}

fn is_quarantined(cluster: &Cluster, at: usize) -> bool {
    cluster.hosts[at].replica.standing().is_quarantined()
}

/// A cluster that has ordered a little.
fn busy(validators: usize) -> Cluster {
    let mut cluster = Cluster::new(validators);
    cluster.run(20);
    cluster.submit(1, 3);
    cluster.submit(2, 3);
    cluster.run(50);
    cluster
}

fn own_votes(store: &MemoryStore, me: usize) -> Vec<Vote> {
    let votes = records::votes_above(store, Epoch(0), Sequence(0)).unwrap();
    votes.into_iter().filter(|vote| vote.signer() == index(me)).map(|vote| vote.statement).collect()
}

/// Runs until validator `at` dies between its guard file and its store, with `has` in the guarded batch.
fn die_with(has: impl Fn(&GuardFile) -> bool, at: usize) -> Cluster {
    let mut cluster = busy(4);
    for round in 0..400 {
        let before = copy(&cluster.hosts[at].store);
        let number = records::batch_number().read(&before).unwrap().unwrap_or(0);
        match round % 20 {
            0 => cluster.submit(at, 1),
            10 => cluster.submit((at + 1) % 4, 1),
            _ => cluster.run(1),
        }
        let written = cluster.hosts[at].guard.clone().filter(|file| file.batch == number + 1 && has(file));
        if let Some(file) = written {
            // Exactly one guarded batch was written, and the store loses it.
            cluster.hosts[at] = cluster.boot(at, before, Some(file));
            return cluster;
        }
    }
    panic!("no such batch");
}

/// Whether a message's own statement is signed by this validator.
fn is_signed_by(validator: usize, message: &Message) -> bool {
    let signer = match message {
        Message::PrePrepare(pre_prepare) => pre_prepare.vote.signer(),
        Message::Vote(vote) => vote.vote.signer(),
        Message::Complaint(complaint) => complaint.signer(),
        Message::ViewChange(change) => change.signed.signer(),
        Message::NewView(new_view) => new_view.signer(),
        Message::ExecutionVote(vote) => vote.signer(),
        Message::Bundle(bundle) => bundle.header.signer(),
        _ => return false,
    };
    signer == index(validator)
}

fn holds(file: &GuardFile, family: Family) -> bool {
    file.records.iter().any(|(found, ..)| *found == family)
}

/// protocol §7.2: a guard file that is one batch ahead is replayed: the votes in it are known again.
#[test]
fn a_guard_file_one_batch_ahead_is_replayed() {
    let cluster = die_with(|file| holds(file, Family::Votes), 3);
    let host = &cluster.hosts[3];
    assert!(!host.replica.standing().is_quarantined(), "{}", why(&cluster, 3));
    let guard = host.guard.as_ref().unwrap();
    assert_eq!(records::batch_number().read(&host.store).unwrap(), Some(guard.batch));
    let votes = own_votes(&host.store, 3);
    let highest = records::own_prepare(Epoch(0)).read(&host.store).unwrap().unwrap().statement;
    assert!(votes.contains(&highest));
}

/// protocol §7.2, §7.1: a vote that comes back brings what it binds its signer to: the proposal of a prepare vote,
/// and the prepared certificate of a commit vote, which the next view change must claim.
#[test]
fn a_replayed_vote_brings_its_proposal_and_its_certificate_with_it() {
    let is_commit = |vote: &Vote| vote.phase == Phase::Commit;
    let commits = |file: &GuardFile| {
        let store = MemoryStore::new();
        let mut batch = quorate_storage::WriteBatch::new();
        for (family, key, value) in &file.records {
            batch.put(*family, key.clone(), value.clone());
        }
        quorate_storage::Store::write(&store, batch, quorate_storage::Durability::Synced).unwrap();
        own_votes(&store, 2).iter().any(is_commit)
    };
    let cluster = die_with(commits, 2);
    let store = &cluster.hosts[2].store;
    let votes = own_votes(store, 2);
    let prepared = records::prepared(Epoch(0)).read(store).unwrap().unwrap();
    let highest = votes.iter().filter(|vote| is_commit(vote)).map(|vote| (vote.view, vote.sequence)).max();
    assert!(Some((prepared.claim.view, prepared.claim.sequence)) >= highest, "it claims what it committed to");
    for vote in votes {
        assert!(records::proposal(&vote.digest).is_kept(store).unwrap(), "{vote:?} without its proposal");
    }
}

/// protocol §7.2: an own bundle whose batch the store lost comes back whole, or its lane could never go on.
#[test]
fn a_replayed_bundle_comes_back_whole() {
    let has_bundle = |file: &GuardFile| holds(file, Family::Bundles);
    let mut cluster = die_with(has_bundle, 2);
    assert!(!is_quarantined(&cluster, 2), "{}", why(&cluster, 2));
    let before = cluster.executed()[2];
    cluster.run(500);
    cluster.submit(2, 1);
    cluster.run(500);
    cluster.assert_agreed(before + 1);
    assert_eq!(*cluster.hosts[2].replica.standing(), Standing::Signing);
}

/// Validator 1 gets validator 3's bundle, and the primary's proposal that names it, in one turn, and dies between its
/// guard file and its store: the vote comes back, the bundle doesn't. Until `links` says otherwise nobody hands
/// bundles over. Gives the vote and the bundle.
fn die_with_anothers_bundle() -> (Cluster, Vote, Message) {
    let mut cluster = busy(4);
    cluster.run(200);
    cluster.links = Box::new(|_, _, message| !matches!(message, Message::Bundle(_)));
    cluster.tamper = Box::new(|_, _, answer| if matches!(answer, Message::Bundle(_)) { vec![] } else { vec![answer] });
    let from = cluster.sent.len();
    cluster.submit(3, 1);
    let is_bundle = |message: &Message| matches!(message, Message::Bundle(_));
    let bundle = cluster.sent[from..].iter().map(|(_, message)| message.clone()).find(is_bundle).unwrap();
    cluster.deliver(3, 0, bundle.clone());
    let proposed = |message: &Message| matches!(message, Message::PrePrepare(_)).then(|| message.clone());
    let pre_prepare = cluster.sent[from..].iter().find_map(|(_, message)| proposed(message)).unwrap();
    let before = copy(&cluster.hosts[1].store);
    let mut out = quorate_replica::Outbox::default();
    for (sender, message) in [(3, bundle.clone()), (0, pre_prepare)] {
        let message = cluster.context.verify(message).unwrap();
        let event = quorate_replica::Event::Message { from: index(sender), message };
        cluster.hosts[1].replica.step(cluster.now, event, &mut out);
    }
    cluster.hosts[1].replica.step(cluster.now, quorate_replica::Event::Turn, &mut out);
    let file = GuardFile { batch: out.batch.expect("it votes"), records: out.guard };
    cluster.hosts[1] = cluster.boot(1, before, Some(file));
    let vote = records::own_prepare(Epoch(0)).read(&cluster.hosts[1].store).unwrap().unwrap().statement;
    assert!(own_votes(&cluster.hosts[1].store, 1).contains(&vote), "the vote is back");
    (cluster, vote, bundle)
}

fn sends(cluster: &Cluster, vote: &Vote) -> bool {
    cluster.sent.iter().any(|(_, message)| matches!(message, Message::Vote(sent) if sent.vote.statement == *vote))
}

/// protocol §7.2: a vote that comes back without the bundles that it names would be an empty promise: it isn't sent.
/// Others can't make a certificate of it, and the cluster goes on in another view.
#[test]
fn a_replayed_vote_is_not_sent_without_the_bundles_that_it_names() {
    let (mut cluster, vote, _) = die_with_anothers_bundle();
    cluster.hosts[3].is_up = false;
    cluster.submit(1, 1);
    cluster.run(20_000);
    assert_eq!(*cluster.hosts[1].replica.standing(), Standing::Signing);
    assert!(!sends(&cluster, &vote));
    assert!(cluster.hosts[1].replica.report().view > vote.view, "its own vote makes it complain");
}

/// protocol §7.2: it binds, and is sent from when the bundles are here.
#[test]
fn a_replayed_vote_is_sent_when_the_bundles_that_it_names_have_come() {
    let (mut cluster, vote, bundle) = die_with_anothers_bundle();
    // Without the third of three votes nothing is ordered.
    cluster.hosts[2].is_up = false;
    cluster.run_until(100, |cluster| *cluster.hosts[1].replica.standing() == Standing::Signing);
    assert!(!sends(&cluster, &vote));
    cluster.deliver(3, 1, bundle);
    cluster.run_until(1_000, |cluster| cluster.executed()[1] >= vote.sequence.0);
    assert!(sends(&cluster, &vote));
    assert_eq!(cluster.hosts[1].replica.report().view, vote.view, "it costs no view");
}

/// protocol §7.2: more than one batch ahead means a lost or an old store.
#[test]
fn a_guard_file_further_ahead_means_quarantine() {
    let mut cluster = busy(4);
    let (old, guard) = (copy(&cluster.hosts[2].store), cluster.hosts[2].guard.clone().unwrap());
    let two_ahead = GuardFile { batch: guard.batch + 2, ..guard.clone() };
    cluster.hosts[2] = cluster.boot(2, old, Some(two_ahead));
    assert!(is_quarantined(&cluster, 2));
    assert!(why(&cluster, 2).contains("lacks batches that the guard file has seen"), "{}", why(&cluster, 2));
}

/// protocol §7.2, §7.4: while it follows, its view changes and is saved; that must not make the store look as new
/// as the guard file, or a later start would sign.
#[test]
fn a_store_that_lost_batches_stays_in_quarantine_over_restarts() {
    let mut cluster = busy(7);
    let (old, guard) = (copy(&cluster.hosts[2].store), cluster.hosts[2].guard.clone().unwrap());
    let ahead = GuardFile { batch: guard.batch + 2, ..guard };
    cluster.hosts[2] = cluster.boot(2, old, Some(ahead));
    assert!(why(&cluster, 2).contains("lacks batches"), "{}", why(&cluster, 2));
    let number = |cluster: &Cluster| records::batch_number().read(&cluster.hosts[2].store).unwrap();
    let before = number(&cluster);
    assert_eq!(before, Some(0), "it is another incarnation, of which nothing was signed");
    for round in 0..4 {
        // The primary says nothing, until the others have left its view.
        let view = cluster.hosts[2].replica.report().view;
        let primary = cluster.context.set.primary(Epoch(0), view).position();
        cluster.links = Box::new(move |from, _, _| from != primary);
        cluster.submit(5, 1);
        cluster.run_until(60_000, |cluster| cluster.hosts[2].replica.report().view > view);
        cluster.links = Box::new(|_, _, _| true);
        cluster.run(2_000);
        assert_eq!(cluster.hosts[2].guard, Some(GuardFile::default()), "round {round}: nothing is guarded");
        assert_eq!(number(&cluster), before, "round {round}");
        cluster.restart(2);
        assert!(is_quarantined(&cluster, 2), "round {round}: {}", why(&cluster, 2));
    }
}

/// protocol §7.2: a store ahead of its guard file by one batch is a crash; by more, an old guard file.
#[test]
fn an_old_guard_file_means_quarantine() {
    let mut cluster = busy(4);
    let guard = cluster.hosts[2].guard.clone().unwrap();
    let behind = |by: u64| Some(GuardFile { batch: guard.batch - by, records: Vec::new() });
    for (by, expected) in [(0, false), (1, false), (2, true)] {
        let store = copy(&cluster.hosts[2].store);
        cluster.hosts[2] = cluster.boot(2, store, behind(by));
        assert_eq!(is_quarantined(&cluster, 2), expected, "{by} behind: {}", why(&cluster, 2));
    }
}

/// protocol §7.4, §7.5: without a guard file nothing shows that the store isn't an old copy.
#[test]
fn a_missing_guard_file_means_quarantine() {
    let mut cluster = busy(4);
    let store = copy(&cluster.hosts[2].store);
    cluster.hosts[2] = cluster.boot(2, store, None);
    assert!(is_quarantined(&cluster, 2));
}

/// protocol §7.4, §7.5: `init` with a backed-up key makes another incarnation: quarantine, and it follows.
#[test]
fn another_incarnation_follows_without_signing() {
    let mut cluster = busy(4);
    let store = MemoryStore::new();
    let batch = quorate_replica::create_store(cluster.genesis.cluster, [77; 32]);
    quorate_storage::Store::write(&store, batch, quorate_storage::Durability::Synced).unwrap();
    cluster.hosts[3] = cluster.boot(3, store, Some(GuardFile::default()));
    let sent_before = cluster.sent.len();
    cluster.submit(1, 5);
    cluster.run(2_000);
    cluster.assert_agreed(2);
    assert!(is_quarantined(&cluster, 3));
    let signed = cluster.sent[sent_before..].iter().filter(|(from, message)| *from == 3 && is_signed_by(3, message));
    assert_eq!(signed.count(), 0, "it signs nothing");
}

/// protocol §7.5: an empty store is never a first start.
#[test]
fn an_empty_store_is_no_first_start() {
    let cluster = Cluster::new(4);
    let setup = Setup { context: cluster.context.clone(), me: index(0), key: key(1, 0), fresh: [9; 32] };
    let refused = recover(&MemoryStore::new(), Some(&GuardFile::default()), setup, cluster.now);
    assert!(matches!(refused, Err(RecoverError::NotCreated(_))));
}

/// protocol §7.3: store *and* guard file rolled back: the peers know better. Checked for every kind of message of
/// the own key: whatever the roll-back lost, it shows.
#[test]
fn a_rollback_of_store_and_guard_file_shows_in_the_peers_answers() {
    let mut cluster = busy(4);
    let (old, guard) = (copy(&cluster.hosts[2].store), cluster.hosts[2].guard.clone());
    cluster.submit(1, 3);
    cluster.run(50);
    assert_ne!(own_votes(&old, 2), own_votes(&cluster.hosts[2].store, 2));
    cluster.wire.clear();
    cluster.hosts[2] = cluster.boot(2, old, guard);
    assert!(!is_quarantined(&cluster, 2), "by itself it can't know");
    let sent_before = cluster.sent.len();
    cluster.run(400);
    assert!(why(&cluster, 2).contains("own key were seen that its store doesn't know"), "{}", why(&cluster, 2));
    assert!(!cluster.sent[sent_before..].iter().any(|(from, message)| *from == 2 && is_signed_by(2, message)));
    // It stays so over a restart, when the others have long forgotten what they held of its key (protocol §7.4).
    for _ in 0..4 {
        cluster.submit(1, 4);
        cluster.run(500);
    }
    cluster.restart(2);
    cluster.run(2_000);
    assert!(is_quarantined(&cluster, 2), "{}", why(&cluster, 2));
}

/// protocol §7.3: a lost vote that comes back inside of another's message is no vote of its own again: it means
/// quarantine like the peers' answers, and doesn't make their answers look right.
#[test]
fn a_lost_vote_inside_of_anothers_message_means_quarantine() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    let (old, guard) = (copy(&cluster.hosts[0].store), cluster.hosts[0].guard.clone());
    cluster.submit(0, 1);
    cluster.run(10);
    // The primary loses what it signed; a backup's vote carries the primary's vote that it answers.
    let answer = cluster.sent.iter().find_map(|(_, message)| match message {
        Message::Vote(VoteMessage { primary: Some(primary), .. }) if primary.signer() == index(0) => Some(message),
        _ => None,
    });
    let answer = answer.cloned().expect("backups answer the primary's vote");
    cluster.wire.clear();
    cluster.hosts[0] = cluster.boot(0, old, guard);
    cluster.deliver(1, 0, answer);
    assert!(is_quarantined(&cluster, 0), "{}", why(&cluster, 0));
}

/// protocol §7.3: before its first signature it hears `q − 1` peers out of quarantine; more silence, no signature.
#[test]
fn nothing_is_signed_before_a_quorum_less_one_has_answered() {
    let mut cluster = busy(4);
    cluster.hosts[1].is_up = false;
    cluster.hosts[3].is_up = false;
    cluster.restart(2);
    cluster.run(1_000);
    assert_eq!(*cluster.hosts[2].replica.standing(), Standing::Asking { heard: [index(0)].into(), needed: 2 });
    cluster.hosts[1].is_up = true;
    cluster.run(300);
    assert_eq!(*cluster.hosts[2].replica.standing(), Standing::Signing);
}

/// protocol §7.3: the answer of a peer in quarantine doesn't count.
#[test]
fn an_answer_out_of_quarantine_is_needed() {
    let mut cluster = busy(4);
    let store = copy(&cluster.hosts[3].store);
    cluster.hosts[3] = cluster.boot(3, store, None);
    cluster.hosts[1].is_up = false;
    cluster.restart(2);
    cluster.run(1_000);
    assert!(matches!(cluster.hosts[2].replica.standing(), Standing::Asking { .. }), "{}", why(&cluster, 2));
}

/// protocol §7.3: answering needs no vote: a restart of all can't deadlock.
#[test]
fn a_restart_of_all_comes_back_by_itself() {
    let mut cluster = busy(4);
    let before = cluster.executed()[0];
    (0..4).for_each(|at| cluster.restart(at));
    cluster.wire.clear();
    cluster.run(300);
    (0..4).for_each(|at| assert_eq!(*cluster.hosts[at].replica.standing(), Standing::Signing));
    cluster.submit(3, 2);
    cluster.run(500);
    cluster.assert_agreed(before + 1);
}

/// protocol §7.3, §1.2: alone, a validator asks nobody.
#[test]
fn a_validator_alone_signs_at_once() {
    let mut cluster = Cluster::new(1);
    cluster.run(1);
    assert_eq!(*cluster.hosts[0].replica.standing(), Standing::Signing);
}

/// protocol §7.6: a vote of the own key that this node didn't make: two nodes run with one key. It stops signing.
#[test]
fn a_foreign_vote_of_the_own_key_ends_signing() {
    let mut cluster = busy(4);
    let vote = Vote {
        epoch: Epoch(0),
        view: View(0),
        sequence: Sequence(15),
        digest: sha256(&[b"elsewhere"]),
        phase: Phase::Prepare,
        validator: index(2),
    };
    let vote = cluster.sign(vote);
    cluster.deliver(1, 2, Message::Vote(VoteMessage { vote, primary: None }));
    assert!(why(&cluster, 2).contains("two nodes run with one key"), "{}", why(&cluster, 2));
}

/// protocol §7.6: two nodes that sign the same hear of each other by their connections.
#[test]
fn connections_of_the_own_key_elsewhere_end_signing() {
    let mut cluster = busy(4);
    cluster.step(2, Event::KeyElsewhere);
    assert!(why(&cluster, 2).contains("two nodes run with one key"), "{}", why(&cluster, 2));
    cluster.restart(2);
    assert!(cluster.hosts[2].replica.standing().is_quarantined(), "no restart forgets it");
}

/// protocol §7.6: the same by a complaint, which nothing else would show.
#[test]
fn a_foreign_complaint_of_the_own_key_ends_signing() {
    let mut cluster = busy(4);
    let complaint =
        Complaint { epoch: Epoch(0), view: View(0), time: BlockTime(crate::support::WALL_MS), validator: index(2) };
    let complaint = cluster.sign(complaint);
    cluster.deliver(1, 2, Message::Complaint(complaint));
    assert!(why(&cluster, 2).contains("two nodes run with one key"), "{}", why(&cluster, 2));
}

/// protocol §7.6, §10.7: own old messages that come back, in whatever order and from whomever, are no evidence of
/// anything.
#[test]
fn own_messages_that_come_back_mean_nothing() {
    let mut cluster = busy(4);
    cluster.hosts[0].is_up = false;
    for _ in 0..10 {
        cluster.submit(1, 2);
        cluster.run(200);
    }
    cluster.hosts[0].is_up = true;
    cluster.run(1_000);
    assert!(cluster.hosts[1].replica.report().view > View(0), "there was a view change");
    let sent: Vec<(usize, Message)> = cluster.sent.clone();
    for (from, message) in sent.into_iter().rev() {
        if matches!(message, Message::Request(_) | Message::Status(_)) {
            continue;
        }
        for to in (0..4).filter(|to| *to != from) {
            cluster.deliver(from, to, message.clone());
        }
        cluster.deliver((from + 1) % 4, from, message);
    }
    cluster.run(300);
    for at in 0..4 {
        assert_eq!(*cluster.hosts[at].replica.standing(), Standing::Signing, "validator {at}");
        assert!(cluster.hosts[at].evidence.is_empty(), "validator {at}");
    }
}

/// protocol §7.3, §9.1: a peer's answer about *another's* key, or a forged one, can't be used to mute a validator:
/// what doesn't carry its own signature is nobody's word about it.
#[test]
fn an_answer_about_anothers_votes_mutes_nobody() {
    let mut cluster = busy(4);
    let theirs = records::votes_above(&cluster.hosts[1].store, Epoch(0), Sequence(0)).unwrap();
    let theirs: Vec<_> = theirs.into_iter().filter(|vote| vote.signer() == index(1)).take(1).collect();
    let report = cluster.sent.iter().rev().find_map(|(from, message)| match message {
        Message::Status(status) if *from == 1 => Some(status.clone()),
        _ => None,
    });
    let yours = quorate_types::message::HeldOfYours { votes: theirs, ..Default::default() };
    let answer = Status { yours: Some(Box::new(yours)), ..*report.expect("it reports") };
    cluster.deliver(1, 2, Message::Status(Box::new(answer)));
    assert_eq!(*cluster.hosts[2].replica.standing(), Standing::Signing);
}

/// protocol §8.2: a result that differs from the certified one ends signing, and a restart doesn't begin it again.
#[test]
fn a_validator_that_diverged_stays_in_quarantine_over_a_restart() {
    let mut cluster = busy(4);
    let next = cluster.hosts[3].replica.report().executed.next();
    for other in 0..3 {
        let execution = Execution {
            epoch: Epoch(0),
            sequence: next,
            proposal: sha256(&[b"another"]),
            state_root: sha256(&[]),
            receipts_root: sha256(&[]),
        };
        let vote = cluster.sign(ExecutionVote { execution, validator: index(other) });
        cluster.deliver(other, 3, Message::ExecutionVote(vote));
    }
    cluster.submit(0, 1);
    cluster.run(500);
    assert!(why(&cluster, 3).contains("gave another result than a quorum certified"), "{}", why(&cluster, 3));
    cluster.restart(3);
    cluster.run(500);
    assert!(is_quarantined(&cluster, 3));
    assert!(why(&cluster, 3).contains("before this start"), "{}", why(&cluster, 3));
}

/// protocol §3.2, §8.2: after certificates that contradict each other nothing is delivered, over a restart neither:
/// whichever chain it followed might be the wrong one.
#[test]
fn a_validator_that_raised_the_alarm_delivers_nothing_after_a_restart() {
    let mut cluster = busy(4);
    let committed = cluster.hosts[3].replica.report().committed;
    let claim = Claim { view: View(0), sequence: committed, digest: sha256(&[b"another"]) };
    let signatures = (0..3).map(|other| {
        let Claim { view, sequence, digest } = claim;
        let validator = index(other);
        let vote = Vote { epoch: Epoch(0), view, sequence, digest, phase: Phase::Commit, validator };
        (validator, cluster.sign(vote).signature)
    });
    let signatures = signatures.collect();
    let certificate = Certificate { phase: Phase::Commit, epoch: Epoch(0), claim, signatures };
    cluster.deliver(0, 3, Message::Certificate(certificate));
    cluster.restart(3);
    assert!(why(&cluster, 3).contains("certificates contradicted each other"), "{}", why(&cluster, 3));
    cluster.submit(0, 3);
    cluster.run(1_000);
    assert!(cluster.hosts[0].replica.report().committed > committed, "the others go on");
    assert_eq!(cluster.hosts[3].replica.report().committed, committed);
}
