//! Validators that misbehave with their real keys, over mTLS, among real processes: with one of four the others
//! stay safe and live, and name it and nobody else (protocol §1.1, §10; docs/accountability.md).

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use quorate_client::pb::cluster::v1::Mode;
use quorate_client::pb::operations::v1::watch_response::Entry;
use quorate_client::{Accepted, WatchOptions};
use quorate_crypto::Digest;
use quorate_tests::check::{nothing_is_lost, same_state};
use quorate_tests::wait::{LONG, until};
use quorate_tests::{Cluster, Plan, Workload};
use quorate_types::ids::Sequence;
use quorate_types::promise::Promise;
use quorate_types::signed::{Signed, signing_bytes};

use crate::{ROGUE, counting, plan};

/// The rogue: the primary of the first view.
const ROGUE_INDEX: usize = 0;

/// The others.
const HONEST: [usize; 3] = [1, 2, 3];

/// Four validators, of which the first behaves so; the others take operations.
async fn start(plan: Plan, behaviours: &[&str]) -> anyhow::Result<Cluster> {
    let mut cluster = plan.make().await?;
    cluster.start_rogue(ROGUE_INDEX, ROGUE, behaviours)?;
    HONEST.into_iter().try_for_each(|index| cluster.start(index))?;
    for index in HONEST {
        cluster.mode(index, Mode::Ordering).await?;
    }
    Ok(cluster)
}

/// The cluster orders under load, loses nothing, and all honest validators have one state.
async fn serves(cluster: &mut Cluster, name: &str) -> anyhow::Result<()> {
    let workload = Workload::start_at(&cluster.client_among(HONEST)?, name, 4)?;
    workload.progress(60, 2 * LONG).await?;
    let acknowledged = workload.stop().await?;
    nothing_is_lost(cluster, name, &acknowledged, &HONEST).await?;
    same_state(cluster, &HONEST).await?;
    cluster.admit_alive()
}

/// How many pieces of evidence against each validator this one keeps.
async fn blamed(cluster: &Cluster, seen_by: usize) -> anyhow::Result<Vec<u64>> {
    let status = cluster.status(seen_by).await?;
    Ok(status.validators.iter().map(|validator| validator.evidence).collect())
}

/// All honest ones keep evidence against the rogue, one says so in its log, and nobody blames anyone else
/// (accountability §1.3, §3.2).
async fn only_the_rogue_is_blamed(cluster: &Cluster) -> anyhow::Result<()> {
    let rogue = cluster.status(1).await?.validators[ROGUE_INDEX].name.clone();
    until("evidence against the rogue at every honest validator", LONG, async || {
        for index in HONEST {
            ensure!(blamed(cluster, index).await?[ROGUE_INDEX] > 0, "{index} keeps none");
        }
        Ok(())
    })
    .await?;
    let mut logged = false;
    for index in HONEST {
        let blamed = blamed(cluster, index).await?;
        ensure!(HONEST.into_iter().all(|honest| blamed[honest] == 0), "{index} blames an honest one: {blamed:?}");
        let log = cluster.log(index)?;
        let said = log.lines().filter(|line| line.contains("evidence: malice"));
        logged |= said.into_iter().any(|line| line.contains(&rogue));
    }
    ensure!(logged, "no log names {rogue}");
    Ok(())
}

/// protocol §10.1, §2.3: a primary that tells one half one thing and the other half another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equivocating_primary_is_named_and_harms_nobody() -> anyhow::Result<()> {
    let mut cluster = start(plan(), &["equivocate_half"]).await?;
    serves(&mut cluster, "equivocate").await?;
    only_the_rogue_is_blamed(&cluster).await
}

