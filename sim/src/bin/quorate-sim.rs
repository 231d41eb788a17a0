//! The simulator's command line: one run, many seeds, a saved plan (simulation §3).
//!
//! Exit codes: 0 nothing found, 1 something unsafe, 2 something stuck, 3 an error of the harness.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use quorate_sim::world::{Campaign, CrashPoints, FaultPlan, Profile, Report, Verdict, plan_in, run, script};

/// Runs a simulated cluster and looks for what must never happen.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One run of a seed, or of a saved plan.
    Run {
        /// The seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// What the run is like: any, hostile, views, restarts, new-views, lost-stores.
        #[arg(long, default_value = "any", value_parser = profile)]
        profile: Profile,
        /// A plan instead of a seed.
        #[arg(long)]
        plan: Option<PathBuf>,
        /// Tell the story, line by line.
        #[arg(long)]
        trace: bool,
        /// Save the plan here.
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// Many seeds.
    Swarm {
        /// How many.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// What the runs are like: any, hostile, views, restarts, new-views, lost-stores.
        #[arg(long, default_value = "any", value_parser = profile)]
        profile: Profile,
        /// Stop after so many failures.
        #[arg(long, default_value_t = 10)]
        failures: usize,
    },
    /// A short script with a view change, crashed at every save and every send.
    Crashes {
        /// The seed of the script.
        #[arg(long, default_value_t = 7)]
        seed: u64,
    },
    /// Real nodes over simulated sockets.
    #[cfg(feature = "net")]
    #[command(subcommand)]
    Net(quorate_sim::net::command::NetCommand),
    /// A saved plan, or what the flight recorder of a node has written, with its story.
    Replay {
        /// The plan or recording.
        plan: PathBuf,
        /// For a recording: the file with the validator's consensus key, to compare every byte.
        #[arg(long)]
        key: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run { seed, profile, plan: None, trace, save } => run_seed(profile, seed, trace, save.as_deref()),
        Command::Run { plan: Some(file), trace, .. } => run_file(&file, trace),
        Command::Swarm { seeds, from, profile, failures } => Ok(swarm(profile, from, seeds, failures)),
        Command::Crashes { seed } => Ok(crashes(seed)),
        #[cfg(feature = "net")]
        Command::Net(command) => quorate_sim::net::command::execute(command),
        Command::Replay { plan, key } => replay(&plan, key.as_deref()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("quorate-sim: {error:#}");
        ExitCode::from(3)
    })
}

fn profile(name: &str) -> Result<Profile, String> {
    let found = Profile::ALL.into_iter().find(|(known, _)| *known == name);
    found
        .map(|(_, profile)| profile)
        .ok_or_else(|| "any, hostile, views, restarts, new-views or lost-stores".to_owned())
}

fn name_of(profile: Profile) -> &'static str {
    Profile::ALL.into_iter().find(|(_, known)| *known == profile).map_or("any", |(name, _)| name)
}

fn run_seed(profile: Profile, seed: u64, trace: bool, save: Option<&Path>) -> anyhow::Result<ExitCode> {
    let plan = plan_in(profile, seed);
    if let Some(file) = save {
        std::fs::write(file, plan.to_json()?).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(run_plan(&plan, trace, &format!("quorate-sim run --profile {} --seed {seed} --trace", name_of(profile))))
}

fn replay(file: &Path, key: Option<&Path>) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "net")]
    {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        if quorate_sim::flight::is_recording(&bytes) {
            return quorate_sim::flight::show(&bytes, key);
        }
    }
    anyhow::ensure!(key.is_none(), "--key is for recordings of nodes");
    run_file(file, true)
}

fn run_file(file: &Path, trace: bool) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let plan = FaultPlan::from_json(&text).with_context(|| format!("reading {}", file.display()))?;
    Ok(run_plan(&plan, trace, &format!("quorate-sim replay {}", file.display())))
}

fn run_plan(plan: &FaultPlan, trace: bool, again: &str) -> ExitCode {
    let started = Instant::now();
    let report = run(plan, trace);
    report.trace().iter().for_each(|line| println!("{line}"));
    println!("{}", report.verdict);
    if !report.byzantine.is_empty() {
        println!("Byzantine: {:?}", plan.settings.byzantine);
    }
    println!("faults: {} events, {} validators", plan.events.len(), plan.settings.validators);
    for (what, count) in &report.reached {
        println!("  {count:>8}  {what}");
    }
    print_speed(report.virtual_ms, report.deliveries, started.elapsed());
    println!("event hash: {}", report.hash);
    println!("again: {again}");
    ExitCode::from(report.verdict.exit_code())
}

fn swarm(profile: Profile, from: u64, seeds: u64, failures: usize) -> ExitCode {
    let started = Instant::now();
    let mut told = Instant::now();
    let mut slowest = (Duration::ZERO, 0);
    let mut before = Instant::now();
    let campaign = Campaign::run(profile, from..from.saturating_add(seeds), failures, |seed, report: &Report| {
        slowest = slowest.max((before.elapsed(), seed));
        before = Instant::now();
        if !report.verdict.is_passed() {
            println!("seed {seed}: {}", short(&report.verdict));
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("  {} of {seeds} seeds", seed - from + 1);
        }
    });
    let worst = campaign.failures.iter().map(|(_, verdict)| verdict.exit_code()).min().unwrap_or(0);
    println!("{} runs, {} found something", campaign.runs, campaign.failures.len());
    for (what, count) in &campaign.reached {
        println!("  {count:>10}  {what}");
    }
    let missed = campaign.missed();
    if !missed.is_empty() && campaign.failures.is_empty() {
        println!("never reached: {}", missed.join(", "));
    }
    println!("slowest seed: {} ({:.1} s)", slowest.1, slowest.0.as_secs_f64());
    print_speed(campaign.virtual_ms, campaign.deliveries, started.elapsed());
    if let Some((seed, _)) = campaign.failures.first() {
        println!("again: quorate-sim run --profile {} --seed {seed} --trace", name_of(profile));
    }
    ExitCode::from(worst)
}

/// Every point of the script, with what wasn't synced lost and kept.
fn crashes(seed: u64) -> ExitCode {
    let started = Instant::now();
    let points = CrashPoints::of(script(seed));
    println!("{} points", points.count());
    let (mut worst, mut found) = (0, 0);
    for (ordinal, keep) in (1..=points.count()).flat_map(|ordinal| [(ordinal, false), (ordinal, true)]) {
        let report = points.run(ordinal, keep);
        if !report.verdict.is_passed() {
            println!(
                "point {ordinal}, unsynced data {}: {}",
                if keep { "kept" } else { "lost" },
                short(&report.verdict)
            );
            worst = report.verdict.exit_code();
            found += 1;
        }
    }
    println!("{found} of {} runs found something, in {:.0} s", 2 * points.count(), started.elapsed().as_secs_f64());
    ExitCode::from(worst)
}

/// The first lines of a verdict.
fn short(verdict: &Verdict) -> String {
    verdict
        .to_string()
        .lines()
        .take(4)
        .map(|line| line.chars().take(300).collect::<String>())
        .collect::<Vec<_>>()
        .join("\n")
}

fn print_speed(virtual_ms: u64, deliveries: u64, took: Duration) {
    let seconds = took.as_secs_f64().max(1e-9);
    println!(
        "{:.1} s of virtual time in {seconds:.1} s; {deliveries} deliveries, {:.0} per second",
        virtual_ms as f64 / 1_000.0,
        deliveries as f64 / seconds,
    );
}
