//! The world in the ordinary tests: fresh seeds, saved plans, one seed twice, real signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use quorate_sim::byzantine::Conduct;
use quorate_sim::world::{
    Expectation, FORMAT, Fault, FaultPlan, Profile, Settings, Summary, Target, TimedFault, plan_in, plan_of, run,
};

/// Seeds of a profile, none of which may find anything.
fn pass(profile: Profile, seeds: std::ops::Range<u64>) -> Summary {
    let campaign = Summary::run(profile, seeds, 1);
    let found: Vec<String> =
        campaign.failures.iter().map(|failure| format!("seeds {:?}: {}", failure.seeds, failure.verdict)).collect();
    assert!(found.is_empty(), "{profile:?}: {}", found.join("\n"));
    campaign
}

/// protocol §10; simulation §2.2, §4: a campaign that never reached a rare branch says so.
#[test]
fn fresh_seeds_find_nothing_and_reach_every_branch() {
    let campaign = pass(Profile::Any, 0..200);
    let missed = campaign.missed();
    let missed: Vec<&str> = missed.iter().filter(|probe| probe.is_expected).map(|probe| probe.name).collect();
    assert_eq!(missed, Vec::<&str>::new());
}

/// protocol §3, §5, §9.3
#[test]
fn hostile_primaries_and_voters_split_nobody() {
    pass(Profile::Hostile, 0..50);
    pass(Profile::NewViews, 0..50);
}

/// simulation §2.12: attacks last as long as the faults do, for nobody's own words make it stop.
#[test]
fn byzantine_validators_contradict_themselves_to_the_last() {
    let mut settings = Settings::calm(7);
    settings.byzantine = BTreeMap::from([(0, vec![Conduct::EquivocateOne]), (1, vec![Conduct::DoubleVote])]);
    settings.safety_ms = 6_000;
    (settings.workload.operations, settings.workload.interval_us) = (60, 100_000);
    let crash = Fault::Crash { target: Target::Validator(1), down_ms: 50 };
    let events = vec![TimedFault { at_ms: 2_000, fault: crash }];
    let plan = FaultPlan { format: FORMAT, seed: 1, settings, expect: Expectation::Pass, events };
    let report = run(&plan, true);
    assert!(report.verdict.is_passed(), "{}", report.verdict);
    let recording = report.recording.unwrap();
    for (who, kind) in [(0, "pre-prepare"), (1, "commit")] {
        // Sequences whose votes of one view name two digests.
        let mut said: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        let late = recording.flights.iter().filter(|flight| flight.sent_us > 4_500_000 && flight.sent_us < 6_000_000);
        for flight in late.filter(|flight| flight.from == who && flight.kind == kind) {
            let [view, sequence, digest] = flight.about.splitn(4, ", ").take(3).collect::<Vec<_>>()[..] else {
                panic!("a vote is told in another way: {}", flight.about)
            };
            said.entry((view, sequence)).or_default().insert(digest);
        }
        assert!(said.values().any(|digests| digests.len() > 1), "validator {who} is tame in the end: {said:?}");
    }
}

/// protocol §5
#[test]
fn views_change_under_partitions_and_losses() {
    pass(Profile::Views, 0..50);
}

/// protocol §7
#[test]
fn restarts_contradict_nothing() {
    pass(Profile::Restarts, 0..50);
}

/// protocol §7.4: it follows, executes, never signs; that it signs nothing is checked at every message.
#[test]
fn a_validator_without_its_store_follows_and_never_signs() {
    pass(Profile::LostStores, 0..40);
    let report = run(&quorate_sim::world::lost_store_plan(1, 2), true);
    assert!(report.verdict.is_passed(), "{}", report.verdict);
    let lost = report.trace().iter().position(|line| line.contains("loses its store")).unwrap();
    let executes = |line: &String| line.contains(" 2 executes ");
    assert!(report.trace()[lost..].iter().any(executes), "the validator without its store executes");
}

/// simulation §4.2
#[test]
fn one_seed_twice_gives_the_same_events() {
    for seed in [1, 40, 85, 184] {
        let (first, second) = (run(&plan_of(seed), false), run(&plan_of(seed), false));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!((first.deliveries, first.virtual_ms), (second.deliveries, second.virtual_ms), "seed {seed}");
    }
}

/// protocol §1: ed25519, not the stand-in.
#[test]
fn a_run_with_real_signatures_passes() {
    let mut plan = plan_in(Profile::Views, 3);
    plan.settings = Settings { real_signatures: true, safety_ms: 400, ..Settings::calm(4) };
    plan.settings.workload.operations = 5;
    plan.events.retain(|timed| timed.at_ms < 300);
    let report = run(&plan, false);
    assert!(report.verdict.is_passed(), "{}", report.verdict);
    assert!(report.reached["operation acknowledged"] > 0);
}

/// Every plan that once found something.
#[test]
fn saved_plans_find_nothing_any_more() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let plan = FaultPlan::from_json(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let report = run(&plan, false);
        assert!(report.verdict.is_passed(), "{}: {}", path.display(), report.verdict);
        count += 1;
    }
    assert!(count >= 14, "{count} plans");
}
