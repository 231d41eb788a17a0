//! The command line as its users run it: against a real cluster, interrupted, and on many hosts.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use quorate_cli::connect::AuthorArgs;
use quorate_client::pb::cluster::v1::Mode;
use quorate_client::{Client, ClientConfig, Consistency, RetryPolicy};
use quorate_tests::cluster::run;
use quorate_tests::slots::Slot;
use quorate_tests::validator::Validator;
use quorate_tests::wait::{LONG, until};
use quorate_tests::{Cluster, check};
use quorate_types::operation::EntityId;
use quorate_types::value::Value;
use serde_json::Value as Json;

use crate::{PROGRAM, counting, plan, shared};

/// The command with these words, against a cluster, signed by the key of this name.
fn command(cluster: &Cluster, words: &[&str], key: Option<&str>) -> anyhow::Result<Command> {
    let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    arguments.extend(["--cluster".into(), cluster.root().into_os_string()]);
    if let Some(name) = key {
        let path = cluster.scratch()?.join(name);
        if !path.exists() {
            let made = cluster.run(&["keygen".as_ref(), path.as_os_str()])?;
            ensure!(made.status.success(), "{made:?}");
        }
        arguments.extend(["--key".into(), path.into_os_string()]);
    }
    let mut command = Command::new(cluster.program());
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    Ok(command)
}

/// Runs it; what it prints.
fn done(cluster: &Cluster, words: &[&str], key: Option<&str>) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } = command(cluster, words, key)?.output()?;
    ensure!(status.success(), "{words:?}: {}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_submitted_read_watched_and_verified_from_the_command_line() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let key = Some("typist.key");
    let receipt = cluster.scratch()?.join("typed.receipt").display().to_string();
    let put = ["submit", "put", "document/typed", r#"{"text": "hello"}"#, "--receipt", &receipt, "--json"];
    let first: Json = serde_json::from_str(&done(&cluster, &put, key)?)?;
    ensure!(first["result"]["outcome"] == "APPLIED", "{first}");
    let sequence = first["sequence"].as_u64().context("no sequence")?.to_string();
    let guarded = ["submit", "set", "document/typed", "/text", "\"bye\"", "--if-version", "document/typed=1"];
    done(&cluster, &guarded, key)?;
    let again = command(&cluster, &guarded, key)?.output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
    ensure!(!again.status.success() && said.contains("GUARD_FAILED"), "{said}");
    let got: Json = serde_json::from_str(&done(&cluster, &["get", "document/typed", "--json"], None)?)?;
    ensure!(got.to_string().contains("bye") && got["version"] == 2, "{got}");
    let watched = done(&cluster, &["watch", "--from", &sequence, "--to", &sequence, "--json"], None)?;
    ensure!(watched.contains("typed"), "{watched}");
    let genesis = cluster.genesis_path().display().to_string();
    let verified = run(cluster.program(), &["receipt", "verify", &receipt, "--genesis", &genesis])?;
    ensure!(verified.status.success(), "{verified:?}");
    // Nobody is there: an error that says so, and no success.
    let nowhere = ["get", "document/typed", "--endpoint", "127.0.0.1:1", "--patience", "1"];
    ensure!(!command(&cluster, &nowhere, None)?.output()?.status.success());
    Ok(())
}

/// protocol §3.9: a promise is kept as a file, and every validator's word shows that the gateway has kept it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_is_kept_as_a_file_and_checked() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let key = Some("promised.key");
    done(&cluster, &["submit", "create", "counter/promised"], key)?;
    let file = cluster.scratch()?.join("visit.promise").display().to_string();
    let add = ["submit", "add", "counter/promised", "1", "--promise", &file, "--json"];
    let promise: Json = serde_json::from_str(&done(&cluster, &add, key)?)?;
    let id = promise["operation"].as_str().context("no operation")?.to_owned();
    let checked: Json = serde_json::from_str(&done(&cluster, &["promise", "check", &file, "--json"], None)?)?;
    ensure!(checked["verdict"] == "kept" && checked["promise"] == promise, "{checked}");
    done(&cluster, &["receipt", "get", &id, "--wait"], None)?;
    Ok(())
}

