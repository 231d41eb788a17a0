//! `quorate demo`: four validators on this machine order real data, lose their primary, and lose nothing else.

mod checks;
mod failover;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use quorate_client::Client;

use self::checks::Checks;
use self::failover::Failover;
use crate::connect::{AuthorArgs, ClusterArgs};
use crate::import::Source;
use crate::init::Rules;
use crate::local::{self, LocalCluster};
use crate::{files, import, paint, status};

/// How long the restarted validator may take to catch up.
const CATCHING_UP: Duration = Duration::from_secs(60);

/// How often validators are asked how far they are.
const POLL: Duration = Duration::from_millis(50);

/// Starts four validators, imports the package index of this machine, kills the primary half-way with SIGKILL,
/// restarts it, and checks that nothing is lost.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  quorate demo
  quorate demo --hold                    leaves the cluster running until Ctrl-C, to try things out
  quorate demo --directory here --keep   keeps genesis, stores and logs in ./here")]
pub struct DemoArgs {
    /// Where the cluster lies [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Keeps all files in the end
    #[arg(long)]
    keep: bool,

    /// Leaves the cluster running in the end, until Ctrl-C
    #[arg(long)]
    hold: bool,

    /// How many validators; 3f + 1 bear f faults
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,

    /// How many records to import
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    records: usize,

    /// Operations on their way at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    in_flight: usize,
}

impl DemoArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// If a step fails or a check doesn't hold.
    pub async fn run(self) -> anyhow::Result<()> {
        ensure!(self.validators >= 4, "a cluster that is to bear the loss of one validator has at least four");
        ensure!(self.records >= 100, "with fewer than 100 records the import is over before the primary is killed");
        let rules = Rules { name: "demo".to_owned(), ..Rules::default() };
        let mut cluster = LocalCluster::make(self.directory.as_deref(), self.validators, &rules)?;
        if self.keep || self.directory.is_some() {
            cluster.keep();
        }
        println!("{}", paint::title("Quorate: a demonstration"));
        println!("The data lie in {}.", cluster.directory().display());
        let result = tokio::select! {
            result = self.show(&mut cluster) => result,
            interrupted = local::interrupted() => interrupted,
        };
        cluster.stop_all().await;
        if cluster.is_kept() {
            println!("Genesis, stores and logs stay in {}.", cluster.directory().display());
        } else {
            println!("{}", paint::faint("The data were removed; --keep keeps them."));
        }
        result
    }

    async fn show(&self, cluster: &mut LocalCluster) -> anyhow::Result<()> {
        let client = start(cluster).await?;
        let reading = tokio::task::spawn_blocking(import::command::read);
        let mut source = reading.await.context("reading the records")??;
        ensure!(source.records.len() >= self.records, "there are only {} records to import", source.records.len());
        source.records.truncate(self.records);
        step("Import", &source.name);
        let key = cluster.directory().join("author.key");
        files::create_key(&key)?;
        let author = AuthorArgs { key, lifetime: 3_600 };
        let failover = failover::import(cluster, &client, &author, &source, self.in_flight).await?;
        failover.print();
        restart(cluster, &client, failover.killed).await?;
        let checks = self.check(cluster, &client, &source, &failover).await?;
        checks.print();
        if self.hold {
            hold(cluster).await?;
        }
        ensure!(checks.are_good(), "a check failed; the logs are {}/v*/log", cluster.directory().display());
        Ok(())
    }

    async fn check(
        &self,
        cluster: &LocalCluster,
        client: &Client,
        source: &Source,
        failover: &Failover,
    ) -> anyhow::Result<Checks> {
        step("Check", "every validator is asked for everything");
        let mut checks = Checks::default();
        let report = &failover.report;
        let receipts = report.applied + report.rejected.len() as u64;
        checks.add(
            receipts == source.records.len() as u64,
            format!("{} operations ordered, {} receipts verified", paint::number(receipts), paint::number(receipts)),
        );
        checks
            .add(report.is_complete(), format!("{} applied, none rejected, none lost", paint::number(report.applied)));
        checks.read_back(cluster, source, report.highest).await?;
        checks.offline(cluster, client, failover.first).await?;
        checks.same_state(client).await?;
        Ok(checks)
    }
}

/// A line that says what comes now.
fn step(name: &str, what: &str) {
    println!("\n{} {what}", paint::title(&format!("{name}:")));
}

async fn start(cluster: &mut LocalCluster) -> anyhow::Result<Client> {
    let count = cluster.validators().len();
    step("Start", &format!("{count} validators, each a process with a store of its own; gRPC and TLS between them"));
    let started = Instant::now();
    cluster.start_all()?;
    let client = ClusterArgs::in_directory(cluster.directory()).client()?;
    cluster.wait_until_ordering(&client).await?;
    for validator in cluster.validators() {
        let pid = validator.pid().map(|pid| pid.to_string()).unwrap_or_default();
        println!("  {}  process {pid:<8} log {}", validator.name(), validator.log().display());
    }
    println!("  all of them vote after {} ms", started.elapsed().as_millis());
    Ok(client)
}

/// Starts the killed validator again and waits until it has caught up and votes.
async fn restart(cluster: &mut LocalCluster, client: &Client, killed: usize) -> anyhow::Result<()> {
    let name = cluster.validators()[killed].name().to_owned();
    step("Restart", &format!("{name} comes back with what is on its disk"));
    let started = Instant::now();
    cluster.start(killed)?;
    cluster.wait_until_ordering(client).await?;
    loop {
        cluster.check()?;
        let answers = status::ask_all(client).await;
        let executed: Vec<u64> =
            answers.iter().filter_map(|answer| answer.status.as_ref().ok()).map(|status| status.executed).collect();
        let is_even = executed.len() == answers.len() && executed.windows(2).all(|pair| pair[0] == pair[1]);
        if is_even {
            let sequence = executed.first().copied().unwrap_or_default();
            println!(
                "  {name} votes again after {} ms; all have executed sequence {sequence}",
                started.elapsed().as_millis()
            );
            return Ok(());
        }
        if started.elapsed() > CATCHING_UP {
            bail!("{name} did not catch up within {} s; executed sequences: {executed:?}", CATCHING_UP.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Leaves the cluster running for whoever wants to try it.
async fn hold(cluster: &mut LocalCluster) -> anyhow::Result<()> {
    let directory = cluster.directory().display();
    step("Hold", "the cluster goes on until Ctrl-C. In another terminal:");
    println!("  quorate status --cluster {directory} --verify");
    println!("  quorate watch --cluster {directory}");
    println!("  quorate get package --prefix lib --cluster {directory}");
    println!("  quorate submit put document/hello '\"world\"' --cluster {directory} --key {directory}/author.key");
    let mut terminated =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("waiting for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("waiting for Ctrl-C")?,
        _ = terminated.recv() => {}
    }
    cluster.check()
}
