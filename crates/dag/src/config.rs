//! What the lanes of one epoch are bounded by.

use quorate_types::ids::{Epoch, ValidatorIndex};
use quorate_types::parameters::Parameters;

/// Operations that wait for a bundle at this validator; above that, clients are told to come later.
const POOL_OPERATIONS: usize = 65_536;

/// Bytes of operations that wait for a bundle at this validator.
const POOL_BYTES: u64 = 64 << 20;

/// Which epoch's lanes these are, and whose eyes see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanesConfig {
    /// This validator: the owner of the own lane.
    pub me: ValidatorIndex,
    /// The epoch; lanes start empty in each (protocol §7.4).
    pub epoch: Epoch,
    /// How many validators, and so lanes, it has.
    pub validators: usize,
    /// The bounds.
    pub limits: LaneLimits,
}

/// Bounds on bundles, payloads, lanes and the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// Operations in one bundle.
    pub bundle_operations: u64,
    /// Bytes of operations in one bundle.
    pub bundle_bytes: u64,
    /// Operations that one payload stands for.
    pub proposal_operations: u64,
    /// Bytes of operations that one payload stands for.
    pub proposal_bytes: u64,
    /// `L`: bytes of a lane beyond its delivered tip.
    pub lane_bytes: u64,
    /// Operations in the pool. Local: not part of the epoch's parameters.
    pub pool_operations: usize,
    /// Bytes in the pool. Local: not part of the epoch's parameters.
    pub pool_bytes: u64,
}

impl LaneLimits {
    /// The epoch's bounds, with the pool's defaults.
    #[must_use]
    pub fn of(parameters: &Parameters) -> Self {
        Self {
            bundle_operations: u64::from(parameters.max_bundle_operations),
            bundle_bytes: u64::from(parameters.max_bundle_bytes),
            proposal_operations: u64::from(parameters.max_proposal_operations),
            proposal_bytes: u64::from(parameters.max_proposal_bytes),
            lane_bytes: u64::from(parameters.lane_bytes),
            pool_operations: POOL_OPERATIONS,
            pool_bytes: POOL_BYTES,
        }
    }

    /// Operations that an own bundle may hold: a bundle above a proposal's bound could never be named.
    pub(crate) fn own_bundle_operations(&self) -> usize {
        usize::try_from(self.bundle_operations.min(self.proposal_operations)).unwrap_or(usize::MAX)
    }

    /// Bytes that an own bundle may hold.
    pub(crate) fn own_bundle_bytes(&self) -> u64 {
        self.bundle_bytes.min(self.proposal_bytes).min(self.lane_bytes)
    }
}
