//! A run: all nodes on their hosts, faults first, then healing; the verdict (simulation §2.2).

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quorate_crypto::SecretKey;
use quorate_replica::records;
use quorate_types::genesis::{Administrators, Genesis, GenesisContent, GenesisValidator};
use quorate_types::ids::Sequence;
use quorate_types::verified::Context;
use turmoil::{Builder, Sim};

use super::clients::Clients;
use super::lines::{Lines, delays};
use super::machine::{Cluster, Machine, PEER_PORT};
use super::panics;
use super::sight::{Shared, Sight};
use super::wires::Wires;
use crate::byzantine::{Behaviours, Troupe};
use crate::world::invariants::Observer;
use crate::world::{CALM_LIMIT_US, CALM_US, Said, judge_history};
use crate::world::{Cast, Dice, FaultPlan, Report, Settings, Stream, Verdict, Violation, Workload, dump};

/// One tick of turmoil: tokio's timers aren't finer.
const TICK: Duration = Duration::from_millis(1);

/// How often the liveness phase looks whether all is well.
const LOOK_MS: u64 = 100;

/// A step of the run: goes on, or ends it.
pub(super) type Step = Result<(), Box<Verdict>>;

/// All nodes of a run.
pub(super) struct Fleet<'a> {
    pub(super) plan: FaultPlan,
    pub(super) cluster: Arc<Cluster>,
    pub(super) sim: Sim<'a>,
    pub(super) machines: Vec<Machine>,
    pub(super) lines: Lines,
    pub(super) wires: Wires,
    pub(super) sight: Shared,
    pub(super) storage: Dice,
    pub(super) now_ms: u64,
    /// When each machine that is down starts again.
    pub(super) starts_ms: Vec<Option<u64>>,
    /// Disks without space, and until when.
    pub(super) full_until_ms: BTreeMap<u16, u64>,
    /// Whose store is damaged: nothing is expected of it.
    pub(super) damaged: BTreeSet<u16>,
    /// The plan's next fault.
    pub(super) next_fault: usize,
}

/// Carries a plan out with real nodes, on a thread of its own whose randomness is the seed's. The story is told
/// in [`Report::story`] if `tells`.
#[must_use]
pub fn run(plan: &FaultPlan, tells: bool) -> Report {
    let plan = plan.clone();
    let simulate = move || {
        quorate_determinism::seed(plan.seed);
        panics::watch();
        simulate(&plan, tells)
    };
    // The standard library draws the order of hash maps once per thread.
    let thread = std::thread::Builder::new().name("simulation".to_owned()).spawn(simulate);
    let joined = thread.map_err(|error| error.to_string()).and_then(|thread| thread.join().map_err(|p| words(&*p)));
    joined.unwrap_or_else(|reason| Report::of(Verdict::Harness(reason)))
}

fn simulate(plan: &FaultPlan, tells: bool) -> Report {
    let directory = match scratch() {
        Ok(directory) => directory,
        Err(error) => return Report::of(Verdict::Harness(format!("a place for the guard files: {error}"))),
    };
    let mut fleet = match Fleet::new(plan, directory.path(), tells) {
        Ok(fleet) => fleet,
        Err(verdict) => return Report::of(*verdict),
    };
    let lived = catch_unwind(AssertUnwindSafe(|| fleet.live()));
    let verdict = lived.unwrap_or_else(|panic| Err(panicked(&words(&*panic))));
    let verdict = verdict.map_or_else(|verdict| *verdict, |()| Verdict::Passed);
    fleet.report(verdict)
}

/// Guard files lie where nothing waits for a disk, if there is such a place.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let builder = || tempfile::Builder::new().prefix("quorate-sim-").to_owned();
    builder().tempdir_in(memory).or_else(|_| builder().tempdir())
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

fn panicked(what: &str) -> Box<Verdict> {
    let facts = vec![panics::first().unwrap_or_else(|| what.to_owned())];
    Box::new(Verdict::Unsafe(Violation {
        invariant: "nothing panics, whatever arrives",
        clause: "protocol §9.5",
        facts,
    }))
}

