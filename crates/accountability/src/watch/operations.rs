//! The operations seen last, by author and nonce.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_crypto::PublicKey;
use quorate_types::operation::Operation;

/// Operations kept: more than authors have in flight at once under load.
const MAX_OPERATIONS: usize = 16_384;
/// Bytes of operations kept.
const MAX_BYTES: usize = 8 << 20;

/// Operations, oldest first to go.
#[derive(Debug, Default)]
pub(super) struct Operations {
    by_nonce: BTreeMap<(PublicKey, u64), Arc<Operation>>,
    order: VecDeque<(PublicKey, u64)>,
    bytes: usize,
}

impl Operations {
    /// Keeps an operation; gives another one of the same author and nonce.
    pub(super) fn keep(&mut self, operation: &Arc<Operation>) -> Option<Arc<Operation>> {
        let place = (operation.author(), operation.nonce());
        if let Some(first) = self.by_nonce.get(&place) {
            return (first.id() != operation.id()).then(|| Arc::clone(first));
        }
        self.bytes = self.bytes.saturating_add(operation.size_bytes());
        self.by_nonce.insert(place, Arc::clone(operation));
        self.order.push_back(place);
        while self.order.len() > MAX_OPERATIONS || self.bytes > MAX_BYTES {
            let Some(gone) = self.order.pop_front().and_then(|oldest| self.by_nonce.remove(&oldest)) else { break };
            self.bytes = self.bytes.saturating_sub(gone.size_bytes());
        }
        None
    }

    pub(super) fn held(&self) -> usize {
        self.order.len()
    }
}
