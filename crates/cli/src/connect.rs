//! How the client commands reach a cluster, and with which key they sign.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Args;
use quorate_client::{Client, ClientConfig, FileNonces, ReadToken, RetryPolicy, Signer};

use crate::files;
use crate::init::{AUTHORITY, GENESIS};

/// How long a read token is good for.
const TOKEN_LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// Which cluster, and how to reach it.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// A directory with genesis.toml and authority.crt, as `quorate init` makes it
    #[arg(long, value_name = "DIR", env = "QUORATE_CLUSTER", default_value = "quorate-cluster", global = true)]
    pub cluster: PathBuf,

    /// The genesis file [default: genesis.toml in the cluster's directory]
    #[arg(long, value_name = "FILE", global = true)]
    pub genesis: Option<PathBuf>,

    /// The certificates to trust [default: authority.crt in the cluster's directory]
    #[arg(long, value_name = "FILE", global = true)]
    pub authority: Option<PathBuf>,

    /// A validator's client address; may be repeated [default: those in the genesis]
    #[arg(long = "endpoint", value_name = "HOST:PORT", global = true)]
    pub endpoints: Vec<String>,

    /// Without TLS, for validators configured that way on loopback
    #[arg(long, global = true)]
    pub plaintext: bool,

    /// How long to try, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, global = true)]
    pub patience: u64,
}

impl ClusterArgs {
    /// A cluster whose files lie in `directory`.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            cluster: directory.to_owned(),
            genesis: None,
            authority: None,
            endpoints: Vec::new(),
            plaintext: false,
            patience: 60,
        }
    }

    /// Where the genesis is.
    #[must_use]
    pub fn genesis_path(&self) -> PathBuf {
        self.genesis.clone().unwrap_or_else(|| self.cluster.join(GENESIS))
    }

    /// A client of the cluster. It connects when it is first used.
    ///
    /// # Errors
    /// If a file is missing or wrong, or nobody's address is known.
    pub fn client(&self) -> anyhow::Result<Client> {
        let path = self.genesis_path();
        let genesis = files::read(&path).context(
            "a client needs the cluster's genesis: --cluster names the directory, or --genesis the file itself",
        )?;
        let parsed = quorate_types::genesis::Genesis::parse(&genesis).with_context(|| path.display().to_string())?;
        let listed = parsed.content.validators.iter().filter_map(|validator| validator.client_address.clone());
        let endpoints = if self.endpoints.is_empty() { listed.collect() } else { self.endpoints.clone() };
        ensure!(!endpoints.is_empty(), "the genesis names no address for clients; give one with --endpoint HOST:PORT");
        let total = Duration::from_secs(self.patience);
        let default = RetryPolicy::default();
        let retry = RetryPolicy { total, attempt: default.attempt.min(total), ..default };
        let config = ClientConfig::new(&genesis, endpoints)?.with_retry(retry);
        if self.plaintext {
            return Ok(Client::new(config)?);
        }
        let authority = self.authority.clone().unwrap_or_else(|| self.cluster.join(AUTHORITY));
        let pem = files::read_text(&authority)
            .context("a client needs the certificate of the cluster's authority (--authority FILE), or --plaintext")?;
        Ok(Client::new(config.with_authority(&pem)?)?)
    }
}

/// Who signs.
#[derive(Args, Clone, Debug)]
pub struct AuthorArgs {
    /// The author's key, as `quorate keygen` makes it; the nonces used are counted in a file beside it
    #[arg(long, value_name = "FILE", default_value = "author.key", global = true)]
    pub key: PathBuf,

    /// How long an operation may wait before it expires, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, global = true)]
    pub lifetime: u64,
}

impl AuthorArgs {
    /// The author, with its durable count of nonces. Where there is none yet, the cluster is asked which
    /// nonces the author has used.
    ///
    /// # Errors
    /// If key or count can't be read, or nobody answers.
    pub async fn signer(&self, client: &Client) -> anyhow::Result<Signer<FileNonces>> {
        let key = files::read_key(&self.key)?;
        let mut path = self.key.clone().into_os_string();
        path.push(".nonces");
        let path = PathBuf::from(path);
        if !path.exists() {
            let known = client.author(key.public()).await.context("asking which nonces the author has used")?;
            let first = if known.is_known { known.highest + 1 } else { 1 };
            files::create(&path, format!("{first:020}\n").as_bytes(), files::Readers::All)?;
        }
        let nonces = FileNonces::open(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Signer::new(key, client.cluster(), nonces))
    }

    /// The lifetime of an operation in milliseconds.
    #[must_use]
    pub const fn lifetime_ms(&self) -> u64 {
        self.lifetime.saturating_mul(1_000)
    }
}

/// A token that proves who reads, if a key is given.
///
/// # Errors
/// If the key can't be read.
pub fn read_token(client: &Client, key: Option<&Path>) -> anyhow::Result<Option<ReadToken>> {
    let Some(path) = key else { return Ok(None) };
    let key = files::read_key(path)?;
    Ok(Some(ReadToken::sign(&key, client.cluster(), now_ms() + TOKEN_LIFETIME_MS)))
}

/// The time by this machine's clock: milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
