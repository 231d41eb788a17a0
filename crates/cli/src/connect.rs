//! How the client commands reach a cluster, and with which key they sign.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use clap::Args;
use quorate_client::{Checkpoint, Client, ClientConfig, FileNonces, ReadToken, RetryPolicy, Signer};
use quorate_crypto::PublicKey;
use quorate_types::ids::ClusterId;
use quorate_types::parameters::NONCE_WINDOW;

use crate::files;
use crate::init::{AUTHORITY, GENESIS};

/// How long a read token is good for.
const TOKEN_LIFETIME_MS: u64 = 10 * 60 * 1_000;

/// Digits of the cluster's id in the name of a file.
const CLUSTER_DIGITS: usize = 8;

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

    /// A checkpoint that the chain of epochs must lead to, as `quorate status` prints it
    #[arg(long, value_name = "SEQUENCE:DIGEST", global = true)]
    pub trust: Option<Checkpoint>,

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
            trust: None,
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
        let mut config = ClientConfig::new(&genesis, endpoints)?.with_retry(retry);
        if let Some(trusted) = self.trust {
            config = config.with_trust(trusted)?;
        }
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
    /// The author, with its durable count of nonces. The cluster is asked where to go on if there is no count
    /// yet, or one so far ahead that nothing signed with it would be taken.
    ///
    /// # Errors
    /// If key or count can't be read, or nobody answers.
    pub async fn signer(&self, client: &Client) -> anyhow::Result<Signer<FileNonces>> {
        self.signer_above(client, 0).await
    }

    /// As [`AuthorArgs::signer`], never at or below the nonce `used`, whose operation may be sent again.
    ///
    /// # Errors
    /// As [`AuthorArgs::signer`].
    pub async fn signer_above(&self, client: &Client, used: u64) -> anyhow::Result<Signer<FileNonces>> {
        let key = files::read_key(&self.key)?;
        let known = client.author(key.public()).await.context("asking which nonces the author has used")?;
        let path = self.nonces_path(client.cluster());
        let first = if known.is_known { known.highest.saturating_add(1) } else { 1 };
        let opened = FileNonces::open_from(&path, first.max(used.saturating_add(1)));
        let mut nonces = opened.with_context(|| format!("opening {}", path.display()))?;
        let count = nonces.first_free()?;
        if known.is_known && is_too_far(count, known.highest) {
            let highest = highest_nonce(client, key.public()).await?;
            if is_too_far(count, highest) {
                nonces.restart(count, highest.max(used).saturating_add(1))?;
            }
        }
        Ok(Signer::new(key, client.cluster(), nonces))
    }

    /// Whose operations they are.
    ///
    /// # Errors
    /// If the key can't be read.
    pub fn author(&self) -> anyhow::Result<PublicKey> {
        Ok(files::read_key(&self.key)?.public())
    }

    /// The count of nonces used: beside the key, one for each cluster.
    #[must_use]
    pub fn nonces_path(&self, cluster: ClusterId) -> PathBuf {
        let cluster = cluster.to_string();
        let mut path = self.key.clone().into_os_string();
        path.push(format!(".{}.nonces", cluster.get(..CLUSTER_DIGITS).unwrap_or(&cluster)));
        PathBuf::from(path)
    }

    /// The lifetime of an operation in milliseconds.
    #[must_use]
    pub const fn lifetime_ms(&self) -> u64 {
        self.lifetime.saturating_mul(1_000)
    }
}

/// Whether a count of nonces is beyond what the cluster takes (data-model §3).
const fn is_too_far(count: u64, highest: u64) -> bool {
    count > highest.saturating_add(NONCE_WINDOW)
}

/// The highest nonce that any validator has executed: one alone may be behind.
async fn highest_nonce(client: &Client, author: PublicKey) -> anyhow::Result<u64> {
    let mut highest = 0;
    for position in 0..client.endpoints().count() {
        let known = client.starting_at(position)?.author(author).await?;
        highest = highest.max(known.highest);
    }
    Ok(highest)
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
