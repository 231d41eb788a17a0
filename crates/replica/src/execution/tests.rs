//! One batch per sequence, in order, each once, and the same again after a crash.

use std::collections::BTreeMap;

use quorate_crypto::{Scheme, SecretKey, Signature};
use quorate_machine::tree::Cache;
use quorate_proof::sparse::{self, Leaf};
use quorate_storage::{Durability, Family, MemoryStore};
use quorate_types::bundle::{BundleHeader, operations_bytes, operations_root};
use quorate_types::epoch::EpochDefinition;
use quorate_types::genesis::Administrators;
use quorate_types::ids::{BlockTime, Epoch};
use quorate_types::kind::{Access, Consistency, EntityType, Kind};
use quorate_types::merkle;
use quorate_types::operation::{Change, EntityId, Operation, OperationBuilder};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::Payload;
use quorate_types::receipt::{Judgement, Outcome};
use quorate_types::signed::Signed;

use super::*;

/// A store, a chain that is delivered into it, and lanes that feed the chain.
struct World {
    store: MemoryStore,
    setup: ExecutionSetup,
    sequence: Sequence,
    parent: Digest,
    heads: BTreeMap<ValidatorIndex, Point>,
    nonce: u64,
}

impl World {
    fn new() -> Self {
        let access = Access::open([]);
        let counter = Kind {
            name: "hits".to_owned(),
            consistency: Consistency::Strong,
            entity_type: EntityType::Counter,
            schema: None,
            access,
        };
        let setup = ExecutionSetup {
            cluster: ClusterId(Digest::ZERO),
            epoch: Arc::new(EpochDefinition {
                epoch: Epoch(0),
                start: Sequence(0),
                validators: Vec::new(),
                learners: Vec::new(),
                barred: Vec::new(),
                parameters: Parameters::default(),
            }),
            kinds: Arc::new(Kinds::new([counter])),
            administrators: Arc::new(Administrators { threshold: 1, keys: Vec::new() }),
            scheme: Scheme::Ed25519,
            start: Digest::ZERO,
        };
        Self {
            store: MemoryStore::default(),
            setup,
            sequence: Sequence::ZERO,
            parent: Digest::ZERO,
            heads: BTreeMap::new(),
            nonce: 0,
        }
    }

    /// Adds to the counter `id`, which the first operation creates.
    fn operation(&mut self, id: &str) -> Arc<Operation> {
        self.nonce += 1;
        let key = SecretKey::from_seed([1; 32]);
        let cluster = ClusterId(Digest::ZERO);
        let change = if self.nonce == 1 { Change::Create { value: None } } else { Change::Add { by: 1 } };
        let builder = OperationBuilder::new(cluster, key.public(), self.nonce, BlockTime(10_000));
        Arc::new(builder.mutate(EntityId::new("hits", id), change).sign(&key).unwrap())
    }

    fn bundle(&mut self, lane: u16, operations: Vec<Arc<Operation>>) -> Arc<Bundle> {
        let lane = ValidatorIndex(lane);
        let head = self.heads.get(&lane).copied().unwrap_or(Point::EMPTY);
        let header = BundleHeader {
            epoch: Epoch(0),
            lane,
            number: head.number.next(),
            parent: head.digest,
            cumulative_operations: head.cumulative_operations + operations.len() as u64,
            cumulative_bytes: head.cumulative_bytes + operations_bytes(&operations),
            operations_root: operations_root(&operations),
        };
        self.heads.insert(lane, Point::of(&header, header.digest()));
        let header = Signed { statement: header, signature: Signature::from_bytes([0; 64]) };
        Arc::new(Bundle { header, operations })
    }

    /// Records a delivered proposal with everything that it stands for.
    fn deliver(&mut self, bundles: &[Arc<Bundle>]) -> ExecutionJob {
        self.sequence = self.sequence.next();
        let mut tips = BTreeMap::new();
        for bundle in bundles {
            tips.insert(bundle.header.statement.lane, bundle.header.statement.tip());
        }
        let proposal = Proposal {
            epoch: Epoch(0),
            sequence: self.sequence,
            parent: self.parent,
            time: BlockTime(self.sequence.0),
            payload: Payload { tips: tips.into_values().collect() },
        };
        let digest = proposal.digest();
        self.parent = digest;
        let mut batch = WriteBatch::new();
        records::proposal(&digest).put(&mut batch, &proposal);
        records::committed(self.sequence).put(&mut batch, &digest);
        bundles.iter().for_each(|bundle| records::bundle_slot(bundle).put(&mut batch, bundle));
        self.store.write(batch, Durability::Synced).unwrap();
        ExecutionJob { sequence: self.sequence, digest, proposal, bundles: bundles.to_vec() }
    }

