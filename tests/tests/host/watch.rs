//! The live stream (architecture §7): in order, without gaps, resumable, and cut where nobody reads.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use quorate_client::pb::operations::v1::operations_client::OperationsClient;
use quorate_client::pb::operations::v1::watch_response::Entry;
use quorate_client::pb::operations::v1::{WatchRequest, WatchResponse};
use quorate_client::{ApiFault, Reason, WatchOptions};
use quorate_tests::wait::LONG;
use quorate_tests::{Workload, raw, wait, workload};
use quorate_transport::pb::operations::v1::receipt::Outcome;
use quorate_types::ids::Sequence;
use quorate_types::operation::{Change, EntityId};
use quorate_types::value::Value;

use crate::{plan, shared, sign};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_cut_by_a_crash_goes_on_at_another_validator_without_gap_or_repetition() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "watch", 2)?;
    let mut watch = cluster.client()?.watch(WatchOptions { from: Sequence(1), ..WatchOptions::default() });
    let mut seen = Vec::new();
    while seen.len() < 20 {
        collect(watch.next().await?, &mut seen)?;
    }
    cluster.kill(0)?;
    workload.progress(20, LONG).await?;
    let acknowledged = workload.stop().await?;
    let mut expected: Vec<_> = acknowledged.iter().flatten().map(|one| (one.sequence.0, one.index, one.id())).collect();
    expected.sort_unstable();
    // Entries of a sequence whose end wasn't seen come again: only those may be there twice.
    tokio::time::timeout(LONG, async {
        while watch.resume_from().0 <= expected.last().map_or(0, |last| last.0) {
            collect(watch.next().await?, &mut seen)?;
        }
        anyhow::Ok(())
    })
    .await??;
    seen.dedup();
    seen.sort_unstable();
    seen.dedup();
    ensure!(seen == expected, "{} operations were watched, {} acknowledged", seen.len(), expected.len());
    Ok(())
}

type Seen = (u64, u32, quorate_types::ids::OperationId);

fn collect(entry: WatchResponse, seen: &mut Vec<Seen>) -> anyhow::Result<()> {
    if let Some(Entry::Operation(operation)) = entry.entry {
        let receipt = operation.receipt.and_then(|proven| proven.receipt).context("no receipt")?;
        ensure!(matches!(receipt.outcome, Some(Outcome::Applied(_))), "{receipt:?}");
        ensure!(seen.last().is_none_or(|last| last.0 <= entry.sequence), "it went back");
        let id = quorate_transport::convert::operation_id("operation", &receipt.operation)?;
        seen.push((entry.sequence, receipt.index, id));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_one_kind_shows_its_changes_with_values_and_proofs() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let client = cluster.client_of(2)?;
    let mut signer = workload::signer(&client, "watched");
    let (wanted, other) = (EntityId::new("document", "watched"), EntityId::new("counter", "watched"));
    let from = Sequence(cluster.status(2).await?.executed + 1);
    let first = sign(&mut signer, &wanted, Change::Create { value: Some(Value::Integer(7)) })?;
    let second = sign(&mut signer, &other, Change::Create { value: None })?;
    client.submit(&first).await?;
    let last = client.submit(&second).await?.receipt().sequence;
    let kinds = vec!["document".to_owned()];
    let mut watch = client.watch(WatchOptions { from, kinds, with_proofs: true, ..WatchOptions::default() });
    let (mut changes, mut proven) = (Vec::new(), 0);
    while watch.resume_from() <= last {
        match watch.next().await?.entry {
            Some(Entry::Change(change)) if change.id == "watched" => changes.push(change),
            Some(Entry::Operation(operation)) => {
                let receipt = operation.receipt.context("no receipt")?;
                client.verify_file(&receipt.proof)?;
                proven += 1;
            }
            _ => {}
        }
    }
    ensure!(changes.len() == 1 && proven >= 2, "{changes:?}, {proven}");
    ensure!(changes[0].kind == "document" && changes[0].version == 1, "{changes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_is_cut_with_the_sequence_to_resume_from() -> anyhow::Result<()> {
    const DOCUMENT_BYTES: usize = 200 << 10;
    let cluster = plan().setting("clients.watch_patience_ms", 100).start().await?;
    let client = cluster.client_of(0)?;
    let mut service = OperationsClient::new(raw::to(&cluster, 0)?).max_decoding_message_size(16 << 20);
    let request = WatchRequest { from_sequence: 1, with_bodies: true, ..WatchRequest::default() };
    let mut stream = service.watch(request).await?.into_inner();
    // Nobody reads `stream` while more is written than connection and queue hold.
    let mut signer = workload::signer(&client, "large");
    let entity = EntityId::new("document", "large");
    let metrics = cluster.ports(0).metrics;
    wait::until("the watch is cut", LONG, async || {
        for _ in 0..20 {
            let value = Value::Text("x".repeat(DOCUMENT_BYTES));
            let operation = sign(&mut signer, &entity, Change::Put { value })?;
            client.submit(&operation).await?;
            signer.settle(&operation);
        }
        let page = quorate_tests::metrics::page(metrics).await?;
        let cut = quorate_tests::metrics::samples(&page)?.get("quorate_watches_cut_total").copied();
        ensure!(cut == Some(1.0), "watches cut: {cut:?}");
        Ok(())
    })
    .await?;
    let mut done = 0;
    let status = loop {
        match tokio::time::timeout(Duration::from_secs(10), stream.message()).await? {
            Ok(Some(entry)) => done = if let Some(Entry::Done(_)) = entry.entry { entry.sequence } else { done },
            Ok(None) => bail!("it ended without a reason"),
            Err(status) => break status,
        }
    };
    let fault = ApiFault::of_status(&status).with_context(|| format!("{status:?}"))?;
    ensure!(fault.reason == Reason::SlowWatcher, "{fault}");
    let resume_from: u64 = fault.metadata.get("resume_from").context("no place to resume from")?.parse()?;
    ensure!(resume_from == done + 1, "done up to {done}, resume from {resume_from}");
    let mut again = client.watch(WatchOptions { from: Sequence(resume_from), ..WatchOptions::default() });
    ensure!(again.next().await?.sequence == resume_from);
    Ok(())
}
