//! Who may talk as a validator (architecture §7, §8): pinned keys, one genesis, and no trust in what a peer
//! sends.

use std::time::Duration;

use anyhow::{Context, ensure};
use quorate_cli::files::read_key;
use quorate_client::pb::cluster::v1::Mode;
use quorate_crypto::PublicKey;
use quorate_tests::check::{nothing_is_lost, same_state};
use quorate_tests::wait::{LONG, until};
use quorate_tests::{Cluster, Workload, metrics, rogue, workload};
use quorate_transport::pb::peer::v1::Frame;
use quorate_transport::pb::peer::v1::frame::Content;
use quorate_transport::tls::Expected;
use quorate_types::ids::ClusterId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use toml::{Table, Value};

use crate::plan;

/// How long a stream that isn't closed is listened to.
const PATIENCE: Duration = Duration::from_secs(20);

fn network_key(cluster: &Cluster, index: usize) -> anyhow::Result<PublicKey> {
    Ok(cluster.genesis()?.content.validators[index].info.network_key)
}

fn expected(cluster: &Cluster, index: usize) -> anyhow::Result<Expected> {
    let info = &cluster.genesis()?.content.validators[index].info;
    Ok(Expected { name: info.name.clone(), key: info.network_key })
}

async fn log_has(cluster: &Cluster, index: usize, words: &[String]) -> anyhow::Result<()> {
    until(&format!("a line with {words:?} in the log of validator {index}"), LONG, async || {
        let log = cluster.log(index)?;
        let has = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        ensure!(has, "there is none");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_key_is_refused_by_both_ends_with_the_key_expected_in_the_log() -> anyhow::Result<()> {
    let cluster = plan().start().await?;
    let stranger = workload::key("stranger");
    // The validator judges the stranger.
    let outcome = match rogue::dial(cluster.ports(0).peer, &stranger, expected(&cluster, 0)?).await {
        Ok(channel) => rogue::send(channel, vec![rogue::hello(cluster.genesis()?.cluster, 3)]).await.to_string(),
        Err(error) => format!("{error:#}"),
    };
    println!("the stranger hears: {outcome}");
    let shown = stranger.public().to_string();
    log_has(&cluster, 0, &[shown, network_key(&cluster, 1)?.to_string(), "expected".to_owned()]).await?;
    // The stranger judges the validator, as a validator with another genesis would.
    let wrong = Expected { name: "v0".to_owned(), key: stranger.public() };
    let refused = rogue::dial(cluster.ports(0).peer, &stranger, wrong).await;
    let error = format!("{:#}", refused.err().context("any key was taken")?);
    // In short: the library in between doesn't print it whole.
    ensure!(error.contains("WrongKey") && error.contains(&network_key(&cluster, 0)?.to_string()[..8]), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_where_another_validator_answers_is_refused_naming_the_key_expected() -> anyhow::Result<()> {
    let mut cluster = plan().make().await?;
    // The first validator looks for the last one where the third one lives.
    let address = Value::from(format!("127.0.0.1:{}", cluster.ports(2).peer));
    let name = cluster.validator(3).name().to_owned();
    cluster.set(0, "peers.addresses", Value::Table([(name.clone(), address)].into_iter().collect::<Table>()))?;
    cluster.start_all()?;
    let (shown, wanted) = (network_key(&cluster, 2)?.to_string(), network_key(&cluster, 3)?.to_string());
    log_has(&cluster, 0, &[shown, wanted.clone(), "expected".to_owned(), name]).await?;
    for index in 1..4 {
        cluster.mode(index, Mode::Ordering).await?;
    }
    let status = cluster.status(0).await?;
    ensure!(status.validators[3].problem.contains(&wanted), "{:?}", status.validators[3]);
    Ok(())
}

/// Frames that break the peer protocol, with what the sender hears.
fn broken(cluster: ClusterId) -> Vec<(&'static str, Vec<Frame>, &'static str)> {
    let hello = || rogue::hello(cluster, 3);
    let newer = {
        let mut frame = hello();
        if let Some(Content::Hello(hello)) = &mut frame.content {
            hello.version = 99;
        }
        frame
    };
    let edited = rogue::hello(ClusterId(quorate_crypto::Digest::new([5; 32])), 3);
    vec![
        ("a message first", vec![rogue::message(vec![1, 2, 3])], "no place"),
        ("nothing in a frame", vec![Frame { content: None }], "no place"),
        ("another version", vec![newer], "version 99"),
        ("another cluster", vec![edited], "genesis"),
        ("a second hello", vec![hello(), hello()], "no place"),
        ("an empty message", vec![hello(), rogue::message(vec![])], "empty"),
        ("nine MiB", vec![hello(), rogue::message(vec![1; 9 << 20])], "length"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_with_a_real_key_is_refused_and_holds_nobody_up() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "garbage", 3)?;
    cluster.kill(3)?;
    let key = read_key(&cluster.validator(3).directory().join("network.key"))?;
    let id = cluster.genesis()?.cluster;
    let port = cluster.ports(0).peer;
    for (name, frames, word) in broken(id) {
        let channel = rogue::dial(port, &key, expected(&cluster, 0)?).await?;
        let heard = tokio::time::timeout(PATIENCE, rogue::send(channel, frames)).await;
        let heard = heard.with_context(|| format!("{name}: the stream stays open"))?;
        ensure!(heard.message().contains(word), "{name}: {heard:?}");
    }
    let mut dice = ChaCha8Rng::seed_from_u64(2);
    let mut frames = vec![rogue::hello(id, 3)];
    for _ in 0..300 {
        let length = dice.random_range(1..2_000);
        let mut noise: Vec<u8> = (0..length).map(|_| dice.random()).collect();
        // Half of them look like a message at first.
        if dice.random() {
            noise.splice(0..0, [1, dice.random_range(0..20)]);
        }
        frames.push(rogue::message(noise));
    }
    let channel = rogue::dial(port, &key, expected(&cluster, 0)?).await?;
    let sending = tokio::spawn(rogue::send(channel, frames));
    until("all of them refused", LONG, async || {
        let samples = metrics::samples(&metrics::page(cluster.ports(0).metrics).await?)?;
        let refused = samples.get("quorate_refused_messages_total").copied().unwrap_or(0.0);
        ensure!(refused >= 300.0, "{refused} were refused");
        Ok(())
    })
    .await?;
    sending.abort();
    workload.progress(30, LONG).await?;
    // The key's owner is not to blame: nothing was signed with its consensus key.
    cluster.start(3)?;
    cluster.ready().await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "garbage", &acknowledged, &[0, 1, 2, 3]).await?;
    same_state(&cluster, &[0, 1, 2, 3]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_genesis_is_refused_by_name() -> anyhow::Result<()> {
    let mut cluster = plan().make().await?;
    let edited = cluster.scratch()?.join("genesis.toml");
    let text = std::fs::read_to_string(cluster.genesis_path())?;
    std::fs::write(&edited, format!("{text}# no harm meant\n"))?;
    cluster.set(1, "paths.genesis", Value::from(edited.display().to_string()))?;
    cluster.start(1)?;
    let status = cluster.validator(1).ended(LONG).await?;
    ensure!(!status.success(), "it ended with {status}");
    let log = cluster.log(1)?;
    ensure!(log.contains("genesis") && log.contains("edited"), "{log}");
    ensure!(log.contains(&cluster.genesis()?.cluster.to_string()), "{log}");
    Ok(())
}
