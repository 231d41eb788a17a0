//! Who this validator is, from its files: keys, genesis, store and guard file held against each other.

use std::io;
use std::sync::Arc;

use quorate_crypto::{PublicKey, Scheme, SecretKey};
use quorate_replica::transfer::install;
use quorate_replica::{
    Ended, GuardFile as GuardContent, Quarantine, RecoverError, Replica, Setup, Standing, epochs, guard_file_to_write,
    records, recover,
};
use quorate_storage::Store;
use quorate_transport::tls::{NetworkIdentity, server_config};
use quorate_types::epoch::EpochDefinition;
use quorate_types::genesis::Genesis;
use quorate_types::ids::{Epoch, ValidatorIndex};
use quorate_types::set::ValidatorSet;
use quorate_types::verified::Context;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::NodeConfig;
use crate::error::NodeError;
use crate::guard_file::{Found, GuardFile, GuardedBatch};
use crate::keys;
use crate::recorder::{Reads, Start};

/// A validator's secrets. Read once; the consensus key goes into the signing guard and nowhere else.
#[derive(Debug)]
pub struct Secrets {
    /// The key of everything that the protocol counts.
    pub consensus: SecretKey,
    /// The key of connections between validators.
    pub network: SecretKey,
    /// The certificate chain for clients and its key, both PEM; `None` without TLS.
    pub client_tls: Option<ClientTls>,
}

/// What clients are shown.
pub struct ClientTls {
    /// The certificate chain, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

impl Secrets {
    /// Reads the files that the configuration names; others than their owner may not read the keys.
    ///
    /// # Errors
    /// The first file that can't be used, and what to do.
    pub fn load(config: &NodeConfig) -> Result<Self, NodeError> {
        let paths = &config.paths;
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path).map_err(|source| NodeError::Unreadable { path: path.to_owned(), source })
        };
        let client_tls = if config.clients.plaintext {
            None
        } else {
            keys::admit_mode(&paths.client_key)?;
            let (certificate_pem, key_pem) = (read(&paths.client_certificate)?, read(&paths.client_key)?);
            Some(ClientTls { certificate_pem, key_pem })
        };
        let (consensus, network) = (keys::read(&paths.consensus_key)?, keys::read(&paths.network_key)?);
        Ok(Self { consensus, network, client_tls })
    }
}

/// This validator in its cluster.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) me: ValidatorIndex,
    pub(super) context: Arc<Context>,
    pub(super) client_tls: Option<Arc<rustls::ServerConfig>>,
    /// Where to reach peers, if not at the address in the genesis.
    pub(super) addresses: Vec<(ValidatorIndex, String)>,
}

impl Identity {
    /// This validator, with the key for its signing guard and the one for its links.
    pub(super) fn of<S: Store>(
        config: &NodeConfig,
        genesis: &Genesis,
        secrets: Secrets,
        store: &S,
    ) -> Result<(Self, SecretKey, NetworkIdentity), NodeError> {
        let Secrets { consensus, network, client_tls } = secrets;
        let first = EpochDefinition::of_genesis(genesis).context(genesis.cluster, Scheme::Ed25519, genesis.cluster.0);
        // Before anything reads the state (protocol §8.7).
        if let Some(checkpoint) = install(store).map_err(RecoverError::from)? {
            info!(
                checkpoint = checkpoint.0,
                "the state of a checkpoint was put in place, where the last process stopped"
            );
        }
        let context = epochs::current(store, &first, &consensus.public()).map_err(RecoverError::from)?;
        let set = &context.set;
        let me = set.place_of(&consensus.public());
        if set.anyone(me).is_none() && !config.peers.joins {
            return Err(NodeError::NotAValidator { epoch: context.epoch, key: consensus.public() });
        }
        admit_keys(set, me, &network.public())?;
        let addresses = addresses(config, &context)?;
        let tls = client_tls.map(|tls| server_config(&tls.certificate_pem, &tls.key_pem)).transpose()?;
        let network = NetworkIdentity::new(&network)?;
        Ok((Self { me, context: Arc::new(context), client_tls: tls, addresses }, consensus, network))
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.context.set.anyone(self.me).map_or("?", |info| info.name.as_str())
    }
}

