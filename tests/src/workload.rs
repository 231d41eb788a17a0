//! Clients at work: each adds to a counter of its own, one operation after the other, and keeps what it was
//! promised. An operation counts as acknowledged only with a receipt that verified.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use quorate_client::{Client, MemoryNonces, SecretKey, Signer};
use quorate_crypto::sha256;
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::operation::{Change, EntityId, Operation};
use quorate_types::receipt::Outcome;
use tokio::task::JoinHandle;

use crate::{Cluster, wait};

/// The kind of the counters.
pub const KIND: &str = "counter";

/// How long an operation may wait before it expires: longer than any test.
pub const LIFETIME_MS: u64 = 1_800_000;

/// An operation with a verified receipt.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The operation, as it was signed.
    pub operation: Arc<Operation>,
    /// Where it executed.
    pub sequence: Sequence,
    /// Its place among the sequence's receipts.
    pub index: u32,
}

impl Acknowledged {
    /// The operation's id.
    #[must_use]
    pub fn id(&self) -> OperationId {
        self.operation.id()
    }
}

/// Clients that run until they are stopped.
#[derive(Debug)]
pub struct Workload {
    is_stopping: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    authors: Vec<JoinHandle<anyhow::Result<Vec<Acknowledged>>>>,
}

impl Workload {
    /// Starts so many authors, each with a client of its own, at one validator after the other.
    ///
    /// # Errors
    /// If the cluster's files can't be used.
    pub fn start(cluster: &Cluster, name: &str, authors: usize) -> anyhow::Result<Self> {
        Self::start_at(&cluster.client()?, name, authors)
    }

    /// Starts so many authors, each with a client like this one.
    ///
    /// # Errors
    /// If the client can't be used.
    pub fn start_at(client: &Client, name: &str, authors: usize) -> anyhow::Result<Self> {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let spawn = |number: usize| {
            let author = Author {
                client: client.starting_at(number)?,
                signer: signer(client, &format!("{name} {number}")),
                counter: counter(name, number),
                acknowledged: Arc::clone(&acknowledged),
            };
            Ok(tokio::spawn(author.run(Arc::clone(&is_stopping))))
        };
        let authors = (0..authors).map(spawn).collect::<anyhow::Result<_>>()?;
        Ok(Self { is_stopping, acknowledged, authors })
    }

    /// How many operations were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more are acknowledged.
    ///
    /// # Errors
    /// If they aren't within `limit`.
    pub async fn progress(&self, more: u64, limit: Duration) -> anyhow::Result<()> {
        let goal = self.acknowledged() + more;
        wait::until(&format!("{more} more receipts"), limit, async || {
            let now = self.acknowledged();
            ensure!(now >= goal, "{now} of {goal}");
            Ok(())
        })
        .await
    }

    /// Lets every author finish what is under way, and gives everything acknowledged, author by author.
    ///
    /// # Errors
    /// If an author failed.
    pub async fn stop(self) -> anyhow::Result<Vec<Vec<Acknowledged>>> {
        self.is_stopping.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for author in self.authors {
            all.push(author.await.context("an author panicked")??);
        }
        Ok(all)
    }
}

/// The counter of one author of a workload.
#[must_use]
pub fn counter(name: &str, author: usize) -> EntityId {
    EntityId::new(KIND, &format!("{name}-{author}"))
}

/// A key that is a function of a name.
#[must_use]
pub fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(*sha256(&[b"author of a test", name.as_bytes()]).as_bytes())
}

/// An author that is a function of a name, and never signed in this cluster.
#[must_use]
pub fn signer(client: &Client, name: &str) -> Signer<MemoryNonces> {
    Signer::new(key(name), client.cluster(), MemoryNonces::starting_at(1))
}

struct Author {
    client: Client,
    signer: Signer<MemoryNonces>,
    counter: EntityId,
    acknowledged: Arc<AtomicU64>,
}

impl Author {
    async fn run(mut self, is_stopping: Arc<AtomicBool>) -> anyhow::Result<Vec<Acknowledged>> {
        let mut all = vec![self.submit(Change::Create { value: None }).await?];
        while !is_stopping.load(Ordering::Relaxed) {
            all.push(self.submit(Change::Add { by: 1 }).await?);
        }
        Ok(all)
    }

    async fn submit(&mut self, change: Change) -> anyhow::Result<Acknowledged> {
        let draft = self.signer.draft(LIFETIME_MS)?.mutate(self.counter.clone(), change);
        let operation = Arc::new(self.signer.sign(draft)?);
        let verified = self.client.submit(&operation).await?;
        self.signer.settle(&operation);
        let receipt = verified.receipt();
        ensure!(receipt.outcome == Outcome::Applied, "{} was rejected: {:?}", self.counter, receipt.outcome);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(Acknowledged { operation, sequence: receipt.sequence, index: receipt.index })
    }
}
