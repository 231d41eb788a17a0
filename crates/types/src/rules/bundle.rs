//! Judging bundles and the links of a lane (protocol §3.6).

use quorate_crypto::Digest;

use super::RuleFault;
use super::view_change::admit_member;
use crate::bundle::{Bundle, BundleHeader, operations_root};
use crate::ids::{BundleNumber, Epoch};
use crate::parameters::Parameters;
use crate::quorum::Quorum;

/// Whether a bundle is valid in itself: of this epoch and set, within the epoch's limits, with the
/// operations that its header binds, and with counts that can hold them. (Signatures, and the
/// operations' own rules, are checked in [`crate::verified`].)
///
/// # Errors
/// The rule that it breaks.
pub fn admit_bundle(bundle: &Bundle, epoch: Epoch, quorum: Quorum, parameters: &Parameters) -> Result<(), RuleFault> {
    let header = &bundle.header.statement;
    if header.epoch != epoch {
        return Err(RuleFault::OtherEpoch { expected: epoch, found: header.epoch });
    }
    admit_member(header.lane, quorum)?;
    if header.number == BundleNumber::ZERO {
        return Err(RuleFault::BundleZero(header.lane));
    }
    let limit = parameters.max_bundle_operations as usize;
    let found = bundle.operations.len();
    if found == 0 || found > limit {
        return Err(RuleFault::BundleOperations { found, limit });
    }
    let (bytes, limit) = (bundle.size_bytes(), u64::from(parameters.max_bundle_bytes));
    if bytes > limit {
        return Err(RuleFault::BundleBytes { found: bytes, limit });
    }
    if header.cumulative_operations < found as u64 || header.cumulative_bytes < bytes {
        return Err(RuleFault::BundleLink("the lane's counts are below the bundle's own"));
    }
    if header.number == BundleNumber(1) {
        admit_first(header, found as u64, bytes)?;
    }
    if operations_root(&bundle.operations) != header.operations_root {
        return Err(RuleFault::OperationsRoot);
    }
    Ok(())
}

fn admit_first(header: &BundleHeader, operations: u64, bytes: u64) -> Result<(), RuleFault> {
    if header.parent != Digest::ZERO {
        return Err(RuleFault::BundleLink("the lane's first bundle names a parent"));
    }
    if header.cumulative_operations != operations || header.cumulative_bytes != bytes {
        return Err(RuleFault::BundleLink("the first bundle's counts aren't its own"));
    }
    Ok(())
}

/// Whether `child` follows `parent` in a lane: number, digest, and counts that grow by exactly what
/// the child holds.
///
/// # Errors
/// The rule that it breaks.
pub fn admit_link(parent: &BundleHeader, child: &Bundle) -> Result<(), RuleFault> {
    let header = &child.header.statement;
    if header.lane != parent.lane || header.epoch != parent.epoch || header.number != parent.number.next() {
        return Err(RuleFault::BundleLink("another lane, epoch or number"));
    }
    if header.parent != parent.digest() {
        return Err(RuleFault::BundleLink("another parent digest"));
    }
    let operations = parent.cumulative_operations.checked_add(child.operations.len() as u64);
    let bytes = parent.cumulative_bytes.checked_add(child.size_bytes());
    if operations != Some(header.cumulative_operations) || bytes != Some(header.cumulative_bytes) {
        return Err(RuleFault::BundleLink("the counts don't grow by what it holds"));
    }
    Ok(())
}
