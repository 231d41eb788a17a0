//! `quorate promise`: what a gateway has promised, and whether it kept its word (protocol §3.9, accountability §1.10).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use quorate_accountability::file::{promise_from_file, promise_to_file, to_file};
use quorate_client::{Client, Kept};
use quorate_types::ids::{Epoch, ValidatorIndex};
use quorate_types::promise::Promise;
use quorate_types::signed::Signed;
use serde_json::{Value as Json, json};

use crate::connect::ClusterArgs;
use crate::files::{self, Readers};
use crate::{evidence, paint};

/// Holds a validator to the promise that it gave for an operation.
#[derive(Args, Debug)]
pub struct PromiseArgs {
    #[command(subcommand)]
    command: PromiseCommand,
}

#[derive(Subcommand, Debug)]
enum PromiseCommand {
    Check(CheckPromise),
}

/// Asks all validators for the bundle that was promised. One without the operation convicts the validator: the evidence
/// is handed to the others.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate submit add counter/visits 1 --promise visit.promise
  quorate promise check visit.promise
  quorate promise check visit.promise --evidence broken.evidence")]
struct CheckPromise {
    /// The promise file
    file: PathBuf,

    /// Where to keep the evidence, if the promise is broken
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,

    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl PromiseArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If nothing can be told of the promise, or it is broken.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            PromiseCommand::Check(args) => args.run().await,
        }
    }
}

impl CheckPromise {
    async fn run(self) -> anyhow::Result<()> {
        if let Some(path) = &self.evidence {
            files::admit_new(path)?;
        }
        let promise = promise_from_file(&files::read(&self.file)?).with_context(|| self.file.display().to_string())?;
        let client = self.cluster.client()?;
        let kept = client.check_promise(&promise).await?;
        if self.json {
            println!("{:#}", to_json(&promise, &kept));
        } else {
            print(&client, &promise);
        }
        match kept {
            Kept::Kept => {
                if !self.json {
                    println!("{} the bundle holds the operation", paint::good("kept:"));
                }
                Ok(())
            }
            Kept::Unknown { asked } => bail!(
                "none of {asked} validators has that bundle: it isn't made yet, or isn't kept any more; submit the same \
                 operation to another validator, which is safe"
            ),
            Kept::Broken(evidence) => {
                let file = to_file(&evidence);
                if let Some(path) = &self.evidence {
                    files::create(path, &file, Readers::All)?;
                }
                let takers = evidence::hand_in(&client, &file).await?;
                bail!(
                    "broken: the bundle doesn't hold the operation. {takers} validators have the evidence; submit the \
                     same operation to another validator"
                )
            }
        }
    }
}

/// Keeps a promise in a new file.
///
/// # Errors
/// If it can't be kept.
pub fn keep(promise: &Signed<Promise>, path: &Path) -> anyhow::Result<()> {
    files::create(path, &promise_to_file(promise), Readers::All).with_context(|| {
        format!("operation {} was taken and its promise couldn't be kept", promise.statement.operation)
    })
}

/// Prints a promise that was verified.
pub fn print(client: &Client, promise: &Signed<Promise>) {
    let Promise { epoch, lane, number, operation } = promise.statement;
    println!("operation  {operation}");
    println!(
        "promised   by validator {lane}{}, in bundle {number} of its lane in epoch {epoch}",
        name(client, epoch, lane)
    );
}

/// A promise as JSON.
#[must_use]
pub fn promise_json(promise: &Signed<Promise>) -> Json {
    let Promise { epoch, lane, number, operation } = promise.statement;
    json!({ "operation": operation, "validator": lane.0, "epoch": epoch.0, "bundle": number.0 })
}

fn to_json(promise: &Signed<Promise>, kept: &Kept) -> Json {
    let (verdict, evidence) = match kept {
        Kept::Kept => ("kept", None),
        Kept::Unknown { .. } => ("unknown", None),
        Kept::Broken(evidence) => ("broken", Some(evidence.id().to_string())),
    };
    json!({ "promise": promise_json(promise), "verdict": verdict, "evidence": evidence })
}

/// The name of a validator of the first epoch: later ones may have given its index to another.
fn name(client: &Client, epoch: Epoch, lane: ValidatorIndex) -> String {
    if epoch > Epoch::ZERO {
        return String::new();
    }
    let set = client.genesis().validator_set();
    set.validator(lane).map_or_else(String::new, |info| format!(" ({})", info.name))
}
