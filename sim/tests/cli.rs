//! The command line through its own door: exit codes, forms of output, resuming, one hash in every process
//! (simulation §3, §4.2).

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate-sim"))
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_slice(&sim(arguments).stdout).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    folder
}

fn written(name: &str, contents: &str) -> String {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, contents).unwrap();
    file.display().to_string()
}

/// simulation §4.2
#[test]
fn a_seed_has_the_same_event_hash_in_every_process() {
    for seed in ["3", "85"] {
        let hashes = [0, 1].map(|_| json(&["run", "--seed", seed, "--json", "-"])["event_hash"].clone());
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
        assert_eq!(hashes[0].as_str().unwrap().len(), 64);
    }
}

/// simulation §2.9, §3.2: one attacker more than the protocol bears forks the others; one fewer forks nobody, and
/// then the violation that was expected has stayed away.
#[test]
fn too_many_byzantine_validators_violate_agreement_and_fewer_do_not() {
    let out = folder("too-many").display().to_string();
    for seed in ["1", "2", "3"] {
        let split = sim(&["run", "--scenario", "too-many-byzantine", "--seed", seed, "--out", &out]);
        assert_eq!(split.status.code(), Some(0), "{}", text(&split));
        assert!(text(&split).contains("UNSAFE: agreement"), "{}", text(&split));
    }
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/too-many-byzantine.toml");
    let alone = std::fs::read_to_string(scenario).unwrap();
    let alone = alone.replace("[[byzantine]]\nvalidators = [1]\ndoes = [\"two_faced\"]\n", "");
    let alone = written("one-alone.toml", &alone);
    let safe = sim(&["run", "--scenario", &alone, "--seed", "1", "--out", &out]);
    assert_eq!(safe.status.code(), Some(3), "{}", text(&safe));
    assert!(text(&safe).contains("PASSED"), "{}", text(&safe));
}

/// simulation §3
#[test]
fn exactly_the_expected_violation_is_a_success_and_its_absence_is_not() {
    let out = folder("expected").display().to_string();
    // Packets take longer than the whole run: nothing can be answered.
    let hopeless = written(
        "hopeless.toml",
        "about = \"hopeless\"\nsafety_ms = 500\nliveness_ms = 1\n[expect]\nverdict = \"stuck\"\n[network]\n\
         delay_min_us = 20000000\ndelay_max_us = 20000000\n",
    );
    let expected = sim(&["run", "-s", &hopeless, "--seed", "1", "--out", &out]);
    assert_eq!(expected.status.code(), Some(0), "{}", text(&expected));
    assert!(text(&expected).contains("as expected"), "{}", text(&expected));
    let calm = written(
        "calm.toml",
        "about = \"calm\"\nsafety_ms = 500\n[expect]\nverdict = \"violation\"\ninvariant = \"agreement\"\n",
    );
    let absent = sim(&["run", "-s", &calm, "--out", &out]);
    assert_eq!(absent.status.code(), Some(3), "{}", text(&absent));
    // The same run, of which nothing is expected but that it passes.
    let plan = PathBuf::from(&out).join("run/plan.json");
    let plan = std::fs::read_to_string(plan).unwrap();
    let mut plan: Value = serde_json::from_str(&plan).unwrap();
    plan.as_object_mut().unwrap().remove("expect");
    let plan = written("calm.json", &plan.to_string());
    assert_eq!(sim(&["replay", &plan, "--quiet"]).status.code(), Some(0));
}

#[test]
fn wrong_usage_and_wrong_files_are_named_and_end_with_3() {
    let wrong = written("wrong.toml", "about = \"x\"\n[expect]\nverdict = \"fine\"\n");
    for (arguments, expected) in [
        (vec!["run", "-s", &wrong], "line 3"),
        (vec!["run", "-s", "nowhere.toml"], "partition-and-heal"),
        (vec!["run", "--profile", "mild"], "new-views"),
        (vec!["swarm", "--for", "soon"], "such as 90s"),
        (vec!["replay", "nowhere.json"], "expected the plan.json of a run"),
        (vec!["coverage", "nowhere"], "expected the folder of a swarm"),
        (vec!["shrink", "1"], "nothing is wrong with this plan"),
    ] {
        let output = sim(&arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(expected), "{arguments:?}: {}", text(&output));
    }
}

fn summary(folder: &str) -> Value {
    let text = std::fs::read_to_string(PathBuf::from(folder).join("summary.json")).unwrap();
    let mut summary: Value = serde_json::from_str(&text).unwrap();
    summary.as_object_mut().unwrap().remove("wall_ms");
    summary
}

/// simulation §3
#[test]
fn a_swarm_in_two_sessions_shows_what_one_session_shows() {
    let (one, two) = (folder("one").display().to_string(), folder("two").display().to_string());
    let whole = sim(&["swarm", "--seeds", "24", "--from", "500", "--jobs", "1", "--out", &one]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole));
    sim(&["swarm", "--seeds", "9", "--from", "500", "--jobs", "2", "--out", &two]);
    let rest = sim(&["swarm", "--resume", &two, "--seeds", "24", "--jobs", "2"]);
    assert_eq!(rest.status.code(), Some(0), "{}", text(&rest));
    assert_eq!(summary(&one), summary(&two));
    assert!(text(&rest).trim_end().ends_with(&format!("artefacts: {two}")), "{}", text(&rest));
    assert!(PathBuf::from(&two).join("worst/report.html").exists());
    let junit = std::fs::read_to_string(PathBuf::from(&two).join("junit.xml")).unwrap();
    assert!(junit.contains("<testsuite") && junit.contains("24 seeds of any"), "{junit}");
    let coverage = text(&sim(&["coverage", &two]));
    assert!(coverage.contains("no run reached:") && coverage.contains("view entered"), "{coverage}");
}

#[test]
fn a_story_is_explained_and_replayed_for_one_machine() {
    let explained = text(&sim(&["explain", "40"]));
    assert!(explained.contains("How it ended") && explained.contains("validators"), "{explained}");
    let replayed = text(&sim(&["replay", "40", "--trace", "--only", "1", "--until", "1000"]));
    assert!(replayed.contains("1 delivers") && !replayed.contains("0 delivers"), "{replayed}");
}

#[test]
fn a_users_workload_replaces_the_clients() {
    let workload = written("workload.toml", "clients = 1\noperations = 5\ninterval_us = 1000\n");
    let output = json(&["run", "-s", "normal", "--workload", &workload, "--json", "-"]);
    assert_eq!(output["reached"]["operation signed"], 5, "{output}");
    let wrong = written("workload-wrong.toml", "clients = 1\noperation = 5\n");
    let refused = sim(&["run", "--workload", &wrong]);
    assert!(text(&refused).contains("line 2") && text(&refused).contains("operations"), "{}", text(&refused));
}
