//! The import, in the middle of which the primary is killed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use quorate_client::{Client, VerifiedReceipt};
use quorate_types::ids::{OperationId, Sequence};
use tokio::sync::Notify;

use crate::connect::AuthorArgs;
use crate::import::{Source, command::drafts};
use crate::local::LocalCluster;
use crate::progress::Bar;
use crate::submit::bulk::{Bulk, BulkReport};
use crate::{paint, status};

/// What happened.
pub(super) struct Failover {
    /// The validator that was killed.
    pub(super) killed: usize,
    /// What became of the operations.
    pub(super) report: BulkReport,
    /// An operation from before the kill.
    pub(super) first: OperationId,
    /// From the kill to the first receipt after the longest time without any.
    pause: Duration,
    killed_at: Sequence,
    view: u64,
    primary: String,
    took: Duration,
}

/// When receipts came.
#[derive(Default)]
struct Arrivals {
    first: Option<OperationId>,
    at: Vec<(Instant, Sequence)>,
}

/// Imports `source`; when half of the receipts are here, kills the primary.
pub(super) async fn import(
    cluster: &mut LocalCluster,
    client: &Client,
    author: &AuthorArgs,
    source: &Source,
    in_flight: usize,
) -> anyhow::Result<Failover> {
    let killed = primary(client).await?.0;
    let started = Instant::now();
    let half = source.records.len() / 2;
    let bar = Bar::new("  importing", source.records.len() as u64);
    let arrivals = Arc::new(Mutex::new(Arrivals::default()));
    let is_time = Arc::new(Notify::new());
    let mut signer = author.signer(client).await?;
    let bulk = Bulk::new(client, &mut signer, author.lifetime_ms()).with_in_flight(in_flight);
    let mut on_receipt = {
        let (arrivals, is_time, bar) = (Arc::clone(&arrivals), Arc::clone(&is_time), &bar);
        move |verified: &VerifiedReceipt| {
            bar.advance();
            let receipt = verified.receipt();
            let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            arrivals.first.get_or_insert(receipt.operation);
            arrivals.at.push((Instant::now(), receipt.sequence));
            if arrivals.at.len() == half {
                is_time.notify_one();
            }
        }
    };
    let kill = async {
        is_time.notified().await;
        let name = cluster.validators()[killed].name().to_owned();
        let at = Instant::now();
        cluster.kill(killed).await?;
        bar.println(&format!("  {} after {half} receipts: kill -9 {name}, the primary", paint::warning("half-way,")));
        Ok(at)
    };
    let importing = async {
        let report = bulk.run(drafts(source.clone()), &mut on_receipt).await;
        // If half of the receipts never came, nobody waits for them any more.
        is_time.notify_one();
        report
    };
    let (report, at) = tokio::try_join!(importing, kill)?;
    bar.finish();
    if let Some((number, why)) = report.failed.iter().chain(&report.refused).next() {
        let left = report.failed.len() + report.refused.len();
        bail!("{left} operations have no receipt; record {number}: {why}");
    }
    let arrivals = std::mem::take(&mut *arrivals.lock().unwrap_or_else(PoisonError::into_inner));
    let pause = longest_pause(&arrivals.at, at).context("the import was over before the primary was killed")?;
    let killed_at = arrivals.at.get(half - 1).map(|(_, sequence)| *sequence).unwrap_or_default();
    let (now, view, name) = primary(client).await?;
    ensure!(now != killed, "{name} was killed, and still the others call it primary of view {view}");
    let first = arrivals.first.context("no receipt came")?;
    let took = started.elapsed();
    Ok(Failover { killed, report, first, pause, killed_at, view, primary: name, took })
}

/// From the kill to the end of the longest time without a receipt that followed it.
fn longest_pause(arrivals: &[(Instant, Sequence)], killed_at: Instant) -> Option<Duration> {
    let after: Vec<Instant> = arrivals.iter().map(|(at, _)| *at).filter(|at| *at > killed_at).collect();
    let starts = std::iter::once(killed_at).chain(after.iter().copied());
    let longest = starts.zip(after.iter().copied()).max_by_key(|(from, to)| *to - *from)?;
    Some(longest.1 - killed_at)
}

/// The primary of the highest active view that any validator reports: index, view, name.
async fn primary(client: &Client) -> anyhow::Result<(usize, u64, String)> {
    let answers = status::ask_all(client).await;
    let statuses = answers.into_iter().filter_map(|answer| answer.status.ok()).filter(|status| status.active);
    let newest = statuses.max_by_key(|status| status.view).context("no validator is in an active view")?;
    let index = usize::try_from(newest.primary)?;
    let validator = client.genesis().content.validators.get(index).context("the primary is not in the genesis")?;
    Ok((index, newest.view, validator.info.name.clone()))
}

impl Failover {
    pub(super) fn print(&self) {
        let Self { report, pause, killed_at, view, primary, took, .. } = self;
        println!("  the import stood still; the others complained, changed the view, and went on");
        println!("    last receipt before   sequence {killed_at}");
        println!("    new primary           {primary}, view {view}");
        println!(
            "    {} {} ms from the kill to the next receipt",
            paint::title("fail-over time       "),
            pause.as_millis()
        );
        println!(
            "  {} receipts in {}.{} s, up to sequence {}",
            paint::number(report.applied + report.rejected.len() as u64),
            took.as_secs(),
            took.subsec_millis() / 100,
            report.highest
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fail_over_ends_with_the_first_receipt_after_the_longest_pause() {
        let start = Instant::now();
        let at = |ms| (start + Duration::from_millis(ms), Sequence(1));
        let killed = start + Duration::from_millis(10);
        let pause = longest_pause(&[at(1), at(11), at(15), at(615), at(620)], killed);
        assert_eq!(pause, Some(Duration::from_millis(605)));
        assert_eq!(longest_pause(&[at(1)], killed), None);
    }
}
