//! Four replicas behind their one door, with stores in memory and a network that only orders: the smallest
//! cluster there is. Faults are the simulator's business; this shows the good case, the loss of a primary, a
//! restart, and a store that must not sign.
#![expect(missing_docs, reason = "a test")]

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_crypto::{Digest, Scheme, SecretKey};
use quorate_replica::{
    Event, ExecutionSetup, GuardFile, Notice, Now, Outbox, Recipient, Replica, Setup, Standing, create_store,
    execution, recover, serve,
};
use quorate_storage::{Durability, MemoryStore, Store};
use quorate_types::genesis::{Administrators, Genesis, GenesisContent, GenesisValidator};
use quorate_types::ids::{BlockTime, Epoch, Sequence, ValidatorIndex};
use quorate_types::kind::{Access, Consistency, EntityType, Kind};
use quorate_types::message::Message;
use quorate_types::operation::{Change, EntityId, OperationBuilder};
use quorate_types::parameters::Parameters;
use quorate_types::set::ValidatorInfo;
use quorate_types::verified::Context;

const WALL_MS: u64 = 1_800_000_000_000;

fn key(role: u8, index: usize) -> SecretKey {
    let mut seed = [role; 32];
    seed[0] = u8::try_from(index).unwrap();
    SecretKey::from_seed(seed)
}

fn genesis(validators: usize) -> Genesis {
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
        access: Access::open([key(3, 0).public()]),
    };
    let content = GenesisContent {
        name: "test".to_owned(),
        validators: (0..validators).map(validator).collect(),
        administrators: Administrators { threshold: 1, keys: vec![key(3, 0).public()] },
        parameters: Parameters { checkpoint_interval: 4, window: 16, ..Parameters::default() },
        kinds: vec![kind],
    };
    Genesis::parse(content.to_toml().as_bytes()).unwrap()
}

struct Host {
    replica: Replica,
    store: MemoryStore,
    guard: Option<GuardFile>,
    is_up: bool,
    certified: Vec<(Sequence, Digest)>,
}

struct Cluster {
    genesis: Genesis,
    context: Context,
    hosts: Vec<Host>,
    now: Now,
    wire: VecDeque<(usize, usize, Message)>,
    nonce: u64,
}

impl Cluster {
    fn new(validators: usize) -> Self {
        let genesis = genesis(validators);
        let context = Context {
            cluster: genesis.cluster,
            scheme: Scheme::Ed25519,
            epoch: Epoch(0),
            set: Arc::new(genesis.validator_set()),
            parameters: Arc::new(genesis.content.parameters),
            start: (Sequence(0), genesis.cluster.0),
        };
        let now = Now { monotonic_ms: 1_000, wall_ms: WALL_MS };
        let mut cluster = Self { genesis, context, hosts: Vec::new(), now, wire: VecDeque::new(), nonce: 0 };
        for index in 0..validators {
            let store = MemoryStore::new();
            let incarnation = cluster.genesis.content.validators[index].info.incarnation;
            store.write(create_store(cluster.genesis.cluster, incarnation), Durability::Synced).unwrap();
            let host = cluster.boot(index, store, Some(GuardFile::default()));
            cluster.hosts.push(host);
        }
        cluster
    }

    fn boot(&self, index: usize, store: MemoryStore, guard: Option<GuardFile>) -> Host {
        let me = ValidatorIndex(u16::try_from(index).unwrap());
        let setup = Setup { context: self.context.clone(), me, key: key(1, index) };
        let replica = recover(&store, guard.as_ref(), setup, self.now).unwrap();
        let mut host = Host { replica, store, guard, is_up: true, certified: Vec::new() };
        let setup = self.execution();
        while let Some(job) = execution::next_job(&host.store).unwrap() {
            let done = execution::execute(&host.store, &setup, &job).unwrap();
            host.store.write(done.batch, Durability::Buffered).unwrap();
            let mut out = Outbox::default();
            host.replica.step(self.now, Event::Executed(done.executed), &mut out);
            host.store.write(out.records, Durability::Synced).unwrap();
        }
        host
    }

    fn execution(&self) -> ExecutionSetup {
        ExecutionSetup { parameters: self.context.parameters.clone(), kinds: Arc::new(self.genesis.kinds()) }
    }

    fn submit(&mut self, to: usize, count: usize) {
        let author = key(4, 0);
        for _ in 0..count {
            self.nonce += 1;
            let entity = EntityId::new("hits", "front-page");
            let change = if self.nonce == 1 { Change::Create { value: None } } else { Change::Add { by: 1 } };
            let operation = OperationBuilder::new(
                self.genesis.cluster,
                author.public(),
                self.nonce,
                BlockTime(self.now.wall_ms + 3_600_000),
            )
            .mutate(entity, change)
            .sign(&author)
            .unwrap();
            let verified = self.context.verify_operations(vec![Arc::new(operation)]).pop().unwrap().unwrap();
            let mut out = Outbox::default();
            self.hosts[to].replica.step(self.now, Event::Operation(verified), &mut out);
            self.carry_out(to, out);
        }
        self.step(to, Event::Turn);
    }

