//! `quorate evidence`: what is proven against whom (accountability §3.3).

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use quorate_accountability::file::from_file;
use quorate_client::Client;
use quorate_client::pb::cluster::v1::EvidenceItem;
use quorate_crypto::Digest;
use quorate_types::evidence::{Accused, Evidence};
use quorate_types::verified::Context;
use serde_json::{Value as Json, json};

use crate::connect::ClusterArgs;
use crate::epochs::{Known, KnownArgs};
use crate::files::{self, Readers};
use crate::json::hex_of_bytes;

/// Shows what is proven against whom, and judges it offline.
#[derive(Args, Debug)]
pub struct EvidenceArgs {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Subcommand, Debug)]
enum EvidenceCommand {
    List(ListEvidence),
    Show(ShowEvidence),
    Export(ExportEvidence),
    Verify(VerifyEvidence),
    Submit(SubmitEvidence),
}

/// Lists the evidence that the validators keep, and who keeps it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate evidence list
  quorate evidence show 6f0c...
  quorate evidence export 6f0c... --output validator-3.evidence
  quorate evidence verify validator-3.evidence --genesis genesis.toml
  quorate evidence submit validator-3.evidence")]
struct ListEvidence {
    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Fetches one piece, judges it against the genesis and the chain of epochs, and says what it holds.
#[derive(Args, Debug)]
struct ShowEvidence {
    /// Its id, or as many of its first digits as tell it from others
    id: String,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Fetches one piece, judges it, and keeps it as a file that verifies offline.
#[derive(Args, Debug)]
struct ExportEvidence {
    /// Its id, or as many of its first digits as tell it from others
    id: String,

    /// Where to keep it
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Judges an evidence file against a genesis file, and the chain of epochs from there. Asks nobody and needs no network.
#[derive(Args, Debug)]
struct VerifyEvidence {
    /// The evidence file
    file: PathBuf,

