//! `swarm`: many seeds in parallel, counted or timed, which can be interrupted and resumed.
//!
//! Outcomes are added by ascending seed whatever thread they come from, and the summary is saved every few
//! seconds: what was interrupted, or killed, goes on where the file ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::artefacts::{self, Artefacts};
use super::engine::{self, Work};
use super::junit::{self, Case};
use super::source::{Maker, Source};
use super::{coverage, show, style};
use crate::byzantine::Behaviours;
use crate::world::{Options, Summary, run_with};

/// Arguments of `swarm`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// How many seeds [default: 1000, or as many as fit into --for]
    #[arg(long)]
    seeds: Option<u64>,
    /// For how long: 90s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads [default: one per core]
    #[arg(long, short)]
    jobs: Option<usize>,
    /// Stop after so many runs that found something
    #[arg(long, default_value_t = 10)]
    failures: u64,
    /// The folder for what it leaves [default: sim-artefacts/swarm-PROFILE-FROM]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Go on with the interrupted swarm of this folder
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["out", "from", "scenario", "profile", "workload"])]
    resume: Option<PathBuf>,
    /// Write the summary as JSON here too; - prints it instead of anything else
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the result as JUnit XML here too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print only what was found
    #[arg(long, short)]
    quiet: bool,
}

/// What a swarm is, so that it can be resumed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    source: Source,
    from: u64,
    seeds: Option<u64>,
}

pub(super) fn run(arguments: Arguments, behaviours: &Behaviours) -> anyhow::Result<u8> {
    let (job, folder, mut summary) = begin(&arguments, behaviours)?;
    let maker = job.source.maker(behaviours)?;
    let to = match (job.seeds, arguments.time) {
        (Some(seeds), _) => job.from.saturating_add(seeds),
        (None, Some(_)) => u64::MAX,
        (None, None) => job.from.saturating_add(1_000),
    };
    if summary.next >= to {
        println!("all {} seeds of this swarm have been run", summary.runs);
    }
    artefacts::write(&folder.path().join("swarm.json"), &serde_json::to_string_pretty(&job)?)?;
    let before_ms = summary.wall_ms;
    let started = Instant::now();
    let plan = |seed| maker.plan(seed);
    let stop = AtomicBool::new(false);
    let work = Work {
        plan: &plan,
        to,
        until: arguments.time.map(|time| started + time),
        jobs: arguments.jobs.unwrap_or_else(engine::cores),
        most_failures: arguments.failures,
        behaviours,
        stop: &stop,
        is_quiet: arguments.quiet || arguments.json.as_deref().is_some_and(|file| file.as_os_str() == "-"),
    };
    let file = folder.path().join("summary.json");
    engine::work(&work, &mut summary, |summary| {
        summary.wall_ms = before_ms + u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        artefacts::write(&file, &serde_json::to_string_pretty(summary)?)
    })?;
    keep(&folder, &maker, &summary, behaviours)?;
    finish(&arguments, &folder, &summary, summary.next < to && arguments.time.is_none())?;
    Ok(summary.exit_code())
}

/// A new swarm, or the one to be resumed.
fn begin(arguments: &Arguments, behaviours: &Behaviours) -> anyhow::Result<(Job, Artefacts, Summary)> {
    if let Some(folder) = &arguments.resume {
        let file = folder.join("swarm.json");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("{} can't be read; --resume takes the folder of a swarm", file.display()))?;
        let mut job: Job = serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
        job.seeds = arguments.seeds.or(job.seeds);
        return Ok((job, Artefacts::new(Some(folder), "")?, coverage::load(folder)?));
    }
    let Arguments { source, from, seeds, .. } = arguments;
    let maker = source.maker(behaviours)?;
    let folder = Artefacts::new(arguments.out.as_deref(), &format!("swarm-{}-{from}", maker.name))?;
    let summary = Summary::new(&maker.name, *from);
    Ok((Job { source: source.clone(), from: *from, seeds: *seeds }, folder, summary))
}

