//! A run: faults first, then healing; the verdict (simulation §2.2).

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use quorate_accountability::forensics::{Testimony, investigate};
use quorate_crypto::{Digest, Hasher};
use quorate_replica::testimony::testimony;
use quorate_replica::{Event, records};
use quorate_storage::{Family, Snapshot, Store};
use quorate_types::evidence::Evidence;
use quorate_types::ids::Sequence;
use quorate_types::operation::Operation;
use quorate_types::receipt::Receipt;

use super::calm::{CALM_LIMIT_US, CALM_US, Said};
use super::invariants::Fact;
use super::machine::{Happening, Step, World, harness, unsafe_};
use super::plan::{Fault, FaultPlan};
use super::recording::State;
use super::settings::Settings;
use super::verdict::{Report, Verdict, Violation};
use super::workload::Workload;
use crate::byzantine::{Behaviours, Conduct};
use crate::dice::{Dice, Stream};

/// How often clients look at their watches.
const RETRY_US: u64 = 100_000;
/// How often a Byzantine validator has an idea.
const MISCHIEF_US: u64 = 20_000;
/// The property of what clients saw, and its clause.
const LINEARIZABLE: (&str, &str) = ("some order explains what clients saw", "simulation §2.7");
/// How often the liveness phase looks whether all is well.
const LOOK_US: u64 = 100_000;

/// How a plan is carried out.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What happens is kept in [`Report::recording`].
    pub records: bool,
    /// The behaviours that the plan may name.
    pub behaviours: Behaviours,
}

/// Carries a plan out with the behaviours that are built in. What happens is recorded if `records`.
#[must_use]
pub fn run(plan: &FaultPlan, records: bool) -> Report {
    run_with(plan, &Options { records, behaviours: Behaviours::new() })
}

/// Carries a plan out.
#[must_use]
pub fn run_with(plan: &FaultPlan, options: &Options) -> Report {
    let mut world = match World::new(plan, options) {
        Ok(world) => world,
        Err(verdict) => return Report::of(*verdict),
    };
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    let verdict = lived.unwrap_or_else(|payload| Err(panicked(payload.as_ref())));
    let verdict = verdict.map_or_else(|verdict| *verdict, |()| Verdict::Passed);
    world.tell(State::Verdict, None, || verdict.to_string());
    let is_unsafe = matches!(verdict, Verdict::Unsafe(_));
    let culprits = if is_unsafe { world.culprits() } else { BTreeMap::new() };
    let named_by = if is_unsafe { world.culprits_by_one_store() } else { BTreeMap::new() };
    let mut reached = world.reached;
    for (what, count) in world.network.counted() {
        *reached.entry(what).or_default() += count;
    }
    let (made, acknowledged, judged) = world.workload.counted();
    reached.insert("operation signed", u64::from(made));
    reached.insert("operation acknowledged", acknowledged);
    reached.insert("operation judged without a receipt", judged);
    Report {
        verdict,
        virtual_ms: world.now_us / 1_000,
        deliveries: world.deliveries,
        turns: world.turns,
        hash: world.hash.finish(),
        reached,
        crash_points: world.points,
        validators: world.cast.size(),
        byzantine: world.observer.scene().byzantine.iter().copied().collect(),
        blamed: world.blamed,
        accusations: world.accusations,
        culprits,
        named_by,
        suspected: world.suspected,
        known_ms: world.detection.known_ms,
        waits_us: world.workload.waits_us,
        healed_in_ms: world.healed_in_ms,
        recording: world.recording,
        story: Vec::new(),
    }
}

/// Whether some order explains what the clients saw; false if some of it isn't known (simulation §2.7).
pub(crate) fn judge_history(workload: &Workload) -> Result<bool, Box<Verdict>> {
    let (invariant, clause) = LINEARIZABLE;
    workload.history.check().map_err(|facts| unsafe_(Violation { invariant, clause, facts }))
}

/// A panic anywhere is a violation, not the end of a campaign.
fn panicked(payload: &(dyn Any + Send)) -> Box<Verdict> {
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let facts = vec![text.unwrap_or_else(|| "a panic without words".to_owned())];
    unsafe_(Violation { invariant: "nothing panics, whatever arrives", clause: "protocol §9.5", facts })
}