/// data-model §3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_not_locked_out_by_submissions_without_an_answer_nor_by_many_at_once() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let key = Some("crowded.key");
    done(&cluster, &["submit", "create", "counter/crowded"], key)?;
    for _ in 0..6 {
        let nowhere = ["submit", "add", "counter/crowded", "1", "--endpoint", "127.0.0.1:1", "--patience", "1"];
        ensure!(!command(&cluster, &nowhere, key)?.output()?.status.success());
    }
    let mut running = Vec::new();
    for _ in 0..6 {
        let mut add = command(&cluster, &["submit", "add", "counter/crowded", "1"], key)?;
        running.push(add.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
    }
    for process in running {
        let ended = process.wait_with_output()?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    // A count far ahead of the cluster: it is asked where to go on.
    let count = AuthorArgs { key: cluster.scratch()?.join("crowded.key"), lifetime: 60 };
    let count = count.nonces_path(cluster.client()?.cluster());
    ensure!(std::fs::read_to_string(&count)?.trim() == "00000000000000000008", "nonces were lost");
    std::fs::write(&count, "00000000000000009000\n")?;
    done(&cluster, &["submit", "add", "counter/crowded", "1"], key)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_operations_killed_half_way_goes_on_when_run_again_and_each_line_executes_once() -> anyhow::Result<()>
{
    const LINES: usize = 1_500;
    let cluster = shared().await?;
    let lines: Vec<String> = (0..LINES)
        .map(|number| match number {
            0 => r#"{"do": "create", "entity": "counter/lines"}"#,
            _ => r#"{"do": "add", "entity": "counter/lines", "by": 1}"#,
        })
        .map(str::to_owned)
        .collect();
    let file = cluster.scratch()?.join("operations.jsonl");
    std::fs::write(&file, lines.join("\n"))?;
    let words = ["submit", "lines", &file.display().to_string(), "--in-flight", "16"].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let key = Some("bulk.key");
    let client = cluster.client_of(0)?;
    let counter = EntityId::new("counter", "lines");
    let version = async || -> anyhow::Result<u64> {
        let read = client.get(&counter, Consistency::Local { max_age_ms: 0 }, None).await?;
        Ok(read.content.map_or(0, |found| found.version))
    };
    for goal in [100, 400] {
        let mut running = command(&cluster, &words, key)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let reached = until("a part of the lines", LONG, async || {
            let version = version().await?;
            ensure!(version >= goal, "{version} of {goal}");
            Ok(())
        });
        let reached = reached.await;
        running.kill()?;
        running.wait()?;
        reached?;
    }
    ensure!(version().await? < LINES as u64, "it was through before it was killed");
    done(&cluster, &words, key)?;
    ensure!(version().await? == LINES as u64, "{} operations instead of {LINES}", version().await?);
    // Once more: nothing is left to do.
    done(&cluster, &words, key)?;
    let read = client.get(&counter, Consistency::Local { max_age_ms: 0 }, None).await?;
    ensure!(read.content.context("it is gone")?.value == Value::Integer(LINES as i64 - 1));
    Ok(())
}

/// As on many hosts: each validator is made on its own, keys and stores stay, the genesis comes from public parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validators_made_one_by_one_are_joined_by_their_public_parts_into_a_cluster() -> anyhow::Result<()> {
    const NAMES: [&str; 4] = ["alpha", "beta", "delta", "gamma"];
    let mut slot = Slot::take().await?;
    let directory = tempfile::Builder::new().prefix("quorate-test-").tempdir()?;
    let root = directory.path();
    let program = Path::new(PROGRAM);
    let (mut parts, mut addresses) = (Vec::new(), Vec::new());
    for name in NAMES {
        let own = root.join(name);
        let ports = [slot.port()?, slot.port()?, slot.port()?].map(|port| port.to_string());
        addresses.push(format!("127.0.0.1:{}", ports[1]));
        let own_text = own.display().to_string();
        let made = run(
            program,
            &[
                "init",
                "--validator",
                name,
                "--host",
                "127.0.0.1",
                "--directory",
                &own_text,
                "--peer-port",
                &ports[0],
                "--client-port",
                &ports[1],
                "--metrics-port",
                &ports[2],
            ],
        )?;
        ensure!(made.status.success(), "{made:?}");
        parts.push(own.join("public-part.toml").display().to_string());
    }
    let administrator = run(program, &["keygen", &root.join("administrator.key").display().to_string()])?;
    let administrator = String::from_utf8(administrator.stdout)?.trim().to_owned();
    let joined = root.join("joined").display().to_string();
    let mut arguments = vec!["init", "--directory", &joined, "--administrator", &administrator, "--assemble"];
    arguments.extend(parts.iter().map(String::as_str));
    let assembled = run(program, &arguments)?;
    ensure!(assembled.status.success(), "{assembled:?}");
    let genesis = std::fs::read(root.join("joined/genesis.toml"))?;
    let mut validators = Vec::new();
    for name in NAMES {
        std::fs::write(root.join(name).join("genesis.toml"), &genesis)?;
        let mut validator = Validator::new(name, root);
        validator.start(program)?;
        validators.push(validator);
    }
    let authority = std::fs::read_to_string(root.join("joined/authority.crt"))?;
    let retry = RetryPolicy { total: LONG, ..RetryPolicy::default() };
    let config = ClientConfig::new(&genesis, addresses)?.with_authority(&authority)?.with_retry(retry);
    let client = Client::new(config)?;
    let (_, operations) = counting(&client, "joined", 4)?;
    for (index, operation) in operations.iter().enumerate() {
        client.starting_at(index)?.submit(operation).await?;
    }
    validators.iter_mut().try_for_each(Validator::admit_alive)
}

/// protocol §7.4, §7.5: it asks for its way back, and follows until the next epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_with_a_new_store_in_place_of_a_lost_one_catches_up_and_only_follows() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let client = cluster.client()?;
    let (_, operations) = counting(&client, "before the loss", 40)?;
    for operation in &operations {
        client.submit(operation).await?;
    }
    cluster.kill(3)?;
    let directory = cluster.validator(3).directory().to_owned();
    std::fs::remove_dir_all(directory.join("store"))?;
    std::fs::remove_file(directory.join("guard"))?;
    let config = directory.join("node.toml").display().to_string();
    let made = cluster.run(&["init", "--new-store", &config])?;
    ensure!(made.status.success(), "{made:?}");
    cluster.start(3)?;
    let status = cluster.mode(3, Mode::Following).await?;
    ensure!(
        status.reason.contains("incarnation") && status.reason.contains("asks the cluster to take it back"),
        "{}",
        status.reason
    );
    check::same_state(&cluster, &[0, 1, 2, 3]).await?;
    Ok(())
}

