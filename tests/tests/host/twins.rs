//! One key, two machines: a copy of a validator that runs beside it (protocol §7.6).

use std::path::Path;

use anyhow::{Context, ensure};
use quorate_client::pb::cluster::v1::Mode;
use quorate_tests::check::{nothing_is_lost, same_state};
use quorate_tests::validator::Validator;
use quorate_tests::wait::{LONG, until};
use quorate_tests::{Cluster, Workload};

use crate::plan;

const TWIN: usize = 3;
const OTHERS: [usize; 3] = [0, 1, 2];

/// Copies all files of a directory.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A copy of a stopped validator's machine, with addresses of its own.
fn twin_of(cluster: &mut Cluster, index: usize) -> anyhow::Result<Validator> {
    let (root, ports) = (cluster.root(), cluster.ports(index));
    let twin = Validator::new("twin", &root);
    copy(cluster.validator(index).directory(), twin.directory())?;
    let config = twin.directory().join("node.toml");
    let name = format!("/{}/", cluster.validator(index).name());
    let mut text = std::fs::read_to_string(&config)?.replace(&name, "/twin/");
    for port in [ports.peer, ports.client, ports.metrics] {
        text = text.replace(&format!(":{port}"), &format!(":{}", cluster.free_port()?));
    }
    std::fs::write(config, text)?;
    std::fs::remove_file(twin.directory().join("log"))?;
    Ok(twin)
}

/// protocol §7.6: whichever signs first, the other one hears of it; both stop signing, and say why in one clear line. The
/// cluster goes on, and nobody else is blamed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_with_one_key_both_stop_signing_and_harm_nobody() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start_at(&cluster.client_among(OTHERS)?, "beside twins", 4)?;
    workload.progress(20, LONG).await?;
    cluster.stop(TWIN).await?;
    let mut twin = twin_of(&mut cluster, TWIN)?;
    cluster.start(TWIN)?;
    twin.start(cluster.program())?;
    let program = cluster.program().to_owned();
    until("both to stop signing", 2 * LONG, async || {
        for log in [cluster.log(TWIN)?, twin.log()?] {
            ensure!(log.contains("two nodes run with one key") || log.contains("of this validator's own key"), "{log}");
        }
        Ok(())
    })
    .await
    .with_context(|| program.display().to_string())?;
    cluster.mode(TWIN, Mode::Following).await?;
    workload.progress(20, LONG).await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "beside twins", &acknowledged, &OTHERS).await?;
    same_state(&cluster, &OTHERS).await?;
    for index in OTHERS {
        let status = cluster.status(index).await?;
        let blamed: Vec<u64> = OTHERS.iter().map(|other| status.validators[*other].evidence).collect();
        ensure!(blamed == [0; 3], "{index} blames an honest one: {blamed:?}");
    }
    twin.admit_alive()?;
    cluster.admit_alive()
}
