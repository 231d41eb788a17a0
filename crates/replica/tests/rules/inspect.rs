//! Looking through a store offline: a whole one shows nothing, and no damage stays unseen.

use quorate_replica::inspect::{Inspection, Stage, inspect};
use quorate_storage::{Durability, Family, MemoryStore, Store, WriteBatch};
use quorate_types::entity::state_key;
use quorate_types::operation::EntityId;

use crate::support::{Cluster, copy};

/// The store of a validator that has ordered, executed and seen a view change; synced.
fn used() -> MemoryStore {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    for at in 0..6 {
        cluster.submit(at % 4, 2);
        cluster.run(60);
    }
    cluster.links = Box::new(|from, _, _| from != 0);
    cluster.submit(1, 1);
    cluster.run(4_000);
    copy(&cluster.hosts[1].store)
}

fn look(store: &MemoryStore) -> Inspection {
    inspect(store, &mut |_, _| {})
}

fn all(store: &MemoryStore, family: Family) -> Vec<(Vec<u8>, Vec<u8>)> {
    store.scan(family, &[], &[], usize::MAX).expect("a store in memory")
}

#[test]
fn a_whole_store_shows_nothing_and_all_of_it_is_looked_at() {
    let store = used();
    let mut stages = Vec::new();
    let inspection = inspect(&store, &mut |stage, done| {
        if done > 0 && stages.last() != Some(&stage) {
            stages.push(stage);
        }
    });
    assert_eq!(inspection.findings, []);
    let (oldest, newest) = inspection.history.expect("something was ordered");
    assert_eq!(oldest.0, 1);
    assert!(newest.0 >= 6 && inspection.certified.0 >= 6 && inspection.leaves > 0);
    let entries: usize = Family::ALL.iter().map(|family| store.len(*family)).sum();
    assert_eq!(inspection.entries, entries as u64);
    assert!(stages.contains(&Stage::Chain) && stages.contains(&Stage::State), "{stages:?}");
    let empty = look(&MemoryStore::new());
    assert_eq!((empty.found, empty.history), (0, None));
}

/// protocol §8.2 and the envelope of the store: a flipped bit is found in every family, and so is what lies
/// behind it.
#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let store = used();
    for family in Family::ALL {
        let entries = all(&store, family);
        // Entries of another validator's state are there during a transfer only.
        assert!(!entries.is_empty() || family == Family::Incoming, "{family} has entries");
        for (key, value) in entries.iter().step_by(1 + entries.len() / 8) {
            let damaged = copy(&store);
            assert!(damaged.flip_bit(family, key, value.len() * 4));
            let inspection = look(&damaged);
            let place = format!("{family}/{}", key.escape_ascii());
            assert!(inspection.findings.iter().any(|finding| finding.place == place), "{place}");
        }
    }
    let damaged = copy(&store);
    let votes = all(&store, Family::Votes);
    for (key, _) in [&votes[1], &votes[votes.len() - 1]] {
        damaged.flip_bit(Family::Votes, key, 3);
    }
    assert_eq!(look(&damaged).found, 2, "both, and nothing else");
}

/// Every entry that the history or the state needs is missed when it is gone.
#[test]
fn what_is_gone_is_missed() {
    let store = used();
    for family in [Family::Proposals, Family::Bundles, Family::Receipts, Family::State, Family::Tree] {
        for (key, _) in all(&store, family) {
            // A proposal or bundle that was never ordered is nobody's loss, nor is an entry of the index.
            let damaged = copy(&store);
            let mut batch = WriteBatch::new();
            batch.delete(family, key.clone());
            damaged.write(batch, Durability::Synced).expect("a store in memory");
            let is_needed = match family {
                Family::Proposals | Family::Bundles => is_ordered(&store, family, &key),
                Family::State => quorate_replica::machine::tree::is_covered(&key),
                _ => true,
            };
            assert_eq!(look(&damaged).found > 0, is_needed, "{family}/{}", key.escape_ascii());
        }
    }
}

/// Whether the history of a whole store names the entry: it is missed by the walk alone when the walk needs it.
fn is_ordered(store: &MemoryStore, family: Family, key: &[u8]) -> bool {
    use quorate_replica::records;
    use quorate_types::ids::{BundleNumber, Sequence};
    let (_, newest) = look(store).history.expect("a history");
    let mut named = Vec::new();
    for at in (1..=newest.0).map(Sequence) {
        let digest = records::committed(at).read(store).expect("a record").expect("a proposal");
        named.push((Family::Proposals, records::committed(at).key().to_vec()));
        named.push((Family::Proposals, records::proposal(&digest).key().to_vec()));
        let proposal = records::proposal(&digest).read(store).expect("a record").expect("a proposal");
        for tip in &proposal.payload.tips {
            let (mut number, mut digest) = (tip.number, tip.digest);
            while number > BundleNumber::ZERO {
                let slot = records::bundle(proposal.epoch, tip.lane, number, &digest);
                named.push((Family::Bundles, slot.key().to_vec()));
                let Some(bundle) = slot.read(store).expect("a record") else { break };
                (number, digest) = (number.previous().unwrap_or_default(), bundle.header.statement.parent);
            }
        }
    }
    named.contains(&(family, key.to_vec()))
}

/// A value that is well formed and wrong has a checksum that holds; the root of the state doesn't.
#[test]
fn a_changed_entity_is_found_by_the_root() {
    let store = used();
    let key = state_key(&EntityId::new("hits", "a"));
    let (key, mut value) =
        all(&store, Family::State).into_iter().find(|(found, _)| found.starts_with(&key[..3])).expect("an entity");
    *value.last_mut().expect("a value") ^= 1;
    let mut batch = WriteBatch::new();
    batch.put(Family::State, key, value);
    store.write(batch, Durability::Synced).expect("a store in memory");
    let places: Vec<String> = look(&store).findings.into_iter().map(|finding| finding.place).collect();
    assert_eq!(places, ["state", "tree"]);
}

#[test]
fn a_record_that_no_version_wrote_is_told() {
    let store = used();
    let mut batch = WriteBatch::new();
    batch.put(Family::Meta, b"surprise", vec![1]);
    store.write(batch, Durability::Synced).expect("a store in memory");
    let inspection = look(&store);
    assert_eq!((inspection.found, inspection.findings[0].place.as_str()), (1, "meta/surprise"));
}
