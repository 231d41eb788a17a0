//! What an operator sees and does: signals, status, metrics, health, the admin socket, the log.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, ensure};
use quorate_client::pb::cluster::v1::Mode;
use quorate_tests::check::{nothing_is_lost, same_state};
use quorate_tests::wait::LONG;
use quorate_tests::{Workload, metrics, raw, wait};
use quorate_transport::channel::{ChannelTiming, unix_channel};
use quorate_transport::pb::admin::v1::SetLogFilterRequest;
use quorate_transport::pb::admin::v1::admin_client::AdminClient;
use serde_json::Value as Json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::{plan, shared};

const ALL: [usize; 4] = [0, 1, 2, 3];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_every_validator_in_an_orderly_way_under_load() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let workload = Workload::start(&cluster, "term", 3)?;
    for index in ALL {
        workload.progress(10, LONG).await?;
        let started = std::time::Instant::now();
        cluster.stop(index).await?;
        println!("validator {index} stopped within {} ms", started.elapsed().as_millis());
        ensure!(!cluster.log(index)?.contains("panic"), "{}", cluster.log(index)?);
        cluster.start(index)?;
        cluster.mode(index, Mode::Ordering).await?;
    }
    let acknowledged = workload.stop().await?;
    nothing_is_lost(&cluster, "term", &acknowledged, &ALL).await?;
    same_state(&cluster, &ALL).await?;
    for index in ALL {
        cluster.stop(index).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_every_validator_and_verify_finds_the_same_state_on_all() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let workload = Workload::start(&cluster, "status", 1)?;
    workload.progress(5, LONG).await?;
    workload.stop().await?;
    let directory = cluster.root();
    let arguments = |more: &[&str]| {
        let mut arguments = vec!["status".into(), "--cluster".into(), directory.clone().into_os_string()];
        arguments.extend(more.iter().map(std::ffi::OsString::from));
        arguments
    };
    let table = cluster.run(&arguments(&[]))?;
    let text = String::from_utf8_lossy(&table.stdout);
    ensure!(table.status.success() && ["v0", "v1", "v2", "v3"].iter().all(|name| text.contains(name)), "{table:?}");
    let verified = cluster.run(&arguments(&["--verify", "--json"]))?;
    ensure!(verified.status.success(), "{verified:?}");
    let verdict: Json = serde_json::from_slice(&verified.stdout)?;
    let verdict = &verdict["verification"];
    ensure!(verdict["equal"] == true, "{verdict}");
    let digests = verdict["digests"].as_array().context("no digests")?;
    let distinct: BTreeSet<&str> = digests.iter().filter_map(|one| one["digest"].as_str()).collect();
    ensure!(digests.len() == 4 && distinct.len() == 1, "{verdict}");
    ensure!(verdict["keys"].as_u64().is_some_and(|keys| keys > 0), "{verdict}");
    Ok(())
}

