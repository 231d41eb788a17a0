//! `quorate bench`: throughput and latency to a verified receipt, and what they cost.
//!
//! What is measured is the honest unit of performance §3: an operation that a client signed, that validators
//! verified, held on disk before they voted, and executed, and whose receipt the client verified.

pub mod latency;
mod load;
pub mod process;
mod report;
pub mod verification;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use quorate_client::Client;
use quorate_types::kind::EntityType;

use self::load::{LoadPlan, Pace};
use self::report::{Phase, Report};
use self::verification::VerificationLimit;
use crate::connect::ClusterArgs;
use crate::init::Rules;
use crate::local::LocalCluster;
use crate::paint;
use crate::submit::bulk::MAX_IN_FLIGHT;

/// How long verification is measured.
const VERIFYING: Duration = Duration::from_secs(1);

/// Measures a cluster under load. Without --rate twice: as fast as it goes, then at half of that.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate bench --local                          a cluster of four of its own, taken down again
  quorate bench --local --mutations 32 --size 16384
  quorate bench --rate 1000 --duration 60        a steady 1,000 operations per second against a running cluster
  quorate bench --local --output bench.json")]
pub struct BenchArgs {
    /// Starts a cluster on this machine for the measurement, in processes of its own
    #[arg(long)]
    local: bool,

    /// Validators of that cluster
    #[arg(long, value_name = "N", default_value_t = 4, requires = "local")]
    validators: u16,

    /// Where that cluster lies; kept afterwards [default: a temporary directory]
    #[arg(long, value_name = "DIR", requires = "local")]
    directory: Option<PathBuf>,

    /// A protocol parameter of that cluster as NAME=VALUE; may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "local")]
    parameters: Vec<String>,

    /// Clients, each with a key and a connection of its own
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,

    /// Closed loop: operations that each client has on their way at once
    #[arg(long, value_name = "N", default_value_t = 128)]
    in_flight: usize,

    /// Open loop: operations per second of all clients together, whether or not the cluster keeps up
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    rate: Option<u64>,

    /// Bytes of an operation: body and signature
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    size: usize,

    /// Mutations in an operation
    #[arg(long, value_name = "N", default_value_t = 1)]
    mutations: usize,

    /// The kind of the documents that are written
    #[arg(long, value_name = "KIND", default_value = "document")]
    kind: String,

    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    duration: u64,

    /// Seconds of load before anything is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    warm_up: u64,

    /// Writes the figures as JSON into this file; - stands for standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArgs,
}

impl BenchArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If the cluster can't be started or reached, or operations fail.
    pub async fn run(self) -> anyhow::Result<()> {
        ensure!(self.clients > 0 && self.duration > 0, "--clients and --duration must be at least 1");
        ensure!((1..=MAX_IN_FLIGHT).contains(&self.in_flight), "--in-flight must be from 1 to {MAX_IN_FLIGHT}");
        ensure!(self.rate != Some(0), "--rate must be at least 1");
        let mut local = self.start_local().await?;
        let result = tokio::select! {
            result = self.measure(local.as_mut()) => result,
            signal = crate::local::interrupted() => signal,
        };
        if let Some(cluster) = &mut local {
            cluster.stop_all().await;
        }
        result
    }

    async fn start_local(&self) -> anyhow::Result<Option<LocalCluster>> {
        if !self.local {
            return Ok(None);
        }
        let rules = Rules { name: "bench".to_owned(), parameters: self.parameters.clone(), ..Rules::default() };
        let mut cluster = LocalCluster::make(self.directory.as_deref(), self.validators, &rules)?;
        eprintln!("{}", paint::faint(&format!("{} validators in {}", self.validators, cluster.directory().display())));
        cluster.start_all()?;
        Ok(Some(cluster))
    }

    async fn measure(&self, mut local: Option<&mut LocalCluster>) -> anyhow::Result<()> {
        let client = match &mut local {
            Some(cluster) => {
                let client = ClusterArgs::in_directory(cluster.directory()).client()?;
                cluster.wait_until_ordering(&client).await?;
                client
            }
            None => self.cluster.client()?,
        };
        let kind = client.genesis().kinds().kind(&self.kind).map(|kind| kind.entity_type);
        ensure!(
            kind == Some(EntityType::Document),
            "the cluster has no kind {:?} of documents; --kind names another",
            self.kind
        );
        let validators = client.genesis().content.validators.len() as u64;
        let limit = tokio::task::spawn_blocking({
            let clients = self.clients;
            move || VerificationLimit::measure(VERIFYING, clients, validators)
        });
        let limit = limit.await.context("measuring verification")?;
        let processes: Vec<(String, u32)> = local.as_deref().map(LocalCluster::processes).unwrap_or_default();
        let mut report = Report::new(self.title(validators), limit);
        let first = match self.rate {
            Some(rate) => Pace::Open { rate },
            None => Pace::Closed { in_flight: self.in_flight },
        };
        let phase = self.phase(&client, first, &processes).await?;
        let half = phase.throughput() / 2;
        report.phases.push(phase);
        if self.rate.is_none() && half > 0 {
            report.phases.push(self.phase(&client, Pace::Open { rate: half }, &processes).await?);
        }
        self.print(&report)?;
        ensure!(
            report.phases.iter().all(Phase::is_good),
            "not all operations were applied, so the figures mean little"
        );
        Ok(())
    }

    async fn phase(&self, client: &Client, pace: Pace, processes: &[(String, u32)]) -> anyhow::Result<Phase> {
        let plan = LoadPlan {
            clients: self.clients,
            pace,
            size_bytes: self.size,
            mutations: self.mutations,
            kind: self.kind.clone(),
            warm_up: Duration::from_secs(self.warm_up),
            duration: Duration::from_secs(self.duration),
        };
        eprintln!(
            "{}",
            paint::faint(&format!("{}: {} s", plan.pace.words(plan.clients), self.warm_up + self.duration))
        );
        report::run_phase(client, plan, processes).await
    }

    fn title(&self, validators: u64) -> String {
        let place = if self.local { "validators and clients on this machine" } else { "a running cluster" };
        format!(
            "{validators} validators, {place}; operations of {} bytes with {} mutation{}, {} clients; synced writes, \
             every client signature verified by the validators, every receipt by the client; {} build",
            self.size,
            self.mutations,
            if self.mutations == 1 { "" } else { "s" },
            self.clients,
            if cfg!(debug_assertions) { "DEBUG" } else { "release" },
        )
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        let json = format!("{:#}\n", report.to_json());
        match &self.output {
            Some(path) if path.as_os_str() == "-" => print!("{json}"),
            Some(path) => {
                print!("{}", report.to_text());
                std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
            }
            None => print!("{}", report.to_text()),
        }
        Ok(())
    }
}
