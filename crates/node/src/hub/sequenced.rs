//! One executed sequence, ready to be proven and watched.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_proof::{ReceiptProof, merkle};
use quorate_types::execution::{Execution, ExecutionCertificate};
use quorate_types::ids::{BlockTime, OperationId};
use quorate_types::operation::Operation;
use quorate_types::receipt::Receipt;

/// What a receipt is taken to occupy in memory, with its place in the tree.
const RECEIPT_BYTES: usize = 512;

/// An executed sequence.
#[derive(Debug)]
pub struct Sequenced {
    /// Its result.
    pub execution: Execution,
    /// Its block time.
    pub time: BlockTime,
    /// Its receipts, by index.
    pub receipts: Vec<Receipt>,
    /// Its operations, as far as they are at hand: one that waited for a parent came with an earlier
    /// sequence.
    pub operations: BTreeMap<OperationId, Arc<Operation>>,
    tree: merkle::Tree,
    size_bytes: usize,
}

impl Sequenced {
    /// A sequence with the Merkle tree over its receipts.
    #[must_use]
    pub fn new(
        execution: Execution,
        time: BlockTime,
        receipts: Vec<Receipt>,
        operations: BTreeMap<OperationId, Arc<Operation>>,
    ) -> Self {
        let leaves: Vec<_> = receipts.iter().map(Receipt::digest).collect();
        let bodies: usize = operations.values().map(|operation| operation.size_bytes()).sum();
        let size_bytes = bodies + receipts.len() * RECEIPT_BYTES;
        Self { execution, time, receipts, operations, tree: merkle::Tree::new(&leaves), size_bytes }
    }

    /// The receipt of an index with all that it takes to convince; `None` if there is no such receipt or
    /// the certificate is for another result.
    #[must_use]
    pub fn prove(&self, index: u32, certificate: &ExecutionCertificate) -> Option<ReceiptProof> {
        let position = usize::try_from(index).ok()?;
        let receipt = self.receipts.get(position)?.clone();
        if certificate.execution != self.execution {
            return None;
        }
        Some(ReceiptProof { receipt, path: self.tree.path(position)?, certificate: certificate.clone() })
    }

    /// About how much memory it occupies.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}
