//! `quorate-sim net`: one run of real nodes, or many.
//!
//! Exit codes as everywhere: 0 nothing found, 1 something unsafe, 2 something stuck, 3 an error of the harness.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Subcommand;

use super::{plan_of, run};
use crate::world::{FaultPlan, Report};

/// What to do with real nodes over simulated sockets.
#[derive(Clone, Debug, Subcommand)]
pub enum NetCommand {
    /// One run of a seed, or of a saved plan.
    Run {
        /// The seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A plan instead of a seed; plans of the world serve.
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
        #[arg(long, default_value_t = 40)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Stop after so many failures.
        #[arg(long, default_value_t = 10)]
        failures: usize,
    },
}

/// Carries the command out.
///
/// # Errors
/// If a file can't be read or written.
pub fn execute(command: NetCommand) -> anyhow::Result<ExitCode> {
    match command {
        NetCommand::Run { seed, plan: None, trace, save } => {
            let plan = plan_of(seed);
            if let Some(file) = save {
                std::fs::write(&file, plan.to_json()?).with_context(|| format!("writing {}", file.display()))?;
            }
            Ok(run_one(&plan, trace, &format!("quorate-sim net run --seed {seed} --trace")))
        }
        NetCommand::Run { plan: Some(file), trace, .. } => {
            let plan = read_plan(&file)?;
            Ok(run_one(&plan, trace, &format!("quorate-sim net run --plan {} --trace", file.display())))
        }
        NetCommand::Swarm { seeds, from, failures } => Ok(swarm(from, seeds, failures)),
    }
}

fn read_plan(file: &Path) -> anyhow::Result<FaultPlan> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    FaultPlan::from_json(&text).with_context(|| format!("reading {}", file.display()))
}

fn run_one(plan: &FaultPlan, trace: bool, again: &str) -> ExitCode {
    let started = Instant::now();
    let report = run(plan, trace);
    report.story.iter().for_each(|line| println!("{line}"));
    println!("{}", report.verdict);
    println!("faults: {} events, {} validators", plan.events.len(), plan.settings.validators);
    for (what, count) in &report.reached {
        println!("  {count:>8}  {what}");
    }
    print_speed(&Sum::of(&report), started.elapsed());
    println!("event hash: {}", report.hash);
    println!("again: {again}");
    ExitCode::from(report.verdict.exit_code())
}

/// What runs add up to.
#[derive(Default)]
struct Sum {
    virtual_ms: u64,
    events: u64,
}

impl Sum {
    const fn of(report: &Report) -> Self {
        Self { virtual_ms: report.virtual_ms, events: report.deliveries + report.turns }
    }
}

fn swarm(from: u64, seeds: u64, most: usize) -> ExitCode {
    let started = Instant::now();
    let (mut sum, mut runs, mut worst, mut found) = (Sum::default(), 0, 0, 0);
    let mut reached = std::collections::BTreeMap::new();
    for seed in from..from.saturating_add(seeds) {
        let report = run(&plan_of(seed), false);
        runs += 1;
        let Sum { virtual_ms, events } = Sum::of(&report);
        (sum.virtual_ms, sum.events) = (sum.virtual_ms + virtual_ms, sum.events + events);
        for (what, count) in report.reached {
            *reached.entry(what).or_insert(0) += count;
        }
        if !report.verdict.is_passed() {
            println!("seed {seed}: {}", report.verdict);
            println!("again: quorate-sim net run --seed {seed} --trace");
            found += 1;
            let code = report.verdict.exit_code();
            worst = if worst == 0 { code } else { code.min(worst) };
        }
        if found >= most {
            break;
        }
    }
    println!("{runs} runs, {found} found something");
    for (what, count) in &reached {
        println!("  {count:>10}  {what}");
    }
    print_speed(&sum, started.elapsed());
    ExitCode::from(worst)
}

fn print_speed(sum: &Sum, took: Duration) {
    let seconds = took.as_secs_f64().max(1e-9);
    println!(
        "{:.1} s of virtual time in {seconds:.1} s; {} events (messages and turns), {:.0} per second",
        sum.virtual_ms as f64 / 1_000.0,
        sum.events,
        sum.events as f64 / seconds,
    );
}