impl World {
    /// Who is guilty, by what the stores of all correct validators show (accountability §5.1).
    fn culprits(&self) -> BTreeMap<u16, BTreeSet<String>> {
        let epoch = self.cast.context.epoch;
        let correct = (0..self.cast.size()).filter(|who| !self.is_byzantine(*who));
        let stores = correct.map(|who| &self.hosts[usize::from(who)].store);
        let sides: Vec<_> = stores.filter_map(|store| testimony(store, epoch).ok()).collect();
        let findings = investigate(&self.cast.context, &sides);
        let kinds = |evidence: Vec<Evidence>| evidence.iter().map(|one| one.kind().to_owned()).collect();
        findings.culprits.into_iter().map(|(culprit, evidence)| (culprit.0, kinds(evidence))).collect()
    }

    /// Whom each correct validator's store names beside nothing but the certificates of the others: what clients of the
    /// other side of a fork hold, too (accountability §5.1).
    fn culprits_by_one_store(&self) -> BTreeMap<u16, BTreeSet<u16>> {
        let epoch = self.cast.context.epoch;
        let correct = (0..self.cast.size()).filter(|who| !self.is_byzantine(*who));
        let shown = |who: u16| Some((who, testimony(&self.hosts[usize::from(who)].store, epoch).ok()?));
        let all: Vec<(u16, Testimony)> = correct.filter_map(shown).collect();
        let mut named = BTreeMap::new();
        for (who, store) in &all {
            let certificates = all.iter().filter(|(other, _)| other != who).map(|(_, other)| Testimony {
                certificates: other.certificates.clone(),
                executions: other.executions.clone(),
                ..Testimony::default()
            });
            let sides: Vec<Testimony> = certificates.chain([store.clone()]).collect();
            let culprits = investigate(&self.cast.context, &sides).culprits;
            named.insert(*who, culprits.keys().map(|culprit| culprit.0).collect());
        }
        named
    }

    fn live(&mut self) -> Step {
        for me in 0..self.size() {
            self.queue.push(0, Happening::Start { me });
        }
        for me in self.troupe.byzantine().clone() {
            let conducts = self.plan.settings.byzantine.get(&me).map(Vec::as_slice).unwrap_or_default();
            let names: Vec<String> = conducts.iter().map(Conduct::name).collect();
            self.tell(State::Fault, Some(me), || format!("-- {me} is corrupted: {}", names.join(", ")));
            self.queue.push(MISCHIEF_US, Happening::Mischief { me });
        }
        for (index, timed) in self.plan.events.clone().iter().enumerate() {
            // A crash ordered from the start takes no place in the queue: all else happens as without it.
            if let (0, Fault::CrashAtPoint { ordinal, keep, down_ms }) = (timed.at_ms, &timed.fault) {
                self.crash_at = Some((*ordinal, *keep, *down_ms));
                continue;
            }
            self.queue.push(timed.at_ms * 1_000, Happening::Fault(index));
        }
        self.queue.push(1_000, Happening::Operation);
        self.queue.push(RETRY_US, Happening::Retry);
        let safety_us = self.plan.settings.safety_ms * 1_000;
        while self.advance(safety_us)? {}
        if self.plan.settings.liveness_ms == 0 {
            return Ok(());
        }
        self.heal_core()?;
        let healed_us = self.now_us;
        let deadline_us = self.now_us + self.plan.settings.liveness_ms * 1_000;
        while self.now_us < deadline_us {
            let look_us = (self.now_us + LOOK_US).min(deadline_us);
            while self.advance(look_us)? {}
            if self.pending().is_empty() {
                self.tell(State::Heal, None, || "-- all is well".to_owned());
                self.healed_in_ms = Some((self.now_us - healed_us) / 1_000);
                self.compare_states()?;
                self.calm_down()?;
                return self.check_history();
            }
        }
        if self.nothing_can_be_handed_over()? {
            self.reach("nothing left to hand over");
            self.tell(State::Heal, None, || "-- nobody has a certified state to hand over (protocol §8.7)".to_owned());
            return self.check_history();
        }
        Err(Box::new(Verdict::Stuck { pending: self.pending() }))
    }

    /// An idle cluster without faults, attackers included, comes to rest: nobody of the core changes view, and
    /// no more is said than reports and empty proposals take (simulation §2.6).
    fn calm_down(&mut self) -> Step {
        self.troupe.reform();
        let deadline_us = self.now_us + CALM_LIMIT_US;
        while self.now_us < deadline_us {
            let (views, from_us) = (self.core_views(), self.now_us);
            self.said = Said::default();
            while self.advance(from_us + CALM_US)? {}
            let is_rest = self.said.is_rest(&self.plan.settings, self.size());
            if is_rest && views == self.core_views() && !self.is_anyone_suspecting(from_us) {
                self.reach("calm reached");
                return self.check_suspicion();
            }
        }
        Err(self.said.restless(&self.plan.settings, self.size(), &self.core_views()))
    }