/// A backup of a validator that serves is whole; a damaged one is refused; a store made out of one catches up and
/// never signs (protocol §7.4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_backed_up_under_load_checked_and_restored_into_quarantine() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let client = cluster.client()?;
    let (_, operations) = counting(&client, "around the backup", 60)?;
    let (before, after) = operations.split_at(30);
    for operation in before {
        client.submit(operation).await?;
    }
    let config = cluster.validator(3).directory().join("node.toml").display().to_string();
    let backup = cluster.scratch()?.join("backup");
    let directory = backup.display().to_string();
    let load = async {
        for operation in after {
            client.submit(operation).await?;
        }
        anyhow::Ok(())
    };
    let program = cluster.program().to_owned();
    let arguments = ["backup", "--config", &config, &directory].map(str::to_owned);
    let copy = tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output());
    let (loaded, made) = tokio::join!(load, copy);
    loaded?;
    let made = made??;
    ensure!(made.status.success(), "{made:?}");
    let again = cluster.run(&["backup", "--config", &config, &directory])?;
    ensure!(String::from_utf8_lossy(&again.stderr).contains("exists already"), "{again:?}");

    let busy = cluster.run(&["db", "check", "--config", &config])?;
    ensure!(!busy.status.success(), "a store in use can't be looked through: {busy:?}");
    let looked = cluster.run(&["db", "check", "--store", &directory, "--json"])?;
    let looked: Json = serde_json::from_slice(&looked.stdout)?;
    ensure!(looked["found"] == 0 && looked["executed"].as_u64() > Some(0), "{looked}");

    cluster.kill(3)?;
    let own = cluster.run(&["db", "check", "--config", &config])?;
    ensure!(own.status.success(), "{own:?}");
    let kept = cluster.run(&["restore", &directory, "--config", &config])?;
    ensure!(String::from_utf8_lossy(&kept.stderr).contains("a store lies in"), "{kept:?}");
    std::fs::remove_dir_all(cluster.validator(3).directory().join("store"))?;
    let table = std::fs::read_dir(backup.join("store"))?
        .filter_map(Result::ok)
        .find(|entry| entry.path().extension().is_some_and(|extension| extension == "sst"))
        .context("a backup has tables")?
        .path();
    let whole = std::fs::read(&table)?;
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::remove_file(&table)?;
    std::fs::write(&table, &damaged)?;
    let refused = cluster.run(&["restore", &directory, "--config", &config])?;
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("changed or damaged"), "{refused:?}");
    ensure!(!cluster.validator(3).directory().join("store").exists(), "nothing half-made stays");
    std::fs::write(&table, &whole)?;
    let restored = cluster.run(&["restore", &directory, "--config", &config])?;
    ensure!(restored.status.success(), "{restored:?}");

    cluster.start(3)?;
    let status = cluster.mode(3, Mode::Following).await?;
    ensure!(status.reason.contains("incarnation"), "{}", status.reason);
    check::same_state(&cluster, &[0, 1, 2, 3]).await?;
    Ok(())
}

/// The demonstration ends well, and says what it showed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_survives_the_loss_of_the_primary_and_finds_the_same_state_everywhere() -> anyhow::Result<()>
{
    let _slot = Slot::take().await?;
    let demo = tokio::process::Command::new(PROGRAM)
        .args(["demo", "--records", "300"])
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, stderr } = tokio::time::timeout(Duration::from_secs(180), demo).await??;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    println!("{said}");
    ensure!(status.success(), "it ended with {status}");
    for words in ["300", "verified", "digest"] {
        ensure!(said.contains(words), "it says nothing about {words}");
    }
    Ok(())
}
