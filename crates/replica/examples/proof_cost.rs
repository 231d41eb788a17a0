//! How large proofs are and how long it takes to verify one, over states, sequences and validator sets of different
//! sizes; with real signatures, in memory.
//!
//! `cargo run --release -p quorate-replica --example proof_cost`

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::{Digest, Scheme, SecretKey, sha256};
use quorate_proof::{EpochInfo, OrderProof, ReceiptProof, StateProof};
use quorate_replica::machine::tree;
use quorate_storage::{Change as Write, WriteBatch};
use quorate_types::codec::Canonical;
use quorate_types::entity::{self, Content, Entity, Header};
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{BlockTime, ClusterId, Epoch, OperationId, Sequence, ValidatorIndex, View};
use quorate_types::merkle;
use quorate_types::message::Segment;
use quorate_types::operation::EntityId;
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::receipt::{Outcome, Receipt};
use quorate_types::set::{ValidatorInfo, ValidatorSet};
use quorate_types::signed::signing_bytes;
use quorate_types::value::Value;
use quorate_types::vote::{Certificate, Claim, Phase, Vote};

use support::on_cpu;

/// Entities that are put into the tree at once.
const AT_ONCE: u64 = 1_000;

/// Verifications that a figure is the mean of.
const MEASURED: u32 = 200;

/// Bytes of an entity's value.
const VALUE_BYTES: usize = 500;

const EXECUTION: Execution = Execution {
    epoch: Epoch(0),
    sequence: Sequence(1),
    proposal: Digest::ZERO,
    state_root: Digest::ZERO,
    receipts_root: Digest::ZERO,
};

fn main() {
    println!("proof              of                       validators   bytes   verified in");
    for validators in [4, 22] {
        let cluster = Cluster::new(validators);
        let mut state = State::default();
        for entities in [10_000, 100_000, 1_000_000] {
            state.grow_to(entities);
            cluster.state_proof(&state, &name(entities / 2), entities);
            cluster.state_proof(&state, &EntityId::new("note", "missing"), entities);
        }
        for receipts in [1, 1_000, 10_000] {
            cluster.receipt_proof(receipts);
        }
        for proposals in [1, 64] {
            cluster.order_proof(proposals);
        }
    }
}

fn name(number: u64) -> EntityId {
    EntityId::new("note", &format!("n{number}"))
}

/// A tree of entities, and the record that each of them has.
#[derive(Default)]
struct State {
    pages: BTreeMap<Vec<u8>, Vec<u8>>,
    cache: tree::Cache,
    entities: u64,
}

impl State {
    fn record(number: u64) -> Vec<u8> {
        let last = OperationId(sha256(&[&number.to_be_bytes()]));
        let header = Header { version: 1, last, changed: Sequence(1), heads: Vec::new() };
        Entity { header, content: Content::Document(Value::Text("x".repeat(VALUE_BYTES))) }.to_bytes()
    }

    fn grow_to(&mut self, entities: u64) {
        while self.entities < entities {
            let mut batch = WriteBatch::new();
            for number in self.entities..self.entities + AT_ONCE {
                let key = entity::state_key(&name(number));
                batch.put(quorate_storage::Family::State, &key, Self::record(number));
            }
            self.entities += AT_ONCE;
            let changes = tree::changes(&batch).collect::<Vec<_>>();
            let updated = tree::update(&self.pages, &mut self.cache, changes).expect("it is whole");
            for write in updated.writes.changes() {
                match write {
                    Write::Put { key, value, .. } => drop(self.pages.insert(key.to_vec(), value.to_vec())),
                    Write::Delete { key, .. } => drop(self.pages.remove(key)),
                }
            }
        }
    }
}

/// A validator set with real keys.
struct Cluster {
    keys: Vec<SecretKey>,
    epoch: EpochInfo,
    quorum: usize,
}

impl Cluster {
    fn new(validators: u8) -> Self {
        let keys: Vec<SecretKey> = (0..validators).map(|index| SecretKey::from_seed([index + 1; 32])).collect();
        let info = |(index, key): (usize, &SecretKey)| ValidatorInfo {
            name: format!("v{index}"),
            consensus_key: key.public(),
            network_key: SecretKey::from_seed([index as u8 + 101; 32]).public(),
            incarnation: [0; 32],
            peer_address: format!("localhost:{index}"),
        };
        let set = ValidatorSet::new(keys.iter().enumerate().map(info).collect()).expect("a set");
        let quorum = set.quorum().quorum();
        let epoch = EpochInfo::first(ClusterId(sha256(&[b"cost"])), Scheme::Ed25519, Arc::new(set));
        Self { keys, epoch, quorum }
    }