/// What the operator's guide promises.
const METRICS: [&str; 33] = [
    "quorate_view",
    "quorate_committed_sequence",
    "quorate_executed_sequence",
    "quorate_stable_sequence",
    "quorate_certified_sequence",
    "quorate_commit_lag",
    "quorate_execution_lag",
    "quorate_execution_queue",
    "quorate_pool_operations",
    "quorate_pool_bytes",
    "quorate_missing_validators",
    "quorate_safety_alarm",
    "quorate_resident_bytes",
    "quorate_commit_ms_count",
    "quorate_receipt_ms_count",
    "quorate_execute_ms_count",
    "quorate_save_ms_count",
    "quorate_store_syncs_total",
    "quorate_guard_syncs_total",
    "quorate_votes_per_sync_count",
    "quorate_bundles_per_sync_count",
    "quorate_operations_per_sync_count",
    "quorate_executed_operations_total",
    "quorate_rejected_operations_total",
    "quorate_judged_operations_total",
    "quorate_taken_operations_total",
    "quorate_verified_messages_total",
    "quorate_refused_messages_total",
    "quorate_views_entered_total",
    "quorate_evidence_total",
    "quorate_rate_limited_total",
    "quorate_watches_cut_total",
    "quorate_read_only_total",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_have_the_names_promised_and_count() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let workload = Workload::start(&cluster, "metrics", 1)?;
    workload.progress(5, LONG).await?;
    workload.stop().await?;
    let page = metrics::page(cluster.ports(0).metrics).await?;
    let samples = metrics::samples(&page)?;
    for name in METRICS {
        ensure!(samples.contains_key(name), "{name} is missing in\n{page}");
    }
    for name in ["quorate_store_syncs_total", "quorate_guard_syncs_total", "quorate_executed_operations_total"] {
        ensure!(samples[name] > 0.0, "{name} is {}", samples[name]);
    }
    for labelled in ["quorate_peer_up{", "quorate_peer_queue_bytes{", "quorate_commit_ms_bucket{"] {
        ensure!(samples.keys().any(|name| name.starts_with(labelled)), "{labelled} is missing in\n{page}");
    }
    ensure!(samples["quorate_resident_bytes"] > 1e6, "{}", samples["quorate_resident_bytes"]);
    ensure!(samples["quorate_evidence_total"] == 0.0, "honest validators contradict themselves");
    ensure!(samples["quorate_guard_refusals_total"] == 0.0, "the guard was asked for what it must refuse");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_socket_is_its_owners_alone_changes_the_log_and_stops_the_node() -> anyhow::Result<()> {
    let mut cluster = plan().start().await?;
    let path = cluster.validator(2).directory().join("admin.sock");
    let mode = std::fs::metadata(&path)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the socket has mode {mode:o}");
    for name in ["consensus.key", "network.key", "client.key", "guard"] {
        let mode = std::fs::metadata(path.with_file_name(name))?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{name} has mode {mode:o}");
    }
    let mut admin = AdminClient::new(unix_channel(path.clone(), ChannelTiming::default()));
    let filter = |filter: &str| SetLogFilterRequest { filter: filter.to_owned() };
    let previous = admin.set_log_filter(filter("debug")).await?.into_inner().previous;
    ensure!(previous.contains("info"), "{previous}");
    let refused = admin.set_log_filter(filter("quorate=nonsense=7")).await;
    ensure!(refused.as_ref().is_err_and(|status| status.code() == Code::InvalidArgument), "{refused:?}");
    let socket = unix_channel(path.clone(), ChannelTiming::default());
    for method in ["/quorate.admin.v1.Admin/SetLogFilter", "/quorate.admin.v1.Admin/Shutdown"] {
        let garbage = raw::call(&socket, method, vec![0xff; 64]).await;
        ensure!(garbage.is_err(), "{method} of garbage: {garbage:?}");
    }
    // The operator's service isn't there for clients.
    let method = "/quorate.admin.v1.Admin/Shutdown";
    let foreign = raw::call(&raw::to(&cluster, 2)?, method, bytes::Bytes::new()).await;
    ensure!(foreign.as_ref().is_err_and(|status| status.code() == Code::Unimplemented), "{foreign:?}");
    let reason = "a test of the admin socket".to_owned();
    let config = path.with_file_name("node.toml").display().to_string();
    let changed = cluster.run(&["log-filter", "info", "--config", &config])?;
    ensure!(String::from_utf8_lossy(&changed.stdout).contains("debug"), "{changed:?}");
    let stopped = cluster.run(&["stop", "--config", &config, "--reason", &reason])?;
    ensure!(stopped.status.success(), "{stopped:?}");
    let status = cluster.validator(2).ended(LONG).await?;
    ensure!(status.success(), "it ended with {status}");
    ensure!(cluster.log(2)?.contains(&reason), "the log doesn't say who stopped it");
    ensure!(!path.exists(), "the socket is still there");
    ensure!(!cluster.run(&["stop", "--config", &config])?.status.success(), "nobody is there any more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_answer_as_their_standards_say() -> anyhow::Result<()> {
    let cluster = shared().await?;
    let mut health = HealthClient::new(raw::to(&cluster, 0)?);
    for service in ["", "quorate.operations.v1.Operations", "quorate.entities.v1.Entities"] {
        wait::until("it serves", LONG, async || {
            let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await?.into_inner();
            ensure!(answer.status() == ServingStatus::Serving, "{service}: {answer:?}");
            Ok(())
        })
        .await?;
    }
    let unknown = health.check(HealthCheckRequest { service: "quorate.Nothing".to_owned() }).await;
    ensure!(unknown.is_err_and(|status| status.code() == Code::NotFound));
    let ask = |message_request| ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("quorate.operations.v1.OperationBody".to_owned())),
    ];
    let mut reflection = ServerReflectionClient::new(raw::to(&cluster, 0)?);
    let mut answers = reflection.server_reflection_info(tokio_stream::iter(questions)).await?.into_inner();
    let first = answers.message().await?.and_then(|answer| answer.message_response);
    let Some(MessageResponse::ListServicesResponse(services)) = first else { anyhow::bail!("{first:?}") };
    let names: Vec<&str> = services.service.iter().map(|service| service.name.as_str()).collect();
    for wanted in ["operations.v1.Operations", "entities.v1.Entities", "cluster.v1.Cluster"] {
        ensure!(names.iter().any(|name| name.ends_with(wanted)), "{wanted} isn't among {names:?}");
    }
    let second = answers.message().await?.and_then(|answer| answer.message_response);
    ensure!(matches!(second, Some(MessageResponse::FileDescriptorResponse(_))), "{second:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_json_on_demand_and_a_wrong_setting_is_refused_with_its_neighbour() -> anyhow::Result<()> {
    let mut cluster = plan().validators(1).setting("telemetry.log_format", "json").start().await?;
    for line in cluster.log(0)?.lines() {
        let entry: Json = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(entry["level"].is_string(), "{line}");
    }
    cluster.stop(0).await?;
    cluster.set(0, "clients.request_per_second", 5.into())?;
    cluster.start(0)?;
    let status = cluster.validator(0).ended(LONG).await?;
    ensure!(!status.success(), "it ended with {status}");
    ensure!(cluster.log(0)?.contains("requests_per_second"), "{}", cluster.log(0)?);
    Ok(())
}