/// Where the configuration reaches peers. In the first epoch a name that nobody has is a mistake; later it may be that
/// of somebody who has left, or is to come.
fn addresses(config: &NodeConfig, context: &Context) -> Result<Vec<(ValidatorIndex, String)>, NodeError> {
    let mut found = Vec::new();
    for (name, address) in &config.peers.addresses {
        match context.set.everyone().find(|(_, info)| info.name == *name) {
            Some((index, _)) => found.push((index, address.clone())),
            None if context.epoch == Epoch::ZERO && !config.peers.joins => {
                return Err(NodeError::UnknownPeer { name: name.clone() });
            }
            None => warn!(name, "peers.addresses names nobody of this epoch"),
        }
    }
    Ok(found)
}

/// A store of another incarnation than the epoch knows has signed nothing: its guard file begins anew, and the old one
/// is kept for people to look at.
fn begin_guard_file<S: Store>(store: &S, path: &std::path::Path) -> Result<(), NodeError> {
    let incarnation = records::incarnation().read(store)?.map(|nonce| *nonce.as_bytes()).unwrap_or_default();
    if matches!(GuardFile::open(path, incarnation)?, Found::Whole(..)) {
        return Ok(());
    }
    let mut kept = path.as_os_str().to_owned();
    kept.push(".old");
    match std::fs::rename(path, &kept) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(NodeError::System { what: "keeping the old guard file", source: error });
        }
        _ => {}
    }
    drop(GuardFile::create(path, incarnation)?);
    Ok(())
}

/// Both keys must be of one validator or learner. Whoever is neither, in an epoch that the store is in, follows: its
/// keys may be those of a later one.
fn admit_keys(set: &ValidatorSet, me: ValidatorIndex, network: &PublicKey) -> Result<(), NodeError> {
    let name = |index| set.anyone(index).map_or_else(|| "nobody".to_owned(), |info| info.name.clone());
    let other = set.by_network_key(network);
    if other == set.anyone(me).map(|_| me) {
        return Ok(());
    }
    let network = other.map_or_else(|| "nobody".to_owned(), name);
    Err(NodeError::KeysOfTwo { consensus: name(me), network })
}

/// A replica that continues from the records.
pub(super) struct Continued {
    pub(super) replica: Replica,
    /// The guard file, if it is to be written on.
    pub(super) guard_file: Option<GuardFile>,
    /// What the replica was made of, but for the genesis.
    pub(super) start: Start,
}

/// The replica that continues from the records.
pub(super) fn recover_replica<S: Store>(
    store: &Arc<S>,
    guard_path: &std::path::Path,
    setup: Setup,
    clock: &Clock,
) -> Result<Continued, NodeError> {
    let incarnation = records::incarnation().read(&**store)?.map(|nonce| *nonce.as_bytes());
    let found = GuardFile::open(guard_path, incarnation.unwrap_or_default())?;
    let (file, content) = match found {
        Found::Whole(file, batch) => {
            let content = batch.map(|GuardedBatch { number, records }| GuardContent { batch: number, records });
            (Some(file), Some(content.unwrap_or_default()))
        }
        Found::Missing => {
            error!(path = %guard_path.display(), "there is no guard file");
            (None, None)
        }
        Found::Damaged => {
            error!(path = %guard_path.display(), "the guard file is damaged, or another store's");
            (None, None)
        }
    };
    let (context, me) = (setup.context.clone(), setup.me);
    let (reads, now) = (Reads::new(Arc::clone(store)), clock.now());
    let replica = recover(&reads, content.as_ref(), setup, now)?;
    let found = reads.into_entries();
    let start = Start { cluster: context.cluster, genesis: String::new(), me, now, guard_file: content.clone(), found };
    if replica.is_new_incarnation() {
        begin_guard_file(&**store, guard_path)?;
    }
    // What shows why it is in quarantine isn't written over. A wrong state is repaired, and then it signs again.
    let may_sign = !replica.standing().is_quarantined()
        || matches!(replica.standing(), Standing::Quarantined(Quarantine::Earlier(Ended::Diverged(_))));
    let mut file = file.filter(|_| may_sign);
    if let (Some(file), Some(content)) = (&mut file, &content)
        && let Some(missing) = guard_file_to_write(&**store, content, &context, me)?
    {
        file.write(missing.batch, &missing.records)?;
    }
    info!(guard_file_batch = content.map_or(0, |content| content.batch), "store and guard file were read");
    Ok(Continued { replica, guard_file: file, start })
}
