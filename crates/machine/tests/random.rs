//! Random operations against a naive reference that keeps everything in plain maps and sets, and the same
//! input twice.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::*;
use quorate_machine::{Content, read};
use quorate_types::codec::Canonical;
use quorate_types::ids::OperationId;
use quorate_types::kind::{Access, Kind, Kinds, Right};
use quorate_types::operation::{Change, Condition, EntityId, Operation};
use quorate_types::receipt::Judgement;
use quorate_types::value::Value;

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// What the reference knows: values by entity, and which nonces every author has used.
#[derive(Clone, Default)]
struct Reference {
    numbers: BTreeMap<EntityId, i64>,
    documents: BTreeMap<EntityId, BTreeMap<String, i64>>,
    versions: BTreeMap<EntityId, u64>,
    executed: BTreeSet<OperationId>,
    nonces: BTreeMap<[u8; 32], BTreeMap<u64, OperationId>>,
    minted: i128,
}

impl Reference {
    /// Whether the nonce may be used, by the letter of data-model §3 with unbounded memory.
    fn admits(&self, operation: &Operation) -> bool {
        let Some(used) = self.nonces.get(operation.author().as_bytes()) else { return true };
        // Nothing below the author's first nonce is ever admitted, so the lowest one is the first.
        let (first, highest) = (used.keys().next(), used.keys().next_back());
        let (Some(first), Some(highest)) = (first, highest) else { return true };
        let nonce = operation.nonce();
        let in_window = nonce >= *first && nonce + 1_024 > *highest && nonce <= highest + 1_024;
        in_window && !used.contains_key(&nonce)
    }

    fn use_nonce(&mut self, operation: &Operation) {
        self.executed.insert(operation.id());
        let author = *operation.author().as_bytes();
        self.nonces.entry(author).or_default().insert(operation.nonce(), operation.id());
    }

    /// Applies all of an operation or nothing; whether it did.
    fn apply(&mut self, operation: &Operation) -> bool {
        let mut after = self.clone();
        let content = operation.content();
        let guards = content.guards.iter().all(|guard| match guard.condition {
            Condition::Exists => self.versions.contains_key(&guard.entity),
            Condition::Absent => !self.versions.contains_key(&guard.entity),
            Condition::Version(version) => self.versions.get(&guard.entity) == Some(&version),
            _ => unreachable!("the test makes no others"),
        });
        if !guards || !content.mutations.iter().all(|mutation| after.change(&mutation.entity, &mutation.change)) {
            return false;
        }
        let touched: BTreeSet<EntityId> = content
            .mutations
            .iter()
            .flat_map(|mutation| match &mutation.change {
                Change::Transfer { to, .. } => vec![mutation.entity.clone(), EntityId::new("money", to)],
                _ => vec![mutation.entity.clone()],
            })
            .collect();
        for entity in touched {
            if after.numbers.contains_key(&entity) || after.documents.contains_key(&entity) {
                *after.versions.entry(entity).or_default() += 1;
            } else {
                after.versions.remove(&entity);
            }
        }
        *self = after;
        true
    }

    /// One mutation; a deleted entity starts anew.
    fn change(&mut self, entity: &EntityId, change: &Change) -> bool {
        let is_document = entity.kind == "package";
        let exists = self.numbers.contains_key(entity) || self.documents.contains_key(entity);
        match change {
            Change::Create { .. } if exists => false,
            Change::Create { .. } => {
                self.numbers.insert(entity.clone(), 0);
                true
            }
            Change::Put { .. } => {
                self.documents.insert(entity.clone(), BTreeMap::new());
                true
            }
            Change::Delete => {
                if entity.kind == "money" && self.numbers.get(entity).is_some_and(|balance| *balance != 0) {
                    return false;
                }
                self.versions.remove(entity);
                self.documents.remove(entity).is_some() || self.numbers.remove(entity).is_some()
            }
            Change::Increment { path, by } if is_document => {
                let Some(document) = self.documents.get_mut(entity) else { return false };
                *document.entry(path.0[0].clone()).or_default() += by;
                true
            }
            Change::Unset { path } => {
                self.documents.get_mut(entity).is_some_and(|document| document.remove(&path.0[0]).is_some())
            }
            Change::Add { by } => self.add(entity, i128::from(*by), i64::MIN),
            Change::Mint { amount } => {
                self.minted += i128::from(*amount);
                self.add(entity, i128::from(*amount), 0)
            }
            Change::Burn { amount } => {
                self.minted -= i128::from(*amount);
                self.add(entity, -i128::from(*amount), 0)
            }
            Change::Transfer { to, amount } => {
                let to = EntityId::new("money", to);
                to != *entity && self.add(entity, -i128::from(*amount), 0) && self.add(&to, i128::from(*amount), 0)
            }
            _ => false,
        }
    }

