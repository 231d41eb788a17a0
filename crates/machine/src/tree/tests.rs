//! The kept tree against its definition, and both against another implementation of the same hashing.

use std::collections::BTreeMap;

use jmt::mock::MockTreeStore;
use jmt::{JellyfishMerkleTree, KeyHash};
use quorate_proof::sparse::Finding;
use quorate_types::snapshot::{Entry, HIGHEST, LOWEST, Span};
use serde_json::Value as Json;

use super::*;

type Pages = BTreeMap<Vec<u8>, Vec<u8>>;

/// The library's hasher is of another version of the same crate.
type Library<'a> = JellyfishMerkleTree<'a, MockTreeStore, sha2_of_library::Sha256>;

mod sha2_of_library {
    //! SHA-256 as the library wants it.

    use jmt::SimpleHasher;

    pub(super) struct Sha256(quorate_crypto::Hasher);

    impl SimpleHasher for Sha256 {
        fn new() -> Self {
            Self(quorate_crypto::Hasher::new())
        }

        fn update(&mut self, data: &[u8]) {
            self.0.update(data);
        }

        fn finalize(self) -> [u8; 32] {
            *self.0.finish().as_bytes()
        }
    }
}

/// A generator good enough for tests, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The tree, the entries that it should be of, and the library's tree over them.
struct Trees {
    pages: Pages,
    cache: Cache,
    entries: BTreeMap<Digest, Vec<u8>>,
    library: MockTreeStore,
    version: u64,
}

impl Trees {
    fn new() -> Self {
        let library = MockTreeStore::default();
        Self { pages: Pages::new(), cache: Cache::default(), entries: BTreeMap::new(), library, version: 0 }
    }

    fn apply(&mut self, changes: &[(Digest, Option<Vec<u8>>)]) -> Digest {
        let digests = changes.iter().map(|(place, value)| Change {
            place: *place,
            name: name_of(place),
            value: value.as_ref().map(|value| sha256(&[value])),
        });
        let updated = update(&self.pages, &mut self.cache, digests).expect("a map never fails");
        for write in updated.writes.changes() {
            match write {
                Write::Put { family, key, value } => {
                    assert_eq!(family, Family::Tree);
                    self.pages.insert(key.to_vec(), value.to_vec());
                }
                Write::Delete { key, .. } => {
                    assert!(self.pages.remove(key).is_some(), "only pages that are there are deleted");
                }
            }
        }
        for (key, value) in changes {
            match value {
                Some(value) => self.entries.insert(*key, value.clone()),
                None => self.entries.remove(key),
            };
        }
        updated.root
    }

    fn leaves(&self) -> Vec<Leaf> {
        self.entries.iter().map(|(key, value)| Leaf { key: *key, value: sha256(&[value]) }).collect()
    }

    /// The root that the library gives after the same changes.
    fn apply_to_library(&mut self, changes: &[(Digest, Option<Vec<u8>>)]) -> Digest {
        let set = changes.iter().map(|(key, value)| (KeyHash(*key.as_bytes()), value.clone()));
        let (root, batch) = Library::new(&self.library).put_value_set(set, self.version).expect("it works");
        self.library.write_tree_update_batch(batch).expect("it is in memory");
        self.version += 1;
        Digest::new(root.0)
    }

    /// The library's proof of a key, as a path of ours.
    fn path_of_library(&self, key: &Digest) -> SparsePath {
        let tree = Library::new(&self.library);
        let (_, proof) = tree.get_with_proof(KeyHash(*key.as_bytes()), self.version - 1).expect("there is a root");
        let json = serde_json::to_value(&proof).expect("it serialises");
        let siblings = json["siblings"].as_array().expect("a list").iter().rev().map(|node| match node {
            Json::String(_) => None,
            node if node.get("Leaf").is_some() => Some(leaf_of(&node["Leaf"]).digest()),
            node => {
                let half = |name: &str| digest_of(&node["Internal"][name]);
                Some(sparse::hash_inner(half("left_child"), half("right_child")))
            }
        });
        let end = Some(&json["leaf"]).filter(|leaf| !leaf.is_null()).map(leaf_of);
        SparsePath { end, siblings: siblings.collect() }
    }
}

fn digest_of(json: &Json) -> Digest {
    Digest::new(serde_json::from_value(json.clone()).expect("32 bytes"))
}

fn leaf_of(json: &Json) -> Leaf {
    Leaf { key: digest_of(&json["key_hash"]), value: digest_of(&json["value_hash"]) }
}

/// What an entry at this place would be called.
fn name_of(place: &Digest) -> Key {
    Key::of(&[b"name of ", place.as_bytes()])
}

/// Keys of which many share long prefixes, so that there are deep chains too.
fn key(dice: &mut Dice) -> Digest {
    let mut bytes = *sha256(&[&dice.below(300).to_be_bytes()]).as_bytes();
    if dice.below(3) == 0 {
        let shared = dice.below(32) as usize;
        bytes[..shared].fill(0xa5);
    }
    Digest::new(bytes)
}

fn changes(dice: &mut Dice, count: u64) -> Vec<(Digest, Option<Vec<u8>>)> {
    let change = |dice: &mut Dice| {
        let (key, value) = (key(dice), dice.below(1_000).to_be_bytes().to_vec());
        (key, (dice.below(3) > 0).then_some(value))
    };
    let by_key: BTreeMap<_, _> = (0..count).map(|_| change(dice)).collect();
    by_key.into_iter().collect()
}