pub(super) fn harness(error: &dyn std::fmt::Display) -> Box<Verdict> {
    Box::new(Verdict::Harness(error.to_string()))
}

impl<'a> Fleet<'a> {
    fn new(plan: &FaultPlan, directory: &Path, tells: bool) -> Result<Self, Box<Verdict>> {
        let settings = &plan.settings;
        let cluster = Arc::new(cluster(plan).map_err(|error| harness(&error))?);
        let byzantine: BTreeSet<u16> = settings.byzantine.keys().copied().collect();
        let observer = Observer::new(cluster.cast.context.clone(), byzantine);
        let keys = byzantine_keys(&cluster.cast, settings);
        let troupe = Troupe::new(plan.seed, &settings.byzantine, keys, &Behaviours::new());
        let parts = (Workload::new(plan.seed, settings.workload), troupe.map_err(|error| harness(&error))?);
        let sight = Shared::new(Sight::new(observer, parts, settings.validators, tells));
        let wires = Wires::new(plan.seed, settings.network.loss_per_mille);
        let (least, most) = delays(&settings.network);
        let mut builder = Builder::new();
        builder.rng_seed(plan.seed).tick_duration(TICK).simulation_duration(Duration::MAX).tcp_capacity(1 << 16);
        builder.min_message_latency(least).max_message_latency(most);
        let mut sim = builder.build();
        let made: Result<Vec<Machine>, _> = (0..settings.validators)
            .map(|me| Machine::new(&cluster, me, directory, (wires.clone(), sight.clone())))
            .collect();
        let machines = made.map_err(|error| harness(&error))?;
        for machine in &machines {
            let (machine, cluster) = (machine.clone(), Arc::clone(&cluster));
            let name = machine.name.clone();
            sim.host(name, move || machine.clone().live(Arc::clone(&cluster)));
        }
        let patience = Duration::from_millis(settings.workload.retry_ms);
        sim.client("clients", Clients::live(Arc::clone(&cluster), sight.clone(), wires.clone(), patience));
        sight.with(|sight| sight.up = (0..settings.validators).collect());
        let names = machines.iter().map(|machine| machine.name.clone()).collect();
        Ok(Self {
            lines: Lines::new(names, settings.network),
            starts_ms: vec![None; machines.len()],
            storage: Dice::new(plan.seed, Stream::Storage),
            plan: plan.clone(),
            cluster,
            sim,
            machines,
            wires,
            sight,
            now_ms: 0,
            full_until_ms: BTreeMap::new(),
            damaged: BTreeSet::new(),
            next_fault: 0,
        })
    }

    fn live(&mut self) -> Step {
        self.until(self.plan.settings.safety_ms)?;
        if self.plan.settings.liveness_ms == 0 {
            return Ok(());
        }
        self.heal_core()?;
        let deadline_ms = self.now_ms + self.plan.settings.liveness_ms;
        while self.now_ms < deadline_ms {
            self.until((self.now_ms + LOOK_MS).min(deadline_ms))?;
            if self.pending().is_empty() {
                self.sight.with(|sight| sight.tell(|| "-- all is well".to_owned()));
                self.compare_states()?;
                self.calm_down()?;
                return self.check_history();
            }
        }
        Err(Box::new(Verdict::Stuck { pending: self.pending() }))
    }

    /// Lets time pass.
    fn until(&mut self, until_ms: u64) -> Step {
        while self.now_ms < until_ms {
            self.strike()?;
            self.make_space();
            self.restart()?;
            self.lines.tell(&self.sim, self.now_ms);
            self.sim.step().map_err(|error| harness(&error))?;
            self.now_ms += 1;
            self.look()?;
        }
        Ok(())
    }

