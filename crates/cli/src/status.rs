//! `quorate status`: all validators, each asked itself, and their states compared.

mod changes;
mod table;
pub mod verify;

use anyhow::ensure;
use clap::Args;
use quorate_client::pb::cluster::v1::StatusResponse;
use quorate_client::{Checkpoint, Client, ClientFault};
use quorate_types::ids::Epoch;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::connect::ClusterArgs;
use crate::epochs::Known;
use crate::json::hex_of_bytes;
use crate::paint;

/// Shows where every validator stands; each is asked itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate status                                  a table of all validators
  quorate status --verify                         and whether they hold the same state, down to the last byte
  quorate status --endpoint 10.0.0.1:7100 --json  what one of them says, for a program")]
pub struct StatusArgs {
    /// Compares the digests of the replicated state at the highest common sequence; reads all of it
    #[arg(long)]
    verify: bool,

    /// Prints JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What one validator said, or why it said nothing.
#[derive(Debug)]
pub struct Answer {
    /// Where it was asked.
    pub endpoint: String,
    /// What it said.
    pub status: Result<StatusResponse, ClientFault>,
}

impl StatusArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If nobody answers, or states differ.
    pub async fn run(self) -> anyhow::Result<()> {
        let client = self.cluster.client()?;
        let answers = ask_all(&client).await;
        ensure!(answers.iter().any(|answer| answer.status.is_ok()), "no validator answers: {}", words(&answers));
        let verdict = if self.verify { Some(verify::compare(&client).await?) } else { None };
        let epoch = answers.iter().filter_map(|answer| Some(answer.status.as_ref().ok()?.epoch)).max();
        // Whom to trust is said by the chain, not by whoever answers.
        let known = Known::at(&client, Epoch(epoch.unwrap_or_default())).await;
        let checkpoint = known.as_ref().map(|known| (known.info.epoch, known.info.checkpoint()));
        if self.json {
            println!("{:#}", to_json(&answers, checkpoint.ok(), verdict.as_ref()));
        } else {
            println!("{}", table::render(client.genesis(), &answers));
            match checkpoint {
                Ok((epoch, checkpoint)) => println!("\nepoch {epoch} begins at checkpoint {checkpoint} (--trust)"),
                Err(why) => println!("\n{}", paint::warning(&format!("no checkpoint to trust: {why:#}"))),
            }
            if let Some(verdict) = &verdict {
                println!("{}", verdict.to_text());
            }
        }
        ensure!(verdict.is_none_or(|verdict| verdict.is_equal()), "the validators don't hold the same state");
        Ok(())
    }
}

fn words(answers: &[Answer]) -> String {
    let problems = answers.iter().filter_map(|answer| {
        let fault = answer.status.as_ref().err()?;
        let said = fault.to_string();
        Some(if said.contains(&answer.endpoint) { said } else { format!("{}: {said}", answer.endpoint) })
    });
    problems.collect::<Vec<_>>().join("; ")
}

/// Asks all validators at once, in the order of the client's endpoints.
pub async fn ask_all(client: &Client) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    for (position, endpoint) in client.endpoints().enumerate() {
        let (client, endpoint) = (client.clone(), endpoint.to_owned());
        asked.spawn(async move {
            let status = client.status(position, None).await;
            (position, Answer { endpoint, status })
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(position, _)| *position);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn to_json(answers: &[Answer], known: Option<(Epoch, Checkpoint)>, verdict: Option<&verify::Verdict>) -> Json {
    let checkpoint = known.map(|(epoch, checkpoint)| json!({ "epoch": epoch.0, "trust": checkpoint.to_string() }));
    let answers = answers.iter().map(|answer| match &answer.status {
        Ok(status) => json!({ "endpoint": answer.endpoint, "status": status_json(status) }),
        Err(fault) => json!({ "endpoint": answer.endpoint, "error": fault.to_string() }),
    });
    json!({
        "validators": answers.collect::<Vec<_>>(), "checkpoint": checkpoint,
        "verification": verdict.map(verify::Verdict::to_json),
    })
}

fn status_json(status: &StatusResponse) -> Json {
    let peers = status.validators.iter().map(|peer| {
        json!({
            "validator": peer.validator, "name": peer.name, "self": peer.is_self, "connected": peer.connected,
            "last_seen_ms": peer.last_seen_ms, "view": peer.view, "committed": peer.committed,
            "executed": peer.executed, "lag": peer.lag, "following": peer.following, "problem": peer.problem,
            "dropped": peer.dropped, "suspicion_thousandths": peer.suspicion_thousandths, "evidence": peer.evidence,
        })
    });
    json!({
        "cluster": hex_of_bytes(&status.cluster), "validator": status.validator, "name": status.name,
        "version": status.version, "mode": table::mode_words(status.mode()), "reason": status.reason,
        "epoch": status.epoch, "view": status.view, "active": status.active, "primary": status.primary,
        "committed": status.committed, "executed": status.executed, "certified": status.certified,
        "stable": status.stable, "block_time_ms": status.block_time_ms,
        "proposal": hex_of_bytes(&status.proposal), "receipts_root": hex_of_bytes(&status.receipts_root),
        "changes": status.changes.as_ref().map(changes::to_json),
        "peers": peers.collect::<Vec<_>>(),
    })
}
