//! Validators that are there and don't answer (protocol §4, §5, §9): stopped, or behind a bad network.

use std::time::{Duration, Instant};

use anyhow::ensure;
use quorate_tests::check::{nothing_is_lost, same_state};
use quorate_tests::proxy::{Faults, Proxy};
use quorate_tests::wait::LONG;
use quorate_tests::{Cluster, Workload};
use rustix::process::Signal;
use toml::{Table, Value};

use crate::plan;

const ALL: [usize; 4] = [0, 1, 2, 3];

/// How long the primary stands still.
const STANDSTILL: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_stopped_for_thirty_seconds_is_replaced_and_joins_again() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "stop", 3)?;
    workload.progress(20, LONG).await?;
    let before = cluster.status(0).await?;
    let primary = usize::try_from(before.primary)?;
    cluster.validator(primary).signal(Signal::STOP)?;
    let stopped = Instant::now();
    workload.progress(20, LONG).await?;
    println!("first 20 receipts without the primary after {} ms", stopped.elapsed().as_millis());
    let other = (primary + 1) % cluster.size();
    ensure!(cluster.status(other).await?.view > before.view, "the others are still in its view");
    // Not waiting for anything: this is how long it stands still.
    tokio::time::sleep(STANDSTILL.saturating_sub(stopped.elapsed())).await;
    workload.progress(20, LONG).await?;
    cluster.validator(primary).signal(Signal::CONT)?;
    cluster.ready().await?;
    workload.progress(20, LONG).await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "stop", &acknowledged, &ALL).await?;
    same_state(&cluster, &ALL).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_behind_a_network_that_stalls_delays_and_cuts_holds_nobody_up_and_catches_up() -> anyhow::Result<()>
{
    let mut cluster = plan().make().await?;
    let proxies = cut_off(&mut cluster, 3).await?;
    cluster.start_all()?;
    for index in 0..3 {
        cluster.mode(index, quorate_client::pb::cluster::v1::Mode::Ordering).await?;
    }
    let workload = Workload::start(&cluster, "proxy", 3)?;
    workload.progress(150, LONG).await?;
    quorate_tests::wait::until("a few cuts", LONG, async || {
        let cuts: u64 = proxies.iter().map(Proxy::cuts).sum();
        ensure!(cuts >= 5, "{cuts} cuts so far");
        Ok(())
    })
    .await?;
    workload.progress(50, LONG).await?;
    proxies.iter().for_each(Proxy::heal);
    cluster.ready().await?;
    workload.progress(20, LONG).await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "proxy", &acknowledged, &ALL).await?;
    same_state(&cluster, &ALL).await?;
    Ok(())
}

/// Puts a proxy into every link of a validator, in both directions.
async fn cut_off(cluster: &mut Cluster, victim: usize) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = Vec::new();
    let mut its_addresses = Table::new();
    for other in (0..cluster.size()).filter(|other| *other != victim) {
        for (dialler, dialled) in [(victim, other), (other, victim)] {
            let port = cluster.free_port()?;
            let target = format!("127.0.0.1:{}", cluster.ports(dialled).peer);
            proxies.push(Proxy::start(port, target, Faults::default(), u64::from(port)).await?);
            let address = Value::from(format!("127.0.0.1:{port}"));
            let name = cluster.validator(dialled).name().to_owned();
            if dialler == victim {
                its_addresses.insert(name, address);
            } else {
                cluster.set(other, "peers.addresses", Value::Table([(name, address)].into_iter().collect()))?;
            }
        }
    }
    cluster.set(victim, "peers.addresses", Value::Table(its_addresses))?;
    Ok(proxies)
}