#[test]
fn root_and_paths_are_those_of_the_definition_and_of_the_library() {
    let mut dice = Dice(7);
    let mut trees = Trees::new();
    for round in 0..60 {
        let changes = changes(&mut dice, 1 + round % 23);
        let root = trees.apply(&changes);
        assert_eq!(root, sparse::root_of(&trees.leaves()), "round {round}: not as defined");
        assert_eq!(root, trees.apply_to_library(&changes), "round {round}: not as the library's");
        assert_eq!(root, super::root(&trees.pages).unwrap());
        for _ in 0..20 {
            let key = key(&mut dice);
            let path = path(&trees.pages, &key).unwrap();
            let expected = match trees.entries.get(&key) {
                Some(value) => Finding::Present(sha256(&[value])),
                None => Finding::Absent,
            };
            assert_eq!(path.prove(&key, root), Some(expected));
            assert_eq!(path, trees.path_of_library(&key), "round {round}: another path than the library's");
            assert_eq!(SparsePath::from_bytes(&path.to_bytes()), Ok(path));
        }
    }
    assert!(trees.entries.len() > 100, "{}", trees.entries.len());
}

/// protocol §8.7: each entry is named once, in the order of the tree, and in as many chunks as it takes.
#[test]
fn entries_come_in_the_order_of_the_tree_in_chunks_that_join() {
    let (mut trees, mut dice) = (Trees::new(), Dice(13));
    for _ in 0..12 {
        trees.apply(&changes(&mut dice, 90));
        let state: Pages =
            trees.entries.iter().map(|(place, value)| (name_of(place).to_vec(), value.clone())).collect();
        let expected: Vec<(Vec<u8>, Vec<u8>)> =
            trees.entries.iter().map(|(place, value)| (name_of(place).to_vec(), value.clone())).collect();
        for budget in [0, 100, 999, usize::MAX] {
            let (mut found, mut from) = (Vec::new(), LOWEST);
            loop {
                let (chunk, span) = entries(&trees.pages, &state, Span { from, to: HIGHEST }, budget).unwrap();
                let bytes: usize = chunk.iter().map(Entry::size_bytes).sum();
                assert!(bytes <= budget || chunk.len() == 1, "{bytes} bytes");
                found.extend(chunk.into_iter().map(|entry| (entry.key, entry.value)));
                if span.to == HIGHEST {
                    break;
                }
                from = after(&span.to);
            }
            assert_eq!(found, expected);
        }
    }
    let (first, last) = (*trees.entries.keys().nth(3).unwrap(), *trees.entries.keys().nth(9).unwrap());
    let state: Pages = trees.entries.iter().map(|(place, value)| (name_of(place).to_vec(), value.clone())).collect();
    let span = Span { from: first, to: last };
    let (inside, whole) = entries(&trees.pages, &state, span, usize::MAX).unwrap();
    assert_eq!((inside.len(), whole), (7, span), "both bounds are included");
}

/// The next place.
fn after(place: &Digest) -> Digest {
    let mut bytes = *place.as_bytes();
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    Digest::new(bytes)
}

#[test]
fn a_cache_changes_nothing_and_one_of_another_tree_is_dropped() {
    let (mut with, mut without, mut dice) = (Trees::new(), Trees::new(), Dice(3));
    let mut other = Trees::new();
    other.apply(&changes(&mut dice, 50));
    for round in 0..40 {
        let changes = changes(&mut dice, 20);
        without.cache = Cache::default();
        if round % 10 == 5 {
            with.cache = other.cache.clone();
        }
        assert_eq!(with.apply(&changes), without.apply(&changes));
        assert_eq!(with.pages, without.pages);
    }
}

#[test]
fn entries_that_come_and_go_leave_no_page_behind() {
    let (mut trees, mut dice) = (Trees::new(), Dice(11));
    for _ in 0..10 {
        trees.apply(&changes(&mut dice, 60));
    }
    assert!(trees.pages.len() > 60);
    assert_eq!(trees.pages.keys().filter(|key| key[0] == u8::MAX).count(), trees.entries.len());
    let all: Vec<_> = trees.entries.keys().map(|key| (*key, None)).collect();
    assert_eq!(trees.apply(&all), sparse::EMPTY);
    assert_eq!(trees.pages.len(), 1, "the root's page alone is left");
}

#[test]
fn a_lost_or_damaged_page_is_found() {
    let (mut trees, mut dice) = (Trees::new(), Dice(5));
    let root = trees.apply(&changes(&mut dice, 200));
    let keys: Vec<_> = trees.entries.keys().copied().collect();
    let is_page = |key: &&Vec<u8>| key.len() > 1 && key[0] < u8::MAX;
    for lost in trees.pages.keys().filter(is_page).cloned().collect::<Vec<_>>() {
        let page = trees.pages.remove(&lost).unwrap();
        let failed = keys.iter().filter(|key| path(&trees.pages, key).is_err()).count();
        assert!(failed >= 2, "{failed} keys miss a page");
        trees.pages.insert(lost, page);
    }
    assert_eq!(super::root(&trees.pages).unwrap(), root);
}
