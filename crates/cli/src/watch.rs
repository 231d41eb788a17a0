//! `quorate watch`: what is ordered and changed, live.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use quorate_client::pb::operations::v1::watch_response::Entry;
use quorate_client::pb::operations::v1::{Conviction, EntityChange, OrderedOperation, Receipt, WatchResponse, receipt};
use quorate_client::{Watch, WatchOptions, value_from_wire};
use quorate_types::ids::Sequence;
use serde_json::{Value as Json, json};

use crate::connect::ClusterArgs;
use crate::json::{from_value, hex_of_bytes};
use crate::{files, paint};

/// Shows everything that is executed, in order, as it happens. Breaks are mended; the stream goes on behind the
/// last whole sequence.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate watch                           from now on
  quorate watch --from 1                  from the first sequence on
  quorate watch --resume progress         goes on where the last watch with this file ended
  quorate watch --kind account --json     changes of accounts, for a program")]
pub struct WatchArgs {
    /// The first sequence to show; 0 stands for the next one
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    from: u64,

    /// A file that keeps the place: read at the start if it is there, written after each whole sequence
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    resume: Option<PathBuf>,

    /// Only changes of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,

    /// Leaves operations out
    #[arg(long)]
    without_operations: bool,

    /// Leaves changes of entities out
    #[arg(long, conflicts_with = "without_operations")]
    without_changes: bool,

    /// Ends after this sequence
    #[arg(long, value_name = "SEQUENCE")]
    to: Option<u64>,

    /// The reader's key, where kinds restrict reading
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Prints JSON, one entry on a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl WatchArgs {
    /// Runs the command until Ctrl-C or the last sequence wanted.
    ///
    /// # Errors
    /// If nobody serves the watch for longer than the patience given.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.cluster.client()?;
        let from = match &self.resume {
            Some(path) if path.exists() => read_place(path)?,
            Some(_) => 1,
            None => self.from,
        };
        let mut watch = client.watch(WatchOptions {
            from: Sequence(from),
            without_operations: self.without_operations,
            without_changes: self.without_changes,
            kinds: self.kinds.clone(),
            with_bodies: false,
            with_proofs: false,
            with_convictions: true,
        });
        if let Some(path) = &self.key {
            watch = watch.with_key(files::read_key(path)?);
        }
        let ended = tokio::select! {
            result = self.follow(&mut watch) => result,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for Ctrl-C"),
        };
        // Nothing was open before: from now on means what it meant.
        if watch.resume_from() > Sequence::ZERO {
            eprintln!("{}", paint::faint(&format!("to go on: quorate watch --from {}", watch.resume_from())));
        }
        ended
    }

    async fn follow(&self, watch: &mut Watch) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        loop {
            let entry = watch.next().await?;
            if let Some(line) = if self.json { Some(to_json(&entry).to_string()) } else { to_text(&entry) } {
                writeln!(out, "{line}").context("printing")?;
            }
            if matches!(entry.entry, Some(Entry::Done(_))) {
                if let Some(path) = &self.resume {
                    write_place(path, watch.resume_from())?;
                }
                if self.to.is_some_and(|to| entry.sequence >= to) {
                    return Ok(());
                }
            }
        }
    }
}

fn read_place(path: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let place = text.trim().parse::<u64>();
    ensure!(place.is_ok(), "{} holds {:?} instead of a sequence; remove it to start at 1", path.display(), text.trim());
    Ok(place.unwrap_or_default())
}

/// Written beside and renamed, so that a crash leaves the old place or the new one.
fn write_place(path: &Path, next: Sequence) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = std::fs::write(&beside, format!("{next}\n")).and_then(|()| std::fs::rename(&beside, path));
    written.with_context(|| format!("keeping the place in {}", path.display()))
}