    /// Whether anything was seen that ends the run.
    fn look(&mut self) -> Step {
        if let Some(panic) = panics::first() {
            return Err(panicked(&panic));
        }
        let now_us = self.now_ms * 1_000;
        let (verdict, ended) = self.sight.with(|sight| {
            sight.now_us = now_us;
            let ended: Vec<(u16, String)> =
                (0..).zip(&mut sight.ended).filter_map(|(me, e)| Some((me, e.take()?))).collect();
            (sight.verdict.take(), ended)
        });
        if let Some(verdict) = verdict {
            return Err(Box::new(verdict));
        }
        for (me, reason) in ended {
            self.on_end(me, reason)?;
        }
        Ok(())
    }

    /// All faults end for a random quorum of correct validators; the others stay as they are, or are cut off.
    fn heal_core(&mut self) -> Step {
        let mut dice = Dice::new(self.plan.seed, Stream::Topology);
        let size = self.cluster.cast.size();
        let (quorum, mut correct) = self.sight.with(|sight| {
            let scene = sight.observer.scene();
            let is_correct =
                |who: &u16| !scene.byzantine.contains(who) && !scene.lost.contains(who) && !self.damaged.contains(who);
            (scene.quorum(), (0..size).filter(is_correct).collect::<Vec<u16>>())
        });
        if correct.len() < quorum {
            return Err(harness(&"the plan leaves no quorum of correct validators"));
        }
        dice.shuffle(&mut correct);
        let rest_is_cut = dice.chance(500);
        let rest = correct.split_off(self.plan.core_size(quorum).min(correct.len()));
        let core: BTreeSet<u16> = correct.into_iter().collect();
        self.next_fault = self.plan.events.len();
        self.wires.calm();
        self.lines.calm(&self.sim, Settings::calm(size).network);
        if rest_is_cut {
            rest.iter().for_each(|who| self.lines.isolate(*who));
        }
        for who in core.iter().copied() {
            self.full_until_ms.remove(&who);
            let machine = &self.machines[usize::from(who)];
            machine.offset_ms.store(0, std::sync::atomic::Ordering::Relaxed);
            machine.disk.mend();
            let start = &mut self.starts_ms[usize::from(who)];
            *start = start.map(|_| self.now_ms);
        }
        self.sight.with(|sight| {
            sight.tell(|| format!("-- faults end; the core is {core:?}"));
            sight.dropped.clear();
            sight.core = Some(core);
        });
        Ok(())
    }

    /// What the core still owes, by name; empty if it has healed and serves.
    fn pending(&self) -> Vec<String> {
        self.sight.with(|sight| {
            let Some(core) = &sight.core else { return Vec::new() };
            let operations = sight.workload.pending().keys();
            let mut pending: Vec<String> = operations.map(|id| format!("operation {id} has no receipt")).collect();
            let place = |who: &u16| sight.places[usize::from(*who)];
            let highest = core.iter().map(|who| place(who).executed).max().unwrap_or_default();
            for who in core {
                let (place, standing) = (place(who), &sight.standings[usize::from(*who)]);
                if !sight.up.contains(who) {
                    pending.push(format!("validator {who} is down"));
                } else if !place.signs {
                    pending.push(format!("validator {who} doesn't sign: {standing}"));
                } else if place.executed < highest {
                    pending.push(format!("validator {who} executed {} of {highest}", place.executed));
                }
            }
            pending
        })
    }

    /// An idle cluster without faults, attackers included, comes to rest (simulation §2.6).
    fn calm_down(&mut self) -> Step {
        self.sight.with(|sight| sight.troupe.reform());
        let (settings, size) = (self.plan.settings.clone(), self.cluster.cast.size());
        let deadline_ms = self.now_ms + CALM_LIMIT_US / 1_000;
        let views = |fleet: &Self| {
            fleet.sight.with(|sight| {
                let core = sight.core.iter().flatten().map(|who| sight.places[usize::from(*who)]);
                core.map(|place| (place.view.0, place.is_active)).collect::<Vec<_>>()
            })
        };
        while self.now_ms < deadline_ms {
            let before = views(self);
            self.sight.with(|sight| sight.said = Said::default());
            self.until(self.now_ms + CALM_US / 1_000)?;
            if before == views(self) && self.sight.with(|sight| sight.said.is_rest(&settings, size)) {
                self.sight.with(|sight| sight.reach("calm reached"));
                return Ok(());
            }
        }
        let said = self.sight.with(|sight| sight.said.clone());
        Err(said.restless(&settings, size, &views(self)))
    }