/// accountability §3.3, §1.7, §5.1: what the commands show of it convinces with nothing but the genesis file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_listed_exported_and_judged_offline() -> anyhow::Result<()> {
    let mut cluster = start(plan(), &["equivocate_half"]).await?;
    serves(&mut cluster, "evidence").await?;
    only_the_rogue_is_blamed(&cluster).await?;
    let (root, scratch) = (cluster.root(), cluster.scratch()?);
    let (root, genesis) = (root.to_string_lossy().into_owned(), cluster.genesis_path().to_string_lossy().into_owned());
    let run = |arguments: &[&str]| -> anyhow::Result<serde_json::Value> {
        let output = cluster.run(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(serde_json::from_str(&said).unwrap_or(serde_json::Value::String(said)))
    };
    let listed = until("a conviction", LONG, async || {
        let listed = run(&["evidence", "list", "--json", "--cluster", &root])?;
        let pieces = listed["evidence"].as_array().context("a list")?;
        ensure!(pieces.iter().any(|piece| piece["convicted_at"].is_u64()), "{listed}");
        Ok(listed)
    })
    .await?;
    let pieces = listed["evidence"].as_array().context("a list")?;
    let status = cluster.status(1).await?;
    let convicted = |index: usize| status.validators[index].convictions;
    ensure!(convicted(ROGUE_INDEX) > 0 && HONEST.into_iter().all(|honest| convicted(honest) == 0));
    convictions_are_watched(&cluster).await?;
    ensure!(!pieces.is_empty() && pieces.iter().all(|piece| piece["validator"] == ROGUE_INDEX), "{listed}");
    let id = pieces[0]["id"].as_str().context("an id")?;
    let file = scratch.join("rogue.evidence").to_string_lossy().into_owned();
    run(&["evidence", "export", id, "--output", &file, "--cluster", &root])?;
    let judged = run(&["evidence", "verify", &file, "--genesis", &genesis, "--json"])?;
    ensure!(judged["id"] == id && judged["validator"] == ROGUE_INDEX, "{judged}");
    let named = run(&["forensics", &file, &file, "--genesis", &genesis, "--json"])?;
    ensure!(named["culprits"][0]["validator"] == ROGUE_INDEX && named["fork"].is_null(), "{named}");
    let mut bytes = std::fs::read(&file)?;
    *bytes.last_mut().context("content")? ^= 1;
    std::fs::write(&file, bytes)?;
    let altered = cluster.run(&["evidence", "verify", &file, "--genesis", &genesis])?;
    ensure!(!altered.status.success(), "an altered file convinces");
    Ok(())
}

/// A watch from the first sequence on shows a conviction, of the rogue, with evidence that is kept.
async fn convictions_are_watched(cluster: &Cluster) -> anyhow::Result<()> {
    let options = WatchOptions {
        from: Sequence(1),
        without_operations: true,
        without_changes: true,
        with_convictions: true,
        ..WatchOptions::default()
    };
    let mut watch = cluster.client_among(HONEST)?.watch(options);
    let conviction = loop {
        if let Some(Entry::Conviction(conviction)) = watch.next().await?.entry {
            break conviction;
        }
    };
    ensure!(conviction.validator as usize == ROGUE_INDEX && !conviction.name.is_empty(), "{conviction:?}");
    let id: [u8; 32] = conviction.evidence.as_ref().try_into()?;
    let client = cluster.client_of(HONEST[0])?;
    let kept = client.evidence(0, Some(Digest::new(id))).await?;
    ensure!(kept.len() == 1 && kept[0].kind == conviction.kind, "{kept:?}");
    Ok(())
}

