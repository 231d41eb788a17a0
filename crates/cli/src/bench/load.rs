//! Load: clients that sign, send and wait for verified receipts.
//!
//! A closed loop sends the next operation when an answer comes: it finds how much a cluster can do. An open
//! loop sends by the clock, whether or not the cluster keeps up, and counts latency from the moment at which an
//! operation *should* have left: it finds how long clients wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use quorate_client::{Client, MemoryNonces, NonceFault, Pipeline, Settled, SignFault, Signer};
use quorate_crypto::SecretKey;
use quorate_types::operation::{Change, EntityId, Operation};
use quorate_types::value::Value;

use crate::files;
use crate::json::hex_of_bytes;
use crate::submit::bulk::MAX_IN_FLIGHT;

/// How long an operation may wait: longer than any measurement.
const LIFETIME_MS: u64 = 3_600_000;

/// Documents that one client writes, by turns.
const DOCUMENTS: u64 = 1_000;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// So many on their way at once, per client.
    Closed {
        /// How many.
        in_flight: usize,
    },
    /// So many per second, of all clients.
    Open {
        /// How many.
        rate: u64,
    },
}

/// What to do.
#[derive(Clone, Debug)]
pub(super) struct LoadPlan {
    pub(super) clients: usize,
    pub(super) pace: Pace,
    pub(super) size_bytes: usize,
    pub(super) mutations: usize,
    pub(super) kind: String,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Latencies of operations whose receipt came in the time measured.
    pub(super) latencies_us: Vec<u64>,
    /// Those of them that were rejected.
    pub(super) rejected: u64,
    /// Operations without a receipt, at any time.
    pub(super) failed: u64,
    /// The first reason.
    pub(super) first_failure: Option<String>,
}

/// The time that is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

impl Pace {
    pub(super) fn words(self, clients: usize) -> String {
        match self {
            Self::Closed { in_flight } => {
                format!("closed loop, {clients} clients with {in_flight} operations in flight each")
            }
            Self::Open { rate } => {
                format!("open loop, {} operations/s from {clients} clients", crate::paint::number(rate))
            }
        }
    }
}

/// Runs all clients to the end of `window`, and until their last answers.
pub(super) async fn run(client: &Client, plan: &LoadPlan, window: Window) -> anyhow::Result<Measured> {
    let endpoints = client.endpoints().count();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..plan.clients {
        let author = Author::new(client.starting_at(index % endpoints)?, plan)?;
        tasks.spawn(author.run(window));
    }
    let mut all = Measured::default();
    while let Some(result) = tasks.join_next().await {
        let one = result.context("a client of the benchmark")??;
        all.latencies_us.extend(one.latencies_us);
        all.rejected += one.rejected;
        all.failed += one.failed;
        all.first_failure = all.first_failure.or(one.first_failure);
    }
    Ok(all)
}

/// One client.
struct Author {
    client: Client,
    signer: Signer<MemoryNonces>,
    name: String,
    kind: String,
    mutations: usize,
    /// What each document holds, beside a number.
    filling: String,
    count: u64,
    /// Open loop: the time between two operations.
    interval: Option<Duration>,
    in_flight: usize,
    /// Open loop: when operations in flight should have left, by nonce.
    due: BTreeMap<u64, Instant>,
    measured: Measured,
}

impl Author {
    fn new(client: Client, plan: &LoadPlan) -> anyhow::Result<Self> {
        let key = SecretKey::from_seed(files::random()?);
        let name = hex_of_bytes(&key.public().as_bytes()[..4]);
        let signer = Signer::new(key, client.cluster(), MemoryNonces::starting_at(1));
        let (interval, in_flight) = match plan.pace {
            Pace::Closed { in_flight } => (None, in_flight),
            Pace::Open { rate } => {
                let interval = Duration::from_nanos(1_000_000_000 * plan.clients as u64 / rate);
                (Some(interval), MAX_IN_FLIGHT)
            }
        };
        let mut author = Self {
            client,
            signer,
            name,
            kind: plan.kind.clone(),
            mutations: plan.mutations,
            filling: String::new(),
            count: 0,
            interval,
            in_flight,
            due: BTreeMap::new(),
            measured: Measured::default(),
        };
        author.fill_to(plan.size_bytes)?;
        Ok(author)
    }

