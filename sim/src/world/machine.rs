//! The world: everything that exists, and what happens next.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use quorate_replica::ExecutionSetup;
use quorate_types::codec::Canonical;
use quorate_types::ids::Epoch;
use quorate_types::message::Message;
use quorate_types::verified::Verified;

use super::calm::Said;
use super::cast::Cast;
use super::clock::START_WALL_MS;
use super::detection::Detection;
use super::hash::RollingHash;
use super::host::Host;
use super::invariants::{Fact, Observer};
use super::network::{Network, Packet};
use super::phases::Options;
use super::plan::FaultPlan;
use super::promises::Promises;
use super::queue::Queue;
use super::reads::Reads;
use super::recording::{Mark, Recording, State};
use super::verdict::{Accusation, Verdict, Violation};
use super::workload::Workload;
use crate::byzantine::Troupe;
use crate::dice::{Dice, Stream};

/// A step of the world: goes on, or ends the run.
pub(super) type Step = Result<(), Box<Verdict>>;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Happening {
    /// A packet arrives.
    Packet { to: u16, letter: Rc<Letter>, flipped: Option<u64> },
    /// A turn was planned.
    Turn { me: u16, generation: u64 },
    /// The disk has synced.
    Saved { me: u16, generation: u64 },
    /// A sequence is executed.
    Execute { me: u16, generation: u64 },
    /// More of a new state is put in place.
    Install { me: u16, generation: u64 },
    /// A process starts.
    Start { me: u16 },
    /// The plan's fault with this index.
    Fault(usize),
    /// A full disk has space again.
    Space { who: u16 },
    /// A client signs its next operation.
    Operation,
    /// Clients look at their watches.
    Retry,
    /// Byzantine validators have ideas.
    Mischief { me: u16 },
    /// What a Byzantine validator keeps back leaves.
    Leaves { to: u16, letter: Rc<Letter> },
}

/// What the door made of a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened {
    /// The message, or what a refused one shows.
    pub(super) gives: Option<Verified<Message>>,
    pub(super) is_refused: bool,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Letter {
    /// The machine that sends it.
    pub(super) host: u16,
    /// The validator that it is.
    pub(super) from: u16,
    pub(super) message: Message,
    pub(super) bytes: Vec<u8>,
    /// The door's verdict, which is the same for every receiver of an epoch.
    verified: RefCell<BTreeMap<Epoch, Opened>>,
    /// Whether a correct validator has let it in.
    pub(super) is_heard: Cell<bool>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: FaultPlan,
    pub(super) cast: Cast,
    pub(super) now_us: u64,
    pub(super) queue: Queue<Happening>,
    pub(super) hosts: Vec<Host>,
    pub(super) network: Network,
    pub(super) troupe: Troupe,
    pub(super) workload: Workload,
    pub(super) promises: Promises,
    pub(super) detection: Detection,
    pub(super) reads: Reads,
    pub(super) observer: Observer,
    pub(super) storage: Dice,
    pub(super) scheduling: Dice,
    pub(super) execution: ExecutionSetup,
    pub(super) hash: RollingHash,
    /// Packets that wait for their link to heal, with their receivers.
    pub(super) held: Vec<(u16, Rc<Letter>)>,
    /// The crash ordered at a point: how many points are left, what survives, how long it is down.
    pub(super) crash_at: Option<(u64, bool, u64)>,
    pub(super) points: u64,
    pub(super) deliveries: u64,
    /// What was delivered lately.
    pub(super) said: Said,
    pub(super) turns: u64,
    pub(super) healed_in_ms: Option<u64>,
    pub(super) reached: BTreeMap<&'static str, u64>,
    /// Contradictions held: offender, kind, who holds one.
    pub(super) accusations: Vec<Accusation>,
    pub(super) blamed: BTreeMap<u16, BTreeMap<String, BTreeSet<u16>>>,
    /// Who was first warned of whom, and when: by the suspect, then by who suspects, in milliseconds.
    pub(super) suspected: BTreeMap<u16, BTreeMap<u16, u64>>,
    /// Who must heal and serve, once the liveness phase has begun.
    pub(super) core: Option<BTreeSet<u16>>,
    /// Whose store is, or will be, damaged or rolled back: nothing is expected of it.
    pub(super) damaged: BTreeSet<u16>,
    /// System operations of the administrator so far.
    pub(super) administered: u64,
    /// What happened, where it is recorded.
    pub(super) recording: Option<Recording>,
}