    fn core_views(&self) -> Vec<(u64, bool)> {
        let core = self.core.iter().flatten().map(|who| self.hosts[usize::from(*who)].place());
        core.map(|place| (place.view.0, place.is_active)).collect()
    }

    /// Some order explains what the clients saw (simulation §2.7).
    fn check_history(&mut self) -> Step {
        if judge_history(&self.workload)? {
            self.reach("history linearizable");
        }
        Ok(())
    }

    /// All faults end for a random quorum of correct validators; the others stay as they are, or are cut off.
    fn heal_core(&mut self) -> Step {
        let mut dice = Dice::new(self.plan.seed, Stream::Topology);
        let scene = self.observer.scene();
        let (quorum, most) = (scene.quorum(), self.plan.core_size(scene.quorum()));
        let mut correct: Vec<u16> =
            (0..self.cast.size()).filter(|who| !scene.byzantine.contains(who) && !scene.lost.contains(who)).collect();
        correct.retain(|who| !self.damaged.contains(who));
        if correct.len() < quorum {
            return Err(harness(&"the plan leaves no quorum of correct validators"));
        }
        dice.shuffle(&mut correct);
        let rest_is_cut = dice.chance(500);
        let rest = correct.split_off(most.min(correct.len()));
        let core: BTreeSet<u16> = correct.into_iter().collect();
        self.tell(State::Heal, None, || format!("-- faults end; the core is {core:?}"));
        self.crash_at = None;
        self.network.calm(Settings::calm(self.cast.size()).network);
        self.heal();
        if rest_is_cut {
            rest.iter().for_each(|who| self.network.isolate(*who));
            // The second machine of a twin is the same validator, not one more that is cut off.
            (self.cast.size()..self.size()).for_each(|twin| self.network.isolate(twin));
        }
        let sync_max_us = self.plan.settings.storage.sync_max_us;
        for who in core.iter().copied() {
            self.mend_disk(who);
            let host = self.host(who);
            host.paused_until_us = host.paused_until_us.min(host.clock.started_us);
            host.clock.offset_ms = 0;
            host.sync_max_us = sync_max_us;
            self.start(who)?;
            let now_us = self.now_us;
            self.plan_turn(who, now_us);
        }
        self.core = Some(core);
        // What waits is given to the core at once.
        let waiting: Vec<Arc<Operation>> = self.workload.pending().values().map(|p| Arc::clone(&p.operation)).collect();
        waiting.iter().try_for_each(|operation| self.submit(operation))
    }

    /// What the core still owes, by name; empty if it has healed and serves.
    fn pending(&self) -> Vec<String> {
        let Some(core) = &self.core else { return Vec::new() };
        let mut pending: Vec<String> =
            self.workload.pending().keys().map(|id| format!("operation {id} has no receipt")).collect();
        let places: Vec<_> = core.iter().map(|who| (*who, self.hosts[usize::from(*who)].place())).collect();
        let highest = places.iter().map(|(_, place)| place.executed).max().unwrap_or_default();
        for (who, place) in places {
            if !place.signs {
                pending.push(format!("validator {who} doesn't sign"));
            }
            if place.executed < highest {
                pending.push(format!("validator {who} executed {} of {highest}", place.executed));
            }
        }
        pending.extend(core.iter().filter_map(|who| {
            let lacking = self.hosts[usize::from(*who)].replica.as_ref()?.unjudged_evidence()?;
            Some(format!("evidence {lacking:?}, which validator {who} keeps, isn't in the state"))
        }));
        if !pending.is_empty() {
            pending.extend(core.iter().map(|who| match &self.hosts[usize::from(*who)].replica {
                Some(replica) => format!("validator {who}: {}", replica.report()),
                None => format!("validator {who} is down"),
            }));
        }
        pending
    }

