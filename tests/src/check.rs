//! What every test of faults ends with: nothing acknowledged is lost, and the state is the same everywhere.

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use quorate_client::pb::cluster::v1::DumpDigest;
use quorate_client::{Client, Consistency};
use quorate_types::ids::Sequence;
use quorate_types::value::Value;

use crate::workload::{Acknowledged, counter};
use crate::{Cluster, wait};

/// Calls under way at once.
const AT_ONCE: usize = 16;

/// Every validator of `validators` gives the same receipt, with a valid proof, for everything acknowledged; and
/// each author's counter holds what was added, once.
///
/// # Errors
/// What is lost, or twice there.
pub async fn nothing_is_lost(
    cluster: &Cluster,
    name: &str,
    all: &[Vec<Acknowledged>],
    validators: &[usize],
) -> anyhow::Result<()> {
    for validator in validators {
        let client = cluster.client_of(*validator)?;
        let each = all.iter().flatten().map(|one| confirm(&client, one));
        stream::iter(each).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        for (author, operations) in all.iter().enumerate() {
            let last = operations.iter().map(|one| one.sequence).max().unwrap_or(Sequence::ZERO);
            let read = client.get(&counter(name, author), Consistency::AtLeast(last), None).await?;
            let found = read.content.context("the counter is gone")?;
            let added = i64::try_from(operations.len())? - 1;
            ensure!(found.value == Value::Integer(added), "{} is {:?} and not {added}", found.name, found.value);
            ensure!(found.version == operations.len() as u64, "{} has version {}", found.name, found.version);
        }
    }
    Ok(())
}

async fn confirm(client: &Client, one: &Acknowledged) -> anyhow::Result<()> {
    let (verified, _) = client.receipt(one.id(), true).await.with_context(|| format!("operation {}", one.id()))?;
    let receipt = verified.receipt();
    let is_same = (receipt.sequence, receipt.index) == (one.sequence, one.index);
    ensure!(is_same, "operation {} was at {}, and now is at {}", one.id(), one.sequence, receipt.sequence);
    Ok(())
}

/// All of `validators` have the same dump digest at one executed sequence, which this gives.
///
/// # Errors
/// If they differ, or one doesn't catch up.
pub async fn same_state(cluster: &Cluster, validators: &[usize]) -> anyhow::Result<DumpDigest> {
    // An idle cluster stays where it is; a busy one runs away, so each try looks a little further ahead.
    let mut lead = 0;
    let digests = wait::until("one sequence at which all answer", wait::LONG, async || {
        let mut highest = 0;
        for validator in validators {
            highest = highest.max(cluster.status(*validator).await?.executed);
        }
        let target = Sequence(highest + lead);
        lead = (lead * 2 + 1) % 64;
        let digests = stream::iter(validators).map(|validator| digest_at(cluster, *validator, target));
        let digests: Vec<DumpDigest> = digests.buffered(validators.len()).try_collect().await?;
        Ok(digests)
    })
    .await?;
    let first = digests.first().context("nobody was asked")?.clone();
    ensure!(digests.iter().all(|digest| *digest == first), "the states differ: {digests:?}");
    Ok(first)
}

async fn digest_at(cluster: &Cluster, validator: usize, sequence: Sequence) -> anyhow::Result<DumpDigest> {
    let status = cluster.client_of(validator)?.status(0, Some(sequence)).await?;
    status.dump.context("no digest was given")
}
