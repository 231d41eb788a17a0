//! `explain`: what happened in a run, in plain words, and how to look closer.

use std::collections::BTreeMap;

use super::source::plan_or_seed;
use super::{ascii, show, style};
use crate::byzantine::Behaviours;
use crate::world::{FaultPlan, Mark, Options, Report, State, Verdict, run_with};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The plan's file, or a seed of the profile `any`
    plan: String,
}

pub(super) fn run(arguments: &Arguments, behaviours: &Behaviours) -> anyhow::Result<u8> {
    let plan = plan_or_seed(&arguments.plan)?;
    let started = std::time::Instant::now();
    let report = run_with(&plan, &Options { records: true, behaviours: behaviours.clone() });
    println!("{}", style::bold("The cluster"));
    cluster(&plan);
    println!("\n{}", style::bold("What happened"));
    happenings(&report).iter().for_each(|line| println!("{line}"));
    if let Some(recording) = &report.recording {
        println!("\n{}", ascii::picture(&plan, recording));
    }
    println!("{}", style::bold("How it ended"));
    ending(&plan, &report);
    show::speed(report.virtual_ms, report.deliveries, started.elapsed());
    println!("\nevery step:  quorate-sim replay {} --trace", arguments.plan);
    println!("the picture: quorate-sim replay {} --quiet --report report.html", arguments.plan);
    Ok(plan.expect.exit_code(&report.verdict))
}

fn cluster(plan: &FaultPlan) {
    let settings = &plan.settings;
    let faulty = settings.validators.saturating_sub(1) / 3;
    println!(
        "{} validators, which tolerate {faulty} Byzantine; {} clients sign {} operations, one each {} ms or so.",
        settings.validators,
        settings.workload.clients,
        settings.workload.operations,
        settings.workload.interval_us / 1_000
    );
    let network = settings.network;
    println!(
        "Packets take {} to {} ms; of a thousand {} are lost, {} come twice, {} are slow.",
        network.delay_min_us as f64 / 1_000.0,
        network.delay_max_us as f64 / 1_000.0,
        network.loss_per_mille,
        network.duplicate_per_mille,
        network.slow_per_mille
    );
    for (who, conducts) in &settings.byzantine {
        let about: Vec<String> = conducts.iter().map(|conduct| conduct.about().to_lowercase()).collect();
        println!("Validator {who} is Byzantine: it {}", about.join(" It "));
    }
    for who in &settings.twins {
        println!("Validator {who} runs on two machines with one key.");
    }
}

/// The main lines, told together where the same happened to many at one time.
fn happenings(report: &Report) -> Vec<String> {
    let Some(recording) = &report.recording else { return Vec::new() };
    let mut lines = Vec::new();
    let mut ordered = 0_u64;
    let mut group: BTreeMap<(State, String), (u64, Vec<u16>)> = BTreeMap::new();
    let mut group_us = 0;
    for mark in &recording.marks {
        if mark.state == State::Delivers {
            ordered += 1;
            continue;
        }
        if !mark.state.is_main() || mark.state == State::Verdict {
            continue;
        }
        if mark.at_us > group_us + 50_000 {
            flush(&mut group, &mut ordered, &mut lines);
            group_us = mark.at_us;
        }
        let entry = group.entry((mark.state, said(mark))).or_insert_with(|| (mark.at_us, Vec::new()));
        entry.1.extend(mark.who);
    }
    flush(&mut group, &mut ordered, &mut lines);
    let shown = 120;
    if lines.len() > shown {
        let left_out = lines.len() - shown;
        lines.drain(shown / 2..shown / 2 + left_out);
        lines.insert(shown / 2, format!("           … {left_out} lines …"));
    }
    lines
}

type Group = BTreeMap<(State, String), (u64, Vec<u16>)>;

fn flush(group: &mut Group, ordered: &mut u64, lines: &mut Vec<String>) {
    if *ordered > 0 && !group.is_empty() {
        lines.push(format!("{:>9}  proposals were delivered {ordered} times", ""));
        *ordered = 0;
    }
    let mut told: Vec<_> = std::mem::take(group).into_iter().collect();
    told.sort_by_key(|(_, (at_us, _))| *at_us);
    for ((_, said), (at_us, who)) in told {
        let mut who = who;
        who.sort_unstable();
        who.dedup();
        let whose = match who.len() {
            0 => String::new(),
            1 => format!("validator {} ", who[0]),
            _ => format!("validators {}: ", who.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")),
        };
        lines.push(format!("{:>9.3} s  {whose}{said}", at_us as f64 / 1_000_000.0));
    }
}

/// A line without its subject, so that equal ones can be told together.
fn said(mark: &Mark) -> String {
    let text = mark.text.trim_start_matches("-- ");
    let subject = mark.who.map(|who| who.to_string()).unwrap_or_default();
    let text = text.strip_prefix(&subject).unwrap_or(text).trim_start();
    let text = text.split(", asking peers").next().unwrap_or(text);
    text.split(": Place").next().unwrap_or(text).to_owned()
}

fn ending(plan: &FaultPlan, report: &Report) {
    match &report.verdict {
        Verdict::Passed => {
            let healed = report.healed_in_ms.map_or("at once".to_owned(), |ms| format!("within {}", style::time(ms)));
            println!("{}", style::green("Nothing unsafe happened, and everything healed and served."));
            println!("After all faults had ended, a quorum of correct validators caught up {healed}.");
        }
        Verdict::Unsafe(violation) => {
            println!("{}", style::red(&format!("'{}' was violated ({}).", violation.invariant, violation.clause)));
            println!("These facts contradict each other:");
            violation.facts.iter().for_each(|fact| println!("  {}", fact.chars().take(400).collect::<String>()));
        }
        Verdict::Stuck { pending } => {
            println!("{}", style::red("After all faults had ended, a quorum of correct validators still owed:"));
            pending.iter().for_each(|line| println!("  {}", line.chars().take(400).collect::<String>()));
        }
        Verdict::Harness(reason) => println!("{}", style::red(&format!("The run itself was wrong: {reason}"))),
    }
    if !plan.expect.is_pass() {
        println!("It was expected {}.", plan.expect);
    }
    for (offender, kinds) in &report.blamed {
        let kinds: Vec<&str> = kinds.keys().map(String::as_str).collect();
        println!("Validator {offender} is proven to have contradicted itself: {}.", kinds.join(", "));
    }
}