    fn execute(&self, job: &ExecutionJob) -> ExecutedBatch {
        execute(&self.store, &self.setup, &mut Cache::default(), job).unwrap()
    }

    fn write(&self, done: &ExecutedBatch) {
        self.store.write(done.batch.clone(), Durability::Buffered).unwrap();
    }
}

/// The root by its definition, from every entry of the state but the index (data-model §4.7).
fn defined_root(store: &MemoryStore) -> Digest {
    let entries = store.scan(Family::State, &[], &[], usize::MAX).unwrap();
    let covered = entries.iter().filter(|(key, _)| tree::is_covered(key));
    let mut leaves: Vec<Leaf> = covered.map(|(key, value)| Leaf::of(key, value)).collect();
    leaves.sort();
    sparse::root_of(&leaves)
}

#[test]
fn a_job_gives_state_receipts_places_and_mark_in_one_batch() {
    let mut world = World::new();
    let operations = vec![world.operation("a"), world.operation("a"), world.operation("b")];
    let bundles = [world.bundle(0, operations[..2].to_vec()), world.bundle(3, operations[2..].to_vec())];
    let job = world.deliver(&bundles);
    let done = world.execute(&job);
    assert_eq!(records::executed().read(&world.store), Ok(None), "nothing is written yet");
    world.write(&done);
    let leaves: Vec<Digest> = done.receipts.iter().map(Receipt::digest).collect();
    let execution = Execution {
        epoch: Epoch(0),
        sequence: Sequence(1),
        proposal: job.digest,
        state_root: defined_root(&world.store),
        receipts_root: merkle::root(&leaves),
    };
    assert_eq!(done.executed, Executed { execution, waiting: 0, ends: None, convictions: Vec::new() });
    assert_eq!(records::receipts_at(&world.store, Sequence(1)).unwrap(), done.receipts);
    assert_eq!(done.receipts.len(), 3);
    for operation in &operations {
        let place = records::place(&operation.id()).read(&world.store).unwrap().unwrap();
        let receipt = records::receipt(place.sequence, place.index).read(&world.store).unwrap().unwrap();
        assert_eq!(receipt.operation, operation.id());
    }
    let mark = records::executed().read(&world.store).unwrap().unwrap();
    assert_eq!((mark.execution, mark.time), (execution, BlockTime(1)));
    let tips: Vec<_> = mark.points.iter().map(|point| point.number.0).collect();
    assert_eq!(tips, [1, 0, 0, 1]);
    assert!(!world.store.scan(Family::State, &[], &[], 1).unwrap().is_empty());
}

/// data-model §3: the same id again gives no second receipt, ever.
#[test]
fn an_operation_in_two_lanes_or_two_proposals_executes_once() {
    let mut world = World::new();
    let operation = world.operation("a");
    let twice = [world.bundle(0, vec![Arc::clone(&operation)]), world.bundle(1, vec![Arc::clone(&operation)])];
    let job = world.deliver(&twice);
    let done = world.execute(&job);
    assert_eq!(done.receipts.len(), 1);
    assert_eq!(done.receipts[0].outcome, Outcome::Applied);
    world.write(&done);
    let place = records::place(&operation.id()).read(&world.store);
    let again = world.bundle(2, vec![Arc::clone(&operation)]);
    let job = world.deliver(&[again]);
    let done = world.execute(&job);
    assert_eq!((done.receipts.as_slice(), done.judgements.as_slice()), ([].as_slice(), [].as_slice()));
    world.write(&done);
    assert_eq!(records::place(&operation.id()).read(&world.store), place);
}

