//! Lanes from outside: bundles and payloads in, verdicts out. Signatures are not looked at by this
//! crate, so the bundles here carry none.

mod admission;
mod forks;
mod model;
mod own;
mod payloads;
mod restart;
mod shares;

use std::sync::{Arc, OnceLock};

use quorate_crypto::{Digest, SecretKey, Signature, sha256};
use quorate_types::bundle::{Bundle, BundleHeader, operations_bytes, operations_root};
use quorate_types::ids::{BlockTime, BundleNumber, ClusterId, Epoch, ValidatorIndex};
use quorate_types::operation::{Change, EntityId, Operation, OperationBuilder};
use quorate_types::proposal::{LaneTip, Payload};
use quorate_types::signed::Signed;
use quorate_types::value::Value;

use crate::{Check, LaneLimits, Lanes, LanesConfig, Point};

pub(crate) const ROOT: Digest = Digest::ZERO;

/// Operations of one size, so that bounds can be counted in operations. At most 15,000.
pub(crate) fn operation(number: u64) -> Arc<Operation> {
    let key = SecretKey::from_seed([7; 32]);
    let cluster = ClusterId(Digest::ZERO);
    let builder = OperationBuilder::new(cluster, key.public(), 1_000 + number, BlockTime(1));
    let change = Change::Put { value: Value::Null };
    Arc::new(builder.mutate(EntityId::new("note", "n"), change).sign(&key).unwrap())
}

/// The size of every [`operation`].
pub(crate) fn unit() -> u64 {
    static UNIT: OnceLock<u64> = OnceLock::new();
    *UNIT.get_or_init(|| operation(0).size_bytes() as u64)
}

/// A few operations, made once.
pub(crate) fn operations(count: usize) -> Vec<Arc<Operation>> {
    static MADE: OnceLock<Vec<Arc<Operation>>> = OnceLock::new();
    MADE.get_or_init(|| (0..16).map(operation).collect())[..count].to_vec()
}

pub(crate) fn config(validators: usize) -> LanesConfig {
    let limits = LaneLimits {
        bundle_operations: 4,
        bundle_bytes: 4 * unit(),
        proposal_operations: 12,
        proposal_bytes: 10 * unit(),
        lane_bytes: 20 * unit(),
        pool_operations: 8,
        pool_bytes: 6 * unit(),
    };
    LanesConfig { me: ValidatorIndex(0), epoch: Epoch(3), validators, limits }
}

pub(crate) fn lanes(validators: usize) -> Lanes {
    Lanes::new(config(validators), ROOT, Vec::new())
}

/// An owner of a lane who signs what it is told to.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) lane: ValidatorIndex,
    pub(crate) head: Point,
    /// Enters the headers, so that bundles of equal place and content differ.
    pub(crate) salt: u8,
}

impl Owner {
    pub(crate) fn new(lane: u16) -> Self {
        Self { lane: ValidatorIndex(lane), head: Point::EMPTY, salt: 0 }
    }

    /// The same owner at the same place, about to sign something else.
    pub(crate) fn fork(&self, salt: u8) -> Self {
        Self { salt, ..*self }
    }

    pub(crate) fn bundle(&mut self, count: usize) -> Arc<Bundle> {
        let mut chosen = operations(count);
        let rotation = usize::from(self.salt) % count;
        chosen.rotate_left(rotation);
        let header = BundleHeader {
            epoch: Epoch(3),
            lane: self.lane,
            number: self.head.number.next(),
            parent: self.head.digest,
            cumulative_operations: self.head.cumulative_operations + count as u64,
            cumulative_bytes: self.head.cumulative_bytes + operations_bytes(&chosen),
            operations_root: if self.salt == 0 {
                operations_root(&chosen)
            } else {
                sha256(&[&[self.salt], operations_root(&chosen).as_bytes()])
            },
        };
        self.head = Point::of(&header, header.digest());
        signed(header, chosen)
    }

    pub(crate) fn bundles(&mut self, counts: &[usize]) -> Vec<Arc<Bundle>> {
        counts.iter().map(|count| self.bundle(*count)).collect()
    }

    /// A bundle whose header says something else than the lane's history.
    pub(crate) fn twisted(&mut self, twist: impl FnOnce(&mut BundleHeader)) -> Arc<Bundle> {
        let honest = self.bundle(1);
        let mut header = honest.header.statement;
        twist(&mut header);
        self.head = Point::of(&header, header.digest());
        signed(header, honest.operations.clone())
    }

    pub(crate) fn tip(&self) -> LaneTip {
        self.head.tip(self.lane)
    }
}

pub(crate) fn signed(header: BundleHeader, operations: Vec<Arc<Operation>>) -> Arc<Bundle> {
    let header = Signed { statement: header, signature: Signature::from_bytes([0; 64]) };
    Arc::new(Bundle { header, operations })
}

pub(crate) fn payload(tips: &[LaneTip]) -> Payload {
    Payload { tips: tips.to_vec() }
}

pub(crate) fn name(number: u64) -> Digest {
    sha256(&[b"proposal", &number.to_be_bytes()])
}

pub(crate) fn admit_all(lanes: &mut Lanes, bundles: &[Arc<Bundle>]) {
    for bundle in bundles {
        let admission = lanes.admit(Arc::clone(bundle));
        assert!(matches!(admission, crate::Admission::Stored { .. }), "{admission:?}");
    }
}

/// Checks a payload that is expected to be valid, and delivers it.
pub(crate) fn order(lanes: &mut Lanes, digest: Digest, tips: &[LaneTip]) {
    let (parent, _) = lanes.delivered();
    assert_eq!(lanes.check(parent, digest, &payload(tips)), Check::Valid);
    lanes.deliver(digest).unwrap();
}

pub(crate) fn number(bundle: &Bundle) -> BundleNumber {
    bundle.header.statement.number
}
