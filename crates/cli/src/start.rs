//! `quorate start`: one validator, in the foreground.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use quorate_node::config::{LogFormat, NodeConfig};
use quorate_node::{OpenStore, Residence, Secrets, telemetry};
use quorate_rocks::RocksStore;
use quorate_types::genesis::Genesis;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::files;
use crate::init::store;

/// Descriptors that a node needs beside its store's files and its clients' connections.
const OTHER_FILES: u64 = 256;

/// Runs one validator in the foreground. It logs to standard error; SIGTERM and Ctrl-C stop it in an orderly way,
/// and a hard kill loses nothing that was acknowledged.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate start --config quorate-cluster/v0/node.toml
  quorate start --config node.toml --log-json --log-filter info,quorate_node=debug")]
pub struct StartArgs {
    /// The validator's configuration, as `quorate init` makes it
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,

    /// Logs one JSON object per line
    #[arg(long)]
    log_json: bool,

    /// Which lines are logged, in place of the configuration's
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,

    /// Stops when standard input closes: for whoever starts validators from a program
    #[arg(long, hide = true)]
    leashed: bool,
}

impl StartArgs {
    /// Runs the command until the validator stops.
    ///
    /// # Errors
    /// Why it doesn't start, or stopped by itself.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut config = NodeConfig::load(&self.config)
            .with_context(|| format!("the configuration {} (`quorate init` makes one)", self.config.display()))?;
        if self.log_json {
            config.telemetry.log_format = LogFormat::Json;
        }
        if let Some(filter) = &self.log_filter {
            config.telemetry.log_filter.clone_from(filter);
        }
        telemetry::init(&config.telemetry)?;
        raise_file_limit(&config);
        let genesis = files::read(&config.paths.genesis).context(
            "the genesis must lie where paths.genesis of the configuration says; any other validator has a copy",
        )?;
        let genesis = Genesis::parse(&genesis).with_context(|| config.paths.genesis.display().to_string())?;
        let secrets = Secrets::load(&config)?;
        let store = Arc::new(store::open(&config)?);
        store::bind(&store, &genesis)?;
        let leash = leash(self.leashed);
        let signals = quorate_node::signals()?;
        let shutdown = async move {
            tokio::select! {
                () = signals => {}
                () = leash => {}
            }
        };
        let (asked, copied) = (Arc::clone(&store), Arc::clone(&store));
        let open = OpenStore::shared(store).with_residence(move || residence(&asked));
        let open = open.with_copy(move |path| copied.copy_to(path));
        Ok(quorate_node::run(config, genesis, secrets, open, shutdown).await?)
    }
}

fn residence(store: &RocksStore) -> Residence {
    let quorate_rocks::RocksResidence { block_cache_bytes, write_buffer_bytes } = store.residence();
    Residence { block_cache_bytes, write_buffer_bytes }
}

/// Resolves when standard input closes, if that is wanted.
async fn leash(is_wanted: bool) {
    if !is_wanted {
        return std::future::pending().await;
    }
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    // A thread of its own, which the end of the process ends too: reading can't be called off.
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while std::io::stdin().read(&mut bytes).is_ok_and(|count| count > 0) {}
        // Nobody listens when the node stops anyway.
        let _ = closed.send(());
    });
    let _ = is_closed.await;
}

/// Raises the limit of open files to what the configuration may need, or says what would help.
fn raise_file_limit(config: &NodeConfig) {
    let files = u64::try_from(config.resources.max_open_files).unwrap_or_default();
    let wanted = files + config.clients.connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return };
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    let has = if raised.is_ok() { possible } else { current };
    if has < wanted {
        warn!(
            limit = has,
            wanted,
            "the limit of open files is below what resources.max_open_files and clients.connections may need; raise it \
             (LimitNOFILE= of the systemd unit, or ulimit -n)"
        );
    }
}