    /// What a shell does with an outbox.
    fn carry_out(&mut self, at: usize, out: Outbox) {
        let setup = self.execution();
        let host = &mut self.hosts[at];
        for notice in &out.notices {
            match notice {
                Notice::Certified(certificate) => {
                    host.certified.push((certificate.execution.sequence, certificate.execution.receipts_root));
                }
                Notice::Refused(refusal) => panic!("the guard refused: {refusal}"),
                _ => {}
            }
        }
        host.store.write(out.records, Durability::Synced).unwrap();
        if let Some(batch) = out.batch {
            host.guard = Some(GuardFile { batch, records: out.guard });
        }
        for outgoing in out.now.into_iter().chain(out.after) {
            for to in 0..self.hosts.len() {
                let meant = match outgoing.to {
                    Recipient::All => to != at,
                    Recipient::One(one) => one.position() == to,
                };
                if meant {
                    self.wire.push_back((at, to, outgoing.message.clone()));
                }
            }
        }
        for job in out.execute {
            let done = execution::execute(&self.hosts[at].store, &setup, &job).unwrap();
            self.hosts[at].store.write(done.batch, Durability::Buffered).unwrap();
            let mut out = Outbox::default();
            self.hosts[at].replica.step(self.now, Event::Executed(done.executed), &mut out);
            self.carry_out(at, out);
        }
    }

    fn step(&mut self, at: usize, event: Event) {
        let mut out = Outbox::default();
        self.hosts[at].replica.step(self.now, event, &mut out);
        self.hosts[at].replica.step(self.now, Event::Turn, &mut out);
        self.carry_out(at, out);
    }

    /// Delivers everything, with 1 ms per round, for so many milliseconds.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.monotonic_ms += 1;
            self.now.wall_ms += 1;
            for (from, to, message) in std::mem::take(&mut self.wire) {
                if !self.hosts[to].is_up || !self.hosts[from].is_up {
                    continue;
                }
                if let Message::Request(request) = &message {
                    let answers = serve::answer(&self.hosts[to].store, Epoch(0), request, 1 << 20).unwrap();
                    self.wire.extend(answers.into_iter().map(|answer| (to, from, answer)));
                    continue;
                }
                let message = self.context.verify(message).expect("correct replicas send what verifies");
                let from = ValidatorIndex(u16::try_from(from).unwrap());
                self.step(to, Event::Message { from, message });
            }
            for at in 0..self.hosts.len() {
                if self.hosts[at].is_up && self.hosts[at].replica.deadline_ms() <= self.now.monotonic_ms {
                    self.step(at, Event::Turn);
                }
            }
        }
    }

    fn executed(&self) -> Vec<u64> {
        self.hosts.iter().map(|host| host.replica.report().executed.0).collect()
    }

    fn assert_agreed(&self, at_least: u64) {
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
}

fn execution_mark(store: &MemoryStore) -> quorate_types::execution::Execution {
    quorate_replica::records::executed().read(store).unwrap().unwrap().execution
}

#[test]
fn four_replicas_order_operations_of_two_clients() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    assert!(cluster.hosts.iter().all(|host| *host.replica.standing() == Standing::Signing));
    for _ in 0..10 {
        cluster.submit(0, 3);
        cluster.submit(2, 2);
        cluster.run(10);
    }
    cluster.run(600);
    cluster.assert_agreed(5);
    assert!(cluster.hosts[0].replica.report().stable.0 >= 4, "{:?}", cluster.executed());
    assert_eq!(cluster.hosts[0].replica.report().view.0, 0);
}

#[test]
fn one_replica_alone_orders_by_itself() {
    let mut cluster = Cluster::new(1);
    cluster.submit(0, 5);
    cluster.run(20);
    cluster.assert_agreed(1);
}

/// protocol §5.1, §5.2
#[test]
fn the_loss_of_the_primary_changes_the_view_and_the_primary_catches_up_when_it_is_back() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.submit(1, 5);
    cluster.run(20);
    cluster.hosts[0].is_up = false;
    let before = cluster.executed()[1];
    for _ in 0..20 {
        cluster.submit(1, 2);
        cluster.run(200);
    }
    cluster.assert_agreed(before + 2);
    assert_eq!(cluster.hosts[1].replica.report().view.0, 1);
    let (store, guard) = (cluster.hosts[0].store.clone(), cluster.hosts[0].guard.clone());
    cluster.hosts[0] = cluster.boot(0, store, guard);
    cluster.run(2_000);
    cluster.submit(0, 3);
    cluster.run(1_000);
    cluster.assert_agreed(before + 3);
    assert_eq!(*cluster.hosts[0].replica.standing(), Standing::Signing);
}

/// protocol §7.2, §7.5
#[test]
fn an_old_or_lost_store_follows_without_signing() {
    let mut cluster = Cluster::new(4);
    cluster.run(20);
    cluster.submit(1, 5);
    cluster.run(50);
    let store = MemoryStore::new();
    store.write(create_store(cluster.genesis.cluster, [77; 32]), Durability::Synced).unwrap();
    cluster.hosts[3] = cluster.boot(3, store, Some(GuardFile::default()));
    let old = MemoryStore::new();
    assert!(cluster.hosts[3].replica.standing().is_quarantined());
    cluster.submit(1, 5);
    cluster.run(2_000);
    cluster.assert_agreed(2);
    // The right incarnation, but the guard file has seen more: an old backup.
    old.write(create_store(cluster.genesis.cluster, [3; 32]), Durability::Synced).unwrap();
    let guard = cluster.hosts[2].guard.clone();
    cluster.hosts[2] = cluster.boot(2, old, guard);
    assert!(cluster.hosts[2].replica.standing().is_quarantined());
}