    #[command(flatten)]
    known: KnownArgs,

    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Hands an evidence file to the validators, which judge it, keep it and spread it.
#[derive(Args, Debug)]
struct SubmitEvidence {
    /// The evidence file
    file: PathBuf,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl EvidenceArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no such evidence, or it proves nothing.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            EvidenceCommand::List(args) => args.run().await,
            EvidenceCommand::Show(args) => {
                let client = args.cluster.client()?;
                let (evidence, description, _) = fetch(&client, &args.id).await?;
                println!("{description}");
                println!("{evidence:#?}");
                Ok(())
            }
            EvidenceCommand::Export(args) => {
                let client = args.cluster.client()?;
                let (_, description, content) = fetch(&client, &args.id).await?;
                files::create(&args.output, &content, Readers::All)?;
                println!("{description}");
                Ok(())
            }
            EvidenceCommand::Verify(args) => args.run(),
            EvidenceCommand::Submit(args) => {
                let (client, file) = (args.cluster.client()?, files::read(&args.file)?);
                let takers = hand_in(&client, &file).await?;
                println!("{takers} validators have taken it");
                Ok(())
            }
        }
    }
}

/// A piece, and at how many of the validators asked it is kept.
type Kept = BTreeMap<Vec<u8>, (EvidenceItem, usize)>;

/// What the validators that answer keep, and how many do.
async fn kept_by_all(client: &Client) -> anyhow::Result<(Kept, usize)> {
    let (mut kept, mut answered, mut problems) = (Kept::new(), 0, Vec::new());
    for position in 0..client.endpoints().count() {
        match client.evidence(position, None).await {
            Err(fault) => problems.push(fault.to_string()),
            Ok(items) => {
                answered += 1;
                for item in items {
                    kept.entry(item.id.to_vec()).or_insert_with(|| (item, 0)).1 += 1;
                }
            }
        }
    }
    ensure!(answered > 0, "no validator answers: {}", problems.join("; "));
    Ok((kept, answered))
}

impl ListEvidence {
    async fn run(self) -> anyhow::Result<()> {
        let (kept, answered) = kept_by_all(&self.cluster.client()?).await?;
        if self.json {
            let items: Vec<Json> = kept.values().map(|(item, keepers)| item_json(item, *keepers)).collect();
            println!("{:#}", json!({ "asked": answered, "evidence": items }));
            return Ok(());
        }
        if kept.is_empty() {
            println!("none of {answered} validators keeps any evidence");
        }
        for (item, keepers) in kept.values() {
            let id = hex_of_bytes(&item.id);
            let judged = item.convicted_at.map_or_else(String::new, |at| format!(", convicted at sequence {at}"));
            println!("{id}  {:<26} {}  kept by {keepers} of {answered}{judged}", item.kind, accused_of(item));
        }
        Ok(())
    }
}

fn accused_of(item: &EvidenceItem) -> String {
    match item.validator {
        Some(validator) => format!("validator {validator} ({})", item.name),
        None => format!("author {}", hex_of_bytes(&item.author)),
    }
}

fn item_json(item: &EvidenceItem, keepers: usize) -> Json {
    json!({
        "id": hex_of_bytes(&item.id), "kind": item.kind, "epoch": item.epoch, "validator": item.validator,
        "name": item.name, "author": hex_of_bytes(&item.author), "kept_by": keepers,
        "convicted_at": item.convicted_at,
    })
}

/// The piece whose id begins so, judged, with whom it convicts of what, and its file.
async fn fetch(client: &Client, id: &str) -> anyhow::Result<(Evidence, String, Vec<u8>)> {
    let (kept, answered) = kept_by_all(client).await?;
    let named: Vec<&Vec<u8>> = kept.keys().filter(|known| hex_of_bytes(known).starts_with(id)).collect();
    let id = match named.as_slice() {
        [one] => <[u8; 32]>::try_from(one.as_slice()).map(Digest::new).context("an id has 32 bytes")?,
        [] => bail!("none of {answered} validators keeps evidence with an id that begins with {id:?}"),
        several => bail!("{} pieces of evidence have an id that begins with {id:?}", several.len()),
    };
    for position in 0..client.endpoints().count() {
        let Ok(items) = client.evidence(position, Some(id)).await else { continue };
        let Some(item) = items.into_iter().next() else { continue };
        let evidence = from_file(&item.content)?;
        let known = Known::at(client, evidence.epoch()).await?;
        let context = known.context(evidence.epoch(), "evidence")?;
        evidence.verify(context).context("what a validator shows proves nothing")?;
        ensure!(evidence.id() == id, "a validator shows other evidence than it was asked for");
        return Ok((evidence.clone(), describe(&evidence, context), item.content.to_vec()));
    }
    bail!("no validator gives this piece of evidence any more")
}

/// Gives an evidence file to all validators. How many took it.
///
/// # Errors
/// If none did: why not.
pub async fn hand_in(client: &Client, file: &[u8]) -> anyhow::Result<usize> {
    let (mut takers, mut problems) = (0, Vec::new());
    for position in 0..client.endpoints().count() {
        match client.accuse(position, file.to_vec()).await {
            Ok(_) => takers += 1,
            Err(fault) => problems.push(fault.to_string()),
        }
    }
    ensure!(takers > 0, "no validator takes the evidence: {}", problems.join("; "));
    Ok(takers)
}

impl VerifyEvidence {
    fn run(self) -> anyhow::Result<()> {
        let known = self.known.load()?;
        let evidence = from_file(&files::read(&self.file)?).with_context(|| self.file.display().to_string())?;
        let context = known.context(evidence.epoch(), "evidence")?;
        evidence.verify(context).with_context(|| self.file.display().to_string())?;
        if self.json {
            let (validator, author) = match evidence.accused() {
                Accused::Validator(validator) => (Some(validator.0), None),
                Accused::Author(author) => (None, Some(author.to_string())),
            };
            let id = evidence.id().to_string();
            println!("{:#}", json!({ "id": id, "kind": evidence.kind(), "validator": validator, "author": author }));
        } else {
            println!("{}", describe(&evidence, context));
        }
        Ok(())
    }
}

/// Whom it convicts of what.
fn describe(evidence: &Evidence, context: &Context) -> String {
    let accused = match evidence.accused() {
        Accused::Author(author) => format!("author {author}"),
        Accused::Validator(validator) => {
            let name = context.set.validator(validator).map_or("", |info| info.name.as_str());
            format!("validator {validator} ({name})")
        }
    };
    let consequence = if evidence.is_about_results() { "; a broken disk or memory can be the reason" } else { "" };
    format!("holds: {} against {accused}{consequence}\nid {}", evidence.kind(), evidence.id())
}
