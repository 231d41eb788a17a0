//! A cluster of replicas with their shells' work done by hand.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_crypto::{Digest, Scheme, SecretKey, sha256};
use quorate_replica::machine::tree::Cache;
use quorate_replica::transfer::{self, Snapshots, Sweep, TransferNotice};
use quorate_replica::{
    Event, Executed, ExecutionSetup, GuardFile, Notice, Now, Outbox, Recipient, Replica, Setup, create_store, epochs,
    execution, pruning, records, recover, serve,
};
use quorate_storage::{Durability, Family, MemorySnapshot, MemoryStore, Store, WriteBatch};
use quorate_types::epoch::NewValidator;
use quorate_types::evidence::Evidence;
use quorate_types::execution::Execution;
use quorate_types::freshness::{FreshnessAnswer, Nonce};
use quorate_types::genesis::{Administrators, Genesis, GenesisContent, GenesisValidator};
use quorate_types::ids::{BlockTime, Epoch, OperationId, Sequence, ValidatorIndex};
use quorate_types::kind::{Access, Consistency, EntityType, Kind};
use quorate_types::message::{Message, Request};
use quorate_types::operation::{Change, EntityId, Operation, OperationBuilder, SystemChange};
use quorate_types::parameters::Parameters;
use quorate_types::promise::Promise;
use quorate_types::rules::RuleFault;
use quorate_types::set::ValidatorInfo;
use quorate_types::signed::{Signed, Statement, signing_bytes};
use quorate_types::verified::{Context, PeerFault, Verified};

pub(crate) const WALL_MS: u64 = 1_800_000_000_000;

pub(crate) fn key(role: u8, index: usize) -> SecretKey {
    let mut seed = [role; 32];
    seed[0] = u8::try_from(index).unwrap();
    SecretKey::from_seed(seed)
}

pub(crate) fn index(validator: usize) -> ValidatorIndex {
    ValidatorIndex(u16::try_from(validator).unwrap())
}

fn genesis(validators: usize, parameters: Parameters) -> Genesis {
    let validator = |index: usize| GenesisValidator {
        info: ValidatorInfo {
            name: format!("v{index}"),
            consensus_key: key(1, index).public(),
            network_key: key(2, index).public(),
            incarnation: [u8::try_from(index).unwrap() + 1; 32],
            peer_address: format!("127.0.0.1:{}", 7000 + index),
        },
        client_address: None,
    };
    let kind = Kind {
        name: "hits".to_owned(),
        consistency: Consistency::Strong,
        entity_type: EntityType::Counter,
        schema: None,
        access: Access::open([key(3, 0).public()]),
    };
    let content = GenesisContent {
        name: "test".to_owned(),
        validators: (0..validators).map(validator).collect(),
        administrators: Administrators { threshold: 1, keys: vec![key(3, 0).public()] },
        parameters,
        kinds: vec![kind],
    };
    Genesis::parse(content.to_toml().as_bytes()).unwrap()
}

pub(crate) struct Host {
    pub(crate) replica: Replica,
    /// The epoch that it is in.
    pub(crate) context: Context,
    pub(crate) store: MemoryStore,
    pub(crate) guard: Option<GuardFile>,
    pub(crate) is_up: bool,
    /// Results stay unreported: the validator executes, and its event loop is too slow to hear of it.
    pub(crate) is_deaf_to_results: bool,
    pub(crate) certified: Vec<(Sequence, Digest)>,
    pub(crate) evidence: Vec<Arc<Evidence>>,
    pub(crate) promises: Vec<Signed<Promise>>,
    /// Delivered and not executed yet.
    jobs: VecDeque<quorate_replica::ExecutionJob>,
    /// Results of freshness rounds.
    pub(crate) fresh: Vec<(Nonce, Sequence)>,
    pub(crate) statements: Vec<FreshnessAnswer>,
    /// Checkpoints that it can hand over.
    pub(crate) snapshots: Snapshots<MemorySnapshot>,
    pub(crate) transfers: Vec<TransferNotice>,
}