impl World {
    /// A world before anything has happened.
    pub(super) fn new(plan: &FaultPlan, options: &Options) -> Result<Self, Box<Verdict>> {
        let settings = plan.settings.clone();
        let cast = Cast::new(plan.seed, &settings);
        plan.admit().map_err(|error| harness(&error))?;
        let keys = settings.byzantine.keys().map(|who| (*who, cast.key(*who))).collect();
        let troupe = Troupe::new(plan.seed, &settings.byzantine, keys, &options.behaviours);
        let troupe = troupe.map_err(|error| harness(&error))?;
        let identities = (0..settings.validators).chain(settings.twins.iter().copied());
        let hosts: Result<Vec<Host>, _> =
            (0..).zip(identities).map(|ids| Host::new(&cast, ids, settings.storage.sync_max_us)).collect();
        let hosts = hosts.map_err(|error| harness(&error))?;
        let byzantine = troupe.byzantine().iter().chain(&settings.twins).copied().collect();
        let (kinds, administrators) = (Arc::new(cast.kinds.clone()), Arc::new(cast.administrators.clone()));
        let execution = ExecutionSetup::new(&cast.context, kinds, administrators);
        Ok(Self {
            observer: Observer::new(cast.context.clone(), byzantine),
            network: Network::new(plan.seed, hosts.len(), settings.network),
            workload: Workload::new(plan.seed, settings.workload),
            promises: Promises::default(),
            detection: Detection::new(cast.context.clone()),
            reads: Reads::default(),
            queue: Queue::new(plan.seed),
            storage: Dice::new(plan.seed, Stream::Storage),
            scheduling: Dice::new(plan.seed, Stream::Scheduling),
            hosts,
            plan: plan.clone(),
            now_us: 0,
            hash: RollingHash::default(),
            held: Vec::new(),
            crash_at: None,
            points: 0,
            deliveries: 0,
            said: Said::default(),
            turns: 0,
            healed_in_ms: None,
            reached: BTreeMap::new(),
            blamed: BTreeMap::new(),
            accusations: Vec::new(),
            suspected: BTreeMap::new(),
            core: None,
            damaged: BTreeSet::new(),
            administered: 0,
            recording: options.records.then(Recording::default),
            cast,
            troupe,
            execution,
        })
    }

    /// The next thing happens; `false` if there is none up to `until_us`.
    pub(super) fn advance(&mut self, until_us: u64) -> Result<bool, Box<Verdict>> {
        if self.queue.next_us().is_none_or(|next| next > until_us) {
            self.now_us = until_us;
            return Ok(false);
        }
        let Some((at_us, happening)) = self.queue.pop() else { return Ok(false) };
        self.now_us = at_us;
        match happening {
            Happening::Packet { to, letter, flipped } => self.arrive(to, &letter, flipped)?,
            Happening::Turn { me, generation } => self.on_turn(me, generation)?,
            Happening::Saved { me, generation } => self.on_saved(me, generation)?,
            Happening::Execute { me, generation } => self.on_execute(me, generation)?,
            Happening::Install { me, generation } => self.on_install(me, generation)?,
            Happening::Start { me } => self.start(me)?,
            Happening::Fault(index) => self.on_fault(index)?,
            Happening::Space { who } => self.fill_disk(who, false),
            Happening::Operation => self.on_operation()?,
            Happening::Retry => self.on_retry()?,
            Happening::Mischief { me } => self.on_mischief(me)?,
            Happening::Leaves { to, letter } => self.post(to, &letter),
        }
        Ok(true)
    }

    /// How many machines there are.
    pub(super) fn size(&self) -> u16 {
        u16::try_from(self.hosts.len()).unwrap_or(u16::MAX)
    }

    /// A machine.
    pub(super) fn host(&mut self, me: u16) -> &mut Host {
        &mut self.hosts[usize::from(me)]
    }

    /// The validator that a machine is.
    pub(super) fn identity(&self, host: u16) -> u16 {
        self.hosts[usize::from(host)].me
    }

    /// Whether a machine is Byzantine, or one of a pair of twins, which is the same to everyone else.
    pub(super) fn is_byzantine(&self, host: u16) -> bool {
        self.observer.scene().byzantine.contains(&self.identity(host))
    }