    fn add(&mut self, entity: &EntityId, by: i128, lowest: i64) -> bool {
        let Some(number) = self.numbers.get_mut(entity) else { return false };
        let sum = i64::try_from(i128::from(*number) + by).ok().filter(|sum| *sum >= lowest);
        *number = sum.unwrap_or(*number);
        sum.is_some()
    }
}

fn any_mutation(dice: &mut Dice) -> (EntityId, Change) {
    let id = dice.pick(&IDS);
    let path = dice.pick(&["/x", "/y", "/z"]).parse().expect("a JSON pointer");
    let amount = 1 + dice.below(20);
    let small = dice.below(2_000) as i64 - 1_000;
    match dice.below(18) {
        0 | 1 => (document(id), put(map(&[]))),
        2 => (document(id), Change::Delete),
        3..=5 => (document(id), Change::Increment { path, by: small }),
        6 => (document(id), Change::Unset { path }),
        7 => (counter(id), create()),
        8 | 9 => (counter(id), Change::Add { by: small }),
        10 => (counter(id), Change::Add { by: i64::MAX - dice.below(2) as i64 }),
        11 => (account(id), create()),
        12 => (account(id), Change::Delete),
        13 => (account(id), Change::Mint { amount }),
        14 => (account(id), Change::Burn { amount }),
        15 => (account(id), Change::Mint { amount: 1 << 62 }),
        _ => (account(id), transfer(dice.pick(&IDS), amount)),
    }
}

fn any_operation(world: &World, dice: &mut Dice, past: &[Arc<Operation>]) -> Arc<Operation> {
    let author = author(dice.below(3) as u8);
    let nonce = 5_000 + world.sequence * 20 + dice.below(1_200);
    let mut builder = world.with_nonce(author, nonce);
    if dice.below(3) == 0 {
        let (entity, _) = any_mutation(dice);
        let condition = match dice.below(3) {
            0 => Condition::Exists,
            1 => Condition::Absent,
            _ => Condition::Version(1 + dice.below(4)),
        };
        builder = builder.guard(entity, condition);
    }
    if !past.is_empty() && dice.below(3) == 0 {
        builder = builder.parent(dice.pick(past).id());
    }
    for _ in 0..=dice.below(4) {
        let (entity, change) = any_mutation(dice);
        builder = builder.mutate(entity, change);
    }
    finish(builder)
}

/// The machine's entities are those of the reference.
fn compare(world: &World, reference: &Reference) {
    let mut supply = 0;
    for kind in ["package", "hits", "money"] {
        let entities = read::entities(&world.state, kind, None, usize::MAX).expect("a map never fails");
        let of_kind = |entity: &&EntityId| entity.kind == kind;
        assert_eq!(entities.len(), reference.versions.keys().filter(of_kind).count(), "{kind}");
        for (id, entity) in entities {
            assert_eq!(Some(&entity.header.version), reference.versions.get(&id), "{id}");
            match entity.content {
                Content::Counter(number) => assert_eq!(Some(&number), reference.numbers.get(&id), "{id}"),
                Content::Account(balance) => {
                    supply += i128::from(balance);
                    assert_eq!(Some(&balance), reference.numbers.get(&id), "{id}");
                }
                Content::Document(value) => {
                    let numbers = reference.documents[&id].iter().map(|(key, number)| (key.clone(), integer(*number)));
                    assert_eq!(value, Value::Map(numbers.collect()), "{id}");
                }
                other => panic!("{id} is {other:?}"),
            }
        }
    }
    assert_eq!(read::supply(&world.state, "money").expect("a map never fails"), supply, "supply is the sum");
    assert_eq!(supply, reference.minted, "and what was minted less what was burnt");
}

