//! A validator that misbehaves, with its real key, over mTLS, among real processes: the real node, whose tap lets
//! the simulator's behaviours drop, delay, change and add messages (simulation §1, "Byzantine behaviours").
//!
//! `rogue start --config NODE.TOML --leashed --behaviour NAME [--behaviour NAME ..]`, as `quorate start`; the names
//! are those of plans (`quorate-sim list`).

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use quorate_cli::init::store;
use quorate_crypto::Scheme;
use quorate_node::config::NodeConfig;
use quorate_node::tap::SharedTap;
use quorate_node::{Environment, Listeners, Node, OpenStore, Plan, Secrets, keys, telemetry};
use quorate_sim::byzantine::Conduct;
use quorate_sim::net::Rogue;
use quorate_types::genesis::Genesis;
use quorate_types::ids::{Epoch, Sequence, ValidatorIndex};
use quorate_types::verified::Context;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one validator that misbehaves.
    Start {
        /// The validator's configuration
        #[arg(long)]
        config: PathBuf,
        /// Stops when standard input closes
        #[arg(long)]
        leashed: bool,
        /// What it does, by its name in plans
        #[arg(long = "behaviour", required = true)]
        behaviours: Vec<String>,
        /// What its chances follow from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Start { config, leashed, behaviours, seed } = Arguments::parse().command;
    let config = NodeConfig::load(&config)?;
    telemetry::init(&config.telemetry)?;
    let genesis = Genesis::parse(&std::fs::read(&config.paths.genesis)?)?;
    let secrets = Secrets::load(&config)?;
    let store = store::open(&config)?;
    store::bind(&store, &genesis)?;
    let conducts = behaviours.into_iter().map(|name| Ok(serde_json::from_value(name.into())?));
    let conducts: Vec<Conduct> = conducts.collect::<anyhow::Result<_>>()?;
    let rogue = rogue(seed, &genesis, &config, conducts)?;
    let environment = Environment { tap: SharedTap::new(rogue), ..Environment::system() };
    let listeners = Listeners::open(&environment.connector, &config).await?;
    let plan = Plan { config, genesis, secrets, store: OpenStore::new(store) };
    let node = Node::start(environment, listeners, plan).await?;
    if leashed {
        let stopper = node.stopper();
        // A thread of its own, which the end of the process ends too: reading can't be called off.
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while std::io::stdin().read(&mut bytes).is_ok_and(|count| count > 0) {}
            stopper.cancel();
        });
    }
    // Its attacks are of one epoch: it ends with that.
    node.wait().await?;
    Ok(())
}

/// The tap: who it is in the cluster, and what it does.
fn rogue(seed: u64, genesis: &Genesis, config: &NodeConfig, conducts: Vec<Conduct>) -> anyhow::Result<Rogue> {
    let key = keys::read(&config.paths.consensus_key)?;
    let set = genesis.validator_set();
    let found = set.iter().find(|(_, info)| info.consensus_key == key.public());
    let me: ValidatorIndex = found.map(|(me, _)| me).context("the key is no validator's")?;
    let context = Context {
        cluster: genesis.cluster,
        scheme: Scheme::Ed25519,
        epoch: Epoch::ZERO,
        set: Arc::new(set),
        parameters: Arc::new(genesis.content.parameters),
        start: (Sequence::ZERO, genesis.cluster.0),
    };
    Ok(Rogue::new(seed, (me, key), conducts, context)?)
}
