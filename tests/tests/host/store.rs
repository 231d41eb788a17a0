//! Stores and guard files that are lost, old, damaged, in use or full (protocol §7.2–§7.5): a validator that may
//! have forgotten what it signed follows and signs nothing; one that can't save stops.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use quorate_client::pb::cluster::v1::Mode;
use quorate_client::{ClientFault, Consistency};
use quorate_tests::check::{nothing_is_lost, same_state};
use quorate_tests::cluster::run;
use quorate_tests::wait::{LONG, until};
use quorate_tests::{Cluster, Workload, workload};
use quorate_types::operation::{Change, EntityId};
use quorate_types::value::Value;
use rustix::process::{Resource, Rlimit, prlimit};

use crate::{counting, plan, sign};

const ALL: [usize; 4] = [0, 1, 2, 3];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_on_the_same_store_is_refused_and_the_first_goes_on() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let config = cluster.validator(0).directory().join("node.toml");
    // With the same file, and with one that has ports and socket of its own.
    let other = config.with_file_name("other.toml");
    let text = std::fs::read_to_string(&config)?;
    let ports = cluster.ports(0);
    let mut moved = text.replace("admin.sock", "other.sock");
    for port in [ports.peer, ports.client, ports.metrics] {
        moved = moved.replace(&format!(":{port}"), &format!(":{}", cluster.free_port()?));
    }
    std::fs::write(&other, moved)?;
    for file in [config, other] {
        let second = run(cluster.program(), &["start".as_ref(), "--config".as_ref(), file.as_os_str()])?;
        let said = String::from_utf8_lossy(&second.stderr);
        ensure!(!second.status.success(), "a second node runs on one store");
        ensure!(said.contains("store") && said.contains("another process"), "{}: {said}", file.display());
    }
    let client = cluster.client_of(0)?;
    let (_, operations) = counting(&client, "first goes on", 1)?;
    client.submit(&operations[0]).await?;
    cluster.admit_alive()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_without_its_guard_file_follows_and_signs_nothing() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "guard", 2)?;
    workload.progress(20, LONG).await?;
    cluster.kill(3)?;
    std::fs::remove_file(cluster.validator(3).directory().join("guard"))?;
    cluster.start(3)?;
    follows(&mut cluster, 3, "guard file is missing").await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "guard", &acknowledged, &ALL).await?;
    same_state(&cluster, &ALL).await?;
    signs_nothing(&mut cluster, 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_with_an_older_copy_of_its_store_follows_and_signs_nothing() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "copy", 2)?;
    workload.progress(20, LONG).await?;
    let directory = cluster.validator(3).directory().to_owned();
    let backup = cluster.scratch()?.join("backup");
    cluster.stop(3).await?;
    copy(&directory, &backup)?;
    // The store alone: the guard file knows better.
    restart_later(&mut cluster, &workload).await?;
    restore(&backup, &directory, &["store"])?;
    cluster.start(3)?;
    follows(&mut cluster, 3, "guard file").await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "copy", &acknowledged, &ALL).await?;
    signs_nothing(&mut cluster, 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_with_older_copies_of_store_and_guard_file_hears_from_its_peers_that_it_signed_more()
-> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "copies", 2)?;
    workload.progress(20, LONG).await?;
    let directory = cluster.validator(3).directory().to_owned();
    let backup = cluster.scratch()?.join("backup");
    cluster.stop(3).await?;
    copy(&directory, &backup)?;
    restart_later(&mut cluster, &workload).await?;
    restore(&backup, &directory, &["store", "guard"])?;
    cluster.start(3)?;
    follows(&mut cluster, 3, "of this validator's own key").await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "copies", &acknowledged, &ALL).await?;
    signs_nothing(&mut cluster, 3).await
}

/// Lets the last validator sign more after its backup, and kills it.
async fn restart_later(cluster: &mut Cluster, workload: &Workload) -> anyhow::Result<()> {
    cluster.start(3)?;
    cluster.mode(3, Mode::Ordering).await?;
    workload.progress(40, LONG).await?;
    cluster.kill(3)
}

/// It says that it follows and why, catches up, serves reads, and takes no operations.
async fn follows(cluster: &mut Cluster, index: usize, why: &str) -> anyhow::Result<()> {
    let status = cluster.mode(index, Mode::Following).await?;
    ensure!(
        status.reason.contains(why) && status.reason.contains("asks the cluster to take it back"),
        "{}",
        status.reason
    );
    ensure!(cluster.log(index)?.contains(why), "the log doesn't say why");
    let seen = cluster.status(0).await?.validators.swap_remove(index);
    let is_known = until("the others know", LONG, async || {
        let seen = cluster.status(0).await?.validators.swap_remove(index);
        ensure!(seen.following, "{seen:?}");
        Ok(())
    });
    is_known.await.with_context(|| format!("{seen:?}"))?;
    let (client, others) = (cluster.impatient_client_of(index)?, cluster.client_of(0)?);
    let (counter, operations) = counting(&others, &format!("to a follower {index}"), 2)?;
    let receipt = others.submit(&operations[0]).await?;
    let at_least = Consistency::AtLeast(receipt.receipt().sequence);
    ensure!(client.get(&counter, at_least, None).await?.content.is_some(), "it doesn't execute");
    match client.submit(&operations[1]).await {
        Err(ClientFault::NoAnswer { last, .. }) => ensure!(last.contains("FOLLOWING"), "{last}"),
        other => bail!("{other:?}"),
    }
    Ok(())
}

