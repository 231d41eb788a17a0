//! Clients that hold gateways to their promises (protocol §3.9, accountability §1.10).
//!
//! A client keeps every promise that it is given. What it would ask validators for, the bundle of that number, it is
//! shown here as soon as a correct one has received it; and it hands its evidence to two of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_replica::Event;
use quorate_types::bundle::Bundle;
use quorate_types::evidence::{BrokenPromise, Evidence};
use quorate_types::ids::{BundleNumber, Epoch, ValidatorIndex};
use quorate_types::message::Message;
use quorate_types::operation::Operation;
use quorate_types::promise::{Promise, listed};
use quorate_types::signed::Signed;

use super::machine::World;

/// Bundles, and promises, that are remembered.
const REMEMBERED: usize = 1_024;

/// Correct validators that a client brings its evidence to.
const TOLD: usize = 2;

type Place = (Epoch, ValidatorIndex, BundleNumber);

/// What clients and correct validators hold.
#[derive(Debug, Default)]
pub(super) struct Promises {
    given: VecDeque<Signed<Promise>>,
    bundles: BTreeMap<Place, Vec<Arc<Bundle>>>,
    /// Places by age.
    oldest: VecDeque<Place>,
}

impl Promises {
    /// A client is given a promise.
    fn on_promise(&mut self, promise: Signed<Promise>) -> Vec<Evidence> {
        self.given.push_back(promise);
        if self.given.len() > REMEMBERED {
            self.given.pop_front();
        }
        let bundles = self.bundles.get(&place_of(&promise.statement));
        bundles.into_iter().flatten().filter_map(|bundle| broken(&promise, bundle)).collect()
    }

    /// A correct validator has received a bundle.
    fn on_bundle(&mut self, bundle: &Arc<Bundle>) -> Vec<Evidence> {
        let header = &bundle.header.statement;
        let place = (header.epoch, header.lane, header.number);
        let held = self.bundles.entry(place).or_default();
        if held.iter().any(|held| held.digest() == bundle.digest()) {
            return Vec::new();
        }
        if held.is_empty() {
            self.oldest.push_back(place);
        }
        held.push(Arc::clone(bundle));
        if self.oldest.len() > REMEMBERED
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.bundles.remove(&oldest);
        }
        let meant = self.given.iter().filter(|promise| place_of(&promise.statement) == place);
        meant.filter_map(|promise| broken(promise, bundle)).collect()
    }
}

const fn place_of(promise: &Promise) -> Place {
    (promise.epoch, promise.lane, promise.number)
}

/// The evidence, if the bundle that a promise names doesn't hold the operation.
fn broken(promise: &Signed<Promise>, bundle: &Bundle) -> Option<Evidence> {
    let operations = listed(bundle);
    let is_kept = operations.iter().any(|(id, _)| *id == promise.statement.operation);
    let broken = BrokenPromise { promise: *promise, header: bundle.header, operations };
    (!is_kept).then(|| Evidence::BrokenPromise(Box::new(broken)))
}

impl World {
    /// A gateway has an operation: its client wants a promise.
    pub(super) fn ask_for_promise(&mut self, gateway: u16, operation: &Operation) {
        // With the operation, whose turn is planned already.
        self.host(gateway).inbox.push(Event::Promise(operation.id()));
    }

    /// What a Byzantine gateway says to the client of an operation that it doesn't take in.
    pub(super) fn lie_about(&mut self, gateway: u16, operation: &Operation) {
        let wall_ms = self.wall_ms();
        let promise = self.troupe.promises(&self.cast.context, wall_ms, gateway, operation);
        promise.into_iter().for_each(|promise| self.on_promised(promise));
    }

    /// A client is given a promise.
    pub(super) fn on_promised(&mut self, promise: Signed<Promise>) {
        self.reach("promise given");
        let found = self.promises.on_promise(promise);
        self.hand_in(found);
    }

    /// A validator has received a bundle.
    pub(super) fn on_bundle_received(&mut self, by: u16, bundle: &Arc<Bundle>) {
        if !self.is_byzantine(by) {
            let found = self.promises.on_bundle(bundle);
            self.hand_in(found);
        }
    }

    /// Clients bring evidence to correct validators.
    fn hand_in(&mut self, found: Vec<Evidence>) {
        for evidence in found {
            self.reach("promise broken");
            self.on_brought(&evidence);
            let message = Message::Evidence(Box::new(evidence));
            let takers: Vec<u16> = self.gateways().into_iter().filter(|host| !self.is_byzantine(*host)).collect();
            for taker in takers.into_iter().take(TOLD) {
                let host = &self.hosts[usize::from(taker)];
                // One in another epoch can't judge it, and says so.
                if let (from, Ok(message)) = (ValidatorIndex(host.me), host.context.verify(message.clone())) {
                    self.give(taker, Event::Message { from, message });
                }
            }
        }
    }
}
