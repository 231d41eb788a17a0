//! State proofs, for presence and absence, in the hands of someone who wants to convince us of something
//! else (data-model §§4.4, 4.8): every changed byte and every splice is refused.

mod common;

use common::{certificate, epoch_of};
use quorate_crypto::{Digest, sha256};
use quorate_proof::sparse::{self, Leaf, SparsePath};
use quorate_proof::{EpochInfo, Proof, ProofFault, Proven, StateProof};
use quorate_types::codec::Canonical;
use quorate_types::entity::{Content, Entity, Head, Header, Position, state_key};
use quorate_types::execution::Execution;
use quorate_types::ids::{BlockTime, OperationId, Sequence};
use quorate_types::operation::EntityId;

/// A state with some counters, after a sequence.
struct State {
    entities: Vec<(EntityId, Entity)>,
    sequence: u64,
}

impl State {
    fn new(sequence: u64, count: i64) -> Self {
        let entity = |number: i64| {
            let operation = OperationId(sha256(&[&number.to_be_bytes()]));
            let at = Position { sequence: Sequence(sequence - 1), time: BlockTime(77) };
            let heads = vec![Head { operation, at }];
            let header = Header { version: 3, last: operation, changed: at.sequence, heads };
            let value = number + i64::try_from(sequence).expect("small");
            (EntityId::new("hits", &format!("page-{number}")), Entity { header, content: Content::Counter(value) })
        };
        Self { entities: (0..count).map(entity).collect(), sequence }
    }

    fn leaves(&self) -> Vec<Leaf> {
        let leaf = |(name, entity): &(EntityId, Entity)| Leaf::of(&state_key(name), &entity.to_bytes());
        let mut leaves: Vec<Leaf> = self.entities.iter().map(leaf).collect();
        leaves.sort();
        leaves
    }

    fn prove(&self, epoch: &EpochInfo, id: &str, signers: &[u16]) -> StateProof {
        let name = EntityId::new("hits", id);
        let record = self.entities.iter().find(|(found, _)| *found == name).map(|(_, entity)| entity.to_bytes());
        let execution = Execution {
            epoch: epoch.epoch,
            sequence: Sequence(self.sequence),
            proposal: sha256(&[b"proposal", &self.sequence.to_be_bytes()]),
            state_root: sparse::root_of(&self.leaves()),
            receipts_root: Digest::ZERO,
        };
        let path = path(&self.leaves(), &sha256(&[&state_key(&name)]));
        StateProof {
            entity: name,
            record,
            path,
            certificate: certificate(epoch, execution, signers.iter().map(|index| (*index, *index))),
        }
    }
}

/// The path by the definition.
fn path(leaves: &[Leaf], key: &Digest) -> SparsePath {
    let (mut span, mut siblings) = (leaves, Vec::new());
    while span.len() > 1 {
        let depth = siblings.len();
        let (left, right) = span.split_at(span.partition_point(|leaf| !sparse::bit(&leaf.key, depth)));
        let (on, beside) = if sparse::bit(key, depth) { (right, left) } else { (left, right) };
        let sibling = sparse::subtree(beside, depth + 1);
        siblings.push((!beside.is_empty()).then_some(sibling));
        span = on;
    }
    SparsePath { end: span.first().copied(), siblings }
}

fn judge(epoch: &EpochInfo, file: &[u8]) -> Result<Option<Entity>, ProofFault> {
    match Proof::from_file(file)?.verify(epoch)? {
        Proven::State(state) => Ok(state.into_entity()),
        other => panic!("{other:?}"),
    }
}

fn file(proof: StateProof) -> Vec<u8> {
    Proof::State(Box::new(proof)).to_file()
}

#[test]
fn presence_and_absence_convince_in_states_of_every_small_size() {
    let epoch = epoch_of(b"genesis");
    for count in 0..12 {
        let state = State::new(9, count);
        for number in 0..14 {
            let id = format!("page-{number}");
            let proof = state.prove(&epoch, &id, &[0, 1, 3]);
            let verified = proof.verify(&epoch).unwrap();
            let expected = state.entities.iter().find(|(name, _)| name.id == id).map(|(_, entity)| entity);
            assert_eq!(verified.entity(), expected, "{id} of {count}");
            assert_eq!((verified.name().id.as_str(), verified.execution().sequence.0), (id.as_str(), 9));
            assert_eq!(judge(&epoch, &file(proof)).unwrap().as_ref(), expected);
        }
    }
}

/// The proofs that the attacks below start from: three of presence, three of absence (one in an empty
/// subtree, if there is one), of two sequences.
fn proofs(epoch: &EpochInfo) -> Vec<StateProof> {
    let (older, newer) = (State::new(9, 20), State::new(10, 21));
    ["page-3", "page-4", "page-20"]
        .into_iter()
        .flat_map(|id| [older.prove(epoch, id, &[0, 2, 3]), newer.prove(epoch, id, &[0, 1, 3])])
        .chain([older.prove(epoch, "nowhere", &[0, 2, 3])])
        .collect()
}

