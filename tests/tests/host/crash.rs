//! Processes that die (protocol §7.1): whatever was acknowledged is there afterwards, at the same place.

use quorate_client::pb::cluster::v1::Mode;
use quorate_tests::Workload;
use quorate_tests::check::{nothing_is_lost, same_state};
use quorate_tests::wait::LONG;

use crate::plan;

const ALL: [usize; 4] = [0, 1, 2, 3];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_validator_is_killed_in_turn_under_load_and_nothing_is_lost() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "turn", 4)?;
    workload.progress(20, LONG).await?;
    for victim in ALL {
        cluster.kill(victim)?;
        workload.progress(20, LONG).await?;
        cluster.start(victim)?;
        cluster.mode(victim, Mode::Ordering).await?;
    }
    workload.progress(20, LONG).await?;
    let acknowledged = workload.stop().await?;
    cluster.ready().await?;
    nothing_is_lost(&cluster, "turn", &acknowledged, &ALL).await?;
    same_state(&cluster, &ALL).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_validators_are_killed_at_once_under_load_and_go_on_with_everything_acknowledged() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "once", 12)?;
    for _ in 0..3 {
        workload.progress(30, LONG).await?;
        ALL.into_iter().try_for_each(|victim| cluster.kill(victim))?;
        cluster.start_all()?;
        cluster.ready().await?;
    }
    workload.progress(30, LONG).await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "once", &acknowledged, &ALL).await?;
    same_state(&cluster, &ALL).await?;
    Ok(())
}

/// n = 3f + 1 with f = 2 (protocol §1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seven_validators_bear_the_loss_of_two_primary_included() -> anyhow::Result<()> {
    let mut cluster = plan().validators(7).start().await?;
    let workload = Workload::start(&cluster, "seven", 3)?;
    workload.progress(10, LONG).await?;
    let primary = cluster.primary(0).await?;
    let victims = [primary, (primary + 1) % 7];
    victims.into_iter().try_for_each(|victim| cluster.kill(victim))?;
    workload.progress(30, LONG).await?;
    cluster.start_all()?;
    cluster.ready().await?;
    let acknowledged = workload.stop().await?;
    let all: Vec<usize> = (0..7).collect();
    nothing_is_lost(&cluster, "seven", &acknowledged, &all).await?;
    same_state(&cluster, &all).await?;
    Ok(())
}
