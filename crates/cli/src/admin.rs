//! `quorate stop` and `quorate log-filter`: what an operator does to a running validator, over its admin socket.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use quorate_client::pb::admin::v1::admin_client::AdminClient;
use quorate_client::pb::admin::v1::{SetLogFilterRequest, ShutdownRequest};
use quorate_node::config::NodeConfig;
use quorate_node::{ChannelTiming, unix_channel};

/// Stops a validator on this host in an orderly way; it answers the calls under way before it ends.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  quorate stop --config quorate-cluster/v0/node.toml --reason \"a new disk\"")]
pub struct StopArgs {
    /// The validator's configuration
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,

    /// Why, for its log
    #[arg(long, value_name = "TEXT", default_value = "quorate stop")]
    reason: String,
}

/// Changes which lines a running validator on this host logs, until the next change or restart.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate log-filter info,quorate_node=debug --config quorate-cluster/v0/node.toml
  quorate log-filter info")]
pub struct LogFilterArgs {
    /// Directives separated by commas: a level, or target=level
    filter: String,

    /// The validator's configuration
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
}

impl StopArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If no validator listens on the socket.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut admin = AdminClient::new(unix_channel(socket(&self.config)?, ChannelTiming::default()));
        let answer = admin.shutdown(ShutdownRequest { reason: self.reason }).await;
        let executed = answer.map_err(|status| anyhow!("{}", status.message()))?.into_inner().executed;
        println!("It stops, executed up to sequence {executed}.");
        Ok(())
    }
}

impl LogFilterArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If no validator listens on the socket, or the filter can't be read.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut admin = AdminClient::new(unix_channel(socket(&self.config)?, ChannelTiming::default()));
        let answer = admin.set_log_filter(SetLogFilterRequest { filter: self.filter }).await;
        let previous = answer.map_err(|status| anyhow!("{}", status.message()))?.into_inner().previous;
        println!("The filter before was: {previous}");
        Ok(())
    }
}

/// The admin socket of a configuration, if a validator has made it.
fn socket(config: &Path) -> anyhow::Result<PathBuf> {
    let loaded = NodeConfig::load(config)
        .with_context(|| format!("the configuration {} (--config names the validator's)", config.display()))?;
    let socket = loaded.admin_socket;
    ensure!(socket.exists(), "no validator of {} runs here: there is no {}", config.display(), socket.display());
    Ok(socket)
}
