//! The connections to a cluster's validators, and the one place where calls are retried.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_proof::{ReceiptProof, ReceiptVerifier, VerifiedReceipt};
use quorate_transport::TcpConnector;
use quorate_transport::channel::channel;
use quorate_transport::pb::operations::v1::ProvenReceipt;
use quorate_types::genesis::Genesis;
use quorate_types::ids::{ClusterId, OperationId};
use tonic::transport::Channel;

use crate::config::{ClientConfig, RetryPolicy};
use crate::fault::ClientFault;

/// A client of one cluster. Cheap to clone; all clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: ClientConfig,
    endpoints: Vec<Endpoint>,
    /// The endpoint to try first: the last one that answered.
    preferred: AtomicUsize,
    verifier: Mutex<ReceiptVerifier>,
}

/// One validator's client listener.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    pub(crate) channel: Channel,
}

impl Client {
    /// A client. It connects when it is first used.
    ///
    /// # Errors
    /// If an address can't be one.
    pub fn new(config: ClientConfig) -> Result<Self, ClientFault> {
        let connect = |address: &String| {
            let channel = channel(TcpConnector, address, config.tls.clone(), config.timing)?;
            Ok::<_, ClientFault>(Endpoint { address: address.clone(), channel })
        };
        let endpoints = config.endpoints.iter().map(connect).collect::<Result<_, _>>()?;
        let verifier = Mutex::new(ReceiptVerifier::new(config.epoch.clone()));
        Ok(Self { inner: Arc::new(Inner { config, endpoints, preferred: AtomicUsize::new(0), verifier }) })
    }

    /// The cluster's id, which every operation names.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.inner.config.genesis.cluster
    }

    /// The cluster's genesis.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.inner.config.genesis
    }

    /// The addresses of the validators, in the order given.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.inner.endpoints.iter().map(|endpoint| endpoint.address.as_str())
    }

    /// This client, trying the validator at `position` first.
    ///
    /// # Errors
    /// If an address can't be one.
    pub fn starting_at(&self, position: usize) -> Result<Self, ClientFault> {
        let client = Self::new(self.inner.config.clone())?;
        client.inner.preferred.store(position % client.inner.endpoints.len(), Ordering::Relaxed);
        Ok(client)
    }

    /// The endpoint to use now.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let position = self.inner.preferred.load(Ordering::Relaxed) % self.inner.endpoints.len();
        self.inner.endpoints[position].clone()
    }

    /// The endpoint at a position.
    pub(crate) fn endpoint_at(&self, position: usize) -> Option<Endpoint> {
        self.inner.endpoints.get(position).cloned()
    }

    /// The endpoint `failed` didn't serve: the next one is tried from now on.
    pub(crate) fn turn_away_from(&self, failed: &Endpoint) {
        let position = self.inner.preferred.load(Ordering::Relaxed) % self.inner.endpoints.len();
        if self.inner.endpoints[position].address == failed.address {
            self.inner.preferred.store((position + 1) % self.inner.endpoints.len(), Ordering::Relaxed);
        }
    }

    /// Calls until a validator answers, turning to the next one after every passing failure.
    ///
    /// # Errors
    /// The first failure that isn't passing, or [`ClientFault::NoAnswer`] when time is up.
    pub(crate) async fn call<T, F>(&self, mut attempt: impl FnMut(Endpoint) -> F) -> Result<T, ClientFault>
    where
        F: Future<Output = Result<T, ClientFault>>,
    {
        let policy = self.inner.config.retry;
        let started = Instant::now();
        let mut pause = Pause::new(policy);
        loop {
            let endpoint = self.endpoint();
            let fault = match tokio::time::timeout(policy.attempt, attempt(endpoint.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(fault)) if !fault.is_passing() => return Err(fault),
                Ok(Err(fault)) => fault,
                Err(_) => ClientFault::StreamEnded { endpoint: endpoint.address.clone() },
            };
            self.turn_away_from(&endpoint);
            if started.elapsed() >= policy.total {
                let (endpoints, seconds) = (self.inner.endpoints.len(), policy.total.as_secs());
                return Err(ClientFault::NoAnswer { endpoints, seconds, last: fault.to_string() });
            }
            tokio::time::sleep(pause.after(&fault)).await;
        }
    }

    /// The receipt that a validator answered with, verified against the genesis.
    ///
    /// # Errors
    /// What doesn't hold.
    pub(crate) fn verify(
        &self,
        endpoint: &Endpoint,
        asked: OperationId,
        proven: &ProvenReceipt,
    ) -> Result<VerifiedReceipt, ClientFault> {
        let address = || endpoint.address.clone();
        let fault = |fault| ClientFault::Proof { endpoint: address(), fault };
        let proof = ReceiptProof::from_file(&proven.proof).map_err(fault)?;
        let found = proof.receipt.operation;
        if found != asked {
            return Err(ClientFault::OtherOperation { endpoint: address(), asked, found });
        }
        let mut verifier = self.inner.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        verifier.verify(&proof).map_err(fault)
    }
}

/// The waits between tries: doubling, with jitter, or as long as a validator asks for.
pub(crate) struct Pause {
    policy: RetryPolicy,
    next: Duration,
}

impl Pause {
    pub(crate) const fn new(policy: RetryPolicy) -> Self {
        Self { policy, next: policy.first_pause }
    }

    pub(crate) fn after(&mut self, fault: &ClientFault) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.policy.longest_pause);
        let asked = match fault {
            ClientFault::Api(fault) => fault.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let jitter = rand::random_range(0.5..1.0);
        pause.mul_f64(jitter).max(asked.min(self.policy.longest_pause))
    }
}