/// Runs `sequences` sequences of random operations, many of them sent several times, and compares after
/// each. The digest of all that was written.
fn campaign(seed: u64, sequences: u64) -> quorate_crypto::Digest {
    let mut dice = Dice(seed);
    let mut world = World::new();
    let access = Access { administer: Right::Anyone, ..Access::open([]) };
    world.kinds = Kinds::new(world.kinds.iter().map(|kind| Kind { access: access.clone(), ..kind.clone() }));
    let mut reference = Reference::default();
    let mut past: Vec<Arc<Operation>> = Vec::new();
    let mut hasher = quorate_crypto::Hasher::new();
    for _ in 0..sequences {
        let mut batch = Vec::new();
        for _ in 0..dice.below(12) {
            let again = !past.is_empty() && dice.below(5) == 0;
            let operation = if again { dice.pick(&past) } else { any_operation(&world, &mut dice, &past) };
            past.push(operation.clone());
            batch.push((dice.below(4) as u16, operation));
        }
        let executed = world.run(&batch);
        let by_id: BTreeMap<_, _> = past.iter().map(|operation| (operation.id(), operation)).collect();
        for receipt in &executed.receipts {
            let operation = by_id[&receipt.operation];
            assert!(!reference.executed.contains(&operation.id()), "a second receipt");
            assert!(reference.admits(operation), "a nonce used twice or out of the window");
            for parent in &operation.content().parents {
                assert!(reference.executed.contains(parent), "a parent before its child");
            }
            let applied = reference.apply(operation);
            assert_eq!(receipt.is_applied(), applied, "{:?} of {:?}", receipt.outcome, operation.content());
            reference.use_nonce(operation);
            hasher.update(&receipt.to_bytes());
        }
        for (id, judgement) in &executed.judgements {
            let is_about_nonces = matches!(
                judgement,
                Judgement::NonceUsed { .. } | Judgement::NonceTooOld { .. } | Judgement::NonceTooFar { .. }
            );
            assert!(is_about_nonces && !reference.executed.contains(id), "{judgement:?}");
        }
        compare(&world, &reference);
    }
    for (key, value) in &world.state {
        hasher.update(key).update(value);
    }
    assert!(reference.executed.len() as u64 > sequences, "most operations executed");
    hasher.finish()
}

#[test]
fn random_operations_do_what_a_naive_reference_does() {
    for seed in 1..=40 {
        campaign(seed, 60);
    }
}

#[test]
fn the_same_operations_leave_the_same_bytes() {
    for seed in [3, 77] {
        assert_eq!(campaign(seed, 80), campaign(seed, 80));
    }
}

/// Whatever lanes bring the same operations in whatever mixture, no account falls below zero and the sum
/// stays (data-model §2.3), with amounts near the ends of the range.
#[test]
fn transfers_in_any_order_keep_the_sum() {
    let mut dice = Dice(9);
    let mut world = World::new();
    for id in IDS {
        world.apply(account(id), create());
        world.apply(account(id), Change::Mint { amount: 1 << 60 });
    }
    for _ in 0..100 {
        let amounts = [1, 1 << 59, 1 << 60, (1 << 60) + 1, u64::MAX];
        let operations: Vec<_> = (0..20u8)
            .map(|number| {
                let from = account(dice.pick(&IDS));
                let to = dice.pick(&IDS);
                let change = transfer(to, dice.pick(&amounts));
                (u16::from(number) % 4, finish(world.by(author(number)).mutate(from, change)))
            })
            .collect();
        world.run(&operations);
        let balances = IDS.map(|id| world.number(&account(id)).expect("it exists"));
        assert!(balances.iter().all(|balance| *balance >= 0));
        assert_eq!(balances.iter().map(|balance| i128::from(*balance)).sum::<i128>(), 4 << 60);
    }
}
