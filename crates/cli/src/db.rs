//! `quorate db check`: looks through a store that no validator runs on.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use quorate_node::config::NodeConfig;
use quorate_replica::inspect::{Inspection, MAX_FINDINGS, Stage, inspect};
use quorate_rocks::RocksStore;
use serde_json::json;

use crate::backup::store_in;
use crate::init::store;
use crate::paint;
use crate::progress::Bar;

/// What to do with a store offline.
#[derive(Args, Debug)]
pub struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

#[derive(Debug, Subcommand)]
enum DbCommand {
    Check(CheckArgs),
}

/// Looks through a store: each entry's checksum and form, the history as one chain, the receipts, and the state
/// against the root that was signed. It changes nothing. The validator must not run; a backup can be checked
/// beside it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate db check --config quorate-cluster/v0/node.toml
  quorate db check --store /var/backups/v0-monday

It ends with 0 if nothing is wrong. Move a damaged store away and keep it; the operator's guide says what then.")]
struct CheckArgs {
    /// The validator's configuration
    #[arg(long, value_name = "FILE", default_value = "node.toml", conflicts_with = "store")]
    config: PathBuf,

    /// A store, or a backup
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl DbArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no store, it is in use, or something in it is wrong.
    pub fn run(self) -> anyhow::Result<()> {
        let DbCommand::Check(args) = self.command;
        args.run()
    }
}

impl CheckArgs {
    fn run(self) -> anyhow::Result<()> {
        let path = match &self.store {
            Some(directory) => store_in(directory),
            None => {
                let config = NodeConfig::load(&self.config).with_context(|| {
                    format!("the configuration {} (--config names the validator's)", self.config.display())
                })?;
                config.paths.store
            }
        };
        ensure!(RocksStore::exists(&path), "there is no store in {}", path.display());
        let _held = store::hold(&path)?;
        let store = store::open_to_read(&path)?;
        let mut watched = Watched::default();
        let inspection = inspect(&store, &mut |stage, done| watched.show(stage, done));
        watched.finish();
        if self.json {
            println!("{}", to_json(&inspection));
        } else {
            print(&inspection);
        }
        if inspection.found > 0 {
            bail!("{} things are wrong with the store in {}", inspection.found, path.display());
        }
        Ok(())
    }
}

/// The bar of the stage at hand.
#[derive(Default)]
struct Watched(Option<(Stage, Bar)>);

impl Watched {
    fn show(&mut self, stage: Stage, done: u64) {
        if self.0.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            self.finish();
            let what = match stage {
                Stage::Entries(family) => family.name(),
                Stage::Chain => "history",
                Stage::State => "state",
            };
            self.0 = Some((stage, Bar::endless(what)));
        }
        if let Some((_, bar)) = &self.0 {
            bar.set(done);
        }
    }

    fn finish(&mut self) {
        if let Some((_, bar)) = self.0.take() {
            bar.finish();
        }
    }
}

fn print(inspection: &Inspection) {
    let Inspection { entries, bytes, history, executed, certified, leaves, findings, found } = inspection;
    println!("entries    {} in {} bytes", paint::number(*entries), paint::number(*bytes));
    match history {
        Some((oldest, newest)) => println!("history    sequence {oldest} to {newest}"),
        None => println!("history    none: nothing was ordered yet"),
    }
    if let Some(execution) = executed {
        println!("executed   sequence {}, state root {}", execution.sequence, execution.state_root);
        println!("certified  sequence {certified}");
        println!("state      {} entries under the root", paint::number(*leaves));
    }
    for finding in findings {
        println!("{} {}: {}", paint::bad("wrong"), finding.place, finding.what);
    }
    if *found > MAX_FINDINGS as u64 {
        println!("and {} more", paint::number(found - MAX_FINDINGS as u64));
    }
    if *found == 0 {
        println!("{} nothing is wrong", paint::good("whole:"));
    }
}

fn to_json(inspection: &Inspection) -> serde_json::Value {
    let findings = inspection.findings.iter();
    let findings = findings.map(|finding| json!({ "place": finding.place, "what": finding.what }));
    json!({
        "entries": inspection.entries,
        "bytes": inspection.bytes,
        "history": inspection.history.map(|(oldest, newest)| [oldest, newest]),
        "executed": inspection.executed.map(|execution| execution.sequence),
        "state_root": inspection.executed.map(|execution| execution.state_root),
        "certified": inspection.certified,
        "leaves": inspection.leaves,
        "found": inspection.found,
        "findings": findings.collect::<Vec<_>>(),
    })
}
