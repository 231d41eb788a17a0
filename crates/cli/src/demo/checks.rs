//! What must hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use quorate_client::pb::cluster::v1::StatusResponse;
use quorate_client::{Client, Consistency};
use quorate_proof::{EpochInfo, ReceiptProof};
use quorate_types::genesis::Genesis;
use quorate_types::ids::{OperationId, Sequence};
use quorate_types::value::Value;

use crate::connect::ClusterArgs;
use crate::import::Source;
use crate::init::GENESIS;
use crate::json::hex_of_bytes;
use crate::local::LocalCluster;
use crate::status::{self, verify};
use crate::{files, paint};

/// Entities on one page.
const PAGE: u32 = 1_000;

/// Checks with their results.
#[derive(Debug, Default)]
pub(super) struct Checks {
    lines: Vec<(bool, String)>,
}

impl Checks {
    pub(super) fn add(&mut self, is_good: bool, what: String) {
        self.lines.push((is_good, what));
    }

    pub(super) fn are_good(&self) -> bool {
        self.lines.iter().all(|(is_good, _)| *is_good)
    }

    pub(super) fn print(&self) {
        for (is_good, what) in &self.lines {
            let mark = if *is_good { paint::good("ok  ") } else { paint::bad("FAIL") };
            println!("  {mark} {what}");
        }
        let verdict = if self.are_good() { paint::good("Nothing is lost.") } else { paint::bad("A check FAILED.") };
        println!("\n{verdict}");
    }

    /// Every record is at every validator, as it was imported, and was written exactly once.
    pub(super) async fn read_back(
        &mut self,
        cluster: &LocalCluster,
        source: &Source,
        at_least: Sequence,
    ) -> anyhow::Result<()> {
        let wanted: BTreeMap<&str, &Value> =
            source.records.iter().map(|record| (record.id.as_str(), &record.value)).collect();
        let mut wrong = Vec::new();
        for validator in &cluster.genesis().content.validators {
            let mut args = ClusterArgs::in_directory(cluster.directory());
            args.endpoints = validator.client_address.iter().cloned().collect();
            let found = read_all(&args.client()?, source.kind, at_least).await?;
            let is_right =
                |id: &&str, value: &&Value| found.get(*id).is_some_and(|(once, held)| *once && held == *value);
            let right = wanted.iter().filter(|(id, value)| is_right(id, value)).count();
            if right != wanted.len() || found.len() != wanted.len() {
                wrong.push(format!("{} holds {right} of them, and {} in all", validator.info.name, found.len()));
            }
        }
        let what = format!(
            "every record read back from every validator, each written once: {}",
            paint::number(wanted.len() as u64)
        );
        self.add(wrong.is_empty(), if wrong.is_empty() { what } else { format!("{what}; {}", wrong.join("; ")) });
        Ok(())
    }

    /// A receipt from before the kill verifies from bytes alone, with nothing but the genesis file.
    pub(super) async fn offline(
        &mut self,
        cluster: &LocalCluster,
        client: &Client,
        operation: OperationId,
    ) -> anyhow::Result<()> {
        let (_, proof) = client.receipt(operation, false).await.context("the receipt from before the kill")?;
        let path = cluster.directory().join("receipt");
        files::create(&path, &proof, files::Readers::All)?;
        let genesis = Genesis::parse(&files::read(&cluster.directory().join(GENESIS))?)?;
        let verdict = ReceiptProof::from_file(&files::read(&path)?)?.verify(&EpochInfo::of_genesis(&genesis));
        let what = "a receipt from before the kill verifies from its file, offline, against the genesis";
        self.add(verdict.is_ok(), verdict.map_or_else(|fault| format!("{what}: {fault}"), |_| what.to_owned()));
        Ok(())
    }

    /// The same executed sequence, proposal, receipts root and dump digest everywhere.
    pub(super) async fn same_state(&mut self, client: &Client) -> anyhow::Result<()> {
        let verdict = verify::compare(client).await?;
        let statuses = even_statuses(client).await;
        let all = |value: fn(&StatusResponse) -> String| {
            let values: BTreeSet<String> = statuses.iter().map(value).collect();
            (values.len() == 1 && statuses.len() > 1, values.into_iter().collect::<Vec<_>>().join(" ≠ "))
        };
        let rows: [(&str, (bool, String)); 3] = [
            ("executed sequence", all(|status| status.executed.to_string())),
            ("proposal digest", all(|status| hex_of_bytes(&status.proposal))),
            ("receipts root", all(|status| hex_of_bytes(&status.receipts_root))),
        ];
        let count = statuses.len();
        for (name, (is_same, value)) in rows {
            self.add(is_same, format!("same {name:<18} on all {count}: {value}"));
        }
        let everyone = verdict.digests.iter().all(|(_, digest)| digest.is_ok());
        let digest = verdict.digest().unwrap_or("they differ").to_owned();
        let name = "dump digest";
        let what = format!(
            "same {name:<18} on all {count}: {digest}, {} keys at sequence {}",
            paint::number(verdict.keys),
            verdict.sequence
        );
        self.add(everyone && verdict.is_equal(), what);
        Ok(())
    }
}

/// All validators at one executed sequence. An idle cluster still orders empty proposals now and then, so a
/// moment between two of them may take some tries.
async fn even_statuses(client: &Client) -> Vec<StatusResponse> {
    let mut last = Vec::new();
    for _ in 0..20 {
        last = status::ask_all(client).await.into_iter().filter_map(|answer| answer.status.ok()).collect();
        if last.windows(2).all(|pair| pair[0].executed == pair[1].executed) {
            break;
        }
        tokio::time::sleep(super::POLL).await;
    }
    last
}

/// All entities of a kind at one validator: whether each was written once, and its value.
async fn read_all(client: &Client, kind: &str, at_least: Sequence) -> anyhow::Result<BTreeMap<String, (bool, Value)>> {
    let (mut all, mut page) = (BTreeMap::new(), String::new());
    loop {
        let read = client.list((kind, ""), (PAGE, &page), Consistency::AtLeast(at_least), None).await?;
        for entity in read.content.entities {
            all.insert(entity.name.id, (entity.version == 1, entity.value));
        }
        page = read.content.next;
        if page.is_empty() {
            return Ok(all);
        }
    }
}
