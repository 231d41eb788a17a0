//! Who misbehaves without contradicting itself is suspected by every correct validator within a bound, and nobody
//! else is (accountability §6).

use std::collections::BTreeMap;

use quorate_sim::byzantine::Conduct;
use quorate_sim::world::{Expectation, FORMAT, FaultPlan, Report, Settings, run};

/// Validator 0, the first primary, behaves like this for the whole run.
fn under(conduct: Conduct, change: impl FnOnce(&mut Settings)) -> Report {
    let mut settings = Settings::calm(4);
    settings.byzantine = BTreeMap::from([(0, vec![conduct])]);
    settings.safety_ms = 40_000;
    settings.protocol.window = 64;
    settings.protocol.checkpoint_interval = 16;
    settings.workload.clients = 12;
    // Work for almost all of the time: an idle primary can't be slow.
    (settings.workload.operations, settings.workload.interval_us) = (1_800, 20_000);
    change(&mut settings);
    run(&FaultPlan { format: FORMAT, seed: 3, settings, expect: Expectation::Pass, events: Vec::new() }, false)
}

/// Every correct validator is warned of validator 0 within `bound_ms`, and of nobody else.
fn suspected_within(bound_ms: u64, report: &Report, what: &str) {
    assert!(report.verdict.is_passed(), "{what}: {}", report.verdict);
    let others: Vec<_> = report.suspected.keys().filter(|suspect| **suspect != 0).collect();
    assert!(others.is_empty(), "{what}: correct validators are suspected: {:?}", report.suspected);
    let by = report.suspected.get(&0).cloned().unwrap_or_default();
    for who in 1..4 {
        let at_ms = by.get(&who).copied();
        assert!(
            at_ms.is_some_and(|at_ms| at_ms <= bound_ms),
            "{what}: validator {who} at {at_ms:?}, not by {bound_ms}"
        );
    }
}

/// accountability §6.7
#[test]
fn a_silent_validator_is_suspected() {
    suspected_within(15_000, &under(Conduct::Silent, |_| {}), "silent");
}

/// accountability §6.7, protocol §4.11
#[test]
fn slow_primaries_are_suspected() {
    for conduct in [Conduct::Slow, Conduct::Dawdle, Conduct::RampingDelay] {
        let what = conduct.name();
        suspected_within(40_000, &under(conduct, rotate), &what);
    }
}

/// accountability §6.7, protocol §4.3
#[test]
fn censoring_primaries_are_suspected() {
    suspected_within(40_000, &under(Conduct::CensorLane, rotate), "censoring");
}

/// Its turn comes again and again.
fn rotate(settings: &mut Settings) {
    settings.protocol.rotation_ms = 8_000;
}

/// accountability §6.7
#[test]
fn withheld_bundles_lies_about_oneself_and_stalled_answers_are_suspected() {
    for conduct in [Conduct::Withhold, Conduct::LyingStatus] {
        let what = conduct.name();
        suspected_within(40_000, &under(conduct, |_| {}), &what);
    }
}

/// accountability §6.7
#[test]
fn floods_are_suspected() {
    for conduct in [Conduct::FloodStale, Conduct::FloodJunk] {
        let what = conduct.name();
        suspected_within(20_000, &under(conduct, |settings| settings.safety_ms = 20_000), &what);
    }
}

/// accountability §6.8: correct validators alone, on links that lose, delay and double, suspect nobody beyond a
/// warning, and of a good network nobody is warned of at all.
#[test]
fn nobody_is_suspected_on_a_good_network() {
    let mut settings = Settings::calm(4);
    settings.safety_ms = 40_000;
    (settings.workload.operations, settings.workload.interval_us) = (1_900, 10_000);
    let plan = FaultPlan { format: FORMAT, seed: 5, settings, expect: Expectation::Pass, events: Vec::new() };
    let report = run(&plan, false);
    assert!(report.verdict.is_passed(), "{}", report.verdict);
    assert!(report.suspected.is_empty(), "{:?}", report.suspected);
}
