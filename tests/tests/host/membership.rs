//! What administrators and operators change while the cluster runs: kinds, parameters, and a validator's incarnation by
//! hand (protocol §7.3, §7.4, §8.4, §8.5).

use anyhow::{Context, ensure};
use quorate_client::pb::cluster::v1::Mode;
use quorate_tests::wait::{LONG, until};
use quorate_tests::{Cluster, Plan, Workload};
use serde_json::Value as Json;

use crate::plan;

/// Epochs that an idle cluster ends within seconds.
pub(crate) fn of_short_epochs() -> Plan {
    let parameters = ["checkpoint_interval=4", "window=16", "min_epoch_sequences=256", "empty_interval_ms=10"];
    parameters.into_iter().fold(plan(), Plan::parameter)
}

/// Runs a command of an administrator of the cluster; gives what it printed as JSON.
pub(crate) fn administer(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Json> {
    let (directory, key) = (cluster.root(), cluster.root().join("administrator.key"));
    let (directory, key) = (directory.to_string_lossy().into_owned(), key.to_string_lossy().into_owned());
    let all = [arguments, &["--cluster", &directory, "--key", &key, "--json"]].concat();
    let output = cluster.run(&all)?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn status(cluster: &Cluster) -> anyhow::Result<String> {
    let directory = cluster.root().to_string_lossy().into_owned();
    let output = cluster.run(&["status", "--cluster", &directory])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// data-model §2.2: a kind that is defined while the cluster runs takes operations at once; a second definition is
/// refused with the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_is_defined_while_the_cluster_runs() -> anyhow::Result<()> {
    let cluster = plan().start().await?;
    administer(&cluster, &["define-kind", "visits:counter"])?;
    administer(&cluster, &["submit", "create", "visits/home"])?;
    let again = administer(&cluster, &["define-kind", "visits:set"]);
    ensure!(again.as_ref().is_err_and(|error| error.to_string().contains("exists")), "{again:?}");
    let file = cluster.scratch()?.join("invoice.toml");
    std::fs::write(&file, "name = \"invoice\"\ntype = \"document\"\nacces = 1\n")?;
    let file = file.to_string_lossy().into_owned();
    let wrong = administer(&cluster, &["define-kind", "--file", &file]);
    ensure!(wrong.as_ref().is_err_and(|error| error.to_string().contains("acces")), "{wrong:?}");
    std::fs::write(
        &file,
        "name = \"invoice\"\ntype = \"document\"\naccess = { create = \"anyone\", write = \"anyone\" }\n",
    )?;
    administer(&cluster, &["define-kind", "--file", &file])?;
    administer(&cluster, &["submit", "put", "invoice/1", "{\"sum\": 5}"])?;
    Ok(())
}

/// protocol §8.5: what was proposed, and what was approved and waits for the epoch's end, is seen in the status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_on_their_way_are_shown_until_they_took_effect() -> anyhow::Result<()> {
    let cluster = of_short_epochs().start().await?;
    let proposed = administer(&cluster, &["propose", "parameter", "document_levels", "7"])?;
    let id = proposed["operation"].as_str().context("a receipt names its operation")?.to_owned();
    let said = status(&cluster)?;
    ensure!(said.contains(&id) && said.contains("0 of 1 approvals: set document_levels to 7"), "{said}");
    administer(&cluster, &["approve", &id])?;
    let pending = cluster.status(0).await?;
    let changes = pending.changes.context("the state can be read")?;
    // It may have taken effect by now.
    let is_pending = changes.approved == ["set document_levels to 7"] && changes.epoch_ends >= 256;
    ensure!(pending.epoch == 1 || is_pending, "{changes:?}");
    until("the next epoch", LONG, async || {
        let status = cluster.status(0).await?;
        ensure!(status.epoch == 1, "it is epoch {}", status.epoch);
        let changes = status.changes.context("the state can be read")?;
        ensure!(changes.approved.is_empty() && changes.epoch_ends == 0, "{changes:?}");
        Ok(())
    })
    .await
}

/// protocol §7.3, §7.4: after whatever an operator restored by other means, `quorate quarantine` makes a store that
/// signs nothing until the next epoch, and comes back then, by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_put_into_quarantine_by_hand_comes_back_with_the_next_epoch() -> anyhow::Result<()> {
    let mut cluster = of_short_epochs().start().await?;
    let workload = Workload::start(&cluster, "by hand", 1)?;
    workload.progress(5, LONG).await?;
    let config = cluster.validator(3).directory().join("node.toml").to_string_lossy().into_owned();
    let running = cluster.run(&["quarantine", "--config", &config])?;
    let said = String::from_utf8_lossy(&running.stderr);
    ensure!(!running.status.success() && said.contains("another process"), "{running:?}");
    cluster.stop(3).await?;
    let done = cluster.run(&["quarantine", "--config", &config])?;
    let said = String::from_utf8_lossy(&done.stdout);
    ensure!(done.status.success() && said.contains("signs nothing in this epoch"), "{done:?}");
    let before = cluster.status(0).await?.epoch;
    cluster.start(3)?;
    let back = cluster.mode(3, Mode::Ordering).await?;
    ensure!(back.epoch > before, "it signs in epoch {}, in which it was put into quarantine", back.epoch);
    let log = cluster.log(3)?;
    ensure!(log.contains("another incarnation"), "{log}");
    ensure!(cluster.validator(3).directory().join("guard.old").exists(), "the old guard file is gone");
    // Its vote is needed again.
    cluster.kill(2)?;
    workload.progress(5, LONG).await?;
    workload.stop().await?;
    Ok(())
}
