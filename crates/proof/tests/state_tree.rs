//! `proto/vectors/state_tree.json`: trees with roots and paths, made by another program (data-model §4.7).

use quorate_crypto::{Digest, sha256};
use quorate_proof::sparse::{self, Finding, Leaf, SparsePath};
use serde_json::Value as Json;

const FILE: &str = include_str!("../../../proto/vectors/state_tree.json");

fn text(json: &Json) -> &str {
    json.as_str().expect("a text")
}

fn list(json: &Json) -> &[Json] {
    json.as_array().expect("a list")
}

fn bytes(json: &Json) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text(json)[at..at + 2], 16).expect("hexadecimal");
    (0..text(json).len()).step_by(2).map(digit).collect()
}

fn digest(json: &Json) -> Digest {
    text(json).parse().expect("a digest")
}

#[test]
fn roots_and_paths_are_those_of_the_vectors() {
    let file: Json = serde_json::from_str(FILE).expect("JSON");
    let mut proven = 0;
    for tree in list(&file["trees"]) {
        let entry = |entry: &Json| Leaf::of(&bytes(&entry["key"]), &bytes(&entry["value"]));
        let mut leaves: Vec<Leaf> = list(&tree["entries"]).iter().map(entry).collect();
        leaves.sort();
        let root = digest(&tree["root"]);
        assert_eq!(sparse::root_of(&leaves), root);
        for path in list(&tree["paths"]) {
            let end = Some(&path["end"]).filter(|end| !end.is_null());
            let end = end.map(|end| Leaf { key: digest(&end["key"]), value: digest(&end["value"]) });
            let sibling = |sibling: &Json| (!sibling.is_null()).then(|| digest(sibling));
            let siblings = list(&path["siblings"]).iter().map(sibling).collect();
            let key = sha256(&[&bytes(&path["key"])]);
            let value = leaves.iter().find(|leaf| leaf.key == key).map(|leaf| leaf.value);
            let expected = value.map_or(Finding::Absent, Finding::Present);
            assert_eq!(expected == Finding::Absent, text(&path["proves"]) == "absence");
            assert_eq!(SparsePath { end, siblings }.prove(&key, root), Some(expected));
            proven += 1;
        }
    }
    assert!(proven > 20, "{proven}");
}
