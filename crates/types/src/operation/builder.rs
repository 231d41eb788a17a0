//! How a client makes an operation.

use quorate_crypto::{PublicKey, SecretKey};

use super::content::{Change, Condition, EntityId, Guard, HybridTime, Mutation, OperationContent};
use super::fault::OperationFault;
use super::system::SystemChange;
use super::{Operation, SignedOperation, operation_id};
use crate::ids::{BlockTime, ClusterId, OperationId};

/// Collects what an operation says, then signs it.
#[derive(Clone, Debug)]
pub struct OperationBuilder {
    content: OperationContent,
}

impl OperationBuilder {
    /// An operation of `author` in `cluster`, without guards or mutations yet.
    #[must_use]
    pub const fn new(cluster: ClusterId, author: PublicKey, nonce: u64, expires_at: BlockTime) -> Self {
        let content = OperationContent {
            cluster,
            author,
            nonce,
            parents: Vec::new(),
            timestamp: HybridTime { ms: 0, counter: 0 },
            expires_at,
            guards: Vec::new(),
            mutations: Vec::new(),
            system: None,
        };
        Self { content }
    }

    /// The author's number of the operation.
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.content.nonce
    }

    /// States the author's clock.
    #[must_use]
    pub const fn timestamp(mut self, timestamp: HybridTime) -> Self {
        self.content.timestamp = timestamp;
        self
    }

    /// Names an operation that the author has seen.
    #[must_use]
    pub fn parent(mut self, parent: OperationId) -> Self {
        self.content.parents.push(parent);
        self
    }

    /// Adds a condition on `entity`.
    #[must_use]
    pub fn guard(mut self, entity: EntityId, condition: Condition) -> Self {
        self.content.guards.push(Guard { entity, condition });
        self
    }

    /// Adds a change of `entity`.
    #[must_use]
    pub fn mutate(mut self, entity: EntityId, change: Change) -> Self {
        self.content.mutations.push(Mutation { entity, change });
        self
    }

    /// Makes it a system operation, which has neither guards nor mutations.
    #[must_use]
    pub fn system(mut self, change: SystemChange) -> Self {
        self.content.system = Some(change);
        self
    }

    /// What has been collected, for a signer that isn't a [`SecretKey`] of this process: sign
    /// [`OperationContent::signing_bytes`] of the id of [`OperationContent::to_body`].
    #[must_use]
    pub fn content(self) -> OperationContent {
        self.content
    }

    /// Signs the operation and checks its form, so that a mistake is told here and not by a validator.
    ///
    /// # Errors
    /// If a field is missing or malformed. Limits are the cluster's and not known here.
    pub fn sign(self, key: &SecretKey) -> Result<Operation, OperationFault> {
        let body = self.content.to_body();
        let signature = key.sign(&self.content.signing_bytes(operation_id(&body)));
        Operation::decode(&SignedOperation { body, signature })
    }
}