    /// Finds the filling with which an operation has the size wanted.
    fn fill_to(&mut self, size_bytes: usize) -> anyhow::Result<()> {
        ensure!(self.mutations > 0, "--mutations must be at least 1");
        // Lengths are varints, so the first guess may be some bytes off.
        for _ in 0..3 {
            let operation = self.operation()?;
            self.signer.settle(&operation);
            let found = operation.size_bytes();
            let filled = self.filling.len() * self.mutations;
            ensure!(
                size_bytes + filled >= found,
                "an operation with {} mutations has at least {} bytes; --size {size_bytes} is less",
                self.mutations,
                found - filled
            );
            let each = (size_bytes + filled - found) / self.mutations;
            self.filling = random_text(each)?;
        }
        let operation = self.operation()?;
        self.signer.settle(&operation);
        let genesis = self.client.genesis();
        operation.admit(&genesis.content.parameters, &genesis.cluster).context("the cluster takes no such operation")
    }

    /// The next operation: puts documents of its own.
    fn operation(&mut self) -> Result<Operation, SignFault> {
        let mut builder = self.signer.draft(LIFETIME_MS)?;
        for _ in 0..self.mutations {
            let id = format!("bench-{}-{:04}", self.name, self.count % DOCUMENTS);
            self.count += 1;
            // A new value every time, of the same length.
            let value = Value::Text(format!("{:012}{}", self.count, self.filling));
            builder = builder.mutate(EntityId::new(&self.kind, &id), Change::Put { value });
        }
        self.signer.sign(builder)
    }

    async fn run(mut self, window: Window) -> anyhow::Result<Measured> {
        // The first operation of an unknown author goes alone: it sets the base of its nonces.
        let first = self.operation()?;
        self.client.submit(&first).await.context("the first operation of a client")?;
        self.signer.settle(&first);
        let (pipeline, mut answers) = self.client.pipeline(self.in_flight);
        let mut ready: Option<(Instant, Arc<Operation>)> = None;
        let mut due = Instant::now();
        loop {
            if ready.is_none() && Instant::now() < window.to {
                ready = self.next(due)?;
            }
            let is_over = Instant::now() >= window.to;
            if is_over && self.signer.outstanding() == usize::from(ready.is_some()) {
                break;
            }
            tokio::select! {
                sent = send(&pipeline, ready.as_ref()), if ready.is_some() && !is_over => {
                    ensure!(sent, "the connection to the cluster ended unexpectedly");
                    if let Some((at, operation)) = ready.take() {
                        self.due.insert(operation.nonce(), at);
                        due = self.interval.map_or(due, |interval| at + interval);
                    }
                }
                settled = answers.recv() => {
                    self.settle(settled.context("the connection to the cluster ended unexpectedly")?, window);
                }
                // The end, also when nobody answers any more.
                () = tokio::time::sleep_until(window.to.into()), if !is_over => {}
            }
        }
        drop(answers);
        pipeline.close().await;
        Ok(self.measured)
    }

    /// The next operation with the moment at which it should leave; none while too many are outstanding.
    fn next(&mut self, due: Instant) -> anyhow::Result<Option<(Instant, Arc<Operation>)>> {
        match self.operation() {
            Ok(operation) => Ok(Some((due, Arc::new(operation)))),
            Err(SignFault::Nonce(NonceFault::TooManyOutstanding { .. })) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    fn settle(&mut self, settled: Settled, window: Window) {
        let now = Instant::now();
        self.signer.settle(&settled.operation);
        let due = self.due.remove(&settled.operation.nonce());
        let began = if self.interval.is_some() { due.unwrap_or(settled.sent_at) } else { settled.sent_at };
        let receipt = match settled.result {
            Ok(receipt) => receipt,
            Err(fault) => {
                self.measured.failed += 1;
                self.measured.first_failure.get_or_insert_with(|| fault.to_string());
                return;
            }
        };
        if now >= window.from && now < window.to {
            self.measured.latencies_us.push(u64::try_from((now - began).as_micros()).unwrap_or(u64::MAX));
            if !receipt.receipt().is_applied() {
                self.measured.rejected += 1;
                self.measured.first_failure.get_or_insert_with(|| crate::receipt::outcome(receipt.receipt()));
            }
        }
    }
}

/// Waits until the operation is due, and for room; then sends it.
async fn send(pipeline: &Pipeline, ready: Option<&(Instant, Arc<Operation>)>) -> bool {
    let Some((due, operation)) = ready else { return true };
    tokio::time::sleep_until((*due).into()).await;
    pipeline.send(Arc::clone(operation)).await
}

/// Text that doesn't compress well.
fn random_text(length: usize) -> anyhow::Result<String> {
    let mut text = String::with_capacity(length + 64);
    while text.len() < length {
        text.push_str(&hex_of_bytes(&files::random()?));
    }
    text.truncate(length);
    Ok(text)
}
