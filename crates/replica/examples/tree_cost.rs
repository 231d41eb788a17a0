//! What the state tree costs beside execution itself: time, pages and bytes per operation, over states of
//! different sizes, in memory.
//!
//! `cargo run --release -p quorate-replica --example tree_cost`
//!
//! Each operation puts a document of some 500 bytes, as `quorate bench` does; 64 authors take turns. The
//! database isn't part of it: it would add its cost per byte and entry to both.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_crypto::{Digest, Scheme, SecretKey, sha256};
use quorate_replica::machine::{Block, Charter, Ordered, execute, tree};
use quorate_storage::{Change as Write, WriteBatch};
use quorate_types::epoch::EpochDefinition;
use quorate_types::genesis::Administrators;
use quorate_types::ids::{BlockTime, ClusterId, Epoch, Sequence, ValidatorIndex};
use quorate_types::kind::{Access, Consistency, EntityType, Kind, Kinds};
use quorate_types::operation::{Change, EntityId, OperationBuilder};
use quorate_types::parameters::Parameters;
use quorate_types::value::Value;

use support::on_cpu;

const AUTHORS: u64 = 64;
const OPERATIONS: u64 = 400;
const MEASURED: u64 = 25;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

struct World {
    state: Entries,
    pages: Entries,
    cache: tree::Cache,
    epoch: EpochDefinition,
    kinds: Kinds,
    administrators: Administrators,
    sequence: u64,
    nonces: u64,
}

#[derive(Default)]
struct Cost {
    execution: Duration,
    tree: Duration,
    leaves: usize,
    state: (usize, usize),
    pages: (usize, usize),
}

fn main() {
    let access = Access::open([]);
    let kind = Kind {
        name: "note".to_owned(),
        consistency: Consistency::Strong,
        entity_type: EntityType::Document,
        schema: None,
        access,
    };
    let mut world = World {
        state: Entries::new(),
        pages: Entries::new(),
        cache: tree::Cache::default(),
        epoch: EpochDefinition {
            epoch: Epoch(0),
            start: Sequence(0),
            validators: Vec::new(),
            learners: Vec::new(),
            barred: Vec::new(),
            parameters: Parameters::default(),
        },
        kinds: Kinds::new([kind]),
        administrators: Administrators { threshold: 1, keys: Vec::new() },
        sequence: 0,
        nonces: 0,
    };
    println!("entities   execution   tree     leaves  pages   bytes of state  bytes of pages   (per operation)");
    for entities in [1_000, 10_000, 100_000, 400_000] {
        let filled = world.sequence * OPERATIONS;
        for first in (filled..entities).step_by(OPERATIONS as usize) {
            world.run(&mut Cost::default(), |index| first + index);
        }
        let mut cost = Cost::default();
        for round in 0..MEASURED {
            world.run(&mut cost, |index| (index * 7_919 + round * 104_729) % entities);
        }
        let per = |amount: usize| amount as f64 / (MEASURED * OPERATIONS) as f64;
        let us = |time: Duration| per(time.as_nanos() as usize) / 1_000.0;
        println!(
            "{entities:<10} {:>6.1} µs {:>6.1} µs {:>8.2} {:>6.2} {:>12.0} {:>14.0}",
            us(cost.execution),
            us(cost.tree),
            per(cost.leaves),
            per(cost.pages.0),
            per(cost.state.1),
            per(cost.pages.1),
        );
    }
}

impl World {
    /// Executes a sequence whose operations put the entities that `pick` numbers.
    fn run(&mut self, cost: &mut Cost, pick: impl Fn(u64) -> u64) {
        self.sequence += 1;
        let ordered: Vec<Ordered> = (0..OPERATIONS).map(|index| self.operation(pick(index))).collect();
        let block = Block {
            sequence: Sequence(self.sequence),
            time: BlockTime(self.sequence),
            proposal: sha256(&[&self.sequence.to_be_bytes()]),
            ordered: &ordered,
            cluster: ClusterId(Digest::ZERO),
            tips: &[],
            before: None,
        };
        let began = on_cpu();
        let charter = Charter {
            epoch: &self.epoch,
            kinds: &self.kinds,
            administrators: &self.administrators,
            scheme: Scheme::Ed25519,
            start: Digest::ZERO,
        };
        let done = execute(&self.state, charter, &block).expect("a map never fails");
        cost.execution += on_cpu() - began;
        assert_eq!(done.receipts.len() as u64, OPERATIONS);
        let began = on_cpu();
        let updated = tree::update(&self.pages, &mut self.cache, tree::changes(&done.writes)).expect("it is whole");
        cost.tree += on_cpu() - began;
        cost.leaves += tree::changes(&done.writes).count();
        add(&mut cost.state, &done.writes);
        add(&mut cost.pages, &updated.writes);
        apply(&mut self.state, &done.writes);
        apply(&mut self.pages, &updated.writes);
    }

    fn operation(&mut self, entity: u64) -> Ordered {
        let author = self.nonces % AUTHORS;
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&author.to_be_bytes());
        let key = SecretKey::from_seed(seed);
        let nonce = self.nonces / AUTHORS;
        self.nonces += 1;
        let text = format!("{:0>480}", self.nonces);
        let operation = OperationBuilder::new(ClusterId(Digest::ZERO), key.public(), nonce, BlockTime(1 << 20))
            .mutate(EntityId::new("note", &format!("n{entity}")), Change::Put { value: Value::Text(text) })
            .sign(&key)
            .expect("a well-formed operation");
        Ordered { lane: ValidatorIndex(0), operation: Arc::new(operation) }
    }
}

fn add(sum: &mut (usize, usize), writes: &WriteBatch) {
    sum.0 += writes.len();
    sum.1 += writes.size_bytes();
}

fn apply(entries: &mut Entries, writes: &WriteBatch) {
    for write in writes.changes() {
        match write {
            Write::Put { key, value, .. } => drop(entries.insert(key.to_vec(), value.to_vec())),
            Write::Delete { key, .. } => drop(entries.remove(key)),
        }
    }
}