/// What an answer of one validator to another becomes on its way.
type Tamper = Box<dyn FnMut(usize, usize, Message) -> Vec<Message>>;

/// Which messages get through: from, to, what.
type Links = Box<dyn Fn(usize, usize, &Message) -> bool>;

pub(crate) struct Cluster {
    pub(crate) genesis: Genesis,
    pub(crate) context: Context,
    pub(crate) hosts: Vec<Host>,
    pub(crate) now: Now,
    pub(crate) wire: VecDeque<(usize, usize, Message)>,
    pub(crate) links: Links,
    pub(crate) tamper: Tamper,
    /// Everything ever sent, as (sender, message).
    pub(crate) sent: Vec<(usize, Message)>,
    nonce: u64,
    administered: u64,
}

impl Cluster {
    pub(crate) fn new(validators: usize) -> Self {
        Self::with(validators, Parameters { checkpoint_interval: 4, window: 16, ..Parameters::default() })
    }

    /// A cluster whose epochs are as short as they may be, and soon over when idle.
    pub(crate) fn of_short_epochs(validators: usize) -> Self {
        let parameters = Parameters {
            checkpoint_interval: 4,
            window: 16,
            min_epoch_sequences: 256,
            empty_interval_ms: 20,
            bar_on_proof: 1,
            ..Parameters::default()
        };
        Self::with(validators, parameters)
    }

    fn with(validators: usize, parameters: Parameters) -> Self {
        let genesis = genesis(validators, parameters);
        let context = Context {
            cluster: genesis.cluster,
            scheme: Scheme::Ed25519,
            epoch: Epoch(0),
            set: Arc::new(genesis.validator_set()),
            parameters: Arc::new(genesis.content.parameters),
            start: (Sequence(0), genesis.cluster.0),
        };
        let now = Now { monotonic_ms: 1_000, wall_ms: WALL_MS };
        let links: Links = Box::new(|_, _, _| true);
        let (hosts, wire, sent) = (Vec::new(), VecDeque::new(), Vec::new());
        let tamper: Tamper = Box::new(|_, _, answer| vec![answer]);
        let mut cluster = Self { genesis, context, hosts, now, wire, links, tamper, sent, nonce: 0, administered: 0 };
        for index in 0..validators {
            let store = cluster.fresh_store(index);
            let host = cluster.boot(index, store, Some(GuardFile::default()));
            cluster.hosts.push(host);
        }
        cluster
    }

    /// A store as `init` makes it for validator `at`.
    pub(crate) fn fresh_store(&self, at: usize) -> MemoryStore {
        let store = MemoryStore::new();
        let incarnation = self.genesis.content.validators[at].info.incarnation;
        store.write(create_store(self.genesis.cluster, incarnation), Durability::Synced).unwrap();
        store
    }

    pub(crate) fn boot(&self, at: usize, store: MemoryStore, guard: Option<GuardFile>) -> Host {
        let context = epochs::current(&store, &self.context, &key(1, at).public()).unwrap();
        let me = context.set.place_of(&key(1, at).public());
        // Another nonce at each start, as a node takes it at random.
        let fresh = *sha256(&[&self.now.monotonic_ms.to_be_bytes(), &[u8::try_from(at).unwrap()]]).as_bytes();
        let setup = Setup { context: context.clone(), me, key: key(1, at), fresh };
        let replica = recover(&store, guard.as_ref(), setup, self.now).unwrap();
        let guard = if replica.is_new_incarnation() { Some(GuardFile::default()) } else { guard };
        let (certified, evidence, jobs, fresh, statements) = Default::default();
        let mut host = Host {
            replica,
            context,
            store,
            guard,
            is_up: true,
            is_deaf_to_results: false,
            certified,
            evidence,
            promises: Vec::new(),
            jobs,
            fresh,
            statements,
            snapshots: Snapshots::new(self.context.parameters.checkpoint_interval),
            transfers: Vec::new(),
        };
        self.catch_up(&mut host);
        host
    }

