//! The own lane's head: what the next bundle must continue.
//!
//! The head moves when a bundle is made, not when it comes back signed, so that no number is given out
//! twice. If the lane turns out to hold a bundle of this validator's key that these records don't know
//! (another node runs with the key, or the store lost data), the lane is *muted*: no bundle is made any
//! more, because any would contradict what that key has signed (protocol §7.3, §7.6, §10).

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_types::bundle::{BundleHeader, operations_bytes, operations_root};
use quorate_types::ids::{BundleNumber, Epoch, OperationId, ValidatorIndex};
use quorate_types::operation::Operation;

use crate::point::Point;

#[derive(Debug)]
pub(crate) struct Own {
    /// The highest bundle made.
    pub(crate) head: Point,
    /// Set when the lane holds what these records don't; never cleared.
    pub(crate) is_muted: bool,
    /// Ids in own bundles that aren't delivered: a client's retry must not be bundled twice.
    ids: BTreeMap<OperationId, BundleNumber>,
    /// The same by bundle, so that a delivery finds them.
    by_bundle: BTreeMap<BundleNumber, Vec<OperationId>>,
}

impl Own {
    pub(crate) const fn new(head: Point) -> Self {
        Self { head, is_muted: false, ids: BTreeMap::new(), by_bundle: BTreeMap::new() }
    }

    pub(crate) fn holds(&self, id: &OperationId) -> bool {
        self.ids.contains_key(id)
    }

    /// The undelivered own bundle that holds an operation.
    pub(crate) fn bundle_with(&self, id: &OperationId) -> Option<BundleNumber> {
        self.ids.get(id).copied()
    }

    /// Remembers what an own bundle above the delivered tip holds.
    pub(crate) fn remember(&mut self, number: BundleNumber, operations: &[Arc<Operation>]) {
        let ids: Vec<OperationId> = operations.iter().map(|operation| operation.id()).collect();
        self.ids.extend(ids.iter().map(|id| (*id, number)));
        self.by_bundle.insert(number, ids);
    }

    /// Forgets the bundles up to and with `tip`.
    pub(crate) fn release(&mut self, tip: BundleNumber) {
        let kept = self.by_bundle.split_off(&tip.next());
        for id in std::mem::replace(&mut self.by_bundle, kept).into_values().flatten() {
            self.ids.remove(&id);
        }
    }

    /// The header of the next bundle, with these operations; the head moves to it. `None` if the
    /// lane's counters are at their end.
    pub(crate) fn extend(
        &mut self,
        epoch: Epoch,
        lane: ValidatorIndex,
        operations: &[Arc<Operation>],
    ) -> Option<BundleHeader> {
        let header = BundleHeader {
            epoch,
            lane,
            number: BundleNumber(self.head.number.0.checked_add(1)?),
            parent: self.head.digest,
            cumulative_operations: self.head.cumulative_operations.checked_add(operations.len() as u64)?,
            cumulative_bytes: self.head.cumulative_bytes.checked_add(operations_bytes(operations))?,
            operations_root: operations_root(operations),
        };
        self.head = Point::of(&header, header.digest());
        self.remember(header.number, operations);
        Some(header)
    }
}
