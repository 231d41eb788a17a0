//! A state in memory that operations are executed on, one sequence at a time.
#![expect(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_crypto::{Digest, PublicKey, Scheme, Signature, sha256};
use quorate_machine::{Block, Charter, CheckpointRoot, Executed, Ordered, execute, read};
use quorate_storage::Change as Write;
use quorate_types::epoch::EpochDefinition;
use quorate_types::genesis::Administrators;
use quorate_types::ids::{BlockTime, ClusterId, Epoch, OperationId, Sequence, ValidatorIndex};
use quorate_types::kind::{Access, Consistency, EntityType, Kind, Kinds, Right};
use quorate_types::operation::{Change, Condition, EntityId, Operation, OperationBuilder, SignedOperation};
use quorate_types::parameters::Parameters;
use quorate_types::receipt::{Judgement, Outcome, Receipt, RejectionCode};
use quorate_types::value::Value;

pub(crate) type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// A linear congruential generator (Knuth's MMIX constants); its high bits are good enough here.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(crate) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }
}

/// Block time of sequence 0.
pub(crate) const START_MS: u64 = 1_000_000_000_000;

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) parameters: Parameters,
    /// The epoch; its parameters are those above.
    pub(crate) epoch: EpochDefinition,
    /// What the next sequence is told of the state before it.
    pub(crate) before: Option<CheckpointRoot>,
    pub(crate) kinds: Kinds,
    pub(crate) administrators: Administrators,
    pub(crate) sequence: u64,
    pub(crate) time: u64,
    nonces: BTreeMap<PublicKey, u64>,
}

/// The owner of everything in tests that aren't about rights.
pub(crate) fn admin() -> PublicKey {
    author(0)
}

