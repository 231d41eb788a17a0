//! An author: a key, its nonces, and the operations made with them.

use std::time::{SystemTime, UNIX_EPOCH};

use quorate_crypto::{PublicKey, SecretKey};
use quorate_types::ids::{BlockTime, ClusterId};
use quorate_types::operation::{HybridTime, Operation, OperationBuilder, OperationFault};

use crate::nonces::{NonceFault, NonceStore, Nonces};

/// Why an operation can't be made.
#[derive(Debug, thiserror::Error)]
pub enum SignFault {
    /// There is no nonce for it.
    #[error(transparent)]
    Nonce(#[from] NonceFault),
    /// It is malformed.
    #[error(transparent)]
    Operation(#[from] OperationFault),
}

/// An author's key with its nonces.
#[derive(Debug)]
pub struct Signer<S> {
    key: SecretKey,
    cluster: ClusterId,
    nonces: Nonces<S>,
}

impl<S: NonceStore> Signer<S> {
    /// An author in a cluster.
    #[must_use]
    pub fn new(key: SecretKey, cluster: ClusterId, nonces: S) -> Self {
        Self { key, cluster, nonces: Nonces::new(nonces) }
    }

    /// Who signs.
    #[must_use]
    pub fn author(&self) -> PublicKey {
        self.key.public()
    }

    /// A new operation with the next nonce, to expire `lifetime_ms` from now by the local clock. Add guards and
    /// mutations, then [`Signer::sign`] it.
    ///
    /// # Errors
    /// If there is no nonce: too many operations are outstanding, or the nonces can't be made durable.
    pub fn draft(&mut self, lifetime_ms: u64) -> Result<OperationBuilder, SignFault> {
        let nonce = self.nonces.take()?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
        let expires_at = BlockTime(now_ms.saturating_add(lifetime_ms));
        let builder = OperationBuilder::new(self.cluster, self.author(), nonce, expires_at);
        Ok(builder.timestamp(HybridTime { ms: now_ms, counter: 0 }))
    }

    /// Signs a draft.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn sign(&self, draft: OperationBuilder) -> Result<Operation, SignFault> {
        Ok(draft.sign(&self.key)?)
    }

    /// Says that an operation has its receipt: its nonce is no longer outstanding.
    pub fn settle(&mut self, operation: &Operation) {
        self.nonces.settle(operation.nonce());
    }

    /// How many operations have been drafted and not settled.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.nonces.outstanding()
    }
}
