//! The net level in the ordinary tests: real nodes over simulated sockets, the same in every process.
#![cfg(feature = "net")]

use std::process::Command;

use quorate_sim::net::{plan_of, run};
use quorate_sim::world::{FORMAT, Fault, FaultPlan, Report, Settings, Target, TimedFault, Verdict};

fn passed(plan: &FaultPlan) -> Report {
    let report = run(plan, false);
    assert!(report.verdict.is_passed(), "seed {}: {}", plan.seed, report.verdict);
    report
}

/// A plan with just these faults, on four validators and good lines.
fn plan(events: impl IntoIterator<Item = (u64, Fault)>) -> FaultPlan {
    let events = events.into_iter().map(|(at_ms, fault)| TimedFault { at_ms, fault });
    let mut plan = plan_of(0);
    plan.settings = Settings { real_signatures: true, ..Settings::calm(4) };
    plan.settings.workload.operations = 150;
    plan.events = events.collect();
    assert_eq!(plan.format, FORMAT);
    plan
}

/// simulation §4.2: not even hash maps, `select!` or TLS may differ from one process to the next.
#[test]
fn one_seed_gives_the_same_event_hash_in_every_process() {
    let hash = |seed: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_quorate-sim")).args(["net", "run", "--seed", seed]).output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        text.lines().find(|line| line.starts_with("event hash")).unwrap().to_owned()
    };
    let first = hash("9");
    for _ in 0..3 {
        assert_eq!(hash("9"), first);
    }
    assert_ne!(hash("6"), first);
}

/// protocol §10; simulation §2.2
#[test]
fn fresh_seeds_find_nothing() {
    for seed in [3, 6, 8, 9] {
        let report = passed(&plan_of(seed));
        assert_eq!(report.reached["calm reached"], 1, "seed {seed}");
        assert_eq!(report.reached["history linearizable"], 1, "seed {seed}");
    }
}

/// simulation §1: what this level is for. A partition kills connections over it; they come back by themselves.
#[test]
fn connections_over_a_partition_die_and_come_back() {
    let groups = vec![vec![0, 1], vec![2, 3]];
    let report = passed(&plan([(300, Fault::Partition { groups }), (1_300, Fault::Heal)]));
    assert!(report.reached["complaint"] > 0, "the partition was felt");
    assert!(report.reached["operation acknowledged"] > 0);
}

/// protocol §7.1
#[test]
fn all_nodes_die_at_once_and_go_on_from_their_disks() {
    let report = passed(&plan([(600, Fault::CrashAll { down_ms: 100 }), (1_500, Fault::CrashAll { down_ms: 50 })]));
    assert_eq!(report.reached["crash"], 8);
    assert!(report.reached["operation acknowledged"] > 0);
}

/// architecture §4: a save that fails stops the node, and nothing that depended on it leaves.
#[test]
fn a_node_whose_store_fails_stops_and_comes_back() {
    let fail = |keep| Fault::CrashAtPoint { ordinal: 60, keep, down_ms: 0 };
    let report = passed(&plan([(400, fail(false)), (1_200, fail(true))]));
    assert!(report.reached["node ended over a failed save"] >= 1, "{:?}", report.reached);
}

/// architecture §4, protocol §7.4: a node without space stops until there is some; one that reads a damaged value
/// stops, and comes back in quarantine with a new store.
#[test]
fn full_and_damaged_disks_stop_their_nodes() {
    let report = passed(&plan([
        (300, Fault::FillDisk { validator: 1, for_ms: 600 }),
        (1_200, Fault::FailRead { validator: 3 }),
        (1_500, Fault::FlipBit { validator: 2 }),
        (1_800, Fault::Crash { target: Target::Validator(2), down_ms: 100 }),
        (2_000, Fault::FailSync { validator: 0 }),
    ]));
    assert!(report.reached["node ended over a full disk"] >= 1, "{:?}", report.reached);
    assert!(report.reached["node ended over a failed save"] >= 1, "{:?}", report.reached);
    assert!(report.reached["stored bit flipped"] >= 1, "{:?}", report.reached);
    assert!(report.reached["operation acknowledged"] > 0);
}

/// protocol §4.2, §5
#[test]
fn the_others_replace_a_primary_that_is_cut_off_or_dies() {
    let report = passed(&plan([
        (400, Fault::Isolate { target: Target::Primary }),
        (1_600, Fault::Heal),
        (2_000, Fault::Crash { target: Target::Primary, down_ms: 700 }),
    ]));
    assert!(report.reached["view entered"] >= 4, "{:?}", report.reached);
}

/// Connections that break all the time are made anew, and calls are repeated.
#[test]
fn lossy_lines_cut_connections_and_nothing_is_lost() {
    let mut plan = plan([]);
    plan.settings.network.loss_per_mille = 200;
    let report = passed(&plan);
    assert!(report.reached["connection cut"] > 10, "{:?}", report.reached);
}

/// simulation §2.2: a cluster without a quorum is safe, and stuck.
#[test]
fn what_stays_pending_is_named() {
    let mut plan = plan([(100, Fault::CrashAll { down_ms: 1_000_000 })]);
    plan.settings.liveness_ms = 1;
    let report = run(&plan, false);
    let Verdict::Stuck { pending } = report.verdict else { panic!("{}", report.verdict) };
    for owed in ["has no receipt", "doesn't sign"] {
        assert!(pending.iter().any(|line| line.contains(owed)), "{owed}: {pending:?}");
    }
}