/// accountability §1.10: a promise in the rogue's hand that a bundle of its lane doesn't keep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_promise_is_found_out_and_convicts() -> anyhow::Result<()> {
    let cluster = start(plan(), &["far_future"]).await?;
    let client = cluster.client_of(ROGUE_INDEX)?;
    let (_, operations) = counting(&client, "promised", 2)?;
    let Accepted::Promised(given) = client.submit_accepted(&operations[0]).await? else { bail!("executed before") };
    let key = quorate_node::keys::read(
        &cluster.root().join(&cluster.genesis()?.content.validators[ROGUE_INDEX].info.name).join("consensus.key"),
    )?;
    let broken = Promise { operation: operations[1].id(), ..given.statement };
    let signature = key.sign(&signing_bytes(&client.cluster(), &broken));
    let (file, evidence) = (cluster.scratch()?.join("a.promise"), cluster.scratch()?.join("a.evidence"));
    quorate_cli::promise::keep(&Signed { statement: broken, signature }, &file)?;
    let (file, evidence) = (file.display().to_string(), evidence.display().to_string());
    let root = cluster.root().display().to_string();
    until("the bundle at an honest validator", LONG, async || {
        let checked = cluster.run(&["promise", "check", &file, "--evidence", &evidence, "--cluster", &root])?;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        ensure!(!checked.status.success() && said.contains("broken: "), "{said}");
        Ok(())
    })
    .await?;
    let genesis = cluster.genesis_path().display().to_string();
    ensure!(cluster.run(&["evidence", "verify", &evidence, "--genesis", &genesis])?.status.success());
    only_the_rogue_is_blamed(&cluster).await
}

/// protocol §3.8: both phases, for everything that anyone votes for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn double_votes_are_named_and_harm_nobody() -> anyhow::Result<()> {
    // An honest chain alone leaves nothing to vote for twice.
    let mut cluster = start(plan(), &["equivocate", "double_vote"]).await?;
    serves(&mut cluster, "double").await?;
    only_the_rogue_is_blamed(&cluster).await
}

/// protocol §3.6, §9.4: bundles and answers for few. The rogue's own clients send through it, so that it has bundles
/// to withhold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withheld_bundles_stop_nobody() -> anyhow::Result<()> {
    let mut cluster = start(plan(), &["withhold"]).await?;
    let of_rogue = Workload::start_at(&cluster.client_among([ROGUE_INDEX, 1])?, "withheld", 2)?;
    serves(&mut cluster, "withhold").await?;
    let acknowledged = of_rogue.stop().await?;
    nothing_is_lost(&cluster, "withheld", &acknowledged, &HONEST).await?;
    for index in HONEST {
        ensure!(blamed(&cluster, index).await?.iter().all(|count| *count == 0), "silence is no contradiction");
    }
    Ok(())
}

/// protocol §8.7: a state that isn't the certified one, for a validator that was down while the others pruned. Whichever way
/// the rogue's part is wrong (not whole, too large, of another checkpoint), it isn't taken, and the log says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt_state_transfer_is_refused_and_the_state_comes_from_others() -> anyhow::Result<()> {
    const RETAINED: u64 = 1_000;
    let plan = plan()
        .parameter("checkpoint_interval=16")
        .parameter("window=64")
        .setting("retention.sequences", i64::try_from(RETAINED)?);
    let mut cluster = start(plan, &["corrupt_snapshots"]).await?;
    let workload = Workload::start_at(&cluster.client_among(HONEST)?, "transfer", 24)?;
    workload.progress(60, 2 * LONG).await?;
    let left = cluster.status(3).await?.executed;
    cluster.kill(3)?;
    until("the others to prune what the one that is down lacks", Duration::from_secs(400), async || {
        for index in [1, 2] {
            let oldest = cluster.status(index).await?.oldest;
            ensure!(oldest > left + 1, "validator {index} keeps everything from {oldest} on, {left} was left");
        }
        Ok(())
    })
    .await?;
    // At rest all offer the same checkpoint, so that the rogue is asked for a part, too.
    workload.stop().await?;
    cluster.start(3)?;
    cluster.mode(3, Mode::Ordering).await?;
    same_state(&cluster, &HONEST).await?;
    // It lacks the sequences that it was away for: they came as a state.
    ensure!(cluster.status(3).await?.oldest > left + 1);
    let (log, rogue) = (cluster.log(3)?, cluster.validator(ROGUE_INDEX).name().to_owned());
    let since = log.rfind("fetches the state").context("no state was fetched")?;
    let passed_over = ["isn't the certified one", "left a question for part of a state open", "message was refused"];
    let names = |line: &str| line.contains(&rogue) && passed_over.iter().any(|words| line.contains(words));
    ensure!(log[since..].lines().any(names), "the rogue's part was taken, or not asked for: {}", &log[since..]);
    Ok(())
}