fn to_text(entry: &WatchResponse) -> Option<String> {
    let sequence = entry.sequence;
    match entry.entry.as_ref()? {
        Entry::Operation(operation) => {
            let (id, outcome) = operation_words(operation);
            let author = short(&hex_of_bytes(&operation.author));
            Some(format!("{sequence:>8}  operation {}  by {author}  {outcome}", short(&id)))
        }
        Entry::Change(change) => {
            let what = if change.version == 0 { "deleted".to_owned() } else { format!("version {}", change.version) };
            Some(format!("{sequence:>8}    {}/{}  {what}", change.kind, change.id))
        }
        Entry::Conviction(conviction) => {
            let words = format!("{} is convicted of {}", convicted(conviction), conviction.kind);
            let evidence = short(&hex_of_bytes(&conviction.evidence));
            Some(format!("{sequence:>8}    {}  `quorate evidence show {evidence}`", paint::bad(&words)))
        }
        Entry::Done(_) => None,
    }
}

fn operation_words(operation: &OrderedOperation) -> (String, String) {
    let receipt = operation.receipt.as_ref().and_then(|proven| proven.receipt.clone()).unwrap_or_default();
    let outcome = match &receipt.outcome {
        Some(receipt::Outcome::Applied(_)) => paint::good("APPLIED"),
        Some(receipt::Outcome::Rejected(rejected)) => {
            format!("{} {}: {}", paint::warning(&rejected.code), rejected.at, rejected.message)
        }
        None => "?".to_owned(),
    };
    (hex_of_bytes(&receipt.operation), outcome)
}

fn short(hex: &str) -> String {
    hex.chars().take(12).collect()
}

fn to_json(entry: &WatchResponse) -> Json {
    let content = match &entry.entry {
        Some(Entry::Operation(operation)) => json!({ "operation": operation_json(operation) }),
        Some(Entry::Change(change)) => json!({ "change": change_json(change) }),
        Some(Entry::Conviction(conviction)) => json!({ "conviction": conviction_json(conviction) }),
        Some(Entry::Done(done)) => json!({ "done": { "operations": done.operations } }),
        None => Json::Null,
    };
    json!({ "sequence": entry.sequence, "block_time_ms": entry.block_time_ms, "entry": content })
}

fn operation_json(operation: &OrderedOperation) -> Json {
    let receipt: Receipt = operation.receipt.as_ref().and_then(|proven| proven.receipt.clone()).unwrap_or_default();
    let result = match &receipt.outcome {
        Some(receipt::Outcome::Rejected(rejected)) => json!({
            "outcome": "REJECTED", "code": rejected.code, "at": rejected.at, "message": rejected.message,
        }),
        _ => json!({ "outcome": "APPLIED" }),
    };
    json!({
        "id": hex_of_bytes(&receipt.operation),
        "author": hex_of_bytes(&operation.author),
        "nonce": operation.nonce,
        "index": receipt.index,
        "result": result,
    })
}

fn convicted(conviction: &Conviction) -> String {
    match conviction.name.as_str() {
        "" => format!("validator {} of epoch {}", conviction.validator, conviction.epoch),
        name => name.to_owned(),
    }
}

fn conviction_json(conviction: &Conviction) -> Json {
    json!({
        "evidence": hex_of_bytes(&conviction.evidence),
        "kind": conviction.kind,
        "epoch": conviction.epoch,
        "validator": conviction.validator,
        "name": conviction.name,
        "operation": hex_of_bytes(&conviction.operation),
    })
}

fn change_json(change: &EntityChange) -> Json {
    json!({
        "kind": change.kind,
        "id": change.id,
        "version": change.version,
        "operation": hex_of_bytes(&change.operation),
        // What isn't at hand any more, or can't be read, is left out: `quorate get` reads it.
        "value": change.value.clone().and_then(|value| value_from_wire(value).ok()).map(|value| from_value(&value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_survives_in_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("place");
        write_place(&path, Sequence(42)).unwrap();
        write_place(&path, Sequence(43)).unwrap();
        assert_eq!(read_place(&path).unwrap(), 43);
        std::fs::write(&path, "x").unwrap();
        assert!(read_place(&path).unwrap_err().to_string().contains("remove it"));
    }
}
