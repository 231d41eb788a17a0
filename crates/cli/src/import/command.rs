//! The subcommand itself.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use quorate_types::operation::{Change, EntityId};
use serde_json::json;

use super::{Source, debian, zones};
use crate::connect::{AuthorArgs, ClusterArgs};
use crate::progress::Bar;
use crate::submit::bulk::{Bulk, MAX_IN_FLIGHT};
use crate::submit::draft::Draft;
use crate::submit::finish;
use crate::{json, paint};

/// Brings data of this machine into the cluster as documents.
#[derive(Args, Debug)]
pub struct ImportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Debian(DebianArgs),
}

/// The package index of this Debian machine (`apt-cache dumpavail`): one document per package and architecture,
/// the newest version of each. Where there is none, the time-zone database that comes with the program
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate import debian --limit 2000
  quorate import debian --output packages.jsonl   writes what `quorate submit lines` takes, resumable")]
struct DebianArgs {
    /// Only the first so many documents
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    /// Writes JSON Lines into this new file and submits nothing
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Operations on their way at once
    #[arg(long, value_name = "N", default_value_t = 512)]
    in_flight: usize,

    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(flatten)]
    author: AuthorArgs,
}

impl ImportArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If the data can't be read, or not all of it was applied.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Debian(args) => args.run().await,
        }
    }
}

impl DebianArgs {
    async fn run(self) -> anyhow::Result<()> {
        ensure!((1..=MAX_IN_FLIGHT).contains(&self.in_flight), "--in-flight must be from 1 to {MAX_IN_FLIGHT}");
        let mut source = read()?;
        println!("{}", source.name);
        source.records.truncate(self.limit.unwrap_or(usize::MAX));
        if let Some(path) = &self.output {
            let count = source.records.len() as u64;
            write(&source, path)?;
            println!("{} operations written to {}", paint::number(count), path.display());
            return Ok(());
        }
        let client = self.cluster.client()?;
        ensure!(
            client.genesis().kinds().kind(source.kind).is_some(),
            "the cluster has no kind {0:?}; a genesis made with --kind {0}:document has it",
            source.kind
        );
        let mut signer = self.author.signer(&client).await?;
        let bar = Bar::new("importing", source.records.len() as u64);
        let bulk = Bulk::new(&client, &mut signer, self.author.lifetime_ms()).with_in_flight(self.in_flight);
        let report = bulk.run(drafts(source), &mut |_| bar.advance()).await?;
        bar.finish();
        finish(&report)
    }
}

/// What this machine has: its package index, else the bundled time zones.
///
/// # Errors
/// If the package index can't be read.
pub fn read() -> anyhow::Result<Source> {
    let packages = debian::read_machine()?;
    if packages.records.is_empty() {
        let records = zones::read(zones::BUNDLED)?;
        let name = format!(
            "no package index on this machine; the bundled time-zone database instead: {} documents",
            paint::number(records.len() as u64)
        );
        return Ok(Source { name, kind: zones::KIND, records });
    }
    let number = |count: usize| paint::number(count as u64);
    let name = format!(
        "the package index of this machine: {} paragraphs, {} packages, {} older versions left out",
        number(packages.read),
        number(packages.records.len()),
        number(packages.superseded)
    );
    Ok(Source { name, kind: debian::KIND, records: packages.records })
}

/// One operation per record, by number: put the document.
pub fn drafts(source: Source) -> impl Iterator<Item = (u64, Draft)> {
    let kind = source.kind;
    let put = move |(number, record): (u64, super::Record)| {
        (number, Draft::of(EntityId::new(kind, &record.id), Change::Put { value: record.value }))
    };
    (1..).zip(source.records).map(put)
}

fn write(source: &Source, path: &PathBuf) -> anyhow::Result<()> {
    let file = std::fs::File::create_new(path)
        .with_context(|| format!("making {}; a file that is there is never overwritten", path.display()))?;
    let mut out = std::io::BufWriter::new(file);
    for record in &source.records {
        let entity = format!("{}/{}", source.kind, record.id);
        let line = json!({ "do": "put", "entity": entity, "value": json::from_value(&record.value) });
        writeln!(out, "{line}").with_context(|| format!("writing {}", path.display()))?;
    }
    out.flush().with_context(|| format!("writing {}", path.display()))
}