    /// Some order explains what the clients saw (simulation §2.7).
    fn check_history(&self) -> Step {
        self.sight.with(|sight| {
            if judge_history(&sight.workload)? {
                sight.reach("history linearizable");
            }
            Ok(())
        })
    }

    /// The core's replicated state is equal, byte for byte (protocol §10, State).
    fn compare_states(&self) -> Step {
        let core = self.sight.with(|sight| sight.core.clone()).unwrap_or_default();
        let mut first = None;
        for who in core {
            let store = self.machines[usize::from(who)].disk.store();
            let executed = records::executed().read(store).map_err(|error| harness(&error))?;
            let executed = executed.map_or(Sequence::ZERO, |mark| mark.execution.sequence);
            let dump = (executed, dump(store).map_err(|error| harness(&error))?);
            let (other, expected) = *first.get_or_insert((who, dump));
            // One may be a sequence ahead of another.
            if expected.0 == dump.0 && expected != dump {
                let facts = vec![format!("validator {other}: {expected:?}"), format!("validator {who}: {dump:?}")];
                let (invariant, clause) = ("equal state, byte for byte", "protocol §10, State");
                return Err(Box::new(Verdict::Unsafe(Violation { invariant, clause, facts })));
            }
        }
        Ok(())
    }

    fn report(self, verdict: Verdict) -> Report {
        let cuts = u64::from(self.wires.cuts());
        let (now_ms, size) = (self.now_ms, self.cluster.cast.size());
        self.sight.with(|sight| {
            let mut reached = std::mem::take(&mut sight.reached);
            reached.insert("connection cut", cuts);
            reached.insert("operation signed", u64::from(sight.workload.counted().0));
            Report {
                virtual_ms: now_ms,
                deliveries: sight.deliveries,
                turns: sight.turns,
                hash: std::mem::take(&mut sight.hash).finish(),
                reached,
                validators: size,
                byzantine: sight.observer.scene().byzantine.iter().copied().collect(),
                story: sight.story.take().unwrap_or_default(),
                ..Report::of(verdict)
            }
        })
    }
}

fn byzantine_keys(cast: &Cast, settings: &Settings) -> BTreeMap<u16, SecretKey> {
    settings.byzantine.keys().map(|who| (*who, cast.key(*who))).collect()
}

/// The cast with a genesis of its own: real network keys, and the cluster's id from the file.
fn cluster(plan: &FaultPlan) -> Result<Cluster, quorate_types::genesis::GenesisError> {
    let mut cast = Cast::new(plan.seed, &Settings { real_signatures: true, ..plan.settings.clone() });
    let mut dice = Dice::new(plan.seed ^ 0x006e_6574, Stream::Keys);
    let network_seeds: Vec<[u8; 32]> = (0..cast.size()).map(|_| dice.bytes()).collect();
    let validators = cast.context.set.iter().zip(&network_seeds).map(|((_, info), seed)| {
        let mut info = info.clone();
        info.network_key = SecretKey::from_seed(*seed).public();
        info.peer_address = format!("{}:{PEER_PORT}", info.name);
        GenesisValidator { info, client_address: None }
    });
    let content = GenesisContent {
        name: "simulated".to_owned(),
        validators: validators.collect(),
        administrators: Administrators { threshold: 1, keys: vec![SecretKey::from_seed(dice.bytes()).public()] },
        parameters: *cast.parameters(),
        kinds: cast.kinds.iter().cloned().collect(),
    };
    let genesis = Genesis::parse(content.to_toml().as_bytes())?;
    let start = (Sequence::ZERO, genesis.cluster.0);
    cast.context =
        Context { cluster: genesis.cluster, set: Arc::new(genesis.validator_set()), start, ..cast.context.clone() };
    Ok(Cluster { cast, genesis, network_seeds })
}
