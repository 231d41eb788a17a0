//! Every scenario that is built in shows what it says it does (simulation §3).

use quorate_sim::scenario;
use quorate_sim::world::{Expectation, run};

#[test]
fn every_scenario_shows_what_it_expects() {
    for scenario in scenario::built_in() {
        for seed in [0, 1] {
            let plan = scenario.plan(seed).unwrap();
            let report = run(&plan, false);
            let (key, verdict) = (scenario.key(), &report.verdict);
            assert!(plan.expect.is_met(verdict), "{key}, seed {seed}: {verdict}, expected {}", plan.expect);
            assert_eq!(scenario.admit(&report), Ok(()), "{key}, seed {seed}");
            // The plan names who is corrupted.
            let corrupted: Vec<u16> = plan.settings.byzantine.keys().copied().collect();
            assert_eq!(report.byzantine, corrupted, "{key}");
        }
    }
}

/// Byzantine validators of 20 % of the set: one of five, two of ten.
#[test]
fn the_byzantine_scenario_corrupts_a_fifth() {
    let scenario = scenario::built_in().find(|scenario| scenario.key() == "byzantine").unwrap();
    let sizes = [0, 1].map(|seed| {
        let settings = scenario.plan(seed).unwrap().settings;
        (settings.validators, settings.byzantine.len())
    });
    assert_eq!(sizes, [(5, 1), (10, 2)]);
    assert_eq!(scenario.expects(), Expectation::Pass);
}
