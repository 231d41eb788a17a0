//! What a client knows about its cluster.

use std::sync::Arc;
use std::time::Duration;

use quorate_proof::{Checkpoint, EpochInfo, ProofFault};
use quorate_transport::channel::ChannelTiming;
use quorate_transport::tls::{self, TlsFault};
use quorate_types::genesis::{Genesis, GenesisError};

/// How long and how often to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How long one call may take before another validator is tried.
    pub attempt: Duration,
    /// How long to try in all; zero: one try, of one validator.
    pub total: Duration,
    /// The wait after the first failure; it doubles, with jitter, up to `longest_pause`.
    pub first_pause: Duration,
    /// The longest wait between two tries.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(5),
            total: Duration::from_secs(60),
            first_pause: Duration::from_millis(20),
            longest_pause: Duration::from_secs(1),
        }
    }
}

/// A cluster, as a client reaches and checks it.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) epoch: EpochInfo,
    pub(crate) endpoints: Vec<String>,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timing: ChannelTiming,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// The genesis file is wrong.
    #[error("the genesis file: {0}")]
    Genesis(#[from] GenesisError),
    /// The authority's certificate is wrong.
    #[error("the authority's certificate: {0}")]
    Tls(#[from] TlsFault),
    /// The trusted checkpoint is none of this cluster.
    #[error(transparent)]
    Trust(#[from] ProofFault),
    /// There is nobody to talk to.
    #[error("no validator's client address is given")]
    NoEndpoint,
}

impl ClientConfig {
    /// A cluster by its genesis file's content and its validators' client addresses (`host:port`), without
    /// TLS: add [`ClientConfig::with_authority`] for any cluster that isn't on this machine.
    ///
    /// # Errors
    /// If the genesis file doesn't parse, or no address is given.
    pub fn new(genesis: &[u8], endpoints: impl IntoIterator<Item = String>) -> Result<Self, ConfigFault> {
        let genesis = Genesis::parse(genesis)?;
        let endpoints: Vec<String> = endpoints.into_iter().collect();
        if endpoints.is_empty() {
            return Err(ConfigFault::NoEndpoint);
        }
        Ok(Self {
            epoch: EpochInfo::of_genesis(&genesis),
            genesis: Arc::new(genesis),
            endpoints,
            tls: None,
            retry: RetryPolicy::default(),
            timing: ChannelTiming::default(),
        })
    }

    /// TLS, trusting the cluster's authority (or whatever else the PEM holds).
    ///
    /// # Errors
    /// If the PEM holds no certificate.
    pub fn with_authority(mut self, pem: &str) -> Result<Self, ConfigFault> {
        self.tls = Some(tls::client_config(pem)?);
        Ok(self)
    }

    /// A checkpoint that somebody who is trusted has named: no answer is believed that rests on a chain of epochs
    /// which doesn't lead there (protocol §8.4).
    ///
    /// # Errors
    /// If it is the beginning of another cluster.
    pub fn with_trust(mut self, trusted: Checkpoint) -> Result<Self, ConfigFault> {
        self.epoch = self.epoch.trusting(trusted)?;
        Ok(self)
    }

    /// Another retry policy.
    #[must_use]
    pub const fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The genesis.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }
}
