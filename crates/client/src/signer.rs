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

/// The time by this machine's clock: milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An author's key with its nonces.
#[derive(Debug)]
pub struct Signer<S: NonceStore> {
    key: SecretKey,
    cluster: ClusterId,
    nonces: Nonces<S>,
}

impl<S: NonceStore> Signer<S> {
    /// An author in a cluster.
    #[must_use]
    pub const fn new(key: SecretKey, cluster: ClusterId, nonces: S) -> Self {
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
        Ok(self.draft_with(nonce, lifetime_ms))
    }

    /// A new operation with the nonce of one that was refused: of the two at most one ever executes.
    pub fn draft_again(&mut self, refused: &Operation, lifetime_ms: u64) -> OperationBuilder {
        self.nonces.reopen(refused.nonce());
        self.draft_with(refused.nonce(), lifetime_ms)
    }

    fn draft_with(&self, nonce: u64, lifetime_ms: u64) -> OperationBuilder {
        let now_ms = now_ms();
        let expires_at = BlockTime(now_ms.saturating_add(lifetime_ms));
        let builder = OperationBuilder::new(self.cluster, self.author(), nonce, expires_at);
        builder.timestamp(HybridTime { ms: now_ms, counter: 0 })
    }

    /// Signs a draft.
    ///
    /// # Errors
    /// If it is malformed; its nonce is free again then.
    pub fn sign(&mut self, draft: OperationBuilder) -> Result<Operation, SignFault> {
        let nonce = draft.nonce();
        draft.sign(&self.key).map_err(|fault| {
            self.nonces.forget(nonce);
            fault.into()
        })
    }

    /// Says that an operation is through: it has its receipt, or never will have one. Call it for every one;
    /// the signer stops 1,023 nonces above the oldest that is open.
    pub fn settle(&mut self, operation: &Operation) {
        self.nonces.settle(operation.nonce());
    }

    /// Says that nothing with this nonce was sent or ever will be: of a draft that was dropped, or an operation
    /// that was signed and kept back.
    pub fn forget(&mut self, nonce: u64) {
        self.nonces.forget(nonce);
    }

    /// How many operations have been drafted and not settled.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.nonces.outstanding()
    }
}

#[cfg(test)]
mod tests {
    use quorate_crypto::Digest;
    use quorate_types::operation::{Change, EntityId};

    use super::*;
    use crate::nonces::MemoryNonces;

    fn signer() -> Signer<MemoryNonces> {
        Signer::new(SecretKey::from_seed([1; 32]), ClusterId(Digest::ZERO), MemoryNonces::starting_at(1))
    }

    /// data-model §3
    #[test]
    fn drafts_that_cannot_be_signed_or_are_dropped_lock_nobody_out() {
        let mut signer = signer();
        for _ in 0..3_000 {
            let draft = signer.draft(1_000).unwrap();
            assert!(signer.sign(draft).is_err(), "an operation without a mutation");
            let dropped = signer.draft(1_000).unwrap();
            signer.forget(dropped.nonce());
        }
        assert_eq!(signer.outstanding(), 0);
        let draft = signer.draft(1_000).unwrap().mutate(EntityId::new("counter", "c"), Change::Add { by: 1 });
        assert_eq!(signer.sign(draft).unwrap().nonce(), 1, "nothing was used up");
    }
}