    /// Executes what is delivered and not executed.
    fn catch_up(&self, host: &mut Host) {
        let setup = self.execution(&host.context);
        while let Some(job) = execution::next_job(&host.store).unwrap() {
            let done = execution::execute(&host.store, &setup, &mut Cache::default(), &job).unwrap();
            host.store.write(done.batch, Durability::Buffered).unwrap();
            let mut out = Outbox::default();
            host.replica.step(self.now, Event::Executed(done.executed), &mut out);
            host.store.write(out.records, Durability::Synced).unwrap();
        }
    }

    /// The state that was received takes the place of the old, and the replica is built anew.
    fn install(&mut self, at: usize) {
        let mut host = self.hosts.remove(at);
        transfer::install(&host.store).unwrap();
        host.snapshots.clear();
        host.replica = host.replica.resume(&host.store, self.now).unwrap();
        self.catch_up(&mut host);
        self.hosts.insert(at, host);
    }

    /// Everything that may go below `retained` sequences leaves a validator's store.
    pub(crate) fn prune(&self, at: usize, retained: u64) {
        let store = &self.hosts[at].store;
        let floor = pruning::floor(store, retained).unwrap();
        let pruned = pruning::prune(store, floor, self.context.parameters.checkpoint_interval, u64::MAX).unwrap();
        store.write(pruned.batch, Durability::Synced).unwrap();
        store.write(Sweep::default().next(store).unwrap(), Durability::Synced).unwrap();
    }

    /// The process of `at` ends and starts again, with what its store and its guard file hold.
    pub(crate) fn restart(&mut self, at: usize) {
        let (store, guard) = (self.hosts[at].store.clone(), self.hosts[at].guard.clone());
        self.hosts[at] = self.boot(at, store, guard);
    }

    fn execution(&self, context: &Context) -> ExecutionSetup {
        let administrators = Arc::new(self.genesis.content.administrators.clone());
        ExecutionSetup::new(context, Arc::new(self.genesis.kinds()), administrators)
    }

    /// A store of another incarnation.
    pub(crate) fn another_store(&self, incarnation: [u8; 32]) -> MemoryStore {
        let store = MemoryStore::new();
        store.write(create_store(self.genesis.cluster, incarnation), Durability::Synced).unwrap();
        store
    }

    /// A validator to be.
    pub(crate) fn newcomer(&self, at: usize) -> NewValidator {
        NewValidator {
            name: format!("v{at}"),
            consensus_key: key(1, at).public(),
            network_key: key(2, at).public(),
            peer_address: format!("127.0.0.1:{}", 7000 + at),
            replaces: false,
        }
    }

    /// Starts one that follows although nobody knows it yet.
    pub(crate) fn join(&mut self, at: usize) {
        let host = self.boot(at, self.another_store([u8::try_from(at).unwrap() + 1; 32]), Some(GuardFile::default()));
        self.hosts.push(host);
    }

    /// A system operation of the administrator.
    pub(crate) fn administer(&mut self, to: usize, change: SystemChange) -> OperationId {
        let administrator = key(3, 0);
        self.administered += 1;
        let expires = BlockTime(self.now.wall_ms + 3_600_000);
        let builder = OperationBuilder::new(self.genesis.cluster, administrator.public(), self.administered, expires);
        let operation = builder.system(change).sign(&administrator).unwrap();
        let id = operation.id();
        let verified = self.context.verify_operations(vec![Arc::new(operation)]).pop().unwrap().unwrap();
        self.step(to, Event::Operation(verified));
        id
    }

    pub(crate) fn submit(&mut self, to: usize, count: usize) {
        for _ in 0..count {
            let operation = self.next_operation();
            self.hand_over(to, vec![Event::Operation(operation)]);
        }
        self.step(to, Event::Turn);
    }

