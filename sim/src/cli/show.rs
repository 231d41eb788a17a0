//! A finished run in the terminal and as JSON: verdict first, then the facts, who was Byzantine, who is
//! accused, the picture, and the line that repeats it (simulation §3).

use std::time::Duration;

use serde_json::{Value, json};

use super::{ascii, style};
use crate::world::{Expectation, FaultPlan, Report, State, Verdict};

/// Prints the verdict and what belongs to it.
pub(super) fn verdict(plan: &FaultPlan, report: &Report, took: Duration, again: &str) {
    headline(&plan.expect, &report.verdict);
    corrupted(plan, report);
    let validators = plan.settings.validators;
    println!("plan: {validators} validators, {} events; it follows from seed {}", plan.events.len(), plan.seed);
    for timed in plan.events.iter().take(10) {
        println!("  {:>9.3} s  {}", timed.at_ms as f64 / 1_000.0, timed.fault.about());
    }
    if plan.events.len() > 10 {
        println!("  and {} more; `quorate-sim shrink` finds out which matter", plan.events.len() - 10);
    }
    let interesting = !report.verdict.is_passed();
    if let Some(recording) = report.recording.as_ref().filter(|_| interesting) {
        println!("\n{}", ascii::picture(plan, recording));
    }
    speed(report.virtual_ms, report.deliveries, took);
    println!("event hash: {}", report.hash);
    println!("again: {}", style::bold(again));
}

fn headline(expect: &Expectation, verdict: &Verdict) {
    let text = verdict.to_string();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let first = if verdict.is_passed() { style::green(first) } else { style::red(first) };
    println!("{first}");
    for line in rest.lines().take(40) {
        println!("{}", line.chars().take(400).collect::<String>());
    }
    match (expect.is_pass(), expect.is_met(verdict)) {
        (true, _) => {}
        (false, true) => println!("{} {expect}", style::green("as expected:")),
        (false, false) => println!("{} {expect}", style::red("but it was expected")),
    }
}

fn corrupted(plan: &FaultPlan, report: &Report) {
    for (who, conducts) in &plan.settings.byzantine {
        println!("Byzantine: validator {who}");
        conducts.iter().for_each(|conduct| println!("  {}: {}", conduct.name(), conduct.about()));
    }
    for who in &plan.settings.twins {
        println!("Byzantine: validator {who}, of which two machines run");
    }
    for (offender, kinds) in &report.blamed {
        for (kind, holders) in kinds {
            println!("blamed: validator {offender} by {kind}, held by {holders:?}");
        }
    }
    for (culprit, kinds) in &report.culprits {
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        println!("guilty, by the stores of the correct ones: validator {culprit}, of {}", kinds.join(", "));
    }
}

/// The line on time and speed.
pub(super) fn speed(virtual_ms: u64, deliveries: u64, took: Duration) {
    let seconds = took.as_secs_f64().max(1e-9);
    println!(
        "{} of virtual time in {seconds:.1} s; {} deliveries, {} per second",
        style::time(virtual_ms),
        style::thousands(deliveries),
        style::thousands((deliveries as f64 / seconds) as u64),
    );
}

/// The story, all of it or its main lines.
pub(super) fn story(report: &Report, only_main: bool, only: Option<u16>, until_ms: Option<u64>) {
    let Some(recording) = &report.recording else { return };
    if recording.dropped_marks > 0 {
        println!("(the first {} lines are not kept)", recording.dropped_marks);
    }
    let is_told = |state: State, who: Option<u16>, at_us: u64| {
        (!only_main || state.is_main())
            && only.is_none_or(|only| who.is_none_or(|who| who == only))
            && until_ms.is_none_or(|until_ms| at_us <= until_ms * 1_000)
    };
    for (mark, line) in recording.marks.iter().zip(recording.lines()) {
        if is_told(mark.state, mark.who, mark.at_us) && mark.state != State::Verdict {
            println!("{line}");
        }
    }
}

/// A run as JSON.
pub(super) fn json(plan: &FaultPlan, report: &Report, again: &str) -> Value {
    let (invariant, clause, facts, pending) = match &report.verdict {
        Verdict::Unsafe(found) => (Some(found.invariant), Some(found.clause), found.facts.clone(), Vec::new()),
        Verdict::Stuck { pending } => (None, None, Vec::new(), pending.clone()),
        Verdict::Harness(reason) => (None, None, vec![reason.clone()], Vec::new()),
        Verdict::Passed => (None, None, Vec::new(), Vec::new()),
    };
    json!({
        "verdict": report.verdict.name(),
        "expected": plan.expect,
        "exit_code": plan.expect.exit_code(&report.verdict),
        "invariant": invariant,
        "clause": clause,
        "facts": facts,
        "pending": pending,
        "seed": plan.seed,
        "validators": plan.settings.validators,
        "byzantine": plan.settings.byzantine,
        "twins": plan.settings.twins,
        "blamed": report.blamed,
        "culprits": report.culprits,
        "virtual_ms": report.virtual_ms,
        "healed_in_ms": report.healed_in_ms,
        "deliveries": report.deliveries,
        "event_hash": report.hash.to_string(),
        "reached": report.reached,
        "again": again,
    })
}
