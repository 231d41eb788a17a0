//! What clients saw, and whether some order of their operations explains it (linearizability), judged from
//! receipts and times alone: the order that the validators chose is not asked.
//!
//! Each entity is judged on its own. Its state, as far as receipts show it, is its version: an applied operation
//! raises it by one and says what it became; a rejected one may say that the entity was there, wasn't there, or
//! didn't have a version.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_types::ids::OperationId;
use quorate_types::operation::{Change, Condition, EntityId, Operation};
use quorate_types::receipt::{Location, Outcome, Receipt, RejectionCode};

/// What one operation showed of one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It was applied, and the entity has this version now.
    Became(u64),
    /// The entity didn't have this version.
    Isnt(u64),
    /// The entity didn't exist.
    Absent,
    /// The entity existed.
    Present,
}

/// One operation on one entity: it took effect at some moment between the two times.
#[derive(Clone, Copy, Debug)]
struct Call {
    operation: OperationId,
    invoked_us: u64,
    told_us: u64,
    seen: Seen,
}

impl Seen {
    /// The version after it, if it can happen at `version`.
    const fn at(self, version: u64) -> Option<u64> {
        let happens = match self {
            Self::Became(new) => new == version + 1,
            Self::Isnt(other) => other != version,
            Self::Absent => version == 0,
            Self::Present => version > 0,
        };
        match self {
            Self::Became(new) if happens => Some(new),
            _ if happens => Some(version),
            _ => None,
        }
    }
}

/// All that clients did and were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    invoked: BTreeMap<OperationId, (Arc<Operation>, u64)>,
    told: BTreeMap<OperationId, (Receipt, u64)>,
}

impl History {
    pub(super) fn on_invoked(&mut self, operation: &Arc<Operation>, now_us: u64) {
        self.invoked.insert(operation.id(), (Arc::clone(operation), now_us));
    }

    pub(super) fn on_told(&mut self, receipt: &Receipt, now_us: u64) {
        self.told.entry(receipt.operation).or_insert_with(|| (receipt.clone(), now_us));
    }

    /// Whether an order exists for each entity. Whoever was told nothing constrains nothing, unless its effect was
    /// seen by nobody: then the check is left out, because any of them may have happened.
    ///
    /// # Errors
    /// The entity, and the operations that no order explains.
    pub(super) fn check(&self) -> Result<bool, Vec<String>> {
        if self.told.len() != self.invoked.len() {
            return Ok(false);
        }
        for (entity, calls) in self.calls() {
            if let Err(unexplained) = explain(&calls) {
                let mut facts = vec![format!("no order explains what clients saw of {entity:?}")];
                facts.extend(unexplained.iter().take(4).map(|call| {
                    let Call { operation, invoked_us, told_us, seen } = call;
                    format!(
                        "operation {operation}, given at {invoked_us} us and answered at {told_us} us, saw {seen:?}"
                    )
                }));
                return Err(facts);
            }
        }
        Ok(true)
    }

    fn calls(&self) -> BTreeMap<EntityId, Vec<Call>> {
        let mut calls: BTreeMap<EntityId, Vec<Call>> = BTreeMap::new();
        for (id, (receipt, told_us)) in &self.told {
            let Some((operation, invoked_us)) = self.invoked.get(id) else { continue };
            for (entity, seen) in seen(operation, receipt) {
                let call = Call { operation: *id, invoked_us: *invoked_us, told_us: *told_us, seen };
                calls.entry(entity).or_default().push(call);
            }
        }
        calls
    }
}

/// What a receipt shows.
fn seen(operation: &Operation, receipt: &Receipt) -> Vec<(EntityId, Seen)> {
    let content = operation.content();
    let rejection = match &receipt.outcome {
        Outcome::Applied => {
            let became = receipt.versions.iter();
            return became.map(|version| (version.entity.clone(), Seen::Became(version.version))).collect();
        }
        Outcome::Rejected(rejection) => rejection,
    };
    let guard = match rejection.at {
        Location::Guard(index) => content.guards.get(usize::try_from(index).unwrap_or(usize::MAX)),
        _ => None,
    };
    let mutated = match rejection.at {
        Location::Mutation(index) => content.mutations.get(usize::try_from(index).unwrap_or(usize::MAX)),
        _ => None,
    };
    match (rejection.code, guard, mutated) {
        (RejectionCode::GuardFailed, Some(guard), _) => match guard.condition {
            Condition::Version(version) => vec![(guard.entity.clone(), Seen::Isnt(version))],
            _ => Vec::new(),
        },
        // Of a transfer either account may be the missing one.
        (RejectionCode::NotFound, _, Some(mutation)) if !matches!(mutation.change, Change::Transfer { .. }) => {
            vec![(mutation.entity.clone(), Seen::Absent)]
        }
        (RejectionCode::AlreadyExists, _, Some(mutation)) => vec![(mutation.entity.clone(), Seen::Present)],
        _ => Vec::new(),
    }
}

/// Finds an order for the calls on one entity, or those that are left when none can go next.
///
/// No search is needed. A call may go next if it was given before any other that is left was answered. One that
/// changes nothing and fits now may always go now; of those that change something at most one fits a version; and
/// if one waited for a call that can't go yet, it would wait for one that was answered before it was given.
fn explain(calls: &[Call]) -> Result<(), Vec<Call>> {
    let mut left = calls.to_vec();
    left.sort_by_key(|call| call.invoked_us);
    let mut version = 0;
    while let Some(first_told_us) = left.iter().map(|call| call.told_us).min() {
        let fits = |call: &Call| call.invoked_us <= first_told_us && call.seen.at(version).is_some();
        let changes = |call: &Call| matches!(call.seen, Seen::Became(_));
        let quiet = left.iter().position(|call| fits(call) && !changes(call));
        let Some(next) = quiet.or_else(|| left.iter().position(fits)) else { return Err(left) };
        version = left.remove(next).seen.at(version).unwrap_or(version);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_crypto::sha256;

    use super::*;

    fn call(number: u8, (invoked_us, told_us): (u64, u64), seen: Seen) -> Call {
        Call { operation: OperationId(sha256(&[&[number]])), invoked_us, told_us, seen }
    }

    #[test]
    fn overlapping_calls_may_have_happened_in_either_order() {
        let calls = [call(1, (0, 10), Seen::Became(2)), call(2, (5, 15), Seen::Became(1))];
        assert!(explain(&calls).is_ok());
    }

    #[test]
    fn a_call_that_was_answered_before_another_was_given_comes_first() {
        let calls = [call(1, (0, 10), Seen::Became(2)), call(2, (11, 15), Seen::Became(1))];
        assert!(explain(&calls).is_err());
    }

    #[test]
    fn a_stale_observation_has_no_place() {
        let fresh = [call(1, (0, 10), Seen::Became(1)), call(2, (11, 15), Seen::Present)];
        assert!(explain(&fresh).is_ok());
        let stale = [call(1, (0, 10), Seen::Became(1)), call(2, (11, 15), Seen::Absent)];
        assert_eq!(explain(&stale).unwrap_err().len(), 1);
        let overlapping = [call(1, (0, 10), Seen::Became(1)), call(2, (9, 15), Seen::Absent)];
        assert!(explain(&overlapping).is_ok());
    }

    #[test]
    fn a_version_is_reached_once() {
        let twice = [call(1, (0, 10), Seen::Became(1)), call(2, (0, 10), Seen::Became(1))];
        assert!(explain(&twice).is_err());
    }
}
