//! Without a quorum (architecture §7, data-model §5): writes are refused naming who is missing, reads go on
//! with their age, and both end by themselves.

use anyhow::{bail, ensure};
use quorate_client::pb::cluster::v1::cluster_client::ClusterClient;
use quorate_client::pb::cluster::v1::{HealthRequest, Mode};
use quorate_client::{ClientFault, Consistency, Reason};
use quorate_tests::check::same_state;
use quorate_tests::raw;
use quorate_tests::wait::{LONG, until};

use crate::{counting, plan};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_writes_name_the_missing_and_reads_go_on_with_their_age() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let client = cluster.impatient_client_of(0)?;
    let (counter, operations) = counting(&client, "lonely", 3)?;
    client.submit(&operations[0]).await?;
    cluster.kill(2)?;
    cluster.kill(3)?;
    let status = cluster.mode(0, Mode::ReadOnly).await?;
    ensure!(status.reason.contains("v2") && status.reason.contains("v3"), "{}", status.reason);
    ensure!(cluster.log(0)?.contains("read-only"), "the log doesn't say so");
    match client.submit(&operations[1]).await {
        Err(ClientFault::NoAnswer { last, .. }) => {
            ensure!(last.contains("NO_QUORUM") && last.contains("v2") && last.contains("v3"), "{last}");
        }
        other => bail!("{other:?}"),
    }
    let mut service = ClusterClient::new(raw::to(&cluster, 0)?);
    let health = service.health(HealthRequest {}).await?.into_inner();
    ensure!(!health.writable && health.readable && health.missing == ["v2", "v3"], "{health:?}");
    reads_grow_older(&client, &counter).await?;
    // One is enough for a quorum.
    cluster.start(2)?;
    cluster.mode(0, Mode::Ordering).await?;
    client.submit(&operations[1]).await?;
    cluster.start(3)?;
    cluster.ready().await?;
    client.submit(&operations[2]).await?;
    same_state(&cluster, &[0, 1, 2, 3]).await?;
    Ok(())
}

async fn reads_grow_older(
    client: &quorate_client::Client,
    counter: &quorate_types::operation::EntityId,
) -> anyhow::Result<()> {
    let local = |max_age_ms| client.get(counter, Consistency::Local { max_age_ms }, None);
    let first = local(0).await?;
    ensure!(first.content.is_some() && first.age_ms > 0, "{first:?}");
    until("an older answer", LONG, async || {
        let later = local(0).await?;
        ensure!(later.age_ms > first.age_ms && later.sequence == first.sequence, "{later:?}");
        Ok(())
    })
    .await?;
    match local(1).await {
        Err(ClientFault::NoAnswer { last, .. }) => ensure!(last.contains(Reason::TooStale.name()), "{last}"),
        other => bail!("{other:?}"),
    }
    Ok(())
}