    /// Who runs and may be given operations: in the liveness phase only the core.
    pub(super) fn gateways(&self) -> Vec<u16> {
        let serves = |host: &&Host| host.is_up() && self.core.as_ref().is_none_or(|core| core.contains(&host.id));
        self.hosts.iter().filter(serves).map(|host| host.id).collect()
    }

    /// The observer sees a fact.
    pub(super) fn see(&mut self, fact: Fact<'_>) -> Step {
        self.observer.see(fact).map_err(unsafe_)
    }

    /// A rare branch was reached.
    pub(super) fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// A line of the story.
    pub(super) fn tell(&mut self, state: State, who: Option<u16>, line: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            let view = who.map(|who| self.hosts[usize::from(who)].place().view);
            let view = view.map(|view| view.0);
            recording.mark(Mark { at_us: self.now_us, state, who, view, text: line() });
        }
    }

    /// True time, as block time.
    pub(super) const fn wall_ms(&self) -> u64 {
        START_WALL_MS + self.now_us / 1_000
    }

    /// Puts a message to its receiver on the network; its bytes are what travels.
    pub(super) fn post(&mut self, to: u16, letter: &Rc<Letter>) {
        let (kind, is_bulk) = (letter.message.kind(), letter.message.is_bulk());
        let packet = Packet { kind, bytes: letter.bytes.len(), is_bulk };
        let fate = self.network.send((letter.host, to), packet, self.now_us);
        if let Some(recording) = &mut self.recording {
            recording.message(self.now_us, (letter.host, to), &letter.message, &fate);
        }
        if fate.is_held {
            self.held.push((to, Rc::clone(letter)));
            return;
        }
        for arrival_us in fate.arrivals_us {
            let packet = Happening::Packet { to, letter: Rc::clone(letter), flipped: fate.flipped };
            self.queue.push(arrival_us, packet);
        }
    }

    /// Packages a message: it must survive its own bytes.
    pub(super) fn letter(&mut self, host: u16, message: &Message) -> Result<Rc<Letter>, Box<Verdict>> {
        let from = self.identity(host);
        let bytes = message.to_bytes();
        let decoded = match Message::from_bytes(&bytes) {
            Ok(decoded) => decoded,
            // A Byzantine validator's message may be no message at all.
            Err(_) if self.is_byzantine(host) => {
                let epochs = self.hosts.iter().map(|host| host.context.epoch.next()).max().unwrap_or_default();
                let verified = RefCell::new(
                    (0..=epochs.0).map(|epoch| (Epoch(epoch), Opened { gives: None, is_refused: true })).collect(),
                );
                return Ok(Rc::new(Letter {
                    host,
                    from,
                    message: message.clone(),
                    bytes,
                    verified,
                    is_heard: Cell::default(),
                }));
            }
            Err(fault) => {
                let facts = vec![format!("validator {from} sends a {}", message.kind()), format!("{fault}")];
                return Err(unsafe_(Violation {
                    invariant: "messages survive their bytes",
                    clause: "protocol §2",
                    facts,
                }));
            }
        };
        Ok(Rc::new(Letter {
            host,
            from,
            message: decoded,
            bytes,
            verified: RefCell::default(),
            is_heard: Cell::default(),
        }))
    }

    /// The message as the receiver's door lets it in.
    pub(super) fn open(&self, to: u16, letter: &Letter) -> Opened {
        let context = &self.hosts[usize::from(to)].context;
        let open = || match context.open(letter.message.clone()) {
            Ok(message) => Opened { gives: Some(message), is_refused: false },
            Err(refused) => Opened { gives: refused.shows, is_refused: true },
        };
        letter.verified.borrow_mut().entry(context.epoch).or_insert_with(open).clone()
    }

    /// What execution is told by a machine.
    pub(super) fn execution(&self, me: u16) -> ExecutionSetup {
        let ExecutionSetup { kinds, administrators, .. } = &self.execution;
        ExecutionSetup::new(&self.hosts[usize::from(me)].context, Arc::clone(kinds), Arc::clone(administrators))
    }
}

/// A violation ends the run.
pub(super) fn unsafe_(violation: Violation) -> Box<Verdict> {
    Box::new(Verdict::Unsafe(violation))
}

/// A fault of the harness ends the run.
pub(super) fn harness(error: &dyn std::fmt::Display) -> Box<Verdict> {
    Box::new(Verdict::Harness(error.to_string()))
}
