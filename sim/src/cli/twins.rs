//! `twins`: two unmodified machines with one validator's key, through partitions of a few periods
//! (simulation §2.5).

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::artefacts::Artefacts;
use super::engine::{self, Work};
use super::{show, style};
use crate::byzantine::Behaviours;
use crate::world::{Options, Summary, Twins, run_with};

/// Arguments of `twins`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many validators; one of them runs on two machines
    #[arg(long, short, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=10))]
    n: u16,
    /// How many periods, each about as long as a view
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=8))]
    views: u32,
    /// Cases at most; more than exist means all of them, fewer an even sample without repetition
    #[arg(long, default_value_t = 20_000)]
    budget: u64,
    /// Threads [default: one per core]
    #[arg(long, short)]
    jobs: Option<usize>,
    /// The folder for what it leaves [default: sim-artefacts/twins-N-VIEWS]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let twins = Twins::new(arguments.n, arguments.views);
    let name = format!("twins-{}-{}", arguments.n, arguments.views);
    let count = twins.count().min(arguments.budget);
    println!(
        "{} cases of {}: {} validators, one of them twice, {} periods",
        style::thousands(count),
        style::thousands(twins.count()),
        arguments.n,
        arguments.views
    );
    let folder = Artefacts::new(arguments.out.as_deref(), &name)?;
    let mut summary = Summary::new(&name, 0);
    let started = Instant::now();
    let behaviours = Behaviours::new();
    let plan = |case| Ok(twins.plan(twins.sampled(case)));
    let work = Work {
        plan: &plan,
        to: count,
        until: None,
        jobs: arguments.jobs.unwrap_or_else(engine::cores),
        most_failures: 10,
        behaviours: &behaviours,
        stop: &AtomicBool::new(false),
        is_quiet: false,
    };
    engine::work(&work, &mut summary, |_| Ok(()))?;
    for failure in &summary.failures {
        let Some(case) = failure.seeds.first() else { continue };
        let plan = twins.plan(twins.sampled(*case));
        let report = run_with(&plan, &Options { records: true, ..Options::default() });
        let file = folder.keep_run(&format!("case-{case}"), &plan, &report)?;
        println!(
            "{} ({} cases)\n  again: quorate-sim replay {}",
            style::red(&failure.key),
            failure.count,
            file.display()
        );
    }
    summary.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    folder.write("summary.json", &serde_json::to_string_pretty(&summary)?)?;
    let blamed = summary.reached.get("contradiction seen").copied().unwrap_or(0);
    println!("contradictions seen, all of the twins' own key: {}", style::thousands(blamed));
    show::speed(summary.virtual_ms, summary.deliveries, started.elapsed());
    let line = format!("{} cases, {} found something", style::thousands(summary.runs), summary.found());
    println!("{}", if summary.found() == 0 { style::green(&line) } else { style::red(&line) });
    folder.announce();
    Ok(summary.exit_code())
}