#[test]
fn every_changed_byte_and_every_cut_is_refused() {
    let epoch = epoch_of(b"genesis");
    for file in proofs(&epoch).into_iter().map(file) {
        for at in 0..file.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = file.clone();
                changed[at] ^= mask;
                let judged = Proof::from_file(&changed).and_then(|proof| proof.verify(&epoch));
                assert!(judged.is_err(), "byte {at} changed by {mask:#04x} went through");
            }
            assert!(Proof::from_file(&file[..at]).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn every_splice_of_two_is_refused() {
    let epoch = epoch_of(b"genesis");
    let files: Vec<Vec<u8>> = proofs(&epoch).into_iter().map(file).collect();
    for (first, second) in files.iter().flat_map(|first| files.iter().map(move |second| (first, second))) {
        for at in 0..=first.len().min(second.len()) {
            let ahead = [&first[..at], &second[at..]].concat();
            let aligned = [&first[..at], &second[second.len() - (first.len() - at).min(second.len())..]].concat();
            for spliced in [ahead, aligned].into_iter().filter(|spliced| !files.contains(spliced)) {
                let judged = Proof::from_file(&spliced).and_then(|proof| proof.verify(&epoch));
                assert!(judged.is_err(), "spliced at {at}");
            }
        }
    }
}

#[test]
fn parts_of_valid_proofs_do_not_combine() {
    let epoch = epoch_of(b"genesis");
    let proofs = proofs(&epoch);
    let count = proofs.len();
    let parts = (0..count.pow(4)).map(|i| [i % count, i / count % count, i / count.pow(2) % count, i / count.pow(3)]);
    let mut combined = 0;
    for [entity, record, path, certificate] in parts {
        let mixed = StateProof {
            entity: proofs[entity].entity.clone(),
            record: proofs[record].record.clone(),
            path: proofs[path].path.clone(),
            certificate: proofs[certificate].certificate.clone(),
        };
        // Nothing is the same record for all that don't exist.
        let fits = proofs.contains(&mixed);
        let judged = mixed.verify(&epoch).is_ok();
        // A path may lead to two absent entities at once; then it is a proof of both.
        let also_absent = mixed.record.is_none() && proofs[entity].record.is_none();
        assert!(judged == fits || (judged && also_absent), "{entity} {record} {path} {certificate}");
        combined += usize::from(judged);
    }
    assert!(combined >= count);
}

#[test]
fn a_kind_and_an_id_never_share_their_border() {
    let epoch = epoch_of(b"genesis");
    let mut proof = State::new(9, 5).prove(&epoch, "page-3", &[0, 1, 2]);
    // The same key in the tree, if a name could hold a zero byte.
    proof.entity = EntityId::new("hits\0page-3", "");
    assert!(matches!(Proof::from_file(&file(proof)), Err(ProofFault::Format(_))));
}

/// A liar can make the sum anew: what it protects from is only a claim that is as true.
#[test]
fn with_a_sum_made_anew_only_the_name_of_what_is_absent_may_change() {
    let epoch = epoch_of(b"genesis");
    for proof in proofs(&epoch) {
        let name = proof.entity.to_string();
        let is_absent = proof.record.is_none();
        let file = file(proof);
        let content = &file[..file.len() - 32];
        for at in 0..content.len() {
            let mut changed = content.to_vec();
            changed[at] ^= 1;
            let sum = sha256(&[&changed]);
            changed.extend_from_slice(sum.as_bytes());
            if let Ok(Proven::State(state)) = Proof::from_file(&changed).and_then(|proof| proof.verify(&epoch)) {
                assert!(is_absent && state.entity().is_none() && state.name().to_string() != name, "byte {at}");
            }
        }
    }
}

#[test]
fn a_hidden_record_and_an_invented_one_are_refused() {
    let epoch = epoch_of(b"genesis");
    let state = State::new(9, 20);
    let mut hidden = state.prove(&epoch, "page-3", &[0, 1, 2]);
    let record = hidden.record.take();
    assert_eq!(hidden.verify(&epoch), Err(ProofFault::OtherRecord));
    let mut invented = state.prove(&epoch, "nowhere", &[0, 1, 2]);
    invented.record = record;
    assert_eq!(invented.verify(&epoch), Err(ProofFault::OtherRecord));
    // Another entity's leaf that is not alone on the way to the absent key.
    let mut elsewhere = state.prove(&epoch, "page-3", &[0, 1, 2]);
    elsewhere.record = None;
    elsewhere.entity = EntityId::new("hits", "nowhere");
    assert!(elsewhere.verify(&epoch).is_err());
}
