//! What the links saw, on its way to the replica: messages of peers that were refused (accountability §6.7), and this
//! validator's own key elsewhere (protocol §7.6).
//!
//! Counted where they are refused, taken by the driver once in a while: a flood of them costs the driver one event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use quorate_replica::suspicion::Words;
use quorate_replica::{Event, Now};
use quorate_types::ids::ValidatorIndex;

use crate::verifier::FrameFault;

/// How often they are taken, in milliseconds.
const TAKEN_MS: u64 = 1_000;

/// What was refused of each peer since it was last taken: how many, and why the first.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    has_any: AtomicBool,
    key_elsewhere: AtomicBool,
    counted: Mutex<BTreeMap<ValidatorIndex, (u64, Words)>>,
}

impl Refusals {
    /// A message of `from` was refused. What belongs to another epoch says nothing against its sender, which may be
    /// there already, or still.
    pub(crate) fn note(&self, from: ValidatorIndex, fault: &FrameFault) {
        if matches!(fault, FrameFault::Message(refused) if refused.fault.is_of_another_epoch()) {
            return;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = counted.entry(from).or_insert_with(|| (0, Words::of(&fault.to_string())));
        *count = count.saturating_add(1);
        self.has_any.store(true, Ordering::Release);
    }

    /// Another node runs with this validator's key (protocol §7.6).
    pub(crate) fn note_key_elsewhere(&self) {
        self.key_elsewhere.store(true, Ordering::Release);
        self.has_any.store(true, Ordering::Release);
    }

    /// What was refused, as events; at most once in [`TAKEN_MS`].
    pub(crate) fn take(&self, now: Now, taken_ms: &mut u64) -> Vec<Event> {
        let is_due = now.monotonic_ms.saturating_sub(*taken_ms) >= TAKEN_MS;
        if !is_due || !self.has_any.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        *taken_ms = now.monotonic_ms;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = std::mem::take(&mut *counted).into_iter();
        let refused = refused.map(|(from, (count, why))| Event::Refused { from, count, why });
        let elsewhere = self.key_elsewhere.swap(false, Ordering::AcqRel).then_some(Event::KeyElsewhere);
        refused.chain(elsewhere).collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_types::codec::DecodeError;
    use quorate_types::evidence::EvidenceFault;
    use quorate_types::ids::Epoch;
    use quorate_types::rules::RuleFault;
    use quorate_types::verified::{PeerFault, Refused};

    use super::*;

    const fn at(monotonic_ms: u64) -> Now {
        Now { monotonic_ms, wall_ms: 0 }
    }

    #[test]
    fn a_flood_of_refusals_becomes_one_event_of_each_peer_and_second() {
        let refusals = Refusals::default();
        let fault = FrameFault::Bytes(DecodeError::Unknown { what: "kind", value: 9 });
        for peer in [1, 2, 1, 1] {
            refusals.note(ValidatorIndex(peer), &fault);
        }
        let mut taken_ms = 0;
        assert!(refusals.take(at(500), &mut taken_ms).is_empty());
        let counts = |events: Vec<Event>| -> Vec<(u16, u64)> {
            let count = |event| match event {
                Event::Refused { from, count, .. } => (from.0, count),
                other => panic!("{other:?}"),
            };
            events.into_iter().map(count).collect()
        };
        assert_eq!(counts(refusals.take(at(1_000), &mut taken_ms)), [(1, 3), (2, 1)]);
        refusals.note(ValidatorIndex(2), &fault);
        assert!(refusals.take(at(1_999), &mut taken_ms).is_empty());
        assert_eq!(counts(refusals.take(at(2_000), &mut taken_ms)), [(2, 1)]);
        assert!(refusals.take(at(9_000), &mut taken_ms).is_empty());
    }

    /// A validator that has just entered an epoch hears those who are still in the one before, and what they offer of
    /// its evidence.
    #[test]
    fn what_belongs_to_another_epoch_is_held_against_nobody() {
        let message = PeerFault::from(RuleFault::OtherEpoch { expected: Epoch(1), found: Epoch(0) });
        let evidence = |part: PeerFault| PeerFault::Evidence(Box::new(EvidenceFault::Part(part)));
        let counts = |fault: PeerFault| {
            let refusals = Refusals::default();
            let refused = Refused { fault, shows: None };
            refusals.note(ValidatorIndex(1), &FrameFault::Message(Box::new(refused)));
            refusals.take(at(5_000), &mut 0).len()
        };
        assert_eq!([counts(message.clone()), counts(evidence(message))], [0, 0]);
        let forged = PeerFault::ValidatorSignature { signer: ValidatorIndex(2) };
        assert_eq!([counts(forged.clone()), counts(evidence(forged))], [1, 1]);
    }
}
