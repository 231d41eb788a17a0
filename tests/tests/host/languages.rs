//! From another language (architecture §7, data-model §1): Python, with what Debian ships and the descriptor
//! set that we ship, and nothing else of ours.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use quorate_client::Consistency;
use quorate_tests::cluster::run;
use quorate_types::operation::EntityId;
use quorate_types::value::Value;

use crate::shared;

/// Debian's, which sees Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

fn script(name: &str) -> anyhow::Result<PathBuf> {
    let modules = ["-c", "import cryptography, google.protobuf, grpc"];
    let found = run(Path::new(PYTHON), &modules).context("these tests need Python: apt-get install python3")?;
    ensure!(
        found.status.success(),
        "these tests need Python's gRPC: apt-get install python3-grpcio python3-protobuf python3-cryptography"
    );
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_signs_and_submits_an_operation_over_tls() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let path = script("submit.py")?;
    let lines = std::fs::read_to_string(&path)?.lines().count();
    ensure!(lines <= 60, "the script has {lines} lines");
    let (key, address) = (cluster.scratch()?.join("python.key"), cluster.client_address(1));
    let made = cluster.run(&["keygen".as_ref(), key.as_os_str()])?;
    ensure!(made.status.success(), "{made:?}");
    let (genesis, authority) = (cluster.genesis_path(), cluster.root().join("authority.crt"));
    // Twice: the second time the author is known.
    for text in ["written in Python", "and once more"] {
        let arguments: [&std::ffi::OsStr; 8] = [
            path.as_ref(),
            genesis.as_ref(),
            authority.as_ref(),
            address.as_ref(),
            key.as_ref(),
            "document".as_ref(),
            "from-python".as_ref(),
            text.as_ref(),
        ];
        let output = run(Path::new(PYTHON), &arguments)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let receipt: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let sequence: u64 = receipt["sequence"].as_str().context("no sequence")?.parse()?;
        let client = cluster.client_of(0)?;
        let at_least = Consistency::AtLeast(quorate_types::ids::Sequence(sequence));
        let read = client.get(&EntityId::new("document", "from-python"), at_least, None).await?;
        ensure!(read.content.context("it isn't there")?.value == Value::Text(text.to_owned()));
    }
    Ok(())
}

#[test]
fn python_agrees_with_every_vector() -> anyhow::Result<()> {
    let output = run(Path::new(PYTHON), &[script("vectors.py")?])?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("25 accepted, 23 refused: all as they should be"), "{said}");
    Ok(())
}

#[test]
fn the_descriptor_set_that_is_shipped_is_that_of_the_program() -> anyhow::Result<()> {
    let shipped = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/quorate.binpb"))?;
    ensure!(shipped == quorate_transport::pb::FILE_DESCRIPTOR_SET, "proto/quorate.binpb is not of these .proto files");
    Ok(())
}
