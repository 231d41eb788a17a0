//! Receipts in files (data-model §4): they verify offline against nothing but the genesis, with the command
//! line and with the SDK's example, and nothing that was changed does.

use std::path::Path;
use std::process::Output;

use anyhow::ensure;
use quorate_proof::{EpochInfo, ReceiptProof};
use quorate_tests::Cluster;
use quorate_tests::cluster::run;

use crate::{counting, shared};

/// The SDK's example.
const EXAMPLE: &str = env!("CARGO_BIN_EXE_verify-receipt-example");

/// The command line is asked about every so many bytes, the library about each.
const STEP: usize = 29;

fn by_command_line(cluster: &Cluster, receipt: &Path, genesis: &Path) -> anyhow::Result<Output> {
    let arguments =
        ["receipt".as_ref(), "verify".as_ref(), receipt.as_os_str(), "--genesis".as_ref(), genesis.as_os_str()];
    cluster.run(&arguments)
}

fn by_example(receipt: &Path, genesis: &Path) -> anyhow::Result<Output> {
    run(Path::new(EXAMPLE), &[receipt, genesis])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_verifies_offline_and_no_single_byte_of_it_can_be_changed() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let client = cluster.client_of(1)?;
    let (_, operations) = counting(&client, "receipt", 3)?;
    client.submit(&operations[0]).await?;
    // Two at once, so that there may be a path in the tree.
    let (both, _) = tokio::try_join!(client.submit_with_proof(&operations[1]), client.submit(&operations[2]))?;
    let (_, proof) = both;
    let scratch = cluster.scratch()?;
    let (file, genesis) = (scratch.join("receipt"), cluster.genesis_path());
    std::fs::write(&file, &proof)?;
    let id = operations[1].id().to_string();
    for output in [by_command_line(&cluster, &file, &genesis)?, by_example(&file, &genesis)?] {
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains(&id), "{output:?}");
    }
    no_byte_can_be_changed(&cluster, &proof, &scratch.join("changed"))?;
    // Another cluster's genesis proves nothing.
    let text = std::fs::read_to_string(&genesis)?;
    let edited = scratch.join("edited.toml");
    std::fs::write(&edited, text + "# another cluster\n")?;
    for output in [by_command_line(&cluster, &file, &edited)?, by_example(&file, &edited)?] {
        ensure!(!output.status.success(), "{output:?}");
    }
    Ok(())
}

fn no_byte_can_be_changed(cluster: &Cluster, proof: &[u8], file: &Path) -> anyhow::Result<()> {
    let epoch = EpochInfo::of_genesis(&cluster.genesis()?);
    let holds = |bytes: &[u8]| ReceiptProof::from_file(bytes).is_ok_and(|proof| proof.verify(&epoch).is_ok());
    ensure!(holds(proof), "the proof itself");
    println!("a proof of {} bytes", proof.len());
    for position in 0..proof.len() {
        let mut changed = proof.to_vec();
        for bit in 0..8 {
            changed[position] = proof[position] ^ (1 << bit);
            ensure!(!holds(&changed), "bit {bit} of byte {position} doesn't matter");
        }
        ensure!(!holds(&proof[..position]), "a proof cut at {position} holds");
        if position % STEP == 0 {
            std::fs::write(file, &changed)?;
            let genesis = cluster.genesis_path();
            for output in [by_command_line(cluster, file, &genesis)?, by_example(file, &genesis)?] {
                ensure!(!output.status.success(), "byte {position}: {output:?}");
            }
        }
    }
    let mut longer = proof.to_vec();
    longer.push(0);
    ensure!(!holds(&longer), "a byte more doesn't matter");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_validator_gives_a_receipt_that_the_command_line_verifies() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let client = cluster.client_of(0)?;
    let (_, operations) = counting(&client, "everywhere", 1)?;
    client.submit(&operations[0]).await?;
    for index in 0..cluster.size() {
        let file = cluster.scratch()?.join(format!("receipt-{index}"));
        let id = operations[0].id().to_string();
        let directory = cluster.root();
        let address = cluster.client_address(index);
        let arguments: [&std::ffi::OsStr; 10] = [
            "receipt".as_ref(),
            "get".as_ref(),
            id.as_ref(),
            "--wait".as_ref(),
            "--output".as_ref(),
            file.as_ref(),
            "--cluster".as_ref(),
            directory.as_ref(),
            "--endpoint".as_ref(),
            address.as_ref(),
        ];
        let fetched = cluster.run(&arguments)?;
        ensure!(fetched.status.success(), "{fetched:?}");
        let verified = by_command_line(&cluster, &file, &cluster.genesis_path())?;
        ensure!(verified.status.success(), "{verified:?}");
    }
    let stranger = by_command_line(&cluster, &cluster.genesis_path(), &cluster.genesis_path())?;
    let said = String::from_utf8_lossy(&stranger.stderr);
    ensure!(!stranger.status.success() && said.contains("no receipt file"), "{said}");
    Ok(())
}