/// Plan, story and picture of the first seed of everything found, and of the worst run.
fn keep(folder: &Artefacts, maker: &Maker, summary: &Summary, behaviours: &Behaviours) -> anyhow::Result<()> {
    let options = Options { records: true, behaviours: behaviours.clone() };
    let found = summary.failures.iter().filter_map(|failure| failure.seeds.first());
    for seed in found {
        let plan = maker.plan(*seed)?;
        folder.keep_run(&format!("seed-{seed}"), &plan, &run_with(&plan, &options))?;
    }
    let gravest = summary.failures.iter().min_by_key(|failure| failure.exit_code);
    let worst = gravest.and_then(|failure| failure.seeds.first()).or(summary.slowest.first().map(|(_, seed)| seed));
    if let Some(seed) = worst {
        let plan = maker.plan(*seed)?;
        folder.keep_run("worst", &plan, &run_with(&plan, &options))?;
    }
    folder.write("junit.xml", &junit(summary))?;
    Ok(())
}

fn junit(summary: &Summary) -> String {
    let seconds = summary.wall_ms as f64 / 1_000.0;
    let passed = summary.runs - summary.found();
    let name = format!("{passed} seeds of {} from {} to {}", summary.profile, summary.from, summary.next);
    let mut cases = vec![Case { name, seconds, failure: None }];
    cases.extend(summary.failures.iter().map(|failure| Case {
        name: format!("{} ({} seeds, first {:?})", failure.key, failure.count, failure.seeds.first()),
        seconds: 0.0,
        failure: Some(failure.verdict.clone()),
    }));
    junit::suite("swarm", &cases)
}

fn finish(arguments: &Arguments, folder: &Artefacts, summary: &Summary, is_cut: bool) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(summary)?;
    if let Some(file) = &arguments.junit {
        artefacts::write(file, &junit(summary))?;
    }
    match arguments.json.as_deref() {
        Some(file) if file.as_os_str() == "-" => {
            println!("{json}");
            return Ok(());
        }
        Some(file) => artefacts::write(file, &json)?,
        None => {}
    }
    print(summary, folder.path(), arguments.quiet);
    if is_cut {
        println!("go on with: quorate-sim swarm --resume {}", folder.path().display());
    }
    folder.announce();
    Ok(())
}

/// The summary for people.
pub(super) fn print(summary: &Summary, folder: &Path, is_quiet: bool) {
    for failure in &summary.failures {
        let mut lines = failure.verdict.lines();
        println!("{} ({} seeds: {:?})", style::red(lines.next().unwrap_or_default()), failure.count, failure.seeds);
        lines.take(4).for_each(|line| println!("{}", line.chars().take(200).collect::<String>()));
        if let Some(seed) = failure.seeds.first() {
            let plan = folder.join(format!("seed-{seed}/plan.json"));
            println!("  again: quorate-sim replay {}", plan.display());
        }
    }
    if !is_quiet {
        coverage::print(summary);
        println!("{}", style::bold("time to heal after all faults, by runs"));
        summary.healing.iter().for_each(|(ms, runs)| println!("{runs:>14}  up to {}", style::time(*ms)));
        for (ms, seed) in &summary.slowest {
            println!("{:>14}  seed {seed}", style::time(*ms));
        }
    }
    show::speed(summary.virtual_ms, summary.deliveries, Duration::from_millis(summary.wall_ms));
    let runs = format!("{} runs, {} found something", style::thousands(summary.runs), summary.found());
    println!("{}", if summary.found() == 0 { style::green(&runs) } else { style::red(&runs) });
}

/// 90s, 10m, 2h.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("'{text}' is no time; expected a number with s, m or h, such as 90s or 10m");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let unit = match &text[digits.len()..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(expected()),
    };
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        assert!(duration("soon").unwrap_err().contains("such as"));
    }
}