    /// The next operation of the one author.
    pub(crate) fn next_operation(&mut self) -> Verified<Arc<Operation>> {
        let author = key(4, 0);
        self.nonce += 1;
        let entity = EntityId::new("hits", "front-page");
        let change = if self.nonce == 1 { Change::Create { value: None } } else { Change::Add { by: 1 } };
        let expires = BlockTime(self.now.wall_ms + 3_600_000);
        let builder = OperationBuilder::new(self.genesis.cluster, author.public(), self.nonce, expires);
        let operation = builder.mutate(entity, change).sign(&author).unwrap();
        self.context.verify_operations(vec![Arc::new(operation)]).pop().unwrap().unwrap()
    }

    /// Events of one turn that goes on.
    pub(crate) fn hand_over(&mut self, to: usize, events: Vec<Event>) {
        let mut out = Outbox::default();
        for event in events {
            self.hosts[to].replica.step(self.now, event, &mut out);
        }
        self.carry_out(to, out);
    }

    /// What a shell does with an outbox.
    fn carry_out(&mut self, at: usize, out: Outbox) {
        let host = &mut self.hosts[at];
        for notice in &out.notices {
            match notice {
                Notice::Certified(certificate) => {
                    host.certified.push((certificate.execution.sequence, certificate.execution.receipts_root));
                }
                Notice::Evidence(_, evidence) => host.evidence.push(Arc::clone(evidence)),
                Notice::Promised(promise) => host.promises.push(*promise),
                Notice::Fresh { nonce, sequence } => host.fresh.push((*nonce, *sequence)),
                Notice::Statement(answer) => host.statements.push((**answer).clone()),
                Notice::Transfer(notice) => host.transfers.push(*notice),
                Notice::Refused(refusal) => panic!("the guard refused: {refusal}"),
                _ => {}
            }
        }
        if let Some(batch) = out.batch {
            host.guard = Some(GuardFile { batch, records: out.guard });
        }
        host.store.write(out.records, Durability::Synced).unwrap();
        for outgoing in out.now.into_iter().chain(out.after) {
            self.sent.push((at, outgoing.message.clone()));
            for to in 0..self.hosts.len() {
                let meant = match outgoing.to {
                    Recipient::All => to != at,
                    Recipient::One(one) => one.position() == to,
                };
                if meant && (self.links)(at, to, &outgoing.message) {
                    self.wire.push_back((at, to, outgoing.message.clone()));
                }
            }
        }
        if out.install.is_some() {
            return self.install(at);
        }
        if out.enters.is_some() {
            return self.restart(at);
        }
        // What execution reports may lead to more of it: in order, one after the other.
        let is_busy = !self.hosts[at].jobs.is_empty();
        self.hosts[at].jobs.extend(out.execute);
        while !is_busy && let Some(job) = self.hosts[at].jobs.front().cloned() {
            self.execute(at, &job);
            self.hosts[at].jobs.pop_front();
        }
    }

    fn execute(&mut self, at: usize, job: &quorate_replica::ExecutionJob) {
        let setup = self.execution(&self.hosts[at].context);
        let done = execution::execute(&self.hosts[at].store, &setup, &mut Cache::default(), job).unwrap();
        let host = &mut self.hosts[at];
        host.store.write(done.batch, Durability::Buffered).unwrap();
        if host.snapshots.wants(job.sequence) {
            let snapshot = host.store.snapshot().unwrap();
            host.snapshots.keep(&host.store, (job.sequence, snapshot), self.now.monotonic_ms).unwrap();
        }
        if !self.hosts[at].is_deaf_to_results {
            self.report(at, done.executed);
        }
    }

    fn report(&mut self, at: usize, executed: Executed) {
        let mut out = Outbox::default();
        self.hosts[at].replica.step(self.now, Event::Executed(executed), &mut out);
        self.carry_out(at, out);
    }