    fn indices(&self) -> impl Iterator<Item = (ValidatorIndex, &SecretKey)> {
        (0u16..).map(ValidatorIndex).zip(&self.keys).take(self.quorum)
    }

    fn certificate(&self, execution: Execution) -> ExecutionCertificate {
        let signatures = self.indices().map(|(validator, key)| {
            let vote = ExecutionVote { execution, validator };
            (validator, key.sign(&signing_bytes(&self.epoch.cluster, &vote)))
        });
        ExecutionCertificate { execution, signatures: signatures.collect() }
    }

    fn say(&self, proof: &str, of: &str, bytes: usize, verify: impl Fn() -> bool) {
        let began = on_cpu();
        assert!((0..MEASURED).all(|_| verify()), "{proof} of {of}");
        let us = (on_cpu() - began).as_micros() / u128::from(MEASURED);
        println!("{proof:<18} {of:<24} {:>10} {bytes:>7} {us:>10} µs", self.keys.len());
    }

    fn state_proof(&self, state: &State, entity: &EntityId, entities: u64) {
        let root = tree::root(&state.pages).expect("a map never fails");
        let key = sha256(&[&entity::state_key(entity)]);
        let path = tree::path(&state.pages, &key).expect("a map never fails");
        let number = entity.id.strip_prefix('n').and_then(|number| number.parse().ok());
        let record = number.map(State::record);
        let (title, certificate) = match record {
            Some(_) => ("state", self.certificate(Execution { state_root: root, ..EXECUTION })),
            None => ("absence", self.certificate(Execution { state_root: root, ..EXECUTION })),
        };
        let proof = StateProof { entity: entity.clone(), record, path, certificate };
        let of = format!("{entities} entities");
        self.say(title, &of, proof.to_bytes().len(), || proof.verify(&self.epoch).is_ok());
    }

    fn receipt_proof(&self, receipts: u32) {
        let made = (0..receipts).map(|index| Receipt {
            operation: OperationId(sha256(&[&index.to_be_bytes()])),
            sequence: Sequence(1),
            index,
            outcome: Outcome::Applied,
            versions: Vec::new(),
            concurrent_with: Vec::new(),
        });
        let made: Vec<Receipt> = made.collect();
        let leaves: Vec<Digest> = made.iter().map(Receipt::digest).collect();
        let at = made.len() / 2;
        let proof = ReceiptProof {
            receipt: made[at].clone(),
            path: merkle::path(&leaves, at).expect("it is one of them"),
            certificate: self.certificate(Execution { receipts_root: merkle::root(&leaves), ..EXECUTION }),
        };
        let of = format!("{receipts} in its sequence");
        self.say("receipt", &of, proof.to_file().len(), || proof.verify(&self.epoch).is_ok());
    }

    fn order_proof(&self, length: u64) {
        let mut parent = self.epoch.cluster.0;
        let mut proposals = Vec::new();
        for sequence in (1..=length).map(Sequence) {
            let payload = Payload { tips: Vec::new() };
            let proposal = Proposal { epoch: Epoch(0), sequence, parent, time: BlockTime(1), payload };
            parent = proposal.digest();
            proposals.push(proposal);
        }
        let (epoch, view, sequence, digest, phase) = (Epoch(0), View(0), Sequence(length), parent, Phase::Commit);
        let signatures = self.indices().map(|(validator, key)| {
            let vote = Vote { epoch, view, sequence, digest, phase, validator };
            (validator, key.sign(&signing_bytes(&self.epoch.cluster, &vote)))
        });
        let claim = Claim { view, sequence, digest };
        let certificate = Certificate { phase, epoch, claim, signatures: signatures.collect() };
        let proof = OrderProof { segment: Segment { proposals, certificate } };
        let of = format!("{length} proposals");
        self.say("order", &of, proof.to_file().len(), || proof.verify(&self.epoch).is_ok());
    }
}