/// No signature is checked here, so any bytes are a key.
pub(crate) fn author(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

pub(crate) fn kind(name: &str, entity_type: EntityType) -> Kind {
    Kind {
        name: name.to_owned(),
        consistency: Consistency::Strong,
        entity_type,
        schema: None,
        access: Access::open([admin()]),
    }
}

pub(crate) fn keys(keys: &[PublicKey]) -> Right {
    Right::Keys(keys.iter().copied().collect())
}

pub(crate) fn document(id: &str) -> EntityId {
    EntityId::new("package", id)
}

pub(crate) fn counter(id: &str) -> EntityId {
    EntityId::new("hits", id)
}

pub(crate) fn account(id: &str) -> EntityId {
    EntityId::new("money", id)
}

pub(crate) fn setting(id: &str) -> EntityId {
    EntityId::new("setting", id)
}

pub(crate) fn tags(id: &str) -> EntityId {
    EntityId::new("tags", id)
}

pub(crate) fn stock(id: &str) -> EntityId {
    EntityId::new("stock", id)
}

pub(crate) fn integer(number: i64) -> Value {
    Value::Integer(number)
}

pub(crate) fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

pub(crate) fn create() -> Change {
    Change::Create { value: None }
}

pub(crate) fn put(value: Value) -> Change {
    Change::Put { value }
}

pub(crate) fn transfer(to: &str, amount: u64) -> Change {
    Change::Transfer { to: to.to_owned(), amount }
}

/// What an operation is built from: a builder and its parents' order don't matter here.
pub(crate) fn finish(builder: OperationBuilder) -> Arc<Operation> {
    let signature = Signature::from_bytes([0; 64]);
    let signed = SignedOperation { body: builder.content().to_body(), signature };
    Arc::new(Operation::decode(&signed).expect("tests build well-formed operations"))
}

impl World {
    pub(crate) fn new() -> Self {
        let kinds = [
            kind("package", EntityType::Document),
            kind("hits", EntityType::Counter),
            kind("money", EntityType::Account { overdraft: false }),
            kind("credit", EntityType::Account { overdraft: true }),
            kind("setting", EntityType::Register),
            kind("tags", EntityType::Set),
            kind("stock", EntityType::Inventory),
        ];
        Self {
            state: State::new(),
            parameters: Parameters::default(),
            epoch: EpochDefinition {
                epoch: Epoch(0),
                start: Sequence(0),
                validators: Vec::new(),
                learners: Vec::new(),
                barred: Vec::new(),
                parameters: Parameters::default(),
            },
            before: None,
            kinds: Kinds::new(kinds),
            administrators: Administrators { threshold: 1, keys: vec![admin()] },
            sequence: 0,
            time: START_MS,
            nonces: BTreeMap::new(),
        }
    }

    /// An operation of `author` with this nonce that expires in an hour.
    pub(crate) fn with_nonce(&self, author: PublicKey, nonce: u64) -> OperationBuilder {
        let cluster = ClusterId(Digest::ZERO);
        OperationBuilder::new(cluster, author, nonce, BlockTime(self.time + 3_600_000))
    }

    /// An operation of `author` with its next nonce.
    pub(crate) fn by(&mut self, author: PublicKey) -> OperationBuilder {
        let nonce = *self.nonces.entry(author).and_modify(|nonce| *nonce += 1).or_insert(100);
        self.with_nonce(author, nonce)
    }

    /// An operation of the administrator with its next nonce.
    pub(crate) fn op(&mut self) -> OperationBuilder {
        self.by(admin())
    }

    /// Executes a sequence, a second after the one before, and keeps what it writes.
    pub(crate) fn run(&mut self, operations: &[(u16, Arc<Operation>)]) -> Executed {
        self.advance(1, 1_000);
        let executed = self.execute(operations);
        for write in executed.writes.changes() {
            match write {
                Write::Put { key, value, .. } => self.state.insert(key.to_vec(), value.to_vec()),
                Write::Delete { key, .. } => self.state.remove(key),
            };
        }
        let indexes: Vec<u32> = executed.receipts.iter().map(|receipt| receipt.index).collect();
        assert!(indexes.iter().copied().eq(0..indexes.len() as u32), "indexes count the receipts");
        executed
    }

    /// Executes a sequence at the present place and time without keeping what it writes.
    pub(crate) fn execute(&self, operations: &[(u16, Arc<Operation>)]) -> Executed {
        let ordered: Vec<Ordered> = operations
            .iter()
            .map(|(lane, operation)| Ordered { lane: ValidatorIndex(*lane), operation: operation.clone() })
            .collect();
        let proposal = sha256(&[&self.sequence.to_be_bytes()]);
        let block = Block {
            sequence: Sequence(self.sequence),
            time: BlockTime(self.time),
            proposal,
            ordered: &ordered,
            cluster: ClusterId(sha256(&[])),
            tips: &[],
            before: self.before,
        };
        let epoch = EpochDefinition { parameters: self.parameters, ..self.epoch.clone() };
        let charter = Charter {
            epoch: &epoch,
            kinds: &self.kinds,
            administrators: &self.administrators,
            scheme: Scheme::Ed25519,
            start: Digest::ZERO,
        };
        execute(&self.state, charter, &block).expect("a map never fails")
    }

    /// Lets sequences and time go by without executing any.
    pub(crate) fn advance(&mut self, sequences: u64, ms: u64) {
        self.sequence += sequences;
        self.time += ms;
    }

    /// Executes one operation alone; it must get a receipt.
    pub(crate) fn receipt(&mut self, operation: &Arc<Operation>) -> Receipt {
        let executed = self.run(&[(0, operation.clone())]);
        assert_eq!(executed.judgements, []);
        let [receipt] = &executed.receipts[..] else { panic!("{} receipts", executed.receipts.len()) };
        assert_eq!(receipt.operation, operation.id());
        receipt.clone()
    }

    /// Executes one operation alone; it must get an answer without a receipt and change nothing.
    pub(crate) fn judgement(&mut self, operation: &Arc<Operation>) -> Judgement {
        let before = self.entries();
        let executed = self.run(&[(0, operation.clone())]);
        assert_eq!(executed.receipts, []);
        assert_eq!(self.entries(), before, "an answer without a receipt changes nothing");
        let [(id, judgement)] = &executed.judgements[..] else { panic!("{:?}", executed.judgements) };
        assert_eq!(*id, operation.id());
        *judgement
    }

    /// The state without what every sequence writes: its position, the tips of the lanes and the cluster.
    pub(crate) fn entries(&self) -> State {
        let is_of_all = |key: &[u8]| [b"m", b"t", b"g"].iter().any(|of_all| key == *of_all);
        self.state.iter().filter(|(key, _)| !is_of_all(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// One mutation by the administrator; applied.
    pub(crate) fn apply(&mut self, entity: EntityId, change: Change) -> OperationId {
        let operation = finish(self.op().mutate(entity, change));
        let receipt = self.receipt(&operation);
        assert_eq!(receipt.outcome, Outcome::Applied);
        operation.id()
    }

    /// One mutation by the administrator; rejected.
    pub(crate) fn reject(&mut self, entity: EntityId, change: Change) -> RejectionCode {
        let operation = finish(self.op().mutate(entity, change));
        rejection(&self.receipt(&operation)).0
    }

    /// One guard on an otherwise harmless operation of the administrator.
    pub(crate) fn guard(&mut self, entity: EntityId, condition: Condition) -> Outcome {
        let operation = self.op().guard(entity, condition).mutate(document("harmless"), put(Value::Null));
        self.receipt(&finish(operation)).outcome
    }

    pub(crate) fn version(&self, entity: &EntityId) -> Option<u64> {
        read::entity(&self.state, entity).expect("a map never fails").map(|entity| entity.header.version)
    }

    pub(crate) fn content(&self, entity: &EntityId) -> Option<quorate_machine::Content> {
        read::entity(&self.state, entity).expect("a map never fails").map(|entity| entity.content)
    }

    pub(crate) fn number(&self, entity: &EntityId) -> Option<i64> {
        match self.content(entity)? {
            quorate_machine::Content::Counter(number) | quorate_machine::Content::Account(number) => Some(number),
            _ => None,
        }
    }
}

/// Code and sentence of a rejection.
pub(crate) fn rejection(receipt: &Receipt) -> (RejectionCode, String) {
    match &receipt.outcome {
        Outcome::Rejected(rejection) => (rejection.code, rejection.message.clone()),
        Outcome::Applied => panic!("it was applied"),
    }
}