/// With another one away, no quorum can be built on it.
async fn signs_nothing(cluster: &mut Cluster, index: usize) -> anyhow::Result<()> {
    let other = (index + 1) % cluster.size();
    let witness = (index + 2) % cluster.size();
    cluster.kill(other)?;
    let status = cluster.mode(witness, Mode::ReadOnly).await?;
    let name = cluster.validator(index).name().to_owned();
    ensure!(status.reason.contains(&name), "{}", status.reason);
    cluster.start(other)?;
    cluster.mode(witness, Mode::Ordering).await?;
    cluster.mode(index, Mode::Following).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_without_its_store_does_not_start() -> anyhow::Result<()> {
    let mut cluster = plan().validators(1).make().await?;
    std::fs::remove_dir_all(cluster.validator(0).directory().join("store"))?;
    cluster.start(0)?;
    let status = cluster.validator(0).ended(LONG).await?;
    ensure!(!status.success(), "it ended with {status}");
    ensure!(cluster.log(0)?.contains("there is no store"), "{}", cluster.log(0)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_of_the_store_is_found_at_the_start() -> anyhow::Result<()> {
    let mut cluster = plan().validators(1).start().await?;
    let workload = Workload::start(&cluster, "damage", 2)?;
    workload.progress(60, LONG).await?;
    workload.stop().await?;
    cluster.kill(0)?;
    let log = largest_log(&cluster.validator(0).directory().join("store"))?;
    let mut bytes = std::fs::read(&log)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&log, bytes)?;
    cluster.start(0)?;
    let status = cluster.validator(0).ended(LONG).await?;
    ensure!(!status.success(), "it ended with {status}");
    let said = cluster.log(0)?.to_lowercase();
    ensure!(said.contains("corrupt") || said.contains("checksum"), "{said}");
    Ok(())
}

fn largest_log(store: &Path) -> anyhow::Result<PathBuf> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(store)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            logs.push((entry.metadata()?.len(), entry.path()));
        }
    }
    logs.into_iter().max().map(|(_, path)| path).context("the store has no log")
}

/// A limit on the size of files stands for a disk that takes no more: every write beyond it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_fails_stops_the_node_with_the_reason_and_it_comes_back() -> anyhow::Result<()> {
    const ENOUGH_FOR_LOGS: u64 = 1 << 20;
    let mut cluster = plan().make().await?;
    cluster.validator(2).survives_file_limit();
    cluster.start_all()?;
    cluster.ready().await?;
    let workload = Workload::start(&cluster, "save", 2)?;
    workload.progress(10, LONG).await?;
    let limit = Rlimit { current: Some(ENOUGH_FOR_LOGS), maximum: Some(ENOUGH_FOR_LOGS) };
    prlimit(cluster.validator(2).pid(), Resource::Fsize, limit)?;
    let status = cluster.validator(2).ended(LONG).await?;
    ensure!(!status.success(), "it ended with {status}");
    let log = cluster.log(2)?;
    ensure!(log.contains("failed") && log.contains("rather than sign what it may forget"), "{log}");
    workload.progress(20, LONG).await?;
    cluster.start(2)?;
    cluster.mode(2, Mode::Ordering).await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "save", &acknowledged, &ALL).await?;
    same_state(&cluster, &ALL).await?;
    Ok(())
}

/// A file system of its own for one store, taken away again on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this isn't allowed.
    fn mount(path: &Path, mib: u32) -> anyhow::Result<Option<Self>> {
        let options = format!("size={mib}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        Ok(is_mounted.then(|| Self(path.to_owned())))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("{} is still mounted", self.0.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_node_with_the_reason_and_nothing_is_lost() -> anyhow::Result<()> {
    let mut cluster = plan().make().await?;
    let disk = cluster.scratch()?.join("disk");
    std::fs::create_dir(&disk)?;
    let Some(mounted) = SmallDisk::mount(&disk, 24)? else {
        println!("NOT TESTED: a full disk, because only root may mount one; a limit on files is tested instead");
        return Ok(());
    };
    let store = cluster.validator(1).directory().join("store");
    copy(&store, &disk.join("store"))?;
    cluster.set(1, "paths.store", toml::Value::from(disk.join("store").display().to_string()))?;
    cluster.start_all()?;
    cluster.ready().await?;
    let client = cluster.client()?;
    let mut signer = workload::signer(&client, "filler");
    let entity = EntityId::new("document", "filler");
    let mut last = None;
    let deadline = std::time::Instant::now() + LONG;
    while cluster.validator(1).admit_alive().is_ok() {
        ensure!(std::time::Instant::now() < deadline, "the disk of 24 MiB isn't full yet");
        let value = Value::Text("x".repeat(200 << 10));
        let operation = sign(&mut signer, &entity, Change::Put { value })?;
        last = Some(client.submit(&operation).await?.receipt().clone());
        signer.settle(&operation);
    }
    let status = cluster.validator(1).ended(Duration::from_secs(1)).await?;
    ensure!(!status.success(), "it ended with {status}");
    let log = cluster.log(1)?;
    ensure!(log.contains("the store failed") && log.contains("the disk is full"), "{log}");
    // The other three are a quorum, and keep what was acknowledged.
    let last = last.context("nothing was written")?;
    let (again, _) = cluster.client_of(0)?.receipt(last.operation, true).await?;
    ensure!(*again.receipt() == last, "{again:?}");
    drop(mounted);
    Ok(())
}

/// Copies a directory with everything in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
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

/// Puts a file or directory of a backup where the newer one is.
fn restore(backup: &Path, directory: &Path, names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        let (old, now) = (backup.join(name), directory.join(name));
        if now.is_dir() {
            std::fs::remove_dir_all(&now)?;
            copy(&old, &now)?;
        } else {
            std::fs::copy(&old, &now)?;
        }
    }
    Ok(())
}
