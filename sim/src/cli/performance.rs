//! `performance-attacks`: what attacks on speed cost, with the rules against slow primaries and without
//! (protocol §4.11, §4.12), in virtual time.

use std::collections::BTreeMap;

use super::style;
use crate::byzantine::Conduct;
use crate::world::{Expectation, FORMAT, FaultPlan, Report, Settings, run};

/// Arguments of `performance-attacks`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The seed of all runs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Virtual seconds of each run
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// The attacks, by what the table calls them; validator 0 of four plays each, and leads first.
fn attacks() -> Vec<(&'static str, Option<Conduct>)> {
    vec![
        ("none", None),
        ("mute", Some(Conduct::Silent)),
        ("delay, 0.9 of the timeout", Some(Conduct::Dawdle)),
        ("ramping delay", Some(Conduct::RampingDelay)),
        ("on and off", Some(Conduct::OnOff)),
        ("tiny batches", Some(Conduct::TinyBatches)),
        ("censored lane", Some(Conduct::CensorLane)),
        ("flood of old votes", Some(Conduct::FloodStale)),
        ("flood of bad signatures", Some(Conduct::FloodJunk)),
    ]
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figures {
    per_second: u64,
    p50_ms: u64,
    p99_ms: u64,
    views: u64,
}

pub(super) fn execute(arguments: &Arguments) -> u8 {
    println!("| attack | ops/s, without the rules | p50 | p99 | ops/s, with them | p50 | p99 | views |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut worst = 0;
    for (name, conduct) in attacks() {
        let measure = |is_judged| {
            let report = run(&plan(arguments, conduct.clone(), is_judged), false);
            (figures(&report, arguments.seconds), report.verdict)
        };
        let ((without, first), (with, second)) = (measure(false), measure(true));
        for verdict in [first, second].into_iter().filter(|verdict| !verdict.is_passed()) {
            println!("{} {name}: {verdict}", style::red("found:"));
            worst = worst.max(verdict.exit_code());
        }
        let part = |f: Figures| format!("{} | {} ms | {} ms", style::thousands(f.per_second), f.p50_ms, f.p99_ms);
        println!("| {name} | {} | {} | {} |", part(without), part(with), with.views);
    }
    worst
}

/// Four validators, a load that a correct primary carries easily, and one attacker.
fn plan(arguments: &Arguments, conduct: Option<Conduct>, is_judged: bool) -> FaultPlan {
    let mut settings = Settings::calm(4);
    settings.byzantine = conduct.into_iter().map(|conduct| (0, vec![conduct])).collect::<BTreeMap<_, _>>();
    settings.protocol.window = 64;
    settings.protocol.checkpoint_interval = 16;
    // A lane that fills its shares of proposals may wait for as many (protocol §4.11): the load must stay below that,
    // as it does with the parameters that people run with.
    (settings.protocol.max_proposal_operations, settings.protocol.max_bundle_operations) = (1_024, 64);
    settings.protocol.late_percent = if is_judged { 12 } else { 100 };
    settings.protocol.rotation_ms = if is_judged { 4 * settings.protocol.timeout_cap_ms } else { 0 };
    settings.workload.clients = 24;
    (settings.workload.operations, settings.workload.interval_us) = (u32::MAX, 2_500);
    settings.safety_ms = arguments.seconds * 1_000;
    // Nothing is healed and judged: the attack is what is measured.
    settings.liveness_ms = 0;
    FaultPlan { format: FORMAT, seed: arguments.seed, settings, expect: Expectation::Pass, events: Vec::new() }
}

fn figures(report: &Report, seconds: u64) -> Figures {
    let mut waits_us = report.waits_us.clone();
    waits_us.sort_unstable();
    let at = |percent: usize| {
        let index = (waits_us.len() * percent / 100).min(waits_us.len().saturating_sub(1));
        waits_us.get(index).map_or(0, |wait_us| wait_us / 1_000)
    };
    // Every correct validator enters each view.
    let entered = report.reached.get("view entered").copied().unwrap_or(0);
    Figures {
        per_second: waits_us.len() as u64 / seconds.max(1),
        p50_ms: at(50),
        p99_ms: at(99),
        views: entered / u64::from(report.validators.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// protocol §4.11: what the table shows, at its most telling row.
    #[test]
    fn a_dawdling_primary_costs_little_for_long() {
        let arguments = Arguments { seed: 1, seconds: 6 };
        let measure = |conduct: Option<Conduct>, is_judged| {
            figures(&run(&plan(&arguments, conduct, is_judged), false), arguments.seconds)
        };
        let calm = measure(None, true);
        let borne = measure(Some(Conduct::Dawdle), false);
        let judged = measure(Some(Conduct::Dawdle), true);
        assert!(borne.p50_ms > 4 * calm.p50_ms, "{borne:?}, {calm:?}");
        assert!(judged.p50_ms * 4 < borne.p50_ms, "{judged:?}, {borne:?}");
        assert!(judged.per_second * 10 > calm.per_second * 9, "{judged:?}, {calm:?}");
    }

    /// protocol §4.11: no slowly growing delay moves the floor.
    #[test]
    fn a_delay_that_grows_slowly_is_left() {
        let arguments = Arguments { seed: 1, seconds: 9 };
        let measure = |is_judged| {
            figures(&run(&plan(&arguments, Some(Conduct::RampingDelay), is_judged), false), arguments.seconds)
        };
        let (borne, judged) = (measure(false), measure(true));
        assert!(judged.p50_ms * 2 < borne.p50_ms, "{judged:?}, {borne:?}");
    }
}
