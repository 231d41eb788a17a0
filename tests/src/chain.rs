//! A chain of executed sequences in one store, without a cluster: operations go through the execution that
//! validators run, one bundle per sequence. For measuring the state, not the protocol: nothing is ordered,
//! and bundles carry no valid signature.

use std::sync::Arc;

use anyhow::Context;
use quorate_crypto::{Digest, Scheme, SecretKey, Signature};
use quorate_replica::execution::{ExecutionJob, ExecutionSetup, execute};
use quorate_replica::machine::tree::Cache;
use quorate_replica::records;
use quorate_storage::{Durability, Store};
use quorate_types::bundle::{Bundle, BundleHeader, operations_bytes, operations_root};
use quorate_types::epoch::EpochDefinition;
use quorate_types::genesis::Administrators;
use quorate_types::ids::{BlockTime, BundleNumber, ClusterId, Epoch, Sequence, ValidatorIndex};
use quorate_types::kind::{Access, Consistency, EntityType, Kind, Kinds};
use quorate_types::operation::{Mutation, Operation, OperationBuilder};
use quorate_types::parameters::Parameters;
use quorate_types::proposal::{Payload, Proposal};
use quorate_types::receipt::Outcome;

/// The only kind: documents.
pub const KIND: &str = "document";

/// Block time between two sequences, in milliseconds.
const STEP_MS: u64 = 100;

/// Where the chain of a store ends, and the author of what is put on it.
#[derive(Debug)]
pub struct Chain {
    setup: ExecutionSetup,
    tree: Cache,
    key: SecretKey,
    nonce: u64,
    sequence: Sequence,
    digest: Digest,
    time: BlockTime,
    bundle: (BundleNumber, Digest),
    cumulative: (u64, u64),
}

impl Chain {
    /// Goes on where the store's execution stopped.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn resume<S: Store>(store: &S) -> anyhow::Result<Self> {
        let kind = Kind {
            name: KIND.to_owned(),
            consistency: Consistency::Strong,
            entity_type: EntityType::Document,
            schema: None,
            access: Access::open([]),
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
            kinds: Arc::new(Kinds::new([kind])),
            administrators: Arc::new(Administrators { threshold: 1, keys: Vec::new() }),
            scheme: Scheme::Ed25519,
            start: Digest::ZERO,
        };
        let key = SecretKey::from_seed([7; 32]);
        let mut chain = Self {
            setup,
            tree: Cache::default(),
            key,
            nonce: 0,
            sequence: Sequence::ZERO,
            digest: Digest::ZERO,
            time: BlockTime(0),
            bundle: (BundleNumber::ZERO, Digest::ZERO),
            cumulative: (0, 0),
        };
        if let Some(mark) = records::executed().read(store)? {
            let point = mark.points.first().context("every sequence here has a bundle")?;
            chain.sequence = mark.execution.sequence;
            chain.digest = mark.execution.proposal;
            chain.time = mark.time;
            chain.bundle = (point.number, point.digest);
            chain.cumulative = (point.cumulative_operations, point.cumulative_bytes);
            // One author, one nonce for each operation.
            chain.nonce = point.cumulative_operations;
        }
        Ok(chain)
    }

    /// The author's next operation.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn operation(&mut self, mutations: impl IntoIterator<Item = Mutation>) -> anyhow::Result<Arc<Operation>> {
        self.nonce += 1;
        let expires_at = BlockTime(self.time.0 + 60_000);
        let mut builder = OperationBuilder::new(ClusterId(Digest::ZERO), self.key.public(), self.nonce, expires_at);
        for Mutation { entity, change } in mutations {
            builder = builder.mutate(entity, change);
        }
        Ok(Arc::new(builder.sign(&self.key)?))
    }

    /// Executes the operations as the next sequence, and writes everything in one batch, as validators do.
    /// Gives the number of those that weren't applied.
    ///
    /// # Errors
    /// If the store fails.
    pub fn execute<S: Store>(&mut self, store: &S, operations: Vec<Arc<Operation>>) -> anyhow::Result<usize> {
        let count = operations.len();
        let job = self.job(operations);
        let done = execute(store, &self.setup, &mut self.tree, &job)?;
        store.write(done.batch, Durability::Buffered)?;
        let applied = done.receipts.iter().filter(|receipt| receipt.outcome == Outcome::Applied).count();
        Ok(count - applied)
    }

    fn job(&mut self, operations: Vec<Arc<Operation>>) -> ExecutionJob {
        let (number, parent) = self.bundle;
        self.cumulative.0 += operations.len() as u64;
        self.cumulative.1 += operations_bytes(&operations);
        let header = BundleHeader {
            epoch: Epoch(0),
            lane: ValidatorIndex(0),
            number: number.next(),
            parent,
            cumulative_operations: self.cumulative.0,
            cumulative_bytes: self.cumulative.1,
            operations_root: operations_root(&operations),
        };
        self.bundle = (header.number, header.digest());
        self.sequence = self.sequence.next();
        self.time = BlockTime(self.time.0 + STEP_MS);
        let proposal = Proposal {
            epoch: Epoch(0),
            sequence: self.sequence,
            parent: self.digest,
            time: self.time,
            payload: Payload { tips: vec![header.tip()] },
        };
        self.digest = proposal.digest();
        let header = quorate_types::signed::Signed { statement: header, signature: Signature::from_bytes([0; 64]) };
        let bundles = vec![Arc::new(Bundle { header, operations })];
        ExecutionJob { sequence: self.sequence, digest: self.digest, proposal, bundles }
    }
}

#[cfg(test)]
mod tests {
    use quorate_storage::MemoryStore;
    use quorate_types::operation::{Change, EntityId};
    use quorate_types::value::Value;

    use super::*;

    #[test]
    fn a_chain_goes_on_where_it_stopped() {
        let store = MemoryStore::default();
        let create = |id: &str| Mutation {
            entity: EntityId::new(KIND, id),
            change: Change::Create { value: Some(Value::Null) },
        };
        for id in ["a", "b"] {
            let mut chain = Chain::resume(&store).unwrap();
            let operation = chain.operation([create(id)]).unwrap();
            assert_eq!(chain.execute(&store, vec![operation]).unwrap(), 0);
        }
        let mut chain = Chain::resume(&store).unwrap();
        let again = chain.operation([create("a")]).unwrap();
        assert_eq!(chain.execute(&store, vec![again]).unwrap(), 1, "it exists already");
    }
}