    pub(crate) fn step(&mut self, at: usize, event: Event) {
        let mut out = Outbox::default();
        self.hosts[at].replica.step(self.now, event, &mut out);
        self.hosts[at].replica.step(self.now, Event::Turn, &mut out);
        self.carry_out(at, out);
    }

    /// A message of `from` reaches `to`, if its signatures hold.
    pub(crate) fn deliver(&mut self, from: usize, to: usize, message: Message) {
        let message = match self.hosts[to].context.verify(message) {
            // Its sender is in another epoch.
            Err(PeerFault::Rule(RuleFault::OtherEpoch { .. })) => return,
            verified => verified.expect("what is sent verifies"),
        };
        self.step(to, Event::Message { from: index(from), message });
    }

    /// Delivers everything, with 1 ms per round, for so many milliseconds.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.monotonic_ms += 1;
            self.now.wall_ms += 1;
            for (from, to, message) in std::mem::take(&mut self.wire) {
                if !self.hosts[to].is_up || !self.hosts[from].is_up {
                    continue;
                }
                if let Message::Request(request) = &message
                    && !matches!(request, Request::Freshness(_))
                {
                    let host = &mut self.hosts[to];
                    let answer = host.snapshots.answer(&host.store, request, self.now.monotonic_ms).unwrap();
                    let answer = answer.read(1 << 10).unwrap();
                    let answers = match answer {
                        Some(answer) => vec![answer],
                        None => serve::answer(&host.store, request, 1 << 20).unwrap(),
                    };
                    for answer in answers {
                        let answers = (self.tamper)(to, from, answer);
                        self.wire.extend(answers.into_iter().map(|answer| (to, from, answer)));
                    }
                    continue;
                }
                self.deliver(from, to, message);
            }
            for at in 0..self.hosts.len() {
                if self.hosts[at].is_up && self.hosts[at].replica.deadline_ms() <= self.now.monotonic_ms {
                    self.step(at, Event::Turn);
                }
            }
        }
    }

    /// Runs until `done`, at most so many milliseconds.
    pub(crate) fn run_until(&mut self, ms: u64, done: impl Fn(&Self) -> bool) {
        for _ in 0..ms {
            if done(self) {
                return;
            }
            self.run(1);
        }
        let reports: Vec<_> = self.hosts.iter().map(|host| host.replica.report()).collect();
        panic!("not within {ms} ms: {reports:#?}");
    }

    pub(crate) fn executed(&self) -> Vec<u64> {
        self.hosts.iter().map(|host| host.replica.report().executed.0).collect()
    }

    pub(crate) fn assert_agreed(&self, at_least: u64) {
        for (index, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.is_up) {
            let report = host.replica.report();
            assert!(report.executed.0 >= at_least, "validator {index}: {report:#?}");
            assert_eq!(report.certified, report.executed, "validator {index}");
        }
        let up: Vec<_> = self.hosts.iter().filter(|host| host.is_up).collect();
        for pair in up.windows(2) {
            let (a, b) = (execution_mark(&pair[0].store), execution_mark(&pair[1].store));
            assert_eq!(a, b);
        }
    }

    pub(crate) fn sign<T: Statement>(&self, statement: T) -> Signed<T> {
        let signer = statement.signer().position();
        let signature = key(1, signer).sign(&signing_bytes(&self.genesis.cluster, &statement));
        Signed { statement, signature }
    }
}

pub(crate) fn execution_mark(store: &MemoryStore) -> Execution {
    records::executed().read(store).unwrap().unwrap().execution
}

/// A backup of a store as it is now.
pub(crate) fn copy(store: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::new();
    let mut batch = WriteBatch::new();
    for family in Family::ALL {
        for (key, value) in store.scan(family, &[], &[], usize::MAX).unwrap() {
            batch.put(family, key, value);
        }
    }
    copy.write(batch, Durability::Synced).unwrap();
    copy
}
