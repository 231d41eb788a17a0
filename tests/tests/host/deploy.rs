//! The configuration in `deploy/`, started as plain processes: what the files call is what the program knows.

use std::path::Path;

use anyhow::{Context, ensure};
use quorate_client::{Client, ClientConfig, RetryPolicy};
use quorate_tests::cluster::run;
use quorate_tests::slots::Slot;
use quorate_tests::validator::Validator;
use quorate_tests::wait::{LONG, until};
use toml::{Table, Value};

use crate::{PROGRAM, counting};

const COMPOSE: &str = include_str!("../../../deploy/compose.yaml");
const UNIT: &str = include_str!("../../../deploy/quorate@.service");

/// The commands of the services, in the file's order, as lists of arguments.
fn commands() -> anyhow::Result<Vec<Vec<String>>> {
    let lines = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    lines.map(|list| serde_json::from_str(list).with_context(|| list.to_owned())).collect()
}

/// In place of containers, each of which has a network of its own: one address of loopback for each.
fn move_to(path: &Path, index: usize, client: u16, peers: &[(String, String)]) -> anyhow::Result<()> {
    let mut file: Table = std::fs::read_to_string(path)?.parse()?;
    let mut set = |section: &str, field: &str, value: Value| {
        let section = file.get_mut(section).and_then(Value::as_table_mut).context("no such section")?;
        section.insert(field.to_owned(), value);
        anyhow::Ok(())
    };
    set("peers", "listen", peers[index].1.clone().into())?;
    let others = peers.iter().enumerate().filter(|(other, _)| *other != index);
    let others = others.map(|(_, (name, address))| (name.clone(), Value::from(address.clone())));
    set("peers", "addresses", Value::Table(others.collect()))?;
    set("clients", "listen", format!("127.0.0.1:{client}").into())?;
    set("telemetry", "metrics", "".into())?;
    Ok(std::fs::write(path, toml::to_string(&file)?)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_compose_file_makes_and_starts_a_cluster() -> anyhow::Result<()> {
    let mut slot = Slot::take().await?;
    let directory = tempfile::Builder::new().prefix("quorate-test-").tempdir()?;
    let root = directory.path().join("cluster");
    let here = |argument: &String| argument.replace("/cluster", &root.display().to_string());
    let commands = commands()?;
    let (init, starts) = commands.split_first().context("no commands")?;
    let init: Vec<String> = init.iter().map(here).collect();
    // Twice: the service runs again whenever the cluster is brought up.
    for _ in 0..2 {
        let made = run(Path::new(PROGRAM), &init)?;
        ensure!(made.status.success(), "{init:?}: {made:?}");
    }
    let names: Vec<String> = (0..starts.len()).map(|index| format!("v{index}")).collect();
    let port = slot.port()?;
    let peers = (2..).zip(&names).map(|(last, name)| (name.clone(), format!("127.0.0.{last}:{port}")));
    let peers: Vec<_> = peers.collect();
    let (mut validators, mut addresses) = (Vec::new(), Vec::new());
    for (index, (start, name)) in starts.iter().zip(&names).enumerate() {
        let config = root.join(name).join("node.toml").display().to_string();
        ensure!(*start.iter().map(here).collect::<Vec<_>>() == ["start", "--config", &config], "{start:?}");
        let client = slot.port()?;
        move_to(Path::new(&config), index, client, &peers)?;
        addresses.push(format!("127.0.0.1:{client}"));
        validators.push(Validator::new(name, &root));
    }
    validators.iter_mut().try_for_each(|validator| validator.start(Path::new(PROGRAM)))?;
    let retry = RetryPolicy { total: LONG, ..RetryPolicy::default() };
    let config = ClientConfig::new(&std::fs::read(root.join("genesis.toml"))?, addresses)?
        .with_authority(&std::fs::read_to_string(root.join("authority.crt"))?)?
        .with_retry(retry);
    let client = Client::new(config)?;
    let (_, operations) = counting(&client, "composed", 1)?;
    client.submit(&operations[0]).await?;
    until("all connected", LONG, async || {
        validators.iter_mut().try_for_each(Validator::admit_alive)?;
        let status = client.status(0, None).await?;
        ensure!(status.validators.iter().all(|peer| peer.connected), "{:?}", status.validators);
        Ok(())
    })
    .await
}

/// In containers the validators reach each other by name, and clients reach them through mapped ports.
#[test]
fn the_compose_file_gives_every_validator_a_name_that_others_reach() -> anyhow::Result<()> {
    let commands = commands()?;
    let init = commands.first().context("no commands")?;
    let hosts = init.iter().position(|argument| argument == "--host" || argument == "--hosts");
    let hosts = hosts.and_then(|at| init.get(at + 1)).context("init is told no hosts: all would be on loopback")?;
    for name in hosts.split(',') {
        ensure!(COMPOSE.contains(&format!("\n  {name}:\n")), "there is no service {name}");
    }
    ensure!(hosts.split(',').count() == commands.len() - 1, "{hosts} for {} services", commands.len() - 1);
    Ok(())
}

#[test]
fn the_systemd_unit_starts_with_flags_that_the_program_knows() -> anyhow::Result<()> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("no ExecStart")?;
    let help = run(Path::new(PROGRAM), &["start", "--help"])?;
    let help = String::from_utf8_lossy(&help.stdout);
    for flag in line.split_whitespace().filter(|word| word.starts_with("--")) {
        ensure!(help.contains(flag), "start has no {flag}:\n{help}");
    }
    Ok(())
}