/// data-model §3.2: a client that comes back when the receipt isn't kept any more hears that it executed, and nothing
/// executes again.
#[test]
fn an_operation_whose_receipt_is_pruned_is_answered() {
    let mut world = World::new();
    let operation = world.operation("a");
    let first = world.bundle(0, vec![Arc::clone(&operation)]);
    let job = world.deliver(&[first]);
    world.write(&world.execute(&job));
    let place = records::place(&operation.id());
    let mut batch = WriteBatch::new();
    batch.delete(place.family(), place.key());
    world.store.write(batch, Durability::Buffered).unwrap();
    let again = world.bundle(1, vec![Arc::clone(&operation)]);
    let job = world.deliver(&[again]);
    let done = world.execute(&job);
    assert_eq!(done.receipts, []);
    assert_eq!(done.judgements, [(operation.id(), Judgement::ReceiptPruned)]);
    world.write(&done);
    let judged = records::judged(&operation.id()).read(&world.store).unwrap().unwrap();
    assert_eq!(judged, Judged { sequence: Sequence(2), judgement: Judgement::ReceiptPruned });
}

/// data-model §3: an answer without a receipt says at which sequence it was judged.
#[test]
fn a_judgement_is_kept_beside_and_never_in_place_of_a_receipt() {
    let mut world = World::new();
    let first = world.operation("a");
    let bundle = world.bundle(0, vec![first]);
    let job = world.deliver(&[bundle]);
    world.write(&world.execute(&job));
    world.nonce = 1_000_000;
    let far = world.operation("a");
    let bundle = world.bundle(0, vec![Arc::clone(&far)]);
    let job = world.deliver(&[bundle]);
    let done = world.execute(&job);
    world.write(&done);
    let judged = records::judged(&far.id()).read(&world.store).unwrap().unwrap();
    assert_eq!(judged.sequence, Sequence(2));
    assert!(matches!(judged.judgement, Judgement::NonceTooFar { .. }), "{:?}", judged.judgement);
    assert_eq!(done.judgements, [(far.id(), judged.judgement)]);
    assert_eq!(records::place(&far.id()).read(&world.store), Ok(None));
}

#[test]
fn jobs_go_in_order_each_once_and_on_one_chain() {
    let mut world = World::new();
    let first = world.deliver(&[]);
    let second = world.deliver(&[]);
    let refused =
        |world: &World, job: &ExecutionJob| match execute(&world.store, &world.setup, &mut Cache::default(), job) {
            Err(ExecutionError::OutOfOrder { executed, found, .. }) => (executed.0, found.0),
            other => panic!("{other:?}"),
        };
    assert_eq!(refused(&world, &second), (0, 2));
    world.write(&world.execute(&first));
    assert_eq!(refused(&world, &first), (1, 1));
    let mut stray = second.clone();
    stray.proposal.parent = Digest::new([9; 32]);
    assert_eq!(refused(&world, &stray), (1, 2));
    world.write(&world.execute(&second));
}

#[test]
fn after_a_crash_the_lost_sequences_are_executed_again_from_the_records_with_the_same_result() {
    let mut world = World::new();
    let mut jobs = Vec::new();
    for _ in 0..6 {
        let mut bundles = Vec::new();
        for lane in [0, 0, 2] {
            let operation = world.operation("a");
            bundles.push(world.bundle(lane, vec![operation]));
        }
        jobs.push(world.deliver(&bundles));
    }
    let results: Vec<_> = jobs
        .iter()
        .map(|job| {
            let done = world.execute(job);
            world.write(&done);
            (done.executed, done.receipts)
        })
        .collect();
    let mut durable = 0;
    for kept in [0, 1, 2] {
        world.store.crash(kept);
        durable += kept;
        let mut again = Vec::new();
        while let Some(job) = next_job(&world.store).unwrap() {
            assert_eq!(job.bundles.len(), 3);
            let done = world.execute(&job);
            world.write(&done);
            assert_eq!(done.executed.execution.state_root, defined_root(&world.store));
            again.push((done.executed, done.receipts));
        }
        assert_eq!(again[..], results[durable..]);
    }
}

#[test]
fn a_bundle_that_was_delivered_and_is_gone_stops_execution() {
    let mut world = World::new();
    let operation = world.operation("a");
    let bundle = world.bundle(0, vec![operation]);
    let job = world.deliver(&[Arc::clone(&bundle)]);
    assert_eq!(next_job(&world.store).unwrap().unwrap().bundles, job.bundles);
    let slot = records::bundle_slot(&bundle);
    let mut batch = WriteBatch::new();
    batch.delete(slot.family(), slot.key());
    world.store.write(batch, Durability::Synced).unwrap();
    assert_eq!(next_job(&world.store).unwrap_err(), ExecutionError::Lost { sequence: Sequence(1) });
}
