//! `shrink`: the smallest plan that still fails in the same way.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::source::plan_or_seed;
use super::{artefacts, style};
use crate::byzantine::Behaviours;
use crate::report;
use crate::world::{Options, Shrinker, run_with};

/// Arguments of `shrink`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The failing plan's file, or a seed of the profile `any`
    plan: String,
    /// Where the smaller plan goes [default: beside the plan, as PLAN.small.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Runs to try at most
    #[arg(long, default_value_t = 2_000)]
    runs: u64,
}

pub(super) fn run(arguments: &Arguments, behaviours: &Behaviours) -> anyhow::Result<u8> {
    let plan = plan_or_seed(&arguments.plan)?;
    let options = Options { records: false, behaviours: behaviours.clone() };
    let before = (plan.events.len(), plan.settings.validators, plan.settings.workload.operations);
    let Some(shrinker) = Shrinker::new(plan, arguments.runs, &options) else {
        bail!("nothing is wrong with this plan, so there is nothing to keep while shrinking; run it first")
    };
    let small = shrinker.shrink(|runs, plan, what| {
        let (events, operations) = (plan.events.len(), plan.settings.workload.operations);
        let line =
            format!("run {runs:>5}: {what}: {events} events, {operations} operations, {} ms", plan.settings.safety_ms);
        println!("{}", style::dim(&line));
    });
    let report = run_with(&small, &Options { records: true, ..options });
    println!("{}", style::red(&report.verdict.to_string()));
    println!(
        "from {} events, {} validators, {} operations to {}, {} and {}:",
        before.0,
        before.1,
        before.2,
        small.events.len(),
        small.settings.validators,
        small.settings.workload.operations
    );
    small.events.iter().for_each(|timed| println!("  {:>7} ms  {}", timed.at_ms, timed.fault.about()));
    for (who, conducts) in &small.settings.byzantine {
        let names: Vec<String> = conducts.iter().map(crate::byzantine::Conduct::name).collect();
        println!("  Byzantine: validator {who}: {}", names.join(", "));
    }
    let file = arguments.out.clone().unwrap_or_else(|| beside(&arguments.plan));
    artefacts::write(&file, &small.to_json()?)?;
    let picture = file.with_extension("html");
    artefacts::write(&picture, &report::html(&small, &report, &artefacts::again(&file))?)?;
    println!("plan: {}\npicture: {}", file.display(), picture.display());
    println!("again: {}", style::bold(&artefacts::again(&file)));
    Ok(small.expect.exit_code(&report.verdict))
}

fn beside(plan: &str) -> PathBuf {
    if plan.parse::<u64>().is_ok() {
        return PathBuf::from(format!("seed-{plan}.small.json"));
    }
    Path::new(plan).with_extension("small.json")
}
