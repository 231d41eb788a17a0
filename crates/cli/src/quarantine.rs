//! `quorate quarantine`: an operator's word that a validator's store may not be the one that signed last.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use quorate_node::config::NodeConfig;
use quorate_replica::quarantine;
use quorate_rocks::RocksStore;

use crate::files;
use crate::init::store;
use crate::paint;

/// Puts a validator into quarantine by hand: after anything of it was restored in a way that this program didn't see (a
/// snapshot of its machine or its disk, a copied directory). It must not run.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  quorate quarantine --config quorate-cluster/v0/node.toml

What a validator signed and doesn't know any more it might contradict. From this command on it signs nothing in the
present epoch. It comes back by itself with the next one: start it, and it asks the cluster. Meanwhile it follows,
executes and serves reads, and counts as faulty.")]
pub struct QuarantineArgs {
    /// The validator's configuration
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
}

impl QuarantineArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no store, a process has it open, nothing was ever signed with it, or it can't be written.
    pub fn run(self) -> anyhow::Result<()> {
        let config = NodeConfig::load(&self.config)
            .with_context(|| format!("the configuration {} (--config names the validator's)", self.config.display()))?;
        let path = &config.paths.store;
        ensure!(
            RocksStore::exists(path),
            "there is no store in {}: `quorate restore` and `quorate init --new-store` make one, which is in \
             quarantine from its beginning",
            path.display()
        );
        let opened = store::open_to_write(path)?;
        let fresh = files::random()?;
        quarantine(&opened, fresh).context("the store can't be put into quarantine")?;
        println!(
            "{} the store in {} is another incarnation from now on, durably. Start the validator: it follows, executes \
             and serves reads, signs nothing in this epoch, asks the cluster to take it back, and signs again from the \
             next epoch on. Its guard file is kept as {}.old.",
            paint::good("quarantine:"),
            path.display(),
            config.paths.guard_file.display()
        );
        Ok(())
    }
}
