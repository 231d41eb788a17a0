//! `quorate init`: keys, stores, certificates, configuration, genesis. Everything is made new; nothing is
//! ever overwritten (protocol §7.5).
//!
//! On one host it makes everything (`host`). For many hosts each operator makes one validator where it
//! will run (`validator`), and the public parts are joined into the genesis (`assemble`): keys and
//! stores never leave their host.

mod assemble;
mod genesis;
mod host;
mod part;
pub mod store;
mod validator;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

pub use self::genesis::Rules;
pub use self::host::{HostPlan, make_host};
pub use self::validator::Ports;

/// The name of the genesis file.
pub const GENESIS: &str = "genesis.toml";
/// The name of the file with the certificates that clients trust.
pub const AUTHORITY: &str = "authority.crt";
/// The name of the authority's key.
pub const AUTHORITY_KEY: &str = "authority.key";
/// The name of the administrator's key.
pub const ADMINISTRATOR_KEY: &str = "administrator.key";
/// The name of a validator's configuration.
pub const NODE: &str = "node.toml";
/// The name of the file that a validator's operator sends to whoever assembles the genesis.
pub const PART: &str = "public-part.toml";

/// Where a cluster is that shall only be tried out.
const LOOPBACK: &str = "127.0.0.1";

/// Makes a cluster on this host, one validator of a cluster on many, or the genesis from their public parts.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate init                                     four validators on this host, in ./quorate-cluster
  quorate init --validators 7 --directory /srv/q   seven, elsewhere
  quorate init --validator alpha --host alpha.example.org --directory /var/lib/quorate/alpha
                                                   one validator, on the host where it will run
  quorate init --assemble alpha.toml beta.toml gamma.toml delta.toml --administrator KEY
                                                   genesis.toml from the public parts of four validators")]
pub struct InitArgs {
    /// Where to make it; the directory must be empty or not exist
    #[arg(long, value_name = "DIR", default_value = "quorate-cluster")]
    directory: PathBuf,

    /// Does nothing if the directory holds a finished cluster or validator already
    #[arg(long)]
    if_absent: bool,

    /// How many validators to make on this host; 3f + 1 bear f faults
    #[arg(long, value_name = "N", default_value_t = 4, conflicts_with_all = ["validator", "assemble"])]
    validators: u16,

    /// One validator of a cluster on many hosts, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "assemble")]
    validator: Option<String>,

    /// Joins the public parts of validators into a genesis
    #[arg(long, value_name = "PART", num_args = 1..)]
    assemble: Vec<PathBuf>,

    /// A new, empty store for the validator with this node.toml, whose store is lost, or which is to join: it follows
    /// and serves reads, and signs from a later epoch on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["validator", "assemble", "validators"])]
    new_store: Option<PathBuf>,

    /// The name or address under which others reach a validator: one for all, or one for each, separated by
    /// commas. With one for each, all listen on the same ports of all interfaces [default: 127.0.0.1]
    #[arg(long, visible_alias = "hosts", value_name = "HOST", value_delimiter = ',')]
    host: Vec<String>,

    /// The port for other validators; on one host the first of several
    #[arg(long, value_name = "PORT", default_value_t = 7000)]
    peer_port: u16,

    /// The port for clients; on one host the first of several
    #[arg(long, value_name = "PORT", default_value_t = 7100)]
    client_port: u16,

    /// The port for Prometheus, on loopback; on one host the first of several
    #[arg(long, value_name = "PORT", default_value_t = 7200)]
    metrics_port: u16,

    #[command(flatten)]
    rules: Rules,
}

impl InitArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// What could not be made, and why.
    pub fn run(self) -> anyhow::Result<()> {
        if let Some(path) = &self.new_store {
            return store::replace(path);
        }
        if self.if_absent && [GENESIS, PART].iter().any(|name| self.directory.join(name).exists()) {
            println!("{} is there already; nothing was changed", self.directory.display());
            return Ok(());
        }
        if !self.assemble.is_empty() {
            return assemble::run(&self.assemble, &self.directory, &self.rules);
        }
        if let Some(name) = &self.validator {
            ensure!(
                self.rules.is_empty(),
                "--kind, --author, --administrator, --threshold, --parameter and --name go to --assemble"
            );
            ensure!(
                !self.host.is_empty(),
                "--validator needs --host: the name under which the other hosts reach this one"
            );
            ensure!(self.host.len() == 1, "one validator has one --host, {} were given", self.host.len());
            let ports = Ports { peer: self.peer_port, client: self.client_port, metrics: self.metrics_port };
            return validator::run(name, &self.host[0], ports, &self.directory);
        }
        let plan = self.plan()?;
        let made = make_host(&plan, &self.directory, &self.rules)?;
        made.print();
        Ok(())
    }

    fn plan(&self) -> anyhow::Result<HostPlan> {
        ensure!(self.validators > 0, "a cluster has at least one validator");
        let ports = Ports { peer: self.peer_port, client: self.client_port, metrics: self.metrics_port };
        match self.host.as_slice() {
            [] => HostPlan::on_one_host(self.validators, LOOPBACK, ports),
            [host] => HostPlan::on_one_host(self.validators, host, ports),
            hosts => {
                ensure!(
                    hosts.len() == usize::from(self.validators),
                    "there are {} hosts for {} validators; give one for all or one for each",
                    hosts.len(),
                    self.validators
                );
                Ok(HostPlan::on_hosts(hosts, ports))
            }
        }
    }
}
