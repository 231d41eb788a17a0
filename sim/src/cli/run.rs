//! `run`: one run of a seed, a scenario or a plan.

use std::path::PathBuf;
use std::time::Instant;

use super::artefacts::{self, Artefacts};
use super::junit::{self, Case};
use super::source::{Source, plan_file};
use super::{show, style};
use crate::byzantine::Behaviours;
use crate::report;
use crate::world::{FaultPlan, Options, Report, run_with};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The seed; everything that isn't given follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A saved plan instead of a seed
    #[arg(long, conflicts_with_all = ["scenario", "profile", "workload"])]
    plan: Option<PathBuf>,
    /// Tell the story: one line per state change
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    output: Output,
}

/// What a run leaves behind.
#[derive(Debug, clap::Args)]
pub(super) struct Output {
    /// Write the picture here, as one HTML file that opens without a network
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Save the plan here
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write the result as JSON here; - prints it instead of anything else
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the result as JUnit XML here
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// The folder for what a failing run leaves [default: sim-artefacts/run-SEED]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// What of the story is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Telling {
    pub(super) all: bool,
    pub(super) main: bool,
    pub(super) only: Option<u16>,
    pub(super) until_ms: Option<u64>,
}

pub(super) fn run(arguments: Arguments, behaviours: &Behaviours) -> anyhow::Result<u8> {
    let maker = arguments.source.maker(behaviours)?;
    let (plan, again) = match &arguments.plan {
        Some(file) => (plan_file(file)?, artefacts::again(file)),
        None => {
            let again = format!("quorate-sim run {} --seed {}", maker.arguments, arguments.seed);
            (maker.plan(arguments.seed)?, again)
        }
    };
    let telling = Telling { all: arguments.trace, ..Telling::default() };
    let (report, mut code) = carry_out(&plan, telling, &arguments.output, &again, behaviours)?;
    if let Some(scenario) = maker.scenario()
        && let Err(missing) = scenario.admit(&report)
    {
        eprintln!("{} {missing}", style::red("the scenario expects more:"));
        code = if code == 0 { 3 } else { code };
    }
    Ok(code)
}

/// Runs a plan and shows it in all forms that were asked for.
pub(super) fn carry_out(
    plan: &FaultPlan,
    telling: Telling,
    output: &Output,
    again: &str,
    behaviours: &Behaviours,
) -> anyhow::Result<(Report, u8)> {
    let started = Instant::now();
    let report = run_with(plan, &Options { records: true, behaviours: behaviours.clone() });
    let took = started.elapsed();
    let code = plan.expect.exit_code(&report.verdict);
    let json = serde_json::to_string_pretty(&show::json(plan, &report, again))?;
    let prints_json = output.json.as_deref().is_some_and(|file| file.as_os_str() == "-");
    if prints_json {
        println!("{json}");
    } else {
        if telling.all || telling.main {
            show::story(&report, telling.main && !telling.all, telling.only, telling.until_ms);
        }
        show::verdict(plan, &report, took, again);
    }
    let say = |line: String| if prints_json { eprintln!("{line}") } else { println!("{line}") };
    if let Some(file) = output.json.as_deref().filter(|_| !prints_json) {
        artefacts::write(file, &json)?;
    }
    if let Some(file) = &output.junit {
        let failure = (code != 0).then(|| report.verdict.to_string());
        let name = format!("seed {}", plan.seed);
        artefacts::write(file, &junit::suite("run", &[Case { name, seconds: took.as_secs_f64(), failure }]))?;
    }
    if let Some(file) = &output.save {
        artefacts::write(file, &plan.to_json()?)?;
        say(format!("plan: {}", file.display()));
    }
    if let Some(file) = &output.report {
        artefacts::write(file, &report::html(plan, &report, again)?)?;
        say(format!("picture: {}", file.display()));
    }
    if code != 0 || output.out.is_some() {
        let artefacts = Artefacts::new(output.out.as_deref(), &format!("run-{}", plan.seed))?;
        let file = artefacts.keep_run("run", plan, &report)?;
        say(format!("smaller: quorate-sim shrink {}", file.display()));
        say(format!("artefacts: {}", artefacts.path().display()));
    }
    Ok((report, code))
}
