//! Later epochs, offline: the chain of epochs as a file, and checkpoints that somebody trusts (protocol §8.4, data-model
//! §4.9).

use std::process::Output;

use anyhow::{Context, ensure};
use quorate_tests::Cluster;
use quorate_tests::wait::{LONG, until};
use serde_json::Value as Json;

use crate::membership::{administer, of_short_epochs};

/// Changes a parameter, and waits until all are in the epoch that this begins.
async fn next_epoch(cluster: &Cluster, levels: &str) -> anyhow::Result<u64> {
    let before = cluster.status(0).await?.epoch;
    let proposed = administer(cluster, &["propose", "parameter", "document_levels", levels])?;
    administer(cluster, &["approve", proposed["operation"].as_str().context("a receipt names its operation")?])?;
    until("the next epoch at every validator", LONG, async || {
        for index in 0..cluster.size() {
            let epoch = cluster.status(index).await?.epoch;
            ensure!(epoch > before, "validator {index} is in epoch {epoch}");
        }
        Ok(before + 1)
    })
    .await
}

/// What a refusal says.
fn refused(output: &Output) -> anyhow::Result<String> {
    ensure!(!output.status.success(), "it convinces: {output:?}");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_in_a_later_epoch_is_verified_offline() -> anyhow::Result<()> {
    let cluster = of_short_epochs().start().await?;
    administer(&cluster, &["define-kind", "later:counter"])?;
    next_epoch(&cluster, "7").await?;
    let epoch = next_epoch(&cluster, "8").await?;
    let scratch = cluster.scratch()?;
    let file = |name: &str| scratch.join(name).display().to_string();
    let (receipt, proof, chain, damaged) = (file("r"), file("p"), file("epochs"), file("damaged"));
    let (root, genesis) = (cluster.root().display().to_string(), cluster.genesis_path().display().to_string());
    let created = administer(&cluster, &["submit", "create", "later/one"])?;
    let id = created["operation"].as_str().context("a receipt names its operation")?;
    for asked in [
        ["receipt", "get", id, "--output", &receipt].as_slice(),
        &["proof", "get", "later/one", "--output", &proof],
        &["epochs", "export", "--output", &chain],
    ] {
        let output = cluster.run(&[asked, &["--cluster", &root]].concat())?;
        ensure!(output.status.success(), "{asked:?}: {output:?}");
    }
    let mut bytes = std::fs::read(&chain)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes)?;
    let status = cluster.run(&["status", "--json", "--cluster", &root])?;
    let status: Json = serde_json::from_slice(&status.stdout)?;
    let trusted = status["checkpoint"]["trust"].as_str().with_context(|| format!("a checkpoint in {status}"))?;
    let other = trusted.chars().rev().enumerate().map(|(at, digit)| match (at, digit) {
        (0, '0') => '1',
        (0, _) => '0',
        (_, digit) => digit,
    });
    let other: String = other.collect::<Vec<char>>().into_iter().rev().collect();
    for verified in [["receipt", "verify", &receipt], ["proof", "verify", &proof]] {
        let verify =
            |more: &[&str]| cluster.run(&[&verified, ["--genesis", genesis.as_str()].as_slice(), more].concat());
        let lacks = refused(&verify(&[])?)?;
        ensure!(lacks.contains("--epochs") && lacks.contains(&format!("epoch {epoch}")), "{lacks}");
        for more in [["--epochs", &chain].as_slice(), &["--epochs", &chain, "--trust", trusted]] {
            let output = verify(more)?;
            ensure!(output.status.success(), "{verified:?} {more:?}: {output:?}");
        }
        refused(&verify(&["--epochs", &damaged])?)?;
        let contradicted = refused(&verify(&["--epochs", &chain, "--trust", &other])?)?;
        ensure!(contradicted.contains("checkpoint"), "{contradicted}");
    }
    light_client(&cluster, (&root, &genesis), (&chain, trusted, &other), epoch)
}

/// The chain that the validators hand out and the one in the file are the same, and lead to the trusted checkpoint.
fn light_client(
    cluster: &Cluster,
    (root, genesis): (&str, &str),
    (chain, trusted, other): (&str, &str, &str),
    epoch: u64,
) -> anyhow::Result<()> {
    let follow = |more: &[&str]| cluster.run(&[["light-client", "verify", "--json"].as_slice(), more].concat());
    let asked = follow(&["--cluster", root, "--trust", trusted])?;
    let offline = follow(&["--epochs", chain, "--genesis", genesis])?;
    ensure!(asked.status.success() && offline.status.success(), "{asked:?} {offline:?}");
    let (asked, offline): (Json, Json) =
        (serde_json::from_slice(&asked.stdout)?, serde_json::from_slice(&offline.stdout)?);
    ensure!(asked["epochs"] == offline["epochs"], "{asked} {offline}");
    let epochs = offline["epochs"].as_array().with_context(|| format!("epochs in {offline}"))?;
    ensure!(epochs.len() as u64 == epoch + 1, "{offline}");
    refused(&follow(&["--epochs", chain, "--genesis", genesis, "--trust", other])?)?;
    Ok(())
}