    /// The core's replicated state is equal, byte for byte (protocol §10, State).
    fn compare_states(&mut self) -> Step {
        let Some(core) = self.core.clone() else { return Ok(()) };
        let mut first = None;
        for who in core {
            let host = &self.hosts[usize::from(who)];
            let executed = records::executed().read(&host.store).map_err(|error| harness(&error))?;
            let executed = executed.map_or(Sequence::ZERO, |mark| mark.execution.sequence);
            let dump = (executed, dump(&host.store).map_err(|error| harness(&error))?);
            let (other, expected) = *first.get_or_insert((who, dump));
            // The store may be a sequence ahead of what the replica has heard of.
            if expected.0 == dump.0 && expected != dump {
                let facts = vec![format!("validator {other}: {expected:?}"), format!("validator {who}: {dump:?}")];
                return Err(unsafe_(Violation {
                    invariant: "equal state, byte for byte",
                    clause: "protocol §10, State",
                    facts,
                }));
            }
        }
        Ok(())
    }

    /// A client signs its next operation and gives it to somebody.
    pub(super) fn on_operation(&mut self) -> Step {
        if self.core.is_some() || self.workload.is_done() {
            return Ok(());
        }
        let operation = self.workload.next(&self.cast, self.now_us).map_err(|fault| harness(&fault))?;
        if let Some(operation) = operation {
            self.see(Fact::Invoked(&operation))?;
            self.submit(&operation)?;
        }
        let pause_us = self.workload.pause_us();
        self.queue.push(self.now_us + pause_us, Happening::Operation);
        Ok(())
    }

    /// Gives an operation to one or two validators that are up; one that holds its receipt and the certificate
    /// says so.
    fn submit(&mut self, operation: &Arc<Operation>) -> Step {
        let gateways = self.gateways();
        for gateway in self.workload.gateways(&gateways) {
            if let Some(receipt) = self.proven_receipt(gateway, operation)? {
                if self.workload.on_found(&receipt, self.now_us) {
                    self.see(Fact::Acknowledged(&receipt))?;
                }
                continue;
            }
            if self.acts(gateway) && !self.takes(gateway, operation) {
                self.lie_about(gateway, operation);
                continue;
            }
            let verified = self.cast.context.verify_operations(vec![Arc::clone(operation)]);
            for operation in verified.into_iter().flatten() {
                self.give(gateway, Event::Operation(operation));
            }
            self.ask_for_promise(gateway, operation);
            self.perhaps_read(gateway)?;
        }
        Ok(())
    }

    /// Whether a Byzantine validator takes an operation in.
    fn takes(&mut self, gateway: u16, operation: &Operation) -> bool {
        let wall_ms = self.wall_ms();
        self.troupe.takes(&self.cast.context, wall_ms, gateway, operation)
    }

    /// The receipt of an operation, if this correct validator's store can prove it.
    fn proven_receipt(&self, gateway: u16, operation: &Operation) -> Result<Option<Receipt>, Box<Verdict>> {
        if self.is_byzantine(gateway) {
            return Ok(None);
        }
        let store = &self.hosts[usize::from(gateway)].store;
        let read = || -> Result<Option<Receipt>, records::RecordError> {
            let Some(place) = records::place(&operation.id()).read(store)? else { return Ok(None) };
            let certificate = records::execution(place.sequence).read(store)?;
            let receipt = records::receipt(place.sequence, place.index).read(store)?;
            Ok(receipt.filter(|_| certificate.is_some()))
        };
        match read() {
            Ok(receipt) => Ok(receipt),
            // A client hears of the failure and tries again.
            Err(_) if store.take_struck().is_some() => Ok(None),
            Err(error) => Err(harness(&error)),
        }
    }

    /// Clients that have waited too long try elsewhere.
    pub(super) fn on_retry(&mut self) -> Step {
        for operation in self.workload.due(self.now_us) {
            self.submit(&operation)?;
        }
        self.queue.push(self.now_us + RETRY_US, Happening::Retry);
        Ok(())
    }

    /// A Byzantine validator has an idea.
    pub(super) fn on_mischief(&mut self, me: u16) -> Step {
        let wall_ms = self.wall_ms();
        let letters = self.troupe.tick(&self.cast.context, wall_ms, me);
        self.post_all(me, letters)?;
        self.queue.push(self.now_us + MISCHIEF_US, Happening::Mischief { me });
        Ok(())
    }
}

/// The digest of a store's state and its tree: receipts are pruned, by each validator in its own time.
pub(crate) fn dump(store: &impl Store) -> Result<Digest, quorate_storage::StoreError> {
    let snapshot = store.snapshot()?;
    let mut hasher = Hasher::new();
    for family in [Family::State, Family::Tree] {
        for (key, value) in snapshot.scan(family, &[], &[], usize::MAX)? {
            hasher.update(&key);
            hasher.update(&value);
        }
    }
    Ok(hasher.finish())
}
